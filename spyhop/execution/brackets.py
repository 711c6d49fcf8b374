"""The exits of a bracket: what is sent for each part of an entry that was filled, the one cancels the others."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec

from spyhop.execution.pyramids import PyramidParams
from spyhop.execution.trips import ExitPrices, Trip
from spyhop.model.orders import OrderType, Purpose

MarketOrLimit = Literal["market", "limit"]


class BracketParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which kinds the exits are."""

    stop_type: MarketOrLimit = "market"
    """A limit stop gives no more than `stop_offset_ticks` away, and may stay open where the price jumps over it."""
    stop_offset_ticks: Annotated[int, msgspec.Meta(ge=0)] = 10
    """How much worse than its trigger the price of a limit stop may be."""
    take_profit_type: MarketOrLimit = "market"
    """A limit take profit triggers at its price and rests there."""
    trailing_frac: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    """How far the price may come back from its best, of the entry price, until a trailing stop fires; 0: none.

    It stands beside the stop, so that no more can be lost than was approved.
    """
    pyramid: PyramidParams = PyramidParams()
    """When winners are added to, and where parts of them are taken off."""


def exits(params: BracketParams, trip: Trip) -> list[tuple[OrderType, Purpose, ExitPrices]]:
    """Return kind, purpose and prices of each exit of `trip`, which holds something."""
    profit, stop_ = profit_at(params, trip.approved.intent.take_profit), stop(params, trip)
    all_exits = [(profit[0], Purpose.TAKE_PROFIT, profit[1]), (stop_[0], Purpose.STOP_LOSS, stop_[1])]
    if params.trailing_frac > 0.0:
        callback = max(1, round(trip.entry.average * params.trailing_frac))
        all_exits.append((OrderType.TRAILING_STOP, Purpose.STOP_LOSS, ExitPrices(callback=callback)))
    return all_exits


def stop(params: BracketParams, trip: Trip) -> tuple[OrderType, ExitPrices]:
    """Return kind and prices of the stop of all that `trip` holds."""
    at = trip.stop_at
    if params.stop_type == "limit":
        # a buy-back below one tick cannot be, a sale neither
        return OrderType.STOP_LIMIT, ExitPrices(max(1, at - trip.side * params.stop_offset_ticks), at)
    return OrderType.STOP_MARKET, ExitPrices(trigger=at)


def profit_at(params: BracketParams, price: int) -> tuple[OrderType, ExitPrices]:
    """Return kind and prices of an exit that takes profit at `price` ticks."""
    if params.take_profit_type == "limit":
        return OrderType.TAKE_PROFIT_LIMIT, ExitPrices(price, price)
    return OrderType.TAKE_PROFIT_MARKET, ExitPrices(trigger=price)


def cuts(params: BracketParams, trip: Trip, lots: int) -> list[tuple[OrderType, int, ExitPrices]]:
    """Return kind, lots and prices of what takes parts of `lots` off the first entry, at multiples of its R.

    R is the distance from what was paid to the first stop. Adds are left whole, and so is what is below a lot.
    """
    side, paid = trip.side, trip.entry.average
    unit = (paid - trip.approved.intent.stop) * side
    pyramid, found = params.pyramid, []
    if trip.adds or unit <= 0.0:
        return []
    for level, frac in zip(pyramid.cut_levels_r, pyramid.cut_fracs, strict=True):
        part, away = math.floor(frac * lots + 1e-9), math.ceil(level * unit - 1e-9)
        price = round(paid + side * away)
        if part > 0 and price > 0:
            kind, at = profit_at(params, price)
            found.append((kind, part, at))
    return found
