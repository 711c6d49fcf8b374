"""What an actor says of itself, and what it can say of the process and the machine that it is."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import ray


class Health(msgspec.Struct, frozen=True):
    """What an actor says of itself: how long its loop has not turned, and nothing moved; what it holds, in MB.

    `node` is Ray's id of the machine that it runs on.
    """

    name: str
    pid: int
    beat_age_s: float
    is_connected: bool
    is_finished: bool
    restarts: int
    statistics: dict[str, float]
    idle_s: float = 0.0
    resident_mb: float = 0.0
    node: str = ""


def node_id() -> str:
    """Return Ray's id of the machine that this process runs on, "" outside of Ray."""
    return str(ray.get_runtime_context().get_node_id()) if ray.is_initialized() else ""


def resident_mb() -> float:
    """Return how much memory this process holds, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
