from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_S
from spyhop.engine.nodes import DecisionNode, OrderNode, RiskNode
from spyhop.engine.streams import END_OF_TIME
from spyhop.model import tape
from spyhop.model.decisions import Decision, Intent
from spyhop.model.rows import ROW, RowFlag
from spyhop.model.verdicts import Approved, EpochBegan, Refused, RiskState

START = 1_764_288_000 * NS_PER_S
HOURS = 0.01


@pytest.mark.parametrize("flag", [RowFlag.ANALYSIS, RowFlag.SHARP, RowFlag.END])
def test_where_something_is_decided_every_earlier_fact_is_known_and_no_later_one(make: Any, flag: RowFlag) -> None:
    stage = make.Deciding()
    node = DecisionNode(stage, ["a"])
    node.rows.put("a", make.row(10, flags=flag), 11)
    node.facts.put([make.fact(3), make.fact(9)], 9)
    assert node.step().watermark == 10
    assert stage.told == []
    node.facts.put([make.fact(9), make.fact(10), make.fact(11)], 12)
    output = node.step()
    assert stage.told == [("fact", 3), ("fact", 9), ("fact", 9), ("row", 10)]
    assert output.watermark == 11
    assert len(output.probabilities) == len(output.rows) == 1


@pytest.mark.parametrize("flag", [RowFlag.SECOND, RowFlag.BAR])
def test_other_rows_wait_for_nobody(make: Any, flag: RowFlag) -> None:
    stage = make.Deciding()
    node = DecisionNode(stage, ["a"])
    node.rows.put("a", make.row(10, flags=flag), 11)
    assert node.step().rows["ts"].tolist() == [10]
    assert stage.told == [("row", 10)]


def test_what_may_be_decided_on_is_the_stage_s_word(make: Any) -> None:
    stage = make.Deciding()
    stage.decides = lambda row: row["ts"] == 20
    node = DecisionNode(stage, ["a"])
    rows = [make.row(10, flags=RowFlag.ANALYSIS), make.row(20, flags=RowFlag.SECOND), make.row(30)]
    node.rows.put("a", np.concatenate(rows), 31)
    node.facts.put([make.fact(5)], 6)
    assert node.step().rows["ts"].tolist() == [10]
    node.facts.put([], 20)
    assert node.step().rows["ts"].tolist() == [20, 30]
    assert stage.told == [("row", 10), ("fact", 5), ("row", 20), ("row", 30)]


def test_of_one_instant_what_leads_is_judged_first(make: Any) -> None:
    node = DecisionNode(make.Deciding(), ["a", "b", "c"], first=[2])
    node.facts.put([], 100)
    for feed, number in (("a", 0), ("b", 1), ("c", 2)):
        node.rows.put(feed, np.concatenate([make.row(10, number), make.row(20, number)]), 21)
    assert node.step().rows["instrument"].tolist() == [2, 0, 1, 2, 0, 1]


def test_rows_behind_one_that_waits_wait_too(make: Any) -> None:
    node = make.decision_node()
    plain = RowFlag.SECOND
    node.rows.put("a", np.concatenate([make.row(10), make.row(20, flags=plain), make.row(30, flags=plain)]), 31)
    assert len(node.step().rows) == 0
    assert node.statistics()["mailbox"] == 3
    node.facts.put([], 10)
    assert node.step().rows["ts"].tolist() == [10, 20, 30]


def test_rows_wait_for_the_slowest_feed_and_come_by_time_then_instrument(make: Any) -> None:
    node = make.decision_node(["b", "a"])
    node.facts.put([], 100)
    node.rows.put("b", make.row(10, 1), 11)
    assert len(node.step().rows) == 0
    node.rows.put("a", make.row(10, 0), 11)
    assert node.step().rows["instrument"].tolist() == [0, 1]


def test_entries_are_numbered_and_a_decision_comes_before_its_intent(make: Any) -> None:
    node = make.decision_node()
    node.facts.put([], 100)
    node.rows.put("a", np.concatenate([make.row(10), make.row(20)]), END_OF_TIME)
    output = node.step()
    assert [(type(entry.message), entry.ts, entry.stage, entry.seq) for entry in output.entries] == [
        (Decision, 10, "decision", 0),
        (Intent, 10, "decision", 1),
        (Decision, 20, "decision", 2),
        (Intent, 20, "decision", 3),
    ]
    assert [one.ts for one in output.intents] == [10, 20]


def test_at_the_end_the_last_facts_arrive_though_nothing_is_decided_any_more(make: Any) -> None:
    stage = make.Deciding()
    node = DecisionNode(stage, ["a"])
    node.rows.put("a", make.row(10), END_OF_TIME)
    node.facts.put([make.fact(12)], END_OF_TIME)
    assert node.step().watermark == END_OF_TIME
    assert stage.told == [("row", 10), ("fact", 12)]


