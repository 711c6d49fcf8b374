"""The ledger's actor: durable before it answers, harmless to repeat, open when it is needed."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from actors.ledger import LedgerActor, keep
from benchmarks.postgres_room import PostgresServer
from spyhop.clock import EventClock
from spyhop.config.settings import SessionConfig, Settings
from spyhop.engine.edges import Receipt
from spyhop.engine.vessels import RECORDS_DECODER, Records
from spyhop.errors import StateError, StorageFailed
from spyhop.model.decisions import STRATEGIES
from spyhop.model.entries import Entry
from spyhop.model.rows import ROW, Rows
from spyhop.model.verdicts import EpochBegan
from spyhop.storage.database import Ledger
from spyhop.storage.journal import read_facts
from spyhop.wiring.plan import RunRequest, plan_session
from spyhop.wiring.records import SessionKeeper, ledger_url

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

    def tidy(self) -> None:
        self.calls.append("tidied")

    def entries(self, stage: str, first: int, limit: int) -> list[Entry]:
        return entries(*range(first, 5)[:limit]) if stage == "risk" else []

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


def test_what_is_kept_is_read_a_parcel_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.ledger.ENTRIES_A_PARCEL", 2)

    async def scenario(ledger: LedgerActor) -> None:
        read = [RECORDS_DECODER.decode(await ledger.entries("risk", first)).entries for first in (0, 2, 4, 5)]
        assert read == [entries(0, 1), entries(2, 3), entries(4), []]

    acting(Told, scenario)


def test_who_says_something_else_under_a_number_that_is_taken_is_refused_alone(tmp_path: Path) -> None:
    settings = Settings(session=SessionConfig(runs=str(tmp_path)))
    plan = plan_session(settings, RunRequest(runner="ray"), EventClock(STARTED))
    other = msgspec.msgpack.encode(Records([Entry(STARTED, "risk", 1, EpochBegan(ts=STARTED, epoch=9, at_seq=1))]))

    async def scenario(ledger: LedgerActor) -> None:
        await ledger.receive("risk", 0, parcel(0, 1))
        answers = await asyncio.gather(
            ledger.receive("risk", 1, parcel(2)),
            ledger.receive("risk", 1, other),
            ledger.receive("risk", 2, parcel(3)),
        )
        assert answers == [Receipt.of_records(1), Receipt.of_nobody(), Receipt.of_records(2)]
        assert read_facts(plan.folder) == entries(0, 1, 2, 3)
        assert RECORDS_DECODER.decode(await ledger.entries("risk", 1)).entries == entries(1, 2, 3)
        await ledger.close()

    acting(lambda: SessionKeeper(plan), scenario)


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


class Refusing(Told):
    """A keeper behind a disk that refuses while it is told to, and that no two threads may enter at once."""

    def __init__(self) -> None:
        super().__init__()
        self.is_refusing = False
        self.num_attempts = 0
        self._inside = threading.Lock()

    def append(self, entries: Sequence[Entry]) -> None:
        assert self._inside.acquire(blocking=False), "two calls interleave"
        try:
            self.num_attempts += 1
            threading.Event().wait(0.01)
            if self.is_refusing:
                raise StorageFailed("ledger.db", "database is locked")
            super().append(entries)
        finally:
            self._inside.release()


def test_a_disk_that_fails_for_a_while_is_tried_again_before_anything_is_acknowledged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    keeper, attempts = Told(), 0

    def build() -> Told:
        nonlocal attempts
        attempts += 1
        if attempts < 4:
            raise StorageFailed("ledger.db", "No space left on device")
        return keeper

    async def scenario(ledger: LedgerActor) -> None:
        assert await ledger.receive("risk", 0, parcel(0)) == Receipt.of_records(0)
        assert keeper.calls == [("entries", [0])]
        assert (await ledger.health()).statistics == {"outage_s": 0.0, "outages": 1.0, "failures": 3.0}

    acting(build, scenario)
    said = [record.getMessage() for record in caplog.records]
    assert [line.split(" after")[0] for line in said] == [
        "ledger keeps nothing until this ends: ledger.db: No space left on device",
        "ledger keeps again",
    ]


def test_a_long_outage_is_told_to_every_sender_and_the_loop_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.ledger.PATIENCE_S", 0.3)
    keeper = Refusing()
    keeper.is_refusing = True

    async def scenario(ledger: LedgerActor) -> None:
        calls = [asyncio.create_task(ledger.receive("risk", number, parcel(number))) for number in range(4)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(answer) for answer in answers] == [StorageFailed] * 4
        health = await ledger.health()
        assert health.statistics["outage_s"] > 0.0
        assert health.statistics["outages"] == 1.0
        assert health.beat_age_s < 0.25
        # those behind the first do not each knock for as long: the door is known to be shut
        assert keeper.num_attempts <= 8
        assert keeper.calls == []
        keeper.is_refusing = False
        for number in range(4):
            assert await ledger.receive("risk", number, parcel(number)) == Receipt.of_records(number)
        assert keeper.calls == [("entries", [number]) for number in range(4)]
        assert (await ledger.health()).statistics["outage_s"] == 0.0

    acting(lambda: keeper, scenario)


class Held(Told):
    """A keeper whose first commit takes as long as it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may_go_on = threading.Event(), threading.Event()

    def append(self, entries: Sequence[Entry]) -> None:
        self.begun.set()
        assert self.may_go_on.wait(10.0)
        if any(entry.seq == 13 for entry in entries):
            raise StateError("not finite")
        super().append(entries)


