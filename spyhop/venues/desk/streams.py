"""An account's private stream in the words of the model: a venue's events, read by that venue's reader."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

from spyhop.errors import UnreadableLine
from spyhop.model.orders import Report
from spyhop.venues.desk.ports import Connected, Heard, Lost, Told
from spyhop.venues.live import private
from spyhop.venues.live.private import PrivateStream

Event = TypeVar("Event")


class Saying(Protocol):
    """What one event says."""

    @property
    def reports(self) -> Sequence[Report]:
        """Return reports about our orders."""
        ...

    @property
    def foreign(self) -> Sequence[Any]:
        """Return what is about somebody else's."""
        ...


class Reader(Protocol):
    """Reads the events of one account: `binance.reports.BinanceReports`, `dydx.reports.DydxReports`."""

    def read(self, ts: int, event: Any, /) -> Saying:
        """Return what an event heard at `ts` says; raise UnreadableLine for one that makes no sense."""
        ...


class ReadStream(Generic[Event]):
    """An AccountStream over a PrivateStream, which somebody else runs."""

    def __init__(self, stream: PrivateStream[Event], reader: Reader) -> None:
        self.num_unreadable = 0
        self._stream, self._reader = stream, reader
        self._waiting: deque[private.Told[Event]] = deque()

    async def next(self) -> Heard:
        """Wait for what comes next; after an event that cannot be read everything must be asked for."""
        if not self._waiting:
            self._waiting.extend(await self._stream.take())
        ts, event = self._waiting.popleft()
        match event:
            case private.Connected():
                return Connected(ts)
            case private.Lost(reason=reason):
                return Lost(ts, reason)
        try:
            said = self._reader.read(ts, event)
        except UnreadableLine:
            self.num_unreadable += 1
            return Connected(ts)
        foreign = tuple(getattr(one, "venue_order_id", "") or str(one) for one in said.foreign)
        return Told(ts, tuple(said.reports), foreign)
