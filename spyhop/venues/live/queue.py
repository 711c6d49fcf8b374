"""The bounded hand-over of events from the thread that receives to the one that reads.

When nobody reads and the room is used up, the newest of each run of quotes stays (conflated), then the oldest market
data goes (shed): whole frames, counted, with a STATUS/SHED row in their place. Status rows and closed bars are
never shed. On the way out `ts_recv` never goes back: what a REST answer or another socket brings late is raised.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from spyhop.model import tape
from spyhop.model.tape import Events, Flag, Kind, Status
from spyhop.venues.live.glance import is_in_order

_LAST, _PARTIAL = int(Flag.LAST), int(Flag.PARTIAL)
_KEPT_SHARE: Final = 0.75  # of the room, after shedding: so that it is not done again at once


class EventQueue:
    """Events of one instrument on their way; `put` by one thread, `take` by another.

    Batches hold whole book frames and whole bars. `on_arrival` is called by the putting thread when there is something
    after there was nothing; `on_shed` when book frames may be among what was shed and a snapshot is needed.
    """

    def __init__(self, max_events: int, *, venue: int = 0, instrument: int = 0) -> None:
        self.on_arrival: Callable[[], None] | None = None
        self.on_shed: Callable[[], None] | None = None
        self.num_put = 0
        self.num_taken = 0
        self.num_conflated = 0
        self.num_shed = 0
        self.num_raised = 0
        """Rows whose `ts_recv` was raised to keep the order."""
        self.ts_last = 0
        self._max_events, self._venue, self._instrument = max_events, venue, instrument
        self._batches: deque[Events] = deque()
        self._num_queued = 0
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return self._num_queued

    def start_at(self, ts: int) -> None:
        """Let nothing out before `ts`, the last time of a tape that goes on here."""
        self.ts_last = max(self.ts_last, ts)

    def put(self, events: Events) -> None:
        """Add whole frames; the array is the queue's from now on."""
        if not len(events):
            return
        has_shed = False
        with self._changed:
            events = self._raised(events)
            self._batches.append(events)
            was_empty = self._num_queued == 0
            self._num_queued += len(events)
            self.num_put += len(events)
            if self._num_queued > self._max_events:
                has_shed = self._relieve()
            self._changed.notify_all()
        if has_shed and self.on_shed is not None:
            self.on_shed()
        if was_empty and self.on_arrival is not None:
            self.on_arrival()

    def take(self, max_events: int = 1 << 16) -> Events:
        """Return what is there, oldest first, whole batches until `max_events` are reached; empty when nothing is."""
        taken: list[Events] = []
        num_rows = 0
        with self._changed:
            while self._batches and (not taken or num_rows + len(self._batches[0]) <= max_events):
                num_rows += len(self._batches[0])
                taken.append(self._batches.popleft())
            self._num_queued -= num_rows
            self.num_taken += num_rows
        return taken[0] if len(taken) == 1 else tape.joined(taken)

    def wait(self, timeout_s: float) -> bool:
        """Block until something is there, for `timeout_s` of the machine's seconds at most; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._num_queued > 0, timeout_s)

    def statistics(self) -> dict[str, float]:
        """Return counters and gauges by name."""
        return {
            "queued": float(self._num_queued),
            "conflated": float(self.num_conflated),
            "shed": float(self.num_shed),
            "raised": float(self.num_raised),
        }

    def _raised(self, events: Events) -> Events:
        if not is_in_order(events, self.ts_last):
            stamps = events["ts_recv"]
            raised = np.maximum(np.maximum.accumulate(stamps), self.ts_last)
            self.num_raised += int(np.count_nonzero(raised != stamps))
            events = events if events.flags.writeable else events.copy()
            events["ts_recv"] = raised
        self.ts_last = int(events["ts_recv"][-1])
        return events

    def _relieve(self) -> bool:
        rows = _conflated(tape.joined(list(self._batches)))
        self.num_conflated += self._num_queued - len(rows)
        has_shed = len(rows) > self._max_events
        if has_shed:
            rows = self._shed(rows, len(rows) - int(self._max_events * _KEPT_SHARE))
        self._batches = deque([rows])
        self._num_queued = len(rows)
        return has_shed

    def _shed(self, rows: Events, num_wanted: int) -> Events:
        may_go = ~_is_kept(rows)
        # up to where enough of it can go, and then to the end of the frame or bar that is cut into
        cut = int(np.searchsorted(np.cumsum(may_go), num_wanted)) + 1
        while cut < len(rows) and _goes_on(rows[cut - 1]):
            cut += 1
        going = may_go[:cut]
        num_shed = int(np.count_nonzero(going))
        self.num_shed += num_shed
        ts = int(rows["ts_recv"][min(cut, len(rows)) - 1])
        mark = tape.event(
            Kind.STATUS, ts, aux=Status.SHED, qty=num_shed, venue=self._venue, instrument=self._instrument
        )
        return tape.joined([rows[:cut][~going], mark, rows[cut:]])


def _conflated(rows: Events) -> Events:
    is_quote = rows["kind"] == Kind.QUOTE
    is_followed = np.zeros(len(rows), bool)
    is_followed[:-1] = is_quote[:-1] & is_quote[1:]
    return rows[~is_followed]


def _is_kept(rows: Events) -> npt.NDArray[np.bool_]:
    kinds: npt.NDArray[np.uint8] = rows["kind"]
    is_bar = (kinds == Kind.BAR_OPEN) | (kinds == Kind.BAR_CLOSE)
    return np.asarray((kinds == Kind.STATUS) | (is_bar & ((rows["flags"] & _PARTIAL) == 0)))


def _goes_on(row: np.void) -> bool:
    kind = row["kind"]
    if kind == Kind.LEVEL:
        return not row["flags"] & _LAST
    # the levels of a snapshot follow it; a bar is two rows
    return bool((kind == Kind.SNAPSHOT and row["qty"] > 0) or kind == Kind.BAR_OPEN)
