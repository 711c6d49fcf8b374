"""A small dYdX market whose every row is known, a simulator that runs on it, and a wallet that signs by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from functools import cache
from typing import Any

import aiohttp
import msgspec
import numpy as np
import pytest
from coincurve import PrivateKey

from spyhop.clock import NS_PER_MS, NS_PER_S, EventClock
from spyhop.model.instruments import Instrument, MarginTier
from spyhop.model.tape import EVENT, Events, Flag, Kind, Side, Venue
from spyhop.venuesim.dydx import messages as pb
from spyhop.venuesim.dydx import wallets
from spyhop.venuesim.dydx.chain import CHAIN_ID
from spyhop.venuesim.dydx.front import DydxFront
from spyhop.venuesim.dydx.protobuf import Message, encode
from spyhop.venuesim.exchange import Exchange
from spyhop.venuesim.faults import Fault, Faults
from spyhop.venuesim.floor import Floor
from spyhop.venuesim.keys import TEST_WALLET
from spyhop.venuesim.server import Running, serve

START = 1_780_000_020 * NS_PER_S  # a whole minute in May 2026
HISTORY_S = 180
STEP_NS = 100 * NS_PER_MS
MID = 60_000
FIRST_TRADE = 5_000


def instrument(symbol: str = "BTC-USD", tick: str = "1", lot: str = "0.0001") -> Instrument:
    return Instrument(
        id=0,
        venue=Venue.DYDX,
        symbol=symbol,
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        base=symbol.removesuffix("-USD"),
        quote="USDC",
        min_qty=Decimal(lot),
        margin_tiers=(MarginTier(Decimal(0), Decimal("0.012"), Decimal(50)),),
    )


@cache
def scripted_tape(start: int, seconds: int) -> Events:
    """A snapshot of 120 levels a side at `MID`, then every 100 ms a change of both tops and a trade; a mark a second.

    The third minute has no trades, and an hourly funding payment stands at the first second.
    """
    rows: list[tuple[int, ...]] = []

    def row(kind: Kind, ts: int, side: int = 0, flags: int = 0, price: int = 0, qty: int = 0, number: int = 0,
            aux: int = 0, aux2: int = 0) -> None:  # fmt: skip
        rows.append((int(kind), side, int(Venue.DYDX), flags, 0, 0, ts, ts, price, qty, number, aux, aux2))

    row(Kind.SNAPSHOT, start, qty=240, number=1)
    levels = [(Side.BUY, MID - 1 - depth, 500 + depth) for depth in range(120)]
    levels += [(Side.SELL, MID + 1 + depth, 500 + depth) for depth in range(120)]
    for place, (side, price, qty) in enumerate(levels):
        last = int(Flag.LAST) if place == len(levels) - 1 else 0
        row(Kind.LEVEL, start, side, int(Flag.FROM_SNAPSHOT) | last, price, qty, 1, 1, -1)
    for step in range(1, seconds * 10):
        ts, number = start + step * STEP_NS, 1 + step
        qty = 400 + step % 100
        row(Kind.LEVEL, ts, Side.BUY, 0, MID - 1, qty, number, number, number - 1)
        row(Kind.LEVEL, ts, Side.SELL, int(Flag.LAST), MID + 1, qty + 1, number, number, number - 1)
        if not 1_200 <= step < 1_800:
            side = Side.BUY if step % 2 else Side.SELL
            row(Kind.TRADE, ts, side, 0, MID + int(side), 1 + step % 7, FIRST_TRADE + step)
            if step % 50 == 0:
                row(Kind.LIQUIDATION, ts, side, 0, MID + int(side), 1 + step % 7, 0, MID + int(side))
        if step % 10 == 0:
            mark = (MID + step // 10 % 3) * 100_000_000
            row(Kind.MARK, ts, 0, 0, mark // 100_000_000, 0, start + 3_600 * NS_PER_S, mark, mark)
            row(Kind.OPEN_INTEREST, ts, 0, 0, 0, 5_000_000 + step)
        if step == 10:
            row(Kind.FUNDING, ts, 0, int(Flag.SETTLED), MID, 0, ts, 12_500_000, 3_600 * NS_PER_S)
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


class Signer:
    """A wallet of a test: signs messages for the simulator's chain."""

    def __init__(self, secret: str, number: int) -> None:
        self.key = PrivateKey(bytes.fromhex(secret))
        self.public_key = self.key.public_key.format(compressed=True)
        self.address = wallets.address_of(self.public_key)
        self.number = number

    def order_id(self, client_id: int, flags: int = 0, *, pair: int = 0, subaccount: int = 0) -> pb.OrderId:
        return pb.OrderId(pb.SubaccountId(self.address, subaccount), client_id, flags, pair)

    def order(self, client_id: int, flags: int = 0, *, lots: int = 10, price: int = MID - 5, **other: Any) -> Message:
        """A bid of `lots` below the market unless `other` says otherwise."""
        columns = {
            "order_id": self.order_id(client_id, flags),
            "side": pb.OrderSide.BUY,
            "quantums": lots * 1_000_000,
            "subticks": price * 100_000,
            **other,
        }
        return pb.MsgPlaceOrder(order=pb.ChainOrder(**columns))

    def sign(
        self, *messages: Message, sequence: int = 0, chain_id: str = CHAIN_ID, number: int = -1, memo: str = ""
    ) -> bytes:
        names = {kind: name for name, kind in pb.SERVED.items()}
        packed = tuple(pb.Any(names[type(message)], encode(message)) for message in messages)
        body = encode(pb.TxBody(messages=packed, memo=memo))
        signer = pb.SignerInfo(
            pb.Any("/cosmos.crypto.secp256k1.PubKey", encode(pb.PubKey(self.public_key))),
            pb.ModeInfo(pb.SingleMode(1)),
            sequence,
        )
        auth = encode(pb.AuthInfo(signer_infos=(signer,), fee=pb.Fee(gas_limit=1_000_000)))
        document = pb.SignDoc(body, auth, chain_id, self.number if number < 0 else number)
        signature = self.key.sign_recoverable(encode(document))[:64]
        return encode(pb.TxRaw(body, auth, (signature,)))


