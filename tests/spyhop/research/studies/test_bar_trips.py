from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from spyhop.errors import UserError
from spyhop.numerics.follow import HORIZON, STOP, TAKE_PROFIT
from spyhop.research.studies.bar_trips import (
    REVERTED,
    TRIP,
    MinuteBars,
    ReversionParams,
    Trips,
    bars_within,
    cost_of_trip,
    follow_trips,
    net,
    reversion_trips,
    signals,
    spreads,
    trips_at,
    whole_bars,
)
from spyhop.strategies.lead import LeadParams

MINUTE = 60_000_000_000
NAN = math.nan

# enters long when the leader rose by 1 % over a minute and the follower stands 0.5 % or more below it
RULES = LeadParams(
    window_s=60,
    fall_frac=0.01,
    rise_frac=0.01,
    premium_frac=0.005,
    discount_frac=0.005,
    take_profit_frac=0.02,
    stop_loss_frac=0.03,
    horizon_s=240,
)
STILL = (100.0, 100.0, 100.0, 100.0)
GONE = (NAN, NAN, NAN, NAN)


def tape(leader: list[float], follower: list[tuple[float, float, float, float]]) -> MinuteBars:
    columns = np.array(follower).T.copy()
    ts = (np.arange(len(leader), dtype=np.int64) + 1) * MINUTE
    return MinuteBars(ts, np.array(leader, np.float64), *columns, np.zeros(len(leader)))


def bought(*after: tuple[float, float, float, float]) -> MinuteBars:
    """A signal to buy at the close of bar 1, at 100, and what comes then."""
    return tape([100.0, 102.0, *[102.0] * len(after)], [STILL, STILL, *after])


def sold(*after: tuple[float, float, float, float]) -> MinuteBars:
    return tape([100.0, 98.0, *[98.0] * len(after)], [STILL, STILL, *after])


def only(trips: Trips) -> Any:
    assert len(trips.rows) == 1
    return trips.rows[0]


def test_a_follower_that_stands_below_a_leader_that_rose_is_bought_at_the_close() -> None:
    trip = only(follow_trips(bought((100, 103, 99, 101)), RULES))
    assert (trip["i_signal"], trip["i_entry"], trip["i_exit"], trip["side"]) == (1, 1, 2, 1)
    assert (trip["entered_at"], trip["left_at"]) == (2 * MINUTE, 3 * MINUTE)
    assert (trip["entry"], trip["reason"]) == (100.0, TAKE_PROFIT)
    assert trip["exit"] == pytest.approx(102.0)
    assert trip["gross"] == pytest.approx(0.02)
    assert trip["leader_return"] == pytest.approx(0.02)
    assert trip["spread_entry"] == pytest.approx(100 / 102 - 1)
    assert trip["spread_exit"] == pytest.approx(101 / 102 - 1)


def test_a_follower_that_stands_above_a_leader_that_fell_is_sold() -> None:
    trip = only(follow_trips(sold((100, 100, 97, 99)), RULES))
    assert (trip["side"], trip["reason"]) == (-1, TAKE_PROFIT)
    assert trip["exit"] == pytest.approx(98.0)
    assert trip["gross"] == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("bars", "price"),
    [
        (bought((100, 101, 96.9, 98)), 97.0),
        (bought((95, 96, 94, 95)), 95.0),  # opened beyond the stop
        (sold((100, 103.1, 99, 102)), 103.0),
        (sold((105, 106, 104, 105)), 105.0),
        (bought((100, 102.5, 96.5, 100)), 97.0),  # both were touched
        (sold((100, 103.5, 97.5, 100)), 103.0),
        (bought((103, 104, 96, 100)), 97.0),  # even where the open lay beyond the take profit
    ],
)
def test_a_stop_fills_at_its_price_or_worse_and_before_a_take_profit(bars: MinuteBars, price: float) -> None:
    trip = only(follow_trips(bars, RULES))
    assert trip["reason"] == STOP
    assert trip["exit"] == pytest.approx(price)
    assert trip["gross"] == pytest.approx(trip["side"] * (price / 100 - 1))


def test_a_take_profit_fills_no_better_than_its_price() -> None:
    assert only(follow_trips(bought((110, 111, 109, 110)), RULES))["exit"] == pytest.approx(102.0)


