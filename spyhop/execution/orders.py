"""The life of an order as a table, an order that cannot leave it, and what reports make of it.

Reports come late, twice and across each other. What the table has no way for, an order has behind it already: it stays
as it is. Only fills are counted whatever its status, because money moved: one that is told after the end (`late`)
raises `filled` and leaves the status alone.
"""

from __future__ import annotations

import msgspec

from spyhop.errors import IllegalTransition, StateError
from spyhop.model.orders import (
    CancelRejected,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
    OrderSent,
    OrderStatus,
    OrderType,
    OrderUnknown,
    Purpose,
    SubmitOrder,
)

_S = OrderStatus

_WORKING = frozenset({_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCEL_PENDING, _S.CANCELLED, _S.EXPIRED})

NEXT: dict[OrderStatus, frozenset[OrderStatus]] = {
    _S.PENDING_NEW: _WORKING | {_S.SENT, _S.UNKNOWN, _S.OPEN, _S.REJECTED},
    _S.SENT: _WORKING | {_S.UNKNOWN, _S.OPEN, _S.REJECTED},
    # the venue is asked; it may know the order in any state, or not at all
    _S.UNKNOWN: _WORKING | {_S.OPEN, _S.REJECTED},
    # one that waits for its trigger, with the venue or with us, is rejected or lost only when it fires
    _S.OPEN: _WORKING | {_S.UNKNOWN, _S.REJECTED},
    _S.PARTIALLY_FILLED: _WORKING,
    # the cancellation may cross anything on its way; a part that fills meanwhile leaves it under way
    _S.CANCEL_PENDING: frozenset({_S.CANCEL_PENDING, _S.FILLED, _S.CANCELLED, _S.REJECTED, _S.EXPIRED}),
    _S.FILLED: frozenset(),
    _S.CANCELLED: frozenset(),
    _S.REJECTED: frozenset(),
    _S.EXPIRED: frozenset(),
}
"""Where an order may go from each status."""


StepReport = OrderSent | OrderUnknown | OrderAccepted | OrderRejected | OrderCancelled | OrderExpired | CancelRejected
"""What says that an order went a step, and is not a fill."""


class Order(msgspec.Struct, frozen=True):
    """An order that was asked for, its status, how many of its lots are filled and by which fills."""

    submit: SubmitOrder
    status: OrderStatus = OrderStatus.PENDING_NEW
    filled: int = 0
    fills: tuple[str, ...] = ()

    @property
    def is_alive(self) -> bool:
        """Return whether anything can still become of it."""
        return bool(NEXT[self.status])

    @property
    def is_closing(self) -> bool:
        """Return whether it reduces the position at the book, at once."""
        return self.submit.reduce_only and self.submit.type is OrderType.MARKET

    @property
    def is_leaving(self) -> bool:
        """Return whether it is an exit at a price that has begun to fill and goes on."""
        return self.submit.reduce_only and not self.is_closing and self.status is OrderStatus.PARTIALLY_FILLED

    @property
    def is_stop(self) -> bool:
        """Return whether it limits the loss from where it stands, and nobody has asked to take it back."""
        kind, purpose = self.submit.type, self.submit.purpose
        is_fixed = kind not in (OrderType.MARKET, OrderType.TRAILING_STOP)
        return purpose is Purpose.STOP_LOSS and is_fixed and self.status is not OrderStatus.CANCEL_PENDING

    @property
    def left(self) -> int:
        """Return the lots that are not filled; below zero when the venue filled more than was asked."""
        return self.submit.lots - self.filled


def moved(order: Order, to: OrderStatus) -> Order:
    """Return the order in another status; raise IllegalTransition where the table has no way."""
    if to not in NEXT[order.status]:
        raise IllegalTransition(order.submit.client_order_id, order.status, to)
    return msgspec.structs.replace(order, status=to)


def filled(order: Order, lots: int, fill_id: str = "") -> Order:
    """Return the order with `lots` more filled; one that ended keeps its status.

    A fill beyond what was asked is the venue's fault and our position all the same. Raise StateError for less than a
    lot.
    """
    if lots < 1:
        raise StateError(f"order {order.submit.client_order_id} was filled {lots} lots")
    total = order.filled + lots
    to = order.status
    if not order.is_alive or (to is OrderStatus.CANCEL_PENDING and total < order.submit.lots):
        pass
    elif total >= order.submit.lots:
        to = OrderStatus.FILLED
    else:
        to = OrderStatus.PARTIALLY_FILLED
    return msgspec.structs.replace(order, status=to, filled=total, fills=(*order.fills, fill_id))


def after(order: Order, report: StepReport) -> tuple[Order, str]:
    """Return what a report makes of an order, and why in words; the order itself where it is past that."""
    match report:
        case OrderSent():
            return _if_possible(order, OrderStatus.SENT), ""
        case OrderAccepted(is_emulated=is_emulated):
            return accepted(order), "held by us until it triggers" if is_emulated else ""
        case OrderUnknown(reason=reason):
            return _if_possible(order, OrderStatus.UNKNOWN), reason
        case CancelRejected(reason=reason):
            return order, f"the cancellation was rejected: {reason}"
        case OrderRejected(reason=reason):
            # what is filled was not rejected: it is the rest that is gone
            to = OrderStatus.REJECTED if OrderStatus.REJECTED in NEXT[order.status] else OrderStatus.CANCELLED
            return _if_possible(order, to), reason
        case OrderCancelled(lots_left=left):
            return _if_possible(order, OrderStatus.CANCELLED), f"{left} lots not filled"
        case OrderExpired(lots_left=left):
            return _if_possible(order, OrderStatus.EXPIRED), f"{left} lots not filled"


def accepted(order: Order) -> Order:
    """Return the order after the venue said that it has it; what happened since stays."""
    is_new = order.status in (OrderStatus.PENDING_NEW, OrderStatus.SENT, OrderStatus.UNKNOWN)
    return moved(order, OrderStatus.OPEN) if is_new else order


def _if_possible(order: Order, to: OrderStatus) -> Order:
    return moved(order, to) if to in NEXT[order.status] else order


def table() -> str:
    """Return the table of life as text, a line a status."""
    width = max(len(status) for status in NEXT)
    return "\n".join(
        f"{status:<{width}} -> {', '.join(sorted(following)) or '(end)'}" for status, following in NEXT.items()
    )
