from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from spyhop.clock import EventClock
from spyhop.errors import MissingInput, NotAvailable, StorageFailed
from spyhop.model import tape
from spyhop.model.entries import Entry
from spyhop.model.orders import Fill
from spyhop.model.tape import Events, Kind, Status
from spyhop.model.verdicts import EpochBegan
from spyhop.ports import RecordKeeper
from spyhop.storage.differences import differences
from spyhop.storage.journal import (
    FactWriter,
    SessionTapes,
    TapeWriter,
    is_ended,
    mark_ended,
    read_facts,
    read_tape,
    write_session,
)
from spyhop.wiring import nodes
from spyhop.wiring.plan import SessionPlan, plan_replay
from spyhop.wiring.records import SessionKeeper
from spyhop.wiring.sessions import SessionResult, pacing, replay, run_local
from spyhop.wiring.unkept import MemoryRecords

STARTED = 1_764_350_100_000_000_000
MIDNIGHT = 1_764_288_000_000_000_000
SECOND = 1_000_000_000

Planned = Callable[..., SessionPlan]

pytestmark = pytest.mark.usefixtures("prepared_kernels")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, planned: Planned, prepared_kernels: None) -> SessionResult:
    """A whole session of a minute and a quarter, with round trips in it."""
    return run_local(planned(tmp_path_factory.mktemp("runs")))


def events_of(folder: Path, feed: str) -> Events:
    return tape.joined(list(read_tape(folder, feed)))


def written(folder: Path, original: Path, tapes: dict[str, Events], entries: Sequence[Entry]) -> Path:
    """Write a session's journal anew, with these tapes and entries."""
    write_session(folder, plan_replay(original).session)
    for feed, events in tapes.items():
        writer = TapeWriter(folder, feed)
        writer.append(events)
        writer.close()
    facts = FactWriter(folder)
    facts.append(entries)
    facts.close()
    return folder


def cut_off(folder: Path, original: Path, after_s: float) -> Path:
    """Write what a session would have left that was killed `after_s` into it."""
    end = MIDNIGHT + round(after_s * SECOND)
    tapes = {}
    for feed in plan_replay(original).feed_names:
        events = events_of(original, feed)
        tapes[feed] = events[: int(np.searchsorted(events["ts_recv"], end)) + 1]
    return written(folder, original, tapes, [entry for entry in read_facts(original) if entry.ts < end])


def test_a_session_runs_to_its_end_and_leaves_nothing_open(ran: SessionResult) -> None:
    assert (ran.progress.num_finished, ran.progress.num_feeds) == (2, 2)
    assert ran.progress.ts == max(int(events_of(ran.folder, feed)["ts_recv"][-1]) for feed in ("BTCUSDT", "ETHUSDT"))
    assert ran.statistics["closed_trips"] > 0
    assert (ran.statistics["open_trips"], ran.statistics["live_orders"]) == (0, 0)
    assert is_ended(ran.folder)
    for feed in ("BTCUSDT", "ETHUSDT"):
        last = events_of(ran.folder, feed)[-1]
        assert (last["kind"], last["aux"]) == (Kind.STATUS, Status.SESSION_END)


def test_a_replay_is_equal_and_counts_what_it_compared(ran: SessionResult) -> None:
    result = replay(ran.folder)
    assert result.difference is None
    assert (result.num_events, result.num_entries) == (ran.progress.num_events, len(read_facts(ran.folder)))


@pytest.mark.parametrize("after_s", [0.5, 11.0, 30.2, 47.9, 71.9])
def test_a_session_that_was_killed_is_compared_as_far_as_it_goes(
    tmp_path: Path, ran: SessionResult, after_s: float
) -> None:
    folder = cut_off(tmp_path / "killed", ran.folder, after_s)
    kept = read_facts(folder)
    assert len(kept) < len(read_facts(ran.folder))
    result = replay(folder)
    assert result.difference is None
    assert result.num_entries == len(kept)


def test_one_tape_that_lacks_its_end_is_enough_to_be_a_killed_session(tmp_path: Path, ran: SessionResult) -> None:
    whole, cut = events_of(ran.folder, "BTCUSDT"), events_of(ran.folder, "ETHUSDT")[:-1]
    end = int(min(whole["ts_recv"][-1], cut["ts_recv"][-1]))
    kept = [entry for entry in read_facts(ran.folder) if entry.ts < end]
    assert len(kept) < len(read_facts(ran.folder))
    folder = written(tmp_path / "killed", ran.folder, {"BTCUSDT": whole, "ETHUSDT": cut}, kept)
    assert replay(folder).difference is None


def test_a_wrong_entry_of_a_session_that_was_killed_is_found(tmp_path: Path, ran: SessionResult) -> None:
    killed = cut_off(tmp_path / "killed", ran.folder, 71.9)
    tapes = {feed: events_of(killed, feed) for feed in ("BTCUSDT", "ETHUSDT")}
    entries, number = tampered(read_facts(killed))
    difference = replay(written(tmp_path / "wrong", ran.folder, tapes, entries)).difference
    assert difference is not None
    assert f"order {number}" in difference.entry


def tampered(entries: list[Entry]) -> tuple[list[Entry], int]:
    """Raise the price of the second fill by a tick; return its number, too."""
    at = [i for i, entry in enumerate(entries) if isinstance(entry.message, Fill)][1]
    fill = entries[at].message
    assert isinstance(fill, Fill)
    message = msgspec.structs.replace(fill, price=fill.price + 1)
    changed = msgspec.structs.replace(entries[at], message=message)
    return [*entries[:at], changed, *entries[at + 1 :]], entries[at].seq


