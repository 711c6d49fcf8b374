from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spyhop.clock import NS_PER_MINUTE
from spyhop.research.studies.bar_trips import follow_trips
from spyhop.research.studies.costs import Costs
from spyhop.research.studies.following import everywhere, study
from spyhop.research.studies.paired import chosen, paired
from spyhop.storage.lake import Lake
from spyhop.strategies.lead import LeadParams
from spyhop.wiring.data import import_data

FREE = Costs(fees_bps=0)
SEEDS = LeadParams(premium_frac=0.0008, discount_frac=0.0008)


def test_a_fall_that_the_follower_has_not_made_by_hand(make_pair: Any) -> None:
    leader = [10_000.0] * 6 + [9_970.0] * 6
    follower = [10_000.0] * 7 + [9_980.0, 9_955.0, 9_955.0, 9_955.0, 9_955.0]
    told = study(make_pair(leader, follower), SEEDS, Costs(fees_bps=8))
    (trade,) = told.outcome.trades
    # sold at 10,000 when the leader had fallen 30 bp in five minutes; 40 bp lower it takes its profit
    assert (trade.side, trade.reason, trade.entry_price) == (-1, "take profit", 10_000.0)
    assert trade.exit_price == pytest.approx(9_960.0)
    assert [trade.gross_bps, trade.net_bps] == pytest.approx([40.0, 32.0])
    assert trade.spread_entry_bps == pytest.approx(30 / 9_970 * 1e4)
    assert trade.leader_return_bps == pytest.approx(-30.0)
    assert trade.entered == "2025-12-26T18:07:00.000"
    # two minutes asked for it: in the second one the position was held
    assert told.outcome.num_events == 2
    assert told.path[0].events == 2
    # seen from the side that sold: 20 and 45 bp fallen after the first minute, and the leader not at all
    assert told.path[1].follower_bps == pytest.approx((20 + (1 - 9_955 / 9_980) * 1e4) / 2)
    assert told.outcome.result.win_rate.break_even == pytest.approx(0.68)
    assert [one.trades for one in told.outcome.by_side] == [1, 0]


@pytest.mark.parametrize(("direction", "sides"), [("short", {-1}), ("long", {1}), ("both", {-1, 1})])
def test_a_direction_enters_on_its_side_alone(planted: Any, direction: Any, sides: set[int]) -> None:
    params = LeadParams(direction=direction, premium_frac=0.0008, discount_frac=0.0008)
    told = study(planted(3), params, FREE)
    assert {trade.side for trade in told.outcome.trades} == sides


def test_a_planted_lag_pays_before_costs_and_none_does_not(planted: Any) -> None:
    lagging = study(planted(3), SEEDS, FREE)
    mean = lagging.outcome.result.per_trade
    assert mean is not None
    assert lagging.outcome.result.trades > 100
    assert mean.gross_bps > 8.0
    assert lagging.outcome.chance is not None
    assert lagging.outcome.chance.p_random < 0.001
    assert lagging.outcome.chance.p_shifted < 0.001
    # the spread closes because the follower moves; the leader has moved already
    last = lagging.path[3]
    assert last.follower_bps is not None
    assert last.leader_bps is not None
    assert last.follower_bps > 10.0
    assert abs(last.leader_bps) < 3.0
    # in step there is nothing to follow: entered whatever the spread, the leader's move says nothing
    anyway = LeadParams(premium_frac=-0.5, discount_frac=-0.5)
    together = study(planted(0), anyway, FREE)
    assert together.outcome.result.trades > 100
    assert together.outcome.chance is not None
    assert together.outcome.chance.p_random > 0.05
    assert together.outcome.result.expectancy.by_student is not None
    assert together.outcome.result.expectancy.by_student.holds_zero


def test_prints_that_err_look_like_following_until_it_is_entered_a_minute_later(planted: Any) -> None:
    """A follower in step whose closes err: the error is entered as a premium and goes back by itself."""
    found = study(planted(0, noise_bps=6.0), SEEDS, Costs(fees_bps=2))
    assert found.outcome.result.per_trade is not None
    assert found.outcome.result.per_trade.net_bps > 8.0
    assert found.outcome.chance is not None
    assert found.outcome.chance.p_random < 0.001
    assert not found.outcome.verdict.has_edge
    assert found.outcome.later_at_zero_min == 1
    assert "a minute later" in found.outcome.verdict.headline
    lagging = study(planted(6), SEEDS, Costs(fees_bps=2))
    assert lagging.outcome.later_at_zero_min != 1


