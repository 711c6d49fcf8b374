"""One carrier's life without Ray: the far ends are objects of this process that lose, repeat and come back older."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ray.exceptions import ActorUnavailableError, GetTimeoutError

from actors import carrier as carrier_module
from actors.carrier import Carrier, Target
from spyhop.clock import NS_PER_S, EventClock, WallClock
from spyhop.engine.edges import Inlet, Position, Receipt
from spyhop.engine.feed_node import FeedOutput
from spyhop.engine.streams import END_OF_TIME
from spyhop.engine.vessels import RECORDS, FeedVessel, Messages, Records, RiskVessel, Vessel
from spyhop.errors import StateError
from spyhop.model import rows as rows_model
from spyhop.model import tape
from spyhop.model.entries import Entry
from spyhop.model.tape import Kind
from spyhop.model.verdicts import EpochBegan

Lost = Callable[[], BaseException]


class Tally:
    """A node that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[bytes] = []

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode(self.told)

    def restore(self, snapshot: bytes) -> None:
        self.told = msgspec.msgpack.decode(snapshot, type=list[bytes])

    def statistics(self) -> dict[str, float]:
        return {"told": float(len(self.told))}


class Relay(Vessel):
    """Passes on what it is told, and records it first when it has records."""

    def __init__(self, *outlets: str) -> None:
        self.tally = Tally()
        super().__init__(self.tally, ["in"], outlets or ["out"])
        self.is_held_up = False

    def _apply(self, edge: str, messages: Messages, num_known: int) -> None:
        self.tally.told.append(messages.payload)
        if RECORDS in self.outboxes:
            self._record(Records([Entry(0, "risk", len(self.tally.told), EpochBegan(ts=0, epoch=1, at_seq=0))]))
        self._send("out", messages)

    def is_ahead(self, edge: str) -> bool:
        return self.is_held_up


class Ticking:
    """A feed's node: one event each ten milliseconds of event time, `num` of them."""

    is_open = False

    def __init__(self, num: int) -> None:
        self.made, self.num = 0, num
        self.is_finished = False

    @property
    def num_events(self) -> int:
        return self.made

    def call_on_arrival(self, callback: Callable[[], None]) -> None: ...

    def step(self) -> FeedOutput:
        if self.made == self.num:
            return self.finish()
        self.made += 1
        ts = self.made * NS_PER_S // 100
        return FeedOutput(tape.event(Kind.TIMER, ts), rows_model.empty(), ts, ts, is_finished=False)

    def finish(self) -> FeedOutput:
        self.is_finished = True
        return FeedOutput(tape.empty(), rows_model.empty(), END_OF_TIME, END_OF_TIME, is_finished=True)

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode((self.made, self.is_finished))

    def restore(self, snapshot: bytes) -> None:
        self.made, self.is_finished = msgspec.msgpack.decode(snapshot, type=tuple[int, bool])

    def statistics(self) -> dict[str, float]:
        return {"events": float(self.made)}


class Far:
    """The far end of an edge, in place of an actor's handle; `losses` are answers that never come."""

    def __init__(self, losses: tuple[Lost | None, ...] = (), *, is_durable: bool = True, delay_s: float = 0.0) -> None:
        self.inlet, self.taken, self.calls = Inlet(), list[bytes](), list[int]()
        self.losses, self.is_durable, self.delay_s = deque(losses), is_durable, delay_s
        self.num_at_once = self.most_at_once = 0
        self.times: list[float] = []

    @property
    def receive(self) -> Far:
        return self

    async def remote(self, edge: str, number: int, data: bytes) -> Receipt:
        self.calls.append(number)
        self.times.append(asyncio.get_running_loop().time())
        self.num_at_once += 1
        self.most_at_once = max(self.most_at_once, self.num_at_once)
        try:
            await asyncio.sleep(self.delay_s)
            said = msgspec.msgpack.decode(data)  # records carry no count: each parcel of them is one
            if self.inlet.accept(number, said.get("count", 1), said.get("watermark", 0)) is not None:
                self.taken.append(data)
            if self.is_durable:
                self.inlet.checkpointed()
            lost = self.losses.popleft() if self.losses else None
            if lost is not None:
                raise lost()
            return self.inlet.receipt
        finally:
            self.num_at_once -= 1

    def come_back_older(self) -> None:
        self.inlet.restore(self.inlet.durable)
        del self.taken[self.inlet.durable.count :]


