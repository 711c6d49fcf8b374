"""A desk at the simulated USDT-M market over real sockets: signatures, streams, faults, kills.

What the simulator's own books say afterwards is the truth that the desk is held to.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from spyhop.clock import NS_PER_S
from spyhop.model.orders import (
    CancelOrder,
    Fill,
    OrderRejected,
    OrderStatus,
    OrderType,
    OrderUnknown,
    Purpose,
    Reconciled,
    SubmitOrder,
)
from spyhop.model.tape import Side, Venue
from spyhop.venues.binance.private import UsdmPrivate
from spyhop.venues.binance.reports import BinanceReports
from spyhop.venues.ccxt.trader import binance_trader
from spyhop.venues.desk.desk import Desk, DeskParams
from spyhop.venues.desk.flatten import flatten
from spyhop.venues.desk.reconciling import ReconcileParams
from spyhop.venues.desk.requests import RequestParams
from spyhop.venues.desk.streams import ReadStream
from spyhop.venues.net.https import HttpClient
from spyhop.venues.params import FeedParams

pytestmark = pytest.mark.slow

ATTENTIVE = FeedParams(silence_seconds=1.0, first_message_seconds=1.0, ws_backoff_min=0.05, ws_backoff_max=0.5)
PARAMS = DeskParams(
    requests=RequestParams(validity_s=1.0, ask_min_s=0.05, confirm_s=0.3, request_s=5.0),
    reconcile=ReconcileParams(every_s=1.0, unclean_s=0.3, grace_s=0.3, look_again_s=0.1),
)
SESSION = "s20251128_171500_123456"


class Floor:
    """A simulator, a desk at it, and orders that number themselves."""

    def __init__(self, sim: Any, folder: Path) -> None:
        self.sim, self.folder = sim, folder
        self.instruments = {one.id: one for one in sim.floor.exchange.instruments if one.venue is Venue.BINANCE_USDM}
        self.instrument = min(self.instruments)
        key, mine = sim.key, list(self.instruments.values())
        self.trader = binance_trader(
            Venue.BINANCE_USDM, sim.endpoints, key.key, key.secret, mine, sim.clock, timeout_s=2.0
        )
        self.desk: Desk
        self._numbers = count(1)

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[Desk]:
        """Have the desk run until it is killed at the end of the block."""
        http = HttpClient(self.sim.clock, headers={"X-MBX-APIKEY": self.sim.key.key})
        adapter = UsdmPrivate(self.sim.endpoints.binance_usdm, http, ATTENTIVE)
        try:
            async with self.sim.listen(adapter, ATTENTIVE) as listener:
                stream = ReadStream[Any](listener.stream, BinanceReports(list(self.instruments.values())))
                self.desk = Desk(self.trader, stream, self.folder, self.sim.clock, self.instruments, PARAMS)
                running = asyncio.create_task(self.desk.run())
                try:
                    yield self.desk
                finally:
                    running.cancel()
                    (outcome,) = await asyncio.gather(running, return_exceptions=True)
                    self.desk.close()
                assert isinstance(outcome, asyncio.CancelledError), outcome
        finally:
            await http.close()

    def order(self, lots: int = 100, side: Side = Side.BUY, **about: Any) -> SubmitOrder:
        return SubmitOrder(
            ts=self.sim.clock.now_ns(),
            client_order_id=f"{SESSION}-{next(self._numbers):06d}",
            instrument=self.instrument,
            side=side,
            type=about.pop("type", OrderType.MARKET),
            lots=lots,
            purpose=Purpose.ENTRY,
            **about,
        )

    def resting(self, lots: int = 100) -> SubmitOrder:
        _, bids, _ = self.sim.floor.exchange.book(self.instrument, 1)
        return self.order(lots, type=OrderType.LIMIT, price=bids[0][0] * 99 // 100)

    def send(self, *commands: SubmitOrder | CancelOrder) -> None:
        self.desk.take(self.desk.num_commands, commands)

    def back(self, order: SubmitOrder) -> CancelOrder:
        return CancelOrder(
            ts=self.sim.clock.now_ns(), client_order_id=order.client_order_id, instrument=order.instrument
        )

    async def until(self, is_it: Callable[[], bool], within_s: float = 15.0) -> None:
        async with asyncio.timeout(within_s):
            while not is_it():
                await asyncio.sleep(0.02)

    async def ended(self, *orders: SubmitOrder) -> None:
        await self.until(lambda: all(not self.desk.account.orders[one.client_order_id].is_alive for one in orders))

    def agree(self) -> None:
        """Assert that the simulator's books and the desk's are the same."""
        exchange, account = self.sim.floor.exchange, self.desk.account
        (name,) = exchange.accounts(Venue.BINANCE_USDM)[:1]
        truth = exchange.executions(name, self.instrument)
        fills = [one for one in self.desk.reports_since(0) if isinstance(one, Fill)]
        assert sorted((one.fill_id, one.price, one.lots) for one in fills) == sorted(
            (str(one.trade_id), one.price, one.lots) for one in truth
        )
        known = [order.request.client_id for order in exchange.orders(name, self.instrument)]
        assert len(set(known)) == len(known)
        assert set(known) <= account.orders.keys()
        rejected = {key for key, own in account.orders.items() if own.status is OrderStatus.REJECTED}
        assert rejected.isdisjoint(known)


def play(simulated: Any, folder: Path, scene: Callable[[Floor], Awaitable[None]]) -> None:
    async def go() -> None:
        async with simulated() as sim:
            floor = Floor(sim, folder)
            try:
                await scene(floor)
            finally:
                await floor.trader.close()

    asyncio.run(go())


def test_orders_go_out_and_their_fate_comes_back(simulated: Any, tmp_path: Path) -> None:
    async def scene(floor: Floor) -> None:
        async with floor.at_work() as desk:
            market, resting = floor.order(300), floor.resting()
            floor.send(market, resting)
            await floor.until(lambda: desk.account.orders[resting.client_order_id].status is OrderStatus.OPEN)
            floor.send(floor.back(resting))
            await floor.ended(market, resting)
            assert desk.account.orders[market.client_order_id].status is OrderStatus.FILLED
            assert desk.account.orders[resting.client_order_id].status is OrderStatus.CANCELLED
            await floor.until(lambda: desk.statistics()["unclean"] == 0.0)
            (held,) = await floor.trader.positions()
            assert desk.account.lots[floor.instrument] == held.lots == 300
            floor.agree()

    play(simulated, tmp_path, scene)


@pytest.mark.parametrize("kind", ["unknown_executed", "unknown_lost", "event_first", "reply_first", "late"])
def test_whatever_goes_wrong_with_an_order_both_books_agree(simulated: Any, tmp_path: Path, kind: str) -> None:
    async def scene(floor: Floor) -> None:
        async with floor.at_work() as desk:
            await floor.until(lambda: desk.statistics()["connected"] == 1.0)
            target = "*userData*" if kind == "late" else "POST /fapi/v1/order"
            floor.sim.fault(kind, target=target, count=1, delay_s=0.5)
            order = floor.order(300)
            floor.send(order)
            await floor.ended(order)
            own = desk.account.orders[order.client_order_id]
            assert own.status is (OrderStatus.REJECTED if kind == "unknown_lost" else OrderStatus.FILLED)
            kinds = [type(one) for one in desk.reports_since(0)]
            assert (OrderRejected in kinds) == (kind == "unknown_lost")
            assert kind != "unknown_lost" or OrderUnknown in kinds
            floor.agree()

    play(simulated, tmp_path, scene)


def test_a_killed_desk_goes_on_where_it_was(simulated: Any, tmp_path: Path) -> None:
    async def scene(floor: Floor) -> None:
        async with floor.at_work() as desk:
            resting, market = floor.resting(), floor.order(200)
            floor.send(resting)
            await floor.until(lambda: desk.account.orders[resting.client_order_id].status is OrderStatus.OPEN)
            floor.send(market)
            await asyncio.sleep(0)  # on its way, and nobody waits for the answer any more
        heard = desk.reports_since(0)
        async with floor.at_work() as desk:
            assert desk.reports_since(0)[: len(heard)] == heard
            floor.send(floor.back(resting))
            await floor.ended(resting, market)
            await floor.until(lambda: desk.statistics()["unclean"] == 0.0)
            verdicts = [one for one in desk.reports_since(0) if isinstance(one, Reconciled)]
            assert verdicts[-1].is_clean
            floor.agree()

    play(simulated, tmp_path, scene)


def test_everything_is_ended_without_a_desk(simulated: Any, tmp_path: Path) -> None:
    async def scene(floor: Floor) -> None:
        await floor.trader.submit(floor.order(500))
        await floor.trader.submit(floor.resting())
        stop = floor.order(500, Side.SELL, type=OrderType.STOP_MARKET, reduce_only=True)
        _, bids, _ = floor.sim.floor.exchange.book(floor.instrument, 1)
        await floor.trader.submit(type(stop)(**{**_fields(stop), "trigger": bids[0][0] * 98 // 100}))
        assert len(await floor.trader.open_orders()) == 2
        done = await flatten(floor.trader, floor.instruments, floor.sim.clock)
        assert done.is_flat
        assert done.ended - done.begun < 10 * NS_PER_S
        assert await floor.trader.open_orders() == await floor.trader.positions() == []

    play(simulated, tmp_path, scene)


def _fields(order: SubmitOrder) -> dict[str, Any]:
    return {name: getattr(order, name) for name in order.__struct_fields__}
