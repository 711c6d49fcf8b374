"""What an order stage heard of a desk, and when: reports stamped with the event time at which they reached it.

A desk stamps a report when the venue speaks, in its own process, maybe on another machine. A stage cannot wait for that
clock without standing still whenever a desk does, so its own counts. The log holds the same records as a desk's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec

from spyhop.clock import Clock
from spyhop.errors import StateError
from spyhop.model.orders import Report
from spyhop.venues.desk.log import NAME, DeskLog, Known, Record, Taken, kept_reports

HEARD = "heard.log"
_NUM_KEPT = 10_000


class HeardLog:
    """The only writer of `folder/heard.log`. Raises as `DeskLog` does."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._clock, self._ts, self._is_over = clock, 0, False
        self._recent: deque[Report] = deque(maxlen=_NUM_KEPT)
        self._log = DeskLog(folder, self._again, HEARD)

    def _again(self, record: Record) -> None:
        assert not isinstance(record, Taken | Known)
        self._recent.append(record)
        self._ts = max(self._ts, record.ts)

    @property
    def num_reports(self) -> int:
        """Return how many reports were heard."""
        return self._log.num_reports

    def hear(self, number: int, reports: Sequence[Report]) -> None:
        """Keep what is new of `reports`, the first of them the `number`-th of all, at the event time that it is now.

        They are durable when it returns. Raises StateError when some between are missing.
        """
        if self._is_over:
            return
        if number > self.num_reports:
            raise StateError(f"{self._log.path}: report {number} told, {self.num_reports} heard")
        now = self.promise(0)
        for report in reports[self.num_reports - number :]:
            stamped = msgspec.structs.replace(report, ts=now)
            self._log.append(stamped)
            self._recent.append(stamped)
        self._log.flush()

    def reports_since(self, number: int) -> list[Report]:
        """Return the reports from number `number` (from 0) on; raise StateError when so many were never heard."""
        if number > self.num_reports:
            raise StateError(f"report {number} asked for, {self.num_reports} heard")
        behind = self.num_reports - number
        if behind > len(self._recent):
            return list(self._log.reports(number))
        return list(self._recent)[len(self._recent) - behind :] if behind else []

    def promise(self, at_least: int) -> int:
        """Return an event time, `at_least` or later, before which no report will lie that is not there now.

        A clock that steps back cannot break it: what is heard later is stamped with it then.
        """
        self._ts = max(self._ts, at_least, self._clock.now_ns())
        return self._ts

    def end(self) -> None:
        """Hear nothing any more: whoever listened has left, and a replay must not hear what nobody heard."""
        self._is_over = True

    def close(self) -> None:
        """Let the log go."""
        self._log.close()


def heard(folder: Path) -> list[Report]:
    """Return what was heard of the desk in `folder`; of a session whose stage stood beside it, what it said."""
    return kept_reports(folder, HEARD if (folder / HEARD).exists() else NAME)
