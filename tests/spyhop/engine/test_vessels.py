from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from spyhop.clock import NS_PER_S
from spyhop.engine import vessels
from spyhop.engine.edges import Parcel, Position, Receipt
from spyhop.engine.feed_node import FeedOutput
from spyhop.engine.feeds import ArrayFeed
from spyhop.engine.streams import END_OF_TIME
from spyhop.engine.vessels import (
    RECORDS_DECODER,
    DecisionVessel,
    FeedVessel,
    Messages,
    OrderVessel,
    RiskVessel,
    Vessel,
    has_decision,
)
from spyhop.errors import StorageFailed
from spyhop.model.entries import Entry
from spyhop.model.rows import RowFlag, Rows
from spyhop.model.tape import EVENT, Events

Deliver = Callable[..., Receipt]


def parcel(watermark: int, messages: Any = ()) -> bytes:
    """Encode an array, or a list of messages, as a node does."""
    if isinstance(messages, np.ndarray):
        payload = messages.tobytes()
    else:
        payload = msgspec.msgpack.encode(messages) if messages else b""
    return msgspec.msgpack.encode(Messages(watermark, len(messages), payload))


def durable(parcel: Parcel) -> Receipt:
    """Return what a receiver answers that has kept `parcel` for good."""
    position = Position(parcel.end, parcel.watermark)
    return Receipt(position, position)


def receipt(wanted: tuple[int, int], durable: tuple[int, int] = (0, 0)) -> Receipt:
    return Receipt(Position(*wanted), Position(*durable))


def offered(vessel: Vessel, edge: str) -> list[tuple[int, Messages]]:
    """Take and acknowledge what an edge offers."""
    taken = []
    while (found := vessel.next_parcel(edge)) is not None:
        taken.append((found.first, msgspec.msgpack.decode(found.data, type=Messages)))
        vessel.outboxes[edge].acknowledge(durable(found))
    return taken


def entries_of(vessel: Vessel, *, are_durable: bool = True) -> list[Entry]:
    """Take what a vessel has for the ledger."""
    entries = []
    while (found := vessel.next_parcel("records")) is not None:
        entries += RECORDS_DECODER.decode(found.data).entries
        kept = Receipt.of_records(found.first)
        vessel.outboxes["records"].acknowledge(kept if are_durable else Receipt(kept.wanted, Position()))
    return entries


def feed_vessel(make: Any, num_batches: int, keep: Callable[[FeedOutput], None] = lambda output: None) -> FeedVessel:
    batches = [make.events(number * NS_PER_S) for number in range(1, num_batches + 1)]
    return FeedVessel(make.feed_node("a", 0, ArrayFeed(batches)), keep)


def test_a_vessel_whose_receiver_is_silent_becomes_congested_and_free_again(make: Any) -> None:
    vessel = feed_vessel(make, 400)
    num_steps = 0
    while not vessel.is_congested:
        vessel.produce()
        num_steps += 1
    assert num_steps == vessel.outboxes["tape"].limit
    assert len(vessel.outboxes["rows"]) == num_steps - 1  # the first row said all that the promise before it did
    last, first = END_OF_TIME, NS_PER_S
    vessel.outboxes["tape"].acknowledge(receipt((num_steps, last)))
    vessel.outboxes["rows"].acknowledge(receipt((num_steps, last), (num_steps, last)))
    assert vessel.is_congested  # sent, but the other side may still die
    vessel.outboxes["tape"].acknowledge(receipt((num_steps, last), (num_steps, first)))
    assert not vessel.is_congested
    assert vessel.statistics()["unsent"] == num_steps - 1


def test_a_tape_is_kept_before_it_is_offered_and_not_offered_when_it_cannot_be(make: Any) -> None:
    kept: list[Events] = []
    vessel = feed_vessel(make, 3, lambda output: kept.append(output.events))
    output = vessel.produce()
    assert np.array_equal(kept[0], output.events)
    ((number, messages),) = offered(vessel, "tape")
    assert (number, messages.watermark) == (0, NS_PER_S)
    assert np.array_equal(np.frombuffer(messages.payload, EVENT), kept[0])

    def refuse(output: FeedOutput) -> None:
        raise StorageFailed("tape", "No space left on device")

    full = feed_vessel(make, 3, refuse)
    with pytest.raises(StorageFailed):
        full.produce()
    assert full.next_parcel("tape") is None
    assert full.next_parcel("rows") is None


def test_a_feed_is_finished_once_the_end_of_time_was_promised_and_sent(make: Any) -> None:
    vessel = feed_vessel(make, 2)
    while not vessel.node.is_finished:
        vessel.produce()
    assert not vessel.is_finished
    assert offered(vessel, "tape")[-1][1].watermark == END_OF_TIME
    assert not vessel.is_finished
    assert offered(vessel, "rows")[-1][1].watermark == END_OF_TIME
    assert vessel.is_finished


def test_a_feed_that_is_drained_promises_the_end_of_time(make: Any) -> None:
    vessel = feed_vessel(make, 9)
    vessel.produce()
    assert vessel.produce(drain=True).is_finished
    assert offered(vessel, "tape")[-1][1].watermark == END_OF_TIME


