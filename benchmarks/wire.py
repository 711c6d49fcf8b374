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
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from benchmarks.output import say
from benchmarks.wire_venue import KINDS, LEVELS, SNAPSHOT_ID, STREAMS, serving
from spyhop.clock import WallClock
from spyhop.model.tape import Venue
from spyhop.venues import catalogue
from spyhop.venues.binance.adapter import BinanceAdapter
from spyhop.venues.binance.rest import BinanceRest
from spyhop.venues.endpoints import BinanceEndpoints
from spyhop.venues.net import sockets
from spyhop.venues.net.https import HttpClient
from spyhop.venues.params import FeedParams

REQUIRED = 10.0
RAMP = (25_000, 50_000, 100_000, 150_000, 200_000, 300_000, 400_000, 600_000)
RAMP_S = 3.0
LAG_S = 0.05
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


def cpu_us(kind: str, rounds: int, shrink: int) -> dict[str, float]:
    """Return each client's least CPU microseconds a frame; the clients take turns, each run has a fresh server."""
    best = dict.fromkeys(CLIENTS, float("inf"))
    for k in range(1 + rounds):
        for name, (client, counts) in CLIENTS.items():
            count = counts[kind] // (shrink if k else 20)
            with serving(kind, count) as port:
                seconds = asyncio.run(_bounded(client(port, kind, count)))
            if k:
                best[name] = min(best[name], seconds / count * 1e6)
    return best


async def _bounded(work: Awaitable[float]) -> float:
    async with asyncio.timeout(120.0):
        return await work


async def lag(port: int, rate: float, count: int) -> tuple[float, float]:
    """Return by how many seconds lag grew from the second quarter to the last, in the median, and CPU us a frame."""
    it, http = adapter(port)
    socket = await sockets.connect(WallClock())(f"ws://127.0.0.1:{port}/public/stream")
    it.opened("public", 1)
    socket.send(b'["mix"]')
    seen, early, late = -1, [0.0], [0.0]
    cpu = time.process_time()
    while seen < count:
        frames = await socket.frames()
        it.decode("public", 1, frames)
        seen += len(frames)
        behind = time.monotonic() - seen / rate
        if count // 4 < seen <= count // 2:
            early.append(behind)
        elif seen > count * 3 // 4:
            late.append(behind)
    used = (time.process_time() - cpu) / count * 1e6
    await socket.close()
    await http.close()
    return statistics.median(late) - statistics.median(early), used


def ramp() -> tuple[int, float]:
    """Return the highest rate of RAMP that is kept up with, and the CPU us a frame there; tell each that was tried."""
    kept, kept_us = 0, 0.0
    for rate in RAMP:
        count = int(rate * RAMP_S)
        with serving("mix", count, rate) as port:
            grown_s, used_us = asyncio.run(lag(port, rate, count))
        print(f"{rate} frames/s: lag grew by {grown_s * 1e3:.0f} ms, {used_us:.2f} CPU us a frame", flush=True)
        if grown_s > LAG_S:
            break
        kept, kept_us = rate, used_us
    return kept, kept_us


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of the frames, one round, no ramp")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    rounds, shrink = (1, 10) if options.quick else (options.rounds, 1)
    is_met = True
    for kind in KINDS:
        spent = cpu_us(kind, rounds, shrink)
        for name, value in spent.items():
            say(f"{kind}_{name}", value, "CPU us a frame", on=ON)
        for name in ("websockets", "ccxt_pro"):
            say(f"{kind}_{name}_over_ours", spent[name] / spent["ours"], "x as much", on=ON)
        is_cheap = spent["ccxt_pro"] >= REQUIRED * spent["ours"]
        is_met = is_met and is_cheap
        print(f"{'PASS' if is_cheap else 'FAIL'}: {kind}: {REQUIRED:g} times cheaper than ccxt.pro is required")
    if not options.quick:
        kept, used_us = ramp()
        say("sustained_mix", kept, "frames/s on one core before lag grows", on=ON)
        say("sustained_mix_cpu", used_us, "CPU us a frame at that rate", on=ON)
    sys.exit(0 if is_met else 1)


if __name__ == "__main__":
    main()
