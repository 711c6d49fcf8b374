from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from msgspec.structs import replace

from spyhop.clock import NS_PER_S, EventClock
from spyhop.config.settings import SessionConfig, Settings
from spyhop.engine.feeds import ArrayFeed, CatalogFeed, SlicedFeed
from spyhop.engine.pyramiding import FIRST_ADD
from spyhop.engine.vessels import FeedVessel
from spyhop.execution.pyramids import PyramidParams
from spyhop.model import rows as rows_model
from spyhop.model import tape
from spyhop.model.decisions import LEAD_FOLLOW, Decision
from spyhop.model.orders import Fill, OrderChanged
from spyhop.model.rows import DECIDING, RowFlag, Rows
from spyhop.model.tape import Events, Venue
from spyhop.model.verdicts import Approved
from spyhop.ports import Feed
from spyhop.simulation.feed import GenerativeFeed, usual_instrument
from spyhop.storage.journal import SessionTapes, read_facts, read_tape
from spyhop.strategies.lead import LeadParams
from spyhop.wiring import nodes
from spyhop.wiring.plan import RunRequest, SessionPlan, plan_replay, plan_session
from spyhop.wiring.sessions import replay, run_local
from spyhop.wiring.unkept import MemoryRecords, NoTapes

START = 1_764_288_000 * NS_PER_S

Planned = Callable[..., SessionPlan]

pytestmark = pytest.mark.usefixtures("prepared_kernels")


class Tapes(SessionTapes):
    """Tapes that say when they were flushed, and whom a test can kill."""

    born: ClassVar[list[Tapes]] = []

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.log: list[str] = []
        self.born.append(self)

    def append(self, feed: str, events: Events, at: int | None = None) -> None:
        super().append(feed, events, at)
        self.log.append("append")

    def flush(self) -> None:
        super().flush()
        self.log.append("flush")


def drained(feed: Feed) -> Events:
    batches = []
    while (batch := feed.next_batch()) is not None:
        batches.append(batch)
    return tape.joined(batches)


def test_the_source_decides_the_feed_and_only_a_paced_one_is_sliced(
    tmp_path: Path, planned: Planned, small_lake: Path
) -> None:
    generated = planned(tmp_path / "1")
    assert isinstance(nodes.feed(generated, "BTCUSDT"), GenerativeFeed)
    assert isinstance(nodes.feed(planned(tmp_path / "2", speed=10.0), "BTCUSDT"), SlicedFeed)
    lake = planned(tmp_path / "3", lake=small_lake, symbols=("BTCUSDT",))
    assert isinstance(nodes.feed(lake, "BTCUSDT"), CatalogFeed)
    paced = planned(tmp_path / "4", speed=10.0)
    nodes.pipeline(paced, tapes := SessionTapes(paced.folder), MemoryRecords()).run()
    tapes.close()
    assert isinstance(nodes.feed(plan_replay(paced.folder), "BTCUSDT"), ArrayFeed)


def test_a_lake_feed_brings_the_events_under_the_number_of_the_session(
    tmp_path: Path, planned: Planned, small_lake: Path
) -> None:
    plan = planned(tmp_path, lake=small_lake, symbols=("SOLUSDT", "BTCUSDT"))
    events = drained(nodes.feed(plan, "BTCUSDT"))
    assert len(events) > 1_000
    assert set(events["instrument"].tolist()) == {1}
    assert (np.diff(events["ts_recv"]) >= 0).all()


def test_nodes_of_one_plan_say_the_same_wherever_they_are_built(tmp_path: Path, planned: Planned) -> None:
    plan = planned(tmp_path, hours=0.01)
    told = []
    for _ in range(2):
        records = MemoryRecords()
        nodes.pipeline(plan, NoTapes(), records).run()
        told.append(records.entries)
    assert told[0] == told[1] != []


