from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_MINUTE, NS_PER_S
from spyhop.model.tape import Mode, SwitchReason
from spyhop.venues.live.source import (
    KlineClosed,
    PriceTick,
    RestFailed,
    RestPrice,
    SocketClosed,
    SocketFailed,
    SocketOpened,
    SourceManager,
    Started,
    StartSync,
    Stimulus,
    SwitchTo,
    SyncDone,
    SyncFailed,
    Tick,
    Traded,
)
from spyhop.venues.params import FeedParams

MINUTE = 60
T0 = 1_700_000_040  # a whole minute
WS, REST = Mode.WS, Mode.REST
SYNC = ("sync",)


def ns(seconds: float) -> int:
    return round((T0 + seconds) * NS_PER_S)


def at(seconds: float, kind: type[Stimulus], *rest: object) -> Stimulus:
    return kind(ns(seconds), *rest)


def fresh(seconds: float) -> Stimulus:
    return PriceTick(ns(seconds), ns(seconds - 0.1))


def old(seconds: float) -> Stimulus:
    return PriceTick(ns(seconds), ns(seconds - 6.0))


def told(manager: SourceManager, stimuli: list[Stimulus]) -> list[tuple[object, ...]]:
    said: list[tuple[object, ...]] = []
    for stimulus in stimuli:
        for instruction in manager.on(stimulus):
            match instruction:
                case SwitchTo(ts=ts, mode=mode, reason=reason, symbol="BTC"):
                    said.append((round(ts / NS_PER_S - T0, 3), mode, reason))
                case StartSync(num_bars=120):
                    said.append(SYNC)
    return said


# each begins 1 s into a minute
START = [at(1, Started), at(1, SocketOpened, "public"), at(1, SocketOpened, "market"), at(1.5, SyncDone)]
LIVE = [*START, fresh(2)]
LOST = [*LIVE, at(3, SocketClosed, "market")]
BACK = [*LOST, at(4, SocketOpened, "market"), fresh(8.1), fresh(8.2)]
RETURNING = [*BACK, fresh(8.3)]
PREFERRED = FeedParams(data_source_preferred="rest")

