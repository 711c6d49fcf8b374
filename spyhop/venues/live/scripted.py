"""A small venue without a network, whose faults a script decides, and a clock that a script moves; shipped for tests.

The market makes a trade, a quote and a book frame every half second and a bar every minute, on two sockets: `public`
(book, quote) and `market` (trade, bar). What happened is known, so a tape can be compared with it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence
from itertools import count

import msgspec

from spyhop.clock import NS_PER_MINUTE, NS_PER_S, Clock
from spyhop.errors import ConnectFailed, ConnectionLost, VenueError, VenueUnavailable
from spyhop.model import tape
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, Flag, Kind, Side
from spyhop.venues.adapter import Decoded, Poll, PollWhen, SocketPlan, StreamPlan, VenueTime, Want
from spyhop.venues.net.transport import Frame
from spyhop.venues.params import FeedParams

_SETTLING = 40
PLANS = {"public": ("book", "quote"), "market": ("trade", "bar")}


class VirtualClock:
    """Time that passes only in `run`, and then task by task, each at the moment it asked for."""

    def __init__(self, start_ns: int) -> None:
        self._now = start_ns
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._number = count()

    def now_ns(self) -> int:
        return self._now

    def monotonic_ns(self) -> int:
        return self._now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + round(seconds * NS_PER_S), next(self._number), woken))
        await woken

    async def run(self, seconds: float) -> None:
        """Let `seconds` pass."""
        until = self._now + round(seconds * NS_PER_S)
        await _settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            self._now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
                await _settle()
        self._now = until
        await _settle()


async def _settle() -> None:
    for _ in range(_SETTLING):
        await asyncio.sleep(0)


class ScriptedSocket:
    """One connection to a ScriptedVenue; a Socket."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sent: list[bytes] = []
        self.is_closed = False
        self._frames: list[Frame] = []
        self._error: VenueError | None = None
        self._stirred = asyncio.Event()

    async def frames(self) -> Sequence[Frame]:
        await self._stirred.wait()
        if self._frames:
            taken, self._frames = self._frames, []
            if self._error is None:
                self._stirred.clear()
            return taken
        raise self._error or ConnectionLost(self.url, 1006, "")

    def send(self, message: bytes) -> None:
        self.sent.append(message)

    async def close(self) -> None:
        self.is_closed = True

    def receive(self, frame: Frame) -> None:
        """Let a frame arrive."""
        self._frames.append(frame)
        self._stirred.set()

    def lose(self, error: VenueError) -> None:
        """End the connection."""
        self._error = self._error or error
        self._stirred.set()


class Said(msgspec.Struct):
    """What one frame stands for."""

    stream: str
    rows: Events
    wants: tuple[Want, ...] = ()


