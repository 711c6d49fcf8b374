from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.model.instruments import Instrument
from spyhop.model.tape import Flag, Kind, Side, Venue
from spyhop.venues.ccxt.rows import (
    Book,
    Candle,
    FundingRate,
    OpenInterest,
    Ticker,
    Trade,
    add_bar,
    add_funding,
    add_open_interest,
    add_ticker,
    add_trade,
    levels_of,
    trade_id,
)
from spyhop.venues.rows import Rows

BTC = Instrument(id=4, venue=Venue.BYBIT, symbol="BTC/USDT:USDT", tick_size=Decimal("0.5"), lot_size=Decimal("0.001"))
NOW = 1_672_304_486_900_000_000


def decoded(text: str, kind: type) -> object:
    return msgspec.json.decode(text, type=kind)


def test_a_trade_is_exact_on_the_grid() -> None:
    rows = Rows(BTC)
    add_trade(rows, BTC, Trade(1672304486865, Decimal("16578.50"), Decimal("0.001"), "20f43950", "buy"), NOW)
    (row,) = rows.events()
    assert (row["kind"], row["side"], row["price"], row["qty"]) == (Kind.TRADE, Side.BUY, 33157, 1)
    assert (row["ts_event"], row["ts_recv"]) == (1672304486865_000_000, NOW)
    assert (row["venue"], row["instrument"]) == (Venue.BYBIT, 4)
    assert row["id"] >> 22 == 1672304486865


@given(st.floats(min_value=0.5, max_value=1e6, allow_nan=False))
def test_what_json_makes_of_a_float_is_the_decimal_that_was_sent(price: float) -> None:
    ticks = round(price / 0.5)
    text = msgspec.json.encode({"timestamp": 1, "price": ticks * 0.5, "amount": 3 / 1000})
    trade = msgspec.json.decode(text, type=Trade)
    assert BTC.to_ticks(trade.price) == ticks
    assert BTC.to_lots(trade.amount) == 3


@pytest.mark.parametrize(("price", "amount"), [("1.25", "1"), ("1", "0.0005"), ("-1", "1"), ("1", "0"), ("1e30", "1")])
def test_a_trade_off_the_grid_not_positive_or_out_of_range_is_refused(price: str, amount: str) -> None:
    with pytest.raises(ValueError, match=r"multiple|positive|range"):
        add_trade(Rows(BTC), BTC, Trade(1, Decimal(price), Decimal(amount)), NOW)


def test_ids_of_trades_grow_with_time_and_differ_within_a_millisecond() -> None:
    first, second = (Trade(1672304486865, Decimal(1), Decimal(1), text) for text in ("aa", "ab"))
    later = Trade(1672304486866, Decimal(1), Decimal(1), "aa")
    assert trade_id(first) != trade_id(second)
    assert max(trade_id(first), trade_id(second)) < trade_id(later) < 1 << 63
    assert trade_id(first) == trade_id(Trade(1672304486865, Decimal(2), Decimal(2), "aa"))
    assert trade_id(Trade(1, Decimal(1), Decimal(1))) != trade_id(Trade(1, Decimal(1), Decimal(2)))


def test_a_bar_is_two_rows_and_its_volume_goes_to_the_nearest_lot() -> None:
    rows = Rows(BTC)
    candle = decoded("[1670363160000, 16987.5, 16988, 16987.0, 16987.5, 23.51149]", Candle)
    add_bar(rows, BTC, candle, NOW, int(Flag.BACKFILLED))  # type: ignore[arg-type]
    opened, closed = rows.events()
    assert (opened["kind"], opened["price"], opened["aux"], opened["qty"]) == (Kind.BAR_OPEN, 33975, 33976, 23511)
    assert (closed["kind"], closed["price"], closed["aux"]) == (Kind.BAR_CLOSE, 33974, 33975)
    for row in (opened, closed):
        assert (row["id"], row["interval_s"], row["flags"]) == (1670363160000_000_000, 60, Flag.BACKFILLED)
        assert row["ts_event"] == 1670363220000_000_000


def test_a_bar_whose_prices_cannot_be_is_refused() -> None:
    for text in ("[1, 5, 4, 3, 5, 1]", "[1, 5, 6, 5.5, 5, 1]", "[1, 0, 6, 0, 5, 1]"):
        with pytest.raises(ValueError, match="in order"):
            add_bar(Rows(BTC), BTC, decoded(text, Candle), NOW)  # type: ignore[arg-type]


def test_tickers_funding_and_open_interest() -> None:
    rows = Rows(BTC)
    add_ticker(rows, BTC, Ticker(Decimal("17216"), Decimal("80.5004"), Decimal("1386000.4"), Decimal("-10.5")), NOW)
    told = FundingRate(Decimal("17217.33"), Decimal("17227.36"), Decimal("-0.000212"), 1673280000000, 1673272861686)
    add_funding(rows, BTC, told, NOW)
    add_open_interest(rows, BTC, OpenInterest(Decimal("68744.761")), NOW)
    ticker, mark, funding, interest = rows.events()
    assert (ticker["kind"], ticker["price"], ticker["qty"]) == (Kind.TICKER, 34432, 80500)
    assert (ticker["aux"], ticker["aux2"], ticker["ts_event"]) == (-21, 138600040, NOW)
    assert (mark["kind"], mark["price"], mark["aux"], mark["aux2"]) == (Kind.MARK, 34435, 1721733000000, 1722736000000)
    assert (funding["kind"], funding["aux"], funding["id"]) == (Kind.FUNDING, -212000000, 1673280000000_000_000)
    assert (interest["kind"], interest["qty"]) == (Kind.OPEN_INTEREST, 68744761)


def test_levels_of_a_book_and_a_crossed_one() -> None:
    levels = levels_of(
        BTC, Book([(Decimal("99.5"), Decimal(1)), (Decimal(99), Decimal(0))], [(Decimal(100), Decimal(2))])
    )
    assert levels == {(1, 199): 1000, (-1, 200): 2000}
    with pytest.raises(ValueError, match="crossed"):
        levels_of(BTC, Book([(Decimal(100), Decimal(1))], [(Decimal(100), Decimal(2))]))
