"""A supervisor's place from the ledger: how far it was in its streams when it said the last thing that is kept.

Every wish leaves entries, a comparison or a verdict, and they are kept together; every fact is an entry of the order
stage. So what is kept says how many wishes were judged, how many facts were known by then and which tickets were made.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

import msgspec

from spyhop.engine.pyramiding import FIRST_ADD, Pyramiding
from spyhop.errors import StateError
from spyhop.model.control import Control, Word
from spyhop.model.entries import Entry
from spyhop.model.observations import Comparison, Observation
from spyhop.model.orders import Fact
from spyhop.model.verdicts import Approved, EpochBegan, Refused, RiskStateChanged, Verdict
from spyhop.risk.comparisons import Cause
from spyhop.risk.recovery import Told
from spyhop.risk.standing import Notice


class Past(msgspec.Struct, frozen=True):
    """What the ledger knows of a supervisor: up to event time `ts`, that of the last wish judged.

    `said` are its own entries and the facts that it knew then, `tickets` what it sent to the order stage, `epoch` the
    newest it began, 0 when nothing was said.
    """

    ts: int
    num_wishes: int
    num_facts: int
    num_entries: int
    epoch: int
    tickets: list[Approved | RiskStateChanged]
    said: list[Entry]


def past_of(entries: Iterable[Entry]) -> Past:
    """Return the past that `entries` of the stages risk and order tell, in any order; raise StateError for a gap."""
    own, facts = _of(entries := list(entries), "risk"), _of(entries, "order")
    ts = own[-1].ts if own else 0
    known = list(takewhile(lambda entry: entry.ts < ts, facts))
    messages = [entry.message for entry in own]
    epochs = [message.epoch for message in messages if isinstance(message, EpochBegan)]
    return Past(
        ts,
        sum(_answers_a_wish(entry) for entry in own),
        len(known),
        len(own),
        max([*epochs, 1]) if own else 0,
        [message for message in messages if isinstance(message, Approved | RiskStateChanged)],
        [*own, *known],
    )


def _of(entries: Iterable[Entry], stage: str) -> list[Entry]:
    found = sorted((entry for entry in entries if entry.stage == stage), key=lambda entry: entry.seq)
    for number, entry in enumerate(found):
        if entry.seq != number:
            raise StateError(f"the ledger has {len(found)} entries of {stage}, and number {number} is not among them")
    return found


def _answers_a_wish(entry: Entry) -> bool:
    match entry.message:
        case Comparison(cause=cause):
            return cause == Cause.DECISION
        case Approved(intent=intent) | Refused(intent=intent):
            return intent.seq < FIRST_ADD
    return False


class Both:
    """A stage and what wishes for adds beside it, told the same past."""

    def __init__(self, stage: Told, adds: Pyramiding) -> None:
        self._stage, self._adds = stage, adds

    @property
    def is_paused(self) -> bool:
        return self._stage.is_paused

    @property
    def is_draining(self) -> bool:
        return self._stage.is_draining

    @property
    def is_killed(self) -> bool:
        return self._stage.is_killed

    def on_verdict(self, verdict: Verdict) -> None:
        self._stage.on_verdict(verdict)
        self._adds.on_verdict(verdict)

    def on_observation(self, observed: Observation) -> list[Notice]:
        notices = self._stage.on_observation(observed)
        # what it wished for then has its verdict among the entries
        self._adds.on_observation(observed)
        return notices

    def on_control(self, control: Control, ts: int) -> None:
        self._stage.on_control(control, ts)

    def on_word(self, word: Word, ts: int) -> str:
        return self._stage.on_word(word, ts)

    def on_fact(self, fact: Fact) -> None:
        self._stage.on_fact(fact)
        self._adds.on_fact(fact)

    def begin_epoch(self, epoch: int) -> None:
        self._stage.begin_epoch(epoch)

    def take_notices(self) -> list[Notice]:
        return self._stage.take_notices()