def test_a_tampered_fill_is_named_with_both_prices(tmp_path: Path, ran: SessionResult) -> None:
    tapes = {feed: events_of(ran.folder, feed) for feed in ("BTCUSDT", "ETHUSDT")}
    entries, number = tampered(read_facts(ran.folder))
    difference = replay(written(tmp_path / "wrong", ran.folder, tapes, entries)).difference
    assert difference is not None
    assert difference.entry.startswith("Fill")
    assert f"order {number}" in difference.entry
    assert difference.field == "price"
    assert int(difference.recorded) == int(difference.replayed) + 1


def test_an_entry_that_is_missing_is_named(tmp_path: Path, ran: SessionResult) -> None:
    tapes = {feed: events_of(ran.folder, feed) for feed in ("BTCUSDT", "ETHUSDT")}
    folder = written(tmp_path / "short", ran.folder, tapes, read_facts(ran.folder)[:-1])
    # cut off: what it has is compared, and that is right
    assert replay(folder).difference is None
    mark_ended(folder)
    difference = replay(folder).difference
    assert difference is not None
    assert difference.recorded == "nothing"


def test_a_drained_session_ends_early_flat_and_replays(tmp_path: Path, planned: Planned) -> None:
    plan, seen = planned(tmp_path), []
    result = run_local(plan, seen.append, should_drain=lambda: len(seen) > 90)
    assert result.progress.num_finished == 2
    assert result.progress.ts < MIDNIGHT + 60 * SECOND
    assert result.statistics["open_trips"] == 0
    assert replay(plan.folder).difference is None


def test_epochs_of_a_journal_are_repeated_by_its_replay(tmp_path: Path, planned: Planned) -> None:
    plan = planned(tmp_path)
    tapes, keeper = SessionTapes(plan.folder), SessionKeeper(plan)
    line = nodes.pipeline(plan, tapes, keeper)
    line.risk.begin_epochs([EpochBegan(ts=0, epoch=2, at_seq=0), EpochBegan(ts=0, epoch=3, at_seq=1)])
    line.run()
    tapes.close()
    keeper.close()
    epochs = [entry for entry in read_facts(plan.folder) if isinstance(entry.message, EpochBegan)]
    assert [entry.seq for entry in epochs] == [0, 1]
    assert replay(plan.folder).difference is None


def test_a_session_that_only_watched_has_nothing_to_replay(tmp_path: Path, planned: Planned) -> None:
    with pytest.raises(NotAvailable, match="only watched"):
        replay(planned(tmp_path, mode="watch").folder)


def test_a_session_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no session"):
        replay(tmp_path / "nothing")


class Listener(MemoryRecords):
    """Hears what was acknowledged by the keeper behind it."""

    def __init__(self, keeper: RecordKeeper) -> None:
        super().__init__()
        self.keeper = keeper

    def append(self, entries: Sequence[Entry]) -> None:
        self.keeper.append(entries)
        super().append(entries)


def test_who_listens_hears_what_the_journal_has(tmp_path: Path, planned: Planned) -> None:
    heard: list[Listener] = []

    def listen(keeper: RecordKeeper) -> RecordKeeper:
        heard.append(Listener(keeper))
        return heard[0]

    plan = planned(tmp_path, hours=0.01)
    run_local(plan, heard_by=listen)
    assert differences(read_facts(plan.folder), heard[0].entries) is None


@pytest.mark.parametrize(
    ("call", "after"), [("write", 100), ("write", 200), ("write", 301), ("fsync", 20), ("fsync", 45), ("fsync", 55)]
)
def test_a_full_disk_ends_a_session_and_loses_nothing_that_was_acknowledged(
    tmp_path: Path, planned: Planned, monkeypatch: pytest.MonkeyPatch, call: str, after: int
) -> None:
    heard: list[Listener] = []

    def listen(keeper: RecordKeeper) -> RecordKeeper:
        heard.append(Listener(keeper))
        return heard[0]

    plan, real, num_calls = planned(tmp_path), getattr(os, call), 0

    def full(file: int, *data: bytes) -> int | None:
        nonlocal num_calls
        num_calls += 1
        if num_calls <= after:
            return real(file, *data)
        if call == "write" and num_calls == after + 1:
            real(file, data[0][: len(data[0]) // 2])  # what fitted
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(StorageFailed, match="No space left on device"):
            run_local(plan, heard_by=listen)
    kept = {(entry.stage, entry.seq): entry for entry in read_facts(plan.folder)}
    acknowledged = heard[0].entries
    assert acknowledged
    assert all(kept[entry.stage, entry.seq] == entry for entry in acknowledged)
    result = replay(plan.folder)
    assert result.difference is None
    assert result.num_entries == len(kept) >= len(acknowledged)


def test_a_pace_starts_now_at_the_start_of_the_source(tmp_path: Path, planned: Planned, ran: SessionResult) -> None:
    pace = pacing(planned(tmp_path, speed=4.0), EventClock(STARTED))
    assert (pace.speed, pace.start_event, pace.start_wall) == (4.0, MIDNIGHT, STARTED)
    assert pacing(plan_replay(ran.folder), EventClock(STARTED)).wait_s(MIDNIGHT, STARTED) == 0.0
