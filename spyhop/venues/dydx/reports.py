"""A subaccount's events as reports about our orders.

    BEST_EFFORT_OPENED, OPEN, UNTRIGGERED   accepted
    a fill                                  a fill; a liquidation where it took our position away
    BEST_EFFORT_CANCELED                    nothing yet: another validator may still fill it until its last block
    CANCELED                                cancelled, expired, or rejected when it never stood
    a block past an order's last one        what was only a validator's word is final now; the rest has expired
    a position's funding has changed        funding

Nobody says that a short-term order's last block has passed, so blocks are counted. That is only worth something where
nothing can have been missed: orders that were under way while the stream was broken are left to whoever asks the venue.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

import msgspec

from spyhop.errors import UnreadableLine
from spyhop.model.orders import (
    Fill,
    FundingPaid,
    Liquidated,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
    Report,
)
from spyhop.model.tape import Side
from spyhop.venues.dydx import answers, wire
from spyhop.venues.dydx.answers import LAG_BLOCKS, Market
from spyhop.venues.dydx.numbers import nanoseconds
from spyhop.venues.dydx.placements import Placements
from spyhop.venues.dydx.private import SubaccountEvent

_REJECTIONS: Final = frozenset(
    {
        "UNDERCOLLATERALIZED",
        "POST_ONLY_WOULD_CROSS_MAKER_ORDER",
        "INVALID_REDUCE_ONLY",
        "INVALID_SELF_TRADE",
        "FOK_ORDER_COULD_NOT_BE_FULLY_FULLED",
        "EQUITY_TIER",
        "VIOLATES_ISOLATED_SUBACCOUNT_CONSTRAINTS",
        "INTERNAL_ERROR",
    }
)
"""Why an order that never stood was removed: these are the venue's no, everything else its end."""
_EXPIRED: Final = "EXPIRED"
_SAID: Final = "removed"
_MAX_REASON: Final = 60


class Reported(NamedTuple):
    """What an event comes to: reports about orders of ours, and the venue's ids of orders and fills that are not."""

    reports: tuple[Report, ...] = ()
    foreign: tuple[str, ...] = ()


class _Life(msgspec.Struct):
    """What was told of one order of ours that has not ended; `end` is why a validator took it out, "" if none did."""

    name: str
    instrument: int
    lots: int
    last_block: int = 0
    total: int = 0
    fills: dict[str, int] = {}
    end: str = ""
    is_accepted: bool = False

    @property
    def told(self) -> int:
        """Return the lots of the fills that were told."""
        return sum(self.fills.values())

    @property
    def filled(self) -> int:
        """Return the lots that are filled, be it by the fills told or by the order's own word."""
        return max(self.total, self.told)


