"""Positions from fills."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.ledger.positions import Position, filled
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Side, Venue

LINEAR = Instrument(id=0, venue=Venue.BINANCE_USDM, symbol="X", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"))
FILLS = st.lists(
    st.tuples(st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 10**7), st.integers(1, 10**6)), max_size=30
)


def after(instrument: Instrument, *fills: tuple[Side, int, int]) -> Position:
    position = Position()
    for side, price, lots in fills:
        position = filled(position, instrument, side, price, lots)
    return position


def test_an_entry_averages_by_lots(linear: Instrument) -> None:
    position = after(linear, (Side.BUY, 1_000, 3), (Side.BUY, 1_100, 1))
    assert (position.lots, position.average, position.side) == (4, 1_025.0, Side.BUY)
    assert position.realized(linear) == pytest.approx(0.0, abs=1e-15)
    assert position.unrealized(linear, 1_125) == pytest.approx(4 * 100 * 0.1 * 0.001)


def test_a_part_closed_realizes_its_part_and_keeps_the_average(linear: Instrument) -> None:
    position = after(linear, (Side.SELL, 1_000, 4), (Side.BUY, 900, 1))
    assert (position.lots, position.average, position.side) == (-3, 1_000.0, Side.SELL)
    assert position.realized(linear) == pytest.approx(100 * 0.1 * 0.001)


def test_a_flip_closes_the_old_and_opens_the_rest_at_its_price(linear: Instrument) -> None:
    position = after(linear, (Side.BUY, 1_000, 2), (Side.SELL, 1_200, 5))
    assert (position.lots, position.average) == (-3, 1_200.0)
    assert position.realized(linear) == pytest.approx(2 * 200 * 0.1 * 0.001)


def test_flat_is_exact_to_the_last_bit(linear: Instrument) -> None:
    position = after(linear, (Side.BUY, 333_333, 7), (Side.BUY, 333_334, 11), (Side.SELL, 333_335, 18))
    assert position.average == 0.0
    assert position.flow == 7 * 2 + 11 * 1
    assert position.value(linear, 12_345) == position.realized(linear) == 25 * 0.1 * 0.001


def test_an_inverse_profit_is_that_of_its_contracts(inverse: Instrument) -> None:
    # 10 contracts of 100 USD bought at 50,000 and sold at 55,000: 1,000 USD x (1/50,000 - 1/55,000) BTC x 55,000
    position = after(inverse, (Side.BUY, 500_000, 10))
    assert position.unrealized(inverse, 550_000) == pytest.approx(100.0)
    sold = filled(position, inverse, Side.SELL, 550_000, 10)
    assert sold.realized(inverse) == pytest.approx(100.0)
    assert sold.value(inverse, 1) == sold.realized(inverse)


def test_an_inverse_average_is_harmonic(inverse: Instrument) -> None:
    position = after(inverse, (Side.BUY, 400_000, 1), (Side.BUY, 600_000, 1))
    assert position.average == pytest.approx(480_000.0)


@pytest.mark.parametrize(("side", "price", "lots"), [(Side.NONE, 1, 1), (Side.BUY, 0, 1), (Side.BUY, 1, 0)])
def test_what_is_no_fill_is_refused(linear: Instrument, side: Side, price: int, lots: int) -> None:
    with pytest.raises(ValueError, match="a fill needs"):
        filled(Position(), linear, side, price, lots)


@given(FILLS, st.integers(1, 10**7))
def test_quantity_and_money_are_conserved(fills: list[tuple[Side, int, int]], mark: int) -> None:
    position = after(LINEAR, *fills)
    assert position.lots == sum(side * lots for side, _, lots in fills)
    assert position.flow == -sum(side * lots * price for side, price, lots in fills)
    parts = position.realized(LINEAR) + position.unrealized(LINEAR, mark)
    scale = sum(lots * price for _, price, lots in fills) * 1e-5 + abs(position.lots * mark) * 1e-5
    assert parts == pytest.approx(position.value(LINEAR, mark), rel=1e-9, abs=1e-12 * scale)


@given(FILLS)
def test_realized_profit_is_that_of_average_cost(fills: list[tuple[Side, int, int]]) -> None:
    lots, cost, realized = 0, Fraction(0), Fraction(0)
    for side, price, quantity in fills:
        closing = min(quantity, abs(lots)) if lots * side < 0 else 0
        if closing:
            average = cost / lots
            realized += -side * closing * (price - average)
            cost += side * closing * average
            lots += side * closing
        cost += side * (quantity - closing) * price
        lots += side * (quantity - closing)
    position = after(LINEAR, *fills)
    scale = sum(quantity * price for _, price, quantity in fills) * 1e-5
    assert position.realized(LINEAR) == pytest.approx(float(realized) * 1e-5, rel=1e-9, abs=1e-12 * scale)


@given(FILLS, st.integers(1, 10**7))
def test_the_mirror_of_the_fills_has_the_opposite_profit(fills: list[tuple[Side, int, int]], mark: int) -> None:
    position = after(LINEAR, *fills)
    mirrored = after(LINEAR, *((side.opposite, price, lots) for side, price, lots in fills))
    assert mirrored.value(LINEAR, mark) == -position.value(LINEAR, mark)
