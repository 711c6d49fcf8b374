"""A book that un-crosses itself: never crossed, and nothing goes that did not have to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spyhop.venues.dydx.book import UncrossedBook, stamp_of


def loaded(*levels: tuple[int, int, int]) -> UncrossedBook:
    book = UncrossedBook()
    book.load(stamp_of(1, 0), levels)
    return book


def test_a_snapshot_has_its_levels_best_first() -> None:
    book = loaded((1, 99, 5), (1, 100, 3), (-1, 102, 1), (-1, 101, 2))
    assert book.levels() == [(1, 100, 3), (1, 99, 5), (-1, 101, 2), (-1, 102, 1)]
    assert (book.bid, book.ask) == (100, 101)


def test_the_older_of_two_touching_levels_goes() -> None:
    book = loaded((1, 100, 3), (-1, 101, 2), (-1, 102, 1))
    book.put(stamp_of(2, 0), 1, 101, 7)
    assert book.uncross() == 1
    assert book.take_changes() == [(1, 101, 7), (-1, 101, 0)]
    assert (book.bid, book.ask) == (101, 102)


def test_at_equal_stamps_the_smaller_goes_and_at_equal_sizes_the_bid() -> None:
    book = loaded((1, 101, 3), (-1, 101, 2))
    assert book.levels() == [(1, 101, 3)]
    book = loaded((1, 101, 2), (-1, 101, 2))
    assert book.levels() == [(-1, 101, 2)]


def test_a_deep_cross_is_cleared_level_by_level() -> None:
    book = loaded((1, 100, 3), (-1, 101, 2), (-1, 102, 1), (-1, 103, 9))
    book.put(stamp_of(2, 0), 1, 102, 7)
    assert book.uncross() == 2
    assert (book.bid, book.ask) == (102, 103)


def test_within_a_message_the_later_update_is_newer() -> None:
    book = loaded((1, 100, 3), (-1, 103, 2))
    book.put(stamp_of(2, 0), 1, 102, 7)
    book.put(stamp_of(2, 1), -1, 101, 1)
    book.uncross()
    assert (book.bid, book.ask) == (100, 101)


def test_what_an_earlier_message_says_late_is_not_taken_even_of_a_level_that_is_gone() -> None:
    book = loaded((1, 100, 3), (-1, 103, 2))
    assert book.put(stamp_of(5, 0), 1, 100, 0)
    assert not book.put(stamp_of(4, 0), 1, 100, 9)
    assert book.put(stamp_of(4, 0), 1, 99, 9)
    assert book.levels() == [(1, 99, 9), (-1, 103, 2)]


def test_a_forgotten_stamp_frees_its_memory_and_not_its_level() -> None:
    book = loaded((1, 100, 3), (-1, 103, 2))
    for message in range(2, 20_000):
        book.put(stamp_of(message, 0), 1, message % 50 + 1, 1 + message % 2 if message % 3 else 0)
    assert len(book._stamps) < 200
    assert (-1, 103, 2) in book.levels()


LEVELS = st.tuples(st.sampled_from((1, -1)), st.integers(1, 12), st.integers(0, 3))
MESSAGES = st.lists(st.lists(LEVELS, max_size=4), max_size=30)


@given(st.lists(LEVELS, max_size=12), MESSAGES)
def test_it_is_never_crossed_and_only_the_levels_told_or_touching_change(
    snapshot: list[tuple[int, int, int]], messages: list[list[tuple[int, int, int]]]
) -> None:
    book = loaded(*snapshot)
    known = {(side, price): lots for side, price, lots in book.levels()}
    for number, message in enumerate(messages, 2):
        for index, (side, price, lots) in enumerate(message):
            assert book.put(stamp_of(number, index), side, price, lots)
        book.uncross()
        told = {(side, price): lots for side, price, lots in message}
        bids = [price for side, price, lots in book.levels() if side > 0]
        asks = [price for side, price, lots in book.levels() if side < 0]
        assert not bids or not asks or max(bids) < min(asks)
        assert (book.bid, book.ask) == (max(bids, default=0), min(asks, default=0))
        for side, price, lots in book.take_changes():
            known[side, price] = lots
        now = {(side, price): lots for side, price, lots in book.levels()}
        assert {key: lots for key, lots in known.items() if lots} == now
        # what went without being told lay in a cross: against it stood something as old or newer
        newest_bid = max((price for (side, price), lots in told.items() if side > 0 and lots), default=0)
        newest_ask = min((price for (side, price), lots in told.items() if side < 0 and lots), default=99)
        for (side, price), lots in known.items():
            if lots == 0 and (side, price) not in told:
                assert price <= newest_bid if side < 0 else price >= newest_ask
        known = now
