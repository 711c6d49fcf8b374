"""Whatever the venue does and however often the desk is killed: in the end both know the same.

A script of orders, cancels, market moves, faults and kills runs on a virtual clock; afterwards it is quiet for a while.
Then the log holds what the venue holds, no order was placed twice, and no fill is lost or counted twice.
"""

from __future__ import annotations

import asyncio
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from spyhop.clock import NS_PER_S
from spyhop.execution.account import Account
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    CancelOrder,
    CancelRejected,
    Command,
    Fill,
    OrderRejected,
    OrderSent,
    OrderStatus,
    OrderType,
    Purpose,
    Reconciled,
    Report,
    SubmitOrder,
)
from spyhop.model.tape import Side, Venue
from spyhop.venues.desk.desk import Desk
from spyhop.venues.desk.log import NAME
from spyhop.venues.desk.scripted import Fault, ScriptedVenue
from spyhop.venues.live.scripted import VirtualClock

INSTRUMENTS = {
    number: Instrument(
        id=number, venue=Venue.SIMULATED, symbol=f"X{number}", tick_size=Decimal(1), lot_size=Decimal("0.01")
    )
    for number in (1, 2)
}
QUIET_S = 120.0

_faults = st.lists(st.sampled_from(list(Fault)), max_size=3)
_number = st.integers(0, 7)
_steps = st.one_of(
    st.tuples(st.just("order"), st.booleans(), st.booleans(), st.sampled_from((1, 2)), st.integers(1, 4)),
    st.tuples(st.just("order"), st.booleans(), st.booleans(), st.sampled_from((1, 2)), st.integers(1, 4)),
    st.tuples(st.just("cancel"), _number),
    st.tuples(st.just("trade"), _number, st.integers(1, 4)),
    st.tuples(st.just("expire"), _number),
    st.tuples(st.just("faults"), _faults),
    st.tuples(st.just("ask_faults"), _faults),
    st.tuples(st.just("lose")),
    st.tuples(st.just("connect")),
    st.tuples(st.just("blink"), _number, st.integers(0, 4)),
    st.tuples(st.just("repeats"), st.booleans()),
    st.tuples(st.just("pass"), st.sampled_from((0.0, 0.3, 1.0, 4.0, 20.0))),
    st.tuples(st.just("kill"), st.integers(0, 40), st.booleans()),
    st.tuples(st.just("offer_again"), _number),
)


