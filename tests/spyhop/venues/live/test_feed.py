from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from decimal import Decimal

import numpy as np
import pytest
from aiohttp import web

from spyhop.clock import NS_PER_MINUTE, NS_PER_S, ScaledClock, WallClock
from spyhop.errors import ConnectFailed, MissingInput
from spyhop.model import tape
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, Flag, Kind, Mode, Status, SwitchReason, Venue
from spyhop.ports import OpenFeed
from spyhop.venues.adapter import SocketPlan
from spyhop.venues.live.feed import Client, LiveFeed
from spyhop.venues.live.scripted import PLANS, Said, ScriptedVenue, VirtualClock
from spyhop.venues.net import sockets
from spyhop.venues.net.transport import Frame
from spyhop.venues.params import FeedParams

BTC = Instrument(id=3, venue=Venue.BINANCE_USDM, symbol="BTCUSDT", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"))
START = 1_700_000_050 * NS_PER_S
DEADLINE_S = 20.0


class Rig:
    """A feed at a scripted venue in its own thread, whose time passes only in `run`."""

    def __init__(self, clock: VirtualClock, venue: ScriptedVenue, **about: object) -> None:
        self.clock, self.venue = clock, venue
        venue.clock = clock
        self.taps: list[tuple[int, str, int]] = []
        self.has_loop = threading.Event()
        self.failures: list[Exception] = []
        self.is_closed = False
        self.feed = LiveFeed(self._build, FeedParams(), clock, BTC, tap=self._tap, **about)
        self.batches: list[Events] = []

    def _tap(self, connection: int, socket: str, frames: list[Frame]) -> None:
        self.taps.append((connection, socket, len(frames)))

    async def _build(self) -> Client:
        self.loop = asyncio.get_running_loop()
        self.has_loop.set()
        if self.failures:
            raise self.failures.pop(0)
        living = asyncio.create_task(self.venue.live())

        async def close() -> None:
            self.is_closed = True
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)

        return Client(self.venue, self.venue.dial, close)

    def start(self) -> None:
        batch = self.feed.next_batch()
        assert batch is not None
        self.batches.append(batch)
        assert self.has_loop.wait(DEADLINE_S)

    def run(self, seconds: float) -> None:
        asyncio.run_coroutine_threadsafe(self.clock.run(seconds), self.loop).result(DEADLINE_S)
        batch = self.feed.next_batch()
        assert batch is not None
        self.batches.append(batch)

    @property
    def events(self) -> Events:
        return tape.joined([batch for batch in self.batches if len(batch)])


@pytest.fixture
def rig() -> Iterator[Rig]:
    clock = VirtualClock(START)
    made = Rig(clock, ScriptedVenue(clock, BTC, FeedParams()))
    yield made
    made.feed.close()


def of(events: Events, kind: Kind) -> Events:
    return events[events["kind"] == kind]


def statuses(events: Events) -> list[Status]:
    return [Status(aux) for aux in of(events, Kind.STATUS)["aux"]]


def test_it_is_an_open_feed(rig: Rig) -> None:
    assert isinstance(rig.feed, OpenFeed)


def test_events_come_without_waiting(rig: Rig) -> None:
    rig.start()
    assert len(rig.batches[0]) <= 5
    rig.run(10)
    assert len(of(rig.events, Kind.TRADE)) == 20
    assert {socket for _, socket, _ in rig.taps} == set(PLANS)
    assert rig.feed.statistics()["handed_out"] == len(rig.events)
    assert rig.feed.statistics()["frames"] == sum(count for _, _, count in rig.taps) == 60


def test_a_timer_stands_at_every_whole_second_and_while_nothing_comes(rig: Rig) -> None:
    rig.start()
    rig.venue.muted = {"trade", "quote", "book", "bar"}
    rig.run(4)
    assert {START + k * NS_PER_S for k in range(1, 5)} <= set(rig.events["ts_recv"].tolist())
    assert len(of(rig.events, Kind.TIMER)) >= 36
    assert (np.diff(rig.events["ts_recv"]) >= 0).all()
    assert np.diff(rig.events["ts_recv"]).max() <= NS_PER_S // 5
    assert set(of(rig.events, Kind.TIMER)["instrument"].tolist()) == {BTC.id}


def test_no_timer_where_events_pass(rig: Rig) -> None:
    rig.start()
    rig.run(1)
    for _ in range(100):
        rig.venue.clock = rig.clock
        asyncio.run_coroutine_threadsafe(_step(rig.venue), rig.loop).result(DEADLINE_S)
        rig.run(0.05)
    later = rig.events[rig.events["ts_recv"] > START + 2 * NS_PER_S]
    assert len(of(later, Kind.TIMER)) <= 5