class PaceOf:
    """A pace of `speed` event seconds a second from when it was made."""

    def __init__(self, speed: float, late_s: float = 0.0) -> None:
        self.speed, self.start = speed, WallClock().now_ns() - int(late_s * NS_PER_S)

    def wait_s(self, ts: int, now: int) -> float:
        return (self.start + ts / self.speed - now) / NS_PER_S


def parcel(number: int) -> bytes:
    return msgspec.msgpack.encode(Messages(number + 1, 1, str(number).encode()))


def receipt(wanted: int, durable: int) -> Receipt:
    """Return what answers so many parcels of `parcel`."""
    return Receipt(Position(wanted, wanted), Position(durable, durable))


def payloads(taken: list[bytes]) -> list[bytes]:
    return [msgspec.msgpack.decode(data, type=Messages).payload for data in taken]


async def until(holds: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until `holds()`; fail when it does not in time."""
    end = asyncio.get_running_loop().time() + seconds
    while not holds():
        assert asyncio.get_running_loop().time() < end, "it did not come to that in time"
        await asyncio.sleep(0.002)


@asynccontextmanager
async def living(carrier: Carrier, pace: PaceOf | None = None) -> AsyncIterator[asyncio.Task[None]]:
    """Let a carrier live; what it started ends with it, as in a process that is killed."""
    others = asyncio.all_tasks()
    life = asyncio.create_task(carrier.run(pace))
    try:
        yield life
    finally:
        # again and again, because before Python 3.12 `wait_for` may swallow a cancellation
        while left := asyncio.all_tasks() - others:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=0.05)


def lasting(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 30))


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """Shorten what waits, and keep what would go to Ray's metrics."""
    kept: list[dict[str, float]] = []

    class Kept:
        def __init__(self, name: str) -> None:
            self.name = name

        def publish(self, statistics: dict[str, float]) -> None:
            kept.append(statistics)

    monkeypatch.setattr(carrier_module, "Meters", Kept)
    for name, seconds in (("IDLE_S", 0.1), ("METRICS_EVERY_S", 0.02)):
        monkeypatch.setattr(carrier_module, name, seconds)
    return kept


@pytest.fixture
def relay(tmp_path: Path) -> Callable[..., Carrier]:
    """Make the carrier of a relay, again and again over one checkpoint."""
    return lambda *outlets: Carrier("relay", lambda: Relay(*outlets), tmp_path / "relay.bin", WallClock())


def wired(**far: Far) -> dict[str, Target]:
    return {edge: Target(end, f"{edge} there") for edge, end in far.items()}


def test_a_parcel_is_sent_until_it_is_acknowledged_and_takes_effect_once(relay: Callable[..., Carrier]) -> None:
    def unavailable() -> BaseException:
        return ActorUnavailableError("it is being restarted", b"\0" * 16)

    async def scenario() -> None:
        far, carrier = Far((unavailable, GetTimeoutError, TimeoutError, None, unavailable)), relay()
        carrier.connect(wired(out=far))
        async with living(carrier) as life:
            for number in range(3):
                await carrier.receive("in", number, parcel(number))
            await until(lambda: carrier.health().is_connected and len(far.taken) == 3 and len(far.calls) >= 7)
            assert payloads(far.taken) == [b"0", b"1", b"2"]
            assert far.calls[:5] == [0, 0, 0, 0, 1]
            assert not life.done()

    lasting(scenario())


def test_an_answer_that_takes_too_long_counts_as_lost(
    relay: Callable[..., Carrier], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier_module, "CALL_TIMEOUT_S", 0.1)

    async def scenario() -> None:
        far, carrier = Far(delay_s=5.0), relay()
        carrier.connect(wired(out=far))
        async with living(carrier):
            await carrier.receive("in", 0, parcel(0))
            await until(lambda: len(far.calls) >= 2)
            far.delay_s = 0.0
            await until(lambda: far.taken)
            assert set(far.calls) == {0}

    lasting(scenario())


def test_attempts_that_fail_in_a_row_are_made_further_and_further_apart(relay: Callable[..., Carrier]) -> None:
    async def scenario() -> None:
        far, carrier = Far((TimeoutError,) * 4), relay()
        carrier.connect(wired(out=far))
        async with living(carrier):
            await carrier.receive("in", 0, parcel(0))
            await until(lambda: far.taken and len(far.times) == 5)
            apart = [after - before for before, after in itertools.pairwise(far.times)]
            assert all(wait > 0.99 * least for wait, least in zip(apart, (0.05, 0.1, 0.2, 0.4), strict=True)), apart

    lasting(scenario())


def test_an_edge_has_one_call_in_flight(relay: Callable[..., Carrier]) -> None:
    async def scenario() -> None:
        far, carrier = Far(delay_s=0.005), relay()
        carrier.connect(wired(out=far))
        async with living(carrier):
            await asyncio.gather(*(carrier.receive("in", number, parcel(number)) for number in range(20)))
            await until(lambda: len(far.taken) == 20)
            assert far.most_at_once == 1
            assert far.calls == list(range(20))

    lasting(scenario())


def test_two_edges_do_not_wait_for_each_other(relay: Callable[..., Carrier]) -> None:
    async def scenario() -> None:
        out, records, carrier = Far((TimeoutError,) * 100), Far(), relay("out", RECORDS)
        carrier.connect(wired(out=out, records=records))
        async with living(carrier):
            for number in range(5):
                await carrier.receive("in", number, parcel(number))
            await until(lambda: len(records.taken) == 5)
            assert len(out.taken) <= 1

    lasting(scenario())


def test_nothing_leaves_before_the_records_made_before_it_are_kept(relay: Callable[..., Carrier]) -> None:
    async def scenario() -> None:
        out, records, carrier = Far(), Far((TimeoutError,) * 3), relay("out", RECORDS)
        carrier.connect(wired(out=out, records=records))
        async with living(carrier):
            await carrier.receive("in", 0, parcel(0))
            await until(lambda: len(records.calls) == 3)
            assert out.calls == []
            await until(lambda: out.taken)
            assert out.times[0] > records.times[3]

    lasting(scenario())


def test_a_receiver_that_comes_back_older_is_sent_the_old_parcels_again(relay: Callable[..., Carrier]) -> None:
    async def scenario() -> None:
        far, carrier = Far(is_durable=False), relay()
        carrier.connect(wired(out=far))
        async with living(carrier):
            for number in range(4):
                await carrier.receive("in", number, parcel(number))
            await until(lambda: len(far.taken) == 4)
            far.come_back_older()
            await carrier.receive("in", 4, parcel(4))
            await until(lambda: len(far.taken) == 5)
            assert payloads(far.taken) == [b"0", b"1", b"2", b"3", b"4"]

    lasting(scenario())


def test_a_receiver_that_comes_back_older_is_not_forgotten_while_other_edges_are_busy(
    relay: Callable[..., Carrier],
) -> None:
    # what arrives all the time may be waiting for just what the receiver lost: nothing new would ever be sent to it
    async def scenario() -> None:
        far, carrier = Far(is_durable=False), relay()
        carrier.connect(wired(out=far))
        async with living(carrier):
            await carrier.receive("in", 0, parcel(0))
            await until(lambda: len(far.taken) == 1)
            far.come_back_older()
            begun = asyncio.get_running_loop().time()
            while not far.taken:
                carrier._stir()
                await asyncio.sleep(0.005)
                assert asyncio.get_running_loop().time() < begun + 5, "never offered again"

    lasting(scenario())


def test_a_receiver_that_comes_back_older_is_not_forgotten_when_nothing_new_is_to_be_sent(
    relay: Callable[..., Carrier],
) -> None:
    async def scenario() -> None:
        far, carrier = Far(is_durable=False), relay()
        carrier.connect(wired(out=far))
        async with living(carrier):
            for number in range(4):
                await carrier.receive("in", number, parcel(number))
            await until(lambda: len(far.taken) == 4)
            far.come_back_older()
            await until(lambda: len(far.taken) == 4)
            assert payloads(far.taken) == [b"0", b"1", b"2", b"3"]
            far.is_durable = True
            vessel = carrier.vessel
            assert vessel is not None
            await until(lambda: not len(vessel.outboxes["out"]))
            calls = len(far.calls)
            await asyncio.sleep(0.4)
            assert len(far.calls) == calls

    lasting(scenario())


def test_a_receiver_that_wants_what_is_gone_ends_the_life(relay: Callable[..., Carrier]) -> None:
    async def scenario() -> None:
        far, carrier = Far(), relay()
        carrier.connect(wired(out=far))
        async with living(carrier) as life:
            for number in range(3):
                await carrier.receive("in", number, parcel(number))
            await until(lambda: len(far.taken) == 3)
            far.inlet = Inlet()
            await carrier.receive("in", 3, parcel(3))
            with pytest.raises(StateError, match="wants message 0"):
                await life

    lasting(scenario())


def test_a_parcel_that_fails_halfway_ends_the_life_and_is_wanted_again(relay: Callable[..., Carrier]) -> None:
    async def scenario() -> None:
        first = relay()
        first.connect(wired(out=Far()))
        async with living(first) as life:
            with pytest.raises(msgspec.DecodeError):
                await first.receive("in", 0, b"not a parcel")
            with pytest.raises(msgspec.DecodeError):
                await life
        second = relay()
        second.connect(wired(out=Far()))
        async with living(second):
            assert (await second.receive("in", 0, parcel(0))).wanted.count == 1
            assert isinstance(second.vessel, Relay)
            assert second.vessel.tally.told == [b"0"]

    lasting(scenario())


def test_nothing_is_taken_before_the_far_ends_are_known(relay: Callable[..., Carrier]) -> None:
    async def scenario() -> None:
        carrier = relay()
        async with living(carrier):
            await carrier.is_built.wait()
            answer = asyncio.create_task(carrier.receive("in", 0, parcel(0)))
            await asyncio.sleep(0.05)
            assert not answer.done()
            assert not carrier.health().is_connected
            carrier.connect(wired(out=Far()))
            assert (await answer).wanted.count == 1
            assert carrier.health().is_connected

    lasting(scenario())


def test_nothing_is_taken_before_the_vessel_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Carrier, "_back_off_s", lambda self: 0.1)

    async def scenario() -> None:
        carrier = Carrier("relay", Relay, tmp_path / "relay.bin", WallClock())
        async with living(carrier):
            carrier.connect(wired(out=Far()))
            assert (await carrier.receive("in", 0, parcel(0))).wanted.count == 1

    lasting(scenario())


