"""What may still come of an order, however its reports are ordered."""

from __future__ import annotations

from spyhop.execution.flights import Flight
from spyhop.model.orders import (
    Fill,
    Liquidity,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
    OrderType,
    OrderUnknown,
    Purpose,
    SubmitOrder,
)
from spyhop.model.tape import Side

ORDER = SubmitOrder(
    ts=1, client_order_id="a", instrument=0, side=Side.BUY, type=OrderType.LIMIT, lots=10, purpose=Purpose.ENTRY
)
KEY = {"ts": 2, "client_order_id": "a", "instrument": 0}


def fill(lots: int) -> Fill:
    return Fill(
        **KEY,
        ts_venue=2,
        fill_id="f",
        side=Side.BUY,
        price=5,
        lots=lots,
        liquidity=Liquidity.TAKER,
        fee=0.0,
        slippage=0.0,
    )


def flown(*reports) -> Flight:
    flight = Flight(ORDER, ORDER.lots)
    for report in reports:
        flight.on(report)
    return flight


def test_fills_use_it_up() -> None:
    assert (flown(fill(4)).left, flown(fill(4)).filled) == (6, 4)
    assert flown(fill(4), fill(6)).is_landed


def test_what_ends_it_leaves_nothing() -> None:
    assert flown(OrderRejected(**KEY, ts_venue=2, reason="no")).is_landed
    assert flown(fill(4), OrderCancelled(**KEY, ts_venue=2, lots_left=6)).is_landed
    assert flown(OrderExpired(**KEY, ts_venue=2, lots_left=10)).is_landed


def test_fills_that_are_owed_keep_it_in_flight() -> None:
    flight = flown(fill(1), OrderCancelled(**KEY, ts_venue=2, lots_left=6))
    assert (flight.left, flight.is_over, flight.is_landed) == (3, True, False)
    flight.on(fill(3))
    assert flight.is_landed


def test_anything_definite_ends_not_knowing() -> None:
    unknown = OrderUnknown(**KEY, reason="time-out")
    assert flown(unknown).is_unknown
    for report in (
        OrderAccepted(**KEY, ts_venue=2),
        fill(1),
        OrderRejected(**KEY, ts_venue=2, reason="no"),
        OrderCancelled(**KEY, ts_venue=2, lots_left=10),
    ):
        assert not flown(unknown, report).is_unknown
    assert not flown(OrderCancelled(**KEY, ts_venue=2, lots_left=9), unknown).is_unknown
