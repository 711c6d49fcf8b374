from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spyhop.market import book, top
from spyhop.market.book import BOOK
from spyhop.market.top import TOP


@pytest.fixture
def best() -> Any:
    return np.zeros(1, TOP)[0]


_BOOK = np.zeros(1, BOOK)


def settled(bid: int, ask: int) -> Any:
    b = _BOOK[0]
    book.clear(b)
    book.set_level(b, 1, bid, 5)
    book.set_level(b, -1, ask, 6)
    book.settle(b)
    return b


def test_the_freshest_by_update_id_wins(best: Any) -> None:
    assert top.on_quote(best, 1, 100, 3, 101, 4, 50)
    assert not top.on_book(best, 2, settled(99, 102), 49)
    assert (best["bid"], best["ask"], best["ts"]) == (100, 101, 1)
    assert top.on_book(best, 3, settled(99, 102), 51)
    assert (best["bid"], best["bid_qty"], best["ask"], best["ask_qty"]) == (99, 5, 102, 6)
    assert not top.on_quote(best, 4, 100, 3, 101, 4, 50)
    assert best["num_old"] == 1


def test_disagreement_at_one_id_is_counted(best: Any) -> None:
    top.on_quote(best, 1, 100, 3, 101, 4, 50)
    top.on_book(best, 2, settled(100, 101), 50)
    assert best["num_mismatches"] == 0
    top.on_book(best, 2, settled(99, 101), 50)
    assert best["num_mismatches"] == 1


@pytest.mark.parametrize("quote", [(0, 1, 101, 1), (101, 1, 101, 1), (102, 1, 101, 1), (100, -1, 101, 1)])
def test_impossible_quotes_are_counted_and_left_out(best: Any, quote: tuple[int, int, int, int]) -> None:
    assert not top.on_quote(best, 1, *quote, 50)
    assert (best["num_bad"], best["is_ready"]) == (1, 0)


def test_a_quote_that_repeats_the_prices_refreshes_them_without_a_change(best: Any) -> None:
    assert top.on_quote(best, 1, 100, 3, 101, 4, 50)
    assert not top.on_quote(best, 9, 100, 3, 101, 4, 51)
    assert (best["ts"], best["id"]) == (9, 51)


def test_quotes_without_an_id_are_believed_as_they_come(best: Any) -> None:
    assert top.on_quote(best, 1, 100, 3, 101, 4, 0)
    assert top.on_quote(best, 2, 99, 3, 101, 4, 0)
    assert best["bid"] == 99


def test_a_reset_forgets_prices_and_ids_but_not_what_was_counted(best: Any) -> None:
    top.on_quote(best, 1, 100, 3, 101, 4, 50)
    top.reset(best)
    assert (best["is_ready"], best["bid"], best["num_quotes"]) == (0, 0, 1)
    assert top.on_quote(best, 2, 100, 3, 101, 4, 7)
