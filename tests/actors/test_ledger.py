"""The ledger's actor: durable before it answers, harmless to repeat, open when it is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from actors.ledger import LedgerActor, keep
from spyhop.clock import EventClock
from spyhop.config.settings import SessionConfig, Settings
from spyhop.engine.edges import Receipt
from spyhop.engine.vessels import Records
from spyhop.errors import StorageFailed
from spyhop.model.decisions import STRATEGIES
from spyhop.model.entries import Entry
from spyhop.model.rows import ROW, Rows
from spyhop.model.verdicts import EpochBegan
from spyhop.storage.journal import read_facts
from spyhop.wiring.plan import RunRequest, plan_session
from spyhop.wiring.records import SessionKeeper

STARTED = 1_764_350_100_000_000_000


class Told:
    """A keeper that says in which order it was told what."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def rows(self, rows: Rows, probabilities: npt.NDArray[Any]) -> None:
        self.calls.append(("rows", rows["ts"].tolist(), probabilities.shape))

    def append(self, entries: Sequence[Entry]) -> None:
        self.calls.append(("entries", [entry.seq for entry in entries]))

    def committed(self, stage: str) -> int:
        return 5 if stage == "risk" else 0

    def close(self) -> None:
        self.calls.append("closed")


def entries(*numbers: int) -> list[Entry]:
    return [Entry(STARTED, "risk", number, EpochBegan(ts=STARTED, epoch=2, at_seq=number)) for number in numbers]


def parcel(*numbers: int) -> bytes:
    return msgspec.msgpack.encode(Records(entries(*numbers)))


def lasting(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))


def acting(build: Callable[[], Any], scenario: Callable[[LedgerActor], Coroutine[Any, Any, None]]) -> None:
    async def begin() -> None:
        await scenario(LedgerActor("ledger", build))

    lasting(begin())


def test_rows_are_kept_before_the_decisions_that_were_made_on_them() -> None:
    rows = np.zeros(2, ROW)
    rows["ts"] = [7, 8]
    keeper = Told()
    keep(keeper, Records(entries(0, 1), rows.tobytes(), np.zeros((2, len(STRATEGIES))).tobytes()))
    assert keeper.calls == [("rows", [7, 8], (2, len(STRATEGIES))), ("entries", [0, 1])]


def test_what_a_parcel_does_not_hold_is_not_kept() -> None:
    keeper = Told()
    keep(keeper, Records(entries(3)))
    keep(keeper, Records())
    assert keeper.calls == [("entries", [3])]


def test_an_answer_means_that_the_parcel_is_on_disk_and_a_repeat_changes_nothing(tmp_path: Path) -> None:
    settings = Settings(session=SessionConfig(runs=str(tmp_path)))
    plan = plan_session(settings, RunRequest(runner="ray"), EventClock(STARTED))

    async def scenario(ledger: LedgerActor) -> None:
        assert await ledger.receive("risk", 0, parcel(0, 1)) == Receipt.of_records(0)
        assert read_facts(plan.folder) == entries(0, 1)
        assert await ledger.receive("risk", 0, parcel(0, 1)) == Receipt.of_records(0)
        assert await ledger.receive("risk", 1, parcel(2)) == Receipt.of_records(1)
        assert read_facts(plan.folder) == entries(0, 1, 2)
        assert await ledger.committed("risk") == 3
        assert await ledger.committed("order") == 0
        await ledger.close()

    acting(lambda: SessionKeeper(plan), scenario)

    async def again(ledger: LedgerActor) -> None:
        # another life: the senders offer what they have no answer for
        assert await ledger.receive("risk", 1, parcel(2)) == Receipt.of_records(1)
        assert await ledger.committed("risk") == 3
        await ledger.close()

    acting(lambda: SessionKeeper(plan), again)
    assert read_facts(plan.folder) == entries(0, 1, 2)


def test_a_disk_that_fails_is_told_to_the_sender_and_tried_again() -> None:
    keeper, attempts = Told(), 0

    def build() -> Told:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise StorageFailed("ledger.db", "No space left on device")
        return keeper

    async def scenario(ledger: LedgerActor) -> None:
        for _ in range(2):
            with pytest.raises(StorageFailed):
                await ledger.receive("risk", 0, parcel(0))
        assert (await ledger.health()).beat_age_s < 5
        assert await ledger.receive("risk", 0, parcel(0)) == Receipt.of_records(0)
        assert keeper.calls == [("entries", [0])]

    acting(build, scenario)


def test_it_is_closed_once() -> None:
    keeper = Told()

    async def scenario(ledger: LedgerActor) -> None:
        await ledger.close()
        await ledger.close()
        assert keeper.calls == ["closed"]

    acting(lambda: keeper, scenario)


def test_it_needs_nobody_and_never_keeps_a_session_from_its_end() -> None:
    async def scenario(ledger: LedgerActor) -> None:
        await ledger.connect({})
        health = await ledger.health()
        assert (health.name, repr(ledger)) == ("ledger", "ledger")
        assert health.is_connected
        assert health.is_finished

    acting(Told, scenario)
