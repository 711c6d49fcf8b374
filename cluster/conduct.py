"""What is said to a session that runs: end, or start these actors anew; from any process that reaches its Ray."""

from __future__ import annotations

import time
from collections.abc import Sequence

import ray

from cluster.commands import stdout
from cluster.launch import asked, conductor_there, taken_down
from cluster.rays import joined_ray
from spyhop.clock import NS_PER_S, WallClock
from spyhop.errors import UserError

POLL_S = 0.2
DRIVER_S = 10.0
"""How long whoever started the session may take to take it down; then it is dead, and that is done here."""
RESTARTED_WITHIN_S = 600.0
TIMEOUT_S = 30.0


def drain(address: str) -> None:
    """Have every feed end where it is, and return when the session is over and gone."""
    with joined_ray(address):
        conductor, finished = conductor_there(), 0
        clock = WallClock()
        while (health := asked(conductor)) is not None or not taken_down():
            now = clock.monotonic_ns()
            if health is not None and not health.is_draining:
                # until it says so: one that was restarted does not remember that it was asked
                ray.get(conductor.drain.remote(), timeout=TIMEOUT_S)
            if health is not None and health.is_finished:
                finished = finished or now
            if finished and now - finished > DRIVER_S * NS_PER_S and taken_down(by_us=True):
                break
            time.sleep(POLL_S)
    stdout().print("the session has ended")


def restart(address: str, actors: Sequence[str]) -> None:
    """Have actors started anew one by one, all without names, and return when the last one is back."""
    with joined_ray(address):
        conductor = conductor_there()
        wanted = ray.get(conductor.restart.remote(list(actors)), timeout=TIMEOUT_S)
        if unknown := [name for name in actors if name not in wanted]:
            raise UserError(f"the session has no actor {unknown[0]}")
        stdout().print(f"starting anew, one after the other: {', '.join(wanted)}")
        deadline = WallClock().monotonic_ns() + int(RESTARTED_WITHIN_S * NS_PER_S)
        while (health := asked(conductor)) is None or (health.restarting and not health.is_finished):
            if taken_down():
                raise UserError("the session ended meanwhile")
            if WallClock().monotonic_ns() > deadline:
                raise UserError("they are not all back after ten minutes; see spyhop status")
            time.sleep(POLL_S)
    stdout().print("all are back")
