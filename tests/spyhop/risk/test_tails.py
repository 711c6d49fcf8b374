"""Tails against other people's formulas, and the grid that feeds them."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spyhop.clock import NS_PER_MINUTE
from spyhop.errors import SnapshotMismatch
from spyhop.model.observations import Observation
from spyhop.risk.tails import (
    Array,
    Method,
    Tail,
    TailParams,
    TailRisk,
    VarianceParams,
    cornish_fisher,
    expanded,
    filtered,
    historical,
    is_monotone,
    measured,
    moments,
    normal,
    variances,
)

TS = 1_764_350_100_000_000_000
LEVELS = (0.01, 0.025, 0.05, 0.2)
profit_series = arrays(np.float64, st.integers(20, 120), elements=st.floats(-0.05, 0.05))


def drawn(n: int = 1_000, seed: int = 7) -> Array:
    rng = np.random.default_rng(seed)
    return rng.standard_t(4, n) * 0.001 * (1.0 + 0.5 * np.sin(np.arange(n) / 50))


@pytest.mark.slow
@pytest.mark.parametrize("probability", LEVELS)
def test_the_historical_tail_is_that_of_empyrical(probability: float) -> None:
    import empyrical

    found = historical(drawn(), probability)
    assert found.var == pytest.approx(-empyrical.value_at_risk(drawn(), probability), rel=1e-12)
    assert found.es == pytest.approx(-empyrical.conditional_value_at_risk(drawn(), probability), rel=1e-12)


def test_the_historical_tail_of_a_hundred_losses_by_hand() -> None:
    # losses 1..101: the 5 % quantile lies exactly on the sixth largest, 96, and the mean of 96..101 is 98.5
    found = historical(-np.arange(1.0, 102.0), 0.05)
    assert (found.var, found.es, found.num) == (pytest.approx(96.0), pytest.approx(98.5), 101)


@pytest.mark.parametrize("probability", LEVELS)
def test_the_normal_tail_is_that_of_scipy(probability: float) -> None:
    from scipy import stats

    x = drawn()
    s = math.sqrt(variances(x, VarianceParams())[-1])
    found = normal(x, probability)
    assert found.var == pytest.approx(-stats.norm.ppf(probability) * s, rel=1e-9)
    beyond = stats.norm.expect(lambda z: z, ub=stats.norm.ppf(probability)) / probability
    assert found.es == pytest.approx(-beyond * s, rel=1e-6)


@pytest.mark.parametrize("params", [VarianceParams(), VarianceParams(alpha=0.05, beta=0.9)])
def test_the_variances_are_the_recursion_as_a_linear_filter(params: VarianceParams) -> None:
    from scipy.signal import lfilter

    x = drawn()
    weights = 0.94 ** np.arange(75)
    before = np.sum(weights * x[:75] ** 2) / np.sum(weights)
    omega = (1.0 - params.alpha - params.beta) * np.mean(x**2)
    inputs = omega + params.alpha * np.concatenate([[before], x**2])
    expected = lfilter([1.0], [1.0, -params.beta], inputs, zi=[params.beta * before])[0]
    assert np.allclose(variances(x, params), expected, rtol=1e-12, atol=0.0)


def test_a_variance_that_grows_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="grows without end"):
        VarianceParams(alpha=0.2, beta=0.9)


def test_four_moments_are_those_of_scipy() -> None:
    from scipy import stats

    x = drawn()
    assert moments(x) == pytest.approx((x.mean(), x.std(), stats.skew(x), stats.kurtosis(x)), rel=1e-9)
    assert moments(np.full(20, 0.3)) == (pytest.approx(0.3), 0.0, 0.0, 0.0)


@pytest.mark.parametrize("probability", LEVELS)
def test_the_expansion_comes_close_to_a_skewed_law(probability: float) -> None:
    from scipy import stats

    # a gamma law of shape k has skewness 2 / sqrt(k) and excess kurtosis 6 / k
    law = stats.gamma(100.0)
    exact = (law.ppf(probability) - law.mean()) / law.std()
    z = stats.norm.ppf(probability)
    assert expanded(z, 0.2, 0.06) == pytest.approx(exact, abs=2e-3)
    assert abs(z - exact) > 5e-3


@pytest.mark.slow
@pytest.mark.parametrize("probability", LEVELS)
def test_the_shortfall_of_the_expansion_is_its_integral(probability: float) -> None:
    from scipy import integrate, stats

    # a normal law plus an exponential one, downwards: skewed and heavy enough to lie inside the domain
    law = stats.exponnorm(1.0)
    x = -law.ppf((np.arange(500) + 0.5) / 500)
    mean, s, skewness, kurtosis = moments(x)
    assert is_monotone(skewness, kurtosis)
    found = cornish_fisher(x, probability)
    assert found.method is Method.CORNISH_FISHER
    assert found.var == pytest.approx(-(mean + s * expanded(stats.norm.ppf(probability), skewness, kurtosis)), rel=1e-9)
    area = integrate.quad(
        lambda z: expanded(z, skewness, kurtosis) * stats.norm.pdf(z), -12, stats.norm.ppf(probability)
    )
    assert found.es == pytest.approx(-(mean + s * area[0] / probability), rel=1e-7)
    # the law itself, whose tail the four moments describe
    assert found.var == pytest.approx(law.ppf(1.0 - probability), rel=0.03)


def test_the_domain_of_the_expansion() -> None:
    assert [is_monotone(0.0, k) for k in (-0.1, 0.0, 4.0, 8.0, 8.1)] == [False, True, True, True, False]
    assert not is_monotone(1.0, 0.0)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.floats(-3.0, 3.0), st.floats(-2.0, 12.0))
def test_inside_the_domain_the_quantiles_rise_and_outside_somewhere_they_fall(skewness: float, kurtosis: float) -> None:
    z = np.linspace(-300.0, 300.0, 60_001)
    quantiles: Any = expanded
    steps = np.diff(quantiles(z, skewness, kurtosis))
    if is_monotone(skewness, kurtosis):
        assert steps.min() > -1e-7
    a = kurtosis / 8 - skewness**2 / 6
    if a < -1e-2 or (a > 1e-2 and 1 - kurtosis / 8 + 5 * skewness**2 / 36 - skewness**2 / (36 * a) < -1e-3):
        # the derivative a z^2 + z S/3 + c is negative far out, or at its vertex
        assert steps.min() < 0.0


def test_outside_the_domain_the_filtered_tail_answers() -> None:
    x = drawn()
    x[500] = -0.1
    found = cornish_fisher(x, 0.01)
    assert found == filtered(x, 0.01)
    assert found.method is Method.FILTERED


def test_the_filtered_tail_follows_the_times_and_the_historical_does_not() -> None:
    rng = np.random.default_rng(3)
    calm, wild = rng.normal(0.0, 0.001, 700), rng.normal(0.0, 0.004, 100)
    now = filtered(np.concatenate([calm, wild]), 0.01)
    later = filtered(np.concatenate([wild, calm]), 0.01)
    assert now.var > 2.0 * later.var
    assert historical(np.concatenate([calm, wild]), 0.01) == historical(np.concatenate([wild, calm]), 0.01)
    # 2.33 deviations of 0.004 and 0.001, the deviation known from some twenty moves
    assert 0.006 < now.var < 0.014
    assert 0.0015 < later.var < 0.0035


def test_a_profit_is_set_against_the_deviation_that_was_known_before_it() -> None:
    # with all weight on the last square the deviations are the sizes before: -6 came after 2, and after 3 comes s = 3
    found = filtered(np.array([1.0, 2.0, -6.0, 3.0]), 0.01, VarianceParams(alpha=1.0, beta=0.0))
    assert found.es == pytest.approx(6.0 / 2.0 * 3.0)


def test_a_move_after_standing_prices_does_not_explode() -> None:
    x = np.zeros(1_440)
    x[10], x[-1] = 0.001, -0.001
    found = filtered(x, 0.001)
    assert 0.0 <= found.var <= found.es < 0.01


@settings(max_examples=60, deadline=None)
@given(profit_series, st.sampled_from(LEVELS), st.sampled_from(list(Method)), st.floats(0.01, 1e6))
def test_a_tail_scales_with_the_position_and_the_shortfall_is_beyond_it(
    x: Array, probability: float, method: Method, size: float
) -> None:
    x = np.round(x, 6)  # no denormal numbers: their squares vanish
    params = TailParams(method=method, probability=probability)
    one, many = measured(x, params), measured(size * x, params)
    scale = float(np.abs(x).max()) + 1e-12
    assert many.method is one.method
    assert many.var == pytest.approx(size * one.var, rel=1e-6, abs=1e-9 * size * scale)
    assert many.es == pytest.approx(size * one.es, rel=1e-6, abs=1e-9 * size * scale)
    assert one.es >= one.var - 1e-9 * scale
    assert math.isfinite(one.var)


@settings(max_examples=40, deadline=None)
@given(profit_series, st.sampled_from(list(Method)))
def test_a_rarer_loss_is_larger(x: Array, method: Method) -> None:
    x = np.round(x, 6)
    common, rare = (measured(x, TailParams(method=method, probability=p)) for p in (0.05, 0.01))
    assert rare.var >= common.var - 1e-12
    assert rare.es >= common.es - 1e-12


def test_a_horizon_scales_with_the_root_of_time_and_ends_with_a_cost() -> None:
    assert Tail(2.0, 3.0, Method.NORMAL, 9).over(4.0, 0.5) == Tail(4.5, 6.5, Method.NORMAL, 9)


def seen(instrument: int, minute: float, mid: float) -> Observation:
    zeros = dict.fromkeys(("last", "spread", "depth_bid", "depth_ask", "fill_buy", "fill_sell"), 0.0)
    return Observation(
        ts=TS + round(minute * NS_PER_MINUTE),
        instrument=instrument,
        mid=mid,
        ts_venue=0,
        age_ns=0,
        sigma_1m=0.0,
        volatility_rank=0.0,
        atr=0.0,
        **zeros,
    )


SMALL = TailParams(method=Method.HISTORICAL, probability=0.05, window_min=50, min_returns=20, exit_cost_frac=0.0)


def walked(params: TailParams = SMALL, n: int = 200, seed: int = 5) -> tuple[TailRisk, Array]:
    """Two markets, the second twice as lively and against the first; return also the first's returns."""
    returns = np.random.default_rng(seed).normal(0.0, 0.001, n)
    held = TailRisk(params)
    one, other = 100.0, 50.0
    for k, r in enumerate(returns.tolist()):
        held.observe(seen(0, k, one))
        held.observe(seen(1, k + 0.2, other))
        one, other = one * (1.0 + r), other * (1.0 - 2.0 * r)
        held.observe(seen(0, k + 0.9, one))
        held.observe(seen(1, k + 0.9, other))
    return held, returns


