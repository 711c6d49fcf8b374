"""USDT-M orders between the wire and the exchange: parameters to requests, orders to bodies, states to words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from spyhop.clock import NS_PER_MS
from spyhop.model.tape import Side
from spyhop.venuesim.binance.errors import BinanceError, missing
from spyhop.venuesim.binance.grid import Grid, decimal, fixed
from spyhop.venuesim.words import Change, Execution, Lasting, Order, OrderKind, OrderRequest, OrderState

ALGO_BASE = 1_000_000_000_000_000
"""What an algo order's id is above that of the order it becomes."""
KINDS = {
    "LIMIT": OrderKind.LIMIT,
    "MARKET": OrderKind.MARKET,
    "STOP": OrderKind.STOP,
    "STOP_MARKET": OrderKind.STOP_MARKET,
    "TAKE_PROFIT": OrderKind.TAKE_PROFIT,
    "TAKE_PROFIT_MARKET": OrderKind.TAKE_PROFIT_MARKET,
    "TRAILING_STOP_MARKET": OrderKind.TRAILING_STOP_MARKET,
}
TYPES = {kind: name for name, kind in KINDS.items()}
PLAIN = frozenset({OrderKind.LIMIT, OrderKind.MARKET})
AT_LIMIT = frozenset({OrderKind.LIMIT, OrderKind.STOP, OrderKind.TAKE_PROFIT})
LASTING = {
    "GTC": Lasting.GTC,
    "IOC": Lasting.IOC,
    "FOK": Lasting.FOK,
    "GTX": Lasting.POST_ONLY,
    "GTD": Lasting.GTC,
}
_LASTING_NAMES = {Lasting.GTC: "GTC", Lasting.IOC: "IOC", Lasting.FOK: "FOK", Lasting.POST_ONLY: "GTX"}
STATES = {
    OrderState.UNTRIGGERED: "NEW",
    OrderState.NEW: "NEW",
    OrderState.PARTIALLY_FILLED: "PARTIALLY_FILLED",
    OrderState.FILLED: "FILLED",
    OrderState.CANCELED: "CANCELED",
    OrderState.EXPIRED: "EXPIRED",
    OrderState.REJECTED: "REJECTED",
}
EXECUTION_TYPES = {
    Change.NEW: "NEW",
    Change.TRADE: "TRADE",
    Change.CANCELED: "CANCELED",
    Change.EXPIRED: "EXPIRED",
    Change.REJECTED: "REJECTED",
    Change.AMENDED: "AMENDMENT",
    Change.TRIGGERED: "NEW",
    Change.LIQUIDATED: "CALCULATED",
}
_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
_REPEATED = ("workingType", "priceProtect", "goodTillDate", "activatePrice", "selfTradePreventionMode", "positionSide")


def is_algo(order: Order) -> bool:
    """Return whether the order came by algoOrder."""
    return order.request.kind not in PLAIN


def is_waiting(order: Order) -> bool:
    """Return whether it is an algo order that never became an order of the book."""
    return is_algo(order) and not order.triggered


def client_id(params: Mapping[str, str], *names: str) -> str:
    """Return the client's own id, "" when there is none; raise -4015 for one that cannot be."""
    for name in names:
        if text := params.get(name, ""):
            if not _CLIENT_ID.fullmatch(text):
                raise BinanceError(-4015, "Client order id is not valid.")
            return text
    return ""


def side(params: Mapping[str, str]) -> Side:
    """Return which side; raise -1102 or -1117."""
    name = params.get("side", "")
    if not name:
        raise missing("side")
    if name not in ("BUY", "SELL"):
        raise BinanceError(-1117, "Invalid side.")
    return Side.BUY if name == "BUY" else Side.SELL


def truth(params: Mapping[str, str], name: str) -> bool:
    """Return whether a parameter says true."""
    return params.get(name, "").lower() == "true"