async def behind_a_slow_commit(
    keeper: Held, ledger: LedgerActor, numbers: Sequence[int]
) -> list[Receipt | BaseException]:
    """Offer parcel 0, while it is kept all of `numbers`, and return the answers to these."""
    first = asyncio.create_task(ledger.receive("risk", 0, parcel(0)))
    await asyncio.to_thread(keeper.begun.wait)
    others = [asyncio.create_task(ledger.receive("risk", number, parcel(number))) for number in numbers]
    await asyncio.sleep(0)
    keeper.may_go_on.set()
    assert await first == Receipt.of_records(0)
    return await asyncio.gather(*others, return_exceptions=True)


def test_calls_that_had_to_wait_are_kept_together_in_the_order_they_came() -> None:
    keeper = Held()

    async def scenario(ledger: LedgerActor) -> None:
        answers = await behind_a_slow_commit(keeper, ledger, range(1, 12))
        assert answers == [Receipt.of_records(number) for number in range(1, 12)]
        assert keeper.calls == [("entries", [0]), ("entries", [*range(1, 12)])]
        assert await ledger.receive("risk", 12, parcel(12)) == Receipt.of_records(12)
        assert keeper.calls[-1] == ("entries", [12])

    acting(lambda: keeper, scenario)


def test_nobody_suffers_for_what_another_says() -> None:
    keeper = Held()

    async def scenario(ledger: LedgerActor) -> None:
        answers = await behind_a_slow_commit(keeper, ledger, [1, 13, 2])
        assert isinstance(answers[1], StateError)
        assert [answers[0], answers[2]] == [Receipt.of_records(1), Receipt.of_records(2)]
        assert keeper.calls == [("entries", [0]), ("entries", [1]), ("entries", [2])]

    acting(lambda: keeper, scenario)


def test_a_programmers_mistake_is_raised_at_once() -> None:
    class Wrong(Told):
        def append(self, entries: Sequence[Entry]) -> None:
            raise StateError("not finite")

    async def scenario(ledger: LedgerActor) -> None:
        with pytest.raises(StateError):
            await ledger.receive("risk", 0, parcel(0))
        assert (await ledger.health()).statistics["failures"] == 0.0

    acting(Wrong, scenario)


def test_an_attempt_that_hangs_stops_the_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.ledger.STUCK_S", 0.2)
    release = threading.Event()

    class Hanging(Told):
        def append(self, entries: Sequence[Entry]) -> None:
            release.wait(10)
            super().append(entries)

    async def scenario(ledger: LedgerActor) -> None:
        call = asyncio.create_task(ledger.receive("risk", 0, parcel(0)))
        for _ in range(200):
            if (await ledger.health()).beat_age_s > 0.4:
                break
            await asyncio.sleep(0.02)
        else:
            pytest.fail("the beat went on")
        release.set()
        assert await call == Receipt.of_records(0)
        while (await ledger.health()).beat_age_s > 0.2:
            await asyncio.sleep(0.02)

    acting(Hanging, scenario)


