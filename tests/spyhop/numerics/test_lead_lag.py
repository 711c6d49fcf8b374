"""The estimator against the definition, against markets whose lag is known, and against chance."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.numerics.lead_lag import block_covariances, correlations, covariances, lead_lag_ratio, moves, turned

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Ticks = tuple[Ints, Floats]


def by_definition(tx: Ints, x: Floats, ty: Ints, y: Floats, theta: int) -> float:
    """Hayashi and Yoshida's double sum, every pair of increments."""
    total = 0.0
    for i in range(1, len(tx)):
        for j in range(1, len(ty)):
            if max(tx[i - 1], ty[j - 1] - theta) < min(tx[i], ty[j] - theta):
                total += (x[i] - x[i - 1]) * (y[j] - y[j - 1])
    return total


def bachelier(seed: int, lag: int, rho: float, num_x: int, num_y: int, length: int = 20_000) -> tuple[Ticks, Ticks]:
    """Two Brownian motions on 0..length, Y `lag` behind X, each seen at times of its own (methods 4.3)."""
    generator = np.random.default_rng(seed)
    common = generator.standard_normal(length + lag)
    own = generator.standard_normal(length + lag)
    x = np.cumsum(common)[lag:]
    y = np.cumsum(rho * common + np.sqrt(1.0 - rho * rho) * own)[:length]
    tx = np.sort(generator.choice(length, num_x, replace=False)).astype(np.int64)
    ty = np.sort(generator.choice(length, num_y, replace=False)).astype(np.int64)
    return (tx, x[tx]), (ty, y[ty])


@st.composite
def ticks(draw: st.DrawFn) -> Ticks:
    times = sorted(draw(st.sets(st.integers(0, 60), min_size=2, max_size=25)))
    # steps of 0 too: they are no moves, but a price stood there
    steps = draw(st.lists(st.integers(-3, 3), min_size=len(times), max_size=len(times)))
    return np.array(times, np.int64), np.cumsum(np.array(steps, np.float64))


SHIFTS = np.array([-70, -13, -1, 0, 1, 8], np.int64)


@pytest.mark.slow
@given(ticks(), ticks())
@settings(max_examples=150, deadline=None)
def test_the_walk_is_the_double_sum(x: Ticks, y: Ticks) -> None:
    fast = covariances(moves(*x), moves(*y), SHIFTS)
    assert fast == pytest.approx([by_definition(*x, *y, int(theta)) for theta in SHIFTS])


@given(ticks(), ticks(), st.lists(st.integers(0, 20), max_size=4))
@settings(max_examples=60, deadline=None)
def test_blocks_add_up_to_the_whole(x: Ticks, y: Ticks, cuts: list[int]) -> None:
    first, second = moves(*x), moves(*y)
    num = len(first.size)
    edges = np.array([0, *sorted(min(cut, num) for cut in cuts), num], np.int64)
    blocks = block_covariances(first, second, SHIFTS, edges)
    assert blocks.shape == (len(edges) - 1, len(SHIFTS))
    assert np.sum(blocks, axis=0) == pytest.approx(covariances(first, second, SHIFTS))


@given(ticks(), ticks())
@settings(max_examples=60, deadline=None)
def test_swapping_the_two_turns_the_curve_round(x: Ticks, y: Ticks) -> None:
    there, back = (covariances(a, b, SHIFTS) for a, b in ((moves(*x), moves(*y)), (moves(*y), moves(*x))))
    assert covariances(moves(*y), moves(*x), -SHIFTS) == pytest.approx(there)
    assert covariances(moves(*x), moves(*y), -SHIFTS) == pytest.approx(back)


@pytest.mark.slow
def test_a_lag_of_200_is_found_within_1_in_the_mean_of_50_markets() -> None:
    grid = np.arange(-400, 401, dtype=np.int64)
    lags, heights, ratios = [], [], []
    for seed in range(50):
        x, y = bachelier(seed, 200, 0.8, 1_500, 3_000)
        rho = correlations(moves(*x), moves(*y), grid)
        at = int(np.argmax(np.abs(rho)))
        lags.append(int(grid[at]))
        heights.append(rho[at])
        ratios.append(lead_lag_ratio(grid, rho))
    assert np.mean(lags) == pytest.approx(200.0, abs=1.0)
    assert np.std(lags) < 1.5
    assert max(abs(lag - 200) for lag in lags) <= 5
    assert np.mean(heights) == pytest.approx(0.80, abs=0.03)
    assert 10.0 < np.median(ratios) < 35.0


