"""The order stage of a live session and its desks as vessels: what arrives when, what the end waits for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.engine.edges import Parcel
from spyhop.engine.executors import ExecutorVessel, LiveOrderVessel
from spyhop.engine.mailbox import Mailbox
from spyhop.engine.nodes import OrderNode
from spyhop.engine.streams import END_OF_TIME
from spyhop.engine.vessels import Messages
from spyhop.model.orders import CancelOrder, Command, OrderAccepted, Report
from tests.spyhop.engine.test_mailbox import Echo

ACCOUNTS = ("one", "two")


class Ear:
    """Hears at the time that it is told."""

    def __init__(self) -> None:
        self.heard: list[Report] = []
        self.now = 0
        self.is_over = False

    def hear(self, number: int, reports: Sequence[Report]) -> None:
        assert number <= len(self.heard)
        new = reports[len(self.heard) - number :]
        self.heard += [msgspec.structs.replace(report, ts=self.now) for report in new]

    def reports_since(self, number: int) -> list[Report]:
        return self.heard[number:]

    def promise(self, at_least: int) -> int:
        self.now = max(self.now, at_least)
        return self.now

    def end(self) -> None:
        self.is_over = True

    def close(self) -> None:
        self.is_over = True


class Desk:
    """Takes commands, and says what it is told to say."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.reports: list[Report] = []
        self.is_idle = True
        self.is_over = False

    @property
    def num_commands(self) -> int:
        return len(self.commands)

    def take(self, number: int, commands: Sequence[Command]) -> int:
        assert number <= len(self.commands)
        self.commands += commands[len(self.commands) - number :]
        return len(self.commands)

    def reports_since(self, number: int) -> list[Report]:
        return self.reports[number:]

    def on_report(self, call: Callable[[], None]) -> None: ...
    async def run(self) -> None: ...
    async def close(self) -> None: ...

    def end(self) -> None:
        self.is_over = True

    def statistics(self) -> dict[str, float]:
        return {"reports": float(len(self.reports))}


def report(name: str, instrument: int = 0) -> OrderAccepted:
    return OrderAccepted(ts=10**15, ts_venue=1, client_order_id=name, instrument=instrument)


def said(watermark: int, messages: Any = ()) -> bytes:
    payload = msgspec.msgpack.encode(messages) if messages else b""
    return msgspec.msgpack.encode(Messages(watermark, len(messages), payload))


def stage_vessel() -> tuple[LiveOrderVessel, Echo, dict[str, Ear]]:
    ears = {name: Ear() for name in ACCOUNTS}
    box = Mailbox()
    stage: Any = Echo(box)
    node = OrderNode(stage, ["x"], ACCOUNTS, box)
    return LiveOrderVessel(node, ["x"], dict(enumerate(ACCOUNTS)), ears), stage, ears


def test_an_order_waits_for_no_desk_and_a_report_counts_when_it_is_heard(make: Any) -> None:
    vessel, stage, ears = stage_vessel()
    for ear in ears.values():
        ear.now = 30
    vessel.receive("tape:x", 0, said(30))
    # neither desk has ever said anything
    vessel.receive("approved", 0, said(30, [make.approved(3)]))
    assert vessel.next_parcel("commands:one") is not None
    vessel.receive("heard:two", 0, said(1, [report("late", 1)]))
    assert stage.told == []
    for ear in ears.values():
        ear.now = 40
    vessel.receive("tape:x", 0, said(40))
    vessel.receive("approved", 1, said(40))
    assert stage.told == [("late", 30)]


def test_the_end_waits_until_every_desk_has_said_that_every_command_is_over(make: Any) -> None:
    vessel, stage, ears = stage_vessel()
    for ear in ears.values():
        ear.now = 30
    vessel.receive("approved", 0, said(END_OF_TIME, [make.approved(3)]))
    vessel.receive("tape:x", 0, said(END_OF_TIME))
    assert vessel.outboxes["commands:one"].next == 1
    vessel.receive("heard:one", 0, said(1))  # idle with no command yet
    vessel.receive("heard:two", 0, said(1))
    assert ears["two"].is_over
    assert not ears["one"].is_over
    vessel.receive("heard:one", 0, said(2, [report("a")]))
    assert ears["one"].is_over
    assert stage.told == [("a", 30)]
    assert vessel.node.watermark == END_OF_TIME


