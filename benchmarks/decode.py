"""Raw frames to tape: frames a second, unzipping included.

`python -m benchmarks.decode [--input PATH] [--rounds N]` prints one JSON object a line: name, value, unit, on. Beside
`raw_frames_per_s` stand what bounds it (unzipping alone), what it is made of (parsing alone) and what it replaces
(json.loads and float() of every price and quantity), measured in the same run. Each value is the best round.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from spyhop.venues import catalogue
from spyhop.venues.binance.capture import CaptureReader, LineDecoder

RECORDED = Path(__file__).resolve().parents[2] / "shared" / "data" / "binance_raw" / "usdm_btcusdt_20240808.gz"


def best_s(work: Callable[[], object], rounds: int) -> float:
    """Return the shortest of `rounds` runs of `work`, in seconds, after one that is not counted."""
    work()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def frames_as_floats(text: bytes) -> float:
    """Do what a plain decoder does, json.loads and float(), and return a sum so that nothing is left out."""
    total = 0.0
    for line in text.splitlines():
        outer = json.loads(line[line.index(b" ") :])
        frame = outer.get("data", outer)
        for key in ("b", "a", "bids", "asks", "p", "q", "B", "A"):
            value = frame.get(key)
            if isinstance(value, list):
                total += sum(float(price) + float(qty) for price, qty in value)
            elif value is not None:
                total += float(value)
    return total


def synthetic(frames: int) -> bytes:
    """Return a gzip capture of `frames` made-up frames of the common shapes, for where no recording is."""
    quote = (
        '{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":%d,"s":"BTCUSDT","b":"61800.20","B":"2.507",'
        '"a":"61800.30","A":"2.510","T":1723161256313,"E":1723161256313}}'
    )
    levels = ",".join(f'["{61800 - k}.20","{k}.507"]' for k in range(30))
    depth = (
        '{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSDT",'
        '"U":%d,"u":1,"pu":0,"b":[LEVELS],"a":[LEVELS]}}'
    ).replace("LEVELS", levels)
    lines = [f"{1723161255030314667 + k} {(quote, depth)[k % 14 == 0] % k}" for k in range(frames)]
    return gzip.compress("\n".join(lines).encode(), 6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", type=Path, default=None, help="a raw capture, plain or gzip")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    path, made = options.input or RECORDED, None
    if options.input is None and not path.is_file():
        made = path = Path(f"decode-bench-{os.getpid()}.gz")
        made.write_bytes(synthetic(94_000))
    try:
        measure(path, options.rounds)
    finally:
        if made is not None:
            made.unlink()


def measure(path: Path, rounds: int) -> None:
    """Print the measurements of one capture."""
    packed = path.read_bytes()
    is_gzip = packed[:2] == b"\x1f\x8b"
    text = gzip.decompress(packed) if is_gzip else packed
    frames = text.count(b"\n") + (not text.endswith(b"\n"))
    on = f"{path.name}, {platform.machine()}, {os.cpu_count()} cores"

    def tell(name: str, value: float, unit: str) -> None:
        print(json.dumps({"name": name, "value": round(value, 2), "unit": unit, "on": on}), flush=True)

    def whole() -> int:
        return sum(len(block.events) for block in CaptureReader(path).blocks())

    venue = CaptureReader(path).venue

    def parse() -> int:
        decoder = LineDecoder(venue, lambda symbol: catalogue.find(venue, symbol))
        return sum(len(block.events) for block in decoder.decode(text))

    decode_s = best_s(whole, rounds)
    plain_s = best_s(lambda: frames_as_floats(text), min(rounds, 2))
    tell("raw_frames_per_s", frames / decode_s, "frames/s")
    tell("raw_rows_per_s", whole() / decode_s, "rows/s")
    tell("parse_only_frames_per_s", frames / best_s(parse, rounds), "frames/s")
    if is_gzip:
        unzip_s = best_s(lambda: zlib.decompress(packed, 31), rounds)
        tell("unzip_only_frames_per_s", frames / unzip_s, "frames/s")
        tell("decode_over_unzip", decode_s / unzip_s, "x as long")
    tell("json_and_float_frames_per_s", frames / plain_s, "frames/s (text in memory)")
    tell("decode_over_json_and_float", plain_s / decode_s, "x as fast")


if __name__ == "__main__":
    main()
