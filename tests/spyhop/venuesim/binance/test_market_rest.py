from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from spyhop.clock import NS_PER_S
from spyhop.model.tape import Venue
from spyhop.venues import catalogue
from spyhop.venuesim.binance.weights import PATIENCE, UNDER_WAY_NS
from spyhop.venuesim.faults import Fault, FaultKind

pytestmark = pytest.mark.slow

NAUTILUS = "wire/nautilus_trader/tests/integration_tests/adapters/binance/resources/http_responses"
SPOT = "wire/nautilus_trader/crates/adapters/binance/test_data/spot/http_json"


def keys(body: Any) -> Any:
    """Return the keys of a body, down through lists."""
    if isinstance(body, dict):
        return {key: keys(value) for key, value in body.items()}
    if isinstance(body, list):
        return [keys(body[0])] if body else []
    return type(body).__name__


@pytest.mark.parametrize(
    ("path", "params", "file"),
    [
        ("/fapi/v1/depth", {}, f"{NAUTILUS}/http_futures_market_depth.json"),
        ("/fapi/v1/trades", {}, f"{NAUTILUS}/http_futures_market_trades.json"),
        ("/fapi/v1/klines", {"interval": "1m"}, f"{NAUTILUS}/http_futures_market_klines.json"),
        ("/fapi/v1/aggTrades", {}, f"{NAUTILUS}/http_futures_market_agg_trades.json"),
        ("/fapi/v1/ticker/24hr", {}, f"{NAUTILUS}/http_futures_market_ticker_24hr.json"),
        ("/fapi/v1/ticker/price", {}, f"{NAUTILUS}/http_futures_market_ticker_price.json"),
        ("/fapi/v1/ticker/bookTicker", {}, f"{NAUTILUS}/http_futures_market_book_ticker.json"),
        ("/fapi/v1/premiumIndex", {}, f"{NAUTILUS}/http_futures_market_premium_index.json"),
        ("/fapi/v1/openInterest", {}, f"{NAUTILUS}/http_futures_market_open_interest.json"),
        ("/api/v3/depth", {}, f"{SPOT}/depth_response.json"),
        ("/api/v3/trades", {}, f"{SPOT}/trades_response.json"),
        ("/api/v3/klines", {"interval": "1m"}, f"{SPOT}/klines_response.json"),
        ("/api/v3/ticker/24hr", {}, f"{SPOT}/ticker_24hr_response.json"),
        ("/api/v3/ticker/price", {}, f"{SPOT}/ticker_price_response.json"),
        ("/api/v3/ticker/bookTicker", {}, f"{SPOT}/book_ticker_response.json"),
        ("/api/v3/avgPrice", {}, f"{SPOT}/avg_price_response.json"),
        ("/api/v3/time", {}, f"{SPOT}/server_time_response.json"),
    ],
)
def test_bodies_have_the_documented_keys_and_types(
    bench: Any, recordings: Path, path: str, params: dict[str, str], file: str
) -> None:
    async def scene() -> Any:
        async with bench() as sim:
            return await sim.get(path, symbol="BTCUSDT", **params)

    documented, made = keys(json.loads((recordings / file).read_text())), keys(asyncio.run(scene()))
    if isinstance(documented, list) and isinstance(made, dict):
        documented = documented[0]
    assert _within(documented, made), (documented, made)


def _within(documented: Any, made: Any) -> bool:
    if isinstance(documented, dict):
        return isinstance(made, dict) and all(
            name in made and _within(value, made[name]) for name, value in documented.items()
        )
    if isinstance(documented, list):
        return isinstance(made, list) and all(_within(a, b) for a, b in zip(documented, made, strict=False))
    return bool(documented == made)


def test_what_the_venue_lists_reads_back_as_its_instruments(bench: Any) -> None:
    async def scene() -> tuple[Any, Any, Any]:
        async with bench() as sim:
            listed = await sim.get("/fapi/v1/exchangeInfo"), await sim.get("/api/v3/exchangeInfo")
            return (*listed, sim.floor.exchange.instruments)

    usdm, spot, instruments = asyncio.run(scene())
    read = (
        *catalogue.exchange_info(Venue.BINANCE_USDM, usdm),
        *catalogue.exchange_info(Venue.BINANCE_SPOT, spot),
    )
    for ours, theirs in zip(read, instruments, strict=True):
        for name in ("key", "tick_size", "lot_size", "base", "quote", "min_qty", "min_notional"):
            assert getattr(ours, name) == getattr(theirs, name), name
    assert {(limit["rateLimitType"], limit["interval"]) for limit in usdm["rateLimits"]} == {
        ("REQUEST_WEIGHT", "MINUTE"),
        ("ORDERS", "SECOND"),
        ("ORDERS", "MINUTE"),
    }


