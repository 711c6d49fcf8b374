from __future__ import annotations

import numpy as np
import pytest

from spyhop.model import tape
from spyhop.model.tape import EVENT, Kind, Side, Venue, venue_of


def test_an_event_is_one_cache_line() -> None:
    assert EVENT.itemsize == 64


def test_merging_keeps_instrument_and_position_order_at_one_time() -> None:
    a = tape.joined([tape.event(Kind.TRADE, 5, id=n, instrument=1) for n in range(3)])
    b = tape.joined([tape.event(Kind.TRADE, ts, id=ts, instrument=0) for ts in (4, 5, 6)])
    merged = tape.merged([a, b])
    assert list(zip(merged["ts_recv"], merged["instrument"], merged["id"], strict=True)) == [
        (4, 0, 4),
        (5, 0, 5),
        (5, 1, 0),
        (5, 1, 1),
        (5, 1, 2),
        (6, 0, 6),
    ]


@pytest.mark.parametrize("venue", list(Venue))
def test_a_venue_is_found_by_its_label(venue: Venue) -> None:
    assert venue_of(venue.label) is venue


def test_sides_mirror() -> None:
    assert Side.BUY.opposite is Side.SELL
    assert Side.NONE.opposite is Side.NONE


def test_joining_nothing_is_an_empty_tape() -> None:
    assert tape.joined([]).dtype == EVENT
    assert len(np.atleast_1d(tape.joined([]))) == 0
