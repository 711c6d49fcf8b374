"""Sliding windows over rings: sums, means and covariances in O(1), taken anew exactly once a turn.

The running forms use centred updates (methods 1, P4): sums of squares lose half the digits of a price.
"""

from __future__ import annotations

from typing import Any

from spyhop.numerics._jit import kernel


@kernel
def pushed_sum(ring: Any, total: float, at: int, x: float) -> float:
    """Put `x` in place `at` of the ring and return the new total; exact again each time `at` is the last place."""
    total += x - ring[at]
    ring[at] = x
    if at == len(ring) - 1:
        total = 0.0
        for i in range(len(ring)):
            total += ring[i]
    return total


@kernel
def slope(x: Any, y: Any, n: int) -> float:
    """Return the least-squares slope of y on x (with intercept) over the first `n` places; 0 when x is constant."""
    if n < 2:
        return 0.0
    mean_x = 0.0
    mean_y = 0.0
    for i in range(n):
        mean_x += x[i]
        mean_y += y[i]
    mean_x /= n
    mean_y /= n
    cxx = 0.0
    cxy = 0.0
    for i in range(n):
        d = x[i] - mean_x
        cxx += d * d
        cxy += d * (y[i] - mean_y)
    return cxy / cxx if cxx > 0.0 else 0.0
