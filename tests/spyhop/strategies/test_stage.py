"""The decision stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from spyhop.clock import NS_PER_S
from spyhop.errors import SnapshotMismatch, StateError
from spyhop.model.control import Control
from spyhop.model.decisions import LEAD_FOLLOW, Trigger
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    Fact,
    Fill,
    Liquidated,
    Liquidity,
    OrderChanged,
    OrderStatus,
    OrderType,
    Purpose,
    SubmitOrder,
    TradeClosed,
)
from spyhop.model.rows import Health, RowFlag
from spyhop.model.tape import Side, Venue
from spyhop.strategies.filter import SignalFilterParams
from spyhop.strategies.lead import LeadParams
from spyhop.strategies.stage import DecisionParams, DecisionStage

MakeRow = Callable[..., np.void]
PUMP = {"wpi": 0.9, "momentum": 0.9, "oi_change": 0.6}
FLOW = {"ofi_z": 4.0, "atr": 80.0}


@pytest.fixture
def stage(instrument: Instrument) -> DecisionStage:
    return DecisionStage(DecisionParams(), [instrument])


def pump(make_row: MakeRow, after_s: float = 0.0, **columns: Any) -> np.void:
    row = make_row(**PUMP, evidence=FLOW)
    row["ts"] += round(after_s * NS_PER_S)
    row["ts_book"] = row["ts"]
    for name, value in columns.items():
        row[name] = value
    return row


def fill(ts: int, side: Side, lots: int) -> Fill:
    return Fill(
        ts=ts,
        ts_venue=ts,
        fill_id=f"f{ts}",
        client_order_id="o",
        instrument=0,
        side=side,
        price=915_000,
        lots=lots,
        liquidity=Liquidity.TAKER,
        fee=0.0,
        slippage=0.0,
    )


def changed(ts: int, status: OrderStatus, purpose: Purpose = Purpose.ENTRY, filled: int = 0) -> OrderChanged:
    order = SubmitOrder(
        ts=ts, client_order_id="o", instrument=0, side=Side.BUY, type=OrderType.MARKET, lots=2, purpose=purpose
    )
    return OrderChanged(
        ts=ts, client_order_id="o", instrument=0, status=status, filled=filled, cause="test", order=order
    )


def closed(ts: int) -> TradeClosed:
    zeros = dict.fromkeys(
        ("entry_price", "exit_price", "take_profit_price", "stop_loss_price", "notional", "margin", "leverage")
        + ("gross", "fees", "funding", "slippage", "net", "max_profit_frac", "max_drawdown_frac"),
        0.0,
    )
    return TradeClosed(
        ts=ts,
        trade_id="t",
        instrument=0,
        side=Side.BUY,
        strategy="WHALE_PUMP",
        probability=0.8,
        confidence=0.8,
        intent_seq=0,
        decision_seq=0,
        ts_entry=ts,
        ts_exit=ts,
        lots=2,
        exit_purpose="take_profit",
        **zeros,
    )


def test_a_second_row_gives_probabilities_and_no_decision(stage: DecisionStage, make_row: MakeRow) -> None:
    output = stage.on_row(pump(make_row, flags=RowFlag.SECOND))
    assert output.probabilities.shape == (23,)
    assert (output.decision, output.intent) == (None, None)


def test_a_clear_case_becomes_an_intent_with_its_exits(stage: DecisionStage, make_row: MakeRow) -> None:
    row = pump(make_row)
    output = stage.on_row(row)
    decision, intent = output.decision, output.intent
    assert decision is not None
    assert intent is not None
    assert (decision.strategy, decision.side, decision.reasons) == ("WHALE_PUMP", Side.BUY, ())
    assert decision.probabilities == tuple(output.probabilities.tolist())
    assert decision.price == 91_500.05
    assert (intent.ts, intent.instrument, intent.decision_seq) == (int(row["ts"]), 0, 0)
    assert (intent.reference, intent.take_profit, intent.stop) == (915_000, 916_373, 914_085)
    assert intent.spread == pytest.approx(0.1)
    assert intent.atr == 80.0
    assert intent.data_age_ns == 0


@pytest.mark.parametrize(
    ("flags", "trigger"),
    [
        (RowFlag.ANALYSIS, Trigger.INTERVAL),
        (RowFlag.SHARP, Trigger.SHARP),
        (RowFlag.ANALYSIS | RowFlag.SHARP, Trigger.INTERVAL),
    ],
)
def test_a_decision_says_what_triggered_it(
    stage: DecisionStage, make_row: MakeRow, flags: RowFlag, trigger: Trigger
) -> None:
    decision = stage.on_row(pump(make_row, flags=flags)).decision
    assert decision is not None
    assert decision.trigger is trigger


def test_numbers_count_decisions_and_intents_apart(stage: DecisionStage, make_row: MakeRow) -> None:
    outputs = [stage.on_row(row) for row in (make_row(), pump(make_row), make_row(), pump(make_row))]
    assert [output.decision.seq for output in outputs if output.decision] == [0, 1, 2, 3]
    assert [(output.intent.seq, output.intent.decision_seq) for output in outputs if output.intent] == [(0, 1), (1, 3)]


def test_without_evidence_the_reasons_are_readable(stage: DecisionStage, make_row: MakeRow) -> None:
    output = stage.on_row(make_row(confidence=0.0))
    assert output.intent is None
    assert output.decision is not None
    assert output.decision.strategy == "WAIT_AND_SEE"
    assert output.decision.reasons[0] == "WAIT_AND_SEE has no direction"


def reasons_after(stage: DecisionStage, make_row: MakeRow, facts: list[Fact], after_s: float) -> tuple[str, ...]:
    for fact in facts:
        stage.on_fact(fact)
    decision = stage.on_row(pump(make_row, after_s)).decision
    assert decision is not None
    return decision.reasons


def test_an_entry_on_its_way_bars_another(stage: DecisionStage, make_row: MakeRow) -> None:
    facts: list[Fact] = [changed(1, OrderStatus.PENDING_NEW), changed(2, OrderStatus.OPEN)]
    assert reasons_after(stage, make_row, facts, 100) == ("a position is open or being entered",)


@pytest.mark.parametrize("status", [OrderStatus.REJECTED, OrderStatus.CANCELLED, OrderStatus.EXPIRED])
def test_an_entry_that_came_to_nothing_bars_none(stage: DecisionStage, make_row: MakeRow, status: OrderStatus) -> None:
    assert reasons_after(stage, make_row, [changed(1, OrderStatus.PENDING_NEW), changed(2, status)], 100) == ()


def test_exit_orders_bar_nothing(stage: DecisionStage, make_row: MakeRow) -> None:
    assert reasons_after(stage, make_row, [changed(1, OrderStatus.OPEN, Purpose.STOP_LOSS)], 100) == ()


def test_an_open_position_bars_another(stage: DecisionStage, make_row: MakeRow) -> None:
    assert reasons_after(stage, make_row, [fill(1, Side.SELL, 2)], 100) == ("a position is open or being entered",)


@pytest.mark.parametrize(
    "end",
    [
        fill(10, Side.SELL, 2),
        closed(10),
        Liquidated(ts=10, ts_venue=10, instrument=0, side=Side.SELL, price=1, lots=2, loss=1.0),
    ],
)
def test_a_closed_position_frees_the_instrument(stage: DecisionStage, make_row: MakeRow, end: Fact) -> None:
    assert reasons_after(stage, make_row, [fill(1, Side.BUY, 2), end], 100) == ()


def test_a_minute_must_pass_between_trades(stage: DecisionStage, make_row: MakeRow) -> None:
    start = int(make_row()["ts"])
    done: list[Fact] = [fill(start, Side.BUY, 2), fill(start, Side.SELL, 2)]
    assert reasons_after(stage, make_row, done, 59) == ("59.0 s since the last trade is below 60.0 s",)
    assert reasons_after(stage, make_row, [], 60) == ()


def test_old_data_is_no_trade(stage: DecisionStage, make_row: MakeRow) -> None:
    row = pump(make_row)
    row["ts_book"] -= 3 * NS_PER_S
    decision = stage.on_row(row).decision
    assert decision is not None
    assert decision.reasons == ("data is 3.0 s old, above 2.0 s",)


def test_pause_and_resume(stage: DecisionStage, make_row: MakeRow) -> None:
    stage.on_control(Control.PAUSE)
    assert reasons_after(stage, make_row, [], 0) == ("entries are paused by command",)
    stage.on_control(Control.RESUME)
    assert reasons_after(stage, make_row, [], 0) == ()


@pytest.mark.parametrize("control", [Control.KILL, Control.DRAIN])
def test_kill_and_drain_are_for_good(stage: DecisionStage, make_row: MakeRow, control: Control) -> None:
    stage.on_control(control)
    stage.on_control(Control.RESUME)
    assert reasons_after(stage, make_row, [], 0) == ("entries were ended by command",)


def test_the_end_of_the_session_ends_entries(stage: DecisionStage, make_row: MakeRow) -> None:
    assert stage.on_row(pump(make_row, flags=RowFlag.END)).decision is None
    assert reasons_after(stage, make_row, [], 1) == ("the session has ended for this instrument",)


def test_every_analysis_and_the_end_are_observed_and_no_second_between(stage: DecisionStage, make_row: MakeRow) -> None:
    output = stage.on_row(pump(make_row))
    assert output.decision is not None
    assert output.observation is not None
    assert output.observation.ts == output.decision.ts
    assert output.observation.score == output.decision.side * output.decision.probability > 0.7
    assert stage.on_row(pump(make_row, flags=RowFlag.SECOND)).observation is None
    assert stage.on_row(pump(make_row, flags=RowFlag.SECOND | RowFlag.SHARP)).observation is not None
    end = stage.on_row(pump(make_row, flags=RowFlag.END))
    assert end.decision is None
    assert end.observation is not None


def test_what_leads_is_known_from_any_row_and_after_a_restore(instrument: Instrument, make_row: MakeRow) -> None:
    leader = msgspec.structs.replace(instrument, base="BTC")
    follower = msgspec.structs.replace(leader, id=1, venue=Venue.DYDX)
    stage = DecisionStage(DecisionParams(), [leader, follower])
    stage.on_row(pump(make_row, flags=RowFlag.SECOND))
    again = DecisionStage(DecisionParams(), [leader, follower])
    again.restore(stage.snapshot())
    seen = again.on_row(pump(make_row, 3.0, instrument=1)).observation
    assert seen is not None
    assert seen.leader is not None
    assert (seen.leader.instrument, seen.leader.mid, seen.leader.age_ns) == (0, 91_500.05, 3 * NS_PER_S)


def test_a_price_of_few_ticks_is_said_and_not_traded(instrument: Instrument, make_row: MakeRow) -> None:
    stage = DecisionStage(DecisionParams(), [instrument])
    output = stage.on_row(pump(make_row, bid=1, ask=1))
    assert output.intent is None
    assert output.decision is not None
    assert output.decision.reasons == ("a price of 1 ticks leaves no room for exits",)


def test_a_strange_instrument_is_an_error(stage: DecisionStage, make_row: MakeRow) -> None:
    with pytest.raises(StateError, match="instrument 3"):
        stage.on_row(pump(make_row, instrument=3))


def messages(random_row: Callable[[int], np.void], make_row: MakeRow) -> Iterator[np.void | Fact]:
    start = int(make_row()["ts"])
    for n in range(60):
        yield pump(make_row, 20 * n) if n % 3 else random_row(n)
        ts = start + 20 * n * NS_PER_S
        if n % 7 == 1:
            yield changed(ts, OrderStatus.PENDING_NEW)
            yield fill(ts, Side.BUY, 2)
            yield changed(ts, OrderStatus.FILLED, filled=2)
        if n % 7 == 3:
            yield fill(ts, Side.SELL, 2)
            yield closed(ts)


def fed(stage: DecisionStage, message: np.void | Fact) -> bytes:
    if isinstance(message, np.void):
        output = stage.on_row(message)
        return output.probabilities.tobytes() + msgspec.msgpack.encode(
            (output.decision, output.intent, output.observation)
        )
    stage.on_fact(message)
    return b""


def test_a_restore_at_any_cut_equals_no_interruption(
    instrument: Instrument, random_row: Callable[[int], np.void], make_row: MakeRow
) -> None:
    whole = DecisionStage(DecisionParams(), [instrument])
    cut = DecisionStage(DecisionParams(), [instrument])
    num_intents = 0
    for message in messages(random_row, make_row):
        assert fed(cut, message) == fed(whole, message)
        snapshot = cut.snapshot()
        cut = DecisionStage(DecisionParams(), [instrument])
        cut.restore(snapshot)
        assert cut.snapshot() == snapshot == whole.snapshot()
        num_intents = int(whole.statistics()["intents"])
    assert 3 < num_intents < 40


def test_probabilities_depend_on_the_row_alone(stage: DecisionStage, make_row: MakeRow) -> None:
    before = stage.on_row(pump(make_row)).probabilities.tobytes()
    stage.on_fact(fill(1, Side.BUY, 2))
    stage.on_control(Control.PAUSE)
    assert stage.on_row(pump(make_row)).probabilities.tobytes() == before


@pytest.mark.parametrize("snapshot", [b"", b"\xc1", msgspec.msgpack.encode(("decision 0", {"standings": {}}))])
def test_bytes_of_another_layout_are_refused(stage: DecisionStage, snapshot: bytes) -> None:
    with pytest.raises(SnapshotMismatch):
        stage.restore(snapshot)


def test_statistics_count(stage: DecisionStage, make_row: MakeRow) -> None:
    stage.on_row(pump(make_row))
    stage.on_row(make_row(flags=RowFlag.SECOND))
    assert stage.statistics() == {"rows": 2.0, "decisions": 1.0, "intents": 1.0, "is_paused": 0.0}


def test_lowered_thresholds_let_more_through(instrument: Instrument, random_row: Callable[[int], np.void]) -> None:
    low = DecisionParams(filter=SignalFilterParams(min_probability=0.05, min_confidence=0.0, min_trade_interval_s=0.0))
    strict, loose = DecisionStage(DecisionParams(), [instrument]), DecisionStage(low, [instrument])
    for seed in range(60):
        strict.on_row(random_row(seed))
        loose.on_row(random_row(seed))
    assert loose.statistics()["intents"] > strict.statistics()["intents"]


# ---- what is led

RULES: dict[str, Any] = {
    "window_s": 2.0,
    "fall_frac": 1e-3,
    "rise_frac": 1e-3,
    "premium_frac": -0.5,
    "discount_frac": -0.5,
}


@pytest.fixture
def pair(instrument: Instrument) -> list[Instrument]:
    leader = msgspec.structs.replace(instrument, base="BTC", quote="USDT")
    return [leader, msgspec.structs.replace(leader, id=1, venue=Venue.DYDX, quote="USD")]


def follow(stage: DecisionStage, make_row: MakeRow, moves: list[float], start_s: float = 0.0) -> float:
    """Let the leader's seconds stand `moves` (fractions) off 91,500; return the last second."""
    for n, move in enumerate(moves):
        row = pump(make_row, start_s + n, flags=RowFlag.SECOND, mid=91_500.0 * (1.0 + move))
        assert stage.on_row(row).decision is None
    return start_s + len(moves) - 1


