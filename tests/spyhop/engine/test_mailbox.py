from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.engine.edges import Receipt
from spyhop.engine.mailbox import Mailbox
from spyhop.engine.nodes import OrderNode
from spyhop.engine.streams import END_OF_TIME
from spyhop.engine.vessels import Messages, OrderVessel
from spyhop.errors import OutOfOrder
from spyhop.model import tape
from spyhop.model.orders import CancelOrder, Command, Fact, OrderAccepted, OrderCancelled, Report
from spyhop.model.tape import Events, Kind
from spyhop.model.verdicts import Approved, RiskStateChanged


def accepted(ts: int, name: str = "a", instrument: int = 0) -> OrderAccepted:
    return OrderAccepted(ts=ts, ts_venue=ts, client_order_id=name, instrument=instrument)


def ticks(*stamps: int) -> Events:
    return tape.joined([tape.event(Kind.TRADE, ts) for ts in stamps]) if stamps else tape.empty()


def heard(box: Mailbox, events: Events, until: int) -> list[tuple[int, list[str]]]:
    """Walk a mailbox to `until` and return, for each stop, how far the tape is and whose reports were heard."""
    stops, at = [], 0
    while True:
        at, reports = box.advance(events, at, until)
        if not reports:
            assert at == sum(event["ts_recv"] < until for event in events)
            return stops
        stops.append((at, [report.client_order_id for report in reports if not isinstance(report, Fact)]))


def test_reports_are_heard_at_their_time_behind_the_tape_of_that_instant() -> None:
    box = Mailbox()
    box.put([accepted(5, "a"), accepted(5, "b"), accepted(9, "c"), accepted(20, "d")])
    assert heard(box, ticks(1, 5, 5, 6, 9, 11), 20) == [(3, ["a", "b"]), (5, ["c"])]
    assert heard(box, ticks(), 21) == [(0, ["d"])]


@given(st.lists(st.integers(1, 30), max_size=12).map(sorted), st.lists(st.integers(1, 31), max_size=4).map(sorted))
def test_wherever_time_is_cut_the_same_is_heard(stamps: list[int], cuts: list[int]) -> None:
    whole, pieces = Mailbox(), Mailbox()
    for box in (whole, pieces):
        box.put([accepted(ts, str(n)) for n, ts in enumerate(stamps)])
    expected = [names for _, names in heard(whole, ticks(), 31)]
    told = []
    for cut in [*cuts, 31]:
        copy = Mailbox()
        copy.restore(pieces.snapshot())
        pieces = copy
        told += [names for _, names in heard(pieces, ticks(), cut)]
    assert told == expected


class Echo:
    """A stage that answers each approval with a command, and tells which reports it heard."""

    def __init__(self, box: Mailbox) -> None:
        self.box = box
        self.told: list[tuple[str, int]] = []

    is_idle = True

    def on_risk_state(self, changed: RiskStateChanged) -> list[Fact]:
        return []

    def on_approved(self, approved: Approved) -> list[Fact]:
        self.box.send(
            CancelOrder(ts=approved.ts, client_order_id=str(approved.seq), instrument=approved.intent.instrument)
        )
        return []

    def advance(self, events: Events, until: int) -> list[Fact]:
        at = 0
        while True:
            at, reports = self.box.advance(events, at, until)
            if not reports:
                return []
            self.told += [
                (report.client_order_id, report.ts) for report in reports if isinstance(report, OrderAccepted)
            ]

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode((self.told, self.box.snapshot()))

    def restore(self, snapshot: bytes) -> None:
        self.told, box = msgspec.msgpack.decode(snapshot, type=tuple[list[tuple[str, int]], bytes])
        self.box.restore(box)

    def statistics(self) -> dict[str, float]:
        return {}


def live_vessel() -> tuple[OrderVessel, Echo]:
    box = Mailbox()
    stage: Any = Echo(box)
    return OrderVessel(OrderNode(stage, ["x"], ["one", "two"], box), ["x"], {0: "one", 1: "two"}), stage


