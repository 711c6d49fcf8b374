"""The best of many, deflated: the authors' worked example, independent implementations, and sizes under no edge."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spyhop.research.sweeps.overfitting import (
    block_length,
    block_sums,
    expected_best,
    expected_best_sharpe,
    expected_max,
    min_backtest_years,
    min_track_record,
    overfit_logits,
    overfit_null,
    probabilistic_sharpe,
    probability_of_overfitting,
    splits_of,
    stationary_rows,
    superior_ability,
)

YEARLY, DAYS = 2.5, 250


@pytest.mark.parametrize(
    ("num_trials", "threshold", "deflated"), [(100, 0.11317, 0.90040), (46, None, 0.9505)], ids=["hundred", "46"]
)
def test_the_authors_example_of_a_deflated_sharpe_ratio(
    num_trials: int, threshold: float | None, deflated: float
) -> None:
    # annual 2.5 over 1,250 days, variance of the trials 0.5 a year, skewness -3, raw kurtosis 10
    best = expected_best_sharpe(num_trials, 0.5 / DAYS)
    if threshold is not None:
        assert best == pytest.approx(threshold, abs=5e-6)
    found = probabilistic_sharpe(YEARLY / math.sqrt(DAYS), 1_250, best, skewness=-3, kurtosis=10)
    assert found == pytest.approx(deflated, abs=5e-5)


@pytest.mark.parametrize(
    ("num_trials", "greatest"), [(15, 1.736), (23, 1.929), (100, 2.508), (1_000, 3.241), (10_000, 3.852)]
)
def test_the_greatest_of_many_normals(num_trials: int, greatest: float) -> None:
    assert expected_max(num_trials) == pytest.approx(greatest, abs=5e-4)
    assert expected_best(num_trials) == pytest.approx(greatest, rel=0.02)


def test_one_trial_expects_nothing() -> None:
    assert expected_max(1) == pytest.approx(0.0, abs=1e-9)
    assert expected_best(1) == 0.0
    assert expected_best_sharpe(1, 4.0) == 0.0


@pytest.mark.parametrize(("num_trials", "years"), [(10, 2.4), (100, 6.3), (1_000, 10.5), (10_000, 14.8)])
def test_the_least_years_of_data_for_so_many_trials(num_trials: int, years: float) -> None:
    assert min_backtest_years(num_trials) == pytest.approx(years, abs=0.05)


def test_a_track_record_as_long_as_needed_is_at_its_level() -> None:
    needed = min_track_record(0.1, 0.02, skewness=-1, kurtosis=6)
    assert needed is not None
    assert probabilistic_sharpe(0.1, round(needed), 0.02, -1, 6) == pytest.approx(0.95, abs=5e-4)
    assert min_track_record(0.1, 0.1) is None


@pytest.mark.oracle
def test_ratios_are_those_of_an_independent_implementation() -> None:
    import holdout

    for sharpe, n, skewness, kurtosis in ((0.05, 300, -2.0, 9.0), (-0.1, 60, 0.5, 3.0), (0.2, 1_000, 0.0, 4.0)):
        mine = probabilistic_sharpe(sharpe, n, 0.01, skewness, kurtosis)
        theirs = holdout.probabilistic_sharpe_ratio(sharpe, n, benchmark=0.01, skewness=skewness, kurtosis=kurtosis)
        assert mine == pytest.approx(theirs, abs=1e-12)
    theirs = holdout.minimum_track_record_length(0.1, skewness=-1.0, kurtosis=6.0)
    assert min_track_record(0.1, 0.0, -1.0, 6.0) == pytest.approx(theirs, rel=1e-9)


def test_half_of_sixteen_blocks_can_be_chosen_in_12870_ways() -> None:
    splits = splits_of(16)
    assert splits.shape == (12_870, 16)
    assert (splits.sum(axis=1) == 8).all()
    assert len(np.unique(splits, axis=0)) == 12_870


@pytest.mark.oracle
@pytest.mark.parametrize(("num_periods", "num_settings", "num_blocks"), [(320, 20, 8), (167, 50, 16), (64, 3, 16)])
def test_the_probability_of_overfitting_is_that_of_an_independent_implementation(
    num_periods: int, num_settings: int, num_blocks: int
) -> None:
    import holdout

    pnl = np.random.default_rng(3).normal(2e-4, 1e-2, (num_settings, num_periods))
    theirs = holdout.probability_of_backtest_overfitting(pnl.T, n_blocks=num_blocks)
    logits = overfit_logits(block_sums(pnl, num_blocks), splits_of(num_blocks))
    assert logits == pytest.approx(theirs.logits, abs=1e-12)
    assert probability_of_overfitting(logits) == theirs.pbo


# methods of the literature: 50 settings, one with an edge of t = 6: hardly ever overfit; of t = 2: a coin's throw
def test_a_real_edge_is_seldom_overfit_and_a_weak_one_is() -> None:
    def mean_of(t: float) -> float:
        found = []
        for seed in range(20):
            pnl = np.random.default_rng(seed).normal(size=(50, 500))
            pnl[7] += t / math.sqrt(500)
            found.append(probability_of_overfitting(overfit_logits(block_sums(pnl, 16), splits_of(16)[::10])))
        return float(np.mean(found))

    assert mean_of(6.0) < 0.03
    assert mean_of(4.0) == pytest.approx(0.16, abs=0.12)
    assert mean_of(2.0) == pytest.approx(0.50, abs=0.12)


# t = 320, 20 settings, 8 blocks: 5 to 95 % is .16 to .81
def test_the_null_band_is_as_wide_as_it_is() -> None:
    rng = np.random.default_rng(0)
    pnl = rng.normal(size=(20, 320))
    null = overfit_null(pnl, 8, splits_of(8), 1_000, 1.0, rng)
    low, middle, high = np.quantile(null, [0.05, 0.5, 0.95])
    assert (low, middle, high) == pytest.approx((0.16, 0.49, 0.81), abs=0.05)


def test_the_null_band_forgets_a_planted_edge_and_keeps_what_settings_share() -> None:
    rng = np.random.default_rng(1)
    shared = rng.normal(size=320)
    alike = 0.98 * shared + 0.2 * rng.normal(size=(20, 320))
    alike[3] += 0.3
    of_alike = overfit_null(alike, 8, splits_of(8), 300, 1.0, np.random.default_rng(2))
    assert probability_of_overfitting(overfit_logits(block_sums(alike, 8), splits_of(8))) < 0.02
    assert np.median(of_alike) == pytest.approx(0.5, abs=0.1)


def test_settings_that_do_not_vary_have_no_ratio_and_share_their_rank() -> None:
    pnl = np.zeros((4, 64))
    assert overfit_logits(block_sums(pnl, 8), splits_of(8)) == pytest.approx(np.zeros(70))


def test_a_resample_is_blocks_of_the_length_asked_for() -> None:
    rows = stationary_rows(200, 2_000, 5.0, np.random.default_rng(0))
    assert rows.shape == (2_000, 200)
    assert rows.min() == 0
    assert rows.max() == 199
    goes_on = (rows[:, 1:] - rows[:, :-1]) % 200 == 1
    assert 1 / (1 - goes_on.mean()) == pytest.approx(5.0, rel=0.03)
    assert np.bincount(rows.ravel()).std() / 2_000 < 0.1  # every period as often as any other


@pytest.mark.oracle
def test_a_long_memory_asks_for_longer_blocks_as_politis_and_white_say() -> None:
    import holdout

    noise = np.random.default_rng(0).normal(size=1_200)
    x = np.zeros(1_200)
    for i in range(1, 1_200):
        x[i] = 0.85 * x[i - 1] + noise[i]
    assert block_length(x[None, 200:]) == pytest.approx(holdout.optimal_block_length(x[200:]), rel=0.05)
    assert block_length(noise[None, 200:]) == pytest.approx(10.0)
    assert block_length(np.zeros((2, 8))) == 2.0


# without blocks a long-run deviation is a plain one; theirs is estimated by resampling
@pytest.mark.oracle
def test_superior_ability_is_that_of_independent_implementations() -> None:
    import holdout
    from arch.bootstrap import SPA

    rng = np.random.default_rng(5)
    for edge in (0.0, 0.08, 0.14):
        pnl = rng.normal(size=(40, 400))
        pnl[:20] -= 0.2
        pnl[30] += edge
        mine = superior_ability(pnl, stationary_rows(400, 4_000, 1.0, rng), 1.0)
        theirs = holdout.superior_predictive_ability(pnl.T, n_bootstrap=4_000, block_length=1.0, seed=1)
        by_arch = SPA(np.zeros(400), -pnl.T, block_size=1, reps=2_000, seed=2)
        by_arch.compute()
        assert mine is not None
        assert mine.best == theirs.best
        assert mine.statistic == pytest.approx(20 * pnl[mine.best].mean() / pnl[mine.best].std(), rel=1e-9)
        assert mine.statistic == pytest.approx(theirs.statistic, rel=0.03)
        assert mine.p == pytest.approx(theirs.consistent, abs=0.04)
        assert mine.p == pytest.approx(by_arch.pvalues["consistent"], abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("memory", [0.0, 0.3])
def test_worthless_settings_are_seldom_called_superior(memory: float) -> None:
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        pnl = rng.normal(size=(300, 150))
        for i in range(1, 150):
            pnl[:, i] += memory * pnl[:, i - 1]
        block = block_length(pnl, 8)
        tested = superior_ability(pnl, stationary_rows(150, 300, block, rng), block)
        assert tested is not None
        found.append(tested.p)
    assert np.mean(np.array(found) < 0.05) <= 0.15


def test_a_planted_edge_is_called_superior() -> None:
    rng = np.random.default_rng(0)
    pnl = rng.normal(size=(500, 200)).astype(np.float32)
    pnl[123] += 0.5
    found = superior_ability(pnl, stationary_rows(200, 500, 6.0, rng), 6.0)
    assert found is not None
    assert (found.best, found.num_settings) == (123, 500)
    assert found.p < 0.01


def test_settings_that_never_trade_take_no_part() -> None:
    rng = np.random.default_rng(0)
    pnl = np.zeros((60, 100))
    pnl[40:] = rng.normal(size=(20, 100))
    pnl[47] += 1.0
    found = superior_ability(pnl, stationary_rows(100, 400, 5.0, rng), 5.0)
    assert found is not None
    assert (found.best, found.num_settings) == (47, 20)
    assert superior_ability(pnl[:40], stationary_rows(100, 400, 5.0, rng), 5.0) is None


# one resample in eight misses both periods of each: that is no sign of what the others are worth
def test_settings_that_trade_seldom_hide_nobody() -> None:
    rng = np.random.default_rng(0)
    pnl = np.zeros((21, 200))
    pnl[:20, 50], pnl[:20, 150] = 1.0, -1.1
    pnl[20] = rng.normal(0.5, 1.0, 200)
    found = superior_ability(pnl, stationary_rows(200, 500, 5.0, rng), 5.0)
    assert found is not None
    assert (found.best, found.num_settings) == (20, 21)
    assert found.p < 0.01
