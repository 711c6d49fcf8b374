"""Carries a vessel's parcels over Ray: one call in flight an edge, retried until the other side has it.

Ring two: asyncio and Ray calls, no trading. What is sent, in which order and after what is the vessel's business.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayActorError, RayTaskError, WorkerCrashedError

from actors.bell import Bell
from actors.health import Health, node_id, resident_mb
from actors.metrics import Meters
from actors.orphans import Parent
from actors.pasts import become, repeated_by, told_by
from spyhop.clock import NS_PER_S, Clock
from spyhop.engine.edges import Receipt
from spyhop.engine.vessels import RECORDS, FeedVessel, RiskVessel, Vessel
from spyhop.errors import JournalDamaged, StateError
from spyhop.model.control import Obeyed, Word
from spyhop.model.verdicts import EpochBegan
from spyhop.storage.checkpoints import forget_lives_before, newest_checkpoint, read_checkpoint, write_checkpoint

log = logging.getLogger(__name__)

LOST = (
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
    OutOfMemoryError,
    GetTimeoutError,
    TimeoutError,
    ConnectionError,
)
"""An answer that did not come: the call may or may not have had its effect, so it is made again."""

CALL_TIMEOUT_S = 20.0
CHECKPOINT_EVERY_S = 1.0
CHECKPOINT_EVERY_PARCELS = 64
IDLE_S = 2.0
RECORDS_LINGER_S = 0.02
"""How long records that nobody waits for let others go to the disk first."""
BEAT_S = 0.1
METRICS_EVERY_S = 1.0


class Target(msgspec.Struct, frozen=True):
    """The far end of an edge: an actor's handle and the name that the edge has there."""

    handle: Any
    edge: str


class Pace(Protocol):
    """When an event is due."""

    def wait_s(self, ts: int, now: int) -> float:
        """Return how many seconds remain at `now` until event time `ts` is due; negative when it is late."""
        ...


class Companion(Protocol):
    """Somebody who works in the same process, beside the vessel."""

    async def run(self, stir: Callable[[], None]) -> None:
        """Work until cancelled; call `stir` when the vessel was told something."""
        ...


