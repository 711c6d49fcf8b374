from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.numerics import decay

NS = 1_000_000_000
spans = st.integers(0, 1000 * NS)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(spans, spans)
def test_two_decays_are_one_decay_of_their_sum(a: int, b: int) -> None:
    tau = 60.0 * NS
    assert decay.kept(a, tau) * decay.kept(b, tau) == pytest.approx(decay.kept(a + b, tau), rel=1e-12)


def test_time_that_runs_backwards_decays_nothing() -> None:
    assert decay.kept(-NS, 1.0 * NS) == 1.0
    assert decay.decayed_sum(5.0, -NS, 1.0 * NS, 2.0) == 7.0


def test_splitting_an_event_at_one_instant_changes_nothing() -> None:
    whole = decay.decayed_sum(3.0, NS, 2.0 * NS, 10.0)
    first = decay.decayed_sum(3.0, NS, 2.0 * NS, 4.0)
    assert decay.decayed_sum(first, 0, 2.0 * NS, 6.0) == pytest.approx(whole, rel=1e-15)


def test_a_state_held_for_tau_ln_2_moves_the_mean_half_way() -> None:
    dt = int(math.log(2.0) * 10 * NS)
    assert decay.held_mean(1.0, 3.0, dt, 10.0 * NS) == pytest.approx(2.0, rel=1e-9)


def test_moments_equal_their_weighted_sums() -> None:
    rng = np.random.default_rng(3)
    xs = rng.normal(5.0, 2.0, 400)
    alpha = 0.05
    mean, var = 5.0, 0.0
    weights = np.array([1.0])
    values = np.array([5.0])
    for x in xs:
        mean, var = decay.ew_moments(mean, var, x, alpha)
        weights = np.append(weights * (1 - alpha), alpha)
        values = np.append(values, x)
    expected = float(np.sum(weights * values))
    assert mean == pytest.approx(expected, rel=1e-12)
    assert var == pytest.approx(float(np.sum(weights * (values - expected) ** 2)), rel=1e-10)


def test_the_score_does_not_know_its_own_value() -> None:
    # with moments that had learnt x already, an outlier's score would be bounded by 1 / sqrt(1 - lambda)
    assert decay.causal_z(0.0, 1.0, 100.0, 0.0) == 100.0


def test_a_constant_series_scores_zero_and_not_nan() -> None:
    assert decay.causal_z(7.0, 0.0, 7.0, 1e-12) == 0.0


def test_confidence_grows_with_the_sample_and_fades_with_age() -> None:
    assert decay.confidence(5.0, 10.0, 0.0, 1000.0) == 0.5
    assert decay.confidence(50.0, 10.0, 1000.0, 1000.0) == pytest.approx(math.exp(-1.0))
