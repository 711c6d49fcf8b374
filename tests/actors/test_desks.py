"""An order stage and its desks, each in a carrier of its own, joined as Ray joins them."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
import pytest

from actors.carrier import Carrier, Target
from actors.desks import TICK_S, desk_post, listener
from spyhop.clock import EventClock, WallClock
from spyhop.engine.edges import Receipt
from spyhop.engine.executors import ExecutorVessel, LiveOrderVessel
from spyhop.engine.mailbox import Mailbox
from spyhop.engine.nodes import OrderNode
from spyhop.engine.streams import END_OF_TIME
from spyhop.engine.vessels import Messages, Vessel
from spyhop.errors import StateError
from spyhop.model.orders import CancelOrder, Command, Fact, OrderAccepted, Report
from spyhop.model.tape import Events
from spyhop.model.verdicts import Approved, RiskStateChanged
from spyhop.storage.checkpoints import newest_checkpoint
from spyhop.venues.desk.heard import HeardLog, heard
from tests.actors.test_carrier import Far, until, wired

ACCOUNTS = ("one", "two")
LIFE: contextvars.ContextVar[Carrier | None] = contextvars.ContextVar("LIFE", default=None)
STARTED_BY: WeakKeyDictionary[asyncio.Task[Any], Carrier | None] = WeakKeyDictionary()


class Stage:
    """Sends one cancel for each report that it hears, named after it, to the instrument of it."""

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
                self.box.send(
                    CancelOrder(ts=report.ts, client_order_id=report.client_order_id, instrument=report.instrument)
                )

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode((self.told, self.box.snapshot()))

    def restore(self, snapshot: bytes) -> None:
        self.told, box = msgspec.msgpack.decode(snapshot, type=tuple[list[str], bytes])
        self.box.restore(box)

    def statistics(self) -> dict[str, float]:
        return {}


class Settable(EventClock):
    """A clock that may be set back, as that of a machine may."""

    def set_to(self, ts: int) -> None:
        self._now = ts


class Desk:
    """Keeps in memory what it takes and what it is told to have heard; its memory outlives a life of its post."""

    def __init__(self, instrument: int) -> None:
        self.instrument = instrument
        self.commands: list[Command] = []
        self.reports: list[Report] = []
        self.is_idle = True
        self.call: Callable[[], None] | None = None
        self.is_closed = False
        self.is_over = False

    async def run(self) -> None:
        await asyncio.Event().wait()

    @property
    def num_commands(self) -> int:
        return len(self.commands)

    def take(self, number: int, commands: Sequence[Command]) -> int:
        assert number <= len(self.commands)
        self.commands += commands[len(self.commands) - number :]
        return len(self.commands)

    def say(self, *names: str) -> None:
        # stamped by a clock that the stage's does not know
        self.reports += [
            OrderAccepted(ts=10**15, ts_venue=1, client_order_id=name, instrument=self.instrument) for name in names
        ]
        if self.call is not None:
            self.call()

    def on_report(self, call: Callable[[], None]) -> None:
        self.call = call

    def reports_since(self, number: int) -> list[Report]:
        return self.reports[number:]

    def end(self) -> None:
        self.is_over = True

    def statistics(self) -> dict[str, float]:
        return {"commands": float(len(self.commands))}

    async def close(self) -> None:
        self.is_closed = True


class Wire:
    """The handle of a carrier that may be dead, or live its second life."""

    def __init__(self) -> None:
        self.carrier: Carrier | None = None

    @property
    def receive(self) -> Wire:
        return self

    async def remote(self, edge: str, number: int, data: bytes) -> Receipt:
        if self.carrier is None:
            raise TimeoutError
        return await self.carrier.receive(edge, number, data)


class Room:
    """An order stage with two desks, each in a carrier of its own, any of which may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, Settable()
        self.desks = {name: Desk(number) for number, name in enumerate(ACCOUNTS)}
        self.wires = {name: Wire() for name in ("orders", *ACCOUNTS)}
        self.far = {name: Far() for name in ("facts:decision", "facts:risk", "records")}
        self.stage = Stage(Mailbox())

    def orders(self) -> Carrier:
        self.stage = Stage(Mailbox())
        stage: Any = self.stage

        def build() -> LiveOrderVessel:
            node = OrderNode(stage, ["x"], ACCOUNTS, self.stage.box)
            ears = {name: HeardLog(self.folder / name, self.now) for name in ACCOUNTS}
            return LiveOrderVessel(node, ["x"], dict(enumerate(ACCOUNTS)), ears)

        carrier = Carrier("orders", build, self.folder / "orders.bin", WallClock(), listener)
        leads = {f"commands:{name}": Target(self.wires[name], "commands") for name in ACCOUNTS}
        carrier.connect({**wired(**self.far), **leads})
        return carrier

    def executor(self, name: str) -> Carrier:
        path = self.folder / f"{name}.bin"
        carrier = Carrier(name, lambda: ExecutorVessel(self.desks[name]), path, WallClock(), desk_post)
        carrier.connect({"reports": Target(self.wires["orders"], f"heard:{name}")})
        return carrier

    @asynccontextmanager
    async def alive(self, name: str) -> AsyncIterator[Carrier]:
        """Let one live; what it started ends with it, and nothing of the others."""
        carrier = self.orders() if name == "orders" else self.executor(name)
        context = contextvars.copy_context()
        context.run(LIFE.set, carrier)
        life = asyncio.get_running_loop().create_task(carrier.run(), context=context)
        life.add_done_callback(lambda task: task.cancelled() or task.exception())
        await carrier.is_built.wait()
        self.wires[name].carrier = carrier
        try:
            yield carrier
        finally:
            self.wires[name].carrier = None
            # again and again, because before Python 3.12 `wait_for` may swallow a cancellation
            while left := {task for task in asyncio.all_tasks() if STARTED_BY.get(task) is carrier}:
                for task in left:
                    task.cancel()
                await asyncio.wait(left, timeout=0.05)

    async def let_time_pass(self, ts: int) -> None:
        self.now.advance(max(0, min(ts, 10**15) - self.now.now_ns()))
        carrier = self.wires["orders"].carrier
        assert carrier is not None
        for edge in ("tape:x", "approved"):
            await carrier.receive(edge, 0, msgspec.msgpack.encode(Messages(ts)))

    def vessel(self) -> LiveOrderVessel:
        carrier = self.wires["orders"].carrier
        assert carrier is not None
        assert isinstance(carrier.vessel, LiveOrderVessel)
        return carrier.vessel

    async def hears(self, *names: str) -> None:
        """Let time pass until the stage was told of these, in this order, and no more."""
        for _ in range(1_000):
            await self.let_time_pass(self.now.now_ns() + 5)
            if len(self.stage.told) >= len(names):
                break
            await asyncio.sleep(0.002)
        assert self.stage.told == list(names)


