"""From a socket to rows of the tape: CPU microseconds a frame, beside other clients, and how fast one core can go.

`python -m benchmarks.wire [--rounds N] [--quick]` prints one JSON object a line. A server in a second process says
frames over loopback as fast as they are taken; what is measured is all CPU time of the client's process, user and
system, from its subscription to its last frame, divided by the frames. Clients: ours (socket, adapter, rows of the
tape), ccxt.pro (its watch methods), plain `websockets` with typed msgspec decoding and nothing after it. Each value
is the best of the rounds; a short round before them is not counted.
The rate at which lag grows is found by offering more and more of a mix of quotes, trades and depth (8:4:1).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import os
import platform
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from benchmarks.output import say
from benchmarks.wire_venue import KINDS, LEVELS, SNAPSHOT_ID, STREAMS, serving
from spyhop.clock import WallClock
from spyhop.model.tape import Venue
from spyhop.venues import catalogue, sockets
from spyhop.venues.binance.adapter import BinanceAdapter
from spyhop.venues.binance.rest import BinanceRest
from spyhop.venues.endpoints import BinanceEndpoints
from spyhop.venues.https import HttpClient
from spyhop.venues.params import FeedParams

REQUIRED = 10.0
RAMP = (25_000, 50_000, 100_000, 150_000, 200_000, 300_000, 400_000, 600_000)
RAMP_S = 2.0
LAG_S = 0.1
ON = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def adapter(port: int) -> tuple[BinanceAdapter, HttpClient]:
    """Return an adapter for BTCUSDT at the server."""
    instrument = catalogue.find(Venue.BINANCE_USDM, "BTCUSDT")
    assert instrument is not None
    endpoints = BinanceEndpoints(f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}")
    http = HttpClient(WallClock())
    rest = BinanceRest(http, endpoints, Venue.BINANCE_USDM)
    return BinanceAdapter(instrument.numbered(0), endpoints, rest, FeedParams()), http


async def ours(port: int, kind: str, count: int) -> float:
    """Our path: frames off the socket, rows of the tape out of the adapter."""
    it, http = adapter(port)
    name = "market" if kind == "aggTrade" else "public"
    socket = await sockets.connect(WallClock())(f"ws://127.0.0.1:{port}/{name}/stream?streams={STREAMS[kind]}")
    it.opened(name, 1)
    start, seen, rows = time.process_time(), 0, 0
    socket.send(b'{"method":"SUBSCRIBE","params":["%b"],"id":1}' % STREAMS[kind].encode())
    while seen < count + 1:  # the answer too
        frames = await socket.frames()
        decoded = it.decode(name, 1, frames)
        rows += len(decoded.events)
        assert not decoded.set_aside, decoded.set_aside[0]
        seen += len(frames)
    spent = time.process_time() - start
    assert rows == count * (2 * LEVELS if kind == "depth" else 1), (rows, count)
    await socket.close()
    await http.close()
    return spent


class _AggTrade(msgspec.Struct):
    a: int
    p: str
    q: str
    T: int
    m: bool


class _BookTicker(msgspec.Struct):
    u: int
    b: str
    B: str
    a: str
    A: str


class _Depth(msgspec.Struct):
    U: int
    u: int
    pu: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class _Combined(msgspec.Struct):
    data: msgspec.Raw


async def plain(port: int, kind: str, count: int) -> float:
    """`websockets` and typed msgspec decoding, prices and sizes to float; no rows, no book."""
    from websockets.asyncio.client import connect

    shape = {"aggTrade": _AggTrade, "bookTicker": _BookTicker, "depth": _Depth}[kind]
    decode, unwrap = msgspec.json.Decoder(shape).decode, msgspec.json.Decoder(_Combined).decode
    url = f"ws://127.0.0.1:{port}/public/stream?streams={STREAMS[kind]}"
    async with connect(url, compression=None, ping_interval=None) as socket:
        start = time.process_time()
        await socket.send(STREAMS[kind])
        await socket.recv()
        for _ in range(count):
            message: Any = decode(unwrap(await socket.recv(decode=False)).data)
            if kind == "aggTrade":
                _ = float(message.p), float(message.q)
            elif kind == "bookTicker":
                _ = float(message.b), float(message.B), float(message.a), float(message.A)
            else:
                for price, qty in itertools.chain(message.b, message.a):
                    _ = float(price), float(qty)
        return time.process_time() - start


async def ccxt_pro(port: int, kind: str, count: int) -> float:
    """ccxt.pro 4.5.90, its own way."""
    import ccxt.pro

    exchange: Any = ccxt.pro.binanceusdm({"options": {"watchTrades": {"name": "aggTrade"}}, "enableRateLimit": False})
    for name in ("fapiPublic", "fapiPublicV2", "fapiPublicV3", "fapiPrivate", "fapiData"):
        exchange.urls["api"][name] = f"http://127.0.0.1:{port}/fapi/v1"
    exchange.urls["api"]["ws"]["linear"] = f"ws://127.0.0.1:{port}/ws"
    exchange.has["fetchCurrencies"] = False
    symbol = "BTC/USDT:USDT"
    seen = 0
    try:
        await exchange.load_markets()
        start = time.process_time()
        while seen < count:
            if kind == "aggTrade":
                seen = int((await exchange.watch_trades(symbol))[-1]["id"]) - SNAPSHOT_ID + 1
            elif kind == "bookTicker":
                told = await exchange.watch_bids_asks([symbol])
                seen = (int(told[symbol]["info"]["u"]) - SNAPSHOT_ID) // 10 + 1
            else:
                seen = (int((await exchange.watch_order_book(symbol, LEVELS))["nonce"]) - SNAPSHOT_ID) // 10
        return time.process_time() - start
    finally:
        await exchange.close()


Client = Callable[[int, str, int], Awaitable[float]]
CLIENTS: dict[str, tuple[Client, dict[str, int]]] = {
    "ours": (ours, {"aggTrade": 400_000, "bookTicker": 400_000, "depth": 20_000}),
    "websockets": (plain, {"aggTrade": 60_000, "bookTicker": 60_000, "depth": 8_000}),
    "ccxt_pro": (ccxt_pro, {"aggTrade": 40_000, "bookTicker": 40_000, "depth": 6_000}),
}


def cpu_us(name: str, kind: str, rounds: int, shrink: int) -> float:
    """Return the least CPU microseconds a frame of `rounds` runs, each against a fresh server."""
    client, counts = CLIENTS[name]
    best = float("inf")
    for k in range(1 + rounds):
        count = counts[kind] // (shrink if k else 20)
        with serving(kind, count) as port:
            seconds = asyncio.run(_bounded(client(port, kind, count)))
        if k:
            best = min(best, seconds / count * 1e6)
    return best


async def _bounded(work: Awaitable[float]) -> float:
    async with asyncio.timeout(120.0):
        return await work


async def lag(port: int, rate: float, count: int) -> tuple[float, float]:
    """Return by how many seconds the second half was late at worst, and the share of a core that was used.

    Late against the earliest pace seen: a frame that is through sooner than all others tells when the server began.
    """
    it, http = adapter(port)
    socket = await sockets.connect(WallClock(), max_queued_bytes=1 << 26)(f"ws://127.0.0.1:{port}/public/stream")
    it.opened("public", 1)
    socket.send(b'["mix"]')
    seen, began, worst = -1, float("inf"), 0.0
    cpu, wall = time.process_time(), time.monotonic()
    while seen < count:
        frames = await socket.frames()
        it.decode("public", 1, frames)
        seen += len(frames)
        now = time.monotonic()
        began = min(began, now - seen / rate)
        if seen > count // 2:
            worst = max(worst, now - seen / rate - began)
    used = (time.process_time() - cpu) / (time.monotonic() - wall)
    await socket.close()
    await http.close()
    return worst, used


def ramp() -> tuple[int, list[str]]:
    """Return the highest rate of RAMP that is kept up with, and a line about each that was tried."""
    kept, told = 0, []
    for rate in RAMP:
        count = int(rate * RAMP_S)
        with serving("mix", count, rate) as port:
            late_s, used = asyncio.run(lag(port, rate, count))
        told.append(f"{rate} frames/s: at most {late_s * 1e3:.0f} ms late, {used:.0%} of a core")
        if late_s > LAG_S:
            break
        kept = rate
    return kept, told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of the frames, one round, no ramp")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    rounds, shrink = (1, 10) if options.quick else (options.rounds, 1)
    is_met = True
    for kind in KINDS:
        spent = {name: cpu_us(name, kind, rounds, shrink) for name in CLIENTS}
        for name, value in spent.items():
            say(f"{kind}_{name}", value, "CPU us a frame", on=ON)
        for name in ("websockets", "ccxt_pro"):
            say(f"{kind}_{name}_over_ours", spent[name] / spent["ours"], "x as much", on=ON)
        is_cheap = spent["ccxt_pro"] >= REQUIRED * spent["ours"]
        is_met = is_met and is_cheap
        print(f"{'PASS' if is_cheap else 'FAIL'}: {kind}: {REQUIRED:g} times cheaper than ccxt.pro is required")
    if not options.quick:
        kept, told = ramp()
        print("\n".join(told))
        say("sustained_mix", kept, "frames/s on one core before lag grows", on=ON)
    sys.exit(0 if is_met else 1)


if __name__ == "__main__":
    main()
