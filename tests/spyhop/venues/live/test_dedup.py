from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_MINUTE
from spyhop.model import tape
from spyhop.model.tape import Events, Flag, Kind, Side
from spyhop.venues.live.dedup import Dedup, TradeHole

BASE = 1_000_000 * NS_PER_MINUTE


def row(kind: Kind, ts_event: int = 1, **columns: int) -> Events:
    made = tape.event(kind, 5, **columns)
    made["ts_event"] = ts_event
    return made


def trades(*ids: int) -> Events:
    return tape.joined([row(Kind.TRADE, number * 10, id=number, price=1, qty=1) for number in ids])


def frame(u: int, levels: int = 2, flags: int = 0) -> Events:
    rows = [row(Kind.LEVEL, id=u, price=price + 1, flags=flags) for price in range(levels)]
    rows[-1]["flags"] |= int(Flag.LAST)
    return tape.joined(rows)


def bar(number: int, flags: int = 0, interval_s: int = 60, ts_event: int = 1) -> Events:
    columns = {"id": BASE + number * NS_PER_MINUTE, "interval_s": interval_s, "flags": flags}
    return tape.joined([row(kind, ts_event, **columns) for kind in (Kind.BAR_OPEN, Kind.BAR_CLOSE)])


def ids(events: Events) -> list[int]:
    return [int(number) for number in events["id"]]


@pytest.fixture
def seen() -> Dedup:
    fresh = Dedup(has_contiguous_trades=True)
    fresh.anchor()
    return fresh


def test_a_trade_is_known_by_its_id(seen: Dedup) -> None:
    assert ids(seen.admit(trades(1, 2, 3))) == [1, 2, 3]
    assert ids(seen.admit(trades(2, 3, 4, 4, 5))) == [4, 5]
    assert seen.num_repeats == 3
    assert (seen.newest_trade, seen.ts_trade) == (5, 50)


def test_a_jump_of_contiguous_ids_is_a_hole_until_it_is_filled(seen: Dedup) -> None:
    assert ids(seen.admit(trades(1, 2, 6))) == [1, 2, 6]
    assert seen.trade_holes == [TradeHole(3, 5, 20)]
    assert ids(seen.admit(trades(9))) == [9]
    assert seen.trade_holes == [TradeHole(3, 5, 20), TradeHole(7, 8, 60)]
    assert ids(seen.admit(trades(4, 6, 7, 8))) == [4, 7, 8]
    assert seen.trade_holes == [TradeHole(3, 3, 20), TradeHole(5, 5, 20)]
    assert seen.has_hole
    seen.admit(trades(3, 5))
    assert not seen.has_hole


def test_a_jump_is_no_hole_where_ids_are_not_contiguous() -> None:
    sparse = Dedup()
    assert ids(sparse.admit(trades(1, 700, 300))) == [1, 700, 300]
    assert not sparse.has_hole
    assert ids(sparse.admit(trades(300, 301))) == [301]


def test_what_no_backfill_brings_is_given_up(seen: Dedup) -> None:
    seen.admit(trades(1, 4))
    assert [seen.asked_for_trades(2), seen.asked_for_trades(2)] == [0, 2]
    assert (seen.num_missing_trades, seen.has_hole) == (2, False)


def test_a_resumed_tape_knows_its_last_trade_and_what_is_missing_since(seen: Dedup) -> None:
    seen.resume(trade_id=7, ts_trade=70, bar_open=BASE)
    assert ids(seen.admit(trades(6, 7, 9))) == [9]
    assert seen.trade_holes == [TradeHole(8, 8, 70)]
    assert ids(seen.admit(trades(7, 8))) == [8]
    assert len(seen.admit(bar(0))) == 0
    assert len(seen.admit(bar(1))) == 2


@given(st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=12), max_size=30))
def test_whatever_comes_each_trade_passes_once_and_holes_are_what_is_missing(batches: list[list[int]]) -> None:
    seen = Dedup(has_contiguous_trades=True)
    passed = [number for batch in batches for number in ids(seen.admit(trades(*batch)))]
    told = [number for batch in batches for number in batch]
    assert passed == list(dict.fromkeys(told))
    if told:
        known = set(told)
        first = min(batches[0])
        # the tape begins somewhere: what came before is not missed
        missing = {number for number in range(first, max(told)) if number not in known}
        holes = {number for hole in seen.trade_holes for number in range(hole.first, hole.last + 1)}
        assert holes == missing


def test_quotes_go_forward_by_update_id_and_pass_without_one(seen: Dedup) -> None:
    def quotes(*numbers: int) -> Events:
        return tape.joined([row(Kind.QUOTE, id=number) for number in numbers])

    assert ids(seen.admit(quotes(5, 7))) == [5, 7]
    assert ids(seen.admit(quotes(6, 7, 8, 8, 7, 9, 0))) == [8, 9, 0]
    seen.reset_book()
    assert ids(seen.admit(quotes(3))) == [3]


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        ([[5, 6], [5, 6]], [5, 6]),
        ([[5, 5, 6]], [5, 6]),
        ([[5], [4], [6]], [5, 6]),
        ([[5, 7, 6, 8]], [5, 7, 8]),
    ],
)
def test_depth_frames_pass_once_and_whole(seen: Dedup, batches: list[list[int]], expected: list[int]) -> None:
    passed = [seen.admit(tape.joined([frame(u, levels=u % 3 + 1) for u in batch])) for batch in batches]
    rows = tape.joined(passed)
    assert ids(rows) == [u for u in expected for _ in range(u % 3 + 1)]
    assert np.count_nonzero(rows["flags"] & Flag.LAST) == len(expected)


