from __future__ import annotations

import math

import numpy as np
import pytest

from spyhop.numerics import hawkes

MU, BRANCHING, BETA = 0.5, 0.6, 2.0


def simulated(seed: int, end: float) -> np.ndarray:
    """Ogata's thinning."""
    rng = np.random.default_rng(seed)
    times: list[float] = []
    t = excitement = 0.0
    while True:
        bound = MU + BRANCHING * BETA * excitement
        wait = rng.exponential(1.0 / bound)
        t += wait
        if t > end:
            return np.array(times)
        excitement *= math.exp(-BETA * wait)
        if rng.random() * bound <= MU + BRANCHING * BETA * excitement:
            times.append(t)
            excitement += 1.0


TIMES = simulated(7, 4_000.0)


def test_the_recursion_equals_the_double_sum() -> None:
    times = TIMES[:60]
    end = float(times[-1]) + 1.0
    total = -MU * end
    for i, t in enumerate(times):
        total += math.log(MU + BRANCHING * BETA * np.exp(-BETA * (t - times[:i])).sum())
        total -= BRANCHING * (1.0 - math.exp(-BETA * (end - t)))
    assert hawkes.log_likelihood(times, end, MU, BRANCHING, BETA) == pytest.approx(total, rel=1e-12)


def test_rescaled_times_of_the_true_process_are_unit_exponentials() -> None:
    gaps = np.sort(hawkes.residuals(TIMES, MU, BRANCHING, BETA))
    n = len(gaps)
    distance = np.max(np.abs(1.0 - np.exp(-gaps) - (np.arange(n) + 0.5) / n))
    assert distance < 1.36 / math.sqrt(n)
    wrong = np.sort(hawkes.residuals(TIMES, len(TIMES) / 4_000.0, 0.0, BETA))
    assert np.max(np.abs(1.0 - np.exp(-wrong) - (np.arange(n) + 0.5) / n)) > 2.0 / math.sqrt(n)


def test_the_fit_finds_the_parameters_it_was_simulated_with() -> None:
    mu, branching, beta = hawkes.fitted(TIMES, 4_000.0, 200)
    assert mu == pytest.approx(MU, rel=0.1)
    assert branching == pytest.approx(BRANCHING, rel=0.1)
    assert beta == pytest.approx(BETA, rel=0.15)
    best = hawkes.log_likelihood(TIMES, 4_000.0, mu, branching, beta)
    assert best >= hawkes.log_likelihood(TIMES, 4_000.0, MU, BRANCHING, BETA) - 1.0


def test_excitement_decays_and_counts() -> None:
    assert hawkes.excited(2.0, 0.5, 2.0) == pytest.approx(2.0 * math.exp(-1.0) + 1.0)
    assert hawkes.excited(2.0, -1.0, 2.0) == 3.0
