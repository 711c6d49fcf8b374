"""Positions and fills as the indexer remembers them: what was opened, closed, paid and when."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec

from spyhop.model.tape import Side
from spyhop.venuesim.dydx import chain, names
from spyhop.venuesim.dydx.quantums import ClobPair
from spyhop.venuesim.dydx.tickets import Ticket
from spyhop.venuesim.words import Execution

_KEPT: Final = 1_000
"""How many positions of a subaccount are remembered."""


class Holding(msgspec.Struct, kw_only=True):
    """One position from the fill that opened it to the one that closed it. `lots` is negative for a short."""

    account: str
    number: int
    pair: ClobPair
    opened: int
    lots: int = 0
    max_lots: int = 0
    open_lots: int = 0
    open_tick_lots: int = 0
    close_lots: int = 0
    close_tick_lots: int = 0
    side: Side = Side.NONE
    net_funding: Decimal = Decimal(0)
    closed: int = 0
    is_liquidated: bool = False

    def add(self, side: Side, lots: int, price: int) -> int:
        """Fold a fill in and return the lots that are left over once the position is closed."""
        if self.side is Side.NONE:
            self.side = side
        if side is self.side:
            self.open_lots += lots
            self.open_tick_lots += lots * price
            self.lots += side * lots
            self.max_lots = max(self.max_lots, self.lots, key=abs)
            return 0
        closing = min(lots, abs(self.lots))
        self.close_lots += closing
        self.close_tick_lots += closing * price
        self.lots += side * closing
        return lots - closing

    @property
    def entry(self) -> Decimal:
        """Return the average price of what was opened."""
        return self._price(self.open_tick_lots, self.open_lots)

    @property
    def realized(self) -> Decimal:
        """Return profit booked by closing, and funding."""
        if not self.close_lots:
            return self.net_funding
        gained = self._price(self.close_tick_lots, self.close_lots) - self.entry
        return self.net_funding + self.side * gained * self.pair.instrument.quantity(self.close_lots)

    def body(self, oracle: Decimal) -> dict[str, Any]:
        """Return the position as the indexer shows it, valued at `oracle`."""
        quantity = self.pair.instrument.quantity
        status = "OPEN" if not self.closed else "LIQUIDATED" if self.is_liquidated else "CLOSED"
        return {
            "market": self.pair.ticker,
            "status": status,
            "side": "LONG" if self.side is Side.BUY else "SHORT",
            "size": chain.plain(quantity(self.lots)),
            "maxSize": chain.plain(quantity(self.max_lots)),
            "entryPrice": chain.plain(self.entry),
            "exitPrice": chain.plain(self._price(self.close_tick_lots, self.close_lots)) if self.close_lots else None,
            "realizedPnl": chain.plain(self.realized),
            "unrealizedPnl": chain.plain((oracle - self.entry) * quantity(self.lots)),
            "createdAt": chain.iso(self.opened),
            "createdAtHeight": str(chain.height_at(self.opened)),
            "closedAt": chain.iso(self.closed) if self.closed else None,
            "sumOpen": chain.plain(quantity(self.open_lots)),
            "sumClose": chain.plain(quantity(self.close_lots)),
            "netFunding": chain.plain(self.net_funding),
            "subaccountNumber": self.number,
        }

    def _price(self, tick_lots: int, lots: int) -> Decimal:
        return self.pair.instrument.tick_size * tick_lots / lots if lots else Decimal(0)


class Holdings:
    """All positions of all subaccounts, open and closed, in the order in which they were opened."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], Holding] = {}
        self._all: dict[str, list[Holding]] = {}

    def add(self, execution: Execution, pair: ClobPair) -> None:
        """Fold a fill in; one that crosses zero closes one position and opens another."""
        left = execution.lots
        while left:
            holding = self._current(execution.account, pair, execution.ts)
            left = holding.add(execution.side, left, execution.price)
            if holding.lots == 0:
                holding.closed, holding.is_liquidated = execution.ts, execution.is_liquidation
                del self._open[execution.account, pair.clob_pair_id]

    def pay_funding(self, account: str, pair: ClobPair, amount: Decimal) -> None:
        """Note that the open position received `amount` (negative: paid it)."""
        holding = self._open.get((account, pair.clob_pair_id))
        if holding is not None:
            holding.net_funding += amount

    def of(self, account: str) -> list[Holding]:
        """Return the positions of a subaccount, open and closed, oldest first."""
        return self._all.get(account, [])

    def opened(self, account: str) -> list[Holding]:
        """Return the open positions of a subaccount, oldest first."""
        return [holding for holding in self.of(account) if not holding.closed]

    def _current(self, account: str, pair: ClobPair, ts: int) -> Holding:
        key = (account, pair.clob_pair_id)
        holding = self._open.get(key)
        if holding is None:
            number = int(account.rpartition("/")[2])
            holding = self._open[key] = Holding(account=account, number=number, pair=pair, opened=ts)
            kept = self._all.setdefault(account, [])
            kept.append(holding)
            if len(kept) > _KEPT and kept[0].closed:
                del kept[0]
        return holding


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a fill, as it was put in a block."""

    execution: Execution
    pair: ClobPair
    ticket: Ticket | None
    event: str
    height: int

    def body(self) -> dict[str, Any]:
        """Return the fill as the indexer's REST shows it."""
        execution, instrument = self.execution, self.pair.instrument
        liquidity = "MAKER" if execution.is_maker else "TAKER"
        body: dict[str, Any] = {
            "id": names.fill_uuid(self.event, liquidity),
            "side": "BUY" if execution.side is Side.BUY else "SELL",
            "liquidity": liquidity,
            "type": "LIQUIDATED" if execution.is_liquidation else "LIMIT",
            "market": self.pair.ticker,
            "marketType": "PERPETUAL",
            "price": chain.plain(instrument.price(execution.price)),
            "size": chain.plain(instrument.quantity(execution.lots)),
            "fee": chain.plain(execution.fee),
            "affiliateRevShare": "0",
            "createdAt": chain.iso(execution.ts),
            "createdAtHeight": str(self.height),
            "subaccountNumber": int(execution.account.rpartition("/")[2]),
        }
        if self.ticket is not None:
            body["orderId"] = self.ticket.uuid
            body["clientMetadata"] = str(self.ticket.order.client_metadata)
        return body

    def told(self) -> dict[str, Any]:
        """Return the fill as the subaccount's channel shows it."""
        owner, _, number = self.execution.account.rpartition("/")
        instrument = self.pair.instrument
        quote = instrument.price(self.execution.price) * instrument.quantity(self.execution.lots)
        return {
            **self.body(),
            "subaccountId": names.subaccount_uuid(owner, int(number)),
            "clobPairId": str(self.pair.clob_pair_id),
            "quoteAmount": chain.plain(quote),
            "eventId": self.event,
            "transactionHash": self.ticket.tx_hash if self.ticket else "",
            "ticker": self.pair.ticker,
        }
