from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from spyhop.clock import NS_PER_MINUTE, NS_PER_S
from spyhop.errors import ConnectFailed, ConnectionLost, Throttled
from spyhop.model import tape
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, Flag, Kind, Mode, Status, SwitchReason, Venue
from spyhop.venues.adapter import Want
from spyhop.venues.live.queue import EventQueue
from spyhop.venues.live.scripted import ScriptedVenue, VirtualClock
from spyhop.venues.live.session import Session
from spyhop.venues.params import FeedParams

BTC = Instrument(id=3, venue=Venue.BINANCE_USDM, symbol="BTCUSDT", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"))
START = 1_700_000_050 * NS_PER_S  # 10 s into a minute

FORGETTING = [Status.GAP, Status.DISCONNECTED, Status.SHED]


class Bench:
    """A session at a scripted venue, and all that came of it."""

    def __init__(self, clock: VirtualClock, venue: ScriptedVenue, session: Session, queue: EventQueue) -> None:
        self.clock, self.venue, self.session, self.queue = clock, venue, session, queue
        self.taken: list[Events] = []

    async def run(self, seconds: float) -> None:
        await self.clock.run(seconds)
        self.taken.append(self.queue.take())

    @property
    def events(self) -> Events:
        return tape.joined([batch for batch in self.taken if len(batch)])

    def of(self, kind: Kind) -> Events:
        return self.events[self.events["kind"] == kind]

    def statuses(self, status: Status) -> Events:
        rows = self.of(Kind.STATUS)
        return rows[rows["aux"] == status]

    @property
    def switches(self) -> list[tuple[Mode, SwitchReason]]:
        return [(Mode(row["qty"]), SwitchReason(row["id"])) for row in self.statuses(Status.SOURCE)]

    @property
    def about(self) -> dict[str, float]:
        return self.session.statistics()

    def assert_whole(self) -> None:
        """Every trade and closed minute that the venue told of is there, once, and minutes in order."""
        numbers = self.of(Kind.TRADE)["id"].tolist()
        assert sorted(numbers) == list(range(min(numbers), len(self.venue.trades) + 1))
        opens = self.of(Kind.BAR_OPEN)["id"].tolist()
        assert opens == list(range(opens[0], opens[-1] + 1, NS_PER_MINUTE))
        assert opens[-1] == self.venue.bars[-1]["id"][0]
        assert (np.diff(self.events["ts_recv"]) >= 0).all()

    def assert_book_usable(self) -> None:
        """The tape's reader has the book of the venue: nothing is missing behind the last snapshot."""
        rows = self.events
        starts = np.flatnonzero(rows["kind"] == Kind.SNAPSHOT)
        forgets = (rows["kind"] == Kind.STATUS) & np.isin(rows["aux"], FORGETTING)
        assert starts[-1] > np.flatnonzero(forgets).max(initial=-1)
        newest = rows[starts[-1] :]
        frames = newest[(newest["kind"] == Kind.LEVEL) & ((newest["flags"] & Flag.FROM_SNAPSHOT) == 0)]
        chain = [int(rows["id"][starts[-1]]), *frames["id"].tolist()]
        assert all(b - a == 10 for a, b in pairwise(chain))
        assert chain[-1] == self.venue.book_id


@asynccontextmanager
async def bench(params: FeedParams | None = None, *, life_s: float = 0.0, is_live: bool = True) -> AsyncIterator[Bench]:
    clock = VirtualClock(START)
    params = params or FeedParams()
    venue = ScriptedVenue(clock, BTC, params, life_s)
    queue = EventQueue(params.max_queued_events, venue=BTC.venue, instrument=BTC.id)
    session = Session(venue, venue.dial, params, clock, queue, generator=np.random.default_rng(1))
    tasks = [asyncio.create_task(session.run())]
    if is_live:
        tasks.append(asyncio.create_task(venue.live()))
    try:
        yield Bench(clock, venue, session, queue)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results), results
        # nothing is left behind
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert all(socket.is_closed for _, socket in venue.sockets_made)
        assert not venue.open