def test_a_repeat_and_a_parcel_that_is_too_early_change_nothing(make: Any) -> None:
    vessel = DecisionVessel(make.decision_node(), ["a"])
    first = parcel(11, make.row(10, flags=RowFlag.SECOND))
    assert vessel.receive("rows:a", 1, parcel(21)) == receipt((0, 0))
    assert vessel.receive("rows:a", 0, first) == receipt((1, 11))
    assert vessel.receive("rows:a", 0, first) == receipt((1, 11))
    assert vessel.since_checkpoint == 1
    assert vessel.node.statistics()["told"] == 1
    vessel.checkpoint()
    vessel.receive("rows:a", 1, parcel(21))
    vessel.checkpointed()
    # what came after the checkpoint is not in it
    assert vessel.receipt("rows:a") == receipt((1, 21), (1, 11))
    assert vessel.since_checkpoint == 1
    vessel.checkpointed()
    assert vessel.since_checkpoint == 1


def test_only_a_feed_ahead_of_the_slowest_is_told_to_wait(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vessels, "MAX_ROWS_AHEAD", 3)
    monkeypatch.setattr(vessels, "MAX_EVENTS_AHEAD", 3)
    decision = DecisionVessel(make.decision_node(["a", "b"]), ["a", "b"])
    order = OrderVessel(make.order_node(["a", "b"]), ["a", "b"])
    for number in range(4):
        assert not decision.is_ahead("rows:a")
        assert not order.is_ahead("tape:a")
        decision.receive("rows:a", number, parcel(number + 2, make.row(number + 1)))
        order.receive("tape:a", number, parcel(number + 2, make.events(number + 1)))
    for vessel, edge in ((decision, "rows"), (order, "tape")):
        assert vessel.is_ahead(f"{edge}:a")
        assert not vessel.is_ahead(f"{edge}:b")
    assert not decision.is_ahead("facts")
    assert not order.is_ahead("approved")
    decision.receive("rows:b", 0, parcel(5))
    order.receive("tape:b", 0, parcel(5))
    order.receive("approved", 0, parcel(5))
    assert not decision.is_ahead("rows:a")
    assert not order.is_ahead("tape:a")


def decided(make: Any) -> DecisionVessel:
    """Return a vessel that has one intent to send, and the records that it follows from."""
    vessel = DecisionVessel(make.decision_node(), ["a"])
    vessel.receive("facts", 0, parcel(50))
    vessel.receive("rows:a", 0, parcel(11, make.row(10)))
    return vessel


def test_an_approval_leaves_only_when_its_verdict_is_durable_not_when_it_is_sent(make: Any) -> None:
    vessel = RiskVessel(make.risk_node())
    vessel.receive("facts", 0, parcel(50))
    vessel.receive("intents", 0, parcel(20, [make.intent(10)]))
    assert vessel.next_parcel("approved") is None
    assert [type(entry.message).__name__ for entry in entries_of(vessel, are_durable=False)] == ["Approved"]
    assert vessel.next_parcel("approved") is None
    vessel.outboxes["records"].acknowledge(Receipt.of_records(0))
    assert len(offered(vessel, "approved")) == 1


def test_an_intent_does_not_wait_for_the_ledger(make: Any) -> None:
    vessel = decided(make)
    (sent,) = offered(vessel, "intents")
    assert sent[1].watermark == 11
    assert msgspec.msgpack.decode(sent[1].payload)[0]["ts"] == 10


def test_records_carry_the_judged_rows_and_their_probabilities(make: Any) -> None:
    found = decided(make).next_parcel("records")
    assert found is not None
    rows, probabilities = RECORDS_DECODER.decode(found.data).arrays()
    assert rows["ts"].tolist() == [10]
    assert probabilities.shape == (1, 23)
    assert probabilities.sum() == pytest.approx(1.0)


def test_a_checkpoint_keeps_what_was_not_acknowledged_and_offers_it_again(make: Any) -> None:
    vessel = decided(make)
    checkpoint = vessel.checkpoint()
    copy = DecisionVessel(make.decision_node(), ["a"])
    copy.restore(checkpoint)
    assert copy.receipt("rows:a") == receipt((1, 11), (1, 11))
    assert copy.receipt("facts") == receipt((0, 50), (0, 50))
    assert copy.next_parcel("records") == vessel.next_parcel("records")
    assert entries_of(copy) == entries_of(vessel)
    assert copy.next_parcel("intents") == vessel.next_parcel("intents") is not None
    assert offered(copy, "intents") == offered(vessel, "intents")
    again = parcel(21, make.row(20))
    assert copy.receive("rows:a", 0, parcel(11, make.row(10))) == receipt((1, 11), (1, 11))  # a repeat
    copy.receive("rows:a", 1, again)
    vessel.receive("rows:a", 1, again)
    assert entries_of(copy) == entries_of(vessel) != []


def test_the_same_promise_is_not_sent_twice(make: Any) -> None:
    vessel = RiskVessel(make.risk_node())
    vessel.receive("intents", 0, parcel(10))
    vessel.receive("facts", 0, parcel(5))
    vessel.receive("facts", 0, parcel(6))
    assert [messages.watermark for _, messages in offered(vessel, "approved")] == [10]


