"""Which trades a feed has put on its tape, by their ids.

Where ids are contiguous, what was seen is a few ranges, and nearly always one. Elsewhere the newest ids are
remembered one by one, and what is older than those counts as seen.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

MAX_REMEMBERED = 1 << 16
"""How many ids are remembered at least where they are not contiguous."""
MAX_RANGES = 4_096


class TradeIds:
    """The ids that were seen. With `is_contiguous` those in a row after the newest need not be told."""

    def __init__(self, *, is_contiguous: bool) -> None:
        self._is_contiguous = is_contiguous
        self._starts: list[int] = []  # ranges that do not touch, in order
        self._ends: list[int] = []
        self._ids: tuple[set[int], set[int]] = (set(), set())  # the newest, and those before
        self._floor = 0

    def resume(self, newest: int) -> None:
        """Count everything up to `newest` as seen."""
        self._floor = newest

    def unseen(self, ids: Sequence[int], newest: int) -> npt.NDArray[np.bool_]:
        """Return which of `ids` are new, and remember them.

        `newest` is the highest id on the tape: all between the highest told here and that one came in a row.
        """
        if not self._is_contiguous:
            return np.array([self._note(number) for number in ids], bool)
        if newest > self._floor:
            if not self._ends:
                self._starts, self._ends = [self._floor + 1], [newest]
            self._ends[-1] = max(self._ends[-1], newest)
        return np.array([self._extend(number) for number in ids], bool)

    def _note(self, number: int) -> bool:
        newest, older = self._ids
        if number <= self._floor or number in newest or number in older:
            return False
        newest.add(number)
        if len(newest) > MAX_REMEMBERED:
            self._floor = max(self._floor, max(older, default=0))
            self._ids = (set(), newest)
        return True

    def _extend(self, number: int) -> bool:
        starts, ends = self._starts, self._ends
        at = bisect_right(starts, number) - 1
        if number <= self._floor or (at >= 0 and number <= ends[at]):
            return False
        joins_before = at >= 0 and ends[at] == number - 1
        joins_after = at + 1 < len(starts) and starts[at + 1] == number + 1
        if joins_before and joins_after:
            ends[at] = ends.pop(at + 1)
            del starts[at + 1]
        elif joins_before:
            ends[at] = number
        elif joins_after:
            starts[at + 1] = number
        else:
            starts.insert(at + 1, number)
            ends.insert(at + 1, number)
            if len(starts) > MAX_RANGES:
                self._floor = ends.pop(0)
                del starts[0]
        return True
