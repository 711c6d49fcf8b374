"""Searches that go by blocks find what lies at every place of a block, and nothing beyond their end."""

from __future__ import annotations

import numpy as np
import pytest

from spyhop.venues import scan
from spyhop.venues.decimals import OK, TRUNCATED


def test_a_line_feed_is_found_wherever_it_is() -> None:
    for place in range(200):
        buf = np.frombuffer(b"x" * place + b"\n" + b"y" * 150 + b"\n", np.uint8)
        for start in {0, place // 3, place // 2, place}:
            assert scan.find_line_feed(buf, start, len(buf)) == place
        assert scan.find_line_feed(buf, place + 1, len(buf)) == len(buf) - 1


@pytest.mark.parametrize("length", [*range(3), 63, 64, 65, 127, 128, 129, 200])
def test_a_line_feed_beyond_the_end_is_not_found(length: int) -> None:
    buf = np.frombuffer(b"x" * length + b"\n" * 200, np.uint8)
    assert scan.find_line_feed(buf, 0, length) == length


@pytest.mark.parametrize("is_quick", [True, False])
def test_the_end_of_levels_is_found_wherever_it_is(is_quick: bool) -> None:
    for length in range(1, 200):
        bids = b'[["1","%b"],["2","3"]]' % (b"4" * length)
        frame = b'{"b":%b,"a":[["5","6"]],"u":7}' % bids
        spans = np.zeros((3, scan.NUM_SLOTS), np.int64)
        assert scan.scan_frame(np.frombuffer(frame, np.uint8), 0, len(frame), is_quick, spans) == OK
        kind, start, end = spans[:, 98].tolist()
        assert (kind, frame[start:end]) == (scan.ARRAY, bids)
        assert spans[0, 117] == scan.NUMBER


@pytest.mark.parametrize("is_quick", [True, False])
def test_levels_that_end_after_the_line_are_cut_off(is_quick: bool) -> None:
    for length in range(1, 200):
        frame = b'{"b":[["1","%b"]' % (b"4" * length)
        buf = np.frombuffer(frame + b"]" * 100, np.uint8)
        spans = np.zeros((3, scan.NUM_SLOTS), np.int64)
        assert scan.scan_frame(buf, 0, len(frame), is_quick, spans) == TRUNCATED
