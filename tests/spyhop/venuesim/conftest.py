"""A small market whose every row is known, and a simulator of Binance that runs on it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import urlencode

import aiohttp
import numpy as np
import pytest
from yarl import URL

from spyhop.clock import NS_PER_MS, NS_PER_S, Clock, WallClock
from spyhop.model.instruments import Instrument, MarginTier
from spyhop.model.tape import EVENT, Events, Flag, Kind, Side, Venue
from spyhop.venuesim.binance.front import SpotFront, UsdmFront
from spyhop.venuesim.exchange import Exchange
from spyhop.venuesim.faults import Fault, Faults
from spyhop.venuesim.floor import Floor
from spyhop.venuesim.keys import ApiKey
from spyhop.venuesim.server import Running, serve

KEY = ApiKey("alice", "alice-key", "alice-secret")
OTHER = ApiKey("bob", "bob-key", "bob-secret")
MID = 600_000  # ticks of 0.1
STEP_NS = 100 * NS_PER_MS
FIRST_ID = 11_270_657_000_000


def instrument(venue: Venue, symbol: str = "BTCUSDT") -> Instrument:
    tiers = (
        MarginTier(Decimal(0), Decimal("0.004"), Decimal(125)),
        MarginTier(Decimal(50_000), Decimal("0.005"), Decimal(100), Decimal(50)),
    )
    return Instrument(
        id=0,
        venue=venue,
        symbol=symbol,
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.001"),
        base=symbol.removesuffix("USDT"),
        min_qty=Decimal("0.001"),
        min_notional=Decimal(5),
        margin_tiers=() if venue is Venue.BINANCE_SPOT else tiers,
    )


def scripted_tape(venue: Venue, start: int, seconds: int) -> Events:
    """The tape of `tape_from_zero`, begun at `start`."""
    tape = tape_from_zero(venue, seconds).copy()
    tape["ts_event"] += start
    tape["ts_recv"] += start
    tape["id"][tape["kind"] == Kind.MARK] += start
    return tape


@cache
def tape_from_zero(venue: Venue, seconds: int) -> Events:
    """A snapshot of 30 levels a side, then every 100 ms a diff, a quote and a trade; a mark a second and three
    liquidations in every two and a half.

    The mid goes round by a few ticks, so that books, bars and prices all change; everything is a function of the step.
    """
    is_spot = venue is Venue.BINANCE_SPOT
    rows: list[tuple[int, ...]] = []

    def row(kind: Kind, ts: int, side: int = 0, flags: int = 0, price: int = 0, qty: int = 0, number: int = 0,
            aux: int = 0, aux2: int = 0) -> None:  # fmt: skip
        rows.append((int(kind), side, int(venue), flags, 0, 0, ts, ts, price, qty, number, aux, aux2))

    row(Kind.SNAPSHOT, 0, qty=60, number=FIRST_ID)
    levels = [(Side.BUY, MID - 1 - depth, 500 + depth) for depth in range(30)]
    levels += [(Side.SELL, MID + 1 + depth, 500 + depth) for depth in range(30)]
    for place, (side, price, qty) in enumerate(levels):
        last = int(Flag.LAST) if place == len(levels) - 1 else 0
        row(Kind.LEVEL, 0, side, int(Flag.FROM_SNAPSHOT) | last, price, qty, FIRST_ID, FIRST_ID, -1)
    before = FIRST_ID
    for step in range(1, seconds * 10):
        ts, number = step * STEP_NS, FIRST_ID + 10 * step
        first = before + 1 if is_spot else before + 3
        previous = -1 if is_spot else before
        qty = 400 + step % 100
        row(Kind.LEVEL, ts, Side.BUY, 0, MID - 1, qty, number, first, previous)
        row(Kind.LEVEL, ts, Side.SELL, int(Flag.LAST), MID + 1, qty + 1, number, first, previous)
        row(Kind.QUOTE, ts, 0, 0, MID - 1, qty, number, MID + 1, qty + 1)
        side = Side.BUY if step % 2 else Side.SELL
        row(Kind.TRADE, ts, side, 0, MID + int(side), 1 + step % 7, 7_967_419_000 + step)
        if step % 10 == 0 and not is_spot:
            mark = MID * 10_000_000
            row(Kind.MARK, ts, 0, 0, MID, 0, 3_600 * NS_PER_S, mark, mark)
            row(Kind.OPEN_INTEREST, ts, 0, 0, 0, 5_000_000 + step)
        if step % 25 < 3 and not is_spot:
            row(Kind.LIQUIDATION, ts, Side.SELL, 0, MID - 1, 14, 0, MID - 1)
        before = number
    tape = np.zeros(len(rows), EVENT)
    tape[:] = rows
    return tape


class ScriptedMarket:
    def __init__(self, one: Instrument, tape: Events) -> None:
        self.instrument = one
        self._tape, self._at = tape, 0

    def read(self, until: int) -> Events:
        end = int(np.searchsorted(self._tape["ts_recv"], until, "right"))
        rows = self._tape[self._at : end].copy()
        self._at = max(end, self._at)
        return rows


def exchange_of(start: int) -> Exchange:
    symbols = [(Venue.BINANCE_USDM, "BTCUSDT"), (Venue.BINANCE_USDM, "ETHUSDT"), (Venue.BINANCE_SPOT, "BTCUSDT")]
    markets = [ScriptedMarket(instrument(venue, name), scripted_tape(venue, start, 600)) for venue, name in symbols]
    return Exchange(markets, start)


def floor_of(clock: Clock, faults: Sequence[Fault], start: int) -> Floor:
    return Floor(exchange_of(start), clock, Faults(clock.now_ns, np.random.default_rng(1), faults))


class Bench:
    """A running simulator and a plain HTTP session to talk with it."""

    def __init__(self, running: Running, usdm: UsdmFront, spot: SpotFront, http: aiohttp.ClientSession) -> None:
        self.running, self.usdm, self.spot, self.http = running, usdm, spot, http
        self.floor, self.endpoints = running.floor, running.endpoints
        self.key, self.other_key = KEY, OTHER

    async def get(self, path: str, **params: Any) -> Any:
        base = self.endpoints.binance_spot.rest if path.startswith("/api") else self.endpoints.binance_usdm.rest
        async with self.http.get(base + path, params=params) as reply:
            return await reply.json()

    async def call(
        self, method: str, path: str, key: ApiKey = KEY, **params: Any
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Send a signed request and return status, body and headers; futures parameters travel in the query."""
        base = self.endpoints.binance_spot.rest if path.startswith("/api") else self.endpoints.binance_usdm.rest
        query = urlencode({**params, "timestamp": params.get("timestamp", self.floor.clock.now_ns() // NS_PER_MS)})
        signature = hmac.new(key.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        url = URL(f"{base}{path}?{query}&signature={signature}", encoded=True)
        async with self.http.request(method, url, headers={"X-MBX-APIKEY": key.key}) as reply:
            return reply.status, await reply.json(), reply.headers

    async def place(self, **params: Any) -> Any:
        """Place an order on the futures market and return the body; GTC unless told otherwise."""
        usual = {"symbol": "BTCUSDT", "newOrderRespType": "RESULT"}
        if params.get("type") == "LIMIT":
            usual["timeInForce"] = "GTC"
        return (await self.call("POST", "/fapi/v1/order", **{**usual, **params}))[1]

    async def told(self, socket: Any, wanted: Callable[[Any], bool], within_s: float = 5.0) -> list[Any]:
        """Return what a socket says up to the first message that is `wanted`."""
        heard: list[Any] = []
        async with asyncio.timeout(within_s):
            while True:
                message = await socket.receive()
                assert message.type is aiohttp.WSMsgType.TEXT, message
                heard.append(json.loads(message.data))
                if wanted(heard[-1]):
                    return heard

    def ws(self, path: str, *, is_spot: bool = False) -> Any:
        base = self.endpoints.binance_spot.ws if is_spot else self.endpoints.binance_usdm.ws
        return self.http.ws_connect(base + path)


@pytest.fixture
def bench() -> Callable[..., AbstractAsyncContextManager[Bench]]:
    """A simulator of both markets, started three seconds into its tape."""

    @asynccontextmanager
    async def running(
        faults: Sequence[Fault] = (), clock: Clock | None = None, started_ago_s: float = 3.0
    ) -> AsyncIterator[Bench]:
        clock = clock or WallClock()
        start = clock.now_ns() - int(started_ago_s * NS_PER_S)
        floor = floor_of(clock, faults, start)
        usdm, spot = UsdmFront(floor, (KEY, OTHER)), SpotFront(floor, (KEY, OTHER))
        sim = await serve(floor, [usdm, spot])
        http = aiohttp.ClientSession()
        try:
            yield Bench(sim, usdm, spot, http)
        finally:
            await http.close()
            await sim.close()

    return running


@pytest.fixture(scope="module")
def scripted_exchange() -> Callable[[int], Exchange]:
    """The scripted markets as an exchange that begins at a time."""
    return exchange_of
