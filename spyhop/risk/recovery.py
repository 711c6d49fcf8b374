"""A supervisor's state from the ledger alone: what was said and what happened, folded again in its order.

Verdicts are taken as they were given, not judged anew. Observations come from the comparisons that keep them,
operators' words from the changes of state that tell them; all other changes of state follow again by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from spyhop.model.control import Control, Obeyed, Word
from spyhop.model.entries import Entry
from spyhop.model.observations import Comparison, Observation
from spyhop.model.orders import (
    Difference,
    Fact,
    Fill,
    FundingPaid,
    Liquidated,
    OrderChanged,
    PairEnded,
    Reconciled,
    TradeClosed,
)
from spyhop.model.verdicts import Approved, EpochBegan, Refused, RiskStateChanged, Verdict
from spyhop.risk.comparisons import Cause
from spyhop.risk.standing import EVERYTHING, Notice


class Told(Protocol):
    """A supervisor that can be told what it said before, and what it heard."""

    @property
    def is_paused(self) -> bool: ...
    @property
    def is_draining(self) -> bool: ...
    @property
    def is_killed(self) -> bool: ...
    def on_verdict(self, verdict: Verdict) -> None: ...
    def on_observation(self, observed: Observation) -> list[Notice]: ...
    def on_control(self, control: Control, ts: int) -> None: ...
    def on_word(self, word: Word, ts: int) -> str: ...
    def on_fact(self, fact: Fact) -> None: ...
    def begin_epoch(self, epoch: int) -> None: ...
    def take_notices(self) -> list[Notice]: ...


def retell(stage: Told, entries: Iterable[Entry]) -> None:
    """Tell a new `stage` what the ledger keeps, in any order and complete to some moment.

    Then it equals the stage that wrote the entries.
    """
    for entry in sorted(entries, key=lambda entry: entry.order):
        _take(stage, entry)
        stage.take_notices()


def _take(stage: Told, entry: Entry) -> None:
    match entry.message:
        case Approved() | Refused() as verdict:
            stage.on_verdict(verdict)
        case EpochBegan(epoch=epoch):
            stage.begin_epoch(epoch)
        case Obeyed(ts=ts, word=word):
            stage.on_word(word, ts)
        case Comparison(cause=Cause.DECISION, observed=observed):
            stage.on_observation(observed)
        case RiskStateChanged(instrument=scope) as changed if scope == EVERYTHING:
            for control in _words(stage, changed):
                stage.on_control(control, changed.ts)
        case (
            OrderChanged()
            | Fill()
            | FundingPaid()
            | Liquidated()
            | TradeClosed()
            | PairEnded()
            | Difference()
            | Reconciled() as fact
        ):
            stage.on_fact(fact)


def _words(stage: Told, changed: RiskStateChanged) -> list[Control]:
    told = {reason.partition(":")[0] for reason in changed.reasons}
    words = []
    if ("paused" in told) != stage.is_paused:
        words.append(Control.PAUSE if "paused" in told else Control.RESUME)
    if "draining" in told and not stage.is_draining:
        words.append(Control.DRAIN)
    if "killed" in told and not stage.is_killed:
        words.append(Control.KILL)
    return words
