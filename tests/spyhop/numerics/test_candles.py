from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spyhop.numerics._jit import kernel
from spyhop.numerics.candles import CANDLES, NUM_PATTERNS, PATTERNS, WARM_UP, candles_patterns, candles_push

TALIB = {
    "doji": "CDLDOJI",
    "dragonfly_doji": "CDLDRAGONFLYDOJI",
    "gravestone_doji": "CDLGRAVESTONEDOJI",
    "spinning_top": "CDLSPINNINGTOP",
    "marubozu": "CDLMARUBOZU",
    "hammer": "CDLHAMMER",
    "inverted_hammer": "CDLINVERTEDHAMMER",
    "hanging_man": "CDLHANGINGMAN",
    "shooting_star": "CDLSHOOTINGSTAR",
    "engulfing": "CDLENGULFING",
    "harami": "CDLHARAMI",
    "piercing": "CDLPIERCING",
    "dark_cloud_cover": "CDLDARKCLOUDCOVER",
    "morning_star": "CDLMORNINGSTAR",
    "evening_star": "CDLEVENINGSTAR",
    "three_inside": "CDL3INSIDE",
    "three_outside": "CDL3OUTSIDE",
    "three_white_soldiers": "CDL3WHITESOLDIERS",
    "three_black_crows": "CDL3BLACKCROWS",
}


@kernel
def _run(window: Any, open_: Any, high: Any, low: Any, close: Any, out: Any) -> None:
    for i in range(len(open_)):
        candles_push(window, open_[i], high[i], low[i], close[i])
        candles_patterns(window, out[i])


def patterns(bars: Any) -> Any:
    out = np.zeros((bars.shape[1], NUM_PATTERNS))
    _run(np.zeros(1, CANDLES)[0], *bars, out)
    return out


def rough_bars(seed: int, length: int, grid: float) -> Any:
    # heavy tails and gaps, so that rare shapes occur
    rng = np.random.default_rng(seed)
    body = rng.standard_t(3, length) * rng.choice([0.05, 0.5, 1.0, 2.0], length)
    gap = rng.normal(0, 0.6, length) * (rng.random(length) < 0.6)
    close = 10_000 + np.cumsum(body + gap)
    open_ = close - body
    high = np.maximum(open_, close) + rng.exponential(0.5, length) * (rng.random(length) < 0.6)
    low = np.minimum(open_, close) - rng.exponential(0.5, length) * (rng.random(length) < 0.6)
    bars = np.array([open_, high, low, close])
    return np.round(bars / grid) * grid if grid else bars


@pytest.mark.oracle
@pytest.mark.parametrize("grid", [0.0, 0.125])
def test_every_pattern_equals_talib_at_every_bar(grid: float) -> None:
    talib = pytest.importorskip("talib")
    bars = rough_bars(3, 60_000, grid)
    own = patterns(bars)
    assert set(TALIB) == set(PATTERNS)
    for column, name in enumerate(PATTERNS):
        expected = getattr(talib, TALIB[name])(*bars) / 100.0
        assert np.count_nonzero(expected) > 0, name
        assert np.array_equal(own[WARM_UP - 1 :, column], expected[WARM_UP - 1 :]), name


def test_nothing_is_said_before_the_warm_up() -> None:
    own = patterns(rough_bars(4, 5_000, 0.0))
    assert not own[: WARM_UP - 1].any()
    assert own[WARM_UP - 1 :].any(axis=0).sum() >= NUM_PATTERNS - 2


def test_later_bars_never_change_what_was_said() -> None:
    bars = rough_bars(5, 400, 0.0)
    changed = bars.copy()
    changed[:, 300:] += 25.0
    assert np.array_equal(patterns(bars)[:300], patterns(changed)[:300])


def test_engulfing_and_harami_mirror() -> None:
    open_, high, low, close = rough_bars(6, 5_000, 0.125)
    own = patterns(np.array([open_, high, low, close]))
    turned = patterns(20_000.0 - np.array([open_, low, high, close]))
    # a body of no length counts as white, so mirrored it is not black: leave those windows out
    flat = np.convolve(open_ == close, np.ones(3), "full")[: len(close)] > 0
    for name in ("engulfing", "harami", "marubozu", "three_inside", "three_outside"):
        column = PATTERNS.index(name)
        assert np.array_equal(own[~flat, column], -turned[~flat, column]), name


def test_a_flat_market_shows_dojis_only() -> None:
    own = patterns(np.full((4, 40), 7.0))
    said = {PATTERNS[column] for column in np.flatnonzero(own.any(axis=0))}
    assert said == {"doji"}
