"""Almgren and Chriss's optimal execution: what to hold when, between impact now and risk later.

Optimal Execution of Portfolio Transactions, Journal of Risk 3 (2001), section 2. Impact is linear: a permanent price
move `gamma` a unit sold and a temporary one `eta` a unit sold per second; the price diffuses with `sigma` per root
second. Minimised is E + lambda V of the shortfall of selling X in N intervals of tau seconds.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Impact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What trading costs: `eta` and `gamma` as above, `sigma` price units per root second."""

    eta: float
    sigma: float
    gamma: float = 0.0

    def temporary(self, tau: float) -> float:
        """Return eta~ = eta - gamma tau / 2; raise ValueError unless it is above 0."""
        eta = self.eta - 0.5 * self.gamma * tau
        if eta <= 0.0:
            raise ValueError(f"eta - gamma tau / 2 must be above 0, not {eta}")
        return eta


def kappa(impact: Impact, risk_aversion: float, tau: float) -> float:
    """Return the urgency per second: cosh(kappa tau) = 1 + k~^2 tau^2 / 2 with k~^2 = lambda sigma^2 / eta~."""
    squared = risk_aversion * impact.sigma**2 / impact.temporary(tau)
    # acosh(1 + z) without the loss of a small z
    z = 0.5 * squared * tau * tau
    return math.log1p(z + math.sqrt(z * (z + 2.0))) / tau


def trajectory(quantity: float, num_intervals: int, urgency: float) -> Array:
    """Return the N + 1 holdings x_j = X sinh(kappa (T - t_j)) / sinh(kappa T); `urgency` is kappa T, 0 for TWAP."""
    if num_intervals < 1 or not 0.0 <= urgency < math.inf:
        raise ValueError(f"no trajectory of {num_intervals} intervals with an urgency of {urgency}")
    left = 1.0 - np.arange(num_intervals + 1) / num_intervals
    if urgency < 1e-6:
        return np.asarray(quantity * left, np.float64)
    # sinh(a b) / sinh(b) by exponents at most 0, so that no urgency overflows
    shape = np.exp(urgency * (left - 1.0)) * np.expm1(-2.0 * urgency * left) / math.expm1(-2.0 * urgency)
    return np.asarray(quantity * shape, np.float64)


def optimal(quantity: float, num_intervals: int, tau: float, risk_aversion: float, impact: Impact) -> Array:
    """Return the holdings that minimise E + lambda V; `tau` in seconds, `risk_aversion` per unit of money."""
    return trajectory(quantity, num_intervals, kappa(impact, risk_aversion, tau) * tau * num_intervals)


def expected_cost(holdings: Array, tau: float, impact: Impact) -> float:
    """Return E = gamma X^2 / 2 + eta~ / tau sum n_k^2, money (the fixed cost per unit left out)."""
    sold = -np.diff(holdings)
    return float(0.5 * impact.gamma * holdings[0] ** 2 + impact.temporary(tau) / tau * np.sum(sold**2))


def variance(holdings: Array, tau: float, impact: Impact) -> float:
    """Return V = sigma^2 tau sum x_k^2 (k from 1), money squared."""
    return float(impact.sigma**2 * tau * np.sum(holdings[1:] ** 2))
