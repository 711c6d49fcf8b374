"""The recorder: live feeds into a lake, with the raw frames beside it, safe against a kill at any moment.

    OUT/lake        the tapes, brought in every hour and at the end
    OUT/journal     what is not yet there
    OUT/raw         all that was received, as it was received

Everything is on the disk a second after it arrived at the latest. When OUT is a URI only the lake is there; the other
two stay on this machine.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import msgspec
import numpy as np

from spyhop.clock import NS_PER_HOUR, NS_PER_MS, NS_PER_S, Clock, WallClock
from spyhop.errors import StorageFailed
from spyhop.model.instruments import Instrument
from spyhop.model.raw import RawKeeper
from spyhop.model.tape import Events, Kind, Status
from spyhop.ports import Feed, OpenFeed
from spyhop.storage.lake import Lake, Source
from spyhop.storage.raw_frames import RawFrameWriter
from spyhop.storage.tape_recorder import TapeRecorder, bring_in
from spyhop.venues.live.feed import Place
from spyhop.wiring.logs import keep_log
from spyhop.wiring.raw_import import RawSettings

log = logging.getLogger(__name__)

FLUSH_NS = NS_PER_S // 2
"""Every so often what arrived is made durable, so that no more than a second is ever missing."""
_IDLE_S = 0.05
_TAIL_NS = NS_PER_HOUR


class FeedProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How one feed does: events so far and per second since the last word, and how far behind now its tape is."""

    key: str
    num_events: int
    events_per_s: float
    lag_ms: float
    num_gaps: int
    statistics: dict[str, float]


class RecordProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How a recording does; `seconds` of the venues' time so far."""

    seconds: float
    feeds: tuple[FeedProgress, ...]
    num_raw: int
    num_raw_shed: int

    @property
    def num_events(self) -> int:
        return sum(feed.num_events for feed in self.feeds)


class Open(Protocol):
    """Opens the feed of an instrument; `raw` takes all that its adapter is told, None when nobody wants it."""

    def __call__(self, instrument: Instrument, raw: RawKeeper | None) -> Feed: ...


