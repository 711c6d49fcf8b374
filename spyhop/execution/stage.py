"""The order stage: approvals and venue reports in; commands to the gateway and facts out.

One round trip an instrument at a time. An approval becomes an entry, or an add to what is held; what of it is filled
gets a bracket of exits (reduce-only, the one cancels the others); the maximum hold and the end of the session close at
the book. Whatever an exit leaves open is tried again until the position is flat; a stop that ends without having fired
is replaced by a close at once, and so is a holding that a late fill opened. An order whose outcome is unknown is never
sent again: the gateway asks and tells. Now is event time: that of the approval, of the report heard, of the deadline
passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from spyhop.clock import NS_PER_MS
from spyhop.errors import StateError
from spyhop.execution import brackets, orders, sightings, trips
from spyhop.execution.adds import Adds
from spyhop.execution.blotter import Blotter, BlotterState, Past, cause_of
from spyhop.execution.couples import Couple, Couples
from spyhop.execution.order_state import OrderState
from spyhop.execution.params import ExecutionParams
from spyhop.execution.sender import KeepingGateway, Sender
from spyhop.execution.slices import SLICED
from spyhop.execution.trips import ExitPrices, Trip
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    CancelRejected,
    Difference,
    Fact,
    Fill,
    FundingPaid,
    Liquidated,
    OrderStatus,
    OrderType,
    Purpose,
    Reconciled,
    Report,
)
from spyhop.model.tape import Events
from spyhop.model.verdicts import Approved, RiskState, RiskStateChanged

__all__ = ["ExecutionParams", "KeepingGateway", "OrderStage", "OrderState"]

_NEVER = (1 << 63) - 1


class OrderStage:
    """`on_approved` and `advance` return facts in order of event time; both must be called in that order, too.

    When it `must_agree`, an instrument is not entered before the venue was found to agree with us about it.
    """

    def __init__(
        self,
        params: ExecutionParams,
        instruments: Sequence[Instrument],
        gateway: KeepingGateway,
        session: str,
        must_agree: bool = False,
    ) -> None:
        self.params, self._gateway, self._must_agree = params, gateway, must_agree
        self._instruments = {instrument.id: instrument for instrument in instruments}
        self._blotter = Blotter(session)
        self._sender = Sender(self._blotter, gateway)
        self._adds = Adds(params, self._instruments, self._blotter, self._sender)
        self._state = OrderState()
        self._couples = Couples(params.pair, self._instruments, self._blotter, self._sender, lambda: self._state.trips)

    @property
    def _now(self) -> int:
        return self._blotter.state.now

    def on_approved(self, approved: Approved) -> list[Fact]:
        """Send the entry or the add of an approval, or say as a REJECTED order why it may not be one any more."""
        s = self._state
        now = self._blotter.begin(approved.ts, f"approval {approved.seq}")
        reason = s.objection(approved, now, self._instruments, self._adds, self._must_agree)
        s.epoch = max(s.epoch, approved.epoch)
        if not reason and approved.intent.instrument in s.trips:
            self._adds.begin(s.trips[approved.intent.instrument], approved)
            return self._blotter.taken()
        if not reason and approved.intent.hedge is not None:
            reason = self._couples.begin(approved)
            if not reason:
                return self._blotter.taken()
        instrument = self._instruments.get(approved.intent.instrument)
        order = trips.entry_order(approved, instrument, now, self._blotter.next_id(), self.params.entry_type)
        if reason:
            self._blotter.begin(now, f"refused approval {approved.seq}")
            self._blotter.refuse(order, reason)
            if approved.intent.hedge is not None:
                self._blotter.tell(Couple(approved, 0, now, reason=reason).ended(now))
            return self._blotter.taken()
        trip = Trip(approved, order.client_order_id, [order.client_order_id])
        s.trips[order.instrument] = trip
        if order.type is OrderType.LIMIT:
            trip.entry_due = now + int(self.params.entry_wait_ms * NS_PER_MS)
        self._sender.send(order)
        return self._blotter.taken()

    def on_risk_state(self, changed: RiskStateChanged) -> list[Fact]:
        """Obey the supervisor: in HALT take back what would enter, in ESCAPE close what is held, too."""
        if changed.state in (RiskState.HALT, RiskState.ESCAPE):
            self._blotter.begin(changed.ts, f"risk state {changed.state.value}")
            for number, trip in list(self._state.trips.items()):
                if changed.instrument not in (-1, number) or number not in self._state.trips:
                    continue
                if changed.state is RiskState.ESCAPE:
                    self._leave(number, Purpose.KILL)
                elif self._couples.is_working(number):
                    self._couples.stop_entering(number)
                    self._review(number, trip)
                else:
                    self._adds.drop(trip, "the risk state is HALT")
                    alive = self._blotter.alive(trip.orders)
                    self._sender.cancel(order for order in alive if order.submit.purpose is Purpose.ENTRY)
        return self._blotter.taken()

    def advance(self, events: Events, until: int) -> list[Fact]:
        """Let event time go on to `until` (exclusive) over the tape `events`, all of them before it."""
        ends = sightings.session_ends(events)
        at = 0
        while True:
            wake = min((due for trip in self._state.trips.values() for due in trip.dues()), default=_NEVER)
            wake = min(wake, max(self._now, self._couples.due()))
            end = ends[0][0] + 1 if ends else _NEVER
            crossing = self._couples.crossing(events[at:])
            crossed = crossing[0] + 1 if crossing is not None else _NEVER
            limit = min(until, wake, end, crossed)
            start = at
            at, reports = self._gateway.advance(events, at, limit)
            self._see(events[start:at])
            if reports:
                self._on_reports(reports)
            elif ends and limit == end:
                ts, instrument = ends.pop(0)
                self._on_session_end(ts, instrument)
            elif crossing is not None and limit == crossed:
                ts, number, purpose = crossing
                self._blotter.begin(ts, f"{purpose.value} of a pair, {self._state.trips[number].entry_id}")
                self._leave(number, purpose)
            elif limit == wake < until:
                self._on_wake(wake)
            else:
                return self._blotter.taken()

    @property
    def is_idle(self) -> bool:
        """Say whether no order is under way and nothing is held."""
        return not self._state.trips

    # what the venue tells

    def _on_reports(self, reports: Iterable[Report]) -> None:
        touched: dict[int, str] = {}
        for report in reports:
            self._blotter.begin(report.ts, cause_of(report))
            self._on_report(report)
            touched[report.instrument] = self._blotter.state.cause
        for number, cause in touched.items():
            if number in self._state.trips:
                self._blotter.begin(self._now, cause)
                self._review(number, self._state.trips[number])

    def _on_report(self, report: Report) -> None:
        trip = self._state.trips.get(report.instrument)
        if isinstance(report, Fill):
            self._on_fill(report, trip)
        elif isinstance(report, orders.StepReport):
            self._on_step(report, trip)
        else:
            self._blotter.tell(report)
        match report:
            case FundingPaid() if trip is not None:
                trip.funding += report.amount
            case Liquidated() if trip is not None:
                trip.liquidate(self._instruments[report.instrument], report)
            case Difference():
                self._blotter.count(f"differences_{report.kind}")
            case Reconciled():
                self._state.clean[report.instrument] = report.is_clean

    def _on_step(self, report: orders.StepReport, trip: Trip | None) -> None:
        step = self._blotter.on_step(report)
        if step is None or trip is None:
            return
        before, after = step
        submit, was_asked = before.submit, before.status is OrderStatus.CANCEL_PENDING
        if isinstance(report, CancelRejected) and was_asked:
            # either its end is on the way, or it has to be asked for again
            trip.refused.append(submit.client_order_id)
            trip.recancel_at = trip.recancel_at or self._now + int(self.params.retry_ms * NS_PER_MS)
        self._adds.on_step(trip, report)
        self._couples.on_report(report, submit.client_order_id)
        is_exit = submit.reduce_only and submit.client_order_id not in trip.cuts
        if not after.is_alive and is_exit and trip.held > 0 and not was_asked:
            # an exit ended and left something open: from now on the trip wants to be flat
            trip.purpose = trip.purpose or submit.purpose
            is_stop = submit.purpose is Purpose.STOP_LOSS and not before.is_closing
            trip.is_bare = trip.is_bare or (is_stop and after.filled == 0 and trip.num_attempts == 0)

    def _on_fill(self, fill: Fill, trip: Trip | None) -> None:
        step = self._blotter.on_fill(fill)
        if step is None:
            return
        before, after = step
        instrument, purpose = self._instruments[fill.instrument], after.submit.purpose
        is_own = trip is not None and fill.client_order_id in trip.orders
        if trip is None or trip.is_told:
            approved = trip.approved if trip is not None and is_own else self._blotter.approval(after.submit)
            trip = trips.unplanned(approved, fill, trip, is_own)
            self._state.trips[fill.instrument] = trip
        elif not is_own:
            # of a trip that is over, while another is under way: what is held is not what was approved
            trip.purpose, trip.is_bare = trip.purpose or Purpose.UNWIND, True
        was_flat = trip.held == 0
        trip.fill(instrument, fill)
        if after.is_closing:
            trip.slices.fill(fill.lots)
        is_entering = not after.submit.reduce_only
        if is_entering:
            if trip.deadline == 0 and trip.approved.intent.max_hold_ns > 0:
                trip.deadline = fill.ts + trip.approved.intent.max_hold_ns
        elif not trip.purpose and (trip.held == 0 or fill.client_order_id not in trip.cuts):
            trip.purpose = purpose
        # nothing stands against what came after the end: of its order, of what was held, or by two exits at once
        is_over = not before.is_alive or trip.position.side is trip.side.opposite
        if trip.purpose and (is_over or (was_flat and is_entering)):
            trip.is_bare = True
        self._couples.on_report(fill, fill.client_order_id)

    def _review(self, number: int, trip: Trip) -> None:
        """Do what the reports of one instant ask for: arm what was filled, close what must go, tell what is over."""
        if self._couples.is_working(number):
            if (purpose := self._couples.verdict(number)) is not None:
                self._leave(number, purpose)
            return
        alive = self._blotter.alive(trip.orders)
        if trip.held > 0:
            if trip.slices.take_filled():
                # what closes works: attempts are counted anew
                trip.num_attempts = 0
                self._close(trip, Purpose.STOP_LOSS)
                return
            is_ended = number in self._state.ended and not trip.is_final
            if trip.purpose and (trip.is_bare or is_ended):
                self._close(trip, Purpose.STOP_LOSS)
            elif not trip.purpose or trip.is_leaving(alive):
                self._arm(trip)
            elif not trip.check_at and trip.uncovered(alive) > 0:
                trip.check_at = self._now + int(self.params.retry_ms * NS_PER_MS)
            return
        if trip.entry.lots > 0:
            self._adds.drop(trip, "nothing is held any more")
            self._sender.cancel(alive)
            if not trip.is_told and all(order.submit.reduce_only for order in alive):
                self._tell(number, trip)
        if not alive:
            self._blotter.retire(number, Past(trip.approved, trip.orders))
            del self._state.trips[number]
            self._couples.end(number)

    def _tell(self, number: int, trip: Trip) -> None:
        s = self._state
        s.num_trips += 1
        record = trips.closed(trip, self._instruments[number], self._now, s.num_trips)
        trip.is_told, trip.deadline, trip.check_at = True, 0, 0
        s.net += record.net
        self._blotter.count(f"closed_{record.exit_purpose}")
        self._blotter.tell(record)
        if trip.is_leg and (couple := self._couples.of(number)) is not None:
            couple.add(record)

    # what we send

    def _arm(self, trip: Trip) -> None:
        """Send the exits of what was filled and has none yet."""
        lots = trip.entry.lots - trip.armed
        if lots <= 0:
            return
        trip.armed += lots
        for kind, purpose, at in brackets.exits(self.params, trip):
            self._sender.exit(trip, kind, purpose, lots, at)
        for kind, part, at in brackets.cuts(self.params, trip, lots):
            trip.cuts.append(self._sender.exit(trip, kind, Purpose.TAKE_PROFIT, part, at))

    def _leave(self, number: int, purpose: Purpose) -> None:
        """Want what is held of an instrument gone, and of a pair both legs."""
        couple = self._couples.of(number)
        if couple is None or couple.is_left:
            self._close(self._state.trips[number], purpose)
            return
        self._couples.leave(couple)
        for leg in couple.numbers:
            self._close(self._state.trips[leg], purpose)
        for leg in couple.numbers:
            self._review(leg, self._state.trips[leg])

    def _close(self, trip: Trip, purpose: Purpose) -> None:
        """Want the trip flat: cancel what waits, send what is held to the book unless that is under way.

        Stops stand until nothing is held, for a close may fail; a resting limit stop may be why, and goes then.
        """
        trip.purpose = trip.purpose or purpose
        self._adds.drop(trip, "what is held is being closed")
        # what a market entry on its way still brings must go, too, and at once
        trip.check_at, trip.is_bare = 0, trip.held == 0
        alive = self._blotter.alive(trip.orders)
        self._sender.cancel(order for order in alive if trip.held == 0 or not trip.is_kept(order))
        lots = trip.uncovered(alive)
        if lots <= 0:
            return
        if trip.slices.under_way and any(order.is_closing for order in alive):
            return
        trip.num_attempts += 1
        if trip.num_attempts > self.params.max_close_attempts:
            raise StateError(f"{lots} lots of {trip.entry_id} are still open after {trip.num_attempts - 1} attempts")
        if trip.approved.intent.instrument in self._state.ended:
            purpose, trip.is_final = Purpose.SESSION_END, True
        elif trip.purpose != trips.LIQUIDATION:
            purpose = Purpose(trip.purpose)
        if purpose in SLICED and not trip.is_leg:
            lots = trip.slices.next(lots, trip.position.side.opposite, self.params.close_parts)
        self._sender.exit(trip, OrderType.MARKET, purpose, lots, ExitPrices())

    # what time tells

    def _on_wake(self, ts: int) -> None:
        for first in self._couples.on_time(ts):
            self._review(first, self._state.trips[first])
        for number, trip in list(self._state.trips.items()):
            if 0 < trip.recancel_at <= ts:
                self._blotter.begin(ts, f"cancel again {trip.entry_id}")
                refused, trip.refused, trip.recancel_at = trip.refused, [], 0
                for order in self._blotter.alive(refused):
                    self._sender.take_back(order)
            if 0 < trip.entry_due <= ts:
                self._blotter.begin(ts, f"entry wait {trip.entry_id}")
                trip.entry_due = 0
                alive = self._blotter.alive(trip.orders)
                self._sender.cancel(order for order in alive if order.submit.purpose is Purpose.ENTRY)
            if 0 < trip.deadline <= ts:
                self._blotter.begin(ts, f"maximum hold {trip.entry_id}")
                trip.deadline = 0
                if trip.held > 0:
                    self._leave(number, Purpose.MAX_HOLD)
            if 0 < trip.check_at <= ts:
                self._blotter.begin(ts, f"still open {trip.entry_id}")
                trip.check_at = 0
                if trip.held > 0:
                    self._close(trip, Purpose.STOP_LOSS)

    def _on_session_end(self, ts: int, number: int) -> None:
        s = self._state
        self._blotter.begin(ts, f"session end {number}")
        if number not in s.ended:
            s.ended.append(number)
        if (trip := s.trips.get(number)) is not None and not trip.is_told:
            self._leave(number, Purpose.SESSION_END)

    def _see(self, events: Events) -> None:
        self._couples.see(events)
        for number, trip in self._state.trips.items():
            if trip.held > 0 and (between := sightings.traded_between(events, number)):
                trip.see(*between)
            if trip.held > 0 and (shown := sightings.quoted(events, number)):
                trip.slices.bid, trip.slices.ask = shown

    # state

    def snapshot(self) -> bytes:
        self._state.couples = self._couples.snapshot()
        return msgspec.msgpack.encode((self._state, self._blotter.state, self._gateway.snapshot()))

    def restore(self, snapshot: bytes) -> None:
        self._state, blotter, gateway = _SNAPSHOT.decode(snapshot)
        self._blotter.restore(blotter)
        self._couples.restore(self._state.couples)
        self._gateway.restore(gateway)

    def statistics(self) -> dict[str, float]:
        s = self._state
        alive = sum(len(self._blotter.alive(trip.orders)) for trip in s.trips.values())
        return {
            "open_trips": float(len(s.trips)),
            "live_orders": float(alive),
            "closed_trips": float(s.num_trips),
            "net": s.net,
            **self._couples.statistics(),
            "unclean": float(sum(not is_clean for is_clean in s.clean.values())),
            **{name: float(count) for name, count in sorted(self._blotter.state.counts.items())},
            **{f"venue_{name}": value for name, value in self._gateway.statistics().items()},
        }


_SNAPSHOT = msgspec.msgpack.Decoder(tuple[OrderState, BlotterState, bytes])
