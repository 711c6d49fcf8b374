"""Best bid and ask over time out of a lake: of quotes, or of the folded book where a market has no quotes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spyhop.errors import MissingInput
from spyhop.market import book as market_book
from spyhop.market import sequence as market_sequence
from spyhop.market import top as market_top
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Kind, Status
from spyhop.numerics._jit import kernel
from spyhop.storage.lake import END_OF_TIME, START_OF_TIME, Lake

_QUOTE, _LEVEL, _SNAPSHOT, _STATUS = int(Kind.QUOTE), int(Kind.LEVEL), int(Kind.SNAPSHOT), int(Kind.STATUS)
_BREAKS = (int(Status.GAP), int(Status.DISCONNECTED), int(Status.SHED))


class Tops(NamedTuple):
    """What was heard of a market's best prices, (n,): receive times int64 in order, bid and ask float64."""

    ts: npt.NDArray[np.int64]
    bid: npt.NDArray[np.float64]
    ask: npt.NDArray[np.float64]


def tops(lake: Lake, instrument: Instrument, start: int = START_OF_TIME, end: int = END_OF_TIME) -> Tops:
    """Return the best prices with `start` <= ts_recv < `end`; raise MissingInput where there are none."""
    there = lake.channels(instrument.key)
    source = "quotes" if "quotes" in there else "book"
    fold = _Fold()
    parts = []
    if source in there:
        wanted = [channel for channel in (source, "status") if channel in there]
        parts = [fold.on(events) for events in lake.scan(instrument.key, start, end, wanted)]
    if not sum(len(part[0]) for part in parts):
        raise MissingInput(f"the lake {lake.root} holds no quotes and no book of {instrument.key} in that time")
    ts, bid, ask = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Tops(ts, bid * instrument.tick, ask * instrument.tick)


def merged(leader: Tops, follower: Tops) -> Mapping[str, npt.NDArray[Any]]:
    """Return both by receive time, the leader first at equal times: `ts`, `is_follower`, `bid` and `ask`."""
    ts = np.concatenate((leader.ts, follower.ts))
    order = np.argsort(ts, kind="stable")
    is_follower = np.arange(len(ts)) >= len(leader.ts)
    return {
        "ts": ts[order],
        "is_follower": is_follower[order],
        "bid": np.concatenate((leader.bid, follower.bid))[order],
        "ask": np.concatenate((leader.ask, follower.ask))[order],
    }


class _Fold:
    """The top of one market's book, events in order."""

    def __init__(self) -> None:
        self._sequence = np.zeros(1, market_sequence.SEQUENCE)
        self._book = np.zeros(1, market_book.BOOK)
        self._top = np.zeros(1, market_top.TOP)
        market_book.clear(self._book[0])

    def on(self, events: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        """Return times, bids and asks in ticks of the rows that told a top."""
        ts, bid, ask = (np.zeros(len(events), np.int64) for _ in range(3))
        num = _fold(self._sequence[0], self._book[0], self._top[0], events, ts, bid, ask)
        return ts[:num], bid[:num], ask[:num]


@kernel
def _fold(s: Any, b: Any, top: Any, events: Any, ts: Any, bid: Any, ask: Any) -> int:
    num = 0
    i = 0
    while i < len(events):
        e = events[i]
        is_heard = False
        if e.kind == _LEVEL:
            i, has_changed = market_sequence.on_levels(s, b, events, i)
            if has_changed:
                market_top.on_book(top, e.ts_recv, b, s.last_id)
                is_heard = True
        else:
            i += 1
            if e.kind == _SNAPSHOT:
                if market_sequence.on_snapshot(s, b, e.ts_recv, e.id, e.qty):
                    market_top.on_book(top, e.ts_recv, b, s.last_id)
            elif e.kind == _STATUS and e.aux in _BREAKS:
                market_sequence.mark_gap(s, b)
                market_top.reset(top)
            elif e.kind == _QUOTE:
                market_top.on_quote(top, e.ts_recv, e.price, e.qty, e.aux, e.aux2, e.id)
                is_heard = True
        if is_heard and top.is_ready == 1 and top.ts == e.ts_recv:
            ts[num], bid[num], ask[num] = e.ts_recv, top.bid, top.ask
            num += 1
    return num
