"""The variance ratio of Lo and MacKinlay (1988), with the statistic that allows for changing volatility."""

from __future__ import annotations

from math import sqrt

import numpy as np
import numpy.typing as npt

from spyhop.numerics._jit import kernel


@kernel
def variance_ratio(returns: npt.NDArray[np.float64], q: int) -> tuple[float, float]:
    """Return (VR(q), robust z): 1 and 0 for a random walk, above 1 for trends, below for reversals.

    VR is the unbiased variance of q-step returns over q times that of one-step returns. Needs more than 2 `q` returns
    and some movement, else (1, 0).
    """
    n = len(returns)
    if q < 2 or n <= 2 * q:
        return 1.0, 0.0
    mean = 0.0
    for r in returns:
        mean += r
    mean /= n
    squares = 0.0
    scale = 0.0
    for r in returns:
        squares += (r - mean) * (r - mean)
        scale += r * r
    if squares <= 1e-24 * scale or squares <= 0.0:
        return 1.0, 0.0
    moved = 0.0
    for t in range(q - 1):
        moved += returns[t] - mean
    long_squares = 0.0
    for t in range(q - 1, n):
        moved += returns[t] - mean
        long_squares += moved * moved
        moved -= returns[t - q + 1] - mean
    m = q * (n - q + 1.0) * (1.0 - q / n)
    ratio = (long_squares / m) / (squares / (n - 1.0))
    theta = 0.0
    for j in range(1, q):
        cross = 0.0
        for t in range(j, n):
            a = returns[t] - mean
            b = returns[t - j] - mean
            cross += a * a * b * b
        weight = 2.0 * (q - j) / q
        theta += weight * weight * cross / (squares * squares)
    return ratio, ((ratio - 1.0) / sqrt(theta) if theta > 0.0 else 0.0)
