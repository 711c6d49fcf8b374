"""Any exchange by ccxt's unified words: Binance's simulator stands for one, a stand-in for those that can do less."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from spyhop.clock import NS_PER_MS, EventClock, WallClock
from spyhop.errors import NotAvailable, OutcomeUnknown, VenueRefused
from spyhop.model.accounts import KeyRights
from spyhop.model.instruments import Instrument
from spyhop.model.orders import CancelOrder, OrderStatus, OrderType, Purpose, SubmitOrder, TimeInForce
from spyhop.model.tape import Side, Venue
from spyhop.ports import Trader
from spyhop.venues.ccxt.calls import Calls
from spyhop.venues.ccxt.spot import SpotTrader
from spyhop.venues.ccxt.trader import CcxtTrader, binance_trader, ccxt_trader
from spyhop.venues.ccxt.usdm import UsdmTrader
from spyhop.venues.endpoints import LIVE

PERPETUAL = Instrument(
    id=9,
    venue=Venue.CCXT,
    symbol="binanceusdm/BTC/USDT:USDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
    base="BTC",
)
NAME = "s20251128_171500_123456-00000{}"


def order(number: int, kind: OrderType = OrderType.LIMIT, side: Side = Side.BUY, **about: Any) -> SubmitOrder:
    usual: dict[str, Any] = {"ts": 1, "instrument": 9, "lots": 100, "purpose": Purpose.ENTRY}
    return SubmitOrder(client_order_id=NAME.format(number), side=side, type=kind, **{**usual, **about})


def back(number: int) -> CancelOrder:
    return CancelOrder(ts=1, client_order_id=NAME.format(number), instrument=9)


@contextlib.asynccontextmanager
async def unified(simulated: Callable[..., Any]) -> AsyncIterator[tuple[Any, CcxtTrader]]:
    async with simulated() as sim:
        rest = sim.endpoints.binance_usdm.rest

        def prepare(client: Any) -> None:
            for version in ("", "V2", "V3"):
                path = f"{rest}/fapi/{version.lower() or 'v1'}"
                client.urls["api"][f"fapiPublic{version}"] = client.urls["api"][f"fapiPrivate{version}"] = path
            client.has["fetchCurrencies"] = False

        settings = {"apiKey": sim.key.key, "secret": sim.key.secret, "enableRateLimit": False}
        trader = ccxt_trader(Venue.CCXT, settings, [PERPETUAL], sim.clock, "second", prepare=prepare)
        try:
            yield sim, trader
        finally:
            await trader.close()


def play(simulated: Any, scene: Callable[[Any, CcxtTrader], Awaitable[None]]) -> None:
    async def go() -> None:
        async with unified(simulated) as (sim, trader):
            await scene(sim, trader)

    asyncio.run(go())


@pytest.mark.slow
def test_the_life_of_orders_at_any_exchange(simulated: Any) -> None:
    async def scene(sim: Any, trader: CcxtTrader) -> None:
        assert trader.name == "binanceusdm:second"
        since = sim.clock.now_ns()
        bid = int(sim.top(0)[0] / PERPETUAL.tick_size)
        asked = order(1, price=bid * 99 // 100)
        placed = await trader.submit(asked)
        assert (placed.client_order_id, placed.status) == (asked.client_order_id, OrderStatus.OPEN)
        assert (placed.lots, placed.price, placed.filled) == (100, asked.price, 0)
        assert [one.client_order_id for one in await trader.open_orders()] == [asked.client_order_id]
        found = await trader.order(asked.client_order_id, 9)
        assert found is not None
        assert found.venue_order_id == placed.venue_order_id
        await trader.cancel(back(1))
        ended = await trader.order(asked.client_order_id, 9)
        assert ended is not None
        assert ended.status is OrderStatus.CANCELLED
        await trader.set_leverage(9, 5.0)
        await trader.set_leverage(9, 5.0)
        filled = await trader.submit(order(2, OrderType.MARKET))
        assert (filled.status, filled.filled, filled.price) == (OrderStatus.FILLED, 100, 0)
        fills = await trader.fills(9, since)
        assert sum(fill.lots for fill in fills) == 100
        assert {fill.client_order_id for fill in fills} == {NAME.format(2)}
        cost = sum(PERPETUAL.notional(fill.price, fill.lots) for fill in fills)
        assert sum(fill.fee for fill in fills) == pytest.approx(cost * 0.0005)
        (held,) = await trader.positions()
        assert (held.lots, held.is_isolated) == (100, True)
        assert held.entry == pytest.approx(cost / 0.1 / PERPETUAL.tick)
        await trader.submit(order(3, OrderType.MARKET, Side.SELL, reduce_only=True))
        assert await trader.positions() == []
        (money,) = await trader.balances()
        assert (money.asset, money.total < 100_000) == ("USDT", True)
        assert await trader.rights() == KeyRights(is_one_way=True)

    play(simulated, scene)


@pytest.mark.slow
def test_what_was_not_answered_is_searched_for(simulated: Any) -> None:
    async def scene(sim: Any, trader: CcxtTrader) -> None:
        price = int(sim.top(0)[0] / PERPETUAL.tick_size) * 99 // 100
        await trader.balances()
        for number, kind in ((1, "unknown_executed"), (2, "unknown_lost")):
            sim.fault(kind, count=1)
            with pytest.raises(OutcomeUnknown):
                await trader.submit(order(number, price=price))
            found = await trader.order(NAME.format(number), 9)
            assert (found is not None) == (kind == "unknown_executed")
        with pytest.raises(VenueRefused):
            await trader.cancel(back(2))
        await trader.cancel(back(1))
        await trader.submit(order(3, price=price))
        await trader.cancel_all(9)
        assert await trader.open_orders() == []

    play(simulated, scene)


@pytest.mark.slow
def test_refusals_and_kinds_of_orders(simulated: Any) -> None:
    async def scene(sim: Any, trader: CcxtTrader) -> None:
        ask = int(sim.top(0)[1] / PERPETUAL.tick_size)
        with pytest.raises(VenueRefused):
            await trader.submit(order(1, price=ask + 50, time_in_force=TimeInForce.POST_ONLY))
        with pytest.raises(VenueRefused, match="stop_market"):
            await trader.submit(order(2, OrderType.STOP_MARKET, trigger=ask))
        taken = await trader.submit(order(3, price=ask, lots=30_000, time_in_force=TimeInForce.IOC))
        assert taken.status is OrderStatus.EXPIRED
        assert 0 < taken.filled < 30_000

    play(simulated, scene)


class Poor:
    """An exchange that takes orders and tells the open ones, and no more; times are those of its clock."""

    markets = ("something",)

    def __init__(self) -> None:
        self.has = {"fetchOpenOrders": True}
        self.orders: list[dict[str, Any]] = []
        self.on_rest_response = lambda *about: about[5]

    async def create_order(
        self, symbol: str, kind: str, side: str, amount: str, price: str | None, params: dict[str, Any]
    ) -> dict[str, Any]:
        self.orders.append({"id": len(self.orders) + 1, "clientOrderId": params["clientOrderId"], "status": "open"}
                           | {"side": side, "amount": float(amount), "price": float(price or 0), "symbol": symbol}
                           | {"type": kind})  # fmt: skip
        return {"id": len(self.orders)}  # as sparse as some answers are

    async def fetch_open_orders(self, symbol: str) -> list[dict[str, Any]]:
        return [told for told in self.orders if told["status"] == "open"]

    async def cancel_order(self, number: str, symbol: str) -> None:
        self.orders[int(number) - 1]["status"] = "canceled"

    async def close(self) -> None: ...


def test_an_exchange_that_tells_little_leaves_unknown_what_it_does_not_tell() -> None:
    async def go() -> None:
        poor = Poor()
        trader = CcxtTrader(Calls(poor, EventClock(), name="poor"), [PERPETUAL], "poor:main")
        placed = await trader.submit(order(1, price=600_000))
        assert (placed.venue_order_id, placed.lots, placed.price, placed.side) == ("1", 100, 600_000, Side.BUY)
        fresh = CcxtTrader(Calls(poor, EventClock(), name="poor"), [PERPETUAL], "poor:main")
        found = await fresh.order(NAME.format(1), 9)
        assert found is not None
        assert (found.client_order_id, found.price, found.lots) == (NAME.format(1), 600_000, 100)
        await fresh.submit(order(2, price=600_000))
        await fresh.cancel_all(9)
        assert await fresh.open_orders() == []
        with pytest.raises(OutcomeUnknown, match="does not tell"):
            await fresh.order(NAME.format(7), 9)
        assert await fresh.positions() == []
        assert await fresh.rights() == KeyRights()
        assert not await fresh.hold_switch(9, 5.0)
        await fresh.set_leverage(9, 5.0)

    asyncio.run(go())


def test_fills_are_read_page_by_page_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spyhop.venues.ccxt.trader._PAGE", 2)
    trades = [
        {
            "id": f"t{number}",
            "order": "5",
            "timestamp": 10 + (number + 1) // 2,
            "side": "sell",
            "amount": 0.002,
            "price": 60_000.1,
        }
        | {"takerOrMaker": "maker", "fees": [{"cost": 0.01, "currency": "USDT"}, {"cost": -0.002, "currency": "USDT"}]}
        for number in range(5)
    ]

    async def go() -> None:
        client: Any = SimpleNamespace(has={}, markets=("x",), on_rest_response=lambda *about: about[5])

        async def fetch_my_trades(symbol: str, since: int, limit: int) -> list[dict[str, Any]]:
            return [one for one in trades if one["timestamp"] >= since][:limit]

        client.fetch_my_trades = fetch_my_trades
        trader = CcxtTrader(Calls(client, EventClock(), name="x"), [PERPETUAL], "x:main")
        fills = await trader.fills(9, 10 * NS_PER_MS)
        assert [fill.fill_id for fill in fills] == ["t0", "t1", "t2", "t3", "t4"]
        assert {(fill.price, fill.lots, fill.fee, fill.client_order_id) for fill in fills} == {(600_001, 2, 0.008, "")}

    asyncio.run(go())


def test_the_factories() -> None:
    async def go() -> None:
        about = (LIVE, "very-secret-key", "very-secret-word", [PERPETUAL], WallClock())
        made: list[Trader] = [
            binance_trader(Venue.BINANCE_USDM, *about),
            binance_trader(Venue.BINANCE_SPOT, *about, "second"),
        ]
        assert [type(trader) for trader in made] == [UsdmTrader, SpotTrader]
        assert [trader.name for trader in made] == ["binance-usdm:main", "binance-spot:second"]
        for trader in made:
            assert "very-secret" not in repr(trader) + str(vars(trader))
            await trader.close()
        with pytest.raises(NotAvailable, match="dydx"):
            binance_trader(Venue.DYDX, *about)
        with pytest.raises(NotAvailable, match="one exchange"):
            ccxt_trader(Venue.CCXT, {}, [], WallClock())

    asyncio.run(go())


def test_real_requests_would_go_to_the_real_hosts() -> None:
    async def go() -> None:
        trader = binance_trader(Venue.BINANCE_USDM, LIVE, "key", "word", [PERPETUAL], EventClock(10**18))
        client = trader._calls.client
        asked = {"symbol": "BTCUSDT", "newClientOrderId": "n"}
        signed = client.sign("order", ["fapiPrivate"], "POST", asked)
        assert signed["url"] == "https://fapi.binance.com/fapi/v1/order"
        assert signed["body"].startswith("timestamp=1000000000000&symbol=BTCUSDT&newClientOrderId=n&recvWindow=5000&")
        assert client.sign("account/apiRestrictions", ["sapi"], "GET", {})["url"].startswith(
            "https://api.binance.com/sapi/v1/account/apiRestrictions?"
        )
        await trader.close()

    asyncio.run(go())