def test_a_repeat_changes_nothing_and_is_answered(relay: Callable[..., Carrier]) -> None:
    async def scenario() -> None:
        carrier = relay()
        carrier.connect(wired(out=Far()))
        async with living(carrier):
            first = await carrier.receive("in", 0, parcel(0))
            assert (await carrier.receive("in", 0, parcel(0))).wanted == first.wanted == Position(1, 1)
            assert (await carrier.receive("in", 7, parcel(7))).wanted.count == 1
            assert isinstance(carrier.vessel, Relay)
            assert carrier.vessel.tally.told == [b"0"]

    lasting(scenario())


def test_a_sender_far_ahead_is_made_to_wait_and_then_told_to_come_again(relay: Callable[..., Carrier]) -> None:
    async def scenario() -> None:
        carrier = relay()
        carrier.connect(wired(out=Far()))
        async with living(carrier):
            await carrier.is_built.wait()
            vessel = carrier.vessel
            assert isinstance(vessel, Relay)
            vessel.is_held_up = True
            begun = asyncio.get_running_loop().time()
            assert (await carrier.receive("in", 0, parcel(0))).wanted.count == 0
            assert 0.8 < asyncio.get_running_loop().time() - begun < 5
            assert vessel.tally.told == []
            answer = asyncio.create_task(carrier.receive("in", 0, parcel(0)))
            await asyncio.sleep(0.05)
            assert not answer.done()
            vessel.is_held_up = False
            assert (await answer).wanted.count == 1

    lasting(scenario())


