"""A supervisor from the ledger alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from spyhop.clock import NS_PER_MINUTE, NS_PER_S
from spyhop.model.control import Control
from spyhop.model.decisions import Intent
from spyhop.model.entries import Entry, Recorded
from spyhop.model.instruments import Instrument
from spyhop.model.observations import Observation
from spyhop.model.orders import Difference, DifferenceKind, Fact, Reconciled
from spyhop.model.verdicts import Approved, EpochBegan, Refused, RiskStateChanged
from spyhop.risk.limits import LimitParams
from spyhop.risk.recovery import retell
from spyhop.risk.sizing import SizingParams
from spyhop.risk.stage import RiskParams, RiskStage
from spyhop.risk.states import StateParams
from tests.spyhop.risk.test_stage import drawn, facts_of

MakeInstrument = Callable[..., Instrument]
MakeIntent = Callable[..., Intent]
MakeObservation = Callable[..., Observation]
PARAMS = RiskParams(
    sizing=SizingParams(position_size_usdt=2_000.0, max_adds=1, min_add_profit_r=0.0, target_sigma_1m=4e-4),
    limits=LimitParams(max_trades_per_day=12, max_losses_in_row=1, loss_cooldown_s=900.0),
    states=StateParams(suspect_losses_in_row=0.0),
)


class Ledger:
    """Keeps what a supervisor and an executor say, in the order of event time."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._seqs = {"risk": 0, "order": 0}

    def keep(self, stage: str, message: Recorded) -> None:
        self.entries.append(Entry(message.ts, stage, self._seqs[stage], message))
        self._seqs[stage] += 1


def session(
    stage: RiskStage, ledger: Ledger, seed: int, make_intent: MakeIntent, make_observation: MakeObservation
) -> None:
    """Let chance decide what is observed, wished, filled, reconciled and commanded."""
    rng = np.random.default_rng(seed)
    waiting: list[Fact] = []
    words = [Control.PAUSE, Control.RESUME, Control.PAUSE, Control.RESUME, Control.DRAIN, Control.KILL]

    def hear(until: int) -> None:
        waiting.sort(key=lambda fact: fact.ts)
        while waiting and waiting[0].ts < until:
            fact = waiting.pop(0)
            ledger.keep("order", fact)
            stage.on_fact(fact)

    for n, intent in enumerate(drawn(seed, make_intent, make_intent().ts, num=60)):
        hear(intent.ts)
        if rng.random() < 0.1:
            stage.begin_epoch(n + 2)
            ledger.keep("risk", EpochBegan(ts=intent.ts, epoch=n + 2, at_seq=0))
        if n % 9 == 8 and words:
            stage.on_control(words.pop(0), intent.ts)
        observed = make_observation(
            ts=intent.ts,
            instrument=intent.instrument,
            mid=intent.reference / 10,
            age_ns=int(rng.integers(0, 3 * NS_PER_S)),
            sigma_1m=float(rng.uniform(1e-4, 1e-3)),
        )
        for notice in stage.on_observation(observed):
            ledger.keep("risk", notice)
        verdict = stage.on_intent(intent)
        for notice in stage.take_notices():
            ledger.keep("risk", notice)
        ledger.keep("risk", verdict)
        if isinstance(verdict, Approved):
            price = intent.stop if rng.random() < 0.6 else intent.take_profit
            waiting += facts_of(verdict, price, int(rng.integers(2, 300)) * NS_PER_S)
        if rng.random() < 0.2:
            kind = DifferenceKind.SIZE_MISMATCH
            at = intent.ts + NS_PER_S
            waiting.append(Difference(ts=at, instrument=1, kind=kind, ours=1.0, theirs=2.0, is_repaired=False))
            waiting.append(Reconciled(ts=at + NS_PER_MINUTE, instrument=1, is_clean=True, cause="timer"))
    # the last facts came, and nobody wished for anything since
    hear(1 << 62)
    for notice in stage.take_notices():
        ledger.keep("risk", notice)


@pytest.mark.parametrize("seed", range(6))
def test_what_the_ledger_rebuilds_equals_what_a_snapshot_restores(
    make_instrument: MakeInstrument, make_intent: MakeIntent, make_observation: MakeObservation, seed: int
) -> None:
    instruments = [make_instrument(), make_instrument(id=1, symbol="ETHUSDT")]
    stage, ledger = RiskStage(PARAMS, instruments, 10_000.0), Ledger()
    session(stage, ledger, seed, make_intent, make_observation)
    restored = RiskStage(PARAMS, instruments, 1.0)
    restored.restore(stage.snapshot())
    again = RiskStage(PARAMS, instruments, 10_000.0)
    retell(again, reversed(ledger.entries))
    assert again.snapshot() == restored.snapshot()
    assert again.statistics() == restored.statistics()
    late = make_intent(seq=999, ts=ledger.entries[-1].ts + 3_600 * NS_PER_S)
    assert again.on_intent(late) == restored.on_intent(late)


def test_such_sessions_hold_all_that_there_is_to_rebuild(
    make_instrument: MakeInstrument, make_intent: MakeIntent, make_observation: MakeObservation
) -> None:
    instruments = [make_instrument(), make_instrument(id=1, symbol="ETHUSDT")]
    kinds, reasons, codes = set(), set(), set()
    for seed in range(6):
        stage, ledger = RiskStage(PARAMS, instruments, 10_000.0), Ledger()
        session(stage, ledger, seed, make_intent, make_observation)
        for entry in ledger.entries:
            kinds.add(type(entry.message).__name__)
            if isinstance(entry.message, RiskStateChanged):
                reasons |= {reason.partition(":")[0] for reason in entry.message.reasons}
            if isinstance(entry.message, Refused):
                codes.add(entry.message.code)
    assert kinds >= {"Approved", "Refused", "EpochBegan", "RiskStateChanged", "Comparison", "TradeClosed", "Fill"}
    assert reasons >= {"paused", "draining", "killed", "data_age", "unclean", "losses_in_row"}
    assert codes >= {"not_paused", "kill_switch_off", "state_permits", "max_losses_in_row"}