def test_the_horizon_ends_at_the_first_close_that_is_old_enough() -> None:
    trip = only(follow_trips(bought(*[(100, 101, 99, 100.0 + i) for i in range(6)]), RULES))
    assert (trip["i_exit"], trip["reason"], trip["exit"]) == (5, HORIZON, 103.0)
    part = only(follow_trips(bought(*[STILL] * 6), replace(RULES, horizon_s=181)))
    assert part["i_exit"] == 5


def test_a_missing_bar_touches_nothing_and_its_time_counts() -> None:
    gap = bought(STILL, GONE, GONE, GONE, (100, 100, 100, 99.0), STILL)
    trip = only(follow_trips(gap, RULES))
    assert (trip["i_exit"], trip["reason"], trip["exit"]) == (6, HORIZON, 99.0)
    late_stop = bought(GONE, GONE, GONE, GONE, GONE, (90, 91, 89, 90))
    assert only(follow_trips(late_stop, RULES))["exit"] == 90.0


def test_a_bar_that_is_missing_says_nothing() -> None:
    assert follow_trips(tape([100, 102, 102], [STILL, GONE, STILL]), RULES).num_signals == 0
    assert follow_trips(tape([NAN, 102, 102], [STILL, STILL, STILL]), RULES).num_signals == 0
    assert follow_trips(tape([100, NAN, 102], [STILL, STILL, STILL]), RULES).num_signals == 0


def test_what_the_data_cuts_off_is_counted_and_left_out() -> None:
    trips = follow_trips(bought(STILL, STILL), RULES)
    assert len(trips.rows) == 0
    assert trips[1:] == (1, 0, 1)


def test_one_position_at_a_time_and_the_bar_of_an_exit_may_give_the_next_signal() -> None:
    leader = [100.0, 102.0, 104.1, 106.2, 108.4, 108.4]
    quick = tape(leader, [STILL, STILL, (100, 101, 99, 100), (100, 103, 99, 102), (102, 110, 101, 103), STILL])
    first, second = follow_trips(quick, RULES).rows
    # bar 2 would be a signal as well, but the first position is open until bar 3
    assert (first["i_signal"], first["i_exit"]) == (1, 3)
    assert (second["i_signal"], second["i_exit"], second["entry"]) == (3, 4, 102.0)


def test_a_latency_enters_at_the_open_of_the_first_bar_that_late() -> None:
    # the next bar opens at the signal's own instant: too soon for any latency at all
    bars = bought(STILL, (101, 101.5, 100, 100), (99, 103.1, 98.5, 100), STILL, STILL, STILL)
    trip = only(follow_trips(bars, RULES, latency_s=0.2))
    assert (trip["i_signal"], trip["i_entry"], trip["entry"], trip["entered_at"]) == (1, 3, 101.0, 3 * MINUTE)
    # the exits hold within the bar of the entry
    assert only(follow_trips(bought(STILL, (101, 104, 100, 100)), RULES, latency_s=60))["i_exit"] == 3
    later = only(follow_trips(bars, RULES, latency_s=61))
    assert (later["i_entry"], later["entry"], later["reason"]) == (4, 99.0, TAKE_PROFIT)
    # its horizon runs from that open: 60 s are over at the same bar's close
    at_once = only(follow_trips(bars, replace(RULES, horizon_s=60), latency_s=1))
    assert (at_once["i_exit"], at_once["reason"], at_once["exit"]) == (3, HORIZON, 100.0)


def test_a_bar_of_entry_that_is_missing_is_no_entry() -> None:
    trips = follow_trips(bought(STILL, GONE, STILL, STILL, STILL, STILL, STILL), RULES, latency_s=1)
    assert (len(trips.rows), *trips[1:]) == (0, 1, 1, 0)
    assert follow_trips(bought(), RULES, latency_s=1)[1:] == (1, 1, 0)


def test_nobody_knows_before_its_time_that_a_bar_of_entry_will_be_missing() -> None:
    leader = [100.0, 102.0, 104.1, 104.1, 104.1, 104.1, 104.1, 104.1]
    bars = tape(leader, [STILL, STILL, STILL, GONE, STILL, STILL, STILL, STILL])
    # the order of bar 1 is under way to bar 3 when bar 2 would ask for one
    assert follow_trips(bars, RULES, latency_s=60)[1:] == (1, 1, 0)


