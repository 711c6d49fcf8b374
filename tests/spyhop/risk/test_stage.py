"""The risk stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_type_hints

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spyhop.clock import NS_PER_DAY, NS_PER_MINUTE, NS_PER_S
from spyhop.errors import InvalidSetting, SnapshotMismatch, StateError
from spyhop.model.control import Control
from spyhop.model.decisions import LEAD_FOLLOW, Intent
from spyhop.model.instruments import Instrument
from spyhop.model.observations import Leader, Observation
from spyhop.model.orders import (
    CancelOrder,
    Command,
    Fact,
    Fill,
    FundingPaid,
    Liquidity,
    OrderChanged,
    OrderStatus,
    OrderType,
    Purpose,
    SubmitOrder,
    TradeClosed,
)
from spyhop.model.tape import Side
from spyhop.model.verdicts import Approved, Refused, RiskState, RiskStateChanged, Verdict
from spyhop.risk.health import HealthParams
from spyhop.risk.limits import LIMITS, LimitParams
from spyhop.risk.sizing import SizingParams
from spyhop.risk.stage import RiskParams, RiskStage
from spyhop.risk.states import StateParams
from spyhop.risk.tails import Method, TailParams

MakeInstrument = Callable[..., Instrument]
MakeIntent = Callable[..., Intent]
MakeObservation = Callable[..., Observation]
same_fixture = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
CODES = {limit.code for limit in LIMITS} | {"has_equity"}
FLOORS = {limit.code for limit in LIMITS if limit.is_floor} | {"has_equity"}


@pytest.fixture
def stage(make_instrument: MakeInstrument) -> RiskStage:
    return RiskStage(RiskParams(), [make_instrument(), make_instrument(id=1)], 10_000.0)


def facts_of(approved: Approved, exit_price: int, after_ns: int = NS_PER_S, fee: float = 4.0) -> list[Fact]:
    """What becomes of an approval: entered at its reference, left at `exit_price`."""
    intent, ts = approved.intent, approved.ts
    common: dict[str, Any] = {"client_order_id": f"o{intent.seq}", "instrument": intent.instrument}
    order = SubmitOrder(
        ts=ts,
        side=intent.side,
        type=OrderType.MARKET,
        lots=approved.lots,
        purpose=Purpose.ENTRY,
        intent_seq=intent.seq,
        **common,
    )
    fill = Fill(
        ts=ts + 1,
        ts_venue=ts,
        fill_id=f"{intent.seq}-in",
        side=intent.side,
        price=intent.reference,
        lots=approved.lots,
        liquidity=Liquidity.TAKER,
        fee=fee,
        slippage=0.0,
        **common,
    )
    out = msgspec.structs.replace(
        fill, ts=ts + after_ns, fill_id=f"{intent.seq}-out", side=intent.side.opposite, price=exit_price
    )
    gross = intent.side * (exit_price - intent.reference) * 0.1 * approved.lots * 0.001
    zeros = dict.fromkeys(
        ("entry_price", "exit_price", "take_profit_price", "stop_loss_price", "notional", "margin", "leverage")
        + ("funding", "slippage", "max_profit_frac", "max_drawdown_frac"),
        0.0,
    )
    trade = TradeClosed(
        ts=ts + after_ns,
        trade_id="t",
        instrument=intent.instrument,
        side=intent.side,
        strategy=intent.strategy,
        probability=0.8,
        confidence=0.8,
        intent_seq=intent.seq,
        decision_seq=intent.decision_seq,
        ts_entry=ts + 1,
        ts_exit=ts + after_ns,
        lots=approved.lots,
        exit_purpose="stop_loss",
        gross=gross,
        fees=2 * fee,
        net=gross - 2 * fee,
        **zeros,
    )
    return [
        OrderChanged(ts=ts, status=OrderStatus.PENDING_NEW, filled=0, cause="sent", order=order, **common),
        fill,
        OrderChanged(ts=ts + 1, status=OrderStatus.FILLED, filled=approved.lots, cause="fill", order=order, **common),
        out,
        trade,
    ]


def tell(stage: RiskStage, facts: list[Fact]) -> None:
    for fact in facts:
        stage.on_fact(fact)


def test_an_approval_is_a_ticket(stage: RiskStage, make_intent: MakeIntent) -> None:
    verdict = stage.on_intent(make_intent())
    assert isinstance(verdict, Approved)
    assert (verdict.seq, verdict.ts, verdict.epoch) == (0, make_intent().ts, 1)
    assert verdict.expires == verdict.ts + 2 * NS_PER_S
    assert verdict.intent == make_intent()
    assert verdict.lots == 100
    assert (verdict.margin, verdict.leverage) == (pytest.approx(100.0), pytest.approx(1.0))
    assert verdict.risk == pytest.approx(18.0)


def test_a_refusal_says_what_was_measured(stage: RiskStage, make_intent: MakeIntent) -> None:
    verdict = stage.on_intent(make_intent(data_age_ns=5 * NS_PER_S))
    assert isinstance(verdict, Refused)
    assert (verdict.code, verdict.measured, verdict.limit, verdict.action) == ("fresh_data", 5.0, 2.0, "no entry")


def test_two_intents_at_once_do_not_count_the_same_money(
    make_instrument: MakeInstrument, make_intent: MakeIntent
) -> None:
    params = RiskParams(limits=LimitParams(max_capital_in_use_frac=0.015))
    stage = RiskStage(params, [make_instrument(), make_instrument(id=1)], 10_000.0)
    assert isinstance(stage.on_intent(make_intent()), Approved)
    verdict = stage.on_intent(make_intent(seq=1, instrument=1))
    assert isinstance(verdict, Refused)
    assert (verdict.code, verdict.measured, verdict.limit) == ("max_capital_in_use", pytest.approx(200.0), 150.0)


def test_one_position_an_instrument(stage: RiskStage, make_intent: MakeIntent) -> None:
    first = stage.on_intent(make_intent())
    assert isinstance(first, Approved)
    tell(stage, facts_of(first, 1_000_000)[:3])
    later = make_intent(seq=1, ts=first.ts + 120 * NS_PER_S)
    verdict = stage.on_intent(later)
    assert isinstance(verdict, Refused)
    assert verdict.code == "one_position"
    tell(stage, facts_of(first, 1_000_000)[3:])
    assert isinstance(stage.on_intent(msgspec.structs.replace(later, seq=2)), Approved)


def test_the_days_loss_ends_the_day_and_no_longer(make_instrument: MakeInstrument, make_intent: MakeIntent) -> None:
    sizing = SizingParams(position_size_usdt=1e9)
    stage = RiskStage(RiskParams(sizing=sizing), [make_instrument()], 10_000.0)
    verdicts: list[Verdict] = []
    midnight = (make_intent().ts // NS_PER_DAY) * NS_PER_DAY
    for n in range(6):
        verdict = stage.on_intent(make_intent(seq=n, ts=midnight + n * 100 * NS_PER_S))
        verdicts.append(verdict)
        if isinstance(verdict, Approved):
            tell(stage, facts_of(verdict, 999_000, fee=verdict.lots * 0.001 * 1e5 * 0.0004))
    refused = next(verdict for verdict in verdicts if isinstance(verdict, Refused))
    assert refused.code == "max_daily_loss"
    assert refused.measured > refused.limit == 500.0
    assert 9_500.0 < stage.statistics()["equity"] < 9_700.0
    assert isinstance(stage.on_intent(make_intent(seq=9, ts=midnight + NS_PER_DAY)), Approved)


def test_trades_a_day_are_of_the_last_24_hours(make_instrument: MakeInstrument, make_intent: MakeIntent) -> None:
    limits = LimitParams(max_trades_per_day=2)
    stage = RiskStage(RiskParams(limits=limits), [make_instrument()], 10_000.0)
    start = make_intent().ts
    codes = []
    for n, ts in enumerate([start, start + 3_600 * NS_PER_S, start + NS_PER_DAY - 1, start + NS_PER_DAY]):
        verdict = stage.on_intent(make_intent(seq=n, ts=ts))
        codes.append(verdict.code if isinstance(verdict, Refused) else "")
        if isinstance(verdict, Approved):
            tell(stage, facts_of(verdict, 1_000_000))
    assert codes == ["", "", "max_trades_per_day", ""]


def test_an_account_that_is_gone_trades_no_more(stage: RiskStage, make_intent: MakeIntent) -> None:
    stage.on_fact(FundingPaid(ts=1, ts_venue=1, instrument=0, rate=1.0, lots=1, amount=10_001.0))
    verdict = stage.on_intent(make_intent())
    assert isinstance(verdict, Refused)
    assert (verdict.code, verdict.measured, verdict.limit) == ("has_equity", -1.0, 0.0)


def test_a_small_account_is_told_that_the_venue_wants_more(
    make_instrument: MakeInstrument, make_intent: MakeIntent
) -> None:
    stage = RiskStage(RiskParams(), [make_instrument()], 10.0)
    verdict = stage.on_intent(make_intent())
    assert isinstance(verdict, Refused)
    assert (verdict.code, verdict.measured, verdict.limit) == ("min_size", 0.0, 1.0)


def test_a_stop_beyond_liquidation_is_refused(make_instrument: MakeInstrument, make_intent: MakeIntent) -> None:
    stage = RiskStage(RiskParams(sizing=SizingParams(atr_multiple=2.0)), [make_instrument()], 10_000.0)
    verdict = stage.on_intent(make_intent(atr=400.0))
    assert isinstance(verdict, Refused)
    assert verdict.code == "stop_before_liquidation"
    assert (verdict.measured, verdict.limit) == (pytest.approx(0.006, abs=1e-4), pytest.approx(0.008))


def test_the_ticket_carries_the_stop_it_was_sized_for(make_instrument: MakeInstrument, make_intent: MakeIntent) -> None:
    stage = RiskStage(RiskParams(sizing=SizingParams(atr_multiple=2.0)), [make_instrument()], 10_000.0)
    verdict = stage.on_intent(make_intent(atr=150.0))
    assert isinstance(verdict, Approved)
    assert verdict.intent.stop == 997_000
    assert verdict.risk == pytest.approx(verdict.lots * 0.001 * (300.0 + 80.0))


def test_commands_of_an_operator(stage: RiskStage, make_intent: MakeIntent) -> None:
    def code(seq: int) -> str:
        verdict = stage.on_intent(make_intent(seq=seq))
        return verdict.code if isinstance(verdict, Refused) else ""

    stage.on_control(Control.PAUSE)
    assert code(0) == "not_paused"
    stage.on_control(Control.KILL)
    assert code(1) == "kill_switch_off"
    stage.on_control(Control.RESUME)
    assert code(2) == "kill_switch_off"


def test_a_fence_never_goes_back(stage: RiskStage, make_intent: MakeIntent) -> None:
    stage.begin_epoch(5)
    stage.begin_epoch(3)
    verdict = stage.on_intent(make_intent())
    assert isinstance(verdict, Approved)
    assert verdict.epoch == 5


def test_a_strange_instrument_is_an_error(stage: RiskStage, make_intent: MakeIntent) -> None:
    with pytest.raises(StateError, match="instrument 9"):
        stage.on_intent(make_intent(instrument=9))


def test_an_account_starts_with_money(make_instrument: MakeInstrument) -> None:
    with pytest.raises(ValueError, match="equity above 0"):
        RiskStage(RiskParams(), [make_instrument()], 0.0)


def test_parameters_that_contradict_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="risk_frac"):
        RiskParams(sizing=SizingParams(risk_frac=0.05))


def test_statistics_count_refusals_by_code(stage: RiskStage, make_intent: MakeIntent) -> None:
    stage.on_intent(make_intent())
    stage.on_intent(make_intent(seq=1))
    told = stage.statistics()
    assert (told["approved"], told["refused"], told["refusals:min_interval"]) == (1.0, 1.0, 1.0)
    assert (told["equity"], told["margin_in_use"], told["epoch"]) == (10_000.0, pytest.approx(100.0), 1.0)


def drawn(seed: int, make_intent: MakeIntent, start: int, num: int = 40) -> Iterator[Intent]:
    rng = np.random.default_rng(seed)
    ts = start
    for seq in range(num):
        ts += int(rng.integers(0, 200)) * NS_PER_S
        side = Side.BUY if rng.random() < 0.5 else Side.SELL
        reference = int(rng.integers(900_000, 1_100_000))
        yield make_intent(
            seq=seq,
            ts=ts,
            side=side,
            reference=reference,
            stop=reference - side * int(rng.integers(1, 9_000)),
            instrument=int(rng.integers(0, 2)),
            atr=float(rng.uniform(0, 500)),
            spread=float(rng.uniform(0, 50)),
            confidence=float(rng.uniform(0, 1)),
            data_age_ns=int(rng.integers(0, 3 * NS_PER_S)),
        )


@given(
    seed=st.integers(0, 10**6),
    equity=st.floats(200, 1e7),
    risk_frac=st.floats(0.001, 0.02),
    margin=st.floats(10, 1e6),
    leverage=st.floats(1, 125),
    capital=st.floats(0.01, 1.0),
    atr_multiple=st.sampled_from([0.0, 1.5]),
)
@same_fixture
def test_no_approval_is_over_a_limit_and_every_refusal_names_one(
    make_instrument: MakeInstrument,
    make_intent: MakeIntent,
    seed: int,
    equity: float,
    risk_frac: float,
    margin: float,
    leverage: float,
    capital: float,
    atr_multiple: float,
) -> None:
    sizing = SizingParams(
        risk_frac=risk_frac, position_size_usdt=margin, max_leverage=leverage, atr_multiple=atr_multiple
    )
    limits = LimitParams(max_capital_in_use_frac=capital, max_trades_per_day=12)
    stage = RiskStage(RiskParams(sizing=sizing, limits=limits), [make_instrument(), make_instrument(id=1)], equity)
    rng = np.random.default_rng(seed)
    open_: dict[int, Approved] = {}
    approvals: list[int] = []
    for intent in drawn(seed, make_intent, make_intent().ts):
        for number in sorted(open_):
            if rng.random() < 0.5:
                gone = open_.pop(number)
                tell(stage, facts_of(gone, gone.intent.stop, intent.ts - gone.ts)[3:])
        verdict = stage.on_intent(intent)
        now = stage.statistics()["equity"]
        if isinstance(verdict, Refused):
            assert verdict.code in CODES
            is_past = verdict.measured <= verdict.limit if verdict.code in FLOORS else verdict.measured > verdict.limit
            assert is_past, verdict
            continue
        held = [*open_.values(), verdict]
        slack = 1 + 1e-9
        assert verdict.risk <= risk_frac * now * slack
        assert verdict.margin <= margin * slack
        assert sum(one.margin for one in held) <= capital * now * slack
        assert verdict.leverage <= leverage * slack
        assert verdict.intent.instrument not in open_
        assert verdict.intent.data_age_ns <= 2 * NS_PER_S
        approvals = [ts for ts in approvals if ts > verdict.ts - NS_PER_DAY] + [verdict.ts]
        assert len(approvals) <= 12
        open_[verdict.intent.instrument] = verdict
        tell(stage, facts_of(verdict, 0)[:3])


def code_of(verdict: Verdict) -> str:
    return verdict.code if isinstance(verdict, Refused) else ""


def test_a_suspicious_market_gets_half(
    stage: RiskStage, make_intent: MakeIntent, make_observation: MakeObservation
) -> None:
    stage.on_observation(make_observation(age_ns=3 * NS_PER_S))
    suspected, trusted = stage.on_intent(make_intent()), stage.on_intent(make_intent(seq=1, instrument=1))
    assert isinstance(suspected, Approved)
    assert isinstance(trusted, Approved)
    assert (suspected.lots, trusted.lots) == (50, 100)


def test_a_halt_is_of_its_market(stage: RiskStage, make_intent: MakeIntent, make_observation: MakeObservation) -> None:
    stage.on_observation(make_observation(age_ns=6 * NS_PER_S))
    refused = stage.on_intent(make_intent())
    assert isinstance(refused, Refused)
    assert (refused.code, refused.measured, refused.limit) == ("state_permits", 2.0, 1.0)
    assert isinstance(stage.on_intent(make_intent(seq=1, instrument=1)), Approved)
    assert stage.statistics()["risk_state"] == 2.0


def test_a_kill_wants_everything_flat(stage: RiskStage, make_intent: MakeIntent) -> None:
    stage.on_control(Control.KILL, make_intent().ts)
    (changed,) = stage.take_notices()
    assert isinstance(changed, RiskStateChanged)
    assert (changed.state, changed.instrument) == (RiskState.ESCAPE, -1)
    assert (stage.is_killed, stage.is_draining, stage.is_paused) == (True, False, False)


def seen(stage: RiskStage, *observed: Observation) -> None:
    for one in observed:
        stage.on_observation(one)


MEASURED: dict[str, tuple[LimitParams, Callable[[RiskStage, MakeObservation, int], None]]] = {
    "max_effective_diff": (
        LimitParams(max_effective_diff_frac=0.004),
        lambda stage, observe, ts: seen(
            stage, observe(leader=Leader(instrument=1, mid=100_500.0, last=100_500.0, ts=ts, age_ns=0))
        ),
    ),
    "max_volatility": (
        LimitParams(max_volatility_ratio=3.0),
        lambda stage, observe, ts: seen(stage, observe(sigma_1m=1e-4), observe(sigma_1m=4e-4)),
    ),
    "clocks_agree": (
        LimitParams(max_clock_skew_s=0.3),
        lambda stage, observe, ts: seen(stage, observe(clock_skew_ns=-NS_PER_S * 2 // 5)),
    ),
    "max_daily_drawdown": (
        LimitParams(max_daily_drawdown_frac=0.01),
        lambda stage, observe, ts: tell(stage, [paid(ts - 2, -500.0), paid(ts - 1, 200.0)]),
    ),
    "max_leg_imbalance": (
        LimitParams(max_leg_imbalance_usdt=599.0),
        lambda stage, observe, ts: tell(stage, [held_at(ts - 1, 1, Side.BUY, 10), held_at(ts - 1, 2, Side.SELL, 4)]),
    ),
    "max_order_rate": (
        LimitParams(max_orders_per_minute=1),
        lambda stage, observe, ts: tell(stage, [foreign(ts - 1)]),
    ),
    "max_trades_per_day": (
        LimitParams(max_trades_per_day=1),
        lambda stage, observe, ts: tell(stage, [foreign(ts - 1)]),
    ),
}


def paid(ts: int, amount: float) -> FundingPaid:
    return FundingPaid(ts=ts, ts_venue=ts, instrument=0, rate=0.0, lots=0, amount=amount)


def held_at(ts: int, instrument: int, side: Side, lots: int) -> Fill:
    return Fill(
        ts=ts,
        ts_venue=ts,
        fill_id=f"f{instrument}",
        client_order_id="o",
        instrument=instrument,
        side=side,
        price=1_000_000,
        lots=lots,
        liquidity=Liquidity.TAKER,
        fee=0.0,
        slippage=0.0,
    )


def foreign(ts: int) -> OrderChanged:
    """The order of an entry that another supervisor approved."""
    order = SubmitOrder(
        ts=ts,
        client_order_id="theirs",
        instrument=1,
        side=Side.BUY,
        type=OrderType.LIMIT,
        lots=1,
        price=1_000_000,
        purpose=Purpose.ENTRY,
        intent_seq=77,
    )
    return OrderChanged(
        ts=ts,
        client_order_id="theirs",
        instrument=1,
        status=OrderStatus.PENDING_NEW,
        filled=0,
        cause="sent",
        order=order,
    )


@pytest.mark.parametrize("code", sorted(MEASURED))
def test_what_is_told_of_reaches_its_limit(
    make_instrument: MakeInstrument, make_intent: MakeIntent, make_observation: MakeObservation, code: str
) -> None:
    limits, happen = MEASURED[code]
    params = RiskParams(limits=limits, health=HealthParams(min_volatility=1))
    stage = RiskStage(params, [make_instrument(id=number, base="BTC") for number in range(3)], 10_000.0)
    happen(stage, make_observation, make_intent().ts)
    assert code_of(stage.on_intent(make_intent())) == code
    generous = RiskParams(health=HealthParams(min_volatility=1))
    other = RiskStage(generous, [make_instrument(id=number, base="BTC") for number in range(3)], 10_000.0)
    happen(other, make_observation, make_intent().ts)
    assert code_of(other.on_intent(make_intent())) == ""


def test_an_entry_takes_no_more_than_its_share_of_the_depth(
    make_instrument: MakeInstrument, make_intent: MakeIntent, make_observation: MakeObservation
) -> None:
    stage = RiskStage(RiskParams(limits=LimitParams(max_depth_frac=0.1)), [make_instrument()], 10_000.0)
    stage.on_observation(make_observation(depth_ask=5_010.0))
    approved = stage.on_intent(make_intent())
    assert isinstance(approved, Approved)
    assert approved.lots == 5


def test_exits_never_come_to_the_gate(stage: RiskStage, make_intent: MakeIntent) -> None:
    # nothing that a supervisor is asked takes a command, so nothing of it can be refused
    asked = {name: get_type_hints(part) for name, part in vars(RiskStage).items() if callable(part) and name[0] != "_"}
    taken = {kind for hints in asked.values() for name, kind in hints.items() if name != "return"}
    assert Intent in taken
    assert not {SubmitOrder, CancelOrder, Command} & taken
    # and what exits do is folded in the gravest state, too
    approved = stage.on_intent(make_intent())
    assert isinstance(approved, Approved)
    entry, leave = facts_of(approved, 1_000_000)[:3], facts_of(approved, 1_000_000)[3:]
    tell(stage, entry)
    stage.on_control(Control.KILL)
    tell(stage, leave)
    assert stage.statistics()["margin_in_use"] == 0.0


def test_an_observation_of_a_strange_instrument_is_an_error(
    stage: RiskStage, make_observation: MakeObservation
) -> None:
    with pytest.raises(StateError, match="instrument 9"):
        stage.on_observation(make_observation(instrument=9))


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (LimitParams(max_symbol_notional_frac=1.5), "max_symbol_exposure"),
        (LimitParams(max_venue_notional_frac=1.5), "max_venue_exposure"),
        (LimitParams(max_open_positions=1), "max_open_positions"),
        (LimitParams(max_instrument_notional_frac=1.5), ""),
    ],
)
def test_exposure_is_counted_by_place(
    make_instrument: MakeInstrument, make_intent: MakeIntent, limits: LimitParams, code: str
) -> None:
    instruments = [make_instrument(base="BTC"), make_instrument(id=1, base="BTC", symbol="BTCUSDC")]
    stage = RiskStage(RiskParams(limits=limits), instruments, 10_000.0)
    assert isinstance(stage.on_intent(make_intent()), Approved)
    assert code_of(stage.on_intent(make_intent(seq=1, instrument=1))) == code


def test_a_losing_streak_stops_until_it_is_forgotten(make_instrument: MakeInstrument, make_intent: MakeIntent) -> None:
    params = RiskParams(limits=LimitParams(max_losses_in_row=2, loss_cooldown_s=1_800.0))
    stage = RiskStage(params, [make_instrument()], 10_000.0)
    start, codes = make_intent().ts, []
    for n in range(5):
        verdict = stage.on_intent(make_intent(seq=n, ts=start + n * 100 * NS_PER_S))
        codes.append(code_of(verdict))
        if isinstance(verdict, Approved):
            tell(stage, facts_of(verdict, 999_000))
    assert codes == ["", "", "", "max_losses_in_row", "max_losses_in_row"]
    forgotten = start + 201 * NS_PER_S + 1_800 * NS_PER_S
    assert code_of(stage.on_intent(make_intent(seq=6, ts=forgotten - 1))) == "max_losses_in_row"
    assert code_of(stage.on_intent(make_intent(seq=7, ts=forgotten))) == ""


def test_the_tail_of_the_book_is_a_limit_once_it_is_known(
    make_instrument: MakeInstrument, make_intent: MakeIntent, make_observation: MakeObservation
) -> None:
    # moves of 1 % a minute up and down, 10,000 of notional held for a minute: 100 at risk, and 0.05 % to leave
    tails = TailParams(method=Method.HISTORICAL, min_returns=10, horizon_s=60.0, probability=0.1)
    params = RiskParams(limits=LimitParams(max_var_frac=0.0104), tails=tails)
    stage = RiskStage(params, [make_instrument()], 10_000.0)
    assert code_of(stage.on_intent(make_intent())) == ""
    start = make_intent().ts
    for minute in range(1, 40):
        mid = 100_000.0 if minute % 2 else 99_000.0
        stage.on_observation(make_observation(ts=start + minute * NS_PER_MINUTE, mid=mid))
    refused = stage.on_intent(make_intent(seq=1, ts=start + 40 * NS_PER_MINUTE))
    assert isinstance(refused, Refused)
    assert refused.code == "max_var"
    assert refused.measured == pytest.approx(105.0, rel=0.01)


def test_a_position_is_added_to_once_it_has_gained_what_it_risked(
    make_instrument: MakeInstrument, make_intent: MakeIntent
) -> None:
    stage = RiskStage(RiskParams(sizing=SizingParams(max_adds=1)), [make_instrument()], 10_000.0)
    first = stage.on_intent(make_intent())
    assert isinstance(first, Approved)
    tell(stage, facts_of(first, 0, fee=0.0)[:3])
    later = first.ts + 100 * NS_PER_S
    against = make_intent(seq=1, ts=later, side=Side.SELL, reference=1_002_000, stop=1_003_000)
    assert code_of(stage.on_intent(against)) == "adds_one_way"
    early = make_intent(seq=2, ts=later, reference=1_001_000, stop=1_000_000)
    assert code_of(stage.on_intent(early)) == "adds_to_profit"
    # 1 R is 18 of risk on 10,000 of notional, 0.18 % of the price
    add = stage.on_intent(make_intent(seq=3, ts=later, reference=1_001_900, stop=1_000_000))
    assert isinstance(add, Approved)
    # at the common stop what is held loses its cost of 8, so 10 of 18 are left: 10 / 0.27 % / 100.19
    assert add.lots == 37
    tell(stage, facts_of(add, 0)[:1])
    another = make_intent(seq=4, ts=later + 100 * NS_PER_S, reference=1_009_000, stop=1_008_000)
    assert code_of(stage.on_intent(another)) == "one_position"


def test_a_restore_at_any_cut_equals_no_interruption(
    make_instrument: MakeInstrument, make_intent: MakeIntent, make_observation: MakeObservation
) -> None:
    instruments = [make_instrument(), make_instrument(id=1)]
    whole, cut = (RiskStage(RiskParams(), instruments, 10_000.0) for _ in range(2))
    verdicts = []
    rng = np.random.default_rng(5)
    for n, intent in enumerate(drawn(3, make_intent, make_intent().ts)):
        snapshot = cut.snapshot()
        cut = RiskStage(RiskParams(), instruments, 77.0, epoch=9)
        cut.restore(snapshot)
        assert cut.snapshot() == snapshot
        observed = make_observation(
            ts=intent.ts,
            instrument=intent.instrument,
            age_ns=int(rng.integers(0, 4 * NS_PER_S)),
            mid=intent.reference / 10,
        )
        assert cut.on_observation(observed) == whole.on_observation(observed)
        verdict = whole.on_intent(intent)
        assert cut.on_intent(intent) == verdict
        verdicts.append(verdict)
        if isinstance(verdict, Approved):
            for fact in facts_of(verdict, verdict.intent.stop if n % 2 else verdict.intent.take_profit):
                whole.on_fact(fact)
                cut.on_fact(fact)
        assert cut.snapshot() == whole.snapshot()
        assert cut.statistics() == whole.statistics()
    kinds = {type(verdict) for verdict in verdicts}
    assert kinds == {Approved, Refused}


def test_every_market_tells_its_state(make_instrument: MakeInstrument, make_observation: MakeObservation) -> None:
    stage = RiskStage(RiskParams(), [make_instrument(), make_instrument(id=1, symbol="ETHUSDT")], 10_000.0)
    stage.on_observation(make_observation(instrument=1, clock_skew_ns=NS_PER_S))
    told = stage.statistics()
    assert told["risk_state:binance-usdm:BTCUSDT"] == 0.0
    assert told["risk_state:binance-usdm:ETHUSDT"] == told["risk_state"] == 1.0


@pytest.mark.parametrize("snapshot", [b"", b"\xc1", msgspec.msgpack.encode(("risk 0", 1))])
def test_bytes_of_another_layout_are_refused(stage: RiskStage, snapshot: bytes) -> None:
    with pytest.raises(SnapshotMismatch):
        stage.restore(snapshot)


# ---- what is led: a fill far from the leader cuts, then closes; so do old prices

LED = {"stop": 999_000, "reference": 1_000_000, "strategy": LEAD_FOLLOW, "probability": 0.0, "confidence": 1.0}


def led_verdict(
    make_instrument: MakeInstrument,
    make_intent: MakeIntent,
    make_observation: MakeObservation,
    leader_mid: float,
    age_s: float = 0.0,
) -> Verdict:
    """Judge a wish of LEAD_FOLLOW in a market at 100,000 whose leader stands at `leader_mid`."""
    stage = RiskStage(RiskParams(), [make_instrument(), make_instrument(id=1)], 10_000.0)
    leader = Leader(instrument=1, mid=leader_mid, last=leader_mid, ts=0, age_ns=0)
    stage.on_observation(make_observation(leader=leader))
    return stage.on_intent(make_intent(data_age_ns=round(age_s * NS_PER_S), **LED))


@pytest.mark.parametrize(
    ("apart", "state"),
    [(0.0, RiskState.CAN_TRADE), (0.009, RiskState.CAN_TRADE), (0.02, RiskState.SUSPECT), (0.05, RiskState.HALT)],
)
def test_an_effective_difference_cuts_size_and_leverage_then_closes(
    make_instrument: MakeInstrument,
    make_intent: MakeIntent,
    make_observation: MakeObservation,
    apart: float,
    state: RiskState,
) -> None:
    verdict = led_verdict(make_instrument, make_intent, make_observation, 100_000.0 / (1.0 + apart))
    whole = led_verdict(make_instrument, make_intent, make_observation, 100_000.0)
    assert isinstance(whole, Approved)
    if state is RiskState.HALT:
        assert isinstance(verdict, Refused)
        assert (verdict.code, verdict.measured, verdict.limit) == ("state_permits", 2.0, 1.0)
        return
    assert isinstance(verdict, Approved)
    share = 0.5 if state is RiskState.SUSPECT else 1.0
    assert verdict.lots == int(whole.lots * share)
    assert verdict.leverage == pytest.approx(whole.leverage * share, rel=1e-2)


def test_a_fill_too_far_from_the_leader_is_refused_with_what_was_measured(
    make_instrument: MakeInstrument, make_intent: MakeIntent, make_observation: MakeObservation
) -> None:
    never = StateParams(suspect_effective_diff_frac=1e9, halt_effective_diff_frac=1e9)
    stage = RiskStage(RiskParams(states=never), [make_instrument(), make_instrument(id=1)], 10_000.0)
    stage.on_observation(make_observation(leader=Leader(instrument=1, mid=96_000.0, last=96_000.0, ts=0, age_ns=0)))
    verdict = stage.on_intent(make_intent(**LED))
    assert isinstance(verdict, Refused)
    assert (verdict.code, verdict.limit) == ("max_effective_diff", 0.03)
    assert verdict.measured == pytest.approx(100_000.1 / 96_000.0 - 1.0)


def test_a_wish_on_a_leader_s_old_price_is_refused(
    make_instrument: MakeInstrument, make_intent: MakeIntent, make_observation: MakeObservation
) -> None:
    assert isinstance(led_verdict(make_instrument, make_intent, make_observation, 100_000.0, 2.0), Approved)
    verdict = led_verdict(make_instrument, make_intent, make_observation, 100_000.0, 2.5)
    assert isinstance(verdict, Refused)
    assert (verdict.code, verdict.measured, verdict.limit) == ("fresh_data", 2.5, 2.0)
