from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.numerics.lead_lag_stream import FOLLOWER, LEADER, Sums, new_sums, read, tell

STEPS = 20
FIRST = 1_760_000_000
Path = npt.NDArray[np.float64]


def increments(path: Path) -> list[tuple[int, int, float]]:
    """Every (begin, end, increment) of a path: an observation is a step with another price, 0 being none."""
    found, before, last = [], -1, 0.0
    for step, price in enumerate(path):
        if price != last:
            found.append((before, step, float(np.log(price / last)) if price > 0 and last > 0 else 0.0))
            before, last = step, price
    return found


def products(leader: Path, follower: Path, shift: int) -> list[float]:
    """The product of every two increments whose intervals meet once the follower's are moved back by `shift`."""
    return [
        dx * dy
        for (a, b, dx), (c, d, dy) in itertools.product(increments(leader), increments(follower))
        if max(a, c - shift) < min(b, d - shift)
    ]


def told(leader: Path, follower: Path, num_shifts: int, num_blocks: int = 2, block_s: int = 100_000) -> Sums:
    sums = new_sums(num_shifts, num_blocks, STEPS)
    for k in range(len(leader) // STEPS):
        for market, path in ((LEADER, leader), (FOLLOWER, follower)):
            tell(sums, market, FIRST + k, path[k * STEPS : (k + 1) * STEPS], block_s)
    return sums


def path(seed: int, seconds: int, changes: float) -> Path:
    generator = np.random.default_rng(seed)
    moves = generator.normal(size=seconds * STEPS) * (generator.random(seconds * STEPS) < changes)
    return np.asarray(100.0 * np.exp(1e-4 * np.cumsum(moves)))


def held(prices: Path, seconds: int) -> Path:
    """The path with its last price for some seconds more: every shift can then count all of its products."""
    return np.concatenate([prices, np.full(seconds * STEPS, prices[-1])])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.floats(0.02, 1.0), st.floats(0.02, 1.0), st.integers(0, 150), st.integers(0, 60))
def test_the_stream_counts_what_brute_force_counts(
    seed: int, changes: float, other: float, hole: int, length: int
) -> None:
    leader, follower = held(path(seed, 9, changes), 2), held(path(seed + 1, 9, other), 2)
    follower[hole : hole + length] = 0.0
    sums = told(leader, follower, 20)
    for shift in (-20, -7, -1, 0, 1, 7, 20):
        each = products(leader, follower, shift)
        assert sums.covariance.sum(0)[20 + shift] == pytest.approx(sum(each), abs=1e-18)
        assert sums.variance.sum(0)[20 + shift] == pytest.approx(sum(x * x for x in each), abs=1e-24)
    for market, prices in ((LEADER, leader), (FOLLOWER, follower)):
        moves = [d for _, _, d in increments(prices)]
        assert sums.power.sum(0)[market] == pytest.approx(sum(d * d for d in moves), abs=1e-18)
        assert sums.power.sum(0)[2 + market] == np.count_nonzero(moves)


def same(one: Sums, other: Sums) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


def test_which_market_tells_a_second_first_changes_no_bit() -> None:
    leader, follower = path(1, 30, 0.5), path(2, 30, 0.2)
    expected = told(leader, follower, 40)
    sums = new_sums(40, 2, STEPS)
    for k in range(30):
        both = [(LEADER, leader), (FOLLOWER, follower)]
        for market, prices in both if k % 3 else reversed(both):
            tell(sums, market, FIRST + k, prices[k * STEPS : (k + 1) * STEPS], 100_000)
    assert same(sums, expected)


