from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.engine.streams import ArrayStreams, MessageStream
from spyhop.errors import OutOfOrder
from spyhop.model import tape
from spyhop.model.tape import EVENT, Kind


class Note(msgspec.Struct, frozen=True):
    ts: int


def events(*stamps: int, instrument: int = 0) -> tape.Events:
    return tape.joined([tape.event(Kind.TIMER, ts, instrument=instrument) for ts in stamps])


def test_messages_below_a_time_are_taken_in_order_and_the_rest_waits() -> None:
    stream: MessageStream[Note] = MessageStream("notes")
    stream.put([Note(1), Note(2), Note(5)], 6)
    assert stream.take_before(5) == [Note(1), Note(2)]
    assert stream.pending() == [Note(5)]


def test_a_message_older_than_its_watermark_is_an_error() -> None:
    stream: MessageStream[Note] = MessageStream("notes")
    stream.put([], 10)
    with pytest.raises(OutOfOrder):
        stream.put([Note(9)], 11)


def test_arrays_wait_for_the_slowest_sender() -> None:
    streams = ArrayStreams.of_events(["a", "b"])
    streams.put("a", events(1, 2, 3), 3)
    assert streams.watermark == 0
    streams.put("b", events(2, instrument=1), 2)
    assert streams.watermark == 2
    assert list(streams.take_before(streams.watermark)["ts_recv"]) == [1]


def test_equal_times_are_ordered_by_instrument_then_position() -> None:
    streams = ArrayStreams.of_events(["b", "a"])
    second = events(1, 1, instrument=1)
    second["id"] = [1, 2]
    streams.put("b", second, 2)
    streams.put("a", events(1, instrument=0), 2)
    merged = streams.take_before(2)
    assert [(row["instrument"], row["id"]) for row in merged] == [(0, 0), (1, 1), (1, 2)]


def test_some_instruments_may_come_first_at_equal_times_only() -> None:
    streams = ArrayStreams(["a", "b"], EVENT, "ts_recv", first=[1])
    streams.put("a", events(1, 2, instrument=0), 3)
    streams.put("b", events(2, 2, instrument=1), 3)
    merged = streams.take_before(3)
    assert [(row["ts_recv"], row["instrument"]) for row in merged] == [(1, 0), (2, 1), (2, 1), (2, 0)]


def test_only_a_sender_ahead_of_the_slowest_is_told_to_wait() -> None:
    streams = ArrayStreams.of_events(["a", "b"])
    streams.put("a", events(*range(1, 20)), 20)
    assert streams.is_ahead("a", limit=5)
    assert not streams.is_ahead("b", limit=5)


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=30),
    st.lists(st.integers(1, 50), min_size=1, max_size=30),
    st.lists(st.integers(1, 60), max_size=6),
)
def test_cuts_and_snapshots_anywhere_change_nothing(left: list[int], right: list[int], cuts: list[int]) -> None:
    a, b = events(*sorted(left)), events(*sorted(right), instrument=1)
    whole = tape.merged([a, b])
    streams = ArrayStreams.of_events(["a", "b"])
    taken = []
    for cut in [*sorted(cuts), 61]:
        for sender, array in (("a", a), ("b", b)):
            low = streams.watermarks[sender]
            part = array[(array["ts_recv"] >= low) & (array["ts_recv"] < cut)]
            streams.put(sender, part, cut)
        copy = ArrayStreams.of_events(["a", "b"])
        copy.restore(streams.snapshot())
        streams = copy
        taken.append(streams.take_before(cut - 2))
    taken.append(streams.take_before(61))
    assert np.array_equal(np.concatenate(taken), whole)
