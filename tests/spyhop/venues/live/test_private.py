from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

import numpy as np
import pytest

from spyhop.clock import NS_PER_S
from spyhop.errors import ConnectFailed, ConnectionLost, OutcomeUnknown, Throttled, VenueError, VenueRefused
from spyhop.venues.live.private import OVERLAP_S, Connected, Lost, PrivateStream, Told
from spyhop.venues.live.private_adapter import Heard
from spyhop.venues.live.scripted import ScriptedSocket, VirtualClock
from spyhop.venues.net.transport import Dial, Frame
from spyhop.venues.params import FeedParams

START = 1_700_000_000 * NS_PER_S


class Account:
    """An account whose events are numbers, told on every connection that is open; a PrivateAdapter."""

    name = "account"

    def __init__(self, clock: VirtualClock, life_s: float = 0.0) -> None:
        self.clock, self.life_s = clock, life_s
        self.lines: list[Line] = []
        self.failures: list[VenueError] = []
        self.is_mute = self.is_slow = False
        self.keep_errors: dict[int, VenueError] = {}
        self.early: list[int] = []
        self.joined_at: list[float] = []

    async def join(self, dial: Dial, now: int) -> Line:
        self.joined_at.append((now - START) / NS_PER_S)
        if self.failures:
            raise self.failures.pop(0)
        if self.is_slow:
            await asyncio.sleep(3_600.0)
        line = Line(self)
        line.early.events += [(now, number) for number in self.early]
        self.lines.append(line)
        return line

    def identity(self, event: int) -> Hashable:
        return event if event >= 0 else None

    def say(self, *numbers: int, on: Sequence[int] = ()) -> None:
        """Tell events on the connections `on`, or on all that are open."""
        for place, line in enumerate(self.lines):
            if (place in on or not on) and not line.socket.is_closed:
                for number in numbers:
                    line.socket.receive(Frame(self.clock.now_ns(), str(number).encode()))


class Line:
    """A PrivateConnection."""

    def __init__(self, account: Account) -> None:
        self.socket = ScriptedSocket("account")
        self.early: Heard[int] = Heard()
        self.num_kept = 0
        self._account = account

    def decode(self, frames: Sequence[Frame]) -> Heard[int]:
        heard: Heard[int] = Heard()
        for frame in frames:
            if frame.data == b"end":
                heard.end = ConnectionLost("account", 1001, "the key has expired")
            elif frame.data == b"pong":
                heard.ignored["answer"] += 1
            elif frame.data.lstrip(b"-").isdigit():
                heard.events.append((frame.ts_recv, int(frame.data)))
            else:
                heard.set_aside.append(("no number", frame.data))
        return heard

    async def keep(self, now: int) -> None:
        self.num_kept += 1
        error = self._account.keep_errors.get(self._account.lines.index(self))
        if error is not None:
            raise error
        if not self._account.is_mute:
            self.socket.receive(Frame(now, b"pong"))


class Bench:
    """A stream of a scripted account."""

    def __init__(self, clock: VirtualClock, account: Account, stream: PrivateStream[int]) -> None:
        self.clock, self.account, self.stream = clock, account, stream
        self.told: list[Told[int]] = []

    async def run(self, seconds: float) -> None:
        await self.clock.run(seconds)

    async def take(self) -> list[object]:
        """Return all events that wait."""
        if self.about["queued"]:
            self.told += await self.stream.take()
        return [told.event for told in self.told]

    @property
    def about(self) -> dict[str, float]:
        return self.stream.statistics()


@asynccontextmanager
async def bench(life_s: float = 0.0, max_events: int = 10_000) -> AsyncIterator[Bench]:
    clock = VirtualClock(START)
    account = Account(clock, life_s)
    params = FeedParams(silence_seconds=30.0)
    stream = PrivateStream(account, _no_dial, params, clock, generator=np.random.default_rng(1), max_events=max_events)
    running = asyncio.create_task(stream.run())
    try:
        yield Bench(clock, account, stream)
    finally:
        running.cancel()
        (result,) = await asyncio.gather(running, return_exceptions=True)
        assert isinstance(result, asyncio.CancelledError), result
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert all(line.socket.is_closed for line in account.lines)
        assert stream.statistics()["connected"] == 0.0


async def _no_dial(url: str) -> ScriptedSocket:
    raise AssertionError("the account opens its own")