def test_a_session_ends_after_its_hours_though_the_lake_goes_on(
    tmp_path: Path, planned: Planned, small_lake: Path
) -> None:
    plan = planned(tmp_path, lake=small_lake, symbols=("BTCUSDT",), hours=0.005)
    node = nodes.feed_node(plan, "BTCUSDT")
    last = 0
    while not node.is_finished:
        last = node.step().events["ts_recv"][-1]
    assert last <= plan.source.start + 18 * 1_000_000_000 < drained(nodes.feed(plan, "BTCUSDT"))["ts_recv"][-1]


@pytest.fixture
def feed_vessel(tmp_path: Path, planned: Planned, monkeypatch: pytest.MonkeyPatch) -> Callable[[], FeedVessel]:
    plan = planned(tmp_path, hours=0.01)
    monkeypatch.setattr(nodes, "SessionTapes", Tapes)
    Tapes.born.clear()
    return lambda: nodes.feed_vessel(plan, "BTCUSDT")


def kept(folder: Path) -> Events:
    (session,) = folder.glob("*")
    return tape.joined(list(read_tape(session, "BTCUSDT")))


def test_a_tape_is_durable_before_a_row_that_can_be_decided_on_leaves(feed_vessel: Callable[[], FeedVessel]) -> None:
    vessel, num_decided = feed_vessel(), 0
    while not vessel.node.is_finished:
        output = vessel.produce()
        if nodes.has_decision(output):
            num_decided += 1
            assert Tapes.born[0].log[-2:] == ["append", "flush"]
    assert num_decided > 3
    assert Tapes.born[0].log.count("flush") < Tapes.born[0].log.count("append")
    Tapes.born[0].close()


@pytest.mark.parametrize(
    ("lead", "followed"),
    [
        (LeadParams(), []),
        (LeadParams(enters=True), ["BTCUSDT", "BTC-USD"]),
        (LeadParams(mode="gate"), ["BTCUSDT", "BTC-USD"]),
    ],
)
def test_every_second_of_a_leader_and_its_follower_is_durable_where_one_follows(
    tmp_path: Path, planned: Planned, lead: LeadParams, followed: list[str]
) -> None:
    plan = planned(tmp_path, hours=0.01)
    leader = replace(usual_instrument("BTCUSDT"), venue=Venue.BINANCE_USDM)
    other = replace(usual_instrument("ETHUSDT", 1), venue=Venue.BINANCE_USDM)
    follower = replace(leader, id=2, symbol="BTC-USD", venue=Venue.DYDX)
    session = replace(plan.session, instruments=(leader, other, follower))
    plan = replace(plan, session=session, settings=replace(plan.settings, lead=lead))
    every_second = [name for name in plan.feed_names if nodes.deciding(plan, name) & RowFlag.SECOND]
    assert every_second == followed
    assert all(nodes.deciding(plan, name) & DECIDING == DECIDING for name in plan.feed_names)


def told(number: int, mid: float, second: int) -> Rows:
    row = rows_model.empty(1)
    row["ts"] = row["ts_book"] = START + second * NS_PER_S
    row["instrument"], row["flags"], row["mid"] = number, RowFlag.SECOND, mid
    row["bid"], row["ask"] = round(mid * 10), round(mid * 10) + 1
    return row


def test_a_follower_that_is_named_first_is_judged_after_its_leader_of_the_same_instant(
    tmp_path: Path, planned: Planned
) -> None:
    plan = planned(tmp_path, hours=0.01)
    leader = replace(usual_instrument("BTCUSDT", 1), venue=Venue.BINANCE_USDM)
    follower = replace(leader, id=0, symbol="BTC-USD", venue=Venue.DYDX)
    lead = LeadParams(enters=True, window_s=1.0, discount_frac=-0.5)
    session = replace(plan.session, instruments=(follower, leader))
    node = nodes.decision_node(replace(plan, session=session, settings=replace(plan.settings, lead=lead)))
    node.facts.put([], START + NS_PER_S * 9)
    for number, feed in enumerate(("BTC-USD", "BTCUSDT")):
        mids = (60_000.0, 60_000.0, 60_000.0 if number == 0 else 60_300.0)
        rows = np.concatenate([told(number, mid, second) for second, mid in enumerate(mids)])
        node.rows.put(feed, rows, START + NS_PER_S * 9)
    decided = [entry.message for entry in node.step().entries if isinstance(entry.message, Decision)]
    assert [(one.strategy, one.ts) for one in decided] == [(LEAD_FOLLOW, START + 2 * NS_PER_S)]


