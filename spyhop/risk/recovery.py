"""A supervisor's state from the ledger alone: what was said and what happened, folded again in its order.

Verdicts are taken as they were given, not judged anew. Observations come from the comparisons that keep them,
operators' words from the changes of state that tell them; all other changes of state follow again by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from spyhop.model.control import Control
from spyhop.model.entries import Entry
from spyhop.model.instruments import Instrument
from spyhop.model.observations import Comparison
from spyhop.model.orders import (
    Difference,
    Fill,
    FundingPaid,
    Liquidated,
    OrderChanged,
    Reconciled,
    TradeClosed,
)
from spyhop.model.verdicts import Approved, EpochBegan, Refused, RiskStateChanged
from spyhop.risk.comparisons import Cause
from spyhop.risk.stage import RiskParams, RiskStage
from spyhop.risk.standing import EVERYTHING


def rebuilt(
    params: RiskParams,
    instruments: Sequence[Instrument],
    start_equity: float,
    entries: Iterable[Entry],
    epoch: int = 1,
) -> RiskStage:
    """Return the stage of a session whose `entries`, in any order and complete to some moment, the ledger keeps.

    It equals the stage that wrote them, lease apart: a lease belongs to its holder and is not inherited.
    """
    stage = RiskStage(params, instruments, start_equity, epoch)
    for entry in sorted(entries, key=lambda entry: entry.order):
        _take(stage, entry)
        stage.take_notices()
    return stage


def _take(stage: RiskStage, entry: Entry) -> None:
    match entry.message:
        case Approved() | Refused() as verdict:
            stage.on_verdict(verdict)
        case EpochBegan(epoch=epoch):
            stage.begin_epoch(epoch)
        case Comparison(cause=Cause.DECISION, observed=observed):
            stage.on_observation(observed)
        case RiskStateChanged(instrument=scope) as changed if scope == EVERYTHING:
            for control in _words(stage, changed):
                stage.on_control(control, changed.ts)
        case (
            OrderChanged() | Fill() | FundingPaid() | Liquidated() | TradeClosed() | Difference() | Reconciled() as fact
        ):
            stage.on_fact(fact)


def _words(stage: RiskStage, changed: RiskStateChanged) -> list[Control]:
    told = {reason.partition(":")[0] for reason in changed.reasons}
    words = []
    if ("paused" in told) != stage.is_paused:
        words.append(Control.PAUSE if "paused" in told else Control.RESUME)
    if "draining" in told and not stage.is_draining:
        words.append(Control.DRAIN)
    if "killed" in told and not stage.is_killed:
        words.append(Control.KILL)
    return words
