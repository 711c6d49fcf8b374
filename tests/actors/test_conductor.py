"""The conductor: its sweeps over handles of this process, and over real processes that wedge or leave."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import ray
from ray.exceptions import ActorUnavailableError

from actors import conductor as conductor_module
from actors.carrier import Target
from actors.conductor import Conductor, Placement, SystemHealth, place
from actors.health import Health
from actors.ledger import LedgerActor
from actors.metrics import Meters
from actors.stages import StageActor
from spyhop.engine.vessels import Vessel
from spyhop.errors import StateError
from spyhop.model.control import Control, Obeyed, Word
from spyhop.wiring.unkept import MemoryRecords


class Method:
    """`handle.name.remote(...)` of a handle that is none."""

    def __init__(self, call: Callable[..., Coroutine[Any, Any, object]]) -> None:
        self.remote = call


class Handle:
    """An actor as the conductor sees it."""

    def __init__(self, name: str) -> None:
        self.state = Health(name, 1, 0.0, is_connected=False, is_finished=False, restarts=0, statistics={})
        self.targets: list[dict[str, Target]] = []
        self.calls: list[str] = []
        self.is_away = self.is_deaf = False
        self.answers: object = None

    def __getattr__(self, name: str) -> Method:
        async def call(*arguments: Any) -> object:
            self.calls.append(name)
            if self.is_away:
                raise ActorUnavailableError("it is being restarted", b"\0" * 16)
            if name == "health":
                return self.state
            if self.is_deaf:
                await asyncio.sleep(3_600)
            if name == "connect":
                self.targets.append(arguments[0])
                self.now(is_connected=True)
            return self.answers

        return Method(call)

    def now(self, **changes: object) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)

    def restart(self) -> None:
        self.now(pid=self.state.pid + 1, is_connected=False, beat_age_s=0.0)


class Stage:
    """Handles under a conductor, and what it killed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **edges: dict[str, tuple[str, str]]) -> None:
        names = {"ledger": {}, "feed:A": {"rows": ("ensemble", "rows:A")}, "ensemble": {}}
        self.handles = {name: Handle(name) for name in names}
        self.placements = [Placement(name, object, (), {"num_cpus": 0.1}, edges) for name, edges in names.items()]
        self.killed: list[tuple[Handle, bool]] = []
        self.failures: list[BaseException | None] = []
        monkeypatch.setattr(conductor_module, "place", lambda placement, namespace: self.handles[placement.name])
        monkeypatch.setattr(
            ray, "kill", lambda handle, *, no_restart=True: self.killed.append((handle, no_restart)), raising=True
        )
        monkeypatch.setattr(conductor_module, "leave_on_failure", lambda life: self.failures.append(life.exception()))
        monkeypatch.setattr(conductor_module, "SWEEP_S", 0.005)
        monkeypatch.setattr(conductor_module, "HEALTH_TIMEOUT_S", 0.05)

    def conducted(self, scenario: Callable[[Conductor], Coroutine[Any, Any, None]]) -> None:
        async def begin() -> None:
            conductor = Conductor(self.placements, "test", wedged_s=15.0)
            await scenario(conductor)
            assert self.failures in ([], [None])

        asyncio.run(asyncio.wait_for(begin(), 20))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


async def until(holds: Callable[[], object], seconds: float = 10.0) -> None:
    end = asyncio.get_running_loop().time() + seconds
    while not holds():
        assert asyncio.get_running_loop().time() < end, "it did not come to that in time"
        await asyncio.sleep(0.002)


def test_everyone_is_connected_once_to_whom_its_edges_lead(stage: Stage) -> None:
    async def scenario(conductor: Conductor) -> None:
        await until(lambda: stage.handles["feed:A"].calls.count("health") > 5)
        assert stage.handles["feed:A"].targets == [{"rows": Target(stage.handles["ensemble"], "rows:A")}]
        assert stage.handles["ensemble"].targets == [{}]
        assert not (await conductor.health()).is_finished

    stage.conducted(scenario)


def test_a_restarted_actor_is_counted_and_connected_again(stage: Stage) -> None:
    async def scenario(conductor: Conductor) -> None:
        feed = stage.handles["feed:A"]
        await until(lambda: feed.targets)
        feed.is_away = True
        await asyncio.sleep(0.05)
        assert (await conductor.health()).silent == ["feed:A"]
        feed.is_away = False
        feed.restart()
        await until(lambda: len(feed.targets) == 2)
        await asyncio.sleep(0.05)
        health = await conductor.health()
        assert health.restarts == {"ledger": 0, "feed:A": 1, "ensemble": 0}
        assert health.silent == []

    stage.conducted(scenario)


