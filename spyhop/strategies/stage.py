"""The decision stage: rows and facts in, probabilities, decisions and intents out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from spyhop.clock import NS_PER_S
from spyhop.errors import SnapshotMismatch, StateError
from spyhop.model.control import Control
from spyhop.model.decisions import LEAD_FOLLOW, STRATEGIES, Contribution, Decision, Intent, Trigger
from spyhop.model.instruments import Instrument
from spyhop.model.observations import LeadFeatures, Observation
from spyhop.model.orders import Fact, Fill, Liquidated, OrderChanged, OrderStatus, Purpose, TradeClosed
from spyhop.model.rows import DECIDING, RowFlag
from spyhop.model.tape import Side
from spyhop.strategies import exits as exit_rules
from spyhop.strategies import filter as signal_filter
from spyhop.strategies import lead as lead_rules
from spyhop.strategies.ensemble import Ensemble, EnsembleParams, Judgement
from spyhop.strategies.exits import ExitParams, Exits
from spyhop.strategies.filter import Signal, SignalFilterParams
from spyhop.strategies.lead import LeadParams
from spyhop.strategies.observing import Known, Observer, data_age
from spyhop.strategies.weights import Weights, load

_LAYOUT = "decision 3"
_ANALYSED = RowFlag.ANALYSIS | RowFlag.SHARP
_ENDED = (OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED)


class DecisionParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How rows become intents."""

    ensemble: EnsembleParams = EnsembleParams()
    filter: SignalFilterParams = SignalFilterParams()
    exits: ExitParams = ExitParams()


class DecisionOutput(msgspec.Struct, frozen=True):
    """What one row led to; `probabilities` has shape (23,) and sums to 1.

    Rows flagged ANALYSIS, SHARP or END have an observation, those of the first two a decision. So have those on which
    LEAD_FOLLOW decides; where both do, the decision is the one that wishes to enter.
    """

    probabilities: Any
    decision: Decision | None = None
    intent: Intent | None = None
    observation: Observation | None = None


class _Standing(msgspec.Struct):
    # how one instrument stands with us, told by facts alone
    lots: int = 0  # signed
    entering: list[str] = []  # live entry orders
    last_fill: int | None = None
    is_ended: bool = False
    word: int = 0  # the leader's, at the second before
    asked: int = 0  # when LEAD_FOLLOW wished to enter last
    wished_spread: float = 0.0  # at the newest intent
    entry_spread: float = 0.0  # at the intent that what is held came from


class _State(msgspec.Struct):
    standings: dict[int, _Standing]
    known: Known
    num_decisions: int = 0
    num_intents: int = 0
    num_rows: int = 0
    is_paused: bool = False
    is_killed: bool = False


