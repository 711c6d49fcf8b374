"""What approved entries hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from spyhop.model.decisions import Intent
from spyhop.model.orders import OrderChanged, OrderStatus, OrderType, Purpose, SubmitOrder
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
