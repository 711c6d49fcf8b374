from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from spyhop.clock import EventClock
from spyhop.errors import VenueError
from spyhop.model import tape
from spyhop.model.raw import RawKind
from spyhop.model.tape import Events
from spyhop.venues.net.transport import Frame
from spyhop.venues.raw.tap import TappedAdapter, TappedHttp


def tapped(echo: SimpleNamespace, kept: Any) -> TappedAdapter:
    http = TappedHttp(echo.Venue(), kept, EventClock(9), echo.instrument.key)
    return TappedAdapter(echo.Adapter(http), kept, EventClock(9))


def test_frames_connections_calls_and_answers_are_kept_in_order_and_the_adapter_works_as_before(
    echo: SimpleNamespace,
) -> None:
    kept = echo.Kept()
    adapter = tapped(echo, kept)

    async def live() -> Events:
        adapter.opened("all", 4)
        first = adapter.decode("all", 4, [Frame(1, b"7"), Frame(2, b"x")])
        assert first.set_aside == (("no number", b"x"),)
        rows = [first.events, await adapter.book(), await adapter.sync(2, 30), await adapter.polls()[0].fetch()]
        await adapter.venue_time()
        adapter.closed("all", 4)
        return tape.joined(rows)

    assert asyncio.run(live())["id"].tolist() == [7, 101, 130, 131, 105]
    assert [(record.kind, record.source, record.connection, record.data) for record in kept] == [
        (RawKind.OPENED, "all", 4, b""),
        (RawKind.FRAME, "all", 4, b"7"),
        (RawKind.MORE, "all", 4, b"x"),
        (RawKind.ASKED, "book", 1, b""),
        (RawKind.ANSWER, "1 GET http://venue/book?n=1", 1, b"{'n': 1}"),
        (RawKind.CALL, "book", 1, b""),
        (RawKind.ASKED, "sync 2 30", 2, b""),
        (RawKind.ANSWER, "1 GET http://venue/bars?n=30", 2, b"{'n': 30}"),
        (RawKind.ANSWER, "1 GET http://venue/bars?n=31", 2, b"{'n': 31}"),
        (RawKind.CALL, "sync 2 30", 2, b""),
        (RawKind.ASKED, "poll rate", 3, b""),
        (RawKind.ANSWER, "1 GET http://venue/rate?n=5", 3, b"{'n': 5}"),
        (RawKind.CALL, "poll rate", 3, b""),
        (RawKind.ASKED, "time", 4, b""),
        (RawKind.ANSWER, "1 GET http://venue/time?n=0", 4, b"{'n': 0}"),
        (RawKind.CALL, "time", 4, b""),
        (RawKind.CLOSED, "all", 4, b""),
    ]
    assert {record.feed for record in kept} == {"dydx:BTC-USD"}
    assert [record.ts for record in kept[:6]] == [9, 1, 2, 9, 2, 9]


def test_answers_of_calls_that_overlap_belong_to_their_own_call(echo: SimpleNamespace) -> None:
    kept = echo.Kept()
    adapter = tapped(echo, kept)

    async def live() -> None:
        await asyncio.gather(adapter.book(), adapter.sync(3, 0), adapter.polls()[0].fetch())

    asyncio.run(live())
    answers = [(record.source.split("/")[-1], record.connection) for record in kept if record.kind == RawKind.ANSWER]
    assert sorted(answers) == [("bars?n=0", 2), ("bars?n=1", 2), ("bars?n=2", 2), ("book?n=1", 1), ("rate?n=5", 3)]


def test_a_call_that_failed_is_kept_as_such(echo: SimpleNamespace) -> None:
    kept = echo.Kept()
    adapter = tapped(echo, kept)
    with pytest.raises(VenueError):
        asyncio.run(adapter.polls()[1].fetch())
    assert [(record.kind, record.source) for record in kept] == [
        (RawKind.ASKED, "poll broken"),
        (RawKind.REFUSED, "GET http://venue/broken?n=5"),
        (RawKind.FAILED, "poll broken"),
    ]


def test_rows_of_a_tapped_adapter_are_those_of_the_adapter(echo: SimpleNamespace) -> None:
    generator = np.random.default_rng(3)
    frames = [Frame(ts, str(generator.integers(100)).encode()) for ts in range(50)]
    plain = echo.Adapter(echo.Venue()).decode("all", 1, frames).events
    assert tapped(echo, echo.Kept()).decode("all", 1, frames).events.tobytes() == plain.tobytes()