class Bench:
    """A running simulator whose time stands until it is told to pass."""

    def __init__(self, running: Running, front: DydxFront, clock: EventClock, http: aiohttp.ClientSession) -> None:
        self.running, self.front, self.clock, self.http = running, front, clock, http
        self.floor, self.endpoints = running.floor, running.endpoints
        self.signer = Signer(TEST_WALLET, 1)

    @property
    def height(self) -> int:
        return self.front.node.height

    def turn(self, seconds: float) -> None:
        """Let time pass, a tenth of a second at a time."""
        for _ in range(round(seconds * 10)):
            self.clock.advance(STEP_NS)
            self.floor.turn()

    def next_block(self) -> None:
        """Let time pass to the next block."""
        height = self.height
        while self.height == height:
            self.turn(0.1)

    async def get(self, path: str, **params: Any) -> Any:
        """GET of the indexer; returns the body."""
        async with self.http.get(self.endpoints.dydx.indexer + path, params=params) as reply:
            return msgspec.json.decode(await reply.read())

    async def ask(self, path: str, **params: Any) -> Any:
        """GET of the node."""
        async with self.http.get(self.endpoints.dydx.node_rpc + path, params=params) as reply:
            return msgspec.json.decode(await reply.read())

    async def broadcast(self, raw: bytes) -> Any:
        """Broadcast a transaction; returns the result."""
        return (await self.ask("/broadcast_tx_sync", tx="0x" + raw.hex()))["result"]

    def ws(self) -> Any:
        return self.http.ws_connect(self.endpoints.dydx.ws)


@pytest.fixture
def bench() -> Callable[..., AbstractAsyncContextManager[Bench]]:
    """A simulator of two dYdX markets, three minutes into their tape."""

    @asynccontextmanager
    async def running(faults: Sequence[Fault] = ()) -> AsyncIterator[Bench]:
        clock = EventClock(START + HISTORY_S * NS_PER_S)
        markets = [
            ScriptedMarket(instrument(), scripted_tape(START, 400)),
            ScriptedMarket(instrument("SHIB-USD", "0.000000001", "1000000"), scripted_tape(START, 400)),
        ]
        floor = Floor(Exchange(markets, START), clock, Faults(clock.now_ns, np.random.default_rng(1), faults))
        floor.advance()
        front = DydxFront(floor)
        sim = await serve(floor, [front])
        http = aiohttp.ClientSession()
        try:
            yield Bench(sim, front, clock, http)
        finally:
            await http.close()
            await sim.close()

    return running
