"""From the book messages of one or several connections to frames of the tape that chain and never cross.

Each connection keeps a book of its own. The one whose snapshot came last leads: only its frames go on the tape. The
venue numbers messages for a connection, so frames get numbers of ours: one up with each frame across connections,
`aux` (U) the same, `aux2` (pu) the frame before, which is how the consumer's book follows futures. A new leader,
a book by REST, and any end of a connection begin the chain anew with a snapshot of the whole book.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from spyhop.clock import NS_PER_MS
from spyhop.model.tape import Flag, Kind
from spyhop.venues.dydx import wire
from spyhop.venues.dydx.book import Level, UncrossedBook, stamp_of
from spyhop.venues.dydx.numbers import Grid
from spyhop.venues.rows import Rows

CROSSED_FRAMES = 8
"""A book that had to be un-crossed in so many frames in a row (2 s of batches) is subscribed to anew."""
_MAX_EARLY = 1_024
_MAX_LEVELS = 65_536


class Taken(Enum):
    """What became of a message."""

    ON_TAPE = "on the tape"
    EARLY = "book update before its snapshot"
    REPLACED = "book of a connection that another has replaced"
    SPENT = "book of a connection that lost a message"


class _Link:
    """The book of one connection."""

    def __init__(self) -> None:
        self.book: UncrossedBook | None = None
        self.early: list[tuple[int, list[list[Level]]]] = []
        self.crossed_frames = 0
        self.is_spent = False


class BookStream:
    """All connections that carry the book of one instrument."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._links: dict[int, _Link] = {}
        self._leader = -1
        self._is_chained = False
        self._last_id = 0
        self.num_uncrossed = 0
        self.num_stale = 0

    def closed(self, connection: int) -> None:
        """Forget a connection."""
        self._links.pop(connection, None)
        if connection == self._leader:
            self._leader = -1
        self.restart()

    def restart(self) -> None:
        """Begin the next frame with a snapshot, since the tape may have lost its book."""
        self._is_chained = False

    def on_snapshot(self, connection: int, message_id: int, book: wire.Book, ts: int, rows: Rows) -> None:
        """Take `subscribed`; raise ValueError for what cannot be read, with nothing changed."""
        levels = self._whole(book)
        before = self._links.get(connection)
        link = self._links[connection] = _Link()
        link.book = UncrossedBook()
        self.num_uncrossed += link.book.load(stamp_of(message_id, 0), levels)
        for early_id, changes in before.early if before else ():
            if early_id > message_id:
                self._fold(link.book, early_id, changes)
        self.num_uncrossed += link.book.uncross()
        self._leader = connection
        self._snapshot(link.book, ts, rows)

    def on_updates(
        self, connection: int, message_id: int, updates: Sequence[wire.BookUpdate], ts: int, rows: Rows
    ) -> Taken:
        """Take one message of updates; raise ValueError for what cannot be read, with nothing changed."""
        changes = [self._update(update) for update in updates]
        link = self._links.setdefault(connection, _Link())
        if link.is_spent:
            return Taken.SPENT
        if link.book is None:
            link.early = [*link.early[1 - _MAX_EARLY :], (message_id, changes)]
            return Taken.EARLY
        if connection != self._leader:
            return Taken.REPLACED
        self._fold(link.book, message_id, changes)
        num_removed = link.book.uncross()
        self.num_uncrossed += num_removed
        link.crossed_frames = link.crossed_frames + 1 if num_removed else 0
        if not self._is_chained:
            self._snapshot(link.book, ts, rows)
            return Taken.ON_TAPE
        previous, number = self._last_id, self._last_id + 1
        self._last_id = number
        rows.levels(link.book.take_changes(), ts, flags=0, id=number, first=number, previous=previous)
        return Taken.ON_TAPE

    def is_crossed_for_good(self, connection: int) -> bool:
        """Return whether the book of `connection` had to be un-crossed in `CROSSED_FRAMES` frames in a row."""
        link = self._links.get(connection)
        return link is not None and link.crossed_frames >= CROSSED_FRAMES

    def on_gap(self, connection: int, ts: int, rows: Rows) -> None:
        """Trust the book of `connection` no more; says so on the tape when it was the one there."""
        link = self._links.setdefault(connection, _Link())
        if connection == self._leader and not link.is_spent:
            rows.gap(ts)
            self.restart()
        link.is_spent = True

    def on_rest(self, book: wire.Book, ts: int, rows: Rows) -> None:
        """Take a book by REST: on the tape it stands for itself, and the next frame of a socket begins anew."""
        asked = UncrossedBook()
        self.num_uncrossed += asked.load(0, self._whole(book))
        self._snapshot(asked, ts, rows)
        self.restart()

    def _snapshot(self, book: UncrossedBook, ts: int, rows: Rows) -> None:
        # of the clock, so that ids grow across restarts of the process as well
        number = self._last_id = max(self._last_id + 1, ts // NS_PER_MS)
        book.take_changes()
        levels = book.levels()
        rows.add(Kind.SNAPSHOT, ts, ts, qty=len(levels), id=number)
        rows.levels(levels, ts, flags=int(Flag.FROM_SNAPSHOT), id=number, first=number, previous=-1)
        self._is_chained = True

    def _fold(self, book: UncrossedBook, message_id: int, changes: list[list[Level]]) -> None:
        for index, levels in enumerate(changes):
            stamp = stamp_of(message_id, index)
            for side, price, lots in levels:
                if not book.put(stamp, side, price, lots):
                    self.num_stale += 1

    def _whole(self, book: wire.Book) -> list[Level]:
        if len(book.bids) + len(book.asks) > _MAX_LEVELS:
            raise ValueError("too many levels in one frame")
        ticks, lots = self._grid.ticks, self._grid.lots
        bids = [(1, ticks(level.price), lots(level.size)) for level in book.bids]
        return bids + [(-1, ticks(level.price), lots(level.size)) for level in book.asks]

    def _update(self, update: wire.BookUpdate) -> list[Level]:
        if len(update.bids) + len(update.asks) > _MAX_LEVELS:
            raise ValueError("too many levels in one frame")
        ticks, lots = self._grid.ticks, self._grid.lots
        bids = [(1, ticks(price), lots(size)) for price, size in update.bids]
        return bids + [(-1, ticks(price), lots(size)) for price, size in update.asks]
