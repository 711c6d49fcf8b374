"""Observations beside their leaders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from spyhop.clock import NS_PER_S
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Side, Venue
from spyhop.strategies.observing import Known, Observer, data_age, leaders

MakeRow = Callable[..., np.void]


def at(instrument: Instrument, number: int, venue: Venue, base: str = "BTC") -> Instrument:
    return msgspec.structs.replace(instrument, id=number, venue=venue, base=base)


@pytest.fixture
def pair(instrument: Instrument) -> list[Instrument]:
    return [at(instrument, 0, Venue.DYDX), at(instrument, 1, Venue.BINANCE_USDM)]


def row_of(make_row: MakeRow, number: int, after_s: float = 0.0, **columns: Any) -> np.void:
    row = make_row(instrument=number)
    row["ts"] += round(after_s * NS_PER_S)
    row["ts_book"] = row["ts"]
    for name, value in columns.items():
        row[name] = value
    return row


def test_binance_leads_other_venues_by_base_and_perpetuals_before_spot(instrument: Instrument) -> None:
    listed = [
        at(instrument, 0, Venue.DYDX),
        at(instrument, 1, Venue.BINANCE_SPOT),
        at(instrument, 2, Venue.BINANCE_USDM),
        at(instrument, 3, Venue.DYDX, "ETH"),
        at(instrument, 4, Venue.CCXT, "SOL"),
        at(instrument, 5, Venue.BINANCE_SPOT, "SOL"),
        at(instrument, 6, Venue.DYDX, ""),
        at(instrument, 7, Venue.BINANCE_USDM, ""),
        at(instrument, 8, Venue.BINANCE_USDM),
    ]
    assert leaders(listed) == {0: 2, 4: 5}


def test_a_market_alone_is_observed_without_a_leader(instrument: Instrument, make_row: MakeRow) -> None:
    observer = Observer([instrument])
    row = make_row(
        evidence={"depth_bid": 5e4, "depth_ask": 6e4, "sigma_1m": 8e-4, "vol_pct": 0.9, "atr": 70.0},
        fill_buy=91_501.0,
        fill_sell=91_499.0,
        aligned=-1,
    )
    row["ts_exchange"] = row["ts"] - 40_000_000
    row["timeframes"]["rsi"] = (40.0, 50.0, 60.0, 70.0, 80.0)
    row["timeframes"]["ready"] = (1, 0, 3, 0, 0)
    observer.note(row)
    seen = observer.observed(row, Side.SELL, 0.8)
    assert seen.leader is None
    assert observer.snapshot() == Known()
    assert (seen.mid, seen.last, seen.fill_buy, seen.fill_sell) == (91_500.05, 91_500.0, 91_501.0, 91_499.0)
    assert (seen.depth_bid, seen.depth_ask, seen.sigma_1m, seen.volatility_rank) == (5e4, 6e4, 8e-4, 0.9)
    assert (seen.atr, seen.aligned, seen.score) == (70.0, -1.0, -0.8)
    assert seen.spread == pytest.approx(0.1)
    assert (seen.rsi_1m, seen.rsi_5m, seen.rsi_15m) == (40.0, -1.0, 60.0)
    assert (seen.ts_venue, seen.age_ns) == (int(row["ts"]) - 40_000_000, 0)


def test_a_leader_ages_from_its_newest_book_by_the_worse_of_silence_and_delay(
    pair: list[Instrument], make_row: MakeRow
) -> None:
    observer = Observer(pair)
    leading = row_of(make_row, 1, mid=91_600.0, last=91_601.0)
    leading["ts_book"] -= 2 * NS_PER_S
    leading["ts_exchange"] = leading["ts"] - 7
    leading["venue_lag"] = NS_PER_S
    observer.note(leading)
    leader = observer.observed(row_of(make_row, 0, 3.0), Side.BUY, 0.5).leader
    assert leader is not None
    assert (leader.instrument, leader.mid, leader.last) == (1, 91_600.0, 91_601.0)
    assert (leader.ts, leader.age_ns) == (int(leading["ts"]) - 7, 5 * NS_PER_S)
    late = row_of(make_row, 1, 3.0, venue_lag=4 * NS_PER_S)
    observer.note(late)
    leader = observer.observed(row_of(make_row, 0, 3.5), Side.BUY, 0.5).leader
    assert leader is not None
    assert leader.age_ns == 4.5 * NS_PER_S


def test_a_leader_that_lost_its_book_keeps_its_last_price_and_grows_old(
    pair: list[Instrument], make_row: MakeRow
) -> None:
    observer = Observer(pair)
    assert observer.observed(row_of(make_row, 0), Side.BUY, 0.5).leader is None
    first = row_of(make_row, 1, mid=91_600.0)
    observer.note(first)
    observer.note(row_of(make_row, 1, 10.0, mid=0.0, ts_book=first["ts"]))
    leader = observer.observed(row_of(make_row, 0, 10.0), Side.BUY, 0.5).leader
    assert leader is not None
    assert (leader.mid, leader.age_ns) == (91_600.0, 10 * NS_PER_S)


def test_the_venues_clock_against_ours_is_told_once_it_is_known(instrument: Instrument, make_row: MakeRow) -> None:
    observer = Observer([instrument])
    row = make_row(ts_exchange=0)
    row["ts_exchange"] = row["ts"] + 300_000_000  # half a second ahead, 200 ms on the way
    assert observer.observed(row, Side.BUY, 0.5).clock_skew_ns == 0
    row["venue_lag"] = 200_000_000
    assert observer.observed(row, Side.BUY, 0.5).clock_skew_ns == 500_000_000


def test_data_is_as_old_as_the_worse_of_silence_and_delay(make_row: MakeRow) -> None:
    row = row_of(make_row, 0)
    row["ts_book"] -= 5
    assert data_age(row) == 5
    row["venue_lag"] = 8
    assert data_age(row) == 8
