"""The dead man's switch: set while orders rest, let go when none does, not asked of a venue that has none."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

from spyhop.clock import NS_PER_S
from spyhop.errors import VenueUnavailable
from spyhop.model.instruments import Instrument
from spyhop.model.orders import OrderAccepted, OrderCancelled, OrderSent, OrderType, Purpose, SubmitOrder
from spyhop.model.tape import Side, Venue
from spyhop.venues.desk.scripted import ScriptedVenue
from spyhop.venues.desk.switch import DeadMan, SwitchParams
from spyhop.venues.desk.telling import Teller
from spyhop.venues.live.scripted import VirtualClock

BTC = Instrument(id=1, venue=Venue.SIMULATED, symbol="BTC", tick_size=Decimal(1), lot_size=Decimal(1))


class Calls(ScriptedVenue):
    """Notes what it is asked; fails where told to."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.calls: list[tuple[int, float]] = []
        self.fails = False

    async def hold_switch(self, instrument: int, seconds: float) -> bool:
        self.calls.append((instrument, seconds))
        if self.fails:
            raise VenueUnavailable("switch", 503, "down")
        return await super().hold_switch(instrument, seconds)


def open_order(teller: Teller, key: str) -> None:
    order = SubmitOrder(
        ts=0, client_order_id=key, instrument=1, side=Side.BUY, type=OrderType.LIMIT, price=9, lots=1,
        purpose=Purpose.ENTRY,
    )  # fmt: skip
    teller.take(teller.num_commands, [order], lambda instrument: 0.0)
    teller.tell(
        OrderSent(ts=0, client_order_id=key, instrument=1),
        OrderAccepted(ts=0, ts_venue=0, client_order_id=key, instrument=1),
    )


def test_the_switch_is_set_again_three_times_in_its_time_while_an_order_rests(tmp_path: Path) -> None:
    async def run() -> None:
        clock = VirtualClock(NS_PER_S)
        venue, teller = Calls(clock), Teller(tmp_path, {1: BTC}, clock)
        task = asyncio.create_task(DeadMan(venue, teller, clock, SwitchParams(seconds=30.0)).run())
        await clock.run(20.0)
        assert venue.calls == []
        open_order(teller, "a")
        await clock.run(30.0)
        assert venue.calls == [(1, 30.0)] * 3
        teller.tell(OrderCancelled(ts=0, ts_venue=0, client_order_id="a", instrument=1, lots_left=1))
        await clock.run(30.0)
        assert venue.calls[3:] == [(1, 0.0)]
        task.cancel()
        await asyncio.wait([task])
        teller.close()

    asyncio.run(run())


def test_a_venue_without_a_switch_is_asked_once_and_a_failure_is_tried_again(tmp_path: Path) -> None:
    async def run() -> None:
        clock = VirtualClock(NS_PER_S)
        venue, teller = Calls(clock), Teller(tmp_path, {1: BTC}, clock)
        open_order(teller, "a")
        venue.fails, venue.has_switch = True, False
        switch = DeadMan(venue, teller, clock, SwitchParams(seconds=30.0))
        await switch.beat()
        assert teller.counts["switch_failures"] == 1
        venue.fails = False
        await switch.beat()
        await switch.beat()
        assert venue.calls == [(1, 30.0)] * 2
        await DeadMan(venue, teller, clock, SwitchParams(seconds=0.0)).run()  # no switch wanted: over at once
        teller.close()

    asyncio.run(run())