def test_positions_are_measured_by_what_they_would_have_made() -> None:
    held, returns = walked()
    # the last minute is not over, and the window holds 50
    expected = 1_000.0 * returns[-51:-1]
    assert np.allclose(held.profits({0: 1_000.0}), expected, rtol=1e-9)
    assert np.allclose(held.profits({0: -1_000.0}), -expected, rtol=1e-9)
    # a hedge of twice the size in a market half as lively leaves nothing
    assert np.allclose(held.profits({0: 1_000.0, 1: 500.0}), 0.0, atol=1e-9)
    found = held.measure({0: 1_000.0})
    assert found is not None
    assert found.var == pytest.approx(-np.quantile(expected, 0.05) * math.sqrt(30.0), rel=1e-9)
    hedged = held.measure({0: 1_000.0, 1: 500.0})
    assert hedged is not None
    assert hedged.es == pytest.approx(0.0, abs=1e-6)


def test_closing_costs_are_lost_on_every_leg() -> None:
    costly = msgspec.structs.replace(SMALL, exit_cost_frac=0.001)
    free, dear = walked()[0], walked(costly)[0]
    a, b = free.measure({0: 1_000.0, 1: -200.0}), dear.measure({0: 1_000.0, 1: -200.0})
    assert a is not None
    assert b is not None
    assert (b.var - a.var, b.es - a.es) == (pytest.approx(1.2), pytest.approx(1.2))


