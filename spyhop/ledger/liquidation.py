"""Where a venue takes a position over: Binance USDT-M with its margin brackets, dYdX v4 with its fixed fraction.

All prices and money are price units and quote currency. The venue judges by its mark (oracle) price.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from spyhop.model.instruments import MarginTier


def binance_price(
    wallet: float, side: int, quantity: float, entry: float, maintenance_rate: float, amount: float, other: float = 0.0
) -> float:
    """Return (WB + other + cum - side Q EP) / (Q MMR - side Q), Binance's liquidation price; 0 when there is none.

    `wallet` is the isolated margin (cross: the balance), `amount` the bracket's maintenance amount, `other` the
    unrealized profit less the maintenance margin of the other positions (cross only), `side` 1 long, -1 short.
    """
    if quantity <= 0.0:
        raise ValueError(f"a position needs a quantity above 0, not {quantity}")
    price = (wallet + other + amount - side * quantity * entry) / (quantity * maintenance_rate - side * quantity)
    return max(0.0, price)


def bracket(tiers: Sequence[MarginTier], notional: float) -> MarginTier:
    """Return the tier that `notional` falls in: the last whose floor lies below it, the first of all for less."""
    found = tiers[0]
    for tier in tiers:
        if float(tier.floor) < notional:
            found = tier
    return found


def isolated_price(wallet: float, side: int, quantity: float, entry: float, tiers: Sequence[MarginTier]) -> float:
    """Return the price at which an isolated position is liquidated, its bracket judged at that very price.

    The bracket of a notional decides the price and the price the notional, so brackets are tried from the one of the
    entry on until one holds its own price; `tiers` are in order of their floors, one at least.
    """
    tier = bracket(tiers, quantity * entry)
    for _ in tiers:
        price = binance_price(wallet, side, quantity, entry, float(tier.maintenance_rate), float(tier.amount))
        found = bracket(tiers, quantity * price)
        if found == tier:
            break
        tier = found
    return price


def maintenance_amounts(tiers: Sequence[MarginTier]) -> list[float]:
    """Return Binance's `cum` of each tier: cum_n = cum_(n-1) + floor_n (MMR_n - MMR_(n-1)), from 0."""
    amounts = [0.0]
    for lower, upper in pairwise(tiers):
        amounts.append(amounts[-1] + float(upper.floor * (upper.maintenance_rate - lower.maintenance_rate)))
    return amounts


def dydx_price(collateral: float, side: int, quantity: float, entry: float, maintenance_frac: float) -> float:
    """Return (S EP - C) / (S - |S| M), the oracle price at which one dYdX v4 position is liquidatable; 0 if none."""
    if quantity <= 0.0:
        raise ValueError(f"a position needs a quantity above 0, not {quantity}")
    signed = side * quantity
    return max(0.0, (signed * entry - collateral) / (signed - quantity * maintenance_frac))
