from __future__ import annotations

from decimal import Decimal

import numpy as np

from spyhop.model import tape
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Kind, Venue
from spyhop.venues.files.chunks import SetAside, by_channel

A, B = (Instrument(id=0, venue=Venue.DYDX, symbol=symbol, tick_size=Decimal(1), lot_size=Decimal(1)) for symbol in "AB")


def test_rows_are_split_by_instrument_and_channel_and_timers_belong_to_nobody() -> None:
    rows = tape.empty(5)
    rows["kind"] = [Kind.TRADE, Kind.TIMER, Kind.BLOCK, Kind.TRADE, Kind.TIMER]
    rows["instrument"] = [0, 1, 1, 1, 0]
    aside = (SetAside(3, "no", b"x"),)
    chunks = list(by_channel(rows, np.arange(5), [A, B], first_line=1, last_line=9, quarantined=aside))
    told = [(one.instrument, one.channel, one.positions.tolist(), one.quarantined) for one in chunks]
    assert told == [(A, "trades", [0], aside), (B, "trades", [3], ()), (B, "blocks", [2], ())]


def test_what_was_set_aside_is_told_when_there_is_nothing_else() -> None:
    rows = tape.event(Kind.TIMER, 5)
    (only,) = by_channel(rows, np.arange(1), [A], first_line=1, last_line=1, ignored={"ack": 1})
    assert (only.instrument, len(only.events), only.ignored) == (None, 0, {"ack": 1})
