"""The venue simulator with a quiet market, for runs far faster than real time: `python -m benchmarks.soak_venue`.

`spyhop venue-sim` makes a market as busy as a large perpetual. Here the same exchange, fronts and faults serve one
that trades about once a second, so that a day passes in minutes and what ages with time gets old.
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

from spyhop.clock import NS_PER_MINUTE, NS_PER_S, WallClock
from spyhop.model.tape import Venue
from spyhop.simulation.feed import MarketParams
from spyhop.simulation.followers import FollowerParams
from spyhop.venues.endpoints import ClockSpec, Endpoints
from spyhop.venuesim import server
from spyhop.venuesim.binance.front import UsdmFront
from spyhop.venuesim.dydx.front import DydxFront
from spyhop.venuesim.exchange import Exchange
from spyhop.venuesim.faults import Faults
from spyhop.venuesim.floor import Floor
from spyhop.venuesim.keys import TEST_KEY
from spyhop.venuesim.markets import FollowerMarket, GeneratedMarket, dydx_instrument

QUIET = MarketParams(orders_per_s=0.4, refreshes_per_frame=1, mark_interval_s=3.0, open_interest_interval_s=30.0)
HISTORY_S = 7_500.0
READY_WITHIN_S = 120.0


def floor(symbol: str, speed: float, seed: int) -> tuple[Floor, ClockSpec]:
    """Return a floor with a quiet USDT-M market of `symbol` and the dYdX market that follows it."""
    start = WallClock().now_ns()
    opened = start - int(HISTORY_S * NS_PER_S)
    leader = GeneratedMarket(symbol, seed, opened, QUIET)
    follower = FollowerMarket(dydx_instrument(leader.instrument), leader, seed, opened, FollowerParams())
    exchange = Exchange([leader, follower], opened)
    for now in range(opened, start, NS_PER_MINUTE):
        exchange.advance(now)
    exchange.advance(start)
    spec = ClockSpec(WallClock().now_ns(), start, speed)
    clock = spec.clock()
    return Floor(exchange, clock, Faults(clock.now_ns, np.random.default_rng(seed))), spec


async def _serve(symbol: str, speed: float, seed: int) -> None:
    made, spec = floor(symbol, speed, seed)
    fronts = (UsdmFront(made, (TEST_KEY,), seed), DydxFront(made))
    assert [front.label for front in fronts] == [Venue.BINANCE_USDM.label, Venue.DYDX.label]
    running = await server.serve(made, fronts, clock=spec)
    print(msgspec.json.encode(running.endpoints).decode(), flush=True)
    leaving = asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    failing = asyncio.ensure_future(running.failed())
    try:
        await asyncio.wait({leaving, failing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        failing.cancel()
        await running.close()


@contextlib.contextmanager
def quiet_venue(symbol: str, speed: float, seed: int) -> Iterator[tuple[Endpoints, int]]:
    """Start it in a process of its own; yield its endpoints and its process id."""
    command = [sys.executable, "-m", "benchmarks.soak_venue", symbol, str(speed), str(seed)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if not select.select([process.stdout], [], [], READY_WITHIN_S)[0]:
            raise TimeoutError("the quiet venue did not get ready")
        yield msgspec.json.decode(process.stdout.readline(), type=Endpoints), process.pid
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
