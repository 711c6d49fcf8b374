"""A follower follows by its lag, tells a tape that chains, and holds positions that add up."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pytest

from spyhop.clock import NS_PER_S
from spyhop.errors import InvalidSetting
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, Flag, Kind, Venue, empty, event, joined
from spyhop.simulation.feed import GenerativeFeed
from spyhop.simulation.followers import SPOT, Follower, FollowerParams

START = 1_760_000_000 * NS_PER_S
MINUTES = 20
END = START + MINUTES * 60 * NS_PER_S

LEADER = Instrument(
    id=0,
    venue=Venue.BINANCE_USDM,
    symbol="BTCUSDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
    base="BTC",
)
FOLLOWER = Instrument(
    id=1, venue=Venue.DYDX, symbol="BTC-USD", tick_size=Decimal(1), lot_size=Decimal("0.0001"), base="BTC"
)


@pytest.fixture(scope="module")
def leader() -> Events:
    feed = GenerativeFeed(LEADER, 7, START, hours=MINUTES / 60)
    parts = []
    while (batch := feed.next_batch()) is not None:
        parts.append(batch)
    rows = joined(parts)
    return rows[rows["ts_recv"] <= END]


def followed(leader: Events, params: FollowerParams | None = None, seed: int = 7) -> Events:
    return Follower(FOLLOWER, LEADER, seed, START, params).advance(leader, END)


def mids(rows: Events, tick: float, step_ns: int) -> npt.NDArray[np.float64]:
    quotes = rows[rows["kind"] == Kind.QUOTE]
    grid = np.arange(START + 10 * NS_PER_S, END, step_ns)
    at = np.searchsorted(quotes["ts_recv"], grid, "right") - 1
    return np.asarray(0.5 * (quotes["price"][at] + quotes["aux"][at]) * tick)


def lag_found(leader: Events, rows: Events) -> tuple[int, float]:
    """The shift (ms) at which log returns of 50 ms correlate most, and that correlation."""
    step = NS_PER_S // 20
    a = np.diff(np.log(mids(leader, LEADER.tick, step)))
    b = np.diff(np.log(mids(rows, FOLLOWER.tick, step)))
    found = [float(np.corrcoef(a[: len(a) - k], b[k:])[0, 1]) for k in range(40)]
    best = int(np.argmax(found))
    return 50 * best, found[best]


@pytest.mark.slow
@pytest.mark.parametrize("lag_ms", [0.0, 150.0, 400.0, 1_000.0])
def test_the_lag_is_found_in_the_ticks(leader: Events, lag_ms: float) -> None:
    found, correlation = lag_found(leader, followed(leader, FollowerParams(lag_ms=lag_ms)))
    assert abs(found - lag_ms) <= 50
    assert correlation > 0.5


def test_an_unrelated_market_shows_no_lag(leader: Events) -> None:
    other = GenerativeFeed(LEADER, 8, START, hours=MINUTES / 60)
    parts = []
    while (batch := other.next_batch()) is not None:
        parts.append(batch)
    assert lag_found(leader, followed(joined(parts)))[1] < 0.3


@pytest.mark.parametrize("num_cuts", [3, 400])
def test_cutting_changes_no_bit(leader: Events, num_cuts: int) -> None:
    whole = followed(leader)
    one = Follower(FOLLOWER, LEADER, 7, START)
    parts, at = [], 0
    for until in sorted(np.random.default_rng(1).integers(START, END, num_cuts).tolist()) + [END]:
        stop = int(np.searchsorted(leader["ts_recv"], until, "right"))
        parts.append(one.advance(leader[at:stop], until))
        assert not len(parts[-1]) or parts[-1]["ts_recv"][-1] <= until
        at = stop
    assert joined(parts).tobytes() == whole.tobytes()


def test_another_seed_is_another_market(leader: Events) -> None:
    assert followed(leader, seed=8).tobytes() != followed(leader, seed=7).tobytes()
    with pytest.raises(InvalidSetting):
        Follower(FOLLOWER, LEADER, -1, START)


def test_the_tape_is_in_order_and_chains(leader: Events) -> None:
    rows = followed(leader)
    assert (np.diff(rows["ts_recv"]) >= 0).all()
    assert (rows["ts_event"] <= rows["ts_recv"]).all()
    trades = rows[rows["kind"] == Kind.TRADE]
    assert len(trades) > 200
    assert (np.diff(trades["id"]) == 1).all()
    frames = rows[(rows["kind"] == Kind.LEVEL) & ((rows["flags"] & Flag.LAST) != 0)]
    # the first is the snapshot's; then each frame begins right after the one before, and none names a predecessor
    assert (frames["aux"][1:] == frames["id"][:-1] + 1).all()
    assert (frames["aux2"] == -1).all()
    quotes = rows[rows["kind"] == Kind.QUOTE]
    assert (quotes["aux"] > quotes["price"]).all()
    assert (np.diff(quotes["id"]) > 0).all()


def test_trades_lean_with_the_catching_up(leader: Events) -> None:
    rows = followed(leader, FollowerParams(noise_bps=0.0, basis_swing_bps=0.0, orders_per_s_per_bp=3.0))
    trades = rows[rows["kind"] == Kind.TRADE]
    quotes = rows[rows["kind"] == Kind.QUOTE]
    before = np.searchsorted(quotes["ts_recv"], trades["ts_recv"], "left") - 1
    after = np.searchsorted(quotes["ts_recv"], trades["ts_recv"] + NS_PER_S // 4, "right") - 1
    move = (quotes["price"][after] + quotes["aux"][after]) - (quotes["price"][before] + quotes["aux"][before])
    moved = move != 0
    agreed = np.sign(move[moved]) == trades["side"][moved]
    assert agreed.mean() > 0.6


def check_positions(one: Follower) -> None:
    state = one._state[0]
    assert state["held"][0] == state["held"][1] == state["market"]["open_interest"]
    for side in range(2):
        assert state["cohorts"]["lots"][side].sum() == state["held"][side]
        assert (state["cohorts"]["lots"][side] >= 0).all()


def test_open_interest_is_what_longs_and_shorts_hold(leader: Events) -> None:
    one = Follower(FOLLOWER, LEADER, 7, START, FollowerParams(orders_per_s=20.0))
    rows = one.advance(leader, END)
    check_positions(one)
    told = rows[rows["kind"] == Kind.OPEN_INTEREST]
    assert told["ts_recv"][-1] == pytest.approx(END, abs=1_000)
    assert told["qty"][-1] == one._state["held"][0, 0]
    assert len(np.unique(told["qty"])) > 100


def falling(frac_per_s: float) -> Events:
    """A leader that quotes once a second and falls (rises) steadily."""
    rows = []
    for second in range(300):
        bid = int(600_000 * (1.0 + frac_per_s * second))
        rows.append(event(Kind.QUOTE, START + second * NS_PER_S, price=bid, qty=5, aux=bid + 1, aux2=5, id=second + 1))
    return joined(rows)


@pytest.mark.parametrize(("frac_per_s", "forced"), [(-2e-4, -1), (2e-4, 1)])
def test_a_long_way_down_liquidates_longs_and_up_shorts(frac_per_s: float, forced: int) -> None:
    one = Follower(FOLLOWER, LEADER, 1, START)
    rows = one.advance(falling(frac_per_s), START + 300 * NS_PER_S)
    check_positions(one)
    forced_rows = np.flatnonzero(rows["kind"] == Kind.LIQUIDATION)
    assert len(forced_rows) > 10
    # at first some of the others stand close to the price, too
    assert (rows["side"][forced_rows] == forced).mean() > 0.9
    for at in forced_rows.tolist():
        same = (rows["ts_recv"] == rows["ts_recv"][at]) & (rows["kind"] == Kind.TRADE)
        assert rows["qty"][at] <= rows["qty"][same].sum()
    interest = rows[rows["kind"] == Kind.OPEN_INTEREST]["qty"]
    assert interest[-1] < interest[0]


def test_a_quiet_market_liquidates_nobody() -> None:
    rows = Follower(FOLLOWER, LEADER, 1, START).advance(falling(0.0), START + 300 * NS_PER_S)
    assert (rows["kind"] == Kind.LIQUIDATION).sum() <= 20
    late = rows[rows["ts_recv"] > START + 100 * NS_PER_S]
    assert not (late["kind"] == Kind.LIQUIDATION).any()


def test_funding_is_hourly_and_follows_the_premium() -> None:
    params = FollowerParams(basis_bps=8.0, basis_swing_bps=0.0, noise_bps=0.0, funding_interval_s=60)
    rows = Follower(FOLLOWER, LEADER, 1, START, params).advance(falling(0.0), START + 300 * NS_PER_S)
    paid = rows[(rows["kind"] == Kind.FUNDING) & ((rows["flags"] & Flag.SETTLED) != 0)]
    assert (np.diff(paid["id"]) == 60 * NS_PER_S).all()
    assert len(paid) >= 4
    # a premium of 8 bp pays an eighth of it
    assert paid["aux"][1:] == pytest.approx(1e12 * 1e-4, rel=0.1)
    assert FollowerParams().funding_interval_s == 3_600


def test_a_spot_follower_has_no_perpetual_rows(leader: Events) -> None:
    kinds = set(followed(leader, SPOT)["kind"].tolist())
    assert kinds == {Kind.TRADE, Kind.QUOTE, Kind.LEVEL, Kind.SNAPSHOT, Kind.STATUS}


def test_without_a_price_to_follow_nothing_happens() -> None:
    one = Follower(FOLLOWER, LEADER, 1, START)
    assert len(one.advance(empty(), START + NS_PER_S)) == 0
    late = event(Kind.TRADE, START + NS_PER_S, price=600_000, qty=1, side=1, id=1)
    assert len(one.advance(late, START + 2 * NS_PER_S)) > 20
