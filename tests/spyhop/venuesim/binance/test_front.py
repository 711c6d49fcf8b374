"""Clients that nobody here wrote: ccxt and ccxt.pro trade and listen, with their signatures checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import ccxt
import ccxt.pro
import pytest

from spyhop.clock import NS_PER_MS
from spyhop.model.tape import Side, Venue

pytestmark = pytest.mark.slow

PERPETUAL, PAIR = "BTC/USDT:USDT", "BTC/USDT"


@asynccontextmanager
async def usdm(sim: Any, secret: str = "") -> AsyncIterator[Any]:
    rest, ws = sim.endpoints.binance_usdm.rest, sim.endpoints.binance_usdm.ws
    client = ccxt.pro.binanceusdm(
        {"apiKey": sim.key.key, "secret": secret or sim.key.secret, "enableRateLimit": False}
        | {"options": {"watchTrades": {"name": "aggTrade"}}}
    )
    for version in ("", "V2", "V3"):
        path = f"/fapi/{version.lower() or 'v1'}"
        client.urls["api"][f"fapiPublic{version}"] = client.urls["api"][f"fapiPrivate{version}"] = rest + path
    client.urls["api"]["fapiData"] = rest + "/futures/data"
    client.urls["api"]["ws"]["linear"] = ws + "/ws"
    client.has["fetchCurrencies"] = False
    client.get_exceptions_by_url = lambda url, kind: client.exceptions["linear"].get(kind, {})
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def spot(sim: Any) -> AsyncIterator[Any]:
    rest, ws = sim.endpoints.binance_spot.rest, sim.endpoints.binance_spot.ws
    client = ccxt.pro.binance(
        {"apiKey": sim.key.key, "secret": sim.key.secret, "enableRateLimit": False}
        | {"options": {"fetchMarkets": {"types": ["spot"]}, "fetchMargins": False}}
    )
    client.urls["api"]["public"] = client.urls["api"]["private"] = rest + "/api/v3"
    client.urls["api"]["ws"]["spot"] = ws + "/stream/ws"
    client.urls["api"]["ws"]["ws-api"]["spot"] = ws + "/ws-api/v3"
    client.has["fetchCurrencies"] = False
    try:
        yield client
    finally:
        await client.close()


async def first(awaitable: Awaitable[Any]) -> Any:
    async with asyncio.timeout(8.0):
        return await awaitable


async def until(watch: Callable[[], Awaitable[Any]], is_it: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(8.0):
        while not is_it(told := await watch()):
            pass
        return told


def test_ccxt_reads_the_futures_market(bench: Any) -> None:
    async def scene() -> None:
        async with bench() as sim, usdm(sim) as client:
            exchange = sim.floor.exchange
            market = (await client.load_markets())[PERPETUAL]
            assert (market["precision"]["price"], market["precision"]["amount"]) == (0.1, 0.001)
            assert market["limits"]["cost"]["min"] == 5.0
            book = await client.fetch_order_book(PERPETUAL, 5)
            number, bids, asks = exchange.book(0, 5)
            assert book["nonce"] == number
            assert book["bids"] == [[price / 10, lots / 1000] for price, lots in bids]
            assert book["asks"] == [[price / 10, lots / 1000] for price, lots in asks]
            trades = await client.fetch_trades(PERPETUAL, limit=20)
            rows = exchange.trades(0, 20).tolist()
            assert [int(trade["id"]) for trade in trades] == [row[10] for row in rows]
            assert [trade["side"] for trade in trades] == ["buy" if row[1] == Side.BUY else "sell" for row in rows]
            assert [trade["timestamp"] for trade in trades] == [row[6] // NS_PER_MS for row in rows]
            bars = await client.fetch_ohlcv(PERPETUAL, "1m", limit=5)
            assert sum(bar[5] for bar in bars) == pytest.approx(exchange.bars(0, 60)["lots"].sum() / 1000)
            assert (await client.fetch_ticker(PERPETUAL))["last"] == pytest.approx(60_000, abs=1)
            assert (await client.fetch_bids_asks())[PERPETUAL]["bid"] == 59_999.9
            assert (await client.fetch_funding_rate(PERPETUAL))["markPrice"] == 60_000
            assert (await client.fetch_open_interest(PERPETUAL))["openInterestAmount"] > 5_000
            assert await client.fetch_funding_rate_history(PERPETUAL) == []
            assert await client.fetch_open_interest_history(PERPETUAL, "5m") == []
            assert await client.fetch_long_short_ratio_history(PERPETUAL, "5m") == []
            assert await client.fapiDataGetTopLongShortPositionRatio({"symbol": "BTCUSDT", "period": "5m"}) == []
            assert await client.fapiDataGetTakerlongshortRatio({"symbol": "BTCUSDT", "period": "5m"}) == []

    asyncio.run(scene())


def test_ccxt_trades_futures(bench: Any) -> None:
    async def scene() -> None:
        async with bench() as sim, usdm(sim) as client:
            assert (await client.fetch_balance())["USDT"]["free"] == 100_000
            await client.set_leverage(10, PERPETUAL)
            await client.set_margin_mode("isolated", PERPETUAL)
            await client.set_margin_mode("cross", PERPETUAL)
            order = await client.create_order(PERPETUAL, "limit", "buy", 0.01, 59_000, {"clientOrderId": "abc-1"})
            with pytest.raises(ccxt.InvalidOrder):
                await client.create_order(PERPETUAL, "limit", "buy", 0.01, 59_000, {"clientOrderId": "abc-1"})
            assert (await client.fetch_order(None, PERPETUAL, {"origClientOrderId": "abc-1"}))["id"] == order["id"]
            edited = await client.edit_order(order["id"], PERPETUAL, "limit", "buy", 0.02, 58_900)
            assert (edited["amount"], edited["price"]) == (0.02, 58_900)
            assert [found["id"] for found in await client.fetch_open_orders(PERPETUAL)] == [order["id"]]
            assert (await client.cancel_order(order["id"], PERPETUAL))["status"] == "canceled"
            with pytest.raises(ccxt.OrderNotFound):
                await client.cancel_order(order["id"], PERPETUAL)
            filled = await client.create_order(PERPETUAL, "market", "buy", 0.05)
            assert (filled["status"], filled["average"]) == ("closed", 60_000.1)
            (held,) = await client.fetch_positions([PERPETUAL])
            assert (held["side"], held["contracts"], held["entryPrice"]) == ("long", 0.05, 60_000.1)
            assert (await client.fetch_leverages([PERPETUAL]))[PERPETUAL]["longLeverage"] == 10
            (trade,) = await client.fetch_my_trades(PERPETUAL)
            assert (trade["amount"], trade["fee"]["currency"]) == (0.05, "USDT")
            batch = [
                {"symbol": PERPETUAL, "type": "limit", "side": "buy", "amount": 0.01, "price": 59_000 + place}
                for place in range(2)
            ]
            assert [made["status"] for made in await client.create_orders(batch)] == ["open", "open"]
            await client.cancel_all_orders(PERPETUAL)
            assert await client.fetch_open_orders(PERPETUAL) == []
            assert len(await client.fetch_orders(PERPETUAL)) == 4
            assert (await client.fetch_ledger("USDT"))[0]["type"] == "commission"
            assert (await client.fetch_position_mode(PERPETUAL))["hedged"] is False
            await client.fapiPrivatePostCountdownCancelAll({"symbol": "BTCUSDT", "countdownTime": 60_000})

    asyncio.run(scene())


def test_ccxt_sends_conditional_orders_where_they_belong(bench: Any) -> None:
    async def scene() -> None:
        async with bench() as sim, usdm(sim) as client:
            await client.load_markets()
            triggered, plain = {"trigger": True}, {"triggerPrice": 58_000, "clientAlgoId": "stop-1"}
            stop = await client.create_order(PERPETUAL, "STOP_MARKET", "sell", 0.05, None, plain)
            assert (await client.fetch_order(stop["id"], PERPETUAL, triggered))["triggerPrice"] == 58_000
            await client.create_order(PERPETUAL, "market", "sell", 0.05, None, {"trailingPercent": 1.0})
            await client.create_order(PERPETUAL, "limit", "sell", 0.05, 61_000, {"takeProfitPrice": 60_900})
            assert len(await client.fetch_open_orders(PERPETUAL, params=triggered)) == 3
            assert await client.fetch_open_orders(PERPETUAL) == []
            assert (await client.cancel_order(stop["id"], PERPETUAL, triggered))["status"] == "canceled"
            await client.cancel_all_orders(PERPETUAL, triggered)
            assert await client.fetch_open_orders(PERPETUAL, params=triggered) == []
            with pytest.raises(ccxt.OrderImmediatelyFillable):
                await client.create_order(PERPETUAL, "STOP_MARKET", "sell", 0.05, None, {"triggerPrice": 61_000})

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("order", "params", "error"),
    [
        (("limit", "buy", 0.01, 60_100.0), {"postOnly": True}, ccxt.OrderNotFillable),
        (("market", "buy", 200.0, None), {}, ccxt.InsufficientFunds),
        (("market", "buy", 0.01, None), {"reduceOnly": True}, ccxt.InvalidOrder),
        (("limit", "buy", 0.001, 2_000.0), {}, ccxt.InvalidOrder),  # notional
    ],
)
def test_ccxt_knows_refusals_by_their_class(
    bench: Any, order: tuple[Any, ...], params: dict[str, Any], error: type[Exception]
) -> None:
    async def scene() -> None:
        async with bench() as sim, usdm(sim) as client:
            with pytest.raises(error):
                await client.create_order(PERPETUAL, *order, params)

    asyncio.run(scene())


def test_ccxt_with_another_secret_is_nobody(bench: Any) -> None:
    async def scene() -> None:
        async with bench() as sim, usdm(sim, secret="another") as client:
            with pytest.raises(ccxt.AuthenticationError):
                await client.fetch_balance()

    asyncio.run(scene())


def test_ccxt_watches_the_futures_market(bench: Any) -> None:
    async def scene() -> None:
        async with bench() as sim, usdm(sim) as client:
            (trade, *_) = await first(client.watch_trades(PERPETUAL))
            assert trade["price"] in (59_999.9, 60_000.1)
            book = await first(client.watch_order_book(PERPETUAL))
            assert len(book["bids"]) == len(book["asks"]) == 30
            assert (await first(client.watch_ohlcv(PERPETUAL)))[-1][4] in (59_999.9, 60_000.1)
            assert (await first(client.watch_ticker(PERPETUAL)))["symbol"] == PERPETUAL
            assert PERPETUAL in await first(client.watch_tickers([PERPETUAL]))
            assert (await first(client.watch_bids_asks([PERPETUAL])))[PERPETUAL]["ask"] == 60_000.1
            assert (await first(client.watch_mark_price(PERPETUAL)))["info"]["i"] == "60000.00000000"
            assert (await first(client.watch_liquidations(PERPETUAL)))[0]["contracts"] == 0.014

    asyncio.run(scene())


def test_ccxt_is_told_of_orders_fills_positions_and_balances(bench: Any) -> None:
    async def scene() -> None:
        async with bench() as sim, usdm(sim) as client:
            await client.load_markets()
            watching = asyncio.gather(
                until(lambda: client.watch_orders(PERPETUAL), lambda told: told[-1]["status"] == "closed"),
                until(lambda: client.watch_my_trades(PERPETUAL), lambda told: told[-1]["amount"] == 0.02),
                until(lambda: client.watch_positions([PERPETUAL]), lambda told: told and told[-1]["contracts"] == 0.02),
                until(client.watch_balance, lambda told: told["USDT"]["total"] < 100_000),
            )
            # every one of the four has its own first request to make before it listens
            async with asyncio.timeout(8.0):
                while not any("private" in connection.path for connection in sim.floor.connections):
                    await asyncio.sleep(0.02)
            await client.create_order(PERPETUAL, "market", "sell", 0.02)
            await watching

    asyncio.run(scene())


def test_ccxt_uses_the_spot_market(bench: Any) -> None:
    async def scene() -> None:
        async with bench() as sim, spot(sim) as client:
            number = next(one.id for one in sim.floor.exchange.instruments if one.venue is Venue.BINANCE_SPOT)
            await client.load_markets()
            book = await client.fetch_order_book(PAIR)
            assert book["bids"][0] == [price_of(sim.floor.exchange.book(number, 1)[1]), book["bids"][0][1]]
            assert len(await client.fetch_trades(PAIR, limit=7)) == 7
            assert (await client.fetch_ohlcv(PAIR))[-1][5] > 0
            assert (await client.fetch_ticker(PAIR))["bid"] == 59_999.9
            assert PAIR in await client.fetch_bids_asks([PAIR])
            assert (await client.fetch_balance())["BTC"]["free"] == 10
            order = await client.create_order(PAIR, "limit", "buy", 0.01, 59_000, {"clientOrderId": "abc-1"})
            assert (await client.fetch_order(order["id"], PAIR))["clientOrderId"] == "abc-1"
            edited = await client.edit_order(order["id"], PAIR, "limit", "buy", 0.02, 58_900)
            assert (edited["amount"], edited["price"]) == (0.02, 58_900)
            assert (await client.cancel_order(edited["id"], PAIR))["status"] == "canceled"
            filled = await client.create_order(PAIR, "market", "buy", 0.05)
            assert (filled["status"], filled["average"]) == ("closed", 60_000.1)
            assert filled["fees"][0] == {"currency": "BTC", "cost": 0.00005}
            assert len(await client.fetch_my_trades(PAIR)) == 1
            assert (await client.create_market_buy_order_with_cost(PAIR, 120.0))["filled"] == 0.001
            await client.create_order(PAIR, "limit", "sell", 0.01, 58_000, {"stopPrice": 58_500})
            assert len(await client.fetch_open_orders(PAIR)) == 1
            await client.cancel_all_orders(PAIR)
            assert await client.fetch_open_orders(PAIR) == []
            with pytest.raises(ccxt.InsufficientFunds):
                await client.create_order(PAIR, "limit", "buy", 50, 59_000)
            with pytest.raises(ccxt.OrderImmediatelyFillable):
                await client.create_order(PAIR, "limit", "buy", 0.01, 60_500, {"postOnly": True})

    asyncio.run(scene())


def price_of(levels: list[tuple[int, int]]) -> float:
    return levels[0][0] / 10


def test_ccxt_watches_spot_and_its_own_account_there(bench: Any) -> None:
    async def scene() -> None:
        async with bench() as sim, spot(sim) as client:
            await client.load_markets()
            assert (await first(client.watch_trades(PAIR)))[0]["price"] in (59_999.9, 60_000.1)
            assert len((await first(client.watch_order_book(PAIR)))["bids"]) == 30
            assert (await first(client.watch_ohlcv(PAIR)))[-1][4] in (59_999.9, 60_000.1)
            assert (await first(client.watch_ticker(PAIR)))["symbol"] == PAIR
            assert (await first(client.watch_bids_asks([PAIR])))[PAIR]["ask"] == 60_000.1
            watching = asyncio.gather(
                until(lambda: client.watch_orders(PAIR), lambda told: told[-1]["status"] == "closed"),
                until(lambda: client.watch_my_trades(PAIR), lambda told: told[-1]["amount"] == 0.02),
                until(client.watch_balance, lambda told: told["BTC"]["total"] < 10),
            )
            async with asyncio.timeout(8.0):
                while not any("ws-api" in connection.path for connection in sim.floor.connections):
                    await asyncio.sleep(0.02)
                while not sim.spot.users.num_subscriptions:
                    await asyncio.sleep(0.02)
            await client.create_order(PAIR, "market", "sell", 0.02)
            await watching

    asyncio.run(scene())
