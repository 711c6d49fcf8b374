"""What becomes of commands: requests in order per instrument, each followed until the venue's word about it is certain.

A submit leaves once. It is repeated only when the venue said that nothing was executed; when nobody can say, the venue
is asked until it can.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import msgspec

from spyhop.clock import NS_PER_S, Clock
from spyhop.errors import ConnectFailed, Throttled, VenueError, VenueRefused, VenueUnavailable
from spyhop.execution.account import OwnOrder
from spyhop.execution.reconcile import absent, fill_of, follows
from spyhop.model.accounts import VenueOrder
from spyhop.model.orders import (
    CancelOrder,
    CancelRejected,
    Command,
    OrderCancelled,
    OrderRejected,
    OrderSent,
    OrderStatus,
    OrderUnknown,
)
from spyhop.ports import Trader
from spyhop.venues.desk.telling import Teller
from spyhop.venues.desk.unknowns import AskParams, Pause, Seconds, ask, within

Spawn = Callable[[Coroutine[Any, Any, None]], None]

_SKEW_NS = 60 * NS_PER_S


class RequestParams(AskParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long commands are worth carrying out."""

    max_age_s: Seconds = 5.0
    """An order that opens something and is older when it should leave is rejected: its approval is too old."""
    give_up_s: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    """After so long of throttling or outage an order, or a cancellation, is given back as rejected."""
    confirm_s: Seconds = 1.0
    """How long the private stream may take to tell what a reply implied, before we ask."""


class _Lane:
    """The commands of one instrument that wait for their turn."""

    def __init__(self) -> None:
        self.waiting: deque[Command] = deque()
        self.is_running = False