def test_the_basis_is_taken_out_of_the_spread() -> None:
    bars = bought((100, 103, 99, 101))
    fair = bars._replace(basis=np.full(3, 100 / 102 - 1))
    assert spreads(fair)[1] == pytest.approx(0.0)
    assert follow_trips(fair, RULES).num_signals == 0


def test_direction_leaves_one_side_out() -> None:
    assert follow_trips(bought((100, 103, 99, 101)), replace(RULES, direction="short")).num_signals == 0
    assert follow_trips(sold((100, 100, 97, 99)), replace(RULES, direction="long")).num_signals == 0
    assert follow_trips(sold((100, 100, 97, 99)), replace(RULES, direction="short")).num_signals == 1


def test_lengths_of_time_are_whole_bars() -> None:
    assert [bars_within(seconds) for seconds in (0, 0.001, 60, 60.001, 900)] == [0, 1, 1, 2, 15]
    assert whole_bars(300) == 5
    for seconds in (30, 90, 0, -60, 60.5):
        with pytest.raises(UserError, match="whole minutes"):
            whole_bars(seconds)
    for wrong in (-1.0, math.inf, NAN):
        with pytest.raises(UserError, match="no length of time"):
            bars_within(wrong)


def test_no_bars_are_no_trips() -> None:
    empty = tape([], [STILL])._replace(**{name: np.zeros(0) for name in ("open", "high", "low", "close")})
    assert follow_trips(empty, RULES)[1:] == (0, 0, 0)
    assert reversion_trips(empty, ReversionParams())[1:] == (0, 0, 0)


def test_costs_come_off_the_gross() -> None:
    rows = np.zeros(2, TRIP)
    rows["gross"], rows["side"], rows["left_at"] = [0.01, -0.01], [1, -1], 8 * 60 * MINUTE
    assert net(rows, 8).tolist() == pytest.approx([0.0092, -0.0108])
    assert net(rows, 8, 1).tolist() == pytest.approx([0.0090, -0.0110])
    assert net(rows, 8, 1, num_legs=2).tolist() == pytest.approx([0.0088, -0.0112])
    # a long pays 1 bp in 8 hours, a short gets it
    assert net(rows, 0, funding_per_h=0.0001 / 8).tolist() == pytest.approx([0.0099, -0.0099])
    assert cost_of_trip(20, 2.5, 2) == pytest.approx(0.003)


def test_both_legs_are_entered_while_the_spread_is_wide_and_left_when_it_came_back() -> None:
    bars = tape([100, 100, 101, 102, 102], [STILL, (0, 0, 0, 101), (0, 0, 0, 101.8), (0, 0, 0, 102.01), STILL])
    rules = ReversionParams(entry_frac=0.0099, exit_frac=0.0002)
    trip = only(reversion_trips(bars, rules))
    assert (trip["i_entry"], trip["i_exit"], trip["side"], trip["reason"]) == (1, 3, -1, REVERTED)
    assert trip["gross"] == pytest.approx(-(102.01 / 101 - 1) + 0.02)
    assert trip["leader_return"] == pytest.approx(0.02)
    # a discount the other way round
    mirrored = tape([101, 101, 101], [(0, 0, 0, 101), STILL, (0, 0, 0, 101)])
    assert only(reversion_trips(mirrored, ReversionParams(entry_frac=0.0099, exit_frac=0.0)))["side"] == 1


def test_a_reversion_without_a_horizon_waits_and_with_one_does_not() -> None:
    wide = tape([100.0] * 5, [(0, 0, 0, 101.0)] * 5)
    rules = ReversionParams(entry_frac=0.005, exit_frac=0.001)
    assert reversion_trips(wide, rules)[1:] == (1, 0, 1)
    timed = reversion_trips(wide, ReversionParams(entry_frac=0.005, exit_frac=0.001, horizon_s=120))
    assert timed.rows["i_exit"].tolist() == [2, 4]
    assert timed.rows["reason"].tolist() == [HORIZON, HORIZON]
    assert timed.num_unfinished == 1  # the close that ends the second begins a third


