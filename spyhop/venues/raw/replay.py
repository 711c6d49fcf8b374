"""Raw records told to an adapter again: the same rows in the same order, without a network.

Repeats of overlapping connections and of REST are dropped and `ts_recv` never goes back, as in a live feed. What is
missing from the tape of that feed is what it said of itself: STATUS and TIMER rows.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from spyhop.errors import VenueError, VenueUnavailable
from spyhop.model import tape
from spyhop.model.raw import RawKind, RawRecord
from spyhop.model.tape import Events, Flag, Kind
from spyhop.venues.adapter import Adapter
from spyhop.venues.live.dedup import Dedup
from spyhop.venues.net.transport import Frame, Response
from spyhop.venues.raw.tap import CURRENT_CALL, request_name

_NOT_RECORDED = "call whose answers were not recorded"


class Told(NamedTuple):
    """What some consecutive records of one feed came to; `number` counts the first of them from 1."""

    feed: str
    number: int
    events: Events
    set_aside: Sequence[tuple[int, str, bytes]]  # number of the record, reason, frame
    ignored: Mapping[str, int]


class RecordedAnswers:
    """What was answered then, handed over when its record comes; an Http for the adapter of one feed.

    A request waits for its answer's record. One that was made in another order, or not at all, finds or leaves it here.
    """

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, str], deque[asyncio.Future[Response]]] = {}
        self._early: dict[tuple[int, str], deque[Response | VenueError]] = {}

    async def request(
        self, method: str, url: str, params: Mapping[str, str | int] | None = None, *, timeout_s: float = 10.0
    ) -> Response:
        """Return the next answer to this very request; raise VenueUnavailable when there was none."""
        key = (CURRENT_CALL.get(), request_name(method, url, params))
        if early := self._early.get(key):
            answer = early.popleft()
            if isinstance(answer, VenueError):
                raise answer
            return answer
        waiting: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(waiting)
        return await waiting

    async def take(self, record: RawRecord) -> None:
        """Hand an ANSWER or REFUSED to whoever waits for it, and let the adapter go on as far as it can."""
        name, answer = record.source, VenueUnavailable("", 0, record.data.decode("utf-8", "replace"))
        told: Response | VenueError = answer
        if record.kind == RawKind.ANSWER:
            asked, _, name = record.source.partition(" ")
            told = Response(200, {}, record.data, int(asked), record.ts)
        key = (record.connection, name)
        waiting = self._waiting.get(key)
        if not waiting:
            self._early.setdefault(key, deque()).append(told)
            return
        future = waiting.popleft()
        if isinstance(told, VenueError):
            future.set_exception(told)
        else:
            future.set_result(told)
        await _settled()

    def forget(self, call: int) -> None:
        """Drop what is left of a call that has ended."""
        for box in (self._waiting, self._early):
            for key in [key for key in box if key[0] == call]:
                del box[key]

    async def close(self) -> None:
        """Hold nothing open."""


class FeedReplay:
    """The adapter of one feed and what it has put on the tape."""

    def __init__(self, adapter: Adapter, answers: RecordedAnswers) -> None:
        self._adapter, self._answers = adapter, answers
        self._calls: dict[int, asyncio.Task[Events]] = {}
        self._dedup = Dedup()
        self._ts = 0

    def renew(self, adapter: Adapter, answers: RecordedAnswers) -> None:
        """Go on with a fresh adapter: the records are those of another process, the tape is the same."""
        self._adapter, self._answers = adapter, answers
        self._calls.clear()
        self._dedup.reset_book()

    def connection(self, record: RawRecord) -> None:
        """Tell that a connection was opened or closed."""
        if record.kind == RawKind.OPENED:
            self._adapter.opened(record.source, record.connection)
        else:
            self._adapter.closed(record.source, record.connection)
            self._dedup.reset_book()

    def decode(self, records: Sequence[RawRecord], number: int) -> Told:
        """Decode frames of one connection."""
        first = records[0]
        frames = [Frame(record.ts, record.data) for record in records]
        decoded = self._adapter.decode(first.source, first.connection, frames)
        places = {record.data: number + k for k, record in enumerate(records)}
        aside = [(places.get(raw, number), reason, raw) for reason, raw in decoded.set_aside]
        return Told(first.feed, number, self._on_tape(self._dedup.admit(decoded.events)), aside, decoded.ignored)

    async def on_call(self, record: RawRecord, number: int) -> Told | None:
        """Take one record of a call; return what the call came to when it has ended well."""
        match record.kind:
            case RawKind.ASKED:
                token = CURRENT_CALL.set(record.connection)
                self._calls[record.connection] = asyncio.create_task(self._asked(*record.source.split(" ")))
                CURRENT_CALL.reset(token)
                await _settled()
                return None
            case RawKind.ANSWER | RawKind.REFUSED:
                await self._answers.take(record)
                return None
        call = self._calls.pop(record.connection, None)
        self._answers.forget(record.connection)
        events = await _result(call)
        if record.kind == RawKind.FAILED:
            return None
        if events is None:
            return Told(record.feed, number, tape.empty(), (), {_NOT_RECORDED: 1})
        return Told(record.feed, number, self._on_tape(self._admitted(record, events)), (), {})

    async def _asked(self, what: str, *arguments: str) -> Events:
        adapter = self._adapter
        if what == "time":
            await adapter.venue_time()
            return tape.empty()
        if what == "book":
            return await adapter.book()
        if what == "poll":
            (poll,) = [poll for poll in adapter.polls() if poll.name == " ".join(arguments)]
            return await poll.fetch()
        num_bars, since = arguments
        return await adapter.sync(int(num_bars), int(since))

    def _admitted(self, record: RawRecord, events: Events) -> Events:
        fresh = self._dedup.admit(events)
        if not record.source.startswith("sync "):
            return fresh
        is_minute = (events["kind"] == Kind.BAR_OPEN) & (events["interval_s"] == 60)
        opens = events["id"][is_minute & ((events["flags"] & int(Flag.PARTIAL)) == 0)]
        freed = self._dedup.answered(int(opens.min()), int(opens.max())) if len(opens) else self._dedup.anchor()
        return tape.joined([fresh, freed])

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
                case RawKind.MARK:
                    continue
                case _:
                    if (told := runner.run(feed.on_call(record, number))) is not None:
                        yield told
    for key, (first, frames) in waiting.items():
        yield feeds[key].decode(frames, first)
    for key, feed in feeds.items():
        yield feed.held(key, number + 1)


# an answer may wake a task that wakes another: gathered requests are three deep
async def _settled() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


async def _result(call: asyncio.Task[Events] | None) -> Events | None:
    """Return what a call came to; None when it still waits for what was not recorded, failed, or never began."""
    if call is None:
        return None
    if not call.done():
        call.cancel()
    try:
        return await call
    except (VenueError, ValueError, TypeError, asyncio.CancelledError):
        return None
