from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.numerics.ols import ols_fit, ols_push, time_ols

WINDOW = 20
LAYOUT = time_ols(WINDOW)


def pushed(values: Any, window: int = WINDOW) -> Any:
    record = np.zeros(1, LAYOUT)[0]
    for value in values:
        ols_push(record, float(value), window)
    ols_fit(record)
    return record


def reference(values: Any) -> tuple[float, float]:
    y = np.asarray(values, dtype=float)
    x = np.arange(len(y), dtype=float)
    slope, constant = np.polyfit(x, y, 1)
    unexplained = ((y - slope * x - constant) ** 2).sum()
    error = np.sqrt(unexplained / (len(y) - 2) / ((x - x.mean()) ** 2).sum())
    return slope, slope / error


@pytest.mark.oracle
@pytest.mark.parametrize("level", [0.0, 11.0, 1e6])
def test_rolling_slope_and_t_equal_a_fresh_regression(level: float) -> None:
    y = level + np.cumsum(np.random.default_rng(1).normal(size=500))
    record = np.zeros(1, LAYOUT)[0]
    for i, value in enumerate(y):
        ols_push(record, value, WINDOW)
        if i < 2:
            continue
        ols_fit(record)
        slope, t = reference(y[max(0, i + 1 - WINDOW) : i + 1])
        assert record["slope"] == pytest.approx(slope, rel=1e-6, abs=1e-7)
        assert record["t"] == pytest.approx(t, rel=1e-5, abs=1e-5)


def test_a_straight_line_has_a_large_finite_t() -> None:
    record = pushed(0.25 * np.arange(50))
    assert record["slope"] == pytest.approx(0.25)
    assert 1e6 < record["t"] < 1e8


def test_a_constant_after_a_trend_has_no_slope() -> None:
    record = pushed(np.concatenate([np.linspace(0, 1, 33), np.full(2 * WINDOW + 3, 1.0 / 3.0)]))
    assert record["slope"] == record["t"] == 0.0


def test_rounding_does_not_build_up() -> None:
    y = 11.0 + 1e-5 * np.cumsum(np.random.default_rng(2).normal(size=30_000))
    assert pushed(y)["slope"] == pytest.approx(reference(y[-WINDOW:])[0], rel=1e-6)


def test_two_points_say_nothing() -> None:
    assert pushed([1.0, 2.0])["t"] == 0.0


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=60))
def test_mirrored_values_mirror_slope_and_t(values: list[float]) -> None:
    up = pushed(values)
    down = pushed([-value for value in values])
    assert up["slope"] == -down["slope"]
    assert up["t"] == -down["t"]
    assert np.isfinite(up["t"])
