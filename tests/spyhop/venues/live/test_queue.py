from __future__ import annotations

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spyhop.model import tape
from spyhop.model.tape import Events, Flag, Kind, Status
from spyhop.venues.live.queue import EventQueue


def row(kind: Kind, ts: int, **columns: int) -> Events:
    return tape.event(kind, ts, **columns)


def frame(ts: int, u: int, levels: int) -> Events:
    rows = [row(Kind.LEVEL, ts, id=u) for _ in range(levels)]
    rows[-1]["flags"] = Flag.LAST
    return tape.joined(rows)


def bar(ts: int, flags: int = 0) -> Events:
    return tape.joined([row(kind, ts, flags=flags, interval_s=60) for kind in (Kind.BAR_OPEN, Kind.BAR_CLOSE)])


def kinds(events: Events) -> list[int]:
    return [int(kind) for kind in events["kind"]]


def test_out_comes_what_went_in() -> None:
    queue = EventQueue(100)
    queue.put(row(Kind.TRADE, 1))
    queue.put(row(Kind.QUOTE, 2))
    assert kinds(queue.take()) == [Kind.TRADE, Kind.QUOTE]
    assert len(queue.take()) == 0


def test_a_take_ends_with_a_batch() -> None:
    queue = EventQueue(100)
    for ts in range(3):
        queue.put(frame(ts, ts, 4))
    assert [len(queue.take(9)), len(queue.take(1)), len(queue)] == [8, 4, 0]


def test_time_never_goes_back() -> None:
    queue = EventQueue(100)
    queue.start_at(5)
    for ts in (3, 7, 6):
        queue.put(row(Kind.TRADE, ts))
    queue.put(tape.joined([row(Kind.TRADE, 9), row(Kind.TRADE, 8), row(Kind.TRADE, 10)]))
    assert queue.take()["ts_recv"].tolist() == [5, 7, 7, 9, 9, 10]
    assert queue.num_raised == 3


def test_the_order_is_kept_for_an_array_that_may_not_be_written() -> None:
    queue = EventQueue(100)
    queue.start_at(5)
    fixed = row(Kind.TRADE, 3)
    fixed.flags.writeable = False
    queue.put(fixed)
    assert queue.take()["ts_recv"].tolist() == [5]


def test_runs_of_quotes_are_conflated_before_anything_is_shed() -> None:
    queue = EventQueue(4)
    for ts, kind in enumerate([Kind.QUOTE, Kind.QUOTE, Kind.TRADE, Kind.QUOTE, Kind.QUOTE]):
        queue.put(row(kind, ts))
    taken = queue.take()
    assert kinds(taken) == [Kind.QUOTE, Kind.TRADE, Kind.QUOTE]
    assert taken["ts_recv"].tolist() == [1, 2, 4]
    assert (queue.num_conflated, queue.num_shed) == (2, 0)


def test_the_oldest_goes_and_the_tape_says_so() -> None:
    queue = EventQueue(8, venue=1, instrument=3)
    shed: list[int] = []
    queue.on_shed = lambda: shed.append(queue.num_shed)
    for ts in range(9):
        queue.put(row(Kind.TRADE, ts, id=ts))
    taken = queue.take()
    assert kinds(taken) == [Kind.STATUS] + [Kind.TRADE] * 6
    assert taken["id"][1:].tolist() == [3, 4, 5, 6, 7, 8]
    mark = taken[0]
    assert (mark["aux"], mark["qty"], mark["instrument"], mark["venue"]) == (Status.SHED, 3, 3, 1)
    assert shed == [3]


def test_whole_frames_go_and_status_and_closed_bars_stay() -> None:
    queue = EventQueue(12)
    queue.put(row(Kind.STATUS, 0, aux=Status.CONNECTED))
    queue.put(bar(1))
    queue.put(bar(2, Flag.PARTIAL))
    queue.put(frame(3, 7, 5))
    queue.put(frame(4, 8, 3))
    taken = queue.take()
    assert kinds(taken) == [Kind.STATUS, Kind.BAR_OPEN, Kind.BAR_CLOSE, Kind.STATUS, *[Kind.LEVEL] * 3]
    assert taken["qty"][3] == 7
    assert set(taken["id"][4:].tolist()) == {8}


def test_a_snapshot_goes_with_its_levels() -> None:
    queue = EventQueue(6)
    levels = frame(1, 5, 4)
    levels["flags"] |= int(Flag.FROM_SNAPSHOT)
    queue.put(tape.joined([row(Kind.SNAPSHOT, 1, id=5, qty=4), levels]))
    queue.put(frame(2, 6, 2))
    taken = queue.take()
    assert kinds(taken) == [Kind.STATUS, Kind.LEVEL, Kind.LEVEL]
    assert taken["id"].tolist()[1:] == [6, 6]


def test_arrival_is_told_once_until_it_is_taken() -> None:
    queue = EventQueue(100)
    arrivals: list[int] = []
    queue.on_arrival = lambda: arrivals.append(len(queue))
    queue.put(tape.empty())
    queue.put(row(Kind.TRADE, 1))
    queue.put(row(Kind.TRADE, 2))
    queue.take()
    queue.put(row(Kind.TRADE, 3))
    assert arrivals == [1, 1]


def test_wait_ends_with_an_arrival_or_the_time() -> None:
    queue = EventQueue(100)
    assert not queue.wait(0.01)
    putter = threading.Timer(0.02, queue.put, [row(Kind.TRADE, 1)])
    putter.start()
    assert queue.wait(10.0)
    putter.join()


batch = st.one_of(
    st.integers(1, 6).map(lambda n: ("frame", n)),
    st.integers(1, 6).map(lambda n: ("quotes", n)),
    st.integers(1, 3).map(lambda n: ("trades", n)),
    st.just(("bar", 2)),
    st.just(("status", 1)),
    st.just(("take", 0)),
)


@given(st.lists(batch, max_size=80), st.integers(8, 40))
def test_laws(script: list[tuple[str, int]], room: int) -> None:
    queue = EventQueue(room)
    taken: list[Events] = []
    num_put = num_kept = 0
    for ts, (what, n) in enumerate(script):
        match what:
            case "take":
                taken.append(queue.take())
                continue
            case "frame":
                rows = frame(ts, ts, n)
            case "bar":
                rows = bar(ts)
            case "status":
                rows = row(Kind.STATUS, ts, aux=Status.CONNECTED)
            case _:
                rows = tape.joined([row(Kind.QUOTE if what == "quotes" else Kind.TRADE, ts) for _ in range(n)])
        num_put += len(rows)
        num_kept += len(rows) if what in ("bar", "status") else 0
        queue.put(rows)
    out = tape.joined([batch for batch in [*taken, queue.take()] if len(batch)])
    marks = out[(out["kind"] == Kind.STATUS) & (out["aux"] == Status.SHED)]
    # nothing vanishes in silence
    assert num_put == len(out) - len(marks) + queue.num_conflated + queue.num_shed
    assert int(marks["qty"].sum()) == queue.num_shed
    is_kept = (out["kind"] == Kind.STATUS) | (out["kind"] == Kind.BAR_OPEN) | (out["kind"] == Kind.BAR_CLOSE)
    assert np.count_nonzero(is_kept) - len(marks) == num_kept
    assert (np.diff(out["ts_recv"]) >= 0).all()
    # a frame is there whole or not at all
    levels = out[out["kind"] == Kind.LEVEL]
    told = {ts: n for ts, (what, n) in enumerate(script) if what == "frame"}
    for u in set(levels["id"].tolist()):
        assert np.count_nonzero(levels["id"] == u) == told[u]
