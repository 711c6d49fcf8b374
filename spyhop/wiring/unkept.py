"""Who keeps nothing on a disk: for stages whose events or words are kept elsewhere, for replays and measurements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from spyhop.model.entries import Entry
from spyhop.model.rows import Rows
from spyhop.model.tape import Events


class NoTapes:
    """Keeps no tape: the events are kept elsewhere already, or nobody will ask."""

    def append(self, feed: str, events: Events) -> None:
        """Let events of a feed go."""

    def flush(self) -> None:
        """Have nothing to make durable."""


class MemoryRecords:
    """Keeps entries in memory, in the order they were said: for replays, measurements and tests."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def rows(self, rows: Rows, probabilities: npt.NDArray[Any]) -> None:
        """Let judged rows go."""

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep entries."""
        self.entries.extend(entries)

    def committed(self, stage: str) -> int:
        """Return how many entries of `stage` are kept."""
        return sum(entry.stage == stage for entry in self.entries)

    def close(self) -> None:
        """Have nothing to close."""
