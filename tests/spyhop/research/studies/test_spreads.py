from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spyhop.research.studies.bar_trips import ReversionParams, reversion_trips
from spyhop.research.studies.costs import Costs
from spyhop.research.studies.paired import chosen, paired
from spyhop.research.studies.spreads import distribution, excursion, half_life, held_as_long, histogram, study
from spyhop.storage.lake import Lake
from spyhop.wiring.data import import_data

PARAMS = ReversionParams(entry_frac=0.0008, exit_frac=0.0003)


def spread_pair(make_pair: Any, spread_bps: Any, leader: Any = None) -> Any:
    spread = np.asarray(spread_bps, np.float64) / 1e4
    lead = np.full(len(spread), 10_000.0) if leader is None else np.asarray(leader, np.float64)
    return make_pair(lead, lead * (1.0 + spread))


def test_two_excursions_by_hand(make_pair: Any) -> None:
    bars = spread_pair(make_pair, [0, 10, 6, 2, 0, -12, -1, 0, 9])
    told = study(bars, PARAMS, Costs(fees_bps=4, slippage_bps=0.5))
    # sold at +10, left at +2; bought at -12, left at -1; what began at the last bar is not finished
    assert [trade.side for trade in told.outcome.trades] == [-1, 1]
    assert [trade.gross_bps for trade in told.outcome.trades] == pytest.approx(
        [1e4 * (1 - 10_002 / 10_010), 1e4 * (9_999 / 9_988 - 1)]
    )
    assert told.outcome.trades[0].net_bps == pytest.approx(told.outcome.trades[0].gross_bps - 4 - 4 * 0.5)
    assert (told.outcome.num_events, told.outcome.num_unfinished) == (3, 1)
    assert told.distribution is not None
    assert told.distribution.episodes == 3
    # 10, 12 and 9 bp off; a minute later 6 and 1 of the two that the data still holds
    assert [point.events for point in told.path[:2]] == [3, 2]
    assert [point.spread_bps for point in told.path[:2]] == pytest.approx([31 / 3, 3.5])
    assert [told.distribution.above, told.distribution.below] == pytest.approx([2 / 9, 1 / 9])
    assert told.distribution.inside_exit == pytest.approx(5 / 9)
    assert sum(count for _, count in told.histogram_bps) == 9


def test_the_leader_is_hedged_out(make_pair: Any) -> None:
    """Both legs: the leader may go where it will, only the spread's way back is earned."""
    leader = [10_000, 10_000, 10_500, 11_000, 11_000]
    told = study(spread_pair(make_pair, [0, 10, 10, 0, 0], leader), PARAMS, Costs(fees_bps=0))
    (trade,) = told.outcome.trades
    assert trade.gross_bps == pytest.approx(10 * 1.1, rel=1e-2)


def test_the_half_life_of_a_known_process_is_found() -> None:
    rng = np.random.default_rng(11)
    for minutes in (3.0, 20.0):
        phi = 0.5 ** (1 / minutes)
        x = np.zeros(40_000)
        for k in range(1, len(x)):
            x[k] = phi * x[k - 1] + rng.normal(0, 1e-4)
        found = half_life(x - 0.0007)
        assert found is not None
        assert found.minutes == pytest.approx(minutes, rel=0.10)
        assert found.low_min is not None
        assert found.high_min is not None
        assert found.low_min < minutes < found.high_min


def test_a_walk_that_never_comes_back_says_so() -> None:
    found = half_life(np.cumsum(np.random.default_rng(4).normal(0, 1e-4, 5_000)))
    assert found is not None
    assert found.high_min is None or found.high_min > 500
    assert half_life(np.zeros(500)) is None
    assert half_life(np.full(500, np.nan)) is None


def test_neighbours_across_a_hole_are_no_neighbours() -> None:
    x = np.tile([1.0, -1.0], 200)
    found = half_life(x)
    assert found is not None
    assert found.phi == pytest.approx(-1.0, abs=0.01)
    assert found.minutes is None
    x[1::2] = np.nan
    assert half_life(x) is None


