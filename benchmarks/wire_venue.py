"""The other end for `benchmarks.wire`: says made-up Binance frames to whoever subscribes, from a process of its own.

Frames have the shapes of the venue's documents and captures, with numbers that change; a depth frame has 40 levels a
side. They are encoded before anybody listens, so that the server costs little beside the client.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

KINDS = ("aggTrade", "bookTicker", "depth")
STREAMS = {"aggTrade": "btcusdt@aggTrade", "bookTicker": "btcusdt@bookTicker", "depth": "btcusdt@depth@100ms"}
LEVELS = 40
SNAPSHOT_ID = 1_000_000
CHUNK = 1 << 17
TICK_S = 0.005
MIX = ("bookTicker",) * 8 + ("aggTrade",) * 4 + ("depth",)
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

EXCHANGE_SYMBOL = {
    "symbol": "BTCUSDT", "pair": "BTCUSDT", "contractType": "PERPETUAL", "status": "TRADING", "baseAsset": "BTC",
    "quoteAsset": "USDT", "marginAsset": "USDT", "pricePrecision": 2, "quantityPrecision": 3, "deliveryDate":
    4133404800000, "onboardDate": 1569398400000, "orderTypes": ["LIMIT", "MARKET"], "timeInForce": ["GTC", "IOC"],
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.10", "maxPrice": "1000000", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
        {"filterType": "MIN_NOTIONAL", "notional": "100"},
    ],
}  # fmt: skip


def frame(kind: str, k: int) -> str:
    """Return the `k`-th frame of a kind."""
    at = 1_786_541_222_000 + k // 3
    price = 640_000 + k * 7 % 900
    if kind == "aggTrade":
        return (
            f'{{"e":"aggTrade","E":{at},"a":{SNAPSHOT_ID + k},"s":"BTCUSDT","p":"{price / 10:.2f}",'
            f'"q":"0.{k % 900 + 1:03}","f":{3 * k},"l":{3 * k + 2},'
            f'"T":{at - 3},"m":{"true" if k % 2 else "false"},"st":1,"nq":"0.001"}}'
        )
    if kind == "bookTicker":
        return (
            f'{{"e":"bookTicker","u":{SNAPSHOT_ID + 10 * k},"E":{at},"T":{at - 2},"s":"BTCUSDT","b":"{price / 10:.2f}",'
            f'"B":"{k % 90 + 1}.190","a":"{(price + 1) / 10:.2f}","A":"{k % 70 + 1}.660","st":1,"ps":"BTCUSDT"}}'
        )
    bids = ",".join(f'["{(price - n) / 10:.2f}","{(k + n) % 60}.{n:03}"]' for n in range(LEVELS))
    asks = ",".join(f'["{(price + 1 + n) / 10:.2f}","{(k + 3 * n) % 60}.{n:03}"]' for n in range(LEVELS))
    last = SNAPSHOT_ID + 10 * (k + 1)
    return (
        f'{{"e":"depthUpdate","E":{at},"T":{at - 3},"s":"BTCUSDT","ps":"BTCUSDT","U":{last - 9},"u":{last},'
        f'"pu":{last - 10},"b":[{bids}],"a":[{asks}],"st":1}}'
    )


def encoded(kind: str, k: int, *, is_combined: bool) -> bytes:
    """Return the `k`-th frame as a WebSocket message."""
    text = frame(kind, k)
    if is_combined:
        text = f'{{"stream":"{STREAMS[kind]}","data":{text}}}'
    payload = text.encode()
    if len(payload) < 126:
        return bytes([0x81, len(payload)]) + payload
    return b"\x81\x7e" + struct.pack(">H", len(payload)) + payload


class Venue:
    """One connection at a time: REST for ccxt, and a socket that is told `counts` frames of what it subscribes to."""

    def __init__(self, counts: dict[str, int], rate: float) -> None:
        self.counts, self.rate = counts, rate
        self.asked_for_book = asyncio.Event()

    async def on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                path = head.split(" ")[1]
                if "upgrade: websocket" in head.lower():
                    await self._stream(reader, writer, head, is_combined="/stream" in path)
                    return
                body = json.dumps(self._rest(path)).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                )
                writer.write(body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _rest(self, path: str) -> object:
        if "exchangeInfo" in path:
            return {"timezone": "UTC", "serverTime": 0, "rateLimits": [], "assets": [], "symbols": [EXCHANGE_SYMBOL]}
        if "depth" in path:
            self.asked_for_book.set()
            return {
                "lastUpdateId": SNAPSHOT_ID + 5,
                "E": 1,
                "T": 1,
                "bids": [[f"{63_000 - n / 10:.2f}", "1.000"] for n in range(960)],
                "asks": [[f"{65_000 + n / 10:.2f}", "1.000"] for n in range(960)],
            }
        return {}

    async def _stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str, *, is_combined: bool
    ) -> None:
        key = next(line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key"))
        accepted = base64.b64encode(hashlib.sha1(key.encode() + _MAGIC, usedforsecurity=False).digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(b"Sec-WebSocket-Accept: %b\r\n\r\n" % accepted)
        asked = await _message(reader)
        answer = b'{"result":null,"id":1}'
        writer.write(bytes([0x81, len(answer)]) + answer)
        if b"mix" in asked:
            await self._say_at_rate(writer)
        else:
            kind = next(kind for kind in KINDS if kind.encode() in asked)
            await self._say(writer, kind, is_combined=is_combined)
        await reader.read()

    async def _say(self, writer: asyncio.StreamWriter, kind: str, *, is_combined: bool) -> None:
        """Say the frames of one kind as fast as they are taken; of depth, two before the book is asked for."""
        said = (encoded(kind, k, is_combined=is_combined) for k in range(self.counts[kind]))
        if kind == "depth" and not is_combined:
            writer.write(b"".join(itertools.islice(said, 2)))
            await self.asked_for_book.wait()
            await asyncio.sleep(0.3)
        whole = b"".join(said)
        for begin in range(0, len(whole), CHUNK):
            writer.write(whole[begin : begin + CHUNK])
            await writer.drain()

    async def _say_at_rate(self, writer: asyncio.StreamWriter) -> None:
        """Say the mix `rate` times a second, whether it is taken or not, for as many frames as `counts` has."""
        num_frames = self.counts["mix"]
        frames = [encoded(MIX[k % len(MIX)], k, is_combined=True) for k in range(13 * 2_000)]
        ends = list(itertools.accumulate(map(len, frames)))
        whole = memoryview(b"".join(frames))
        start, sent = time.monotonic(), 0
        while sent < num_frames:
            due = min(int((time.monotonic() - start) * self.rate), num_frames)
            while sent < due:
                begin = sent % len(frames)
                end = min(begin + due - sent, len(frames))
                writer.write(bytes(whole[ends[begin - 1] if begin else 0 : ends[end - 1]]))
                sent += end - begin
            await asyncio.sleep(TICK_S)
        await writer.drain()


async def _message(reader: asyncio.StreamReader) -> bytes:
    _, length = await reader.readexactly(2)
    length &= 0x7F
    if length == 126:
        (length,) = struct.unpack(">H", await reader.readexactly(2))
    mask = await reader.readexactly(4)
    return bytes(byte ^ mask[k % 4] for k, byte in enumerate(await reader.readexactly(length)))


def main() -> None:
    """Serve until killed: `python -m benchmarks.wire_venue KIND COUNT RATE`; prints the port."""
    kind, count, rate = sys.argv[1:]

    async def work() -> None:
        venue = Venue({kind: int(count)}, float(rate))
        server = await asyncio.start_server(venue.on_connection, "127.0.0.1", 0, limit=1 << 20)
        print(server.sockets[0].getsockname()[1], flush=True)
        async with server:
            await server.serve_forever()

    asyncio.run(work())


@contextmanager
def serving(kind: str, count: int, rate: float = 0.0) -> Iterator[int]:
    """Run the server in a second process; yields its port."""
    command = [sys.executable, "-m", "benchmarks.wire_venue", kind, str(count), str(rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


if __name__ == "__main__":
    main()
