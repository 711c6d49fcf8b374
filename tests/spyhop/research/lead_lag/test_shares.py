"""Shares in finding the price: markets whose shares are known, and what says nothing must say so."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.research.lead_lag.series import Series, series
from spyhop.research.lead_lag.shares import PriceShares, price_shares

STEP_NS = 100 * NS_PER_MS


def ticks(name: str, log_price: npt.NDArray[np.float64], base: str = "") -> Series:
    # a little off the grid, or it would be taken for bars
    times = np.arange(len(log_price)) * STEP_NS
    return series(name, times, np.exp(log_price), "exchange", "mids", base=base)


def leader_and_follower(seed: int, num: int = 12_000) -> tuple[Series, Series]:
    """The follower closes a third of the gap at each step and is noisy; the leader never looks back."""
    generator = np.random.default_rng(seed)
    leader = np.cumsum(1e-4 * generator.standard_normal(num))
    follower = np.zeros(num)
    noise = 2e-5 * generator.standard_normal(num)
    for i in range(1, num):
        follower[i] = follower[i - 1] + (leader[i - 1] - follower[i - 1]) / 3.0 + noise[i]
    return ticks("leader", leader), ticks("follower", follower + 0.002)


def shares(pair: tuple[Series, Series]) -> PriceShares:
    found, why_not = price_shares(*pair)
    assert why_not == ""
    assert found is not None
    return found


def test_a_market_that_never_looks_back_finds_the_price() -> None:
    found = shares(leader_and_follower(1))
    assert 0.95 <= found.component <= 1.05
    assert found.information_low >= 0.94
    assert found.information_high <= 1.0
    assert found.beta == pytest.approx(-1.0, abs=0.02)
    assert found.verdict.startswith("the leader finds most of the price")
    assert found.p_follower < 0.001 < found.p_leader
    assert found.alpha_follower > 0.1
    assert found.grid_s == 0.1


def test_swapping_the_two_takes_the_shares_from_one() -> None:
    leader, follower = leader_and_follower(2)
    there, back = shares((leader, follower)), shares((follower, leader))
    assert back.component == pytest.approx(1.0 - there.component, abs=1e-6)
    assert back.information_low == pytest.approx(1.0 - there.information_high, abs=1e-6)
    assert back.information_leadership == pytest.approx(1.0 - there.information_leadership, abs=1e-6)
    assert back.verdict.startswith("the follower finds most")


def test_equals_that_are_surprised_together_get_bounds_that_say_nothing() -> None:
    generator = np.random.default_rng(3)
    num = 12_000
    common = 1e-4 * generator.standard_normal(num)
    own = 5e-5 * generator.standard_normal((num, 2))
    levels = np.zeros((num, 2))
    for i in range(1, num):
        gap = levels[i - 1, 0] - levels[i - 1, 1]
        levels[i] = levels[i - 1] + common[i] + own[i] + np.array([-0.2, 0.2]) * gap
    found = shares((ticks("a", levels[:, 0]), ticks("b", levels[:, 1])))
    assert found.component == pytest.approx(0.5, abs=0.15)
    assert found.information_high - found.information_low > 0.6
    assert found.error_correlation == pytest.approx(0.8, abs=0.05)
    assert "too wide to tell" in found.verdict


def test_shares_are_those_of_a_regression_with_the_gap_given() -> None:
    """With beta = (1, -1) the model is least squares, and the bounds follow by hand from its residuals."""
    leader, follower = leader_and_follower(4, 6_000)
    found = shares((leader, follower))
    p = np.log(np.stack([leader.values, follower.values], axis=1))
    p -= p.mean(axis=0)
    dp = np.diff(p, axis=0)
    lags = 10
    rows = [np.concatenate([[p[t, 0] - p[t, 1]], dp[t - lags : t].ravel()]) for t in range(lags, len(dp))]
    fitted, *_ = np.linalg.lstsq(np.array(rows), dp[lags:], rcond=None)
    residuals = dp[lags:] - np.array(rows) @ fitted
    omega = residuals.T @ residuals / len(residuals)
    common = np.array([fitted[0, 1], -fitted[0, 0]])
    assert found.component == pytest.approx(common[0] / common.sum(), abs=0.02)
    variance = common @ omega @ common
    # the first in the order takes all that both share, the last only what is its own
    first = (common[0] * omega[0, 0] + common[1] * omega[0, 1]) ** 2 / omega[0, 0] / variance
    last = common[0] ** 2 * (omega[0, 0] - omega[0, 1] ** 2 / omega[1, 1]) / variance
    assert sorted((first, last)) == pytest.approx([found.information_low, found.information_high], abs=0.01)


def test_unrelated_markets_have_no_price_in_common() -> None:
    generator = np.random.default_rng(5)
    walks = np.cumsum(1e-4 * generator.standard_normal((2, 3_000)), axis=1)
    found = shares((ticks("a", walks[0]), ticks("b", walks[1])))
    assert found.trace < found.trace_95
    assert "not seen to come back to a common price" in found.verdict


def test_what_cannot_have_shares_says_why() -> None:
    leader, follower = leader_and_follower(1, 600)
    assert "no price in common" in price_shares(leader._replace(base="BTC"), follower._replace(base="ETH"))[1]
    assert "too coarse" in price_shares(leader._replace(bar_ns=60 * NS_PER_S), follower)[1]
    short = leader._replace(times=leader.times[:200], values=leader.values[:200])
    assert "only 200 steps" in price_shares(short, follower)[1]
    still = leader._replace(values=np.ones(600))
    assert "never moved" in price_shares(still, follower)[1]
    below = leader._replace(values=leader.values - 2.0)
    assert "not all above 0" in price_shares(below, follower)[1]
    seldom = leader._replace(times=leader.times[::100], values=leader.values[::100])
    assert "ticks only every" in price_shares(seldom, follower)[1]
    assert price_shares(leader, follower)[0] is not None