def test_a_life_goes_on_from_its_checkpoint(relay: Callable[..., Carrier], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrier_module, "CHECKPOINT_EVERY_S", 3_600.0)
    monkeypatch.setattr(carrier_module, "CHECKPOINT_EVERY_PARCELS", 2)

    async def scenario() -> None:
        far, first = Far(), relay()
        first.connect(wired(out=far))
        async with living(first):
            receipts = [await first.receive("in", number, parcel(number)) for number in range(3)]
            assert [receipt.durable.count for receipt in receipts] == [0, 2, 2]
            await until(lambda: len(far.taken) == 3)
        second = relay()
        second.connect(wired(out=far))
        async with living(second):
            await second.is_built.wait()
            assert second.health().restarts == second.restarts == 1
            assert isinstance(second.vessel, Relay)
            assert second.vessel.tally.told == [b"0", b"1"]
            # the sender is asked for what was not durable, and what comes of it again is a repeat there
            assert await second.receive("in", 9, parcel(9)) == receipt(2, 2)
            for number in (2, 3):
                await second.receive("in", number, parcel(number))
            await until(lambda: len(far.taken) == 4)
            assert payloads(far.taken) == [b"0", b"1", b"2", b"3"]

    lasting(scenario())


def test_what_was_taken_becomes_durable_by_itself(
    relay: Callable[..., Carrier], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier_module, "CHECKPOINT_EVERY_S", 0.02)

    async def scenario() -> None:
        carrier = relay()
        carrier.connect(wired(out=Far()))
        async with living(carrier):
            assert await carrier.receive("in", 0, parcel(0)) == receipt(1, 0)
            vessel = carrier.vessel
            assert vessel is not None
            await until(lambda: vessel.receipt("in") == receipt(1, 1))
        again = relay()
        async with living(again):
            await again.is_built.wait()
            assert isinstance(again.vessel, Relay)
            assert again.vessel.tally.told == [b"0"]

    lasting(scenario())


