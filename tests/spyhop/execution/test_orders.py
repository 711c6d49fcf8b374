"""An order lives by its table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.errors import IllegalTransition, StateError
from spyhop.execution import orders
from spyhop.execution.orders import NEXT, Order
from spyhop.model.orders import (
    CancelRejected,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
    OrderSent,
    OrderStatus,
    OrderType,
    OrderUnknown,
    Purpose,
    SubmitOrder,
)
from spyhop.model.tape import Side

SUBMIT = SubmitOrder(
    ts=1, client_order_id="a", instrument=0, side=Side.BUY, type=OrderType.LIMIT, lots=10, purpose=Purpose.ENTRY
)

TABLE = """\
pending_new      -> cancel_pending, cancelled, expired, filled, open, partially_filled, rejected, sent, unknown
sent             -> cancel_pending, cancelled, expired, filled, open, partially_filled, rejected, unknown
unknown          -> cancel_pending, cancelled, expired, filled, open, partially_filled, rejected
open             -> cancel_pending, cancelled, expired, filled, partially_filled, rejected, unknown
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
        if step == "accept":
            order = orders.accepted(order)
        elif step == "cancel":
            if OrderStatus.CANCEL_PENDING in NEXT[order.status]:
                order = orders.moved(order, OrderStatus.CANCEL_PENDING)
        elif step > 0:
            order = orders.filled(order, step)
            total += step
        else:
            with pytest.raises(StateError):
                orders.filled(order, step)
        assert order.filled == total == SUBMIT.lots - order.left
        assert (order.status is OrderStatus.FILLED) == (total >= SUBMIT.lots)


def test_a_part_filled_on_the_way_to_cancellation_leaves_it_under_way() -> None:
    order = orders.filled(orders.moved(Order(SUBMIT), OrderStatus.CANCEL_PENDING), 4)
    assert order.status is OrderStatus.CANCEL_PENDING
    assert orders.filled(order, 6).status is OrderStatus.FILLED


@pytest.mark.parametrize("end", [OrderStatus.CANCELLED, OrderStatus.EXPIRED, OrderStatus.REJECTED])
def test_a_fill_after_the_end_is_counted_and_leaves_the_end(end: OrderStatus) -> None:
    late = orders.filled(orders.moved(Order(SUBMIT), end), 10, "f1")
    assert (late.status, late.filled, late.fills) == (end, 10, ("f1",))
    assert not late.is_alive


def test_more_than_was_asked_is_ours_all_the_same() -> None:
    over = orders.filled(orders.filled(Order(SUBMIT), 8, "f1"), 5, "f2")
    assert (over.status, over.filled, over.left) == (OrderStatus.FILLED, 13, -3)


IDS = {"ts": 1, "client_order_id": "a", "instrument": 0}
ENDS = {
    OrderStatus.REJECTED: OrderRejected(ts_venue=1, reason="why", **IDS),
    OrderStatus.CANCELLED: OrderCancelled(ts_venue=1, lots_left=3, **IDS),
    OrderStatus.EXPIRED: OrderExpired(ts_venue=1, lots_left=3, **IDS),
}
STEPS = {
    **ENDS,
    OrderStatus.SENT: OrderSent(**IDS),
    OrderStatus.UNKNOWN: OrderUnknown(reason="timed out", **IDS),
    OrderStatus.OPEN: OrderAccepted(ts_venue=1, **IDS),
}


@pytest.mark.parametrize("to", list(STEPS))
def test_a_report_moves_an_order_that_waits_for_it(to: OrderStatus) -> None:
    assert orders.after(Order(SUBMIT), STEPS[to])[0].status is to


@given(st.lists(st.one_of(st.sampled_from(list(STEPS)), st.integers(1, 4)), max_size=12))
def test_reports_in_any_order_keep_to_the_table(path: list[OrderStatus | int]) -> None:
    order = Order(SUBMIT)
    for step in path:
        before = order
        order = orders.filled(order, step) if isinstance(step, int) else orders.after(order, STEPS[step])[0]
        assert order.status is before.status or order.status in NEXT[before.status]
        if not before.is_alive:
            assert order.status is before.status


@pytest.mark.parametrize("to", list(ENDS))
def test_every_end_ends_whatever_came_before(to: OrderStatus) -> None:
    for status in NEXT:
        if NEXT[status]:
            order = Order(SUBMIT, status)
            assert not orders.after(order, ENDS[to])[0].is_alive


def test_a_rejection_of_what_is_partly_filled_ends_the_rest() -> None:
    part = orders.filled(Order(SUBMIT), 4)
    assert orders.after(part, ENDS[OrderStatus.REJECTED])[0].status is OrderStatus.CANCELLED


def test_an_unknown_order_may_turn_out_any_way() -> None:
    unknown = orders.after(Order(SUBMIT), STEPS[OrderStatus.UNKNOWN])[0]
    for to, report in STEPS.items():
        if to not in (OrderStatus.UNKNOWN, OrderStatus.SENT):
            assert orders.after(unknown, report)[0].status is to


def test_a_rejected_cancellation_leaves_the_order_as_it_was() -> None:
    asked = orders.moved(Order(SUBMIT), OrderStatus.CANCEL_PENDING)
    after, reason = orders.after(asked, CancelRejected(ts_venue=1, reason="unknown order", **IDS))
    assert after == asked
    assert "unknown order" in reason


def test_an_order_that_we_hold_says_so() -> None:
    after, reason = orders.after(Order(SUBMIT), OrderAccepted(ts_venue=1, is_emulated=True, **IDS))
    assert after.status is OrderStatus.OPEN
    assert reason == "held by us until it triggers"


def test_an_acknowledgement_that_comes_late_takes_nothing_back() -> None:
    order = orders.filled(Order(SUBMIT), 4)
    assert orders.accepted(order) == order
    assert orders.accepted(Order(SUBMIT)).status is OrderStatus.OPEN