@pytest.mark.parametrize(("is_connected", "patience_s"), [(True, 15.0), (False, 60.0)])
def test_a_loop_that_does_not_turn_is_killed_to_be_restarted(
    stage: Stage, is_connected: bool, patience_s: float
) -> None:
    async def scenario(conductor: Conductor) -> None:
        feed = stage.handles["feed:A"]
        await until(lambda: feed.targets)
        feed.is_deaf = True
        feed.now(beat_age_s=patience_s - 1.0, is_connected=is_connected)
        await asyncio.sleep(0.05)
        assert stage.killed == []
        feed.now(beat_age_s=patience_s + 1.0)
        await until(lambda: stage.killed)
        assert stage.killed[0] == (feed, False)

    stage.conducted(scenario)


def test_a_drain_reaches_every_feed_that_lives_or_comes_back_and_nobody_else(stage: Stage) -> None:
    async def scenario(conductor: Conductor) -> None:
        feed = stage.handles["feed:A"]
        feed.is_away = True
        await conductor.drain()  # before anybody has answered at all
        await until(lambda: feed.calls.count("health") > 2)
        feed.is_away = False
        await until(lambda: "drain" in feed.calls)
        feed.restart()
        feed.calls.clear()
        await until(lambda: "drain" in feed.calls)
        feed.now(is_finished=True)
        await asyncio.sleep(0.02)
        feed.calls.clear()
        await until(lambda: feed.calls.count("health") > 5)
        assert "drain" not in feed.calls
        assert "drain" not in stage.handles["ensemble"].calls + stage.handles["ledger"].calls

    stage.conducted(scenario)


def test_the_records_are_closed_once_when_everyone_is_finished_and_answers(stage: Stage) -> None:
    async def scenario(conductor: Conductor) -> None:
        ledger = stage.handles["ledger"]
        feed = stage.handles["feed:A"]
        for handle in (ledger, feed):
            handle.now(is_finished=True)
        await until(lambda: feed.calls.count("health") > 2)
        # what it said last is not enough: it may have come back older
        feed.is_away = True
        await until(lambda: feed.calls.count("health") > 4)
        stage.handles["ensemble"].now(is_finished=True)
        await asyncio.sleep(0.1)
        assert "close" not in ledger.calls
        feed.is_away = False
        await until(lambda: "close" in ledger.calls)
        await until(lambda: stage.failures)
        assert (await conductor.health()).is_finished
        assert ledger.calls.count("close") == 1

    stage.conducted(scenario)


def test_whoever_is_stopped_takes_all_others_down_for_good(stage: Stage) -> None:
    async def scenario(conductor: Conductor) -> None:
        await until(lambda: stage.handles["feed:A"].targets)
        await conductor.stop()
        assert stage.killed == [(handle, True) for handle in stage.handles.values()]

    stage.conducted(scenario)


def test_planned_restarts_are_made_one_at_a_time_and_only_while_everybody_answers(stage: Stage) -> None:
    async def scenario(conductor: Conductor) -> None:
        feed, ensemble = stage.handles["feed:A"], stage.handles["ensemble"]
        await until(lambda: feed.targets and ensemble.targets)
        assert await conductor.restart(["feed:A", "ensemble", "nobody"]) == ["feed:A", "ensemble"]
        await until(lambda: stage.killed)
        await asyncio.sleep(0.3)
        assert stage.killed == [(feed, False)]
        feed.restart()
        await until(lambda: len(stage.killed) == 2)
        assert stage.killed[1] == (ensemble, False)
        ensemble.restart()
        await asyncio.sleep(0.3)
        assert (await conductor.health()).restarting == []

    stage.conducted(scenario)


def test_a_process_that_holds_too_much_is_started_anew_once(stage: Stage) -> None:
    async def scenario(conductor: Conductor) -> None:
        feed = stage.handles["feed:A"]
        feed.now(resident_mb=conductor_module.MEMORY_LIMIT_MB + 1.0)
        await until(lambda: stage.killed)
        feed.restart()
        await asyncio.sleep(0.3)
        assert stage.killed == [(feed, False)]

    stage.conducted(scenario)


