from __future__ import annotations

import asyncio
import json
import socket
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from spyhop.clock import NS_PER_S, ScaledClock, WallClock
from spyhop.venuesim.binance import front
from spyhop.venuesim.connection import Manners
from spyhop.venuesim.faults import Fault, FaultKind

pytestmark = pytest.mark.slow

TRADES = "/market/stream?streams=btcusdt@aggTrade"
BOOK = "/public/stream?streams=btcusdt@depth@100ms"
HANDSHAKE = (
    b"GET /market/ws HTTP/1.1\r\nHost: venue\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def ending(socket: aiohttp.ClientWebSocketResponse, within_s: float = 5.0) -> int | None:
    async with asyncio.timeout(within_s):
        async for _ in socket:
            pass
    return socket.close_code


async def ids(bench: Any, socket: Any, name: str, count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        found.append((await bench.told(socket, lambda heard: True))[-1]["data"][name])
    return found


def test_trades_come_once_and_without_a_hole(bench: Any) -> None:
    async def scene() -> list[int]:
        async with bench() as sim, sim.ws(TRADES) as socket:
            return await ids(sim, socket, "a", 6)

    found = asyncio.run(scene())
    assert found == list(range(found[0], found[0] + 6))


def test_a_gap_loses_a_frame_of_the_stream_that_it_names(bench: Any) -> None:
    async def scene() -> tuple[list[int], list[dict[str, Any]]]:
        async with bench() as sim, sim.ws(TRADES) as trades, sim.ws(BOOK) as book:
            diffs = [(await sim.told(book, lambda heard: True))[-1]["data"]]
            sim.floor.faults.add(Fault(kind=FaultKind.GAP, target="*@depth*", count=1))
            diffs += [(await sim.told(book, lambda heard: True))[-1]["data"] for _ in range(8)]
            return await ids(sim, trades, "a", 9), diffs

    trades, diffs = asyncio.run(scene())
    assert trades == list(range(trades[0], trades[0] + 9))
    breaks = [now["pu"] != before["u"] for before, now in pairwise(diffs)]
    assert sum(breaks) == 1


def test_a_repeated_frame_comes_twice_and_a_late_one_after_its_followers(bench: Any) -> None:
    async def scene(fault: Fault) -> list[int]:
        async with bench([fault]) as sim, sim.ws(TRADES) as socket:
            return await ids(sim, socket, "a", 8)

    twice = asyncio.run(scene(Fault(kind=FaultKind.REPEAT, count=1)))
    assert twice[0] == twice[1]
    assert twice[1:] == list(range(twice[1], twice[1] + 7))
    late = asyncio.run(scene(Fault(kind=FaultKind.LATE, count=1, delay_s=0.25)))
    assert late != sorted(late)
    assert sorted(late) == list(range(min(late), min(late) + 8))


def test_a_stalled_connection_is_open_and_mute_then_goes_on(bench: Any) -> None:
    async def scene() -> list[int]:
        async with bench() as sim, sim.ws(TRADES) as socket:
            before = await ids(sim, socket, "a", 2)
            sim.floor.faults.add(Fault(kind=FaultKind.STALL, duration_s=0.6))
            return before + await ids(sim, socket, "a", 4)

    found = asyncio.run(scene())
    jumps = [now - before for before, now in pairwise(found)]
    assert sum(jump > 1 for jump in jumps) == 1
    assert max(jumps) >= 5


def test_a_dropped_connection_ends_without_a_close_frame(bench: Any) -> None:
    async def scene() -> int | None:
        async with bench() as sim:
            async with sim.ws(BOOK) as spared, sim.ws(TRADES) as socket:
                sim.floor.faults.add(Fault(kind=FaultKind.DROP, target="/market/*", count=1))
                code = await ending(socket)
                await sim.told(spared, lambda heard: True)
            async with sim.ws(TRADES) as again:
                await sim.told(again, lambda heard: True)
            return code

    assert asyncio.run(scene()) == aiohttp.WSCloseCode.ABNORMAL_CLOSURE


def test_a_day_ends_every_connection_and_spot_says_so_first(bench: Any) -> None:
    async def scene() -> tuple[int | None, list[Any]]:
        async with bench() as sim, sim.ws(TRADES) as futures, sim.ws("/ws", is_spot=True) as spot:
            sim.floor.faults.add(Fault(kind=FaultKind.DAY_CLOSE, count=2))
            heard = await sim.told(spot, lambda heard: True)
            return await ending(futures), heard

    code, heard = asyncio.run(scene())
    assert code == aiohttp.WSCloseCode.GOING_AWAY
    assert heard[0]["e"] == "serverShutdown"


def test_the_24_hours_pass_on_the_exchange_s_clock(bench: Any) -> None:
    async def scene() -> tuple[int | None, int]:
        now = WallClock().now_ns()
        clock = ScaledClock(now, now, 400_000.0)  # a day in a fifth of a second
        async with bench(clock=clock) as sim, sim.ws(TRADES) as socket:
            opened = clock.now_ns()
            code = await ending(socket)
            return code, clock.now_ns() - opened

    code, lived = asyncio.run(scene())
    assert code == aiohttp.WSCloseCode.GOING_AWAY
    assert lived >= 86_000 * NS_PER_S


def test_who_does_not_answer_pings_is_sent_away(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "USDM_MANNERS", Manners(ping_s=0.2, pong_s=0.3))

    async def pings_until_the_end(socket: Any) -> int:
        pings = 0
        async with asyncio.timeout(5.0):
            while (message := await socket.receive()).type is not aiohttp.WSMsgType.CLOSE:
                pings += message.type is aiohttp.WSMsgType.PING
        return pings

    async def scene() -> tuple[int | None, int | None, int]:
        async with bench() as sim:
            url = sim.endpoints.binance_usdm.ws + TRADES
            async with sim.http.ws_connect(url, autoping=False) as mute, sim.http.ws_connect(url) as polite:
                # who answers lives through several pings meanwhile
                pings, _ = await asyncio.gather(pings_until_the_end(mute), ids(sim, polite, "a", 12))
                return mute.close_code, polite.close_code, pings

    code, polite_code, pings = asyncio.run(scene())
    assert code == aiohttp.WSCloseCode.POLICY_VIOLATION
    assert pings == 1
    assert polite_code is None


def test_who_talks_too_much_is_sent_away(bench: Any) -> None:
    async def scene() -> int | None:
        async with bench() as sim, sim.ws("/public/ws") as socket:
            for number in range(25):
                await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
            return await ending(socket)

    assert asyncio.run(scene()) == aiohttp.WSCloseCode.POLICY_VIOLATION


def test_who_does_not_read_is_sent_away_when_the_outbox_is_full(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    manners = Manners(ping_s=180.0, pong_s=600.0, max_outbox=50)
    monkeypatch.setattr(front, "USDM_MANNERS", manners)

    async def scene() -> int:
        async with bench() as sim, sim.ws(TRADES):
            async with asyncio.timeout(5.0):
                while not sim.floor.connections:
                    await asyncio.sleep(0.01)
                connection = next(iter(sim.floor.connections))
                frame = json.dumps("x" * 200_000).encode()
                while connection in sim.floor.connections:
                    connection.send(frame)  # nobody reads: the socket's buffers fill, then the outbox
                    await asyncio.sleep(0)
                return connection.num_sent

    assert asyncio.run(scene()) < 200


def test_a_slow_consumer_on_request(bench: Any) -> None:
    async def scene() -> int | None:
        async with bench([Fault(kind=FaultKind.SLOW_CONSUMER, count=1)]) as sim, sim.ws(TRADES) as socket:
            return await ending(socket)

    assert asyncio.run(scene()) == aiohttp.WSCloseCode.POLICY_VIOLATION


def test_a_client_that_gives_up_while_it_shakes_hands_is_no_error(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> int:
        async with bench() as sim:
            address = urlsplit(sim.endpoints.binance_usdm.ws)
            # gone before the server, which shares this loop, can look
            with socket.create_connection((address.hostname, address.port)) as client:
                client.sendall(HANDSHAKE)
            async with sim.ws(TRADES) as later:  # whoever comes later was behind it
                await sim.told(later, lambda heard: True)
            return len([one for one in sim.floor.connections if one.path == "/market/ws"])

    assert asyncio.run(scene()) == 0
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
