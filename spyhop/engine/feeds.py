"""Sources of events behind the Feed port: arrays, a catalog, and the pacing of either."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from spyhop.clock import NS_PER_S
from spyhop.model import tape
from spyhop.model.tape import Events, Kind
from spyhop.ports import Catalog, Feed


class ArrayFeed:
    """A tape that is at hand, in the batches it was given in."""

    def __init__(self, batches: Sequence[Events]) -> None:
        self._batches = batches
        self._next = 0

    def next_batch(self) -> Events | None:
        if self._next >= len(self._batches):
            return None
        self._next += 1
        return self._batches[self._next - 1]

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode(self._next)

    def restore(self, snapshot: bytes) -> None:
        self._next = msgspec.msgpack.decode(snapshot, type=int)


class CatalogFeed:
    """One instrument of a catalog, with `start` <= ts_recv < `end`, under the session's number for it."""

    def __init__(self, catalog: Catalog, instrument_key: str, instrument: int, start: int, end: int) -> None:
        self._catalog, self._key, self._instrument = catalog, instrument_key, instrument
        self._start, self._end = start, end
        self._ts, self._at_ts = start, 0  # time of the last event handed out, and how many of that very time
        self._batches: Iterator[Events] | None = None

    def next_batch(self) -> Events | None:
        if self._batches is None:
            self._batches = self._rest()
        batch = next(self._batches, None)
        if batch is None or not len(batch):
            return batch
        batch = batch.copy()
        batch["instrument"] = self._instrument
        last = int(batch["ts_recv"][-1])
        same = len(batch) - int(np.searchsorted(batch["ts_recv"], last, side="left"))
        self._at_ts = same + (self._at_ts if last == self._ts else 0)
        self._ts = last
        return batch

    def _rest(self) -> Iterator[Events]:
        skip = self._at_ts
        for batch in self._catalog.scan(self._key, self._ts, self._end):
            if skip < len(batch):
                yield batch[skip:]
            skip = max(0, skip - len(batch))

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode((self._ts, self._at_ts))

    def restore(self, snapshot: bytes) -> None:
        self._ts, self._at_ts = msgspec.msgpack.decode(snapshot, type=tuple[int, int])
        self._batches = None


class CutFeed:
    """Another feed cut along a grid of event time, nothing added, so that a step is small where events are few."""

    def __init__(self, feed: Feed, slice_ns: int) -> None:
        self._feed, self._slice = feed, slice_ns
        self._rest = tape.empty()

    def next_batch(self) -> Events | None:
        if not len(self._rest):
            batch = self._feed.next_batch()
            if batch is None or not len(batch):
                return batch
            self._rest = batch
        first = int(self._rest["ts_recv"][0])
        cut = int(np.searchsorted(self._rest["ts_recv"], (first // self._slice + 1) * self._slice, side="left"))
        batch, self._rest = self._rest[:cut], self._rest[cut:]
        return batch

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode((self._feed.snapshot(), self._rest.tobytes()))

    def restore(self, snapshot: bytes) -> None:
        inner, rest = msgspec.msgpack.decode(snapshot, type=tuple[bytes, bytes])
        self._feed.restore(inner)
        self._rest = np.frombuffer(rest, tape.EVENT).copy()


class SlicedFeed:
    """Another feed cut along a grid of event time, with a TIMER row at every whole second that no event stands on.

    For pacing: a slice is what happens in `slice_ns`; the timers keep rows and watermarks moving while a market is
    silent. The rows depend on the tape alone, never on a clock or on the size of a slice.
    """

    def __init__(self, feed: Feed, instrument: int, slice_ns: int = NS_PER_S // 10) -> None:
        self._feed, self._instrument, self._slice = feed, instrument, slice_ns
        self._rest = tape.empty()
        self._last = 0

    def next_batch(self) -> Events | None:
        if not len(self._rest):
            batch = self._feed.next_batch()
            if batch is None or not len(batch):
                return batch
            self._rest = self._timed(batch)
            self._last = int(batch["ts_recv"][-1])
        first = int(self._rest["ts_recv"][0])
        cut = int(np.searchsorted(self._rest["ts_recv"], (first // self._slice + 1) * self._slice, side="left"))
        batch, self._rest = self._rest[:cut], self._rest[cut:]
        return batch

    def _timed(self, batch: Events) -> Events:
        stamps = batch["ts_recv"]
        before = np.concatenate([[self._last or stamps[0]], stamps[:-1]])
        # whole seconds after the event before and before this one
        silent = np.maximum((stamps - 1) // NS_PER_S - before // NS_PER_S, 0)
        if not silent.any():
            return batch
        starts = np.repeat(before // NS_PER_S, silent)
        nth = np.arange(len(starts)) - np.repeat(np.cumsum(silent) - silent, silent) + 1
        timers = np.zeros(len(starts), tape.EVENT)
        timers["kind"], timers["instrument"] = Kind.TIMER, self._instrument
        timers["ts_recv"] = timers["ts_event"] = (starts + nth) * NS_PER_S
        rows = tape.joined([batch, timers])
        return rows[np.argsort(rows["ts_recv"], kind="stable")]

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode((self._feed.snapshot(), self._rest.tobytes(), self._last))

    def restore(self, snapshot: bytes) -> None:
        inner, rest, self._last = msgspec.msgpack.decode(snapshot, type=tuple[bytes, bytes, int])
        self._feed.restore(inner)
        self._rest = np.frombuffer(rest, tape.EVENT).copy()
