"""Adds to what a trip holds: first the common stop where it is to be, then the order that adds.

The new stop is sent for all that is held. Once the venue has it, the stops before it are taken back and the add goes
out; what of it is filled gets exits at the new stop. An add that has to wait longer than its approval lasts is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from spyhop.clock import NS_PER_MS
from spyhop.execution import brackets, orders, pyramids, trips
from spyhop.execution.blotter import Blotter
from spyhop.execution.orders import Order
from spyhop.execution.params import ExecutionParams
from spyhop.execution.sender import Sender
from spyhop.execution.trips import Trip
from spyhop.model.instruments import Instrument
from spyhop.model.orders import OrderAccepted, OrderType, Purpose, SubmitOrder
from spyhop.model.verdicts import Approved


class Adds:
    """Takes the approvals of adds, and the reports on their stops."""

    def __init__(
        self, params: ExecutionParams, instruments: Mapping[int, Instrument], blotter: Blotter, sender: Sender
    ) -> None:
        self._params, self._instruments, self._blotter, self._sender = params, instruments, blotter, sender

    def objection(self, trip: Trip, approved: Approved) -> str:
        """Return why `trip` may not be added to by `approved`, "" if it may."""
        is_entering = any(order.submit.purpose is Purpose.ENTRY for order in self._blotter.alive(trip.orders))
        if self._params.pyramid.max_adds == 0 or is_entering or trip.adding is not None or trip.is_leg:
            return "a trade of this instrument is under way"
        if trip.purpose or trip.held == 0:
            return "what is held is being closed"
        if approved.intent.side is not trip.side or trip.position.side is not trip.side:
            return "an add has to be on the side of what is held"
        if len(trip.adds) >= self._params.pyramid.max_adds:
            return f"{len(trip.adds)} adds were made"
        return "" if self._lots(trip, approved) > 0 else "an add of this size is less than a lot"

    def begin(self, trip: Trip, approved: Approved) -> None:
        """Raise the common stop and let the add wait for it; an add under the stop that stands goes out at once."""
        trip.adding = msgspec.structs.replace(approved, lots=self._lots(trip, approved))
        at = pyramids.tighter(trip.side, trip.stop_at, approved.intent.stop)
        if at == trip.stop_at:
            self._send(trip)
            return
        trip.stop = at
        kind, prices = brackets.stop(self._params, trip)
        trip.raised = self._sender.exit(trip, kind, Purpose.STOP_LOSS, trip.held, prices)

    def on_step(self, trip: Trip, report: orders.StepReport) -> None:
        """Go on where the venue has the raised stop."""
        if not isinstance(report, OrderAccepted) or report.client_order_id != trip.raised:
            return
        trip.raised, alive = "", self._blotter.alive(trip.orders)
        self._sender.cancel(one for one in alive if _is_older(one, report.client_order_id))
        if trip.adding is not None:
            self._send(trip)

    def drop(self, trip: Trip, reason: str) -> None:
        """Refuse an add that waits, because it may not be made any more."""
        if trip.adding is not None:
            approved, trip.adding = trip.adding, None
            self._blotter.refuse(self._order(approved), reason)

    def _send(self, trip: Trip) -> None:
        approved, now = trip.adding, self._blotter.state.now
        assert approved is not None
        if approved.expires < now:
            self.drop(trip, f"the approval expired {(now - approved.expires) / NS_PER_MS:.3f} ms ago")
            return
        trip.adding, order = None, self._order(approved)
        trip.adds.append(approved)
        trip.orders.append(order.client_order_id)
        if order.type is OrderType.LIMIT:
            trip.entry_due = now + int(self._params.entry_wait_ms * NS_PER_MS)
        self._sender.send(order)

    def _order(self, approved: Approved) -> SubmitOrder:
        instrument = self._instruments[approved.intent.instrument]
        now, kind = self._blotter.state.now, self._params.entry_type
        return trips.entry_order(approved, instrument, now, self._blotter.next_id(), kind)

    def _lots(self, trip: Trip, approved: Approved) -> int:
        first = min(trip.approved.lots, trip.entry.lots)
        return min(approved.lots, math.floor(self._params.pyramid.add_frac * first + 1e-9))


def _is_older(order: Order, raised: str) -> bool:
    return order.is_stop and order.submit.client_order_id != raised
