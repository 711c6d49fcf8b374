"""One price over time, as two markets are held against each other: from a lake or from any file with two columns."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_S
from spyhop.errors import UserError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Clock = Literal["exchange", "receive", "unknown"]
"""Whose clock wrote the times: the venue's, ours, or that of who knows whom."""

_REGULAR = 0.9
_MOST_GAPS = 1_000_000


class Series(NamedTuple):
    """A price at strictly rising times (nanoseconds UTC); `clock` says whose times these are.

    `what` is mids, trades, bars or the name of a column; `resolution_ns` the shortest time that the times can tell, and
    `bar_ns` the length of a bar, 0 for ticks; `base` the currency, empty where nobody said. The counts say what was
    left out on the way here.
    """

    name: str
    times: Ints
    values: Floats
    clock: Clock
    what: str
    resolution_ns: int = 1
    bar_ns: int = 0
    base: str = ""
    is_simulated: bool = False
    num_unsorted: int = 0
    num_missing: int = 0
    num_repeated: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def span_s(self) -> float:
        return float(self.times[-1] - self.times[0]) / NS_PER_S if len(self.times) else 0.0


def series(
    name: str,
    times: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    clock: Clock,
    what: str,
    *,
    base: str = "",
    rhythm_ns: int = 0,
    is_simulated: bool = False,
) -> Series:
    """Return a Series: sorted by time, without what is no number, of equal times the last; raise UserError if empty.

    `rhythm_ns` is that of a sender who collects what happened in the meantime, 0 for one who does not wait.
    """
    times, values = np.asarray(times, np.int64), np.asarray(values, np.float64)
    is_there = np.isfinite(values)
    times, values = times[is_there], values[is_there]
    if len(times) < 2:
        raise UserError(f"{name} holds {len(times)} prices: there is nothing to compare")
    num_unsorted = int(np.sum(np.diff(times) < 0))
    if num_unsorted:
        order = np.argsort(times, kind="stable")
        times, values = times[order], values[order]
    is_last = np.append(np.diff(times) > 0, [True])
    kept_times, kept = times[is_last], values[is_last]
    if len(kept) < 2:
        raise UserError(f"{name}: all prices bear the same time")
    warnings: tuple[str, ...] = ()
    bar_ns = _bar_ns(kept_times)
    if bar_ns:
        warnings += (f"{name} comes every {bar_ns / NS_PER_S:g} s: it can tell nothing about shorter times",)
        stale = float(np.mean(np.diff(kept) == 0.0))
        if stale > 0.05:
            warnings += (
                f"{name}: {100 * stale:.0f} % of its prices repeat the one before; stale prints look like a lag",
            )
    return Series(
        name,
        np.ascontiguousarray(kept_times),
        np.ascontiguousarray(kept),
        clock,
        what,
        max(rhythm_ns, int(np.gcd.reduce(kept_times[:_MOST_GAPS] - kept_times[0]))),
        bar_ns,
        base,
        is_simulated,
        num_unsorted,
        int(np.sum(~is_there)),
        int(np.sum(~is_last)),
        warnings,
    )


def _bar_ns(times: Ints) -> int:
    """Return the distance that nearly all neighbours have, when that is a second or more, else 0."""
    gaps = np.diff(times[:_MOST_GAPS])
    usual = int(np.median(gaps))
    return usual if usual >= NS_PER_S and np.mean(gaps == usual) >= _REGULAR and len(gaps) > 10 else 0
