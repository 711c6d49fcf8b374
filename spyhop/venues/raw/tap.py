"""Keeps all that an adapter is told, as it came: wrap the adapter and the HTTP client that it asks through.

What an adapter makes of the same records again is the same (`raw_replay`), because it has no clock and no chance of its
own. An answer is known to belong to a call by the context it was asked in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from spyhop.clock import Clock
from spyhop.errors import VenueError
from spyhop.model.raw import RawKeeper, RawKind, RawRecord
from spyhop.model.tape import Events
from spyhop.venues.adapter import Adapter, Decoded, Poll, SocketPlan, VenueTime
from spyhop.venues.net.transport import Frame, Http, Response

_T = TypeVar("_T")
CURRENT_CALL: ContextVar[int] = ContextVar("CURRENT_CALL", default=0)
"""The number of the adapter's call that this task works for, 0 for none."""


class TappedAdapter:
    """An adapter whose frames, connections and calls go to `keeper`; an Adapter."""

    def __init__(self, adapter: Adapter, keeper: RawKeeper, clock: Clock) -> None:
        self.instrument = adapter.instrument
        self._adapter, self._keeper, self._clock = adapter, keeper, clock
        self._feed = adapter.instrument.key
        self._num_calls = 0

    def sockets(self) -> Sequence[SocketPlan]:
        return self._adapter.sockets()

    def opened(self, socket: str, connection: int) -> None:
        self._note(RawKind.OPENED, socket, connection)
        self._adapter.opened(socket, connection)

    def closed(self, socket: str, connection: int) -> None:
        self._note(RawKind.CLOSED, socket, connection)
        self._adapter.closed(socket, connection)

    def decode(self, socket: str, connection: int, frames: Sequence[Frame]) -> Decoded:
        kind = RawKind.FRAME
        for frame in frames:
            self._keeper.add(RawRecord(kind, frame.ts_recv, self._feed, socket, connection, frame.data))
            kind = RawKind.MORE
        return self._adapter.decode(socket, connection, frames)

    async def book(self) -> Events:
        return await self._call("book", self._adapter.book)

    async def sync(self, num_bars: int, since: int) -> Events:
        return await self._call(f"sync {num_bars} {since}", lambda: self._adapter.sync(num_bars, since))

    def polls(self) -> Sequence[Poll]:
        return [msgspec.structs.replace(poll, fetch=self._fetch(poll)) for poll in self._adapter.polls()]

    def _fetch(self, poll: Poll) -> Callable[[], Awaitable[Events]]:
        async def fetch() -> Events:
            return await self._call(f"poll {poll.name}", poll.fetch)

        return fetch

    async def venue_time(self) -> VenueTime:
        return await self._call("time", self._adapter.venue_time)

    async def _call(self, what: str, call: Callable[[], Awaitable[_T]]) -> _T:
        self._num_calls += 1
        number = self._num_calls
        self._note(RawKind.ASKED, what, number)
        token = CURRENT_CALL.set(number)
        try:
            answer = await call()
        except VenueError as error:
            self._note(RawKind.FAILED, what, number, str(error).encode())
            raise
        finally:
            CURRENT_CALL.reset(token)
        self._note(RawKind.CALL, what, number)
        return answer

    def _note(self, kind: RawKind, source: str, connection: int, data: bytes = b"") -> None:
        self._keeper.add(RawRecord(kind, self._clock.now_ns(), self._feed, source, connection, data))


class TappedHttp:
    """An HTTP client whose answers go to `keeper` when an adapter's call has asked for them; an Http."""

    def __init__(self, http: Http, keeper: RawKeeper, clock: Clock, feed: str) -> None:
        self._http, self._keeper, self._clock, self._feed = http, keeper, clock, feed

    async def request(
        self, method: str, url: str, params: Mapping[str, str | int] | None = None, *, timeout_s: float = 10.0
    ) -> Response:
        """Ask, and keep the answer before handing it on; raise what the client raises."""
        number, name = CURRENT_CALL.get(), request_name(method, url, params)
        try:
            answer = await self._http.request(method, url, params, timeout_s=timeout_s)
        except VenueError as error:
            if number:
                self._note(RawKind.REFUSED, self._clock.now_ns(), name, number, str(error).encode())
            raise
        if number:
            self._note(RawKind.ANSWER, answer.ts_recv, f"{answer.ts_sent} {name}", number, answer.body)
        return answer

    def _note(self, kind: RawKind, ts: int, source: str, number: int, data: bytes) -> None:
        self._keeper.add(RawRecord(kind, ts, self._feed, source, number, data))

    async def close(self) -> None:
        await self._http.close()


def request_name(method: str, url: str, params: Mapping[str, str | int] | None) -> str:
    """Return what a request is known by among the answers of one call."""
    return f"{method} {url}" + (f"?{urlencode(params)}" if params else "")
