"""Adding to winners never puts more at stake than the first entry did."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.errors import InvalidSetting
from spyhop.execution.pyramids import (
    PyramidParams,
    Step,
    added,
    cut,
    lots_by_confidence,
    next_add,
    next_cut,
    open_risk,
    opened,
)
from spyhop.model.tape import Side

LONG = opened(Side.BUY, 1000, 10, 990)  # R is 10 ticks, 100 tick-lots are at stake


def test_a_winner_is_added_to_at_every_r() -> None:
    params = PyramidParams(max_adds=3, add_frac=0.5)
    assert next_add(LONG, 1009, params) is None
    assert next_add(LONG, 1010, params) == Step(5, 1000, 0)
    once = added(LONG, 1010, 5, 1000)
    assert open_risk(once, once.stop) == 50
    assert next_add(once, 1019, params) is None
    assert next_add(once, 1020, params) == Step(5, 1010, 0)
    twice = added(once, 1020, 5, 1010)
    thrice = added(twice, 1030, 5, 1020)
    assert next_add(thrice, 1500, params) is None  # three at most


def test_a_short_is_the_mirror_of_a_long() -> None:
    short = opened(Side.SELL, 1000, 10, 1010)
    params = PyramidParams(max_adds=3, add_frac=0.5)
    assert next_add(short, 991, params) is None
    assert next_add(short, 990, params) == Step(5, 1000, 0)
    assert added(short, 990, 5, 1000).stop == 1000


def test_an_add_is_no_larger_than_the_risk_permits() -> None:
    # at 1010 the stop follows to 995 only: 10 lots still risk 5 ticks each, so 50 are left for 15 + 1 each
    params = PyramidParams(max_adds=3, add_frac=1.0, trail_r=1.5, slippage_ticks=1)
    assert next_add(LONG, 1010, params) == Step(3, 995, 0)


def test_nothing_is_added_where_nothing_is_left_of_the_risk() -> None:
    assert next_add(LONG, 1010, PyramidParams(max_adds=3, trail_r=5.0)) is None
    assert next_add(LONG, 990, PyramidParams(max_adds=3)) is None


def test_the_stop_is_never_loosened() -> None:
    tight = added(LONG, 1010, 0, 1008)
    assert (tight.stop, tight.lots) == (1008, 10)
    assert added(tight, 1020, 1, 1001).stop == 1008


def test_lots_come_off_at_their_levels_once() -> None:
    params = PyramidParams(cut_levels_r=(1.0, 2.0), cut_fracs=(0.3, 0.5))
    assert next_cut(LONG, 1009, params) is None
    assert next_cut(LONG, 1010, params) == Step(3, 990, 1)
    less = cut(LONG, 3, 1)
    assert less.lots == 7
    assert next_cut(less, 1015, params) is None
    assert next_cut(less, 1020, params) == Step(5, 990, 2)
    assert next_cut(LONG, 1025, params) == Step(8, 990, 2)  # a jump passes both
    assert next_cut(cut(LONG, 8, 2), 1030, params) is None


def test_what_was_added_last_comes_off_first() -> None:
    two = added(LONG, 1010, 5, 1000)
    assert cut(two, 7, 1).entries == ((1000, 8),)
    assert cut(two, 20, 1).entries == ()
    assert next_add(cut(two, 20, 1), 1050, PyramidParams(max_adds=3)) is None


@given(
    side=st.sampled_from([Side.BUY, Side.SELL]),
    unit=st.integers(1, 300),
    lots=st.integers(1, 500),
    slippage=st.integers(0, 20),
    add_frac=st.floats(0.01, 1.0),
    trail=st.floats(0.1, 5.0),
    moves=st.lists(st.tuples(st.integers(-400, 600), st.integers(0, 20), st.floats(0.0, 1.0)), max_size=30),
)
def test_no_more_is_ever_at_stake_than_at_the_first_entry(side, unit, lots, slippage, add_frac, trail, moves) -> None:
    params = PyramidParams(
        max_adds=3,
        add_frac=add_frac,
        trail_r=trail,
        slippage_ticks=slippage,
        cut_levels_r=(1.5, 2.5, 4.0),
        cut_fracs=(0.2, 0.2, 0.2),
    )
    trip = opened(side, 100_000, lots, 100_000 - side * unit)
    for reach, worse, part in moves:
        price = 100_000 + side * reach
        if (price - trip.stop) * side <= 0:
            return  # stopped out
        before = trip
        if step := next_cut(trip, price, params):
            assert 0 < step.lots <= trip.lots
            trip = cut(trip, step.lots, step.num_cuts)
        if step := next_add(trip, price, params):
            assert reach >= unit * (trip.num_adds + 1)
            got = max(1, math.floor(step.lots * part))  # a partial fill, and a worse one
            trip = added(trip, price + side * min(worse, slippage), got, step.stop)
        assert open_risk(trip, trip.stop) <= unit * lots
        assert (trip.stop - before.stop) * side >= 0
        assert (price - trip.stop) * side > 0
        assert trip.num_adds <= 3


@given(lots=st.integers(0, 10_000), confidence=st.floats(0.0, 1.0), other=st.floats(0.0, 1.0))
def test_confidence_only_ever_makes_smaller(lots: int, confidence: float, other: float) -> None:
    low, high = sorted([confidence, other])
    assert 0 <= lots_by_confidence(lots, low) <= lots_by_confidence(lots, high) <= lots
    assert lots_by_confidence(lots, low, 0.5) >= lots // 2


@pytest.mark.parametrize(("confidence", "lots"), [(1.0, 100), (0.0, 0), (0.29, 29), (0.555, 55)])
def test_lots_by_confidence(confidence: float, lots: int) -> None:
    assert lots_by_confidence(100, confidence) == lots


@pytest.mark.parametrize("confidence", [math.nan, -0.1, 1.1, math.inf])
def test_no_confidence_is_no_lots(confidence: float) -> None:
    assert lots_by_confidence(100, confidence) == 0


@pytest.mark.parametrize(
    "keywords",
    [
        {"cut_levels_r": (1.0,)},
        {"cut_levels_r": (2.0, 1.0), "cut_fracs": (0.1, 0.1)},
        {"cut_levels_r": (1.0, 2.0), "cut_fracs": (0.6, 0.6)},
    ],
)
def test_levels_that_cannot_be(keywords) -> None:
    with pytest.raises(InvalidSetting):
        PyramidParams(**keywords)


@pytest.mark.parametrize(("side", "stop", "lots"), [(Side.BUY, 1000, 1), (Side.SELL, 999, 1), (Side.BUY, 990, 0)])
def test_an_entry_needs_a_stop_behind_it(side: Side, stop: int, lots: int) -> None:
    with pytest.raises(ValueError, match="no entry"):
        opened(side, 1000, lots, stop)
