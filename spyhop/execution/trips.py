"""A round trip: from an approval to flat, with everything that its record will need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec

from spyhop import identity
from spyhop.execution.orders import Order
from spyhop.execution.slices import Slices
from spyhop.ledger.positions import Position, filled
from spyhop.model.instruments import Instrument
from spyhop.model.orders import Fill, Liquidated, OrderType, Purpose, SubmitOrder, TimeInForce, TradeClosed
from spyhop.model.tape import Side
from spyhop.model.verdicts import Approved

LIQUIDATION = "liquidation"

EntryType = Literal["market", "limit", "post_only", "ioc"]

_TIMES_IN_FORCE = {"post_only": TimeInForce.POST_ONLY, "ioc": TimeInForce.IOC}


class Leg(msgspec.Struct):
    """One side of a trip: lots, their price mean in ticks (harmonic for inverse contracts), notional, and times."""

    lots: int = 0
    average: float = 0.0
    notional: float = 0.0
    first: int = 0
    last: int = 0

    def add(self, instrument: Instrument, ts: int, price: int, lots: int) -> None:
        """Take `lots` at `price` ticks into the mean."""
        total = self.lots + lots
        if self.lots == 0:
            self.average, self.first = float(price), ts
        elif instrument.is_inverse:
            self.average = total / (self.lots / self.average + lots / price)
        else:
            self.average = (self.lots * self.average + lots * price) / total
        self.notional += instrument.notional(price, lots)
        self.lots, self.last = total, ts


class Trip(msgspec.Struct):
    """One trip of one instrument. `orders` are the client order ids of all that was sent for it, in order.

    `armed` lots have exits; `deadline` (maximum hold), `check_at` (an exit left something open), `entry_due` (the
    entry may rest so long) and `recancel_at` (the venue would not cancel the orders of `refused`) are the times to look
    again, 0 for none; `purpose` says why it ends, "" while nothing does; `is_bare` that it must be closed without
    delay, because what protected it is gone; `is_final` that the close of the session's end was sent;
    `is_leg` that it is one of two.
    """

    approved: Approved
    entry_id: str
    orders: list[str]
    position: Position = Position()
    entry: Leg = msgspec.field(default_factory=Leg)
    exit: Leg = msgspec.field(default_factory=Leg)
    armed: int = 0
    fees: float = 0.0
    funding: float = 0.0
    slippage: float = 0.0
    forfeited: float = 0.0  # what a liquidation took
    low: int = 0
    high: int = 0
    deadline: int = 0
    check_at: int = 0
    entry_due: int = 0
    recancel_at: int = 0
    refused: list[str] = []
    purpose: str = ""
    is_bare: bool = False
    is_final: bool = False
    is_told: bool = False  # its TradeClosed is out
    stop: int = 0  # the common one once it was moved, ticks
    adds: list[Approved] = []  # those whose orders were sent
    adding: Approved | None = None  # waits until the stop `raised` stands
    raised: str = ""
    cuts: list[str] = []  # orders that take a part off
    num_attempts: int = 0
    is_leg: bool = False
    slices: Slices = msgspec.field(default_factory=Slices)

    @property
    def side(self) -> Side:
        """Return the side of the entry."""
        return self.approved.intent.side

    @property
    def held(self) -> int:
        """Return the lots that are open."""
        return abs(self.position.lots)

    @property
    def stop_at(self) -> int:
        """Return the stop in ticks, that of the approval until it was moved."""
        return self.stop or self.approved.intent.stop

    def uncovered(self, alive: Iterable[Order]) -> int:
        """Return the lots that are open and that no order of `alive` closes at the book; below zero for too many."""
        away = self.position.side.opposite
        return self.held - sum(order.left for order in alive if order.is_closing and order.submit.side is away)

    def is_leaving(self, alive: Iterable[Order]) -> bool:
        """Return whether an exit at a price of `alive` has begun to fill, and stops still cover what had exits."""
        if self.num_attempts:
            return False
        alive = list(alive)
        stops = sum(order.left for order in alive if order.is_stop)
        return any(order.is_leaving for order in alive) and stops >= self.held - (self.entry.lots - self.armed)

    def is_kept(self, order: Order) -> bool:
        """Return whether an order is a stop that stands beside a close; a limit stop beside the first close only."""
        if not order.is_stop or order.submit.side is not self.position.side.opposite:
            return False
        return order.submit.type is OrderType.STOP_MARKET or self.num_attempts == 0

    def dues(self) -> list[int]:
        """Return the times at which to look again."""
        return [due for due in (self.deadline, self.check_at, self.entry_due, self.recancel_at) if due > 0]

    def fill(self, instrument: Instrument, fill: Fill) -> None:
        """Take a fill of the entry or of an exit."""
        self.position = filled(self.position, instrument, fill.side, fill.price, fill.lots)
        leg = self.entry if fill.side is self.side else self.exit
        leg.add(instrument, fill.ts, fill.price, fill.lots)
        self.fees += fill.fee
        self.slippage += fill.slippage
        self.see(fill.price, fill.price)

    def liquidate(self, instrument: Instrument, fact: Liquidated) -> None:
        """Take the loss of the position to the venue."""
        lots = min(fact.lots, self.held)
        if lots == 0:
            return
        before = self.position.realized(instrument)
        self.position = filled(self.position, instrument, self.position.side.opposite, fact.price, lots)
        self.forfeited += self.position.realized(instrument) - before + fact.loss
        self.exit.add(instrument, fact.ts, fact.price, lots)
        self.see(fact.price, fact.price)
        self.purpose = LIQUIDATION

    def see(self, low: int, high: int) -> None:
        """Let prices between `low` and `high` ticks have traded while the trip was under way."""
        self.low = min(self.low or low, low)
        self.high = max(self.high, high)


def unplanned(approved: Approved, fill: Fill, told: Trip | None, is_own: bool) -> Trip:
    """Return the trip of a holding that a late fill opened, to be unwound.

    It comes after the trip `told`, whose orders may be heard of still; `is_own` says that the fill is of one of them.
    """
    intent = msgspec.structs.replace(approved.intent, side=fill.side)
    approved = msgspec.structs.replace(approved, intent=intent)
    orders, is_leg = (list(told.orders), is_own and told.is_leg) if told is not None else ([], False)
    return Trip(approved, fill.client_order_id, orders, purpose=Purpose.UNWIND, is_bare=True, is_leg=is_leg)


def closed(trip: Trip, instrument: Instrument, ts: int, sequence: int) -> TradeClosed:
    """Return the record of a trip that is flat; net = gross - fees - funding."""
    approved, intent = trip.approved, trip.approved.intent
    entry, leave = trip.entry, trip.exit
    gross = trip.position.realized(instrument) - trip.forfeited
    margin = approved.margin + sum(add.margin for add in trip.adds)
    asked = approved.lots + sum(add.lots for add in trip.adds)
    moves = [trip.side * (price / entry.average - 1.0) for price in (trip.low, trip.high)]
    return TradeClosed(
        ts=ts,
        trade_id=identity.trade_id(entry.first, sequence),
        instrument=instrument.id,
        side=trip.side,
        strategy=intent.strategy,
        probability=intent.probability,
        confidence=intent.confidence,
        intent_seq=intent.seq,
        decision_seq=intent.decision_seq,
        ts_entry=entry.first,
        ts_exit=leave.last,
        entry_price=entry.average * instrument.tick,
        exit_price=leave.average * instrument.tick,
        take_profit_price=intent.take_profit * instrument.tick,
        stop_loss_price=trip.stop_at * instrument.tick,
        lots=entry.lots,
        notional=entry.notional,
        margin=margin * entry.lots / asked,
        leverage=approved.leverage,
        exit_purpose=trip.purpose,
        gross=gross,
        fees=trip.fees,
        funding=trip.funding,
        slippage=trip.slippage,
        net=gross - trip.fees - trip.funding,
        max_profit_frac=max(0.0, *moves),
        max_drawdown_frac=min(0.0, *moves),
        is_leg=trip.is_leg,
    )


def entry_order(
    approved: Approved, instrument: Instrument | None, ts: int, client_order_id: str, kind: EntryType
) -> SubmitOrder:
    """Return the order that an approval stands for; a limit is the decision's reference price."""
    intent = approved.intent
    notional = instrument.notional(intent.reference, approved.lots) if instrument else 0.0
    return SubmitOrder(
        ts=ts,
        client_order_id=client_order_id,
        instrument=intent.instrument,
        side=intent.side,
        type=OrderType.MARKET if kind == "market" else OrderType.LIMIT,
        lots=approved.lots,
        purpose=Purpose.ENTRY,
        price=0 if kind == "market" else intent.reference,
        time_in_force=_TIMES_IN_FORCE.get(kind, TimeInForce.GTC),
        intent_seq=intent.seq,
        leverage=notional / approved.margin if approved.margin > 0.0 else 0.0,
        reference=intent.reference,
    )


class ExitPrices(NamedTuple):
    """What an exit waits for, in ticks, 0 for nothing: see `SubmitOrder`."""

    price: int = 0
    trigger: int = 0
    callback: int = 0


def exit_order(
    trip: Trip, ts: int, client_order_id: str, kind: OrderType, purpose: Purpose, lots: int, at: ExitPrices
) -> SubmitOrder:
    """Return a reduce-only order against what the trip holds."""
    intent = trip.approved.intent
    return SubmitOrder(
        ts=ts,
        client_order_id=client_order_id,
        instrument=intent.instrument,
        side=trip.position.side.opposite,
        type=kind,
        lots=lots,
        purpose=purpose,
        price=at.price,
        trigger=at.trigger,
        callback=at.callback,
        reduce_only=True,
        intent_seq=intent.seq,
    )
