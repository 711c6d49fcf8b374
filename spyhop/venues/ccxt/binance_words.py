"""Orders in Binance's words and back: what is asked as parameters, bodies of REST as orders and fills of the model.

Prices and quantities are exact decimals made of ticks and lots. Bodies are read leniently, since an order that was
accepted must not be lost over a field that nobody needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from spyhop.clock import NS_PER_MS
from spyhop.errors import VenueRefused
from spyhop.model.accounts import VenueFill, VenueOrder
from spyhop.model.instruments import Instrument
from spyhop.model.orders import Liquidity, OrderStatus, OrderType, SubmitOrder, TimeInForce
from spyhop.model.tape import Side
from spyhop.venues.fees import PriceOf, in_quote
from spyhop.venues.ids import IsOurs

STATUSES = {
    "NEW": OrderStatus.OPEN,
    "PENDING_NEW": OrderStatus.OPEN,
    "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
    "FILLED": OrderStatus.FILLED,
    "PENDING_CANCEL": OrderStatus.CANCEL_PENDING,
    "CANCELED": OrderStatus.CANCELLED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
}
# what a conditional order is while there is no order of the book to ask about
_ALGO_STATUSES = {**STATUSES, "TRIGGERING": OrderStatus.OPEN, "TRIGGERED": OrderStatus.OPEN}

USDM_TYPES = {
    OrderType.MARKET: "MARKET",
    OrderType.LIMIT: "LIMIT",
    OrderType.STOP_MARKET: "STOP_MARKET",
    OrderType.STOP_LIMIT: "STOP",
    OrderType.TAKE_PROFIT_MARKET: "TAKE_PROFIT_MARKET",
    OrderType.TAKE_PROFIT_LIMIT: "TAKE_PROFIT",
    OrderType.TRAILING_STOP: "TRAILING_STOP_MARKET",
}
SPOT_TYPES = {
    OrderType.MARKET: "MARKET",
    OrderType.LIMIT: "LIMIT",
    OrderType.STOP_MARKET: "STOP_LOSS",
    OrderType.STOP_LIMIT: "STOP_LOSS_LIMIT",
    OrderType.TAKE_PROFIT_MARKET: "TAKE_PROFIT",
    OrderType.TAKE_PROFIT_LIMIT: "TAKE_PROFIT_LIMIT",
}
PLAIN = frozenset({OrderType.MARKET, OrderType.LIMIT})
_AT_LIMIT = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT})
_USDM_LASTING = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.POST_ONLY: "GTX"}
_CALLBACK_STEP, _LEAST_CALLBACK, _MOST_CALLBACK = Decimal("0.1"), Decimal("0.1"), Decimal(10)  # percent


def usdm_params(order: SubmitOrder, instrument: Instrument, reference: int = 0) -> dict[str, str]:
    """Return the parameters of /order, or for a conditional order of /algoOrder.

    `reference` (ticks) is what the percentage of a trailing stop without a trigger is taken of. Raise VenueRefused for
    a distance that the venue does not have.
    """
    asked = {
        "symbol": instrument.symbol,
        "side": order.side.name,
        "type": USDM_TYPES[order.type],
        "quantity": text(instrument.quantity(order.lots)),
        "newOrderRespType": "RESULT",
    }
    if order.type in _AT_LIMIT:
        asked["price"] = text(instrument.price(order.price))
        asked["timeInForce"] = _USDM_LASTING[order.time_in_force]
    if order.reduce_only:
        asked["reduceOnly"] = "true"
    if order.type in PLAIN:
        return {**asked, "newClientOrderId": order.client_order_id}
    if order.type is OrderType.TRAILING_STOP:
        asked["callbackRate"] = text(_callback(order, instrument, order.trigger or reference))
        if order.trigger:
            asked["activatePrice"] = text(instrument.price(order.trigger))
    else:
        asked["triggerPrice"] = text(instrument.price(order.trigger))
    return {**asked, "algoType": "CONDITIONAL", "clientAlgoId": order.client_order_id}


def spot_params(order: SubmitOrder, instrument: Instrument) -> dict[str, str]:
    """Return the parameters of spot's /order; raise VenueRefused for what spot does not have."""
    if order.reduce_only and order.side is Side.BUY:
        raise VenueRefused(instrument.key, 400, 0, "spot has no short position that a purchase could reduce")
    is_maker = order.time_in_force is TimeInForce.POST_ONLY
    if is_maker and order.type is not OrderType.LIMIT:
        raise VenueRefused(instrument.key, 400, 0, "only plain limit orders can be post-only on spot")
    asked = {
        "symbol": instrument.symbol,
        "side": order.side.name,
        "type": "LIMIT_MAKER" if is_maker else SPOT_TYPES[order.type],
        "quantity": text(instrument.quantity(order.lots)),
        "newClientOrderId": order.client_order_id,
        "newOrderRespType": "RESULT",
    }
    if order.type in _AT_LIMIT:
        asked["price"] = text(instrument.price(order.price))
        if not is_maker:
            asked["timeInForce"] = "IOC" if order.time_in_force is TimeInForce.IOC else "GTC"
    if order.type not in PLAIN:
        asked["stopPrice"] = text(instrument.price(order.trigger))
    return asked


