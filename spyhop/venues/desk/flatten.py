"""Ending everything at a venue: cancel all orders, close every position in slices, and ask until both are zero.

It needs nothing but a Trader, so it works when everything else of ours is down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, TypeVar

import msgspec

from spyhop import identity
from spyhop.clock import NS_PER_S, Clock
from spyhop.errors import OutcomeUnknown, VenueError, VenueRefused
from spyhop.execution.account import OwnOrder
from spyhop.model.accounts import VenueOrder, VenuePosition
from spyhop.model.instruments import Instrument
from spyhop.model.orders import OrderType, Purpose, SubmitOrder
from spyhop.model.tape import Side
from spyhop.ports import Trader
from spyhop.venues.desk.unknowns import AskParams, Pause, Seconds, ask, fitted, within

Answer = TypeVar("Answer")
Depth = Callable[[int, Side], int]
"""Lots that a market order of a side finds near the touch, 0 unknown."""
ALL = -1


class FlattenParams(AskParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How hard it is tried."""

    deadline_s: Seconds = 60.0
    """When it is given up and told what is left."""
    depth_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    """Of the visible depth, in one slice."""
    max_slice_lots: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Of one slice; 0 for no limit."""
    between_s: Annotated[float, msgspec.Meta(ge=0)] = 0.2
    """From one slice of an instrument to the next, and from one question to the next."""
    settle_s: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    """How long it must stay flat: something of ours may have been on its way."""


class Step(msgspec.Struct, frozen=True):
    """One thing that was done: `what` is cancelled, slice, asked or failed; `lots` has a sign where it moves any.

    What concerns the whole account has the instrument `ALL`.
    """

    ts: int
    what: str
    instrument: int = ALL
    lots: int = 0
    note: str = ""


class Flattened(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: the steps with their times, and what is left at the venue when it is not flat.

    `is_flat` is the venue's own word, given after the last of our requests; False, too, when it could not be asked.
    """

    is_flat: bool
    begun: int
    ended: int
    steps: tuple[Step, ...]
    orders: tuple[VenueOrder, ...] = ()
    positions: tuple[VenuePosition, ...] = ()

    @property
    def seconds(self) -> float:
        """Return how long it took."""
        return (self.ended - self.begun) / NS_PER_S


async def flatten(
    trader: Trader,
    instruments: Mapping[int, Instrument],
    clock: Clock,
    params: FlattenParams | None = None,
    book: Depth | None = None,
    session: str = "",
) -> Flattened:
    """Cancel every order and close every position of `instruments`; return when the venue says so or time is up.

    `session` names the closing orders; by default it is made of the clock.
    """
    work = _Flatten(trader, instruments, clock, fitted(params or FlattenParams(), trader), book, session)
    return await work.run()


