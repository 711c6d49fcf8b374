"""The detached root of a session: creates all other actors, passes handles down, watches them each second.

Whoever started it may die; it goes on. When it dies itself, Ray starts it again with the same arguments, and it adopts
whom it finds under the names of its actors.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import ray

from actors.carrier import LOST, Target
from actors.health import Health
from actors.metrics import Meters
from actors.orphans import Parent
from actors.stages import leave_on_failure
from spyhop.model.control import Obeyed, Word

log = logging.getLogger(__name__)

CONDUCTOR, SUPERVISOR = "conductor", "risk"
SWEEP_S = 0.5
AWAY_S = 0.1
"""How often who does not answer is asked: it may be waiting for its neighbours already."""
HEALTH_TIMEOUT_S = 3.0
CLOSE_TIMEOUT_S = 60.0
WEDGED_S = 15.0
"""A loop that has not turned for so long is taken for wedged, and its process is killed."""
BUILDING = 4
"""How many times as long one may take that is not connected yet: it builds itself, and a machine under load is slow."""
STALLED_S = 30.0
"""Where nothing has moved for so long somebody should look; a feed without events stalls nobody else."""
MEMORY_LIMIT_MB = 3_000.0
"""A process that holds more is started anew, before the machine is out of memory."""
MEMORY_PATIENCE_S = 600.0
"""How long one that was started anew for its memory is left alone: it may need what it holds."""
RESTART_POLL_S = 0.1
COUNTED = WEDGED, PLANNED, SEEN = "wedged_kills", "planned_restarts", "actor_restarts"
"""What is counted, by actor."""


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
    stalled: list[str] = []
    restarting: list[str] = []
    folder: str = ""


class Conductor:
    """Creates, connects, watches; decides nothing about trading. `folder` is the session's, for who asks."""

    def __init__(
        self,
        placements: Sequence[Placement],
        namespace: str,
        wedged_s: float = WEDGED_S,
        memory_limit_mb: float = MEMORY_LIMIT_MB,
        folder: str = "",
    ) -> None:
        self._placements = {placement.name: placement for placement in placements}
        self._namespace, self._wedged_s = namespace, wedged_s
        self._memory_limit_mb, self._folder = memory_limit_mb, folder
        self._planned: deque[str] = deque()
        self._spared_until: dict[str, float] = {}
        self._handles: dict[str, Any] = {}
        self._health: dict[str, Health] = {}
        self._silent: set[str] = set()
        self._restarts: dict[str, int] = dict.fromkeys(self._placements, 0)
        self._is_finished = False
        self._is_draining = False
        self._counts: Counter[str] = Counter()
        self._life = asyncio.get_running_loop().create_task(self._run())
        self._life.add_done_callback(leave_on_failure)

    def __repr__(self) -> str:
        return CONDUCTOR

    async def _run(self) -> None:
        for placement in self._placements.values():
            self._handles[placement.name] = place(placement, self._namespace)
        async with asyncio.TaskGroup() as group:
            # each on its own: who is away keeps nobody else waiting
            for name in self._handles:
                group.create_task(self._watch(name))
            group.create_task(self._restart_planned())
            parent, meters = Parent(), Meters(CONDUCTOR)
            while not self._is_finished:
                parent.leave_without()
                meters.publish(self._statistics())
                await self._finish_if_done()
                await asyncio.sleep(SWEEP_S)

    async def _watch(self, name: str) -> None:
        while not self._is_finished:
            await self._look_after(name)
            await asyncio.sleep(AWAY_S if name in self._silent else SWEEP_S)

    async def _restart_planned(self) -> None:
        """Start those anew that shall be, one at a time, each when all others answer."""
        while not self._is_finished:
            if self._planned and not self._silent:
                name = self._planned[0]
                await self._restart(name)
                self._planned.popleft()
            await asyncio.sleep(RESTART_POLL_S)

    async def _restart(self, name: str) -> None:
        before = self._health.get(name)
        log.warning("%s is started anew", name)
        self._counts[f"{PLANNED}:{name}"] += 1
        ray.kill(self._handles[name], no_restart=False)
        while not self._is_finished:
            now = self._health.get(name)
            is_new = now is not None and (before is None or now.pid != before.pid)
            if is_new and now is not None and now.is_connected and name not in self._silent:
                return
            await asyncio.sleep(RESTART_POLL_S)

    async def _look_after(self, name: str) -> None:
        handle = self._handles[name]
        try:
            health = await _answered(handle.health.remote())
            self._note(name, health)
            if health.beat_age_s > self._wedged_s * (1 if health.is_connected else BUILDING):
                # first of all, because a loop that does not turn answers nothing that is asked of it below
                log.error("%s has not turned its loop for %.0f s; killing it", name, health.beat_age_s)
                self._counts[f"{WEDGED}:{name}"] += 1
                ray.kill(handle, no_restart=False)
            if not health.is_connected:
                # new or restarted: Ray gave it its arguments back, but not its neighbours
                await _answered(handle.connect.remote(self._targets(name)))
            if self._is_draining and name.startswith("feed:") and not health.is_finished:
                # each sweep: a feed that was restarted does not remember that it was asked
                await _answered(handle.drain.remote())
        except LOST as error:
            if name not in self._silent:
                log.warning("%s does not answer: %s", name, type(error).__name__)
            self._silent.add(name)
            return
        self._silent.discard(name)

    def _note(self, name: str, health: Health) -> None:
        last = self._health.get(name)
        if last is not None and last.pid != health.pid:
            self._restarts[name] += 1
            self._counts[f"{SEEN}:{name}"] += 1
            log.warning("%s was restarted (pid %d, then %d)", name, last.pid, health.pid)
        self._health[name] = health
        now = asyncio.get_running_loop().time()
        if health.resident_mb > self._memory_limit_mb and now >= self._spared_until.get(name, 0.0):
            log.warning("%s holds %.0f MB", name, health.resident_mb)
            self._spared_until[name] = now + MEMORY_PATIENCE_S
            self._plan([name])

    def _stalled(self) -> list[str]:
        return [one.name for one in self._health.values() if not one.is_finished and one.idle_s > STALLED_S]

    def _statistics(self) -> dict[str, float]:
        stalled = self._stalled()
        return {
            **{name: float(count) for name, count in self._counts.items()},
            **{f"stalled:{name}": float(name in stalled) for name in self._placements},
            **{f"silent:{name}": float(name in self._silent) for name in self._placements},
        }

    def _plan(self, names: Iterable[str]) -> None:
        self._planned += [name for name in names if name not in self._planned]

    def _targets(self, name: str) -> Mapping[str, Target]:
        edges = self._placements[name].edges
        return {edge: Target(self._handles[actor], far) for edge, (actor, far) in edges.items()}

    async def _finish_if_done(self) -> None:
        everyone = len(self._health) == len(self._placements) and not self._silent
        if everyone and all(health.is_finished for health in self._health.values()):
            try:
                await _answered(self._handles["ledger"].close.remote(), CLOSE_TIMEOUT_S)
            except LOST as error:
                log.warning("the ledger did not close yet: %s", type(error).__name__)
                return
            self._is_finished = True

    async def drain(self) -> None:
        """End every feed where it is; what is in flight still arrives."""
        self._is_draining = True

    async def tell(self, word: Word) -> Obeyed | None:
        """Hand the supervisor an operator's word; return how it was obeyed, None while it is to be said again."""
        try:
            obeyed: Obeyed | None = await _answered(self._handles[SUPERVISOR].obey.remote(word))
        except LOST:
            return None
        return obeyed

    async def restart(self, names: Sequence[str]) -> list[str]:
        """Start actors anew, all without names, one after the other while the rest works; return who will be.

        A name that is none of the session's is left out.
        """
        wanted = [name for name in names or self._placements if name in self._placements]
        self._plan(wanted)
        return wanted

    async def stop(self) -> None:
        """Take every other actor down; whoever asked takes the conductor itself."""
        self._is_finished = True
        for handle in self._handles.values():
            ray.kill(handle)

    @ray.method(concurrency_group="control")
    async def health(self) -> SystemHealth:
        """Return what is known of everyone."""
        return SystemHealth(
            list(self._health.values()),
            sorted(self._silent),
            dict(self._restarts),
            self._is_draining,
            self._is_finished,
            self._stalled(),
            list(self._planned),
            self._folder,
        )


async def _answered(answer: Any, within_s: float | None = None) -> Any:
    # not wait_for: in Python 3.11 that may swallow a cancellation, and the group would wait for ever
    async with asyncio.timeout(within_s or HEALTH_TIMEOUT_S):
        return await answer


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