def test_while_a_checkpoint_is_written_parcels_are_taken_and_are_not_durable_with_it(
    relay: Callable[..., Carrier], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier_module, "CHECKPOINT_EVERY_S", 3_600.0)
    monkeypatch.setattr(carrier_module, "CHECKPOINT_EVERY_PARCELS", 2)
    begun, may_end = threading.Event(), threading.Event()
    may_end.set()
    write = carrier_module.write_checkpoint

    def slow(path: Path, restarts: int, state: bytes) -> None:
        begun.set()
        assert may_end.wait(10.0)
        write(path, restarts, state)

    monkeypatch.setattr(carrier_module, "write_checkpoint", slow)

    async def scenario() -> None:
        far, carrier = Far(), relay()
        carrier.connect(wired(out=far))
        async with living(carrier):
            await carrier.receive("in", 0, parcel(0))
            begun.clear()
            may_end.clear()
            second = asyncio.create_task(carrier.receive("in", 1, parcel(1)))
            try:
                # what came of the second parcel leaves while the disk is still busy with it
                await until(lambda: begun.is_set() and len(far.taken) == 2)
                third = asyncio.create_task(carrier.receive("in", 2, parcel(2)))
                await until(lambda: len(far.taken) == 3)
                assert not second.done()
            finally:
                may_end.set()
            assert (await second).durable.count == 2
            assert (await third).wanted.count == 3

    lasting(scenario())


