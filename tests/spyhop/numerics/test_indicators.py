from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.numerics._jit import kernel
from spyhop.numerics.indicators import (
    ADX,
    ATR,
    EMA,
    MACD,
    RSI,
    WINDOW,
    adx_step,
    atr_step,
    ema_step,
    macd_step,
    rsi_is_ready,
    rsi_step,
    rsi_value,
    window_deviation,
    window_mean,
    window_step,
)

COLUMNS = ("ema", "sma", "upper", "lower", "rsi", "line", "signal", "atr", "adx", "plus_di")


@kernel
def _run(
    ema: Any, window: Any, rsi: Any, macd: Any, atr: Any, adx: Any, high: Any, low: Any, close: Any, out: Any
) -> None:
    for i in range(len(close)):
        out[i, 0] = ema_step(ema, close[i], 20)
        window_step(window, close[i])
        mean = window_mean(window, 20)
        reach = 2.0 * window_deviation(window, 20, mean)
        out[i, 1] = mean
        out[i, 2] = mean + reach
        out[i, 3] = mean - reach
        rsi_step(rsi, close[i], 14)
        out[i, 4] = rsi_value(rsi) if rsi_is_ready(rsi, 14) else 0.0
        macd_step(macd, close[i], 12, 26, 9)
        out[i, 5] = macd.line
        out[i, 6] = macd.signal.value
        out[i, 7] = atr_step(atr, high[i], low[i], close[i], 14)
        adx_step(adx, high[i], low[i], close[i], 14)
        out[i, 8] = adx.value
        out[i, 9] = adx.plus_di


def computed(high: Any, low: Any, close: Any) -> dict[str, Any]:
    records = [np.zeros(1, layout)[0] for layout in (EMA, WINDOW, RSI, MACD, ATR, ADX)]
    out = np.zeros((len(close), len(COLUMNS)))
    _run(*records, high, low, close, out)
    return dict(zip(COLUMNS, out.T, strict=True))


def bars(seed: int, length: int = 3_000, scale: float = 60_000.0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    close = scale * np.exp(np.cumsum(rng.standard_t(4, length) * 1e-3))
    high = close * np.exp(np.abs(rng.normal(0, 1e-3, length)))
    low = close * np.exp(-np.abs(rng.normal(0, 1e-3, length)))
    return high, low, close


@pytest.mark.oracle
@pytest.mark.parametrize("scale", [60_000.0, 0.0123])
def test_indicators_equal_talib_at_every_bar(scale: float) -> None:
    talib = pytest.importorskip("talib")
    high, low, close = bars(1, scale=scale)
    own = computed(high, low, close)
    upper, middle, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    line, signal, _ = talib.MACD(close, 12, 26, 9)
    oracle = {
        "ema": talib.EMA(close, 20),
        "sma": middle,
        "upper": upper,
        "lower": lower,
        "rsi": talib.RSI(close, 14),
        "line": line,
        "signal": signal,
        "atr": talib.ATR(high, low, close, 14),
        "adx": talib.ADX(high, low, close, 14),
        "plus_di": talib.PLUS_DI(high, low, close, 14),
    }
    for name, expected in oracle.items():
        known = ~np.isnan(expected)
        assert known.sum() > 2_900
        size = max(1.0, np.abs(expected[known]).max()) if scale > 1 or name in {"rsi", "adx", "plus_di"} else scale
        assert np.abs(own[name] - expected)[known].max() < 1e-9 * size, name


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("name", "first"), [("ema", 19), ("sma", 19), ("rsi", 14), ("signal", 33), ("atr", 14), ("adx", 27)]
)
def test_an_indicator_is_silent_until_its_first_bar(name: str, first: int) -> None:
    own = computed(*bars(2, 60))[name]
    assert (own[:first] == 0.0).all()
    assert own[first] != 0.0


def test_a_flat_market_has_a_middling_rsi_and_no_reach() -> None:
    flat = np.full(100, 50.0)
    own = computed(flat, flat, flat)
    assert own["rsi"][-1] == 50.0
    assert own["atr"][-1] == own["adx"][-1] == 0.0
    assert own["upper"][-1] == own["lower"][-1] == 50.0


def test_a_rising_line_is_overbought_and_all_trend() -> None:
    close = np.arange(1.0, 101.0)
    own = computed(close + 0.1, close - 0.1, close)
    assert own["rsi"][-1] == 100.0
    assert own["adx"][-1] == pytest.approx(100.0)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(st.lists(st.floats(1.0, 2.0), min_size=60, max_size=90), st.integers(1, 59))
def test_later_bars_never_change_earlier_values(prices: list[float], cut: int) -> None:
    close = np.array(prices)
    whole = computed(close * 1.01, close * 0.99, close)
    part = computed(close[:cut] * 1.01, close[:cut] * 0.99, close[:cut])
    assert all(np.array_equal(whole[name][:cut], part[name]) for name in COLUMNS)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(st.lists(st.floats(1.0, 2.0), min_size=60, max_size=90))
def test_bounded_indicators_stay_in_bounds_and_mirror(prices: list[float]) -> None:
    close = np.array(prices)
    own = computed(close + 0.01, close - 0.01, close)
    mirrored = computed(3.0 - close + 0.01, 3.0 - close - 0.01, 3.0 - close)
    assert ((own["rsi"] >= 0) & (own["rsi"] <= 100 + 1e-9)).all()
    assert ((own["adx"] >= 0) & (own["adx"] <= 100 + 1e-9)).all()
    assert mirrored["rsi"][20:] == pytest.approx(100.0 - own["rsi"][20:], abs=1e-6)
    assert mirrored["line"] == pytest.approx(-own["line"], abs=1e-9)
    assert mirrored["adx"] == pytest.approx(own["adx"], abs=1e-6)
