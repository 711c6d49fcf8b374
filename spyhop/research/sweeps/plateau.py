"""Which setting to take: the centre of the best region, never the luckiest point.

A setting is worth the median of its neighbours and itself, or its own score where that is lower: a hole is no centre.
On a grid its neighbours are one step away along each axis; elsewhere they are the nearest of the settings tried,
distance measured in ranks so that no axis weighs more than another. Where the count is even the lower middle is taken,
so that a lucky point at an edge, with one neighbour, is worth that neighbour.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

_LEAST_FILLED = 0.5
_CELLS = 4_000_000


def neighbours(settings: Array) -> Ints:
    """Return each setting's neighbours and itself, (n, m), -1 where a place at an edge or in a hole has none.

    `settings` is (n, k). It counts as a grid when its distinct settings fill at least half of the lattice of their
    values: what failed leaves a hole. Equal settings share the neighbours of the first.
    """
    levels = [np.unique(column, return_inverse=True) for column in settings.T]
    sizes = [len(values) for values, _ in levels]
    places = np.stack([place.reshape(-1) for _, place in levels], axis=1) if levels else np.zeros((len(settings), 0))
    num_cells = float(np.prod([float(size) for size in sizes])) if sizes else 1.0
    distinct = len(np.unique(places, axis=0))
    if distinct >= _LEAST_FILLED * num_cells:
        return _on_grid(places.astype(np.int64), sizes)
    return _nearest(places / np.maximum(1, np.array(sizes) - 1))


def _on_grid(places: Ints, sizes: list[int]) -> Ints:
    num_settings, num_axes = places.shape
    strides = np.ones(num_axes, dtype=np.int64)
    for axis in range(num_axes - 2, -1, -1):
        strides[axis] = strides[axis + 1] * sizes[axis + 1]
    cells = places @ strides
    at = np.full(int(np.prod(sizes)), -1, dtype=np.int64)
    at[cells[::-1]] = np.arange(num_settings)[::-1]
    found = np.full((num_settings, 1 + 2 * num_axes), -1, dtype=np.int64)
    found[:, 0] = at[cells]
    for axis in range(num_axes):
        for side, step in enumerate((-1, 1)):
            moved = places[:, axis] + step
            inside = (moved >= 0) & (moved < sizes[axis])
            found[inside, 1 + 2 * axis + side] = at[cells[inside] + step * strides[axis]]
    return found


def _nearest(scaled: Array) -> Ints:
    from scipy.spatial import KDTree

    num_settings, num_axes = scaled.shape
    count = min(num_settings, 1 + 2 * num_axes)
    _, found = KDTree(scaled).query(scaled, k=list(range(1, count + 1)))
    return np.asarray(found, dtype=np.int64)


def worth(scores: Array, around: Ints) -> Array:
    """Return the lower median of `scores` (n,) over each setting's neighbours that there are, at most its own score."""
    return np.minimum(scores, _middles(scores, around)[0])


def ranking(scores: Array, around: Ints, settings: Array, eligible: npt.NDArray[np.bool_]) -> Ints:
    """Return the eligible settings' places, best first.

    By worth, then the neighbours' mean (a plateau's middle before its rim), then the setting's own score,
    then its values, smaller first: so the order does not depend on the order in which settings were tried.
    """
    places = np.flatnonzero(eligible)
    middle, mean = _middles(scores, around[places])
    keys = [settings[places, axis] for axis in range(settings.shape[1] - 1, -1, -1)]
    return places[np.lexsort([*keys, -scores[places], -mean, -np.minimum(scores[places], middle)])]


def _middles(scores: Array, around: Ints) -> tuple[Array, Array]:
    middles, means = np.empty(len(around)), np.empty(len(around))
    step = max(1, _CELLS // around.shape[1])
    for start in range(0, len(around), step):
        part = around[start : start + step]
        count = (part >= 0).sum(axis=1)
        values = np.where(part >= 0, scores[part], np.inf)
        values.sort(axis=1)
        places = ((count - 1) // 2)[:, None]
        middles[start : start + step] = np.take_along_axis(values, places, axis=1)[:, 0]
        # sorted before it is summed: the same bits whatever order the neighbours are listed in
        means[start : start + step] = np.where(np.isfinite(values), values, 0.0).sum(axis=1) / count
    return middles, means
