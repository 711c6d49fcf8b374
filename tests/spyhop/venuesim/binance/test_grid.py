from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.model.instruments import Instrument
from spyhop.model.tape import Venue
from spyhop.venuesim.binance.errors import BinanceError
from spyhop.venuesim.binance.grid import Grid, decimal

UNITS = st.sampled_from(["0.1", "0.10", "0.01", "0.5", "0.00001", "1", "10", "2.5", "1e-7"])


def grid(venue: Venue = Venue.BINANCE_USDM, tick: str = "0.1", lot: str = "0.001") -> Grid:
    return Grid(Instrument(id=0, venue=venue, symbol="BTCUSDT", tick_size=Decimal(tick), lot_size=Decimal(lot)))


@given(st.sampled_from([Venue.BINANCE_USDM, Venue.BINANCE_SPOT]), UNITS, UNITS, st.integers(1, 10**12))
def test_what_is_written_reads_back(venue: Venue, tick: str, lot: str, number: int) -> None:
    one = grid(venue, tick, lot)
    assert Decimal(one.price(number)) == Decimal(tick) * number
    assert Decimal(one.qty(-number)) == -Decimal(lot) * number
    assert one.ticks(one.price(number)) == number
    assert one.lots(one.qty(number)) == number


def test_numbers_look_as_they_do_on_the_wire() -> None:
    assert (grid().price(640_421), grid().qty(38)) == ("64042.10", "0.038")
    spot = grid(Venue.BINANCE_SPOT, "0.01", "0.00001")
    assert (spot.price(6_370_400), spot.qty(477_471)) == ("63704.00000000", "4.77471000")


@pytest.mark.parametrize(
    ("venue", "text", "code"),
    [
        (Venue.BINANCE_USDM, "60000.05", -4014),
        (Venue.BINANCE_USDM, "60000.001", -1111),
        (Venue.BINANCE_SPOT, "60000.05", -1013),
        (Venue.BINANCE_USDM, "-1", -1102),
        (Venue.BINANCE_USDM, "NaN", -1102),
        (Venue.BINANCE_USDM, "1e999999999", -1102),
        (Venue.BINANCE_USDM, "much", -1102),
    ],
)
def test_prices_off_the_grid_are_refused(venue: Venue, text: str, code: int) -> None:
    with pytest.raises(BinanceError) as refused:
        grid(venue).ticks(text)
    assert refused.value.code == code


def test_quantities_off_the_grid_are_refused() -> None:
    for text, code in (("0.0001", -1111), ("0.0005", -1111)):
        with pytest.raises(BinanceError) as refused:
            grid().lots(text)
        assert refused.value.code == code
    with pytest.raises(BinanceError) as refused:
        grid(lot="0.005").lots("0.003")
    assert refused.value.code == -4023


@given(st.text() | st.decimals().map(str))
def test_any_text_is_a_number_or_refused(text: str) -> None:
    with suppress(BinanceError):
        assert decimal(text, "x").is_finite()
