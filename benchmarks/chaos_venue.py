"""A venue simulator for the chaos of orders: USDT-M alone, a lively market, one key for each run.

A run trades an account of its own, so that one simulator serves many runs and no run sees the orders of another.
`python -m benchmarks.chaos_venue SYMBOLS SPEED SEED KEYS` serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import numpy as np

from spyhop.clock import NS_PER_S, WallClock
from spyhop.simulation.feed import MarketParams
from spyhop.venues.endpoints import ClockSpec, Endpoints
from spyhop.venuesim import server
from spyhop.venuesim.binance.front import UsdmFront
from spyhop.venuesim.exchange import Exchange
from spyhop.venuesim.faults import Faults
from spyhop.venuesim.floor import Floor
from spyhop.venuesim.keys import ApiKey
from spyhop.venuesim.markets import GeneratedMarket
from spyhop.wiring.venues import budget_path

# moves several basis points a second, so that stops and take profits are hit within a run, and trades a few times,
# so that the machine is left to what is tested
LIVELY = MarketParams(
    annual_vol_frac=1.5,
    orders_per_s=1.0,
    refreshes_per_frame=1,
    mark_interval_s=2.0,
    open_interest_interval_s=60.0,
    episode_gap_s=0.0,
)
HISTORY_S = 120.0
READY_WITHIN_S = 120.0


def key_of(number: int) -> ApiKey:
    """Return the key of the `number`-th account."""
    return ApiKey(f"chaos{number}", f"chaos-key-{number}", f"chaos-secret-{number}")


def floor(symbols: tuple[str, ...], speed: float, seed: int) -> tuple[Floor, ClockSpec]:
    """Return a floor with a lively market of each symbol."""
    start = WallClock().now_ns()
    opened = start - int(HISTORY_S * NS_PER_S)
    exchange = Exchange([GeneratedMarket(symbol, seed, opened, LIVELY) for symbol in symbols], opened)
    exchange.advance(start)
    spec = ClockSpec(WallClock().now_ns(), start, speed)
    clock = spec.clock()
    return Floor(exchange, clock, Faults(clock.now_ns, np.random.default_rng(seed))), spec


async def _serve(symbols: tuple[str, ...], speed: float, seed: int, num_keys: int) -> None:
    made, spec = floor(symbols, speed, seed)
    front = UsdmFront(made, tuple(key_of(number) for number in range(num_keys)), seed)
    running = await server.serve(made, (front,), clock=spec)
    print(msgspec.json.encode(running.endpoints).decode(), flush=True)
    leaving = asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    failing = asyncio.ensure_future(running.failed())
    try:
        await asyncio.wait({leaving, failing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        failing.cancel()
        await running.close()


@contextlib.contextmanager
def lively_venue(symbols: tuple[str, ...], speed: float, seed: int, num_keys: int) -> Iterator[Endpoints]:
    """Start it in a process of its own and yield its endpoints."""
    command = [sys.executable, "-m", "benchmarks.chaos_venue", ",".join(symbols), str(speed), str(seed), str(num_keys)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if not select.select([process.stdout], [], [], READY_WITHIN_S)[0]:
            raise TimeoutError("the venue of the chaos did not get ready")
        endpoints = msgspec.json.decode(process.stdout.readline(), type=Endpoints)
        yield endpoints
        budget_path(endpoints, endpoints.binance_usdm.rest).unlink(missing_ok=True)
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


if __name__ == "__main__":
    asyncio.run(_serve(tuple(sys.argv[1].split(",")), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