class ScriptedVenue:
    """A market and its connections; an Adapter, and its `dial` a Dial.

    `can_dial` and `can_ask` say whether sockets open and REST answers; streams in `muted` and sockets in `stalled`
    (by plan) say nothing; `lag_ns` is the age of what WebSocket tells.
    """

    def __init__(self, clock: Clock, instrument: Instrument, params: FeedParams, life_s: float = 0.0) -> None:
        self.clock, self.instrument, self._params, self._life_s = clock, instrument, params, life_s
        self.can_dial = self.can_ask = True
        self.muted: set[str] = set()
        self.stalled: set[str] = set()
        self.lag_ns = 0
        self.ask_error: VenueError | None = None
        self.trades: list[Events] = []
        self.bars: list[Events] = []
        self.open: dict[int, tuple[str, ScriptedSocket]] = {}
        self.sockets_made: list[tuple[str, ScriptedSocket]] = []
        self.asked: list[str] = []
        self.book_id = 1_000
        self.levels: dict[int, int] = {}
        self._said: list[Said] = []
        self._minute = clock.now_ns() // NS_PER_MINUTE * NS_PER_MINUTE
        self._chain = 0  # the newest frame that continues a snapshot

    async def live(self) -> None:
        """Let the market go on until cancelled."""
        while True:
            await self.clock.sleep(0.5)
            self.step()

    def step(self) -> None:
        """Make one trade, quote and book frame, and the bar if a minute has ended."""
        now, number = self.clock.now_ns(), len(self.trades) + 1
        price = 10_000 + number % 7
        while self._minute + NS_PER_MINUTE <= now:
            self.bars.append(self._bar(self._minute, now))
            self.say("bar", self.bars[-1])
            self._minute += NS_PER_MINUTE
        self.trades.append(self._row(Kind.TRADE, now, id=number, price=price, qty=1 + number % 3, side=Side.BUY))
        self.say("trade", self.trades[-1])
        before, self.book_id = self.book_id, self.book_id + 10
        self.levels[price] = number
        level = {"side": Side.BUY, "price": price, "qty": number, "flags": Flag.LAST}
        self.say("book", self._row(Kind.LEVEL, now, id=self.book_id, aux=before + 1, aux2=before, **level))
        self.say("quote", self._row(Kind.QUOTE, now, id=self.book_id, price=price, qty=1, aux=price + 1, aux2=1))

    def say(self, stream: str, rows: Events, *wants: Want) -> None:
        """Send a frame to every connection that carries `stream`, unless it is muted."""
        self._said.append(Said(stream, rows, wants))
        for plan, socket in self.open.values():
            if stream in PLANS[plan] and stream not in self.muted and plan not in self.stalled:
                socket.receive(Frame(self.clock.now_ns() + self.lag_ns, str(len(self._said) - 1).encode()))

    def lose(self, plan: str, error: VenueError | None = None) -> None:
        """Break the connections of `plan`."""
        for name, socket in list(self.open.values()):
            if name == plan:
                socket.lose(error or ConnectionLost(plan, 1006, "the peer is gone"))

    async def dial(self, url: str) -> ScriptedSocket:
        """Return a connection of the plan that `url` names."""
        if not self.can_dial:
            raise ConnectFailed(url, "refused")
        socket = ScriptedSocket(url)
        self.sockets_made.append((url, socket))
        return socket

    def sockets(self) -> Sequence[SocketPlan]:
        p = self._params
        first, silent = p.first_message_seconds, p.silence_seconds
        public = (StreamPlan("book", first, silent), StreamPlan("quote", first, silent, is_price=True))
        # one bar a minute
        market = (StreamPlan("trade", first, silent, is_price=True), StreamPlan("bar", 90.0, 90.0))
        return (
            SocketPlan("public", "public", (b"hello",), public, self._life_s),
            SocketPlan("market", "market", (), market, self._life_s),
        )

    def opened(self, socket: str, connection: int) -> None:
        if socket == "public" and socket not in {plan for plan, _ in self.open.values()}:
            self._chain = 0
        made = [made for name, made in self.sockets_made if name == socket]
        self.open[connection] = (socket, made[-1])

    def closed(self, socket: str, connection: int) -> None:
        del self.open[connection]

    def decode(self, socket: str, connection: int, frames: Sequence[Frame]) -> Decoded:
        rows: list[Events] = []
        heard: dict[str, None] = {}
        wants: list[Want] = []
        for frame in frames:
            said = self._said[int(frame.data)]
            copy = said.rows.copy()
            copy["ts_recv"] = frame.ts_recv
            rows.append(copy)
            heard[said.stream] = None
            wants += said.wants
            if said.stream == "book" and len(copy) and copy["id"][0] > self._chain:
                if copy["aux2"][0] == self._chain:
                    self._chain = int(copy["id"][0])
                else:
                    wants.append(Want.BOOK)
        return Decoded(tape.joined(rows), tuple(heard), tuple(wants))

    async def book(self) -> Events:
        self._ask("book")
        now, self._chain = self.clock.now_ns(), self.book_id
        head = self._row(Kind.SNAPSHOT, now, id=self.book_id, qty=len(self.levels))
        flag = Flag.FROM_SNAPSHOT
        levels = [
            self._row(Kind.LEVEL, now, id=self.book_id, side=Side.BUY, price=price, qty=qty, flags=flag)
            for price, qty in self.levels.items()
        ]
        if levels:
            levels[-1]["flags"] |= int(Flag.LAST)
        return tape.joined([head, *levels])

    async def sync(self, num_bars: int, since: int) -> Events:
        self._ask("sync")
        return self._told(
            [*self.bars[-num_bars:], *(row for row in self.trades if len(row) and row["ts_event"][0] >= since)]
        )

    def polls(self) -> Sequence[Poll]:
        p = self._params
        return (
            Poll("price", p.rest_price_poll_seconds, PollWhen.ON_REST, self._price, is_price=True),
            Poll("bars", p.rest_kline_poll_seconds, PollWhen.ON_REST, self._bars),
            Poll("open_interest", p.oi_poll_seconds, PollWhen.ALWAYS, self._open_interest),
        )

    async def venue_time(self) -> VenueTime:
        self._ask("time")
        now = self.clock.now_ns()
        return VenueTime(now, now, now)

    async def _price(self) -> Events:
        self._ask("price")
        return self._told(self.trades[-10:])

    async def _bars(self) -> Events:
        self._ask("bars")
        return self._told(self.bars[-10:])

    async def _open_interest(self) -> Events:
        self._ask("open_interest")
        return self._row(Kind.OPEN_INTEREST, self.clock.now_ns(), qty=7)

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if not self.can_ask:
            raise self.ask_error or VenueUnavailable(what, 500, "down")

    def _told(self, rows: Sequence[Events]) -> Events:
        told = tape.joined(rows)
        told["flags"] |= int(Flag.BACKFILLED)
        told["ts_recv"] = self.clock.now_ns()
        return told

    def _bar(self, ts_open: int, now: int) -> Events:
        opened = self._row(Kind.BAR_OPEN, now, id=ts_open, price=10_000, qty=5, aux=10_007, interval_s=60)
        return tape.joined([opened, self._row(Kind.BAR_CLOSE, now, id=ts_open, price=9_999, aux=10_001, interval_s=60)])

    # a venue's own time is a little before it arrives
    def _row(self, kind: Kind, now: int, **columns: int) -> Events:
        instrument = self.instrument
        row = tape.event(kind, now, venue=instrument.venue, instrument=instrument.id, **columns)
        row["ts_event"] = now - 1_000_000
        return row
