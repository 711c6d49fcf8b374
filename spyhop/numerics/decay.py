"""Exponential forgetting: decayed sums, time-weighted means, z-scores before the update, and the confidence rule.

Times are integer nanoseconds. A negative interval counts as 0: nothing ever un-decays.
"""

from __future__ import annotations

import math

from spyhop.numerics._jit import kernel


@kernel
def kept(dt_ns: int, tau_ns: float) -> float:
    """Return exp(-dt / tau), the share that is left after `dt_ns`; 1 for intervals below 0."""
    if dt_ns <= 0:
        return 1.0
    return math.exp(-dt_ns / tau_ns)


@kernel
def decayed_sum(total: float, dt_ns: int, tau_ns: float, x: float) -> float:
    """Return the decayed sum after `dt_ns` and one more `x` (methods 1, P1)."""
    return total * kept(dt_ns, tau_ns) + x


@kernel
def held_mean(mean: float, held: float, dt_ns: int, tau_ns: float) -> float:
    """Return the time-weighted mean of a state that was `held` for `dt_ns` (methods 1, P2)."""
    e = kept(dt_ns, tau_ns)
    return mean * e + held * (1.0 - e)


@kernel
def causal_z(mean: float, var: float, x: float, eps: float) -> float:
    """Return (x - mean) / sqrt(var + eps) with moments that do not know x yet (methods 1, P3)."""
    return (x - mean) / math.sqrt(var + eps)


@kernel
def ew_moments(mean: float, var: float, x: float, alpha: float) -> tuple[float, float]:
    """Return exponentially weighted mean and variance after `x` of weight `alpha` in 0..1 (methods 1, P3)."""
    d = x - mean
    return mean + alpha * d, (1.0 - alpha) * (var + alpha * d * d)


@kernel
def confidence(n_eff: float, n_warm: float, age_ms: float, age_tau_ms: float) -> float:
    """Return min(1, n_eff / n_warm) * exp(-age / age_tau) in 0..1 (methods 1)."""
    return min(1.0, n_eff / n_warm) * math.exp(-max(age_ms, 0.0) / age_tau_ms)


@kernel
def clipped(x: float, low: float, high: float) -> float:
    """Return `x` held within low..high."""
    return max(low, min(high, x))
