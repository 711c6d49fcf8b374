from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from spyhop.clock import NS_PER_MINUTE, NS_PER_S
from spyhop.venuesim.dydx import chain, wallets
from spyhop.venuesim.faults import Fault, FaultKind

START = 1_780_000_020 * NS_PER_S
ADDRESS = wallets.TEST_ADDRESS
OWNER = {"address": ADDRESS, "subaccountNumber": 0}


@pytest.mark.slow
def test_bodies_validate_against_the_indexers_own_openapi(bench: Callable[..., Any], recordings: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    swagger = msgspec.json.decode((recordings / "wire/dydx_v4-chain/indexer_comlink_swagger.json").read_bytes())
    # OpenAPI 3.0 says nullable where JSON Schema says that null is one of the types
    for schema in swagger["components"]["schemas"].values():
        for property_ in schema.get("properties", {}).values():
            if property_.pop("nullable", False):
                inner = dict(property_)
                property_.clear()
                property_["anyOf"] = [inner, {"type": "null"}]

    def check(body: Any, name: str) -> None:
        jsonschema.validate(body, {"$ref": f"#/components/schemas/{name}", **swagger})

    async def go() -> None:
        async with bench() as sim:
            signer = sim.signer
            market = signer.order(1, side=1, price=60_100, time_in_force=1, good_til_block=sim.height + 9)
            for raw in (
                signer.sign(market),
                signer.sign(signer.order(2, good_til_block=sim.height + 9)),
                signer.sign(signer.order(3, 64, good_til_block_time=chain.time_of(sim.height + 500) // NS_PER_S)),
            ):
                assert (await sim.broadcast(raw))["code"] == 0
            sim.turn(2.0)
            check(await sim.get("/perpetualMarkets"), "PerpetualMarketResponse")
            check(await sim.get("/orderbooks/perpetualMarket/BTC-USD"), "OrderbookResponseObject")
            check(await sim.get("/trades/perpetualMarket/BTC-USD"), "TradeResponse")
            check(await sim.get("/candles/perpetualMarkets/BTC-USD", resolution="1MIN"), "CandleResponse")
            check(await sim.get("/historicalFunding/BTC-USD"), "HistoricalFundingResponse")
            check(await sim.get("/sparklines", timePeriod="ONE_DAY"), "SparklineResponseObject")
            check(await sim.get("/height"), "HeightResponse")
            check(await sim.get("/time"), "TimeResponse")
            check(await sim.get(f"/addresses/{ADDRESS}"), "AddressResponse")
            subaccount = await sim.get(f"/addresses/{ADDRESS}/subaccountNumber/0")
            check(subaccount["subaccount"], "SubaccountResponseObject")
            assert subaccount["subaccount"]["openPerpetualPositions"]
            orders = await sim.get("/orders", **OWNER)
            assert len(orders) == 3
            for order in orders:
                check(order, "OrderResponseObject")
                check(await sim.get(f"/orders/{order['id']}"), "OrderResponseObject")
            fills = await sim.get("/fills", **OWNER)
            assert fills["fills"]
            check(fills, "FillResponse")
            check(await sim.get("/perpetualPositions", **OWNER), "PerpetualPositionResponse")
            check(await sim.get("/assetPositions", **OWNER), "AssetPositionResponse")
            check(await sim.get("/transfers", **OWNER), "TransferResponse")

    asyncio.run(go())


def test_markets_books_and_trades_are_the_tapes(bench: Callable[..., Any]) -> None:
    async def go() -> None:
        async with bench() as sim:
            markets = (await sim.get("/perpetualMarkets"))["markets"]
            assert markets["BTC-USD"]["subticksPerTick"] == 100_000
            assert markets["SHIB-USD"]["atomicResolution"] == 0
            assert markets["BTC-USD"]["nextFundingRate"] != ""
            assert set(await sim.get("/perpetualMarkets", ticker="BTC-USD")) == {"markets"}
            book = await sim.get("/orderbooks/perpetualMarket/BTC-USD")
            assert len(book["bids"]) == len(book["asks"]) == 100
            assert book["bids"][0] == {"price": "59999", "size": "0.04"}  # step 1800: 400 lots
            assert book["asks"][0] == {"price": "60001", "size": "0.0401"}
            trades = (await sim.get("/trades/perpetualMarket/BTC-USD", limit=3))["trades"]
            assert len(trades) == 3
            # the tape's newest trade is that of step 1800; the minute before had none
            assert trades[0]["createdAt"] == chain.iso(START + 180 * NS_PER_S)
            assert trades[1]["createdAt"] == chain.iso(START + 1199 * NS_PER_S // 10)
            assert trades[0]["type"] == "LIQUIDATED"
            assert trades[1]["type"] == "LIMIT"
            assert int(trades[0]["id"][:8], 16) == int(trades[0]["createdAtHeight"])
            older = await sim.get(
                "/trades/perpetualMarket/BTC-USD", limit=1, createdBeforeOrAt=chain.iso(START + NS_PER_S)
            )
            assert older["trades"][0]["createdAt"] == chain.iso(START + NS_PER_S)

    asyncio.run(go())


def test_candles_are_newest_first_between_two_times_and_never_empty(bench: Callable[..., Any]) -> None:
    async def go() -> None:
        async with bench() as sim:
            path = "/candles/perpetualMarkets/BTC-USD"
            candles = (await sim.get(path, resolution="1MIN"))["candles"]
            assert [candle["startedAt"] for candle in candles] == [
                chain.iso(START + minute * NS_PER_MINUTE)
                for minute in (3, 1, 0)  # minute 2 had no trades
            ]
            assert candles[1]["trades"] == 600
            assert candles[1]["low"] == "59999"
            assert candles[1]["high"] == "60001"
            only = await sim.get(
                path,
                resolution="1MIN",
                fromISO=chain.iso(START + NS_PER_MINUTE),
                toISO=chain.iso(START + 3 * NS_PER_MINUTE),
            )
            assert [candle["startedAt"] for candle in only["candles"]] == [chain.iso(START + NS_PER_MINUTE)]
            funding = (await sim.get("/historicalFunding/BTC-USD"))["historicalFunding"]
            assert [row["rate"] for row in funding] == ["0.0000125"]

    asyncio.run(go())


@pytest.mark.parametrize(
    ("path", "params", "status", "says"),
    [
        ("/orderbooks/perpetualMarket/DOGE-USD", {}, 400, "valid ticker"),
        ("/candles/perpetualMarkets/BTC-USD", {"resolution": "3MINS"}, 400, "valid Candle Resolution"),
        ("/candles/perpetualMarkets/BTC-USD", {}, 400, "resolution is required"),
        ("/trades/perpetualMarket/BTC-USD", {"limit": 1001}, 400, "limit"),
        ("/trades/perpetualMarket/BTC-USD", {"limit": 0}, 400, "limit"),
        ("/historicalFunding/BTC-USD", {"effectiveBeforeOrAt": "yesterday"}, 400, "ISO8601"),
        ("/addresses/dydx1nobody", {}, 404, "No subaccounts found"),
        ("/addresses/dydx1nobody/subaccountNumber/0", {}, 404, "No subaccount found"),
        ("/orders/00000000-0000-0000-0000-000000000000", {}, 404, "Unable to find order id"),
        ("/orders", {"subaccountNumber": 0}, 400, "address is required"),
    ],
)
def test_bad_requests_are_answered_in_the_venues_shape(
    bench: Callable[..., Any], path: str, params: dict[str, Any], status: int, says: str
) -> None:
    async def go() -> None:
        async with bench() as sim, sim.http.get(sim.endpoints.dydx.indexer + path, params=params) as reply:
            body = msgspec.json.decode(await reply.read())
            assert reply.status == status
            assert says in body["errors"][0]["msg"]

    asyncio.run(go())


def test_the_hundred_and_first_request_waits_milliseconds(bench: Callable[..., Any]) -> None:
    async def go() -> None:
        async with bench() as sim:
            url = sim.endpoints.dydx.indexer
            for used in range(1, 101):
                async with sim.http.get(url + "/height") as reply:
                    assert reply.status == 200
                    assert reply.headers["RateLimit-Remaining"] == str(100 - used)
            async with sim.http.get(url + "/height") as reply:
                assert reply.status == 429
                assert reply.headers["Retry-After"] == "10000"
                assert int(reply.headers["RateLimit-Reset"]) == sim.clock.now_ns() // 1_000_000 + 10_000
            async with sim.http.get(url + "/candles/perpetualMarkets/BTC-USD?resolution=1MIN") as reply:
                assert reply.status == 200  # candles have an allowance of their own
                assert reply.headers["RateLimit-Limit"] == "1000"
            sim.turn(10.0)
            async with sim.http.get(url + "/height") as reply:
                assert reply.status == 200

    asyncio.run(go())


def test_faults_strike_requests(bench: Callable[..., Any]) -> None:
    faults = [
        Fault(kind=FaultKind.THROTTLE, venue="dydx", target="/v4/time", delay_s=2.5, count=1),
        Fault(kind=FaultKind.SERVER_ERROR, venue="dydx", target="/v4/height", status=502, count=1),
        Fault(kind=FaultKind.CLOCK_SKEW, venue="dydx", offset_ms=1500.0),
        Fault(kind=FaultKind.OLD_SNAPSHOT, venue="dydx", target="BTC-USD", delay_s=3.0, count=1),
    ]

    async def go() -> None:
        async with bench(faults) as sim:
            url = sim.endpoints.dydx.indexer
            async with sim.http.get(url + "/time") as reply:
                assert reply.status == 429
                assert reply.headers["Retry-After"] == "2500"
            async with sim.http.get(url + "/height") as reply:
                assert reply.status == 502
            body = await sim.get("/time")
            assert body["iso"] == chain.iso(sim.clock.now_ns() + 1_500_000_000)
            sim.turn(5.0)
            old = await sim.get("/orderbooks/perpetualMarket/BTC-USD")
            new = await sim.get("/orderbooks/perpetualMarket/BTC-USD")
            assert new["bids"][0]["size"] == "0.045"  # 50 steps on
            assert old["bids"][0]["size"] == "0.042"  # 30 steps before that

    asyncio.run(go())
