from __future__ import annotations

import numpy as np
import pytest

from spyhop.numerics import histogram


def test_bins_are_wide_in_logarithm_and_open_at_the_ends() -> None:
    assert histogram.log_bin(1.0, 1.0, 0.1, 50) == 0
    assert histogram.log_bin(np.exp(0.1 * 7 + 0.05), 1.0, 0.1, 50) == 7
    assert histogram.log_bin(1e-9, 1.0, 0.1, 50) == 0
    assert histogram.log_bin(1e9, 1.0, 0.1, 50) == 49


def test_a_quantile_is_within_a_bin_of_numpys() -> None:
    rng = np.random.default_rng(5)
    xs = rng.lognormal(8.0, 1.5, 20_000)
    counts = np.zeros(256)
    for x in xs:
        counts[histogram.log_bin(x, 1.0, 0.1, 256)] += 1.0
    edge = histogram.quantile_edge(counts, counts.sum(), 0.99)
    assert np.log(np.quantile(xs, 0.99)) == pytest.approx(0.1 * (edge + 0.5), abs=0.11)


def test_ranks_are_shares_below_with_half_of_the_own_bin() -> None:
    counts = np.array([2.0, 0.0, 6.0, 2.0])
    assert histogram.rank(counts, 2) == pytest.approx(0.5)
    assert histogram.rank(counts, 0) == pytest.approx(0.1)
    assert histogram.rank(np.zeros(4), 1) == 0.5


def test_forgetting_is_decay_however_often_the_scale_is_taken_back() -> None:
    counts = np.zeros(2)
    scale = 1.0
    expected = np.zeros(2)
    for k in range(3_000):
        scale = histogram.grown(counts, scale, 1.1)
        expected /= 1.1
        counts[k % 2] += scale
        expected[k % 2] += 1.0
    assert scale < 1e13
    assert counts / scale == pytest.approx(expected, rel=1e-9)
