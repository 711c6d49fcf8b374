"""Positions from fills: average entry, realized and unrealized profit, linear and inverse.

A linear position keeps the money that its fills moved as a whole number of tick-lots, so what it gained when it is
flat is exact. An inverse one (contracts of a fixed quote value, settled in base) is told in quote currency at the
price of each close, in float64.
"""

from __future__ import annotations

import msgspec

from spyhop.model.instruments import Instrument
from spyhop.model.tape import Side


class Position(msgspec.Struct, frozen=True):
    """What we hold of one instrument.

    `lots` is signed; `average` is the entry price in ticks (arithmetic mean, harmonic for inverse contracts), 0 when
    flat; `flow` is minus the sum of signed lots x ticks (linear), `settled` realized quote currency (inverse).
    """

    lots: int = 0
    average: float = 0.0
    flow: int = 0
    settled: float = 0.0

    @property
    def side(self) -> Side:
        """Return BUY for a long, SELL for a short, NONE when flat."""
        return Side((self.lots > 0) - (self.lots < 0))

    def realized(self, instrument: Instrument) -> float:
        """Return realized profit in quote currency since the first fill, fees not counted."""
        if instrument.is_inverse:
            return self.settled
        return (self.flow + self.lots * self.average) * instrument.tick * instrument.lot

    def unrealized(self, instrument: Instrument, mark: float) -> float:
        """Return the profit in quote currency of closing at `mark` ticks."""
        if self.lots == 0:
            return 0.0
        if instrument.is_inverse:
            return _inverse_profit(instrument, self.lots, self.average, mark)
        return self.lots * (mark - self.average) * instrument.tick * instrument.lot

    def value(self, instrument: Instrument, mark: float) -> float:
        """Return realized + unrealized in quote currency; exact to one rounding for a linear position."""
        if instrument.is_inverse:
            return self.settled + self.unrealized(instrument, mark)
        return (self.flow + self.lots * mark) * instrument.tick * instrument.lot


def filled(position: Position, instrument: Instrument, side: Side, price: int, lots: int) -> Position:
    """Return the position after `lots` (1 at least) on `side` at `price` ticks (1 at least).

    A fill larger than an opposite position turns it over: the rest is entered at `price`.
    """
    if lots < 1 or price < 1 or side is Side.NONE:
        raise ValueError(f"a fill needs a side, a price and lots, not {side!r} {lots} at {price}")
    signed = side * lots
    total = position.lots + signed
    settled = position.settled
    closed = min(lots, abs(position.lots)) if position.side == side.opposite else 0
    if closed and instrument.is_inverse:
        settled += _inverse_profit(instrument, position.side * closed, position.average, price)
    return Position(total, _average(position, instrument, signed, price), position.flow - signed * price, settled)


def _average(position: Position, instrument: Instrument, signed: int, price: int) -> float:
    total = position.lots + signed
    if total == 0:
        return 0.0
    if position.lots == 0 or (total > 0) != (position.lots > 0):
        return float(price)
    if (signed > 0) != (position.lots > 0):
        return position.average
    if instrument.is_inverse:
        return total / (position.lots / position.average + signed / price)
    return (position.lots * position.average + signed * price) / total


def _inverse_profit(instrument: Instrument, lots: int, entry: float, price: float) -> float:
    return instrument.notional(price, lots) * (price / entry - 1.0)