def play(scene: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(scene())


def test_all_that_flows_comes_once_and_in_order() -> None:
    async def scene() -> None:
        async with bench() as b:
            await b.run(300)
            assert b.switches == [(Mode.WS, SwitchReason.STARTED)]
            assert len(b.statuses(Status.CONNECTED)) == 2
            b.assert_whole()
            b.assert_book_usable()
            assert len(b.of(Kind.QUOTE)) == len(b.venue.trades)
            assert len(b.of(Kind.OPEN_INTEREST)) == 31
            assert {name: b.about[name] for name in ("mode", "reconnects", "switches", "set_aside", "queued")} == {
                "mode": 0.0,
                "reconnects": 0.0,
                "switches": 0.0,
                "set_aside": 0.0,
                "queued": 0.0,
            }
            assert b.about["price_age_ms"] <= 500.0
            assert b.venue.asked.count("price") == 0
            assert set(b.events["instrument"].tolist()) == {BTC.id}

    play(scene)


def test_the_hello_is_said() -> None:
    async def scene() -> None:
        async with bench() as b:
            await b.run(1)
            assert [socket.sent for name, socket in b.venue.sockets_made if name == "public"] == [[b"hello"]]

    play(scene)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionLost("x", 1006, ""), SwitchReason.DISCONNECTED),
        (ConnectFailed("x", "broken"), SwitchReason.EXCEPTION),
    ],
)
@pytest.mark.parametrize("plan", ["public", "market"])
def test_a_lost_connection_goes_to_rest_and_comes_back_whole(plan: str, error: Exception, reason: SwitchReason) -> None:
    async def scene() -> None:
        async with bench() as b:
            await b.run(45)
            b.venue.can_dial = False
            b.venue.lose(plan, error)
            await b.run(100)
            assert b.switches[1:] == [(Mode.REST, reason)]
            assert b.about["sockets_down"] == 1.0
            assert b.about["longest_price_gap_s"] <= 1.5
            b.venue.can_dial = True
            await b.run(90)
            assert b.switches[2:] == [(Mode.WS, SwitchReason.RECOVERED)]
            b.assert_whole()
            b.assert_book_usable()
            assert b.about["last_detection_s"] <= 0.5
            assert b.about["reconnects"] == 1.0
            # what was backfilled stands before the feed says that it is back
            rows = b.events
            back = int(np.flatnonzero((rows["kind"] == Kind.STATUS) & (rows["aux"] == Status.SOURCE))[-1])
            assert not (rows["flags"][back:] & Flag.BACKFILLED)[rows["kind"][back:] == Kind.BAR_OPEN].any()

    play(scene)


def test_a_price_that_goes_stale_is_had_by_rest() -> None:
    async def scene() -> None:
        async with bench() as b:
            await b.run(20)
            b.venue.muted = {"trade", "quote", "book"}
            await b.run(10)
            assert b.switches[1:] == [(Mode.REST, SwitchReason.PRICE_STALE)]
            assert 5.0 < b.about["last_detection_s"] <= 5.5
            b.venue.muted = set()
            await b.run(40)
            assert b.switches[2:] == [(Mode.WS, SwitchReason.RECOVERED)]
            await b.run(40)
            b.assert_whole()

    play(scene)


def test_prices_that_come_late_are_stale() -> None:
    async def scene() -> None:
        async with bench() as b:
            await b.run(20)
            b.venue.lag_ns = 6 * NS_PER_S
            await b.run(10)
            assert b.switches[1:] == [(Mode.REST, SwitchReason.PRICE_STALE)]

    play(scene)


def test_a_minute_that_does_not_close_is_had_by_rest() -> None:
    async def scene() -> None:
        async with bench(FeedParams(silence_seconds=600.0, first_message_seconds=600.0)) as b:
            await b.run(70)
            b.venue.muted = {"bar"}
            await b.run(69.9)
            assert b.switches[1:] == []
            await b.run(1)
            assert b.switches[1:] == [(Mode.REST, SwitchReason.KLINE_STALE)]
            await b.run(200)
            b.venue.muted = set()
            await b.run(120)
            b.assert_whole()

    play(scene)


