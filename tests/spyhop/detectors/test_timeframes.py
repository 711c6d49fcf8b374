from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spyhop.detectors.timeframes import READY_BITS, TimeframesParams, params_record
from spyhop.errors import InvalidSetting
from spyhop.model.rows import TIMEFRAME, TIMEFRAMES

Make = Callable[..., Any]

FIRST_BAR = {"rsi": 15, "macd": 26, "macd_signal": 34, "macd_hist": 34, "bb_upper": 20, "bb_middle": 20}
FIRST_BAR |= {"bb_lower": 20, "sma": 50, "ema": 20, "atr": 15, "close": 1, "ts_close": 1}


def fold(bench: Any, k: int, closes: Any) -> None:
    for i, close in enumerate(closes):
        bar = bench.make_bar(60 * (i + 1), close, close * 1.001, close * 0.999, close)
        bench.module.on_bar_of(*bench.records, k, bar[0])


def shown(bench: Any) -> tuple[Any, int]:
    out = np.zeros(len(TIMEFRAMES), TIMEFRAME)
    aligned = bench.module.read(*bench.records, 0, out)
    return out, aligned


def walk(length: int, drift: float = 0.0) -> Any:
    return 100.0 * np.exp(np.cumsum(np.random.default_rng(1).normal(drift, 1e-3, length)))


def test_ready_bits_follow_the_fields() -> None:
    assert tuple(name for name in TIMEFRAME.names or () if name != "ready") == READY_BITS


def test_each_indicator_becomes_ready_at_its_bar_and_is_0_before(bench: Make) -> None:
    stand = bench("timeframes")
    closes = walk(60)
    for bars in range(1, 60):
        stand.fresh()
        fold(stand, 2, closes[:bars])
        frame = shown(stand)[0][2]
        for bit, name in enumerate(READY_BITS):
            is_ready = bool(frame["ready"] >> bit & 1)
            assert is_ready == (bars >= FIRST_BAR[name]), (name, bars)
            assert is_ready == (frame[name] != 0)


def test_a_timeframe_that_saw_no_bar_shows_nothing(bench: Make) -> None:
    stand = bench("timeframes")
    fold(stand, 0, walk(60))
    frames = shown(stand)[0]
    assert frames[0]["ready"] == (1 << len(READY_BITS)) - 1
    assert (frames["ready"][1:] == 0).all()


@pytest.mark.oracle
def test_shown_indicators_equal_talib(bench: Make) -> None:
    talib = pytest.importorskip("talib")
    closes = walk(400)
    stand = bench("timeframes")
    fold(stand, 4, closes)
    frame = shown(stand)[0][4]
    upper, middle, lower = talib.BBANDS(closes, 20, 2.0, 2.0)
    line, signal, hist = talib.MACD(closes)
    expected = {
        "rsi": talib.RSI(closes),
        "macd": line,
        "macd_signal": signal,
        "macd_hist": hist,
        "bb_upper": upper,
        "bb_middle": middle,
        "bb_lower": lower,
        "sma": talib.SMA(closes, 50),
        "ema": talib.EMA(closes, 20),
        "atr": talib.ATR(closes * 1.001, closes * 0.999, closes),
    }
    for name, values in expected.items():
        assert frame[name] == pytest.approx(values[-1], rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize(("drift", "aligned"), [(1.001, 1), (1 / 1.001, -1)])
def test_timeframes_that_all_point_one_way_are_aligned(drift: float, aligned: int, bench: Make) -> None:
    stand = bench("timeframes")
    # an accelerating price, so that the MACD keeps ahead of its signal
    closes = 100.0 * drift ** (np.arange(60.0) ** 1.5 / 4)
    for k in range(5):
        assert shown(stand)[1] == 0
        fold(stand, k, closes)
    assert shown(stand)[1] == aligned
    fold(stand, 3, 100.0 * drift ** (-(np.arange(60.0) ** 1.5) / 4))
    assert shown(stand)[1] == 0


def test_fewer_timeframes_may_be_asked_to_agree(bench: Make) -> None:
    stand = bench("timeframes", num_aligned=2)
    closes = 100.0 * 1.001 ** (np.arange(60.0) ** 1.5 / 4)
    fold(stand, 0, closes)
    fold(stand, 1, closes)
    assert shown(stand)[1] == 1


def test_a_macd_whose_fast_mean_is_slow_is_refused() -> None:
    with pytest.raises(InvalidSetting):
        params_record(TimeframesParams(macd_fast=26, macd_slow=12))
