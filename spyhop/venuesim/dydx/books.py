"""What the indexer knows of subaccounts: orders, fills, positions, transfers; and what it has yet to tell them.

The exchange tells what happens as it happens; the chain makes it known block by block. Only what a validator says of
short-term orders (opened, cancelled, as far as it can tell) goes out at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from spyhop.model.tape import Venue
from spyhop.venuesim.dydx import chain, names
from spyhop.venuesim.dydx.holdings import Fill, Holding, Holdings
from spyhop.venuesim.dydx.messages import TimeInForce
from spyhop.venuesim.dydx.quantums import ClobPair
from spyhop.venuesim.dydx.tickets import OrderStatus, Ticket
from spyhop.venuesim.dydx.transfers import ASSET, Move, Transfer
from spyhop.venuesim.exchange import Exchange
from spyhop.venuesim.views import IncomeKind
from spyhop.venuesim.words import Change, Execution, Order

_KEPT: Final = 20_000
"""How many closed orders, fills and transfers are remembered in all."""


class _Untold:
    """What a subaccount will be told with the next block."""

    def __init__(self) -> None:
        self.tickets: dict[str, Ticket] = {}
        self.fills: list[Fill] = []
        self.has_moved = False


class Books:
    """The indexer's tables. `pairs` by instrument of the exchange; notices go to `tell(account, contents)`."""

    def __init__(
        self, exchange: Exchange, pairs: Mapping[int, ClobPair], tell: Callable[[str, dict[str, Any]], None]
    ) -> None:
        self._exchange, self._pairs, self._tell = exchange, pairs, tell
        self.tickets: dict[str, Ticket] = {}
        self.fills: deque[Fill] = deque(maxlen=_KEPT)
        self.transfers: deque[Transfer] = deque(maxlen=_KEPT)
        self.holdings = Holdings()
        self._untold: dict[str, _Untold] = {}
        self._height = self._num_events = 0
        self._pending_fills: list[Fill] = []

    # what the node says

    def hold(self, ticket: Ticket) -> None:
        """Note an order that is about to reach the exchange, in the place of one with the same id."""
        self.tickets.pop(ticket.uuid, None)
        self.tickets[ticket.uuid] = ticket
        if len(self.tickets) > _KEPT:
            oldest = next((uuid for uuid, old in self.tickets.items() if not old.status.is_open), None)
            if oldest is not None:
                del self.tickets[oldest]

    def forget(self, ticket: Ticket) -> None:
        """Drop an order that the exchange would not take."""
        self.tickets.pop(ticket.uuid, None)

    def tell_now(self, ticket: Ticket) -> None:
        """Tell a validator's view of an order at once."""
        height = str(chain.height_at(self._exchange.now))
        self._tell(ticket.account, {"orders": [ticket.told()], "blockHeight": height})

    def tell_with_block(self, ticket: Ticket) -> None:
        """Tell an order's state with the next block."""
        self._of(ticket.account).tickets[ticket.uuid] = ticket

    def trigger(self, ticket: Ticket) -> None:
        """Note that an order's condition holds."""
        ticket.is_triggered = True
        ticket.change(OrderStatus.OPEN, self._exchange.now)

    def note_transfer(self, move: Move, tx_hash: str) -> None:
        """Note a transfer that happened."""
        self.transfers.append(Transfer(move, self._event(), tx_hash, self._exchange.now))

    def close_block(self, height: int) -> None:
        """Make known what happened up to the block of `height`."""
        self.fills.extend(self._pending_fills)
        self._pending_fills = []
        untold, self._untold = self._untold, {}
        for account, news in untold.items():
            contents: dict[str, Any] = {"blockHeight": str(height)}
            if news.tickets:
                contents["orders"] = [ticket.told() for ticket in news.tickets.values()]
            if news.fills:
                contents["fills"] = [fill.told() for fill in news.fills]
            if news.has_moved:
                contents["perpetualPositions"] = [self.position_told(holding) for holding in self._fresh(account)]
                contents["assetPositions"] = [self.asset(account)]
            self._tell(account, contents)

    # what the exchange says

    def on_order(self, order: Order, change: Change, execution: Execution | None) -> None:
        """Fold a change of an order at the exchange into its ticket."""
        ticket = self.tickets.get(order.request.client_id)
        if ticket is not None and not ticket.exchange_id:
            ticket.exchange_id = order.order_id
        if execution is not None:
            self._fill(execution, ticket)
        if ticket is None:
            return
        now = order.updated
        if change is Change.NEW:
            self._opened(ticket, order, now)
        elif change is Change.TRIGGERED:
            self.trigger(ticket)
            self.tell_with_block(ticket)
        elif change in (Change.CANCELED, Change.EXPIRED, Change.REJECTED):
            self._ended(ticket, order, change, now)

    def on_account(self, account: str, change: Change, instruments: tuple[int, ...]) -> None:
        """Note that balances or positions moved."""
        if change is Change.FUNDING:
            for instrument in instruments:
                paid = self._exchange.income(account, instrument, IncomeKind.FUNDING_FEE, limit=1)
                if paid and instrument in self._pairs:
                    self.holdings.pay_funding(account, self._pairs[instrument], paid[-1].amount)
        if change is not Change.LEVERAGE:
            self._of(account).has_moved = True

    # what may be asked

    def accounts(self) -> tuple[str, ...]:
        """Return the names of all subaccounts; the venue may have accounts that are none."""
        return tuple(name for name in self._exchange.accounts(Venue.DYDX) if "/" in name)

    def oracle(self, instrument: int) -> Decimal:
        """Return the oracle price of an instrument."""
        return self._exchange.mark(instrument).mark

    def asset(self, account: str) -> dict[str, Any]:
        """Return what a subaccount holds of USDC, as a position in an asset. Positions' costs are in it."""
        balance = next(balance for balance in self._exchange.balances(account))
        size = balance.wallet + balance.unrealized - self._marked(account)
        return {
            "size": chain.plain(abs(size)),
            "symbol": ASSET,
            "side": "LONG" if size >= 0 else "SHORT",
            "assetId": "0",
            "subaccountNumber": int(account.rpartition("/")[2]),
        }

    def subaccount(self, account: str, height: int) -> dict[str, Any] | None:
        """Return a subaccount as the indexer shows it, None when there is none."""
        if account not in self.accounts():
            return None
        address, _, number = account.rpartition("/")
        balance = self._exchange.balances(account)[0]
        asset = self.asset(account)
        return {
            "address": address,
            "subaccountNumber": int(number),
            "equity": chain.plain(balance.wallet + balance.unrealized),
            "freeCollateral": chain.plain(balance.available),
            "openPerpetualPositions": {
                holding.pair.ticker: self.position(holding) for holding in self.holdings.opened(account)
            },
            "assetPositions": {ASSET: asset} if asset["size"] != "0" else {},
            "marginEnabled": True,
            "updatedAtHeight": str(height),
            "latestProcessedBlockHeight": str(height),
        }

    def position(self, holding: Holding) -> dict[str, Any]:
        """Return a position as REST shows it."""
        return holding.body(self.oracle(holding.pair.instrument.id))

    def position_told(self, holding: Holding) -> dict[str, Any]:
        """Return a position as the subaccount's channel shows it."""
        address, _, number = holding.account.rpartition("/")
        position_id = names.fill_uuid(f"{names.subaccount_uuid(address, int(number))}-{holding.opened}", "POSITION")
        return {**self.position(holding), "positionId": position_id}

    # inside

    def _of(self, account: str) -> _Untold:
        return self._untold.setdefault(account, _Untold())

    def _event(self) -> str:
        height = chain.height_at(self._exchange.now) + 1
        if height != self._height:
            self._height, self._num_events = height, 0
        self._num_events += 1
        return names.event_id(height, 1, self._num_events)

    def _fill(self, execution: Execution, ticket: Ticket | None) -> None:
        pair = self._pairs.get(execution.instrument)
        if pair is None:
            return
        self.holdings.add(execution, pair)
        fill = Fill(
            execution=execution,
            pair=pair,
            ticket=ticket,
            event=self._event(),
            height=chain.height_at(self._exchange.now) + 1,
        )
        self._pending_fills.append(fill)
        news = self._of(execution.account)
        news.fills.append(fill)
        news.has_moved = True
        if ticket is not None:
            ticket.filled += execution.lots
            ticket.change(OrderStatus.FILLED if ticket.filled >= ticket.size else OrderStatus.OPEN, execution.ts)
            news.tickets[ticket.uuid] = ticket

    def _opened(self, ticket: Ticket, order: Order, now: int) -> None:
        if ticket.is_short_term:
            ticket.change(OrderStatus.BEST_EFFORT_OPENED, now)
            self.tell_now(ticket)
            return
        is_waiting = bool(order.request.trigger) and not order.triggered
        ticket.change(OrderStatus.UNTRIGGERED if is_waiting else OrderStatus.OPEN, now)
        self.tell_with_block(ticket)

    def _ended(self, ticket: Ticket, order: Order, change: Change, now: int) -> None:
        if ticket.exchange_id != order.order_id or not ticket.status.is_open:
            return  # an order that another one has replaced
        if ticket.is_silent:
            ticket.change(OrderStatus.CANCELED, now, order.reason)
        elif ticket.is_short_term and not (ticket.filled and change is Change.EXPIRED):
            removal = "IMMEDIATE_OR_CANCEL_WOULD_REST_ON_BOOK" if _is_ioc(ticket) else order.reason
            ticket.change(OrderStatus.BEST_EFFORT_CANCELED, now, removal)
            self.tell_now(ticket)
        else:
            ticket.change(OrderStatus.CANCELED, now, order.reason or str(change).upper())
            self.tell_with_block(ticket)

    def _fresh(self, account: str) -> list[Holding]:
        """Return the open positions and the ones closed since the block before."""
        since = self._exchange.now - chain.BLOCK_NS
        return [holding for holding in self.holdings.of(account)[-64:] if not holding.closed or holding.closed >= since]

    def _marked(self, account: str) -> Decimal:
        """Return what the positions would bring at the oracle price: their size, not their profit, is in the equity."""
        worth = Decimal(0)
        for holding in self.holdings.opened(account):
            instrument = holding.pair.instrument
            worth += self.oracle(instrument.id) * instrument.quantity(holding.lots)
        return worth


def _is_ioc(ticket: Ticket) -> bool:
    return ticket.order.time_in_force == TimeInForce.IOC
