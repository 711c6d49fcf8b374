from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.venues.net.arrivals import BATCH_BYTES, Arrivals
from spyhop.venues.net.transport import Frame


def test_small_reads_are_joined_and_keep_their_times() -> None:
    arrivals = Arrivals()
    arrivals.add(1, [b"a", b"b"])
    arrivals.add(2, [b"c"])
    assert arrivals
    assert arrivals.num_bytes == 3
    assert arrivals.take() == [Frame(1, b"a"), Frame(1, b"b"), Frame(2, b"c")]
    assert (bool(arrivals), arrivals.num_bytes, arrivals.take()) == (False, 0, [])


def test_what_is_taken_are_frames() -> None:
    arrivals = Arrivals()
    arrivals.add(5, [b"x"])
    assert [(frame.ts_recv, frame.data) for frame in arrivals.take()] == [(5, b"x")]


def test_clearing_forgets() -> None:
    arrivals = Arrivals()
    arrivals.add(5, [b"x" * 10])
    arrivals.clear()
    assert (bool(arrivals), arrivals.num_bytes) == (False, 0)


@given(
    reads=st.lists(st.lists(st.sampled_from([0, 1, 300, 5_000, 70_000, 200_000]), min_size=1, max_size=40), max_size=8)
)
def test_batches_are_bounded_and_nothing_is_lost(reads: list[list[int]]) -> None:
    arrivals = Arrivals()
    said = []
    for stamp, sizes in enumerate(reads):
        messages = [bytes([n]) * size for n, size in enumerate(sizes)]
        said += [Frame(stamp, message) for message in messages]
        arrivals.add(stamp, messages)
    assert arrivals.num_bytes == sum(len(frame.data) for frame in said)
    taken = []
    while arrivals:
        batch = arrivals.take()
        assert batch
        longest = max(len(frame.data) for frame in said)
        assert sum(len(frame.data) for frame in batch) <= BATCH_BYTES + 40 * longest
        taken += batch
    assert taken == said
    assert arrivals.num_bytes == 0


@pytest.mark.slow
@given(size=st.integers(1, 4_000), num=st.integers(1, 2_000))
def test_a_long_read_of_like_messages_is_cut_to_size(size: int, num: int) -> None:
    arrivals = Arrivals()
    arrivals.add(1, [b"x" * size] * num)
    batches = []
    while arrivals:
        batches.append(arrivals.take())
    assert all(len(batch) * size <= BATCH_BYTES for batch in batches)
    assert len(batches) <= size * num // (BATCH_BYTES - 2 * size) + 2
