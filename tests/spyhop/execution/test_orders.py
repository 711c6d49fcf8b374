"""An order lives by its table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.errors import IllegalTransition, StateError
from spyhop.execution import orders
from spyhop.execution.orders import NEXT, Order
from spyhop.model.orders import OrderStatus, OrderType, Purpose, SubmitOrder
from spyhop.model.tape import Side

SUBMIT = SubmitOrder(
    ts=1, client_order_id="a", instrument=0, side=Side.BUY, type=OrderType.LIMIT, lots=10, purpose=Purpose.ENTRY
)

TABLE = """\
pending_new      -> cancel_pending, cancelled, expired, filled, open, partially_filled, rejected, sent, unknown
sent             -> cancel_pending, cancelled, expired, filled, open, partially_filled, rejected, unknown
unknown          -> cancel_pending, cancelled, expired, filled, open, partially_filled, rejected
open             -> cancel_pending, cancelled, expired, filled, partially_filled
partially_filled -> cancel_pending, cancelled, expired, filled, partially_filled
cancel_pending   -> cancel_pending, cancelled, expired, filled, rejected
filled           -> (end)
cancelled        -> (end)
rejected         -> (end)
expired          -> (end)"""


def test_the_table_is_this_one() -> None:
    assert orders.table() == TABLE


def test_the_table_covers_every_status() -> None:
    assert set(NEXT) == set(OrderStatus)


@given(st.lists(st.sampled_from(list(OrderStatus)), max_size=20))
def test_random_paths_stay_in_the_table(path: list[OrderStatus]) -> None:
    order = Order(SUBMIT)
    for to in path:
        if to in NEXT[order.status]:
            order = orders.moved(order, to)
            assert order.status is to
        else:
            with pytest.raises(IllegalTransition):
                orders.moved(order, to)


@given(st.lists(st.one_of(st.integers(-2, 12), st.just("cancel"), st.just("accept")), max_size=20))
def test_fills_add_up_and_end_when_all_is_filled(steps: list[int | str]) -> None:
    order, total = Order(SUBMIT), 0
    for step in steps:
        if not order.is_alive:
            break
        if step == "accept":
            order = orders.accepted(order)
        elif step == "cancel":
            if OrderStatus.CANCEL_PENDING in NEXT[order.status]:
                order = orders.moved(order, OrderStatus.CANCEL_PENDING)
        elif 0 < step <= order.left:
            order = orders.filled(order, step)
            total += step
        else:
            with pytest.raises(StateError):
                orders.filled(order, step)
        assert order.filled == total == SUBMIT.lots - order.left
        assert (order.status is OrderStatus.FILLED) == (total == SUBMIT.lots)


def test_a_part_filled_on_the_way_to_cancellation_leaves_it_under_way() -> None:
    order = orders.filled(orders.moved(Order(SUBMIT), OrderStatus.CANCEL_PENDING), 4)
    assert order.status is OrderStatus.CANCEL_PENDING
    assert orders.filled(order, 6).status is OrderStatus.FILLED


def test_nothing_becomes_of_an_order_that_ended() -> None:
    done = orders.filled(Order(SUBMIT), 10)
    with pytest.raises(StateError):
        orders.filled(done, 1)
    assert not done.is_alive


def test_an_acknowledgement_that_comes_late_takes_nothing_back() -> None:
    order = orders.filled(Order(SUBMIT), 4)
    assert orders.accepted(order) == order
    assert orders.accepted(Order(SUBMIT)).status is OrderStatus.OPEN
