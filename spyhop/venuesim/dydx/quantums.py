"""How the chain counts: quantums of size and subticks of price, and the parameters of a market that say so.

A market's parameters follow from its tick and lot as they do for the venue's own markets: the last digit of a lot is a
million quantums, the conversion exponent is -9, or lower where a tick would otherwise not be whole subticks.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from spyhop.model.instruments import Instrument

_LOT_DIGITS: Final = 6
_QUOTE_RESOLUTION: Final = -6
_CONVERSION: Final = -9


class ClobPair(msgspec.Struct, frozen=True, kw_only=True):
    """A market of the chain: what converts its instrument's lots and ticks."""

    clob_pair_id: int
    instrument: Instrument
    atomic_resolution: int
    conversion_exponent: int
    lot_quantums: int
    tick_subticks: int

    @property
    def ticker(self) -> str:
        return self.instrument.symbol

    def lots(self, quantums: int) -> int | None:
        """Return `quantums` in lots, None when they are not whole lots."""
        lots, rest = divmod(quantums, self.lot_quantums)
        return None if rest else lots

    def ticks(self, subticks: int) -> int | None:
        """Return `subticks` in ticks, None when they are not whole ticks."""
        ticks, rest = divmod(subticks, self.tick_subticks)
        return None if rest else ticks

    def quantums(self, lots: int) -> int:
        """Return `lots` in quantums."""
        return lots * self.lot_quantums

    def subticks(self, ticks: int) -> int:
        """Return `ticks` in subticks."""
        return ticks * self.tick_subticks


def clob_pair(number: int, instrument: Instrument) -> ClobPair:
    """Return the market numbered `number` that trades `instrument`."""
    lot = instrument.lot_size.normalize()
    exponent = lot.as_tuple().exponent
    assert isinstance(exponent, int)
    atomic = exponent - _LOT_DIGITS
    conversion = _CONVERSION
    while (subticks := _subticks(instrument.tick_size, atomic, conversion)) != int(subticks):
        conversion -= 1
    return ClobPair(
        clob_pair_id=number,
        instrument=instrument,
        atomic_resolution=atomic,
        conversion_exponent=conversion,
        lot_quantums=int(lot.scaleb(-atomic)),
        tick_subticks=int(subticks),
    )


def _subticks(price: Decimal, atomic: int, conversion: int) -> Decimal:
    return price.scaleb(atomic - conversion - _QUOTE_RESOLUTION)