TABLE = [
    ("start", [], [at(1, Started)], WS, [(1, WS, SwitchReason.STARTED), SYNC]),
    ("fresh prices", LIVE, [fresh(5), at(9.9, Tick)], WS, []),
    ("exception", LIVE, [at(3, SocketFailed, "public")], REST, [(3, REST, SwitchReason.EXCEPTION)]),
    ("disconnect", LIVE, [at(3, SocketClosed, "market")], REST, [(3, REST, SwitchReason.DISCONNECTED)]),
    ("a second socket goes", LOST, [at(4, SocketFailed, "public")], REST, []),
    ("price just not stale", LIVE, [at(7, Tick)], WS, []),
    ("price stale", LIVE, [at(7.1, Tick)], REST, [(7.1, REST, SwitchReason.PRICE_STALE)]),
    ("old prices are not fresh", LIVE, [old(6), at(7.1, Tick)], REST, [(7.1, REST, SwitchReason.PRICE_STALE)]),
    ("never a price", START, [at(6.1, Tick)], REST, [(6.1, REST, SwitchReason.PRICE_STALE)]),
    ("minute not overdue", LIVE, [fresh(89), at(90, Tick)], WS, []),
    ("minute overdue", LIVE, [fresh(90), at(90.1, Tick)], REST, [(90.1, REST, SwitchReason.KLINE_STALE)]),
    ("minute closed", LIVE, [at(60.2, KlineClosed, ns(0)), fresh(90), at(90.1, Tick)], WS, []),
    (
        "an older minute does not count",
        LIVE,
        [at(60.2, KlineClosed, ns(-60)), fresh(90), at(90.1, Tick)],
        REST,
        [(90.1, REST, SwitchReason.KLINE_STALE)],
    ),
    (
        "the venue's clock is 20 s ahead",
        LIVE,
        [fresh(70), at(70.1, Tick, 20 * NS_PER_S)],
        REST,
        [(70.1, REST, SwitchReason.KLINE_STALE)],
    ),
    ("two good prices", LOST, [at(4, SocketOpened, "market"), fresh(8.1), fresh(8.2)], REST, []),
    ("three good prices", BACK, [fresh(8.3)], REST, [SYNC]),
    ("good prices too soon after the change", LOST, [at(4, SocketOpened, "market")] + [fresh(7)] * 9, REST, []),
    ("an old one among good prices", BACK, [old(8.25), fresh(8.3), fresh(8.4)], REST, []),
    ("good prices, a socket down", LOST, [fresh(8.1), fresh(8.2), fresh(8.3)], REST, []),
    ("synced", RETURNING, [at(8.5, SyncDone)], WS, [(8.5, WS, SwitchReason.RECOVERED)]),
    ("not asked twice", RETURNING, [fresh(8.4)], REST, []),
    ("sync failed", RETURNING, [at(8.5, SyncFailed), fresh(8.6)], REST, []),
    ("sync failed, tried again", RETURNING, [at(8.5, SyncFailed), fresh(9.6)], REST, [SYNC]),
    ("price went old during the sync", RETURNING, [old(8.4), at(8.5, SyncDone)], REST, []),
    ("socket lost during the sync", RETURNING, [at(8.4, SocketClosed, "public"), at(8.5, SyncDone)], REST, []),
    ("another sync is no return", BACK, [at(8.5, SyncDone)], REST, []),
    ("REST delivers, WebSocket is good", BACK, [at(8.25, RestPrice), at(8.3, Tick)], REST, []),
    (
        "REST is dead, WebSocket is good",
        BACK,
        [fresh(8.3), at(8.4, SyncFailed), at(8.5, Tick)],
        WS,
        [SYNC, (8.5, WS, SwitchReason.RECOVERED), SYNC],
    ),
    ("both dead", LOST, [at(60, Tick), at(120, Tick)], REST, []),
    (
        "a return forgives the minute missed",
        [*RETURNING, at(70, SyncDone)],
        [fresh(149), at(150, Tick)],
        WS,
        [],
    ),
]