class DydxReports:
    """Reads the events of one subaccount; `placements` are those of its trader."""

    def __init__(self, placements: Placements) -> None:
        self._placements = placements
        self._lives: dict[str, _Life] = {}
        self._unsure: set[str] = set()
        """Names of orders to which something may have happened that was not told."""
        self._fundings: dict[tuple[str, object], Decimal] = {}
        self._has_state = False

    def read(self, ts: int, event: SubaccountEvent) -> Reported:
        """Return what an event, heard at `ts` (nanoseconds), comes to.

        Raise UnreadableLine for one that makes no sense, of which nothing is told then: the venue must be asked.
        """
        reports: list[Report] = []
        foreign: list[str] = []
        try:
            if isinstance(event, wire.Height):
                self._on_block(ts, event, reports)
            elif isinstance(event, wire.SubaccountState):
                self._on_state(ts, event, reports, foreign)
            else:
                self._on_update(ts, event, reports, foreign)
        except (*wire.UNREADABLE, InvalidOperation) as reason:
            self._unsure |= self._placements.waiting.keys() | {life.name for life in self._lives.values()}
            raise UnreadableLine("dydx subaccount", 0, str(reason)[:_MAX_REASON]) from None
        return Reported(tuple(reports), tuple(dict.fromkeys(foreign)))

    # events

    def _on_state(self, ts: int, state: wire.SubaccountState, reports: list[Report], foreign: list[str]) -> None:
        """Take up what stands; whatever else was under way may have met anything while nobody listened."""
        self._unsure = {name for name, placed in self._placements.waiting.items() if placed.sent <= ts}
        before, self._lives = self._lives, {}
        for order in state.orders:
            self._order(ts, order, reports, foreign)
            life = self._lives.get(order.id)
            if life is None:
                continue
            life.fills = before[order.id].fills if order.id in before else {}
            (self._unsure.discard if life.total == life.told else self._unsure.add)(life.name)
        if state.subaccount is not None:
            for position in state.subaccount.open_perpetual_positions.values():
                self._funding(ts, position, reports)
        self._has_state = True

    def _on_update(self, ts: int, update: wire.SubaccountUpdate, reports: list[Report], foreign: list[str]) -> None:
        # what stands, what was filled, what ended: so that an order which did all in one block tells it in this order
        standing = [order for order in update.orders if order.status not in (answers.CANCELED, answers.FILLED)]
        for order in standing:
            self._order(ts, order, reports, foreign)
        for fill in update.fills:
            self._fill(ts, fill, reports, foreign)
        for order in update.orders:
            if order not in standing:
                self._order(ts, order, reports, foreign)
        for position in update.perpetual_positions:
            self._funding(ts, position, reports)

    def _on_block(self, ts: int, block: wire.Height, reports: list[Report]) -> None:
        height = int(block.block_height or block.height or "0")
        self._placements.note_block(height, ts)
        at = nanoseconds(block.time)
        for placed in self._placements.passed(height):
            if placed.uuid not in self._lives:
                order = placed.order
                self._lives[placed.uuid] = _Life(
                    order.client_order_id, order.instrument, order.lots, last_block=placed.good_til_block
                )
        for uuid, life in list(self._lives.items()):
            if not life.last_block or height < life.last_block + LAG_BLOCKS:
                continue
            del self._lives[uuid]
            if life.name not in self._unsure:
                reports.append(_end(life, ts, at, life.end or _EXPIRED))
        self._unsure &= self._placements.waiting.keys() | {life.name for life in self._lives.values()}

    # parts of events

    def _order(self, ts: int, order: wire.Order, reports: list[Report], foreign: list[str]) -> None:
        life = self._life(order)
        if life is None:
            foreign.append(order.id)
            return
        at = nanoseconds(order.updated_at) if order.updated_at else ts
        status = order.status
        if status in answers.OPEN:
            if not life.is_accepted:
                reports.append(OrderAccepted(ts=ts, ts_venue=at, client_order_id=life.name, instrument=life.instrument))
            life.is_accepted, life.end = True, ""
        elif status == answers.BEST_EFFORT_CANCELED:
            life.end = (order.removal_reason or _SAID)[:_MAX_REASON]
        elif status == answers.CANCELED:
            reports.append(_end(life, ts, at, (order.removal_reason or life.end or _SAID)[:_MAX_REASON]))
        if status in (answers.CANCELED, answers.FILLED):
            self._forget(order.id, life)

    def _life(self, order: wire.Order) -> _Life | None:
        """Return what is known of an order, now with what this message says; None for a foreign one."""
        name = self._placements.name(order.client_id) or self._placements.name_of_uuid(order.id)
        market = self._market(order.clob_pair_id, order.ticker)
        placed = self._placements.placed.get(name)
        life = self._lives.get(order.id)
        if life is None:
            if not name or market is None:
                return None
            lots = market.grid.lots(order.size) if order.size else placed.order.lots if placed is not None else 0
            life = _Life(name, market.instrument.id, lots)
            self._lives[order.id] = life
        self._placements.note(order.id, life.name)
        life.last_block = max(life.last_block, answers.number_of(order.good_til_block))
        if not life.last_block and placed is not None:
            life.last_block = placed.good_til_block
        if market is not None and order.total_filled:
            life.total = max(life.total, market.grid.lots(order.total_filled))
        return life

    def _forget(self, uuid: str, life: _Life) -> None:
        self._lives.pop(uuid, None)
        self._placements.waiting.pop(life.name, None)

    def _fill(self, ts: int, fill: wire.Fill, reports: list[Report], foreign: list[str]) -> None:
        market = self._market("", fill.market or fill.ticker)
        name = self._placements.name_of_uuid(fill.order_id or "")
        if market is None or not (name or answers.is_forced(fill)):
            foreign.append(fill.order_id or fill.id)
            return
        told = answers.fill_of(fill, market, name)
        if answers.is_forced(fill):
            reports.append(
                Liquidated(
                    ts=ts,
                    ts_venue=told.ts_venue,
                    instrument=told.instrument,
                    side=Side.SELL if told.side is Side.BUY else Side.BUY,
                    price=told.price,
                    lots=told.lots,
                    loss=told.fee,
                )
            )
            return
        reports.append(
            Fill(
                ts=ts,
                ts_venue=told.ts_venue,
                fill_id=told.fill_id,
                client_order_id=name,
                instrument=told.instrument,
                side=told.side,
                price=told.price,
                lots=told.lots,
                liquidity=told.liquidity,
                fee=told.fee,
                slippage=0.0,
            )
        )
        life = self._lives.get(told.venue_order_id)
        if life is None:
            placed = self._placements.placed.get(name)
            if placed is None or name not in self._placements.waiting:
                return
            life = _Life(name, told.instrument, placed.order.lots, last_block=placed.good_til_block)
            self._lives[told.venue_order_id] = life
        life.fills[told.fill_id] = told.lots

    def _funding(self, ts: int, position: wire.Position, reports: list[Report]) -> None:
        """Tell by how much the funding of a position has changed since it was told last; the venue tells no rate."""
        market = self._market("", position.market)
        if market is None or position.net_funding is None:
            return
        total = Decimal(position.net_funding)
        lots = market.grid.lots(position.size.removeprefix("-"))
        key = (position.market, position.created_at)
        # a position that the first state did not have was opened since
        before = self._fundings.get(key, Decimal(0) if self._has_state else total)
        self._fundings[key] = total
        if total != before:
            reports.append(
                FundingPaid(
                    ts=ts,
                    ts_venue=ts,
                    instrument=market.instrument.id,
                    rate=0.0,
                    lots=lots if position.side == "LONG" else -lots,
                    amount=float(before - total),
                )
            )

    def _market(self, clob_pair: str, ticker: str) -> Market | None:
        for market in self._placements.markets.values():
            if clob_pair == str(market.clob_pair) or ticker == market.instrument.symbol:
                return market
        return None


def _end(life: _Life, ts: int, at: int, reason: str) -> Report:
    """Return how an order ended: rejected if it never stood and the venue would not have it."""
    if reason in _REJECTIONS and not life.is_accepted and not life.filled:
        return OrderRejected(
            ts=ts, ts_venue=at, client_order_id=life.name, instrument=life.instrument, reason=reason.lower()
        )
    kind = OrderExpired if reason == _EXPIRED else OrderCancelled
    left = max(life.lots - life.filled, 0)
    return kind(ts=ts, ts_venue=at, client_order_id=life.name, instrument=life.instrument, lots_left=left)
