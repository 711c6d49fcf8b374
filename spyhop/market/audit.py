"""Folds the book alone over a tape and notes where it broke or crossed: for checks of recordings."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spyhop.market.book import BOOK, clear
from spyhop.market.sequence import SEQUENCE, on_levels, on_snapshot
from spyhop.model.tape import Events, Kind
from spyhop.numerics._jit import kernel

_LEVEL, _SNAPSHOT = int(Kind.LEVEL), int(Kind.SNAPSHOT)


class BookAudit:
    """The book of one instrument and every place where a frame did not follow or left it crossed."""

    def __init__(self) -> None:
        self._sequence = np.zeros(1, SEQUENCE)
        self._book = np.zeros(1, BOOK)
        clear(self._book[0])

    def on(self, events: Events) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Fold events in order; return the indices where a frame was missing before and where the book was crossed."""
        gaps, crossings = np.zeros(len(events), np.int64), np.zeros(len(events), np.int64)
        num_gaps, num_crossings = _fold(self._sequence[0], self._book[0], events, gaps, crossings)
        return gaps[:num_gaps], crossings[:num_crossings]

    @property
    def num_unfinished(self) -> int:
        """Return how many frames had no last row."""
        return int(self._sequence[0]["num_unfinished"])

    @property
    def num_snapshots(self) -> int:
        return int(self._sequence[0]["num_snapshots"])


@kernel
def _fold(s: Any, b: Any, events: Any, gaps: Any, crossings: Any) -> tuple[int, int]:
    num_gaps = 0
    num_crossings = 0
    i = 0
    while i < len(events):
        e = events[i]
        start = i
        known_gaps = s.num_gaps
        known_crossed = s.num_crossed
        if e.kind == _LEVEL:
            i, _ = on_levels(s, b, events, i)
        else:
            if e.kind == _SNAPSHOT:
                on_snapshot(s, b, e.ts_recv, e.id, e.qty)
            i += 1
        if s.num_gaps > known_gaps:
            gaps[num_gaps] = start
            num_gaps += 1
        if s.num_crossed > known_crossed:
            crossings[num_crossings] = start
            num_crossings += 1
    return num_gaps, num_crossings
