"""Estimators of the spread from bars or prices alone, for when there is no book; all as fractions of price, not bps."""

from __future__ import annotations

from math import exp, log, sqrt

import numpy as np
import numpy.typing as npt

from spyhop.numerics._jit import kernel

Floats = npt.NDArray[np.float64]

_ROOT2 = sqrt(2.0)


@kernel
def roll(log_prices: Floats) -> float:
    """Return 2 sqrt(max(0, -cov(dp_t, dp_{t-1}))) (Roll 1984); 0 with fewer than four prices."""
    n = len(log_prices) - 1
    if n < 3:
        return 0.0
    m = n - 1
    mean_now = (log_prices[n] - log_prices[1]) / m
    mean_before = (log_prices[n - 1] - log_prices[0]) / m
    total = 0.0
    for t in range(1, n):
        now = log_prices[t + 1] - log_prices[t] - mean_now
        before = log_prices[t] - log_prices[t - 1] - mean_before
        total += now * before
    return 2.0 * sqrt(max(0.0, -total / m))


@kernel
def corwin_schultz(high: Floats, low: Floats) -> float:
    """Return the mean of two-bar estimates from highs and lows (Corwin, Schultz 2012), negative ones set to 0."""
    n = len(high)
    if n < 2:
        return 0.0
    divisor = 3.0 - 2.0 * _ROOT2
    total = 0.0
    for t in range(1, n):
        one = log(high[t - 1] / low[t - 1])
        two = log(high[t] / low[t])
        both = log(max(high[t - 1], high[t]) / min(low[t - 1], low[t]))
        beta = one * one + two * two
        alpha = (sqrt(2.0 * beta) - sqrt(beta)) / divisor - sqrt(both * both / divisor)
        total += max(0.0, 2.0 * (exp(alpha) - 1.0) / (1.0 + exp(alpha)))
    return total / (n - 1)


@kernel
def abdi_ranaldo(high: Floats, low: Floats, close: Floats) -> float:
    """Return sqrt(max(0, 4 mean((c_t - eta_t)(c_t - eta_{t+1})))), eta the mid of log high and low (2017)."""
    n = len(close)
    if n < 2:
        return 0.0
    total = 0.0
    for t in range(n - 1):
        c = log(close[t])
        here = 0.5 * (log(high[t]) + log(low[t]))
        after = 0.5 * (log(high[t + 1]) + log(low[t + 1]))
        total += (c - here) * (c - after)
    return sqrt(max(0.0, 4.0 * total / (n - 1)))