UP, DOWN, FLAT = [0.0, 0.0, 0.002], [0.0, 0.0, -0.002], [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("moves", "said"),
    [(UP, ()), (DOWN, ("the leader speaks against it",)), (FLAT, ("the leader says nothing",))],
)
def test_a_gate_lets_an_entry_through_with_the_leader_alone(
    pair: list[Instrument], make_row: MakeRow, moves: list[float], said: tuple[str, ...]
) -> None:
    stage = DecisionStage(DecisionParams(), pair, lead=LeadParams(mode="gate", **RULES))
    output = stage.on_row(pump(make_row, follow(stage, make_row, moves), instrument=1))
    assert output.decision is not None
    assert (output.decision.strategy, output.decision.reasons) == ("WHALE_PUMP", said)
    assert (output.intent is None) == bool(said)


def test_a_leader_itself_needs_nobody_s_word(pair: list[Instrument], make_row: MakeRow) -> None:
    stage = DecisionStage(DecisionParams(), pair, lead=LeadParams(mode="gate", **RULES))
    assert stage.on_row(pump(make_row)).intent is not None


@pytest.mark.parametrize(("moves", "vote"), [(UP, 0.1), (DOWN, -0.1), (FLAT, 0.0)])
def test_a_weight_moves_the_probability_and_is_among_the_evidence(
    pair: list[Instrument], make_row: MakeRow, moves: list[float], vote: float
) -> None:
    plain = DecisionStage(DecisionParams(), pair)
    before = plain.on_row(pump(make_row, follow(plain, make_row, moves), instrument=1)).decision
    assert before is not None
    threshold = SignalFilterParams(min_probability=min(1.0, before.probability))
    stage = DecisionStage(DecisionParams(filter=threshold), pair, lead=LeadParams(mode="weight", **RULES))
    output = stage.on_row(pump(make_row, follow(stage, make_row, moves), instrument=1))
    assert output.decision is not None
    assert output.decision.probability == min(1.0, before.probability + vote)
    assert output.decision.probabilities == before.probabilities
    told = [one for one in output.decision.evidence if one.name == "leader"]
    assert [(one.evidence, one.weight, one.score) for one in told] == ([(vote / 0.1, 0.1, vote)] if vote else [])
    assert (output.intent is not None) == (vote > 0)


