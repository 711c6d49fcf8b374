from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np

from spyhop.clock import NS_PER_MINUTE, EventClock
from spyhop.errors import VenueError
from spyhop.model import tape
from spyhop.model.raw import RawKind, RawRecord
from spyhop.model.tape import Events, Flag, Kind
from spyhop.venues.adapter import Decoded
from spyhop.venues.net.transport import Frame
from spyhop.venues.raw.replay import FeedReplay, RecordedAnswers, Told, replay
from spyhop.venues.raw.tap import TappedAdapter, TappedHttp

KEY = "dydx:BTC-USD"


def retold(echo: SimpleNamespace, records: list[RawRecord]) -> tuple[Events, list[Told]]:
    answers = RecordedAnswers()
    told = list(replay(records, {KEY: FeedReplay(echo.Adapter(answers), answers)}))[:-1]
    return tape.joined([one.events for one in told]), told


def recorded(echo: SimpleNamespace) -> tuple[list[RawRecord], Events]:
    kept: Any = echo.Kept()
    adapter = TappedAdapter(echo.Adapter(TappedHttp(echo.Venue(), kept, EventClock(9), KEY)), kept, EventClock(9))

    async def live() -> Events:
        adapter.opened("all", 1)
        rows = [adapter.decode("all", 1, [Frame(n, str(n).encode()) for n in range(10, 20)]).events]
        await adapter.venue_time()
        book, rate = await asyncio.gather(adapter.book(), adapter.polls()[0].fetch())
        rows += [book, rate, await adapter.sync(3, 40)]
        try:
            await adapter.polls()[1].fetch()
        except VenueError:
            rows += [adapter.decode("all", 1, [Frame(50, b"50")]).events]
        adapter.closed("all", 1)
        return tape.joined(rows)

    return kept, asyncio.run(live())


def test_what_was_told_again_gives_the_same_rows_but_for_late_times(echo: SimpleNamespace) -> None:
    records, live = recorded(echo)
    again, _ = retold(echo, records)
    assert again["id"].tolist() == live["id"].tolist() == [*range(10, 20), 101, 105, 140, 141, 142, 50]
    assert (again["ts_recv"][1:] >= again["ts_recv"][:-1]).all()
    assert again["ts_recv"][:11].tolist() == [*range(10, 20), 19]


def test_frames_are_decoded_together_as_they_were_though_other_feeds_lie_between(echo: SimpleNamespace) -> None:
    kinds = [RawKind.MORE, RawKind.MORE, RawKind.FRAME, RawKind.FRAME, RawKind.MORE]
    frames = [RawRecord(kind, n, KEY, "all", 1, str(n).encode()) for n, kind in enumerate(kinds, 1)]
    others = [frame._replace(feed="dydx:ETH-USD") for frame in frames]
    rows, told = retold(echo, [record for pair in zip(frames, others, strict=True) for record in pair])
    assert rows["id"].tolist() == [1, 2, 3, 4, 5]
    assert [(one.number, len(one.events)) for one in told] == [(1, 2), (5, 1), (7, 2)]


