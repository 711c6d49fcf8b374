"""A FeedActor with open sockets, killed with SIGKILL: it goes on from its own tape, and the journal still replays."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import ray

from actors.carrier import LOST
from actors.health import Health
from cluster.launch import conduct
from cluster.origins import simulator
from cluster.rays import NAMESPACE
from spyhop.clock import NS_PER_MINUTE, WallClock
from spyhop.config.settings import SessionConfig, Settings
from spyhop.engine.pipeline import Progress
from spyhop.model.tape import Events, Flag, Kind, Status, joined
from spyhop.storage.journal import read_tape
from spyhop.wiring.plan import RunRequest, plan_session
from spyhop.wiring.sessions import replay

pytestmark = [pytest.mark.ray, pytest.mark.slow]

VICTIM = "feed:BTCUSDT"


def health_of(name: str) -> Health | None:
    with contextlib.suppress(*LOST, ValueError):
        health: Health = ray.get(ray.get_actor(name, namespace=NAMESPACE).health.remote(), timeout=20)
        return health
    return None


def is_live_again(killed: list[int]) -> bool:
    """Say whether the victim is back and has heard the venue again."""
    health = health_of(VICTIM)
    return health is not None and health.pid not in killed and health.statistics.get("frames", 0) > 1_000


def missing_minutes(tape: Events) -> set[int]:
    """Return the minutes between the first and the last closed bar that have no closed bar."""
    is_closed = (tape["kind"] == Kind.BAR_CLOSE) & (tape["interval_s"] == 60) & ((tape["flags"] & Flag.PARTIAL) == 0)
    opens = set((tape["id"][is_closed] // NS_PER_MINUTE).tolist())
    return set(range(min(opens), max(opens))) - opens


def test_a_killed_live_feed_goes_on_and_what_it_decided_can_be_replayed(
    local_ray: None, prepared_kernels: None, tmp_path: Path, eager: Callable[[Settings], Settings]
) -> None:
    session = SessionConfig(symbols=("BTCUSDT", "ETHUSDT"), hours=1.0, speed=10.0, runs=str(tmp_path))
    killed: list[int] = []
    started, is_over = threading.Event(), threading.Event()

    def kill() -> None:
        try:
            while len(killed) < 2:
                health = health_of(VICTIM)
                if health is not None and health.pid not in killed and health.statistics.get("frames", 0) > 1_000:
                    os.kill(health.pid, signal.SIGKILL)
                    killed.append(health.pid)
                time.sleep(0.2)
            while (
                (again := health_of(VICTIM)) is None or again.pid in killed or again.statistics.get("frames", 0) < 1_000
            ):
                time.sleep(0.2)
        finally:
            is_over.set()

    killer = threading.Thread(target=kill, daemon=True)

    def on_progress(progress: Progress) -> None:
        if not started.is_set() and progress.num_events:
            started.set()
            killer.start()

    with simulator(["--symbols", "BTCUSDT,ETHUSDT", "--speed", "10", "--seed", "3"]) as endpoints:
        planned = plan_session(eager(Settings(session=session)), RunRequest(endpoints=endpoints), WallClock())
        assert conduct(planned, on_progress, WallClock(), is_over.is_set).is_finished
    killer.join(timeout=5)
    assert len(killed) == 2

    assert replay(planned.folder).difference is None
    tape = joined(list(read_tape(planned.folder, "BTCUSDT")))
    assert (np.diff(tape["ts_recv"]) >= 0).all()
    gaps = tape[(tape["kind"] == Kind.STATUS) & (tape["aux"] == Status.GAP)]
    assert len(gaps) >= 2
    trades = tape[tape["kind"] == Kind.TRADE]
    assert len(np.unique(trades["id"])) == len(trades)
    assert missing_minutes(tape) == set()
