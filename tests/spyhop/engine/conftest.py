"""Stages of a few lines that say what they were told, for tests of what joins stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from spyhop.clock import NS_PER_S
from spyhop.engine.feed_node import FeedNode
from spyhop.engine.nodes import DecisionNode, OrderNode, RiskNode
from spyhop.model import tape
from spyhop.model.control import Control, Word
from spyhop.model.decisions import STRATEGIES, Decision, Intent, Trigger
from spyhop.model.observations import Observation
from spyhop.model.orders import Fact, FundingPaid
from spyhop.model.rows import DECIDING, ROW, RowFlag, Rows
from spyhop.model.tape import Events, Kind, Side, Status
from spyhop.model.verdicts import Approved, Refused, RiskState, RiskStateChanged, Verdict
from spyhop.ports import Feed
from spyhop.risk.standing import Notice


class Told:
    """A stage's memory: everything it was told, in order; it survives a snapshot."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode(self.told)

    def restore(self, snapshot: bytes) -> None:
        self.told = [tuple(one) for one in msgspec.msgpack.decode(snapshot)]

    def statistics(self) -> dict[str, float]:
        return {"told": float(len(self.told))}


class Detection(Told):
    """A row to analyse at every whole second that is passed, and one at the end."""

    def on(self, events: Events) -> Rows:
        rows = []
        for event in events:
            ts, number = int(event["ts_recv"]), int(event["instrument"])
            before = self.told[-1][1] if self.told else ts
            self.told.append(("event", ts))
            rows += [row(second * NS_PER_S, number) for second in range(before // NS_PER_S + 1, ts // NS_PER_S + 1)]
            if event["kind"] == Kind.STATUS and event["aux"] == Status.SESSION_END:
                rows.append(row(ts, number, RowFlag.END))
        return np.concatenate(rows) if rows else np.zeros(0, ROW)


class Deciding(Told):
    """Decides at every analysis and wishes to buy."""

    def decides(self, row: np.void) -> bool:
        return bool(row["flags"] & DECIDING)

    def on_row(self, row: np.void) -> Any:
        ts, number = int(row["ts"]), int(row["instrument"])
        self.told.append(("row", ts))
        output = Output(np.full(len(STRATEGIES), 1 / len(STRATEGIES)))
        if row["flags"] & RowFlag.ANALYSIS:
            output.decision, output.intent = decision(ts, number), intent(ts, number)
        return output

    def on_fact(self, fact: Fact) -> None:
        self.told.append(("fact", fact.ts))


class Output(msgspec.Struct):
    probabilities: Any
    decision: Decision | None = None
    intent: Intent | None = None
    observation: Observation | None = None


class Judging(Told):
    """Approves what is an even number of nanoseconds."""

    def on_intent(self, intent: Intent) -> Verdict:
        self.told.append(("intent", intent.ts))
        if intent.ts % 2:
            return Refused(seq=0, ts=intent.ts, intent=intent, code="odd", measured=1.0, limit=0.0)
        return approved(intent.ts, intent.instrument)

    def on_fact(self, fact: Fact) -> None:
        self.told.append(("fact", fact.ts))

    def begin_epoch(self, epoch: int) -> None:
        self.told.append(("epoch", epoch))

    def on_word(self, word: Word, ts: int) -> str:
        self.told.append(("word", ts))
        return ""

    def on_observation(self, observed: Observation) -> list[Notice]:
        """Halt at what is an odd number of nanoseconds."""
        self.told.append(("observed", observed.ts))
        state = RiskState.HALT if observed.ts % 2 else RiskState.CAN_TRADE
        return [RiskStateChanged(ts=observed.ts - 1, state=state, before=state, reasons=())]

    def take_notices(self) -> list[Notice]:
        return []

    is_paused = is_draining = is_killed = False

    def on_verdict(self, verdict: Verdict) -> None:
        self.told.append(("verdict", verdict.ts))

    def on_control(self, control: Control, ts: int) -> None:
        self.told.append(("control", ts))


class Ordering(Told):
    """Says a fact `delay` ns after each event and approval, in order of time, at once or only when it is due."""

    def __init__(self, delay: int = 0) -> None:
        super().__init__()
        self._delay = delay

    is_idle = True

    def on_risk_state(self, changed: RiskStateChanged) -> list[Fact]:
        self.told.append((changed.state.value, changed.ts))
        return []

    def on_approved(self, approved: Approved) -> list[Fact]:
        self.told.append(("approved", approved.ts))
        return [fact(approved.ts + self._delay, approved.intent.instrument)]

    def advance(self, events: Events, until: int) -> list[Fact]:
        self.told += [("event", int(event["ts_recv"])) for event in events]
        self.told.append(("until", until))
        return [fact(int(event["ts_recv"]) + self._delay, int(event["instrument"])) for event in events]


def row(ts: int, instrument: int = 0, flags: int = RowFlag.ANALYSIS) -> Rows:
    one = np.zeros(1, ROW)
    one["ts"], one["instrument"], one["flags"] = ts, instrument, flags
    return one


def fact(ts: int, instrument: int = 0) -> Fact:
    return FundingPaid(ts=ts, ts_venue=ts, instrument=instrument, rate=0.0, lots=1, amount=0.0)


def decision(ts: int, instrument: int = 0) -> Decision:
    return Decision(
        seq=0,
        ts=ts,
        instrument=instrument,
        trigger=Trigger.INTERVAL,
        price=1.0,
        probabilities=(1.0,),
        strategy="WHALE_PUMP",
        probability=1.0,
        confidence=1.0,
        side=Side.BUY,
        evidence=(),
    )


def intent(ts: int, instrument: int = 0) -> Intent:
    return Intent(
        seq=0,
        ts=ts,
        instrument=instrument,
        decision_seq=0,
        side=Side.BUY,
        strategy="WHALE_PUMP",
        probability=1.0,
        confidence=1.0,
        reference=1,
        take_profit=2,
        stop=0,
        max_hold_ns=1,
    )


def approved(ts: int, instrument: int = 0) -> Approved:
    wish = intent(ts, instrument)
    return Approved(seq=0, ts=ts, intent=wish, lots=1, leverage=1.0, risk=1.0, margin=1.0, epoch=1, expires=0)


def observed(ts: int, instrument: int = 0) -> Observation:
    return Observation(
        ts=ts,
        instrument=instrument,
        mid=1.0,
        last=1.0,
        ts_venue=ts,
        age_ns=0,
        spread=0.0,
        depth_bid=0.0,
        depth_ask=0.0,
        fill_buy=1.0,
        fill_sell=1.0,
        sigma_1m=0.0,
        volatility_rank=0.0,
        atr=0.0,
    )


class Make:
    """Messages, stages that tell, and nodes around them."""

    row, fact, intent, approved = staticmethod(row), staticmethod(fact), staticmethod(intent), staticmethod(approved)
    observed = staticmethod(observed)
    Detection, Deciding, Judging, Ordering = Detection, Deciding, Judging, Ordering

    def events(self, *stamps: int, instrument: int = 0) -> Events:
        """Return a trade at each of `stamps`, which are in order."""
        return tape.joined([tape.event(Kind.TRADE, ts, instrument=instrument, id=ts) for ts in stamps])

    def session_end(self, ts: int, instrument: int = 0) -> Events:
        return tape.event(Kind.STATUS, ts, aux=Status.SESSION_END, instrument=instrument)

    def feed_node(self, name: str, number: int, feed: Feed) -> FeedNode:
        return FeedNode(name, number, feed, Detection())

    def decision_node(self, feeds: Sequence[str] = ("a",)) -> DecisionNode:
        return DecisionNode(Deciding(), feeds)

    def risk_node(self) -> RiskNode:
        return RiskNode(Judging())

    def order_node(self, feeds: Sequence[str] = ("a",), delay: int = 0) -> OrderNode:
        return OrderNode(Ordering(delay), feeds)


@pytest.fixture(scope="session")
def make() -> Make:
    return Make()