async def offered(ledger: LedgerActor, number: int) -> int:
    """Offer a parcel until it is kept, as a carrier does, and return how often that was refused."""
    num_refused = 0
    while True:
        try:
            assert await ledger.receive("risk", number, parcel(number)) == Receipt.of_records(number)
        except StorageFailed:
            num_refused += 1
        else:
            return num_refused


async def watched(ledger: LedgerActor, ages: list[float]) -> None:
    while True:
        ages.append((await ledger.health()).beat_age_s)
        await asyncio.sleep(0.05)


@pytest.mark.slow
def test_a_sqlite_ledger_that_another_process_holds_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spyhop.storage.engines.BUSY_S", 0.3)
    monkeypatch.setattr("actors.ledger.PATIENCE_S", 0.8)
    settings = Settings(session=SessionConfig(runs=str(tmp_path)))
    plan = plan_session(settings, RunRequest(runner="ray"), EventClock(STARTED))
    ages: list[float] = []

    async def scenario(ledger: LedgerActor) -> None:
        await offered(ledger, 0)
        watching = asyncio.create_task(watched(ledger, ages))
        holder = sqlite3.connect(ledger_url(plan).removeprefix("sqlite:///"), isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        call = asyncio.create_task(offered(ledger, 1))
        await asyncio.sleep(2.0)
        assert not call.done()
        assert read_facts(plan.folder) == entries(0)
        holder.execute("ROLLBACK")
        holder.close()
        assert await call >= 1
        watching.cancel()
        await ledger.close()

    acting(lambda: SessionKeeper(plan), scenario)
    assert kept(ledger_url(plan)) == read_facts(plan.folder) == entries(0, 1)
    assert max(ages) < 1.0


@pytest.mark.slow
def test_a_database_that_crashes_again_and_again_loses_nothing_acknowledged(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    url = postgres.new_database()
    settings = Settings(session=SessionConfig(runs=str(tmp_path), ledger_url=url))
    plan = plan_session(settings, RunRequest(runner="ray"), EventClock(STARTED))
    ages: list[float] = []
    acknowledged: list[int] = []
    is_down = threading.Event()

    def trouble() -> None:
        for _ in range(3):
            reached = len(acknowledged) + 5
            while len(acknowledged) < reached:
                threading.Event().wait(0.005)
            postgres.crash()
            is_down.set()
            before = len(acknowledged)
            threading.Event().wait(0.7)
            # one answer may have been on its way while the server went
            assert len(acknowledged) <= before + 1
            is_down.clear()
            postgres.start()

    async def scenario(ledger: LedgerActor) -> None:
        watching = asyncio.create_task(watched(ledger, ages))
        troubling = asyncio.create_task(asyncio.to_thread(trouble))
        while not troubling.done():
            await offered(ledger, len(acknowledged))
            acknowledged.append(len(acknowledged))
        await troubling
        watching.cancel()
        assert (await ledger.health()).statistics["outages"] == 3.0
        await ledger.close()

    acting(lambda: SessionKeeper(plan), scenario)
    assert kept(url) == read_facts(plan.folder) == entries(*acknowledged)
    assert max(ages) < 1.0


def test_a_database_that_is_away_at_the_start_is_waited_for(tmp_path: Path, postgres: PostgresServer) -> None:
    url = postgres.new_database()
    settings = Settings(session=SessionConfig(runs=str(tmp_path), ledger_url=url))
    plan = plan_session(settings, RunRequest(runner="ray"), EventClock(STARTED))
    postgres.stop()

    async def scenario(ledger: LedgerActor) -> None:
        call = asyncio.create_task(offered(ledger, 0))
        while not (await ledger.health()).statistics["failures"]:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(postgres.start)
        await call
        await ledger.close()

    acting(lambda: SessionKeeper(plan), scenario)
    assert kept(url) == entries(0)


def kept(url: str) -> list[Entry]:
    ledger = Ledger(url)
    (session,) = ledger.sessions()
    found = ledger.entries(session)
    ledger.close()
    return found


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


@pytest.mark.slow
def test_an_idle_ledger_is_tidied_and_one_that_is_closed_is_not() -> None:
    keeper = Told()

    async def scenario(ledger: LedgerActor) -> None:
        await ledger.receive("risk", 0, parcel(0))
        while "tidied" not in keeper.calls:
            await asyncio.sleep(0.05)
        await ledger.close()
        before = len(keeper.calls)
        await asyncio.sleep(1.2)
        assert len(keeper.calls) == before

    acting(lambda: keeper, scenario)