def test_a_snapshot_always_passes(seen: Dedup) -> None:
    snapshot = tape.joined([row(Kind.SNAPSHOT, id=9, qty=2), frame(9, flags=Flag.FROM_SNAPSHOT)])
    seen.admit(frame(12))
    mixed = tape.joined([snapshot, frame(11), frame(13)])
    assert ids(seen.admit(mixed)) == [9, 9, 9, 13, 13]
    assert len(seen.admit(snapshot)) == 3


def test_frames_count_anew_after_a_loss(seen: Dedup) -> None:
    seen.admit(frame(12))
    seen.reset_book()
    assert ids(seen.admit(frame(3))) == [3, 3]


@pytest.mark.parametrize(
    ("kind", "columns", "later"),
    [
        (Kind.MARK, {"aux": 3}, {"ts_event": 2}),
        (Kind.OPEN_INTEREST, {"qty": 3}, {"ts_event": 2}),
        (Kind.TICKER, {"price": 3}, {"ts_event": 2}),
        (Kind.RATIO, {"aux": 1, "id": 300}, {"ts_event": 2}),
        (Kind.RATIO, {"aux": 1, "id": 300}, {"aux": 2}),
        (Kind.FUNDING, {"id": 8, "aux": 1}, {"ts_event": 2}),
        (Kind.FUNDING, {"id": 8, "aux": 1, "flags": Flag.SETTLED}, {"id": 7}),
        (Kind.LIQUIDATION, {"side": Side.SELL, "price": 5, "qty": 2}, {"price": 6}),
        (Kind.LIQUIDATION, {"side": Side.SELL, "price": 5, "qty": 2}, {"ts_event": 0}),
        (Kind.BLOCK, {"id": 8}, {"id": 9}),
    ],
)
def test_rates_are_known_by_what_names_them(
    seen: Dedup, kind: Kind, columns: dict[str, int], later: dict[str, int]
) -> None:
    first = row(kind, **columns)
    second = first.copy()
    for name, number in later.items():
        second[name] = number
    assert len(seen.admit(first)) == 1
    assert len(seen.admit(first)) == 0
    assert len(seen.admit(tape.joined([first, second, second]))) == 1
    assert seen.num_repeats == 3


@pytest.mark.parametrize(
    ("kind", "columns", "earlier"),
    [(Kind.MARK, {}, {"ts_event": 0}), (Kind.BLOCK, {"id": 8}, {"id": 7})],
)
def test_rates_only_go_forward(seen: Dedup, kind: Kind, columns: dict[str, int], earlier: dict[str, int]) -> None:
    second = row(kind, **columns)
    seen.admit(second)
    for name, number in earlier.items():
        second[name] = number
    assert len(seen.admit(second)) == 0


def test_status_and_timers_are_never_repeats(seen: Dedup) -> None:
    for kind in (Kind.STATUS, Kind.TIMER):
        assert [len(seen.admit(row(kind))) for _ in range(2)] == [1, 1]


def test_a_closed_minute_passes_once_whoever_tells_it(seen: Dedup) -> None:
    assert len(seen.admit(bar(1))) == 2
    assert seen.ts_closed == BASE + NS_PER_MINUTE
    assert len(seen.admit(bar(1, Flag.BACKFILLED))) == 0
    assert seen.num_repeats == 2
    assert len(seen.admit(bar(2, Flag.BACKFILLED))) == 2
    assert seen.ts_closed == BASE + NS_PER_MINUTE


def test_a_bar_under_way_goes_forward_and_never_after_its_close(seen: Dedup) -> None:
    def partial(number: int, ts_event: int) -> Events:
        return bar(number, Flag.PARTIAL, ts_event=ts_event)

    assert [len(seen.admit(partial(1, ts))) for ts in (3, 3, 2, 4)] == [2, 0, 0, 2]
    seen.admit(bar(1))
    assert len(seen.admit(partial(1, 9))) == 0
    assert len(seen.admit(partial(2, 9))) == 2


def test_longer_bars_pass_once_and_never_wait(seen: Dedup) -> None:
    assert [len(seen.admit(bar(number, interval_s=300))) for number in (5, 5, 15, 10)] == [2, 0, 2, 0]


def test_a_minute_behind_a_hole_waits_and_backfill_lets_it_go(seen: Dedup) -> None:
    seen.admit(bar(1))
    passed = seen.admit(tape.joined([trades(1), bar(4), trades(2)]))
    assert [int(kind) for kind in passed["kind"]] == [Kind.TRADE, Kind.TRADE]
    assert seen.has_hole
    back = tape.joined([bar(2, Flag.BACKFILLED), bar(3, Flag.BACKFILLED)])
    passed = seen.admit(back)
    assert [(number - BASE) // NS_PER_MINUTE for number in ids(passed)] == [2, 2, 3, 3, 4, 4]
    assert not seen.has_hole


def test_an_answer_without_the_minute_lets_go_too(seen: Dedup) -> None:
    seen.admit(bar(1))
    assert len(seen.admit(bar(3))) == 0
    assert len(seen.answered(BASE, BASE + 3 * NS_PER_MINUTE)) == 2
    assert not seen.has_hole


def test_nothing_of_nothing(seen: Dedup) -> None:
    assert len(seen.admit(tape.empty())) == 0
