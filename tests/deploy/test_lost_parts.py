"""Ray's own table and the session's root are killed under a session: what trades does not notice, and all ends well."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

from spyhop.clock import NS_PER_S, WallClock
from tests.cluster.test_conduct import HEALTH, parent, python, spyhop, well

WATCH = """
import json, ray, sys, time
from cluster.launch import asked, conductor_there
from cluster.rays import joined_ray
from spyhop.errors import UserError
with joined_ray(sys.argv[1]):
    conductor = None
    while conductor is None:
        try:
            conductor = conductor_there()
        except UserError:
            time.sleep(0.2)
    while True:
        if health := asked(conductor):
            actors = {each.name: [each.pid, each.statistics.get("events", 0)] for each in health.actors}
            print(json.dumps([time.monotonic(), actors, health.silent]), flush=True)
        time.sleep(0.2)
"""
INTERRUPTED_S = 3.0
"""What a call between two actors may take while the table is away, on a machine that does much else."""


@pytest.fixture
def pair(prepared_kernels: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head whose table lies on a disk, and one machine that trades."""
    monkeypatch.setenv("RAY_gcs_storage", "rocksdb")
    monkeypatch.setenv("RAY_gcs_storage_path", str(tmp_path / "gcs"))
    (tmp_path / "gcs").mkdir()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": HEALTH})
    try:
        cluster.add_node(num_cpus=4, memory=6_000_000_000, labels={"role": "market"})
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


class Watching:
    """What the conductor says, line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._lines = process.stdout

    def until(self, holds: Callable[[dict[str, Any]], object]) -> tuple[float, float]:
        """Return when it held first, and the longest time between two lines until then; seconds."""
        last, longest = 0.0, 0.0
        for line in self._lines:
            if line.startswith("["):
                at, actors, silent = json.loads(line)
                longest = max(longest, at - last if last else 0.0)
                last = at
                if len(actors) == 5 and not silent and holds(actors):
                    return at, longest
        raise AssertionError("the session is not there any more")


def events(actors: dict[str, Any]) -> int:
    return int(actors["feed:BTCUSDT"][1])


def conductor_below(raylet: int) -> int:
    """Return the process of the conductor among the children of a raylet."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                title = (folder / "cmdline").read_bytes().lower()
                if title.startswith(b"ray::conductor") and parent(int(folder.name)) == raylet:
                    return int(folder.name)
            except OSError:
                continue
    raise AssertionError("there is no conductor")


@pytest.mark.ray
@pytest.mark.cluster
def test_a_session_trades_on_without_rays_table_and_its_killed_conductor_adopts_it(
    pair: Cluster, tmp_path: Path
) -> None:
    there, runs = ("--address", pair.address), ("--runs", str(tmp_path / "runs"))
    driver = spyhop(
        *("run", "--generate", "--profile", "eager", "--symbols", "BTCUSDT", "--hours", "24", "--speed", "20"),
        *("--interval", "5", *runs, *there),
    )
    watch = python("-c", WATCH, pair.address)
    said, held = Watching(watch), {}
    try:

        def runs_there(actors: dict[str, Any]) -> bool:
            held.update(actors)
            return events(actors) > 0

        said.until(runs_there)
        before = events(held)
        pair.head_node.kill_gcs_server()
        _, longest = said.until(lambda actors: events(actors) > before + 500)
        assert longest < INTERRUPTED_S
        pair.head_node.start_gcs_server()
        raylet = parent(int(held["feed:BTCUSDT"][0]))
        killed = WallClock().monotonic_ns() / NS_PER_S
        old = conductor_below(raylet)
        os.kill(old, signal.SIGKILL)
        pids = {name: pid for name, (pid, _) in held.items()}
        done, _ = said.until(lambda actors: {name: pid for name, (pid, _) in actors.items()} == pids)
        assert done - killed < 30.0
        assert conductor_below(raylet) != old
        assert "the session has ended" in well("drain", *there)
    finally:
        for process in (watch, driver):
            process.kill()
            process.communicate()
    assert "reproduced to the bit" in well("replay", *runs)
