"""ccxt.pro itself against loopback servers that speak the small part of Bybit's v5 and Kraken's v2 that it needs.

The shapes are those of the venues' documents (Bybit v5 public streams and market data, Kraken WebSocket v2 and REST).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from spyhop.clock import NS_PER_S, WallClock
from spyhop.errors import ConnectFailed, ConnectionLost, MissingInput, Throttled, VenueRefused, VenueUnavailable
from spyhop.model import tape
from spyhop.model.instruments import Instrument
from spyhop.model.raw import RawRecord
from spyhop.model.tape import Events, Flag, Kind, Side, Venue
from spyhop.venues.adapter import Decoded
from spyhop.venues.ccxt.adapter import CcxtAdapter
from spyhop.venues.ccxt.transport import CcxtSocket, CcxtTransport
from spyhop.venues.live.feed import Client, LiveFeed
from spyhop.venues.params import FeedParams
from spyhop.venues.raw.replay import FeedReplay, RecordedAnswers, replay
from spyhop.venues.raw.tap import TappedAdapter, TappedHttp

pytestmark = pytest.mark.slow

MINUTE = 1_672_324_800_000
Push = Callable[[dict[str, Any]], Awaitable[None]]


class Server:
    """A venue on loopback: REST bodies by path, and what it pushes once everything is subscribed to."""

    def __init__(self, rest: dict[str, Any], pushes: dict[str, list[dict[str, Any]]]) -> None:
        self.rest, self.pushes = rest, pushes
        self.status = 200
        self.base = ""
        self.sockets: set[web.WebSocketResponse] = set()

    def topics(self, message: dict[str, Any]) -> list[str]:
        if message.get("op") == "subscribe":  # Bybit
            return [str(topic) for topic in message["args"]]
        if message.get("method") == "subscribe":  # Kraken
            return [str(message["params"]["channel"])]
        return []

    async def on_socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.add(socket)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            for topic in self.topics(json.loads(message.data)):
                for push in self.pushes.get(topic, []):
                    await socket.send_json(push)
                    await asyncio.sleep(0.05)  # ccxt sees updates that come at once as one
        self.sockets.discard(socket)
        return socket

    async def on_rest(self, request: web.Request) -> web.Response:
        if self.status == 503:
            return web.Response(text="unavailable", status=503)
        if self.status != 200:
            return web.json_response({"retCode": 10006, "retMsg": "Too many visits!"}, status=self.status)
        body = self.rest.get(request.path)
        return web.json_response(body, status=404 if body is None else 200)

    def prepare(self, exchange: Any) -> None:
        """Turn an exchange to this server."""
        ws = self.base.replace("http", "ws")
        if exchange.id == "bybit":
            exchange.urls["api"].update(dict.fromkeys(("spot", "futures", "v2", "public", "private"), self.base))
            exchange.urls["api"]["ws"]["public"]["linear"] = f"{ws}/ws/linear"
            exchange.options["fetchMarkets"]["types"] = ["linear"]
        else:
            exchange.urls["api"]["public"] = self.base
            exchange.urls["api"]["ws"]["publicV2"] = f"{ws}/ws/v2"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Server]:
        app = web.Application()
        app.router.add_get("/ws/{path:.*}", self.on_socket)
        app.router.add_get("/{path:.*}", self.on_rest)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()


def bybit() -> Server:
    listed = {
        "symbol": "BTCUSDT", "contractType": "LinearPerpetual", "status": "Trading", "baseCoin": "BTC",
        "quoteCoin": "USDT", "launchTime": "1585526400000", "deliveryTime": "0", "deliveryFeeRate": "",
        "priceScale": "2", "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": "0.50", "maxPrice": "999999.00", "tickSize": "0.50"},
        "lotSizeFilter": {"maxOrderQty": "100.000", "minOrderQty": "0.001", "qtyStep": "0.001"},
        "unifiedMarginTrade": True, "fundingInterval": 480, "settleCoin": "USDT",
    }  # fmt: skip

    def answer(result: Any) -> dict[str, Any]:
        return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": MINUTE}

    def bar(start: int, close: str, *, confirm: bool) -> dict[str, Any]:
        data = {
            "start": start, "end": start + 59_999, "interval": "1", "open": "16649.5", "close": close,
            "high": "16677", "low": "16608", "volume": "2.081", "turnover": "34666.4005", "confirm": confirm,
            "timestamp": start + 59_000,
        }  # fmt: skip
        return {"topic": "kline.1.BTCUSDT", "data": [data], "ts": start + 59_000, "type": "snapshot"}

    def book(kind: str, bids: list[list[str]], asks: list[list[str]], u: int) -> dict[str, Any]:
        data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": u, "seq": u}
        return {"topic": "orderbook.50.BTCUSDT", "type": kind, "ts": MINUTE + u, "data": data}

    def trade(number: int, side: str) -> dict[str, Any]:
        data = {
            "T": MINUTE + number, "s": "BTCUSDT", "S": side, "v": "0.001", "p": "16578.50", "L": "PlusTick",
            "i": f"20f43950-d8dd-5b31-9112-a178eb6023a{number}", "BT": False,
        }  # fmt: skip
        return {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": MINUTE, "data": [data]}

    ticker = {
        "symbol": "BTCUSDT", "tickDirection": "PlusTick", "price24hPcnt": "0.017103", "lastPrice": "17216.00",
        "prevPrice24h": "16926.50", "highPrice24h": "17281.50", "lowPrice24h": "16915.00", "prevPrice1h": "17238.00",
        "markPrice": "17217.33", "indexPrice": "17227.36", "openInterest": "68744.761",
        "openInterestValue": "1183601235.91", "turnover24h": "1570383121.94", "volume24h": "91705.276",
        "nextFundingTime": "1673280000000", "fundingRate": "-0.000212", "bid1Price": "17215.50",
        "bid1Size": "84.489", "ask1Price": "17216.00", "ask1Size": "83.020",
    }  # fmt: skip
    return Server(
        {
            "/v5/market/instruments-info": answer({"category": "linear", "list": [listed], "nextPageCursor": ""}),
            "/v5/market/time": answer({"timeSecond": str(MINUTE // 1000), "timeNano": str(MINUTE * 1_000_000)}),
            "/v5/market/tickers": answer({"category": "linear", "list": [ticker]}),
            "/v5/market/orderbook": answer(
                {"s": "BTCUSDT", "a": [["16611.00", "0.029"]], "b": [["16493.50", "0.006"]], "ts": MINUTE, "u": 1}
            ),
            "/v5/market/kline": answer(
                {
                    "symbol": "BTCUSDT",
                    "category": "linear",
                    "list": [
                        [str(MINUTE - 60_000 * k), "17071", "17073", "17027", "17055.5", "268.611", "15.74"]
                        for k in range(3)
                    ],
                }
            ),
            "/v5/market/recent-trade": answer(
                {
                    "category": "linear",
                    "list": [
                        {
                            "execId": f"20f43950-d8dd-5b31-9112-a178eb6023a{k}", "symbol": "BTCUSDT",
                            "price": "16578.50", "size": "0.001", "side": "Buy", "time": str(MINUTE + k),
                            "isBlockTrade": False,
                        }
                        for k in (2, 1)
                    ],
                }
            ),
        },
        {
            "publicTrade.BTCUSDT": [trade(1, "Buy"), trade(2, "Sell")],
            "orderbook.50.BTCUSDT": [
                book("snapshot", [["16493.50", "0.006"], ["16493.00", "0.100"]], [["16611.00", "0.029"]], 1),
                book("delta", [["16493.00", "0"]], [["16612.00", "0.213"]], 2),
            ],
            "kline.1.BTCUSDT": [
                bar(MINUTE, "16650", confirm=False),
                bar(MINUTE, "16677", confirm=True),
                bar(MINUTE + 60_000, "16650", confirm=False),
            ],
            "tickers.BTCUSDT": [
                {"topic": "tickers.BTCUSDT", "type": "snapshot", "data": ticker, "cs": 24987956059, "ts": MINUTE}
            ],
        },
    )  # fmt: skip


def kraken() -> Server:
    pair = {
        "altname": "XBTUSD", "wsname": "XBT/USD", "aclass_base": "currency", "base": "XXBT", "aclass_quote": "currency",
        "quote": "ZUSD", "lot": "unit", "pair_decimals": 1, "lot_decimals": 8, "lot_multiplier": 1,
        "leverage_buy": [], "leverage_sell": [], "fees": [[0, 0.26]], "fees_maker": [[0, 0.16]],
        "fee_volume_currency": "ZUSD", "margin_call": 80, "margin_stop": 40, "ordermin": "0.0001", "status": "online",
    }  # fmt: skip

    def asset(name: str, decimals: int) -> dict[str, Any]:
        return {"aclass": "currency", "altname": name, "decimals": decimals, "display_decimals": 5, "status": "enabled"}

    def push(channel: str, kind: str, **data: Any) -> dict[str, Any]:
        return {"channel": channel, "type": kind, "data": [{"symbol": "BTC/USD", **data}]}

    def bar(minute: str, close: float) -> dict[str, Any]:
        return push(
            "ohlc", "update", open=108359.8, high=108400.0, low=108300.1, close=close, trades=12, volume=2.68066226,
            vwap=108359.9, interval_begin=f"2025-05-27T11:{minute}:00.000000000Z", interval=1,
            timestamp=f"2025-05-27T11:{minute}:59.000000Z",
        )  # fmt: skip

    def level(price: float, qty: float) -> dict[str, float]:
        return {"price": price, "qty": qty}

    ended = int(Decimal("1748345040"))
    return Server(
        {
            "/0/public/AssetPairs": {"error": [], "result": {"XXBTZUSD": pair}},
            "/0/public/Assets": {"error": [], "result": {"XXBT": asset("XBT", 10), "ZUSD": asset("USD", 4)}},
            "/0/public/Time": {"error": [], "result": {"unixtime": ended, "rfc1123": ""}},
            "/0/public/Depth": {
                "error": [],
                "result": {"XXBTZUSD": {"asks": [["108360.0", "1.5", ended]], "bids": [["108359.8", "0.5", ended]]}},
            },
            "/0/public/OHLC": {
                "error": [],
                "result": {
                    "XXBTZUSD": [
                        [ended + 60 * k, "108359.8", "108400.0", "108300.1", "108360.0", "108359.9", "2.5", 12]
                        for k in range(3)
                    ],
                    "last": ended,
                },
            },
            "/0/public/Trades": {
                "error": [],
                "result": {
                    "XXBTZUSD": [["109601.2", "0.04561994", 1748345043.847, "b", "m", "", 83449369]],
                    "last": "1",
                },
            },
        },
        {
            "trade": [
                push(
                    "trade", "update", side="buy", price=109601.2, qty=0.04561994, ord_type="market",
                    trade_id=83449369, timestamp="2025-05-27T11:24:03.847761Z",
                )
            ],
            "book": [
                push(
                    "book", "snapshot", bids=[level(108359.8, 0.01362603), level(108359.5, 2.0)],
                    asks=[level(108359.9, 17.17988863)], checksum=2439117997,
                ),
                push(
                    "book", "update", bids=[level(108359.5, 0.0)], asks=[level(108360.4, 1.25)], checksum=2114181697,
                    timestamp="2025-05-27T11:24:04.440295Z",
                ),
            ],
            "ohlc": [bar("24", 108350.0), bar("24", 108360.0), bar("25", 108370.0)],
            "ticker": [
                push(
                    "ticker", "snapshot", bid=108359.8, bid_qty=0.01362603, ask=108359.9, ask_qty=17.17988863,
                    last=108359.8, volume=2158.32346723, vwap=108894.5, low=106824, high=111300, change=-2679.9,
                    change_pct=-2.41,
                )
            ],
        },
    )  # fmt: skip


async def opened(server: Server, name: str, symbol: str) -> tuple[CcxtTransport, CcxtAdapter]:
    transport = CcxtTransport(name, WallClock(), {"enableRateLimit": False}, server.prepare)
    instrument = await transport.instrument(symbol)
    return transport, CcxtAdapter(instrument, transport, FeedParams())


async def heard(transport: CcxtTransport, adapter: CcxtAdapter, enough: Callable[[Events], bool]) -> Events:
    (plan,) = adapter.sockets()
    socket = await transport(plan.url)
    for hello in plan.hello:
        socket.send(hello)
    rows: list[Events] = []
    try:
        async with asyncio.timeout(20):
            while not (rows and enough(tape.joined(rows))):
                decoded: Decoded = adapter.decode(plan.name, 1, await socket.frames())
                assert decoded.set_aside == ()
                rows.append(decoded.events)
    finally:
        await socket.close()
    return tape.joined(rows)


def is_whole(rows: Events) -> bool:
    kinds = rows["kind"].tolist()
    has_closed = ((rows["kind"] == Kind.BAR_CLOSE) & (rows["flags"] == 0)).any()
    has_diff = ((rows["kind"] == Kind.LEVEL) & (rows["aux2"] > 0)).any()
    return bool(has_closed and has_diff and Kind.TICKER in kinds and Kind.TRADE in kinds)


def run_live(server: Server, name: str, symbol: str) -> tuple[Instrument, Events, dict[str, Events]]:
    async def main() -> tuple[Instrument, Events, dict[str, Events]]:
        async with server.running():
            transport, adapter = await opened(server, name, symbol)
            try:
                rows = await heard(transport, adapter, is_whole)
                asked = {"book": await adapter.book(), "sync": await adapter.sync(2, 1)}
                told = await adapter.venue_time()
                assert told.ts_venue % 10**9 == 0
                assert told.ts_sent < told.ts_recv
            finally:
                await transport.close()
        return adapter.instrument, rows, asked

    return asyncio.run(main())


def levels(rows: Events) -> dict[tuple[int, int], int]:
    found = {}
    for row in rows[rows["kind"] == Kind.LEVEL]:
        found[int(row["side"]), int(row["price"])] = int(row["qty"])
    return {place: lots for place, lots in found.items() if lots}


def test_bybit_speaks_through_ccxt() -> None:
    instrument, rows, asked = run_live(bybit(), "bybit", "BTC/USDT:USDT")
    assert (instrument.key, str(instrument.tick_size), str(instrument.lot_size)) == (
        "bybit:BTC/USDT:USDT", "0.5", "0.001",
    )  # fmt: skip
    assert (instrument.base, instrument.quote, instrument.min_qty) == ("BTC", "USDT", Decimal("0.001"))
    trades = rows[rows["kind"] == Kind.TRADE]
    assert trades[["side", "price", "qty", "ts_event"]].tolist() == [
        (Side.BUY, 33157, 1, (MINUTE + 1) * 10**6), (Side.SELL, 33157, 1, (MINUTE + 2) * 10**6),
    ]  # fmt: skip
    assert levels(rows) == {(1, 32987): 6, (-1, 33222): 29, (-1, 33224): 213}
    closed = rows[(rows["kind"] == Kind.BAR_CLOSE) & (rows["flags"] == 0)]
    assert closed[["id", "price", "aux"]].tolist() == [(MINUTE * 10**6, 33216, 33354)]
    ticker = rows[rows["kind"] == Kind.TICKER][0]
    assert (ticker["price"], ticker["qty"], ticker["aux2"]) == (34432, 91705276, 157038312194)
    assert levels(asked["book"]) == {(1, 32987): 6, (-1, 33222): 29}
    backfilled = asked["sync"]
    assert (backfilled["flags"] == Flag.BACKFILLED).all()
    assert (backfilled["kind"] == Kind.BAR_OPEN).sum() == 2
    # the same trades, by the same ids
    assert backfilled["id"][backfilled["kind"] == Kind.TRADE].tolist() == trades["id"].tolist()


def test_kraken_speaks_through_ccxt() -> None:
    instrument, rows, asked = run_live(kraken(), "kraken", "BTC/USD")
    assert (instrument.venue, str(instrument.tick_size), str(instrument.lot_size)) == (Venue.KRAKEN, "0.1", "1E-8")
    (trade,) = rows[rows["kind"] == Kind.TRADE]
    assert (trade["side"], trade["price"], trade["qty"]) == (Side.BUY, 1096012, 4561994)
    assert trade["ts_event"] == 1748345043847 * 10**6
    assert levels(rows) == {(1, 1083598): 1362603, (-1, 1083599): 1717988863, (-1, 1083604): 125000000}
    (closed,) = rows[(rows["kind"] == Kind.BAR_CLOSE) & (rows["flags"] == 0)]
    assert (closed["id"], closed["aux"]) == (1748345040 * 10**9, 1083600)
    ticker = rows[rows["kind"] == Kind.TICKER][0]
    assert (ticker["price"], ticker["qty"], ticker["aux"]) == (1083598, 215832346723, -26799)
    assert levels(asked["book"]) == {(1, 1083598): 50000000, (-1, 1083600): 150000000}
    assert asked["sync"]["id"][asked["sync"]["kind"] == Kind.TRADE].tolist() == [trade["id"]]


async def drained(socket: CcxtSocket) -> None:
    while True:
        await socket.frames()


def test_a_connection_that_breaks_is_lost_and_a_new_one_speaks() -> None:
    async def main() -> None:
        server = bybit()
        async with server.running():
            transport, adapter = await opened(server, "bybit", "BTC/USDT:USDT")
            (plan,) = adapter.sockets()
            socket: CcxtSocket = await transport(plan.url)
            socket.send(b"trades")
            assert await socket.frames()
            for one in list(server.sockets):
                await one.close()
            with pytest.raises(ConnectionLost):
                await asyncio.wait_for(drained(socket), 10)
            await socket.close()
            with pytest.raises(ConnectionLost):
                socket.send(b"book")
            rows = await heard(transport, adapter, lambda rows: Kind.TRADE in rows["kind"])
            assert Kind.TRADE in rows["kind"]
            await transport.close()

    asyncio.run(main())


class Kept(list[RawRecord]):
    """What was told."""

    def add(self, record: RawRecord) -> None:
        self.append(record)


def test_a_live_feed_runs_it_as_any_venue_and_its_records_can_be_told_again() -> None:
    server, kept = bybit(), Kept()
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with server.running():
            ready.set()
            await stop.wait()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    instrument = Instrument(
        id=0, venue=Venue.BYBIT, symbol="BTC/USDT:USDT", tick_size=Decimal("0.5"), lot_size=Decimal("0.001")
    )
    clock, params = WallClock(), FeedParams()

    async def build() -> Client:
        transport = CcxtTransport("bybit", clock, {"enableRateLimit": False}, server.prepare)
        adapter = CcxtAdapter(instrument, TappedHttp(transport, kept, clock, instrument.key), params)
        return Client(TappedAdapter(adapter, kept, clock), transport, transport.close)

    feed = LiveFeed(build, params, clock, instrument)
    rows = tape.empty()
    deadline = clock.monotonic_ns() + 30 * NS_PER_S
    while not is_whole(rows) and clock.monotonic_ns() < deadline:
        batch = feed.next_batch()
        assert batch is not None
        rows = tape.joined([rows, batch])
        feed.wait(0.1)
    feed.close()
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()
    assert is_whole(rows)

    answers = RecordedAnswers()
    told = replay(kept, {instrument.key: FeedReplay(CcxtAdapter(instrument, answers, params), answers)})
    again = tape.joined([one.events for one in told])
    market = rows[(rows["kind"] != Kind.STATUS) & (rows["kind"] != Kind.TIMER)]
    columns = ["kind", "flags", "id", "price", "qty", "aux", "aux2", "ts_event"]
    assert again[columns][: len(market)].tolist() == market[columns].tolist()


def test_what_the_exchange_refuses_is_told_in_our_own_errors() -> None:
    async def main() -> None:
        server = bybit()
        async with server.running():
            transport, adapter = await opened(server, "bybit", "BTC/USDT:USDT")
            with pytest.raises(MissingInput, match="bybit lists no DOGE/USDT; it lists BTC/USDT:USDT"):
                await transport.instrument("DOGE/USDT")
            server.status = 429
            with pytest.raises(Throttled):
                await adapter.book()
            server.status = 503
            with pytest.raises(VenueUnavailable):
                await adapter.book()
            server.status = 200
            with pytest.raises(VenueRefused):
                await transport.request("GET", "ccxt://bybit/fetch_order_book", {"symbol": "NO/THING"})
            await transport.close()
            elsewhere = CcxtTransport("bybit", WallClock(), {}, lambda exchange: _nowhere(server, exchange))
            with pytest.raises(ConnectFailed):
                await elsewhere("ccxt://bybit/BTC/USDT:USDT")
            await elsewhere.close()

    asyncio.run(main())


def _nowhere(server: Server, exchange: Any) -> None:
    server.prepare(exchange)
    exchange.urls["api"]["public"] = "http://127.0.0.1:1"


def test_an_exchange_that_ccxt_does_not_know_is_said_in_a_sentence() -> None:
    with pytest.raises(MissingInput, match="ccxt knows no exchange called 'mtgox'"):
        CcxtTransport("mtgox", WallClock())


def test_that_it_is_slow_is_said(caplog: pytest.LogCaptureFixture) -> None:
    CcxtTransport("kraken", WallClock())
    assert "kraken comes through ccxt: 10 to 100 times slower" in caplog.text
