"""When how many lots go: schedules known beforehand, and what follows the market or the fills.

A schedule is a list of (ts, lots) in order of time, the first at the start; ts is nanoseconds UTC.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from spyhop.execution.splitting.curves import volume_between
from spyhop.execution.splitting.lots import apportioned, bite, merged
from spyhop.execution.splitting.trajectories import trajectory

Schedule = list[tuple[int, int]]


def slice_times(start: int, duration: int, count: int, jitter_frac: float, generator: np.random.Generator) -> list[int]:
    """Return `count` times from `start` on, equally far apart, each but the first moved by up to the given part of it.

    `jitter_frac` lies in [0, 0.5], so that their order stays; `duration` (ns) is that of all slices together.
    """
    moves = generator.uniform(-jitter_frac, jitter_frac, count)
    moves[0] = 0.0
    return [start + int((k + move) * duration / count) for k, move in enumerate(moves.tolist())]


def twap(lots: int, times: Sequence[int], smallest: int = 1) -> Schedule:
    """Return equal slices."""
    return merged(list(zip(times, apportioned(lots, [1.0] * len(times)), strict=True)), smallest)


def vwap(lots: int, times: Sequence[int], end: int, curve: Sequence[float], smallest: int = 1) -> Schedule:
    """Return slices as large as the volume expected until the next one; `curve` has 168 weights, none: TWAP."""
    if not curve:
        return twap(lots, times, smallest)
    bounds = [*times, end]
    weights = [volume_between(curve, bounds[k], bounds[k + 1]) for k in range(len(times))]
    if sum(weights) <= 0.0:
        return twap(lots, times, smallest)
    return merged(list(zip(times, apportioned(lots, weights), strict=True)), smallest)


def almgren_chriss(lots: int, times: Sequence[int], urgency: float, smallest: int = 1) -> Schedule:
    """Return slices of the optimal trajectory; `urgency` is kappa T."""
    sold = -np.diff(trajectory(1.0, len(times), urgency))
    return merged(list(zip(times, apportioned(lots, sold.tolist()), strict=True)), smallest)


def pov(left: int, volume: int, participation_frac: float, cap: int, smallest: int = 1) -> int:
    """Return how many of `left` lots to send after others traded `volume`: rho V / (1 - rho), `cap` lots at most.

    So that we are at most the part rho of all volume, our own included. 0 while that is less than the venue takes.
    """
    due = math.floor(participation_frac * volume / (1.0 - participation_frac) + 1e-9)
    return bite(left, min(due, cap), smallest)


def iceberg(
    left: int, lots: int, visible_frac: tuple[float, float], generator: np.random.Generator, smallest: int = 1
) -> int:
    """Return how many of the `left` of `lots` lots to show next: a random part of the whole between two fractions."""
    low, high = visible_frac
    wanted = max(smallest, 1, round(lots * generator.uniform(low, high)))
    return bite(left, wanted, smallest) or left
