"""What approved entries hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from spyhop.model.decisions import Intent
from spyhop.model.orders import OrderChanged, OrderStatus, OrderType, Purpose, SubmitOrder, TradeClosed
from spyhop.model.tape import Side
from spyhop.model.verdicts import Approved
from spyhop.risk.exposure import Exposure

MakeIntent = Callable[..., Intent]


def approved(intent: Intent) -> Approved:
    return Approved(seq=0, ts=10, intent=intent, lots=5, leverage=1.0, risk=2.0, margin=10.0, epoch=1, expires=20)


def changed(status: OrderStatus, filled: int = 0, purpose: Purpose = Purpose.ENTRY) -> OrderChanged:
    order = SubmitOrder(
        ts=1,
        client_order_id="o",
        instrument=0,
        side=Side.BUY,
        type=OrderType.MARKET,
        lots=5,
        purpose=purpose,
        intent_seq=7,
    )
    return OrderChanged(ts=1, client_order_id="o", instrument=0, status=status, filled=filled, cause="t", order=order)


@pytest.fixture
def exposure(make_intent: MakeIntent) -> Exposure:
    exposure = Exposure()
    exposure.reserve(approved(make_intent(seq=7)), 1_000.0)
    return exposure


def test_an_approval_holds_its_share_at_once(exposure: Exposure) -> None:
    assert (exposure.margin, exposure.risk, exposure.notional) == (10.0, 2.0, 1_000.0)
    assert (exposure.num_in(0), exposure.num_in(1)) == (1, 0)


@pytest.mark.parametrize("status", [OrderStatus.REJECTED, OrderStatus.CANCELLED, OrderStatus.EXPIRED])
def test_an_entry_that_ends_unfilled_frees_it(exposure: Exposure, status: OrderStatus) -> None:
    exposure.on_fact(changed(status))
    assert exposure.held == {}


@pytest.mark.parametrize("fact", [changed(OrderStatus.FILLED, 5), changed(OrderStatus.CANCELLED, 2)])
def test_an_entry_that_filled_in_part_holds_it(exposure: Exposure, fact: OrderChanged) -> None:
    exposure.on_fact(fact)
    assert 7 in exposure.held


def test_an_exit_order_that_is_cancelled_frees_nothing(exposure: Exposure) -> None:
    exposure.on_fact(changed(OrderStatus.CANCELLED, purpose=Purpose.STOP_LOSS))
    assert 7 in exposure.held


def test_an_approval_without_an_order_lapses(exposure: Exposure) -> None:
    exposure.expire(20)
    assert 7 in exposure.held
    exposure.expire(21)
    assert exposure.held == {}


def test_an_ordered_one_does_not_lapse(exposure: Exposure) -> None:
    exposure.on_fact(changed(OrderStatus.PENDING_NEW))
    exposure.expire(10**18)
    assert 7 in exposure.held


def closed(intent_seq: int) -> TradeClosed:
    numbers = dict.fromkeys(
        ("ts", "instrument", "decision_seq", "ts_entry", "ts_exit", "lots", "probability", "confidence")
        + ("entry_price", "exit_price", "take_profit_price", "stop_loss_price", "notional", "margin", "leverage")
        + ("gross", "fees", "funding", "slippage", "net", "max_profit_frac", "max_drawdown_frac"),
        0,
    )
    return TradeClosed(
        trade_id="t", side=Side.BUY, strategy="s", exit_purpose="stop_loss", intent_seq=intent_seq, **numbers
    )


def test_a_round_trip_frees_its_adds_and_no_more(exposure: Exposure, make_intent: MakeIntent) -> None:
    exposure.on_fact(changed(OrderStatus.PENDING_NEW))
    for seq, instrument in ((8, 0), (9, 1)):
        exposure.reserve(approved(make_intent(seq=seq, instrument=instrument)), 500.0)
        exposure.held[seq].is_ordered = True
    exposure.reserve(approved(make_intent(seq=10)), 500.0)  # approved, and no order yet
    exposure.on_fact(closed(7))
    assert sorted(exposure.held) == [9, 10]


def test_notional_is_told_by_side_and_by_place(exposure: Exposure, make_intent: MakeIntent) -> None:
    exposure.reserve(approved(make_intent(seq=8, instrument=1, side=Side.SELL)), 400.0)
    assert exposure.signed_notionals() == {0: 1_000.0, 1: -400.0}
    assert exposure.notional_in([0, 1]) == 1_400.0
    assert exposure.notional_in([1]) == 400.0
    assert (exposure.num_instruments(1), exposure.num_instruments(2)) == (2, 3)
    assert (exposure.first_risk(0), exposure.first_risk(5)) == (2.0, 0.0)


def test_an_entry_approved_elsewhere_is_foreign_once(exposure: Exposure) -> None:
    assert not exposure.is_foreign(changed(OrderStatus.PENDING_NEW))
    exposure.held.clear()
    assert exposure.is_foreign(changed(OrderStatus.PENDING_NEW))
    assert not exposure.is_foreign(changed(OrderStatus.CANCELLED, 2))
    assert not exposure.is_foreign(changed(OrderStatus.PENDING_NEW, purpose=Purpose.STOP_LOSS))
    assert not exposure.is_foreign(closed(7))
    exposure.adopt(changed(OrderStatus.PENDING_NEW).order, 100.0, 50.0)
    assert exposure.is_foreign(changed(OrderStatus.CANCELLED, 2))
    assert (exposure.notional, exposure.margin, exposure.risk) == (100.0, 50.0, 50.0)