def test_an_excursion_is_held_against_the_minutes_before_it_alone() -> None:
    away = excursion(np.array([np.nan, 4.0, 6.0, np.nan, 5.0]), half_life_min=1.0)
    # the mean is 4, then half way to 6; the hole keeps it
    assert away == pytest.approx([np.nan, np.nan, 2.0, np.nan, 0.0], nan_ok=True)


def test_a_level_is_told_from_excursions() -> None:
    rng = np.random.default_rng(5)
    level = np.repeat([-0.0010, -0.0002], 3_000)
    told = distribution(level + rng.normal(0, 0.0001, 6_000), PARAMS)
    assert told is not None
    assert told.slow_share is not None
    assert told.slow_share > 0.9
    noise = distribution(rng.normal(0, 0.0001, 6_000), PARAMS)
    assert noise is not None
    assert noise.slow_share is not None
    assert noise.slow_share < 0.05
    assert distribution(np.full(5, np.nan), PARAMS) is None


def test_the_histogram_has_zero_for_an_edge() -> None:
    assert histogram(np.array([-0.1, 0.0, 0.9, 1.0, -2.5])) == [(-3.0, 1), (-1.0, 1), (0.0, 2), (1.0, 1)]


def test_what_chance_earns_at_the_trades_own_bars_is_what_they_earned(make_pair: Any) -> None:
    rng = np.random.default_rng(6)
    bars = spread_pair(make_pair, rng.normal(0, 8, 2_000), 10_000 * np.exp(np.cumsum(rng.normal(0, 5e-4, 2_000))))
    for latency in (0.0, 60.0):
        trips = reversion_trips(bars.trading, PARAMS, latency)
        assert len(trips.rows) > 50
        again = held_as_long(bars, trips)(trips.rows["i_signal"][None, :])
        np.testing.assert_allclose(again[0], trips.rows["gross"], rtol=0, atol=1e-12)
    beyond = held_as_long(bars, trips)(np.full((1, len(trips.rows)), len(bars.ts) - 1))
    assert np.isnan(beyond).all()


def test_noise_in_the_prints_is_no_edge_once_entered_a_minute_later(make_pair: Any) -> None:
    """Closes that err by themselves revert at once: at those closes there is a gain, a minute later there is none."""
    rng = np.random.default_rng(8)
    leader = 10_000 * np.exp(np.cumsum(rng.normal(0, 5e-4, 5_000)))
    told = study(spread_pair(make_pair, rng.normal(0, 6, 5_000), leader), PARAMS, Costs(fees_bps=4))
    assert told.outcome.result.per_trade is not None
    assert told.outcome.result.per_trade.net_bps > 2.0
    assert told.outcome.chance is not None
    assert told.outcome.chance.p_random < 0.001
    assert told.outcome.later_at_zero_min == 1
    assert not told.outcome.verdict.has_edge
    assert "a minute later" in told.outcome.verdict.headline


def test_on_the_recording_the_gain_of_closes_is_gone_a_minute_later(recordings: Path, tmp_path: Path) -> None:
    import_data([recordings / "binance_dydx_1m" / "ETH_1m.parquet"], str(tmp_path))
    lake = Lake(str(tmp_path))
    bars = paired(lake, *chosen(lake, "ETH")).last(168)
    told = study(bars, PARAMS, Costs(fees_bps=8)).outcome
    assert told.result.trades > 200
    assert told.result.expectancy.by_student is not None
    assert told.result.expectancy.by_student.low > 0.0  # it looks like an edge by its own interval
    assert told.later_at_zero_min == 1
    assert not told.verdict.has_edge
    real = study(bars, PARAMS, Costs(fees_bps=20)).outcome
    assert real.result.win_rate.wins == 0