@pytest.mark.parametrize("mode", ["gate", "weight"])
def test_a_leader_that_fell_silent_closes_its_follower(pair: list[Instrument], make_row: MakeRow, mode: Any) -> None:
    stage = DecisionStage(DecisionParams(), pair, lead=LeadParams(mode=mode, **RULES))
    last = follow(stage, make_row, UP)
    late = stage.on_row(pump(make_row, last + 2.5, instrument=1))
    assert late.decision is not None
    assert late.decision.reasons == ("prices of leader and follower are 2.5 s old, above 2.0 s",)
    unknown = DecisionStage(DecisionParams(), pair, lead=LeadParams(mode=mode, **RULES))
    early = unknown.on_row(pump(make_row, instrument=1))
    assert early.decision is not None
    assert early.decision.reasons == ("too little is known of the leader",)


def test_an_intent_that_depends_on_a_leader_is_as_old_as_the_leader(pair: list[Instrument], make_row: MakeRow) -> None:
    for lead, age in ((LeadParams(mode="gate", **RULES), 1.5), (LeadParams(**RULES), 0.0)):
        stage = DecisionStage(DecisionParams(), pair, lead=lead)
        intent = stage.on_row(pump(make_row, follow(stage, make_row, UP) + 1.5, instrument=1)).intent
        assert intent is not None
        assert intent.data_age_ns == age * NS_PER_S


