"""The order stage: approvals and venue reports in; commands to the gateway and facts out.

One round trip an instrument at a time. An approval becomes an entry; what of it is filled gets a take profit and a stop
(reduce-only, the one cancels the other); the maximum hold and the end of the session close at the book. Whatever an
exit leaves open is tried again until the position is flat. Now is event time: that of the approval, of the report
heard, of the deadline passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Protocol

import msgspec
import numpy as np

from spyhop import identity
from spyhop.clock import NS_PER_MS
from spyhop.errors import StateError
from spyhop.execution import orders, trips
from spyhop.execution.orders import Order
from spyhop.execution.trips import Trip
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    CancelOrder,
    Fact,
    Fill,
    FundingPaid,
    Liquidated,
    Liquidity,
    OrderAccepted,
    OrderCancelled,
    OrderChanged,
    OrderRejected,
    OrderStatus,
    OrderType,
    Purpose,
    Report,
    SubmitOrder,
)
from spyhop.model.tape import Events, Kind, Status
from spyhop.model.verdicts import Approved
from spyhop.ports import Gateway

_NEVER = (1 << 63) - 1


class ExecutionParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How approvals become orders."""

    entry_type: trips.EntryType = "market"
    """A limit entry stands at the decision's reference price."""
    entry_wait_ms: Annotated[float, msgspec.Meta(gt=0)] = 5_000.0
    """How long an entry that rests may wait before what is left of it is cancelled."""
    retry_ms: Annotated[float, msgspec.Meta(gt=0)] = 500.0
    """Before an exit that left something open is tried again."""
    max_close_attempts: Annotated[int, msgspec.Meta(ge=1)] = 100_000


class KeepingGateway(Gateway, Protocol):
    """A gateway whose state belongs to the stage's: what a simulated venue is."""

    def snapshot(self) -> bytes: ...

    def restore(self, snapshot: bytes) -> None: ...

    def statistics(self) -> dict[str, float]: ...


class OrderState(msgspec.Struct):
    """Everything the stage knows; instruments by number."""

    trips: dict[int, Trip] = {}
    orders: dict[str, Order] = {}
    ended: list[int] = []
    epoch: int = 0
    now: int = 0
    num_orders: int = 0
    num_trips: int = 0
    counts: dict[str, int] = {}
    net: float = 0.0


