from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spyhop.errors import MissingInput
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Flag, Kind, Side, Status, Venue, event, joined
from spyhop.research.objectives.tops import Tops, merged, tops
from spyhop.storage.lake import Lake
from spyhop.storage.lake_writer import store

BTC = Instrument(id=0, venue=Venue.BINANCE_USDM, symbol="BTCUSDT", tick_size=Decimal("0.5"), lot_size=Decimal("0.1"))
SNAPSHOT_LEVEL = int(Flag.FROM_SNAPSHOT)


def lake_of(tmp_path: Path, **channels: Any) -> Lake:
    lake = Lake(tmp_path / "lake")
    pieces = []
    for channel, events in channels.items():
        rows = joined(events)
        pieces.append((BTC, channel, rows, np.arange(1, len(rows) + 1, dtype=np.int64) << 20))
    store(lake, "by hand", pieces)
    return lake


def quote(ts: int, bid: int, ask: int, update: int) -> Any:
    return event(Kind.QUOTE, ts, price=bid, qty=1, aux=ask, aux2=1, id=update)


def level(ts: int, side: Side, price: int, qty: int, update: int, flags: int) -> Any:
    return event(Kind.LEVEL, ts, side=side, price=price, qty=qty, id=update, aux=update, aux2=-1, flags=flags)


def test_quotes_are_told_as_they_were_heard(tmp_path: Path) -> None:
    heard = [quote(10, 200, 202, 1), quote(20, 200, 202, 2), quote(30, 201, 203, 3), quote(40, 205, 204, 4)]
    found = tops(lake_of(tmp_path, quotes=heard), BTC)
    # one that repeats the prices says that they are fresh, one that is crossed says nothing
    assert found.ts.tolist() == [10, 20, 30]
    assert found.bid.tolist() == [100.0, 100.0, 100.5]
    assert found.ask.tolist() == [101.0, 101.0, 101.5]


def test_a_span_is_kept_to(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, quotes=[quote(10, 200, 202, 1), quote(20, 200, 202, 2), quote(30, 201, 203, 3)])
    assert tops(lake, BTC, 20, 30).ts.tolist() == [20]
    with pytest.raises(MissingInput, match="no quotes and no book of binance-usdm:BTCUSDT in that time"):
        tops(lake, BTC, 11, 20)


def test_a_market_without_quotes_has_its_book_folded(tmp_path: Path) -> None:
    last = int(Flag.LAST)
    book = [
        event(Kind.SNAPSHOT, 10, id=5, qty=2),
        level(10, Side.BUY, 200, 3, 5, SNAPSHOT_LEVEL),
        level(10, Side.SELL, 204, 3, 5, SNAPSHOT_LEVEL | last),
        level(20, Side.BUY, 201, 1, 6, 0),
        level(20, Side.SELL, 203, 1, 6, last),
        level(30, Side.BUY, 201, 0, 7, last),
    ]
    found = tops(lake_of(tmp_path, book=book), BTC)
    assert found.ts.tolist() == [10, 20, 30]
    assert found.bid.tolist() == [100.0, 100.5, 100.0]
    assert found.ask.tolist() == [102.0, 101.5, 101.5]


def test_a_break_ends_the_book_until_a_snapshot(tmp_path: Path) -> None:
    last = int(Flag.LAST)
    book = [
        event(Kind.SNAPSHOT, 10, id=5, qty=2),
        level(10, Side.BUY, 200, 3, 5, SNAPSHOT_LEVEL),
        level(10, Side.SELL, 204, 3, 5, SNAPSHOT_LEVEL | last),
        level(30, Side.BUY, 201, 1, 6, last),
    ]
    status = [event(Kind.STATUS, 20, aux=Status.GAP, qty=1)]
    assert tops(lake_of(tmp_path, book=book, status=status), BTC).ts.tolist() == [10]


def test_both_are_told_by_receive_time_the_leader_first() -> None:
    leader = Tops(np.array([1, 5, 9]), np.array([1.0, 2, 3]), np.array([1.5, 2.5, 3.5]))
    follower = Tops(np.array([0, 5]), np.array([7.0, 8]), np.array([7.5, 8.5]))
    told = merged(leader, follower)
    assert told["ts"].tolist() == [0, 1, 5, 5, 9]
    assert told["is_follower"].tolist() == [True, False, False, True, False]
    assert told["bid"].tolist() == [7, 1, 2, 8, 3]
    assert told["ask"].tolist() == [7.5, 1.5, 2.5, 8.5, 3.5]


@pytest.mark.slow
def test_a_recording_has_the_top_that_its_quotes_and_its_book_agree_on(tmp_path: Path, recordings: Path) -> None:
    from spyhop.venues.binance import capture

    events, instruments = capture.tape(recordings / "binance_raw" / "usdm_btcusdt_20240718.gz")
    events = events[:40_000]
    instrument = instruments[0]
    found = {}
    for channel, kinds in (("quotes", [Kind.QUOTE]), ("book", [Kind.LEVEL, Kind.SNAPSHOT])):
        rows = events[np.isin(events["kind"], kinds)].copy()
        lake = Lake(tmp_path / channel)
        store(lake, channel, [(instrument, channel, rows, np.arange(1, len(rows) + 1, dtype=np.int64) << 20)])
        found[channel] = tops(lake, lake.instrument("BTCUSDT"))
    quotes, book = found["quotes"], found["book"]
    assert len(quotes.ts) > 1_000
    assert len(book.ts) > 100
    at = np.searchsorted(quotes.ts, book.ts, side="right") - 1
    is_after = at >= 0
    apart = np.abs(quotes.bid[at[is_after]] - book.bid[is_after]) / book.bid[is_after]
    assert np.median(apart) < 1e-5
