"""A venue made of numbers, for what is told of adapters."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from types import SimpleNamespace

import pytest

from spyhop.errors import VenueUnavailable
from spyhop.model import tape
from spyhop.model.instruments import Instrument
from spyhop.model.raw import RawRecord
from spyhop.model.tape import Events, Kind, Venue
from spyhop.venues.adapter import Decoded, Poll, PollWhen, SocketPlan, VenueTime
from spyhop.venues.transport import Frame, Http, Response

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
