"""One session, several runners: the journals are equal to the bit."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable

import pytest

from cluster.launch import conduct
from spyhop.clock import WallClock
from spyhop.model import tape
from spyhop.model.entries import Entry
from spyhop.storage.differences import differences
from spyhop.storage.journal import TapeWriter, read_tape
from spyhop.wiring.plan import SessionPlan
from spyhop.wiring.sessions import replay, run_local

Planned = Callable[..., SessionPlan]
Entries = Callable[[SessionPlan], list[Entry]]


def kinds(entries: list[Entry]) -> Counter[str]:
    return Counter(type(entry.message).__name__ for entry in entries)


def test_a_local_session_trades_and_its_replay_is_equal_to_the_bit(planned: Planned, entries: Entries) -> None:
    plan = planned("local")
    run_local(plan)
    told = kinds(entries(plan))
    assert min(told[name] for name in ("Decision", "Intent", "Approved", "Fill", "TradeClosed")) >= 3, told
    result = replay(plan.folder)
    assert result.difference is None
    assert result.num_entries == len(entries(plan))


@pytest.mark.ray
def test_ray_and_one_process_keep_the_same_journal(local_ray: None, planned: Planned, entries: Entries) -> None:
    one, many = planned("local"), planned("ray")
    run_local(one)
    health = conduct(many, lambda progress: None, WallClock())
    assert health.is_finished
    assert entries(one)
    assert differences(entries(one), entries(many)) is None
    for feed in one.feed_names:
        local, remote = (tape.joined(list(read_tape(plan.folder, feed))) for plan in (one, many))
        assert local.tobytes() == remote.tobytes()


def test_one_changed_trade_is_found_by_the_replay(planned: Planned) -> None:
    plan = planned("local")
    run_local(plan)
    events = tape.joined(list(read_tape(plan.folder, "BTCUSDT")))
    trades = (events["kind"] == tape.Kind.TRADE).nonzero()[0]
    events["qty"][trades[len(trades) // 2]] += 100_000_000
    shutil.rmtree(plan.folder / "tape" / "BTCUSDT")
    writer = TapeWriter(plan.folder, "BTCUSDT")
    writer.append(events)
    writer.close()
    difference = replay(plan.folder).difference
    assert difference is not None
    assert "Decision" in str(difference)
