from __future__ import annotations

import numpy as np
import pytest

from spyhop.numerics import window


def test_a_ring_sum_is_the_sum_of_the_last_values() -> None:
    rng = np.random.default_rng(2)
    xs = rng.normal(1e6, 1.0, 1_000)
    ring = np.zeros(60)
    total = 0.0
    for k, x in enumerate(xs):
        total = window.pushed_sum(ring, total, k % 60, x)
        assert total == pytest.approx(xs[max(0, k - 59) : k + 1].sum(), rel=1e-13)
    assert total == pytest.approx(xs[-60:].sum(), rel=1e-13)


def test_the_slope_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(9)
    x = rng.normal(0.0, 3.0, 100)
    y = 0.7 * x + rng.normal(0.0, 1.0, 100) + 5.0
    assert window.slope(x, y, 100) == pytest.approx(np.polyfit(x, y, 1)[0], rel=1e-10)
    assert window.slope(x, y, 40) == pytest.approx(np.polyfit(x[:40], y[:40], 1)[0], rel=1e-10)


def test_a_constant_regressor_has_no_slope() -> None:
    assert window.slope(np.ones(10), np.arange(10.0), 10) == 0.0
    assert window.slope(np.ones(10), np.arange(10.0), 1) == 0.0