def test_a_feed_that_is_followed_is_told_which_rows_decide(
    tmp_path: Path, planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(tmp_path, hours=0.01)
    monkeypatch.setattr(nodes, "SessionTapes", Tapes)
    monkeypatch.setattr(nodes, "deciding", lambda plan, name: RowFlag.SECOND)
    Tapes.born.clear()
    vessel, num_seconds = nodes.feed_vessel(plan, "BTCUSDT"), 0
    while not vessel.node.is_finished:
        if nodes.has_decision(vessel.produce(), RowFlag.SECOND):
            num_seconds += 1
            assert Tapes.born[0].log[-2:] == ["append", "flush"]
    assert num_seconds > 30
    Tapes.born[0].close()


def test_a_feed_that_comes_back_older_adds_nothing_to_its_tape_twice(
    tmp_path: Path, feed_vessel: Callable[[], FeedVessel]
) -> None:
    first = feed_vessel()
    checkpoint = first.checkpoint()
    for number in range(20):
        first.produce()
        if number == 7:
            checkpoint = first.checkpoint()
    Tapes.born[0].close()
    before = kept(tmp_path)
    second = feed_vessel()
    second.restore(checkpoint)
    while not second.node.is_finished:
        second.produce()
    Tapes.born[1].close()
    whole = kept(tmp_path)
    assert np.array_equal(whole[: len(before)], before)
    assert len(whole) == second.node.num_events
    reference = feed_vessel().node
    assert np.array_equal(
        whole, tape.joined([reference.step().events for _ in range(1_000) if not reference.is_finished])
    )


@pytest.mark.slow
def test_a_session_adds_to_winners_leaves_in_parts_and_is_replayed_to_the_bit(
    tmp_path: Path, eager: Callable[[Settings], Settings]
) -> None:
    settings = eager(Settings(session=SessionConfig(hours=0.1, runs=str(tmp_path))))
    pyramid = PyramidParams(max_adds=2, trail_r=0.8, ask_every_s=1.0, cut_levels_r=(1.5,), cut_fracs=(0.3,))
    exits = replace(settings.decision.exits, take_profit_frac=0.01, stop_loss_frac=0.0003)
    settings = replace(
        settings,
        decision=replace(settings.decision, exits=exits),
        risk=replace(settings.risk, sizing=replace(settings.risk.sizing, max_adds=2, min_add_profit_r=0.2)),
        execution=replace(settings.execution, pyramid=pyramid),
    )
    result = run_local(plan_session(settings, RunRequest(mode="paper"), EventClock(START)))
    said = [entry.message for entry in read_facts(result.folder)]
    adds = [one for one in said if isinstance(one, Approved) and one.intent.seq >= FIRST_ADD]
    assert adds
    for add in adds:
        steps = [one for one in said if isinstance(one, OrderChanged) and one.order.intent_seq == add.intent.seq]
        assert steps[-1].status == "filled"
        (stop,) = (
            one
            for one in said
            if isinstance(one, OrderChanged)
            and (one.order.trigger, one.status, one.order.purpose) == (add.intent.stop, "open", "stop_loss")
            and one.ts <= steps[0].ts
        )
        assert stop.order.lots > 0
    lots: dict[int, int] = {}
    for one in said:
        if isinstance(one, Fill):
            lots[one.instrument] = lots.get(one.instrument, 0) + one.side * one.lots
    assert set(lots.values()) == {0}
    assert replay(result.folder).difference is None


def test_a_stage_that_is_started_anew_loads_no_database_and_no_simulator_of_venues() -> None:
    # each of them is a tenth of the time until it works again
    names = "{'sqlalchemy', 'alembic', 'spyhop.venuesim.options'}"
    code = f"import sys, spyhop.wiring.nodes; print({names} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
