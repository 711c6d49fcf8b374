from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.numerics.swings import KEPT, NEW_HIGH, NEW_LOW, SWINGS, swings_push


def found(high: Any, low: Any, reach: int) -> tuple[list[tuple[int, int]], Any]:
    record = np.zeros(1, SWINGS)[0]
    said = [(bar, swings_push(record, high[bar], low[bar], float(bar), reach)) for bar in range(len(high))]
    return [(bar, what) for bar, what in said if what], record


def reference(high: Any, low: Any, reach: int) -> list[tuple[int, int]]:
    said = []
    for known in range(2 * reach, len(high)):
        i = known - reach
        before, after = slice(i - reach, i), slice(i + 1, i + reach + 1)
        what = 0
        if (high[before] < high[i]).all() and (high[after] <= high[i]).all():
            what += NEW_HIGH
        if (low[before] > low[i]).all() and (low[after] >= low[i]).all():
            what += NEW_LOW
        if what:
            said.append((known, what))
    return said


@pytest.mark.parametrize("reach", [1, 3, 10])
@pytest.mark.parametrize("grid", [0.0, 1.0])
def test_swings_are_known_exactly_when_their_definition_says(reach: int, grid: float) -> None:
    walk = np.cumsum(np.random.default_rng(1).normal(size=800))
    walk = np.round(walk) if grid else walk
    assert found(walk + 1, walk - 1, reach)[0] == reference(walk + 1, walk - 1, reach)


def test_a_swing_keeps_price_bar_and_what_came_with_it() -> None:
    prices = np.array([1.0, 2.0, 5.0, 3.0, 2.0, 4.0])
    said, record = found(prices, prices, 2)
    assert said[0] == (4, NEW_HIGH)
    assert (record["highs"][0]["price"], record["highs"][0]["bar"], record["highs"][0]["aux"]) == (5.0, 2, 2.0)


def test_of_equal_highs_the_first_counts() -> None:
    prices = np.array([1.0, 2.0, 5.0, 5.0, 2.0, 1.0, 0.5])
    said, record = found(prices, np.zeros(7), 2)
    assert [bar for bar, what in said if what & NEW_HIGH] == [4]
    assert record["highs"][0]["bar"] == 2


def test_only_the_newest_are_kept() -> None:
    prices = np.tile([0.0, 1.0], 100)
    _, record = found(prices, prices, 1)
    assert record["num_highs"] > KEPT
    assert record["highs"]["bar"].min() > 150


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=5, max_size=60), st.integers(1, 4), st.data())
def test_a_longer_past_never_rewrites_a_swing(prices: list[int], reach: int, data: st.DataObject) -> None:
    values = np.array(prices, dtype=float)
    cut = data.draw(st.integers(1, len(prices)))
    whole = found(values, values, reach)[0]
    assert [item for item in whole if item[0] < cut] == found(values[:cut], values[:cut], reach)[0]
