"""What a process says of itself."""

from __future__ import annotations

import os

import pytest
import ray

from actors.health import node_id, resident_mb


def test_a_process_knows_what_it_holds() -> None:
    before = resident_mb()
    assert 1.0 < before < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    ballast = bytearray(b"x" * 64_000_000)
    assert resident_mb() - before > 0.5 * len(ballast) / 1e6


def test_outside_of_ray_there_is_no_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    assert node_id() == ""


@pytest.mark.ray
def test_inside_of_ray_the_node_is_one_that_ray_knows(local_ray: None) -> None:
    assert node_id() in {node["NodeID"] for node in ray.nodes()}
    assert node_id() == ray.get(ray.remote(node_id).options(num_cpus=0).remote())
