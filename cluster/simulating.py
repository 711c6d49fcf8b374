"""`spyhop venue-sim`: from the command line to a simulator that listens."""

from __future__ import annotations

import ipaddress
import os
import signal
import sys
import threading
from pathlib import Path

import msgspec

from spyhop.errors import UserError
from spyhop.venuesim import server
from spyhop.venuesim.options import LOOPBACK, SimOptions


def serve(
    *,
    port: int,
    host: str = LOOPBACK,
    lake: str | None,
    symbols: tuple[str, ...],
    speed: float,
    seed: int,
    faults: Path | None,
    is_with_parent: bool,
    lag_ms: float | None = None,
    is_calm: bool = False,
) -> int:
    """Serve until SIGTERM or Ctrl-C, or with the parent until standard input ends; return the exit code."""
    if not 0 <= port <= 65_533:
        raise UserError("--port must be between 0 and 65533")
    if not _is_one_address(host):
        raise UserError(f"--host must be one IPv4 address of this machine, not {host}")
    if speed <= 0:
        raise UserError("--speed must be above 0: a venue that others talk to cannot be ahead of them")
    if lag_ms is not None and not 0 <= lag_ms <= 60_000:
        raise UserError("--lag-ms must be between 0 and 60000")
    if lake and is_calm:
        raise UserError("--calm is for a generated market, not for --lake")
    if is_with_parent:
        threading.Thread(target=_leave_with_parent, daemon=True).start()
    source = Path(lake) if lake else None
    wanted = SimOptions(host=host, port=port, lake=source, speed=speed, seed=seed, faults=faults, is_calm=is_calm)
    if lag_ms is not None:
        wanted = msgspec.structs.replace(wanted, lag_ms=lag_ms)
    return server.main(msgspec.structs.replace(wanted, symbols=symbols) if symbols else wanted)


def _is_one_address(host: str) -> bool:
    # who is told the endpoints must be able to go there, which 0.0.0.0 does not say
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return not (address.is_unspecified or address.is_multicast)


def _leave_with_parent() -> None:
    # a pipe ends however its other side ends, also by a kill that nobody could catch
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