class World:
    """A venue that lives on while its desk comes and goes, and the order stage's side of the commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = VirtualClock(1_700_000_000 * NS_PER_S)
        self.venue = ScriptedVenue(self.clock)
        self.commands: list[Command] = []
        self.keys: list[str] = []
        self.heard: list[Report] = []
        self.desk: Desk
        self.task: asyncio.Task[None]

    async def open(self) -> None:
        self.desk = Desk(self.venue, self.venue.listen(), self.folder, self.clock, INSTRUMENTS)
        # what a consumer has heard is never taken back
        again = self.desk.reports_since(0)
        assert again[: len(self.heard)] == self.heard
        self.desk.on_report(self._hear)
        self._hear()
        self.task = asyncio.create_task(self.desk.run())
        self.venue.connect()
        await self.clock.run(0.0)
        self.desk.take(0, self.commands)

    def _hear(self) -> None:
        self.heard += self.desk.reports_since(len(self.heard))

    async def kill(self, torn: int) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        assert self.task.cancelled(), self.task.exception()
        self.desk.close()
        if torn:
            with (self.folder / NAME).open("ab") as file:
                file.write(bytes(range(1, torn + 1)))

    def send(self, command: Command) -> None:
        self.commands.append(command)
        self.desk.take(len(self.commands) - 1, [command])

    async def play(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("pass", seconds):
                await self.clock.run(seconds)
            case ("kill", torn, is_down_long):
                await self.kill(torn)
                if is_down_long:
                    await self.clock.run(5.0)
                await self.open()
            case ("offer_again", number):
                start = min(number, len(self.commands))
                self.desk.take(start, self.commands[start:])
            case ("order", is_market, is_reduce_only, instrument, lots):
                self.order(f"o{len(self.keys)}", is_market, is_reduce_only, instrument, lots)
            case (what, number, *rest) if what in {"cancel", "trade", "expire"}:
                if self.keys:
                    self.move(what, self.keys[-1 - number % len(self.keys)], *rest)
            case _:
                self.disturb(step)

    def order(self, key: str, is_market: bool, is_reduce_only: bool, instrument: int, lots: int) -> None:
        self.keys.append(key)
        self.send(
            SubmitOrder(
                ts=self.clock.now_ns(),
                client_order_id=key,
                instrument=instrument,
                side=Side.SELL if is_reduce_only else Side.BUY,
                type=OrderType.MARKET if is_market else OrderType.LIMIT,
                price=0 if is_market else 100,
                lots=lots,
                purpose=Purpose.ENTRY,
                reduce_only=is_reduce_only,
            )
        )

    def move(self, what: str, key: str, lots: int = 0) -> None:
        if what == "trade":
            self.venue.trade(key, lots)
        elif what == "expire":
            self.venue.expire(key)
        else:
            instrument = self.desk.account.orders[key].submit.instrument
            self.send(CancelOrder(ts=self.clock.now_ns(), client_order_id=key, instrument=instrument))

    def disturb(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("faults", faults):
                self.venue.faults.extend(faults)
            case ("ask_faults", faults):
                self.venue.ask_faults.extend(faults)
            case ("lose",):
                self.venue.lose()
            case ("blink", number, lots):
                self.venue.lose()
                if self.keys:
                    self.move("trade" if lots else "expire", self.keys[-1 - number % len(self.keys)], lots)
                self.venue.connect()
            case ("connect",):
                self.venue.connect()
            case ("repeats", is_on):
                self.venue.repeats = is_on

    async def run(self, steps: list[tuple[Any, ...]]) -> None:
        await self.open()
        for step in steps:
            await self.play(step)
            # a cancelled or scheduled task moves on a little between any two steps
            await asyncio.sleep(0)
        self.venue.faults.clear()
        self.venue.ask_faults.clear()
        self.venue.connect()
        await self.clock.run(QUIET_S)
        self.check()
        await self.kill(0)

    def check(self) -> None:
        account, venue = self.desk.account, self.venue
        assert len(set(venue.submitted)) == len(venue.submitted), "an order was placed twice"
        for key, own in account.orders.items():
            theirs = venue.orders.get(key)
            if theirs is None:
                assert own.status in {OrderStatus.REJECTED, OrderStatus.CANCELLED}, key
            else:
                assert (own.status, own.filled) == (theirs.status, theirs.filled), key
        assert venue.orders.keys() <= account.orders.keys()
        assert not any(own.is_cancelling for own in account.alive.values()), "a cancellation was forgotten"
        fills = [(one.instrument, one.fill_id) for one in self.heard if isinstance(one, Fill)]
        assert sorted(fills) == sorted((one.instrument, one.fill_id) for one in venue.trades)
        assert account.lots == {number: venue.lots.get(number, 0) for number in INSTRUMENTS}
        self.check_reports()

    def check_reports(self) -> None:
        assert self.heard == self.desk.reports_since(0) == list(self.desk._teller._log.reports())
        assert [one.ts for one in self.heard] == sorted(one.ts for one in self.heard)
        verdicts = [one for one in self.heard if isinstance(one, Reconciled)]
        assert all(one.is_clean for one in verdicts[-2:])
        # whoever folds the reports alone comes to the same account
        twin = Account(INSTRUMENTS)
        for command in self.commands:
            if isinstance(command, SubmitOrder):
                twin.take(command)
        for report in self.heard:
            if isinstance(report, CancelRejected):
                continue  # an answer to a command, of which the twin hears nothing
            assert twin.news(report) is not None or not hasattr(report, "client_order_id"), report
            twin.hear(report)
        assert twin.lots == self.desk.account.lots
        sent = {one.client_order_id for one in self.heard if isinstance(one, OrderSent)}
        assert set(self.venue.submitted) <= sent, "an order left before that was said"
        never = {one.client_order_id for one in self.heard if isinstance(one, OrderRejected)}
        assert never.isdisjoint(self.venue.submitted), "an order was called rejected and is there"


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(_steps, max_size=30))
@example(steps=[("order", False, False, 1, 3), ("pass", 1.0), ("blink", 0, 2)])
@example(steps=[("faults", [Fault.SLOW]), ("order", False, False, 1, 3), ("pass", 1.0), ("cancel", 0)])
@example(steps=[("faults", [Fault.SLOW]), ("order", True, False, 1, 3), ("pass", 1.0), ("kill", 3, False)])
@example(steps=[("order", False, False, 1, 3), ("pass", 1.0), ("faults", [Fault.NEVER]), ("cancel", 0)])
@example(steps=[("faults", [Fault.LOST_REPLY]), ("order", True, False, 1, 4), ("kill", 0, True)])
def test_after_any_script_and_a_quiet_while_the_venue_and_the_log_agree(steps: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(World(Path(folder)).run(steps))
