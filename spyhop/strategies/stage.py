"""The decision stage: rows and facts in, probabilities, decisions and intents out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from spyhop.errors import SnapshotMismatch, StateError
from spyhop.model.control import Control
from spyhop.model.decisions import STRATEGIES, Decision, Intent, Trigger
from spyhop.model.instruments import Instrument
from spyhop.model.observations import Observation
from spyhop.model.orders import Fact, Fill, Liquidated, OrderChanged, OrderStatus, Purpose, TradeClosed
from spyhop.model.rows import RowFlag
from spyhop.strategies import exits as exit_rules
from spyhop.strategies import filter as signal_filter
from spyhop.strategies.ensemble import Ensemble, EnsembleParams, Judgement
from spyhop.strategies.exits import ExitParams, Exits
from spyhop.strategies.filter import Signal, SignalFilterParams
from spyhop.strategies.observing import Observer, Sight, data_age
from spyhop.strategies.weights import Weights, load

_LAYOUT = "decision 2"
_ENDED = (OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED)


class DecisionParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How rows become intents."""

    ensemble: EnsembleParams = EnsembleParams()
    filter: SignalFilterParams = SignalFilterParams()
    exits: ExitParams = ExitParams()


class DecisionOutput(msgspec.Struct, frozen=True):
    """What one row led to; `probabilities` has shape (23,) and sums to 1.

    Rows flagged ANALYSIS, SHARP or END have an observation, those of the first two a decision.
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


class _State(msgspec.Struct):
    standings: dict[int, _Standing]
    sights: dict[int, Sight]
    num_decisions: int = 0
    num_intents: int = 0
    num_rows: int = 0
    is_paused: bool = False
    is_killed: bool = False


class DecisionStage:
    """Judges every row; on those flagged ANALYSIS or SHARP it decides, and may wish to enter.

    Probabilities depend on the row alone. What stands between a decision and an intent are the signal filter, an
    operator's command and the end of the session; each is said in the decision's reasons.
    """

    def __init__(
        self, params: DecisionParams, instruments: Sequence[Instrument], weights: Weights | None = None
    ) -> None:
        self._params = params
        self._instruments = {instrument.id: instrument for instrument in instruments}
        self._ensemble = Ensemble(params.ensemble, weights or load())
        self._observer = Observer(instruments)
        self._state = _State({instrument.id: _Standing() for instrument in instruments}, self._observer.sights)

    def on_row(self, row: np.void) -> DecisionOutput:
        """Judge one ROW record; raise StateError for an instrument that is not this session's."""
        standing = self._standing(int(row["instrument"]))
        flags = int(row["flags"])
        self._state.num_rows += 1
        self._observer.note(row)
        judgement = self._ensemble.judge(row)
        if flags & RowFlag.END:
            standing.is_ended = True
        if not flags & (RowFlag.ANALYSIS | RowFlag.SHARP | RowFlag.END):
            return DecisionOutput(judgement.probabilities)
        k = judgement.winner
        side = self._ensemble.side(judgement, k)
        observation = self._observer.observed(row, side, float(judgement.probabilities[k]))
        if not flags & (RowFlag.ANALYSIS | RowFlag.SHARP):
            return DecisionOutput(judgement.probabilities, observation=observation)
        decision, intent = self._wished(row, self._decided(row, judgement, standing))
        return DecisionOutput(judgement.probabilities, decision, intent, observation)

    def on_fact(self, fact: Fact) -> None:
        """Take note of positions and of entries on their way."""
        standing = self._standing(fact.instrument)
        match fact:
            case Fill():
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
        return msgspec.msgpack.encode((_LAYOUT, self._state))

    def restore(self, snapshot: bytes) -> None:
        try:
            layout, state = msgspec.msgpack.decode(snapshot, type=tuple[str, _State])
        except msgspec.DecodeError as error:
            raise SnapshotMismatch("decision", _LAYOUT, "unknown") from error
        if layout != _LAYOUT:
            raise SnapshotMismatch("decision", _LAYOUT, layout)
        self._state = state
        self._observer.sights = state.sights

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

    def _wished(self, row: np.void, decision: Decision) -> tuple[Decision, Intent | None]:
        self._state.num_decisions += 1
        if decision.reasons:
            return decision, None
        reference = exit_rules.reference(decision.side, int(row["bid"]), int(row["ask"]))
        planned = exit_rules.exits(decision.side, reference, self._params.exits)
        if planned is None:
            reason = f"a price of {reference} ticks leaves no room for exits"
            return msgspec.structs.replace(decision, reasons=(reason,)), None
        intent = self._intent(row, decision, reference, planned)
        self._state.num_intents += 1
        return decision, intent

    def _decided(self, row: np.void, judgement: Judgement, standing: _Standing) -> Decision:
        k = judgement.winner
        ts = int(row["ts"])
        side = self._ensemble.side(judgement, k)
        probability = float(judgement.probabilities[k])
        confidence = self._ensemble.confidence(judgement, k, row)
        signal = Signal(
            side=side,
            strategy=STRATEGIES[k],
            probability=probability,
            confidence=confidence,
            data_age_ns=data_age(row),
            since_trade_ns=None if standing.last_fill is None else ts - standing.last_fill,
            is_engaged=bool(standing.lots or standing.entering),
        )
        reasons = (*judgement.shut, *self._commands(standing), *signal_filter.reasons(signal, self._params.filter))
        return Decision(
            seq=self._state.num_decisions,
            ts=ts,
            instrument=int(row["instrument"]),
            trigger=Trigger.INTERVAL if int(row["flags"]) & RowFlag.ANALYSIS else Trigger.SHARP,
            price=float(row["mid"]) or float(row["last"]),
            probabilities=tuple(judgement.probabilities.tolist()),
            strategy=STRATEGIES[k],
            probability=probability,
            confidence=confidence,
            side=side,
            evidence=self._ensemble.contributions(judgement, k),
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

    def _intent(self, row: np.void, decision: Decision, reference: int, planned: Exits) -> Intent:
        instrument = self._instruments[decision.instrument]
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
            data_age_ns=data_age(row),
        )
