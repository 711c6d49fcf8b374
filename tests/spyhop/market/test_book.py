from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.market import book
from spyhop.market.book import BOOK, WINDOW

Levels = dict[tuple[int, int], int]


@pytest.fixture(scope="module")
def record() -> Any:
    return np.zeros(1, BOOK)[0]


def fill(record: Any, levels: list[tuple[int, int, int]]) -> Levels:
    """Set levels one by one, settling after each, in the record and in a plain dictionary."""
    expected: Levels = {}
    for side, price, qty in levels:
        book.set_level(record, side, price, qty)
        book.settle(record)
        if qty:
            expected[side, price] = qty
        else:
            expected.pop((side, price), None)
    return expected


def best(levels: Levels, side: int) -> tuple[int, int]:
    prices = [price for s, price in levels if s == side]
    if not prices:
        return 0, 0
    price = max(prices) if side > 0 else min(prices)
    return price, levels[side, price]


def imbalance(levels: Levels) -> float:
    """The definition: exp(-distance / 5 bp) from the true mid, cut at 50 bp."""
    mid = 0.5 * (best(levels, 1)[0] + best(levels, -1)[0])
    sums = {1: 0.0, -1: 0.0}
    for (side, price), qty in levels.items():
        distance_bps = 1e4 * abs(price - mid) / mid
        if distance_bps <= 50.0:
            sums[side] += qty * math.exp(-distance_bps / 5.0)
    return (sums[1] - sums[-1]) / (sums[1] + sums[-1])


sides = st.sampled_from([1, -1])
near = st.tuples(sides, st.integers(600_000, 600_300), st.integers(0, 50))
anywhere = st.tuples(sides, st.integers(1, 3_000_000), st.integers(0, 5))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.one_of(near, near, anywhere), max_size=60))
def test_any_levels_give_the_book_of_a_dictionary(levels: list[tuple[int, int, int]]) -> None:
    record = _SHARED[0]
    book.clear(record)
    expected = fill(record, levels)
    assert (record["bid"], record["bid_qty"]) == best(expected, 1)
    assert (record["ask"], record["ask_qty"]) == best(expected, -1)
    for (side, price), qty in expected.items():
        assert book.level(record, side, price) == qty
    assert record["num_levels"] + record["num_far"] == len(expected)


_SHARED = np.zeros(1, BOOK)


def test_the_window_follows_the_price_and_loses_nothing(record: Any) -> None:
    book.clear(record)
    expected: Levels = {}
    rng = np.random.default_rng(4)
    price = 500_000
    for _ in range(400):
        price += int(rng.integers(-3_000, 4_000))
        for side, at in ((1, price - 1), (-1, price + 1), (1, price - 9_000), (-1, price + 9_000)):
            stale = [(s, p) for s, p in expected if (s == 1 and p >= price) or (s == -1 and p <= price)]
            for s, p in stale:
                book.set_level(record, s, p, 0)
                del expected[s, p]
            book.set_level(record, side, at, 7)
            expected[side, at] = 7
        book.settle(record)
        assert (record["bid"], record["ask"]) == (best(expected, 1)[0], best(expected, -1)[0])
    assert record["num_rebased"] > 0
    assert record["num_lost"] == 0
    assert all(book.level(record, side, at) == qty for (side, at), qty in expected.items())


def test_prices_beyond_the_window_are_found_when_the_near_side_empties(record: Any) -> None:
    book.clear(record)
    fill(record, [(1, 600_000, 5), (-1, 600_001, 5), (1, 10_000, 3), (-1, 2_000_000, 2)])
    assert record["num_far"] == 2
    fill(record, [(1, 600_000, 0), (-1, 600_001, 0)])
    assert (record["bid"], record["bid_qty"]) == (10_000, 3)
    assert (record["ask"], record["ask_qty"]) == (2_000_000, 2)


def test_what_the_far_table_cannot_hold_is_counted(record: Any) -> None:
    book.clear(record)
    fill(record, [(1, 600_000, 5), (-1, 600_001, 5)])
    lost = int(record["num_lost"])
    for k in range(14_000):
        book.set_level(record, -1, 2_000_000 + k, 1)
    assert record["num_far"] + record["num_lost"] - lost == 14_000
    assert record["num_lost"] > lost
    for k in range(14_000):
        book.set_level(record, -1, 2_000_000 + k, 0)
    assert record["num_far"] == 0
    assert not np.any(record["far_key"])
    record["num_lost"] = 0