def test_a_reversion_with_a_latency_is_late_at_both_ends() -> None:
    closes = [101.0, 100.8, 100.05, 99.9, NAN, 99.7, 100.0]
    bars = tape([100.0] * 7, [(0, 0, 0, close) for close in closes])
    trip = only(reversion_trips(bars, ReversionParams(entry_frac=0.009, exit_frac=0.001), latency_s=90))
    # decided at bar 0, entered two later; decided at bar 3, bar 5 is there
    assert (trip["i_entry"], trip["i_exit"], trip["entry"], trip["exit"]) == (2, 5, 100.05, 99.7)
    missing = reversion_trips(bars, ReversionParams(entry_frac=0.009, exit_frac=0.001), latency_s=240)
    assert missing[1:] == (1, 1, 0)


# ---- a slow reading of the rules: minute by minute, knowing at each only what was known then


def slow_exit(p: LeadParams, side: int, entry: float, age_s: float, bar: tuple[float, ...]) -> tuple[int, float] | None:
    opened, high, low, close = bar
    tp, sl = entry * (1 + side * p.take_profit_frac), entry * (1 - side * p.stop_loss_frac)
    if math.isnan(close):
        return None
    if low <= sl if side == 1 else high >= sl:
        return STOP, (min if side == 1 else max)(sl, opened)
    if high >= tp if side == 1 else low <= tp:
        return TAKE_PROFIT, tp
    return (HORIZON, close) if age_s >= p.horizon_s else None


