"""Lead and lag as it goes: the Hayashi-Yoshida covariance of two markets at a grid of shifts, in bounded memory.

Both markets come as paths of prices on one clock, a second at a time. An observation is a step at which the price is
another; an increment is the change of its logarithm since the one before. For each shift every product of increments
whose intervals overlap is counted once, when the later of the two ends (Hayashi and Yoshida 2005, with the shifts of
Hoffmann, Rosenbaum and Yoshida 2013): an observation of one market times what the other has moved since the last
observation of the first. So a step costs O(shifts), and nothing but the paths of the longest shift is kept.

Sums lie in blocks of time, the oldest of which is dropped when a new one begins. Beside each covariance stands the sum
of the squares of its products: under the hypothesis that the markets have nothing to do with each other and that the
signs of increments are fair coins, that is its variance given how large they were.

A price that ends (0) or begins again is an observation without an increment: nothing is measured across a hole.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spyhop.numerics._jit import kernel

LEADER, FOLLOWER = 0, 1

CLOCK = np.dtype(
    [
        ("second", "i8"),  # that is waiting for the other market, in whole seconds; 0 before any
        ("told", "i8"),  # bit k: market k has told its path of it
        ("step", "i8"),  # steps folded
        ("block", "i8"),  # number of the block under way: second // block length
        ("num_seconds", "i8"),  # folded
        ("num_late", "i8"),  # paths of seconds that were over already, set aside
        ("price", "f8", (2,)),  # the newest of each market; 0 in a hole
    ],
    align=True,
)


class Sums(NamedTuple):
    """The arrays of one pair of K = 2 M + 1 shifts of -M .. M steps and B blocks; market 0 leads, 1 follows.

    `clock` (1,) of CLOCK; `waiting` (2, steps a second), the paths of the second under way; `levels` and `squares`
    (2, 2 M + 4) rings, written twice so that no window is torn, of the sums of increments and of their squares, `news`
    likewise 1 at an observation;
    `marks` (4, K): level and square of the follower at the leader's last observation, and the other way round;
    `covariance` and `variance` (B, K); `power` (B, 4): squares of both markets, then how many changes they had.
    """

    clock: npt.NDArray[Any]
    waiting: npt.NDArray[np.float64]
    levels: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]
    news: npt.NDArray[np.uint8]
    marks: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]
    variance: npt.NDArray[np.float64]
    power: npt.NDArray[np.float64]


class Reading(NamedTuple):
    """What the blocks say: the shift in steps of the highest |rho|, and how high it would be by chance.

    `shift` is above 0 where market 0 leads; `ratio` as Huth and Abergel (2014), 0.0 while unknown; `null_95` a bound
    that |rho| of unrelated markets stays below at all shifts in 95 of 100 cases; `num_changes` of the quieter market.
    """

    shift: int
    rho: float
    ratio: float
    null_95: float
    num_changes: int


def new_sums(num_shifts: int, num_blocks: int, steps_a_second: int) -> Sums:
    """Return the sums of a pair that was never heard of; `num_shifts` = M to each side, at least 1."""
    ring, shifts = num_shifts + 2, 2 * num_shifts + 1
    return Sums(
        clock=np.zeros(1, CLOCK),
        waiting=np.zeros((2, steps_a_second)),
        levels=np.zeros((2, 2 * ring)),
        squares=np.zeros((2, 2 * ring)),
        news=np.zeros((2, 2 * ring), np.uint8),
        marks=np.zeros((4, shifts)),
        covariance=np.zeros((num_blocks, shifts)),
        variance=np.zeros((num_blocks, shifts)),
        power=np.zeros((num_blocks, 4)),
    )


@kernel
def tell(sums: Any, market: int, second: int, path: Any, block_s: int) -> None:
    """Take the path of `market` (0 or 1) of the second that ends at `second`; fold every second that is complete.

    A second is complete when both markets told it, or when one tells a later one: who told nothing had no price. Paths
    of seconds that are over are counted and set aside. Both orders within a second give the same bits.
    """
    clock, waiting = sums[0][0], sums[1]
    if second < clock.second or (second == clock.second and clock.told == 0):
        clock.num_late += 1
        return
    if second > clock.second:
        if clock.told:
            _fold(sums, clock.second, block_s)
        if clock.second:
            # after as many empty seconds as there are shifts nothing of what was is looked at any more
            reach = sums[2].shape[1] // waiting.shape[1] + 1
            for between in range(max(clock.second + 1, second - reach), second):
                _fold(sums, between, block_s)
        clock.second = second
    for k in range(len(path)):
        waiting[market, k] = path[k]
    clock.told |= 1 << market
    if clock.told == 3:
        _fold(sums, second, block_s)


@kernel
def _fold(sums: Any, second: int, block_s: int) -> None:
    """Fold the waiting paths as those of `second`, and forget them."""
    clock, waiting, levels, squares, news, _, covariance, variance, power = sums
    c = clock[0]
    block = second // block_s
    num_blocks = len(covariance)
    for new in range(max(c.block + 1, block - num_blocks + 1), block + 1):
        at = new % num_blocks
        covariance[at, :] = 0.0
        variance[at, :] = 0.0
        power[at, :] = 0.0
    c.block = block
    at = block % num_blocks
    ring = levels.shape[1] // 2
    for k in range(waiting.shape[1]):
        here = c.step % ring + ring
        for market in range(2):
            price = waiting[market, k]
            last = c.price[market]
            increment = 0.0
            if price > 0.0 and last > 0.0 and price != last:
                increment = math.log(price / last)
                power[at, market] += increment * increment
                power[at, 2 + market] += 1.0
            level = levels[market, here - 1] + increment
            square = squares[market, here - 1] + increment * increment
            for place in (here - ring, here):
                levels[market, place] = level
                squares[market, place] = square
                news[market, place] = 1 if price != last else 0
            c.price[market] = price
        _count(sums, here, LEADER, 0, covariance[at], variance[at])
        _count(sums, here, FOLLOWER, 1, covariance[at], variance[at])
        c.step += 1
    c.num_seconds += 1
    c.told = 0
    waiting[:, :] = 0.0


@kernel
def _count(sums: Any, here: int, past: int, nearest: int, covariance: Any, variance: Any) -> None:
    """Count the products that end now: of the other market here with `past` at the steps `nearest` and more before."""
    _, _, levels, squares, news, marks, _, _, _ = sums
    still = 1 - past
    most = levels.shape[1] // 2 - 2
    towards = 1 if past == LEADER else -1
    has_still = news[still, here] == 1
    level, square = levels[still, here], squares[still, here]
    d_still = level - levels[still, here - 1]
    dd_still = square - squares[still, here - 1]
    for back in range(nearest, most + 1):
        there = here - back
        has_past = news[past, there] == 1
        if not (has_past or has_still):
            continue
        k = most + towards * back
        u = 0.0
        v = 0.0
        if has_past:
            d = levels[past, there] - levels[past, there - 1]
            dd = squares[past, there] - squares[past, there - 1]
            u += d * (level - marks[2 * past, k])
            v += dd * (square - marks[2 * past + 1, k])
            marks[2 * past, k] = level
            marks[2 * past + 1, k] = square
            if has_still:
                u -= d * d_still
                v -= dd * dd_still
        if has_still:
            u += d_still * (levels[past, there] - marks[2 * still, k])
            v += dd_still * (squares[past, there] - marks[2 * still + 1, k])
            marks[2 * still, k] = levels[past, there]
            marks[2 * still + 1, k] = squares[past, there]
        covariance[k] += u
        variance[k] += v


def correlations(sums: Sums) -> npt.NDArray[np.float64]:
    """Return rho (K,) at the shifts -M .. M; all 0 while one of the markets has not moved within the blocks."""
    power = sums.power.sum(0)
    scale = math.sqrt(power[LEADER] * power[FOLLOWER])
    covariance: npt.NDArray[np.float64] = sums.covariance.sum(0)
    return covariance / scale if scale > 0.0 else np.zeros_like(covariance)


def read(sums: Sums) -> Reading | None:
    """Return what the blocks say, or None while one of the markets has not moved in them.

    Of a plateau the middle is taken, so that no side is preferred. `null_95` is the widest of the shifts' deviations
    times the normal quantile that K independent ones stay within in 95 of 100 cases (Sidak): neighbouring
    shifts share their products, so fewer are independent, and the bound is wide.
    """
    power = sums.power.sum(0)
    scale = math.sqrt(power[LEADER] * power[FOLLOWER])
    if scale == 0.0:
        return None
    rho = correlations(sums)
    shifts, middle = len(rho), len(rho) // 2
    heights = np.abs(rho)
    highest = np.flatnonzero(heights >= heights.max() * (1.0 - 1e-12))
    best = int(highest[len(highest) // 2])
    leads, follows = float(np.sum(rho[middle + 1 :] ** 2)), float(np.sum(rho[:middle] ** 2))
    quantile = NormalDist().inv_cdf(0.5 + 0.5 * 0.95 ** (1.0 / shifts))
    return Reading(
        shift=best - middle,
        rho=float(rho[best]),
        ratio=leads / follows if follows > 0.0 else 0.0,
        null_95=quantile * math.sqrt(float(sums.variance.sum(0).max())) / scale,
        num_changes=int(power[2:].min()),
    )
