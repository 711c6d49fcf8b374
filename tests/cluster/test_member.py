"""Whether a machine works for a Ray is what that Ray and the machine both say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from spyhop.clock import NS_PER_S, WallClock

ROOT = Path(__file__).parents[2]


def answer(*arguments: str) -> int:
    return subprocess.run(
        [sys.executable, "-m", "cluster.member", *arguments], cwd=ROOT, capture_output=True, check=False, timeout=60
    ).returncode


@pytest.fixture
def alone() -> Iterator[Cluster]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        yield cluster
    finally:
        cluster.shutdown()


def test_nobody_works_for_a_ray_that_is_not_there() -> None:
    assert answer("127.0.0.1:1") == 1
    assert answer() == 2


@pytest.mark.ray
def test_a_machine_works_for_a_ray_until_its_raylet_is_gone(alone: Cluster) -> None:
    assert answer(alone.address) == 0
    (raylet,) = alone.head_node.all_processes["raylet"]
    os.kill(raylet.process.pid, signal.SIGKILL)
    clock = WallClock()
    began = clock.monotonic_ns()
    while answer(alone.address) == 0:
        assert clock.monotonic_ns() - began < 30 * NS_PER_S
    assert answer(alone.address) == 1
