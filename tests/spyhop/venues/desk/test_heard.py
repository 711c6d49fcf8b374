"""What an order stage heard: at its own time, once, in order, and again after a kill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.clock import EventClock
from spyhop.errors import StateError
from spyhop.model.orders import OrderSent
from spyhop.venues.desk.heard import HEARD, HeardLog, heard
from spyhop.venues.desk.log import DeskLog


def report(number: int) -> OrderSent:
    """Return a report as a desk stamps it, by a clock of its own."""
    return OrderSent(ts=10**15 - number, client_order_id=f"o{number}", instrument=1)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[int], HeardLog]]:
    """Open the log in another life, at an event time."""
    logs: list[HeardLog] = []

    def opened(ts: int) -> HeardLog:
        for log in logs:
            log.close()
        logs.append(HeardLog(tmp_path, EventClock(ts)))
        return logs[-1]

    yield opened
    for log in logs:
        log.close()


def names(log: HeardLog, number: int = 0) -> list[str]:
    return [one.client_order_id for one in log.reports_since(number) if isinstance(one, OrderSent)]


def test_reports_count_at_the_time_at_which_they_are_heard(opened: Callable[[int], HeardLog], tmp_path: Path) -> None:
    log = opened(100)
    assert log.promise(0) == 100
    log.hear(0, [report(0), report(1)])
    assert [one.ts for one in log.reports_since(0)] == [100, 100]
    # what was promised is kept, whatever the clock says
    assert log.promise(500) == 500
    log.hear(2, [report(2)])
    assert [one.ts for one in log.reports_since(2)] == [500]
    assert heard(tmp_path) == log.reports_since(0)


def test_a_repeat_is_known_by_its_number_and_a_gap_is_refused(opened: Callable[[int], HeardLog]) -> None:
    log = opened(100)
    log.hear(0, [report(0), report(1)])
    log.hear(1, [report(1), report(2)])
    log.hear(0, [report(0)])
    assert names(log) == ["o0", "o1", "o2"]
    assert names(log, 2) == ["o2"]
    with pytest.raises(StateError, match="report 4 told, 3 heard"):
        log.hear(4, [report(4)])
    with pytest.raises(StateError, match="report 4 asked for, 3 heard"):
        log.reports_since(4)


def test_a_new_life_tells_the_same_and_goes_on_behind_it(opened: Callable[[int], HeardLog]) -> None:
    first = opened(100)
    first.hear(0, [report(0)])
    told = first.reports_since(0)
    again = opened(50)
    assert again.reports_since(0) == told
    again.hear(1, [report(1)])
    assert [one.ts for one in again.reports_since(0)] == [100, 100]


def test_nothing_is_heard_behind_the_end(opened: Callable[[int], HeardLog], tmp_path: Path) -> None:
    log = opened(100)
    log.hear(0, [report(0)])
    log.end()
    log.hear(1, [report(1)])
    assert names(log) == ["o0"]
    assert len(heard(tmp_path)) == 1


def test_what_is_older_than_memory_is_read_from_the_disk(
    opened: Callable[[int], HeardLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spyhop.venues.desk.heard._NUM_KEPT", 3)
    log = opened(100)
    log.hear(0, [report(number) for number in range(8)])
    assert names(log) == [f"o{number}" for number in range(8)]
    assert names(log, 6) == ["o6", "o7"]


def test_of_a_session_whose_stage_stood_beside_the_desk_its_log_is_what_was_heard(tmp_path: Path) -> None:
    desk = DeskLog(tmp_path)
    desk.append(report(0))
    desk.flush()
    desk.close()
    assert heard(tmp_path) == [report(0)]
    assert not (tmp_path / HEARD).exists()
    HeardLog(tmp_path, EventClock(1)).close()
    assert heard(tmp_path) == []


@settings(deadline=None, max_examples=30)
@given(parcels=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), max_size=12), cut=st.integers(0, 200))
def test_parcels_in_any_cut_and_a_torn_tail_make_one_sequence(
    tmp_path_factory: pytest.TempPathFactory, parcels: list[tuple[int, int]], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("heard")
    log = HeardLog(folder, EventClock(7))
    for start, count in parcels:
        if start <= log.num_reports:
            log.hear(start, [report(start + more) for more in range(count)])
    whole = names(log)
    assert whole == [f"o{number}" for number in range(len(whole))]
    log.close()
    path = folder / HEARD
    path.write_bytes(path.read_bytes()[: max(0, path.stat().st_size - cut)])
    again = HeardLog(folder, EventClock(9))
    left = names(again)
    assert left == whole[: len(left)]
    again.hear(len(left), [report(len(left))])
    assert names(again) == [f"o{number}" for number in range(len(left) + 1)]
    again.close()
