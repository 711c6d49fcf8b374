"""How markets stand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from spyhop.clock import NS_PER_S
from spyhop.model.observations import Leader, Observation
from spyhop.model.tape import Side
from spyhop.risk.comparisons import Cause, compared
from spyhop.risk.health import HealthParams, Market

MakeObservation = Callable[..., Observation]
PARAMS = HealthParams(num_volatility=10, min_volatility=3)


def seen(market: Market, observed: Observation) -> Market:
    market.observe(observed, compared(observed, Cause.DECISION, "can_trade"), PARAMS)
    return market


def test_what_nobody_observes_is_not_measured() -> None:
    market = Market()
    assert market.measured() == {}
    assert (market.depth(Side.BUY), market.diff(Side.BUY), market.silence_s(10**18)) == (None, 0.0, 0.0)


def test_age_and_skew_are_seconds_whatever_the_sign(make_observation: MakeObservation) -> None:
    market = seen(Market(), make_observation(age_ns=3 * NS_PER_S, clock_skew_ns=-NS_PER_S // 2))
    assert (market.measured()["data_age"], market.measured()["clock_skew"]) == (3.0, 0.5)


def test_a_buyer_takes_the_asks(make_observation: MakeObservation) -> None:
    market = seen(Market(), make_observation(depth_bid=10.0, depth_ask=20.0))
    assert (market.depth(Side.BUY), market.depth(Side.SELL)) == (20.0, 10.0)


def test_the_difference_is_that_of_the_side(make_observation: MakeObservation) -> None:
    leader = Leader(instrument=1, mid=100_000.0, last=100_000.0, ts=0, age_ns=0)
    market = seen(Market(), make_observation(mid=99_000.0, fill_buy=99_500.0, fill_sell=98_000.0, leader=leader))
    assert market.diff(Side.BUY) == pytest.approx(0.005)
    assert market.diff(Side.SELL) == pytest.approx(0.02)
    assert market.measured()["effective_diff"] == pytest.approx(0.02)


def test_volatility_is_compared_with_the_mean_before_it(make_observation: MakeObservation) -> None:
    market = Market()
    for sigma in (1e-4, 2e-4, 3e-4):
        assert seen(market, make_observation(sigma_1m=sigma)).volatility_ratio == 1.0
    assert seen(market, make_observation(sigma_1m=8e-4)).volatility_ratio == pytest.approx(4.0)
    assert market.mean_sigma == pytest.approx(3.5e-4)


def test_a_volatility_that_is_not_ready_changes_nothing(make_observation: MakeObservation) -> None:
    market = seen(Market(), make_observation(sigma_1m=0.0))
    assert (market.num_sigma, market.volatility_ratio) == (0, 1.0)


def test_silence_is_what_goes_beyond_the_usual_pause(make_observation: MakeObservation) -> None:
    start = make_observation().ts
    market = seen(Market(), make_observation())
    assert market.silence_s(start + 3_600 * NS_PER_S) == 0.0
    for second in (30, 31, 60):
        seen(market, make_observation(ts=start + second * NS_PER_S))
    assert market.silence_s(start + 90 * NS_PER_S) == 0.0
    assert market.silence_s(start + 97 * NS_PER_S) == 7.0


def test_a_long_pause_is_forgotten_after_enough_short_ones(make_observation: MakeObservation) -> None:
    start = make_observation().ts
    market = seen(Market(), make_observation())
    for n in range(17):
        seen(market, make_observation(ts=start + (600 + n) * NS_PER_S))
        assert len(market.gaps) <= 16
    assert market.silence_s(start + 716 * NS_PER_S) == 99.0
