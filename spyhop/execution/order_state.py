"""What the order stage knows besides its blotter, and what in it speaks against an approval."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from spyhop.clock import NS_PER_MS
from spyhop.execution.adds import Adds
from spyhop.execution.trips import Trip
from spyhop.model.instruments import Instrument
from spyhop.model.verdicts import Approved


class OrderState(msgspec.Struct):
    """Instruments by number. `clean` is what reconciliation said last, `couples` the snapshot of the pairs."""

    trips: dict[int, Trip] = {}
    ended: list[int] = []
    clean: dict[int, bool] = {}
    epoch: int = 0
    num_trips: int = 0
    net: float = 0.0
    couples: bytes = b""

    def objection(
        self, approved: Approved, now: int, instruments: Mapping[int, Instrument], adds: Adds, must_agree: bool
    ) -> str:
        """Return why `approved` may not become orders any more, "" if it may."""
        number, hedge = approved.intent.instrument, approved.intent.hedge
        if number not in instruments:
            return f"instrument {number} is not traded in this session"
        if approved.epoch < self.epoch:
            return f"epoch {approved.epoch} is older than {self.epoch}"
        if approved.expires < now:
            return f"the approval expired {(now - approved.expires) / NS_PER_MS:.3f} ms ago"
        if number in self.ended:
            return "the session has ended"
        if hedge is not None and (number in self.trips or hedge.instrument in self.trips):
            return "a trade of one of both instruments is under way"
        if number in self.trips and (reason := adds.objection(self.trips[number], approved)):
            return reason
        if approved.lots < 1:
            return f"{approved.lots} lots cannot be ordered"
        if not self.clean.get(number, not must_agree):
            return "not reconciled"
        return self._objection_to_hedge(hedge.instrument, instruments, must_agree) if hedge is not None else ""

    def _objection_to_hedge(self, number: int, instruments: Mapping[int, Instrument], must_agree: bool) -> str:
        if number not in instruments:
            return f"instrument {number} is not traded in this session"
        if number in self.ended:
            return "the session has ended in the market of the hedge"
        return "" if self.clean.get(number, not must_agree) else "the market of the hedge is not reconciled"