def test_what_is_not_known_long_enough_is_not_measured() -> None:
    held = walked(n=22)[0]
    assert held.num_returns(0) == 20
    assert held.measure({0: 1.0}) is not None
    assert walked(n=21)[0].measure({0: 1.0}) is None
    assert held.measure({0: 1.0, 7: 1.0}) is None
    assert held.num_returns(7) == 0
    flat = held.measure({0: 0.0})
    assert flat is not None
    assert (flat.var, flat.es) == (0.0, 0.0)


def test_a_minute_is_its_last_mid_and_a_gap_one_move() -> None:
    held = TailRisk(msgspec.structs.replace(SMALL, min_returns=10))
    for minute, mid in ((0.0, 1.0), (0.5, 100.0), (1.1, 7.0), (1.9, 110.0), (2.5, 0.0), (9.0, 121.0), (9.5, 121.0)):
        held.observe(seen(0, minute, mid))
    held.observe(seen(0, 10.0, 5.0))
    assert held.profits({0: 1.0}).tolist() == pytest.approx([0.1, 0.1])


def test_markets_are_joined_by_the_minutes_that_both_have() -> None:
    held = TailRisk(SMALL)
    for minute in range(8):
        held.observe(seen(0, minute, 100.0 + minute))
        if minute != 3:
            held.observe(seen(1, minute, 10.0 + minute))
    # minutes 1, 2, 4, 5, 6 are closed at both; the second's move over the gap is that of minute 4
    first = [101 / 100 - 1, 102 / 101 - 1, 104 / 103 - 1, 105 / 104 - 1, 106 / 105 - 1]
    second = [11 / 10 - 1, 12 / 11 - 1, 14 / 12 - 1, 15 / 14 - 1, 16 / 15 - 1]
    expected = [a + 2 * b for a, b in zip(first, second, strict=True)]
    assert held.profits({0: 1.0, 1: 2.0}).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("cut", [0, 1, 30, 177])
def test_a_restore_at_any_cut_is_as_if_nothing_had_happened(cut: int) -> None:
    rng = np.random.default_rng(1)
    stream = [seen(int(n % 2), n / 3, 100.0 + float(rng.normal())) for n in range(180)]
    whole, first = TailRisk(SMALL), TailRisk(SMALL)
    for one in stream:
        whole.observe(one)
    for one in stream[:cut]:
        first.observe(one)
    then = TailRisk(SMALL)
    then.restore(first.snapshot())
    for one in stream[cut:]:
        then.observe(one)
    assert then.snapshot() == whole.snapshot()
    assert then.measure({0: 5.0, 1: -3.0}) == whole.measure({0: 5.0, 1: -3.0})


@pytest.mark.parametrize("snapshot", [b"", b"\xc1", msgspec.msgpack.encode(("tails 0", {}))])
def test_bytes_of_another_layout_are_refused(snapshot: bytes) -> None:
    with pytest.raises(SnapshotMismatch):
        TailRisk(SMALL).restore(snapshot)
