"""The exits of a bracket, by hand."""

from __future__ import annotations

import msgspec
import pytest

from spyhop.execution.brackets import BracketParams, exits
from spyhop.execution.trips import ExitPrices, Leg, Trip
from spyhop.model.decisions import Intent
from spyhop.model.orders import OrderType, Purpose
from spyhop.model.tape import Side
from spyhop.model.verdicts import Approved


def trip(side: Side, stop: int = 990) -> Trip:
    intent = Intent(
        seq=1,
        ts=1,
        instrument=0,
        decision_seq=1,
        side=side,
        strategy="WHALE_PUMP",
        probability=0.8,
        confidence=0.7,
        reference=1000,
        take_profit=1000 + side * 20,
        stop=stop if side is Side.BUY else 1010,
        max_hold_ns=0,
    )
    approved = Approved(seq=1, ts=1, intent=intent, lots=10, leverage=1.0, risk=1.0, margin=1.0, epoch=1, expires=2)
    return Trip(approved, "e", ["e"], entry=Leg(lots=10, average=1000.4))


@pytest.mark.parametrize(
    ("side", "profit", "stop", "worst"), [(Side.BUY, 1020, 990, 987), (Side.SELL, 980, 1010, 1013)]
)
def test_each_exit_stands_where_the_intent_says(side: Side, profit: int, stop: int, worst: int) -> None:
    assert exits(BracketParams(), trip(side)) == [
        (OrderType.TAKE_PROFIT_MARKET, Purpose.TAKE_PROFIT, ExitPrices(0, profit, 0)),
        (OrderType.STOP_MARKET, Purpose.STOP_LOSS, ExitPrices(0, stop, 0)),
    ]
    params = BracketParams(stop_type="limit", stop_offset_ticks=3, take_profit_type="limit", trailing_frac=0.0125)
    assert exits(params, trip(side)) == [
        (OrderType.TAKE_PROFIT_LIMIT, Purpose.TAKE_PROFIT, ExitPrices(profit, profit, 0)),
        (OrderType.STOP_LIMIT, Purpose.STOP_LOSS, ExitPrices(worst, stop, 0)),
        (OrderType.TRAILING_STOP, Purpose.STOP_LOSS, ExitPrices(0, 0, 13)),
    ]


def test_no_price_is_below_a_tick_and_no_callback_nothing() -> None:
    params = BracketParams(stop_type="limit", stop_offset_ticks=50, trailing_frac=1e-9)
    _, stop, trailing = exits(params, trip(Side.BUY, stop=20))
    assert (stop[2].price, trailing[2].callback) == (1, 1)


def test_bounds_are_kept() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"trailing_frac": 1.0}, BracketParams)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"stop_offset_ticks": -1}, BracketParams)