def test_off_is_what_a_stage_without_a_leader_s_settings_does(
    pair: list[Instrument], random_row: Callable[[int], np.void], make_row: MakeRow
) -> None:
    stages = [DecisionStage(DecisionParams(), pair), DecisionStage(DecisionParams(), pair, lead=LeadParams(**RULES))]
    for seed in range(40):
        row = pump(make_row, seed, instrument=seed % 2) if seed % 3 else random_row(seed)
        one, other = (stage.on_row(row) for stage in stages)
        assert one.probabilities.tobytes() == other.probabilities.tobytes()
        assert (one.decision, one.intent) == (other.decision, other.intent)
    assert stages[0].statistics()["intents"] > 5


ENTERING = LeadParams(enters=True, take_profit_frac=0.003, stop_loss_frac=0.002, horizon_s=7.0, **RULES)


def second(make_row: MakeRow, after_s: float, **columns: Any) -> np.void:
    """A second of the follower at which nothing but LEAD_FOLLOW could decide."""
    row = make_row(instrument=1, flags=RowFlag.SECOND)
    row["ts"] += round(after_s * NS_PER_S)
    row["ts_book"] = row["ts"]
    for name, value in columns.items():
        row[name] = value
    return row


def test_lead_follow_enters_at_a_plain_second_with_its_own_exits(pair: list[Instrument], make_row: MakeRow) -> None:
    stage = DecisionStage(DecisionParams(), pair, lead=ENTERING)
    row = second(make_row, follow(stage, make_row, DOWN))
    assert stage.decides(row)
    output = stage.on_row(row)
    decision, intent, observation = output.decision, output.intent, output.observation
    assert decision is not None
    assert intent is not None
    assert observation is not None
    assert (decision.strategy, decision.trigger, decision.side) == (LEAD_FOLLOW, Trigger.LEAD, Side.SELL)
    assert (decision.probability, decision.confidence, decision.reasons) == (0.0, 1.0, ())
    assert [one.name for one in decision.evidence] == ["leader_return", "leader_spread"]
    assert decision.evidence[0].score == pytest.approx(2.0)
    assert decision.probabilities == tuple(output.probabilities.tolist())
    # the mid is 915,000.5 ticks: a seller counts from the tick above
    assert (intent.reference, intent.take_profit, intent.stop) == (915_001, 912_255, 916_832)
    assert (intent.strategy, intent.max_hold_ns) == (LEAD_FOLLOW, 7 * NS_PER_S)
    assert observation.leader is not None
    assert observation.leader.features is not None
    assert observation.leader.features.side == -1