def order_of(body: Mapping[str, Any], instrument: Instrument, is_ours: IsOurs, client_id: str = "") -> VenueOrder:
    """Return a plain order as `/order` tells it; `client_id`, when given, is the name that it has with us."""
    name = client_id or str(body.get("clientOrderId", ""))
    ts_ms = body.get("updateTime") or body.get("transactTime") or body.get("time") or 0
    return VenueOrder(
        client_order_id=name if client_id or is_ours(name) else "",
        venue_order_id=str(body["orderId"]),
        instrument=instrument.id,
        side=_side(body),
        status=STATUSES[body["status"]],
        lots=instrument.to_lots(number(body.get("origQty"))),
        filled=instrument.to_lots(number(body.get("executedQty"))),
        price=instrument.to_ticks(number(body.get("price"))),
        trigger=instrument.to_ticks(number(body.get("stopPrice"))),
        reduce_only=bool(body.get("reduceOnly", False)),
        ts_venue=int(ts_ms) * NS_PER_MS,
    )


def algo_order_of(body: Mapping[str, Any], instrument: Instrument, is_ours: IsOurs, client_id: str = "") -> VenueOrder:
    """Return a conditional order that waits, or ended without becoming an order, as `/algoOrder` tells it."""
    name = client_id or str(body.get("clientAlgoId", ""))
    return VenueOrder(
        client_order_id=name if client_id or is_ours(name) else "",
        venue_order_id=str(body["algoId"]),
        instrument=instrument.id,
        side=_side(body),
        status=_ALGO_STATUSES.get(body["algoStatus"], OrderStatus.EXPIRED),
        lots=instrument.to_lots(number(body.get("quantity"))),
        filled=0,
        price=instrument.to_ticks(number(body.get("price"))),
        trigger=instrument.to_ticks(number(body.get("triggerPrice")) or number(body.get("activatePrice"))),
        reduce_only=bool(body.get("reduceOnly", False)),
        ts_venue=int(body.get("updateTime") or body.get("createTime") or 0) * NS_PER_MS,
    )


def becomes(body: Mapping[str, Any]) -> str:
    """Return the id of the order that a conditional order has become, "" when it has not."""
    told = str(body.get("actualOrderId") or "")
    return "" if told == "0" else told


def fill_of(body: Mapping[str, Any], instrument: Instrument, client_id: str, price_of: PriceOf) -> VenueFill:
    """Return a fill as `/userTrades` and `/myTrades` tell it; both have their own words for side and maker."""
    is_buy = body["side"] == "BUY" if "side" in body else bool(body["isBuyer"])
    price, lots = instrument.to_ticks(number(body["price"])), instrument.to_lots(number(body["qty"]))
    fee, asset = number(body.get("commission")), body.get("commissionAsset")
    return VenueFill(
        fill_id=str(body["id"]),
        client_order_id=client_id,
        venue_order_id=str(body["orderId"]),
        instrument=instrument.id,
        side=Side.BUY if is_buy else Side.SELL,
        price=price,
        lots=lots,
        liquidity=Liquidity.MAKER if body.get("maker", body.get("isMaker")) else Liquidity.TAKER,
        fee=in_quote(fee, asset, instrument, price, lots, price_of),
        ts_venue=int(body["time"]) * NS_PER_MS,
    )


def text(value: Decimal) -> str:
    """Return a decimal as plain digits, never with an exponent."""
    return f"{value:f}"


def number(told: Any) -> Decimal:
    """Return an amount that the venue tells, 0 where it leaves it out or sends an empty text."""
    try:
        value = Decimal(str(told)) if told is not None and told != "" else Decimal(0)
    except InvalidOperation:
        raise ValueError("an amount that is no number") from None
    if not value.is_finite():
        raise ValueError("an amount that is no number")
    return value


def _side(body: Mapping[str, Any]) -> Side:
    return Side.BUY if body["side"] == "BUY" else Side.SELL


def _callback(order: SubmitOrder, instrument: Instrument, reference: int) -> Decimal:
    """Return the distance of a trailing stop in percent, in the venue's steps of 0.1 and never wider than asked."""
    exact = Decimal(100 * order.callback) / Decimal(max(reference, 1))
    rate = exact // _CALLBACK_STEP * _CALLBACK_STEP
    if not _LEAST_CALLBACK <= rate <= _MOST_CALLBACK:
        said = f"a trailing stop {exact:.3f}% away, the venue has 0.1 to 10%"
        raise VenueRefused(instrument.key, 400, 0, said)
    return rate
