"""Spot by ccxt against the simulator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from spyhop.errors import OutcomeUnknown, VenueRefused
from spyhop.model.orders import OrderStatus, OrderType, TimeInForce
from spyhop.model.tape import Side, Venue

pytestmark = pytest.mark.slow


def play(stand: Any, scene: Callable[[Any], Awaitable[None]], **about: Any) -> None:
    async def go() -> None:
        async with stand(Venue.BINANCE_SPOT, **about) as at:
            await scene(at)

    asyncio.run(go())


def test_an_order_rests_is_found_and_is_taken_back(stand: Any) -> None:
    async def scene(at: Any) -> None:
        asked = at.order(lots=10_000)
        placed = await at.trader.submit(asked)
        assert (placed.client_order_id, placed.status) == (asked.client_order_id, OrderStatus.OPEN)
        assert (placed.lots, placed.price) == (asked.lots, asked.price)
        (known,) = at.known()
        assert (known.request.client_id, known.price, known.lots) == (asked.client_order_id, asked.price, asked.lots)
        assert await at.trader.open_orders() == [placed]
        assert await at.trader.order(asked.client_order_id, at.instrument) == placed
        await at.trader.cancel(at.back(asked))
        ended = await at.trader.order(asked.client_order_id, at.instrument)
        assert ended is not None
        assert ended.status is OrderStatus.CANCELLED
        with pytest.raises(VenueRefused):
            await at.trader.cancel(at.back(asked))
        assert await at.trader.order("s20251128_171500_123456-999999", at.instrument) is None

    play(stand, scene)


def test_fills_holdings_and_fees_in_what_was_bought(stand: Any) -> None:
    async def scene(at: Any) -> None:
        since = at.sim.clock.now_ns()
        (before,) = await at.trader.positions()
        asked = at.order(OrderType.MARKET, lots=20_000)
        placed = await at.trader.submit(asked)
        assert (placed.status, placed.filled) == (OrderStatus.FILLED, 20_000)
        fills = await at.trader.fills(at.instrument, since)
        assert sum(fill.lots for fill in fills) == 20_000
        assert {fill.client_order_id for fill in fills} == {asked.client_order_id}
        one = at.sim.floor.exchange.instruments[at.instrument]
        cost = sum(one.notional(fill.price, fill.lots) for fill in fills)
        assert sum(fill.fee for fill in fills) == pytest.approx(cost * 0.001)
        (after,) = await at.trader.positions()
        assert after.lots == before.lots + 20_000 - 20  # the fee of 0.1% was taken from what was bought
        money = {one.asset: one.total for one in await at.trader.balances()}
        assert money["USDT"] == pytest.approx(100_000 - cost)

    play(stand, scene)


@pytest.mark.parametrize(
    ("kind", "trigger", "price"),
    [
        (OrderType.STOP_MARKET, 0.99, 0.0),
        (OrderType.STOP_LIMIT, 0.99, 0.985),
        (OrderType.TAKE_PROFIT_MARKET, 1.01, 0.0),
        (OrderType.TAKE_PROFIT_LIMIT, 1.01, 1.005),
    ],
)
def test_conditional_orders(stand: Any, kind: OrderType, trigger: float, price: float) -> None:
    async def scene(at: Any) -> None:
        assert kind in at.trader.kinds
        about = {"trigger": int(at.top[0] * trigger), "price": int(at.top[0] * price)}
        asked = at.order(kind, Side.SELL, 10_000, **about)
        placed = await at.trader.submit(asked)
        assert (placed.trigger, placed.price, placed.status) == (asked.trigger, asked.price, OrderStatus.OPEN)
        (found,) = await at.trader.open_orders()
        assert (found.trigger, found.price, found.lots) == (asked.trigger, asked.price, asked.lots)
        await at.trader.cancel_all(at.instrument)
        await at.trader.cancel_all(at.instrument)
        assert await at.trader.open_orders() == []

    play(stand, scene)


def test_what_spot_has_and_has_not(stand: Any) -> None:
    async def scene(at: Any) -> None:
        assert OrderType.TRAILING_STOP not in at.trader.kinds
        assert not await at.trader.hold_switch(at.instrument, 5.0)
        await at.trader.set_leverage(at.instrument, 3.0)
        rights = await at.trader.rights()
        assert (rights.can_trade, rights.can_withdraw, rights.is_one_way) == (True, None, True)
        with pytest.raises(VenueRefused, match="immediately match"):
            await at.trader.submit(at.order(price=at.top[1] + 50, lots=10_000, lasting=TimeInForce.POST_ONLY))
        with pytest.raises(VenueRefused, match="no short position"):
            await at.trader.submit(at.order(OrderType.MARKET, reduce_only=True))

    play(stand, scene)


@pytest.mark.parametrize("kind", ["unknown_executed", "unknown_lost"])
def test_an_unknown_503_is_resolved_by_asking(stand: Any, kind: str) -> None:
    async def scene(at: Any) -> None:
        at.sim.fault(kind, count=1)
        asked = at.order(lots=10_000)
        with pytest.raises(OutcomeUnknown):
            await at.trader.submit(asked)
        found = await at.trader.order(asked.client_order_id, at.instrument)
        assert (found is not None) == (kind == "unknown_executed")
        assert len(at.known()) == int(kind == "unknown_executed")

    play(stand, scene)


def test_a_name_that_is_taken_is_no_second_order_and_no_refusal(stand: Any) -> None:
    async def scene(at: Any) -> None:
        asked = at.order(lots=10_000)
        await at.trader.submit(asked)
        with pytest.raises(OutcomeUnknown, match="has an order"):
            await at.trader.submit(asked)
        assert len(at.known()) == 1

    play(stand, scene)
