"""Numbers of the indexer: exact, bounded, refused with a reason."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.model.instruments import Instrument
from spyhop.model.tape import Venue
from spyhop.venues.catalogue import by_key
from spyhop.venues.dydx import numbers
from spyhop.venues.dydx.numbers import Grid

BTC = Grid(by_key("dydx:BTC-USD"))


def grid(tick: str, lot: str) -> Grid:
    return Grid(
        Instrument(id=0, venue=Venue.DYDX, symbol="X-USD", tick_size=Decimal(tick), lot_size=Decimal(lot), quote="USD")
    )


@pytest.mark.parametrize(
    ("text", "ticks"),
    [("114581", 114_581), ("43250.0", 43_250), ("1.", None), ("007", 7), ("43250.00000000000", 43_250)],
)
def test_a_price_is_whole_ticks(text: str, ticks: int | None) -> None:
    if ticks is None:
        with pytest.raises(ValueError, match=numbers.NOT_A_NUMBER):
            BTC.ticks(text)
    else:
        assert BTC.ticks(text) == ticks


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", numbers.NOT_A_NUMBER),
        (".5", numbers.NOT_A_NUMBER),
        ("1e3", numbers.NOT_A_NUMBER),
        ("١٢", numbers.NOT_A_NUMBER),
        ("-", numbers.NOT_A_NUMBER),
        ("-1", numbers.NEGATIVE),
        ("0.00005", numbers.OFF_GRID),
        ("9" * 5_000, numbers.OUT_OF_RANGE),
        ("1" + "0" * 14, numbers.OUT_OF_RANGE),
    ],
)
def test_what_is_no_quantity_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        BTC.lots(text)


def test_a_price_of_nothing_is_refused_and_a_size_of_nothing_is_not() -> None:
    with pytest.raises(ValueError, match=numbers.NOT_POSITIVE):
        BTC.ticks("0")
    assert BTC.lots("0.0") == 0


@given(
    st.sampled_from([("1", "0.0001"), ("0.001", "10"), ("0.00005", "1000000"), ("25", "0.5")]),
    st.integers(1, 10**9),
    st.integers(0, 3),
)
def test_every_multiple_is_itself_again(sizes: tuple[str, str], count: int, zeros: int) -> None:
    tick, lot = sizes
    for size, read in ((tick, grid(tick, lot).ticks), (lot, grid(tick, lot).lots)):
        text = format(Decimal(size) * count, "f")
        assert read(text + ("0" * zeros if "." in text else "")) == count


@given(st.text(max_size=30))
def test_any_text_is_a_number_or_refused(text: str) -> None:
    for read in (BTC.ticks, BTC.lots, BTC.nearest_tick, numbers.whole, numbers.packed_event_id):
        with contextlib.suppress(ValueError):
            assert -(1 << 63) <= read(text) < 1 << 63


@pytest.mark.parametrize(
    ("text", "units"), [("0.00000254545454545455", 2_545_455), ("-0.0000000000005", -1), ("1E-7", 100_000), ("0", 0)]
)
def test_rates_are_rounded_half_away_from_zero(text: str, units: int) -> None:
    assert numbers.rounded(text, 12) == units


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e30", "1_000", " 1", "1e-9999999999999999999"])
def test_rates_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        numbers.rounded(text, 12)


def test_a_time_is_exact_nanoseconds_within_this_century() -> None:
    moment = datetime(2025, 8, 4, 0, 42, 7, 119_000, tzinfo=UTC)
    assert numbers.nanoseconds(moment) == 1_754_268_127_119_000_000
    for year in (1970, 2100, 9999):
        with pytest.raises(ValueError, match=numbers.OUT_OF_RANGE):
            numbers.nanoseconds(datetime(year, 1, 1, tzinfo=UTC))


def test_an_event_id_of_the_venue_is_one_number_and_itself_again() -> None:
    packed = numbers.packed_event_id("02b6148d0000000200000005")
    assert numbers.event_id_parts(packed) == (45_487_245, 2, 5)  # its createdAtHeight in venues.md
    assert numbers.event_id(packed) == "02b6148d0000000200000005"


PARTS = st.tuples(st.integers(0, (1 << 31) - 1), st.integers(0, (1 << 12) - 1), st.integers(0, (1 << 20) - 1))


@given(PARTS, PARTS)
def test_event_ids_keep_their_order(a: tuple[int, int, int], b: tuple[int, int, int]) -> None:
    first, second = numbers.packed_event(*a), numbers.packed_event(*b)
    assert (first < second) == (a < b)
    assert 0 <= first < 1 << 63
    assert numbers.event_id_parts(first) == a


@pytest.mark.parametrize("text", ["80000000" + "0" * 16, "00000001" + "00001000" + "00000000", "0" * 16 + "00100000"])
def test_an_event_id_that_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=numbers.EVENT_ID_TOO_LARGE):
        numbers.packed_event_id(text)


@pytest.mark.parametrize("text", ["", "trade-001", "g" * 24, "00 " * 8, "0" * 23])
def test_what_is_no_event_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=numbers.BAD_EVENT_ID):
        numbers.packed_event_id(text)