def owned(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
    """Make a task and note whose it is."""
    task = asyncio.Task(work, loop=loop, **more)
    context = more.get("context")
    STARTED_BY[task] = (context or contextvars.copy_context()).get(LIFE)
    return task


def names(commands: Sequence[Command]) -> list[str]:
    return [command.client_order_id for command in commands]


def played(scene: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        asyncio.get_running_loop().set_task_factory(owned)
        await asyncio.wait_for(scene(), 20)

    asyncio.run(bounded())


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_what_a_desk_hears_comes_to_the_stage_at_its_own_time_and_what_that_sends_to_the_desk(room: Room) -> None:
    async def scene() -> None:
        one, two = room.desks.values()
        async with room.alive("orders"), room.alive("one"), room.alive("two"):
            await room.let_time_pass(50)
            one.say("a")
            await until(lambda: room.vessel().receipt("heard:one").wanted.count == 1)
            assert room.stage.told == []  # 50 is not over
            await room.let_time_pass(60)
            assert room.stage.told == ["a"]
            two.say("b")
            await room.hears("a", "b")
            await until(lambda: (names(one.commands), names(two.commands)) == (["a"], ["b"]))
        assert one.is_closed
        assert [report.ts for report in heard(room.folder / "one")] == [50]

    played(scene)


def test_time_goes_on_where_nothing_is_heard_and_where_a_desk_is_dead(room: Room) -> None:
    async def scene() -> None:
        async with room.alive("orders"):
            await room.let_time_pass(50)
            assert room.vessel().node.watermark == 50
            room.now.set_to(40)
            await room.let_time_pass(80)
            assert room.vessel().node.watermark == 80

    played(scene)


def test_time_that_a_clock_tells_is_enough_to_go_on(room: Room) -> None:
    async def scene() -> None:
        async with room.alive("orders") as orders:
            for edge in ("tape:x", "approved"):
                await orders.receive(edge, 0, msgspec.msgpack.encode(Messages(50)))
            assert room.vessel().node.watermark == 0
            room.now.set_to(50)  # nothing arrives: the next tick tells the time
            await until(lambda: room.vessel().node.watermark == 50)

    played(scene)


def checkpoint_of(carrier: Carrier) -> Path:
    found = newest_checkpoint(carrier._checkpoint)
    assert found is not None
    return found[1]


def test_a_stage_that_comes_back_hears_the_same_at_the_same_times_and_no_command_counts_twice(room: Room) -> None:
    async def scene() -> None:
        one, two = room.desks.values()
        async with room.alive("one"), room.alive("two"):
            async with room.alive("orders") as orders:
                one.say("a")
                await room.hears("a")
                two.say("b")
                await room.hears("a", "b")
                await until(lambda: len(one.commands) == len(two.commands) == 1)
                file = checkpoint_of(orders)
                kept = file.read_bytes()
                one.say("c")
                await room.hears("a", "b", "c")
                await until(lambda: names(one.commands) == ["a", "c"])
                times = [report.ts for report in heard(room.folder / "one")]
            file.write_bytes(kept)  # as a kill before the next checkpoint leaves it
            two.say("d")
            room.now.advance(1_000)
            async with room.alive("orders"):
                await room.hears("a", "b", "c", "d")
                await until(lambda: names(two.commands) == ["b", "d"])
                assert names(one.commands) == ["a", "c"]
        assert [report.ts for report in heard(room.folder / "one")] == times

    played(scene)


@pytest.mark.parametrize("is_kept", [True, False])
def test_an_executor_that_comes_back_takes_what_it_missed_and_the_other_does_not_wait(
    room: Room, *, is_kept: bool
) -> None:
    async def scene() -> None:
        one, two = room.desks.values()
        async with room.alive("orders"), room.alive("one"):
            async with room.alive("two") as executor:
                two.say("a")
                await room.hears("a")
                await until(lambda: names(two.commands) == ["a"])
            two.say("b")  # by a venue, to nobody
            one.say("c")
            await room.hears("a", "c")
            await until(lambda: names(one.commands) == ["c"])
            if not is_kept:
                checkpoint_of(executor).unlink()
            async with room.alive("two"):
                await room.hears("a", "c", "b")
                await until(lambda: names(two.commands) == ["a", "b"])
        assert len(heard(room.folder / "two")) == 2

    played(scene)


def test_a_desk_whose_loop_stands_still_keeps_nobody_waiting(room: Room) -> None:
    class Stuck(Desk):
        async def run(self) -> None:
            self.is_idle = False
            await asyncio.Event().wait()

        def take(self, number: int, commands: Sequence[Command]) -> int:
            raise AssertionError("its executor takes nothing")

    async def scene() -> None:
        room.desks["two"] = Stuck(1)
        one = room.desks["one"]
        room.wires["two"].carrier = None  # no call is answered
        async with room.alive("orders"), room.alive("one"):
            one.say("a", "b")
            await room.hears("a", "b")
            await until(lambda: names(one.commands) == ["a", "b"])

    played(scene)


def test_the_end_is_promised_when_nothing_is_held_and_nothing_under_way_at_any_desk(room: Room) -> None:
    async def scene() -> None:
        one, two = room.desks.values()
        two.is_idle = False
        async with room.alive("orders"), room.alive("one") as first, room.alive("two") as second:
            await room.let_time_pass(END_OF_TIME)
            await asyncio.sleep(3 * TICK_S)
            assert not room.vessel().is_finished
            room.stage.is_idle = True
            await asyncio.sleep(3 * TICK_S)
            assert not room.vessel().is_finished
            assert not one.is_over
            two.is_idle = True
            await until(lambda: room.vessel().is_finished)
            # what they said from here on would be heard by a replay alone
            await until(lambda: one.is_over and two.is_over)
            await until(lambda: all(one.vessel is not None and one.vessel.is_finished for one in (first, second)))
            one.say("late")
            await asyncio.sleep(3 * TICK_S)
            assert heard(room.folder / "one") == []

    played(scene)


def test_a_command_that_is_not_over_holds_the_end_back(room: Room) -> None:
    async def scene() -> None:
        one, two = room.desks.values()
        room.stage.is_idle = True
        async with room.alive("orders"), room.alive("two"):
            room.stage.is_idle = True
            await room.let_time_pass(END_OF_TIME)
            # the desk that never came has said nothing of what it does
            await asyncio.sleep(3 * TICK_S)
            assert not room.vessel().is_finished
            async with room.alive("one"):
                await until(lambda: room.vessel().is_finished)
        assert not one.commands
        assert not two.commands

    played(scene)


def test_lives_that_begin_after_the_end_say_nothing(room: Room) -> None:
    async def scene() -> None:
        async with room.alive("orders") as orders, room.alive("one") as first, room.alive("two"):
            room.stage.is_idle = True
            await room.let_time_pass(END_OF_TIME)
            await until(lambda: first.vessel is not None and first.vessel.is_finished and room.vessel().is_finished)
            for carrier in (orders, first):
                assert carrier.vessel is not None
                await carrier._save(carrier.vessel)
        room.desks["one"] = late = Desk(0)
        async with room.alive("orders"), room.alive("one"):
            await until(lambda: late.is_over)
            late.say("late")
            await asyncio.sleep(3 * TICK_S)
            assert heard(room.folder / "one") == []

    played(scene)


@pytest.mark.slow
def test_an_executor_that_dies_behind_the_end_is_told_of_it_again(room: Room) -> None:
    async def scene() -> None:
        async with room.alive("orders"), room.alive("two"):
            async with room.alive("one") as first:
                room.stage.is_idle = True
                file = checkpoint_of(first)
                kept = file.read_bytes()
                await room.let_time_pass(END_OF_TIME)
                await until(lambda: first.vessel is not None and first.vessel.is_finished)
            file.write_bytes(kept)
            async with room.alive("one") as again:
                await until(lambda: again.vessel is not None and again.vessel.is_finished)

    played(scene)


def test_a_desk_that_fails_ends_the_life(room: Room) -> None:
    class Failing(Desk):
        async def run(self) -> None:
            raise OSError("the disk is gone")

    async def scene() -> None:
        room.desks["one"] = Failing(0)
        with pytest.raises(OSError, match="disk is gone"):
            await room.executor("one").run()

    played(scene)


def test_what_works_beside_a_vessel_knows_it() -> None:
    class Bare(Vessel):
        def __init__(self) -> None:
            self.outboxes = {}

    for join in (desk_post, listener):
        with pytest.raises(StateError, match="only"):
            join(Bare())