def record(
    instruments: Sequence[Instrument],
    open_feed: Open,
    out: str,
    clock: Clock,
    *,
    raw: RawSettings | None = None,
    seconds: float = 0.0,
    on_progress: Callable[[RecordProgress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> RecordProgress:
    """Record `instruments` into `out` for `seconds` of the clock, or until `should_stop()`; return the last word.

    With `raw` all that is received is kept too. A folder that holds a recording is gone on with. Raises StorageFailed
    when the disk refuses, and what a feed raises, with everything received before in the lake.
    """
    local = _local(out)
    keep_log(local / "log.jsonl")
    lake = Lake(f"{out}/lake")
    numbered = [instrument.numbered(number) for number, instrument in enumerate(instruments)]
    recorder = _Recorder(numbered, lake, local, clock, raw)
    try:
        for instrument in numbered:
            recorder.open(instrument, open_feed)
        recorder.run(seconds, on_progress, should_stop)
    finally:
        recorder.close()
    return recorder.progress()


class _Recorder:
    """One recording under way."""

    def __init__(
        self, instruments: Sequence[Instrument], lake: Lake, folder: Path, clock: Clock, raw: RawSettings | None
    ) -> None:
        self._lake, self._clock, self._wall = lake, clock, WallClock()
        self._started = clock.now_ns()
        self._tapes = TapeRecorder(lake, folder / "journal", instruments, self._started)
        self._raw = None
        if raw is not None:
            settings = msgspec.to_builtins(raw)
            self._raw = RawFrameWriter(folder / "raw", tuple(instruments), settings, self._started)
        self._feeds: dict[str, Feed] = {}
        self._counts = {instrument.key: _Count() for instrument in instruments}
        self._arrived = threading.Event()
        self._pool = ThreadPoolExecutor(1, "lake")
        self._bringing: list[Future[Source | None]] = []
        self._flushed = self._wall.monotonic_ns()

    def open(self, instrument: Instrument, open_feed: Open) -> None:
        """Open a feed, behind what was recorded before."""
        key = instrument.key
        feed = open_feed(instrument, self._raw)
        last = self._tapes.last[key]
        if 0 < last <= self._started:
            place = Place(ts_recv=last)
            for events in self._tapes.tail(key, _TAIL_NS):
                place.advance(events)
            feed.restore(msgspec.msgpack.encode(msgspec.structs.replace(place, ts_recv=last)))
        if isinstance(feed, OpenFeed):
            feed.on_arrival = self._arrived.set
        self._feeds[key] = feed

    def run(
        self, seconds: float, on_progress: Callable[[RecordProgress], None], should_stop: Callable[[], bool]
    ) -> None:
        """Take what arrives until the time is over, all feeds have ended, or somebody wants it to stop."""
        end = self._started + round(seconds * NS_PER_S) if seconds else 0
        waiting = dict(self._feeds)
        said = self._wall.monotonic_ns()
        while waiting and not should_stop() and not (end and self._clock.now_ns() >= end):
            self._arrived.clear()
            num_taken = 0
            for key, feed in list(waiting.items()):
                batch = feed.next_batch()
                if batch is None:
                    del waiting[key]
                else:
                    num_taken += self._take(key, batch)
            now = self._wall.monotonic_ns()
            if now - self._flushed >= FLUSH_NS:
                self._flush(now)
            if now - said >= NS_PER_S:
                said = now
                on_progress(self.progress())
            if not num_taken:
                self._arrived.wait(_IDLE_S)
        for key, feed in waiting.items():
            while (batch := feed.next_batch()) is not None and len(batch):
                self._take(key, batch)

    def _take(self, key: str, batch: Events) -> int:
        if len(batch):
            self._tapes.append(key, batch)
            self._counts[key].add(batch)
        return len(batch)

    def _flush(self, now: int) -> None:
        self._tapes.flush()
        if self._raw is not None:
            self._raw.flush(self._clock.now_ns())
        self._flushed = now
        part = self._tapes.next_part(self._clock.now_ns())
        if part is not None:
            self._bringing.append(self._pool.submit(bring_in, self._lake, part))
        for done in [future for future in self._bringing if future.done()]:
            self._bringing.remove(done)
            if isinstance(error := done.exception(), StorageFailed):
                # the journal still has it: it is brought in at the end, or by the next recorder
                log.warning("an hour could not be brought into the lake yet: %s", error)
            elif error is not None:
                raise error

    def progress(self) -> RecordProgress:
        """Return how far the recording is; rates since the last call."""
        now, monotonic = self._clock.now_ns(), self._wall.monotonic_ns()
        return RecordProgress(
            seconds=(now - self._started) / NS_PER_S,
            feeds=tuple(
                count.progress(key, now, monotonic, _statistics(self._feeds.get(key)))
                for key, count in self._counts.items()
            ),
            num_raw=self._raw.num_records if self._raw is not None else 0,
            num_raw_shed=self._raw.num_shed if self._raw is not None else 0,
        )

    def close(self) -> None:
        """Let go of the feeds and bring everything into the lake."""
        for feed in self._feeds.values():
            if isinstance(feed, OpenFeed):
                feed.close()
        self._pool.shutdown()
        try:
            if self._raw is not None:
                self._raw.close(self._clock.now_ns())
        finally:
            self._tapes.close()


class _Count:
    """What came of one feed."""

    def __init__(self) -> None:
        self.num_events = self.num_gaps = self.ts_last = 0
        self._said = self._said_at = 0

    def add(self, events: Events) -> None:
        self.num_events += int(np.count_nonzero(events["kind"] != Kind.TIMER))
        self.num_gaps += int(np.count_nonzero((events["kind"] == Kind.STATUS) & (events["aux"] == Status.GAP)))
        self.ts_last = int(events["ts_recv"][-1])

    def progress(self, key: str, now: int, monotonic: int, statistics: Mapping[str, float]) -> FeedProgress:
        passed = (monotonic - self._said_at) / NS_PER_S if self._said_at else 0.0
        rate = (self.num_events - self._said) / passed if passed else 0.0
        self._said, self._said_at = self.num_events, monotonic
        return FeedProgress(
            key=key,
            num_events=self.num_events,
            events_per_s=rate,
            lag_ms=(now - self.ts_last) / NS_PER_MS if self.ts_last else 0.0,
            num_gaps=self.num_gaps,
            statistics=dict(statistics),
        )


def _statistics(feed: Feed | None) -> dict[str, float]:
    return feed.statistics() if isinstance(feed, OpenFeed) else {}


def _local(out: str) -> Path:
    return Path("recordings") / quote(out, safe="") if "://" in out else Path(out)
