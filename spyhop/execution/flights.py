"""An order of ours at the venue, seen by who sent it: how many lots may still come of it."""

from __future__ import annotations

import msgspec

from spyhop.model.orders import (
    Fill,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
    OrderUnknown,
    Report,
    SubmitOrder,
)


class Flight(msgspec.Struct):
    """`left` lots may still be filled, `filled` were.

    An order that ended with fewer lots unfilled than we had heard of is owed fills: it `is_over`, and still in flight
    until they are told.
    """

    order: SubmitOrder
    left: int
    filled: int = 0
    is_unknown: bool = False
    is_accepted: bool = False
    is_cancelling: bool = False
    is_over: bool = False

    def on(self, report: Report) -> None:
        """Take what the venue says of this order."""
        match report:
            case OrderAccepted():
                self.is_unknown, self.is_accepted = False, True
            case OrderUnknown():
                self.is_unknown = not self.is_over
            case OrderRejected():
                self.is_unknown, self.is_over, self.left = False, True, 0
            case OrderCancelled() | OrderExpired():
                # filled + lots_left < lots: some fills are still to be told
                self.left = max(0, self.order.lots - self.filled - report.lots_left)
                self.is_unknown, self.is_over = False, True
            case Fill():
                self.is_unknown = False
                self.filled += report.lots
                self.left = max(0, self.left - report.lots)
            case _:
                pass

    @property
    def is_landed(self) -> bool:
        """Return whether nothing more is expected of it; what comes still is a late fill."""
        return self.left == 0
