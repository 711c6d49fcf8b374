"""Parts add up, are never ahead of their schedule, and are never smaller than the venue takes."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.execution.splitting.lots import apportioned, bite, merged, smallest_lots
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Venue

COIN = Instrument(id=0, venue=Venue.SIMULATED, symbol="COINUSDT", tick_size=Decimal("0.5"), lot_size=Decimal("0.1"))


@given(lots=st.integers(0, 10**6), weights=st.lists(st.integers(0, 1000), min_size=1, max_size=50).filter(any))
def test_parts_follow_their_weights_to_a_lot(lots: int, weights: list[int]) -> None:
    parts = apportioned(lots, [float(weight) for weight in weights])
    assert sum(parts) == lots
    assert min(parts) >= 0
    given_, weight = 0, 0
    for part, share in zip(parts[:-1], weights[:-1], strict=True):
        given_, weight = given_ + part, weight + share
        ideal = Fraction(lots * weight, sum(weights))
        assert ideal - 1 < given_ <= ideal


def test_the_remainder_is_in_the_last_part() -> None:
    assert apportioned(11, [1.0, 1.0, 1.0]) == [3, 4, 4]
    assert apportioned(2, [1.0, 1.0, 1.0]) == [0, 1, 1]
    assert apportioned(10, [0.0, 1.0, 3.0]) == [0, 2, 8]


@pytest.mark.parametrize("weights", [[], [0.0], [-1.0, 2.0], [float("nan")], [float("inf")]])
def test_weights_must_share(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="cannot be shared"):
        apportioned(10, weights)


@given(lots=st.lists(st.integers(0, 30), min_size=1, max_size=30), smallest=st.integers(1, 40))
def test_merged_parts_are_large_enough_and_never_early(lots: list[int], smallest: int) -> None:
    parts = list(enumerate(lots))
    whole = merged(parts, smallest)
    assert sum(part for _, part in whole) == sum(lots)
    assert all(part >= smallest for _, part in whole) or len(whole) == 1
    assert all(part > 0 for _, part in whole)
    assert [ts for ts, _ in whole] == sorted({ts for ts, _ in whole})
    for until in range(len(lots)):
        assert sum(part for ts, part in whole if ts <= until) <= sum(lots[: until + 1])


def test_small_parts_wait_for_the_next() -> None:
    assert merged([(1, 2), (2, 2), (3, 2), (4, 2), (5, 2)], 4) == [(2, 4), (5, 6)]
    assert merged([(1, 2), (2, 1)], 4) == [(2, 3)]


@given(left=st.integers(1, 100), wanted=st.integers(0, 120), smallest=st.integers(1, 30))
def test_a_bite_leaves_nothing_too_small(left: int, wanted: int, smallest: int) -> None:
    lots = bite(left, wanted, smallest)
    assert 0 <= lots <= min(left, wanted)
    assert lots == 0 or lots >= min(smallest, left)
    assert lots in (0, left) or left - lots >= smallest
    if left >= wanted >= smallest and left - wanted >= smallest:
        assert lots == wanted


def test_the_smallest_order_counts_quantity_and_notional() -> None:
    assert smallest_lots(COIN, 1000) == 1
    by_quantity = Instrument(**{**_fields(COIN), "min_qty": Decimal("0.35")})
    assert smallest_lots(by_quantity, 1000) == 4
    by_notional = Instrument(**{**_fields(COIN), "min_notional": Decimal(100)})
    assert smallest_lots(by_notional, 1000) == 3  # 100 and a tenth are 2.2 lots of 50
    assert smallest_lots(by_notional, 0) == 1


def _fields(instrument: Instrument) -> dict:
    return {name: getattr(instrument, name) for name in instrument.__struct_fields__}