class Carrier:
    """One actor's life: restore, connect, carry, checkpoint.

    `build` makes the vessel and `join` what lives beside it; both run inside the loop, never in a constructor, because
    a constructor that fails on a restart is final in Ray.
    """

    def __init__(
        self,
        name: str,
        build: Callable[[], Vessel],
        checkpoint: Path,
        clock: Clock,
        join: Callable[[Vessel], Sequence[Companion]] = lambda vessel: (),
    ) -> None:
        self.name = name
        self._build, self._checkpoint, self._clock = build, checkpoint, clock
        self._join = join
        self.vessel: Vessel | None = None
        self._targets: Mapping[str, Target] = {}
        self.is_built, self._is_connected = asyncio.Event(), asyncio.Event()
        self._bells: dict[str, Bell] = {}
        self._room = Bell()
        self._saving, self._taking = asyncio.Lock(), asyncio.Lock()
        self._failures: asyncio.Queue[Exception] = asyncio.Queue()
        self._beat = self._moved = clock.monotonic_ns()
        self._drain = self._asks = False
        self._statistics: dict[str, float] = {}
        self._lag_s = 0.0
        self.restarts = 0
        self._trace: deque[tuple[str, int, bytes]] = deque(maxlen=65_536)
        self.is_traced = False

    async def run(self, pace: Pace | None = None) -> None:
        """Live until cancelled; a feed waits until the event time of what it made is due."""
        beating = asyncio.create_task(self._beating())
        kept, damage = self._counted()
        await self._clock.sleep(self._back_off_s())
        vessel = self._build()
        if damage is not None:
            # now, because the log is opened by who builds
            log.error("%s begins without its checkpoint: %s", self.name, damage)
        if kept:
            vessel.restore(kept)
        # nothing is kept of a supervisor that has not asked the ledger yet: it would be taken for its past
        self._asks = isinstance(vessel, RiskVessel) and not kept
        if not self._asks:
            await self._save(vessel)
        self.vessel = vessel
        companions = self._join(vessel)
        self.is_built.set()
        failing, connected = asyncio.create_task(self._failing()), asyncio.create_task(self._is_connected.wait())
        await asyncio.wait({failing, connected}, return_when=asyncio.FIRST_COMPLETED)
        tasks = [beating, failing, asyncio.create_task(self._checkpointing()), asyncio.create_task(self._metering())]
        tasks += [asyncio.create_task(self._pump(edge)) for edge in self.vessel.outboxes]
        if isinstance(self.vessel, FeedVessel):
            tasks.append(asyncio.create_task(self._produce(self.vessel, pace)))
        tasks += [asyncio.create_task(companion.run(self._stir)) for companion in companions]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()

    def _counted(self) -> tuple[bytes, JournalDamaged | None]:
        # counted before anything is built: what fails in building or restoring must be slowed down too
        kept, damage = b"", None
        newest = newest_checkpoint(self._checkpoint)
        if newest is not None:
            life, file = newest
            self.restarts = life + 1
            try:
                kept = read_checkpoint(file)
            except JournalDamaged as error:
                damage = error
        self._write(kept)
        forget_lives_before(self._checkpoint, self.restarts)
        return kept, damage

    async def take_over(self, ledger: Any) -> None:
        """Become, without a checkpoint, what the `ledger` keeps; after a restart begin an epoch behind that."""
        await self.is_built.wait()
        async with self._taking:
            # the conductor asks again when an answer was late
            if self._is_connected.is_set():
                return
            if self._asks and isinstance(self.vessel, RiskVessel):
                past, self._asks = await told_by(ledger), False
                with self._final():
                    await become(self.vessel, past)
                self.restarts = max(self.restarts, past.epoch)
            if self.restarts and isinstance(self.vessel, RiskVessel):
                # what a life said that is over, and this checkpoint does not know: epochs, and an operator's words
                said, committed = await repeated_by(ledger, self.vessel.node.seq), await ledger.committed.remote("risk")
                self.vessel.node.turns.repeat(said)
                self.begin_epoch(committed)

    def _back_off_s(self) -> float:
        # Ray restarts at once and for ever; what crashes on every start must not take the machine with it
        return min(5.0, 0.1 * max(0, self.restarts - 2))

    def connect(self, targets: Mapping[str, Target]) -> None:
        """Take the far ends of all edges; the conductor does so again after each restart."""
        self._targets = targets
        self._is_connected.set()

    def begin_epoch(self, committed: int) -> None:
        """Fence a supervisor's former life off, from its `committed`-th entry on."""
        # the conductor asks again when an answer was late; a life has one epoch
        if isinstance(self.vessel, RiskVessel) and not self._is_connected.is_set():
            self.vessel.node.begin_epochs([EpochBegan(ts=0, epoch=self.restarts + 1, at_seq=committed)])

    async def obey(self, word: Word) -> Obeyed | None:
        """Hand a supervisor an operator's word; return how it was obeyed, None while it is to be said again."""
        await self._is_connected.wait()
        assert isinstance(self.vessel, RiskVessel)
        with self._final():
            obeyed = self.vessel.obey(word)
        self._stir()
        return obeyed

    def drain(self) -> None:
        """End a feed where it is."""
        self._drain = True
        self._stir()

    async def receive(self, edge: str, number: int, data: bytes) -> Receipt:
        """Take a parcel; a sender far ahead of slower ones is made to wait a little first."""
        # a node that cannot send yet takes nothing either: a restarted supervisor must know its epoch first
        await self._is_connected.wait()
        await self.is_built.wait()
        assert self.vessel is not None
        for _ in range(50):
            if not self.vessel.is_ahead(edge):
                break
            await asyncio.sleep(0.02)
        else:
            return self.vessel.receipt(edge)
        self._note(edge, data)
        with self._final():
            receipt = self.vessel.receive(edge, number, data)
            self._stir()
            if self.vessel.since_checkpoint >= CHECKPOINT_EVERY_PARCELS:
                # this sender waits; what came of its parcel is on its way already, and so are the other edges
                await self._save(self.vessel, CHECKPOINT_EVERY_PARCELS)
                receipt = self.vessel.receipt(edge)
        return receipt

    @contextmanager
    def _final(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # half of what was told may have had its effect, and its repeat would be ignored: only a new life is clean
            self._failures.put_nowait(error)
            raise

    def _note(self, edge: str, data: bytes) -> None:
        if self.is_traced and "tape" not in edge:
            self._trace.append((edge, self._clock.monotonic_ns(), data))

    def take_trace(self) -> list[tuple[str, int, bytes]]:
        """Return (edge, monotonic nanoseconds, parcel) of what passed since the last call, the tape left out."""
        noted = list(self._trace)
        self._trace.clear()
        return noted

    async def _failing(self) -> None:
        raise await self._failures.get()

    def _stir(self) -> None:
        self._moved = self._clock.monotonic_ns()
        self._room.ring()
        for edge, bell in self._bells.items():
            # an edge with nothing to send sleeps on: to wake it costs as much as a message
            if self.vessel is not None and self.vessel.next_parcel(edge) is not None:
                bell.ring()

    async def _pump(self, edge: str) -> None:
        assert self.vessel is not None
        target, outbox, back_off = self._targets[edge], self.vessel.outboxes[edge], 0.05
        bell = self._bells.setdefault(edge, Bell())
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while True:
            bell.forget()
            parcel = self.vessel.next_parcel(edge)
            if parcel is None:
                await bell.within(IDLE_S)
                if outbox.is_sent and loop.time() - heard >= IDLE_S:
                    # a receiver that came back older cannot ask for what it had: offer what is not durable there,
                    # however much happens on other edges, for what they wait for may be this
                    outbox.rewind()
                    heard = loop.time()
                continue
            if edge == RECORDS and not self.vessel.is_held_by_records:
                await asyncio.sleep(RECORDS_LINGER_S)
            self._note(f">{edge}", parcel.data)
            try:
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    receipt = await target.handle.receive.remote(target.edge, parcel.first, parcel.data)
            except LOST as error:
                log.warning("%s: edge %s to be tried again: %s", self.name, edge, type(error).__name__)
                outbox.rewind()
                await asyncio.sleep(back_off)
                back_off = min(2.0, back_off * 2)
                continue
            back_off = 0.05
            heard = loop.time()
            if receipt.is_over:
                # what this life believes is not what the ledger keeps: the next one asks it
                self._write(b"")
                raise StateError(f"{self.name}: another life has said something else")
            outbox.acknowledge(receipt)
            if not receipt.wanted.covers(parcel):
                # not taken: the receiver has more than it can use, or came back older
                await asyncio.sleep(0.02)
            self._stir()

    async def _produce(self, vessel: FeedVessel, pace: Pace | None) -> None:
        loop, arrived = asyncio.get_running_loop(), Bell()

        def wake() -> None:
            loop.call_soon_threadsafe(arrived.ring)

        vessel.node.call_on_arrival(wake)
        while not vessel.node.is_finished:
            self._room.forget()
            arrived.forget()
            if vessel.is_congested:
                await self._room.within(IDLE_S)
                continue
            output = vessel.produce(drain=self._drain)
            self._stir()
            if pace is not None and len(output.events) and not output.is_finished:
                await self._due(pace, int(output.events["ts_recv"][-1]))
            if vessel.node.is_open and not len(output.events):
                await arrived.within(IDLE_S)
            await asyncio.sleep(0)
        await asyncio.Event().wait()

    async def _due(self, pace: Pace, ts: int) -> None:
        wait = pace.wait_s(ts, self._clock.now_ns())
        self._lag_s = max(0.0, -wait)
        while not self._drain and wait > 0:
            await asyncio.sleep(min(wait, 0.1))
            wait = pace.wait_s(ts, self._clock.now_ns())

    async def _checkpointing(self) -> None:
        assert self.vessel is not None
        while True:
            await asyncio.sleep(CHECKPOINT_EVERY_S)
            if self.vessel.since_checkpoint:
                await self._save(self.vessel)

    async def _save(self, vessel: Vessel, at_least: int = 0) -> None:
        # the disk is waited for in a thread: an order that comes meanwhile does not wait with it
        async with self._saving:
            if vessel.since_checkpoint < at_least:
                return
            writing = asyncio.get_running_loop().run_in_executor(None, self._write, vessel.checkpoint())
            try:
                await asyncio.shield(writing)
            finally:
                # not left behind by a life that ends: it would meet what the next one writes
                await asyncio.wait({writing})
            vessel.checkpointed()

    def _write(self, kept: bytes) -> None:
        write_checkpoint(self._checkpoint, self.restarts, kept)

    async def _beating(self) -> None:
        parent = Parent()
        while True:
            parent.leave_without()
            self._beat = self._clock.monotonic_ns()
            await asyncio.sleep(BEAT_S)

    async def _metering(self) -> None:
        meters = Meters(self.name)
        while True:
            await asyncio.sleep(METRICS_EVERY_S)
            assert self.vessel is not None
            self._statistics = self._measured(self.vessel)
            meters.publish(self._statistics)

    def _measured(self, vessel: Vessel) -> dict[str, float]:
        return {"lag_s": self._lag_s, "restarts": float(self.restarts), **vessel.statistics()}

    def health(self) -> Health:
        """Answer from the control group's thread: reads scalars only, until nothing moves any more."""
        vessel = self.vessel
        is_finished = vessel is not None and vessel.is_finished
        if vessel is not None and is_finished:
            # the last word about a vessel is exact, however long ago the metrics were taken
            self._statistics = self._measured(vessel)
        now = self._clock.monotonic_ns()
        return Health(
            self.name,
            os.getpid(),
            (now - self._beat) / NS_PER_S,
            self._is_connected.is_set(),
            is_finished,
            self.restarts,
            self._statistics,
            (now - self._moved) / NS_PER_S,
            resident_mb(),
            node_id(),
        )