def slow_side(bars: MinuteBars, p: LeadParams, i: int) -> int:
    window = int(p.window_s // 60)
    if i < window:
        return 0
    moved = bars.leader[i] / bars.leader[i - window] - 1
    spread = (bars.close[i] - bars.leader[i]) / bars.leader[i] - bars.basis[i]
    if p.direction != "short" and moved >= p.rise_frac and spread <= -p.discount_frac:
        return 1
    if p.direction != "long" and moved <= -p.fall_frac and spread >= p.premium_frac:
        return -1
    return 0


def seconds(bars: int) -> float:
    """Return the longest latency that enters at the open `bars` behind the signal's bar: the first is no latency's."""
    return 60.0 * (bars - 1) if bars else 0.0


def slow_follow(bars: MinuteBars, p: LeadParams, latency: int) -> list[tuple[int, int, int, int, float]]:
    """Return (entry bar, exit bar, side, reason, exit price) of all trips."""
    trips = []
    order: tuple[int, int] | None = None
    position: tuple[int, int, float, float] | None = None
    for i in range(len(bars.ts)):
        bar = tuple(float(column[i]) for column in bars[2:6])
        if order and order[0] == i:
            position = None if math.isnan(bar[0]) else (i, order[1], bar[0], bars.ts[i] - MINUTE)
            order = None
        if position:
            at, side, entry, since = position
            end = slow_exit(p, side, entry, (bars.ts[i] - since) / 1e9, bar)
            if end:
                trips.append((at, i, side, *end))
                position = None
        side = 0 if order or position else slow_side(bars, p, i)
        if side and latency:
            order = i + latency, side
        elif side:
            position = (i, side, bar[3], bars.ts[i])
    return trips


def slow_reversion(bars: MinuteBars, p: ReversionParams, latency: int) -> list[tuple[int, int, int]]:
    trips = []
    entering: tuple[int, int] | None = None
    position: tuple[int, int] | None = None
    leaving: int | None = None
    for i in range(len(bars.ts)):
        spread = (bars.close[i] - bars.leader[i]) / bars.leader[i] - bars.basis[i]
        is_there = not math.isnan(bars.close[i] + bars.leader[i])
        if entering and entering[0] == i:
            position = (i, entering[1]) if is_there else None
            entering = None
        elif position and leaving is None:
            is_over = p.horizon_s is not None and bars.ts[i] - bars.ts[position[0]] >= p.horizon_s * 1e9
            if abs(spread) <= p.exit_frac or is_over:
                leaving = i + latency
        if position and leaving is not None and i >= leaving and is_there:
            trips.append((position[0], i, position[1]))
            position = leaving = None
        if not position and not entering and abs(spread) >= p.entry_frac:
            side = -1 if spread > 0 else 1
            if latency:
                entering = i + latency, side
            elif is_there:
                position = i, side
    return trips


def random_bars(seed: int, num: int) -> MinuteBars:
    """Few distinct prices, so that thresholds are met exactly and often; holes in both."""
    rng = np.random.default_rng(seed)
    leader = 100.0 + np.cumsum(rng.integers(-2, 3, num)) / 4
    close = leader + rng.integers(-4, 5, num) / 4
    opened = np.where(rng.random(num) < 0.5, close + rng.integers(-8, 9, num) / 4, np.roll(close, 1))
    high = np.maximum(opened, close) + rng.integers(0, 5, num) / 4
    low = np.minimum(opened, close) - rng.integers(0, 5, num) / 4
    is_gone = rng.random(num) < 0.1
    for column in (opened, high, low, close):
        column[is_gone] = NAN
    leader[rng.random(num) < 0.05] = NAN
    ts = (np.arange(num, dtype=np.int64) + 1) * MINUTE
    return MinuteBars(ts, leader, opened, high, low, close, rng.choice([0.0, 0.0025], num))


@given(
    st.integers(0, 2**32),
    st.integers(1, 4),
    st.sampled_from([0.0025, 0.005, 0.01]),
    st.sampled_from([-0.005, 0.0, 0.0025]),
    st.sampled_from([0.005, 0.01, 0.02]),
    st.sampled_from([0.005, 0.01, 0.02]),
    st.integers(1, 9),
    st.sampled_from([0, 2, 3, 4]),
    st.sampled_from(["both", "long", "short"]),
)
@settings(deadline=None, max_examples=60)
def test_follow_trips_are_those_of_a_slow_reading(
    seed: int, window: int, move: float, apart: float, tp: float, sl: float, horizon: int, latency: int, way: Any
) -> None:
    bars = random_bars(seed, 200)
    params = LeadParams(
        window_s=60 * window,
        fall_frac=move,
        rise_frac=move,
        premium_frac=apart,
        discount_frac=apart,
        take_profit_frac=tp,
        stop_loss_frac=sl,
        horizon_s=60 * horizon - 30,
        direction=way,
    )
    trips = follow_trips(bars, params, seconds(latency))
    found = [tuple(row) for row in trips.rows[["i_entry", "i_exit", "side", "reason", "exit"]].tolist()]
    assert found == slow_follow(bars, params, latency)
    rows = trips.rows
    assert (rows["gross"] == rows["side"] * (rows["exit"] / rows["entry"] - 1)).all()
    assert trips.num_signals == len(rows) + trips.num_missed + trips.num_unfinished


@given(
    st.integers(0, 2**32),
    st.sampled_from([0.0025, 0.005, 0.01]),
    st.sampled_from([0.0, 0.0025, 0.01]),
    st.one_of(st.none(), st.integers(1, 9)),
    st.integers(0, 3),
)
@settings(deadline=None, max_examples=60)
def test_reversion_trips_are_those_of_a_slow_reading(
    seed: int, wide: float, narrow: float, horizon: int | None, latency: int
) -> None:
    bars = random_bars(seed, 200)
    params = ReversionParams(entry_frac=wide, exit_frac=narrow, horizon_s=None if horizon is None else 60 * horizon)
    trips = reversion_trips(bars, params, 60 * latency)
    found = [tuple(row) for row in trips.rows[["i_entry", "i_exit", "side"]].tolist()]
    assert found == slow_reversion(bars, params, latency)
    assert trips.num_signals == len(trips.rows) + trips.num_missed + trips.num_unfinished


@given(st.integers(0, 2**32), st.sampled_from([0, 2, 3]))
@settings(deadline=None, max_examples=20)
def test_entries_at_given_bars_get_the_same_exits(seed: int, latency: int) -> None:
    bars = random_bars(seed, 200)
    trips = follow_trips(bars, RULES, seconds(latency))
    again = trips_at(bars, trips.rows["i_signal"], trips.rows["side"], RULES, seconds(latency))
    assert again.rows.tobytes() == trips.rows.tobytes()
    said = signals(bars, RULES)
    everywhere = trips_at(bars, np.flatnonzero(said.side), said.side[said.side != 0], RULES, seconds(latency))
    assert len(everywhere.rows) + everywhere.num_missed + everywhere.num_unfinished == np.count_nonzero(said.side)
    assert {tuple(row) for row in trips.rows.tolist()} <= {tuple(row) for row in everywhere.rows.tolist()}
