"""Self-exciting point processes with an exponential kernel.

Intensity lambda(t) = mu + n beta sum_i exp(-beta (t - t_i)), n the branching ratio (Hawkes 1971; the O(n) recursion is
Ozaki's, 1979). Times in seconds.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from spyhop.numerics._jit import kernel


@kernel
def excited(r: float, dt_s: float, beta: float) -> float:
    """Return sum_i exp(-beta (t - t_i)) after `dt_s` and one event more (methods 1, P7)."""
    return r * math.exp(-beta * max(dt_s, 0.0)) + 1.0


@kernel
def log_likelihood(times: Any, end: float, mu: float, branching: float, beta: float) -> float:
    """Return the log-likelihood of event times in 0..end (sorted) in O(n)."""
    total = -mu * end
    r = 0.0
    for i in range(len(times)):
        if i > 0:
            r = math.exp(-beta * (times[i] - times[i - 1])) * (1.0 + r)
        total += math.log(mu + branching * beta * r)
        total -= branching * (1.0 - math.exp(-beta * (end - times[i])))
    return total


@kernel
def residuals(times: Any, mu: float, branching: float, beta: float) -> Any:
    """Return the integrated intensity between events: unit exponential draws if the process is this one."""
    n = len(times)
    out = np.empty(max(n - 1, 0), np.float64)
    r = 0.0
    for i in range(1, n):
        dt = times[i] - times[i - 1]
        e = math.exp(-beta * dt)
        out[i - 1] = mu * dt + branching * (1.0 - e) * (1.0 + r)
        r = e * (1.0 + r)
    return out


@kernel
def fitted(times: Any, end: float, steps: int) -> tuple[float, float, float]:
    """Return the most likely (mu, branching, beta) by `steps` rounds of expectation and maximisation in O(n) each.

    The events' mean parent weights follow from the same recursion as the intensity. Edge effects of the last
    kernel before `end` are neglected, which matters only for a few dozen events.
    """
    n = len(times)
    mu = 0.5 * n / end
    branching = 0.5
    beta = n / end
    for _ in range(steps):
        r = 0.0
        delay = 0.0  # sum_i (t - t_i) exp(-beta (t - t_i))
        own = 0.0
        born = 0.0
        waited = 0.0
        for i in range(n):
            if i > 0:
                dt = times[i] - times[i - 1]
                e = math.exp(-beta * dt)
                delay = e * (delay + dt * (1.0 + r))
                r = e * (1.0 + r)
            intensity = mu + branching * beta * r
            own += mu / intensity
            born += branching * beta * r / intensity
            waited += branching * beta * delay / intensity
        mu = own / end
        branching = born / n
        beta = born / waited if waited > 0.0 else beta
    return mu, branching, beta
