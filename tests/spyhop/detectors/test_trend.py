from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spyhop.detectors.trend import RANDOM_WALK_T95, RANGE, TREND
from spyhop.numerics.variance_ratio import variance_ratio

Make = Callable[..., Any]


def walk(bench: Any, log_prices: Any, start: int = 0) -> None:
    for i, y in enumerate(log_prices, start):
        bench.second(i, 60_000.0 * np.exp(y))


def test_random_walks_stay_below_a_third_nineteen_times_in_twenty(bench: Make) -> None:
    rng = np.random.default_rng(1)
    stand = bench("trend")
    values = []
    for _ in range(400):
        stand.fresh()
        walk(stand, np.cumsum(rng.normal(0, 1e-4, 300)))
        values.append(abs(stand.read(300)[0]["value"]))
    assert 0.92 < np.mean(np.array(values) < 0.3) < 0.98


def test_the_calibration_constant_is_what_a_simulation_says() -> None:
    rng = np.random.default_rng(2)
    n = 300
    y = np.cumsum(rng.normal(size=(20_000, n)), axis=1)
    y -= y.mean(axis=1, keepdims=True)
    x = np.arange(n) - (n - 1) / 2
    slope = y @ x / (x @ x)
    t = slope / np.sqrt(((y**2).sum(axis=1) - slope**2 * (x @ x)) / (n - 2) / (x @ x))
    assert np.quantile(np.abs(t) / np.sqrt(n), 0.95) == pytest.approx(RANDOM_WALK_T95, rel=0.03)


@pytest.mark.parametrize("side", [1, -1])
def test_a_straight_line_is_one(side: int, bench: Make) -> None:
    stand = bench("trend")
    walk(stand, side * np.linspace(0, 0.01, 200))
    detection, evidence = stand.read(200)
    assert detection["value"] == pytest.approx(side, abs=1e-6)
    assert evidence["trend_regime"] == TREND


def test_it_is_not_ready_for_a_minute(bench: Make) -> None:
    stand = bench("trend")
    walk(stand, np.linspace(0, 0.01, 59))
    assert stand.read(59)[0]["ready"] == 0
    walk(stand, [0.01], start=59)
    assert stand.read(60)[0]["ready"] == 1


def test_an_ema_stack_that_points_down_halves_a_rise(bench: Make) -> None:
    stand, against = bench("trend"), bench("trend")
    for k in range(60):
        price = 200.0 - k
        against.bar(60 * (k + 1), price, price, price, price)
    noisy = np.linspace(0, 0.002, 200) + 1e-4 * np.random.default_rng(3).normal(size=200)
    walk(stand, noisy)
    walk(against, noisy)
    assert against.read(200)[0]["value"] == pytest.approx(0.5 * stand.read(200)[0]["value"])


def test_adx_equals_its_warm_up_and_a_quiet_adx_makes_a_range(bench: Make) -> None:
    stand = bench("trend")
    for k in range(60):
        middle = 100.0 + 0.1 * (-1) ** k
        stand.bar(60 * (k + 1), middle, middle + 1, middle - 1, middle)
        assert (stand.read(0)[1]["adx"] != 0.0) == (k >= 27)
    walk(stand, 1e-5 * (-1.0) ** np.arange(120))
    assert stand.read(120)[1]["trend_regime"] == RANGE


def test_reverting_prices_have_a_variance_ratio_below_one(bench: Make) -> None:
    rng = np.random.default_rng(4)
    stand = bench("trend")
    prices = 1e-4 * rng.normal(size=900)
    walk(stand, prices[:299])
    assert stand.read(299)[1]["variance_ratio"] == 1.0
    walk(stand, prices[299:450], start=299)
    steps = np.diff(prices[4:450:5], prepend=prices[0])
    assert stand.read(450)[1]["variance_ratio"] == pytest.approx(variance_ratio(steps, 6)[0], rel=1e-6)
    walk(stand, prices[450:], start=450)
    evidence = stand.read(900)[1]
    assert evidence["variance_ratio"] < 0.4
    assert evidence["trend_regime"] == RANGE


@pytest.mark.parametrize("side", [1, -1])
def test_a_run_of_large_returns_raises_the_alarm_once_and_it_fades(side: int, bench: Make) -> None:
    stand = bench("trend")
    stand.set(sigma_1m=1e-3)
    price, alarms = 100.0, []
    for k in range(12):
        price *= np.exp(side * (1.5e-3 if k >= 6 else 0.0))
        stand.bar(60 * (k + 1), price, price, price, price)
        alarms.append(stand.read(60 * (k + 1))[1]["trend_change"])
    # five returns of 1.5 sigma less a drift of half a sigma each reach 5
    assert alarms[:10] == [0.0] * 10
    assert alarms[10] == side
    assert alarms[11] == pytest.approx(side * np.exp(-60 / 300))