def test_without_leave_to_enter_no_plain_second_decides(pair: list[Instrument], make_row: MakeRow) -> None:
    stage = DecisionStage(DecisionParams(), pair, lead=LeadParams(**RULES))
    row = second(make_row, follow(stage, make_row, DOWN))
    assert not stage.decides(row)
    assert stage.on_row(row).decision is None


def test_only_the_seconds_with_a_word_decide(pair: list[Instrument], make_row: MakeRow) -> None:
    stage = DecisionStage(DecisionParams(), pair, lead=ENTERING)
    assert not stage.decides(second(make_row, follow(stage, make_row, FLAT)))
    assert not stage.decides(pump(make_row, 2.0, flags=RowFlag.SECOND))
    for flag in (RowFlag.ANALYSIS, RowFlag.SHARP, RowFlag.END):
        assert stage.decides(pump(make_row, 3.0, flags=flag))


def strategies(stage: DecisionStage, rows: list[np.void]) -> list[tuple[str, bool] | None]:
    outputs = [stage.on_row(row) for row in rows]
    return [(one.decision.strategy, one.intent is not None) if one.decision else None for one in outputs]


def test_a_word_is_said_once_until_it_can_be_acted_on(pair: list[Instrument], make_row: MakeRow) -> None:
    stage = DecisionStage(DecisionParams(), pair, lead=ENTERING)
    start, told = int(make_row()["ts"]), []
    for n in range(80):
        move = -0.002 * n
        stage.on_row(pump(make_row, n, flags=RowFlag.SECOND, mid=91_500.0 * (1.0 + move)))
        told += strategies(stage, [second(make_row, n)])
        if n == 2:
            # entered at once, and out after ten seconds
            stage.on_fact(fill_of(1, start + 2 * NS_PER_S, Side.SELL))
        if n == 12:
            stage.on_fact(fill_of(1, start + 12 * NS_PER_S, Side.BUY))
    said = {n: what for n, what in enumerate(told) if what}
    # a minute must pass between trades
    assert said == {2: (LEAD_FOLLOW, True), 72: (LEAD_FOLLOW, True)}