def test_facts_go_to_both_who_asked_for_them_behind_their_record(make: Any) -> None:
    vessel = OrderVessel(make.order_node(), ["a"])
    vessel.receive("tape:a", 0, parcel(20, make.events(1, 5)))
    vessel.receive("approved", 0, parcel(20, [make.approved(3)]))
    assert vessel.next_parcel("facts:risk") is None
    assert [entry.ts for entry in entries_of(vessel)] == [1, 3, 5]
    risk, decision = offered(vessel, "facts:risk"), offered(vessel, "facts:decision")
    assert risk == decision
    assert [one["ts"] for one in msgspec.msgpack.decode(risk[0][1].payload)] == [1, 3, 5]


def test_nodes_in_the_middle_are_finished_by_the_end_of_time_on_every_edge(make: Any) -> None:
    risk = RiskVessel(make.risk_node())
    risk.receive("facts", 0, parcel(END_OF_TIME))
    assert not risk.is_finished
    risk.receive("intents", 0, parcel(END_OF_TIME, [make.intent(10)]))
    assert not risk.is_finished
    assert len(entries_of(risk)) == 1
    assert not risk.is_finished
    assert offered(risk, "approved")[-1][1].watermark == END_OF_TIME
    assert risk.is_finished
    copy = RiskVessel(make.risk_node())
    copy.restore(risk.checkpoint())
    assert copy.is_finished


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        (RowFlag.ANALYSIS, True),
        (RowFlag.SHARP | RowFlag.SECOND, True),
        (RowFlag.END, True),
        (RowFlag.SECOND, False),
        (RowFlag.BAR | RowFlag.SECOND, False),
    ],
)
def test_what_can_lead_to_an_intent_is_told_from_what_cannot(make: Any, flag: int, expected: bool) -> None:
    rows: Rows = np.concatenate([make.row(1, flags=RowFlag.SECOND), make.row(2, flags=flag)])
    output = FeedOutput(make.events(1), rows, 1, 1, is_finished=False)
    assert has_decision(output) is expected
    assert has_decision(output, RowFlag.SECOND)


@pytest.mark.parametrize(("deciding", "is_sent"), [(RowFlag.ANALYSIS, True), (RowFlag.BAR, False)])
def test_the_tape_leaves_with_the_rows_that_are_said_to_decide(make: Any, deciding: RowFlag, is_sent: bool) -> None:
    feed = make.feed_node("a", 0, ArrayFeed(small_batches(make, 150)))
    vessel = FeedVessel(feed, lambda output: None, NS_PER_S * 9, deciding=deciding)
    for _ in range(150):
        vessel.produce()  # rows of analysis, one a second
    assert (vessel.next_parcel("tape") is not None) is is_sent


def small_batches(make: Any, num: int) -> list[Events]:
    return [make.events(NS_PER_S + number * NS_PER_S // 100) for number in range(num)]


def merging_vessel(make: Any, batches: list[Events]) -> FeedVessel:
    return FeedVessel(make.feed_node("a", 0, ArrayFeed(batches)), lambda output: None, NS_PER_S // 10)


def test_small_batches_of_a_live_feed_travel_together_and_lose_nothing(make: Any) -> None:
    batches = small_batches(make, 1_000)
    vessel = merging_vessel(make, batches)
    while not vessel.produce().is_finished:
        pass
    sent = [messages for _, messages in offered(vessel, "tape")]
    assert 90 <= len(sent) <= 110
    kept = np.concatenate([np.frombuffer(messages.payload, EVENT) for messages in sent])
    assert kept[:-1].tobytes() == np.concatenate(batches).tobytes()
    assert sent[-1].watermark == END_OF_TIME


@pytest.mark.parametrize("cut", [0, 1, 7, 10, 11, 250, 999])
def test_a_merging_feed_that_was_killed_makes_the_same_parcels_again(make: Any, cut: int) -> None:
    batches = small_batches(make, 1_000)
    whole = merging_vessel(make, batches)
    while not whole.produce().is_finished:
        pass
    first = merging_vessel(make, batches)
    for _ in range(cut):
        first.produce()
    checkpoint = first.checkpoint()
    for _ in range(3):
        first.produce()  # and what it did after its checkpoint is lost
    second = merging_vessel(make, batches)
    second.restore(checkpoint)
    while not second.produce().is_finished:
        pass
    for edge in ("rows", "tape"):
        assert offered(second, edge) == offered(whole, edge)


def test_a_feed_told_to_drain_first_makes_again_what_its_tape_holds(make: Any) -> None:
    batches = small_batches(make, 20)
    made: list[FeedOutput] = []
    vessel = FeedVessel(make.feed_node("a", 0, ArrayFeed(batches)), made.append, num_kept=7)
    while not vessel.produce(drain=True).is_finished:
        pass
    events = np.concatenate([output.events for output in made])
    assert len(events) == 8
    assert events[:7].tobytes() == np.concatenate(batches[:7]).tobytes()
