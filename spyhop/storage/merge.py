"""Many sorted parts as one tape, a few row groups at a time, and trades that two sources recorded told apart.

Order: (ts_recv, source, position). A source is one imported file, so events of equal `ts_recv` keep the order of their
file across all channels; sources are ranked by their first event, which is the same whatever was imported first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_S
from spyhop.model.tape import EVENT, Events, Kind, empty
from spyhop.storage.parts import Group, Positions

REPEAT_HORIZON_NS = 60 * NS_PER_S

Ranks = npt.NDArray[np.int64]


class Run(NamedTuple):
    """A sorted stream of groups of one source."""

    rank: int
    groups: Iterator[Group]


class Merged(NamedTuple):
    """Consecutive events of several sources in order; `ranks` says which source, `positions` where in it."""

    events: Events
    positions: Positions
    ranks: Ranks


class _Stream:
    """A run with the part of it that is in memory."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.events = empty()
        self.positions: Positions = np.zeros(0, np.int64)
        self.is_exhausted = False
        self.load()

    @property
    def last(self) -> int:
        return int(self.events["ts_recv"][-1])

    def load(self) -> None:
        group = next(self._run.groups, None)
        if group is None:
            self.is_exhausted = True
            return
        self.events = np.concatenate([self.events, group.events]) if len(self.events) else group.events
        self.positions = np.concatenate([self.positions, group.positions]) if len(self.positions) else group.positions

    def take(self, until: int | None) -> Merged:
        count = len(self.events)
        if until is not None:
            count = int(np.searchsorted(self.events["ts_recv"], until, side="left"))
        taken = Merged(self.events[:count], self.positions[:count], np.full(count, self._run.rank, np.int64))
        self.events, self.positions = self.events[count:], self.positions[count:]
        return taken


def merge(runs: Sequence[Run]) -> Iterator[Merged]:
    """Yield all events of `runs` in order, holding about one group of each in memory."""
    streams = [_Stream(run) for run in runs]
    while streams := [stream for stream in streams if len(stream.events) or not stream.is_exhausted]:
        growing = [stream for stream in streams if not stream.is_exhausted]
        # events at the very end of a group may have equals in the next one, so they wait
        until = min(stream.last for stream in growing) if growing else None
        taken = [part for part in (stream.take(until) for stream in streams) if len(part.events)]
        if taken:
            yield _sorted(taken)
        for stream in growing:
            if not len(stream.events) or stream.last == until:
                stream.load()


def _sorted(taken: list[Merged]) -> Merged:
    if len(taken) == 1:
        return taken[0]
    events, positions, ranks = (np.concatenate(columns) for columns in zip(*taken, strict=True))
    order = _order(np.ascontiguousarray(events["ts_recv"]), positions, ranks)
    return Merged(events[order], positions[order], ranks[order])


# a stable sort of runs that are sorted already is one pass of merging; only equal times need more
def _order(times: Positions, positions: Positions, ranks: Ranks) -> Positions:
    order = np.argsort(times, kind="stable")
    times, positions, ranks = times[order], positions[order], ranks[order]
    is_wrong = (ranks[1:] < ranks[:-1]) | ((ranks[1:] == ranks[:-1]) & (positions[1:] < positions[:-1]))
    wrong = times[1:][(times[1:] == times[:-1]) & is_wrong]
    if len(wrong):
        where = np.flatnonzero(np.isin(times, wrong))
        order[where] = order[where][np.lexsort((positions[where], ranks[where], times[where]))]
    return order


class RepeatFilter:
    """Finds trades that were said before: same id, price and quantity, within 60 s of receive time.

    Whether a trade is a repeat depends on the trades of the last 60 s alone, never on where a scan began,
    provided that the scan reads that much before what it hands out.
    """

    def __init__(self, horizon_ns: int = REPEAT_HORIZON_NS) -> None:
        self._horizon = horizon_ns
        self._recent = empty()

    def repeats(self, events: Events) -> npt.NDArray[np.bool_]:
        """Return for each event whether it is a trade (with an id) that was said before."""
        is_repeat = np.zeros(len(events), np.bool_)
        where = np.flatnonzero((events["kind"] == Kind.TRADE) & (events["id"] != 0))
        if not len(where):
            return is_repeat
        trades = np.concatenate([self._recent, events[where]])
        is_repeat[where] = self._said_before(trades)[len(self._recent) :]
        self._recent = trades[trades["ts_recv"] >= trades["ts_recv"][-1] - self._horizon].astype(EVENT)
        return is_repeat

    def _said_before(self, trades: Events) -> npt.NDArray[np.bool_]:
        order = np.lexsort((np.arange(len(trades)), trades["qty"], trades["price"], trades["id"]))
        former, latter = trades[order[:-1]], trades[order[1:]]
        is_same = latter["ts_recv"] - former["ts_recv"] <= self._horizon
        for name in ("id", "price", "qty"):
            is_same &= former[name] == latter[name]
        said = np.zeros(len(trades), np.bool_)
        said[order[1:]] = is_same
        return said
