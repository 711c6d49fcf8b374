"""Entries: what a journal and a ledger keep, each with a key that makes repeating it harmless."""

from __future__ import annotations

import msgspec

from spyhop.model.control import Obeyed
from spyhop.model.decisions import Decision, Intent
from spyhop.model.observations import Comparison
from spyhop.model.orders import (
    Difference,
    Fill,
    FundingPaid,
    Liquidated,
    OrderChanged,
    PairEnded,
    Reconciled,
    TradeClosed,
)
from spyhop.model.verdicts import Approved, EpochBegan, Refused, RiskStateChanged

STAGE_RANK: dict[str, int] = {"decision": 0, "risk": 1, "order": 2}
"""Order of the stages at one instant of event time."""

Recorded = (
    Decision
    | Intent
    | Approved
    | Refused
    | EpochBegan
    | Obeyed
    | RiskStateChanged
    | Comparison
    | OrderChanged
    | Fill
    | FundingPaid
    | Liquidated
    | TradeClosed
    | PairEnded
    | Difference
    | Reconciled
)


class Entry(msgspec.Struct, frozen=True):
    """The `seq`-th message that `stage` produced, at event time `ts`; (stage, seq) is its key."""

    ts: int
    stage: str
    seq: int
    message: Recorded

    @property
    def order(self) -> tuple[int, int, int]:
        """Return the canonical sort key: event time, stage, sequence."""
        return self.ts, STAGE_RANK[self.stage], self.seq
