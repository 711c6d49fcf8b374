from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spyhop.detectors.divergence import slope_divergence

Make = Callable[..., Any]


def seconds(bench: Any, log_prices: Any, cvd: Any) -> None:
    for i, (y, signed) in enumerate(zip(log_prices, cvd, strict=True)):
        bench.second(i, 100.0 * np.exp(y), cum_buy_volume=1e6 + signed, cum_sell_volume=1e6)


@pytest.mark.parametrize(
    ("price_t", "volume_t", "value"),
    [(2.0, -3.0, -0.5), (-3.0, 2.0, 0.5), (2.0, 3.0, 0.0), (-2.0, -3.0, 0.0), (0.0, -3.0, 0.0), (6.0, -1e9, -0.75)],
)
def test_the_slope_form_has_its_known_answers(price_t: float, volume_t: float, value: float) -> None:
    assert slope_divergence(price_t, volume_t) == pytest.approx(value)


def test_price_up_on_falling_cvd_is_bearish_and_the_mirror_bullish(bench: Make) -> None:
    ramp = np.linspace(0, 1, 200)
    bearish, bullish, agreed = (bench("divergence") for _ in range(3))
    seconds(bearish, 0.01 * ramp, -50 * ramp)
    seconds(bullish, -0.01 * ramp, 50 * ramp)
    seconds(agreed, 0.01 * ramp, 50 * ramp)
    assert bearish.read(200)[0]["value"] < -0.9
    assert bullish.read(200)[0]["value"] > 0.9
    assert agreed.read(200)[0]["value"] == 0.0


def test_independent_walks_seldom_diverge_strongly(bench: Make) -> None:
    rng = np.random.default_rng(1)
    stand = bench("divergence")
    values = []
    for _ in range(200):
        stand.fresh()
        seconds(stand, 1e-4 * np.cumsum(rng.normal(size=300)), np.cumsum(rng.normal(size=300)))
        values.append(abs(stand.read(300)[0]["value"]))
    assert np.mean(np.array(values) > 0.4) < 0.05


def bars(bench: Any, closes: Any, signed: Any) -> list[float]:
    said = []
    for k, (close, volume) in enumerate(zip(closes, signed, strict=True)):
        bench.bar(60 * (k + 1), close, close, close, close, volume=10.0, buy=5.0 + volume / 2)
        bench.set(mid=0.0)
        said.append(float(bench.state["swing_value"][0]))
    return said


@pytest.mark.parametrize("side", [1, -1])
def test_a_higher_high_on_lower_cvd_speaks_at_its_confirmation(side: int, bench: Make) -> None:
    closes = 100 + side * np.array([0, 1, 2, 3, 2, 1, 0, 1, 2, 4, 2, 1, 0])
    signed = side * np.array([0, 2, 2, 2, -2, -2, -2, 0, 0, 1, -1, -1, -1])
    said = bars(bench("divergence"), closes, signed)
    assert said[:12] == [0.0] * 12
    assert said[12] * side < 0.0


def test_a_higher_high_on_higher_cvd_says_nothing(bench: Make) -> None:
    closes = 100 + np.array([0, 1, 2, 3, 2, 1, 0, 1, 2, 4, 2, 1, 0])
    signed = np.array([0, 2, 2, 2, -2, -2, -2, 3, 3, 3, -1, -1, -1])
    assert bars(bench("divergence"), closes, signed) == [0.0] * 13


def test_the_swing_form_fades_from_its_bar(bench: Make) -> None:
    stand = bench("divergence")
    closes = 100 + np.array([0, 1, 2, 3, 2, 1, 0, 1, 2, 4, 2, 1, 0])
    bars(stand, closes, np.array([0, 2, 2, 2, -2, -2, -2, 0, 0, 1, -1, -1, -1]))
    start = float(stand.state["swing_value"][0])
    for i in range(100):
        stand.second(13 * 60 + i, 100.0)
    assert stand.read(13 * 60)[0]["value"] == pytest.approx(start)
    assert stand.read(13 * 60 + 600)[0]["value"] == pytest.approx(start * np.exp(-1))
