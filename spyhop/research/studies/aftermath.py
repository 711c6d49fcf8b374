"""What came after events, minute by minute: whether a spread closed, and by whose move."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.research.studies.paired import PairedBars


class PathPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Means over all events, `minute` minutes after them, in bp, from the side that the rule takes.

    `spread_bps` is how much of the spread is left to close; `follower_bps` and `leader_bps` what either has moved
    since: a spread that closes because the leader came back pays a follower's trade nothing.
    """

    minute: int
    events: int
    spread_bps: float | None
    follower_bps: float | None
    leader_bps: float | None


def path(bars: PairedBars, side: npt.NDArray[np.int8], num_minutes: int) -> list[PathPoint]:
    """Return what followed the bars whose `side` (n,) is not 0, up to `num_minutes` later; events may overlap."""
    at, spread = np.flatnonzero(side), bars.spread
    sign = side[at].astype(np.float64)
    return [_point(bars, spread, at, sign, minute) for minute in range(num_minutes + 1)]


def _point(bars: PairedBars, spread: Any, at: Any, side: Any, minute: int) -> PathPoint:
    there = at + minute < len(bars.ts)
    before, after, sign = at[there], at[there] + minute, side[there]
    follower = sign * (bars.follower_close[after] / bars.follower_close[before] - 1.0)
    leader = sign * (bars.leader_close[after] / bars.leader_close[before] - 1.0)
    return PathPoint(
        minute=minute,
        events=int(there.sum()),
        spread_bps=_mean_bps(-sign * spread[after]),
        follower_bps=_mean_bps(follower),
        leader_bps=_mean_bps(leader),
    )


def _mean_bps(values: npt.NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean() * 1e4) if len(known) else None
