"""Back-tests against published regions, other people's likelihoods, and series that are right or wrong by design."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from spyhop.risk import tails
from spyhop.risk.backtests import (
    Array,
    Backtest,
    Flags,
    backtest,
    chi_squared_tail,
    likelihood_draws,
    likelihood_ratios,
    shortfall_draws,
    shortfall_statistic,
)


def hits_at(n: int, *places: int) -> Flags:
    found = np.zeros(n, np.bool_)
    found[list(places)] = True
    return found


def apart(n: int, x: int) -> Flags:
    """Return x exceedances in n steps, no two beside each other."""
    return hits_at(n, *range(0, 2 * x, 2))


def coverage(n: int, x: int, probability: float) -> float:
    return float(likelihood_ratios(apart(n, x)[np.newaxis], probability)[0, 0])


def test_kupiecs_regions() -> None:
    # Kupiec (1995), table of non-rejection at 5 %: N < 7 for 255 days and 4 < N < 17 for 1,000 at p = 1 %,
    # 6 < N < 21 for 255 days and 37 < N < 65 for 1,000 at p = 5 %
    edges = ((255, 0.01, (6,), (7,)), (1_000, 0.01, (5, 16), (4, 17)))
    edges += ((255, 0.05, (7, 20), (6, 21)), (1_000, 0.05, (38, 64), (37, 65)))
    for n, p, inside, outside in edges:
        for x in inside:
            assert chi_squared_tail(coverage(n, x, p), 1) > 0.05, (n, p, x)
        for x in outside:
            assert chi_squared_tail(coverage(n, x, p), 1) <= 0.05, (n, p, x)
    assert chi_squared_tail(coverage(255, 7, 0.01), 1) == pytest.approx(0.021, abs=5e-4)
    assert chi_squared_tail(coverage(1_000, 4, 0.01), 1) == pytest.approx(0.030, abs=5e-4)
    assert chi_squared_tail(coverage(1_000, 17, 0.01), 1) == pytest.approx(0.043, abs=5e-4)


def test_no_exceedance_at_all_is_no_division_by_nothing() -> None:
    assert coverage(255, 0, 0.01) == pytest.approx(-2 * 255 * math.log(0.99))
    uc, ind, cc = likelihood_ratios(np.zeros((1, 255), np.bool_), 0.01)[:, 0]
    assert ind == 0.0
    assert cc == pytest.approx(-2 * 254 * math.log(0.99))
    uc, ind, _ = likelihood_ratios(np.ones((1, 9), np.bool_), 0.5)[:, 0]
    assert (uc, ind) == (pytest.approx(18 * math.log(2)), 0.0)


@pytest.mark.slow
def test_the_ratios_are_those_of_binomial_and_contingency_likelihoods() -> None:
    from scipy import stats

    rng = np.random.default_rng(2)
    for _ in range(20):
        hits = rng.random(400) < 0.1
        x = int(hits.sum())
        uc, ind, cc = likelihood_ratios(hits[np.newaxis], 0.07)[:, 0]
        expected = 2 * (stats.binom.logpmf(x, 400, x / 400) - stats.binom.logpmf(x, 400, 0.07))
        assert uc == pytest.approx(expected, abs=1e-9)
        table = np.zeros((2, 2))
        np.add.at(table, (hits[:-1].astype(int), hits[1:].astype(int)), 1)
        expected = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
        assert ind == pytest.approx(expected, abs=1e-9)
        followed = int(hits[1:].sum())
        rest = 2 * (stats.binom.logpmf(followed, 399, followed / 399) - stats.binom.logpmf(followed, 399, 0.07))
        assert cc == pytest.approx(ind + rest, abs=1e-9)


def test_the_laws_are_chi_squared() -> None:
    from scipy import stats

    for statistic in (0.0, 0.3, 3.841, 9.0):
        for dof in (1, 2):
            assert chi_squared_tail(statistic, dof) == pytest.approx(stats.chi2.sf(statistic, dof), rel=1e-12)


def judged(losses: Array, es: Array | None = None, probability: float = 0.05, seed: int = 1) -> Backtest:
    var = np.full(len(losses), 1.6448536269514722)
    return backtest(losses, var, probability, np.random.default_rng(seed), es, num_draws=1_999)


def test_a_measure_that_is_right_passes_and_one_too_small_does_not() -> None:
    from scipy import stats

    losses = stats.norm.ppf((np.random.default_rng(4).permutation(1_000) + 0.5) / 1_000)
    es = np.full(1_000, stats.norm.pdf(1.6448536269514722) / 0.05)
    right = judged(losses, es)
    assert (right.num, right.expected, right.exceedances) == (1_000, 50.0, 50)
    assert right.shortfall is not None
    for outcome in (right.coverage, right.independence, right.joint, right.shortfall):
        assert outcome.p_simulated is not None
        assert outcome.p_simulated > 0.1
    assert right.shortfall.statistic == pytest.approx(0.0, abs=0.01)
    wrong = judged(1.5 * losses, es)
    assert wrong.shortfall is not None
    assert wrong.exceedances == 136
    for outcome in (wrong.coverage, wrong.joint, wrong.shortfall):
        assert outcome.p_simulated == 1 / 2_000
    assert wrong.shortfall.statistic < -1.5


def test_exceedances_in_a_row_are_not_independent() -> None:
    losses = np.zeros(1_000)
    losses[300:350] = 2.0
    found = judged(losses)
    assert found.exceedances == 50
    assert found.coverage.statistic == pytest.approx(0.0, abs=1e-9)
    assert found.coverage.p_value == pytest.approx(1.0)
    assert found.coverage.p_simulated == 1.0
    assert found.independence.p_simulated == found.joint.p_simulated == 1 / 2_000
    assert found.independence.p_value is not None
    assert found.independence.p_value < 1e-20
    assert found.shortfall is None


@cache
def draws() -> Array:
    return likelihood_draws(1_000, 0.05, np.random.default_rng(11), 8_000)


@pytest.mark.slow
def test_the_limiting_laws_reject_as_often_as_is_known() -> None:
    # methods 7: at n = 1,000 and p = 5 % coverage rejects 5.3 % and independence 7.5 % at a size of 5 %
    rejected = (draws()[:2] > 3.841458820694124).mean(axis=1)
    assert rejected == pytest.approx((0.053, 0.075), abs=0.008)


@pytest.mark.slow
def test_simulated_p_values_hold_their_size() -> None:
    # among right series, one in twenty has a p-value of 5 % at most: never clearly more
    law = np.sort(draws(), axis=1)
    fresh = likelihood_draws(1_000, 0.05, np.random.default_rng(12), 4_000)
    for sorted_law, statistics in zip(law, fresh, strict=True):
        above = len(sorted_law) - np.searchsorted(sorted_law, statistics - 1e-9)
        assert ((1 + above) / (1 + len(sorted_law)) <= 0.05).mean() < 0.06


def test_the_shortfalls_law_has_the_published_critical_value() -> None:
    # Acerbi and Szekely (2014): for 250 days and p = 2.5 % the 5 % quantile of Z2 is -0.70 for most tails
    law = shortfall_draws(250, 0.025, np.random.default_rng(3), 20_000)
    assert float(np.quantile(law, 0.05)) == pytest.approx(-0.70, abs=0.03)
    assert float(law.mean()) == pytest.approx(0.0, abs=0.02)


def test_the_shortfall_statistic_by_hand() -> None:
    # two exceedances of 3 and 5 where ES was 4, of ten steps at 10 %: 1 - (3/4 + 5/4) / 1
    losses = np.array([3.0, 5.0, *[0.0] * 8])
    assert shortfall_statistic(losses, losses > 2.0, np.full(10, 4.0), 0.1) == pytest.approx(-1.0)


def test_the_same_seed_gives_the_same_bits() -> None:
    losses = np.random.default_rng(8).normal(size=300)
    es = np.full(300, 2.06)
    assert judged(losses, es, seed=5) == judged(losses, es, seed=5)


def test_what_is_no_series_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="make no series"):
        backtest(np.zeros(3), np.zeros(2), 0.05, rng)
    with pytest.raises(ValueError, match="make no series"):
        backtest(np.zeros(1), np.zeros(1), 0.05, rng)
    with pytest.raises(ValueError, match="between 0 and 1"):
        backtest(np.zeros(3), np.zeros(3), 1.0, rng)
    with pytest.raises(ValueError, match="expected shortfall above 0"):
        backtest(np.zeros(3), np.zeros(3), 0.05, rng, np.zeros(3))


@pytest.mark.slow
def test_filtered_values_at_risk_follow_a_changing_market_and_historical_ones_fail_in_both_times() -> None:
    # 250 calm steps, then 250 four times as wild, and so on; the window knows as many of both
    window, p = 500, 0.05
    is_wild = np.arange(4_500) // 250 % 2 == 1
    profits = np.random.default_rng(0).standard_normal(4_500) * np.where(is_wild, 0.004, 0.001)
    found = {}
    for method in (tails.Method.FILTERED, tails.Method.HISTORICAL):
        params = tails.TailParams(method=method, probability=p)
        var = np.array([tails.measured(profits[k - window : k], params).var for k in range(window, len(profits))])
        wild = is_wild[window:]
        losses = -profits[window:]
        found[method] = tuple(
            backtest(losses[times], var[times], p, np.random.default_rng(1), num_draws=1_999) for times in (wild, ~wild)
        )
    # a variance that must be learnt is late at each change: 6 % in the wild times, 4 % in the calm ones
    for near in found[tails.Method.FILTERED]:
        assert 0.7 * near.expected < near.exceedances < 1.3 * near.expected
    wild, calm = found[tails.Method.HISTORICAL]
    assert wild.coverage.p_simulated == calm.coverage.p_simulated == 1 / 2_000
    assert wild.exceedances > 1.7 * wild.expected
    assert calm.exceedances == 0
