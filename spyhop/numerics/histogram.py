"""Histograms on a log scale that forget: percentiles and ranks in O(bins), additions in O(1).

A histogram is an array of counts and a `scale`. Instead of shrinking all counts, each addition weighs `scale`, which
grows by `grown`; when it has grown large all counts are divided once. Ratios, and so quantiles and ranks, are those
of counts that decay.
"""

from __future__ import annotations

import math
from typing import Any

from spyhop.numerics._jit import kernel

_LARGE = 1e12


@kernel
def log_bin(x: float, low: float, width: float, num_bins: int) -> int:
    """Return the bin of x > 0 among `num_bins` bins of `width` in ln x that begin at `low` > 0; ends are open."""
    index = math.floor(math.log(x / low) / width)
    return max(0, min(num_bins - 1, index))


@kernel
def grown(counts: Any, scale: float, factor: float) -> float:
    """Return the scale after forgetting by `factor` >= 1 (all that is in there is worth 1 / factor now)."""
    scale *= factor
    if scale > _LARGE:
        for i in range(len(counts)):
            counts[i] /= scale
        scale = 1.0
    return scale


@kernel
def quantile_edge(counts: Any, total: float, q: float) -> int:
    """Return the lowest bin up to whose upper end at least the share `q` of `total` lies; 0 when empty."""
    wanted = q * total
    running = 0.0
    for i in range(len(counts)):
        running += counts[i]
        if running >= wanted and running > 0.0:
            return i
    return len(counts) - 1 if total > 0.0 else 0


@kernel
def rank(counts: Any, index: int) -> float:
    """Return the share of the counts below bin `index`, its own counted half; 0.5 when empty."""
    below = 0.0
    total = 0.0
    for i in range(len(counts)):
        total += counts[i]
        if i < index:
            below += counts[i]
    if total <= 0.0:
        return 0.5
    return (below + 0.5 * counts[index]) / total  # type: ignore[no-any-return]
