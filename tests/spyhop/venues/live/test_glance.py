from __future__ import annotations

import numpy as np
import pytest

from spyhop.model import tape
from spyhop.model.tape import Events, Flag, Kind
from spyhop.venues.live import glance
from spyhop.venues.live.glance import is_in_order

MARKS = [50, 60, 70, 700, 1]  # quote, frame, trade, time of the trade, contiguous


def row(kind: Kind, number: int, ts_event: int = 1, flags: int = 0) -> Events:
    made = tape.event(kind, 5, id=number, flags=flags)
    made["ts_event"] = ts_event
    return made


LAST = int(Flag.LAST)
TABLE = [
    ("a quote", [row(Kind.QUOTE, 51)], [51, 60, 70, 700], [1, 0, 1, 0]),
    ("the same quote", [row(Kind.QUOTE, 50)], None, [1, 0, 1, 0]),
    ("the next trade", [row(Kind.TRADE, 71, 710)], [50, 60, 71, 710], [1, 0, 710, 710]),
    ("a trade that leaves one out", [row(Kind.TRADE, 72, 710)], None, [1, 0, 710, 710]),
    ("an old trade", [row(Kind.TRADE, 70, 710)], None, [1, 0, 710, 710]),
    ("a frame", [row(Kind.LEVEL, 61), row(Kind.LEVEL, 61, 1, LAST)], [50, 61, 70, 700], [1, 0, 1, 0]),
    ("a frame twice", [row(Kind.LEVEL, 61, 1, LAST), row(Kind.LEVEL, 61, 1, LAST)], None, [1, 0, 1, 0]),
    ("an old frame", [row(Kind.LEVEL, 60, 1, LAST)], None, [1, 0, 1, 0]),
    ("a snapshot", [row(Kind.LEVEL, 90, 1, LAST | Flag.FROM_SNAPSHOT)], None, [1, 0, 1, 0]),
    ("a mark", [row(Kind.MARK, 0, 9)], None, [1, 0, 9, 0]),
    ("a bar", [row(Kind.BAR_OPEN, 0, 9)], None, [0, 0, 0, 0]),
    ("no time of the venue", [row(Kind.QUOTE, 51, 5)], [51, 60, 70, 700], [1, 1, 5, 0]),
    ("backfill", [row(Kind.TRADE, 71, 710, int(Flag.BACKFILLED))], [50, 60, 71, 710], [0, 0, 0, 0]),
    (
        "one new and one old",
        [row(Kind.QUOTE, 51), row(Kind.TRADE, 70, 9)],
        None,
        [1, 0, 9, 9],
    ),
]


@pytest.mark.parametrize(("rows", "then", "expected"), [line[1:] for line in TABLE], ids=[line[0] for line in TABLE])
def test_table(rows: list[Events], then: list[int] | None, expected: list[int]) -> None:
    marks, facts = np.array(MARKS), np.full(glance.NUM_FACTS, 7)
    assert glance.glance(tape.joined(rows), marks, facts) == (then is not None)
    assert marks.tolist() == ([*then, 1] if then else MARKS)
    assert facts.tolist() == expected


def test_trades_are_never_plain_where_ids_are_not_contiguous() -> None:
    marks = np.array([0, 0, 70, 0, 0])
    assert not glance.glance(row(Kind.TRADE, 71), marks, np.zeros(glance.NUM_FACTS, np.int64))


def test_order() -> None:
    rows = tape.joined([tape.event(Kind.TRADE, ts) for ts in (5, 5, 7)])
    assert [is_in_order(rows, last) for last in (4, 5, 6)] == [True, True, False]
    assert not is_in_order(rows[::-1].copy(), 0)
