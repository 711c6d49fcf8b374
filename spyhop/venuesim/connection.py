"""One client's WebSocket: a bounded outbox, the venue's manners, and the faults that strike frames and connections."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections import deque
from collections.abc import Callable

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.venuesim.faults import FaultKind
from spyhop.venuesim.floor import Floor

_FRAME_KINDS = frozenset(
    {
        FaultKind.STALL,
        FaultKind.SILENCE,
        FaultKind.GAP,
        FaultKind.LATE,
        FaultKind.NEW_SNAPSHOT,
        FaultKind.REPEAT,
    }
)


class Manners(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue expects of a connection; seconds of the exchange's clock, 0 = never.

    `pong_s` is how long a ping may go unanswered, `late_code` what the connection is then closed with; `life_s` how
    long any connection lives; `max_messages_s` how many messages of the client are read in a second (then 1008);
    `max_outbox` how many frames wait for a client that does not read (then 1008).
    """

    ping_s: float
    pong_s: float
    life_s: float = 86_400.0
    max_messages_s: int = 0
    max_outbox: int = 50_000
    late_code: int = 1008
    farewell: bytes = b""
    """A frame said before the 24 h end; %d becomes the time in ms."""


class Connection:
    """One accepted WebSocket. `send` never waits; `serve` runs until either side ends it.

    `book_streams` tells whether a stream's name is one of a book: a lagging book (NEW_SNAPSHOT) is late on those only.
    """

    def __init__(
        self,
        floor: Floor,
        venue: str,
        path: str,
        manners: Manners,
        *,
        is_book: Callable[[str], bool] = lambda stream: "depth" in stream or "orderbook" in stream,
        address: str = "",
    ) -> None:
        self.floor, self.venue, self.path, self.manners, self.address = floor, venue, path, manners, address
        self.streams: dict[str, None] = {}
        self.opened = floor.clock.now_ns()
        self.num_sent = 0
        self.num_heard = 0
        self.ws = web.WebSocketResponse(timeout=1.0, autoping=False, compress=False, max_msg_size=1 << 20)
        self._is_book = is_book
        self._outbox: deque[bytes] = deque()
        self._delayed: list[tuple[int, int, bytes]] = []
        self._num_delayed = 0
        self._wake = asyncio.Event()
        self._writer: asyncio.Future[None] | None = None
        self._goodbye: tuple[int, str] | None = None
        self._transport: asyncio.Transport | None = None
        self._pinged = self._answered = self.opened
        self._window = 0
        self._num_in_window = 0

    async def serve(
        self, request: web.Request, on_message: Callable[[bytes], None], on_open: Callable[[], None] = lambda: None
    ) -> web.WebSocketResponse:
        """Shake hands, call `on_open`, hand every text message to `on_message`, and return when all is over."""
        try:
            await self.ws.prepare(request)
        except ConnectionError:  # the client gave up before it had our answer: the next try to answer ends it quietly
            return web.WebSocketResponse()
        self._transport = request.transport
        self.floor.connections[self] = None
        self._writer = asyncio.ensure_future(self._write())
        try:
            on_open()
            await self._read(on_message)
        finally:
            self.floor.connections.pop(self, None)
            self._writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writer
            await self._part()
        return self.ws

    def send(self, frame: bytes, stream: str = "") -> None:
        """Send `frame` of `stream` unless a fault is in its way; a full outbox ends the connection."""
        kinds = self.floor.faults.kinds
        if kinds and not kinds.isdisjoint(_FRAME_KINDS):
            self._send_faulty(frame, stream)
        else:
            self._put(frame)

    def say(self, frame: bytes) -> None:
        """Send an answer to the client's own message; only a stall withholds it."""
        if not self._struck(FaultKind.STALL):
            self._put(frame)

    def close(self, code: int, reason: str = "") -> None:
        """Close with `code` after what is in the outbox has gone."""
        if self._goodbye is None:
            self._goodbye = (code, reason)
            self._wake.set()

    def abort(self) -> None:
        """Cut the connection without a word."""
        self._goodbye = (WSCloseCode.ABNORMAL_CLOSURE, "")
        if self._transport is not None:
            self._transport.abort()
        self._wake.set()

    def poll(self, now: int) -> None:
        """Do what is due at `now`: late frames, pings, the end of a silent or old connection, faults."""
        while self._delayed and self._delayed[0][0] <= now:
            self._put(heapq.heappop(self._delayed)[2])
        if self._goodbye is not None:
            return
        if self._struck(FaultKind.DROP):
            self.abort()
        elif self._struck(FaultKind.SLOW_CONSUMER):
            self.close(WSCloseCode.POLICY_VIOLATION, "Too slow")
        elif self._is_past(self.opened, self.manners.life_s, now) or self._struck(FaultKind.DAY_CLOSE):
            if self.manners.farewell:
                self._put(self.manners.farewell % (now // NS_PER_MS))
            self.close(WSCloseCode.GOING_AWAY, "24h")
        elif self._pinged > self._answered:
            if self._is_past(self._pinged, self.manners.pong_s, now):
                self.close(self.manners.late_code, "Pong timeout")
        elif self._is_past(self._pinged, self.manners.ping_s, now):
            self._pinged = now
            self._wake.set()

    def state(self) -> dict[str, object]:
        """Return what the venue knows about this connection."""
        return {
            "venue": self.venue,
            "path": self.path,
            "streams": list(self.streams),
            "opened": self.opened,
            "sent": self.num_sent,
            "waiting": len(self._outbox),
            "heard": self.num_heard,
        }

    def _struck(self, kind: FaultKind) -> bool:
        return self.floor.faults.hit(kind, self.venue, self.path, *self.streams) is not None

    def _send_faulty(self, frame: bytes, stream: str) -> None:
        faults, names = self.floor.faults, (stream, self.path)
        for kind in (FaultKind.STALL, FaultKind.SILENCE, FaultKind.GAP):
            if faults.hit(kind, self.venue, *names):
                self.floor.num_frames_lost += 1
                return
        late = faults.hit(FaultKind.LATE, self.venue, *names)
        if late is None and self._is_book(stream):
            late = faults.hit(FaultKind.NEW_SNAPSHOT, self.venue, *names)
        if late is not None:
            self._num_delayed += 1
            heapq.heappush(self._delayed, (self.floor.exchange.now + late.delay_ns, self._num_delayed, frame))
            return
        self._put(frame)
        if faults.hit(FaultKind.REPEAT, self.venue, *names):
            self._put(frame)

    def _put(self, frame: bytes) -> None:
        if self._goodbye is not None:
            return
        if len(self._outbox) >= self.manners.max_outbox:
            self._outbox.clear()
            self.close(WSCloseCode.POLICY_VIOLATION, "Too slow")
            if self._writer is not None:  # it waits for a socket that nobody empties
                self._writer.cancel()
            return
        self._outbox.append(frame)
        self._wake.set()

    async def _write(self) -> None:
        pinged = self._pinged
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._pinged > pinged:
                    pinged = self._pinged
                    await self.ws.ping(str(pinged // NS_PER_MS).encode())
                while self._outbox:
                    await self.ws.send_frame(self._outbox.popleft(), WSMsgType.TEXT)
                    self.num_sent += 1
                if self._goodbye is not None:
                    await self._part()
                    return
        except ConnectionError:  # the client went away
            return
        except asyncio.CancelledError:
            if self._goodbye is None:
                raise
            await self._part()

    async def _part(self) -> None:
        code, reason = self._goodbye or (WSCloseCode.OK, "")
        if not self.ws.closed and code != WSCloseCode.ABNORMAL_CLOSURE:
            with contextlib.suppress(ConnectionError):
                await self.ws.close(code=code, message=reason.encode(), drain=False)

    async def _read(self, on_message: Callable[[bytes], None]) -> None:
        async for message in self.ws:
            if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
                data = message.data.encode() if isinstance(message.data, str) else message.data
                if self._may_speak():
                    on_message(data)
            elif message.type is WSMsgType.PING:
                await self.ws.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self._answered = self.floor.clock.now_ns()

    def _may_speak(self) -> bool:
        self.num_heard += 1
        window = self.floor.clock.now_ns() // NS_PER_S
        if window != self._window:
            self._window, self._num_in_window = window, 0
        self._num_in_window += 1
        if self.manners.max_messages_s and self._num_in_window > self.manners.max_messages_s:
            self.close(WSCloseCode.POLICY_VIOLATION, "Too many requests")
            return False
        return True

    @staticmethod
    def _is_past(since: int, seconds: float, now: int) -> bool:
        return seconds > 0.0 and now - since >= int(seconds * NS_PER_S)
