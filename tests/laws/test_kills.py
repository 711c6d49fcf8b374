"""Any order of delivery, any number of kills: the entries are those of one process that never died.

The stages here are small on purpose (a few lines each, every one of them stateful and sensitive to order), so that
hypothesis can try thousands of schedules; the real stages are held to the same law in tests/parity.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.clock import NS_PER_S
from spyhop.engine.edges import Receipt
from spyhop.engine.feed_node import FeedNode
from spyhop.engine.feeds import ArrayFeed
from spyhop.engine.nodes import DecisionNode, Notice, OrderNode, RiskNode, Ticket
from spyhop.engine.pipeline import Pipeline
from spyhop.engine.rebuilding import past_of
from spyhop.engine.vessels import (
    RECORDS_DECODER,
    DecisionVessel,
    FeedVessel,
    Messages,
    OrderVessel,
    RiskVessel,
    Vessel,
)
from spyhop.model import tape
from spyhop.model.control import Control
from spyhop.model.decisions import Decision, Intent, Trigger
from spyhop.model.entries import Entry
from spyhop.model.observations import Observation
from spyhop.model.orders import Fact, Fill, Liquidity
from spyhop.model.rows import DECIDING, ROW, RowFlag, Rows
from spyhop.model.tape import Events, Kind, Side, Status
from spyhop.model.verdicts import Approved, Refused, RiskState, RiskStateChanged, Verdict
from spyhop.risk.comparisons import Cause, compared

FEEDS = ("a", "b")


class Numbers(msgspec.Struct):
    """State of a toy stage: a checksum that any change of order changes, and a counter."""

    digest: int = 7
    count: int = 0

    def mix(self, number: int) -> int:
        self.digest = (self.digest * 1_000_003 + number) % 1_000_000_007
        self.count += 1
        return self.digest


class Toy:
    def __init__(self) -> None:
        self.state = Numbers()

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode(self.state)

    def restore(self, snapshot: bytes) -> None:
        self.state = msgspec.msgpack.decode(snapshot, type=Numbers)

    def statistics(self) -> dict[str, float]:
        return {"count": float(self.state.count)}


class ToyDetection(Toy):
    """A row at each second; every second one is an analysis."""

    def on(self, events: Events) -> Rows:
        rows = []
        for event in events:
            ts = int(event["ts_recv"])
            is_end = event["kind"] == Kind.STATUS and event["aux"] == Status.SESSION_END
            while self.state.count < ts // NS_PER_S or is_end:
                row = np.zeros(1, ROW)
                row["ts"] = ts if is_end else (self.state.count + 1) * NS_PER_S
                row["instrument"] = event["instrument"]
                row["flags"] = RowFlag.END if is_end else (RowFlag.ANALYSIS if self.state.count % 2 else RowFlag.SECOND)
                row["mid"] = self.state.mix(int(event["id"]))
                rows.append(row)
                if is_end:
                    break
        return np.concatenate(rows) if rows else np.zeros(0, ROW)


class ToyOutput(msgspec.Struct):
    probabilities: Any
    decision: Decision | None = None
    intent: Intent | None = None
    observation: Observation | None = None


class ToyDecision(Toy):
    def decides(self, row: np.void) -> bool:
        return bool(row["flags"] & DECIDING)

    def on_row(self, row: np.void) -> ToyOutput:
        digest, output = self.state.mix(int(row["mid"])), ToyOutput(np.full(23, 1 / 23))
        if row["flags"] & RowFlag.ANALYSIS:
            output.observation = observed(int(row["ts"]), int(row["instrument"]), float(digest))
            shared = {"seq": self.state.count, "ts": int(row["ts"]), "instrument": int(row["instrument"])}
            output.decision = Decision(
                **shared,
                trigger=Trigger.INTERVAL,
                price=float(digest),
                probabilities=(1.0,),
                strategy="WHALE_PUMP",
                probability=1.0,
                confidence=1.0,
                side=Side.BUY,
                evidence=(),
            )
            if digest % 3:
                output.intent = Intent(
                    **shared,
                    decision_seq=0,
                    side=Side.BUY,
                    strategy="WHALE_PUMP",
                    probability=1.0,
                    confidence=1.0,
                    reference=digest,
                    take_profit=1,
                    stop=1,
                    max_hold_ns=1,
                )
        return output

    def on_fact(self, fact: Fact) -> None:
        assert isinstance(fact, Fill)
        self.state.mix(fact.price)


def observed(ts: int, instrument: int, mid: float) -> Observation:
    nothing = dict.fromkeys(Observation.__struct_fields__[5:13], 0.0)
    return Observation(ts=ts, instrument=instrument, mid=mid, last=mid, ts_venue=0, **{**nothing, "age_ns": 0}, atr=0.0)


class ToyRisk(Toy):
    def on_observation(self, observed: Observation) -> list[Notice]:
        digest = self.state.mix(int(observed.mid))
        state = RiskState.HALT if digest % 2 else RiskState.CAN_TRADE
        changed = RiskStateChanged(ts=0, state=state, before=state, reasons=(str(digest),), instrument=0)
        return [*([changed] if digest % 3 else []), compared(observed, Cause.DECISION, state)]

    is_paused = is_draining = is_killed = False

    def on_verdict(self, verdict: Verdict) -> None:
        self.state.mix(verdict.intent.reference)

    def on_control(self, control: Control, ts: int) -> None:
        raise AssertionError("no words in this law")

    def take_notices(self) -> list[Notice]:
        return []

    def on_intent(self, intent: Intent) -> Verdict:
        digest = self.state.mix(intent.reference)
        if digest % 4 == 0:
            return Refused(seq=self.state.count, ts=intent.ts, intent=intent, code="toy", measured=1.0, limit=0.0)
        return Approved(
            seq=self.state.count,
            ts=intent.ts,
            intent=intent,
            lots=digest,
            leverage=1,
            risk=1,
            margin=1,
            epoch=1,
            expires=0,
        )

    def on_fact(self, fact: Fact) -> None:
        assert isinstance(fact, Fill)
        self.state.mix(fact.price)

    def begin_epoch(self, epoch: int) -> None:
        raise AssertionError("no epochs in this law")


class ToyOrder(Toy):
    """Fills each approval by the next event of its instrument, and tells of it a little later."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[int, int]] = []

    @property
    def is_idle(self) -> bool:
        return not self.open

    def on_risk_state(self, changed: RiskStateChanged) -> list[Fact]:
        self.state.mix(int(changed.reasons[0]))
        return []

    def on_approved(self, approved: Approved) -> list[Fact]:
        self.open.append((approved.intent.instrument, approved.lots))
        return []

    def advance(self, events: Events, until: int) -> list[Fact]:
        facts: list[Fact] = []
        for event in events:
            assert event["ts_recv"] < until
            digest = self.state.mix(int(event["id"]))
            for instrument, lots in [order for order in self.open if order[0] == event["instrument"]]:
                self.open.remove((instrument, lots))
                facts.append(
                    Fill(
                        ts=int(event["ts_recv"]),
                        ts_venue=0,
                        fill_id=str(digest),
                        client_order_id="",
                        instrument=instrument,
                        side=Side.BUY,
                        price=digest,
                        lots=lots,
                        liquidity=Liquidity.TAKER,
                        fee=0.0,
                        slippage=0.0,
                    )
                )
        return facts

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode((self.state, self.open))

    def restore(self, snapshot: bytes) -> None:
        self.state, self.open = msgspec.msgpack.decode(snapshot, type=tuple[Numbers, list[tuple[int, int]]])


