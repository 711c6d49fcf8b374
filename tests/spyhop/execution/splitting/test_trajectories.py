"""The closed form against a numeric minimiser, and its limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.execution.splitting.trajectories import Impact, expected_cost, kappa, optimal, trajectory, variance

# the numbers of the paper's section 3.4: a million shares, five days, sigma 0.95, eta 2.5e-6, gamma 2.5e-7
PAPER = Impact(eta=2.5e-6, sigma=0.95, gamma=2.5e-7)
X = 1e6


def minimised(quantity: float, num_intervals: int, tau: float, risk_aversion: float, impact: Impact) -> np.ndarray:
    """Return the holdings that minimise E + lambda V, by the linear system of its gradient; nothing in closed form."""
    count = num_intervals - 1
    value = np.zeros((count, count))
    slope = np.zeros(count)

    def objective(inner: np.ndarray) -> float:
        x = np.concatenate([[1.0], inner, [0.0]])
        return expected_cost(x, tau, impact) + risk_aversion * variance(x, tau, impact)

    # the objective is quadratic, so differences of it are its derivatives
    base = objective(np.zeros(count))
    ones = np.eye(count)
    singles = np.array([objective(ones[i]) for i in range(count)])
    for i in range(count):
        slope[i] = (singles[i] - objective(-ones[i])) / 2.0
        for j in range(count):
            value[i, j] = objective(ones[i] + ones[j]) - singles[i] - singles[j] + base
    return quantity * np.concatenate([[1.0], np.linalg.solve(value, -slope), [0.0]])


@pytest.mark.parametrize("risk_aversion", [0.0, 1e-7, 1e-6, 2e-6, 1e-4])
@pytest.mark.parametrize("num_intervals", [2, 5, 40])
def test_the_closed_form_is_the_minimum(risk_aversion: float, num_intervals: int) -> None:
    tau = 5.0 / num_intervals
    closed = optimal(X, num_intervals, tau, risk_aversion, PAPER)
    numeric = minimised(X, num_intervals, tau, risk_aversion, PAPER)
    assert np.abs(closed - numeric).max() < 1e-4 * X


def test_scipy_finds_the_same_minimum() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    tau, risk_aversion, count = 1.0, 2e-6, 5

    def cost(inner: np.ndarray) -> float:
        x = X * np.concatenate([[1.0], inner, [0.0]])
        return (expected_cost(x, tau, PAPER) + risk_aversion * variance(x, tau, PAPER)) / X

    found = optimize.minimize(cost, np.linspace(0.9, 0.1, count - 1), method="BFGS", options={"gtol": 1e-10})
    assert np.abs(optimal(X, count, tau, risk_aversion, PAPER)[1:-1] / X - found.x).max() < 1e-4


def test_the_papers_numbers() -> None:
    # section 3.4 finds a kappa of about 0.61 a day for a risk aversion of 1e-6
    assert kappa(PAPER, 1e-6, 1.0) == pytest.approx(0.61, abs=0.005)


@given(risk_aversion=st.floats(1e-12, 1e-3), tau=st.floats(1e-3, 5.0), sigma=st.floats(0.01, 10.0))
def test_kappa_solves_its_equation(risk_aversion: float, tau: float, sigma: float) -> None:
    impact = Impact(eta=2.5e-6, sigma=sigma, gamma=2.5e-7)
    squared = risk_aversion * sigma**2 / (2.5e-6 - 0.5 * 2.5e-7 * tau)
    # 2 (cosh y - 1) = (2 sinh(y / 2))^2, without the loss of a small y
    assert (2.0 * math.sinh(0.5 * kappa(impact, risk_aversion, tau) * tau)) ** 2 == pytest.approx(
        squared * tau * tau, rel=1e-9
    )


def test_without_risk_aversion_it_is_twap() -> None:
    even = np.linspace(X, 0.0, 11)
    assert optimal(X, 10, 1.0, 0.0, PAPER) == pytest.approx(even)
    assert optimal(X, 10, 1.0, 1e-16, PAPER) == pytest.approx(even, rel=1e-6)
    assert trajectory(X, 10, 1e-6) == pytest.approx(even, rel=1e-9)


@given(num_intervals=st.integers(1, 200), urgency=st.floats(0.0, 1e4))
def test_a_trajectory_falls_from_all_to_nothing_ever_slower(num_intervals: int, urgency: float) -> None:
    holdings = trajectory(1.0, num_intervals, urgency)
    assert holdings[0] == pytest.approx(1.0)
    assert holdings[-1] == 0.0
    sold = -np.diff(holdings)
    assert np.all(sold >= 0.0)
    assert np.all(np.diff(sold) <= 1e-12)


def test_more_aversion_costs_more_and_risks_less() -> None:
    paths = [optimal(X, 20, 0.25, risk_aversion, PAPER) for risk_aversion in (0.0, 1e-7, 1e-6, 1e-5)]
    costs = [expected_cost(path, 0.25, PAPER) for path in paths]
    risks = [variance(path, 0.25, PAPER) for path in paths]
    assert costs == sorted(costs)
    assert risks == sorted(risks, reverse=True)


@pytest.mark.parametrize(("num_intervals", "urgency"), [(0, 1.0), (5, -1.0), (5, math.nan), (5, math.inf)])
def test_no_trajectory_of_nonsense(num_intervals: int, urgency: float) -> None:
    with pytest.raises(ValueError, match="no trajectory"):
        trajectory(1.0, num_intervals, urgency)


def test_permanent_impact_must_not_eat_the_temporary() -> None:
    with pytest.raises(ValueError, match="above 0"):
        kappa(Impact(eta=1.0, sigma=1.0, gamma=2.0), 1.0, 1.0)
