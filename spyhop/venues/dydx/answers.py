"""What the indexer says of an account, in our words: its orders, fills, positions and money."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from spyhop.model.accounts import VenueBalance, VenueFill, VenueOrder, VenuePosition
from spyhop.model.instruments import Instrument
from spyhop.model.orders import Liquidity, OrderStatus
from spyhop.model.tape import Side
from spyhop.venues.dydx import wire
from spyhop.venues.dydx.numbers import NOT_A_NUMBER, Grid, nanoseconds

ASSET: Final = "USDC"
FIRST_ISOLATED: Final = 128
"""Subaccounts from here on hold one market each, and so its margin apart."""
OPEN: Final = frozenset({"BEST_EFFORT_OPENED", "OPEN", "UNTRIGGERED"})
BEST_EFFORT_CANCELED: Final = "BEST_EFFORT_CANCELED"
CANCELED: Final = "CANCELED"
FILLED: Final = "FILLED"
ALIVE: Final = frozenset({OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED, OrderStatus.CANCEL_PENDING})
LAG_BLOCKS: Final = 2
"""So many blocks after its last one an order is over: replicas of the indexer are not equally far."""
_LIQUIDATED: Final = frozenset({"LIQUIDATED", "DELEVERAGED"})


class Market(msgspec.Struct, frozen=True):
    """One of our instruments at the chain."""

    instrument: Instrument
    clob_pair: int

    @property
    def grid(self) -> Grid:
        """Return its tick and lot."""
        return Grid(self.instrument)


def side_of(text: str) -> Side:
    """Return a side of the indexer's; raise ValueError."""
    if text not in ("BUY", "SELL"):
        raise ValueError("not a side")
    return Side.BUY if text == "BUY" else Side.SELL


def number_of(text: str | None) -> int:
    """Return a whole number that may be left out (0); raise ValueError."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise ValueError(NOT_A_NUMBER)
    return int(text)


def is_forced(fill: wire.Fill) -> bool:
    """Return whether a fill took our position away: the account's side of a liquidation or deleveraging."""
    return fill.type in _LIQUIDATED and not fill.order_id


def order_of(order: wire.Order, market: Market, name: str, status: OrderStatus) -> VenueOrder:
    """Return an order as REST tells it, under our `name` and with the `status` that it has for us; raise ValueError."""
    grid = market.grid
    return VenueOrder(
        client_order_id=name,
        venue_order_id=order.id,
        instrument=market.instrument.id,
        side=side_of(order.side),
        status=status,
        lots=grid.lots(order.size),
        filled=grid.lots(order.total_filled or "0"),
        price=grid.ticks(order.price),
        trigger=grid.ticks(order.trigger_price) if order.trigger_price else 0,
        reduce_only=order.reduce_only,
        ts_venue=nanoseconds(order.updated_at) if order.updated_at else 0,
    )


def judged(order: wire.Order, market: Market, name: str, height: int, *, is_cancelled: bool = False) -> VenueOrder:
    """Return an order as `order_of` does, with the status that the newest block gives it; raise ValueError.

    Of a short-term order's last block the indexer says nothing, and later it calls cancelled what nobody cancelled.
    `is_cancelled` says that we asked for the end.
    """
    status = status_of(order, market.grid.lots(order.total_filled or "0"))
    last = number_of(order.good_til_block)
    if last and status in ALIVE and height >= last + LAG_BLOCKS:
        is_cancel = status is OrderStatus.CANCEL_PENDING
        status = OrderStatus.CANCELLED if is_cancel else OrderStatus.EXPIRED
    elif status is OrderStatus.CANCELLED and 0 < last <= height and order.time_in_force != "IOC" and not is_cancelled:
        status = OrderStatus.EXPIRED
    return order_of(order, market, name, status)


def fill_of(fill: wire.Fill, market: Market, name: str) -> VenueFill:
    """Return a fill under our `name` of its order; raise ValueError."""
    grid = market.grid
    return VenueFill(
        fill_id=fill.id,
        client_order_id=name,
        venue_order_id=fill.order_id or "",
        instrument=market.instrument.id,
        side=side_of(fill.side),
        price=grid.ticks(fill.price),
        lots=grid.lots(fill.size),
        liquidity=Liquidity.MAKER if fill.liquidity == "MAKER" else Liquidity.TAKER,
        fee=float(Decimal(fill.fee)),
        ts_venue=nanoseconds(fill.created_at),
    )


def position_of(position: wire.Position, market: Market, subaccount: int) -> VenuePosition:
    """Return a position; the venue tells neither the price of its liquidation nor a leverage. Raise ValueError."""
    lots = market.grid.lots(position.size.removeprefix("-"))
    return VenuePosition(
        instrument=market.instrument.id,
        lots=lots if position.side == "LONG" else -lots,
        entry=float(Decimal(position.entry_price or "0") / market.instrument.tick_size),
        is_isolated=subaccount >= FIRST_ISOLATED,
    )


def balance_of(subaccount: wire.Subaccount) -> VenueBalance:
    """Return the money of a subaccount without what its open positions have gained, as a wallet; raise ValueError."""
    gained = sum(
        (Decimal(one.unrealized_pnl or "0") for one in subaccount.open_perpetual_positions.values()), Decimal(0)
    )
    return VenueBalance(
        asset=ASSET, total=float(Decimal(subaccount.equity) - gained), free=float(Decimal(subaccount.free_collateral))
    )


def status_of(order: wire.Order, filled: int) -> OrderStatus:
    """Return the status of an order that nothing but the indexer's word is known of.

    An order whose cancellation is only a validator's word may still be filled, so it is not cancelled yet.
    """
    if order.status == FILLED:
        return OrderStatus.FILLED
    if order.status == CANCELED:
        return OrderStatus.CANCELLED
    if order.status == BEST_EFFORT_CANCELED:
        return OrderStatus.CANCEL_PENDING
    if order.status in OPEN:
        return OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.OPEN
    raise ValueError("not a status of an order")
