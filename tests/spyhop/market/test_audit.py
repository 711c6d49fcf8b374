from __future__ import annotations

import numpy as np

from spyhop.market.audit import BookAudit
from spyhop.model.tape import EVENT, Events, Flag, Kind, Side


def frame(u: int, first: int, pu: int, levels: list[tuple[Side, int, int]], flags: int = 0) -> Events:
    rows = np.zeros(len(levels), EVENT)
    rows["kind"], rows["id"], rows["aux"], rows["aux2"], rows["flags"] = Kind.LEVEL, u, first, pu, flags
    for row, (side, price, qty) in zip(rows, levels, strict=True):
        row["side"], row["price"], row["qty"] = side, price, qty
    rows["flags"][-1] |= Flag.LAST
    return rows


def snapshot(last: int) -> Events:
    head = np.zeros(1, EVENT)
    head["kind"], head["id"], head["qty"] = Kind.SNAPSHOT, last, 2
    levels = frame(last, 0, 0, [(Side.BUY, 99, 1), (Side.SELL, 101, 1)], int(Flag.FROM_SNAPSHOT))
    return np.concatenate([head, levels])


def test_a_book_in_sequence_has_nothing_to_say() -> None:
    tape = np.concatenate([snapshot(10), frame(12, 9, 8, [(Side.BUY, 98, 1)]), frame(15, 13, 12, [(Side.BUY, 97, 1)])])
    audit = BookAudit()
    gaps, crossed = audit.on(tape)
    assert (gaps.tolist(), crossed.tolist()) == ([], [])
    assert (audit.num_snapshots, audit.num_unfinished) == (1, 0)


def test_a_break_and_a_crossed_book_are_placed_at_their_frame() -> None:
    tape = np.concatenate(
        [
            snapshot(10),
            frame(12, 9, 8, [(Side.BUY, 98, 1)]),
            frame(14, 13, 12, [(Side.BUY, 97, 1), (Side.BUY, 105, 1)]),
            frame(20, 18, 17, [(Side.BUY, 96, 1)]),
        ]
    )
    gaps, crossed = BookAudit().on(tape)
    assert (gaps.tolist(), crossed.tolist()) == ([6], [4])


def test_batches_do_not_change_what_is_found() -> None:
    tape = np.concatenate(
        [snapshot(10), frame(12, 9, 8, [(Side.BUY, 98, 1), (Side.BUY, 97, 1)]), frame(20, 18, 17, [(Side.BUY, 96, 1)])]
    )
    for cut in range(len(tape) + 1):
        audit = BookAudit()
        num = [tuple(len(found) for found in audit.on(part)) for part in (tape[:cut], tape[cut:])]
        assert tuple(map(sum, zip(*num, strict=True))) == (1, 0)
