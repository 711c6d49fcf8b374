"""The numbers have the laws they are named after, and their future lies in one word."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spyhop.simulation import draws


def state(seed: int = 1, stream: int = 0) -> np.ndarray:
    record = np.zeros(1, draws.DRAWS)
    draws.begin(record[0], seed, stream)
    return record


@pytest.mark.parametrize(
    ("draw", "mean", "deviation"),
    [
        (draws.uniform, 0.5, math.sqrt(1 / 12)),
        (draws.exponential, 1.0, 1.0),
        (draws.normal, 0.0, 1.0),
    ],
)
def test_draws_have_their_mean_and_deviation(draw, mean: float, deviation: float) -> None:
    r = state()
    numbers = np.array([draw(r[0]) for _ in range(20_000)])
    assert numbers.mean() == pytest.approx(mean, abs=4 * deviation / math.sqrt(len(numbers)))
    assert numbers.std() == pytest.approx(deviation, rel=0.04)


def test_a_uniform_is_never_nought_or_one() -> None:
    r = state()
    numbers = [draws.uniform(r[0]) for _ in range(10_000)]
    assert min(numbers) > 0.0
    assert max(numbers) < 1.0


def test_pareto_has_mean_one_and_is_cut() -> None:
    r = state()
    numbers = np.array([draws.pareto(r[0], 3.0, 20.0) for _ in range(20_000)])
    assert numbers.mean() == pytest.approx(1.0, rel=0.03)
    assert numbers.max() <= 20.0
    assert numbers.min() >= 2.0 / 3.0


def test_the_same_word_gives_the_same_numbers() -> None:
    r = state()
    draws.uniform(r[0])
    again = r.copy()
    assert [draws.normal(r[0]) for _ in range(5)] == [draws.normal(again[0]) for _ in range(5)]


def test_streams_of_a_seed_differ_and_are_not_correlated() -> None:
    a = np.array([draws.normal_at(5, 1, k) for k in range(5_000)])
    b = np.array([draws.normal_at(5, 2, k) for k in range(5_000)])
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.06
    assert a.std() == pytest.approx(1.0, rel=0.06)


def test_addressed_numbers_do_not_depend_on_the_order_of_asking() -> None:
    forward = [draws.uniform_at(3, 4, k) for k in range(10)]
    backward = [draws.uniform_at(3, 4, k) for k in reversed(range(10))]
    assert forward == backward[::-1]
