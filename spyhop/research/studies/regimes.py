"""The same trades apart by what the market was like: how much it moved, and whose day it was."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_HOUR
from spyhop.numerics import statistics
from spyhop.reports.model import Interval
from spyhop.research.studies.outcomes import interval
from spyhop.research.studies.paired import PairedBars

Floats = npt.NDArray[np.float64]
Marks = npt.NDArray[np.int64]

ATR_BARS = 14
SESSIONS = ("Asia 00-08 UTC", "Europe 08-16 UTC", "America 16-24 UTC")
RANGES = ("calm third by ATR", "middle third by ATR", "wild third by ATR")
SIDES = ("follower sold", "follower bought")
_HOURS_A_SESSION = 8
_HOURS_A_DAY = 24


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """Trades of one kind: net a trade in bp with Student's interval, wins after costs with Wilson's."""

    name: str
    trades: int
    wins: int
    rate_interval: Interval
    mean_gross_bps: float | None
    mean_net_bps: float | None
    net_interval: Interval | None


def buckets(names: Sequence[str], marks: Marks, gross: Floats, net: Floats) -> list[Bucket]:
    """Return a bucket a name of the trades whose mark is its place; fractions in, bp out."""
    found = []
    for place, name in enumerate(names):
        mine = marks == place
        bps, wins, num = net[mine] * 1e4, int((net[mine] > 0.0).sum()), int(mine.sum())
        found.append(
            Bucket(
                name=name,
                trades=num,
                wins=wins,
                rate_interval=Interval(*statistics.wilson(wins, num)),
                mean_gross_bps=float(gross[mine].mean() * 1e4) if num else None,
                mean_net_bps=float(bps.mean()) if num else None,
                net_interval=interval(statistics.t_interval(bps)),
            )
        )
    return found


def sessions(ts: npt.NDArray[np.int64]) -> Marks:
    """Return which of SESSIONS each instant lies in."""
    hours = ts // NS_PER_HOUR % _HOURS_A_DAY
    marks: Marks = hours // _HOURS_A_SESSION
    return marks


def ranges(bars: PairedBars) -> Marks:
    """Return which of RANGES each minute lies in, -1 where the range is not known; thirds of all known minutes."""
    moved = true_range(bars)
    known = np.isfinite(moved)
    marks = np.full(len(moved), -1, np.int64)
    if known.any():
        marks[known] = np.searchsorted(np.quantile(moved[known], [1 / 3, 2 / 3]), moved[known], "left")
    return marks


def true_range(bars: PairedBars) -> Floats:
    """Return the follower's mean true range of the last 14 minutes over its close; NaN unless all 14 are there."""
    high, low, close = bars.follower_high, bars.follower_low, bars.follower_close
    before = np.concatenate([[np.nan], close[:-1]])
    true = np.maximum(high, before) - np.minimum(low, before)
    moved = np.full(len(true), np.nan)
    if len(true) >= ATR_BARS:
        moved[ATR_BARS - 1 :] = np.lib.stride_tricks.sliding_window_view(true, ATR_BARS).mean(axis=1)
    ratio: Floats = moved / close
    return ratio
