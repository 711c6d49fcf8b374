"""What approved entries hold until they are flat again: margin, risk at the stop, and notional.

An approval holds its share from the moment it is given, filled or not, so two approvals never count the same money. An
entry that another supervisor approved is taken over when its order is heard of, its whole margin at risk. An intent
with a hedge holds a share in both instruments, the risk of both in the first, until the end of the pair is told.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from spyhop.model.orders import Fact, OrderChanged, OrderStatus, PairEnded, Purpose, SubmitOrder, TradeClosed
from spyhop.model.tape import Side
from spyhop.model.verdicts import Approved

_ENDED = (OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED)


def hedge_of(intent_seq: int) -> int:
    """Return the number under which the hedge of an intent is kept."""
    return -1 - intent_seq


def _key(order: SubmitOrder) -> int:
    return hedge_of(order.intent_seq) if order.purpose is Purpose.HEDGE else order.intent_seq


class Reservation(msgspec.Struct):
    """The share of one approval; `is_added` when it adds to a position that was there, `is_foreign` when
    another supervisor gave it, `is_leg` when it is one of two."""

    instrument: int
    side: Side
    notional: float
    margin: float
    risk: float
    expires: int
    is_ordered: bool = False
    is_added: bool = False
    is_foreign: bool = False
    is_leg: bool = False


class Exposure(msgspec.Struct):
    """Reservations by the number of their intent, in the order of approval; that of its hedge by `hedge_of` that."""

    held: dict[int, Reservation] = {}

    def reserve(self, approved: Approved, notional: float, hedge_notional: float = 0.0) -> None:
        """Hold the share of `approved`, those of both legs where it has a hedge."""
        intent, hedge = approved.intent, approved.intent.hedge
        self.held[intent.seq] = Reservation(
            intent.instrument,
            intent.side,
            notional,
            approved.margin - approved.hedge_margin,
            approved.risk,
            approved.expires,
            is_added=self.num_in(intent.instrument) > 0,
            is_leg=hedge is not None,
        )
        if hedge is not None:
            self.held[hedge_of(intent.seq)] = Reservation(
                hedge.instrument,
                intent.side.opposite,
                hedge_notional,
                approved.hedge_margin,
                0.0,
                approved.expires,
                is_leg=True,
            )

    def adopt(self, order: SubmitOrder, notional: float, margin: float) -> None:
        """Hold the share of an entry that is under way and was not approved here; its margin can be lost whole."""
        seq, number = _key(order), order.instrument
        is_added = self.held[seq].is_added if seq in self.held else self.num_in(number) > 0
        self.held[seq] = Reservation(
            number,
            order.side,
            notional,
            margin,
            risk=margin,
            expires=0,
            is_ordered=True,
            is_added=is_added,
            is_foreign=True,
            is_leg=order.purpose is Purpose.HEDGE,
        )

    def is_foreign(self, fact: Fact) -> bool:
        """Say whether `fact` tells of an entry that was not approved here: a new one, or one that was taken over."""
        if not isinstance(fact, OrderChanged) or fact.order.purpose not in (Purpose.ENTRY, Purpose.HEDGE):
            return False
        share = self.held.get(_key(fact.order))
        return fact.status is OrderStatus.PENDING_NEW if share is None else share.is_foreign

    def on_fact(self, fact: Fact) -> None:
        """Release what a fact sets free: an entry that ended unfilled, or a round trip that closed with its adds."""
        match fact:
            case OrderChanged() if fact.order.purpose is Purpose.ENTRY and fact.order.intent_seq in self.held:
                share = self.held[fact.order.intent_seq]
                share.is_ordered = True
                if share.is_leg and (other := self.held.get(hedge_of(fact.order.intent_seq))) is not None:
                    other.is_ordered = True
                elif fact.status in _ENDED and fact.filled == 0:
                    del self.held[fact.order.intent_seq]
            case PairEnded():
                self.held.pop(fact.intent_seq, None)
                self.held.pop(hedge_of(fact.intent_seq), None)
            case TradeClosed(is_leg=False):
                self.held.pop(fact.intent_seq, None)
                self._drop(
                    [
                        seq
                        for seq, share in self.held.items()
                        if share.instrument == fact.instrument and share.is_added and share.is_ordered
                    ]
                )

    def expire(self, now: int) -> None:
        """Release approvals that became no order in their time."""
        self._drop([seq for seq, share in self.held.items() if not share.is_ordered and share.expires < now])

    def num_in(self, instrument: int) -> int:
        """Return how many approvals hold a share in `instrument`."""
        return sum(share.instrument == instrument for share in self.held.values())

    def num_instruments(self, and_this: int) -> int:
        """Return in how many instruments a share is held when `and_this` one is counted, too."""
        return len({and_this, *(share.instrument for share in self.held.values())})

    def notional_in(self, instruments: Collection[int]) -> float:
        """Return the notional held in `instruments`."""
        return sum(share.notional for share in self.held.values() if share.instrument in instruments)

    def signed_notionals(self) -> dict[int, float]:
        """Return the notional of all shares by instrument, negative for shorts."""
        signed: dict[int, float] = {}
        for share in self.held.values():
            signed[share.instrument] = signed.get(share.instrument, 0.0) + share.side * share.notional
        return signed

    def first_risk(self, instrument: int) -> float:
        """Return what the first share in `instrument` risked, 0.0 without one."""
        return next((share.risk for share in self.held.values() if share.instrument == instrument), 0.0)

    def _drop(self, seqs: Collection[int]) -> None:
        for seq in seqs:
            del self.held[seq]

    @property
    def margin(self) -> float:
        return sum(share.margin for share in self.held.values())

    @property
    def risk(self) -> float:
        return sum(share.risk for share in self.held.values())

    @property
    def notional(self) -> float:
        return sum(share.notional for share in self.held.values())