class _Flatten:
    def __init__(
        self,
        trader: Trader,
        instruments: Mapping[int, Instrument],
        clock: Clock,
        params: FlattenParams,
        book: Depth | None,
        session: str,
    ) -> None:
        self._trader, self._instruments, self._clock, self._params = trader, sorted(instruments), clock, params
        self._book = book
        self._begun = clock.now_ns()
        self._session = session or identity.session_id(self._begun)
        self._num_orders = 0
        self._steps: list[Step] = []

    async def run(self) -> Flattened:
        pause = Pause(self._params)
        orders: list[VenueOrder] = []
        positions: list[VenuePosition] = []
        # cancelling needs no answer to what there is
        await self._cancel(self._instruments)
        flat_since = 0
        while True:
            try:
                orders, positions = await self._left()
            except VenueError as error:
                self._note("failed", note=str(error))
                flat_since = 0
                if self._is_late():
                    return self._done(orders, positions, is_flat=False)
                await self._clock.sleep(pause.after(error))
                await self._cancel(self._instruments)
                continue
            now = self._clock.now_ns()
            if orders or positions:
                flat_since = 0
            elif flat_since and now - flat_since >= self._params.settle_s * NS_PER_S:
                return self._done(orders, positions, is_flat=True)
            else:
                flat_since = flat_since or now
            if self._is_late():
                return self._done(orders, positions, is_flat=not orders and not positions)
            await self._cancel(sorted({order.instrument for order in orders}))
            await asyncio.gather(*[self._close(position) for position in positions])
            await self._clock.sleep(self._params.between_s)

    def _done(self, orders: list[VenueOrder], positions: list[VenuePosition], *, is_flat: bool) -> Flattened:
        return Flattened(
            is_flat=is_flat,
            begun=self._begun,
            ended=self._clock.now_ns(),
            steps=tuple(self._steps),
            orders=tuple(orders),
            positions=tuple(positions),
        )

    def _is_late(self) -> bool:
        return self._clock.now_ns() - self._begun >= self._params.deadline_s * NS_PER_S

    def _note(self, what: str, instrument: int = ALL, lots: int = 0, note: str = "") -> None:
        self._steps.append(Step(self._clock.now_ns(), what, instrument, lots, note))

    async def _cancel(self, instruments: Sequence[int]) -> None:
        await asyncio.gather(*[self._cancel_all(number) for number in instruments])

    async def _within(self, call: Awaitable[Answer]) -> Answer:
        left_s = self._params.deadline_s - (self._clock.now_ns() - self._begun) / NS_PER_S
        limit = max(min(self._params.request_s, left_s), 1.0)
        return await within(self._clock, limit, call, self._trader.name)

    async def _left(self) -> tuple[list[VenueOrder], list[VenuePosition]]:
        orders = await self._within(self._trader.open_orders())
        positions = await self._within(self._trader.positions())
        known = set(self._instruments)
        left = [one for one in orders if one.instrument in known]
        held = [one for one in positions if one.instrument in known and one.lots]
        self._note("asked", note=f"{len(left)} orders, {len(held)} positions")
        return left, held

    async def _cancel_all(self, instrument: int) -> None:
        try:
            await self._within(self._trader.cancel_all(instrument))
            self._note("cancelled", instrument)
        except VenueError as error:
            self._note("failed", instrument, note=str(error))

    def _slice(self, position: VenuePosition, side: Side) -> int:
        lots, p = abs(position.lots), self._params
        depth = self._book(position.instrument, side) if self._book is not None else 0
        if depth > 0:
            lots = min(lots, max(1, int(depth * p.depth_share)))
        return min(lots, p.max_slice_lots) if p.max_slice_lots else lots

    async def _close(self, position: VenuePosition) -> None:
        """Send one slice; what is left shows when the venue is asked again."""
        side = Side.SELL if position.lots > 0 else Side.BUY
        self._num_orders += 1
        now = self._clock.now_ns()
        order = SubmitOrder(
            ts=now,
            client_order_id=identity.client_order_id(self._session, self._num_orders),
            instrument=position.instrument,
            side=side,
            type=OrderType.MARKET,
            lots=self._slice(position, side),
            purpose=Purpose.KILL,
            reduce_only=True,
        )
        try:
            await self._within(self._trader.submit(order))
            self._note("slice", order.instrument, side * order.lots)
        except VenueRefused as error:
            self._note("failed", order.instrument, side * order.lots, str(error))
        except OutcomeUnknown as error:
            self._note("failed", order.instrument, side * order.lots, str(error))
            await self._resolve(order, now)
        except VenueError as error:
            self._note("failed", order.instrument, side * order.lots, str(error))

    async def _resolve(self, order: SubmitOrder, now: int) -> None:
        """Wait until the venue is certain about a slice, or time is up; another one before that might be too many."""
        own = OwnOrder(order, ts_sent=now)
        left_s = self._params.deadline_s - (self._clock.now_ns() - self._begun) / NS_PER_S
        try:
            theirs = await within(
                self._clock, max(left_s, 0.0), ask(self._trader, own, self._clock, self._params), self._trader.name
            )
        except VenueError as error:
            self._note("failed", order.instrument, note=str(error))
            return
        lots = order.side * theirs.filled if theirs is not None else 0
        self._note("slice", order.instrument, lots, "outcome asked for")
