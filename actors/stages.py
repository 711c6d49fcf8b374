"""The actors of a session's stages. Each holds a vessel and a carrier; every method is one expression.

`__init__` only stores its arguments and starts the life of the carrier: an exception there on a restart would be
final in Ray. If that life ends in an error, the process leaves, and Ray starts a clean one that restores itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import ray

from actors.bell import take_short_turns
from actors.carrier import Carrier, Companion, Pace, Target
from actors.health import Health
from actors.lines import Door, Entrance, Line
from actors.metrics import Meters
from spyhop.clock import WallClock
from spyhop.engine.edges import Receipt
from spyhop.engine.vessels import RECORDS, Vessel
from spyhop.model.control import Obeyed, Word

log = logging.getLogger(__name__)

EXIT_FAILED = 70


class StageActor:
    """What all four have in common: a name, a vessel to build, a place for its checkpoint, and who lives beside it."""

    def __init__(
        self,
        name: str,
        build: Callable[[], Vessel],
        checkpoint: Path,
        pace: Pace | None = None,
        join: Callable[[Vessel], Sequence[Companion]] = lambda vessel: (),
    ) -> None:
        take_short_turns()
        self._name = name
        self._clock = WallClock()
        self._carrier = Carrier(name, build, checkpoint, self._clock, join)
        self._meters = Meters(name)
        self._entrance = Entrance(self._carrier.receive)
        self._life = asyncio.get_running_loop().create_task(self._carrier.run(pace))
        self._life.add_done_callback(leave_on_failure)

    def __repr__(self) -> str:
        return self._name

    async def receive(self, edge: str, number: int, data: bytes) -> Receipt:
        """Take a parcel; the answer says what is wanted next and what need not be kept any more."""
        return await self._carrier.receive(edge, number, data)

    async def door(self) -> Door:
        """Say where parcels are taken, too."""
        return await self._entrance.door()

    async def connect(self, targets: Mapping[str, Target]) -> None:
        """Take the far ends of the edges."""
        self._carrier.connect(self._watched(targets))

    def _watched(self, targets: Mapping[str, Target]) -> Mapping[str, Target]:
        return {
            edge: Target(self._meters.watched(edge, Line(target.handle), self._clock), target.edge)
            for edge, target in targets.items()
        }

    async def drain(self) -> None:
        """End the feed where it is."""
        self._carrier.drain()

    async def set_traced(self, is_traced: bool) -> None:
        """Start or stop keeping times of parcels, for the latency benchmark."""
        self._carrier.is_traced = is_traced

    async def take_trace(self) -> list[tuple[str, int, bytes]]:
        """Return (edge, monotonic nanoseconds, parcel) of what passed since the last call; `>` marks what was sent."""
        return self._carrier.take_trace()

    @ray.method(concurrency_group="control")
    async def health(self) -> Health:
        """Answer from the control group's own thread, also while the loop is blocked."""
        return self._carrier.health()


class FeedActor(StageActor):
    """One instrument: its source, book, bars, the fifteen detectors and its tape."""


class EnsembleActor(StageActor):
    """The decision stage: twenty-three strategies, the filter, intents."""


class RiskSupervisor(StageActor):
    """The risk stage: the only maker of approvals; each restart begins a new fencing epoch."""

    async def connect(self, targets: Mapping[str, Target]) -> None:
        """Take the far ends; first become what the ledger knows, and after a restart begin an epoch behind that."""
        await self._carrier.take_over(targets[RECORDS].handle)
        self._carrier.connect(self._watched(targets))

    async def obey(self, word: Word) -> Obeyed | None:
        """Take an operator's word; return how it was obeyed once that is durable, None while it is to be said again."""
        return await self._carrier.obey(word)


class OrderActor(StageActor):
    """The order stage of a live session; it hears what the executors' desks say."""


class ExecutorActor(StageActor):
    """One venue account: its desk and all that speaks to the venue. On paper the order stage with the venue in it."""


def leave_on_failure(life: asyncio.Task[None]) -> None:
    """Leave the process if its life ended in an error, so that Ray starts a clean one."""
    error = None if life.cancelled() else life.exception()
    if error is None:
        return
    log.error("actor leaves: %s", error, exc_info=error)
    os._exit(EXIT_FAILED)
