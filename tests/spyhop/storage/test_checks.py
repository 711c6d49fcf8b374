from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

from spyhop.clock import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S
from spyhop.model.tape import Events, Flag, Kind
from spyhop.storage.checks import (
    BarCheck,
    BookCheck,
    Check,
    Checking,
    FundingCheck,
    OrderCheck,
    Place,
    PriceCheck,
    QuoteCheck,
    Said,
    SilenceCheck,
    TradeIdCheck,
)
from spyhop.storage.merge import Merged

FILES = ["a.gz", "b.gz"]
TRADE_PRICES = partial(PriceCheck, columns=("price",), kinds=(Kind.TRADE,), jumps=True)


def said(
    check: Callable[[Sequence[str]], Checking], events: Events, positions: Any = None, ranks: Any = None
) -> list[Said]:
    """Run a check over events cut in two at every place and return what it said, the same for each cut."""
    places = np.arange(1, len(events) + 1) << 20 if positions is None else np.asarray(positions, np.int64) << 20
    sources = np.zeros(len(events), np.int64) if ranks is None else np.asarray(ranks, np.int64)
    answers = []
    for cut in range(len(events)):
        one = check(FILES)
        for part in (slice(0, cut), slice(cut, None)):
            if len(events[part]):
                one.on(Merged(events[part], places[part], sources[part]))
        answers.append(list(one.said()))
    assert all(answer == answers[0] for answer in answers)
    return answers[0]


def test_time_that_went_back_in_a_file_is_found_by_the_line(make: Any) -> None:
    found = said(OrderCheck, make.trades([1, 2, 3, 4]), positions=[1, 4, 2, 5])
    assert [(one.check, one.count, one.places) for one in found] == [(Check.ORDER, 1, (Place(3, "a.gz", 2),))]
    assert said(OrderCheck, make.trades([1, 2, 3, 4]), positions=[1, 1, 2, 2], ranks=[0, 1, 0, 1]) == []


def test_silence_within_a_recording_is_a_fault_and_between_two_is_not(make: Any) -> None:
    second = NS_PER_S
    found = said(SilenceCheck, make.trades([0, 60 * second, 121 * second, 300 * second]), ranks=[0, 0, 0, 1])
    assert [(one.check, one.count, one.is_fault) for one in found] == [
        (Check.SILENCE, 1, True),
        (Check.SILENCE, 1, False),
    ]
    assert found[0].places == (Place(121 * second, "a.gz", 3),)
    assert "61 s at most" in found[0].text
    assert "179 s" in found[1].text


@pytest.mark.parametrize(
    ("ids", "missing", "places"),
    [([5, 6, 7, 8], 0, []), ([5, 9, 10, 12], 4, [2, 4]), ([5, 7, 6, 8], 0, [2]), ([0, 0, 0, 0], 0, [])],
)
def test_jumps_of_trade_ids_are_counted_less_those_that_come_late(
    make: Any, ids: list[int], missing: int, places: list[int]
) -> None:
    found = said(TradeIdCheck, make.trades([1, 2, 3, 4], id=ids))
    assert [place.line for one in found for place in one.places] == places
    if found:
        assert f"{missing} ids missing" in found[0].text
        assert found[0].is_fault == (missing > 0)


def test_a_selection_of_trades_and_a_new_recording_are_no_faults(make: Any) -> None:
    found = said(TradeIdCheck, make.trades([1, 2, 3], id=[5, 900, 2000]))
    assert [(one.is_fault, "selection" in one.text) for one in found] == [(False, True)]
    later = [1, 2, 200 * NS_PER_S, 201 * NS_PER_S]
    assert said(TradeIdCheck, make.trades(later, id=[5, 6, 90, 91]), ranks=[0, 0, 1, 1]) == []


def test_trades_that_came_twice_are_duplicates(make: Any) -> None:
    found = said(TradeIdCheck, make.trades([1, 2, 3], id=[5, 6, 5]))
    assert [(one.check, one.count, one.places[0].line) for one in found] == [(Check.DUPLICATE, 1, 3)]


def test_crossed_and_repeated_quotes_are_found(make: Any) -> None:
    quotes = make.rows(Kind.QUOTE, [1, 2, 3, 4], aux=[101, 100, 101, 101], id=[1, 2, 3, 3])
    found = said(QuoteCheck, quotes)
    assert [(one.check, one.places[0].line) for one in found] == [(Check.CROSSED, 2), (Check.DUPLICATE, 4)]