@pytest.mark.parametrize(
    ("before", "stimuli", "mode", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_table(before: list[Stimulus], stimuli: list[Stimulus], mode: Mode, expected: list[tuple[object, ...]]) -> None:
    manager = SourceManager(FeedParams(), "BTC")
    told(manager, before)
    assert told(manager, stimuli) == expected
    assert manager.mode is mode


def test_a_switch_names_where_it_came_from() -> None:
    manager = SourceManager(FeedParams(), "BTC")
    said = [instruction for stimulus in LOST for instruction in manager.on(stimulus)]
    switches = [(said.previous, said.mode) for said in said if isinstance(said, SwitchTo)]
    assert switches == [(None, WS), (WS, REST)]
    assert manager.num_switches == 1


def test_a_resumed_feed_was_disconnected() -> None:
    manager = SourceManager(FeedParams(), "BTC")
    assert told(manager, [Started(ns(1), is_resumed=True)]) == [(1, REST, SwitchReason.DISCONNECTED), SYNC]


def test_rest_preferred_stays_while_it_delivers_and_comes_back() -> None:
    manager = SourceManager(PREFERRED, "BTC")
    assert told(manager, [*START, fresh(2), fresh(3), fresh(4)]) == [(1, REST, SwitchReason.PREFERRED), SYNC]
    assert told(manager, [at(5, RestPrice), fresh(9.8), at(10, Tick)]) == []
    assert told(manager, [at(10.1, Tick)]) == [(10.1, WS, SwitchReason.PRICE_STALE), SYNC]
    told(manager, [fresh(15)])
    assert told(manager, [at(16, RestPrice), at(16.5, RestFailed), at(17, RestPrice), at(18, RestPrice)]) == []
    assert told(manager, [at(19, RestPrice)]) == [(19, REST, SwitchReason.PREFERRED)]


@pytest.mark.parametrize(("traded", "mode"), [([], WS), ([at(20, Traded, ns(20))], REST)])
def test_a_minute_without_trades_is_not_due_where_there_is_no_bar_of_it(traded: list[Stimulus], mode: Mode) -> None:
    manager = SourceManager(FeedParams(), "BTC", has_silent_bars=True)
    told(manager, [*LIVE, *traded, fresh(90), at(90.1, Tick)])
    assert manager.mode is mode


def test_a_traded_minute_that_closed_is_not_due() -> None:
    manager = SourceManager(FeedParams(), "BTC", has_silent_bars=True)
    told(manager, [*LIVE, at(20, Traded, ns(20)), at(60.2, KlineClosed, ns(0)), fresh(500), at(501, Tick)])
    assert manager.mode is WS


class World:
    """Which paths deliver, as the script has it."""

    def __init__(self) -> None:
        self.now = self.last_fresh = self.last_rest = 1.0
        self.is_open, self.is_syncing = True, False

    def stimulus(self, what: str) -> Stimulus:
        now = self.now
        match what:
            case "fresh" if self.is_open:
                self.last_fresh = now
                return fresh(now)
            case "old" if self.is_open:
                return old(now)
            case "rest":
                self.last_rest = now
                return at(now, RestPrice)
            case "open":
                self.is_open = True
            case "done" | "not done" if self.is_syncing:
                self.is_syncing = False
                return at(now, SyncDone if what == "done" else SyncFailed)
            case "fail" | "close":
                self.is_open = False
        return SIMPLE.get(what, lambda now: at(now, Tick))(now)


SIMPLE: dict[str, Callable[[float], Stimulus]] = {
    "rest failed": lambda now: at(now, RestFailed),
    "open": lambda now: at(now, SocketOpened, "public"),
    "fail": lambda now: at(now, SocketFailed, "public"),
    "close": lambda now: at(now, SocketClosed, "public"),
    "bar": lambda now: at(now, KlineClosed, int((T0 + now) // 60 * 60 - 60) * NS_PER_S),
}

steps = st.lists(
    st.tuples(st.floats(0.05, 4.0), st.sampled_from(["fresh", "old", "rest", "done", "not done", *SIMPLE])),
    max_size=200,
)


@given(steps, st.sampled_from(["ws", "rest"]))
def test_laws(script: list[tuple[float, str]], preferred: str) -> None:
    params = FeedParams(data_source_preferred=preferred)
    home = WS if preferred == "ws" else REST
    manager, world = SourceManager(params, "BTC"), World()
    told(manager, START)
    came_home: list[float] = []
    went_to_ws = 1.0
    for pause, what in script:
        world.now += pause
        before = manager.mode
        stimulus = world.stimulus(what)
        for said in [*manager.on(stimulus), *manager.on(at(world.now, Tick))]:
            if isinstance(said, StartSync):
                world.is_syncing = True
                continue
            # every switch is one, and names itself
            assert (said.symbol, said.previous) == ("BTC", before)
            assert said.mode is not before
            before = said.mode
            came_home += [world.now] * (said.mode is home)
            went_to_ws = world.now if said.mode is WS else went_to_ws
        # never the dead one while the other lives
        is_fresh = world.now - world.last_fresh <= params.stale_seconds
        if manager.mode is WS:
            assert world.is_open
            assert is_fresh or world.now - went_to_ws <= params.stale_seconds
        elif preferred == "ws" and manager.num_good >= params.ws_recover_good_ticks and world.is_open:
            is_rest_dead = world.now - (manager.ts_rest / NS_PER_S - T0) > params.stale_seconds
            assert not (is_fresh and is_rest_dead)
    # no flapping: it comes home at most once in `stale_seconds`
    assert all(b - a >= params.stale_seconds - 1e-6 for a, b in pairwise(came_home))


def test_due_is_a_minute_after_the_next_opens() -> None:
    manager = SourceManager(FeedParams(), "BTC")
    told(manager, [*LIVE, at(60.2, KlineClosed, ns(0))])
    assert manager.kline_due == ns(2 * MINUTE)
    assert NS_PER_MINUTE == MINUTE * NS_PER_S
