"""A live session on two venues whose order stage, supervisor and ledger are killed with SIGKILL: the books agree."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
import ray

from actors.carrier import LOST
from actors.health import Health
from cluster.launch import conduct
from cluster.origins import simulator
from cluster.rays import NAMESPACE
from cluster.topology import ORDERS, executor_name
from spyhop.clock import WallClock
from spyhop.config.settings import SessionConfig, Settings
from spyhop.engine.pipeline import Progress
from spyhop.model.accounts import VenueFill, VenueOrder, VenuePosition
from spyhop.model.instruments import Instrument
from spyhop.model.orders import Difference, Fill, OrderChanged, TradeClosed
from spyhop.model.tape import Venue
from spyhop.storage.database import Ledger
from spyhop.venues.endpoints import Endpoints
from spyhop.wiring.accounts import Keys, account_at, account_of, trader_of
from spyhop.wiring.plan import LiveSource, RunRequest, SessionPlan, plan_session
from spyhop.wiring.records import ledger_url
from spyhop.wiring.sessions import replay

pytestmark = [pytest.mark.ray, pytest.mark.slow]

BINANCE, DYDX = (executor_name(account_at(venue)) for venue in (Venue.BINANCE_USDM, Venue.DYDX))
VICTIMS = (ORDERS, BINANCE, "ledger")
MORE_VICTIMS = (ORDERS, "risk", DYDX, "ledger", "ensemble", BINANCE, ORDERS, "feed:BTCUSDT", "risk", "ledger")


def health_of(name: str) -> Health | None:
    with contextlib.suppress(*LOST, ValueError):
        health: Health = ray.get(ray.get_actor(name, namespace=NAMESPACE).health.remote(), timeout=20)
        return health
    return None


def work_of(name: str) -> tuple[float, float]:
    """Return how many commands an executor took, and how many reports it made."""
    health = health_of(name)
    said = health.statistics if health is not None else {}
    return said.get("commands", 0.0), said.get("reports", 0.0)


def freeze(name: str, pid: int) -> None:
    """Let an executor stand still until the other account has taken more commands and heard of them."""
    other = DYDX if name == BINANCE else BINANCE
    commands, reports = work_of(other)
    os.kill(pid, signal.SIGSTOP)
    while not (work_of(other)[0] > commands + 1 and work_of(other)[1] > reports + 1):
        time.sleep(0.1)


def run_and_kill(planned: SessionPlan, victims: Sequence[str]) -> list[int]:
    """Run a session; kill each victim once another round trip was closed, drain when two more were.

    An executor stands still first, until the other account has taken more commands and heard of them.
    """
    killed: list[int] = []
    started, is_over = threading.Event(), threading.Event()

    def trips() -> float:
        health = health_of(ORDERS)
        return health.statistics.get("closed_trips", 0.0) if health is not None else -1.0

    def kill() -> None:
        try:
            goal = 1.0
            for name in victims:
                while trips() < goal:
                    time.sleep(0.1)
                health = None
                while health is None or health.pid in killed:
                    health = health_of(name)
                    time.sleep(0.1)
                if name in {BINANCE, DYDX}:
                    freeze(name, health.pid)
                os.kill(health.pid, signal.SIGKILL)
                killed.append(health.pid)
                goal += 1.0
            while trips() < goal:
                time.sleep(0.1)
        finally:
            is_over.set()

    killer = threading.Thread(target=kill, daemon=True)

    def on_progress(progress: Progress) -> None:
        if not started.is_set() and progress.num_events:
            started.set()
            killer.start()

    assert conduct(planned, on_progress, WallClock(), is_over.is_set).is_finished
    killer.join(timeout=5)
    return killed


class Word:
    """What a venue says of one account when the session is over."""

    def __init__(self, endpoints: Endpoints, instruments: Sequence[Instrument], since: int) -> None:
        self.orders: list[VenueOrder] = []
        self.positions: list[VenuePosition] = []
        self.fills: list[VenueFill] = []
        asyncio.run(self._ask(endpoints, instruments, since))

    async def _ask(self, endpoints: Endpoints, instruments: Sequence[Instrument], since: int) -> None:
        keys = Keys.here(endpoints)
        trader = trader_of(instruments[0].venue, endpoints, instruments, keys, endpoints.clock.clock())
        try:
            self.orders, self.positions = await trader.open_orders(), await trader.positions()
            for one in instruments:
                self.fills += await trader.fills(one.id, since)
        finally:
            await trader.close()


@pytest.mark.parametrize(
    "victims",
    [
        pytest.param(VICTIMS, marks=pytest.mark.timeout(600)),
        pytest.param(MORE_VICTIMS, marks=[pytest.mark.storm, pytest.mark.timeout(1_200)]),
    ],
)
def test_whoever_is_killed_the_venues_and_the_ledger_agree_and_the_session_replays(
    local_ray: None,
    prepared_kernels: None,
    tmp_path: Path,
    eager: Callable[[Settings], Settings],
    victims: Sequence[str],
) -> None:
    session = SessionConfig(symbols=("BTCUSDT", "BTC-USD"), hours=2.0, speed=8.0, runs=str(tmp_path))
    wanted = eager(Settings(session=session))
    sizing = msgspec.structs.replace(wanted.risk.sizing, max_leverage=5.0)
    wanted = msgspec.structs.replace(wanted, risk=msgspec.structs.replace(wanted.risk, sizing=sizing))
    with simulator(["--symbols", "BTCUSDT", "--speed", "8", "--seed", "3"]) as endpoints:
        planned = plan_session(wanted, RunRequest(mode="live", endpoints=endpoints, runner="ray"), WallClock())
        assert isinstance(planned.source, LiveSource)
        killed = run_and_kill(planned, victims)
        words = {
            account_of(one): Word(endpoints, [one], planned.session.started - 10**12)
            for one in planned.session.instruments
        }
    assert len(set(killed)) == len(victims)

    # the venues' word: nothing open, nothing held, and the very fills that the ledger has
    assert [order for word in words.values() for order in word.orders] == []
    assert [position for word in words.values() for position in word.positions] == []
    ledger = Ledger(ledger_url(planned))
    entries = ledger.entries(planned.session.id)
    booked = [entry.message for entry in entries if isinstance(entry.message, Fill)]
    known = {(fill.instrument, fill.fill_id): (fill.side, fill.price, fill.lots) for fill in booked}
    assert len(known) == len(booked)
    told = [fill for word in words.values() for fill in word.fills]
    assert {(fill.instrument, fill.fill_id): (fill.side, fill.price, fill.lots) for fill in told} == known
    assert any(isinstance(entry.message, TradeClosed) for entry in entries)
    # every order came to an end, and none was sent under two names
    newest = {
        entry.message.client_order_id: entry.message for entry in entries if isinstance(entry.message, OrderChanged)
    }
    assert {changed.status.value for changed in newest.values()} <= {"filled", "cancelled", "rejected", "expired"}
    # what happened at a venue while nobody listened was found by asking, and put right
    assert all(entry.message.is_repaired for entry in entries if isinstance(entry.message, Difference))
    assert replay(planned.folder).difference is None
