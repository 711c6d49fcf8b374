"""Ending everything: slices, unknown outcomes, a venue that does not answer, and what is said when time is up."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from spyhop.clock import NS_PER_S
from spyhop.model.accounts import VenueOrder, VenuePosition
from spyhop.model.instruments import Instrument
from spyhop.model.orders import OrderStatus, OrderType, Purpose, SubmitOrder
from spyhop.model.tape import Side, Venue
from spyhop.venues.desk.flatten import ALL, Flattened, FlattenParams, flatten
from spyhop.venues.desk.scripted import Fault, ScriptedVenue
from spyhop.venues.live.scripted import VirtualClock

INSTRUMENTS = {
    number: Instrument(id=number, venue=Venue.SIMULATED, symbol=f"X{number}", tick_size=Decimal(1), lot_size=Decimal(1))
    for number in (1, 2)
}


def resting(venue: ScriptedVenue, key: str, instrument: int) -> None:
    venue._place(
        SubmitOrder(
            ts=0,
            client_order_id=key,
            instrument=instrument,
            side=Side.BUY,
            type=OrderType.LIMIT,
            price=90,
            lots=2,
            purpose=Purpose.ENTRY,
        )
    )


def play(
    venue: ScriptedVenue,
    clock: VirtualClock,
    params: FlattenParams | None = None,
    depth: int = 0,
) -> Flattened:
    async def run() -> Flattened:
        task = asyncio.create_task(
            flatten(venue, INSTRUMENTS, clock, params, (lambda instrument, side: depth) if depth else None)
        )
        for _ in range(2000):
            await clock.run(0.1)
            if task.done():
                break
        return await task

    return asyncio.run(run())


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(1_700_000_000 * NS_PER_S)


@pytest.fixture
def venue(clock: VirtualClock) -> ScriptedVenue:
    venue = ScriptedVenue(clock)
    venue.lots = {1: 10, 2: -3}
    resting(venue, "a", 1)
    resting(venue, "b", 2)
    venue.submitted.clear()
    return venue


def is_over(venue: ScriptedVenue) -> bool:
    alive = {OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED}
    return not any(venue.lots.values()) and not any(order.status in alive for order in venue.orders.values())


def test_everything_ends_and_the_steps_have_times(venue: ScriptedVenue, clock: VirtualClock) -> None:
    done = play(venue, clock)
    assert done.is_flat
    assert is_over(venue)
    assert done.orders == done.positions == ()
    assert [step.ts for step in done.steps] == sorted(step.ts for step in done.steps)
    assert sorted(step.lots for step in done.steps if step.what == "slice") == [-10, 3]
    assert 1.0 <= done.seconds < 2.0  # it stayed flat for a second


def test_what_concerns_the_whole_account_names_no_instrument(venue: ScriptedVenue, clock: VirtualClock) -> None:
    done = play(venue, clock)
    assert {step.instrument for step in done.steps if step.what == "asked"} == {ALL}
    assert {step.instrument for step in done.steps if step.what != "asked"} == {1, 2}


def test_slices_are_what_the_book_can_take(venue: ScriptedVenue, clock: VirtualClock) -> None:
    venue.depth = {1: 4, 2: 4}
    done = play(venue, clock, FlattenParams(depth_share=0.5), depth=8)
    assert done.is_flat
    assert [step.lots for step in done.steps if step.what == "slice" and step.instrument == 1] == [-4, -4, -2]


def test_no_slice_is_larger_than_permitted(venue: ScriptedVenue, clock: VirtualClock) -> None:
    done = play(venue, clock, FlattenParams(max_slice_lots=3))
    assert done.is_flat
    assert [step.lots for step in done.steps if step.what == "slice" and step.instrument == 1] == [-3, -3, -3, -1]


@pytest.mark.parametrize("fault", list(Fault))
def test_any_fault_on_the_way_is_survived(venue: ScriptedVenue, clock: VirtualClock, fault: Fault) -> None:
    venue.faults.extend([fault] * 4)
    venue.ask_faults.extend([fault] * 3)
    done = play(venue, clock)
    assert done.is_flat
    assert is_over(venue)
    assert len(set(venue.submitted)) == len(venue.submitted)


def test_a_slice_whose_outcome_is_unknown_is_asked_about_before_the_next(
    venue: ScriptedVenue, clock: VirtualClock
) -> None:
    venue.lots = {1: 10}
    venue.faults.extend([Fault.NONE, Fault.NONE, Fault.NONE, Fault.SLOW])
    done = play(venue, clock)
    # the first slice arrived late; a second one before that would have been refused, or worse
    assert done.is_flat
    assert len(venue.submitted) == 1


def test_an_order_that_arrives_while_we_look_is_caught(venue: ScriptedVenue, clock: VirtualClock) -> None:
    async def run() -> Flattened:
        task = asyncio.create_task(flatten(venue, INSTRUMENTS, clock))
        await clock.run(0.5)
        assert is_over(venue)
        resting(venue, "late", 1)
        await clock.run(10.0)
        return await task

    assert asyncio.run(run()).is_flat
    assert is_over(venue)


def test_what_is_left_is_told_when_time_is_up(venue: ScriptedVenue, clock: VirtualClock) -> None:
    venue.faults.extend([Fault.UNAVAILABLE] * 10_000)
    done = play(venue, clock, FlattenParams(deadline_s=10.0))
    assert not done.is_flat
    assert {position.instrument: position.lots for position in done.positions} == {1: 10, 2: -3}
    assert [order.client_order_id for order in done.orders] == ["a", "b"]
    assert 10.0 <= done.seconds < 12.0


def test_a_venue_that_cannot_be_asked_is_not_flat(clock: VirtualClock) -> None:
    venue = ScriptedVenue(clock)
    venue.ask_faults.extend([Fault.NEVER] * 10_000)
    done = play(venue, clock, FlattenParams(deadline_s=10.0))
    assert not done.is_flat


def test_other_instruments_are_left_alone(clock: VirtualClock) -> None:
    venue = ScriptedVenue(clock)
    venue.lots = {9: 5}
    venue.foreign.append(
        VenueOrder(
            client_order_id="",
            venue_order_id="77",
            instrument=9,
            side=Side.BUY,
            status=OrderStatus.OPEN,
            lots=1,
            filled=0,
        )
    )
    assert play(venue, clock).is_flat
    assert venue.lots == {9: 5}
    assert asyncio.run(venue.positions()) == [VenuePosition(instrument=9, lots=5)]
