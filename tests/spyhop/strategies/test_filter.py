"""The signal filter."""

from __future__ import annotations

from typing import Any

import pytest

from spyhop.clock import NS_PER_S
from spyhop.model.tape import Side
from spyhop.strategies.filter import Signal, SignalFilterParams, obstacles, reasons

PARAMS = SignalFilterParams()
GOOD: dict[str, Any] = {
    "side": Side.BUY,
    "strategy": "WHALE_PUMP",
    "probability": 0.78,
    "confidence": 0.72,
    "data_age_ns": 0,
    "since_trade_ns": None,
    "is_engaged": False,
}


def test_a_good_signal_passes() -> None:
    assert reasons(Signal(**GOOD), PARAMS) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"probability": 0.43}, "probability 0.43 is not above 0.70"),
        ({"probability": 0.70}, "probability 0.70 is not above 0.70"),
        ({"probability": 0.6999}, "probability 0.69 is not above 0.70"),
        ({"confidence": 0.60}, "confidence 0.60 is not above 0.60"),
        ({"is_engaged": True}, "a position is open or being entered"),
        ({"since_trade_ns": 59 * NS_PER_S}, "59.0 s since the last trade is below 60.0 s"),
        ({"data_age_ns": 3 * NS_PER_S}, "data is 3.0 s old, above 2.0 s"),
        ({"side": Side.NONE}, "WHALE_PUMP has no direction"),
    ],
)
def test_each_want_is_said_in_words(change: dict[str, Any], said: str) -> None:
    assert reasons(Signal(**GOOD | change), PARAMS) == (said,)


def test_obstacles_stand_before_every_strategy_whatever_its_probability() -> None:
    doubtful = GOOD | {"probability": 0.0, "confidence": 0.0}
    assert obstacles(Signal(**doubtful), PARAMS) == ()
    blocked = doubtful | {"is_engaged": True, "since_trade_ns": 1 * NS_PER_S, "data_age_ns": 3 * NS_PER_S}
    assert obstacles(Signal(**blocked), PARAMS) == reasons(Signal(**GOOD | blocked), PARAMS)[2:]
    assert len(obstacles(Signal(**blocked), PARAMS)) == 3


def test_bounds_themselves_pass_where_they_may() -> None:
    edge = GOOD | {"since_trade_ns": 60 * NS_PER_S, "data_age_ns": 2 * NS_PER_S, "probability": 0.7000001}
    assert reasons(Signal(**edge), PARAMS) == ()


def test_all_wants_are_said_in_order() -> None:
    found = reasons(Signal(**GOOD | {"probability": 0.1, "confidence": 0.2, "is_engaged": True}), PARAMS)
    assert [reason.split()[0] for reason in found] == ["probability", "confidence", "a"]