def lasting(params: Mapping[str, str], kind: OrderKind) -> tuple[Lasting, int]:
    """Return how long an order lasts, and until when (ns, 0 = for ever); raise -1102, -1115 or -4013."""
    name = params.get("timeInForce", "")
    if not name:
        if kind is OrderKind.LIMIT:
            raise missing("timeInForce")
        return Lasting.GTC, 0
    if name not in LASTING:
        raise BinanceError(-1115, "Invalid timeInForce.")
    if name != "GTD":
        return LASTING[name], 0
    try:
        return Lasting.GTC, int(params["goodTillDate"]) * NS_PER_MS
    except (KeyError, ValueError):
        raise missing("goodTillDate") from None


def request(params: Mapping[str, str], account: str, grid: Grid, made_up_id: str, trigger_name: str) -> OrderRequest:
    """Return what the parameters of an order ask; raise BinanceError for what makes no sense."""
    kind = KINDS.get(params.get("type", ""))
    if kind is None:
        raise missing("type") if not params.get("type") else BinanceError(-1116, "Invalid orderType.")
    if params.get("positionSide", "BOTH") != "BOTH":
        raise BinanceError(-4061, "Order's position side does not match user's setting.")
    closes = truth(params, "closePosition")
    if closes and (params.get("quantity") or kind in AT_LIMIT):
        raise BinanceError(-4137, "Quantity must be zero with closePosition equals true")
    if not closes and not params.get("quantity"):
        raise missing("quantity")
    lots = 0 if closes else grid.lots(params["quantity"])
    if not closes and lots <= 0:
        raise BinanceError(-4003, "Quantity less than or equal to zero.")
    price = 0
    if kind in AT_LIMIT:
        if not params.get("price"):
            raise missing("price")
        price = grid.ticks(params["price"])
        if price <= 0:
            raise BinanceError(-4001, "Price less than 0.")
    trigger, callback = _trigger(params, grid, kind, trigger_name)
    duration, expires = lasting(params, kind)
    return OrderRequest(
        account=account,
        instrument=grid.instrument.id,
        client_id=client_id(params, "newClientOrderId", "clientAlgoId") or made_up_id,
        side=side(params),
        kind=kind,
        lots=lots,
        price=price,
        trigger=trigger,
        trigger_by="mark" if params.get("workingType") == "MARK_PRICE" else "last",
        callback_bps=callback,
        lasting=duration,
        expires=expires,
        reduce_only=truth(params, "reduceOnly"),
        close_position=closes,
        extra={name: params[name] for name in _REPEATED if name in params},
    )


def _trigger(params: Mapping[str, str], grid: Grid, kind: OrderKind, name: str) -> tuple[int, int]:
    if kind in PLAIN:
        return 0, 0
    if kind is not OrderKind.TRAILING_STOP_MARKET:
        text = params.get(name) or params.get("stopPrice", "")
        if not text:
            raise missing(name)
        return grid.ticks(text, name), 0
    rate = decimal(params.get("callbackRate", ""), "callbackRate")
    if not Decimal("0.1") <= rate <= 20:
        raise BinanceError(-2007, "Invalid callBack rate")
    activate = params.get("activatePrice") or params.get("activationPrice", "")
    return grid.ticks(activate, "activatePrice") if activate else 0, int(rate * 100)


def body(order: Order, grid: Grid, skew_ms: int) -> dict[str, Any]:
    """Return an order as `/order` tells it."""
    asked = order.request
    name = TYPES[asked.kind] if not is_algo(order) else becomes(order)
    cost = grid.money(order.tick_lots)
    return {
        "orderId": order.order_id,
        "symbol": grid.instrument.symbol,
        "status": STATES[order.state],
        "clientOrderId": asked.client_id,
        "price": grid.price(order.price),
        "avgPrice": fixed(grid.average(order.tick_lots, order.filled), grid.price.decimals),
        "origQty": grid.qty(order.lots),
        "executedQty": grid.qty(order.filled),
        "cumQty": grid.qty(order.filled),
        "cumQuote": cost,
        "timeInForce": lasting_name(order),
        "type": name,
        "reduceOnly": asked.reduce_only,
        "closePosition": asked.close_position,
        "side": asked.side.name,
        "positionSide": "BOTH",
        "stopPrice": grid.price(asked.trigger),
        "workingType": asked.extra.get("workingType", "CONTRACT_PRICE"),
        "priceProtect": asked.extra.get("priceProtect", "").lower() == "true",
        "origType": name,
        "priceMatch": "NONE",
        "selfTradePreventionMode": asked.extra.get("selfTradePreventionMode", "EXPIRE_MAKER"),
        "goodTillDate": asked.expires // NS_PER_MS,
        "time": order.created // NS_PER_MS + skew_ms,
        "updateTime": order.updated // NS_PER_MS + skew_ms,
    }