class Requests:
    """Carries commands out; every method must be called in the event loop, `spawn` keeps the tasks."""

    def __init__(self, trader: Trader, teller: Teller, clock: Clock, params: RequestParams, spawn: Spawn) -> None:
        self.stop_reason = ""
        """Why nothing that opens a position may leave; empty when it may."""
        self._trader, self._teller, self._clock, self._params = trader, teller, clock, params
        self._spawn = spawn
        self._lanes: dict[int, _Lane] = {}
        self._asked: set[str] = set()
        self._short: dict[str, int] = {}
        self.on_certain: Callable[[int], None] | None = None
        """Called with the instrument when the venue's word about an order has come."""
        self._leaving: set[str] = set()
        self._num_following = 0
        teller.on_short = self._fetch

    @property
    def busy(self) -> set[str]:
        """Return the orders that a request is under way about."""
        return self._leaving | self._asked | self._short.keys()

    @property
    def is_idle(self) -> bool:
        """Say whether no command waits and no request is under way."""
        return not self.busy and self._num_following == 0 and not any(lane.is_running for lane in self._lanes.values())

    # ── commands in

    def put(self, commands: list[Command]) -> list[int]:
        """Queue commands; note of those that can leave at once that they do, and return their lanes to `start`.

        Between the two the log must be flushed.
        """
        ready = []
        for command in commands:
            lane = self._lanes.setdefault(command.instrument, _Lane())
            lane.waiting.append(command)
            if not lane.is_running:
                lane.is_running = True
                ready.append(command.instrument)
                own = self._teller.account.orders.get(command.client_order_id)
                if not isinstance(command, CancelOrder) and own is not None and not self._objection(own):
                    self._teller.note([self._sent(own)])
        return ready

    def start(self, lanes: list[int]) -> None:
        """Let the first request of each lane leave, the others after it."""
        for instrument in lanes:
            self._spawn(self._run(self._lanes[instrument]))

    async def _run(self, lane: _Lane) -> None:
        while lane.waiting:
            command = lane.waiting.popleft()
            own = self._teller.account.orders.get(command.client_order_id)
            if own is None:
                self._teller.counts["cancels_of_strangers"] += 1
            elif isinstance(command, CancelOrder):
                await self._cancel(own)
            else:
                self._leaving.add(own.key)
                try:
                    await self._submit(own)
                finally:
                    self._leaving.discard(own.key)
        lane.is_running = False

    # ── submits

    def _objection(self, own: OwnOrder) -> str:
        if own.submit.reduce_only:
            return ""
        age_s = (self._clock.now_ns() - own.submit.ts) / NS_PER_S
        if age_s > self._params.max_age_s:
            return f"asked for {age_s:.1f} s ago, too old to open a position"
        return self.stop_reason

    def _sent(self, own: OwnOrder) -> OrderSent:
        return OrderSent(ts=self._clock.now_ns(), client_order_id=own.key, instrument=own.submit.instrument)

    async def _submit(self, own: OwnOrder) -> None:
        begun, pause = self._clock.now_ns(), Pause(self._params)
        while True:
            objection = self._objection(own)
            if own.is_cancelling:
                return self._end_unsent(own, "")
            if objection:
                return self._end_unsent(own, objection)
            if own.status is OrderStatus.PENDING_NEW:
                self._teller.tell(self._sent(own))
            own.ts_sent = self._clock.now_ns()
            try:
                theirs = await within(
                    self._clock, self._params.request_s, self._trader.submit(own.submit), self._trader.name
                )
            except VenueRefused as error:
                return self._end_unsent(own, str(error))
            except (Throttled, VenueUnavailable, ConnectFailed) as error:
                wait = pause.after(error)
                if self._clock.now_ns() + wait * NS_PER_S > begun + self._params.give_up_s * NS_PER_S:
                    return self._end_unsent(own, f"given up: {error}")
                await self._clock.sleep(wait)
            except VenueError as error:
                self._teller.tell(self._unknown(own, str(error)))
                return self.resolve(own)
            else:
                return self._learn(own, theirs)

    def _end_unsent(self, own: OwnOrder, reason: str) -> None:
        """End an order that is certainly not at the venue; without a reason we took it back ourselves."""
        now, key, instrument = self._clock.now_ns(), own.key, own.submit.instrument
        if reason:
            self._teller.tell(
                OrderRejected(ts=now, ts_venue=now, client_order_id=key, instrument=instrument, reason=reason)
            )
        else:
            self._teller.tell(
                OrderCancelled(ts=now, ts_venue=now, client_order_id=key, instrument=instrument, lots_left=own.left)
            )

    def _unknown(self, own: OwnOrder, reason: str) -> OrderUnknown:
        return OrderUnknown(
            ts=self._clock.now_ns(), client_order_id=own.key, instrument=own.submit.instrument, reason=reason
        )

    def _learn(self, own: OwnOrder, theirs: VenueOrder) -> None:
        """Take the venue's word about an order; fills that it implies come from the stream or are fetched."""
        if not theirs.client_order_id:
            theirs = msgspec.structs.replace(theirs, client_order_id=own.key)
        self._teller.know(theirs)
        self._teller.tell(*follows(own, theirs, self._clock.now_ns()))
        if theirs.filled > own.filled:
            self._fetch(own, theirs.filled)

    # ── what is not certain

    def resolve(self, own: OwnOrder) -> None:
        """Ask the venue about an order until it is certain, then take its word."""
        if own.key not in self._asked:
            self._asked.add(own.key)
            self._spawn(self._resolved(own))

    async def _resolved(self, own: OwnOrder) -> None:
        try:
            await self._asked_for(own)
        finally:
            self._asked.discard(own.key)
        if own.is_cancelling and own.is_alive and not self._teller.is_ending(own.key):
            self._again(own)
        if self.on_certain is not None:
            self.on_certain(own.submit.instrument)

    async def _asked_for(self, own: OwnOrder) -> VenueOrder | None:
        theirs = await ask(self._trader, own, self._clock, self._params)
        if theirs is not None:
            self._learn(own, theirs)
        elif own.is_alive and not self._teller.is_ending(own.key):
            self._teller.tell(absent(own, self._clock.now_ns()))
        return theirs

    def recover(self, own: OwnOrder) -> None:
        """Go on with an order of an earlier life of this desk: one that did not leave never will."""
        if own.status is OrderStatus.PENDING_NEW:
            return self._end_unsent(own, "not sent before the restart")
        own.ts_sent = self._clock.now_ns()
        if own.status is OrderStatus.SENT:
            self._teller.tell(self._unknown(own, "the desk was restarted while it was on its way"))
        return self.resolve(own)

    # ── fills that we know of only by their sum

    def _fetch(self, own: OwnOrder, filled: int = 0) -> None:
        if own.key not in self._short:
            self._short[own.key] = filled
            self._spawn(self._fetched(own))
        self._short[own.key] = max(filled, self._short[own.key])

    async def _fetched(self, own: OwnOrder) -> None:
        pause = Pause(self._params)
        try:
            # the stream is likely to tell them first
            await self._clock.sleep(min(self._params.confirm_s, pause.after()))
            while own.filled < self._short[own.key] or self._teller.is_ending(own.key):
                await self.fetch_fills(own)
                await self._clock.sleep(pause.after())
        finally:
            del self._short[own.key]

    async def fetch_fills(self, own: OwnOrder) -> None:
        """Ask for the fills of an order and tell those that are new; a failure is for the next attempt."""
        instrument, since = own.submit.instrument, own.submit.ts - _SKEW_NS
        account = self._teller.account
        try:
            fills = await within(
                self._clock, self._params.request_s, self._trader.fills(instrument, since), self._trader.name
            )
        except VenueError:
            self._teller.counts["failed_questions"] += 1
            return
        now = self._clock.now_ns()
        found = ((account.order_of(instrument, fill.client_order_id, fill.venue_order_id), fill) for fill in fills)
        self._teller.tell(*[fill_of(whose, fill, now) for whose, fill in found if whose is not None])

    # ── cancels

    async def _cancel(self, own: OwnOrder) -> None:
        begun, pause = self._clock.now_ns(), Pause(self._params)
        # one that is being asked about is taken back once the venue is certain about it
        while own.is_alive and own.key not in self._asked:
            refusal = ""
            try:
                await self._cancelled(own)
            except VenueRefused as error:
                refusal = str(error)
            except (Throttled, VenueUnavailable, ConnectFailed) as error:
                wait = pause.after(error)
                if self._clock.now_ns() + wait * NS_PER_S > begun + self._params.give_up_s * NS_PER_S:
                    self._refuse(own, f"given up: {error}")
                    return
                await self._clock.sleep(wait)
                continue
            except VenueError:
                self._teller.counts["unknown_cancels"] += 1
            self._spawn(self._follow(own, refusal))
            return

    async def _cancelled(self, own: OwnOrder) -> None:
        now = self._clock.now_ns()
        order = CancelOrder(ts=now, client_order_id=own.key, instrument=own.submit.instrument)
        await within(self._clock, self._params.request_s, self._trader.cancel(order), self._trader.name)

    def _again(self, own: OwnOrder) -> None:
        now = self._clock.now_ns()
        self.start(self.put([CancelOrder(ts=now, client_order_id=own.key, instrument=own.submit.instrument)]))

    def _refuse(self, own: OwnOrder, reason: str) -> None:
        now = self._clock.now_ns()
        self._teller.tell(
            CancelRejected(
                ts=now, ts_venue=now, client_order_id=own.key, instrument=own.submit.instrument, reason=reason
            )
        )

    async def _follow(self, own: OwnOrder, refusal: str) -> None:
        """See that a cancellation comes to an end: the order's, or a refusal."""
        self._num_following += 1
        try:
            await self._followed(own, refusal)
        finally:
            self._num_following -= 1

    async def _followed(self, own: OwnOrder, refusal: str) -> None:
        pause = Pause(self._params)
        if not refusal:
            await self._clock.sleep(self._params.confirm_s)
        while own.is_alive and not self._teller.is_ending(own.key) and own.key not in self._asked:
            self._asked.add(own.key)
            try:
                theirs = await self._asked_for(own)
            finally:
                self._asked.discard(own.key)
            if theirs is None or not own.is_alive or theirs.filled >= own.submit.lots:
                return  # it has ended, or its fills are being fetched
            if refusal:
                self._refuse(own, refusal)
                return
            if theirs.status is not OrderStatus.CANCEL_PENDING and not self._teller.is_ending(own.key):
                self._again(own)
                return
            await self._clock.sleep(pause.after())

    def take_back(self, own: OwnOrder) -> None:
        """Cancel an order that stands at the venue though we hold it ended."""
        self._spawn(self._taken_back(own))

    async def _taken_back(self, own: OwnOrder) -> None:
        try:
            await self._cancelled(own)
        except VenueError:
            self._teller.counts["failed_questions"] += 1