class DecisionStage:
    """Judges every row; on those flagged ANALYSIS or SHARP it decides, and may wish to enter.

    Probabilities depend on the row alone. What stands between a decision and an intent are the signal filter, the
    leader (`lead.mode`), an operator's command and the end of the session; each is said in the decision's reasons.

    With `lead.enters` it decides at every second of a market that is led, too: LEAD_FOLLOW speaks when its rule begins
    to hold, and again when it can enter. Of one instant the rows of leaders should come first.
    """

    def __init__(
        self,
        params: DecisionParams,
        instruments: Sequence[Instrument],
        weights: Weights | None = None,
        lead: LeadParams | None = None,
    ) -> None:
        self._params, self._lead = params, lead or LeadParams()
        self._instruments = {instrument.id: instrument for instrument in instruments}
        self._ensemble = Ensemble(params.ensemble, weights or load())
        self._observer = Observer(instruments, self._lead)
        self._state = _State({instrument.id: _Standing() for instrument in instruments}, Known())

    def decides(self, row: np.void) -> bool:
        """Say whether something may be decided on `row`, the next to be judged; rows alone tell."""
        if int(row["flags"]) & DECIDING:
            return True
        features = self._observer.features(row) if self._is_followed(row) else None
        return features is not None and features.side != 0

    def _is_followed(self, row: np.void) -> bool:
        return self._lead.enters and int(row["instrument"]) in self._observer.leaders

    def on_row(self, row: np.void) -> DecisionOutput:
        """Judge one ROW record; raise StateError for an instrument that is not this session's."""
        standing = self._standing(int(row["instrument"]))
        flags = int(row["flags"])
        self._state.num_rows += 1
        self._observer.note(row)
        judgement = self._ensemble.judge(row)
        if flags & RowFlag.END:
            standing.is_ended = True
        is_followed = self._is_followed(row)
        features = None
        if flags & DECIDING or is_followed:
            features = self._observer.features(row, standing.entry_spread)
        decision = self._decided(row, judgement, standing, features) if flags & _ANALYSED else None
        if is_followed:
            followed = self._followed(row, judgement, standing, features)
            if followed is not None and (decision is None or (decision.reasons and not followed.reasons)):
                decision = followed
        if decision is None and not flags & DECIDING:
            return DecisionOutput(judgement.probabilities)
        k = judgement.winner
        side, probability = self._ensemble.side(judgement, k), float(judgement.probabilities[k])
        observation = self._observer.observed(row, side, probability, features)
        if decision is None:
            return DecisionOutput(judgement.probabilities, observation=observation)
        decision, intent = self._wished(row, decision, features)
        return DecisionOutput(judgement.probabilities, decision, intent, observation)

    def on_fact(self, fact: Fact) -> None:
        """Take note of positions and of entries on their way."""
        standing = self._standing(fact.instrument)
        match fact:
            case Fill():
                if not standing.lots:
                    standing.entry_spread = standing.wished_spread
                standing.lots += fact.side * fact.lots
                standing.last_fill = fact.ts
            case Liquidated():
                taken = min(fact.lots, abs(standing.lots))
                standing.lots += -taken if standing.lots > 0 else taken
                standing.last_fill = fact.ts
            case TradeClosed():
                standing.lots = 0
                standing.last_fill = fact.ts
            case OrderChanged() if fact.order.purpose is Purpose.ENTRY:
                if fact.client_order_id in standing.entering:
                    standing.entering.remove(fact.client_order_id)
                if fact.status not in _ENDED:
                    standing.entering.append(fact.client_order_id)
        if not standing.lots:
            standing.entry_spread = 0.0

    def on_control(self, control: Control) -> None:
        """Obey an operator: PAUSE until RESUME; KILL and DRAIN for good."""
        match control:
            case Control.PAUSE:
                self._state.is_paused = True
            case Control.RESUME:
                self._state.is_paused = False
            case Control.KILL | Control.DRAIN:
                self._state.is_killed = True

    def snapshot(self) -> bytes:
        self._state.known = self._observer.snapshot()
        return msgspec.msgpack.encode((_LAYOUT, self._state))

    def restore(self, snapshot: bytes) -> None:
        try:
            layout, state = msgspec.msgpack.decode(snapshot, type=tuple[str, msgspec.Raw])
        except msgspec.DecodeError as error:
            raise SnapshotMismatch("decision", _LAYOUT, "unknown") from error
        if layout != _LAYOUT:
            raise SnapshotMismatch("decision", _LAYOUT, layout)
        self._state = msgspec.msgpack.decode(state, type=_State)
        self._observer.restore(self._state.known)

    def statistics(self) -> dict[str, float]:
        return {
            "rows": float(self._state.num_rows),
            "decisions": float(self._state.num_decisions),
            "intents": float(self._state.num_intents),
            "is_paused": float(self._state.is_paused or self._state.is_killed),
        }

    def _standing(self, instrument: int) -> _Standing:
        if instrument not in self._instruments:
            raise StateError(f"instrument {instrument} is not one of this session")
        return self._state.standings[instrument]

    def _wished(
        self, row: np.void, decision: Decision, features: LeadFeatures | None
    ) -> tuple[Decision, Intent | None]:
        self._state.num_decisions += 1
        if decision.reasons:
            return decision, None
        reference = exit_rules.reference(decision.side, int(row["bid"]), int(row["ask"]))
        wanted = self._lead.exits if decision.strategy == LEAD_FOLLOW else self._params.exits
        planned = exit_rules.exits(decision.side, reference, wanted)
        if planned is None:
            reason = f"a price of {reference} ticks leaves no room for exits"
            return msgspec.structs.replace(decision, reasons=(reason,)), None
        is_led = decision.strategy == LEAD_FOLLOW or self._lead.mode != "off"
        age = max(data_age(row), features.age_ns) if is_led and features is not None else data_age(row)
        intent = self._intent(row, decision, reference, planned, age)
        self._state.num_intents += 1
        self._standing(decision.instrument).wished_spread = features.spread if features is not None else 0.0
        return decision, intent

    def _decided(
        self, row: np.void, judgement: Judgement, standing: _Standing, features: LeadFeatures | None
    ) -> Decision:
        k = judgement.winner
        side = self._ensemble.side(judgement, k)
        probability, evidence = float(judgement.probabilities[k]), self._ensemble.contributions(judgement, k)
        of_leader: tuple[str, ...] = ()
        if int(row["instrument"]) in self._observer.leaders:
            vote, of_leader = lead_rules.vote(side, features, self._lead)
            if vote:
                evidence = (
                    *evidence,
                    Contribution(lead_rules.NAMES[0], vote / self._lead.weight, self._lead.weight, vote),
                )
                probability = min(1.0, max(0.0, probability + vote))
        confidence = self._ensemble.confidence(judgement, k, row)
        signal = self._signal(row, side, STRATEGIES[k], standing, probability, confidence)
        found = (*self._commands(standing), *signal_filter.reasons(signal, self._params.filter), *of_leader)
        is_interval = int(row["flags"]) & RowFlag.ANALYSIS
        trigger = Trigger.INTERVAL if is_interval else Trigger.SHARP
        return self._decision(row, judgement, signal, trigger, evidence, (*judgement.shut, *found))

    def _followed(
        self, row: np.void, judgement: Judgement, standing: _Standing, features: LeadFeatures | None
    ) -> Decision | None:
        """Return what LEAD_FOLLOW decides: None while its rule does not hold, or holds as before and cannot enter.

        What it wished and did not get it wishes again after the interval between trades.
        """
        before, standing.word = standing.word, features.side if features is not None else 0
        if features is None or not features.side:
            return None
        ts = int(row["ts"])
        is_new = standing.word != before
        freshness = max(0.0, 1.0 - features.age_ns / (self._lead.max_age_s * NS_PER_S))
        signal = self._signal(row, Side(features.side), LEAD_FOLLOW, standing, 0.0, freshness)
        reasons = (
            *judgement.shut,
            *self._commands(standing),
            *signal_filter.obstacles(signal, self._params.filter),
            *lead_rules.staleness(features, self._lead),
            *self._unhedged(int(row["instrument"])),
        )
        is_early = ts - standing.asked < self._params.filter.min_trade_interval_s * NS_PER_S
        if not is_new and (reasons or is_early):
            return None
        if not reasons:
            standing.asked = ts
        evidence = lead_rules.contributions(features, self._lead)
        return self._decision(row, judgement, signal, Trigger.LEAD, evidence, reasons)

    def _signal(
        self, row: np.void, side: Side, strategy: str, standing: _Standing, probability: float, confidence: float
    ) -> Signal:
        return Signal(
            side=side,
            strategy=strategy,
            probability=probability,
            confidence=confidence,
            data_age_ns=data_age(row),
            since_trade_ns=None if standing.last_fill is None else int(row["ts"]) - standing.last_fill,
            is_engaged=bool(standing.lots or standing.entering),
        )

    def _decision(
        self,
        row: np.void,
        judgement: Judgement,
        signal: Signal,
        trigger: Trigger,
        evidence: tuple[Contribution, ...],
        reasons: tuple[str, ...],
    ) -> Decision:
        return Decision(
            seq=self._state.num_decisions,
            ts=int(row["ts"]),
            instrument=int(row["instrument"]),
            trigger=trigger,
            price=float(row["mid"]) or float(row["last"]),
            probabilities=tuple(judgement.probabilities.tolist()),
            strategy=signal.strategy,
            probability=signal.probability,
            confidence=signal.confidence,
            side=signal.side,
            evidence=evidence,
            reasons=reasons,
        )

    def _commands(self, standing: _Standing) -> list[str]:
        said = []
        if self._state.is_killed:
            said.append("entries were ended by command")
        elif self._state.is_paused:
            said.append("entries are paused by command")
        if standing.is_ended:
            said.append("the session has ended for this instrument")
        return said

    def _unhedged(self, number: int) -> list[str]:
        """Return why an entry of LEAD_FOLLOW cannot be hedged, if it is to be."""
        leader = self._state.standings[self._observer.leaders[number]]
        if not self._lead.hedge:
            return []
        if leader.is_ended:
            return ["the session has ended for the leader"]
        return ["the leader's market is held or entered already"] if leader.lots or leader.entering else []

    def _intent(self, row: np.void, decision: Decision, reference: int, planned: Exits, age_ns: int) -> Intent:
        instrument = self._instruments[decision.instrument]
        is_hedged = decision.strategy == LEAD_FOLLOW and self._lead.hedge
        return Intent(
            seq=self._state.num_intents,
            ts=decision.ts,
            instrument=decision.instrument,
            decision_seq=decision.seq,
            side=decision.side,
            strategy=decision.strategy,
            probability=decision.probability,
            confidence=decision.confidence,
            reference=reference,
            take_profit=planned.take_profit,
            stop=planned.stop,
            max_hold_ns=planned.max_hold_ns,
            atr=float(row["evidence"]["atr"]),
            spread=(int(row["ask"]) - int(row["bid"])) * instrument.tick,
            data_age_ns=age_ns,
            hedge=self._observer.hedge(decision.instrument, decision.side) if is_hedged else None,
        )