def test_a_decision_node_restored_while_it_waits_goes_on(make: Any) -> None:
    node = make.decision_node(["a", "b"])
    node.facts.put([make.fact(5), make.fact(15)], 10)
    node.rows.put("a", np.concatenate([make.row(10), make.row(20), make.row(40)]), 41)
    node.rows.put("b", make.row(10, 1), 21)
    first = node.step()
    assert first.rows["instrument"].tolist() == [0, 1]
    copy = make.decision_node(["a", "b"])
    copy.restore(node.snapshot())
    for one in (node, copy):
        one.facts.put([], 100)
        one.rows.put("b", np.zeros(0, ROW), END_OF_TIME)
    ours, theirs = node.step(), copy.step()
    assert ours.entries == theirs.entries
    assert [entry.seq for entry in ours.entries] == [4, 5, 6, 7]
    assert copy.snapshot() == node.snapshot()


# risk


def test_an_intent_is_judged_once_earlier_facts_are_known_and_before_later_ones(make: Any) -> None:
    stage = make.Judging()
    node = RiskNode(stage)
    node.intents.put([make.intent(10), make.intent(11)], 15)
    node.facts.put([make.fact(9), make.fact(10)], 10)
    output = node.step()
    assert stage.told == [("fact", 9), ("intent", 10)]
    assert output.watermark == 11
    node.facts.put([], 11)
    output = node.step()
    assert stage.told[2:] == [("fact", 10), ("intent", 11)]
    assert (output.watermark, output.approved) == (15, [])


def test_a_refusal_is_an_entry_and_no_approval(make: Any) -> None:
    node = make.risk_node()
    node.facts.put([], 100)
    node.intents.put([make.intent(10), make.intent(11)], 15)
    output = node.step()
    assert [type(entry.message) for entry in output.entries] == [Approved, Refused]
    assert [one.ts for one in output.approved] == [10]


def test_epochs_begin_at_the_entries_that_they_name(make: Any) -> None:
    stage = make.Judging()
    node = RiskNode(stage)
    node.begin_epochs([EpochBegan(ts=0, epoch=3, at_seq=4)])
    node.begin_epochs([EpochBegan(ts=0, epoch=2, at_seq=1)])
    node.facts.put([], END_OF_TIME)
    node.intents.put([make.intent(ts) for ts in (10, 20, 30, 40)], END_OF_TIME)
    entries = node.step().entries
    kinds = [(entry.seq, entry.ts, type(entry.message).__name__) for entry in entries]
    assert kinds == [
        (0, 10, "Approved"),
        (1, 20, "EpochBegan"),
        (2, 20, "Approved"),
        (3, 30, "Approved"),
        (4, 40, "EpochBegan"),
        (5, 40, "Approved"),
    ]
    assert stage.told == [
        ("intent", 10),
        ("epoch", 2),
        ("intent", 20),
        ("intent", 30),
        ("epoch", 3),
        ("intent", 40),
    ]
    told = [entry.message for entry in entries if isinstance(entry.message, EpochBegan)]
    assert [(one.ts, one.epoch, one.at_seq) for one in told] == [(20, 2, 1), (40, 3, 4)]


def test_a_risk_node_restored_while_it_waits_goes_on(make: Any) -> None:
    node = make.risk_node()
    node.intents.put([make.intent(10), make.intent(20)], 25)
    node.facts.put([make.fact(5), make.fact(12)], 15)
    assert len(node.step().entries) == 1
    copy = make.risk_node()
    copy.restore(node.snapshot())
    for one in (node, copy):
        one.facts.put([], 30)
    ours, theirs = node.step(), copy.step()
    assert ours == theirs
    assert [entry.seq for entry in ours.entries] == [1]
    assert copy.snapshot() == node.snapshot()


# orders


def test_no_order_is_worked_beyond_what_approvals_promise(make: Any) -> None:
    stage = make.Ordering()
    node = OrderNode(stage, ["a"])
    node.tape.put("a", make.events(1, 2, 3, 4), 5)
    assert node.step().watermark == 0
    assert stage.told == []
    node.approved.put([], 3)
    output = node.step()
    assert stage.told == [("event", 1), ("event", 2), ("until", 3)]
    assert (output.watermark, [fact.ts for fact in output.facts]) == (3, [1, 2])
    assert node.step().facts == []
    assert len(stage.told) == 3


def test_an_approval_comes_behind_earlier_events_and_before_those_of_its_instant(make: Any) -> None:
    stage = make.Ordering()
    node = OrderNode(stage, ["a"])
    node.tape.put("a", make.events(1, 2, 2, 3), END_OF_TIME)
    node.approved.put([make.approved(2)], END_OF_TIME)
    node.step()
    events = [one for one in stage.told if one[0] != "until"]
    assert events == [("event", 1), ("approved", 2), ("event", 2), ("event", 2), ("event", 3)]


def test_a_fact_that_is_not_due_is_held_back(make: Any) -> None:
    node = make.order_node(delay=5)
    node.tape.put("a", make.events(1, 4, 6), 8)
    node.approved.put([], 7)
    output = node.step()
    assert [fact.ts for fact in output.facts] == [6]
    node.approved.put([], 11)
    node.tape.put("a", make.events(9), 11)
    output = node.step()
    assert [fact.ts for fact in output.facts] == [9]
    node.approved.put([], END_OF_TIME)
    node.tape.put("a", tape.empty(), END_OF_TIME)
    output = node.step()
    assert [fact.ts for fact in output.facts] == [11, 14]
    assert [(entry.seq, entry.message) for entry in output.entries] == list(enumerate(output.facts, 2))


