"""Rolling least squares of a series on time, O(1) a step.

The sums are kept about a reference near the data and summed anew each time the window has turned over, so that
rounding never builds up.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from spyhop.numerics._jit import kernel

_FLAT = 1e-12  # variance, relative to the sum of squares, below which a window counts as constant
_PERFECT = 1e-12  # unexplained share below which a fit counts as perfect; bounds t


def time_ols(max_window: int) -> np.dtype[Any]:
    """Return the record layout of a regression on time over at most `max_window` equally spaced points."""
    return np.dtype(
        [
            ("values", "f8", (max_window,)),
            ("reference", "f8"),
            ("sum", "f8"),
            ("sum_squares", "f8"),
            ("sum_time", "f8"),
            ("num", "i8"),
            ("next", "i8"),
            ("slope", "f8"),
            ("t", "f8"),
        ]
    )


@kernel
def ols_push(s: Any, y: float, window: int) -> None:
    """Append `y`; beyond `window` points the oldest leaves."""
    if s.num == 0:
        s.reference = y
    if s.num < window:
        d = y - s.reference
        s.values[s.next] = y
        s.sum += d
        s.sum_squares += d * d
        s.sum_time += s.num * d
        s.num += 1
    else:
        old = s.values[s.next] - s.reference
        d = y - s.reference
        s.sum_time += (window - 1) * d - (s.sum - old)
        s.sum += d - old
        s.sum_squares += d * d - old * old
        s.values[s.next] = y
    s.next += 1
    if s.next == window:
        s.next = 0
        _sum_anew(s, window)


@kernel
def _sum_anew(s: Any, window: int) -> None:
    s.reference = s.values[window - 1]
    s.sum = 0.0
    s.sum_squares = 0.0
    s.sum_time = 0.0
    for i in range(window):
        d = s.values[i] - s.reference
        s.sum += d
        s.sum_squares += d * d
        s.sum_time += i * d


@kernel
def ols_fit(s: Any) -> None:
    """Set `slope` (per step) and its `t` statistic; both 0 with fewer than three points or a constant series.

    The t statistic is bounded by about 1e6 * sqrt(num), so a perfect line is large, never infinite.
    """
    s.slope = 0.0
    s.t = 0.0
    n = s.num
    if n < 3:
        return
    variance = s.sum_squares - s.sum * s.sum / n
    if variance <= _FLAT * s.sum_squares:
        return
    time_variance = n * (n * n - 1.0) / 12.0
    covariance = s.sum_time - 0.5 * (n - 1) * s.sum
    s.slope = covariance / time_variance
    unexplained = max(variance - s.slope * covariance, _PERFECT * variance)
    s.t = s.slope / sqrt(unexplained / (n - 2) / time_variance)
