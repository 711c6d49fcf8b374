from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest

pytestmark = pytest.mark.slow

EVERY_TOPIC = {
    "/public": ["btcusdt@depth@100ms", "btcusdt@depth5@100ms", "btcusdt@bookTicker", "!bookTicker", "btcusdt@trade"],
    "/market": [
        *("btcusdt@aggTrade", "btcusdt@kline_1m", "btcusdt@markPrice@1s", "!markPrice@arr@1s", "btcusdt@forceOrder"),
        *("!forceOrder@arr", "btcusdt@ticker", "btcusdt@miniTicker", "!miniTicker@arr"),
    ],
}


async def heard_streams(sim: Any, socket: Any, wanted: set[str], within_s: float) -> set[str]:
    heard: set[str] = set()

    def is_all(message: Any) -> bool:
        heard.add(message.get("stream", ""))
        return wanted <= heard

    with suppress(TimeoutError):
        await sim.told(socket, is_all, within_s)
    return heard - {""}


@pytest.mark.parametrize("route", ["/public", "/market"])
def test_every_stream_of_a_route_speaks_on_it(bench: Any, route: str) -> None:
    names = EVERY_TOPIC[route]

    async def scene() -> set[str]:
        async with bench() as sim, sim.ws(f"{route}/stream?streams={'/'.join(names)}") as socket:
            return await heard_streams(sim, socket, set(names), 6.0)

    assert asyncio.run(scene()) == set(names)


@pytest.mark.parametrize(
    ("path", "wrong", "right"),
    [
        ("/public/stream", "btcusdt@aggTrade", "btcusdt@bookTicker"),
        ("/market/stream", "btcusdt@bookTicker", "btcusdt@aggTrade"),
        ("/stream", "btcusdt@markPrice@1s", "btcusdt@trade"),  # unrouted: behaves as /public
        ("/private/stream", "btcusdt@aggTrade", ""),
    ],
)
def test_a_wrong_route_is_acknowledged_and_silent(bench: Any, path: str, wrong: str, right: str) -> None:
    async def scene() -> tuple[Any, Any, set[str]]:
        async with bench() as sim, sim.ws(path) as socket:
            names = [wrong, right] if right else [wrong]
            await socket.send_json({"method": "SUBSCRIBE", "params": names, "id": 7})
            acknowledged = (await sim.told(socket, lambda heard: True))[-1]
            await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 8})
            listed = (await sim.told(socket, lambda heard: heard.get("id") == 8))[-1]
            return acknowledged, listed, await heard_streams(sim, socket, {wrong}, 1.3)

    acknowledged, listed, heard = asyncio.run(scene())
    assert acknowledged == {"result": None, "id": 7}
    assert wrong in listed["result"]
    assert heard == ({right} if right else set())


def test_a_raw_socket_is_not_wrapped_unless_it_asks(bench: Any) -> None:
    async def scene() -> tuple[Any, Any]:
        async with bench() as sim, sim.ws("/market/ws/btcusdt@aggTrade") as socket:
            raw = (await sim.told(socket, lambda heard: True))[-1]
            await socket.send_json({"method": "SET_PROPERTY", "params": ["combined", True], "id": 1})
            wrapped = await sim.told(socket, lambda heard: "stream" in heard)
            return raw, wrapped[-1]

    raw, wrapped = asyncio.run(scene())
    assert raw["e"] == "aggTrade"
    assert wrapped["stream"] == "btcusdt@aggTrade"
    assert wrapped["data"]["a"] > raw["a"]


def test_unsubscribing_ends_a_stream(bench: Any) -> None:
    async def scene() -> set[str]:
        async with bench() as sim, sim.ws("/market/stream?streams=btcusdt@aggTrade/ethusdt@aggTrade") as socket:
            await heard_streams(sim, socket, {"btcusdt@aggTrade", "ethusdt@aggTrade"}, 3.0)
            await socket.send_json({"method": "UNSUBSCRIBE", "params": ["btcusdt@aggTrade"], "id": 3})
            await sim.told(socket, lambda heard: heard.get("id") == 3)
            return await heard_streams(sim, socket, {"btcusdt@aggTrade"}, 0.8)

    assert asyncio.run(scene()) == {"ethusdt@aggTrade"}


@pytest.mark.parametrize(
    "message", [b"{", b"[]", b'{"method": 1}', b'{"method": "NO_SUCH", "id": 4}', b'{"method": "SET_PROPERTY"}']
)
def test_nonsense_is_answered_and_the_socket_stays(bench: Any, message: bytes) -> None:
    async def scene() -> Any:
        async with bench() as sim, sim.ws("/market/ws/btcusdt@aggTrade") as socket:
            await socket.send_str(message.decode())
            said = await sim.told(socket, lambda heard: "error" in heard or "code" in heard)
            await sim.told(socket, lambda heard: heard.get("e") == "aggTrade")
            return said[-1]

    answer = asyncio.run(scene())
    assert answer.get("code", answer.get("error", {}).get("code")) == 2


def test_more_streams_than_a_connection_may_have_end_it(bench: Any) -> None:
    async def scene() -> int | None:
        async with bench() as sim, sim.ws("/market/ws") as socket:
            names = [f"sym{number}usdt@aggTrade" for number in range(1_025)]
            await socket.send_str(json.dumps({"method": "SUBSCRIBE", "params": names, "id": 1}))
            async with asyncio.timeout(5):
                await socket.receive()
            code: int | None = socket.close_code
            return code

    assert asyncio.run(scene()) == 1008
