"""How account and markets stand, and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from spyhop.clock import NS_PER_DAY, NS_PER_MINUTE, NS_PER_S
from spyhop.model.control import Control
from spyhop.model.instruments import Instrument
from spyhop.model.observations import Comparison, Leader, Observation
from spyhop.model.orders import (
    Difference,
    DifferenceKind,
    Fill,
    FundingPaid,
    Liquidity,
    OrderChanged,
    OrderStatus,
    OrderType,
    Purpose,
    Reconciled,
    SubmitOrder,
)
from spyhop.model.tape import Side
from spyhop.model.verdicts import RiskState, RiskStateChanged
from spyhop.risk.health import HealthParams
from spyhop.risk.standing import EVERYTHING, Notice, Standing
from spyhop.risk.states import StateParams

MakeObservation = Callable[..., Observation]
TS = 1_764_350_100_000_000_000


@pytest.fixture
def standing(make_instrument: Callable[..., Instrument]) -> Standing:
    instruments = [make_instrument(), make_instrument(id=1, base="BTC"), make_instrument(id=2, base="BTC")]
    return Standing(10_000.0, instruments, StateParams(), HealthParams(), 1_800.0)


def changes(notices: list[Notice]) -> list[tuple[int, RiskState, RiskState]]:
    return [(one.instrument, one.before, one.state) for one in notices if isinstance(one, RiskStateChanged)]


def paid(ts: int, amount: float) -> FundingPaid:
    return FundingPaid(ts=ts, ts_venue=ts, instrument=0, rate=0.0, lots=0, amount=amount)


def ordered(
    status: OrderStatus, ts: int = TS, cause: str = "sent", seq: int = 5, leverage: float = 0.0, **order: Any
) -> OrderChanged:
    submit = SubmitOrder(
        ts=ts,
        client_order_id="o",
        instrument=0,
        side=Side.BUY,
        type=OrderType.LIMIT,
        lots=10,
        purpose=Purpose.ENTRY,
        intent_seq=seq,
        leverage=leverage,
        **{"price": 1_000_000} | order,
    )
    return OrderChanged(ts=ts, client_order_id="o", instrument=0, status=status, filled=0, cause=cause, order=submit)


def bought(instrument: int, side: Side, lots: int) -> Fill:
    return Fill(
        ts=TS,
        ts_venue=TS,
        fill_id="f",
        client_order_id="o",
        instrument=instrument,
        side=side,
        price=1_000_000,
        lots=lots,
        liquidity=Liquidity.TAKER,
        fee=0.0,
        slippage=0.0,
    )


def test_a_calm_market_says_one_comparison(standing: Standing, make_observation: MakeObservation) -> None:
    standing.on_observation(make_observation())
    (notice,) = standing.take_notices()
    assert isinstance(notice, Comparison)
    assert (notice.cause, notice.risk_state, notice.halt_reason) == ("decision", "can_trade", "")
    assert notice.thresholds["effective_diff.halt"] == 0.03
    assert standing.take_notices() == []


def test_a_halt_says_why_beside_what_it_was_made_from(standing: Standing, make_observation: MakeObservation) -> None:
    leader = Leader(instrument=1, mid=104_000.0, last=104_000.0, ts=TS, age_ns=0)
    standing.on_observation(make_observation(leader=leader))
    changed, why, decision = standing.take_notices()
    assert isinstance(changed, RiskStateChanged)
    assert isinstance(why, Comparison)
    assert isinstance(decision, Comparison)
    assert (changed.instrument, changed.before, changed.state) == (0, RiskState.CAN_TRADE, RiskState.HALT)
    assert changed.reasons == (why.halt_reason,)
    assert changed.reasons[0].startswith("effective_diff: 0.0384625 against 0.03")
    assert (why.cause, decision.cause, decision.risk_state) == ("risk_state", "decision", "halt")
    assert why.buy is not None
    assert why.buy.total < -0.03
    assert standing.state_of(0) is RiskState.HALT
    assert standing.state_of(1) is RiskState.CAN_TRADE


def test_the_mid_marks_what_is_held(standing: Standing, make_observation: MakeObservation) -> None:
    standing.on_fact(bought(0, Side.BUY, 100))
    standing.on_observation(make_observation(mid=99_000.0))
    assert standing.account.equity == pytest.approx(9_900.0)


def test_drawdown_is_from_the_days_highest(standing: Standing) -> None:
    standing.on_fact(paid(TS, -2_000.0))
    standing.on_fact(paid(TS + 1, 600.0))  # 5 % of 12,000
    assert standing.take_notices() == []
    standing.on_fact(paid(TS + 2, 1.0))
    standing.on_fact(paid(TS + 3, 600.0))
    assert changes(standing.take_notices()) == [
        (EVERYTHING, RiskState.CAN_TRADE, RiskState.SUSPECT),
        (EVERYTHING, RiskState.SUSPECT, RiskState.ESCAPE),
    ]
    tomorrow = TS + NS_PER_DAY
    standing.on_intent(tomorrow, 0, 1_000_000)
    assert standing.state_of(2) is RiskState.ESCAPE
    standing.on_intent(tomorrow + NS_PER_MINUTE, 0, 1_000_000)
    assert standing.state_of(2) is RiskState.HALT
    standing.on_intent(tomorrow + 2 * NS_PER_MINUTE, 0, 1_000_000)
    assert standing.state_of(2) is RiskState.CAN_TRADE


def test_a_change_for_all_is_compared_for_every_market(standing: Standing, make_observation: MakeObservation) -> None:
    standing.on_observation(make_observation())
    standing.on_observation(make_observation(instrument=1))
    standing.take_notices()
    standing.on_control(Control.KILL, TS + NS_PER_MINUTE)
    changed, *why = standing.take_notices()
    assert isinstance(changed, RiskStateChanged)
    assert (changed.state, changed.instrument, changed.reasons) == (
        RiskState.ESCAPE,
        EVERYTHING,
        ("killed: 1 against 0",),
    )
    assert [(one.instrument, one.ts) for one in why] == [(0, TS + NS_PER_MINUTE), (1, TS + NS_PER_MINUTE)]


def test_operators_words_are_told_even_when_they_change_nothing(standing: Standing) -> None:
    standing.on_control(Control.DRAIN, TS)
    standing.on_control(Control.PAUSE, TS)
    standing.on_control(Control.RESUME, TS)
    told = [notice for notice in standing.take_notices() if isinstance(notice, RiskStateChanged)]
    assert [one.state for one in told] == [RiskState.HALT] * 3
    assert [one.reasons for one in told] == [
        ("draining: 1 against 0",),
        ("draining: 1 against 0", "paused: 1 against 0"),
        ("draining: 1 against 0",),
    ]


def test_a_market_that_falls_silent_is_suspected(standing: Standing, make_observation: MakeObservation) -> None:
    for minute in range(9):
        for instrument in (0, 1) if minute < 2 else (1,):
            standing.on_observation(make_observation(instrument=instrument, ts=TS + minute * NS_PER_MINUTE))
    told = [one for one in standing.take_notices() if isinstance(one, RiskStateChanged)]
    # last observed in minute 1, its pace a minute: 120 s late in minute 4 and 300 s in minute 7, at the bounds
    assert [((one.ts - TS) // NS_PER_MINUTE, one.instrument, one.state) for one in told] == [
        (5, 0, RiskState.SUSPECT),
        (8, 0, RiskState.HALT),
    ]


def test_what_is_not_clean_waits_until_it_is(standing: Standing) -> None:
    difference = Difference(
        ts=TS, instrument=1, kind=DifferenceKind.SIZE_MISMATCH, ours=1.0, theirs=2.0, is_repaired=False
    )
    standing.on_fact(difference)
    assert [standing.state_of(number) for number in (0, 1)] == [RiskState.CAN_TRADE, RiskState.HALT]
    standing.on_fact(Reconciled(ts=TS + 1, instrument=1, is_clean=False, cause="timer"))
    assert standing.state_of(1) is RiskState.HALT
    standing.on_fact(Reconciled(ts=TS + 2, instrument=1, is_clean=True, cause="timer"))
    assert standing.state_of(1) is RiskState.CAN_TRADE


@pytest.mark.parametrize(
    ("kind", "is_repaired"), [(DifferenceKind.MISSING_FILL, True), (DifferenceKind.BALANCE, False)]
)
def test_what_was_repaired_and_mere_money_do_not_halt(
    standing: Standing, kind: DifferenceKind, is_repaired: bool
) -> None:
    standing.on_fact(Difference(ts=TS, instrument=1, kind=kind, ours=1.0, theirs=2.0, is_repaired=is_repaired))
    assert standing.state_of(1) is RiskState.CAN_TRADE


def test_what_is_unclean_beyond_our_instruments_holds_all(standing: Standing) -> None:
    standing.on_fact(Reconciled(ts=TS, instrument=77, is_clean=False, cause="start"))
    assert standing.state_of(0) is RiskState.HALT
    standing.on_fact(Reconciled(ts=TS, instrument=77, is_clean=True, cause="timer"))
    assert standing.state_of(0) is RiskState.CAN_TRADE


def test_rejections_of_the_venue_count_and_our_own_refusals_do_not(standing: Standing) -> None:
    for n in range(6):
        standing.on_fact(ordered(OrderStatus.REJECTED, TS + n, cause="refused approval 3"))
    assert standing.state_of(0) is RiskState.CAN_TRADE
    for n in range(6):
        standing.on_fact(ordered(OrderStatus.REJECTED, TS + n, cause="rejected o"))
    assert standing.state_of(0) is RiskState.SUSPECT
    standing.on_intent(TS + 601 * NS_PER_S, 0, 1_000_000)
    standing.on_intent(TS + 662 * NS_PER_S, 0, 1_000_000)
    assert standing.state_of(0) is RiskState.CAN_TRADE


def test_orders_of_the_last_minute_are_counted(standing: Standing) -> None:
    for second in (0, 30, 61):
        standing.on_fact(ordered(OrderStatus.PENDING_NEW, TS + second * NS_PER_S))
    assert standing.orders_since(TS + NS_PER_S) == 2


@pytest.mark.parametrize(("leverage", "margin"), [(10.0, 100.0), (0.0, 1_000.0)])
def test_an_entry_of_another_supervisor_is_taken_over(standing: Standing, leverage: float, margin: float) -> None:
    standing.on_fact(ordered(OrderStatus.PENDING_NEW, leverage=leverage))
    exposure = standing.state.exposure
    assert (exposure.notional, exposure.margin, exposure.risk) == (1_000.0, margin, margin)
    standing.on_fact(ordered(OrderStatus.CANCELLED, leverage=leverage))
    assert exposure.held == {}


def test_what_was_taken_over_without_a_price_has_no_bound_until_it_has_one(standing: Standing) -> None:
    standing.on_fact(ordered(OrderStatus.PENDING_NEW, price=0))
    exposure = standing.state.exposure
    assert exposure.margin == math.inf
    standing.on_fact(bought(0, Side.BUY, 4))
    standing.on_fact(ordered(OrderStatus.PARTIALLY_FILLED, price=0))
    assert (exposure.notional, exposure.margin) == (1_000.0, 1_000.0)


def test_legs_that_miss_each_other_are_measured(standing: Standing) -> None:
    standing.on_fact(bought(1, Side.BUY, 10))
    assert standing.leg_imbalance([1, 2]) == 0.0
    standing.on_fact(bought(2, Side.SELL, 4))
    assert standing.leg_imbalance([1, 2]) == pytest.approx(600.0)
    assert standing.signed_notional(2) == pytest.approx(-400.0)
