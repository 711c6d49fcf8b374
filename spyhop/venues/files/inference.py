"""Tick and lot of an unknown symbol, read off a recording that was decoded on a very fine grid."""

from __future__ import annotations

import numpy as np

from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, Kind, Venue
from spyhop.venues import catalogue

PRICE_DECIMALS = 10
QTY_DECIMALS = 8

# where the tape keeps what lies on the instrument's grid; marks and averages need not
_PRICES: tuple[tuple[Kind, str], ...] = (
    (Kind.TRADE, "price"),
    (Kind.QUOTE, "price"),
    (Kind.QUOTE, "aux"),
    (Kind.LEVEL, "price"),
    (Kind.BAR_OPEN, "price"),
    (Kind.BAR_OPEN, "aux"),
    (Kind.BAR_CLOSE, "price"),
    (Kind.BAR_CLOSE, "aux"),
    (Kind.LIQUIDATION, "price"),
    (Kind.MARK, "price"),
)
_QUANTITIES: tuple[tuple[Kind, str], ...] = (
    (Kind.TRADE, "qty"),
    (Kind.QUOTE, "qty"),
    (Kind.QUOTE, "aux2"),
    (Kind.LEVEL, "qty"),
    (Kind.BAR_OPEN, "qty"),
    (Kind.BAR_OPEN, "aux2"),
    (Kind.LIQUIDATION, "qty"),
    (Kind.OPEN_INTEREST, "qty"),
)


def wide(venue: Venue, symbol: str) -> Instrument:
    """Return an instrument so fine that every recorded number lies on its grid."""
    return catalogue.inferred(venue, symbol, PRICE_DECIMALS, QTY_DECIMALS)


class Grid:
    """The greatest common divisors of the prices and the quantities of a tape that was decoded on `wide`."""

    def __init__(self) -> None:
        self._price = 0
        self._quantity = 0

    def see(self, rows: Events) -> None:
        """Take in the rows of one instrument."""
        self._price = _common(self._price, rows, _PRICES)
        self._quantity = _common(self._quantity, rows, _QUANTITIES)

    def instrument(self, venue: Venue, symbol: str) -> Instrument:
        """Return the instrument whose tick and lot are the finest decimals seen so far."""
        return catalogue.inferred(
            venue, symbol, _decimals(self._price, PRICE_DECIMALS), _decimals(self._quantity, QTY_DECIMALS)
        )


def _common(divisor: int, rows: Events, columns: tuple[tuple[Kind, str], ...]) -> int:
    for kind, column in columns:
        numbers = rows[column][rows["kind"] == kind]
        divisor = int(np.gcd.reduce(numbers, initial=divisor))
    return divisor


def _decimals(divisor: int, scale: int) -> int:
    while scale > 0 and divisor % 10 == 0:
        divisor //= 10
        scale -= 1
    return scale
