"""A venue in memory with a private stream, whose faults a script decides; shipped for tests.

It is a Trader and gives AccountStreams. A market order fills at once in two parts (one if it is of one lot), everything
else rests until the script trades, expires or cancels it. Reduce-only orders never open a position.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import StrEnum

import msgspec

from spyhop.clock import Clock
from spyhop.errors import OutcomeUnknown, Throttled, VenueRefused, VenueUnavailable
from spyhop.model.accounts import KeyRights, VenueBalance, VenueFill, VenueOrder, VenuePosition
from spyhop.model.orders import (
    CancelOrder,
    Fill,
    Liquidity,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderStatus,
    OrderType,
    Report,
    SubmitOrder,
)
from spyhop.venues.desk.ports import Connected, Heard, Lost, Told

URL = "scripted"
_ALIVE = frozenset({OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED})


class Fault(StrEnum):
    """What happens to one request."""

    NONE = "none"
    LATE = "late"  # executed at once, answered seconds later
    NEVER = "never"  # does not arrive, and no answer comes
    LOST_REPLY = "lost_reply"  # executed, no answer comes
    SLOW = "slow"  # a 503 that says nothing, executed seconds after it
    EXECUTED_503 = "executed_503"
    REFUSED = "refused"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"


class ScriptedStream:
    """What one listener is told."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Heard] = asyncio.Queue()

    def put(self, heard: Heard) -> None:
        """Tell it something."""
        self._queue.put_nowait(heard)

    async def next(self) -> Heard:
        """Wait for what comes next."""
        return await self._queue.get()


