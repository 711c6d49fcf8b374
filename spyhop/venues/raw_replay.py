"""Raw records told to an adapter again: the same rows in the same order, without a network.

Repeats of overlapping connections and of REST are dropped and `ts_recv` never goes back, as in a live feed. What is
missing from the tape of that feed is what it said of itself: STATUS and TIMER rows.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from spyhop.errors import VenueError, VenueUnavailable
from spyhop.model import tape
from spyhop.model.raw import RawKind, RawRecord
from spyhop.model.tape import Events, Flag, Kind
from spyhop.venues.adapter import Adapter
from spyhop.venues.dedup import Dedup
from spyhop.venues.raw_tap import request_name
from spyhop.venues.transport import Frame, Response

_NOT_RECORDED = "call whose answers were not recorded"


class Told(NamedTuple):
    """What some consecutive records of one feed came to; `number` counts the first of them from 1."""

    feed: str
    number: int
    events: Events
    set_aside: Sequence[tuple[int, str, bytes]]  # number of the record, reason, frame
    ignored: Mapping[str, int]


class RecordedAnswers:
    """Answers that were recorded, by call; an Http for the adapter of one feed."""

    def __init__(self) -> None:
        self._answers: dict[int, dict[str, deque[Response]]] = {}
        self._of_call: dict[str, deque[Response]] = {}

    def add(self, record: RawRecord) -> None:
        """Keep an answer until its call."""
        asked, _, name = record.source.partition(" ")
        answers = self._answers.setdefault(record.connection, defaultdict(deque))
        answers[name].append(Response(200, {}, record.data, int(asked), record.ts))

    def begin(self, call: int) -> None:
        """Answer from now on as during `call`, and forget its answers afterwards."""
        self._of_call = self._answers.pop(call, {})

    async def request(
        self, method: str, url: str, params: Mapping[str, str | int] | None = None, *, timeout_s: float = 10.0
    ) -> Response:
        """Return the next answer to this very request; raise VenueUnavailable when none was recorded."""
        answers = self._of_call.get(request_name(method, url, params))
        if not answers:
            raise VenueUnavailable(url, 0, "no answer was recorded")
        return answers.popleft()

    async def close(self) -> None:
        """Hold nothing open."""


class FeedReplay:
    """The adapter of one feed and what it has put on the tape."""

    def __init__(self, adapter: Adapter, answers: RecordedAnswers) -> None:
        self._adapter, self._answers = adapter, answers
        self._dedup = Dedup()
        self._ts = 0

    def renew(self, adapter: Adapter, answers: RecordedAnswers) -> None:
        """Go on with a fresh adapter: the records are those of another process, the tape is the same."""
        self._adapter, self._answers = adapter, answers
        self._dedup.reset_book()

    def connection(self, record: RawRecord) -> None:
        """Tell that a connection was opened or closed."""
        if record.kind == RawKind.OPENED:
            self._adapter.opened(record.source, record.connection)
        else:
            self._adapter.closed(record.source, record.connection)
            self._dedup.reset_book()

    def answer(self, record: RawRecord) -> None:
        """Keep an answer for the call that it belongs to."""
        self._answers.add(record)

    def decode(self, records: Sequence[RawRecord], number: int) -> Told:
        """Decode frames of one connection."""
        first = records[0]
        frames = [Frame(record.ts, record.data) for record in records]
        decoded = self._adapter.decode(first.source, first.connection, frames)
        places = {record.data: number + k for k, record in enumerate(records)}
        aside = [(places.get(raw, number), reason, raw) for reason, raw in decoded.set_aside]
        return Told(first.feed, number, self._on_tape(self._dedup.admit(decoded.events)), aside, decoded.ignored)

    async def call(self, record: RawRecord, number: int) -> Told:
        """Ask the adapter what it was asked then."""
        self._answers.begin(record.connection)
        try:
            events = await self._asked(*record.source.split(" "))
        except (VenueError, ValueError, TypeError):
            return Told(record.feed, number, tape.empty(), (), {_NOT_RECORDED: 1})
        return Told(record.feed, number, self._on_tape(events), (), {})

    async def _asked(self, what: str, *arguments: str) -> Events:
        adapter, dedup = self._adapter, self._dedup
        if what == "time":
            await adapter.venue_time()
            return tape.empty()
        if what == "book":
            return dedup.admit(await adapter.book())
        if what == "poll":
            (poll,) = [poll for poll in adapter.polls() if poll.name == " ".join(arguments)]
            return dedup.admit(await poll.fetch())
        num_bars, since = arguments
        events = await adapter.sync(int(num_bars), int(since))
        fresh = dedup.admit(events)
        is_minute = (events["kind"] == Kind.BAR_OPEN) & (events["interval_s"] == 60)
        opens = events["id"][is_minute & ((events["flags"] & int(Flag.PARTIAL)) == 0)]
        freed = dedup.answered(int(opens.min()), int(opens.max())) if len(opens) else dedup.anchor()
        return tape.joined([fresh, freed])

    def forget(self, record: RawRecord) -> None:
        """Drop the answers of a call that failed."""
        self._answers.begin(record.connection)

    def held(self, feed: str, number: int) -> Told:
        """Return the bars that waited for others before them, at the end of the records."""
        return Told(feed, number, self._on_tape(self._dedup.anchor()), (), {})

    def _on_tape(self, events: Events) -> Events:
        if len(events):
            events = events.copy()
            events["ts_recv"] = np.maximum(np.maximum.accumulate(events["ts_recv"]), self._ts)
            self._ts = int(events["ts_recv"][-1])
        return events


def replay(records: Iterable[RawRecord], feeds: Mapping[str, FeedReplay]) -> Iterator[Told]:
    """Tell `records` to the feeds they belong to and yield what that comes to; records of other feeds are passed by.

    Frames that were decoded together are again, because the order of rows within such a batch depends on it.
    """
    waiting: dict[str, tuple[int, list[RawRecord]]] = {}
    number = 0
    with asyncio.Runner() as runner:
        for number, record in enumerate(records, 1):
            feed = feeds.get(record.feed)
            if feed is None:
                continue
            if record.kind == RawKind.MORE and record.feed in waiting:
                waiting[record.feed][1].append(record)
                continue
            if record.feed in waiting:
                first, frames = waiting.pop(record.feed)
                yield feed.decode(frames, first)
            match record.kind:
                case RawKind.FRAME | RawKind.MORE:
                    waiting[record.feed] = (number, [record])
                case RawKind.OPENED | RawKind.CLOSED:
                    feed.connection(record)
                case RawKind.ANSWER:
                    feed.answer(record)
                case RawKind.CALL:
                    yield runner.run(feed.call(record, number))
                case RawKind.FAILED:
                    feed.forget(record)
    for key, (first, frames) in waiting.items():
        yield feeds[key].decode(frames, first)
    for key, feed in feeds.items():
        yield feed.held(key, number + 1)
