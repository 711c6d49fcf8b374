"""What the simulated venue will not have: each rule says why in one sentence."""

from __future__ import annotations

from typing import Any

from spyhop.model.instruments import Instrument
from spyhop.model.orders import OrderType, SubmitOrder, TimeInForce
from spyhop.model.tape import Side
from spyhop.simulation import pit


def objection(order: SubmitOrder, instrument: Instrument, p: Any, held: int) -> str:
    """Return why the venue rejects `order` now, "" if it does not; `p` is a PIT, `held` our signed lots."""
    if order.side is Side.NONE or order.lots < 1:
        return f"an order needs a side and a quantity, not {order.lots} lots"
    if order.reduce_only and held * order.side >= 0:
        return "a reduce-only order needs a position to reduce"
    return _of_prices(order, p) or _of_size(order, instrument, p)


def _of_prices(order: SubmitOrder, p: Any) -> str:
    if order.type is OrderType.LIMIT:
        if order.price <= 0:
            return "a limit order needs a price"
        bid, ask = pit.touch(p)
        touch = ask if order.side is Side.BUY else bid
        if order.time_in_force is TimeInForce.POST_ONLY and touch > 0 and (order.price - touch) * order.side >= 0:
            return f"a post-only order at {order.price} would cross {touch}"
    if order.type in (OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET) and order.trigger <= 0:
        return "a conditional order needs a trigger"
    return ""


def _of_size(order: SubmitOrder, instrument: Instrument, p: Any) -> str:
    if order.reduce_only:
        return ""
    quantity = instrument.quantity(order.lots)
    if quantity < instrument.min_qty:
        return f"quantity {quantity} is below {instrument.min_qty}"
    bid, ask = pit.touch(p)
    price = order.price or order.trigger or (ask if order.side is Side.BUY else bid) or int(p["last"])
    notional = instrument.notional(float(price), order.lots)
    if price > 0 and notional < float(instrument.min_notional):
        return f"notional {notional:.8g} is below {instrument.min_notional}"
    return ""
