from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_MINUTE
from spyhop.model import tape
from spyhop.model.tape import Events, Kind
from spyhop.venues.live.bar_order import MAX_HELD, BarOrder

FIRST = 1_000_000


def minute(number: int) -> int:
    return (FIRST + number) * NS_PER_MINUTE


def bar(number: int) -> Events:
    rows = [tape.event(kind, 1, id=minute(number), interval_s=60) for kind in (Kind.BAR_OPEN, Kind.BAR_CLOSE)]
    return tape.joined(rows)


def offered(bars: BarOrder, *numbers: int) -> list[int]:
    for number in numbers:
        bars.offer(minute(number), bar(number))
    return numbered(bars.take())


def numbered(rows: Events) -> list[int]:
    opens = rows["id"][rows["kind"] == Kind.BAR_OPEN]
    closes = rows["id"][rows["kind"] == Kind.BAR_CLOSE]
    assert (opens == closes).all()
    return [int(ts_open) // NS_PER_MINUTE - FIRST for ts_open in opens]


def anchored(*numbers: int) -> BarOrder:
    bars = BarOrder()
    bars.anchor()
    offered(bars, *numbers)
    return bars


def test_bars_before_the_feed_come_first() -> None:
    bars = BarOrder()
    assert offered(bars, 5) == []
    assert offered(bars, 3, 4) == []
    bars.anchor()
    assert numbered(bars.take()) == [3, 4, 5]


def test_each_once() -> None:
    bars = anchored(1)
    assert offered(bars, 2, 2) == [2]
    assert not bars.offer(minute(1), bar(1))
    assert offered(bars, 2) == []


def test_a_bar_behind_a_hole_waits_for_it_to_be_filled() -> None:
    bars = anchored(1)
    assert offered(bars, 4) == []
    assert not bars.offer(minute(4), bar(4))
    assert bars.hole == (minute(2), minute(4))
    assert offered(bars, 3) == []
    assert bars.hole == (minute(2), minute(3))
    assert offered(bars, 2) == [2, 3, 4]
    assert bars.hole is None


def test_a_minute_that_the_venue_has_no_bar_of_is_no_hole() -> None:
    bars = anchored(1)
    offered(bars, 4)
    bars.answered(minute(0), minute(4))
    assert numbered(bars.take()) == [4]
    assert (bars.num_silent, bars.num_missing) == (2, 0)
    assert bars.hole is None


def test_an_answer_that_does_not_reach_the_held_bar_says_nothing_about_the_hole() -> None:
    bars = anchored(1)
    offered(bars, 4)
    bars.answered(minute(0), minute(3))
    assert numbered(bars.take()) == []
    assert bars.hole == (minute(2), minute(4))


def test_minutes_before_the_answer_are_missing() -> None:
    bars = anchored(1)
    offered(bars, 4)
    bars.answered(minute(3), minute(4))
    assert numbered(bars.take()) == [4]
    assert (bars.num_silent, bars.num_missing) == (1, 1)


def test_a_hole_is_given_up_when_too_many_bars_wait_and_its_bars_come_late_once() -> None:
    bars = anchored(1)
    waiting = list(range(3, 3 + MAX_HELD))
    assert offered(bars, *waiting) == []
    assert offered(bars, 3 + MAX_HELD) == [*waiting, 3 + MAX_HELD]
    assert bars.num_missing == 1
    assert offered(bars, 2) == [2]
    assert offered(bars, 2) == []
    assert bars.num_missing == 0


def test_a_second_hole_stays_when_the_first_is_answered() -> None:
    bars = anchored(1)
    offered(bars, 3, 6)
    bars.answered(minute(1), minute(4))
    assert numbered(bars.take()) == [3]
    assert bars.hole == (minute(4), minute(6))


def test_a_resumed_tape_goes_on_behind_its_last_bar() -> None:
    bars = BarOrder()
    bars.resume(minute(5))
    assert offered(bars, 4, 5, 7) == []
    assert offered(bars, 6) == [6, 7]


@given(st.permutations(range(1, 13)), st.lists(st.integers(1, 12), max_size=20))
def test_no_hole_whatever_the_order(order: list[int], repeats: list[int]) -> None:
    bars = anchored(0)
    given_out = [number for some in (order, repeats) for k in some for number in offered(bars, k)]
    assert given_out == list(range(1, 13))
