"""What the order stage sends: an order or a cancellation goes into the blotter first and to the gateway then."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from spyhop.execution import orders, trips
from spyhop.execution.blotter import Blotter
from spyhop.execution.orders import Order
from spyhop.execution.trips import ExitPrices, Trip
from spyhop.model.orders import CancelOrder, OrderStatus, OrderType, Purpose, SubmitOrder
from spyhop.ports import Gateway


class KeepingGateway(Gateway, Protocol):
    """A gateway whose state belongs to the stage's: what a simulated venue is."""

    def snapshot(self) -> bytes: ...

    def restore(self, snapshot: bytes) -> None: ...

    def statistics(self) -> dict[str, float]: ...


class Sender:
    """Sends what a trip needs, at the time of its blotter."""

    def __init__(self, blotter: Blotter, gateway: Gateway) -> None:
        self._blotter, self._gateway = blotter, gateway

    def send(self, order: SubmitOrder) -> None:
        """Send an order."""
        self._blotter.change(Order(order))
        self._gateway.send(order)

    def exit(self, trip: Trip, kind: OrderType, purpose: Purpose, lots: int, at: ExitPrices) -> str:
        """Send a reduce-only order against what `trip` holds; return its client order id."""
        order = trips.exit_order(trip, self._blotter.state.now, self._blotter.next_id(), kind, purpose, lots, at)
        trip.orders.append(order.client_order_id)
        self.send(order)
        return order.client_order_id

    def cancel(self, alive: Iterable[Order]) -> None:
        """Cancel what a cancellation can still reach and nobody has asked to take back."""
        for order in alive:
            is_worked = order.status in (OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED)
            # a market order that is not worked in parts is gone before a cancellation could reach it
            is_gone = order.submit.type is OrderType.MARKET and not is_worked
            if order.is_closing or is_gone or order.status is OrderStatus.CANCEL_PENDING:
                continue
            self.take_back(order)

    def take_back(self, order: Order) -> None:
        """Ask for the end of an order, again where that was asked before."""
        submit, now = order.submit, self._blotter.state.now
        self._blotter.change(orders.moved(order, OrderStatus.CANCEL_PENDING))
        self._gateway.send(CancelOrder(ts=now, client_order_id=submit.client_order_id, instrument=submit.instrument))
