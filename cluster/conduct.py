"""What is said to a session that runs: end, or start these actors anew; from any process that reaches its Ray."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import ray

from actors.carrier import LOST
from cluster.commands import stdout
from cluster.launch import asked, conductor_there, taken_down
from cluster.rays import joined_ray
from spyhop.clock import NS_PER_S, WallClock, iso_ms
from spyhop.config.changing import asked as asked_changes
from spyhop.errors import UserError
from spyhop.model.control import Control, Obeyed, Word

POLL_S = 0.2
DRIVER_S = 10.0
"""How long whoever started the session may take to take it down; then it is dead, and that is done here."""
RESTARTED_WITHIN_S = 600.0
TIMEOUT_S = 30.0
OBEYED_WITHIN_S = 120.0
"""How long a word is said again until its effect is kept: a supervisor that is just restarted waits for the market."""


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


def pause(address: str) -> None:
    """Have no entry approved and resting ones taken back, until `resume`; return when that is kept."""
    at = _told(address, control=Control.PAUSE)
    stdout().print(f"entries are paused from {at} on; what is held stays, with its exits")


def resume(address: str) -> None:
    """Let entries be approved again; return when that is kept."""
    at = _told(address, control=Control.RESUME)
    stdout().print(f"the pause is over from {at} on; other causes of a halt stay")


def change(address: str, assignments: Sequence[str]) -> None:
    """Change settings of the running session; return when that is kept. Raises UserError for one that may not."""
    settings = asked_changes(assignments)
    at = _told(address, settings=settings)
    for path, value in settings.items():
        stdout().print(f"{path} = {value} from {at} on")


def _told(address: str, **said: Any) -> str:
    """Say a word until its effect is kept; return the event time that it has effect from."""
    word = Word(number=WallClock().now_ns(), **said)
    with joined_ray(address):
        obeyed = told(conductor_there(), word)
    if obeyed.refused:
        raise UserError(f"refused: {obeyed.refused}")
    return iso_ms(obeyed.ts)


def told(conductor: Any, word: Word) -> Obeyed:
    """Say a word to a session again and again until its effect is kept; raises UserError when that does not come."""
    clock = WallClock()
    deadline = clock.monotonic_ns() + int(OBEYED_WITHIN_S * NS_PER_S)
    while (obeyed := _answer(conductor, word)) is None:
        if taken_down():
            raise UserError("the session ended meanwhile")
        if clock.monotonic_ns() > deadline:
            raise UserError("the supervisor has not answered in two minutes; see spyhop status, and say it again")
        time.sleep(POLL_S)
    return obeyed


def _answer(conductor: Any, word: Word) -> Obeyed | None:
    try:
        obeyed: Obeyed | None = ray.get(conductor.tell.remote(word), timeout=TIMEOUT_S)
    except LOST:
        return None
    return obeyed