def test_a_second_is_closed_when_it_strikes_whatever_comes_then() -> None:
    # between two beats: nobody may wait for the next beat, or for a frame of the new second
    clock = VirtualClock(START + 37 * NS_PER_S // 1_000)
    made = Rig(clock, ScriptedVenue(clock, BTC, FeedParams()))
    made.start()
    made.run(0.964)
    made.feed.close()
    assert made.events["ts_recv"][-1] == START + NS_PER_S
    assert made.events["kind"][-1] == Kind.TIMER


def read_on(feed: LiveFeed) -> None:
    for _ in range(2_000):
        feed.next_batch()
        feed.wait(0.01)


async def _step(venue: ScriptedVenue) -> None:
    venue.step()


def test_arrivals_wake_whoever_waits(rig: Rig) -> None:
    arrived = threading.Event()
    rig.feed.on_arrival = arrived.set
    rig.start()
    rig.batches.append(rig.feed.next_batch())
    arrived.clear()
    asyncio.run_coroutine_threadsafe(rig.clock.run(1), rig.loop).result(DEADLINE_S)
    assert arrived.is_set()
    assert rig.feed.wait(0.0)


def test_a_venue_that_cannot_be_reached_is_tried_again(rig: Rig) -> None:
    rig.failures = [ConnectFailed("x", "refused"), ConnectFailed("x", "refused")]
    rig.start()
    rig.run(10)
    assert len(of(rig.events, Kind.TRADE)) > 0
    assert of(rig.events, Kind.TIMER)["ts_recv"][0] < START + NS_PER_S


def test_what_ends_a_session_is_raised_where_it_is_read(rig: Rig) -> None:
    rig.failures = [MissingInput("binance-usdm lists no BTCUSDT")]
    with pytest.raises(MissingInput, match="lists no"):
        read_on(rig.feed)


def test_a_defect_is_raised_where_it_is_read(rig: Rig) -> None:
    rig.start()
    rig.run(1)
    rig.venue.decode = None  # type: ignore[assignment,method-assign]
    asyncio.run_coroutine_threadsafe(_step(rig.venue), rig.loop).result(DEADLINE_S)
    with pytest.raises(TypeError):
        read_on(rig.feed)
    assert rig.is_closed


def test_close_lets_everything_go(rig: Rig) -> None:
    rig.start()
    rig.run(5)
    rig.feed.close()
    assert not any(thread.name.startswith("feed ") for thread in threading.enumerate())
    assert rig.is_closed
    assert all(socket.is_closed for _, socket in rig.venue.sockets_made)
    rig.feed.next_batch()
    assert rig.feed.next_batch() is None
    rig.feed.close()


def test_close_before_the_start(rig: Rig) -> None:
    rig.feed.close()
    assert rig.feed.next_batch() is None


@pytest.mark.parametrize("num_behind", [0, 1, 700])
def test_a_killed_feed_goes_on_where_its_tape_ends(rig: Rig, num_behind: int) -> None:
    rig.start()
    rig.run(150)
    # the snapshot is older than the tape by `num_behind` events
    kept = rig.events
    place = LiveFeed(rig._build, FeedParams(), rig.clock, BTC)
    place._place.advance(kept[: len(kept) - num_behind])
    snapshot = place.snapshot()
    rig.feed.close()

    async def meanwhile() -> None:
        for _ in range(240):
            await rig.clock.run(0.5)
            rig.venue.step()

    asyncio.run(meanwhile())
    asked: list[int] = []

    def keeper(start: int) -> Iterator[Events]:
        asked.append(start)
        rows = kept[start:]
        yield from (rows[at : at + 100] for at in range(0, len(rows), 100))

    clock = VirtualClock(rig.clock.now_ns())
    again = Rig(clock, rig.venue, kept=keeper)
    again.feed.restore(snapshot)
    try:
        first = []
        while sum(map(len, first)) < num_behind:
            batch = again.feed.next_batch()
            assert batch is not None
            first.append(batch)
        assert tape.joined(first).tobytes() == kept[len(kept) - num_behind :].tobytes()
        again.start()
        assert asked == [len(kept) - num_behind]
        again.run(100)
    finally:
        again.feed.close()
    new = again.events
    assert statuses(new)[:2] == [Status.DISCONNECTED, Status.GAP]
    sources = of(new, Kind.STATUS)
    sources = sources[sources["aux"] == Status.SOURCE]
    assert [(row["qty"], row["id"]) for row in sources] == [
        (Mode.REST, SwitchReason.DISCONNECTED),
        (Mode.WS, SwitchReason.RECOVERED),
    ]
    whole = tape.joined([kept, new])
    assert (np.diff(whole["ts_recv"]) >= 0).all()
    assert sorted(of(whole, Kind.TRADE)["id"].tolist()) == list(range(1, len(rig.venue.trades) + 1))
    opens = of(whole, Kind.BAR_OPEN)["id"].tolist()
    assert opens == [int(bar["id"][0]) for bar in rig.venue.bars]
    assert opens == list(range(opens[0], opens[-1] + 1, NS_PER_MINUTE))
    assert len(of(new, Kind.SNAPSHOT)) >= 1
    assert again.feed.statistics()["handed_out"] == len(whole)


def test_a_place_counts_all_and_knows_the_newest(rig: Rig) -> None:
    rig.start()
    rig.run(200)
    place = rig.feed._place
    assert place.num_events == len(rig.events)
    assert place.trade_id == len(rig.venue.trades)
    assert place.bar_open == rig.venue.bars[-1]["id"][0]


class Loopback(ScriptedVenue):
    """The same market behind a real server."""

    port = 0

    def __init__(self, clock: ScaledClock, params: FeedParams) -> None:
        super().__init__(clock, BTC, params)
        self.peers: dict[web.WebSocketResponse, str] = {}
        self.num_accepted = 0

    async def serve(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/{plan}", self._accept)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        return runner

    async def _accept(self, request: web.Request) -> web.WebSocketResponse:
        peer = web.WebSocketResponse()
        await peer.prepare(request)
        self.num_accepted += 1
        self.peers[peer] = request.match_info["plan"]
        async for _ in peer:
            pass
        self.peers.pop(peer, None)
        return peer

    def sockets(self) -> list[SocketPlan]:
        url = f"ws://127.0.0.1:{self.port}"
        return [SocketPlan(p.name, f"{url}/{p.name}", p.hello, p.streams, p.life_s) for p in super().sockets()]

    def opened(self, socket: str, connection: int) -> None:
        self._chain = 0

    def closed(self, socket: str, connection: int) -> None: ...

    def say(self, stream: str, rows: Events, *wants: object) -> None:
        self._said.append(Said(stream, rows))
        text = str(len(self._said) - 1)
        self.sending = [
            asyncio.ensure_future(peer.send_str(text)) for peer, plan in self.peers.items() if stream in PLANS[plan]
        ]

    def abort(self) -> None:
        for peer in list(self.peers):
            peer._req.transport.abort()  # type: ignore[union-attr]


@pytest.mark.slow
def test_over_real_sockets_a_broken_connection_leaves_no_hole() -> None:
    clock = ScaledClock(WallClock().now_ns(), START, 60.0)
    params = FeedParams()
    venue = Loopback(clock, params)
    made: dict[str, asyncio.AbstractEventLoop] = {}

    async def build() -> Client:
        made["loop"] = asyncio.get_running_loop()
        runner = await venue.serve()
        living = asyncio.create_task(venue.live())

        async def close() -> None:
            living.cancel()
            await asyncio.gather(living, *venue.sending, return_exceptions=True)
            await runner.cleanup()

        return Client(venue, sockets.connect(clock), close)

    feed = LiveFeed(build, params, clock, BTC)
    batches: list[Events] = []

    def read_until(is_enough: object) -> None:
        give_up = WallClock().now_ns() + round(DEADLINE_S * NS_PER_S)
        while not is_enough():  # type: ignore[operator]
            assert WallClock().now_ns() < give_up, feed.statistics()
            feed.wait(0.05)
            batch = feed.next_batch()
            assert batch is not None
            batches.append(batch)

    def has(kind: Kind, count: int) -> object:
        return lambda: sum(np.count_nonzero(batch["kind"] == kind) for batch in batches) >= count

    def switched(mode: Mode, reason: SwitchReason) -> object:
        def is_there() -> bool:
            rows = tape.joined([batch for batch in batches if len(batch)])
            rows = rows[(rows["kind"] == Kind.STATUS) & (rows["aux"] == Status.SOURCE)]
            return len(rows) > 0 and (rows["qty"][-1], rows["id"][-1]) == (mode, reason)

        return is_there

    try:
        read_until(has(Kind.TRADE, 100))
        made["loop"].call_soon_threadsafe(venue.abort)
        read_until(switched(Mode.REST, SwitchReason.DISCONNECTED))
        read_until(switched(Mode.WS, SwitchReason.RECOVERED))
        read_until(has(Kind.BAR_OPEN, 3))
        about = feed.statistics()
    finally:
        feed.close()
    rows = tape.joined([batch for batch in batches if len(batch)])
    numbers = sorted(of(rows, Kind.TRADE)["id"].tolist())
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    opens = of(rows, Kind.BAR_OPEN)["id"].tolist()
    assert opens == list(range(opens[0], opens[-1] + 1, NS_PER_MINUTE))
    assert about["reconnects"] >= 2.0
    assert venue.num_accepted >= 4
    assert (rows["flags"] & Flag.BACKFILLED).any()