def test_an_old_snapshot_is_older_than_what_the_stream_has_sent(bench: Any) -> None:
    async def scene() -> tuple[int, int, int]:
        struck, path = Fault(kind=FaultKind.OLD_SNAPSHOT, count=1), "/public/stream?streams=btcusdt@depth@100ms"
        async with bench([struck]) as sim, sim.ws(path) as socket:
            first = (await sim.told(socket, lambda heard: True))[-1]["data"]
            old = await sim.get("/fapi/v1/depth", symbol="BTCUSDT", limit=1000)
            new = await sim.get("/fapi/v1/depth", symbol="BTCUSDT", limit=1000)
            return old["lastUpdateId"], first["U"], new["lastUpdateId"]

    old, first, new = asyncio.run(scene())
    assert old < first <= new


def test_a_new_snapshot_is_ahead_of_its_stream(bench: Any) -> None:
    async def scene() -> tuple[int, int]:
        struck, path = Fault(kind=FaultKind.NEW_SNAPSHOT, delay_s=0.6), "/public/stream?streams=btcusdt@depth@100ms"
        async with bench([struck]) as sim, sim.ws(path) as socket:
            first = (await sim.told(socket, lambda heard: True))[-1]["data"]
            snapshot = await sim.get("/fapi/v1/depth", symbol="BTCUSDT", limit=1000)
            return first["u"], snapshot["lastUpdateId"]

    newest, snapshot = asyncio.run(scene())
    assert snapshot - newest >= 40  # ten ids a frame, a frame a tenth of a second


def test_throttling_is_told_by_429_then_418_and_costs_the_ban(bench: Any) -> None:
    async def scene() -> list[tuple[int, str]]:
        async with bench([Fault(kind=FaultKind.THROTTLE, count=1, delay_s=30)]) as sim:
            told = []
            for number in range(PATIENCE + 2):
                if number == 1:  # what follows was not under way any more
                    await sim.floor.clock.sleep(UNDER_WAY_NS / NS_PER_S)
                async with sim.http.get(sim.endpoints.binance_usdm.rest + "/fapi/v1/ping") as reply:
                    told.append((reply.status, reply.headers["Retry-After"]))
            return told

    told = asyncio.run(scene())
    assert [status for status, _ in told] == [429] * (PATIENCE + 1) + [418]
    assert told[0][1] == "30"
    assert told[-1][1] == "120"


def test_a_skewed_clock_shows_everywhere(bench: Any) -> None:
    async def scene() -> tuple[float, int, int]:
        async with bench([Fault(kind=FaultKind.CLOCK_SKEW, venue="binance-usdm", offset_ms=5_000)]) as sim:
            ahead = (await sim.get("/fapi/v1/time"))["serverTime"] - (await sim.get("/api/v3/time"))["serverTime"]
            now_ms = sim.floor.clock.now_ns() // 1_000_000
            late = await sim.call("GET", "/fapi/v3/account", timestamp=now_ms - 100)
            right = await sim.call("GET", "/fapi/v3/account", timestamp=now_ms + 5_000)
            return ahead, late[1].get("code"), right[0]

    ahead, late, right = asyncio.run(scene())
    assert ahead == pytest.approx(5_000, abs=500)
    assert (late, right) == (-1021, 200)


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("/fapi/v1/depth", {}, -1102),
        ("/fapi/v1/depth", {"symbol": "NOSUCH"}, -1121),
        ("/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": "x"}, -1102),
        ("/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": "-1"}, -1130),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m", "startTime": "2", "endTime": "1"}, -1023),
        ("/futures/data/topLongShortPositionRatio", {"symbol": "BTCUSDT", "period": "1m"}, -1130),
        ("/fapi/v3/account", {}, -2014),
    ],
)
def test_bad_questions_have_the_venue_s_codes(bench: Any, path: str, params: dict[str, str], code: int) -> None:
    async def scene() -> Any:
        async with bench() as sim:
            return await sim.get(path, **params)

    assert asyncio.run(scene())["code"] == code
