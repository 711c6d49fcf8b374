from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.clock import NS_PER_S
from spyhop.model.tape import Kind, empty
from spyhop.storage.merge import RepeatFilter, Run, merge
from spyhop.storage.parts import Group

TIMES = st.lists(st.integers(0, 12), max_size=25).map(sorted)


@given(times=st.lists(TIMES, min_size=1, max_size=5), size=st.integers(1, 6), data=st.data())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_merging_equals_sorting_everything_whatever_the_groups(
    make: Any, times: list[list[int]], size: int, data: st.DataObject
) -> None:
    rows = sorted((ts, run % 2, run, i) for run, stamps in enumerate(times) for i, ts in enumerate(stamps))
    # places rise within each run; which of two runs of a source comes first at one time is anybody's guess
    first = data.draw(st.permutations(range(len(times))))
    order = sorted(rows, key=lambda row: (row[0], first[row[2]], row[3]))
    places = {(run, i): place for place, (_, _, run, i) in enumerate(order)}
    runs = []
    for run, stamps in enumerate(times):
        events = make.trades(stamps, first_id=run * 100)
        positions = np.array([places[run, i] for i in range(len(stamps))], np.int64)
        groups = [Group(events[a : a + size], positions[a : a + size]) for a in range(0, len(stamps), size)]
        runs.append(Run(run % 2, iter(groups)))
    batches = list(merge(runs))
    got = [
        (int(ts), int(rank), int(place))
        for batch in batches
        for ts, rank, place in zip(batch.events["ts_recv"], batch.ranks, batch.positions, strict=True)
    ]
    assert got == sorted((ts, rank, places[run, i]) for ts, rank, run, i in rows)
    for batch in batches:
        for event, place in zip(batch.events, batch.positions, strict=True):
            run, i = divmod(int(event["id"]), 100)
            assert places[run, i] == place


def test_merging_holds_little_however_long_the_runs(make: Any) -> None:
    num_held = [0]

    def groups(first: int) -> Any:
        for start in range(first, 10_000, 100):
            num_held[0] += 1
            yield Group(make.trades(list(range(start, start + 100))), make.positions(100))

    for number, _ in enumerate(merge([Run(0, groups(0)), Run(1, groups(0))])):
        assert num_held[0] <= 2 * (number + 2)


def test_a_trade_said_twice_within_a_minute_is_a_repeat(make: Any) -> None:
    trades = make.trades([0, 5, 5 + 60 * NS_PER_S, 6 + 60 * NS_PER_S], id=[1, 1, 1, 2])
    assert RepeatFilter().repeats(trades).tolist() == [False, True, True, False]
    late = make.trades([0, 1 + 60 * NS_PER_S], id=[1, 1])
    assert RepeatFilter().repeats(late).tolist() == [False, False]


def test_other_prices_kinds_and_trades_without_ids_are_no_repeats(make: Any) -> None:
    assert not RepeatFilter().repeats(make.trades([0, 1], id=[7, 7], price=[1, 2])).any()
    assert not RepeatFilter().repeats(make.trades([0, 1], id=[0, 0])).any()
    assert not RepeatFilter().repeats(make.rows(Kind.QUOTE, [0, 1], id=[7, 7])).any()
    assert RepeatFilter().repeats(empty()).tolist() == []


@given(ids=st.lists(st.integers(1, 6), max_size=40), cuts=st.lists(st.integers(0, 40), max_size=4))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_cutting_the_trades_anywhere_finds_the_same_repeats(make: Any, ids: list[int], cuts: list[int]) -> None:
    trades = make.trades([i * 9 * NS_PER_S for i in range(len(ids))], id=ids)
    whole = RepeatFilter().repeats(trades).tolist()
    filter_, found = RepeatFilter(), []
    for piece in np.split(trades, sorted(min(cut, len(ids)) for cut in cuts)):
        found += filter_.repeats(piece).tolist()
    assert found == whole
