"""Collects rows of the tape for one instrument."""

from __future__ import annotations

import numpy as np

from spyhop.model.instruments import Instrument
from spyhop.model.tape import EVENT, Events, Flag, Kind, Status, empty

# plain numbers: an IntEnum costs more in every row than all else in it
_LEVEL, _LAST, _EMPTY = int(Kind.LEVEL), int(Flag.LAST), int(Flag.EMPTY)


class Rows:
    """Rows of one batch, in the order they were added."""

    def __init__(self, instrument: Instrument) -> None:
        self._venue, self._instrument = int(instrument.venue), instrument.id
        self._rows: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self,
        kind: Kind,
        ts_event: int,
        ts_recv: int,
        *,
        side: int = 0,
        flags: int = 0,
        interval_s: int = 0,
        price: int = 0,
        qty: int = 0,
        id: int = 0,
        aux: int = 0,
        aux2: int = 0,
    ) -> None:
        """Add one row; the columns are the tape's."""
        head = (int(kind), int(side), self._venue, int(flags), self._instrument, interval_s)
        self._rows.append((*head, ts_event, ts_recv, price, qty, id, aux, aux2))

    def levels(
        self, levels: list[tuple[int, int, int]], ts: int, *, flags: int, id: int, first: int, previous: int
    ) -> None:
        """Add a book frame of (side, price, lots); the last row is marked, an empty frame is one row that says so."""
        if not levels:
            self.add(Kind.LEVEL, ts, ts, flags=flags | _EMPTY | _LAST, id=id, aux=first, aux2=previous)
            return
        venue, instrument = self._venue, self._instrument
        self._rows += [
            (_LEVEL, side, venue, flags, instrument, 0, ts, ts, price, lots, id, first, previous)
            for side, price, lots in levels
        ]
        last = self._rows[-1]
        self._rows[-1] = (*last[:3], flags | _LAST, *last[4:])

    def gap(self, ts: int) -> None:
        """Say that events are missing before this place."""
        self.add(Kind.STATUS, ts, ts, aux=Status.GAP)

    def cut(self, length: int) -> None:
        """Take back all rows after the first `length`."""
        del self._rows[length:]

    def events(self) -> Events:
        """Return the rows as a tape."""
        return np.array(self._rows, EVENT) if self._rows else empty()
