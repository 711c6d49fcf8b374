from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_MINUTE
from spyhop.numerics.follow import HORIZON, STOP, TAKE_PROFIT
from spyhop.research.studies.bar_trips import TRIP
from spyhop.research.studies.costs import Costs, charged
from spyhop.research.studies.outcomes import Exits, Result, result, run_chances, streak

PLANNED = Exits(0.0040, 0.0060)


def outcome(gross_bps: list[float], paid: Costs, planned: Exits | None = PLANNED, reasons: Any = HORIZON) -> Result:
    rows = np.zeros(len(gross_bps), TRIP)
    rows["gross"], rows["reason"], rows["side"] = np.array(gross_bps) / 1e4, reasons, 1
    rows["left_at"] = NS_PER_MINUTE * (1 + np.arange(len(gross_bps)))
    earned = charged(rows, paid, 1, np.zeros(0, np.int64), np.zeros(0))
    return result(rows, earned, planned, (paid.fees_bps + 2 * paid.slippage_bps) / 1e4)


def test_four_trades_by_hand() -> None:
    told = outcome([40, -60, 10, 8], Costs(fees_bps=8), reasons=[TAKE_PROFIT, STOP, HORIZON, HORIZON])
    assert told.per_trade is not None
    assert told.per_trade.gross_bps == pytest.approx(-0.5)
    assert told.per_trade.net_bps == pytest.approx(-8.5)
    assert told.per_trade.cost_share is None  # nothing was made that costs could be a share of
    assert told.total_net_bps == pytest.approx(-34)
    # +32, -68, +2, 0: what comes out even has not been won
    assert (told.win_rate.wins, told.win_rate.trades) == (2, 4)
    assert told.expectancy.median_bps == pytest.approx(1.0)
    assert [told.worst_bps, told.best_bps] == pytest.approx([-68, 32])
    assert told.max_drawdown_bps == pytest.approx(68)
    assert told.holding is not None
    assert told.holding.exits == {"stop": 1, "take profit": 1, "timeout": 2}
    assert (told.holding.mean_min, told.holding.median_min, told.holding.max_min) == (2.5, 2.5, 4.0)
    assert told.losing_streak is not None
    assert told.losing_streak.longest == 1
    # mean win 17, mean loss 34
    assert told.break_even_realised == pytest.approx(34 / 51)
    assert told.quantiles_bps["p50"] == pytest.approx(1.0)
    assert told.expectancy.by_student is not None
    assert told.expectancy.by_student.holds_zero
    assert told.expectancy.by_bootstrap is None  # four numbers say nothing about their own spread


@pytest.mark.parametrize(
    ("take_profit", "stop", "cost_bps", "needed"),
    [
        (0.0015, 0.0010, 0, 0.400),
        (0.0015, 0.0010, 8, 0.720),
        (0.0015, 0.0010, 9, 0.760),
        (0.0015, 0.0010, 10, 0.800),
        (0.0015, 0.0010, 12, 0.880),
        (0.0015, 0.0010, 14, 0.960),
        (0.0015, 0.0010, 4, 0.560),
        (0.003, 0.002, 8, 0.56),
        (0.006, 0.004, 8, 0.48),
        (0.012, 0.008, 8, 0.44),
        (0.024, 0.016, 8, 0.42),
    ],
)
def test_the_published_break_even_win_rates(take_profit: float, stop: float, cost_bps: float, needed: float) -> None:
    told = outcome([1.0], Costs(fees_bps=cost_bps), Exits(take_profit, stop)).win_rate
    assert told.break_even == pytest.approx(needed, abs=5e-4)
    assert told.break_even_observed == pytest.approx(needed, abs=5e-4)


def test_planned_costs_do_not_hold_funding_and_paid_ones_do() -> None:
    told = outcome([1.0], Costs(fees_bps=8, slippage_bps=1, funding_bps_8h=480 * 5)).win_rate
    assert told.break_even == pytest.approx((60 + 10) / 100)
    assert told.break_even_observed == pytest.approx((60 + 15) / 100)
    assert told.cost_bps == pytest.approx(15)


def test_costs_are_a_share_of_what_was_made_before_them() -> None:
    told = outcome([16.0] * 2, Costs(fees_bps=8, slippage_bps=2))
    assert told.per_trade is not None
    assert told.per_trade.cost_share == pytest.approx(0.75)


def test_no_trade_is_told_as_unknown_and_not_as_zero() -> None:
    told = outcome([], Costs())
    assert (told.trades, told.per_trade, told.holding, told.losing_streak) == (0, None, None, None)
    assert told.win_rate.rate is None
    assert told.expectancy.mean_bps is None
    assert told.win_rate.break_even == pytest.approx(0.68)


def test_five_trades_may_be_all_there_is() -> None:
    told = outcome([100, 90, 80, 70, 60, 10, -10], Costs(fees_bps=0)).concentration
    assert told.top5_share == pytest.approx(400 / 410)
    assert told.net_without_top5_bps == pytest.approx(0.0)


@given(st.integers(1, 9), st.floats(0.05, 0.95))
def test_chances_of_runs_are_those_of_all_sequences(num: int, share: float) -> None:
    longest = np.zeros(num + 1)
    for sequence in product([0, 1], repeat=num):
        text = "".join(map(str, sequence))
        lost = text.count("1")
        longest[max(map(len, text.split("0")))] += share**lost * (1 - share) ** (num - lost)
    wanted = [float(longest[length:].sum()) for length in range(1, num + 1)]
    found = run_chances(num, share)
    assert found == pytest.approx(wanted[: len(found)], abs=1e-9)
    assert sum(found) == pytest.approx(sum(wanted), abs=1e-9)


def test_a_streak_beside_its_expectation() -> None:
    told = streak(np.array([1, 1, 0, 1, 1, 1, 0, 0, 1, 0], bool))
    assert told.longest == 3
    assert told.expected == pytest.approx(sum(run_chances(10, 0.6)))
    assert told.probability == pytest.approx(run_chances(10, 0.6)[2])
    assert streak(np.array([False, False])).longest == 0
    always = streak(np.ones(5, bool))
    assert [always.longest, always.expected, always.probability] == pytest.approx([5, 5.0, 1.0])