def play(scene: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(scene())


def test_events_come_in_order_behind_connected_with_their_times() -> None:
    async def scene() -> None:
        async with bench() as b:
            b.account.early = [1]
            await b.run(1)
            b.account.say(2, 3)
            await b.run(1)
            b.account.say(4, 4, -5, -5)
            await b.run(1)
            assert await b.take() == [Connected(1), 1, 2, 3, 4, -5, -5]
            assert [told.ts_recv - START for told in b.told] == [0, 0, *[NS_PER_S] * 2, *[2 * NS_PER_S] * 3]
            assert {name: b.about[name] for name in ("connected", "events", "repeats")} == {
                "connected": 1.0,
                "events": 6.0,
                "repeats": 1.0,
            }

    play(scene)


def test_a_lost_connection_is_told_and_opened_anew_after_a_growing_pause() -> None:
    async def scene() -> None:
        async with bench() as b:
            await b.run(1)
            b.account.say(1)
            b.account.failures = [ConnectFailed("account", "refused")] * 3 + [Throttled("account", 429, 40.0)]
            b.account.lines[0].socket.lose(ConnectionLost("account", 1006, "gone"))
            await b.run(0.1)
            assert b.about["connected"] == 0.0
            await b.run(120)
            b.account.say(2)
            await b.run(1)
            assert await b.take() == [Connected(1), 1, Lost(1, "account closed with 1006: gone"), Connected(2), 2]
            pauses = [later - earlier for earlier, later in pairwise(b.account.joined_at[1:])]
            assert pauses[0] < pauses[1] < pauses[2] <= 16.0
            assert 40.0 <= pauses[3] < 41.0
            assert (b.about["losses"], b.about["connect_failures"]) == (1.0, 4.0)

    play(scene)


def test_what_ends_a_stream_by_its_contents_comes_after_what_was_told_before() -> None:
    async def scene() -> None:
        async with bench() as b:
            await b.run(1)
            b.account.say(1)
            b.account.lines[0].socket.receive(Frame(b.clock.now_ns(), b"end"))
            await b.run(10)
            assert await b.take() == [
                Connected(1), 1, Lost(1, "account closed with 1001: the key has expired"), Connected(2)
            ]  # fmt: skip
            assert b.account.lines[0].socket.is_closed

    play(scene)


def test_a_silent_account_lives_and_a_mute_connection_does_not() -> None:
    async def scene() -> None:
        async with bench() as b:
            await b.run(300)
            assert await b.take() == [Connected(1)]
            assert 28 <= b.account.lines[0].num_kept <= 31
            b.account.is_mute = True
            await b.run(29)
            assert b.about["mute"] == 0.0
            await b.run(12)
            assert b.about["mute"] == 1.0
            b.account.is_mute = False
            await b.run(30)
            assert [type(event) for event in await b.take()] == [Connected, Lost, Connected]

    play(scene)


@pytest.mark.parametrize(("error", "is_lost"), [
    (OutcomeUnknown("account", "no answer in time"), False),
    (ConnectionLost("account", 1001, "the listen key is gone"), True),
])  # fmt: skip
def test_what_cannot_be_kept_is_lost_and_what_may_be_is_tried_again(error: VenueError, *, is_lost: bool) -> None:
    async def scene() -> None:
        async with bench() as b:
            await b.run(20)
            b.account.keep_errors = {0: error}
            await b.run(11)
            b.account.keep_errors = {}
            await b.run(60)
            assert (b.about["losses"], b.about["keep_failures"]) == ((1.0, 0.0) if is_lost else (0.0, 1.0))
            assert len(b.account.lines) == 1 + is_lost

    play(scene)


def test_a_slow_reader_loses_nothing_and_is_no_silence() -> None:
    async def scene() -> None:
        async with bench(max_events=10) as b:
            await b.run(1)
            for number in range(500):
                b.account.say(number)
                await b.run(0.3)
            assert b.about["queued"] == 10.0
            assert b.about["mute"] == 0.0
            told: list[object] = []
            while len(told) < 501:
                await b.run(0)
                told = await b.take()
            assert told == [Connected(1), *range(500)]
            assert b.about["queued"] <= 10.0

    play(scene)


def test_a_planned_change_repeats_nothing_loses_nothing_and_tells_nobody() -> None:
    async def scene() -> None:
        async with bench(life_s=100.0) as b:
            for number in range(1_000):
                b.account.say(number)
                await b.run(0.5)
            events = await b.take()
            assert events == [Connected(1), *range(1, 1_000)]
            assert b.about["rollovers"] == 4.0
            assert b.about["repeats"] >= 4 * 9
            assert all(line.socket.is_closed for line in b.account.lines[:4])

    play(scene)


def test_nothing_on_the_fresh_connection_overtakes_what_the_old_one_still_brings() -> None:
    async def scene() -> None:
        async with bench(life_s=100.0) as b:
            await b.run(100.5)
            assert len(b.account.lines) == 2
            b.account.say(2, 3, on=[1])
            await b.run(1)
            b.account.say(1, 2, on=[0])
            await b.run(OVERLAP_S)
            b.account.say(4)
            await b.run(1)
            assert await b.take() == [Connected(1), 1, 2, 3, 4]
            times = [told.ts_recv for told in b.told]
            assert times == sorted(times)

    play(scene)


def test_a_change_waits_for_a_reader_that_holds_the_old_connection_up() -> None:
    async def scene() -> None:
        async with bench(life_s=100.0, max_events=3) as b:
            await b.run(99)
            for number in range(9):
                b.account.say(number)
                await b.run(0.1)
            await b.run(60)
            assert b.about["rollovers"] == 0.0
            for _ in range(6):
                await b.take()
                await b.run(2)
            assert await b.take() == [Connected(1), *range(9)]
            assert b.about["rollovers"] == 1.0

    play(scene)


@pytest.mark.parametrize("is_old", [True, False])
def test_a_change_during_which_a_connection_breaks_is_not_made(*, is_old: bool) -> None:
    async def scene() -> None:
        async with bench(life_s=100.0) as b:
            await b.run(99)
            gone = ConnectionLost("account", 1001, "gone")
            b.account.keep_errors = {} if is_old else {1: gone}
            await b.run(1.5)
            old, fresh = b.account.lines
            b.account.say(1)
            if is_old:
                old.socket.lose(gone)
            await b.run(0.5)
            assert fresh.socket.is_closed
            assert old.socket.is_closed == is_old
            await b.run(20)
            b.account.say(2)
            await b.run(1)
            kinds = [event if isinstance(event, int) else type(event) for event in await b.take()]
            assert kinds == ([Connected, 1, Lost, Connected, 2] if is_old else [Connected, 1, 2])
            assert b.about["rollovers"] == (0.0 if is_old else 1.0)

    play(scene)


def test_a_change_that_cannot_be_made_leaves_the_old_connection() -> None:
    async def scene() -> None:
        async with bench(life_s=100.0) as b:
            await b.run(50)
            b.account.failures = [ConnectFailed("account", "refused")] * 3
            await b.run(60)
            b.account.say(1)
            await b.run(60)
            assert await b.take() == [Connected(1), 1]
            assert (b.about["rollovers"], b.about["connect_failures"]) == (1.0, 3.0)

    play(scene)


def test_keys_that_are_refused_end_the_stream_at_the_start_only() -> None:
    async def scene() -> None:
        refused = VenueRefused("account", 401, -2015, "Invalid API-key")
        clock = VirtualClock(START)
        account = Account(clock)
        account.failures = [ConnectFailed("account", "refused"), refused]
        stream = PrivateStream(account, _no_dial, FeedParams(), clock, generator=np.random.default_rng(1))
        running = asyncio.create_task(stream.run())
        await clock.run(10)
        with pytest.raises(VenueRefused, match="Invalid API-key"):
            await running
        async with bench() as b:
            await b.run(1)
            b.account.failures = [refused]
            b.account.lines[0].socket.lose(ConnectionLost("account", 1006, "gone"))
            await b.run(20)
            assert b.about["connected"] == 1.0
            assert len(b.account.joined_at) == 3

    play(scene)


@pytest.mark.slow
def test_a_venue_that_does_not_answer_the_subscription_is_left() -> None:
    async def scene() -> None:
        clock = VirtualClock(START)
        account = Account(clock)
        account.is_slow = True
        params = FeedParams(first_message_seconds=0.1)
        stream = PrivateStream(account, _no_dial, params, clock, generator=np.random.default_rng(1))
        running = asyncio.create_task(stream.run())
        async with asyncio.timeout(10.0):
            while not stream.statistics()["connect_failures"]:
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    play(scene)


def test_what_cannot_be_read_is_counted_by_reason_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with bench() as b:
            await b.run(1)
            for data in (b"hidden-key", b"hidden-key"):
                b.account.lines[0].socket.receive(Frame(b.clock.now_ns(), data))
            b.account.say(1)
            await b.run(1)
            assert await b.take() == [Connected(1), 1]
            assert b.about["set_aside"] == 2.0
            assert b.stream.reasons["no number"] == 2

    play(scene)
    assert "no number" in caplog.text
    assert "hidden-key" not in caplog.text
    assert caplog.text.count("no number") == 1
