"""Spot orders between the wire and the exchange: parameters to requests, orders to bodies and execution reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from spyhop.clock import NS_PER_MS
from spyhop.model.tape import Side
from spyhop.venuesim.binance import order_words
from spyhop.venuesim.binance.errors import BinanceError, missing
from spyhop.venuesim.binance.grid import Grid, decimal, fixed
from spyhop.venuesim.words import Change, Execution, Lasting, Order, OrderKind, OrderRequest

KINDS = {
    "LIMIT": OrderKind.LIMIT,
    "LIMIT_MAKER": OrderKind.LIMIT,
    "MARKET": OrderKind.MARKET,
    "STOP_LOSS": OrderKind.STOP_MARKET,
    "STOP_LOSS_LIMIT": OrderKind.STOP,
    "TAKE_PROFIT": OrderKind.TAKE_PROFIT_MARKET,
    "TAKE_PROFIT_LIMIT": OrderKind.TAKE_PROFIT,
}
_LASTING = {"GTC": Lasting.GTC, "IOC": Lasting.IOC, "FOK": Lasting.FOK}
_REPORTS = {**order_words.EXECUTION_TYPES, Change.AMENDED: "REPLACED"}


def request(params: Mapping[str, str], account: str, grid: Grid, made_up_id: str, ask: int) -> OrderRequest:
    """Return what the parameters ask; `ask` is the best ask in ticks, by which quoteOrderQty becomes a quantity."""
    name = params.get("type", "")
    kind = KINDS.get(name)
    if kind is None:
        raise missing("type") if not name else BinanceError(-1116, "Invalid orderType.")
    lasting = Lasting.POST_ONLY if name == "LIMIT_MAKER" else Lasting.GTC
    if kind in order_words.AT_LIMIT and name != "LIMIT_MAKER":
        told = params.get("timeInForce", "")
        if not told:
            raise missing("timeInForce")
        if told not in _LASTING:
            raise BinanceError(-1115, "Invalid timeInForce.")
        lasting = _LASTING[told]
    if params.get("quantity"):
        lots = grid.lots(params["quantity"])
    elif params.get("quoteOrderQty") and kind is OrderKind.MARKET and ask > 0:
        cost = grid.instrument.price(ask) * grid.instrument.lot_size
        lots = int(decimal(params["quoteOrderQty"], "quoteOrderQty") / cost)
    else:
        raise missing("quantity")
    if lots <= 0:
        raise BinanceError(-1013, "Filter failure: LOT_SIZE")
    price = 0
    if kind in order_words.AT_LIMIT:
        if not params.get("price"):
            raise missing("price")
        price = grid.ticks(params["price"])
    trigger = 0
    if kind not in order_words.PLAIN:
        if not params.get("stopPrice"):
            raise missing("stopPrice")
        trigger = grid.ticks(params["stopPrice"], "stopPrice")
    return OrderRequest(
        account=account,
        instrument=grid.instrument.id,
        client_id=order_words.client_id(params, "newClientOrderId") or made_up_id,
        side=order_words.side(params),
        kind=kind,
        lots=lots,
        price=price,
        trigger=trigger,
        lasting=lasting,
        extra={"type": name},
    )


def body(order: Order, grid: Grid, skew_ms: int) -> dict[str, Any]:
    """Return an order as queries tell it."""
    asked = order.request
    return {
        "symbol": grid.instrument.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": asked.client_id,
        "price": grid.price(order.price),
        "origQty": grid.qty(order.lots),
        "executedQty": grid.qty(order.filled),
        "cummulativeQuoteQty": grid.money(order.tick_lots),
        "status": order_words.STATES[order.state],
        "timeInForce": _lasting_name(order),
        "type": asked.extra["type"],
        "side": asked.side.name,
        "stopPrice": grid.price(asked.trigger),
        "icebergQty": grid.qty(0),
        "time": order.created // NS_PER_MS + skew_ms,
        "updateTime": order.updated // NS_PER_MS + skew_ms,
        "isWorking": not order_words.is_waiting(order),
        "workingTime": -1
        if order_words.is_waiting(order)
        else (order.triggered or order.created) // NS_PER_MS + skew_ms,
        "origQuoteOrderQty": fixed(Decimal(0)),
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }


def reply(order: Order, grid: Grid, fills: Sequence[Execution], skew_ms: int, form: str) -> dict[str, Any]:
    """Return an order as it is told to who has just sent it: ACK, RESULT or FULL with its fills."""
    whole = body(order, grid, skew_ms)
    told = {name: whole[name] for name in ("symbol", "orderId", "orderListId", "clientOrderId")}
    told["transactTime"] = whole["updateTime"]
    if form == "ACK":
        return told
    names = ("price", "origQty", "executedQty", "origQuoteOrderQty", "cummulativeQuoteQty", "status", "timeInForce")
    told |= {name: whole[name] for name in (*names, "type", "side", "workingTime", "selfTradePreventionMode")}
    if form == "FULL":
        told["fills"] = [
            {
                "price": grid.price(fill.price),
                "qty": grid.qty(fill.lots),
                "commission": fixed(fill.fee),
                "commissionAsset": fee_asset(fill, grid),
                "tradeId": fill.trade_id,
            }
            for fill in fills
        ]
    return told


def canceled(order: Order, grid: Grid, skew_ms: int, cancel_id: str) -> dict[str, Any]:
    """Return an order as it is told to who has just taken it back."""
    whole = body(order, grid, skew_ms)
    names = ("price", "origQty", "executedQty", "origQuoteOrderQty", "cummulativeQuoteQty", "status", "timeInForce")
    return {
        "symbol": whole["symbol"],
        "origClientOrderId": whole["clientOrderId"],
        "orderId": whole["orderId"],
        "orderListId": -1,
        "clientOrderId": cancel_id,
        "transactTime": whole["updateTime"],
        **{name: whole[name] for name in (*names, "type", "side", "selfTradePreventionMode")},
    }


def trade_body(fill: Execution, grid: Grid, skew_ms: int) -> dict[str, Any]:
    """Return a fill as myTrades tells it."""
    return {
        "symbol": grid.instrument.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "orderListId": -1,
        "price": grid.price(fill.price),
        "qty": grid.qty(fill.lots),
        "quoteQty": grid.money(fill.price * fill.lots),
        "commission": fixed(fill.fee),
        "commissionAsset": fee_asset(fill, grid),
        "time": fill.ts // NS_PER_MS + skew_ms,
        "isBuyer": fill.side is Side.BUY,
        "isMaker": fill.is_maker,
        "isBestMatch": True,
    }


def report(
    order: Order, change: Change, fill: Execution | None, grid: Grid, now_ms: int, number: int
) -> dict[str, Any]:
    """Return the executionReport of a change; `number` counts them."""
    asked, zero = order.request, grid.qty(0)
    told: dict[str, Any] = {
        "e": "executionReport",
        "E": now_ms,
        "s": grid.instrument.symbol,
        "c": asked.client_id,
        "S": asked.side.name,
        "o": asked.extra["type"],
        "f": _lasting_name(order),
        "q": grid.qty(order.lots),
        "p": grid.price(order.price),
        "P": grid.price(asked.trigger),
        "F": zero,
        "g": -1,
        "C": asked.client_id if change is Change.CANCELED else "",
        "x": _REPORTS[change],
        "X": order_words.STATES[order.state],
        "r": order.reason or "NONE",
        "i": order.order_id,
        "l": grid.qty(fill.lots) if fill else zero,
        "z": grid.qty(order.filled),
        "L": grid.price(fill.price) if fill else zero,
        "n": fixed(fill.fee) if fill else "0",
        "N": fee_asset(fill, grid) if fill else None,
        "T": now_ms,
        "t": fill.trade_id if fill else -1,
        "I": number,
        "w": order.is_open and not order_words.is_waiting(order),
        "m": fill.is_maker if fill else False,
        "M": fill is not None,
        "O": order.created // NS_PER_MS,
        "Z": grid.money(order.tick_lots),
        "Y": grid.money(fill.price * fill.lots) if fill else zero,
        "Q": zero,
        "V": "EXPIRE_MAKER",
    }
    if not order_words.is_waiting(order):
        told["W"] = (order.triggered or order.created) // NS_PER_MS
    return told


def fee_asset(fill: Execution, grid: Grid) -> str:
    """Return what a spot fee is paid in: what was bought."""
    return grid.instrument.base if fill.side is Side.BUY else grid.instrument.quote


def _lasting_name(order: Order) -> str:
    return "GTC" if order.request.lasting is Lasting.POST_ONLY else order_words.lasting_name(order)