def test_a_wish_that_came_to_nothing_is_repeated_after_the_interval(pair: list[Instrument], make_row: MakeRow) -> None:
    params = DecisionParams(filter=SignalFilterParams(min_trade_interval_s=10.0))
    stage = DecisionStage(params, pair, lead=ENTERING)
    said = []
    for n in range(30):
        stage.on_row(pump(make_row, n, flags=RowFlag.SECOND, mid=91_500.0 * (1.0 - 0.002 * n)))
        if strategies(stage, [second(make_row, n)])[0]:
            said.append(n)
    assert said == [2, 12, 22]


def fill_of(instrument: int, ts: int, side: Side) -> Fill:
    return msgspec.structs.replace(fill(ts, side, 2), instrument=instrument)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"health": Health.GAP}, "events are missing since the last row"),
        ({"ask": 916_000}, "spread 10.92 bp is above 5.00 bp"),
    ],
)
def test_what_closes_every_strategy_closes_lead_follow(
    pair: list[Instrument], make_row: MakeRow, columns: dict[str, Any], said: str
) -> None:
    stage = DecisionStage(DecisionParams(), pair, lead=ENTERING)
    output = stage.on_row(second(make_row, follow(stage, make_row, DOWN), **columns))
    assert output.intent is None
    assert output.decision is not None
    assert output.decision.reasons == (said,)


