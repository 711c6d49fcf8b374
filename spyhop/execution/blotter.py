"""The blotter: every order that may still be heard of, and the facts about them with what caused each.

Orders of a round trip that is over stay here for a while, so that a fill that comes late finds its order; the oldest
trips of an instrument are forgotten when they have more than `REMEMBERED` orders. Nothing alive is ever forgotten.
"""

from __future__ import annotations

import msgspec

from spyhop import identity
from spyhop.errors import StateError
from spyhop.execution import orders
from spyhop.execution.orders import Order
from spyhop.model.orders import (
    CancelRejected,
    Difference,
    Fact,
    Fill,
    FundingPaid,
    Liquidated,
    Liquidity,
    OrderAccepted,
    OrderCancelled,
    OrderChanged,
    OrderExpired,
    OrderRejected,
    OrderSent,
    OrderStatus,
    OrderUnknown,
    Reconciled,
    Report,
    SubmitOrder,
)
from spyhop.model.verdicts import Approved

REMEMBERED = 1_000

_WORDS: dict[type, str] = {
    OrderSent: "sent",
    OrderUnknown: "unknown",
    OrderAccepted: "accepted",
    OrderRejected: "rejected",
    OrderCancelled: "cancelled",
    OrderExpired: "expired",
    CancelRejected: "cancel rejected",
    FundingPaid: "funding",
    Liquidated: "liquidated",
    Difference: "difference",
    Reconciled: "reconciled",
}


class Past(msgspec.Struct, frozen=True):
    """A round trip that is over: what it was approved by, and its orders by client order id."""

    approved: Approved
    orders: list[str]


class BlotterState(msgspec.Struct):
    """Everything the blotter knows; trips that are over by the number of their instrument, oldest first."""

    orders: dict[str, Order] = {}
    past: dict[int, list[Past]] = {}
    num_orders: int = 0
    now: int = 0
    cause: str = ""
    counts: dict[str, int] = {}


class Blotter:
    """Orders by client order id. `now` and `cause` (kind and id of a message) go into every fact that is made."""

    def __init__(self, session: str) -> None:
        self._session = session
        self.state = BlotterState()
        self._facts: list[Fact] = []

    def begin(self, ts: int, cause: str) -> int:
        """Let `cause` happen at `ts`, or now where that is later; return the time."""
        self.state.now, self.state.cause = max(self.state.now, ts), cause
        return self.state.now

    def next_id(self) -> str:
        """Return the client order id of the next order of the session."""
        self.state.num_orders += 1
        return identity.client_order_id(self._session, self.state.num_orders)

    def change(self, order: Order, reason: str = "") -> None:
        """Remember how an order stands now, and say so."""
        self.state.orders[order.submit.client_order_id] = order
        self.say(order, reason)

    def refuse(self, order: SubmitOrder, reason: str) -> None:
        """Say that an order was refused by us; it is not remembered, because nobody else heard of it."""
        self.say(orders.moved(Order(order), OrderStatus.REJECTED), reason)

    def say(self, order: Order, reason: str) -> None:
        """Say how an order stands."""
        self.count(f"orders_{order.status}")
        self.tell(
            OrderChanged(
                ts=self.state.now,
                client_order_id=order.submit.client_order_id,
                instrument=order.submit.instrument,
                status=order.status,
                filled=order.filled,
                cause=self.state.cause,
                order=order.submit,
                reason=reason,
            )
        )

    def tell(self, fact: Fact) -> None:
        """Let a fact be known."""
        self._facts.append(fact)

    def taken(self) -> list[Fact]:
        """Return the facts since the last call."""
        facts, self._facts = self._facts, []
        return facts

    def count(self, what: str) -> None:
        """Count something that happened."""
        self.state.counts[what] = self.state.counts.get(what, 0) + 1

    def alive(self, keys: list[str]) -> list[Order]:
        """Return the orders among `keys` that something can still become of."""
        return [order for key in keys if (order := self.state.orders[key]).is_alive]

    def on_step(self, report: orders.StepReport) -> tuple[Order, Order] | None:
        """Let a report change its order; return it before and after, None when the report has nothing to tell."""
        before = self._find(report.client_order_id)
        if before is None:
            return None
        after, reason = orders.after(before, report)
        if not before.is_alive or (after == before and isinstance(report, OrderSent)):
            self.count("late_reports")
            return None
        self.change(after, reason)
        return before, after

    def on_fill(self, fill: Fill) -> tuple[Order, Order] | None:
        """Book a fill with its order, once; return that before and after, None for a repeat or a forgotten order."""
        before = self._find(fill.client_order_id)
        if before is None:
            return None
        if fill.fill_id in before.fills:
            self.count("duplicate_fills")
            return None
        after = orders.filled(before, fill.lots, fill.fill_id)
        self.tell(fill)
        reason = ""
        if fill.liquidity is Liquidity.SETTLEMENT:
            reason = "no depth was left: settled at the last price"
        elif after.left < 0:
            self.count("overfills")
            reason = f"{-after.left} lots more than asked"
        elif not before.is_alive:
            self.count("late_fills")
            reason = f"filled after it was {before.status}"
        self.change(after, reason)
        return before, after

    def is_ours(self, client_order_id: str) -> bool:
        """Return whether the id is one that this session gave to an order, remembered or not."""
        head, _, number = client_order_id.rpartition("-")
        return head == self._session and number.isdecimal() and 0 < int(number) <= self.state.num_orders

    def retire(self, instrument: int, past: Past) -> None:
        """Keep the orders of a trip that is over for what is still told of them, and forget the oldest."""
        kept = self.state.past.setdefault(instrument, [])
        kept.append(past)
        num_orders = sum(len(one.orders) for one in kept)
        while num_orders > REMEMBERED:
            oldest = kept.pop(0)
            num_orders -= len(oldest.orders)
            for key in oldest.orders:
                del self.state.orders[key]

    def approval(self, order: SubmitOrder) -> Approved:
        """Return what an order of a trip that is over was approved by."""
        for past in self.state.past.get(order.instrument, []):
            if order.client_order_id in past.orders:
                return past.approved
        raise StateError(f"order {order.client_order_id} belongs to no trip")

    def restore(self, state: BlotterState) -> None:
        """Go on from a state."""
        self.state, self._facts = state, []

    def _find(self, client_order_id: str) -> Order | None:
        order = self.state.orders.get(client_order_id)
        if order is None:
            if not self.is_ours(client_order_id):
                raise StateError(f"the venue reports on order {client_order_id}, which is not ours")
            # it ended long ago; if anything moved, reconciliation sees it in the position
            self.count("forgotten_reports")
        return order


def cause_of(report: Report) -> str:
    """Return kind and id of a report."""
    if isinstance(report, Fill):
        return f"fill {report.fill_id}"
    word = _WORDS[type(report)]
    if isinstance(report, FundingPaid | Liquidated | Difference | Reconciled):
        return f"{word} {report.instrument}"
    return f"{word} {report.client_order_id}"