class Kept:
    """Keeps tapes and records in memory; repeats change nothing."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, int], Entry] = {}
        self.order: list[str] = []

    def append(self, *args: Any) -> None:
        if len(args) == 1:
            self.add(args[0])

    def add(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            known = self.entries.setdefault((entry.stage, entry.seq), entry)
            assert known == entry, "a repeat said something else"

    def rows(self, rows: Rows, probabilities: Any) -> None:
        assert len(rows) == len(probabilities)

    def flush(self) -> None: ...

    def committed(self, stage: str) -> int:
        return sum(key[0] == stage for key in self.entries)

    def close(self) -> None: ...

    def sorted(self) -> list[Entry]:
        return sorted(self.entries.values(), key=lambda entry: entry.order)


def feed_node(name: str, batches: list[Events]) -> FeedNode:
    return FeedNode(name, FEEDS.index(name), ArrayFeed(batches), ToyDetection())


def tapes() -> dict[str, list[Events]]:
    rng = np.random.default_rng(5)
    batches: dict[str, list[Events]] = {}
    for instrument, name in enumerate(FEEDS):
        stamps = np.sort(rng.integers(1, 12 * NS_PER_S, 60))
        events = np.zeros(60, tape.EVENT)
        events["kind"], events["ts_recv"], events["instrument"] = Kind.TRADE, stamps, instrument
        events["id"] = rng.integers(1, 1_000, 60)
        batches[name] = [events[start : start + 7] for start in range(0, 60, 7)]
    return batches


TAPES = tapes()


def uninterrupted() -> list[Entry]:
    kept = Kept()
    Pipeline(
        [feed_node(name, TAPES[name]) for name in FEEDS],
        DecisionNode(ToyDecision(), FEEDS),
        RiskNode(ToyRisk()),
        OrderNode(ToyOrder(), FEEDS),
        kept,
        kept,
    ).run()
    return kept.sorted()


EXPECTED = uninterrupted()

EDGES: dict[str, dict[str, tuple[str, str]]] = {
    "feed:a": {"rows": ("decision", "rows:a"), "tape": ("order", "tape:a")},
    "feed:b": {"rows": ("decision", "rows:b"), "tape": ("order", "tape:b")},
    "decision": {"intents": ("risk", "intents"), "records": ("ledger", "")},
    "risk": {"approved": ("order", "approved"), "records": ("ledger", "")},
    "order": {"facts:decision": ("decision", "facts"), "facts:risk": ("risk", "facts"), "records": ("ledger", "")},
}
NAMES = tuple(EDGES)


class Cluster:
    """All vessels, their disks, and whoever carries parcels between them."""

    def __init__(self) -> None:
        self.kept = Kept()
        self.vessels: dict[str, Vessel] = {name: self.built(name) for name in NAMES}
        self.disk = {name: self.vessels[name].checkpoint() for name in NAMES}

    def built(self, name: str) -> Vessel:
        if name.startswith("feed:"):
            return FeedVessel(feed_node(name[5:], TAPES[name[5:]]), lambda output: None)
        if name == "decision":
            return DecisionVessel(DecisionNode(ToyDecision(), FEEDS), FEEDS)
        if name == "risk":
            return RiskVessel(RiskNode(ToyRisk()))
        return OrderVessel(OrderNode(ToyOrder(), FEEDS), FEEDS)

    def checkpoint(self, name: str) -> None:
        self.disk[name] = self.vessels[name].checkpoint()
        self.vessels[name].checkpointed()

    def kill(self, name: str) -> None:
        self.vessels[name] = self.built(name)
        self.vessels[name].restore(self.disk[name])

    def lose(self) -> None:
        """Kill the supervisor and its disk: what the ledger keeps is all that is left."""
        vessel = self.built("risk")
        assert isinstance(vessel, RiskVessel)
        vessel.rebuild(past_of(self.kept.entries.values()))
        self.vessels["risk"], self.disk["risk"] = vessel, vessel.checkpoint()

    def produce(self, name: str) -> None:
        vessel = self.vessels[name]
        if isinstance(vessel, FeedVessel) and not vessel.node.is_finished:
            vessel.produce()

    def carry(self, name: str, *, answers: bool) -> None:
        vessel = self.vessels[name]
        for edge, (target, far) in EDGES[name].items():
            parcel = vessel.next_parcel(edge)
            if parcel is None:
                continue
            if target == "ledger":
                self.kept.add(RECORDS_DECODER.decode(parcel.data).entries)
                receipt = Receipt.of_records(parcel.first)
            else:
                receipt = self.vessels[target].receive(far, parcel.first, parcel.data)
            if answers:
                vessel.outboxes[edge].acknowledge(receipt)

    def act(self, action: str, name: str) -> None:
        if action == "produce":
            self.produce(name)
        elif action == "checkpoint":
            self.checkpoint(name)
        elif action == "kill":
            self.kill(name)
        else:
            self.carry(name, answers=action == "carry")

    def rewind(self) -> None:
        """Do as carriers do when all is quiet: a receiver that came back older cannot ask for what it had."""
        for vessel in self.vessels.values():
            for outbox in vessel.outboxes.values():
                outbox.rewind()

    def run_to_the_end(self) -> None:
        for number in range(3_000):
            if number % 100 == 99:
                self.rewind()
            for name in NAMES:
                self.produce(name)
                self.carry(name, answers=True)
            if all(vessel.is_finished for vessel in self.vessels.values()):
                return
        raise AssertionError("the session never finished")


ACTIONS = ("produce", "carry", "carry", "carry", "lose the answer", "checkpoint", "kill")


def test_the_reference_does_something() -> None:
    kinds = {type(entry.message).__name__ for entry in EXPECTED}
    assert {"Decision", "Intent", "RiskStateChanged", "Approved", "Refused", "Fill"} <= kinds


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.sampled_from(NAMES)), max_size=150))
def test_any_schedule_with_any_kills_gives_the_same_entries(script: list[tuple[str, str]]) -> None:
    cluster = Cluster()
    for action, name in script:
        cluster.act(action, name)
    cluster.run_to_the_end()
    assert cluster.kept.sorted() == EXPECTED


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from((*ACTIONS, "lose")), st.sampled_from(NAMES)), max_size=150))
def test_a_supervisor_without_its_disk_goes_on_from_the_ledger(script: list[tuple[str, str]]) -> None:
    cluster = Cluster()
    for action, name in script:
        if action == "lose":
            cluster.lose()
        else:
            cluster.act(action, name)
    cluster.run_to_the_end()
    assert cluster.kept.sorted() == EXPECTED
    cluster.lose()
    cluster.run_to_the_end()
    assert cluster.kept.sorted() == EXPECTED


@pytest.mark.parametrize("num_away", [0, 3])
def test_what_a_checkpoint_covers_and_the_ledger_does_not_is_not_forgotten(num_away: int) -> None:
    for num_turns in range(1, 40, 2):
        cluster = Cluster()
        for turn in range(num_turns + num_away):
            for name in NAMES:
                cluster.produce(name)
                if turn < num_turns or name != "risk":  # for a while its records do not arrive
                    cluster.carry(name, answers=True)
            cluster.checkpoint("risk")
        cluster.lose()
        cluster.run_to_the_end()
        assert cluster.kept.sorted() == EXPECTED


class Stretch(msgspec.Struct):
    """A while in which some actors are slow and others quick, after a death and before a checkpoint."""

    victim: str | None
    is_lost: bool
    kept: str | None
    num_turns: int
    paces: tuple[int, ...]


STRETCHES = st.builds(
    Stretch,
    victim=st.none() | st.sampled_from(NAMES),
    is_lost=st.booleans(),
    kept=st.none() | st.sampled_from(NAMES),
    num_turns=st.integers(1, 30),
    paces=st.tuples(*[st.sampled_from((0, 0, 1, 3))] * len(NAMES)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STRETCHES, min_size=1, max_size=12))
def test_a_life_in_another_rhythm_makes_other_parcels_and_the_same_entries(stretches: list[Stretch]) -> None:
    # whoever comes back gets its inputs in another rhythm and cuts its outputs elsewhere
    cluster = Cluster()
    for stretch in stretches:
        if stretch.victim is not None:
            cluster.kill(stretch.victim)
            if stretch.victim == "risk" and stretch.is_lost:
                cluster.lose()
            cluster.rewind()
        for _ in range(stretch.num_turns):
            for name, pace in zip(NAMES, stretch.paces, strict=True):
                for _ in range(pace):
                    cluster.produce(name)
                    cluster.carry(name, answers=True)
        if stretch.kept is not None:
            cluster.checkpoint(stretch.kept)
    cluster.run_to_the_end()
    assert cluster.kept.sorted() == EXPECTED


def test_whoever_dies_after_everything_was_sent_to_it_gets_it_again() -> None:
    for name in NAMES:
        cluster = Cluster()
        cluster.run_to_the_end()
        cluster.kill(name)
        cluster.run_to_the_end()
        assert cluster.kept.sorted() == EXPECTED


def test_no_approval_leaves_before_its_verdict_is_kept() -> None:
    cluster = Cluster()
    num_approved = 0
    for _ in range(200):
        for name in NAMES:
            cluster.produce(name)
            offered = cluster.vessels["risk"].next_parcel("approved")
            payload = msgspec.msgpack.decode(offered.data, type=Messages).payload if offered else b""
            for approved in msgspec.msgpack.decode(payload, type=list[Ticket]) if payload else []:
                kept = [entry.message for entry in cluster.kept.entries.values()]
                assert approved in kept
                num_approved += 1
            cluster.carry(name, answers=True)
    assert num_approved > 0
