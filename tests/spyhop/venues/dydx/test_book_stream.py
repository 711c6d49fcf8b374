"""Book messages to frames of the tape: the consumer's own book follows them, gap for gap and level for level."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.market import sequence
from spyhop.market.audit import BookAudit
from spyhop.market.book import BOOK, clear
from spyhop.model.tape import Events, Flag, Kind, Status, joined
from spyhop.venues.catalogue import by_key
from spyhop.venues.dydx import wire
from spyhop.venues.dydx.book_stream import CROSSED_FRAMES, BookStream, Taken
from spyhop.venues.dydx.numbers import Grid
from spyhop.venues.rows import Rows

BTC = by_key("dydx:BTC-USD")
TS = 1_764_000_000_000_000_000


def book(bids: dict[int, str], asks: dict[int, str]) -> wire.Book:
    return wire.Book(
        [wire.Level(str(price), size) for price, size in bids.items()],
        [wire.Level(str(price), size) for price, size in asks.items()],
    )


def update(side: str, price: int, size: str) -> wire.BookUpdate:
    return wire.BookUpdate(**{side: [(str(price), size)]})


def naive(events: Events) -> dict[tuple[int, int], int]:
    """The book of a tape by a plain dict; asserts that it is not crossed after any frame."""
    levels: dict[tuple[int, int], int] = {}
    for row in events:
        if row["kind"] == Kind.SNAPSHOT:
            levels.clear()
        elif row["kind"] == Kind.LEVEL and not row["flags"] & Flag.EMPTY:
            key = int(row["side"]), int(row["price"])
            levels[key] = int(row["qty"])
            if not levels[key]:
                del levels[key]
        if row["kind"] == Kind.LEVEL and row["flags"] & Flag.LAST:
            bids = [price for side, price in levels if side > 0]
            asks = [price for side, price in levels if side < 0]
            assert not bids or not asks or max(bids) < min(asks)
    return levels


class Consumer:
    """The fold that detectors have."""

    def __init__(self) -> None:
        self.sequence, self.book = np.zeros(1, sequence.SEQUENCE), np.zeros(1, BOOK)
        clear(self.book[0])

    def on(self, events: Events) -> Any:
        i = 0
        while i < len(events):
            row = events[i]
            if row["kind"] == Kind.LEVEL:
                i, _ = sequence.on_levels(self.sequence[0], self.book[0], events, i)
                continue
            if row["kind"] == Kind.SNAPSHOT:
                sequence.on_snapshot(self.sequence[0], self.book[0], row["ts_recv"], row["id"], row["qty"])
            i += 1
        return self.book[0]


def test_a_snapshot_then_frames_that_chain() -> None:
    stream, rows = BookStream(Grid(BTC)), Rows(BTC)
    stream.on_snapshot(1, 1, book({100: "1"}, {102: "2"}), TS, rows)
    assert stream.on_updates(1, 2, [update("bids", 101, "3")], TS + 1, rows) is Taken.ON_TAPE
    assert stream.on_updates(1, 3, [], TS + 2, rows) is Taken.ON_TAPE
    events = rows.events()
    assert events["kind"].tolist() == [Kind.SNAPSHOT, Kind.LEVEL, Kind.LEVEL, Kind.LEVEL, Kind.LEVEL]
    first = int(events["id"][0])
    assert events["id"].tolist() == [first, first, first, first + 1, first + 2]
    assert events["aux2"][-2:].tolist() == [first, first + 1]
    assert events["flags"][-1] == Flag.EMPTY | Flag.LAST
    assert first == TS // 1_000_000  # so that a restarted process goes on above it


def test_an_uncrossed_level_goes_in_the_frame_that_crossed_it() -> None:
    stream, rows = BookStream(Grid(BTC)), Rows(BTC)
    stream.on_snapshot(1, 1, book({100: "1"}, {102: "2"}), TS, Rows(BTC))
    stream.on_updates(1, 2, [update("bids", 102, "3")], TS, rows)
    events = rows.events()
    assert [(int(r["side"]), int(r["price"]), int(r["qty"])) for r in events] == [(1, 102, 30_000), (-1, 102, 0)]
    assert len(set(events["id"].tolist())) == 1
    assert stream.num_uncrossed == 1


def test_updates_before_the_snapshot_wait_for_it_unless_they_are_older() -> None:
    stream, rows = BookStream(Grid(BTC)), Rows(BTC)
    assert stream.on_updates(1, 1, [update("bids", 99, "5")], TS, rows) is Taken.EARLY
    assert stream.on_updates(1, 3, [update("bids", 101, "5")], TS, rows) is Taken.EARLY
    stream.on_snapshot(1, 2, book({100: "1"}, {102: "2"}), TS, rows)
    assert naive(rows.events()) == {(1, 100): 10_000, (1, 101): 50_000, (-1, 102): 20_000}


def test_a_second_connection_takes_over_and_the_first_one_is_silent() -> None:
    stream, rows = BookStream(Grid(BTC)), Rows(BTC)
    stream.on_snapshot(1, 1, book({100: "1"}, {102: "2"}), TS, rows)
    stream.on_snapshot(2, 1, book({101: "1"}, {103: "2"}), TS, rows)
    assert stream.on_updates(1, 2, [update("bids", 90, "1")], TS, rows) is Taken.REPLACED
    stream.closed(1)
    stream.on_updates(2, 2, [update("bids", 91, "1")], TS, rows)
    assert naive(rows.events()) == {(1, 101): 10_000, (1, 91): 10_000, (-1, 103): 20_000}
    assert len(BookAudit().on(rows.events())[0]) == 0


def test_after_rest_the_next_frame_brings_the_stream_s_own_book() -> None:
    stream, rows = BookStream(Grid(BTC)), Rows(BTC)
    stream.on_snapshot(1, 1, book({100: "1"}, {102: "2"}), TS, rows)
    stream.on_rest(book({98: "1"}, {99: "1", 97: "1"}), TS, rows)
    assert naive(rows.events()) == {(-1, 97): 10_000, (-1, 99): 10_000}
    stream.on_updates(1, 2, [update("bids", 101, "3")], TS, rows)
    assert naive(rows.events()) == {(1, 100): 10_000, (1, 101): 30_000, (-1, 102): 20_000}


def test_a_gap_is_said_once_and_nothing_more_is_believed() -> None:
    stream, rows = BookStream(Grid(BTC)), Rows(BTC)
    stream.on_snapshot(1, 1, book({100: "1"}, {102: "2"}), TS, Rows(BTC))
    stream.on_gap(1, TS, rows)
    stream.on_gap(1, TS, rows)
    assert stream.on_updates(1, 5, [update("bids", 101, "3")], TS, rows) is Taken.SPENT
    events = rows.events()
    assert [(r["kind"], r["aux"]) for r in events] == [(Kind.STATUS, Status.GAP)]


def test_a_book_crossed_in_every_frame_is_crossed_for_good() -> None:
    stream = BookStream(Grid(BTC))
    stream.on_snapshot(1, 1, book({100: "1"}, {102: "2"}), TS, Rows(BTC))
    for i in range(CROSSED_FRAMES):
        assert not stream.is_crossed_for_good(1)
        stream.on_updates(1, 2 + i, [update("asks" if i % 2 else "bids", 103 - i % 2, "3")], TS, Rows(BTC))
    assert stream.is_crossed_for_good(1)
    stream.on_updates(1, 99, [update("bids", 50, "1")], TS, Rows(BTC))
    assert not stream.is_crossed_for_good(1)


@pytest.mark.parametrize("text", ["1.5x", "0.5", "-1", "0", ""])
def test_a_frame_with_one_bad_level_changes_nothing(text: str) -> None:
    stream, rows = BookStream(Grid(BTC)), Rows(BTC)
    stream.on_snapshot(1, 1, book({100: "1"}, {102: "2"}), TS, rows)
    before = len(rows)
    with pytest.raises(ValueError):
        stream.on_updates(1, 2, [wire.BookUpdate([("99", "1"), (text, "1")])], TS, rows)
    assert len(rows) == before
    stream.on_updates(1, 3, [], TS, rows)
    assert naive(rows.events()) == {(1, 100): 10_000, (-1, 102): 20_000}


SIZES = st.sampled_from(["0", "0.0001", "0.5", "2"])
UPDATES = st.builds(update, st.sampled_from(["bids", "asks"]), st.integers(90, 110), SIZES)
SNAPSHOT = st.builds(
    book,
    st.dictionaries(st.integers(90, 110), SIZES, max_size=8),
    st.dictionaries(st.integers(90, 110), SIZES, max_size=8),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("updates"), st.integers(1, 2), st.lists(UPDATES, max_size=4)),
        st.tuples(st.just("snapshot"), st.integers(1, 2), SNAPSHOT),
        st.tuples(st.just("rest"), st.just(0), SNAPSHOT),
        st.tuples(st.just("closed"), st.integers(1, 2), st.none()),
    ),
    max_size=25,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_whatever_comes_the_consumer_s_book_is_the_tape_s_and_never_crossed(steps: list[tuple[str, int, Any]]) -> None:
    stream, parts, consumer = BookStream(Grid(BTC)), [], Consumer()
    audit = BookAudit()
    for number, (what, connection, told) in enumerate(steps, 1):
        rows = Rows(BTC)
        if what == "updates":
            stream.on_updates(connection, number, told, TS + number, rows)
        elif what == "snapshot":
            stream.on_snapshot(connection, number, told, TS + number, rows)
        elif what == "rest":
            stream.on_rest(told, TS + number, rows)
        else:
            stream.closed(connection)
        parts.append(rows.events())
        gaps, crossings = audit.on(parts[-1])
        assert not len(gaps)
        assert not len(crossings)
        levels = naive(joined(parts))
        seen = consumer.on(parts[-1])
        assert seen["bid"] == max((price for side, price in levels if side > 0), default=0)
        assert seen["ask"] == min((price for side, price in levels if side < 0), default=0)
        assert seen["num_levels"] + seen["num_far"] == len(levels)
