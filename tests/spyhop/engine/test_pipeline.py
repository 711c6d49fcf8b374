from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from spyhop.clock import NS_PER_S
from spyhop.engine.feeds import ArrayFeed
from spyhop.engine.nodes import DecisionNode, OrderNode, RiskNode
from spyhop.engine.pipeline import Pipeline, Progress
from spyhop.engine.streams import END_OF_TIME
from spyhop.errors import StorageFailed
from spyhop.model import tape
from spyhop.model.decisions import Decision
from spyhop.model.entries import Entry
from spyhop.model.rows import Rows
from spyhop.model.tape import Events

HALF = NS_PER_S // 2


class Spy:
    """Keeps tapes and records in one log, in the order it was called."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Any]] = []
        self.entries: list[Entry] = []
        self.events: dict[str, list[int]] = {}
        self.durable = 0

    def append(self, *args: Any) -> None:
        if len(args) == 1:
            self.keep(args[0])
            return
        feed, events = args
        self.log.append(("tape", feed))
        self.events.setdefault(feed, []).extend(events["ts_recv"].tolist())

    def keep(self, entries: Sequence[Entry]) -> None:
        self.log.append(("records", [entry.ts for entry in entries]))
        self.entries.extend(entries)

    def flush(self) -> None:
        self.log.append(("flush", None))

    def rows(self, rows: Rows, probabilities: Any) -> None:
        self.log.append(("rows", rows["ts"].tolist()))
        assert len(probabilities) == len(rows)

    def committed(self, stage: str) -> int:
        return sum(entry.stage == stage for entry in self.entries)

    def close(self) -> None: ...


class Line:
    """A pipeline over two feeds, and the stages in it."""

    def __init__(self, make: Any, tapes: dict[str, list[Events]], delay: int = 3) -> None:
        names = tuple(tapes)
        self.spy = Spy()
        self.deciding, self.judging, self.ordering = make.Deciding(), make.Judging(), make.Ordering(delay)
        self.feeds = [make.feed_node(name, number, ArrayFeed(tapes[name])) for number, name in enumerate(names)]
        self.pipeline = Pipeline(
            self.feeds,
            DecisionNode(self.deciding, names),
            RiskNode(self.judging),
            OrderNode(self.ordering, names),
            self.spy,
            self.spy,
        )


@pytest.fixture
def line(make: Any) -> Callable[[], Line]:
    """Two instruments with an event each half second, the second one in larger batches and a little later."""
    dense = [make.events(number * HALF) for number in range(1, 12)]
    sparse = [make.events(*(1 + number * HALF for number in range(at, at + 4)), instrument=1) for at in (1, 5, 9)]
    return lambda: Line(make, {"dense": dense, "sparse": sparse})


def test_a_run_ends_when_nothing_is_in_flight(line: Callable[[], Line]) -> None:
    one = line()
    one.pipeline.run()
    assert all(feed.is_finished for feed in one.feeds)
    assert one.pipeline.decision.rows.watermark == END_OF_TIME
    assert one.pipeline.order.watermark == END_OF_TIME
    assert one.pipeline.progress().num_finished == 2
    numbers = [one.pipeline.decision.statistics()["mailbox"], one.pipeline.order.statistics()["mailbox"]]
    assert [*numbers, one.pipeline.risk.statistics()["mailbox"]] == [0, 0, 0]
    kinds = [type(entry.message).__name__ for entry in one.spy.entries]
    assert kinds.count("Decision") == kinds.count("Intent") == kinds.count("Approved") == 11
    # every fact was heard by those who asked for it
    assert sum(kind == "fact" for kind, _ in one.deciding.told) == kinds.count("FundingPaid")
    assert sum(kind == "fact" for kind, _ in one.judging.told) == kinds.count("FundingPaid")


def test_a_decision_knows_the_facts_before_it_and_none_of_its_own_instant(line: Callable[[], Line]) -> None:
    one = line()
    one.pipeline.run()
    known: list[int] = []
    all_facts = sorted(entry.ts for entry in one.spy.entries if entry.stage == "order")
    decisions = {entry.ts for entry in one.spy.entries if isinstance(entry.message, Decision)}
    for kind, ts in one.deciding.told:
        if kind == "fact":
            known.append(ts)
        elif ts in decisions:
            assert known == [fact for fact in all_facts if fact < ts]
    assert known == all_facts


@pytest.mark.parametrize("steps", [0, 1, 4, 9, 13])
def test_a_snapshot_between_two_steps_is_all_that_another_needs_to_go_on(line: Callable[[], Line], steps: int) -> None:
    whole, first, second = line(), line(), line()
    whole.pipeline.run()
    for _ in range(steps):
        feed = first.pipeline.furthest_behind()
        assert feed is not None
        first.pipeline.deliver(feed.name, feed.step())
    second.pipeline.restore(first.pipeline.snapshot())
    assert second.pipeline.progress() == first.pipeline.progress()
    second.pipeline.run()
    assert [*first.spy.entries, *second.spy.entries] == whole.spy.entries
    assert second.pipeline.furthest_behind() is None


def test_the_tape_is_durable_before_what_was_made_of_it_is_kept(line: Callable[[], Line]) -> None:
    one = line()
    one.pipeline.run()
    is_durable, num_records = False, 0
    for what, _ in one.spy.log:
        if what == "tape":
            is_durable = False
        elif what == "flush":
            is_durable = True
        elif what == "records":
            assert is_durable
            num_records += 1
    assert num_records > 5


def test_rows_are_told_before_the_entries_that_were_decided_on_them(line: Callable[[], Line]) -> None:
    one = line()
    one.pipeline.run()
    told: set[int] = set()
    for what, stamps in one.spy.log:
        if what == "rows":
            told |= set(stamps)
        elif what == "records":
            assert all(ts in told for ts in stamps if ts % NS_PER_S == 0)


def test_the_feed_that_is_furthest_behind_is_asked_next(line: Callable[[], Line]) -> None:
    one = line()
    marks: dict[str, int] = {"dense": 0, "sparse": 0}
    asked = []

    def look(progress: Progress) -> None:
        feed = next(name for what, name in reversed(one.spy.log) if what == "tape")
        asked.append((feed, min(marks, key=lambda name: marks[name])))
        marks.update(one.pipeline.order.tape.watermarks)

    one.pipeline.run(on_progress=look)
    assert [ours for ours, _ in asked] == [theirs for _, theirs in asked]
    assert {ours for ours, _ in asked} == {"dense", "sparse"}


@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_drain_ends_every_feed_where_it_is(line: Callable[[], Line], after: int) -> None:
    one, whole = line(), line()
    whole.pipeline.run()
    seen: list[Progress] = []
    one.pipeline.run(on_progress=seen.append, should_drain=lambda: len(seen) >= after)
    assert all(feed.is_finished for feed in one.feeds)
    assert len(seen) == after + 2
    for feed, stamps in one.spy.events.items():
        assert stamps[:-1] == whole.spy.events[feed][: len(stamps) - 1]
        assert stamps[-1] == (stamps[-2] if len(stamps) > 1 else 0) + 1
    assert one.pipeline.order.watermark == END_OF_TIME


def test_a_pace_is_told_of_every_batch_and_progress_goes_to_the_end(line: Callable[[], Line]) -> None:
    one = line()
    paced: list[int] = []
    seen: list[Progress] = []
    one.pipeline.run(paced.append, seen.append)
    batches = {*(HALF * number for number in range(1, 12)), *(1 + HALF * number for number in (4, 8, 12))}
    assert set(paced) == batches | {stamps[-1] for stamps in one.spy.events.values()}
    assert [progress.num_events for progress in seen] == sorted(progress.num_events for progress in seen)
    assert [progress.ts for progress in seen] == sorted(progress.ts for progress in seen)
    last = seen[-1]
    assert (last.ts, last.num_events, last.num_finished, last.num_feeds) == (12 * HALF + 2, 25, 2, 2)


def test_a_disk_that_refuses_stops_everything_behind_it(line: Callable[[], Line]) -> None:
    one = line()

    def refuse() -> None:
        raise StorageFailed("tape", "No space left on device")

    one.spy.flush = refuse  # type: ignore[method-assign]
    with pytest.raises(StorageFailed):
        one.pipeline.run()
    assert one.spy.entries == []
    assert not one.judging.told
    assert not [kind for kind, _ in one.ordering.told if kind == "approved"]


class Arriving:
    """A feed with a connection: batches come from another thread, one after the other."""

    def __init__(self, batches: Sequence[Events]) -> None:
        self._coming, self._here = deque(batches), deque[Events]()
        self._is_over = self.is_closed = False
        self.on_arrival: Callable[[], None] | None = None
        self.num_asked = 0
        self._thread = threading.Thread(target=self._receive)

    def _receive(self) -> None:
        for batch in self._coming:
            assert self.on_arrival is not None
            self._here.append(batch)
            self.on_arrival()
        self._is_over = True

    def next_batch(self) -> Events | None:
        self.num_asked += 1
        if self.num_asked == 1:
            self._thread.start()
        if self._here:
            return self._here.popleft()
        return None if self._is_over and not self._here else tape.empty()

    def snapshot(self) -> bytes:
        return b""

    def restore(self, snapshot: bytes) -> None: ...

    def statistics(self) -> dict[str, float]:
        return {"frames": 7.0}

    def close(self) -> None:
        self._thread.join()
        self.is_closed = True


def test_events_that_come_when_they_come_lead_to_the_same_as_a_tape(make: Any, line: Callable[[], Line]) -> None:
    known = line()
    known.pipeline.run()
    one = line()
    dense = Arriving([make.events(number * HALF) for number in range(1, 12)])
    node = make.feed_node("dense", 0, dense)
    one.pipeline.feeds = [node, one.feeds[1]]
    one.pipeline.run()
    assert one.spy.entries == known.spy.entries
    assert node.statistics()["frames"] == 7.0
    assert dense.is_closed
    assert not known.feeds[0].is_open
