from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spyhop.clock import NS_PER_HOUR, NS_PER_MINUTE
from spyhop.research.studies.bar_trips import TRIP, net
from spyhop.research.studies.costs import Charged, Costs, charged

NEVER = (np.zeros(0, np.int64), np.zeros(0))


def trips(*sides: int, minutes: int = 240, gross: float = 0.0030) -> Any:
    rows = np.zeros(len(sides), TRIP)
    rows["side"], rows["gross"] = sides, gross
    rows["entered_at"] = NS_PER_HOUR * np.arange(len(sides))
    rows["left_at"] = rows["entered_at"] + minutes * NS_PER_MINUTE
    return rows


def bps(earned: Charged) -> list[list[float]]:
    return [[round(float(value) * 1e4, 9) for value in column] for column in earned]


def test_every_part_is_taken_off_and_kept_apart() -> None:
    earned = charged(trips(1, -1), Costs(fees_bps=8, slippage_bps=1, funding_bps_8h=2), 1, *NEVER)
    # four hours at 2 bp in eight: the long pays 1 bp, the short receives it
    assert bps(earned) == [[30, 30], [8, 8], [2, 2], [1, -1], [19, 21]]


def test_two_legs_slip_four_times_and_fees_are_those_of_all_legs() -> None:
    earned = charged(trips(1), Costs(fees_bps=20, slippage_bps=1), 2, *NEVER)
    assert bps(earned) == [[30], [20], [4], [0], [6]]


def test_funding_is_what_was_settled_while_it_was_held() -> None:
    hours = NS_PER_HOUR * np.arange(6, dtype=np.int64)
    rates = np.array([100, 1, 2, 3, 4, 100]) / 1e4
    # held from 0 h to 4 h: the settlement of its own first instant is not paid, that of its last is
    earned = charged(trips(1), Costs(fees_bps=0), 1, hours, rates)
    assert bps(earned)[3] == [10]
    told = charged(trips(-1), Costs(fees_bps=0), 1, hours, rates)
    assert bps(told)[3:] == [[-10], [40]]
    # a rate that is given wins over the venue's
    assert bps(charged(trips(1), Costs(fees_bps=0, funding_bps_8h=0), 1, hours, rates))[3] == [0]


def test_it_is_what_a_sweep_takes_off() -> None:
    rows = trips(1, -1, 1, minutes=37)
    paid = Costs(fees_bps=7.5, slippage_bps=0.5, funding_bps_8h=1.5)
    ours = charged(rows, paid, 2, *NEVER).net
    np.testing.assert_allclose(ours, net(rows, 7.5, 0.5, 2, 1.5 / 1e4 / 8), rtol=0, atol=1e-15)


@pytest.mark.parametrize("num", [0, 1])
def test_no_trips_cost_nothing(num: int) -> None:
    assert len(charged(trips(*[1] * num), Costs(), 1, *NEVER).net) == num