def sent(vessel: ExecutorVessel) -> tuple[Parcel, Messages]:
    parcel = vessel.next_parcel("reports")
    assert parcel is not None
    return parcel, msgspec.msgpack.decode(parcel.data, type=Messages)


def cancel(name: str) -> CancelOrder:
    return CancelOrder(ts=1, client_order_id=name, instrument=0)


def test_an_executor_says_what_its_desk_says_and_how_many_commands_are_over() -> None:
    desk = Desk()
    vessel = ExecutorVessel(desk)
    assert vessel.tell()
    assert sent(vessel)[1] == Messages(1)
    desk.is_idle = False
    vessel.receive("commands", 0, said(5, [cancel("a"), cancel("b")]))
    assert [one.client_order_id for one in desk.commands] == ["a", "b"]
    desk.reports.append(report("a"))
    assert vessel.tell()
    assert not vessel.tell()
    parcels = vessel.outboxes["reports"].snapshot()[1]
    assert [(one.end, one.watermark) for one in parcels][-1] == (1, 1)
    desk.is_idle = True
    assert vessel.tell()
    assert vessel.outboxes["reports"].snapshot()[1][-1].watermark == 3
    vessel.receive("commands", 2, said(END_OF_TIME))
    assert desk.is_over
    assert vessel.outboxes["reports"].snapshot()[1][-1].watermark == END_OF_TIME
    assert vessel.statistics()["reports"] == 1.0


def test_what_a_desk_has_taken_is_known_without_a_checkpoint_and_behind_an_old_one() -> None:
    desk = Desk()
    first = ExecutorVessel(desk)
    old = first.checkpoint()
    first.receive("commands", 0, said(5, [cancel("a")]))
    for again in (ExecutorVessel(desk), ExecutorVessel(desk)):
        assert again.receipt("commands").wanted.count == 1
    restored = ExecutorVessel(desk)
    restored.restore(old)
    assert restored.receipt("commands").wanted.count == restored.receipt("commands").durable.count == 1
    restored.receive("commands", 0, said(6, [cancel("a"), cancel("b")]))
    assert [one.client_order_id for one in desk.commands] == ["a", "b"]


@settings(deadline=None, max_examples=60)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["say", "carry", "lose", "kill stage", "kill desk", "keep"]), st.integers(1, 3)),
        max_size=30,
    )
)
def test_wherever_either_is_killed_every_report_is_heard_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    desk, ears = Desk(), {name: Ear() for name in ACCOUNTS}

    def new_stage() -> LiveOrderVessel:
        box = Mailbox()
        stage: Any = Echo(box)
        return LiveOrderVessel(OrderNode(stage, ["x"], ACCOUNTS, box), ["x"], dict(enumerate(ACCOUNTS)), ears)

    vessel, executor = new_stage(), ExecutorVessel(desk)
    kept = vessel.checkpoint(), executor.checkpoint()

    def carry(*, is_lost: bool = False) -> None:
        parcel = executor.next_parcel("reports")
        if parcel is None:
            return
        receipt = vessel.receive("heard:one", parcel.first, parcel.data)
        if is_lost:
            executor.outboxes["reports"].rewind()
        else:
            executor.outboxes["reports"].acknowledge(receipt)

    for what, count in steps:
        if what == "say":
            desk.reports += [report(f"r{len(desk.reports) + more}") for more in range(count)]
            executor.tell()
        elif what == "keep":
            kept = vessel.checkpoint(), executor.checkpoint()
            vessel.checkpointed()
            executor.checkpointed()
        elif what == "kill stage":
            vessel = new_stage()
            vessel.restore(kept[0])
            executor.outboxes["reports"].rewind()
        elif what == "kill desk":
            executor = ExecutorVessel(desk)
            executor.restore(kept[1])
            executor.tell()
        else:
            carry(is_lost=what == "lose")
    executor.outboxes["reports"].rewind()
    executor.tell()
    for _ in range(100):
        carry()
    assert [one.client_order_id for one in ears["one"].heard if isinstance(one, OrderAccepted)] == [
        one.client_order_id for one in desk.reports if isinstance(one, OrderAccepted)
    ]
