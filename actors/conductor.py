"""The detached root of a session: creates all other actors, passes handles down, watches them each second."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import ray

from actors.carrier import LOST, Health, Target
from actors.stages import leave_on_failure

log = logging.getLogger(__name__)

SWEEP_S = 0.5
HEALTH_TIMEOUT_S = 3.0
CLOSE_TIMEOUT_S = 60.0
WEDGED_S = 15.0
"""A loop that has not turned for so long is taken for wedged, and its process is killed."""


class Placement(msgspec.Struct, frozen=True):
    """One actor to be: its class, arguments, Ray options, and where its edges lead: edge -> (actor, edge there)."""

    name: str
    actor: Any
    args: tuple[Any, ...]
    options: dict[str, Any]
    edges: dict[str, tuple[str, str]]


class SystemHealth(msgspec.Struct, frozen=True):
    """What the conductor knows: the last answer of each actor, who gave none, if it drains, if all is done."""

    actors: list[Health]
    silent: list[str]
    restarts: dict[str, int]
    is_draining: bool
    is_finished: bool


class Conductor:
    """Creates, connects, watches; decides nothing about trading."""

    def __init__(self, placements: Sequence[Placement], namespace: str, wedged_s: float = WEDGED_S) -> None:
        self._placements = {placement.name: placement for placement in placements}
        self._namespace, self._wedged_s = namespace, wedged_s
        self._handles: dict[str, Any] = {}
        self._health: dict[str, Health] = {}
        self._silent: dict[str, int] = {}
        self._restarts: dict[str, int] = dict.fromkeys(self._placements, 0)
        self._is_finished = False
        self._is_draining = False
        self._life = asyncio.get_running_loop().create_task(self._run())
        self._life.add_done_callback(leave_on_failure)

    def __repr__(self) -> str:
        return "conductor"

    async def _run(self) -> None:
        for placement in self._placements.values():
            self._handles[placement.name] = place(placement, self._namespace)
        while not self._is_finished:
            await asyncio.gather(*(self._look_after(name) for name in self._handles))
            await self._finish_if_done()
            await asyncio.sleep(SWEEP_S)

    async def _look_after(self, name: str) -> None:
        handle = self._handles[name]
        try:
            health = await asyncio.wait_for(handle.health.remote(), HEALTH_TIMEOUT_S)
            self._note(name, health)
            if health.beat_age_s > self._wedged_s:
                # first of all, because a loop that does not turn answers nothing that is asked of it below
                log.error("%s has not turned its loop for %.0f s; killing it", name, health.beat_age_s)
                ray.kill(handle, no_restart=False)
            if not health.is_connected:
                # new or restarted: Ray gave it its arguments back, but not its neighbours
                await asyncio.wait_for(handle.connect.remote(self._targets(name)), HEALTH_TIMEOUT_S)
            if self._is_draining and name.startswith("feed:") and not health.is_finished:
                # each sweep: a feed that was restarted does not remember that it was asked
                await asyncio.wait_for(handle.drain.remote(), HEALTH_TIMEOUT_S)
        except LOST as error:
            self._silent[name] = self._silent.get(name, 0) + 1
            log.warning("%s does not answer: %s", name, type(error).__name__)
            return
        self._silent.pop(name, None)

    def _note(self, name: str, health: Health) -> None:
        last = self._health.get(name)
        if last is not None and last.pid != health.pid:
            self._restarts[name] += 1
            log.warning("%s was restarted (pid %d, then %d)", name, last.pid, health.pid)
        self._health[name] = health

    def _targets(self, name: str) -> Mapping[str, Target]:
        edges = self._placements[name].edges
        return {edge: Target(self._handles[actor], far) for edge, (actor, far) in edges.items()}

    async def _finish_if_done(self) -> None:
        everyone = len(self._health) == len(self._placements) and not self._silent
        if everyone and all(health.is_finished for health in self._health.values()):
            try:
                await asyncio.wait_for(self._handles["ledger"].close.remote(), CLOSE_TIMEOUT_S)
            except LOST as error:
                log.warning("the ledger did not close yet: %s", type(error).__name__)
                return
            self._is_finished = True

    async def drain(self) -> None:
        """End every feed where it is; what is in flight still arrives."""
        self._is_draining = True

    async def stop(self) -> None:
        """Take every other actor down; whoever asked takes the conductor itself."""
        self._is_finished = True
        for handle in self._handles.values():
            ray.kill(handle)

    @ray.method(concurrency_group="control")
    async def health(self) -> SystemHealth:
        """Return what is known of everyone."""
        return SystemHealth(
            list(self._health.values()), list(self._silent), dict(self._restarts), self._is_draining, self._is_finished
        )


def place(placement: Placement, namespace: str) -> Any:
    """Create the actor of a placement, or adopt the one that lives under its name."""
    # Ray's stubs do not know that an actor class may be given concurrency groups
    wrap: Any = ray.remote
    return (
        wrap(concurrency_groups={"control": 2})(placement.actor)
        .options(
            name=placement.name,
            namespace=namespace,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=0,
            enable_task_events=False,
            **placement.options,
        )
        .remote(*placement.args)
    )