def test_a_mute_connection_is_opened_anew_and_a_silent_stream_gets_a_fresh_one_beside_it() -> None:
    async def scene() -> None:
        async with bench() as b:
            await b.run(20)
            b.venue.stalled = {"public"}
            await b.run(31)
            assert b.about["mute"] == 1.0
            assert len(b.statuses(Status.DISCONNECTED)) == 1
            b.venue.stalled = set()
            await b.run(60)
            b.venue.muted = {"book"}
            await b.run(31)
            # the quotes never pause, and nothing was lost
            assert len(b.statuses(Status.DISCONNECTED)) == 1
            assert sum(name == "public" for name, _ in b.venue.open.values()) == 2
            b.venue.muted = set()
            await b.run(120)
            assert sum(name == "public" for name, _ in b.venue.open.values()) == 1
            assert b.about["rollovers"] >= 1.0
            b.assert_whole()

    play(scene)


def test_a_stream_without_its_first_message_in_time_makes_a_fresh_connection() -> None:
    async def scene() -> None:
        async with bench(is_live=False) as b:
            b.venue.muted = {"book"}
            going = asyncio.create_task(b.venue.live())
            await b.run(9)
            assert len(b.venue.sockets_made) == 2
            await b.run(2)
            assert [name for name, _ in b.venue.sockets_made] == ["public", "market", "public"]
            going.cancel()
            await asyncio.gather(going, return_exceptions=True)

    play(scene)


def test_a_planned_change_overlaps_and_nobody_notices() -> None:
    async def scene() -> None:
        async with bench(life_s=120.0) as b:
            await b.run(400)
            # the one with the bars waits for a bar before it takes over
            assert b.about["rollovers"] == 5.0
            assert b.switches == [(Mode.WS, SwitchReason.STARTED)]
            assert not len(b.statuses(Status.DISCONNECTED))
            b.assert_whole()
            b.assert_book_usable()
            assert len(b.of(Kind.QUOTE)) == len(b.venue.trades)
            assert b.about["duplicates"] > 0.0

    play(scene)


def test_a_change_that_cannot_be_made_leaves_the_old_connection() -> None:
    async def scene() -> None:
        async with bench(life_s=60.0) as b:
            await b.run(30)
            b.venue.can_dial = False
            await b.run(200)
            assert b.about["rollovers"] == 0.0
            assert b.switches == [(Mode.WS, SwitchReason.STARTED)]
            b.venue.can_dial = True
            await b.run(120)
            assert b.about["rollovers"] >= 2.0
            b.assert_whole()

    play(scene)


def test_the_adapter_may_ask_for_a_fresh_connection() -> None:
    async def scene() -> None:
        async with bench() as b:
            await b.run(10)
            b.venue.say("quote", tape.empty(), Want.RECONNECT)
            await b.run(5)
            assert b.about["rollovers"] == 1.0
            assert not len(b.statuses(Status.DISCONNECTED))

    play(scene)


def test_a_snapshot_is_fetched_when_asked_for_and_not_too_often() -> None:
    async def scene() -> None:
        async with bench() as b:
            for _ in range(40):
                b.venue.say("book", tape.empty(), Want.BOOK)
                await b.run(0.5)
            # 1, 2, 4, 8 seconds apart at most, cut at random by up to a half
            assert 3 <= b.venue.asked.count("book") <= 8
            b.assert_book_usable()

    play(scene)


def test_trades_that_are_missing_are_fetched() -> None:
    async def scene() -> None:
        async with bench() as b:
            await b.run(60)
            b.venue.muted = {"trade"}
            await b.run(2)
            b.venue.muted = set()
            await b.run(5)
            b.assert_whole()
            assert b.switches == [(Mode.WS, SwitchReason.STARTED)]
            assert (b.about["trade_holes"], b.about["missing_trades"]) == (1.0, 0.0)
            assert not len(b.statuses(Status.GAP))

    play(scene)


