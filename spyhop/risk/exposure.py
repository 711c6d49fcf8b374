"""What approved entries hold until they are flat again: margin, risk at the stop, and notional.

An approval holds its share from the moment it is given, filled or not, so two approvals never count the same money.
"""

from __future__ import annotations

import msgspec

from spyhop.model.orders import Fact, OrderChanged, OrderStatus, Purpose, TradeClosed
from spyhop.model.verdicts import Approved

_ENDED = (OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED)


class Reservation(msgspec.Struct):
    """The share of one approval."""

    instrument: int
    notional: float
    margin: float
    risk: float
    expires: int
    is_ordered: bool = False


class Exposure(msgspec.Struct):
    """Reservations by the number of their intent, in the order of approval."""

    held: dict[int, Reservation] = {}

    def reserve(self, approved: Approved, notional: float) -> None:
        """Hold the share of `approved`."""
        self.held[approved.intent.seq] = Reservation(
            approved.intent.instrument, notional, approved.margin, approved.risk, approved.expires
        )

    def on_fact(self, fact: Fact) -> None:
        """Release what a fact sets free: an entry that ended unfilled, or a round trip that closed."""
        match fact:
            case OrderChanged() if fact.order.purpose is Purpose.ENTRY and fact.order.intent_seq in self.held:
                self.held[fact.order.intent_seq].is_ordered = True
                if fact.status in _ENDED and fact.filled == 0:
                    del self.held[fact.order.intent_seq]
            case TradeClosed():
                self.held.pop(fact.intent_seq, None)

    def expire(self, now: int) -> None:
        """Release approvals that became no order in their time."""
        void = [seq for seq, share in self.held.items() if not share.is_ordered and share.expires < now]
        for seq in void:
            del self.held[seq]

    def num_in(self, instrument: int) -> int:
        """Return how many approvals hold a share in `instrument`."""
        return sum(share.instrument == instrument for share in self.held.values())

    @property
    def margin(self) -> float:
        return sum(share.margin for share in self.held.values())

    @property
    def risk(self) -> float:
        return sum(share.risk for share in self.held.values())

    @property
    def notional(self) -> float:
        return sum(share.notional for share in self.held.values())
