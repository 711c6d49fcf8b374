"""A gateway that sends a large order as children and lets its owner hear of one order.

The owner hears one beginning, the fills under the order's own id, and one end: nothing more when all is filled, else
OrderCancelled with what was not had (OrderRejected where the first child was refused and nothing else came of it).
A child's rejection gives the rest up, and so do a cancellation, a liquidation and the session's end.
A fill's slippage is told against the mid at the first child, so that waiting costs what it costs.

Everything happens at event times of its own, so where the tape is cut changes nothing. With `kind` none it is as if
this gateway were not there.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from spyhop.errors import SnapshotMismatch
from spyhop.execution.flights import Flight
from spyhop.execution.splitting.lots import smallest_lots
from spyhop.execution.splitting.params import SplitParams
from spyhop.execution.splitting.parents import NEVER, Parent, Told, begun, looked
from spyhop.execution.splitting.slippage import mid_of, slippage_from
from spyhop.execution.stage import KeepingGateway
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    CancelOrder,
    CancelRejected,
    Command,
    Difference,
    Fill,
    FundingPaid,
    Liquidated,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
    OrderSent,
    OrderType,
    OrderUnknown,
    Purpose,
    Reconciled,
    Report,
    SubmitOrder,
)
from spyhop.model.tape import Events, Kind, Status

_LAYOUT = "splitting 1"
_SUFFIX = len(".999")
_MAX_ID = 36

OrderReport = (
    OrderSent | OrderUnknown | OrderAccepted | OrderRejected | OrderCancelled | OrderExpired | CancelRejected | Fill
)


class GatewayState(msgspec.Struct):
    """Everything that is under way; `last` are the last trades in ticks by instrument."""

    parents: dict[str, Parent] = {}
    outbox: list[Report] = []
    last: dict[int, int] = {}
    now: int = 0
    num_parents: int = 0
    counts: dict[str, int] = {}


class SplittingGateway:
    """Implements `ports.Gateway` around another one."""

    def __init__(self, inner: KeepingGateway, params: SplitParams, instruments: Sequence[Instrument]) -> None:
        self.params, self._inner = params, inner
        self._instruments = {instrument.id: instrument for instrument in instruments}
        self._state = GatewayState()

    def send(self, command: Command) -> None:
        """Send an order whole or begin to split it; a cancellation of a split one goes to all its children."""
        s = self._state
        s.now = max(s.now, command.ts)
        parent = s.parents.get(command.client_order_id)
        if parent is None:
            if not isinstance(command, SubmitOrder) or not self._begin(command):
                self._inner.send(command)
        elif isinstance(command, CancelOrder):
            for flight in parent.flights.values():
                flight.is_cancelling = False  # asked again, so ask again
            self._give_up(parent)
            s.outbox += self._reviewed(parent, command.ts)
        else:
            self._count("repeated_orders")  # the same id is the same order

    def advance(self, events: Events, start: int, until: int) -> tuple[int, list[Report]]:
        """Fold events[start:] with ts_recv < `until`; stop when reports are heard before `until`."""
        if self.params.kind == "none":
            return self._inner.advance(events, start, until)
        s, at = self._state, start
        while True:
            wake = self._wake()
            heard = s.outbox[0].ts + 1 if s.outbox else NEVER
            limit = min(until, wake, heard, _session_end(events, at) if s.parents else NEVER)
            begin = at
            at, reports = self._inner.advance(events, at, limit)
            told = self._told(reports)
            self._see(events[begin:at])
            if told:
                return at, told
            if reports:
                continue
            if s.outbox and s.outbox[0].ts < limit:
                reports, s.outbox = s.outbox, []
                return at, reports
            if limit == wake < until:
                self._on_wake(wake)
            elif limit == until:
                return at, []

    # what is due

    def _begin(self, order: SubmitOrder) -> bool:
        """Split the order if it is to be split; return whether it was."""
        s, instrument = self._state, self._instruments.get(order.instrument)
        is_meant = order.purpose is Purpose.ENTRY or (self.params.splits_exits and order.purpose is Purpose.MAX_HOLD)
        if self.params.kind == "none" or instrument is None or not is_meant:
            return False
        price = order.price or s.last.get(order.instrument, 0)
        is_large = price > 0 and instrument.notional(price, order.lots) >= self.params.min_split_notional
        is_plain = order.type in (OrderType.MARKET, OrderType.LIMIT)
        if not is_large or not is_plain or len(order.client_order_id) + _SUFFIX > _MAX_ID:
            return False
        parent = begun(order, s.num_parents, smallest_lots(instrument, price), self.params)
        if len(parent.plan) == 1 or order.lots < 2 * parent.smallest:
            return False
        s.num_parents += 1
        s.parents[order.client_order_id] = parent
        if parent.due <= order.ts:
            self._look(parent, order.ts)
        return True

    def _wake(self) -> int:
        wake = min((parent.wake() for parent in self._state.parents.values()), default=NEVER)
        return max(wake, self._state.now)

    def _on_wake(self, ts: int) -> None:
        s = self._state
        s.now = ts
        for parent in list(s.parents.values()):
            if parent.wake() <= ts:
                self._look(parent, ts)
                s.outbox += self._reviewed(parent, ts)

    def _look(self, parent: Parent, ts: int) -> None:
        lots = looked(parent, ts, self.params)
        if lots >= parent.smallest or (parent.order.reduce_only and lots > 0):
            self._count("children")
            self._inner.send(parent.child(ts, lots))
        elif lots > 0:
            parent.is_giving_up = True  # what is left is less than the venue takes

    def _give_up(self, parent: Parent) -> None:
        """Place nothing more, and take back what can be taken back."""
        parent.is_giving_up = True
        for flight in parent.flights.values():
            # a market order is gone before a cancellation could reach it
            if flight.order.type is not OrderType.MARKET and not flight.is_cancelling and not flight.is_over:
                flight.is_cancelling = True
                key, number = flight.order.client_order_id, flight.order.instrument
                self._inner.send(CancelOrder(ts=self._state.now, client_order_id=key, instrument=number))

    def _reviewed(self, parent: Parent, ts_venue: int) -> list[Report]:
        """Forget the children that are over; return the parent's end if it came."""
        s = self._state
        parent.flights = {key: flight for key, flight in parent.flights.items() if not flight.is_landed}
        if parent.flights:
            return []
        if parent.unplaced > 0 and not parent.is_giving_up and parent.due != NEVER:
            if self.params.kind == "iceberg":
                parent.due = min(parent.due, s.now)
            return []
        order = parent.order
        del s.parents[order.client_order_id]
        if parent.unplaced == 0:
            return []
        if parent.rejected_for and parent.told is not Told.ACCEPTED:
            return [
                OrderRejected(
                    ts=s.now,
                    ts_venue=ts_venue,
                    client_order_id=order.client_order_id,
                    instrument=order.instrument,
                    reason=parent.rejected_for,
                )
            ]
        return [
            OrderCancelled(
                ts=s.now,
                ts_venue=ts_venue,
                client_order_id=order.client_order_id,
                instrument=order.instrument,
                lots_left=parent.unplaced,
            )
        ]

    # what the tape shows

    def _see(self, events: Events) -> None:
        s = self._state
        trades = events[events["kind"] == Kind.TRADE]
        for number in np.unique(trades["instrument"]).tolist():
            of = trades[trades["instrument"] == number]
            s.last[number] = int(of["price"][-1])
            for parent in s.parents.values():
                if parent.order.instrument == number:
                    parent.volume += int(of["qty"].sum())
        if not s.parents:
            return
        ends = events[(events["kind"] == Kind.STATUS) & (events["aux"] == Status.SESSION_END)]
        for ts, number in zip(ends["ts_recv"].tolist(), ends["instrument"].tolist(), strict=True):
            s.now = max(s.now, ts)
            self._give_up_all(number)

    def _give_up_all(self, instrument: int) -> None:
        for parent in list(self._state.parents.values()):
            if parent.order.instrument == instrument:
                self._give_up(parent)
                self._state.outbox += self._reviewed(parent, self._state.now)

    # what the inner gateway tells

    def _told(self, reports: list[Report]) -> list[Report]:
        """Return the reports of children as those of their parents, and the parents' ends."""
        told: list[Report] = []
        touched: dict[str, int] = {}
        for report in reports:
            self._state.now = max(self._state.now, report.ts)
            if isinstance(report, FundingPaid | Reconciled):
                told.append(report)
            elif isinstance(report, Difference):
                told.append(msgspec.structs.replace(report, order=_parent_of(report.order) or report.order))
            elif isinstance(report, Liquidated):
                told.append(report)
                self._give_up_all(report.instrument)
            elif key := _parent_of(report.client_order_id):
                told += self._of_child(key, report)
                touched[key] = report.ts_venue if not isinstance(report, OrderSent | OrderUnknown) else report.ts
            else:
                told.append(report)
        for key, ts_venue in touched.items():
            if key in self._state.parents:
                told += self._reviewed(self._state.parents[key], ts_venue)
        return told

    def _of_child(self, key: str, report: OrderReport) -> list[Report]:
        parent = self._state.parents.get(key)
        flight = parent.flights.get(report.client_order_id) if parent else None
        if parent is None or flight is None:
            self._count("late_reports")
            if isinstance(report, Fill):
                return [self._late(key, report)]
            return []
        flight.on(report)
        return self._of_flight(parent, flight, report)

    def _of_flight(self, parent: Parent, flight: Flight, report: OrderReport) -> list[Report]:
        renamed = msgspec.structs.replace(report, client_order_id=parent.order.client_order_id)
        match report:
            case Fill():
                return [self._filled(parent, report)]
            case OrderSent() | OrderUnknown() | OrderAccepted():
                level = _LEVELS[type(report)]
                if level > parent.told:
                    parent.told = level
                    return [renamed]
            case CancelRejected():
                return [renamed] if parent.is_giving_up and not flight.is_over else []
            case OrderRejected():
                parent.rejected_for = parent.rejected_for or report.reason
                self._give_up(parent)
            case OrderCancelled() | OrderExpired():
                if self.params.kind == "iceberg" and report.lots_left > 0:
                    self._give_up(parent)
        return []

    def _filled(self, parent: Parent, fill: Fill) -> Fill:
        instrument = self._instruments[fill.instrument]
        parent.filled += fill.lots
        parent.told = Told.ACCEPTED
        if self.params.counts_own_trades:
            parent.volume = max(0, parent.volume - fill.lots)
        parent.reference = parent.reference or mid_of(fill, instrument)
        return msgspec.structs.replace(
            fill,
            client_order_id=parent.order.client_order_id,
            slippage=slippage_from(parent.reference, fill, instrument),
        )

    def _late(self, key: str, fill: Fill) -> Fill:
        """Book a fill of a child that had ended; where its lots were placed again, take back what can be."""
        parent = self._state.parents.get(key)
        if parent is None:
            return msgspec.structs.replace(fill, client_order_id=key)
        told = self._filled(parent, fill)
        if parent.filled + sum(flight.left for flight in parent.flights.values()) > parent.order.lots:
            self._give_up(parent)
        return told

    def _count(self, what: str) -> None:
        self._state.counts[what] = self._state.counts.get(what, 0) + 1

    # state

    def snapshot(self) -> bytes:
        if self.params.kind == "none":
            return self._inner.snapshot()
        return msgspec.msgpack.encode((_LAYOUT, self._state, self._inner.snapshot()))

    def restore(self, snapshot: bytes) -> None:
        if self.params.kind == "none":
            self._inner.restore(snapshot)
            return
        try:
            layout, state, inner = msgspec.msgpack.decode(snapshot, type=tuple[str, msgspec.Raw, bytes])
        except msgspec.DecodeError as e:
            raise SnapshotMismatch("splitting gateway", _LAYOUT, "unknown") from e
        if layout != _LAYOUT:
            raise SnapshotMismatch("splitting gateway", _LAYOUT, layout)
        self._state = msgspec.msgpack.decode(state, type=GatewayState)
        self._inner.restore(inner)

    def statistics(self) -> dict[str, float]:
        """Return those of the inner gateway and what is being split."""
        if self.params.kind == "none":
            return self._inner.statistics()
        s = self._state
        return {
            **self._inner.statistics(),
            "splitting_parents": float(len(s.parents)),
            "split_orders": float(s.num_parents),
            **{f"split_{name}": float(count) for name, count in sorted(s.counts.items())},
        }


_LEVELS: dict[type, Told] = {OrderSent: Told.SENT, OrderUnknown: Told.UNKNOWN, OrderAccepted: Told.ACCEPTED}


def _parent_of(client_order_id: str) -> str:
    """Return the id of the order that a child belongs to, "" for what is no child."""
    parent, dot, number = client_order_id.rpartition(".")
    return parent if dot and number.isdecimal() else ""


def _session_end(events: Events, start: int) -> int:
    """Return the time just after the next end of a session in events[start:], NEVER without one."""
    rest = events[start:]
    at = np.flatnonzero((rest["kind"] == Kind.STATUS) & (rest["aux"] == Status.SESSION_END))
    return int(rest["ts_recv"][at[0]]) + 1 if len(at) else NEVER
