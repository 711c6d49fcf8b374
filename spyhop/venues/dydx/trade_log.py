"""Trades of one market, each once: updates repeat what `subscribed` and another connection told."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from spyhop.model.tape import Kind, Side
from spyhop.venues.dydx import wire
from spyhop.venues.dydx.numbers import NOT_POSITIVE, Grid, nanoseconds, packed_event_id
from spyhop.venues.rows import Rows

FORCED = frozenset(("LIQUIDATED", "DELEVERAGED"))
_SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
_REMEMBERED = 8_192


class Printed(NamedTuple):
    """A trade in ticks and lots."""

    id: int
    side: Side
    price: int
    lots: int
    ts_event: int
    is_forced: bool


def printed(trade: wire.Trade, grid: Grid) -> Printed:
    """Return a trade in integers; raise ValueError. Types that came later than this are trades as well."""
    side = _SIDES.get(trade.side)
    if side is None:
        raise ValueError("a side that is neither BUY nor SELL")
    lots = grid.lots(trade.size)
    if lots == 0:
        raise ValueError(NOT_POSITIVE)
    return Printed(
        packed_event_id(trade.id),
        side,
        grid.ticks(trade.price),
        lots,
        nanoseconds(trade.created_at),
        trade.type in FORCED,
    )


def add_trade(trade: Printed, ts_recv: int, flags: int, rows: Rows) -> None:
    """Add a TRADE and, for a forced one, a LIQUIDATION: the taker is whose position was closed."""
    rows.add(
        Kind.TRADE, trade.ts_event, ts_recv, flags=flags, side=trade.side,
        price=trade.price, qty=trade.lots, id=trade.id,
    )  # fmt: skip
    if trade.is_forced:
        rows.add(
            Kind.LIQUIDATION, trade.ts_event, ts_recv, flags=flags, side=trade.side,
            price=trade.price, qty=trade.lots, aux=trade.price,
        )  # fmt: skip


class TradeLog:
    """Which trades are on the tape already."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._order: deque[int] = deque()
        self._floor = -1
        self._has_begun = False
        self.num_repeated = 0
        self.num_history = 0

    def begin(self, trades: list[Printed]) -> list[Printed]:
        """Take the history that `subscribed` brings, oldest first; return what was missed.

        The first history of a feed lies before it: nothing was missed, and it is only remembered.
        """
        if self._has_begun:
            return self.new(trades)
        self._has_begun = True
        self.num_history += len(trades)
        self._floor = max((trade.id for trade in trades), default=self._floor)
        return []

    def new(self, trades: list[Printed]) -> list[Printed]:
        """Return those that have not been seen, and remember them. What is older than the first of all is history."""
        if trades and not self._has_begun:
            self._has_begun = True
            self._floor = min(trade.id for trade in trades) - 1
        return [trade for trade in trades if self._is_new(trade.id)]

    def _is_new(self, trade_id: int) -> bool:
        if trade_id <= self._floor or trade_id in self._seen:
            self.num_repeated += 1
            return False
        self._seen.add(trade_id)
        self._order.append(trade_id)
        if len(self._order) > _REMEMBERED:
            oldest = self._order.popleft()
            self._seen.discard(oldest)
            self._floor = max(self._floor, oldest)
        return True
