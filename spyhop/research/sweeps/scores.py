"""Scores of very many settings over spans of periods, and the medians that a heat map shows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from spyhop.research.sweeps.model import Heat, Score
from spyhop.research.sweeps.splits import Mask

Array: TypeAlias = npt.NDArray[np.float64]
Pnl: TypeAlias = npt.NDArray[Any]

_CELLS = 4_000_000
_MOST_AXES = 6
_MOST_LEVELS = 24


class Moments(NamedTuple):
    """Sharpe ratio a period and count of periods that earned or lost anything, each (spans, settings)."""

    sharpe: Array
    active: npt.NDArray[np.int64]


def moments(pnl: Pnl, spans: Sequence[Mask]) -> Moments:
    """Return both for every setting over every span; the ratio is 0 where returns do not vary."""
    weights = np.stack(spans).astype(np.float64).T
    sizes = weights.sum(axis=0)
    sharpe, active = np.zeros((len(spans), len(pnl))), np.zeros((len(spans), len(pnl)), dtype=np.int64)
    step = max(1, _CELLS // pnl.shape[1])
    for start in range(0, len(pnl), step):
        part = pnl[start : start + step].astype(np.float64)
        means = part @ weights / sizes
        squares = (part * part) @ weights
        variances = (squares - sizes * means * means) / np.maximum(1.0, sizes - 1.0)
        varies = variances > 1e-12 * squares / sizes
        ratio = np.where(varies, means / np.sqrt(np.where(varies, variances, 1.0)), 0.0)
        sharpe[:, start : start + step] = ratio.T
        active[:, start : start + step] = np.rint((part != 0.0) @ weights).T
    return Moments(sharpe, active)


def score(earned: Pnl) -> Score:
    """Return what one series of returns comes to."""
    x = earned.astype(np.float64)
    deviation = float(np.std(x, ddof=1)) if len(x) > 1 else 0.0
    mean = float(np.mean(x)) if len(x) else 0.0
    return Score(
        mean_bps=1e4 * mean,
        sharpe=mean / deviation if deviation > 1e-6 * abs(mean) else 0.0,
        total_bps=1e4 * float(np.sum(x)),
        num_periods=len(x),
        num_active=int(np.count_nonzero(x)),
    )


def heats(names: Sequence[str], settings: Array, scores: Array) -> list[Heat]:
    """Return a heat map of median scores for each pair of the first six axes that have more than one value."""
    axes = [axis for axis in range(settings.shape[1]) if np.ptp(settings[:, axis]) > 0] if len(settings) else []
    binned = {axis: _levels(settings[:, axis]) for axis in axes[:_MOST_AXES]}
    found = []
    for x, y in combinations(binned, 2):
        (xs, x_place), (ys, y_place) = binned[x], binned[y]
        cells: list[list[float | None]] = [[None] * len(xs) for _ in ys]
        cell = y_place * len(xs) + x_place
        order = np.lexsort([scores, cell])
        ids, first, counts = np.unique(cell[order], return_index=True, return_counts=True)
        for k, begin, count in zip(ids, first, counts, strict=True):
            middle = scores[order[begin + (count - 1) // 2]]
            cells[int(k) // len(xs)][int(k) % len(xs)] = float(middle)
        found.append(Heat(x=names[x], y=names[y], xs=list(map(float, xs)), ys=list(map(float, ys)), cells=cells))
    return found


# distinct values, or medians of bins of equal count where they are too many for a picture
def _levels(column: Array) -> tuple[Array, npt.NDArray[np.int64]]:
    values, place = np.unique(column, return_inverse=True)
    place = place.reshape(-1)
    if len(values) <= _MOST_LEVELS:
        return values, place
    bins = place * _MOST_LEVELS // len(values)
    return np.array([np.median(values[_bins_of(len(values)) == k]) for k in range(_MOST_LEVELS)]), bins


def _bins_of(num_values: int) -> npt.NDArray[np.int64]:
    return np.arange(num_values) * _MOST_LEVELS // num_values