@given(st.lists(st.integers(1, 30), max_size=20), st.lists(st.integers(1, 35), max_size=8), st.integers(0, 9))
def test_facts_and_their_numbers_do_not_depend_on_cuts_or_restarts(
    make: Any, stamps: list[int], cuts: list[int], delay: int
) -> None:
    events, approvals = make.events(*sorted(stamps)), [make.approved(ts) for ts in (7, 8, 21)]
    node, entries = make.order_node(delay=delay), []
    low = 0
    for cut in [*sorted(cuts), 100]:
        is_now = (events["ts_recv"] >= low) & (events["ts_recv"] < cut)
        node.tape.put("a", events[is_now], cut)
        node.approved.put([one for one in approvals if low <= one.ts < cut], cut)
        low = cut
        output = node.step()
        assert all(fact.ts < output.watermark for fact in output.facts)
        entries += output.entries
        snapshot = node.snapshot()
        node = make.order_node(delay=delay)
        node.restore(snapshot)
    whole = make.order_node(delay=delay)
    whole.tape.put("a", events, 100)
    whole.approved.put(approvals, 100)
    assert entries == whole.step().entries
    assert len(entries) == len(stamps) + 3


def test_an_approval_waits_for_what_lies_before_it_and_for_no_promise_about_its_own_instant(make: Any) -> None:
    stage = make.Ordering()
    node = OrderNode(stage, ["a"])
    node.tape.put("a", make.events(1, 2), 1)
    node.approved.put([make.approved(2)], 0)
    node.step()
    assert ("approved", 2) not in stage.told
    node.tape.put("a", tape.empty(), 2)
    output = node.step()
    assert ("approved", 2) in stage.told
    assert ("event", 2) not in stage.told
    assert (output.watermark, [fact.ts for fact in output.facts]) == (2, [1, 2])
    node.approved.put([make.approved(2)], 3)
    node.tape.put("a", tape.empty(), 3)
    assert [fact.ts for fact in node.step().facts] == [2, 2]
    assert stage.told[-2:] == [("event", 2), ("until", 3)]


@given(
    st.lists(st.integers(1, 12), max_size=12),
    st.lists(st.integers(1, 12), max_size=5),
    st.lists(st.tuples(st.booleans(), st.integers(0, 14)), max_size=12),
    st.integers(0, 4),
)
def test_it_does_not_matter_how_far_each_input_is_known(
    make: Any, stamps: list[int], tickets: list[int], known: list[tuple[bool, int]], delay: int
) -> None:
    events, approvals = make.events(*sorted(stamps)), [make.approved(ts) for ts in sorted(tickets)]
    node, entries, sent, told = make.order_node(delay=delay), [], 0, 0
    for is_tape, upto in [*known, (True, 30), (False, 30)]:
        if is_tape:
            now = events[sent : int(np.searchsorted(events["ts_recv"], upto, side="right"))]
            sent += len(now)
            node.tape.put("a", now, max(upto, node.tape.watermark))
        else:
            # the tickets of an instant leave before the promise that covers it
            now = [one for one in approvals[told:] if one.ts <= upto]
            told += len(now)
            node.approved.put(now, max(upto, node.approved.watermark))
        entries += node.step().entries
        snapshot = node.snapshot()
        node = make.order_node(delay=delay)
        node.restore(snapshot)
    whole = make.order_node(delay=delay)
    whole.tape.put("a", events, 30)
    whole.approved.put(approvals, 30)
    assert entries == whole.step().entries


def test_what_the_supervisor_says_of_itself_is_told_at_the_wish_and_goes_on_to_the_order_stage(make: Any) -> None:
    node: RiskNode = make.risk_node()
    node.facts.put([], 30)
    # the toy dates what it says before the wish: by then the promise about that moment has been given
    node.intents.put([make.observed(11), make.intent(20), make.observed(20)], 25)
    output = node.step()
    assert [(entry.ts, type(entry.message).__name__) for entry in output.entries] == [
        (11, "RiskStateChanged"),
        (20, "Approved"),
        (20, "RiskStateChanged"),
    ]
    assert [(ticket.ts, getattr(ticket, "state", "")) for ticket in output.approved] == [
        (11, RiskState.HALT),
        (20, ""),
        (20, RiskState.CAN_TRADE),
    ]
    stage = make.Ordering()
    order = OrderNode(stage, ["a"])
    order.tape.put("a", make.events(5, 15), 30)
    order.approved.put(output.approved, 25)
    order.step()
    assert [told for told in stage.told if told[0] != "until"] == [
        ("event", 5),
        ("halt", 11),
        ("event", 15),
        ("approved", 20),
        ("can_trade", 20),
    ]
