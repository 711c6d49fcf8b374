from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from spyhop.research.studies.chance import Earned, Floats, Places, chance, p_value

NUM = 4_000


def of(gross: Floats) -> Earned:
    def earned(at: Places) -> Floats:
        return np.asarray(gross[at])

    return earned


def test_the_p_value_counts_the_observed_one() -> None:
    assert p_value(3.0, np.array([1.0, 2.0, 3.0, 4.0])) == pytest.approx(3 / 5)
    assert p_value(5.0, np.zeros(99)) == pytest.approx(1 / 100)
    # a sum in another order is the same trades
    assert p_value(0.1 + 0.2, np.array([0.3])) == 1.0


def test_rules_that_know_nothing_have_p_values_of_every_size_alike() -> None:
    found = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        gross = rng.standard_t(4, NUM) * 1e-3
        signals = np.sort(rng.choice(NUM, 40, replace=False))
        told = chance(float(gross[signals].mean()), signals, NUM, of(gross), seed=seed + 1, num_draws=199)
        assert told is not None
        found.append((told.p_random, told.p_shifted))
    for column in np.array(found).T:
        assert stats.kstest(column, "uniform").pvalue > 0.01
        assert 0.02 < np.mean(column < 0.05) < 0.09


def test_entries_in_bursts_are_not_taken_for_as_many_pieces_of_evidence() -> None:
    """All trades of a rule lie in one burst: by entries at random it is far too often remarkable, moved in time not."""
    by_random, by_shift = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        # neighbouring entries share one move
        gross = np.convolve(rng.normal(0, 1e-3, NUM + 59), np.ones(60) / 60, "valid")
        signals = rng.integers(0, NUM - 40) + np.arange(40)
        told = chance(float(gross[signals].mean()), signals, NUM, of(gross), seed=seed, num_draws=199)
        assert told is not None
        by_random.append(told.p_random < 0.05)
        by_shift.append(told.p_shifted < 0.05)
    assert np.mean(by_random) > 0.2
    assert np.mean(by_shift) < 0.1


def test_a_rule_that_knows_is_told_from_chance() -> None:
    rng = np.random.default_rng(1)
    gross = rng.normal(0, 1e-3, NUM)
    signals = np.flatnonzero(gross > 0.0)[:60]
    told = chance(float(gross[signals].mean()), signals, NUM, of(gross))
    assert told is not None
    assert told.p_random == pytest.approx(1 / 10_001)
    assert told.p_shifted == pytest.approx(1 / 10_001)
    assert told.interval.holds_zero
    assert told.mean_bps == pytest.approx(float(gross.mean() * 1e4), abs=0.05)


def test_the_same_seed_draws_the_same() -> None:
    gross = np.random.default_rng(2).normal(0, 1e-3, NUM)
    signals = np.arange(0, NUM, 100)
    first, again = (chance(0.0, signals, NUM, of(gross), seed=5, num_draws=100) for _ in range(2))
    assert first == again
    assert first != chance(0.0, signals, NUM, of(gross), seed=6, num_draws=100)


def test_what_cannot_be_entered_is_not_drawn() -> None:
    gross = np.full(NUM, np.nan)
    assert chance(0.0, np.array([3]), NUM, of(gross), num_draws=50) is None
    gross[::2] = 0.0010
    told = chance(0.0, np.array([2, 4]), NUM, of(gross), num_draws=50)
    assert told is not None
    assert told.mean_bps == pytest.approx(10.0)
    assert chance(0.0, np.zeros(0, np.int64), NUM, of(gross)) is None


def test_a_moved_pattern_does_not_keep_what_it_knew() -> None:
    """Neighbours of a trade share its move; moved by less than it lasts, the pattern would still know something."""
    gross = np.zeros(NUM)
    signals = np.arange(50, NUM - 50, 400)
    for near in range(-10, 11):
        gross[signals + near] = 0.0010
    far, near_by = (chance(0.0010, signals, NUM, of(gross), apart=apart, num_draws=4_000) for apart in (11, 1))
    assert far is not None
    assert near_by is not None
    # the pattern repeats every 400 bars, so that what it knows comes back, but for the nearest bars
    assert near_by.p_shifted > far.p_shifted


def test_a_span_shorter_than_its_trades_is_still_moved() -> None:
    gross = np.linspace(-1e-3, 1e-3, 40)
    assert chance(0.0, np.array([3]), 40, of(gross), apart=10_000, num_draws=50) is not None
