"""What the simulated venue remembers about us: orders and positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from spyhop.ledger.liquidation import isolated_price
from spyhop.ledger.positions import Position, filled
from spyhop.model.instruments import Instrument, MarginTier
from spyhop.model.orders import OrderType, SubmitOrder
from spyhop.model.tape import Side
from spyhop.simulation.pit import MAX_WATCHED
from spyhop.simulation.resting import Place


class LiveOrder(msgspec.Struct):
    """An order that the venue has: what is left of it and, when it rests, its place in the queue.

    `reference` is the price (ticks, 0 unknown) that its slippage is told against.
    """

    order: SubmitOrder
    left: int
    reference: float
    num_fills: int = 0
    place: Place | None = None
    is_triggered: bool = False

    @property
    def is_waiting(self) -> bool:
        """Return whether it waits for its trigger."""
        return self.order.trigger > 0 and not self.is_triggered

    @property
    def fires_upwards(self) -> bool:
        """Return whether its trigger fires at or above its price: stops that buy, profits that sell."""
        return (self.order.type is OrderType.STOP_MARKET) == (self.order.side is Side.BUY)


class Holding(msgspec.Struct):
    """A position with its isolated margin (quote currency; funding is paid out of it)."""

    position: Position = Position()
    margin: float = 0.0
    since: int = 0


class VenueState(msgspec.Struct):
    """Everything of the venue but its pits and wire; dictionaries keep the order in which orders came."""

    live: dict[str, LiveOrder] = {}
    holdings: dict[int, Holding] = {}
    counts: dict[str, int] = {}


def holding_after(
    holding: Holding, instrument: Instrument, order: SubmitOrder, ts: int, price: int, lots: int, leverage: float
) -> Holding:
    """Return the holding after a fill; what it adds has a margin at `leverage`, what it closes frees its share."""
    before, after = holding.position, filled(holding.position, instrument, order.side, price, lots)
    kept = min(abs(after.lots), abs(before.lots)) if after.lots * before.lots > 0 else 0
    margin = holding.margin * kept / abs(before.lots) if before.lots else 0.0
    margin += instrument.notional(price, abs(after.lots) - kept) / max(leverage, 1.0)
    return Holding(after, margin, holding.since if kept else ts)


def liquidation_ticks(instrument: Instrument, holding: Holding, default_maintenance_frac: float) -> float:
    """Return the mark (ticks) at which `holding` is liquidated, 0 when there is none (methods 8.4, isolated).

    Inverse contracts are judged in base currency without maintenance amounts.
    """
    position = holding.position
    side, lots = int(position.side), abs(position.lots)
    if lots == 0:
        return 0.0
    tiers = instrument.margin_tiers or (
        MarginTier(floor=Decimal(0), maintenance_rate=Decimal(str(default_maintenance_frac)), max_leverage=Decimal(1)),
    )
    if not instrument.is_inverse:
        entry = position.average * instrument.tick
        return isolated_price(holding.margin, side, lots * instrument.lot, entry, tiers) / instrument.tick
    contracts = instrument.notional(0.0, lots)
    wallet = holding.margin / position.average
    bottom = wallet + side * contracts / position.average
    return max(0.0, contracts * (side + float(tiers[0].maintenance_rate)) / bottom) if bottom * side > 0.0 else 0.0


def watch(p: Any, live: Sequence[LiveOrder], held: int, limit: float, *, by_mark: bool, by_depth: bool) -> None:
    """Tell the loop over the PIT `p` what to stop for: orders alive, signed lots held, liquidation price `limit`."""
    resting_at = [o.order.price * o.order.side for o in live if o.place is not None]
    bids = [key for key in resting_at if key > 0]
    asks = [-key for key in resting_at if key < 0]
    ups = [o.order.trigger for o in live if o.is_waiting and o.fires_upwards]
    downs = [o.order.trigger for o in live if o.is_waiting and not o.fires_upwards]
    mark_up, mark_down = (ups, downs) if by_mark else ([], [])
    if limit > 0.0 and held < 0:
        mark_up = [*mark_up, math.ceil(limit)]
    elif limit > 0.0 and held > 0:
        mark_down = [*mark_down, math.floor(limit)]
    p["rest_bid"], p["rest_ask"] = max(bids, default=0), min(asks, default=0)
    p["last_up"] = 0 if by_mark else min(ups, default=0)
    p["last_down"] = 0 if by_mark else max(downs, default=0)
    p["mark_up"], p["mark_down"] = min(mark_up, default=0), max(mark_down, default=0)
    p["has_position"] = int(held != 0)
    watched = resting_at[:MAX_WATCHED] if by_depth else []
    p["num_watched"] = len(watched)
    p["watched"][: len(watched)] = watched
