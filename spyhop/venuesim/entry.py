"""What the simulated exchange will not take: each rule refuses with a code and a reason, and changes nothing."""

from __future__ import annotations

from decimal import Decimal

from spyhop.model.instruments import Instrument
from spyhop.model.tape import Side, Venue
from spyhop.venuesim.accounts import Account, Working
from spyhop.venuesim.matching import Floor
from spyhop.venuesim.triggers import CONDITIONAL, has_passed
from spyhop.venuesim.words import Lasting, Order, OrderKind, OrderRequest, RefusalCode, Refused

MAX_ORDERS = 200
"""Open orders of one account at one instrument, conditional ones counted."""

BAND = {Venue.BINANCE_USDM: Decimal("0.05"), Venue.BINANCE_SPOT: Decimal("0.2")}
"""How far from the mark a limit price may take, as a fraction."""

_PRICED = (OrderKind.LIMIT, OrderKind.STOP, OrderKind.TAKE_PROFIT)


def check_shape(request: OrderRequest, instrument: Instrument, mark: int) -> None:
    """Refuse a price, quantity or trigger that no state of the market would allow."""
    if request.side is Side.NONE:
        raise ValueError("an order needs a side")
    if request.kind in _PRICED:
        check_price(request.side, request.price, instrument, mark)
    if request.kind in CONDITIONAL and request.kind is not OrderKind.TRAILING_STOP_MARKET and request.trigger < 1:
        raise Refused(RefusalCode.BAD_PRICE, "a conditional order needs a trigger")
    if request.kind is OrderKind.TRAILING_STOP_MARKET and request.callback_bps < 1:
        raise Refused(RefusalCode.BAD_PRICE, "a trailing stop needs a distance")
    if not request.close_position:
        reference = request.price or request.trigger or mark
        check_size(request.lots, reference, instrument, is_reducing=request.reduce_only)


def check_price(side: Side, price: int, instrument: Instrument, mark: int) -> None:
    """Refuse a limit price that is none, or that gives away more than the venue's band allows."""
    if price < 1:
        raise Refused(RefusalCode.BAD_PRICE, "a limit order needs a price")
    band = BAND.get(instrument.venue)
    if band is not None and mark > 0 and (price - mark) * side > mark * band:
        raise Refused(RefusalCode.BAD_PRICE, f"{instrument.price(price)} is too far from {instrument.price(mark)}")


def check_size(lots: int, price: int, instrument: Instrument, *, is_reducing: bool) -> None:
    """Refuse a quantity below the smallest, or a notional below it unless the order only reduces."""
    if lots < 1 or instrument.quantity(lots) < instrument.min_qty:
        raise Refused(RefusalCode.BAD_QTY, f"{instrument.quantity(lots)} is below {instrument.min_qty}")
    notional = price * instrument.tick_size * instrument.quantity(lots) * instrument.multiplier
    if price > 0 and not is_reducing and notional < instrument.min_notional:
        raise Refused(RefusalCode.MIN_NOTIONAL, f"{notional} is below {instrument.min_notional}")


def check_market(request: OrderRequest, floor: Floor) -> None:
    """Refuse what the book of this moment does not allow."""
    side, account = request.side, request.account
    if request.kind is OrderKind.MARKET and floor.fillable(side, 0, 1, account) == 0:
        raise Refused(RefusalCode.NO_COUNTERPARTY, "the book is empty")
    if request.kind is not OrderKind.LIMIT:
        return
    if request.lasting is Lasting.POST_ONLY and floor.would_take(side, request.price):
        raise Refused(RefusalCode.WOULD_TAKE, "a post-only order would trade at once")
    if request.lasting is Lasting.FOK and floor.fillable(side, request.price, request.lots, account) < request.lots:
        raise Refused(RefusalCode.NOT_FILLABLE, "a fill-or-kill order cannot be filled in full")


def check_trigger(request: OrderRequest, price: int) -> None:
    """Refuse a conditional order that would fire at once; `price` is what it watches."""
    if request.kind in CONDITIONAL and has_passed(request, price):
        raise Refused(RefusalCode.WOULD_TRIGGER, "the trigger has passed already")


def check_triggered(order: Order, price: int, account: Account, floor: Floor) -> None:
    """Refuse what a conditional order (still untriggered) may not do when it fires at `price` ticks."""
    request = order.request
    if not (request.reduce_only or request.close_position):
        check_margin(request, order.lots, order.lots * (order.price or price), account)
    is_passive = request.lasting is Lasting.POST_ONLY and order.price > 0
    if is_passive and floor.would_take(request.side, order.price):
        raise Refused(RefusalCode.WOULD_TAKE, "a post-only order would trade at once")


def check_margin(request: OrderRequest, lots: int, cost: int, account: Account) -> None:
    """Refuse what the account cannot pay for: `lots` more in the book, `cost` more of lots x ticks.

    What asks for no more margin than there is now always passes.
    """
    instrument = account.instruments[request.instrument]
    if request.side is Side.BUY:
        extra = Working(buy_lots=lots, buy_cost=cost)
    else:
        extra = Working(sell_lots=lots, sell_cost=cost)
    asset = instrument.base if account.is_spot and request.side is Side.SELL else instrument.quote
    before, after = account.available(asset), account.available(asset, {instrument.id: extra})
    if after < 0 and after < before:
        raise Refused(RefusalCode.MARGIN, f"{before} {asset} is not enough")
