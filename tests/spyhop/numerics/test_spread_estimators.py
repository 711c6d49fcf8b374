from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spyhop.numerics.spread_estimators import abdi_ranaldo, corwin_schultz, roll

TRUE_SPREAD = 20e-4


def bouncing_bars(spread: float, num_bars: int = 4_000, ticks: int = 200) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(7)
    mid = np.cumsum(rng.normal(0, 3e-2 / np.sqrt(ticks), num_bars * ticks))
    prices = mid + 0.5 * spread * rng.choice([-1.0, 1.0], len(mid))
    bars = np.exp(prices.reshape(num_bars, ticks))
    return bars.max(axis=1), bars.min(axis=1), bars[:, -1], prices


def test_each_estimator_finds_a_simulated_spread_of_20_bps() -> None:
    prices = bouncing_bars(TRUE_SPREAD)[3]
    assert roll(prices) == pytest.approx(TRUE_SPREAD, rel=0.05)
    # a tenth of the volatility, the same spread
    high, low, close = (np.exp(np.log(x) / 10) for x in bouncing_bars(10 * TRUE_SPREAD)[:3])
    assert abdi_ranaldo(high, low, close) == pytest.approx(TRUE_SPREAD, rel=0.10)
    assert 0.3 * TRUE_SPREAD < corwin_schultz(high, low) < 1.7 * TRUE_SPREAD


def test_a_trending_price_has_no_roll_spread() -> None:
    assert roll(np.cumsum(np.linspace(0.0, 1.0, 50))) == 0.0


@pytest.mark.parametrize("length", [0, 1])
def test_too_little_says_nothing(length: int) -> None:
    one = np.ones(length)
    assert roll(one) == corwin_schultz(one, one) == abdi_ranaldo(one, one, one) == 0.0


def test_scale_of_price_does_not_matter() -> None:
    high, low, close, _ = bouncing_bars(TRUE_SPREAD, 300)
    assert corwin_schultz(1e3 * high, 1e3 * low) == pytest.approx(corwin_schultz(high, low), rel=1e-9)
    assert abdi_ranaldo(1e3 * high, 1e3 * low, 1e3 * close) == pytest.approx(abdi_ranaldo(high, low, close), rel=1e-9)
