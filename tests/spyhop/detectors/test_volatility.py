from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spyhop.detectors.volatility import EXTREME, HIGH, LOW, NORMAL, _regime
from spyhop.numerics.volatility import jump_ratio

Make = Callable[..., Any]


def walk(bench: Any, returns: Any, start: int = 0, **fields: float) -> Any:
    prices = 60_000.0 * np.exp(np.cumsum(returns))
    for i, price in enumerate(prices, start):
        bench.second(i, price, **fields)
    return prices


def test_sigma_is_the_decayed_root_mean_square_of_second_returns(bench: Make) -> None:
    r = np.random.default_rng(1).normal(0, 1e-4, 900)
    stand = bench("volatility")
    walk(stand, r)
    weights = np.exp(-np.arange(len(r) - 1)[::-1] / 300.0)
    expected = np.sqrt(60 * (weights * r[1:] ** 2).sum() / weights.sum())
    evidence = stand.read(899)[1]
    assert evidence["sigma_1m"] == pytest.approx(expected, rel=1e-9)
    assert stand.moment["sigma_1m"][0] == evidence["sigma_1m"]
    assert evidence["sigma_1m"] == pytest.approx(1e-4 * np.sqrt(60), rel=0.15)


def test_sigma_is_silent_for_a_minute(bench: Make) -> None:
    stand = bench("volatility")
    walk(stand, np.full(60, 1e-5))
    assert stand.moment["sigma_1m"][0] == 0.0
    walk(stand, np.full(2, 1e-5), start=60)
    assert stand.moment["sigma_1m"][0] > 0.0


def test_five_minute_volatility_is_the_root_of_the_sum_of_squares(bench: Make) -> None:
    r = np.random.default_rng(2).normal(0, 1e-4, 1_000)
    stand = bench("volatility")
    walk(stand, r)
    assert stand.read(999)[1]["volatility_5m"] == pytest.approx(np.sqrt((r[-300:] ** 2).sum()), rel=1e-9)


def test_the_jump_ratio_is_that_of_five_second_returns_when_it_is_significant(bench: Make) -> None:
    r = np.random.default_rng(3).normal(0, 1e-5, 601)
    calm, jumpy = bench("volatility"), bench("volatility")
    walk(calm, r)
    r[450] += 2e-3
    walk(jumpy, r)
    steps = np.add.reduceat(r[301:601], np.arange(0, 300, 5))
    assert calm.read(600)[1]["jump_ratio"] == 0.0
    assert jumpy.read(600)[1]["jump_ratio"] == pytest.approx(jump_ratio(steps), rel=1e-6)
    assert jumpy.read(600)[1]["jump_ratio"] > 0.8


def test_a_storm_after_calm_hours_ranks_high_and_calm_after_storms_low(bench: Make) -> None:
    rng = np.random.default_rng(4)
    loud, quiet = bench("volatility"), bench("volatility")
    walk(loud, np.concatenate([rng.normal(0, 1e-5, 10_800), rng.normal(0, 2e-4, 300)]))
    walk(quiet, np.concatenate([rng.normal(0, 2e-4, 10_800), rng.normal(0, 1e-5, 3_000)]))
    assert loud.read(11_100)[0]["value"] > 0.95
    assert loud.read(11_100)[1]["vol_regime"] >= HIGH
    assert quiet.read(13_800)[0]["value"] < 0.25


def test_the_percentile_is_middling_while_its_past_is_short(bench: Make) -> None:
    rng = np.random.default_rng(5)
    stand = bench("volatility")
    walk(stand, np.concatenate([rng.normal(0, 1e-5, 240), rng.normal(0, 1e-3, 30)]))
    detection, evidence = stand.read(270)
    assert (detection["ready"], evidence["vol_regime"]) == (0, NORMAL)
    assert 0.3 < evidence["vol_pct"] < 0.8


def test_an_hour_that_is_usually_loud_is_not_ranked_loud(bench: Make) -> None:
    rng = np.random.default_rng(6)
    stand = bench("volatility")
    walk(stand, rng.normal(0, 1e-4, 7_200), vol_mult=1.0)
    walk(stand, rng.normal(0, 3e-4, 1_800), start=7_200, vol_mult=3.0)
    assert stand.read(9_000)[0]["value"] < 0.9


def test_regimes_are_left_later_than_entered(bench: Make) -> None:
    p = bench("volatility").params[0]
    seen = [NORMAL]
    for percentile in (0.85, 0.91, 0.81, 0.79, 0.99, 0.96, 0.94, 0.5, 0.09, 0.19, 0.21):
        seen.append(_regime(seen[-1], percentile, p))
    assert seen[1:] == [NORMAL, HIGH, HIGH, NORMAL, EXTREME, EXTREME, HIGH, NORMAL, LOW, LOW, NORMAL]


def test_vol_of_vol_tells_steady_from_changing(bench: Make) -> None:
    rng = np.random.default_rng(7)
    steady, changing = bench("volatility"), bench("volatility")
    walk(steady, rng.normal(0, 1e-4, 3_600))
    walk(changing, rng.normal(0, 1e-4, 3_600) * np.exp(1.5 * np.sin(np.arange(3_600) / 250)))
    assert changing.read(3_600)[1]["vol_of_vol"] > 3 * steady.read(3_600)[1]["vol_of_vol"]


@pytest.mark.oracle
def test_the_moments_atr_equals_talib(bench: Make) -> None:
    talib = pytest.importorskip("talib")
    rng = np.random.default_rng(8)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, 60)))
    high, low = close * 1.001, close * 0.998
    stand = bench("volatility")
    for i in range(60):
        stand.bar(60 * (i + 1), close[i], high[i], low[i], close[i])
        expected = talib.ATR(high, low, close, 14)[i]
        assert stand.moment["atr"][0] == pytest.approx(0.0 if np.isnan(expected) else expected, rel=1e-9)
    assert stand.read(3_600)[1]["atr"] == stand.moment["atr"][0]
