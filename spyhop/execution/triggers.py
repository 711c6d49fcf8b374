"""When an order that waits for a price fires: the rules of a simulated venue, and of Binance's trailing stop.

A stop that buys and a take profit that sells fire at or above their trigger, the others at or below theirs. A trailing
stop follows the best price since it began (at once, or when its `trigger` is reached) and fires when the price has come
back by `callback` ticks.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.model.orders import OrderType, SubmitOrder
from spyhop.model.tape import Side

FIRED_AS = {
    OrderType.STOP_MARKET: OrderType.MARKET,
    OrderType.TAKE_PROFIT_MARKET: OrderType.MARKET,
    OrderType.TRAILING_STOP: OrderType.MARKET,
    OrderType.STOP_LIMIT: OrderType.LIMIT,
    OrderType.TAKE_PROFIT_LIMIT: OrderType.LIMIT,
}
"""What an order of each kind that waits becomes."""

_NOTHING = -(1 << 62)
_STOPS = (OrderType.STOP_MARKET, OrderType.STOP_LIMIT)

Prices = npt.NDArray[np.int64]


class Armed(msgspec.Struct):
    """An order that waits. `best` is the best price (ticks) that a trailing stop has seen since it began, 0 before."""

    order: SubmitOrder
    best: int = 0


def objection(order: SubmitOrder) -> str:
    """Return why an order cannot be armed, "" if it can."""
    if order.type not in FIRED_AS:
        return f"a {order.type} order waits for no price and cannot be emulated"
    if order.type is OrderType.TRAILING_STOP:
        return "" if order.callback > 0 else "a trailing stop needs a callback"
    if order.trigger <= 0:
        return "a conditional order needs a trigger"
    if FIRED_AS[order.type] is OrderType.LIMIT and order.price <= 0:
        return "a limit order needs a price"
    return ""


def fired(order: SubmitOrder, ts: int) -> SubmitOrder:
    """Return what is sent, under the same client order id, when an order fires at `ts`."""
    return msgspec.structs.replace(order, ts=ts, type=FIRED_AS[order.type], trigger=0, callback=0)


def first_firing(armed: Armed, prices: Prices) -> int:
    """Return the index of the first of `prices` (ticks, in order of time) that fires `armed`, -1 if none does."""
    order = armed.order
    if order.type is OrderType.TRAILING_STOP:
        fires = _come_back(armed, prices) >= order.callback
    elif (order.type in _STOPS) == (order.side is Side.BUY):
        fires = prices >= order.trigger
    else:
        fires = prices <= order.trigger
    return int(np.argmax(fires)) if fires.any() else -1


def follow(armed: Armed, prices: Prices) -> None:
    """Let a trailing stop that `prices` did not fire take the best of them."""
    if armed.order.type is not OrderType.TRAILING_STOP:
        return
    came_back = _come_back(armed, prices)
    if len(prices) and came_back[-1] >= 0:
        armed.best = int(prices[-1] - armed.order.side * came_back[-1])


def _come_back(armed: Armed, prices: Prices) -> Prices:
    """Return how far each price is from the best before it, in ticks; -1 while the stop has not begun."""
    side, trigger = int(armed.order.side), armed.order.trigger
    # seen from a stop that sells: higher is better
    heights = -side * prices.astype(np.int64)
    has_begun = np.ones(len(prices), bool)
    if armed.best == 0 and trigger > 0:
        has_begun = np.maximum.accumulate(heights >= -side * trigger)
    seen = np.where(has_begun, heights, _NOTHING)
    before = -side * armed.best if armed.best else _NOTHING
    best = np.maximum(np.maximum.accumulate(seen), before)
    return np.where(has_begun, best - heights, -1)
