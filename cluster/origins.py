"""Where the events of a session come from: a lake, the generative market, or venues, real ones or the embedded ones."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.panel import Panel

from spyhop.clock import NS_PER_S, WallClock
from spyhop.config.secrets import without
from spyhop.config.settings import Settings
from spyhop.errors import MissingInput, UserError, VenueUnavailable
from spyhop.venues.endpoints import LIVE, Endpoints
from spyhop.wiring.plan import RunRequest
from spyhop.wiring.venues import budget_path

SIMULATOR, REAL = "simulator", "live"
READY_WITHIN_S = 120.0


class Origin(msgspec.Struct, frozen=True):
    """What the command line says about where events come from; `venues` is `simulator`, `live` or a file."""

    lake: str | None = None
    is_generated: bool = False
    venues: str = SIMULATOR

    @classmethod
    def of(cls, replay: str | None, venues: str | None, *, generate: bool) -> Origin:
        """Return what the flags say; raise UserError when they say two things."""
        said = [name for name, is_said in (
            ("--replay", replay is not None), ("--generate", generate), ("--venues", venues is not None)
        ) if is_said]  # fmt: skip
        if len(said) > 1:
            raise UserError(f"{' and '.join(said)} exclude each other: events come from one of them")
        return cls(lake=replay, is_generated=generate, venues=venues or SIMULATOR)


@contextlib.contextmanager
def requested(
    origin: Origin, settings: Settings, *, mode: str = "paper", runner: str = "local"
) -> Iterator[RunRequest]:
    """Yield the request for a session; the embedded venue simulator lives as long as the block."""
    if origin.lake is not None or origin.is_generated:
        yield RunRequest(mode=mode, lake=origin.lake, runner=runner)
        return
    with reached(origin.venues, settings) as endpoints:
        announce(endpoints, is_live=mode == "live")
        yield RunRequest(mode=mode, endpoints=endpoints, runner=runner)


@contextlib.contextmanager
def reached(venues: str, settings: Settings) -> Iterator[Endpoints]:
    """Yield the endpoints of `venues`: `live`, the file that a `spyhop venue-sim` wrote, or an embedded simulator."""
    if venues == REAL:
        yield LIVE
    elif venues != SIMULATOR:
        yield read_endpoints(Path(venues))
    else:
        session = settings.session
        arguments = [
            "--symbols",
            ",".join(session.symbols),
            "--seed",
            str(session.seed),
            "--speed",
            str(session.speed or 1.0),
        ]
        with simulator(arguments) as endpoints:
            yield endpoints


def read_endpoints(path: Path) -> Endpoints:
    """Return the endpoints in a file; raise MissingInput or UserError."""
    if not path.is_file():
        raise MissingInput(f"--venues is simulator, live or a file with endpoints; {path} is none of them")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Endpoints)
    except msgspec.DecodeError as error:
        raise UserError(f"{path} does not hold endpoints: {error}") from None


@contextlib.contextmanager
def simulator(arguments: Sequence[str]) -> Iterator[Endpoints]:
    """Start `spyhop venue-sim` with `arguments` in a process of its own and yield its endpoints when it is ready.

    It dies with us, however we die: it leaves when its standard input ends.
    """
    command = [sys.executable, "-m", "cluster.cli", "venue-sim", "--port", "0", "--with-parent", *arguments]
    # its log is ours; nothing of it goes to our standard output, which is for programs, and it needs no keys
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=without(os.environ))
    endpoints = None
    try:
        endpoints = _ready(process)
        yield endpoints
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        if endpoints is not None:
            for url in (endpoints.binance_usdm.rest, endpoints.binance_spot.rest, endpoints.dydx.indexer):
                budget_path(endpoints, url).unlink(missing_ok=True)


def _ready(process: subprocess.Popen[bytes]) -> Endpoints:
    assert process.stdout is not None
    clock = WallClock()
    deadline = clock.monotonic_ns() + int(READY_WITHIN_S * NS_PER_S)
    while clock.monotonic_ns() < deadline:
        if not select.select([process.stdout], [], [], 1.0)[0]:
            continue
        line = process.stdout.readline()
        if not line:
            break
        if json.loads(line).get("ready"):
            return msgspec.json.decode(line, type=Endpoints)
    raise VenueUnavailable("the venue simulator", 0, f"did not get ready (exit code {process.poll()})")


def announce(endpoints: Endpoints, *, is_live: bool = False) -> None:
    """Say in large type whether the venues are real, and whether orders go there."""
    console = Console(stderr=True)
    if endpoints.is_simulated:
        speed = f", {endpoints.clock.speed:g} times real time" if endpoints.clock.speed not in (0.0, 1.0) else ""
        title, text, style = (
            "VENUE SIMULATOR",
            f"A made-up market on this machine{speed}. None of it ever happened.",
            "yellow",
        )
    elif is_live:
        title, text, style = "LIVE ORDERS", "Real venues over the internet, and real money.", "red"
    else:
        title, text, style = (
            "LIVE VENUES",
            "Public market data of real venues over the internet. Orders are on paper.",
            "green",
        )
    console.print(Panel(text, title=f" {title} ", style=f"bold {style}", padding=(1, 4), expand=True))
