"""The only writer of a session's records: ledger database, journal facts, the seed's files."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec
import ray

from actors.bell import take_short_turns
from actors.carrier import METRICS_EVERY_S, Target
from actors.health import Health, node_id, resident_mb
from actors.lines import Door, Entrance
from actors.metrics import Meters
from actors.orphans import Parent
from actors.stages import leave_on_failure
from spyhop.clock import NS_PER_S, Clock, WallClock
from spyhop.engine.edges import Receipt
from spyhop.engine.vessels import RECORDS_DECODER, Records
from spyhop.errors import StateError, StorageFailed, Superseded
from spyhop.ports import Ledger, RecordKeeper

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE_S = 10.0
"""How long a call tries again while the database or the disk refuses. With the last attempt it is less than a sender
waits for its answer: then the sender is told, and offers the same again."""
FIRST_BACK_OFF_S = 0.05
LAST_BACK_OFF_S = 1.0
STUCK_S = 30.0
"""An attempt that takes so long is taken for hung: the loop's beat stops, and the conductor sees to a new life."""
BEAT_S = 0.1
ENTRIES_A_PARCEL = 2_000
"""How many entries are read at a time: a commit waits no longer than that takes."""


class LedgerActor:
    """Keeps what the stages say; an answer means that it is durable.

    Entries have keys and rows have times, so a parcel that comes twice changes nothing: there is no checkpoint. One
    commit is made at a time, in a thread, and who waited for it shares the next: while a database is away, the loop
    turns, callers wait, and nothing is acknowledged; when it is back, the calls go on by themselves.
    """

    def __init__(self, name: str, build: Callable[[], Ledger], clock: Clock | None = None) -> None:
        take_short_turns()
        self._name, self._build = name, build
        self._clock = clock or WallClock()
        self._keeper: Ledger | None = None
        self._entrance = Entrance(self.receive)
        self._turn = asyncio.Lock()
        self._offers: list[_Offer] = []
        self._outage = Outage(name)
        self._attempt_began: int | None = None
        self._beat = self._clock.monotonic_ns()
        self._is_closed = False
        self._life = asyncio.get_running_loop().create_task(self._run())
        self._life.add_done_callback(leave_on_failure)

    def __repr__(self) -> str:
        return self._name

    async def _run(self) -> None:
        meters, published = Meters(self._name), 0
        parent = Parent()
        while True:
            parent.leave_without()
            now, began = self._clock.monotonic_ns(), self._attempt_began
            if began is None or now - began < STUCK_S * NS_PER_S:
                self._beat = now
                if now - published >= METRICS_EVERY_S * NS_PER_S:
                    published = now
                    meters.publish(self._outage.statistics(now))
                    await self._tidied()
            await asyncio.sleep(BEAT_S)

    async def _tidied(self) -> None:
        keeper = self._keeper
        if keeper is not None and not self._offers and not self._is_closed:
            await asyncio.to_thread(keeper.tidy)

    async def door(self) -> Door:
        """Say where parcels are taken, too."""
        return await self._entrance.door()

    async def receive(self, edge: str, number: int, data: bytes) -> Receipt:
        """Keep a parcel of records; durable when this returns. Raises StorageFailed when that takes too long."""
        offer = _Offer(RECORDS_DECODER.decode(data))
        self._offers.append(offer)
        try:
            await self._durably(lambda keeper: self._keep_with(keeper, offer))
        except Superseded as error:
            log.error("%s refuses: %s", self._name, error)
            return Receipt.of_nobody()
        finally:
            self._offers.remove(offer)
        return Receipt.of_records(number)

    def _keep_with(self, keeper: Ledger, own: _Offer) -> None:
        """Keep `own` and all that wait with it: whoever came while the disk was busy shares the next commit."""
        if own.is_kept:
            return
        offers = [offer for offer in tuple(self._offers) if not offer.is_kept]
        try:
            keep(keeper, _merged(offers))
        except StateError:
            # nobody suffers for what another says
            offers = [own]
            keep(keeper, own.records)
        for offer in offers:
            offer.is_kept = True

    async def committed(self, stage: str) -> int:
        """Return how many entries of `stage` are kept: a restarted supervisor's new epoch begins there."""
        return await self._durably(lambda keeper: keeper.committed(stage))

    async def entries(self, stage: str, first: int) -> bytes:
        """Return a parcel of the next entries of `stage` from number `first` on, empty behind the last."""
        said = await self._durably(lambda keeper: keeper.entries(stage, first, ENTRIES_A_PARCEL))
        return msgspec.msgpack.encode(Records(said))

    async def connect(self, targets: Mapping[str, Target]) -> None:
        """Need no far end: records end here."""

    async def close(self) -> None:
        """Write what is written once at the end of a session; asked again, do nothing."""
        await self._durably(self._close)

    def _close(self, keeper: Ledger) -> None:
        if not self._is_closed:
            keeper.close()
            self._is_closed = True

    async def _durably(self, work: Callable[[Ledger], T]) -> T:
        deadline = self._clock.monotonic_ns() + int(PATIENCE_S * NS_PER_S)
        back_off = FIRST_BACK_OFF_S
        # in turn: a keeper is no place for two threads
        async with self._turn:
            self._outage.check(self._clock.monotonic_ns() >= deadline)
            while True:
                try:
                    result = await self._attempt(work)
                except StorageFailed as error:
                    self._outage.lasts(self._clock.monotonic_ns(), error)
                    if self._clock.monotonic_ns() + int(back_off * NS_PER_S) >= deadline:
                        raise
                else:
                    self._outage.ends(self._clock.monotonic_ns())
                    return result
                await self._clock.sleep(back_off)
                back_off = min(LAST_BACK_OFF_S, 2 * back_off)

    async def _attempt(self, work: Callable[[Ledger], T]) -> T:
        self._attempt_began = self._clock.monotonic_ns()
        try:
            return await asyncio.to_thread(lambda: work(self._opened()))
        finally:
            self._attempt_began = None

    def _opened(self) -> Ledger:
        if self._keeper is None:
            self._keeper = self._build()
        return self._keeper

    @ray.method(concurrency_group="control")
    async def health(self) -> Health:
        """Answer from the control group's own thread, also while the loop is blocked."""
        age = (self._clock.monotonic_ns() - self._beat) / NS_PER_S
        statistics = self._outage.statistics(self._clock.monotonic_ns())
        return Health(
            self._name,
            os.getpid(),
            age,
            is_connected=True,
            is_finished=True,
            restarts=0,
            statistics=statistics,
            resident_mb=resident_mb(),
            node=node_id(),
        )


