"""Real processes, killed with SIGKILL while a session runs: the journal is that of a session where nobody died."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import ray

from actors.carrier import LOST
from actors.health import Health
from cluster.launch import conduct
from cluster.rays import NAMESPACE
from spyhop.clock import EventClock, WallClock
from spyhop.config.settings import SessionConfig, Settings
from spyhop.engine.pipeline import Progress
from spyhop.model.orders import TradeClosed
from spyhop.model.verdicts import Approved, EpochBegan
from spyhop.storage.journal import read_facts
from spyhop.wiring.plan import RunRequest, SessionPlan, plan_session
from spyhop.wiring.sessions import replay

pytestmark = [pytest.mark.ray, pytest.mark.slow]

STARTED = 1_764_350_100_000_000_000
VICTIMS = ("feed:BTCUSDT", "ensemble", "executor:paper:main", "ledger")


def plan(runs: Path, eager: Callable[[Settings], Settings]) -> SessionPlan:
    session = SessionConfig(hours=4.0, speed=12.0, runs=str(runs))
    return plan_session(eager(Settings(session=session)), RunRequest(), EventClock(STARTED))


def health_of(name: str) -> Health:
    handle = ray.get_actor(name, namespace=NAMESPACE)
    while True:
        with contextlib.suppress(*LOST):
            health: Health = ray.get(handle.health.remote(), timeout=20)
            return health


def is_busy(health: Health, more: int = 0) -> bool:
    """Say whether an actor has done something that its death could lose, and `more` of it."""
    least = {"events": 20_000, "decisions": 8, "approved": 1, "closed_trips": 1}
    return health.name == "ledger" or any(health.statistics.get(name, 0) >= n + more for name, n in least.items())


def run_and_kill(
    planned: SessionPlan, victims: tuple[str, ...], more: int, damage: Callable[[], None] = lambda: None
) -> list[int]:
    """Run a session, SIGKILL each victim once it is busy, drain when the last one has done `more` after it.

    `damage` is done once each is dead.
    """
    killed: list[int] = []
    started, is_over = threading.Event(), threading.Event()

    def kill() -> None:
        try:
            for name in victims:
                while not is_busy(health := health_of(name)):
                    time.sleep(0.2)
                os.kill(health.pid, signal.SIGKILL)
                damage()
                killed.append(health.pid)
            while (again := health_of(name)).pid == health.pid or not is_busy(again, more):
                time.sleep(0.2)
        finally:
            is_over.set()

    killer = threading.Thread(target=kill, daemon=True)

    def on_progress(progress: Progress) -> None:
        if not started.is_set() and progress.num_events:
            started.set()
            killer.start()

    health = conduct(planned, on_progress, WallClock(), is_over.is_set)
    assert health.is_finished
    killer.join(timeout=5)
    return killed


def test_killed_feeds_executors_and_ledgers_change_nothing(
    local_ray: None, tmp_path: Path, eager: Callable[[Settings], Settings]
) -> None:
    stormy = plan(tmp_path, eager)
    killed = run_and_kill(stormy, VICTIMS, more=0)
    assert len(set(killed)) == len(VICTIMS)
    entries = read_facts(stormy.folder)
    assert any(isinstance(entry.message, TradeClosed) for entry in entries)
    # a replay is one process in which nobody dies
    result = replay(stormy.folder)
    assert result.difference is None
    assert result.num_entries == len(entries)


def test_a_killed_supervisor_comes_back_under_a_new_epoch_and_the_replay_still_holds(
    local_ray: None, tmp_path: Path, eager: Callable[[Settings], Settings]
) -> None:
    stormy = plan(tmp_path, eager)
    run_and_kill(stormy, ("risk",), more=3)
    entries = read_facts(stormy.folder)
    epochs = [entry.message.epoch for entry in entries if isinstance(entry.message, EpochBegan)]
    assert epochs == [2]
    approved = [entry.message for entry in entries if isinstance(entry.message, Approved)]
    assert {verdict.epoch for verdict in approved} == {1, 2}
    assert replay(stormy.folder).difference is None


@pytest.mark.parametrize("is_lost", [True, pytest.param(False, marks=pytest.mark.storm)])
def test_a_supervisor_whose_disk_is_gone_is_rebuilt_from_the_ledger(
    local_ray: None, tmp_path: Path, eager: Callable[[Settings], Settings], *, is_lost: bool
) -> None:
    stormy = plan(tmp_path, eager)

    def damage() -> None:
        (checkpoint,) = (stormy.folder / "checkpoints").glob("risk.*.bin")
        if is_lost:
            checkpoint.unlink()
        else:
            checkpoint.write_bytes(checkpoint.read_bytes()[:-1] + b"?")

    run_and_kill(stormy, ("risk",), more=3, damage=damage)
    entries = read_facts(stormy.folder)
    epochs = [entry.message.epoch for entry in entries if isinstance(entry.message, EpochBegan)]
    assert epochs == [2]
    approved = [entry.message for entry in entries if isinstance(entry.message, Approved)]
    assert {verdict.epoch for verdict in approved} == {1, 2}
    wishes = [verdict.intent.seq for verdict in approved]
    assert len(wishes) == len(set(wishes))
    log = [json.loads(line) for line in (stormy.folder / "logs" / "risk.jsonl").read_text().splitlines()]
    said = [line for line in log if "checkpoint" in str(line)]
    assert len(said) == (1 if is_lost else 2), said
    assert "rebuilt from" in str(said[-1])
    assert replay(stormy.folder).difference is None
