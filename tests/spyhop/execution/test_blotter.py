"""The blotter: causes, repeats, and what is kept of trips that are over."""

from __future__ import annotations

import msgspec
import pytest

from spyhop.errors import StateError
from spyhop.execution.blotter import REMEMBERED, Blotter, BlotterState, Past, cause_of
from spyhop.execution.orders import Order
from spyhop.model.decisions import Intent
from spyhop.model.orders import (
    Fill,
    FundingPaid,
    Liquidity,
    OrderAccepted,
    OrderSent,
    OrderStatus,
    OrderType,
    Purpose,
    Reconciled,
    SubmitOrder,
)
from spyhop.model.tape import Side
from spyhop.model.verdicts import Approved

INTENT = Intent(
    seq=1,
    ts=1,
    instrument=0,
    decision_seq=1,
    side=Side.BUY,
    strategy="WHALE_PUMP",
    probability=0.8,
    confidence=0.7,
    reference=1000,
    take_profit=1020,
    stop=990,
    max_hold_ns=0,
)
APPROVED = Approved(seq=1, ts=1, intent=INTENT, lots=10, leverage=1.0, risk=1.0, margin=1.0, epoch=1, expires=2)


def ordered(blotter: Blotter) -> str:
    """Put an order of 10 lots into the blotter and return its id."""
    key = blotter.next_id()
    order = SubmitOrder(
        ts=1, client_order_id=key, instrument=0, side=Side.BUY, type=OrderType.LIMIT, lots=10, purpose=Purpose.ENTRY
    )
    blotter.change(Order(order))
    return key


def fill(key: str, fill_id: str = "v1", lots: int = 4) -> Fill:
    return Fill(
        ts=5,
        ts_venue=5,
        fill_id=fill_id,
        client_order_id=key,
        instrument=0,
        side=Side.BUY,
        price=1000,
        lots=lots,
        liquidity=Liquidity.MAKER,
        fee=0.0,
        slippage=0.0,
    )


@pytest.mark.parametrize(
    ("report", "cause"),
    [
        (fill("s1-000001"), "fill v1"),
        (OrderSent(ts=1, client_order_id="s1-000001", instrument=0), "sent s1-000001"),
        (FundingPaid(ts=1, ts_venue=1, instrument=3, rate=0.1, lots=1, amount=1.0), "funding 3"),
        (Reconciled(ts=1, instrument=3, is_clean=True, cause="timer"), "reconciled 3"),
    ],
)
def test_a_cause_is_kind_and_id(report, cause: str) -> None:
    assert cause_of(report) == cause


def test_time_never_goes_back_in_facts() -> None:
    blotter = Blotter("s1")
    assert [blotter.begin(7, "a"), blotter.begin(5, "b")] == [7, 7]
    ordered(blotter)
    (fact,) = blotter.taken()
    assert (fact.ts, fact.cause) == (7, "b")
    assert blotter.taken() == []


def test_a_repeat_is_counted_and_says_nothing() -> None:
    blotter = Blotter("s1")
    key = ordered(blotter)
    assert blotter.on_fill(fill(key)) is not None
    blotter.taken()
    assert blotter.on_fill(fill(key)) is None
    assert blotter.on_step(OrderSent(ts=1, client_order_id=key, instrument=0)) is None
    assert blotter.taken() == []
    assert (blotter.state.counts["duplicate_fills"], blotter.state.counts["late_reports"]) == (1, 1)


def test_what_is_over_is_kept_so_long_and_no_longer() -> None:
    blotter = Blotter("s1")
    first = [ordered(blotter) for _ in range(3)]
    blotter.retire(0, Past(APPROVED, first))
    rest = [ordered(blotter) for _ in range(REMEMBERED - 3)]
    blotter.retire(0, Past(APPROVED, rest))
    assert blotter.approval(blotter.state.orders[first[0]].submit) == APPROVED
    blotter.retire(0, Past(APPROVED, [ordered(blotter)]))
    assert not set(first) & set(blotter.state.orders)
    assert set(rest) <= set(blotter.state.orders)
    assert blotter.on_fill(fill(first[0])) is None
    assert blotter.state.counts["forgotten_reports"] == 1


def test_an_order_under_way_belongs_to_no_trip_that_is_over() -> None:
    blotter = Blotter("s1")
    with pytest.raises(StateError, match="belongs to no trip"):
        blotter.approval(blotter.state.orders[ordered(blotter)].submit)


@pytest.mark.parametrize("key", ["s1-000002", "s1-000000", "s2-000001", "s1-x", "foreign"])
def test_what_is_not_ours_is_an_error(key: str) -> None:
    blotter = Blotter("s1")
    ordered(blotter)
    with pytest.raises(StateError, match="not ours"):
        blotter.on_step(OrderAccepted(ts=1, ts_venue=1, client_order_id=key, instrument=0))


def test_a_state_goes_through_bytes() -> None:
    blotter, fresh = Blotter("s1"), Blotter("s1")
    key = ordered(blotter)
    blotter.on_fill(fill(key))
    blotter.retire(0, Past(APPROVED, [key]))
    fresh.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(blotter.state), type=BlotterState))
    assert fresh.state == blotter.state
    assert fresh.state.orders[key].status is OrderStatus.PARTIALLY_FILLED
    assert fresh.on_fill(fill(key)) is None
