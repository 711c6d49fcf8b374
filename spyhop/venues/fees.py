"""Fees in the quote currency, whatever they were paid in.

A venue may take a fee in the base currency (spot, what was bought) or in a coin of its own (BNB, at a discount). Then
the price of that coin is needed; where nobody knows it, the fee is the largest usual one, never nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal
from typing import TypeAlias

from spyhop.model.instruments import Instrument

log = logging.getLogger(__name__)

PriceOf: TypeAlias = Callable[[str, str], float | None]
"""Returns the last known price of an asset in a quote currency, None when it is not known."""

USUAL_FRAC = 0.001
"""What is assumed of the notional where the price of the fee's asset is unknown: spot's fee without a discount."""
_AT_PAR = frozenset({"BNFCR"})  # Binance's credits for futures, worth one of the quote currency


def nobody_knows(asset: str, quote: str) -> float | None:
    """Return None: the price of every coin is unknown."""
    return None


def in_quote(
    fee: Decimal, asset: str | None, instrument: Instrument, price: int, lots: int, price_of: PriceOf = nobody_knows
) -> float:
    """Return a fee of `lots` at `price` ticks in quote currency; negative for a rebate."""
    if not fee or asset is None or asset == instrument.quote or asset in _AT_PAR:
        return float(fee)
    if asset == instrument.base:
        return float(fee * instrument.price(price))
    rate = price_of(asset, instrument.quote)
    if rate is not None:
        return float(fee) * rate
    log.warning("%s: the fee of %s %s is taken for %s of the notional", instrument.key, fee, asset, USUAL_FRAC)
    return instrument.notional(price, lots) * USUAL_FRAC