def test_trades_that_nobody_has_are_a_gap_on_the_tape() -> None:
    async def scene() -> None:
        async with bench() as b:
            await b.run(60)
            b.venue.muted = {"trade"}
            await b.run(2)
            b.venue.trades[-4:] = [tape.empty()] * 4
            b.venue.muted = set()
            await b.run(60)
            assert b.statuses(Status.GAP)["qty"].tolist() == [4]
            b.assert_book_usable()

    play(scene)


def test_minutes_before_the_start_come_first_and_a_silent_one_is_no_hole() -> None:
    async def scene() -> None:
        async with bench() as b:
            minute = START - START % NS_PER_MINUTE
            b.venue.bars = [b.venue._bar(minute - k * NS_PER_MINUTE, START) for k in (5, 4, 2, 1)]
            await b.run(100)
            opens = b.of(Kind.BAR_OPEN)["id"].tolist()
            assert opens == [minute + k * NS_PER_MINUTE for k in (-5, -4, -2, -1, 0)]
            assert (b.about["silent_minutes"], b.about["held_bars"]) == (1.0, 0.0)
            flags = b.of(Kind.BAR_OPEN)["flags"] & Flag.BACKFILLED
            assert (flags != 0).tolist() == [True, True, True, True, False]

    play(scene)


def test_a_backfill_follows_a_reconnect_at_once() -> None:
    async def scene() -> None:
        async with bench(FeedParams(data_source_preferred="rest")) as b:
            await b.run(20)
            b.venue.lose("public")
            syncs = b.venue.asked.count("sync")
            await b.run(4)
            assert b.about["reconnects"] == 1.0
            assert b.venue.asked.count("sync") == syncs + 1

    play(scene)


def test_rest_that_fails_ends_nothing_and_is_asked_again() -> None:
    async def scene() -> None:
        async with bench() as b:
            b.venue.can_ask = False
            await b.run(100)
            assert b.switches == [(Mode.WS, SwitchReason.STARTED)]
            assert b.about["rest_errors"] > 10.0
            assert len(b.of(Kind.BAR_OPEN)) == 1
            b.venue.can_ask = True
            await b.run(100)
            assert b.about["books"] >= 1.0
            assert len(b.of(Kind.OPEN_INTEREST)) >= 9
            b.assert_book_usable()

    play(scene)


def test_all_requests_wait_as_long_as_the_venue_says() -> None:
    async def scene() -> None:
        async with bench() as b:
            await b.run(5)
            b.venue.can_ask, b.venue.ask_error = False, Throttled("x", 429, 60.0)
            await b.run(10)
            asked = len(b.venue.asked)
            await b.run(45)
            assert len(b.venue.asked) == asked
            await b.run(20)
            assert len(b.venue.asked) > asked
            assert b.about["throttled"] >= 2.0

    play(scene)


def test_websocket_is_trusted_again_without_a_sync_when_rest_is_dead() -> None:
    async def scene() -> None:
        async with bench() as b:
            await b.run(20)
            b.venue.can_ask = False
            b.venue.lose("market")
            await b.run(30)
            assert b.switches[1:] == [
                (Mode.REST, SwitchReason.DISCONNECTED),
                (Mode.WS, SwitchReason.RECOVERED),
            ]
            b.venue.can_ask = True
            await b.run(100)
            b.assert_whole()

    play(scene)


def test_rest_when_preferred() -> None:
    async def scene() -> None:
        async with bench(FeedParams(data_source_preferred="rest")) as b:
            await b.run(200)
            assert b.switches == [(Mode.REST, SwitchReason.PREFERRED)]
            assert b.venue.asked.count("price") >= 190
            b.assert_whole()

    play(scene)


