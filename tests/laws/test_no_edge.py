"""Worthless settings are reported as worthless however many are tried, and an edge that is there is found.

Two kinds of worthless: returns that are noise, and following a leader on a driftless tape free of costs, where every
setting's true result is nothing and the best of a thousand looks well. (With costs all of them lose, which is easy.)
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pytest

from spyhop.clock import NS_PER_HOUR, NS_PER_MINUTE
from spyhop.research.objectives.bar_objectives import LeadFollow
from spyhop.research.sweeps.result import AssessParams, SweepResult, assess

# fewer resamples and no pictures; what is tested is tested as always
QUICK = AssessParams(
    pbo_settings=100, pbo_splits=1_000, pbo_null_splits=50, pbo_null_draws=50, num_draws=200, num_top=1, num_sampled=0
)
NUM_SEEDS, ENOUGH = 100, 95

NAMES = (
    "lead.window_s",
    "lead.fall_frac",
    "lead.premium_frac",
    "lead.take_profit_frac",
    "lead.horizon_s",
)
THOUSAND = np.stack(
    np.meshgrid(
        [60, 120, 180, 300],
        [0.0003, 0.0006, 0.001, 0.0015, 0.002],
        [0.0001, 0.0003, 0.0006, 0.001, 0.002],
        [0.001, 0.002, 0.004, 0.008, 0.016],
        [600, 1_800],
        indexing="ij",
    ),
    axis=-1,
).reshape(-1, 5)


def _returns(pnl: npt.NDArray[np.float64], seed: int) -> SweepResult:
    n, num_periods = pnl.shape
    return assess(
        ["lead.window_s"],
        np.arange(float(n))[:, None],
        (1e-3 * pnl).astype(np.float32),
        np.full(n, 10 * num_periods),
        np.arange(num_periods) * NS_PER_HOUR,
        num_trials=n,
        params=QUICK,
        seed=seed,
    )


def _bars(seed: int, lag: int = 0, days: int = 7, steps: int = 12) -> dict[str, npt.NDArray[np.float64]]:
    """A week of minutes, two walks with shared and own moves, the shared ones `lag` minutes later in the follower."""
    rng = np.random.default_rng(seed)
    num = days * 1_440
    shared = rng.normal(size=(num + lag) * steps) * 5e-4 / np.sqrt(steps)
    own = rng.normal(size=num * steps) * 1e-4 / np.sqrt(steps)
    leader = 100 * np.exp(np.cumsum(shared))[lag * steps :].reshape(num, steps)
    follower = 100 * np.exp(np.cumsum(shared[: num * steps] + own))
    opens = np.concatenate([[100.0], follower[steps - 1 : -1 : steps]])
    within = follower.reshape(num, steps)
    return {
        "ts": (np.arange(num) + 1) * NS_PER_MINUTE,
        "leader": leader[:, -1].copy(),
        "open": opens,
        "high": np.maximum(opens, within.max(axis=1)),
        "low": np.minimum(opens, within.min(axis=1)),
        "close": within[:, -1].copy(),
        "basis": np.zeros(num),
    }


def _followed(seed: int, lag: int = 0, params: AssessParams = QUICK) -> SweepResult:
    objective, bars = LeadFollow(fees_bps=0.0), _bars(seed, lag)
    earned = objective.evaluate(bars, NAMES, THOUSAND)
    periods = objective.periods(bars)
    return assess(NAMES, THOUSAND, earned.pnl, earned.num_trades, periods, num_trials=1_000, params=params, seed=seed)


def _count(results: Iterable[SweepResult]) -> tuple[int, int]:
    """Return how many demonstrate an edge, and how many chose a setting that looks well in sample."""
    edges = flattering = 0
    for result in results:
        edges += result.verdict.has_edge
        flattering += result.chosen_score is not None and result.chosen_score.mean_bps > 0
    return edges, flattering


@pytest.mark.slow
def test_the_best_of_a_thousand_noises_is_no_edge() -> None:
    noise = (np.random.default_rng(seed).normal(size=(1_000, 168)) for seed in range(NUM_SEEDS))
    edges, flattering = _count(_returns(pnl, seed) for seed, pnl in enumerate(noise))
    assert NUM_SEEDS - edges >= ENOUGH
    assert flattering >= ENOUGH


@pytest.mark.slow
def test_an_edge_in_one_place_of_fifty_is_found() -> None:
    edges = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        pnl = rng.normal(size=(150, 1_000))
        # a place is three neighbours that mostly win and lose together
        pnl[60:63] = 0.9 * rng.normal(size=1_000) + 0.43 * pnl[60:63] + 6.0 / np.sqrt(1_000)
        result = _returns(pnl, seed)
        assert result.chosen is not None
        assert 60 <= result.chosen.setting[0] <= 62
        edges += result.verdict.has_edge
    assert edges >= 8


@pytest.mark.slow
def test_the_best_of_a_thousand_ways_to_follow_a_driftless_leader_is_no_edge() -> None:
    edges, flattering = _count(_followed(seed) for seed in range(20))
    assert edges <= 1
    assert flattering >= 15


@pytest.mark.slow
def test_a_leader_that_is_two_minutes_ahead_is_an_edge_before_costs() -> None:
    assert _count(_followed(seed, lag=2) for seed in range(3))[0] == 3


@pytest.mark.storm
def test_so_it_is_in_a_hundred_weeks_with_nothing_made_smaller() -> None:
    edges, flattering = _count(_followed(seed, params=AssessParams()) for seed in range(NUM_SEEDS))
    assert (NUM_SEEDS - edges, flattering) >= (ENOUGH, ENOUGH - 20), f"{edges} edges, {flattering} looked well"
