"""Slippage against another mid than the one that a fill was measured against."""

from __future__ import annotations

from spyhop.model.instruments import Instrument
from spyhop.model.orders import Fill


def mid_of(fill: Fill, instrument: Instrument) -> float:
    """Return the mid (ticks) that the fill's slippage was measured against; its price where none was known."""
    lost = int(fill.side) * fill.slippage
    if instrument.is_inverse:
        return fill.price / (1.0 + lost / instrument.notional(fill.price, fill.lots))
    return fill.price - lost / instrument.notional(1.0, fill.lots)


def slippage_from(mid: float, fill: Fill, instrument: Instrument) -> float:
    """Return the quote currency that the fill lost against `mid` ticks (above 0)."""
    return int(fill.side) * instrument.notional(mid, fill.lots) * (fill.price / mid - 1.0)
