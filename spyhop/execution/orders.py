"""The life of an order as a table, and an order that cannot leave it."""

from __future__ import annotations

import msgspec

from spyhop.errors import IllegalTransition, StateError
from spyhop.model.orders import OrderStatus, OrderType, SubmitOrder

_S = OrderStatus

_WORKING = frozenset({_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCEL_PENDING, _S.CANCELLED, _S.EXPIRED})

NEXT: dict[OrderStatus, frozenset[OrderStatus]] = {
    _S.PENDING_NEW: _WORKING | {_S.SENT, _S.UNKNOWN, _S.OPEN, _S.REJECTED},
    _S.SENT: _WORKING | {_S.UNKNOWN, _S.OPEN, _S.REJECTED},
    # the venue is asked; it may know the order in any state, or not at all
    _S.UNKNOWN: _WORKING | {_S.OPEN, _S.REJECTED},
    _S.OPEN: _WORKING,
    _S.PARTIALLY_FILLED: _WORKING,
    # the cancellation may cross anything on its way; a part that fills meanwhile leaves it under way
    _S.CANCEL_PENDING: frozenset({_S.CANCEL_PENDING, _S.FILLED, _S.CANCELLED, _S.REJECTED, _S.EXPIRED}),
    _S.FILLED: frozenset(),
    _S.CANCELLED: frozenset(),
    _S.REJECTED: frozenset(),
    _S.EXPIRED: frozenset(),
}
"""Where an order may go from each status."""


class Order(msgspec.Struct, frozen=True):
    """An order that was asked for, its status and how many of its lots are filled."""

    submit: SubmitOrder
    status: OrderStatus = OrderStatus.PENDING_NEW
    filled: int = 0

    @property
    def is_alive(self) -> bool:
        """Return whether anything can still become of it."""
        return bool(NEXT[self.status])

    @property
    def is_closing(self) -> bool:
        """Return whether it reduces the position at the book, at once."""
        return self.submit.reduce_only and self.submit.type is OrderType.MARKET

    @property
    def left(self) -> int:
        """Return the lots that are not filled."""
        return self.submit.lots - self.filled


def moved(order: Order, to: OrderStatus) -> Order:
    """Return the order in another status; raise IllegalTransition where the table has no way."""
    if to not in NEXT[order.status]:
        raise IllegalTransition(order.submit.client_order_id, order.status, to)
    return msgspec.structs.replace(order, status=to)


def filled(order: Order, lots: int) -> Order:
    """Return the order with `lots` more filled; raise StateError for more than it asked for."""
    if not 0 < lots <= order.left:
        raise StateError(f"order {order.submit.client_order_id} has {order.left} lots left and was filled {lots}")
    total = order.filled + lots
    if total == order.submit.lots:
        to = OrderStatus.FILLED
    elif order.status is OrderStatus.CANCEL_PENDING:
        to = OrderStatus.CANCEL_PENDING
    else:
        to = OrderStatus.PARTIALLY_FILLED
    return msgspec.structs.replace(moved(order, to), filled=total)


def accepted(order: Order) -> Order:
    """Return the order after the venue said that it has it; what happened since stays."""
    return moved(order, OrderStatus.OPEN) if order.status is OrderStatus.PENDING_NEW else order


def table() -> str:
    """Return the table of life as text, a line a status."""
    width = max(len(status) for status in NEXT)
    return "\n".join(
        f"{status:<{width}} -> {', '.join(sorted(following)) or '(end)'}" for status, following in NEXT.items()
    )
