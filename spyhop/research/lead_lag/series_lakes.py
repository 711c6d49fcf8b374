"""A price over time out of a lake: mids of quotes, of the book, trades or bars, by the venue's clock or by ours."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from spyhop.clock import NS_PER_DAY, NS_PER_S
from spyhop.errors import MissingInput
from spyhop.market.book import BOOK, clear
from spyhop.market.sequence import SEQUENCE, on_levels, on_snapshot
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, Flag, Kind
from spyhop.numerics._jit import kernel
from spyhop.research.lead_lag.series import Clock, Floats, Ints, Series, series
from spyhop.storage.lake import END_OF_TIME, START_OF_TIME, Lake

SOURCES = ("quotes", "book", "trades", "bars")
"""From what a price is taken, best first: a mid does not bounce between bid and ask as trades do."""

_LEVEL, _SNAPSHOT = int(Kind.LEVEL), int(Kind.SNAPSHOT)


class Ticks(NamedTuple):
    """What a lake holds of one instrument, by source: its times by the venue, by us, and prices."""

    name: str
    base: str
    is_simulated: bool
    sources: dict[str, tuple[Ints, Ints, Floats]]


def ticks(lake: Lake, instrument: Instrument, start: int = START_OF_TIME, end: int = END_OF_TIME) -> Ticks:
    """Return the prices of every source that there is, `start` <= ts_recv < `end`; raise MissingInput without any."""
    found: dict[str, tuple[Ints, Ints, Floats]] = {}
    there = lake.channels(instrument.key)
    for source in SOURCES:
        if source in there:
            event, receipt, price = _read(lake, instrument, source, start, end)
            if len(price) > 1:
                found[source] = event, receipt, price * instrument.tick
    if not found:
        raise MissingInput(f"the lake {lake.root} holds no prices of {instrument.key} at that time")
    return Ticks(instrument.key, instrument.base, instrument.is_simulated, found)


def on_one_clock(leader: Ticks, follower: Ticks, clock: Clock, source: str = "") -> tuple[Series, Series] | None:
    """Return both by one clock, of the best source that both have or of `source`; None where a venue tells no times.

    A venue's time is taken to be missing where it nearly always equals ours: a reader had nothing else to put there.
    Frames of a book come in a rhythm, up to which they are late; so nothing shorter can be told from them.
    """
    usable = [[name for name in _usable(one, clock) if source in ("", name)] for one in (leader, follower)]
    both = [name for name in SOURCES if name in usable[0] and name in usable[1]]
    chosen = [both[0], both[0]] if both else [next(iter(each), "") for each in usable]
    if not all(chosen):
        return None
    return _series(leader, chosen[0], clock), _series(follower, chosen[1], clock)


def _series(one: Ticks, source: str, clock: Clock) -> Series:
    event, receipt, price = one.sources[source]
    times = event
    if source == "bars":
        pass  # known when they are over, whenever they were fetched
    elif clock == "receive":
        times = receipt
    else:
        times, price = times[event != receipt], price[event != receipt]
    rhythm_ns = int(np.median(np.diff(np.unique(times)))) if source == "book" and len(times) > 2 else 0
    what = "mids of quotes" if source == "quotes" else ("mids of the book" if source == "book" else source)
    return series(
        one.name, times, price, clock, what, base=one.base, rhythm_ns=rhythm_ns, is_simulated=one.is_simulated
    )


def _usable(one: Ticks, clock: Clock) -> list[str]:
    return [
        name
        for name, (event, receipt, _) in one.sources.items()
        if clock == "receive" or name == "bars" or np.mean(event == receipt) < 0.5
    ]


def _read(lake: Lake, instrument: Instrument, source: str, start: int, end: int) -> tuple[Ints, Ints, Floats]:
    parts: list[tuple[Ints, Ints, Floats]] = []
    books = _Books()
    for events in lake.scan(instrument.key, start, end, (source,)):
        if source == "book":
            parts.append(books.mids(events))
            continue
        if source == "quotes":
            rows = events[(events["price"] > 0) & (events["aux"] >= events["price"])]
            price = 0.5 * (rows["price"] + rows["aux"])
        elif source == "trades":
            rows = events
            price = rows["price"].astype(np.float64)
        else:
            rows = _closed(events)
            price = rows["aux"].astype(np.float64)
        parts.append((rows["ts_event"].copy(), rows["ts_recv"].copy(), price))
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    return (
        np.concatenate([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]),
        np.concatenate([part[2] for part in parts]),
    )


def _closed(events: Events) -> Events:
    """Return the closes of the shortest bars, at the times at which the bars ended."""
    rows: Events = events[(events["kind"] == int(Kind.BAR_CLOSE)) & (events["flags"] & int(Flag.PARTIAL) == 0)].copy()
    if len(rows):
        lengths = np.where(rows["interval_s"] == 0, NS_PER_DAY, rows["interval_s"].astype(np.int64) * NS_PER_S)
        rows, lengths = rows[lengths == lengths.min()], lengths[lengths == lengths.min()]
        rows["ts_event"] = rows["id"] + lengths
    return rows


class _Books:
    """The book of one instrument, folded from batch to batch."""

    def __init__(self) -> None:
        self._sequence, self._book = np.zeros(1, SEQUENCE), np.zeros(1, BOOK)
        clear(self._book[0])

    def mids(self, events: Events) -> tuple[Ints, Ints, Floats]:
        """Return times and mid (ticks) after each frame that left a book with two sides."""
        rows, mids = np.zeros(len(events), np.int64), np.zeros(len(events))
        num = _fold(self._sequence[0], self._book[0], events, rows, mids)
        chosen = events[rows[:num]]
        return chosen["ts_event"].copy(), chosen["ts_recv"].copy(), mids[:num]


@kernel
def _fold(s: Any, b: Any, events: Any, rows: Any, mids: Any) -> int:
    num = 0
    i = 0
    while i < len(events):
        e = events[i]
        is_changed = False
        if e.kind == _LEVEL:
            i, is_changed = on_levels(s, b, events, i)
        else:
            if e.kind == _SNAPSHOT:
                on_snapshot(s, b, e.ts_recv, e.id, e.qty)
            i += 1
        if is_changed and b.bid > 0 and b.ask > b.bid:
            rows[num] = i - 1
            mids[num] = 0.5 * (b.bid + b.ask)
            num += 1
    return num
