from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_S
from spyhop.engine.feeds import ArrayFeed, CatalogFeed, CutFeed, SlicedFeed
from spyhop.model import tape
from spyhop.model.tape import Events, Kind
from spyhop.ports import Feed


def events(stamps: list[int]) -> Events:
    rows = np.zeros(len(stamps), tape.EVENT)
    rows["kind"], rows["ts_recv"], rows["id"] = Kind.TRADE, sorted(stamps), np.arange(len(stamps))
    return rows


class ListCatalog:
    def __init__(self, rows: Events, size: int) -> None:
        self._rows, self._size = rows, size

    def scan(self, instrument_key: str, start: int, end: int) -> Iterator[Events]:
        assert instrument_key == "binance-usdm:BTCUSDT"
        inside = self._rows[(self._rows["ts_recv"] >= start) & (self._rows["ts_recv"] < end)]
        for first in range(0, len(inside), self._size):
            yield inside[first : first + self._size]


def drained(feed: Feed) -> Events:
    batches = []
    while (batch := feed.next_batch()) is not None:
        batches.append(batch)
    return tape.joined(batches)


STAMPS = st.lists(st.integers(1, 40), min_size=1, max_size=40)


@given(STAMPS, st.integers(1, 7), st.integers(0, 12))
def test_a_catalog_goes_on_after_a_restart_with_the_very_next_event(stamps: list[int], size: int, stop: int) -> None:
    def feed() -> CatalogFeed:
        return CatalogFeed(ListCatalog(events(stamps), size), "binance-usdm:BTCUSDT", 3, 0, 100)

    whole = drained(feed())
    first = feed()
    head = [batch for _ in range(stop) if (batch := first.next_batch()) is not None]
    second = feed()
    second.restore(first.snapshot())
    assert np.array_equal(tape.joined([*head, drained(second)]), whole)
    assert (whole["instrument"] == 3).all()


def test_a_catalog_ends_before_the_end_it_was_given() -> None:
    feed = CatalogFeed(ListCatalog(events([1, 2, 3, 4]), 2), "binance-usdm:BTCUSDT", 0, 2, 4)
    assert list(drained(feed)["ts_recv"]) == [2, 3]


@given(st.lists(st.integers(1, 5 * NS_PER_S), min_size=1, max_size=30), st.integers(0, 10))
def test_slices_hold_every_event_and_a_timer_for_each_silent_second(stamps: list[int], stop: int) -> None:
    source = events(stamps)

    def feed() -> SlicedFeed:
        return SlicedFeed(ArrayFeed([source[:5], source[5:]]), 0)

    whole = drained(feed())
    assert np.array_equal(whole[whole["kind"] == Kind.TRADE], source)
    assert (np.diff(whole["ts_recv"]) >= 0).all()
    assert (np.diff(whole["ts_recv"]) <= NS_PER_S).all()
    first = feed()
    head = [batch for _ in range(stop) if (batch := first.next_batch()) is not None]
    second = feed()
    second.restore(first.snapshot())
    assert np.array_equal(tape.joined([*head, drained(second)]), whole)


@given(st.lists(st.integers(1, 5 * NS_PER_S), min_size=1, max_size=30))
def test_the_size_of_a_slice_changes_no_row(stamps: list[int]) -> None:
    source = events(stamps)
    small, large = (
        drained(SlicedFeed(ArrayFeed([source[:7], source[7:]]), 0, slice_ns))
        for slice_ns in (NS_PER_S // 10, 3 * NS_PER_S)
    )
    assert np.array_equal(small, large)
    timers = small[small["kind"] == Kind.TIMER]["ts_recv"]
    seconds = range(-(-int(source["ts_recv"][0] + 1) // NS_PER_S), -(-int(source["ts_recv"][-1]) // NS_PER_S))
    assert set(timers) == {second * NS_PER_S for second in seconds} - set(source["ts_recv"].tolist())


def test_a_slice_is_never_longer_than_it_may_be() -> None:
    feed = SlicedFeed(ArrayFeed([events(list(range(1, 400_000_000, 10_000_000)))]), 0, slice_ns=100_000_000)
    while (batch := feed.next_batch()) is not None:
        assert int(batch["ts_recv"][-1]) - int(batch["ts_recv"][0]) < 100_000_000


@given(st.lists(st.integers(0, 500), min_size=1, max_size=30), st.integers(1, 90), st.integers(0, 10))
def test_a_cut_feed_adds_nothing_and_steps_along_its_grid(stamps: list[int], slice_ns: int, stop: int) -> None:
    source = events(stamps)

    def feed() -> CutFeed:
        return CutFeed(ArrayFeed([source[:7], tape.empty(), source[7:]]), slice_ns)

    first = feed()
    head = [batch for _ in range(stop) if (batch := first.next_batch()) is not None]
    second = feed()
    second.restore(first.snapshot())
    assert np.array_equal(tape.joined([*head, drained(second)]), source)
    for batch in head:
        assert len(set((batch["ts_recv"] // slice_ns).tolist())) <= 1


def test_an_array_feed_of_nothing_is_at_its_end() -> None:
    assert ArrayFeed([]).next_batch() is None


@pytest.mark.parametrize("batches", [[], [tape.empty()]])
def test_a_sliced_feed_passes_emptiness_on(batches: list[Events]) -> None:
    assert len(drained(SlicedFeed(ArrayFeed(batches), 0))) == 0
