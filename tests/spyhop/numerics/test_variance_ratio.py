from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spyhop.numerics.variance_ratio import variance_ratio


def reference(r: Any, q: int) -> tuple[float, float]:
    n = len(r)
    d = r - r.mean()
    sums = np.convolve(d, np.ones(q), "valid")
    ratio = (sums**2).sum() / (q * (n - q + 1) * (1 - q / n)) / ((d**2).sum() / (n - 1))
    squares = d**2
    theta = sum((2 * (q - j) / q) ** 2 * (squares[j:] * squares[:-j]).sum() / squares.sum() ** 2 for j in range(1, q))
    return ratio, (ratio - 1) / np.sqrt(theta)


@pytest.mark.parametrize("q", [2, 6, 15])
def test_ratio_and_z_equal_their_definition(q: int) -> None:
    r = np.random.default_rng(1).standard_t(4, 120)
    assert variance_ratio(r, q) == pytest.approx(reference(r, q), rel=1e-9)


def test_random_walks_with_changing_volatility_pass_at_their_size() -> None:
    rng = np.random.default_rng(2)
    z = []
    for _ in range(2_000):
        scale = np.exp(0.5 * np.sin(np.arange(240) / 20.0))
        z.append(variance_ratio(scale * rng.normal(size=240), 4)[1])
    assert 0.03 < (np.abs(z) > 1.96).mean() < 0.08


def test_trends_are_above_one_and_reversals_below() -> None:
    rng = np.random.default_rng(3)
    noise = rng.normal(size=400)
    trending = np.convolve(noise, np.ones(5), "valid")
    reverting = np.diff(noise)
    assert variance_ratio(trending, 4)[0] > 2.0
    assert variance_ratio(trending, 4)[1] > 3.0
    assert variance_ratio(reverting, 4)[0] < 0.5
    assert variance_ratio(reverting, 4)[1] < -3.0


@pytest.mark.parametrize("returns", [np.zeros(0), np.zeros(100), np.full(100, 0.1), np.ones(8)])
def test_too_little_or_no_variance_is_neutral(returns: Any) -> None:
    assert variance_ratio(returns, 4) == (1.0, 0.0)