class Outage:
    """Whether the database or the disk refuses at the moment, since when, and how often it has; times monotonic ns."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._since: int | None = None
        self._last: StorageFailed | None = None
        self._num_outages = self._num_failures = 0

    def lasts(self, now: int, error: StorageFailed) -> None:
        """Note that an attempt failed."""
        self._num_failures += 1
        self._last = error
        if self._since is None:
            self._since = now
            self._num_outages += 1
            log.error("%s keeps nothing until this ends: %s", self._name, error)

    def ends(self, now: int) -> None:
        """Note that an attempt succeeded."""
        if self._since is not None:
            log.warning("%s keeps again after %.1f s", self._name, (now - self._since) / NS_PER_S)
        self._since = self._last = None

    def check(self, is_late: bool) -> None:
        """Raise what the last attempt raised when an outage lasts and the caller has waited long enough."""
        if is_late and self._last is not None:
            raise StorageFailed(self._last.what, self._last.reason)

    def statistics(self, now: int) -> dict[str, float]:
        """Return `outage_s` (0 when there is none), and how many outages and failed attempts there were."""
        since = self._since
        return {
            "outage_s": 0.0 if since is None else (now - since) / NS_PER_S,
            "outages": float(self._num_outages),
            "failures": float(self._num_failures),
        }


class _Offer:
    """Records that wait to be kept."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.is_kept = False


def _merged(offers: Sequence[_Offer]) -> Records:
    said = [offer.records for offer in offers]
    return Records(
        [entry for records in said for entry in records.entries],
        b"".join(records.rows for records in said),
        b"".join(records.probabilities for records in said),
    )


def keep(keeper: RecordKeeper, records: Records) -> None:
    """Hand a parcel to the keeper: rows first, because a decision's features come from its row."""
    rows, probabilities = records.arrays()
    if len(rows):
        keeper.rows(rows, probabilities)
    if records.entries:
        keeper.append(records.entries)
