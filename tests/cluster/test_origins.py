from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from cluster import origins
from cluster.origins import Origin, reached, read_endpoints, requested, simulator
from spyhop.clock import ScaledClock
from spyhop.config.settings import SessionConfig, Settings
from spyhop.errors import MissingInput, UserError, VenueUnavailable
from spyhop.venues.endpoints import LIVE


def test_events_come_from_one_place() -> None:
    assert Origin.of(None, None, generate=False) == Origin(venues="simulator")
    assert Origin.of("lake", None, generate=False).lake == "lake"
    with pytest.raises(UserError, match="--replay and --venues exclude each other"):
        Origin.of("lake", "live", generate=False)


def test_a_lake_and_the_generative_market_need_no_venue() -> None:
    for origin in (Origin(lake="x"), Origin(is_generated=True)):
        with requested(origin, Settings()) as request:
            assert (request.endpoints, request.lake) == (None, origin.lake)


def test_real_venues_are_named_in_large_type(capsys: pytest.CaptureFixture[str]) -> None:
    with requested(Origin(venues="live"), Settings()) as request:
        assert request.endpoints == LIVE
    assert "LIVE VENUES" in capsys.readouterr().err


def test_nobody_is_told_that_real_orders_are_on_paper(capsys: pytest.CaptureFixture[str]) -> None:
    with requested(Origin(venues="live"), Settings(), mode="live"):
        told = capsys.readouterr().err
    assert "LIVE ORDERS" in told
    assert "real money" in told
    assert "on paper" not in told


def test_endpoints_are_read_from_the_line_that_a_simulator_printed(tmp_path: Path) -> None:
    path = tmp_path / "venues.json"
    path.write_bytes(msgspec.json.encode({**msgspec.to_builtins(LIVE), "ready": True}))
    assert read_endpoints(path) == LIVE
    path.write_text("{}")
    with pytest.raises(UserError, match="does not hold endpoints"):
        read_endpoints(path)
    with pytest.raises(MissingInput, match="none of them"):
        read_endpoints(tmp_path / "other")


@pytest.mark.slow
def test_the_embedded_simulator_lives_as_long_as_the_block(prepared_kernels: None) -> None:
    settings = Settings(session=SessionConfig(symbols=("BTCUSDT",), speed=5.0))
    others = set(children())  # of other tests
    with reached("simulator", settings) as endpoints:
        assert endpoints.is_simulated
        clock = endpoints.clock.clock()
        assert isinstance(clock, ScaledClock)
        assert clock.speed == 5.0
        (child,) = set(children()) - others
    assert not alive(child)


@pytest.mark.slow
def test_the_simulator_leaves_when_whoever_started_it_is_killed(prepared_kernels: None) -> None:
    script = """
import sys, time
from cluster.origins import simulator
with simulator(["--symbols", "BTCUSDT"]) as endpoints:
    print("ready", flush=True)
    time.sleep(100)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        (child,) = children(parent.pid)
        parent.send_signal(signal.SIGKILL)
    for _ in range(200):
        if not alive(child):
            return
        subprocess.run(["sleep", "0.05"], check=True)
    raise AssertionError("the simulator outlived its parent")


def test_a_simulator_that_cannot_start_is_one_sentence() -> None:
    with pytest.raises(VenueUnavailable, match="did not get ready"), simulator(["--speed", "-1"]):
        raise AssertionError("it cannot be ready")
    assert origins.READY_WITHIN_S > 60


def children(parent: int | None = None) -> list[int]:
    """Return the processes that `parent` (this process unless given) has started and that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if int(fields[1]) == (parent or os.getpid()) and b"venue-sim" in command:
                found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    """Say whether a process runs."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
