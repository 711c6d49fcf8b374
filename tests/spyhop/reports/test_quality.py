from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.model import tape
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, Flag, Kind, Side, Status, Venue
from spyhop.reports.quality import measure

T = 1_764_350_100 * NS_PER_S
BTC = Instrument(id=0, venue=Venue.BINANCE_USDM, symbol="BTCUSDT", tick_size=Decimal("0.10"), lot_size=Decimal("0.001"))


def quotes(count: int, step_ns: int, offset_ns: int = 5 * NS_PER_MS) -> Events:
    rows = tape.empty(count)
    rows["kind"] = Kind.QUOTE
    rows["ts_recv"] = T + np.arange(count) * step_ns
    rows["ts_event"] = rows["ts_recv"] - offset_ns
    rows["id"] = np.arange(1, count + 1)
    rows["price"] = 500_000 + np.arange(count)
    rows["aux"] = rows["price"] + 1
    rows["qty"] = rows["aux2"] = 1_000
    return rows


def test_a_quiet_tape_is_measured() -> None:
    found = measure([quotes(101, NS_PER_S // 10)], BTC)
    assert found.num_events == 101
    assert found.seconds == 10
    assert found.clock_offset_ms == pytest.approx(5.0)
    assert found.first_price == pytest.approx(50_000.95)
    assert found.last_price == pytest.approx(50_009.95)
    assert (found.no_book_s, found.crossed_s, found.gap_s, found.stale_book_s) == (0, 0, 0, 0)
    assert found.stale_trades_s == 10
    assert not found.is_simulated


def test_how_a_tape_is_cut_makes_no_difference() -> None:
    events = quotes(300, NS_PER_S // 7)
    whole = measure([events], BTC)
    assert measure(np.array_split(events, 11), BTC) == whole
    assert measure([events[:0], events, events[:0]], BTC) == whole


def crossed_snapshot(ts: int) -> Events:
    rows = tape.empty(3)
    rows["kind"] = [Kind.SNAPSHOT, Kind.LEVEL, Kind.LEVEL]
    rows["side"] = [Side.NONE, Side.BUY, Side.SELL]
    rows["flags"] = [0, Flag.FROM_SNAPSHOT, Flag.FROM_SNAPSHOT | Flag.LAST]
    rows["ts_recv"] = rows["ts_event"] = ts
    rows["price"], rows["qty"], rows["id"] = [0, 500_010, 500_000], [2, 7, 7], 1
    return rows


def test_silence_and_gaps_are_counted_in_seconds() -> None:
    events = quotes(40, NS_PER_S // 2)
    events["ts_recv"][20:] += 30 * NS_PER_S
    gap = tape.event(Kind.STATUS, int(events["ts_recv"][30]), aux=Status.GAP)
    found = measure([tape.joined([events[:30], gap, events[30:]])], BTC)
    assert 20 < found.stale_book_s < 32
    assert found.gap_s >= 1


def test_a_crossed_book_and_quotes_that_cross_are_seen() -> None:
    events = quotes(20, NS_PER_S)
    events["aux"][10:14] = events["price"][10:14] - 5
    assert measure([events], BTC).counters["top.bad"] == 4
    assert measure([events], BTC).crossed_s == 0
    book = crossed_snapshot(T)
    silence = tape.event(Kind.TIMER, T + 4 * NS_PER_S)
    assert measure([tape.joined([book, silence])], BTC).crossed_s == 4


def test_the_clock_is_judged_by_live_events_alone() -> None:
    events = quotes(20, NS_PER_S)
    events["ts_event"][3] += 1_275 * NS_PER_MS
    assert measure([events], BTC).clock_offset_ms == pytest.approx(-1_270.0)
    events["flags"] = Flag.SIMULATED
    found = measure([events], BTC)
    assert found.clock_offset_ms is None
    assert found.is_simulated


def test_time_that_goes_backwards_is_counted() -> None:
    events = quotes(20, NS_PER_S)
    events["ts_recv"][7] -= 3 * NS_PER_S
    assert measure([events], BTC).num_out_of_order == 1
    assert measure([events[:7], events[7:]], BTC).num_out_of_order == 1


def test_trades_are_counted_and_an_empty_tape_says_nothing() -> None:
    trade = tape.event(Kind.TRADE, T, price=500_000, qty=5, side=Side.BUY)
    assert measure([trade], BTC).num_trades == 1
    found = measure([], BTC)
    assert found.num_events == found.seconds == 0
    assert found.first_price is None
