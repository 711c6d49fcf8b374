"""The only writer of a session's records: ledger database, journal facts, the seed's files."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping

import ray

from actors.carrier import Health, Target
from actors.stages import leave_on_failure
from spyhop.clock import NS_PER_S, WallClock
from spyhop.engine.edges import Receipt
from spyhop.engine.vessels import RECORDS_DECODER, Records
from spyhop.ports import RecordKeeper

log = logging.getLogger(__name__)


class LedgerActor:
    """Keeps what the stages say; an answer means that it is durable.

    Entries have keys and rows have times, so a parcel that comes twice changes nothing: there is no checkpoint.
    """

    def __init__(self, name: str, build: Callable[[], RecordKeeper]) -> None:
        self._name, self._build = name, build
        self._clock = WallClock()
        self._keeper: RecordKeeper | None = None
        self._beat = self._clock.monotonic_ns()
        self._is_closed = False
        self._life = asyncio.get_running_loop().create_task(self._run())
        self._life.add_done_callback(leave_on_failure)

    def __repr__(self) -> str:
        return self._name

    async def _run(self) -> None:
        while True:
            self._beat = self._clock.monotonic_ns()
            await asyncio.sleep(0.1)

    def _opened(self) -> RecordKeeper:
        if self._keeper is None:
            self._keeper = self._build()
        return self._keeper

    async def receive(self, edge: str, number: int, data: bytes) -> Receipt:
        """Keep a parcel of records; durable when this returns."""
        keep(self._opened(), RECORDS_DECODER.decode(data))
        return Receipt.of_records(number)

    async def committed(self, stage: str) -> int:
        """Return how many entries of `stage` are kept: a restarted supervisor's new epoch begins there."""
        return self._opened().committed(stage)

    async def connect(self, targets: Mapping[str, Target]) -> None:
        """Need no far end: records end here."""

    async def close(self) -> None:
        """Write what is written once at the end of a session; asked again, do nothing."""
        if not self._is_closed:
            self._opened().close()
            self._is_closed = True

    @ray.method(concurrency_group="control")
    async def health(self) -> Health:
        """Answer from the control group's own thread, also while the loop is blocked."""
        age = (self._clock.monotonic_ns() - self._beat) / NS_PER_S
        return Health(self._name, os.getpid(), age, is_connected=True, is_finished=True, restarts=0, statistics={})


def keep(keeper: RecordKeeper, records: Records) -> None:
    """Hand a parcel to the keeper: rows first, because a decision's features come from its row."""
    rows, probabilities = records.arrays()
    if len(rows):
        keeper.rows(rows, probabilities)
    if records.entries:
        keeper.append(records.entries)