def test_removing_far_levels_hides_none_of_the_others(record: Any) -> None:
    rng = np.random.default_rng(21)
    book.clear(record)
    fill(record, [(1, 600_000, 5), (-1, 600_001, 5)])
    prices = 2_000_000 + rng.permutation(500_000)[:12_000]
    for price in prices:
        book.set_level(record, -1, int(price), int(price) % 97 + 1)
    gone = set(rng.permutation(prices)[:6_000].tolist())
    for price in gone:
        book.set_level(record, -1, int(price), 0)
    assert record["num_far"] == 6_000
    for price in prices:
        expected = 0 if int(price) in gone else int(price) % 97 + 1
        assert book.level(record, -1, int(price)) == expected


def test_the_running_imbalance_stays_within_its_bound_of_the_definition(record: Any) -> None:
    rng = np.random.default_rng(11)
    book.clear(record)
    expected: Levels = {}
    mid = 600_000
    worst = 0.0
    for step in range(600):
        mid += int(rng.integers(-40, 41))
        for s, p in [key for key in expected if (key[0] == 1) == (key[1] >= mid) and key[1] != mid]:
            book.set_level(record, s, p, 0)
            del expected[s, p]
        for _ in range(12):
            side = 1 if rng.random() < 0.5 else -1
            at = mid - side * int(1 + rng.exponential(600))
            qty = int(rng.integers(0, 500))
            book.set_level(record, side, at, qty)
            if qty:
                expected[side, at] = qty
            else:
                expected.pop((side, at), None)
        book.settle(record)
        if step > 20 and best(expected, 1)[0] and best(expected, -1)[0]:
            worst = max(worst, abs(book.weighted_imbalance(record) - imbalance(expected)))
    assert worst < 2e-3
    book.anchor(record, (int(record["bid"]) + int(record["ask"])) // 2)
    assert book.weighted_imbalance(record) == pytest.approx(imbalance(expected), abs=2e-4)


def test_the_imbalance_of_a_one_sided_book_is_zero(record: Any) -> None:
    book.clear(record)
    fill(record, [(1, 600_000, 5)])
    assert book.weighted_imbalance(record) == 0.0


def test_mirroring_the_book_mirrors_the_imbalance(record: Any) -> None:
    levels = [(1, 599_990, 5), (1, 599_000, 90), (-1, 600_010, 9), (-1, 600_400, 2)]
    book.clear(record)
    fill(record, levels)
    book.anchor(record, 600_000)
    straight = book.weighted_imbalance(record)
    book.clear(record)
    fill(record, [(-side, 1_200_000 - price, qty) for side, price, qty in levels])
    book.anchor(record, 600_000)
    assert book.weighted_imbalance(record) == pytest.approx(-straight, rel=1e-12)


def test_an_aggressor_walks_the_book_level_by_level(record: Any) -> None:
    book.clear(record)
    fill(record, [(1, 998, 10), (1, 995, 10), (-1, 1000, 4), (-1, 1001, 4), (-1, 1010, 2)])
    assert book.walk(record, 1, 4) == (1000.0, 4)
    assert book.walk(record, 1, 9) == (pytest.approx((4 * 1000 + 4 * 1001 + 1010) / 9), 9)
    assert book.walk(record, 1, 99)[1] == 10
    assert book.walk(record, -1, 15) == (pytest.approx((10 * 998 + 5 * 995) / 15), 15)
    book.clear(record)
    assert book.walk(record, 1, 5) == (0.0, 0)


def test_depth_counts_what_rests_within_reach_of_the_best_price(record: Any) -> None:
    book.clear(record)
    fill(record, [(1, 998, 10), (1, 995, 1), (1, 900, 50), (-1, 1000, 4)])
    assert book.depth(record, 1, 3) == 998 * 10 + 995
    assert book.depth(record, 1, 98) == 998 * 10 + 995 + 900 * 50
    assert book.depth(record, -1, 10) == 4_000


def test_the_window_is_wide_enough_for_the_cut() -> None:
    # Binance spot BTC at 61,700 with ticks of 0.01: 50 bp are 30,850 ticks, and the mid keeps to the middle half
    assert WINDOW // 4 >= 30_850
