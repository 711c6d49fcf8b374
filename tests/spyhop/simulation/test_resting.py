"""Where we stand in a queue."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.simulation import resting


def test_five_ahead_and_trades_of_one_fill_on_the_sixth() -> None:
    place = resting.entered(5)
    assert [resting.after_trade(place, 1) for _ in range(6)] == [0, 0, 0, 0, 0, 1]


def test_a_trade_larger_than_the_queue_reaches_us_with_the_rest() -> None:
    place = resting.entered(5)
    assert resting.after_trade(place, 8) == 3
    assert resting.after_trade(place, 2) == 2


def test_an_unknown_queue_never_moves() -> None:
    place = resting.entered(-1)
    assert resting.after_trade(place, 10**9) == 0
    resting.after_depth(place, 0, "probabilistic")
    assert math.isinf(place.ahead)


def test_risk_averse_believes_in_no_cancellation_ahead() -> None:
    place = resting.entered(100)
    resting.after_depth(place, 1, "risk_averse")
    assert place.ahead == 100.0


def test_depth_that_was_traded_is_not_taken_for_cancelled() -> None:
    place = resting.entered(10)
    resting.after_trade(place, 4)
    resting.after_depth(place, 6, "probabilistic")
    assert place.ahead == 6.0


def test_depth_added_behind_us_changes_nothing_ahead() -> None:
    place = resting.entered(10)
    resting.after_depth(place, 50, "probabilistic")
    assert place.ahead == 10.0
    assert place.shown == 50.0


def test_a_cancellation_is_shared_as_the_logarithms_say() -> None:
    place = resting.entered(10)
    resting.after_depth(place, 40, "probabilistic")
    resting.after_depth(place, 36, "probabilistic")
    share = math.log1p(10) / (math.log1p(10) + math.log1p(30))
    assert place.ahead == pytest.approx(10 - 4 * share)


def test_what_cannot_have_been_behind_was_ahead() -> None:
    place = resting.entered(10)
    resting.after_depth(place, 12, "probabilistic")
    resting.after_depth(place, 3, "probabilistic")
    assert place.ahead <= 3.0


@given(st.integers(0, 1_000), st.lists(st.tuples(st.booleans(), st.integers(0, 500)), max_size=30))
def test_the_queue_ahead_never_grows_and_never_exceeds_what_is_shown(start: int, steps: list[tuple[bool, int]]) -> None:
    place = resting.entered(start)
    for is_trade, lots in steps:
        before = place.ahead
        if is_trade:
            assert resting.after_trade(place, lots) == max(0, int(lots - before))
        else:
            resting.after_depth(place, lots, "probabilistic")
            assert place.ahead <= lots
        assert 0.0 <= place.ahead <= before