class ScriptedVenue:
    """`faults` are used up one a submit or cancel, `ask_faults` one a question; `repeats` tells everything twice."""

    name = "scripted:main"
    kinds = frozenset(OrderType)

    def __init__(self, clock: Clock, late_s: float = 3.0) -> None:
        self.faults: deque[Fault] = deque()
        self.ask_faults: deque[Fault] = deque()
        self.repeats = False
        self.orders: dict[str, VenueOrder] = {}
        self.trades: list[VenueFill] = []
        self.lots: dict[int, int] = {}
        self.money = {"USDT": 1_000.0}
        """Balances, which only the script moves."""
        self.foreign: list[VenueOrder] = []
        self.submitted: list[str] = []
        """Client order ids of the submits that were executed, in that order."""
        self.switches: dict[int, float] = {}
        self.has_switch = True
        self.depth: dict[int, int] = {}
        """Lots that a market order finds, by instrument; everything where it is not said."""
        self._clock, self._late_s = clock, late_s
        self._stream: ScriptedStream | None = None
        self._is_told = False
        self._on_the_way: set[asyncio.Task[None]] = set()

    # ── the private stream

    def listen(self) -> ScriptedStream:
        """Return a new stream, in the place of the one before; it is not connected yet."""
        self._stream, self._is_told = ScriptedStream(), False
        return self._stream

    def connect(self) -> None:
        """Let the stream stand."""
        self._is_told = True
        self._put(Connected(self._clock.now_ns()))

    def lose(self) -> None:
        """Break the stream: nothing is told until `connect`."""
        self._is_told = False
        self._put(Lost(self._clock.now_ns(), "scripted"))

    def _put(self, heard: Heard) -> None:
        if self._stream is not None:
            self._stream.put(heard)

    def _tell(self, *reports: Report) -> None:
        if self._is_told:
            for _ in range(1 + self.repeats):
                self._put(Told(self._clock.now_ns(), reports))

    # ── the script

    def trade(self, client_order_id: str, lots: int, price: int = 100) -> int:
        """Fill at most `lots` of a resting order; return how many."""
        order = self.orders.get(client_order_id)
        if order is None or order.status not in _ALIVE:
            return 0
        lots = min(lots, self._permitted(order))
        if lots > 0:
            self._fill(client_order_id, lots, order.price or price, Liquidity.MAKER)
        return lots

    def expire(self, client_order_id: str) -> None:
        """End a resting order by the venue's own will."""
        order = self.orders.get(client_order_id)
        if order is not None and order.status in _ALIVE:
            self._end(order, OrderStatus.EXPIRED)

    def _permitted(self, order: VenueOrder) -> int:
        left = order.lots - order.filled
        held = self.lots.get(order.instrument, 0)
        if not order.reduce_only:
            return left
        return min(left, abs(held)) if held * order.side < 0 else 0

    def _fill(self, key: str, lots: int, price: int, liquidity: Liquidity) -> None:
        order, now = self.orders[key], self._clock.now_ns()
        filled = order.filled + lots
        status = OrderStatus.FILLED if filled == order.lots else OrderStatus.PARTIALLY_FILLED
        self.orders[key] = msgspec.structs.replace(order, filled=filled, status=status, ts_venue=now)
        self.lots[order.instrument] = self.lots.get(order.instrument, 0) + order.side * lots
        fill = VenueFill(
            fill_id=f"t{len(self.trades)}",
            client_order_id="",  # as where a venue lists executions by its own ids only
            venue_order_id=order.venue_order_id,
            instrument=order.instrument,
            side=order.side,
            price=price,
            lots=lots,
            liquidity=liquidity,
            fee=0.01 * lots,
            ts_venue=now,
        )
        self.trades.append(fill)
        self._tell(
            Fill(
                ts=now,
                ts_venue=now,
                fill_id=fill.fill_id,
                client_order_id=key,
                instrument=fill.instrument,
                side=fill.side,
                price=price,
                lots=lots,
                liquidity=liquidity,
                fee=fill.fee,
                slippage=0.0,
            )
        )

    def _end(self, order: VenueOrder, status: OrderStatus) -> None:
        now, key = self._clock.now_ns(), order.client_order_id
        self.orders[key] = msgspec.structs.replace(order, status=status, ts_venue=now)
        kind = OrderExpired if status is OrderStatus.EXPIRED else OrderCancelled
        self._tell(
            kind(
                ts=now,
                ts_venue=now,
                client_order_id=key,
                instrument=order.instrument,
                lots_left=order.lots - order.filled,
            )
        )

    # ── requests

    async def _through(self, faults: deque[Fault], execute: Callable[[], None]) -> None:
        """Let one request meet the next fault."""
        fault = faults.popleft() if faults else Fault.NONE
        await asyncio.sleep(0)
        match fault:
            case Fault.REFUSED:
                raise VenueRefused(URL, 400, -1, "refused by the script")
            case Fault.THROTTLED:
                raise Throttled(URL, 429, 1.0)
            case Fault.UNAVAILABLE:
                raise VenueUnavailable(URL, 503, "Service Unavailable.")
            case Fault.NEVER:
                await self._clock.sleep(self._late_s)
                raise OutcomeUnknown(URL, "time-out")
            case Fault.SLOW:
                self._later(execute)
                raise OutcomeUnknown(URL, "503")
        execute()
        if fault is Fault.EXECUTED_503:
            raise OutcomeUnknown(URL, "503")
        if fault in {Fault.LATE, Fault.LOST_REPLY}:
            await self._clock.sleep(self._late_s)
        if fault is Fault.LOST_REPLY:
            raise OutcomeUnknown(URL, "time-out")

    def _later(self, execute: Callable[[], None]) -> None:
        async def run() -> None:
            await self._clock.sleep(self._late_s)
            try:
                execute()
            except VenueRefused:
                return

        task = asyncio.ensure_future(run())
        self._on_the_way.add(task)
        task.add_done_callback(self._on_the_way.discard)

    async def submit(self, order: SubmitOrder) -> VenueOrder:
        await self._through(self.faults, lambda: self._place(order))
        return self.orders[order.client_order_id]

    def _place(self, order: SubmitOrder) -> None:
        key, now = order.client_order_id, self._clock.now_ns()
        self.submitted.append(key)
        placed = VenueOrder(
            client_order_id=key,
            venue_order_id=f"v{len(self.submitted)}",
            instrument=order.instrument,
            side=order.side,
            status=OrderStatus.OPEN,
            lots=order.lots,
            filled=0,
            price=order.price,
            trigger=order.trigger,
            reduce_only=order.reduce_only,
            ts_venue=now,
        )
        self.orders[key] = placed
        self._tell(OrderAccepted(ts=now, ts_venue=now, client_order_id=key, instrument=order.instrument))
        if order.type is OrderType.MARKET:
            self._take(placed)

    def _take(self, order: VenueOrder) -> None:
        lots = min(self._permitted(order), self.depth.get(order.instrument, order.lots))
        for part in (lots // 2, lots - lots // 2):
            if part:
                self._fill(order.client_order_id, part, 100, Liquidity.TAKER)
        if lots < order.lots:
            self._end(self.orders[order.client_order_id], OrderStatus.EXPIRED)

    async def cancel(self, order: CancelOrder) -> None:
        await self._through(self.faults, lambda: self._take_back(order.client_order_id))

    def _take_back(self, key: str) -> None:
        order = self.orders.get(key)
        if order is None or order.status not in _ALIVE:
            raise VenueRefused(URL, 400, -2011, "Unknown order sent.")
        self._end(order, OrderStatus.CANCELLED)

    async def order(self, client_order_id: str, instrument: int) -> VenueOrder | None:
        await self._ask()
        return self.orders.get(client_order_id)

    async def _ask(self) -> None:
        try:
            await self._through(self.ask_faults, lambda: None)
        except OutcomeUnknown as error:
            raise VenueUnavailable(URL, 0, error.reason) from None

    async def open_orders(self) -> list[VenueOrder]:
        await self._ask()
        return [order for order in self.orders.values() if order.status in _ALIVE] + self.foreign

    async def fills(self, instrument: int, since: int) -> list[VenueFill]:
        await self._ask()
        return [fill for fill in self.trades if fill.instrument == instrument and fill.ts_venue >= since]

    async def positions(self) -> list[VenuePosition]:
        await self._ask()
        return [VenuePosition(instrument=number, lots=lots) for number, lots in self.lots.items() if lots]

    async def balances(self) -> list[VenueBalance]:
        return [VenueBalance(asset=asset, total=total, free=total) for asset, total in self.money.items()]

    async def rights(self) -> KeyRights:
        return KeyRights()

    async def set_leverage(self, instrument: int, leverage: float) -> None:
        return

    async def cancel_all(self, instrument: int) -> None:
        await self._through(self.faults, lambda: self._cancel_all(instrument))

    def _cancel_all(self, instrument: int) -> None:
        self.foreign = [order for order in self.foreign if order.instrument != instrument]
        for order in list(self.orders.values()):
            if order.instrument == instrument and order.status in _ALIVE:
                self._end(order, OrderStatus.CANCELLED)

    async def hold_switch(self, instrument: int, seconds: float) -> bool:
        if self.has_switch:
            self.switches[instrument] = seconds
        return self.has_switch

    async def close(self) -> None:
        return
