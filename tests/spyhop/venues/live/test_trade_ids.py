from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.venues.live import trade_ids
from spyhop.venues.live.trade_ids import TradeIds

batches = st.lists(st.lists(st.integers(1, 80), min_size=1, max_size=10), max_size=40)


@given(batches, st.booleans())
def test_each_id_is_new_once(told: list[list[int]], is_contiguous: bool) -> None:
    ids = TradeIds(is_contiguous=is_contiguous)
    seen: set[int] = set()
    newest = 0
    for batch in told:
        for number, is_new in zip(batch, ids.unseen(batch, newest).tolist(), strict=True):
            assert is_new == (number not in seen)
            seen.add(number)
        newest = max(seen)


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 5)), max_size=30), st.integers(0, 20))
def test_ids_in_a_row_need_not_be_told(script: list[tuple[int, int]], resumed: int) -> None:
    ids = TradeIds(is_contiguous=True)
    ids.resume(resumed)
    seen = set(range(1, resumed + 1))
    newest = resumed
    for number, in_a_row in script:
        if newest:
            seen.update(range(newest, newest + in_a_row + 1))
            newest += in_a_row
        assert ids.unseen([number], newest).tolist() == [number not in seen]
        seen.add(number)
        newest = max(newest, number)


def test_what_is_older_than_those_remembered_counts_as_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trade_ids, "MAX_REMEMBERED", 4)
    ids = TradeIds(is_contiguous=False)
    for number in range(10, 300, 10):
        assert ids.unseen([number], 0).tolist() == [True]
    assert ids.unseen([15, 285, 290, 290, 295], 0).tolist() == [False, True, False, False, True]


def test_ranges_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trade_ids, "MAX_RANGES", 4)
    ids = TradeIds(is_contiguous=True)
    assert ids.unseen([10, 20, 30, 40, 50, 60], 0).all()
    assert ids.unseen([15, 35, 60], 60).tolist() == [False, True, False]


def test_ranges_that_touch_become_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trade_ids, "MAX_RANGES", 3)
    ids = TradeIds(is_contiguous=True)
    for start in range(2, 60, 10):
        assert ids.unseen([start, start + 2, start + 1], 0).all()
        assert ids.unseen(list(range(start + 3, start + 10)), 0).all()
    # nothing was forgotten, so what never came is still new
    assert ids.unseen([1, 30], 0).tolist() == [True, False]