def test_a_slow_reader_costs_the_oldest_and_a_new_snapshot() -> None:
    async def scene() -> None:
        async with bench(FeedParams(max_queued_events=1_000)) as b:
            await b.run(1)
            books = b.venue.asked.count("book")
            await b.run(400)
            shed = b.statuses(Status.SHED)
            assert int(shed["qty"].sum()) == b.about["shed"] > 0.0
            assert b.venue.asked.count("book") > books
            opens = b.of(Kind.BAR_OPEN)["id"].tolist()
            assert opens == list(range(opens[0], opens[-1] + 1, NS_PER_MINUTE))
            await b.run(20)
            b.assert_book_usable()

    play(scene)


def test_the_clock_is_told_once() -> None:
    async def scene() -> None:
        async with bench() as b:
            await b.run(200)
            told = b.statuses(Status.CLOCK)["aux2"]
            assert len(told) == 1
            assert abs(int(told[0])) <= 1_000_000

    play(scene)


def test_switches_and_health_are_logged_with_their_fields(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with bench() as b:
            await b.run(20)
            b.venue.lose("market")
            await b.run(61)

    with caplog.at_level(logging.INFO):
        play(scene)
    switch = next(record for record in caplog.records if getattr(record, "to", "") == "REST")
    assert (vars(switch)["from"], vars(switch)["reason"], vars(switch)["symbol"]) == ("WS", "DISCONNECTED", BTC.key)
    health = next(record for record in caplog.records if hasattr(record, "health"))
    assert {"mode", "price_age_ms", "kline_age_s", "queued"} <= vars(health)["health"].keys()


def test_a_defect_ends_the_session_and_says_so() -> None:
    class Broken(ScriptedVenue):
        def decode(self, *about: object) -> object:  # type: ignore[override]
            raise ZeroDivisionError

    async def scene() -> None:
        clock, params = VirtualClock(START), FeedParams()
        venue = Broken(clock, BTC, params)
        queue = EventQueue(1_000)
        session = Session(venue, venue.dial, params, clock, queue, generator=np.random.default_rng(1))
        running = asyncio.create_task(session.run())
        await clock.run(0.1)
        venue.step()
        with pytest.raises(ExceptionGroup) as raised:
            await running
        assert raised.group_contains(ZeroDivisionError)
        assert all(socket.is_closed for _, socket in venue.sockets_made)

    play(scene)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_hours_of_random_faults_leave_no_hole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    faults = {
        "drop public": lambda b: b.venue.lose("public"),
        "drop market": lambda b: b.venue.lose("market"),
        "no dial": lambda b: setattr(b.venue, "can_dial", False),
        "no rest": lambda b: setattr(b.venue, "can_ask", False),
        "stall public": lambda b: b.venue.stalled.add("public"),
        "stall market": lambda b: b.venue.stalled.add("market"),
        "mute trades": lambda b: b.venue.muted.add("trade"),
        "mute bars": lambda b: b.venue.muted.add("bar"),
        "mute book": lambda b: b.venue.muted.add("book"),
        "late": lambda b: setattr(b.venue, "lag_ns", 7 * NS_PER_S),
    }

    def heal(b: Bench) -> None:
        b.venue.can_dial = b.venue.can_ask = True
        b.venue.stalled, b.venue.muted, b.venue.lag_ns = set(), set(), 0

    async def scene() -> None:
        async with bench(life_s=1_800.0) as b:
            await b.run(30)
            for _ in range(25):
                for name in rng.choice(sorted(faults), size=rng.integers(1, 3), replace=False):
                    faults[str(name)](b)
                await b.run(float(rng.uniform(1.0, 120.0)))
                heal(b)
                await b.run(float(rng.uniform(5.0, 60.0)))
            await b.run(240)
            assert b.switches[-1] == (Mode.WS, SwitchReason.RECOVERED)
            assert b.about["missing_bars"] == b.about["missing_trades"] == b.about["held_bars"] == 0.0
            b.assert_whole()
            b.assert_book_usable()
            assert len(b.venue.open) == 2
            assert len(asyncio.all_tasks()) < 20

    play(scene)


def test_statistics_are_numbers() -> None:
    async def scene() -> None:
        async with bench() as b:
            await b.run(1)
            assert msgspec.convert(b.about, dict[str, float]) == b.about

    play(scene)
