"""The first node of a session: a source, the market and detection stages, and the promises about what is to come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec
import numpy as np

from spyhop.clock import NS_PER_S
from spyhop.engine.streams import END_OF_TIME
from spyhop.model import rows as rows_model
from spyhop.model import tape
from spyhop.model.rows import RowFlag, Rows
from spyhop.model.tape import Events, Kind, Status
from spyhop.ports import Feed, OpenFeed, Stage


class Detecting(Stage, Protocol):
    """What a FeedNode asks of its stage."""

    def on(self, events: Events) -> Rows: ...


class FeedOutput(msgspec.Struct, frozen=True):
    """What one step of a feed yields; both watermarks are promises about everything still to come."""

    events: Events
    rows: Rows
    tape_watermark: int
    row_watermark: int
    is_finished: bool


class FeedNode:
    """One instrument: its source, the market fold and the fifteen detectors.

    `span_ns` ends the session that long after `start_ns` (or after the first event); 0 means at the end of the source.
    """

    def __init__(
        self, name: str, instrument: int, feed: Feed, stage: Detecting, start_ns: int = 0, span_ns: int = 0
    ) -> None:
        self.name, self.instrument = name, instrument
        self._feed, self._stage = feed, stage
        self._open = feed if isinstance(feed, OpenFeed) else None
        self._start, self._span = start_ns, span_ns
        self._last = 0
        self.num_events = 0
        self.is_finished = False

    @property
    def ts(self) -> int:
        """Return the time of the last event, 0 before any."""
        return self._last

    @property
    def is_open(self) -> bool:
        """Say whether the source holds connections, so that nothing to take means wait, not go on."""
        return self._open is not None

    def call_on_arrival(self, callback: Callable[[], None]) -> None:
        """Let `callback` be called, from another thread, when an open source has something after it had nothing."""
        if self._open is not None:
            self._open.on_arrival = callback

    def step(self) -> FeedOutput:
        """Take the next batch of the source; at its end, or that of the span, close the tape with SESSION_END."""
        batch = self._feed.next_batch()
        if batch is None:
            return self.finish()
        if len(batch) and self._span:
            self._start = self._start or int(batch["ts_recv"][0])
            cut = int(np.searchsorted(batch["ts_recv"], self._start + self._span, side="left"))
            if cut < len(batch):
                head = self._fold(batch[:cut])
                tail = self.finish()
                return FeedOutput(
                    tape.joined([head.events, tail.events]),
                    np.concatenate([head.rows, tail.rows]),
                    tail.tape_watermark,
                    tail.row_watermark,
                    tail.is_finished,
                )
        return self._fold(batch)

    def finish(self) -> FeedOutput:
        """End the tape here with a SESSION_END event, one nanosecond after the last."""
        if self.is_finished:
            return FeedOutput(tape.empty(), rows_model.empty(), END_OF_TIME, END_OF_TIME, is_finished=True)
        self.close()
        return self._fold(tape.event(Kind.STATUS, self._last + 1, aux=Status.SESSION_END, instrument=self.instrument))

    def _fold(self, events: Events) -> FeedOutput:
        if not len(events):
            return FeedOutput(events, rows_model.empty(), self._last, self._row_watermark(), is_finished=False)
        self._last = int(events["ts_recv"][-1])
        self.num_events += len(events)
        rows = self._stage.on(events)
        last = rows["flags"] & RowFlag.END != 0
        # the last row, too, stands at a whole second
        rows["ts"][last] = [_next_second(ts - 1) for ts in rows["ts"][last].tolist()]
        # a recorded session ends its tape itself
        self.is_finished = bool(events["kind"][-1] == Kind.STATUS and events["aux"][-1] == Status.SESSION_END)
        if self.is_finished:
            return FeedOutput(events, rows, END_OF_TIME, END_OF_TIME, is_finished=True)
        return FeedOutput(events, rows, self._last, self._row_watermark(), is_finished=False)

    def close(self) -> None:
        """Let the connections of an open source go."""
        if self._open is not None:
            self._open.close()

    # every row up to the last event has been handed out: what follows from this promise for the next second's rows (no
    # intent before them, no order, no fact) is known everywhere when they come
    def _row_watermark(self) -> int:
        return _next_second(self._last) if self._last else 0

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode(
            (
                self._feed.snapshot(),
                self._stage.snapshot(),
                self._start,
                self._last,
                self.num_events,
                self.is_finished,
            )
        )

    def restore(self, snapshot: bytes) -> None:
        feed, stage, self._start, self._last, self.num_events, self.is_finished = msgspec.msgpack.decode(
            snapshot, type=tuple[bytes, bytes, int, int, int, bool]
        )
        self._feed.restore(feed)
        self._stage.restore(stage)

    def statistics(self) -> dict[str, float]:
        about_source = self._open.statistics() if self._open is not None else {}
        return {"events": float(self.num_events), "ts": float(self._last), **about_source, **self._stage.statistics()}


def _next_second(ts: int) -> int:
    return ts - ts % NS_PER_S + NS_PER_S
