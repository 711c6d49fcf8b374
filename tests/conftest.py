"""What every test gets: an environment of its own, recordings where they are, one Ray for all that need it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from benchmarks.postgres_room import NoServer, PostgresServer
from benchmarks.postgres_room import postgres as postgres_server
from spyhop.config.settings import Settings
from spyhop.strategies.filter import SignalFilterParams
from spyhop.venues.endpoints import Endpoints
from spyhop.wiring.logs import let_go

# Ray reads these when it is imported; a file in $HOME must not change what a test does
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_DEDUP_LOGS"] = "0"

ROOT = Path(__file__).resolve().parent.parent
RECORDINGS = ROOT.parent / "shared" / "data"


@pytest.fixture(autouse=True)
def _no_log_is_left() -> Iterator[None]:
    """A log that a test began to keep says nothing of the next one, and changes no level there."""
    let_go()
    yield
    let_go()


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings, beside the project."""
    if not RECORDINGS.is_dir():
        pytest.skip(f"the recordings are not at {RECORDINGS}")
    return RECORDINGS


@pytest.fixture(scope="session")
def local_ray(prepared_kernels: None) -> Iterator[None]:
    """A Ray of this test run's own; never one that is on the host already."""
    from cluster.rays import local_ray as started

    with started(dashboard=False, num_cpus=4):
        yield


@pytest.fixture(scope="session")
def venues(prepared_kernels: None) -> Iterator[Endpoints]:
    """A venue simulator in a process of its own: BTCUSDT, its spot and its dYdX follower, ten times real time."""
    from cluster.origins import simulator

    with simulator(["--symbols", "BTCUSDT", "--speed", "10", "--seed", "5"]) as endpoints:
        yield endpoints


@pytest.fixture(scope="session")
def postgres_of_the_run() -> Iterator[PostgresServer]:
    """A PostgreSQL server of this test run's own."""
    with ExitStack() as running:
        try:
            server = running.enter_context(postgres_server(fsync=False))
        except NoServer as missing:
            pytest.skip(str(missing))
        yield server


@pytest.fixture
def postgres(postgres_of_the_run: PostgresServer) -> PostgresServer:
    """The test run's PostgreSQL server, running, whatever a test did to it before."""
    if not postgres_of_the_run.is_running:
        postgres_of_the_run.start()
    return postgres_of_the_run


@pytest.fixture(scope="session")
def eager() -> Callable[[Settings], Settings]:
    """Lower the thresholds so far that minutes hold many round trips."""

    def lowered(settings: Settings) -> Settings:
        filters = SignalFilterParams(min_probability=0.05, min_confidence=0.05, min_trade_interval_s=1.0)
        limits = msgspec.structs.replace(settings.risk.limits, min_trade_interval_s=1.0, max_trades_per_day=10_000)
        return msgspec.structs.replace(
            settings,
            decision=msgspec.structs.replace(settings.decision, filter=filters),
            risk=msgspec.structs.replace(settings.risk, limits=limits),
            detection=msgspec.structs.replace(settings.detection, interval_s=5),
        )

    return lowered


@pytest.fixture(scope="session")
def prepared_kernels() -> None:
    """The kernels of a session, compiled before a test measures or listens."""
    from spyhop.wiring import kernels

    kernels.prepare()
