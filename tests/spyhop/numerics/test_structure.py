from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spyhop.numerics.structure import (
    STRUCTURE,
    change_of_character,
    double_turn,
    head_and_shoulders,
    sweep_of_highs,
    sweep_of_lows,
    triangle_break,
)
from spyhop.numerics.swings import swings_push

REACH = 1
ATR = 1.0


class Chart:
    """Closed bars without wicks, unless a low or high is given."""

    def __init__(self, mirror: bool = False) -> None:
        self.record = np.zeros(1, STRUCTURE)[0]
        self.mirror = mirror

    def bar(self, close: float, low: float | None = None, high: float | None = None) -> dict[str, int]:
        low = close if low is None else low
        high = close if high is None else high
        if self.mirror:
            close, low, high = -close, -high, -low
        said = {
            "sweep": sweep_of_lows(self.record, low, close, ATR, 0.1, 0.05, 3)
            + sweep_of_highs(self.record, high, close, ATR, 0.1, 0.05, 3),
            "change": change_of_character(self.record, close),
            "double": double_turn(self.record, close, ATR, 0.25),
            "shoulders": head_and_shoulders(self.record, close, ATR, 0.25),
            "triangle": triangle_break(self.record, close),
        }
        swings_push(self.record["swings"], high, low, 0.0, REACH)
        return said

    def path(self, *closes: float) -> list[dict[str, int]]:
        return [self.bar(close) for close in closes]


TWO_LOWS = (105.0, 100.0, 104.0, 100.05, 104.0)


@pytest.mark.parametrize("mirror", [False, True])
def test_a_wick_below_two_lows_that_closes_back_is_a_sweep(mirror: bool) -> None:
    chart = Chart(mirror)
    assert not any(said["sweep"] for said in chart.path(*TWO_LOWS))
    assert chart.bar(101.0, low=99.9)["sweep"] == (-1 if mirror else 1)
    assert chart.bar(101.0, low=99.8)["sweep"] == 0  # those lows are used up


def test_a_reclaim_may_take_three_bars_and_no_more() -> None:
    chart = Chart()
    chart.path(*TWO_LOWS)
    assert [chart.bar(close)["sweep"] for close in (99.0, 99.5, 101.0)] == [0, 0, 1]
    late = Chart()
    late.path(*TWO_LOWS)
    assert [late.bar(close)["sweep"] for close in (99.0, 99.5, 99.0, 101.0)] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("closes", "low"),
    [
        ((105.0, 100.0, 104.0), 99.0),  # one low is no pool
        ((105.0, 100.0, 104.0, 100.5, 104.0), 99.0),  # two lows too far apart
        (TWO_LOWS, 99.97),  # not far enough beyond
    ],
)
def test_less_than_a_sweep_is_none(closes: tuple[float, ...], low: float) -> None:
    chart = Chart()
    chart.path(*closes)
    assert chart.bar(103.0, low=low)["sweep"] == 0


@pytest.mark.parametrize("mirror", [False, True])
def test_a_double_top_speaks_once_when_its_neck_breaks(mirror: bool) -> None:
    chart = Chart(mirror)
    before = chart.path(100, 110, 105, 110.1, 107, 105.5)
    assert not any(said["double"] for said in before)
    assert [said["double"] for said in chart.path(104.9, 104)] == [1 if mirror else -1, 0]


@pytest.mark.parametrize("mirror", [False, True])
def test_head_and_shoulders_speak_when_the_lower_neck_breaks(mirror: bool) -> None:
    chart = Chart(mirror)
    before = chart.path(100, 110, 106, 114, 105, 110.2, 105.5)
    assert not any(said["shoulders"] for said in before)
    assert chart.bar(104.9)["shoulders"] == (1 if mirror else -1)
    assert chart.bar(104.0)["shoulders"] == 0


@pytest.mark.parametrize("mirror", [False, True])
def test_a_triangle_speaks_at_the_first_close_outside(mirror: bool) -> None:
    chart = Chart(mirror)
    before = chart.path(100, 110, 102, 108, 104, 106, 105)
    assert not any(said["triangle"] for said in before)
    assert [said["triangle"] for said in chart.path(109, 111)] == ([-1, 0] if mirror else [1, 0])


@pytest.mark.parametrize("mirror", [False, True])
def test_character_changes_when_a_close_breaks_the_last_lower_high(mirror: bool) -> None:
    chart = Chart(mirror)
    # lower highs 108 and 104 in a falling structure
    falling = chart.path(105, 110, 103, 108, 100, 104, 98, 101)
    assert not any(said["change"] for said in falling)
    assert chart.bar(103.9)["change"] == 0
    assert chart.bar(104.1)["change"] == (-1 if mirror else 1)
    assert chart.bar(106.0)["change"] == 0


def test_nothing_is_said_of_a_flat_market() -> None:
    chart = Chart()
    assert not any(any(said.values()) for said in chart.path(*[100.0] * 50))


def test_mirrored_noise_says_the_mirrored_thing() -> None:
    walk = np.round(np.cumsum(np.random.default_rng(1).normal(0, 0.7, 3_000)), 2)
    up, down = Chart(), Chart(mirror=True)
    totals: dict[str, int] = {}
    for value in walk:
        here: dict[str, Any] = up.bar(value, low=value - 0.3, high=value + 0.3)
        there = down.bar(value, low=value - 0.3, high=value + 0.3)
        assert here == {key: -said for key, said in there.items()}
        totals = {key: totals.get(key, 0) + abs(said) for key, said in here.items()}
    assert min(totals.values()) > 5
