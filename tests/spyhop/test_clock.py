from __future__ import annotations

import asyncio

import pytest

from spyhop.clock import NS_PER_S, EventClock, WallClock, day, iso_ms, utc


def test_an_event_clock_moves_only_when_told() -> None:
    clock = EventClock(5)
    clock.advance(7)
    assert clock.now_ns() == clock.monotonic_ns() == 12


def test_an_event_clock_never_goes_back() -> None:
    with pytest.raises(ValueError, match="never goes backwards"):
        EventClock().advance(-1)


def test_sleeping_on_an_event_clock_takes_its_time_and_none_of_ours() -> None:
    clock = EventClock()
    asyncio.run(clock.sleep(3_600))
    assert clock.now_ns() == 3_600 * NS_PER_S


def test_the_wall_clock_is_in_this_century() -> None:
    assert utc(WallClock().now_ns()).year > 2020


def test_times_are_written_exactly() -> None:
    ts = 1_764_350_100_123_456_789
    assert iso_ms(ts) == "2025-11-28T17:15:00.123"
    assert day(ts) == "20251128"
    assert utc(ts).microsecond == 123_456
