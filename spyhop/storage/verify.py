"""Verify a lake: everything that is wrong with what it holds, with counts and first places."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.errors import LakeDamaged
from spyhop.model.tape import Flag, Kind
from spyhop.storage.checks import (
    BarCheck,
    BookCheck,
    Check,
    Checking,
    Finding,
    FundingCheck,
    OrderCheck,
    Place,
    PriceCheck,
    QuoteCheck,
    SilenceCheck,
    TradeIdCheck,
)
from spyhop.storage.lake import Lake, Source
from spyhop.storage.merge import Merged
from spyhop.storage.status_check import StatusCheck

_CHECKS: dict[str, tuple[Callable[[Sequence[str]], Checking], ...]] = {
    "book": (
        OrderCheck,
        SilenceCheck,
        BookCheck,
        partial(PriceCheck, columns=("price",), kinds=(Kind.LEVEL,), jumps=False),
    ),
    "quotes": (
        OrderCheck,
        SilenceCheck,
        QuoteCheck,
        partial(PriceCheck, columns=("price", "aux"), kinds=(Kind.QUOTE,), jumps=True),
    ),
    "trades": (
        OrderCheck,
        SilenceCheck,
        TradeIdCheck,
        partial(PriceCheck, columns=("price",), kinds=(Kind.TRADE,), jumps=True),
    ),
    "bars": (OrderCheck, BarCheck),
    "marks": (OrderCheck, partial(PriceCheck, columns=("price",), kinds=(Kind.MARK,), jumps=True)),
    "funding": (OrderCheck, FundingCheck),
    "liquidations": (OrderCheck, partial(PriceCheck, columns=("price",), kinds=(Kind.LIQUIDATION,), jumps=True)),
    "tickers": (OrderCheck, partial(PriceCheck, columns=("price",), kinds=(Kind.TICKER,), jumps=True)),
    "status": (OrderCheck, StatusCheck),
}
_OTHER: tuple[Callable[[Sequence[str]], Checking], ...] = (OrderCheck,)

_TIMED = ("book", "quotes", "trades")
_NOT_HEARD_LIVE = int(Flag.FROM_SNAPSHOT | Flag.SIMULATED | Flag.BACKFILLED)


def verify(lake: Lake, on_channel: Callable[[str, str], None] = lambda key, channel: None) -> list[Finding]:
    """Return what was found in every channel of every instrument, and each recording's clock offset.

    Reads everything once, in bounded memory; `on_channel` hears what is being read. A damaged file is a finding and
    ends the checks of its channel; only a manifest that cannot be read raises LakeDamaged.
    """
    sources = lake.sources()
    files = [source.name for source in sources]
    clocks: dict[tuple[str, int], _Clock] = {}
    found = list(_set_aside(sources))
    for instrument in lake.instruments():
        venue = instrument.venue.label
        for channel in lake.channels(instrument.key):
            on_channel(instrument.key, channel)
            checks = [check(files) for check in _CHECKS.get(channel, _OTHER)]
            try:
                for batch in lake.merged(instrument.key, channels=[channel]):
                    for check in checks:
                        check.on(batch)
                    if channel in _TIMED:
                        _note_clocks(clocks, venue, batch)
            except LakeDamaged as error:
                place = Place(0, error.path, 0)
                text = f"{error.reason}; what follows it was not checked"
                found.append(_finding(instrument.key, channel, Check.DAMAGE, 1, text, (place,)))
            found += [
                Finding(
                    instrument=instrument.key,
                    channel=channel,
                    check=said.check,
                    count=said.count,
                    text=said.text,
                    places=said.places,
                    is_fault=said.is_fault,
                )
                for check in checks
                for said in check.said()
            ]
            found += _overlaps(lake, instrument.key, channel)
    return found + [clock.finding(venue, files[rank]) for (venue, rank), clock in sorted(clocks.items())]


def _finding(
    instrument: str, channel: str, check: Check, count: int, text: str, places: tuple[Place, ...], *, fault: bool = True
) -> Finding:
    return Finding(
        instrument=instrument, channel=channel, check=check, count=count, text=text, places=places, is_fault=fault
    )


def _set_aside(sources: Sequence[Source]) -> Iterator[Finding]:
    for source in sources:
        for reason, count in sorted(source.quarantined.items()):
            yield _finding("", "", Check.SET_ASIDE, count, reason, (Place(source.first, source.name, 0),))


def _overlaps(lake: Lake, key: str, channel: str) -> Iterator[Finding]:
    spans: dict[int, list[int]] = {}
    names: dict[int, str] = {}
    for rank, source, part in lake.parts(key, [channel]):
        span = spans.setdefault(rank, [part.first, part.last])
        span[:] = [min(span[0], part.first), max(span[1], part.last)]
        names[rank] = source.name
    places = []
    last, owner = -(1 << 63), ""
    for (first, end), rank in sorted((span, rank) for rank, span in spans.items()):
        if first <= last:
            places.append(Place(first, f"{owner} and {names[rank]}", 0))
        if end > last:
            last, owner = end, names[rank]
    if places:
        text = "files cover the same time; trades with the same id within 60 s are read once"
        yield _finding(key, channel, Check.OVERLAP, len(places), text, tuple(places[:5]), fault=False)


class _Clock:
    """How long events of one recording took, by both clocks: the least is the offset plus the shortest way."""

    BIN_NS = NS_PER_MS
    LIMIT_NS = 60 * NS_PER_S

    def __init__(self) -> None:
        self._bins = np.zeros(2 * self.LIMIT_NS // self.BIN_NS + 1, np.int64)
        self._least = 1 << 62
        self._first = 1 << 62

    def on(self, times: npt.NDArray[np.int64], delays: npt.NDArray[np.int64]) -> None:
        clipped = np.clip(delays, -self.LIMIT_NS, self.LIMIT_NS)
        self._bins += np.bincount((clipped + self.LIMIT_NS) // self.BIN_NS, minlength=len(self._bins))
        self._least = min(self._least, int(delays.min()))
        self._first = min(self._first, int(times[0]))

    def finding(self, venue: str, file: str) -> Finding:
        count = int(self._bins.sum())
        middle = int(np.searchsorted(np.cumsum(self._bins), (count + 1) // 2)) * self.BIN_NS - self.LIMIT_NS
        text = f"least ts_recv - ts_event {self._least / NS_PER_S:+.3f} s, median {middle / NS_PER_S:+.3f} s"
        is_behind = self._least < 0
        if is_behind:
            text += f": the clock of the recording is at least {-self._least / NS_PER_S:.2f} s behind the venue's"
        places = (Place(self._first, file, 0),)
        return _finding(venue, "", Check.CLOCK, count, text, places, fault=is_behind)


def _note_clocks(clocks: dict[tuple[str, int], _Clock], venue: str, batch: Merged) -> None:
    events = batch.events
    # equal times mean that the venue said none (spot quotes) or that we were not there (dumps)
    is_timed = ((events["flags"] & _NOT_HEARD_LIVE) == 0) & (events["ts_event"] != events["ts_recv"])
    is_timed &= events["kind"] != Kind.SNAPSHOT
    for rank in np.unique(batch.ranks[is_timed]).tolist():
        of_rank = events[is_timed & (batch.ranks == rank)]
        clock = clocks.setdefault((venue, rank), _Clock())
        clock.on(of_rank["ts_recv"], of_rank["ts_recv"] - of_rank["ts_event"])