def test_lives_that_fail_in_building_begin_later_and_later(tmp_path: Path) -> None:
    def broken() -> Vessel:
        raise StateError("it cannot be built")

    def slept(build: Callable[[], Vessel]) -> float:
        async def scenario() -> float:
            clock = EventClock()
            carrier = Carrier("relay", build, tmp_path / "relay.bin", clock)
            async with living(carrier) as life:
                if build is broken:
                    with pytest.raises(StateError):
                        await life
                else:
                    await carrier.is_built.wait()
            return clock.now_ns() / NS_PER_S

        return asyncio.run(scenario())

    waits = [slept(broken) for _ in range(6)]
    assert waits == pytest.approx([0.0, 0.0, 0.0, 0.1, 0.2, 0.3])
    assert slept(Relay) == pytest.approx(0.4)
    assert max(slept(broken) for _ in range(60)) == 5.0


class Epochs(RiskVessel):
    """A supervisor's vessel that notes the epochs it was told of."""

    def __init__(self) -> None:
        self.began: list[EpochBegan] = []
        tally: Any = Tally()
        super().__init__(tally)
        self.node = self  # type: ignore[assignment]

    def begin_epochs(self, epochs: list[EpochBegan]) -> None:
        self.began += epochs


def test_a_supervisors_life_begins_one_epoch_however_often_it_is_connected(tmp_path: Path) -> None:
    async def scenario() -> None:
        for restarts in range(2):
            carrier = Carrier("risk", Epochs, tmp_path / "risk.bin", WallClock())
            async with living(carrier):
                await carrier.is_built.wait()
                for _ in range(2):
                    carrier.begin_epoch(17)
                    carrier.connect(wired(approved=Far(), records=Far()))
                assert isinstance(carrier.vessel, Epochs)
                assert carrier.vessel.began == [EpochBegan(ts=0, epoch=restarts + 1, at_seq=17)]

    lasting(scenario())


def feed(tmp_path: Path, num: int) -> tuple[Carrier, Ticking]:
    node: Any = Ticking(num)
    return Carrier("feed:X", lambda: FeedVessel(node, lambda output: None), tmp_path / "feed.bin", WallClock()), node


def test_a_feed_makes_all_that_its_source_has_and_says_when_it_is_finished(tmp_path: Path) -> None:
    async def scenario() -> None:
        rows, events = Far(), Far()
        carrier, _ = feed(tmp_path, 50)
        async with living(carrier):
            await carrier.is_built.wait()
            assert not carrier.health().is_finished
            carrier.connect(wired(rows=rows, tape=events))
            await until(lambda: carrier.health().is_finished)
            assert len(events.taken) == 51
            assert len(rows.taken) <= 51
            for far in (rows, events):
                assert msgspec.msgpack.decode(far.taken[-1], type=Messages).watermark == END_OF_TIME

    lasting(scenario())


def test_a_feed_stops_making_while_an_edge_is_full(tmp_path: Path) -> None:
    async def scenario() -> None:
        rows, stuck = Far(), Far(is_durable=False)
        carrier, node = feed(tmp_path, 2_000)
        carrier.connect(wired(rows=rows, tape=stuck))
        async with living(carrier):
            await until(lambda: len(stuck.taken) == 256)
            await asyncio.sleep(0.05)
            assert node.made == 256
            stuck.is_durable = True
            await until(lambda: carrier.health().is_finished)
            assert len(stuck.taken) == 2_001

    lasting(scenario())


