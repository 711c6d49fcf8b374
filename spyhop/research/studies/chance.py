"""What chance alone would have earned: entries at random with the same exits, and the same entries at other times.

Random entries know nothing of the market but keep the number of trades and their sides. They do come one by one,
though, where signals come in bursts whose trades share one move; so the whole pattern of entries is also moved through
time, round the end, which keeps its bursts. An edge must beat both. Random entries may overlap, which a strategy's
trades do not: where trades fill most of the time this makes the p-value too large rather than too small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.reports.model import Interval

Floats: TypeAlias = npt.NDArray[np.float64]
Places: TypeAlias = npt.NDArray[np.int64]
Earned: TypeAlias = Callable[[Places], Floats]
"""Gross of the k-th trade had its signal come at bar [d, k], (draws, trades) in and out; NaN where it could not be."""

NUM_DRAWS = 10_000
SEED = 20251128
_CELLS = 2_000_000


class Chance(msgspec.Struct, frozen=True, kw_only=True):
    """Mean gross a trade of `draws` strategies that know nothing, in bp; p-values are one-sided, of as much or more.

    `interval` holds the middle 95 % of random entries, `shifted_interval` of moved ones.
    """

    draws: int
    mean_bps: float
    interval: Interval
    p_random: float
    shifted_interval: Interval
    p_shifted: float


def chance(
    observed: float,
    signals: Places,
    num_bars: int,
    earned: Earned,
    *,
    apart: int = 1,
    seed: int = SEED,
    num_draws: int = NUM_DRAWS,
) -> Chance | None:
    """Return how the mean gross `observed` (a fraction) compares; None when no other entry can be made.

    `signals` are the bars of the trades' signals (k,); a pattern is moved by `apart` bars or more either way (a quarter
    of the span at the most), so that no moved trade shares the move of the one that it stands for.
    """
    rng = np.random.default_rng(seed)
    num = len(signals)
    if num == 0 or num_bars < 2:
        return None
    step = max(1, _CELLS // num)
    least = max(1, min(apart, num_bars // 4))
    at_random, moved = np.full(num_draws, np.nan), np.full(num_draws, np.nan)
    for start in range(0, num_draws, step):
        stop = min(num_draws, start + step)
        at_random[start:stop] = _means(earned(rng.integers(0, num_bars, (stop - start, num))))
        by = rng.integers(least, num_bars - least + 1, (stop - start, 1))
        moved[start:stop] = _means(earned((signals[None, :] + by) % num_bars))
    at_random, moved = at_random[np.isfinite(at_random)], moved[np.isfinite(moved)]
    if not len(at_random) or not len(moved):
        return None
    return Chance(
        draws=num_draws,
        mean_bps=float(at_random.mean() * 1e4),
        interval=_middle(at_random),
        p_random=p_value(observed, at_random),
        shifted_interval=_middle(moved),
        p_shifted=p_value(observed, moved),
    )


def p_value(observed: float, drawn: Floats) -> float:
    """Return the share of draws that are as much or more, the observed one among them (Phipson & Smyth 2010)."""
    # a draw of the very same trades differs from what was observed by the order of a sum, and counts as the same
    reached = observed - 1e-12 * (1.0 + abs(observed))
    return (1 + int((drawn >= reached).sum())) / (1 + len(drawn))


def _means(gross: Floats) -> Floats:
    known = np.isfinite(gross)
    count = known.sum(axis=1)
    means: Floats = np.where(known, gross, 0.0).sum(axis=1) / np.where(count > 0, count, np.nan)
    return means


def _middle(drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(low * 1e4), float(high * 1e4))
