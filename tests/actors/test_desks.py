from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.carrier import Carrier
from actors.desks import DeskPost
from spyhop.clock import WallClock
from spyhop.engine.mailbox import Mailbox
from spyhop.engine.nodes import OrderNode
from spyhop.engine.streams import END_OF_TIME
from spyhop.engine.vessels import Messages, OrderVessel, Vessel
from spyhop.model.orders import CancelOrder, Command, Fact, OrderAccepted, Report
from spyhop.model.tape import Events
from spyhop.model.verdicts import Approved, RiskStateChanged
from tests.actors.test_carrier import Far, living, until, wired


class Stage:
    """Sends one cancel for each report that it hears, named after it."""

    def __init__(self, box: Mailbox) -> None:
        self.box = box
        self.told: list[str] = []
        self.is_idle = False

    def on_approved(self, approved: Approved) -> list[Fact]:
        return []

    def on_risk_state(self, changed: RiskStateChanged) -> list[Fact]:
        return []

    def advance(self, events: Events, until: int) -> list[Fact]:
        at = 0
        while True:
            at, reports = self.box.advance(events, at, until)
            if not reports:
                return []
            for report in reports:
                assert isinstance(report, OrderAccepted)
                self.told.append(report.client_order_id)
                self.box.send(CancelOrder(ts=report.ts, client_order_id=report.client_order_id, instrument=0))

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode((self.told, self.box.snapshot()))

    def restore(self, snapshot: bytes) -> None:
        self.told, box = msgspec.msgpack.decode(snapshot, type=tuple[list[str], bytes])
        self.box.restore(box)

    def statistics(self) -> dict[str, float]:
        return {}


class Desk:
    """Keeps in memory what it takes and what it is told to have heard; its memory outlives a life of its post."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.reports: list[Report] = []
        self.now = 0
        self.is_idle = True
        self.call: Callable[[], None] | None = None
        self.is_closed = False
        self.is_over = False

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def take(self, number: int, commands: Sequence[Command]) -> int:
        self.commands += commands[len(self.commands) - number :]
        return len(self.commands)

    def hear(self, ts: int, name: str) -> None:
        self.now = ts
        self.reports.append(OrderAccepted(ts=ts, ts_venue=ts, client_order_id=name, instrument=0))
        if self.call is not None:
            self.call()

    def on_report(self, call: Callable[[], None]) -> None:
        self.call = call

    def reports_since(self, number: int) -> list[Report]:
        return self.reports[number:]

    def promise(self, at_least: int) -> int:
        return max(self.now, at_least)

    def end(self) -> None:
        self.is_over = True

    def statistics(self) -> dict[str, float]:
        return {}

    async def close(self) -> None:
        self.is_closed = True


class Room:
    """A carrier with an order vessel, a desk beside it, and the far ends of its other edges."""

    def __init__(self, folder: Path, desk: Desk) -> None:
        self.stage = Stage(Mailbox())
        stage: Any = self.stage
        self.far = {name: Far() for name in ("facts:decision", "facts:risk", "records")}

        def build() -> OrderVessel:
            return OrderVessel(OrderNode(stage, ["x"], ["one"], self.stage.box), ["x"], {0: "one"})

        def join(vessel: Vessel) -> list[DeskPost]:
            assert isinstance(vessel, OrderVessel)
            return [DeskPost("one", desk, vessel, WallClock())]

        self.carrier = Carrier("executor", build, folder / "executor.bin", WallClock(), join)
        self.carrier.connect(wired(**self.far))
        self.numbers = dict.fromkeys(("tape:x", "approved"), 0)

    async def let_time_pass(self, ts: int) -> None:
        for edge in self.numbers:
            await self.carrier.receive(edge, 0, msgspec.msgpack.encode(Messages(ts)))


def names(commands: Sequence[Command]) -> list[str]:
    return [command.client_order_id for command in commands]


def played(scene: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scene(), 20)

    asyncio.run(bounded())


def test_what_a_desk_hears_comes_to_the_stage_and_what_the_stage_sends_to_the_desk(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk()
        room = Room(tmp_path, desk)
        async with living(room.carrier):
            desk.hear(5, "a")
            await room.let_time_pass(50)
            assert room.stage.told == []  # 5 is not over for a desk whose clock stands there
            desk.hear(60, "b")
            await until(lambda: names(desk.commands) == ["a"])
            await room.let_time_pass(100)
            desk.now = 100
            await until(lambda: names(desk.commands) == ["a", "b"])
        assert desk.is_closed

    played(scene)


def test_time_that_a_desk_tells_is_enough_to_go_on(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk()
        room = Room(tmp_path, desk)
        async with living(room.carrier):
            await room.let_time_pass(50)
            desk.now = 80  # nothing arrives and nothing is heard: the next tick tells the time
            vessel = room.carrier.vessel
            assert isinstance(vessel, OrderVessel)
            await until(lambda: vessel.node.watermark == 50)

    played(scene)


def test_a_new_life_hears_again_what_its_checkpoint_had_not_and_no_command_counts_twice(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk()
        first = Room(tmp_path, desk)
        async with living(first.carrier):
            desk.hear(5, "a")
            desk.hear(60, "b")
            await first.let_time_pass(50)
            await until(lambda: names(desk.commands) == ["a"])
            kept = first.carrier._checkpoint.read_bytes()
            desk.hear(99, "c")
            await first.let_time_pass(90)
            await until(lambda: names(desk.commands) == ["a", "b"])
        first.carrier._checkpoint.write_bytes(kept)  # as a kill before the next checkpoint leaves it
        second = Room(tmp_path, desk)
        async with living(second.carrier):
            desk.now = 200
            await second.let_time_pass(150)
            await until(lambda: names(desk.commands) == ["a", "b", "c"])
            assert second.stage.told == ["a", "b", "c"]

    played(scene)


def test_the_end_is_promised_when_nothing_is_held_and_nothing_under_way(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk()
        room = Room(tmp_path, desk)
        async with living(room.carrier):
            desk.now = 70
            await room.let_time_pass(END_OF_TIME)
            vessel = room.carrier.vessel
            assert isinstance(vessel, OrderVessel)
            await asyncio.sleep(0.1)
            assert not vessel.is_finished
            room.stage.is_idle = True
            desk.is_idle = False
            await asyncio.sleep(0.1)
            assert not vessel.is_finished
            assert not desk.is_over
            desk.is_idle = True
            await until(lambda: vessel.is_finished)
            # what it said from here on would be heard by a replay alone
            assert desk.is_over

    played(scene)


def test_a_life_that_begins_after_the_end_says_nothing(tmp_path: Path) -> None:
    async def scene() -> None:
        room = Room(tmp_path, Desk())
        async with living(room.carrier):
            room.stage.is_idle = True
            await room.let_time_pass(END_OF_TIME)
            await until(lambda: room.carrier.vessel is not None and room.carrier.vessel.is_finished)
            await room.carrier._save(room.carrier.vessel)
        late = Desk()
        second = Room(tmp_path, late)
        async with living(second.carrier):
            await until(lambda: late.is_over)

    played(scene)


def test_a_desk_that_fails_ends_the_life(tmp_path: Path) -> None:
    class Failing(Desk):
        async def run(self) -> None:
            raise OSError("the disk is gone")

    async def scene() -> None:
        room = Room(tmp_path, Failing())
        with pytest.raises(OSError, match="disk is gone"):
            await room.carrier.run()

    played(scene)