def said(watermark: int, messages: Any = ()) -> bytes:
    payload = msgspec.msgpack.encode(messages) if messages else b""
    return msgspec.msgpack.encode(Messages(watermark, len(messages), payload))


def test_time_waits_for_the_reports_of_every_account(make: Any) -> None:
    vessel, stage = live_vessel()
    vessel.receive("approved", 0, said(30))
    vessel.receive("tape:x", 0, said(30))
    vessel.receive("reports:one", 0, said(12, [accepted(3, "a"), accepted(11, "c")]))
    assert stage.told == []
    vessel.receive("reports:two", 0, said(12, [accepted(7, "b", 1)]))
    assert stage.told == [("a", 3), ("b", 7), ("c", 11)]


def test_commands_leave_to_the_account_of_their_instrument_behind_their_records(make: Any) -> None:
    vessel, _ = live_vessel()
    for edge in ("tape:x", "reports:one", "reports:two"):
        vessel.receive(edge, 0, said(30))
    vessel.receive("approved", 0, said(30, [make.approved(3)]))
    parcel = vessel.next_parcel("commands:one")
    assert parcel is not None
    messages = msgspec.msgpack.decode(parcel.data, type=Messages)
    (command,) = msgspec.msgpack.decode(messages.payload, type=list[Command])
    assert isinstance(command, CancelOrder)
    assert vessel.next_parcel("commands:two") is None


def test_a_command_waits_until_what_was_said_before_it_is_durable(make: Any) -> None:
    vessel, _ = live_vessel()
    vessel.outboxes["records"].put(b"the ledger has not answered yet", count=1)
    for edge in ("tape:x", "reports:one", "reports:two"):
        vessel.receive(edge, 0, said(30))
    vessel.receive("approved", 0, said(30, [make.approved(3)]))
    assert vessel.next_parcel("commands:one") is None
    vessel.outboxes["records"].acknowledge(Receipt.of_records(0))
    assert vessel.next_parcel("commands:one") is not None


def test_a_live_order_node_goes_on_from_its_snapshot() -> None:
    vessel, _ = live_vessel()
    vessel.receive("reports:one", 0, said(12, [accepted(3, "a"), accepted(11, "c")]))
    vessel.receive("reports:two", 0, said(5))
    vessel.receive("tape:x", 0, said(10))
    vessel.receive("approved", 0, said(10))
    copy, stage = live_vessel()
    copy.restore(vessel.checkpoint())
    assert stage.told == [("a", 3)]
    assert copy.receive("reports:two", 0, said(40)).wanted.watermark == 40
    assert stage.told == [("a", 3)]
    copy.receive("tape:x", 0, said(40))
    copy.receive("approved", 0, said(40))
    assert stage.told == [("a", 3), ("c", 11)]


def test_a_live_session_ends_only_when_its_accounts_end() -> None:
    vessel, _ = live_vessel()
    vessel.receive("tape:x", 0, said(END_OF_TIME))
    vessel.receive("approved", 0, said(END_OF_TIME))
    vessel.receive("reports:one", 0, said(END_OF_TIME))
    assert not vessel.is_finished
    vessel.receive("reports:two", 0, said(END_OF_TIME))
    for edge, outbox in vessel.outboxes.items():
        while (parcel := vessel.next_parcel(edge)) is not None:
            at = Receipt.of_records(parcel.first).wanted
            known = msgspec.structs.replace(at, count=parcel.end, watermark=parcel.watermark)
            outbox.acknowledge(Receipt(known, known))
    assert vessel.is_finished


def test_a_report_before_what_was_promised_is_refused() -> None:
    vessel, _ = live_vessel()
    vessel.receive("reports:one", 0, said(12))
    late: list[Report] = [
        OrderCancelled(ts=11, ts_venue=0, client_order_id="a", instrument=0, lots_left=1),
    ]
    with pytest.raises(OutOfOrder, match="reports:one"):
        vessel.receive("reports:one", 0, said(13, late))
