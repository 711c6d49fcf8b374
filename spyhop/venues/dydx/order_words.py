"""Orders in the words of our subclass of ccxt's class, and how long they live."""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from spyhop.errors import VenueRefused
from spyhop.model.orders import OrderType, SubmitOrder, TimeInForce
from spyhop.model.tape import Side
from spyhop.venues.dydx.answers import Market
from spyhop.venues.dydx.placements import CONDITIONAL, LONG_TERM, SHORT_BLOCK_WINDOW, SHORT_TERM

KINDS: Final = frozenset(OrderType) - {OrderType.TRAILING_STOP}
"""What the venue has. Reduce-only it takes with orders alone that never rest: market orders and their triggers."""
_STOPS: Final = frozenset({OrderType.STOP_MARKET, OrderType.STOP_LIMIT})
_MARKETS: Final = frozenset({OrderType.MARKET, OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET})

Blocks = Annotated[int, msgspec.Meta(ge=1, le=SHORT_BLOCK_WINDOW)]
Fraction = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class DydxTraderParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long orders live at dYdX, and how far from its reference a market order may be filled."""

    taker_blocks: Blocks = 10
    """For market and immediate-or-cancel orders; so long nobody can say that nothing comes of them any more."""
    maker_blocks: Blocks = 20
    gtc_blocks: Annotated[int, msgspec.Meta(ge=0, le=SHORT_BLOCK_WINDOW)] = 0
    """For resting limit orders; 0 makes them long-term ones, of which the chain takes 2 a block and 20 in 100."""
    stateful_days: Annotated[float, msgspec.Meta(gt=0, lt=95)] = 30.0
    max_slippage_frac: Fraction = 0.02
    """A market order's worst price is so far from the reference, or else the oracle price."""
    stop_slippage_frac: Fraction = 0.1
    """A triggered market order's worst price is so far from its trigger."""


class Words(NamedTuple):
    """An order to ccxt: its kind, its parameters; the chain's flags and, of a short-term one, the last block."""

    kind: str
    flags: int
    good_til_block: int
    params: dict[str, Any]


def words(order: SubmitOrder, market: Market, height: int, params: DydxTraderParams) -> Words:
    """Return an order that is placed after the block of `height`; raise VenueRefused for a type that is not there."""
    if order.type not in KINDS:
        raise VenueRefused("dydx", 0, 0, f"the venue has no {order.type} orders")
    kind = "market" if order.type in _MARKETS else "limit"
    if order.trigger:
        return Words(kind, CONDITIONAL, 0, _stateful(params) | _condition(order, market))
    if kind == "market" or order.time_in_force is TimeInForce.IOC:
        return _short_term(kind, "IOC", height + params.taker_blocks)
    if order.time_in_force is TimeInForce.POST_ONLY:
        return _short_term(kind, "PO", height + params.maker_blocks)
    if params.gtc_blocks:
        return _short_term(kind, "GTB", height + params.gtc_blocks)
    return Words(kind, LONG_TERM, 0, _stateful(params))


def anchor(order: SubmitOrder) -> float:
    """Return what the worst price is counted from, in ticks: a trigger, or the order's own price; 0.0 for neither."""
    return float(order.trigger if order.type in _MARKETS else order.price)


def worst(order: SubmitOrder, anchor: float, params: DydxTraderParams) -> int:
    """Return the worst price (ticks) that an order takes, counted from `anchor`; the chain has none without."""
    if order.type not in _MARKETS:
        return order.price
    frac = params.max_slippage_frac if order.type is OrderType.MARKET else params.stop_slippage_frac
    if order.side is Side.BUY:
        return max(math.floor(anchor * (1.0 + frac)), 1)
    return max(math.ceil(anchor * (1.0 - frac)), 1)


def _short_term(kind: str, time_in_force: str, block: int) -> Words:
    return Words(kind, SHORT_TERM, block, {"timeInForce": time_in_force, "goodTillBlock": block})


def _stateful(params: DydxTraderParams) -> dict[str, Any]:
    return {"goodTillBlockTimeInSeconds": round(params.stateful_days * 86_400)}


def _condition(order: SubmitOrder, market: Market) -> dict[str, Any]:
    trigger = "stopLossPrice" if order.type in _STOPS else "takeProfitPrice"
    found: dict[str, Any] = {trigger: format(market.instrument.price(order.trigger), "f")}
    if order.time_in_force is TimeInForce.POST_ONLY:
        found["postOnly"] = True
    elif order.time_in_force is TimeInForce.IOC:
        found["timeInForce"] = "IOC"
    return found
