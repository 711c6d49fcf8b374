"""A venue made of numbers, for what is told of adapters."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
import numpy as np
import pytest
from yarl import URL

from spyhop.clock import NS_PER_MS
from spyhop.errors import VenueUnavailable
from spyhop.model import tape
from spyhop.model.instruments import Instrument
from spyhop.model.raw import RawRecord
from spyhop.model.tape import Events, Kind, Venue
from spyhop.venues.adapter import Decoded, Poll, PollWhen, SocketPlan, VenueTime
from spyhop.venues.live.private import Connected, Lost, PrivateStream, Told
from spyhop.venues.net import sockets
from spyhop.venues.net.transport import Frame, Http, Response
from spyhop.venues.params import FeedParams
from spyhop.venuesim import options
from spyhop.venuesim.faults import Fault, FaultKind
from spyhop.venuesim.keys import TEST_KEY
from spyhop.venuesim.options import SimOptions
from spyhop.venuesim.server import Running, serve

BTC = Instrument(id=0, venue=Venue.DYDX, symbol="BTC-USD", tick_size=Decimal(1), lot_size=Decimal(1))


class Kept(list[RawRecord]):
    """What was told."""

    def add(self, record: RawRecord) -> None:
        self.append(record)


class Numbers:
    """A venue that answers every request with its query; an Http."""

    async def request(
        self, method: str, url: str, params: Mapping[str, str | int] | None = None, *, timeout_s: float = 10.0
    ) -> Response:
        await asyncio.sleep(0)
        if url.endswith("broken"):
            raise VenueUnavailable(url, 500, "broken")
        return Response(200, {}, repr(params).encode(), 1, 2)

    async def close(self) -> None: ...


class Echo:
    """An adapter whose frames and answers are numbers of trades; an Adapter."""

    def __init__(self, http: Http) -> None:
        self.instrument = BTC
        self._http = http
        self.is_open: set[int] = set()

    def sockets(self) -> list[SocketPlan]:
        return []

    def opened(self, socket: str, connection: int) -> None:
        self.is_open.add(connection)

    def closed(self, socket: str, connection: int) -> None:
        self.is_open.remove(connection)

    def decode(self, socket: str, connection: int, frames: list[Frame]) -> Decoded:
        rows = [_trade(frame.ts_recv, int(frame.data)) for frame in frames if frame.data.isdigit()]
        aside = tuple(("no number", frame.data) for frame in frames if not frame.data.isdigit())
        return Decoded(tape.joined(rows), set_aside=aside, ignored={"open": len(self.is_open)})

    async def book(self) -> Events:
        return await self._ask("book", 1)

    async def sync(self, num_bars: int, since: int) -> Events:
        return tape.joined(await asyncio.gather(*(self._ask("bars", since + k) for k in range(num_bars))))

    def polls(self) -> list[Poll]:
        return [Poll(name, 1.0, PollWhen.ALWAYS, lambda name=name: self._ask(name, 5)) for name in ("rate", "broken")]

    async def venue_time(self) -> VenueTime:
        await self._ask("time", 0)
        return VenueTime(0, 0, 0)

    async def _ask(self, what: str, number: int) -> Events:
        answer = await self._http.request("GET", f"http://venue/{what}", {"n": number})
        return _trade(answer.ts_recv, int(answer.body.split(b":")[1].strip(b" }")) + 100)


def _trade(ts: int, number: int) -> Events:
    return tape.event(Kind.TRADE, ts, id=number, price=1, qty=1)


@pytest.fixture(scope="session")
def echo() -> SimpleNamespace:
    """The instrument, the adapter, its venue and a keeper of raw records."""
    return SimpleNamespace(instrument=BTC, Adapter=Echo, Venue=Numbers, Kept=Kept)


class Listener:
    """A private stream that runs, and what it has told."""

    def __init__(self, stream: PrivateStream[Any]) -> None:
        self.stream = stream
        self.told: list[Told[Any]] = []
        self._place = 0

    @property
    def events(self) -> list[Any]:
        """What happened to the account."""
        return [told.event for told in self.told if not isinstance(told.event, Connected | Lost)]

    @property
    def breaks(self) -> list[Connected | Lost]:
        return [told.event for told in self.told if isinstance(told.event, Connected | Lost)]

    @property
    def about(self) -> dict[str, float]:
        return self.stream.statistics()

    async def until(self, is_it: Callable[[Any], bool], within_s: float = 15.0) -> Any:
        """Return the first event that is wanted behind the one returned before."""
        async with asyncio.timeout(within_s):
            while True:
                while self._place < len(self.told):
                    self._place += 1
                    if is_it(self.told[self._place - 1].event):
                        return self.told[self._place - 1].event
                self.told += await self.stream.take()

    async def becomes(self, name: str, value: float, within_s: float = 15.0) -> None:
        """Wait, taking nothing, until a number of the statistics is at least `value`."""
        async with asyncio.timeout(within_s):
            while self.about[name] < value:
                await asyncio.sleep(0.01)


class Simulated:
    """The three venues in this process, and a client that signs requests for Binance."""

    def __init__(self, running: Running, http: aiohttp.ClientSession) -> None:
        self.floor, self.endpoints, self._http = running.floor, running.endpoints, http
        self.clock, self.key = running.floor.clock, TEST_KEY

    def fault(self, kind: str, **about: Any) -> None:
        self.floor.faults.add(Fault(kind=FaultKind(kind), **about))

    def top(self, instrument: int) -> tuple[Decimal, Decimal]:
        """Return the best bid and ask."""
        _, bids, asks = self.floor.exchange.book(instrument, 1)
        tick = self.floor.exchange.instruments[instrument].tick_size
        return bids[0][0] * tick, asks[0][0] * tick

    async def call(self, method: str, path: str, **params: Any) -> Any:
        """Send a signed request and return the body of a success."""
        base = self.endpoints.binance_spot.rest if path.startswith("/api") else self.endpoints.binance_usdm.rest
        query = urlencode({**params, "timestamp": self.clock.now_ns() // NS_PER_MS})
        signature = hmac.new(self.key.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        url = URL(f"{base}{path}?{query}&signature={signature}", encoded=True)
        async with self._http.request(method, url, headers={"X-MBX-APIKEY": self.key.key}) as reply:
            body = msgspec.json.decode(await reply.read())
            assert reply.status == 200, body
            return body

    def stream(self, adapter: Any, params: FeedParams | None = None, *, max_events: int = 10_000) -> PrivateStream[Any]:
        """Return a private stream over real sockets."""
        return PrivateStream(
            adapter,
            sockets.connect(self.clock),
            params or FeedParams(),
            self.clock,
            generator=np.random.default_rng(1),
            max_events=max_events,
        )

    @contextlib.asynccontextmanager
    async def listen(self, adapter: Any, params: FeedParams | None = None, **about: Any) -> AsyncIterator[Listener]:
        """Run a private stream."""
        stream = self.stream(adapter, params, **about)
        running = asyncio.create_task(stream.run())
        try:
            yield Listener(stream)
        finally:
            running.cancel()
            (result,) = await asyncio.gather(running, return_exceptions=True)
        assert isinstance(result, asyncio.CancelledError), result


@pytest.fixture
def simulated(prepared_kernels: None) -> Callable[..., Any]:
    """Three simulated venues with generated markets, at a speed."""

    @contextlib.asynccontextmanager
    async def started(speed: float = 1.0, faults: Sequence[Fault] = ()) -> AsyncIterator[Simulated]:
        wanted = SimOptions(seed=5, history_s=60.0, speed=speed)
        floor, clock = options.floor(wanted)
        for fault in faults:
            floor.faults.add(fault)
        running = await serve(floor, options.fronts(floor, wanted), clock=clock)
        try:
            async with aiohttp.ClientSession() as http:
                yield Simulated(running, http)
        finally:
            await running.close()

    return started
