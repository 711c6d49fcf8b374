"""Bells: who waits is woken once for all that rang, and never misses what rang before."""

from __future__ import annotations

import asyncio
import sys

from actors.bell import TURN_S, Bell, take_short_turns

LONG_S = 30.0


def test_a_ring_wakes_who_waits() -> None:
    async def scenario() -> bool:
        bell = Bell()
        waiting = asyncio.create_task(bell.within(LONG_S))
        await asyncio.sleep(0)
        bell.ring()
        bell.ring()
        return await asyncio.wait_for(waiting, 1.0)

    assert asyncio.run(scenario())


def test_a_ring_before_the_wait_is_not_missed_and_counts_once() -> None:
    async def scenario() -> tuple[bool, bool]:
        bell = Bell()
        bell.ring()
        return await bell.within(LONG_S), await bell.within(0.01)

    assert asyncio.run(scenario()) == (True, False)


def test_what_is_forgotten_wakes_nobody() -> None:
    async def scenario() -> bool:
        bell = Bell()
        bell.ring()
        bell.forget()
        return await bell.within(0.01)

    assert not asyncio.run(scenario())


def test_a_wait_that_is_cancelled_leaves_the_bell_to_the_next() -> None:
    async def scenario() -> bool:
        bell = Bell()
        waiting = asyncio.create_task(bell.within(LONG_S))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        bell.ring()
        return await bell.within(LONG_S)

    assert asyncio.run(scenario())


def test_threads_of_an_actor_change_places_soon() -> None:
    before = sys.getswitchinterval()
    try:
        take_short_turns()
        assert abs(sys.getswitchinterval() - TURN_S) < 1e-6
    finally:
        sys.setswitchinterval(before)
