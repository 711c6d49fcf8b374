"""Runs a session on Ray and keeps what passed its actors, with the times of this machine's one monotonic clock."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import Any

import ray

from actors.conductor import SystemHealth
from cluster.launch import conduct
from cluster.rays import NAMESPACE
from spyhop.clock import WallClock
from spyhop.wiring.plan import SessionPlan

Trace = list[tuple[str, int, bytes]]
"""(edge, monotonic nanoseconds, parcel) of what an actor received; `>` before the edge marks what it sent."""


def traced(plan: SessionPlan, names: Sequence[str]) -> tuple[dict[str, Trace], SystemHealth]:
    """Run a session to its end; return the traces of the actors called `names` and the last word about all of them."""
    traces: dict[str, Trace] = {name: [] for name in names}
    is_traced, is_over = threading.Event(), threading.Event()

    def collect() -> None:
        actors = {name: ray.get_actor(name, namespace=NAMESPACE) for name in names}
        ray.get([actor.set_traced.remote(is_traced=True) for actor in actors.values()])
        while not is_over.is_set():
            for name, actor in actors.items():
                with contextlib.suppress(ray.exceptions.RayActorError):
                    traces[name] += ray.get(actor.take_trace.remote())
            is_over.wait(1.0)

    collector = threading.Thread(target=collect, daemon=True)

    def on_progress(progress: Any) -> None:
        if progress.num_events and not is_traced.is_set():
            is_traced.set()
            collector.start()
        if progress.num_finished == progress.num_feeds:
            is_over.set()

    health = conduct(plan, on_progress, WallClock())
    collector.join(10.0)
    return traces, health