class OrderStage:
    """`on_approved` and `advance` return facts in order of event time; both must be called in that order, too."""

    def __init__(
        self, params: ExecutionParams, instruments: Sequence[Instrument], gateway: KeepingGateway, session: str
    ) -> None:
        self.params, self._gateway, self._session = params, gateway, session
        self._instruments = {instrument.id: instrument for instrument in instruments}
        self._state = OrderState()
        self._facts: list[Fact] = []

    def on_approved(self, approved: Approved) -> list[Fact]:
        """Send the entry of an approval, or say as a REJECTED order why it may not be one any more."""
        s = self._state
        s.now = max(s.now, approved.ts)
        instrument = self._instruments.get(approved.intent.instrument)
        order = trips.entry_order(approved, instrument, s.now, self._next_id(), self.params.entry_type)
        reason = self._objection(approved)
        s.epoch = max(s.epoch, approved.epoch)
        if reason:
            self._say(orders.moved(Order(order), OrderStatus.REJECTED), "refused", reason)
            return self._taken()
        trip = Trip(approved, order.client_order_id, [order.client_order_id])
        s.trips[order.instrument] = trip
        if order.type is OrderType.LIMIT:
            trip.entry_due = s.now + int(self.params.entry_wait_ms * NS_PER_MS)
        self._send(order)
        return self._taken()

    def advance(self, events: Events, until: int) -> list[Fact]:
        """Let event time go on to `until` (exclusive) over the tape `events`, all of them before it."""
        ends = _ends(events)
        at = 0
        while True:
            wake = min((due for trip in self._state.trips.values() for due in trip.dues()), default=_NEVER)
            end = ends[0][0] + 1 if ends else _NEVER
            limit = min(until, wake, end)
            start = at
            at, reports = self._gateway.advance(events, at, limit)
            self._see(events[start:at])
            if reports:
                self._on_reports(reports)
            elif ends and limit == end:
                ts, instrument = ends.pop(0)
                self._on_session_end(ts, instrument)
            elif limit == wake < until:
                self._on_wake(wake)
            else:
                return self._taken()

    def _objection(self, approved: Approved) -> str:
        s, number = self._state, approved.intent.instrument
        if number not in self._instruments:
            return f"instrument {number} is not traded in this session"
        if approved.epoch < s.epoch:
            return f"epoch {approved.epoch} is older than {s.epoch}"
        if approved.expires < s.now:
            return f"the approval expired {(s.now - approved.expires) / NS_PER_MS:.3f} ms ago"
        if number in s.ended:
            return "the session has ended"
        if number in s.trips:
            return "a trade of this instrument is under way"
        if approved.lots < 1:
            return f"{approved.lots} lots cannot be ordered"
        return ""

    def _next_id(self) -> str:
        self._state.num_orders += 1
        return identity.client_order_id(self._session, self._state.num_orders)

    def _send(self, order: SubmitOrder) -> None:
        self._change(Order(order), "sent")
        self._gateway.send(order)

    def _change(self, order: Order, cause: str, reason: str = "") -> None:
        self._state.orders[order.submit.client_order_id] = order
        self._say(order, cause, reason)

    def _say(self, order: Order, cause: str, reason: str = "") -> None:
        self._count(f"orders_{order.status}")
        self._facts.append(
            OrderChanged(
                ts=self._state.now,
                client_order_id=order.submit.client_order_id,
                instrument=order.submit.instrument,
                status=order.status,
                filled=order.filled,
                cause=cause,
                order=order.submit,
                reason=reason,
            )
        )

    def _count(self, what: str) -> None:
        self._state.counts[what] = self._state.counts.get(what, 0) + 1

    def _taken(self) -> list[Fact]:
        facts, self._facts = self._facts, []
        return facts

    # what the venue tells

    def _on_reports(self, reports: Iterable[Report]) -> None:
        touched: list[int] = []
        for report in reports:
            self._state.now = max(self._state.now, report.ts)
            self._on_report(report)
            if report.instrument not in touched:
                touched.append(report.instrument)
        for number in touched:
            if number in self._state.trips:
                self._review(number, self._state.trips[number])

    def _on_report(self, report: Report) -> None:
        trip = self._state.trips.get(report.instrument)
        match report:
            case FundingPaid():
                self._facts.append(report)
                if trip is not None:
                    trip.funding += report.amount
            case Liquidated():
                self._facts.append(report)
                if trip is not None:
                    trip.liquidate(self._instruments[report.instrument], report)
            case OrderAccepted():
                self._change(orders.accepted(self._order(report.client_order_id)), "accepted")
            case OrderRejected():
                self._on_end(self._order(report.client_order_id), OrderStatus.REJECTED, report.reason)
            case OrderCancelled():
                reason = f"{report.lots_left} lots not filled"
                self._on_end(self._order(report.client_order_id), OrderStatus.CANCELLED, reason)
            case Fill():
                self._on_fill(report)

    def _on_end(self, before: Order, status: OrderStatus, reason: str) -> None:
        self._change(orders.moved(before, status), status.value, reason)
        trip, purpose = self._state.trips[before.submit.instrument], before.submit.purpose
        was_asked = before.status is OrderStatus.CANCEL_PENDING
        if purpose is not Purpose.ENTRY and trip.held > 0 and not was_asked:
            # an exit ended and left something open: from now on the trip wants to be flat
            trip.purpose = trip.purpose or purpose

    def _order(self, client_order_id: str) -> Order:
        if client_order_id not in self._state.orders:
            raise StateError(f"the venue reports on order {client_order_id}, which is not ours")
        return self._state.orders[client_order_id]

    def _on_fill(self, fill: Fill) -> None:
        self._facts.append(fill)
        order = orders.filled(self._order(fill.client_order_id), fill.lots)
        is_settled = fill.liquidity is Liquidity.SETTLEMENT
        self._change(order, "filled", "no depth was left: settled at the last price" if is_settled else "")
        trip = self._state.trips[fill.instrument]
        trip.fill(self._instruments[fill.instrument], fill)
        if order.submit.purpose is Purpose.ENTRY:
            if trip.deadline == 0 and trip.approved.intent.max_hold_ns > 0:
                trip.deadline = fill.ts + trip.approved.intent.max_hold_ns
        elif not trip.purpose:
            trip.purpose = order.submit.purpose

    def _review(self, number: int, trip: Trip) -> None:
        """Do what the reports of one instant ask for: arm what was filled, close what must go, tell what is over."""
        alive = self._alive(trip)
        if trip.held > 0:
            if not trip.purpose:
                self._arm(trip)
            elif number in self._state.ended:
                self._close(trip, Purpose.SESSION_END)
            elif not trip.check_at and not any(order.is_closing for order in alive):
                trip.check_at = self._state.now + int(self.params.retry_ms * NS_PER_MS)
            return
        if trip.entry.lots > 0:
            self._cancel(alive)
            if not trip.is_told and not any(order.submit.purpose is Purpose.ENTRY for order in alive):
                self._tell(number, trip)
        if not alive:
            for key in trip.orders:
                del self._state.orders[key]
            del self._state.trips[number]

    def _alive(self, trip: Trip) -> list[Order]:
        return [order for key in trip.orders if (order := self._state.orders[key]).is_alive]

    def _tell(self, number: int, trip: Trip) -> None:
        s = self._state
        s.num_trips += 1
        record = trips.closed(trip, self._instruments[number], s.now, s.num_trips)
        trip.is_told, trip.deadline, trip.check_at = True, 0, 0
        s.net += record.net
        self._count(f"closed_{record.exit_purpose}")
        self._facts.append(record)

    # what we send

    def _arm(self, trip: Trip) -> None:
        """Send a take profit and a stop for what was filled and has none yet."""
        lots = trip.entry.lots - trip.armed
        if lots <= 0:
            return
        trip.armed += lots
        intent = trip.approved.intent
        self._exit(trip, OrderType.TAKE_PROFIT_MARKET, Purpose.TAKE_PROFIT, lots, intent.take_profit)
        self._exit(trip, OrderType.STOP_MARKET, Purpose.STOP_LOSS, lots, intent.stop)

    def _exit(self, trip: Trip, kind: OrderType, purpose: Purpose, lots: int, trigger: int = 0) -> None:
        order = trips.exit_order(trip, self._state.now, self._next_id(), kind, purpose, lots, trigger)
        trip.orders.append(order.client_order_id)
        self._send(order)

    def _cancel(self, alive: Iterable[Order]) -> None:
        for order in alive:
            submit = order.submit
            # a market order is gone before a cancellation could reach it
            if submit.type is OrderType.MARKET or order.status is OrderStatus.CANCEL_PENDING:
                continue
            self._change(orders.moved(order, OrderStatus.CANCEL_PENDING), "cancel sent")
            self._gateway.send(
                CancelOrder(ts=self._state.now, client_order_id=submit.client_order_id, instrument=submit.instrument)
            )

    def _close(self, trip: Trip, purpose: Purpose) -> None:
        """Want the trip flat: cancel what waits, send what is held to the book unless that is under way."""
        trip.purpose = trip.purpose or purpose
        trip.check_at = 0
        alive = self._alive(trip)
        self._cancel(alive)
        if trip.held == 0 or any(order.is_closing for order in alive):
            return
        trip.num_attempts += 1
        if trip.num_attempts > self.params.max_close_attempts:
            raise StateError(
                f"{trip.held} lots of {trip.entry_id} are still open after {trip.num_attempts - 1} attempts"
            )
        number = trip.approved.intent.instrument
        if number in self._state.ended:
            purpose = Purpose.SESSION_END
        elif trip.purpose != trips.LIQUIDATION:
            purpose = Purpose(trip.purpose)
        self._exit(trip, OrderType.MARKET, purpose, trip.held)

    # what time tells

    def _on_wake(self, ts: int) -> None:
        self._state.now = max(self._state.now, ts)
        for trip in list(self._state.trips.values()):
            if 0 < trip.entry_due <= ts:
                trip.entry_due = 0
                self._cancel(order for order in self._alive(trip) if order.submit.purpose is Purpose.ENTRY)
            if 0 < trip.deadline <= ts:
                trip.deadline = 0
                if trip.held > 0:
                    self._close(trip, Purpose.MAX_HOLD)
            if 0 < trip.check_at <= ts:
                trip.check_at = 0
                if trip.held > 0:
                    self._close(trip, Purpose.STOP_LOSS)

    def _on_session_end(self, ts: int, number: int) -> None:
        s = self._state
        s.now = max(s.now, ts)
        if number not in s.ended:
            s.ended.append(number)
        if (trip := s.trips.get(number)) is not None and not trip.is_told:
            self._close(trip, Purpose.SESSION_END)

    def _see(self, events: Events) -> None:
        for number, trip in self._state.trips.items():
            if trip.held > 0 and len(events):
                traded = events["price"][(events["kind"] == Kind.TRADE) & (events["instrument"] == number)]
                if len(traded):
                    trip.see(int(traded.min()), int(traded.max()))

    # state

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode((self._state, self._gateway.snapshot()))

    def restore(self, snapshot: bytes) -> None:
        self._state, gateway = msgspec.msgpack.decode(snapshot, type=tuple[OrderState, bytes])
        self._gateway.restore(gateway)
        self._facts = []

    def statistics(self) -> dict[str, float]:
        s = self._state
        return {
            "open_trips": float(len(s.trips)),
            "live_orders": float(sum(order.is_alive for order in s.orders.values())),
            "closed_trips": float(s.num_trips),
            "net": s.net,
            **{name: float(count) for name, count in sorted(s.counts.items())},
            **{f"venue_{name}": value for name, value in self._gateway.statistics().items()},
        }


def _ends(events: Events) -> list[tuple[int, int]]:
    at = np.flatnonzero((events["kind"] == Kind.STATUS) & (events["aux"] == Status.SESSION_END))
    return [(int(events["ts_recv"][i]), int(events["instrument"][i])) for i in at]