def test_what_is_seen_of_actors_is_published(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[dict[str, float]] = []
    monkeypatch.setattr(Meters, "publish", lambda meters, statistics: published.append(dict(statistics)))

    async def scenario(conductor: Conductor) -> None:
        feed = stage.handles["feed:A"]
        await until(lambda: feed.targets)
        assert {**published[-1], "silent:feed:A": 0.0, "stalled:feed:A": 0.0} == published[-1]
        feed.now(idle_s=31.0, beat_age_s=16.0)
        await until(lambda: published[-1].get("wedged_kills:feed:A", 0.0) > 0.0)
        assert published[-1]["stalled:feed:A"] == 1.0
        feed.restart()
        await until(lambda: published[-1].get("actor_restarts:feed:A") == 1.0)
        assert await conductor.restart(["ensemble"]) == ["ensemble"]
        await until(lambda: published[-1].get("planned_restarts:ensemble") == 1.0)
        feed.is_away = True
        await until(lambda: published[-1]["silent:feed:A"] == 1.0)
        feed.is_away = False

    stage.conducted(scenario)


def test_an_operators_word_goes_to_the_supervisor_and_comes_back_unanswered_while_that_is_away(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    word = Word(number=1, control=Control.PAUSE)

    async def scenario(conductor: Conductor) -> None:
        await until(lambda: len(stage.handles["ensemble"].targets))
        risk = conductor._handles["risk"] = Handle("risk")
        risk.is_away = True
        assert await conductor.tell(word) is None
        risk.is_away, risk.answers = False, Obeyed(ts=5, word=word)
        assert await conductor.tell(word) == risk.answers
        assert risk.calls == ["obey", "obey"]

    stage.conducted(scenario)


def test_a_conductor_has_a_name_for_the_dashboard(stage: Stage) -> None:
    async def scenario(conductor: Conductor) -> None:
        assert repr(conductor) == "conductor"

    stage.conducted(scenario)


class Quiet:
    """A node that nobody tells anything."""

    def snapshot(self) -> bytes:
        return b"quiet"

    def restore(self, snapshot: bytes) -> None:
        assert snapshot == b"quiet"

    def statistics(self) -> dict[str, float]:
        return {}


def troubled(lives: Path, trouble: Callable[[], None]) -> Vessel:
    """Write this life down; the first one is in trouble."""
    with lives.open("a") as file:
        file.write(f"{os.getpid()}\n")
    if len(lives.read_text().split()) == 1:
        trouble()
    return Vessel(Quiet(), [], [])


def wedge() -> None:
    time.sleep(600)


def fail() -> None:
    raise StateError("the first life ends here")


@pytest.mark.ray
@pytest.mark.slow
def test_processes_that_wedge_or_fail_come_back_by_themselves(local_ray: None, tmp_path: Path) -> None:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    lives = {name: tmp_path / f"{name}.lives" for name in ("wedged", "failing")}
    placements = [Placement("ledger", LedgerActor, ("ledger", MemoryRecords), {"num_cpus": 0.1}, {})]
    for name, trouble in (("wedged", wedge), ("failing", fail)):
        build = partial(troubled, lives[name], trouble)
        args = (name, build, tmp_path / f"{name}.bin")
        placements.append(Placement(name, StageActor, args, {"num_cpus": 0.1}, {}))
    options = {"num_cpus": 0.1}
    conductor = place(
        Placement("conductor of trouble", Conductor, (placements, "trouble", 1.5), options, {}), "trouble"
    )
    try:
        health = finished(conductor)
    finally:
        ray.get(conductor.stop.remote(), timeout=20)
        ray.kill(conductor)
    restarts = {actor.name: actor.restarts for actor in health.actors}
    assert restarts == {"ledger": 0, "wedged": 1, "failing": 1}
    pids = {actor.name: actor.pid for actor in health.actors}
    for name, path in lives.items():
        first, second = map(int, path.read_text().split())
        assert first != second == pids[name]


def finished(conductor: Any, seconds: float = 60.0) -> SystemHealth:
    for _ in range(int(seconds / 0.2)):
        health: SystemHealth = ray.get(conductor.health.remote(), timeout=30)
        if health.is_finished:
            return health
        time.sleep(0.2)
    raise AssertionError(f"not finished after {seconds} s: {health}")