def test_a_paced_feed_makes_nothing_before_its_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        events = Far()
        carrier, _ = feed(tmp_path, 4)
        carrier.connect(wired(rows=Far(), tape=events))
        begun = asyncio.get_running_loop().time()
        async with living(carrier, PaceOf(0.04)):
            await until(lambda: carrier.health().is_finished)
        after = [at - begun for at in events.times]
        assert len(after) == 5
        assert all(at > 0.249 * number for number, at in enumerate(after)), after

    lasting(scenario())


def test_the_lag_of_a_late_feed_is_measured_and_published(tmp_path: Path, published: list[dict[str, float]]) -> None:
    async def scenario() -> None:
        carrier, node = feed(tmp_path, 100_000)
        carrier.connect(wired(rows=Far(), tape=Far()))
        async with living(carrier, PaceOf(100.0, late_s=60.0)):
            await until(lambda: carrier.health().statistics.get("events", 0) > 10)
            assert 55 < carrier.health().statistics["lag_s"] < 90
        assert {"lag_s", "restarts", "unsent", "events"} <= set(published[-1])
        assert published[-1]["events"] <= node.made

    lasting(scenario())


def test_a_drained_feed_ends_where_it_is_even_while_it_waits_for_its_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        rows, events = Far(), Far()
        carrier, node = feed(tmp_path, 1_000_000)
        carrier.connect(wired(rows=rows, tape=events))
        async with living(carrier, PaceOf(1e-6)):
            await until(lambda: events.taken)
            carrier.drain()
            await until(lambda: carrier.health().is_finished)
            assert node.made <= 2
            assert msgspec.msgpack.decode(rows.taken[-1], type=Messages).watermark == END_OF_TIME

    lasting(scenario())


def test_draining_keeps_no_loop_busy(relay: Callable[..., Carrier], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrier_module, "IDLE_S", 0.2)

    async def scenario() -> None:
        carrier = relay()
        carrier.connect(wired(out=Far()))
        async with living(carrier):
            await carrier.is_built.wait()
            vessel = carrier.vessel
            assert vessel is not None
            looked: list[str] = []
            ask = vessel.next_parcel
            monkeypatch.setattr(vessel, "next_parcel", lambda edge: (looked.append(edge), ask(edge))[1])
            await asyncio.sleep(0.05)
            carrier.drain()
            await asyncio.sleep(0.3)
            assert 1 <= len(looked) < 10

    lasting(scenario())


def test_health_says_how_long_the_loop_has_not_turned(relay: Callable[..., Carrier]) -> None:
    async def scenario() -> None:
        carrier = relay()
        carrier.connect(wired(out=Far()))
        async with living(carrier):
            await carrier.is_built.wait()
            await asyncio.sleep(0.3)
            assert carrier.health().beat_age_s < 0.4
            _block(0.5)
            assert carrier.health().beat_age_s >= 0.5
            await asyncio.sleep(0.2)
            assert carrier.health().beat_age_s < 0.4

    lasting(scenario())


def _block(seconds: float) -> None:
    time.sleep(seconds)


def test_what_passes_is_traced_when_asked_for(relay: Callable[..., Carrier]) -> None:
    async def scenario() -> None:
        far, carrier = Far(), relay()
        carrier.connect(wired(out=far))
        async with living(carrier):
            await carrier.receive("in", 0, parcel(0))
            await until(lambda: far.taken)
            carrier.is_traced = True
            await carrier.receive("in", 1, parcel(1))
            await until(lambda: len(far.taken) == 2)
            noted = carrier.take_trace()
            assert [(edge, data) for edge, _, data in noted] == [("in", parcel(1)), (">out", far.taken[1])]
            assert noted[0][1] <= noted[1][1]
            assert carrier.take_trace() == []

    lasting(scenario())