def test_an_edge_is_only_told_where_every_test_says_so(planted: Any) -> None:
    bars = planted(6, num=12_000)
    patient = LeadParams(premium_frac=0.0008, discount_frac=0.0008, horizon_s=600, take_profit_frac=0.02,
                         stop_loss_frac=0.02)  # fmt: skip
    found = study(bars, patient, Costs(fees_bps=2))
    assert found.outcome.verdict.has_edge
    assert found.outcome.verdict.headline == "positive after costs in this sample"
    dear = study(bars, patient, Costs(fees_bps=60))
    assert not dear.outcome.verdict.has_edge
    assert dear.outcome.verdict.headline.startswith("no demonstrated edge")


@pytest.mark.parametrize("latency_s", [0.0, 60.0])
def test_what_chance_earns_at_the_trades_own_bars_is_what_they_earned(planted: Any, latency_s: float) -> None:
    bars = planted(3)
    trips = follow_trips(bars.trading, SEEDS, latency_s)
    again = everywhere(bars, SEEDS, latency_s, trips)(trips.rows["i_signal"][None, :])
    np.testing.assert_array_equal(again[0], trips.rows["gross"])


@pytest.mark.parametrize(("latency_s", "first"), [(0.0, 0), (1.0, 1), (60.0, 1), (61.0, 2)])
def test_a_delay_is_so_many_minutes_after_what_was_asked(planted: Any, latency_s: float, first: int) -> None:
    bars = planted(3)
    for minutes in (0, 1, 2, 5):
        rows = follow_trips(bars.trading, SEEDS, latency_s + 60.0 * minutes).rows
        waited = (rows["entered_at"] - bars.ts[rows["i_signal"]]) / NS_PER_MINUTE
        assert set(waited.tolist()) == {first + minutes}


def test_a_leader_that_goes_on_is_not_taken_for_following(make_pair: Any) -> None:
    """Both fall on together after the event: a short gains, and the gap stays what it was."""
    leader = 10_000.0 * np.concatenate([np.ones(6), 0.997 * np.exp(-1e-4 * np.arange(30))])
    told = study(make_pair(leader, leader * 1.001), SEEDS, FREE)
    last = told.path[-1]
    assert last.leader_bps is not None
    assert last.leader_bps == pytest.approx(15.0, abs=0.05)
    assert last.follower_bps == pytest.approx(last.leader_bps)
    assert last.spread_bps == pytest.approx(told.path[0].spread_bps)


def test_a_missing_minute_is_no_event_and_its_time_counts(make_pair: Any) -> None:
    leader = [10_000.0] * 6 + [9_970.0] * 20
    follower = np.array([10_000.0] * 26)
    follower[7:12] = np.nan
    told = study(make_pair(leader, follower), SEEDS, FREE)
    first = told.outcome.trades[0]
    assert first.reason == "timeout"
    assert told.outcome.result.holding is not None
    assert told.outcome.result.holding.max_min == 15.0
    # five minutes had a leader that had fallen, one of them a follower
    assert told.outcome.num_events == 1


def test_on_the_recording_longs_make_something_before_costs_and_lose_after(recordings: Path, tmp_path: Path) -> None:
    import_data([recordings / "binance_dydx_1m" / "BTC_1m.parquet"], str(tmp_path))
    lake = Lake(str(tmp_path))
    bars = paired(lake, *chosen(lake, "BTC")).last(168)
    assert len(bars.ts) * NS_PER_MINUTE == 7 * 86_400 * 10**9
    long = study(bars, LeadParams(direction="long", discount_frac=0.0003), Costs())
    mean = long.outcome.result.per_trade
    assert mean is not None
    assert mean.gross_bps > 0.0 > mean.net_bps
    assert not long.outcome.verdict.has_edge
    # dYdX never stood above Binance in this week, so nothing was ever sold
    short = study(bars, LeadParams(direction="short", premium_frac=0.0008), Costs())
    assert short.outcome.num_events == 0
    assert short.outcome.verdict.headline == "no demonstrated edge: no trade was closed"
