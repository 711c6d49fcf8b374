"""The exits of a bracket: what is sent for each part of an entry that was filled, the one cancels the others."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

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


def exits(params: BracketParams, trip: Trip) -> list[tuple[OrderType, Purpose, ExitPrices]]:
    """Return kind, purpose and prices of each exit of `trip`, which holds something."""
    intent, side = trip.approved.intent, trip.side
    if params.take_profit_type == "limit":
        profit = (OrderType.TAKE_PROFIT_LIMIT, ExitPrices(intent.take_profit, intent.take_profit))
    else:
        profit = (OrderType.TAKE_PROFIT_MARKET, ExitPrices(trigger=intent.take_profit))
    if params.stop_type == "limit":
        # a buy-back below one tick cannot be, a sale neither
        worst = max(1, intent.stop - side * params.stop_offset_ticks)
        stop = (OrderType.STOP_LIMIT, ExitPrices(worst, intent.stop))
    else:
        stop = (OrderType.STOP_MARKET, ExitPrices(trigger=intent.stop))
    all_exits = [(profit[0], Purpose.TAKE_PROFIT, profit[1]), (stop[0], Purpose.STOP_LOSS, stop[1])]
    if params.trailing_frac > 0.0:
        callback = max(1, round(trip.entry.average * params.trailing_frac))
        all_exits.append((OrderType.TRAILING_STOP, Purpose.STOP_LOSS, ExitPrices(callback=callback)))
    return all_exits