@pytest.mark.slow
def test_ten_times_as_many_ticks_lead_nobody() -> None:
    grid = np.arange(-400, 401, dtype=np.int64)
    lags, ratios = [], []
    for seed in range(40):
        x, y = bachelier(seed, 0, 0.8, 10_000, 1_000)
        rho = correlations(moves(*x), moves(*y), grid)
        lags.append(int(grid[np.argmax(np.abs(rho))]))
        ratios.append(lead_lag_ratio(grid, rho))
    assert max(abs(lag) for lag in lags) <= 4
    assert abs(np.mean(lags)) <= 0.5
    assert np.quantile(ratios, 0.05) >= 0.7
    assert np.quantile(ratios, 0.95) <= 1.4


def test_swapping_inverts_lag_and_ratio() -> None:
    grid = np.arange(-400, 401, dtype=np.int64)
    x, y = bachelier(3, 200, 0.8, 1_500, 3_000)
    there, back = correlations(moves(*x), moves(*y), grid), correlations(moves(*y), moves(*x), grid)
    assert grid[np.argmax(there)] == -grid[np.argmax(back)] > 0
    assert lead_lag_ratio(grid, there) == pytest.approx(1.0 / lead_lag_ratio(grid, back))


@pytest.mark.slow
def test_the_highest_correlation_of_unrelated_markets_is_as_published() -> None:
    grid = np.arange(-400, 401, dtype=np.int64)
    highest = []
    for seed in range(60):
        x, y = bachelier(1_000 + seed, 200, 0.0, 1_500, 3_000)
        highest.append(float(np.max(np.abs(correlations(moves(*x), moves(*y), grid)))))
    assert np.median(highest) == pytest.approx(0.12, abs=0.015)
    assert np.quantile(highest, 0.95) == pytest.approx(0.145, abs=0.02)


@pytest.mark.parametrize(("rho", "ratio"), [([0.0, 0.5, 0.2], np.inf), ([0.0, 0.5, 0.0], np.nan), ([0.1, 0, 0.2], 4.0)])
def test_a_ratio_without_a_denominator_is_said_to_be_one(rho: list[float], ratio: float) -> None:
    assert lead_lag_ratio(np.array([-1, 0, 1], np.int64), np.array(rho)) == pytest.approx(ratio, nan_ok=True)


def test_a_series_that_stands_still_correlates_with_nothing() -> None:
    still = moves(np.arange(5, dtype=np.int64), np.ones(5))
    going = moves(np.arange(5, dtype=np.int64), np.arange(5.0))
    assert not len(still.size)
    assert correlations(still, going, SHIFTS).tolist() == [0.0] * len(SHIFTS)


@pytest.mark.slow
@given(ticks(), st.integers(0, 1_000))
@settings(max_examples=100, deadline=None)
def test_a_placebo_has_all_moves_but_the_one_at_the_seam(x: Ticks, offset: int) -> None:
    one = moves(*x)
    start, length = int(x[0][0]), int(x[0][-1] - x[0][0])
    other = turned(one, start, length, offset % length)
    assert len(one.size) - len(other.size) in (0, 1)
    assert not set(other.size) - set(one.size)
    assert np.all(other.begin < other.end)
    assert np.all(other.end[:-1] <= other.begin[1:])
    if len(other.size):
        assert start <= other.begin[0]
        assert other.end[-1] <= start + length
    assert not Counter((other.end - other.begin).tolist()) - Counter((one.end - one.begin).tolist())


def test_a_placebo_is_where_it_was_turned_to() -> None:
    one = moves(np.array([0, 2, 5, 9, 10], np.int64), np.array([0.0, 1, 3, 6, 10]))
    other = turned(one, 0, 10, 3)
    # (0,2] -> (3,5], (2,5] -> (5,8], (5,9] lies over the seam, (9,10] -> (2,3]
    assert other.begin.tolist() == [2, 3, 5]
    assert other.end.tolist() == [3, 5, 8]
    assert other.size.tolist() == [4.0, 1.0, 2.0]
