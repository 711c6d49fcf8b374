"""ccxt's own dYdX classes against the simulator: market data as they come, orders through the mended class."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import ccxt.pro
import pytest
from ccxt.base.errors import AuthenticationError, DuplicateOrderId, InvalidOrder, OrderImmediatelyFillable

from spyhop.clock import NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from spyhop.model.tape import Flag, Kind, Side, joined
from spyhop.venues.dydx.adapter import DydxAdapter
from spyhop.venues.dydx.orders import DydxOrders
from spyhop.venues.net.transport import Frame
from spyhop.venues.params import FeedParams
from spyhop.venuesim.dydx import chain, wallets
from spyhop.venuesim.keys import TEST_WALLET

START = 1_780_000_020 * NS_PER_S
BTC, SHIB = "BTC/USDC:USDC", "SHIB/USDC:USDC"
pytestmark = pytest.mark.slow


def pointed(exchange: Any, sim: Any) -> Any:
    dydx = sim.endpoints.dydx
    exchange.urls["api"].update(indexer=dydx.indexer, nodeRpc=dydx.node_rpc, nodeRest=dydx.node_rest, ws=dydx.ws)
    exchange.enableRateLimit = False
    return exchange


@asynccontextmanager
async def orders(sim: Any, secret: str = TEST_WALLET, **options: Any) -> AsyncIterator[Any]:
    exchange = pointed(DydxOrders({"options": {"privateKey": secret, **options}, "clock": sim.clock}), sim)
    try:
        yield exchange
    finally:
        await exchange.close()


@asynccontextmanager
async def plain(sim: Any) -> AsyncIterator[Any]:
    exchange = pointed(ccxt.pro.dydx({"walletAddress": wallets.TEST_ADDRESS}), sim)
    try:
        yield exchange
    finally:
        await exchange.close()


def run(bench: Callable[..., Any], story: Callable[[Any], Any]) -> None:
    async def go() -> None:
        async with bench() as sim:
            await story(sim)

    asyncio.run(go())


def test_ccxt_reads_the_markets(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        async with plain(sim) as exchange:
            markets = await exchange.load_markets()
            assert set(markets) == {BTC, SHIB}
            assert markets[BTC]["precision"] == {"amount": 0.0001, "price": 1.0}
            book = await exchange.fetch_order_book(BTC)
            assert (book["bids"][0], book["asks"][0]) == ([59_999.0, 0.04], [60_001.0, 0.0401])
            trades = await exchange.fetch_trades(BTC, limit=5)
            assert len(trades) == 5
            assert {trade["side"] for trade in trades} == {"buy", "sell"}
            funding = await exchange.fetch_funding_rate_history(BTC)
            assert [row["fundingRate"] for row in funding] == [0.0000125]
            candles = await exchange.fetch_ohlcv(BTC, "1m")
            assert [candle[0] for candle in candles] == [(START + m * NS_PER_MINUTE) // NS_PER_MS for m in (0, 1, 3)]
            assert candles[1][1:5] == [60_001.0 - 2, 60_001.0, 59_999.0, 60_001.0]

    run(bench, story)


def test_the_mended_class_asks_for_candles_by_time(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        async with orders(sim) as exchange:
            since = (START + NS_PER_MINUTE) // NS_PER_MS
            candles = await exchange.fetch_ohlcv(BTC, "1m", since)
            assert [candle[0] for candle in candles] == [since, since + 120_000]
            until = await exchange.fetch_ohlcv(BTC, "1m", None, None, {"until": since})
            assert [candle[0] for candle in until] == [since - 60_000]
            first = await exchange.fetch_ohlcv(BTC, "1m", since - 60_000, 2)
            assert [candle[0] for candle in first] == [since - 60_000, since]

    run(bench, story)


def test_ccxt_watches_trades_books_and_candles(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        async def passing() -> None:
            while True:
                sim.turn(0.1)
                await asyncio.sleep(0.002)

        time = asyncio.ensure_future(passing())
        try:
            async with plain(sim) as exchange, asyncio.timeout(20):
                seen: set[str] = set()
                while len(seen) < 1_005:
                    seen |= {trade["id"] for trade in await exchange.watch_trades(BTC)}
                for _ in range(5):
                    book = await exchange.watch_order_book(BTC)
                assert (book["bids"][0][0], book["asks"][0][0]) == (59_999.0, 60_001.0)
                for _ in range(3):
                    candles = await exchange.watch_ohlcv(BTC, "1m")
                assert candles[-1][0] % 60_000 == 0
        finally:
            time.cancel()

    run(bench, story)


def test_a_short_term_order_lives_and_dies(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        async with orders(sim) as exchange:
            placed = await exchange.create_order(
                BTC, "limit", "buy", "0.001", "59990", {"clientOrderId": 1, "timeInForce": "PO"}
            )
            assert placed["clientOrderId"] == "1"
            assert await exchange.fetch_time() == sim.clock.now_ns() // NS_PER_MS
            (found,) = [o for o in await exchange.fetch_orders(BTC) if o["id"] == placed["id"]]
            assert (found["status"], found["price"], found["amount"], found["postOnly"]) == (
                "open", 59_990.0, 0.001, True,
            )  # fmt: skip
            assert (await exchange.fetch_order(placed["id"]))["info"]["status"] == "BEST_EFFORT_OPENED"
            await exchange.cancel_order("1", BTC)  # without its flags
            assert (await exchange.fetch_order(placed["id"]))["info"]["status"] == "BEST_EFFORT_CANCELED"
            assert not sim.floor.exchange.open_orders(f"{exchange.walletAddress}/0")
            with pytest.raises(OrderImmediatelyFillable):
                await exchange.create_order(
                    BTC, "limit", "buy", "0.001", "60500", {"clientOrderId": 2, "timeInForce": "PO"}
                )
            with pytest.raises(InvalidOrder):
                await exchange.create_order(
                    BTC, "limit", "buy", "0.001", "59990", {"clientOrderId": 3, "goodTillBlock": sim.height + 41}
                )
            for client_id in (4, 5):
                params = {"clientOrderId": client_id, "timeInForce": "GTB"}
                await exchange.create_order(BTC, "limit", "sell", "0.001", "60900", params)
            await exchange.cancel_orders([], BTC, {"clientOrderIds": [4, 5]})
            assert not sim.floor.exchange.open_orders(f"{exchange.walletAddress}/0")

    run(bench, story)


def test_a_market_order_makes_a_position(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        async with orders(sim) as exchange:
            await exchange.create_order(BTC, "market", "sell", "0.01", "57000", {"clientOrderId": 1})
            sim.next_block()
            (position,) = await exchange.fetch_positions()
            assert (position["side"], position["contracts"], position["entryPrice"]) == ("short", 0.01, 59_999.0)
            assert (await exchange.fetch_position(BTC))["contracts"] == 0.01
            balance = await exchange.fetch_balance()
            assert 99_900 < balance["USDC"]["free"] < 100_000
            (order,) = await exchange.fetch_closed_orders(BTC)
            assert (order["status"], order["filled"]) == ("closed", 0.01)
            await exchange.create_order(SHIB, "market", "buy", "3000000", "0.00007", {"clientOrderId": 2})
            sim.next_block()
            positions = {one["symbol"]: one["contracts"] for one in await exchange.fetch_positions()}
            assert positions == {BTC: 0.01, SHIB: 3_000_000.0}
            assert [account["id"] for account in await exchange.fetch_accounts()] == ["0"]

    run(bench, story)


def test_long_term_and_conditional_orders_are_placed_and_cancelled(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        async with orders(sim) as exchange:
            params = {"goodTillBlockTimeInSeconds": 600}
            resting = await exchange.create_order(BTC, "limit", "buy", "0.001", "59000", {"clientOrderId": 1, **params})
            sim.next_block()
            stop = await exchange.create_order(
                BTC, "market", "sell", "0.001", "50000", {"clientOrderId": 2, "stopLossPrice": "58000", **params}
            )
            sim.next_block()
            assert {order["id"] for order in await exchange.fetch_open_orders(BTC)} == {resting["id"], stop["id"]}
            assert (await exchange.fetch_order(stop["id"]))["info"]["status"] == "UNTRIGGERED"
            assert (await exchange.fetch_order(stop["id"]))["info"]["triggerPrice"] == "58000"
            for client_id in ("1", "2"):
                sim.next_block()
                await exchange.cancel_order(client_id, BTC)
            sim.next_block()
            statuses = [(await exchange.fetch_order(one["id"]))["info"]["status"] for one in (resting, stop)]
            assert statuses == ["CANCELED", "CANCELED"]

    run(bench, story)


def test_ccxt_moves_usdc(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        async with orders(sim) as exchange:
            address = wallets.TEST_ADDRESS
            exchange.retrieve_credentials()
            await exchange.transfer("USDC", 25, address, address, {"fromSubaccountId": 0, "toSubaccountId": 3})
            sim.next_block()
            assert [row["amount"] for row in await exchange.fetch_transfers("USDC")] == [25.0]
            assert (await exchange.fetch_balance({"subaccountNumber": 3}))["USDC"]["free"] == 25.0

    run(bench, story)


def test_wrong_keys_and_chains_are_refused_and_repeats_are_known(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        params = {"clientOrderId": 1, "timeInForce": "GTB", "goodTillBlock": sim.height + 9}
        order = (BTC, "limit", "buy", "0.001", "59000", params)
        async with orders(sim, chainName="dydx-testnet-4") as exchange:
            with pytest.raises(AuthenticationError):
                await exchange.create_order(*order)
        async with orders(sim, secret="44" * 32) as thief:
            thief.walletAddress = wallets.TEST_ADDRESS  # speaks for another's subaccount with a key of its own
            with pytest.raises(Exception, match="unknown address"):
                await thief.create_order(*order)
        async with orders(sim) as exchange:
            await exchange.create_order(*order)
            with pytest.raises(DuplicateOrderId):
                await exchange.create_order(*order)  # time stands still, so the bytes are the same

    run(bench, story)


def test_a_client_that_was_killed_asks_what_the_venue_knows(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        async with orders(sim) as first:
            await first.create_order(BTC, "market", "buy", "0.02", "63000", {"clientOrderId": 1})
            await first.create_order(BTC, "limit", "buy", "0.001", "59000", {"clientOrderId": 2, "timeInForce": "GTB"})
            resting = first.safe_string((await first.fetch_orders(BTC))[0], "id")
        sim.turn(25.0)  # the client is gone, and the resting order's block passes
        async with orders(sim) as second:
            await second.load_markets()
            assert (await second.fetch_position(BTC))["contracts"] == 0.02
            assert (await second.fetch_order(resting))["info"]["status"] == "CANCELED"
            assert await second.fetch_open_orders(BTC) == []
        async with sim.http.get(sim.endpoints.admin + "/state") as reply:
            state = (await reply.json())["fronts"]["dydx"]
            assert state["node"]["height"] == chain.height_at(sim.clock.now_ns())
            assert [fill["size"] for fill in state["fills"]] == ["0.02"]
            assert state["node"]["open"] == []

    run(bench, story)


def test_our_own_client_reads_every_frame_and_ends_with_the_venues_book(bench: Callable[..., Any]) -> None:
    async def story(sim: Any) -> None:
        rest: Any = None  # decoding asks for nothing
        adapter = DydxAdapter(sim.floor.exchange.instruments[0], sim.endpoints.dydx, rest, FeedParams())
        decoded = []
        for number, plan in enumerate(adapter.sockets()):
            async with sim.http.ws_connect(plan.url) as ws:
                adapter.opened(plan.name, number)
                for hello in plan.hello:
                    await ws.send_str(hello.decode())
                while not any(c.num_heard == len(plan.hello) for c in sim.floor.connections):
                    await asyncio.sleep(0.001)
                sim.turn(12.0)
                await ws.send_str("{")  # its error comes after everything else
                while b'"error"' not in (message := (await ws.receive_str()).encode()):
                    decoded.append(adapter.decode(plan.name, number, [Frame(sim.clock.now_ns(), message)]))
                adapter.closed(plan.name, number)
            if plan.name == "book":
                _, bids, asks = sim.floor.exchange.book(0, 100)
        assert [one.set_aside for one in decoded if one.set_aside] == []
        assert [one.wants for one in decoded if one.wants] == []
        rows = joined([one.events for one in decoded])
        book: dict[int, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        for row in rows[rows["kind"] == Kind.LEVEL]:
            if not row["flags"] & Flag.EMPTY:
                book[int(row["side"])][int(row["price"])] = int(row["qty"])
        assert [(price, book[Side.BUY][price]) for price, _ in bids] == bids
        assert [(price, book[Side.SELL][price]) for price, _ in asks] == asks
        trades = rows[rows["kind"] == Kind.TRADE]
        assert (trades["id"][1:] > trades["id"][:-1]).all()
        newest = trades[(trades["flags"] & Flag.BACKFILLED) == 0]
        assert len(newest) == 119  # one in 100 ms; the first is in the snapshot
        assert {Kind.LIQUIDATION, Kind.MARK, Kind.BLOCK, Kind.BAR_CLOSE, Kind.OPEN_INTEREST} <= set(rows["kind"])

    run(bench, story)
