"""When a snapshot is needed, against the consumer whose book it is for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.market import sequence
from spyhop.market.book import BOOK
from spyhop.model.tape import Events, Flag, Kind, empty
from spyhop.venues.binance.book_sync import BookSync, DepthFrame


def level_rows(frame: DepthFrame) -> Events:
    rows = empty(frame.num_levels)
    rows["kind"], rows["side"], rows["price"], rows["qty"] = Kind.LEVEL, 1, np.arange(1, frame.num_levels + 1), 1
    rows["id"], rows["aux"], rows["aux2"] = frame.last, frame.first, frame.previous
    rows["flags"][-1] = Flag.LAST
    return rows


class Consumer:
    """The compiled book of the detectors."""

    def __init__(self) -> None:
        self.state = np.zeros(1, sequence.SEQUENCE)
        self.book = np.zeros(1, BOOK)
        sequence.invalidate(self.state[0], self.book[0])

    def on_frame(self, frame: DepthFrame) -> None:
        sequence.on_levels(self.state[0], self.book[0], level_rows(frame), 0)

    def on_snapshot(self, snapshot_id: int) -> None:
        sequence.on_snapshot(self.state[0], self.book[0], 1, snapshot_id, 0)

    def lose(self) -> None:
        sequence.mark_gap(self.state[0], self.book[0])


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("next"), st.integers(1, 3)),
        st.tuples(st.just("skip"), st.integers(1, 3)),
        st.tuples(st.just("wide"), st.integers(1, 3)),
        st.tuples(st.just("again"), st.integers(1, 4)),
        st.tuples(st.just("snapshot"), st.integers(-12, 4)),
        st.tuples(st.just("lose"), st.just(0)),
    ),
    max_size=40,
)


@pytest.mark.slow
@pytest.mark.parametrize("is_spot", [False, True])
@given(steps=STEPS)
@settings(max_examples=300, deadline=None)
def test_the_consumer_has_a_book_exactly_when_we_say_so(is_spot: bool, steps: list[tuple[str, int]]) -> None:
    ours, consumer = BookSync(), Consumer()
    sent: list[DepthFrame] = []
    newest = 100
    for step, number in steps:
        if step in ("next", "skip", "wide"):
            previous = newest + {"next": 0, "skip": 7, "wide": -2}[step]  # a wide frame repeats the ids before it
            newest = max(previous, newest) + number
            sent.append(DepthFrame(newest, previous + 1, -1 if is_spot else previous, 2))
            ours.on_frame(sent[-1])
            consumer.on_frame(sent[-1])
        elif step == "again" and len(sent) >= number:
            ours.on_frame(sent[-number])
            consumer.on_frame(sent[-number])
        elif step == "snapshot":
            ours.on_snapshot(newest + number)
            consumer.on_snapshot(newest + number)
        elif step == "lose":
            ours.lose()
            consumer.lose()
        state = consumer.state[0]
        assert ours.is_synced == (state["state"] == sequence.SYNCED)
        if ours.is_synced:
            assert ours.last_id == state["last_id"]
        else:
            assert ours.needs_snapshot == bool(state["num_kept_frames"])


def test_a_gap_wants_a_snapshot_and_one_that_is_too_old_another() -> None:
    sync = BookSync()
    sync.on_frame(DepthFrame(110, 101, 100, 1))
    assert sync.needs_snapshot
    sync.on_snapshot(105)
    assert sync.is_synced
    sync.on_frame(DepthFrame(120, 111, 110, 1))
    assert not sync.needs_snapshot
    sync.on_frame(DepthFrame(140, 131, 130, 1))
    assert (sync.needs_snapshot, sync.num_gaps) == (True, 1)
    sync.on_snapshot(129)
    assert (sync.needs_snapshot, sync.num_stale_snapshots) == (True, 1)
    sync.on_snapshot(150)
    assert not sync.needs_snapshot
    sync.on_frame(DepthFrame(151, 141, 140, 1))
    assert (sync.is_synced, sync.last_id) == (True, 151)


def test_an_old_snapshot_for_somebody_who_lost_his_book_is_doubted() -> None:
    sync = BookSync()
    sync.on_snapshot(100)
    sync.on_frame(DepthFrame(110, 101, 100, 1))
    sync.on_snapshot(105, known=110)
    assert sync.needs_snapshot
    sync.on_snapshot(110, known=110)
    assert not sync.needs_snapshot


def test_frames_beyond_the_room_of_the_consumer_are_dropped_as_there() -> None:
    ours, consumer = BookSync(), Consumer()
    for number in range(1, 1_100):
        frame = DepthFrame(number, number, number - 1, 1)
        ours.on_frame(frame)
        consumer.on_frame(frame)
    ours.on_snapshot(500)
    consumer.on_snapshot(500)
    assert ours.is_synced == (consumer.state[0]["state"] == sequence.SYNCED)
    assert not ours.is_synced
