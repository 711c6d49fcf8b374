"""The venue simulator's shell: a port for each venue, one exchange, one pump, the admin's route for faults.

Each venue is a `floor.Front`: it adds its routes to the application of its own port and is told by the exchange what
happens. Frames and bodies are the venues' own; only `/admin`, on the first port, is ours:

    GET    /admin/state    what the exchange, the fronts and the connections know
    GET    /admin/faults   every fault added, how often it struck, whether it is over
    POST   /admin/faults   add a fault or a list of them (the JSON of `faults.Fault`)
    DELETE /admin/faults   forget all faults
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Mapping, Sequence

import msgspec
from aiohttp import web

from spyhop.errors import InvalidSetting, NotAvailable
from spyhop.model.tape import Venue
from spyhop.venues.endpoints import BinanceEndpoints, ClockSpec, DydxEndpoints, Endpoints
from spyhop.venuesim import faults, options
from spyhop.venuesim.floor import Floor, Front
from spyhop.venuesim.options import SimOptions

PUMP_S = 0.005
"""Wall seconds between two advances of the exchange."""


class Running:
    """A simulator that listens. `endpoints` say where; `close` ends it."""

    def __init__(
        self, floor: Floor, endpoints: Endpoints, runners: Sequence[web.AppRunner], pump: asyncio.Task[None]
    ) -> None:
        self.floor, self.endpoints = floor, endpoints
        self._runners, self._pump = runners, pump

    async def failed(self) -> None:
        """Wait until the exchange itself fails, which it never should, and raise what it failed with."""
        await asyncio.shield(self._pump)

    async def close(self) -> None:
        """Close every connection and port."""
        self._pump.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._pump
        for connection in list(self.floor.connections):
            connection.close(1001, "Shutdown")
        for runner in self._runners:
            await runner.cleanup()


async def serve(
    floor: Floor,
    fronts: Sequence[Front],
    *,
    host: str = options.LOOPBACK,
    port: int = 0,
    clock: ClockSpec | None = None,
) -> Running:
    """Open a port of `host` for each of `fronts` and start the pump.

    The first gets `port`, the second `port` + 1, and so on; 0 takes any that are free. `clock` is what clients are told
    the venues live by. Raises NotAvailable when a port is taken, or `host` is no address of this machine.
    """
    urls: dict[str, str] = {}
    runners: list[web.AppRunner] = []
    try:
        for number, front in enumerate(fronts):
            floor.add(front)
            app = web.Application(client_max_size=1 << 20)
            front.routes(app)
            if number == 0:
                _admin(app, floor)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
            runners.append(runner)
            await runner.setup()
            site = web.TCPSite(runner, host, port + number if port else 0, backlog=1024)
            await site.start()
            urls[front.label] = f"{host}:{runner.addresses[0][1]}"
    except OSError as error:
        for runner in runners:
            await runner.cleanup()
        raise NotAvailable(f"the venue simulator cannot listen on {host}: {error.strerror}") from error
    floor.turn()
    pump = asyncio.ensure_future(_pump(floor))
    return Running(floor, _endpoints(urls, clock or ClockSpec()), runners, pump)


def main(wanted: SimOptions) -> int:
    """Run a simulator until SIGTERM or SIGINT; print one line of JSON when it is ready. Returns the exit code."""
    return asyncio.run(_main(wanted))


async def _main(wanted: SimOptions) -> int:
    floor, clock = options.floor(wanted)
    running = await serve(floor, options.fronts(floor, wanted), host=wanted.host, port=wanted.port, clock=clock)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    line = {
        **msgspec.to_builtins(running.endpoints),
        "ready": True,
        "accounts": [{"name": key.account, "api_key": key.key, "api_secret": key.secret} for key in wanted.keys],
    }
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()
    waiting = asyncio.ensure_future(stop.wait())
    failing = asyncio.ensure_future(running.failed())
    try:
        await asyncio.wait({waiting, failing}, return_when=asyncio.FIRST_COMPLETED)
        if failing.done():
            failing.result()
    finally:
        waiting.cancel()
        failing.cancel()
        await running.close()
    return 0


async def _pump(floor: Floor) -> None:
    while True:
        floor.turn()
        await asyncio.sleep(PUMP_S)


def _endpoints(urls: Mapping[str, str], clock: ClockSpec) -> Endpoints:
    usdm, spot, dydx = (urls.get(venue.label, "") for venue in (Venue.BINANCE_USDM, Venue.BINANCE_SPOT, Venue.DYDX))
    first = next(iter(urls.values()))
    return Endpoints(
        BinanceEndpoints(f"http://{usdm}", f"ws://{usdm}") if usdm else BinanceEndpoints("", ""),
        BinanceEndpoints(f"http://{spot}", f"ws://{spot}", f"ws://{spot}/ws-api/v3")
        if spot
        else BinanceEndpoints("", ""),
        DydxEndpoints(f"http://{dydx}/v4", f"ws://{dydx}/v4/ws", f"http://{dydx}", f"http://{dydx}")
        if dydx
        else DydxEndpoints("", "", "", ""),
        clock,
        f"http://{first}/admin",
        is_simulated=True,
    )


def _admin(app: web.Application, floor: Floor) -> None:
    def told(body: object, status: int = 200) -> web.Response:
        return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")

    async def state(request: web.Request) -> web.Response:
        floor.advance()
        floor.publish()
        return told(floor.state())

    async def listed(request: web.Request) -> web.Response:
        return told(floor.faults.state())

    async def added(request: web.Request) -> web.Response:
        try:
            wanted = faults.parse(await request.read())
            for fault in wanted:
                floor.faults.add(fault)
        except InvalidSetting as error:
            return told({"error": str(error)}, 400)
        return told(floor.faults.state())

    async def cleared(request: web.Request) -> web.Response:
        floor.faults.clear()
        return told([])

    app.router.add_get("/admin/state", state)
    app.router.add_get("/admin/faults", listed)
    app.router.add_post("/admin/faults", added)
    app.router.add_delete("/admin/faults", cleared)
