"""What can be traded: tick, lot, multiplier, fees' base and margin tiers."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import msgspec

from spyhop.model.tape import Venue

Positive = Annotated[Decimal, msgspec.Meta(gt=0)]


class MarginTier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One bracket of a venue's margin table.

    `floor` is the notional (quote currency) from which it holds; `maintenance_rate` a fraction; `amount` the
    maintenance amount (Binance's `cum`); `max_leverage` a pure number.
    """

    floor: Decimal
    maintenance_rate: Decimal
    max_leverage: Decimal
    amount: Decimal = Decimal(0)


class Instrument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tradable thing at one venue.

    `tick_size` in quote currency, `lot_size` in base currency (contracts for inverse ones), `multiplier` the base
    currency in one unit of quantity (for inverse contracts: quote currency in one contract).
    `is_inferred` says that tick and lot were read off a recording and not told by the venue, `is_simulated` that a
    simulator listed it: what happens to it never happened, wherever it is recorded.
    """

    id: int
    venue: Venue
    symbol: str
    tick_size: Decimal
    lot_size: Decimal
    multiplier: Decimal = Decimal(1)
    is_inverse: bool = False
    base: str = ""
    quote: str = "USDT"
    min_qty: Decimal = Decimal(0)
    min_notional: Decimal = Decimal(0)
    margin_tiers: tuple[MarginTier, ...] = ()
    is_inferred: bool = False
    is_simulated: bool = False

    @property
    def key(self) -> str:
        """Return `venue:symbol`, such as `binance-usdm:BTCUSDT`."""
        return f"{self.venue.label}:{self.symbol}"

    @property
    def tick(self) -> float:
        return float(self.tick_size)

    @property
    def lot(self) -> float:
        return float(self.lot_size * self.multiplier)

    @property
    def max_leverage(self) -> float:
        """Return the venue's highest leverage, 1 when it lists no tiers."""
        return float(max((tier.max_leverage for tier in self.margin_tiers), default=Decimal(1)))

    def price(self, ticks: int) -> Decimal:
        """Return the exact price of `ticks`."""
        return self.tick_size * ticks

    def quantity(self, lots: int) -> Decimal:
        """Return the exact quantity of `lots`."""
        return self.lot_size * lots

    def notional(self, ticks: float, lots: float) -> float:
        """Return the quote-currency size of `lots` at `ticks` (linear), or of the contracts (inverse)."""
        if self.is_inverse:
            return lots * float(self.lot_size * self.multiplier)
        return ticks * self.tick * lots * self.lot

    def to_ticks(self, price: Decimal | float | str) -> int:
        """Return `price` in ticks; raise ValueError unless it lies within a millionth of a tick of one."""
        return _whole(price, self.tick_size, "price")

    def to_lots(self, quantity: Decimal | float | str) -> int:
        """Return `quantity` in lots; raise ValueError unless it lies within a millionth of a lot of one."""
        return _whole(quantity, self.lot_size, "quantity")

    def numbered(self, instrument_id: int) -> Instrument:
        """Return the same instrument under another number of the tape."""
        return msgspec.structs.replace(self, id=instrument_id)


def _whole(number: Decimal | float | str, unit: Decimal, what: str) -> int:
    ratio = Decimal(str(number)) / unit
    whole = round(ratio)
    if abs(ratio - whole) > Decimal("1e-6"):
        raise ValueError(f"{what} {number} is not a multiple of {unit}")
    return whole