def acknowledged(told: dict[str, Any]) -> dict[str, Any]:
    """Return the body as it is before anything was executed, which is what newOrderRespType=ACK gets."""
    zero = {name: _nothing(str(told[name])) for name in ("avgPrice", "executedQty", "cumQty", "cumQuote")}
    return {**told, **zero, "status": "NEW"}


def algo_body(order: Order, grid: Grid, skew_ms: int) -> dict[str, Any]:
    """Return an order as `/algoOrder` tells it; what it became is there once it was triggered."""
    asked = order.request
    told: dict[str, Any] = {
        "algoId": ALGO_BASE + order.order_id,
        "clientAlgoId": asked.client_id,
        "algoType": "CONDITIONAL",
        "orderType": TYPES[asked.kind],
        "symbol": grid.instrument.symbol,
        "side": asked.side.name,
        "positionSide": "BOTH",
        "timeInForce": lasting_name(order),
        "quantity": grid.qty(order.lots),
        "algoStatus": algo_state(order),
        "triggerPrice": grid.price(asked.trigger),
        "price": grid.price(asked.price),
        "icebergQuantity": None,
        "selfTradePreventionMode": asked.extra.get("selfTradePreventionMode", "EXPIRE_MAKER"),
        "workingType": asked.extra.get("workingType", "CONTRACT_PRICE"),
        "priceMatch": "NONE",
        "closePosition": asked.close_position,
        "priceProtect": asked.extra.get("priceProtect", "").lower() == "true",
        "reduceOnly": asked.reduce_only,
        "activatePrice": asked.extra.get("activatePrice", ""),
        "callbackRate": callback_rate(order),
        "createTime": order.created // NS_PER_MS + skew_ms,
        "updateTime": order.updated // NS_PER_MS + skew_ms,
        "triggerTime": order.triggered // NS_PER_MS + skew_ms if order.triggered else 0,
        "goodTillDate": asked.expires // NS_PER_MS,
    }
    if order.triggered:
        told |= {
            "actualOrderId": str(order.order_id),
            "actualPrice": fixed(grid.average(order.tick_lots, order.filled), 5),
            "actualQty": grid.qty(order.filled),
            "actualType": becomes(order),
        }
    return told


def algo_state(order: Order) -> str:
    """Return an algo order's word for where it is."""
    if order.triggered:
        return "TRIGGERED" if order.is_open else "FINISHED"
    return STATES[order.state]


def becomes(order: Order) -> str:
    """Return the type of the order that an algo order turns into."""
    return "LIMIT" if order.request.kind in AT_LIMIT else "MARKET"


def callback_rate(order: Order) -> str:
    """Return a trailing stop's distance in percent, "" for others."""
    return f"{Decimal(order.request.callback_bps) / 100:f}" if order.request.callback_bps else ""


def lasting_name(order: Order) -> str:
    """Return timeInForce."""
    return "GTD" if order.request.expires else _LASTING_NAMES[order.request.lasting]


def trade_body(execution: Execution, grid: Grid, skew_ms: int) -> dict[str, Any]:
    """Return a fill as `/userTrades` tells it."""
    return {
        "symbol": grid.instrument.symbol,
        "id": execution.trade_id,
        "orderId": execution.order_id,
        "side": execution.side.name,
        "price": grid.price(execution.price),
        "qty": grid.qty(execution.lots),
        "realizedPnl": fixed(execution.realized),
        "quoteQty": grid.money(execution.price * execution.lots),
        "commission": fixed(execution.fee),
        "commissionAsset": grid.instrument.quote,
        "time": execution.ts // NS_PER_MS + skew_ms,
        "positionSide": "BOTH",
        "buyer": execution.side is Side.BUY,
        "maker": execution.is_maker,
    }


def _nothing(text: str) -> str:
    _, dot, decimals = text.partition(".")
    return f"0{dot}{'0' * len(decimals)}"
