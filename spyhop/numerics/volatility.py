"""Estimators of variance: from returns of equal spacing, and from bars.

All return variances per return or per bar (not deviations, not annualised); windows too short for a formula give 0.
"""

from __future__ import annotations

from math import gamma, log, pi, sqrt

import numpy as np
import numpy.typing as npt

from spyhop.numerics._jit import kernel

Floats = npt.NDArray[np.float64]

_MU43 = 2.0 ** (2.0 / 3.0) * gamma(7.0 / 6.0) / gamma(0.5)
_FOUR_THIRDS = 4.0 / 3.0
_LN2 = log(2.0)


@kernel
def realized_variance(returns: Floats) -> float:
    """Return the sum of squared returns."""
    total = 0.0
    for r in returns:
        total += r * r
    return total


@kernel
def bipower_variation(returns: Floats) -> float:
    """Return (pi/2) * sum |r_i||r_{i-1}| * n/(n-1), which jumps hardly move (Barndorff-Nielsen, Shephard 2004)."""
    n = len(returns)
    if n < 2:
        return 0.0
    total = 0.0
    for i in range(1, n):
        total += abs(returns[i]) * abs(returns[i - 1])
    return 0.5 * pi * total * n / (n - 1.0)


@kernel
def tripower_quarticity(returns: Floats) -> float:
    """Return n * mu43^-3 * n/(n-2) * sum |r_i|^(4/3) |r_{i-1}|^(4/3) |r_{i-2}|^(4/3)."""
    n = len(returns)
    if n < 3:
        return 0.0
    total = 0.0
    a = abs(returns[0]) ** _FOUR_THIRDS
    b = abs(returns[1]) ** _FOUR_THIRDS
    for i in range(2, n):
        c = abs(returns[i]) ** _FOUR_THIRDS
        total += a * b * c
        a = b
        b = c
    return float(n * _MU43**-3 * (n / (n - 2.0)) * total)


@kernel
def jump_ratio(returns: Floats) -> float:
    """Return the share of the realised variance that jumps made, max(RV - BV, 0) / RV, in 0..1."""
    rv = realized_variance(returns)
    if rv <= 0.0:
        return 0.0
    return max(rv - bipower_variation(returns), 0.0) / rv


@kernel
def jump_z(returns: Floats) -> float:
    """Return the Huang-Tauchen (2005) statistic of the jump ratio; standard normal without jumps.

    A window whose bipower variation is 0 has too many standing prices to tell: 0.
    """
    n = len(returns)
    rv = realized_variance(returns)
    bv = bipower_variation(returns)
    if n < 3 or rv <= 0.0 or bv <= 0.0:
        return 0.0
    shape = max(1.0, tripower_quarticity(returns) / (bv * bv))
    return (rv - bv) / rv / sqrt((0.25 * pi * pi + pi - 5.0) / n * shape)


@kernel
def parkinson(high: Floats, low: Floats) -> float:
    """Return mean(ln(H/L)^2) / (4 ln 2)."""
    n = len(high)
    if n == 0:
        return 0.0
    total = 0.0
    for i in range(n):
        x = log(high[i] / low[i])
        total += x * x
    return total / n / (4.0 * _LN2)


@kernel
def garman_klass(open_: Floats, high: Floats, low: Floats, close: Floats) -> float:
    """Return mean(ln(H/L)^2 / 2 - (2 ln 2 - 1) ln(C/O)^2)."""
    n = len(high)
    if n == 0:
        return 0.0
    total = 0.0
    for i in range(n):
        x = log(high[i] / low[i])
        y = log(close[i] / open_[i])
        total += 0.5 * x * x - (2.0 * _LN2 - 1.0) * y * y
    return total / n


@kernel
def rogers_satchell(open_: Floats, high: Floats, low: Floats, close: Floats) -> float:
    """Return mean(ln(H/C) ln(H/O) + ln(L/C) ln(L/O)), which a drift does not bias."""
    n = len(high)
    if n == 0:
        return 0.0
    total = 0.0
    for i in range(n):
        total += log(high[i] / close[i]) * log(high[i] / open_[i])
        total += log(low[i] / close[i]) * log(low[i] / open_[i])
    return total / n


@kernel
def yang_zhang(open_: Floats, high: Floats, low: Floats, close: Floats) -> float:
    """Return var(ln O/C_prev) + k var(ln C/O) + (1 - k) RS over bars 1.., bar 0 lending only its close.

    k = 0.34 / (1.34 + (n + 1) / (n - 1)) with n bars used; fewer than two give 0. Where the market never closes an
    open is the close before and the first term is about 0.
    """
    n = len(high) - 1
    if n < 2:
        return 0.0
    mean_gap = 0.0
    mean_move = 0.0
    for i in range(1, n + 1):
        mean_gap += log(open_[i] / close[i - 1])
        mean_move += log(close[i] / open_[i])
    mean_gap /= n
    mean_move /= n
    gaps = 0.0
    moves = 0.0
    for i in range(1, n + 1):
        gap = log(open_[i] / close[i - 1]) - mean_gap
        move = log(close[i] / open_[i]) - mean_move
        gaps += gap * gap
        moves += move * move
    k = 0.34 / (1.34 + (n + 1.0) / (n - 1.0))
    inner = rogers_satchell(open_[1:], high[1:], low[1:], close[1:])
    return gaps / (n - 1) + k * moves / (n - 1) + (1.0 - k) * inner
