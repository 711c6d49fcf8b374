"""How much is traded in which hour of the week: 168 weights, Monday 00 h UTC first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_HOUR

HOURS_A_WEEK = 168
_MONDAY = 72  # the epoch was a Thursday

Array = npt.NDArray[np.float64]


def hour_of_week(ts: int) -> int:
    """Return 0 (Monday 00 h UTC) .. 167 for nanoseconds since the epoch."""
    return (ts // NS_PER_HOUR + _MONDAY) % HOURS_A_WEEK


def volume_curve(ts: npt.NDArray[np.int64], volumes: Array, prior_bars: float = 4.0) -> Array:
    """Return 168 weights of mean 1 from bars that opened at `ts` (ns UTC) and traded `volumes` (any unit, >= 0).

    An hour's weight is its mean volume over the mean of all bars, drawn towards 1 as if `prior_bars` (> 0) average
    ones had been seen, so that an hour without bars weighs 1. Bars must be of one interval of an hour at most.
    """
    if len(ts) != len(volumes) or (len(volumes) and not np.all((volumes >= 0.0) & np.isfinite(volumes))):
        raise ValueError("every bar needs a volume of at least 0")
    mean = float(volumes.mean()) if len(volumes) else 0.0
    if mean == 0.0:
        return np.ones(HOURS_A_WEEK)
    hours = (ts // NS_PER_HOUR + _MONDAY) % HOURS_A_WEEK
    sums = np.bincount(hours, weights=volumes / mean, minlength=HOURS_A_WEEK)
    counts = np.bincount(hours, minlength=HOURS_A_WEEK)
    weights = (sums + prior_bars) / (counts + prior_bars)
    return np.asarray(weights / weights.mean(), np.float64)


def volume_between(curve: Sequence[float], start: int, end: int) -> float:
    """Return the integral of the curve over start <= ts < end (ns UTC), in hours of a mean hour."""
    total, ts = 0.0, start
    while ts < end:
        until = min(end, (ts // NS_PER_HOUR + 1) * NS_PER_HOUR)
        total += curve[hour_of_week(ts)] * (until - ts) / NS_PER_HOUR
        ts = until
    return total
