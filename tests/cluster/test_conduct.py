"""Words to a session on a cluster of three machines: one is lost, one actor restarted, all drained and replayed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.exceptions import RayError

from actors.health import Health
from cluster import cli, conduct, launch
from spyhop.clock import NS_PER_S, WallClock
from spyhop.config.settings import SessionConfig, Settings
from spyhop.engine.pipeline import Progress
from spyhop.errors import UserError
from spyhop.model.control import Control, Obeyed, Word
from spyhop.model.verdicts import Approved, EpochBegan, Refused
from spyhop.storage.journal import read_facts
from spyhop.wiring.plan import RunRequest, plan_session
from spyhop.wiring.sessions import replay

ROOT = Path(__file__).parents[2]
HEALTH = {
    "health_check_initial_delay_ms": 1_000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1_000,
    "health_check_failure_threshold": 3,
}
WATCH = """
import json, ray, sys, time
from cluster.launch import asked, conductor_there
from cluster.rays import joined_ray
from spyhop.errors import UserError
with joined_ray(sys.argv[1]):
    while True:
        try:
            health = asked(conductor_there())
        except UserError:
            health = None
        if health:
            actors = {each.name: [each.pid, each.statistics.get("events", 0)] for each in health.actors}
            print(json.dumps([time.monotonic(), actors, health.silent]), flush=True)
        time.sleep(0.2)
"""


@pytest.fixture
def three(prepared_kernels: None) -> Iterator[Cluster]:
    """A head that runs nothing and three machines that trade."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": HEALTH})
    try:
        for _ in range(3):
            cluster.add_node(num_cpus=2, memory=3_000_000_000, labels={"role": "market"})
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def spyhop(*arguments: str) -> subprocess.Popen[str]:
    return python("-m", "cluster.cli", *arguments)


def python(*arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def until(watch: subprocess.Popen[str], holds: Callable[[float, dict[str, Any]], object]) -> float:
    """Return when it held first, of the lines in which everybody answered."""
    assert watch.stdout is not None
    for line in watch.stdout:
        # Ray speaks there, too
        if line.startswith("["):
            at, actors, silent = json.loads(line)
            if len(actors) == 6 and not silent and holds(at, actors):
                return float(at)
    raise AssertionError("the session is not there any more")


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def well(*arguments: str) -> str:
    process = spyhop(*arguments)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    return out


@pytest.mark.ray
@pytest.mark.slow
def test_a_session_outlives_a_lost_machine_and_its_driver_is_restarted_one_by_one_and_drained(
    three: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ("--address", three.address)
    runs = ("--runs", str(tmp_path / "runs"))
    driver = spyhop(
        *("run", "--generate", "--profile", "eager", "--symbols", "BTCUSDT,ETHUSDT", "--hours", "24"),
        *("--speed", "20", "--interval", "5", *runs, *there),
    )
    watch = python("-c", WATCH, three.address)
    held: dict[str, list[float]] = {}
    try:

        def runs_there(at: float, actors: dict[str, Any]) -> bool:
            held.update(actors)
            return all(events > 0 for name, (_, events) in actors.items() if name.startswith("feed:"))

        until(watch, runs_there)
        assert cli.exit_code(["run", "--generate", "--runs", "runs", *there]) == 2
        assert "absolute path" in capsys.readouterr().err
        # the driver goes first: nobody of the session is its child
        driver.kill()
        raylet = parent(int(held["feed:BTCUSDT"][0]))
        lost = {name: state for name, state in held.items() if parent(int(state[0])) == raylet}
        assert 0 < len(lost) < 6
        os.kill(raylet, signal.SIGKILL)
        killed = WallClock().monotonic_ns() / NS_PER_S
        back = until(
            watch,
            lambda at, actors: all(
                actors[name][0] != pid and (actors[name][1] > events or not name.startswith("feed:"))
                for name, (pid, events) in lost.items()
            ),
        )
        with capsys.disabled():
            sys.stdout.write(f"\n{', '.join(sorted(lost))} at work elsewhere {back - killed:.1f} s after a kill -9\n")
        assert back - killed < 40.0
        assert "all are back" in well("restart", "feed:ETHUSDT", *there)
        resumed = spyhop("run", "--resume", "--json", *there)
        assert "the session has ended" in well("drain", *there)
        _, err = resumed.communicate(timeout=60)
        assert resumed.returncode in (0, 2), err
    finally:
        for process in (watch, driver):
            process.kill()
            process.communicate()
    assert "reproduced to the bit" in well("replay", *runs)


@pytest.mark.ray
@pytest.mark.slow
def test_a_pause_outlives_a_supervisor_killed_before_it_was_kept_and_the_replay_repeats_it(
    local_ray: None, tmp_path: Path, eager: Callable[[Settings], Settings]
) -> None:
    session = SessionConfig(hours=4.0, speed=12.0, runs=str(tmp_path))
    plan = plan_session(eager(Settings(session=session)), RunRequest(), WallClock())
    over, failures = threading.Event(), []

    def operate() -> None:
        try:
            operator(over)
        except (AssertionError, UserError, RayError) as error:
            failures.append(error)
        finally:
            over.set()

    thread = threading.Thread(target=operate, daemon=True)

    def on_progress(progress: Progress) -> None:
        if thread.ident is None and progress.num_events > 20_000:
            thread.start()

    launch.conduct(plan, on_progress, WallClock(), over.is_set)
    thread.join(5)
    assert failures == []
    entries = read_facts(plan.folder)
    obeyed = [entry for entry in entries if isinstance(entry.message, Obeyed)]
    assert [entry.message.word.text for entry in obeyed] == [
        "pause",
        "risk.limits.max_trades_per_day = 3",
        "resume",
    ]
    paused, _, resumed = (entry.ts for entry in obeyed)
    approved = [entry.ts for entry in entries if isinstance(entry.message, Approved)]
    assert not [ts for ts in approved if paused <= ts < resumed]
    refused = [entry.message.code for entry in entries if isinstance(entry.message, Refused)]
    assert "not_paused" in refused
    assert any(isinstance(entry.message, EpochBegan) for entry in entries)
    assert replay(plan.folder).difference is None


def operator(over: threading.Event) -> None:
    """Pause, kill the supervisor before that can be kept, change a limit, resume when something was refused."""
    conductor = launch.conductor_there()

    def risk() -> Health:
        while True:
            health = launch.asked(conductor)
            for actor in health.actors if health is not None else []:
                if actor.name == "risk":
                    return actor
            time.sleep(0.1)

    word = Word(number=1, control=Control.PAUSE)
    before = risk()
    ray.get(conductor.tell.remote(word), timeout=30)
    os.kill(before.pid, signal.SIGKILL)
    assert conduct.told(conductor, word).refused == ""
    # said again by somebody who did not hear the answer
    assert conduct.told(conductor, word).word == word
    change = Word(number=2, settings={"risk.limits.max_trades_per_day": 3})
    assert conduct.told(conductor, change).refused == ""
    wrong = conduct.told(conductor, Word(number=2, settings={}))
    assert wrong.word == change
    while "cause:paused" not in risk().statistics or not risk().statistics.get("refusals:not_paused"):
        time.sleep(0.2)
    assert risk().node
    assert conduct.told(conductor, Word(number=3, control=Control.RESUME)).refused == ""
    while "cause:paused" in risk().statistics:
        time.sleep(0.2)
