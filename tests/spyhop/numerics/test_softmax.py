"""Scores and softmax."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spyhop.numerics.softmax import linear_scores, softmax

SCORES = arrays(np.float64, 23, elements=st.floats(-800, 800))


def probabilities(scores: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    out = np.empty(len(scores))
    softmax(scores, temperature, out)
    return out


def test_known_probabilities() -> None:
    np.testing.assert_allclose(probabilities(np.log([1.0, 2.0, 5.0])), [0.125, 0.25, 0.625], rtol=1e-15)


def test_temperature_divides_the_scores() -> None:
    np.testing.assert_allclose(probabilities(np.array([0.0, 1.0]), 0.5), probabilities(np.array([0.0, 2.0])))


@given(SCORES, st.floats(0.05, 5.0))
def test_probabilities_sum_to_one_and_keep_the_order_of_scores(scores: np.ndarray, temperature: float) -> None:
    p = probabilities(scores, temperature)
    assert abs(sum(p.tolist()) - 1.0) < 1e-12
    assert ((p >= 0.0) & (p <= 1.0)).all()
    assert p[np.argmax(scores)] == p.max()


@given(SCORES, st.floats(-100, 100))
def test_a_common_shift_changes_nothing(scores: np.ndarray, shift: float) -> None:
    np.testing.assert_allclose(probabilities(scores + shift), probabilities(scores), atol=1e-12)


def test_a_shut_gate_gets_exactly_nothing() -> None:
    p = probabilities(np.array([0.0, -math.inf, 0.0]))
    assert p.tolist() == [0.5, 0.0, 0.5]


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature"):
        probabilities(np.zeros(3), temperature)


def test_no_finite_score_is_refused() -> None:
    with pytest.raises(ValueError, match="finite score"):
        probabilities(np.full(3, -math.inf))


def test_linear_scores_are_bias_plus_weighted_evidence() -> None:
    scores = np.empty(3)
    weights = np.array([[1.0, 2.0], [0.0, -1.0], [5.0, 5.0]])
    linear_scores(weights, np.array([0.5, 0.0, 0.0]), np.array([0.5, 0.25]), np.array([1, 1, 0], np.uint8), scores)
    assert scores.tolist() == [1.5, -0.25, -math.inf]


@given(arrays(np.float64, (23, 40), elements=st.floats(-3, 3)), arrays(np.float64, 40, elements=st.floats(-1, 1)))
def test_linear_scores_agree_with_numpy(weights: np.ndarray, evidence: np.ndarray) -> None:
    scores = np.empty(23)
    linear_scores(weights, np.zeros(23), evidence, np.ones(23, np.uint8), scores)
    np.testing.assert_allclose(scores, weights @ evidence, atol=1e-12)
