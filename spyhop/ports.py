"""The seams of the system: one to three methods each. A fake is an ordinary class that has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from spyhop.model.entries import Entry
from spyhop.model.orders import Command, Report
from spyhop.model.rows import Rows
from spyhop.model.tape import Events


class Feed(Protocol):
    """Where events come from."""

    def next_batch(self) -> Events | None:
        """Return the next events in order (ts_recv, position), an empty batch to be asked again, None at the end."""
        ...

    def snapshot(self) -> bytes:
        """Return the place in the source; `restore` continues with the very next event."""
        ...

    def restore(self, snapshot: bytes) -> None: ...


@runtime_checkable
class OpenFeed(Protocol):
    """What a feed has besides when it holds connections: its events come when they come."""

    on_arrival: Callable[[], None] | None
    """Called from another thread when there is something to take after there was nothing."""

    def statistics(self) -> dict[str, float]:
        """Return counters and gauges by name; cheap, never blocks."""
        ...

    def close(self) -> None:
        """Let every connection go; what arrived and was not taken is dropped."""
        ...


class Gateway(Protocol):
    """Where orders go. Simulated or real, the order stage cannot tell."""

    def send(self, command: Command) -> None:
        """Hand a command over; what becomes of it comes back as reports."""
        ...

    def advance(self, events: Events, start: int, until: int) -> tuple[int, list[Report]]:
        """Fold events[start:] with ts_recv < until; stop right after the first event that caused reports.

        Return the index of the first event not folded and the reports, in order.
        """
        ...


class Stage(Protocol):
    """State that can be rebuilt from its snapshot alone."""

    def snapshot(self) -> bytes: ...

    def restore(self, snapshot: bytes) -> None:
        """Take the state of `snapshot`; raise SnapshotMismatch if it is of another layout."""
        ...

    def statistics(self) -> dict[str, float]:
        """Return counters and gauges by name; cheap, never blocks."""
        ...


class TapeKeeper(Protocol):
    """Keeps what was consumed, in the order it was consumed."""

    def append(self, feed: str, events: Events) -> None:
        """Take events of a feed; durable after the next `flush`."""
        ...

    def flush(self) -> None: ...


class RecordKeeper(Protocol):
    """Keeps what was said. Entries have keys and rows have times, so a repeat changes nothing."""

    def rows(self, rows: Rows, probabilities: npt.NDArray[Any]) -> None:
        """Take judged rows, with 23 probabilities each."""
        ...

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep entries; they are durable when this returns."""
        ...

    def committed(self, stage: str) -> int:
        """Return how many entries of `stage` are kept."""
        ...

    def close(self) -> None:
        """Write what is written once at the end of a session."""
        ...


class Catalog(Protocol):
    """A store of tapes."""

    def scan(self, instrument_key: str, start: int, end: int) -> Iterator[Events]:
        """Yield the tape of one instrument in order, with start <= ts_recv < end."""
        ...


class Quarantine(Protocol):
    """Where unreadable input is set aside: counted, with file, line and reason."""

    def put(self, file: str, line: int, reason: str, raw: bytes) -> None: ...