def test_a_trade_that_two_connections_told_comes_once(echo: SimpleNamespace) -> None:
    told = [RawRecord(RawKind.FRAME, n, KEY, "all", n % 2, str(n // 2).encode()) for n in range(2, 20)]
    rows, _ = retold(echo, told)
    assert rows["id"].tolist() == list(range(1, 10))


def test_what_was_set_aside_and_ignored_is_told_with_its_place(echo: SimpleNamespace) -> None:
    records = [RawRecord(RawKind.OPENED, 1, KEY, "all", 1, b"")]
    records += [RawRecord(RawKind.MORE, n, KEY, "all", 1, data) for n, data in enumerate([b"1", b"x", b"2"])]
    _, told = retold(echo, records)
    assert [(one.number, one.set_aside, one.ignored) for one in told] == [(2, [(3, "no number", b"x")], {"open": 1})]


def test_a_call_whose_answers_are_missing_is_counted_and_changes_nothing(echo: SimpleNamespace) -> None:
    records, _ = recorded(echo)
    less = [record for record in records if record.kind != RawKind.ANSWER]
    rows, told = retold(echo, less)
    assert rows["id"].tolist() == [*range(10, 20), 50]
    assert sum(one.ignored.get("call whose answers were not recorded", 0) for one in told) == 4


def test_a_call_that_nobody_knows_and_records_of_other_feeds_are_passed_by(echo: SimpleNamespace) -> None:
    records = [
        RawRecord(RawKind.ASKED, 1, KEY, "poll nothing", 1, b""),
        RawRecord(RawKind.CALL, 1, KEY, "poll nothing", 1, b""),
        RawRecord(RawKind.CALL, 1, KEY, "sync 1 1", 2, b""),
        RawRecord(RawKind.ANSWER, 1, KEY, "1 GET x", 3, b""),
        RawRecord(RawKind.FRAME, 2, "dydx:ETH-USD", "all", 1, b"5"),
        RawRecord(RawKind.MARK, 2, "", "", 0, msgspec.json.encode({"what": "begin"})),
    ]
    rows, told = retold(echo, records)
    assert len(rows) == 0
    assert [one.ignored for one in told] == [{"call whose answers were not recorded": 1}] * 2


def test_answers_of_a_call_that_failed_are_not_taken_for_those_of_a_later_one(echo: SimpleNamespace) -> None:
    asked = RawRecord(RawKind.ASKED, 5, KEY, "book", 1, b"")
    answer = RawRecord(RawKind.ANSWER, 5, KEY, "1 GET http://venue/book?n=1", 1, b"{'n': 1}")
    failed = RawRecord(RawKind.FAILED, 5, KEY, "book", 1, b"")
    later = [RawRecord(kind, 6, KEY, "book", 2, b"") for kind in (RawKind.ASKED, RawKind.CALL)]
    rows, _ = retold(echo, [asked, answer, failed, *later])
    assert len(rows) == 0
    rows, _ = retold(echo, [asked, answer, RawRecord(RawKind.CALL, 6, KEY, "book", 1, b"")])
    assert rows["id"].tolist() == [101]


def test_what_a_call_asks_depends_on_what_was_known_when_it_began(echo: SimpleNamespace) -> None:
    class Growing(echo.Adapter):  # type: ignore[name-defined, misc]
        newest = 0

        def decode(self, socket: str, connection: int, frames: list[Frame]) -> Decoded:
            self.newest = int(frames[-1].data)
            return super().decode(socket, connection, frames)  # type: ignore[no-any-return]

        async def book(self) -> Events:
            rows = [await self._ask("first", self.newest), await self._ask("second", self.newest)]
            return tape.joined(rows)

    kept: Any = echo.Kept()
    adapter = TappedAdapter(Growing(TappedHttp(echo.Venue(), kept, EventClock(9), KEY)), kept, EventClock(9))

    async def live() -> Events:
        adapter.decode("all", 1, [Frame(1, b"10")])
        call = asyncio.create_task(adapter.book())
        await asyncio.sleep(0)
        adapter.decode("all", 1, [Frame(2, b"20")])
        rows = await call
        adapter.decode("all", 1, [Frame(3, b"30")])
        return rows

    told = asyncio.run(live())["id"].tolist()
    assert told == [110, 120]
    answers = RecordedAnswers()
    again = tape.joined([one.events for one in replay(kept, {KEY: FeedReplay(Growing(answers), answers)})])
    assert again["id"].tolist() == [10, 20, 110, 120, 30]


def bar(minute: int, flag: Flag) -> Events:
    rows = tape.empty(2)
    rows["kind"], rows["interval_s"], rows["flags"] = [Kind.BAR_OPEN, Kind.BAR_CLOSE], 60, int(flag)
    rows["id"], rows["ts_recv"] = minute * NS_PER_MINUTE, 1
    return rows


def test_bars_wait_for_the_backfill_that_was_made_then_and_come_in_order(echo: SimpleNamespace) -> None:
    class Bars(echo.Adapter):  # type: ignore[name-defined, misc]
        def decode(self, socket: str, connection: int, frames: list[Frame]) -> Decoded:
            return Decoded(tape.joined([bar(int(frame.data), Flag(0)) for frame in frames]))

        async def sync(self, num_bars: int, since: int) -> Events:
            return tape.joined([bar(minute, Flag.BACKFILLED) for minute in (5, 6)])

    frames = [RawRecord(RawKind.FRAME, n, KEY, "all", 1, str(n).encode()) for n in (6, 7, 8)]
    sync = [RawRecord(kind, 7, KEY, "sync 2 0", 1, b"") for kind in (RawKind.ASKED, RawKind.CALL)]
    answers = RecordedAnswers()
    told = replay([*frames[:2], *sync, frames[2]], {KEY: FeedReplay(Bars(answers), answers)})
    rows = tape.joined([one.events for one in told])
    opens = rows["id"][rows["kind"] == Kind.BAR_OPEN]
    assert (opens // NS_PER_MINUTE).tolist() == [5, 6, 7, 8]
    assert np.all(rows["ts_recv"][1:] >= rows["ts_recv"][:-1])


def test_a_fresh_adapter_goes_on_with_the_tape_of_the_one_before(echo: SimpleNamespace) -> None:
    answers = RecordedAnswers()
    feed = FeedReplay(echo.Adapter(answers), answers)
    told = list(replay([RawRecord(RawKind.FRAME, 9, KEY, "all", 1, b"5")], {KEY: feed}))
    feed.renew(echo.Adapter(answers), answers)
    told += replay([RawRecord(RawKind.FRAME, 3, KEY, "all", 1, n) for n in (b"5", b"6")], {KEY: feed})
    rows = tape.joined([one.events for one in told])
    assert (rows["id"].tolist(), rows["ts_recv"].tolist()) == ([5, 6], [9, 9])