def test_prices_that_cannot_be_are_found_and_old_ones_are_not_compared(make: Any) -> None:
    minute = NS_PER_MINUTE
    prices = [100, 119, 0, 119, 150, 300]
    found = said(TRADE_PRICES, make.trades([1, 2, 3, 4, 5, 6 + minute], price=prices))
    assert [(one.count, one.places[0].line) for one in found] == [(1, 3), (1, 5)]
    assert said(TRADE_PRICES, make.trades([1, 2], qty=[1, -1]))[0].count == 1
    empty = make.rows(Kind.LEVEL, [1], price=0, flags=Flag.EMPTY)
    assert said(partial(PriceCheck, columns=("price",), kinds=(Kind.LEVEL,), jumps=False), empty) == []


def book(make: Any, ids: list[tuple[int, int, int]]) -> Events:
    levels = make.rows(Kind.LEVEL, list(range(len(ids))), flags=Flag.LAST, side=1)
    for name, column in zip(("id", "aux", "aux2"), zip(*ids, strict=True), strict=True):
        levels[name] = column
    snapshot = make.rows(Kind.SNAPSHOT, [0], id=10, qty=0)
    return np.concatenate([snapshot, levels])


def test_a_book_that_breaks_or_repeats_is_found(make: Any) -> None:
    assert said(BookCheck, book(make, [(12, 9, 8), (14, 13, 12)])) == []
    found = said(BookCheck, book(make, [(12, 9, 8), (14, 13, 12), (20, 19, 18), (14, 13, 12)]))
    assert [(one.check, one.count, one.places[0].line) for one in found] == [
        (Check.SEQUENCE, 1, 4),
        (Check.DUPLICATE, 1, 5),
    ]
    without = book(make, [(12, 9, 8), (14, 13, 12)])[1:]
    assert [one.text for one in said(BookCheck, without)] == ["no book snapshot: the book cannot be built"]


def bars(make: Any, opens: list[int], **columns: Any) -> Events:
    times = [ts for at in opens for ts in ((at + 1) * NS_PER_MINUTE,) * 2]
    rows = make.rows(Kind.BAR_OPEN, times, interval_s=60, aux=100)
    rows["kind"][1::2] = Kind.BAR_CLOSE
    rows["id"] = [at * NS_PER_MINUTE for at in opens for _ in range(2)]
    for name, values in columns.items():
        rows[name] = values
    return rows


def test_missing_repeated_flat_and_impossible_bars_are_found(make: Any) -> None:
    assert [one.check for one in said(BarCheck, bars(make, [0, 1, 2], aux=[101, 100] * 3))] == []
    found = said(BarCheck, bars(make, [0, 1, 4, 4, 6], qty=[0, 1] * 5))
    assert [(one.check, one.count, one.is_fault) for one in found] == [
        (Check.MISSING, 2, True),
        (Check.DUPLICATE, 1, True),
        (Check.FLAT, 5, False),
    ]
    assert "3 bars missing" in found[0].text
    assert found[2].text == "100.0% of 5 bars have one price, 100.0% no volume"
    impossible = said(BarCheck, bars(make, [0, 1], aux=[101, 100, 99, 100]))
    assert [(one.check, one.count, one.places[0].line) for one in impossible] == [(Check.PRICE, 1, 3)]
    jump = said(BarCheck, bars(make, [0, 1], aux=[200, 100, 200, 150]))
    assert [(one.check, one.places[0].line) for one in jump] == [(Check.PRICE, 3)]


def test_missing_and_repeated_payments_are_found(make: Any) -> None:
    times = [0, 8, 16, 32, 32]
    rows = make.rows(Kind.FUNDING, times, aux2=8 * NS_PER_HOUR, flags=Flag.SETTLED)
    rows["id"] = np.array(times) * NS_PER_HOUR + NS_PER_S
    found = said(FundingCheck, rows)
    assert [(one.check, one.places[0].line) for one in found] == [(Check.MISSING, 4), (Check.DUPLICATE, 5)]
    assert said(FundingCheck, rows[:3]) == []
    rows["flags"] = 0
    assert said(FundingCheck, rows) == []  # a rate that is predicted is told again and again