@pytest.mark.parametrize("seconds", [1, 2, 5, 400])
def test_a_second_that_nobody_told_is_a_hole(seconds: int) -> None:
    before, after = path(1, 20, 0.5), path(2, 20, 0.5)
    hole = np.zeros(seconds * STEPS)
    expected = told(np.concatenate([before, hole, after]), np.concatenate([after, hole, before]), 40)
    sums = told(before, after, 40)
    for k in range(20):
        piece = slice(k * STEPS, (k + 1) * STEPS)
        tell(sums, LEADER, FIRST + 20 + seconds + k, after[piece], 100_000)
        tell(sums, FOLLOWER, FIRST + 20 + seconds + k, before[piece], 100_000)
    assert np.allclose(sums.covariance, expected.covariance, rtol=1e-12, atol=1e-22)
    assert np.allclose(sums.variance, expected.variance, rtol=1e-12, atol=1e-30)
    assert np.array_equal(sums.power[:, 2:], expected.power[:, 2:])


def test_who_tells_nothing_had_no_price_and_who_is_late_is_counted() -> None:
    leader, follower = path(1, 10, 0.5), path(2, 10, 0.5)
    silent = follower.copy()
    silent[4 * STEPS : 6 * STEPS] = 0.0
    sums = new_sums(40, 2, STEPS)
    for k in range(10):
        piece = slice(k * STEPS, (k + 1) * STEPS)
        tell(sums, LEADER, FIRST + k, leader[piece], 100_000)
        if k not in (4, 5):
            tell(sums, FOLLOWER, FIRST + k, follower[piece], 100_000)
    assert same(sums, told(leader, silent, 40))
    tell(sums, FOLLOWER, FIRST + 9, follower[:STEPS], 100_000)
    tell(sums, LEADER, FIRST + 3, follower[:STEPS], 100_000)
    assert sums.clock["num_late"][0] == 2
    assert np.array_equal(sums.covariance, told(leader, silent, 40).covariance)


def test_blocks_fall_out_of_the_window() -> None:
    leader, follower = path(1, 100, 0.5), path(2, 100, 0.5)
    sums = told(leader, follower, 40, num_blocks=3, block_s=10)
    # three blocks of ten seconds: the newest may have just begun
    last = FIRST + 99
    kept = (last - last // 10 * 10 + 1) + 20
    moves = np.concatenate([[0.0], np.diff(np.log(leader))])[-kept * STEPS :]
    assert sums.power.sum(0)[LEADER] == pytest.approx(float((moves**2).sum()), rel=1e-9)
    assert sums.power.sum(0)[2] == np.count_nonzero(moves)
    for k in range(100, 140):
        for market in (LEADER, FOLLOWER):
            tell(sums, market, FIRST + k, np.full(STEPS, 100.0), 10)
    assert read(sums) is None  # nothing moved within the window
    assert not sums.covariance.any()
    assert not sums.variance.any()


@pytest.mark.parametrize("shift", [-40, -3, 0, 3, 40])
def test_a_planted_shift_is_found_and_swapping_flips_it(shift: int) -> None:
    common = np.log(path(5, 202, 1.0))
    generator = np.random.default_rng(6)
    noise = 1e-5 * generator.normal(size=(2, len(common)))
    leader, follower = np.exp(common + noise[0])[100:], np.exp(np.roll(common, shift) + noise[1])[100:]
    leader, follower = leader[: 190 * STEPS], follower[: 190 * STEPS]
    reading: Any = read(told(leader, follower, 60))
    assert reading.shift == shift
    assert reading.rho > 0.8 > reading.null_95
    swapped: Any = read(told(follower, leader, 60))
    assert swapped.shift == -shift
    assert swapped.rho == pytest.approx(reading.rho, rel=1e-3)
    assert swapped.ratio == pytest.approx(1.0 / reading.ratio, rel=0.02)
    if shift:
        assert (reading.ratio > 1.0) is (shift > 0)


def test_the_bound_holds_for_unrelated_markets() -> None:
    high = 0
    for seed in range(100):
        reading: Any = read(told(path(2 * seed, 120, 0.5), path(2 * seed + 1, 120, 0.1), 100))
        high += abs(reading.rho) > reading.null_95
    assert high <= 9  # five are expected; ten or more come in 3 of 100 such trials
