"""Effective differences and their parts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_MINUTE, NS_PER_S
from spyhop.model.observations import Comparison, Leader, Observation
from spyhop.model.verdicts import RiskState
from spyhop.risk.comparisons import Cause, compared, effective_diff, largest

TS = 1_764_350_107_000_000_000


def observation(
    mid: float = 100.0, buy: float = 0.0, sell: float = 0.0, leader: float | None = None, **given: Any
) -> Observation:
    ages = {"age_ns": given.pop("age_ns", 0), "sigma_1m": given.pop("sigma_1m", 0.0)}
    other = (
        Leader(instrument=0, mid=leader, last=leader, ts=TS, age_ns=given.pop("leader_age_ns", 0)) if leader else None
    )
    unused = dict.fromkeys(("last", "spread", "depth_bid", "depth_ask", "volatility_rank", "atr"), 0.0)
    return Observation(
        ts=TS, instrument=1, mid=mid, ts_venue=TS, fill_buy=buy, fill_sell=sell, leader=other, **ages, **unused, **given
    )


def test_a_dear_and_thin_follower_differs_by_its_mid_and_its_book() -> None:
    # leader 100.00, follower 100.20, a buyer pays 100.50: 50 bp, of them 20 of the mid and 30 of the book
    diff = effective_diff(observation(100.2, leader=100.0), 100.5)
    assert diff is not None
    assert diff.total == pytest.approx(0.0050)
    assert diff.deviation == pytest.approx(0.0020)
    assert diff.slippage == pytest.approx(0.0030)
    assert diff.age == 0.0


def test_what_the_market_may_have_moved_meanwhile_is_put_down_to_age() -> None:
    # 10 bp a minute, and the leader is four minutes older: 20 bp of the 30 between the mids
    old = observation(99.7, leader=100.0, sigma_1m=0.001, leader_age_ns=5 * NS_PER_MINUTE, age_ns=NS_PER_MINUTE)
    diff = effective_diff(old, 99.7)
    assert diff is not None
    assert (diff.age, diff.deviation) == (pytest.approx(-0.0020), pytest.approx(-0.0010))
    # never more than there is
    wild = effective_diff(msgspec.structs.replace(old, sigma_1m=0.01), 99.7)
    assert wild is not None
    assert (wild.age, wild.deviation) == (pytest.approx(-0.0030), 0.0)
    # equally old prices are of one moment
    even = effective_diff(msgspec.structs.replace(old, age_ns=5 * NS_PER_MINUTE), 99.7)
    assert even is not None
    assert even.age == 0.0


prices = st.floats(0.01, 1e6)
near = st.floats(-0.05, 0.05)


@given(prices, near, near, st.floats(0.0, 0.1), st.integers(0, 10**12), st.integers(0, 10**12))
def test_the_parts_sum_to_the_whole(
    leader: float, apart: float, slip: float, sigma: float, age_ns: int, leader_age_ns: int
) -> None:
    mid = leader * (1.0 + apart)
    fill = mid * (1.0 + slip)
    seen = observation(mid, leader=leader, sigma_1m=sigma, age_ns=age_ns, leader_age_ns=leader_age_ns)
    diff = effective_diff(seen, fill)
    assert diff is not None
    assert diff.total == diff.deviation + diff.slippage + diff.age
    assert diff.total == pytest.approx((fill - leader) / leader, abs=1e-12)
    assert diff.slippage * slip >= 0.0
    # the age explains a share of what lies between the mids, never the other way
    assert diff.age * diff.deviation >= 0.0
    assert abs(diff.age) <= abs(mid - leader) / leader


@given(st.floats(50.0, 200.0), st.floats(0.0, 5.0), st.floats(0.0, 5.0))
def test_buyers_slip_up_and_sellers_down(mid: float, up: float, down: float) -> None:
    seen = compared(observation(mid, mid + up, mid - down, leader=100.0), Cause.DECISION, RiskState.CAN_TRADE)
    assert seen.buy is not None
    assert seen.sell is not None
    assert seen.buy.slippage >= 0.0 >= seen.sell.slippage
    assert seen.buy.deviation == seen.sell.deviation


def test_without_a_leader_or_a_price_there_is_no_difference() -> None:
    assert effective_diff(observation(100.0), 100.5) is None
    assert effective_diff(observation(100.0, leader=99.0), 0.0) is None
    assert effective_diff(observation(0.0, leader=99.0), 100.0) is None
    alone = compared(observation(100.0, 101.0, 99.0), Cause.DECISION, RiskState.CAN_TRADE)
    assert (alone.buy, alone.sell, largest(alone)) == (None, None, None)


def test_a_comparison_holds_all_that_it_was_made_from() -> None:
    seen = observation(100.2, 100.5, 100.1, leader=100.0)
    thresholds = {"effective_diff_halt": 0.004}
    told = compared(seen, "risk_state", RiskState.HALT, "effective_diff_halt: 0.005 against 0.004", thresholds)
    assert (told.ts, told.instrument, told.minute_bucket) == (TS, 1, TS - 7 * NS_PER_S)
    assert told.minute_bucket % NS_PER_MINUTE == 0
    assert (told.cause, told.risk_state) == ("risk_state", "halt")
    assert told.halt_reason.startswith("effective_diff_halt")
    assert told.thresholds == thresholds
    assert told.thresholds is not thresholds
    assert told.observed == seen
    assert largest(told) == told.buy
    assert msgspec.json.decode(msgspec.json.encode(told), type=Comparison) == told


def test_a_cause_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="noon"):
        compared(observation(), "noon", RiskState.HALT)
