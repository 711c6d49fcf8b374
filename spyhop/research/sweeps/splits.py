"""Where to train and where to test when a period's outcome reaches into the periods after it.

A period's trades begin inside it and may end `horizon` after its end: its label is [begin, end + horizon). A training
period whose label meets a test period's label is dropped (purged), and so is one that begins within the `embargo`
after the last label of a test ends (Lopez de Prado, Advances in Financial Machine Learning, 7.3 and 7.4).
Times are int64 nanoseconds; masks are bool (T,).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Mask: TypeAlias = npt.NDArray[np.bool_]
Times: TypeAlias = npt.NDArray[np.int64]


class Split(NamedTuple):
    """What to train on, what to test on, and how many periods were dropped between the two."""

    train: Mask
    test: Mask
    num_purged: int


def period_length(periods: Times) -> int:
    """Return how long a period is: the shortest distance between two beginnings; ValueError if they do not ascend."""
    gaps = np.diff(periods)
    if len(gaps) == 0 or gaps.min() <= 0:
        raise ValueError("at least two ascending periods are needed")
    return int(gaps.min())


def labels_of(periods: Times, horizon: int) -> tuple[Times, Times]:
    """Return beginnings and ends of the periods' labels."""
    return periods, periods + period_length(periods) + horizon


def keep_final(periods: Times, final_frac: float) -> tuple[Mask, Mask]:
    """Return (all that may be looked at, the last `final_frac` of the periods, at least one, that may not)."""
    num_final = max(1, round(len(periods) * final_frac))
    is_final = np.arange(len(periods)) >= len(periods) - num_final
    return ~is_final, is_final


def purged(begins: Times, ends: Times, test: Mask, embargo: int = 0) -> Mask:
    """Return what may be trained on beside `test`: its complement without purged and embargoed periods.

    Tests that follow one another without a gap are one test; the embargo begins at the last end of its labels.
    """
    train = ~test
    for first, last in _runs(test):
        begin, end = begins[first], ends[first : last + 1].max()
        train &= ~((begins < end + embargo) & (ends > begin))
    return train


def walk_forward(
    periods: Times, allowed: Mask, train_frac: float, num_folds: int, horizon: int, embargo: int = 0
) -> list[Split]:
    """Return `num_folds` steps: each tests a stretch and trains on all that came before it, less what reaches into it.

    `allowed` periods must be one stretch; the first `train_frac` of them are only trained on, the rest is cut into
    tests as equal as can be. Nothing is trained on after its test, so the embargo widens the gap before it.
    """
    places = np.flatnonzero(allowed)
    begins, ends = labels_of(periods, horizon + embargo)
    num_train = max(1, round(len(places) * train_frac))
    splits = []
    for part in np.array_split(places[num_train:], num_folds):
        if not len(part):
            continue
        test = np.zeros(len(periods), dtype=np.bool_)
        test[part] = True
        before = allowed & (np.arange(len(periods)) < part[0])
        train = before & purged(begins, ends, test)
        splits.append(Split(train, test, int(before.sum() - train.sum())))
    return splits


def _runs(mask: Mask) -> Sequence[tuple[int, int]]:
    edges = np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))
    return list(zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1, strict=True))