def test_lead_follow_obeys_commands_positions_and_age(pair: list[Instrument], make_row: MakeRow) -> None:
    def reasons(prepare: Callable[[DecisionStage], None], late_s: float = 0.0) -> tuple[str, ...]:
        stage = DecisionStage(DecisionParams(), pair, lead=msgspec.structs.replace(ENTERING, max_age_s=1.0))
        prepare(stage)
        decision = stage.on_row(second(make_row, follow(stage, make_row, DOWN) + late_s)).decision
        assert decision is not None
        assert decision.strategy == LEAD_FOLLOW
        return decision.reasons

    assert reasons(lambda stage: stage.on_control(Control.PAUSE)) == ("entries are paused by command",)
    old = "a position is open or being entered"
    assert reasons(lambda stage: stage.on_fact(fill_of(1, 1, Side.SELL))) == (old,)
    assert reasons(lambda stage: None, 0.9) == ()
    assert reasons(lambda stage: None, 1.5) == ("prices of leader and follower are 1.5 s old, above 1.0 s",)


def test_where_both_decide_the_one_that_wishes_to_enter_speaks(pair: list[Instrument], make_row: MakeRow) -> None:
    quiet = make_row(instrument=1, confidence=0.0)
    quiet["ts"] += 2 * NS_PER_S
    quiet["ts_book"] = quiet["ts"]
    stage = DecisionStage(DecisionParams(), pair, lead=ENTERING)
    follow(stage, make_row, UP)
    assert strategies(stage, [quiet]) == [(LEAD_FOLLOW, True)]
    stage = DecisionStage(DecisionParams(), pair, lead=ENTERING)
    follow(stage, make_row, UP)
    assert strategies(stage, [pump(make_row, 2.0, instrument=1)]) == [("WHALE_PUMP", True)]
    stage = DecisionStage(DecisionParams(), pair, lead=ENTERING)
    stage.on_control(Control.PAUSE)
    follow(stage, make_row, UP)
    assert strategies(stage, [quiet]) == [("WAIT_AND_SEE", False)]
    assert stage.statistics()["decisions"] == 1.0


def test_what_a_position_was_entered_at_shows_how_far_the_spread_came_back(
    pair: list[Instrument], make_row: MakeRow
) -> None:
    stage = DecisionStage(DecisionParams(), pair, lead=ENTERING)
    follow(stage, make_row, DOWN)
    assert stage.on_row(second(make_row, 2.0)).intent is not None

    def compression(after_s: float, mid: float) -> float:
        stage.on_row(pump(make_row, after_s, flags=RowFlag.SECOND, mid=91_500.0 * 0.998))
        output = stage.on_row(second(make_row, after_s, flags=RowFlag.SECOND | RowFlag.ANALYSIS, mid=mid))
        assert output.intent is None
        observation = output.observation
        assert observation is not None
        assert observation.leader is not None
        assert observation.leader.features is not None
        return observation.leader.features.compression

    entered = 91_500.05 / (91_500.0 * 0.998) - 1.0
    assert compression(3.0, 91_400.0) == 0.0  # nothing is held yet
    start = int(make_row()["ts"])
    stage.on_fact(fill_of(1, start + 3 * NS_PER_S, Side.SELL))
    now = 91_400.0 / (91_500.0 * 0.998) - 1.0
    assert compression(4.0, 91_400.0) == pytest.approx(1.0 - now / entered)
    stage.on_fact(fill_of(1, start + 5 * NS_PER_S, Side.BUY))
    assert compression(6.0, 91_400.0) == 0.0


def test_a_restore_at_any_cut_equals_no_interruption_where_one_leads(
    pair: list[Instrument], random_row: Callable[[int], np.void], make_row: MakeRow
) -> None:
    lead = msgspec.structs.replace(ENTERING, mode="weight")
    params = DecisionParams(filter=SignalFilterParams(min_trade_interval_s=2.0))
    whole, cut = (DecisionStage(params, pair, lead=lead) for _ in range(2))
    rng, num_followed = np.random.default_rng(3), 0
    for n in range(60):
        move = float(rng.normal(0.0, 1e-3))
        rows = [pump(make_row, n, flags=RowFlag.SECOND, mid=91_500.0 * (1.0 + move)), second(make_row, n)]
        rows += [pump(make_row, n + 0.5, instrument=1)] if n % 7 == 0 else []
        for row in rows:
            assert cut.decides(row) == whole.decides(row)
            assert fed(cut, row) == fed(whole, row)
            snapshot = cut.snapshot()
            cut = DecisionStage(params, pair, lead=lead)
            cut.restore(snapshot)
            assert cut.snapshot() == snapshot == whole.snapshot()
        num_followed = int(whole.statistics()["intents"])
    assert num_followed > 5
