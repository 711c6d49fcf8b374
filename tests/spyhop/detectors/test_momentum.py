from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

SIGMA = 5e-4

Make = Callable[..., Any]


def walk(bench: Any, log_prices: Any, start: int = 0) -> None:
    for i, y in enumerate(log_prices, start):
        bench.second(i, 60_000.0 * np.exp(y), sigma_1m=SIGMA)


def expected_value(y: Any) -> float:
    weights = {1: 0.4, 5: 0.3, 15: 0.2, 60: 0.1}
    filled = {h: w for h, w in weights.items() if len(y) > 60 * h}
    m = sum(w * np.tanh((y[-1] - y[-1 - 60 * h]) / (SIGMA * np.sqrt(h))) for h, w in filled.items())
    span = min(len(y) - 1, 300)
    window = y[-1 - span :]
    ratio = (window[-1] - window[0]) / np.abs(np.diff(window)).sum()
    return float((m / sum(filled.values()) + ratio) / 2)


@pytest.mark.parametrize("seconds", [61, 200, 301, 901, 3_600, 3_601, 9_000])
def test_the_value_equals_its_definition_over_the_horizons_that_are_filled(seconds: int, bench: Make) -> None:
    y = np.cumsum(np.random.default_rng(1).normal(0, 5e-5, seconds))
    stand = bench("momentum")
    walk(stand, y)
    detection, evidence = stand.read(seconds)
    assert detection["ready"] == 1
    assert detection["value"] == pytest.approx(expected_value(y), abs=1e-9)
    assert evidence["return_1m"] == pytest.approx(np.expm1(y[-1] - y[-61]), abs=1e-12)
    if seconds > 300:
        assert evidence["return_5m"] == pytest.approx(np.expm1(y[-1] - y[-301]), abs=1e-12)


def test_it_is_not_ready_before_a_minute_or_without_sigma(bench: Make) -> None:
    stand, blind = bench("momentum"), bench("momentum")
    walk(stand, np.linspace(0, 1e-3, 60))
    assert stand.read(60)[0]["ready"] == 0
    assert stand.read(60)[1]["return_1m"] == 0.0
    for i in range(200):
        blind.second(i, 100.0 + i)
    assert blind.read(200)[0]["ready"] == 0


def test_a_straight_rise_is_near_one(bench: Make) -> None:
    stand = bench("momentum")
    walk(stand, np.linspace(0, 0.2, 4_000))
    detection, evidence = stand.read(4_000)
    assert detection["value"] > 0.99
    assert evidence["efficiency_ratio"] == pytest.approx(1.0)


def test_there_and_back_is_not_efficient(bench: Make) -> None:
    stand = bench("momentum")
    walk(stand, 1e-4 * (np.arange(601) % 2))
    assert stand.read(601)[1]["efficiency_ratio"] <= 1.0 / 300


def test_efficiency_forgets_a_move_that_left_the_window(bench: Make) -> None:
    stand = bench("momentum")
    walk(stand, np.concatenate([np.linspace(0, 1e-2, 100), np.full(301, 1e-2)]))
    assert stand.state["path"][0] == 0.0
    assert stand.read(400)[1]["efficiency_ratio"] == 0.0


def test_rsi_and_macd_join_when_their_bars_are_there(bench: Make) -> None:
    stand = bench("momentum")
    walk(stand, np.zeros(100))
    stand.set(atr=1.0)
    parts = []
    for k in range(40):
        price = 100.0 + 0.1 * k**1.2
        stand.bar(60 * (k + 1), price, price, price, price)
        stand.second(100 + k, 60_000.0, sigma_1m=SIGMA)
        parts.append(stand.read(100 + k)[0]["value"])
    # flat seconds say 0; an RSI of 100 says 1 of three parts, then a positive MACD joins
    assert parts[13] == 0.0
    assert parts[14] == pytest.approx(1 / 3)
    assert 0.25 < parts[33] < 0.5


def test_confidence_grows_with_the_minutes_seen(bench: Make) -> None:
    stand = bench("momentum")
    rng = np.random.default_rng(2)
    walk(stand, np.cumsum(rng.normal(0, 1e-4, 121)))
    assert stand.read(120)[0]["confidence"] == pytest.approx(2 / 5)
    walk(stand, np.cumsum(rng.normal(0, 1e-4, 400)), start=121)
    assert stand.read(520)[0]["confidence"] == pytest.approx(1.0)
