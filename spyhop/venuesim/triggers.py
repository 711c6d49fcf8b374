"""When conditional orders fire: stops, take-profits and trailing stops against the last price or the mark."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from spyhop.model.tape import Side
from spyhop.venuesim.words import Order, OrderKind, OrderRequest

CONDITIONAL = frozenset(OrderKind) - {OrderKind.LIMIT, OrderKind.MARKET}
_STOPS = (OrderKind.STOP, OrderKind.STOP_MARKET)


def watches_mark(request: OrderRequest) -> bool:
    """Return whether an order watches the mark (at dYdX the oracle price, which stands in the mark's place)."""
    return request.trigger_by in ("mark", "oracle")


def fires_upwards(request: OrderRequest) -> bool:
    """Return whether the trigger fires at or above its price: stops that buy, profits that sell."""
    return (request.kind in _STOPS) == (request.side is Side.BUY)


def has_passed(request: OrderRequest, price: int) -> bool:
    """Return whether `price` (ticks) lies at or beyond the trigger; never for a trailing stop or without a price."""
    if price <= 0 or request.kind is OrderKind.TRAILING_STOP_MARKET:
        return False
    return (price - request.trigger) * (1 if fires_upwards(request) else -1) >= 0


class Trail(msgspec.Struct):
    """The best price since a trailing stop was activated (0 = not yet), and where it fires."""

    extreme: int = 0
    fires_at: int = 0


def trailed(trail: Trail, request: OrderRequest, price: int) -> bool:
    """Let a trailing stop see `price`; return whether it fires.

    One that sells follows the highest price and fires `callback_bps` below it; one that buys is its mirror. It
    is activated when the price reaches `trigger` (0: at once).
    """
    side = request.side
    if trail.extreme == 0:
        if request.trigger > 0 and (price - request.trigger) * side > 0:
            return False
        trail.extreme = price
    elif (price - trail.extreme) * side < 0:
        trail.extreme = price
    distance = trail.extreme * request.callback_bps / 10_000
    trail.fires_at = math.floor(trail.extreme - distance) if side is Side.SELL else math.ceil(trail.extreme + distance)
    return (price - trail.fires_at) * side >= 0


def bounds(waiting: Iterable[Order], trails: dict[int, Trail], *, by_mark: bool) -> tuple[int, int]:
    """Return the prices (up, down) at or beyond which one of the orders must be looked at, 0 = none."""
    ups: list[int] = []
    downs: list[int] = []
    for order in waiting:
        request = order.request
        if watches_mark(request) != by_mark:
            continue
        if request.kind is not OrderKind.TRAILING_STOP_MARKET:
            (ups if fires_upwards(request) else downs).append(request.trigger)
            continue
        trail = trails[order.order_id]
        falls = request.side is Side.SELL
        if trail.extreme == 0:
            (ups if falls else downs).append(request.trigger)
        else:
            ups.append(trail.extreme + 1 if falls else trail.fires_at)
            downs.append(trail.fires_at if falls else trail.extreme - 1)
    return min(ups, default=0), max(downs, default=0)
