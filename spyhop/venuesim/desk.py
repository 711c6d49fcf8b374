"""Where orders are taken, matched and settled: the registry of open orders over the floors and the accounts."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from spyhop.model.instruments import Instrument
from spyhop.model.tape import Kind, Side, Venue
from spyhop.venuesim import entry, triggers, watching
from spyhop.venuesim.accounts import FEES, Account, fee_asset, fee_of, unit_of
from spyhop.venuesim.blotter import Blotter
from spyhop.venuesim.matching import Floor
from spyhop.venuesim.triggers import CONDITIONAL, Trail
from spyhop.venuesim.upkeep import Upkeep
from spyhop.venuesim.views import Income, IncomeKind
from spyhop.venuesim.words import (
    Change,
    Execution,
    Lasting,
    Order,
    OrderKind,
    OrderRequest,
    OrderState,
    RefusalCode,
    Refused,
)

OnOrder = Callable[[Order, Change, Execution | None], None]
OnAccount = Callable[[str, Change, tuple[int, ...]], None]

NEVER = 1 << 62
_MARKETS = (OrderKind.MARKET, OrderKind.STOP_MARKET, OrderKind.TAKE_PROFIT_MARKET, OrderKind.TRAILING_STOP_MARKET)


class Desk:
    """Takes orders at `now`, which the exchange sets; tells of every change through the two callbacks."""

    def __init__(
        self, instruments: tuple[Instrument, ...], pits: Any, start: int, on_order: OnOrder, on_account: OnAccount
    ) -> None:
        self.now = start
        self.accounts: dict[str, Account] = {}
        self.blotters: dict[str, Blotter] = {}
        self.insurance = Decimal(0)
        self._instruments, self._pits = instruments, pits
        self.tell_order, self.tell_account = on_order, on_account
        self.floors = [Floor(pits, number, self._permitted) for number in range(len(instruments))]
        self._open: list[dict[int, Order]] = [{} for _ in instruments]
        self._trails: dict[int, Trail] = {}
        self._expiries: list[tuple[int, int, Order]] = []
        self._order_id = 1_000_000
        self._trade_id = 500_000_000
        self._income_id = 0
        self._upkeep = Upkeep(self, instruments, pits)

    # accounts

    def open_account(self, name: str, venue: Venue, balances: Mapping[str, Decimal]) -> None:
        """Open an account; see `Exchange.open_account`."""
        if name in self.accounts:
            return
        self.accounts[name] = Account(
            name, venue, balances, self._instruments, self.mark, lambda number: self.open_orders(name, number)
        )
        self.blotters[name] = Blotter()

    def mark(self, number: int) -> int:
        """Return the mark of an instrument in ticks."""
        return int(self._pits[number]["mark"])

    @property
    def is_idle(self) -> bool:
        """Return whether no order is open and no position is held: then the tape concerns nobody here."""
        return not any(self._open) and not any(account.held for account in self.accounts.values())

    @property
    def has_resting(self) -> bool:
        """Return whether an order of ours waits in a book."""
        return any(floor.resting(side) for floor in self.floors for side in (Side.BUY, Side.SELL))

    def open_orders(self, account: str, number: int = -1) -> list[Order]:
        """Return open orders, oldest first."""
        rooms = self._open if number < 0 else [self._open[number]]
        found = [order for room in rooms for order in room.values() if order.request.account == account]
        return sorted(found, key=lambda order: order.order_id) if number < 0 else found

    def enter_income(
        self, account: str, kind: IncomeKind, number: int, amount: Decimal, trade_id: int = 0, asset: str = ""
    ) -> None:
        """Note a change of a balance that has been made; without `asset` it is the instrument's quote currency."""
        if amount == 0:
            return
        self._income_id += 1
        asset = asset or self._instruments[number].quote
        self.blotters[account].on_income(
            Income(
                income_id=self._income_id,
                ts=self.now,
                account=account,
                kind=kind,
                instrument=number,
                asset=asset,
                amount=amount,
                trade_id=trade_id,
            )
        )

    # orders

    def check(self, request: OrderRequest) -> None:
        """Raise Refused if `submit` would."""
        account, number = self.accounts[request.account], request.instrument
        instrument, floor, mark = self._instruments[number], self.floors[number], self.mark(number)
        if account.venue is not instrument.venue:
            raise ValueError(f"account {account.name} is not one of {instrument.venue.label}")
        entry.check_shape(request, instrument, mark)
        if len(self.open_orders(account.name, number)) >= entry.MAX_ORDERS:
            raise Refused(RefusalCode.TOO_MANY_ORDERS, f"{entry.MAX_ORDERS} orders are open")
        if self.blotters[account.name].is_open(request.client_id):
            raise Refused(RefusalCode.DUPLICATE_ID, request.client_id)
        entry.check_trigger(request, self._watched_price(request))
        if request.kind in CONDITIONAL:
            return
        if request.reduce_only and account.lots(number) * request.side >= 0:
            raise Refused(RefusalCode.REDUCE_ONLY, "there is no position to reduce")
        entry.check_market(request, floor)
        if not request.reduce_only:
            bid, ask = floor.touch()
            price = request.price or (ask if request.side is Side.BUY else bid) or mark
            entry.check_margin(request, request.lots, request.lots * price, account)

    def submit(self, request: OrderRequest) -> Order:
        """Take an order; see `Exchange.submit`."""
        self.check(request)
        order = self.registered(request)
        if request.kind in CONDITIONAL:
            order.state = OrderState.UNTRIGGERED
            self.tell_order(order, Change.NEW, None)
            if request.kind is OrderKind.TRAILING_STOP_MARKET:
                triggers.trailed(self._trails[order.order_id], request, self._watched_price(request))
        else:
            self.tell_order(order, Change.NEW, None)
            self._work(order)
        self.watch(request.instrument)
        return order

    def registered(self, request: OrderRequest) -> Order:
        """Give a request an id and count it among the open orders."""
        self._order_id += 1
        order = Order(
            request=request,
            order_id=self._order_id,
            created=self.now,
            updated=self.now,
            lots=request.lots,
            price=request.price,
        )
        self.blotters[request.account].add(order)
        self._open[request.instrument][order.order_id] = order
        if request.kind is OrderKind.TRAILING_STOP_MARKET:
            self._trails[order.order_id] = Trail()
        if request.expires > 0:
            heapq.heappush(self._expiries, (request.expires, order.order_id, order))
        return order

    def end(self, order: Order, state: OrderState, change: Change, reason: str = "") -> None:
        """Make an open order final and tell."""
        order.state, order.updated, order.reason = state, self.now, reason
        self.close(order)
        self.tell_order(order, change, None)

    def close(self, order: Order) -> None:
        """Count an order among the open ones no more."""
        number = order.request.instrument
        self.floors[number].leave(order)
        del self._open[number][order.order_id]
        self._trails.pop(order.order_id, None)
        self.blotters[order.request.account].close(order)

    def found(self, account: str, order_id: int) -> Order:
        """Return an open order; raise Refused(UNKNOWN_ORDER)."""
        order = self.blotters[account].order(order_id)
        if not order.is_open:
            raise Refused(RefusalCode.UNKNOWN_ORDER, f"order {order_id} is {order.state}")
        return order

    def amend(self, order: Order, lots: int, price: int) -> None:
        """Change an order; see `Exchange.amend`."""
        request, number = order.request, order.request.instrument
        instrument, account = self._instruments[number], self.accounts[order.request.account]
        if order.state is OrderState.UNTRIGGERED or request.kind is OrderKind.MARKET:
            raise Refused(RefusalCode.UNKNOWN_ORDER, "only an order in the book can be amended")
        entry.check_price(request.side, price, instrument, self.mark(number))
        entry.check_size(lots, price, instrument, is_reducing=request.reduce_only)
        if lots <= order.filled:
            self.end(order, OrderState.CANCELED, Change.CANCELED)
            self.watch(number)
            return
        floor = self.floors[number]
        if price != order.price and request.lasting is Lasting.POST_ONLY and floor.would_take(request.side, price):
            raise Refused(RefusalCode.WOULD_TAKE, "a post-only order would trade at once")
        left = lots - order.filled
        if not request.reduce_only:
            entry.check_margin(request, left - order.left, left * price - order.left * order.price, account)
        keeps_place = price == order.price and lots <= order.lots
        order.lots, order.price, order.updated = lots, price, self.now
        self.tell_order(order, Change.AMENDED, None)
        if not keeps_place:
            floor.leave(order)
            self._work(order)
        self.watch(number)

    def _permitted(self, order: Order) -> int:
        request = order.request
        if not (request.reduce_only or request.close_position):
            return order.left
        held = self.accounts[request.account].lots(request.instrument)
        return min(order.left, abs(held)) if held * request.side < 0 else 0

    # matching

    def _work(self, order: Order) -> None:
        """Let an order take what it can; what is left of it rests or expires."""
        request, floor = order.request, self.floors[order.request.instrument]
        is_market = request.kind in _MARKETS
        for price, lots, maker in floor.take(order, self._permitted(order), 0 if is_market else order.price):
            if maker is not None and lots == 0:
                is_same = maker.order.request.account == request.account
                self._expire(maker.order, "self trade" if is_same else "nothing to reduce")
                continue
            got = min(lots, self._affordable(order, price)) if is_market else lots
            if got > 0:
                self._fill(order, price, got, is_maker=False)
                if maker is not None:
                    self._fill(maker.order, price, got, is_maker=True)
            if got < lots:
                break
        if order.is_open:
            if is_market or request.lasting in (Lasting.IOC, Lasting.FOK):
                self._expire(order, "nothing left to take")
            elif self._permitted(order) == 0:
                self._expire(order, "nothing to reduce")
            else:
                floor.enter(order)
        self._prune(request.instrument)

    def _affordable(self, order: Order, price: int) -> int:
        account, instrument = self.accounts[order.request.account], self._instruments[order.request.instrument]
        if not account.is_spot:
            return order.left
        if order.request.side is Side.SELL:
            # what the order itself has locked is there for it
            own = instrument.quantity(order.left)
            return int((account.available(instrument.base) + own) / instrument.lot_size)
        return int(account.available(instrument.quote) / (price * unit_of(instrument)))

    def _fill(self, order: Order, price: int, lots: int, *, is_maker: bool) -> None:
        instrument = self._instruments[order.request.instrument]
        maker, taker = FEES[instrument.venue]
        fee = fee_of(instrument, order.request.side, price, lots, maker if is_maker else taker)
        order.filled += lots
        order.tick_lots += price * lots
        order.updated = self.now
        order.state = OrderState.FILLED if order.left == 0 else OrderState.PARTIALLY_FILLED
        if order.left == 0:
            self.close(order)
        self.settle(order, price, lots, fee, Change.TRADE, is_maker=is_maker)

    def settle(self, order: Order, price: int, lots: int, fee: Decimal, change: Change, *, is_maker: bool) -> None:
        """Book a fill (its order is up to date) and tell of it."""
        request = order.request
        account = self.accounts[request.account]
        realized = account.settle(request.instrument, request.side, price, lots, fee, self.now)
        self._trade_id += 1
        execution = Execution(
            trade_id=self._trade_id,
            order_id=order.order_id,
            account=account.name,
            instrument=request.instrument,
            side=request.side,
            ts=self.now,
            price=price,
            lots=lots,
            is_maker=is_maker,
            fee=fee,
            realized=realized,
            is_liquidation=change is Change.LIQUIDATED,
        )
        self.blotters[account.name].on_execution(execution)
        self.enter_income(account.name, IncomeKind.REALIZED_PNL, request.instrument, realized, self._trade_id)
        paid_in = fee_asset(self._instruments[request.instrument], request.side)
        self.enter_income(account.name, IncomeKind.COMMISSION, request.instrument, -fee, self._trade_id, paid_in)
        self.tell_order(order, change, execution)
        self.tell_account(account.name, change, (request.instrument,))

    def _expire(self, order: Order, reason: str) -> None:
        self.end(order, OrderState.EXPIRED, Change.EXPIRED, reason)

    def _prune(self, number: int) -> None:
        """Expire the resting orders that may only reduce and have nothing to reduce any more."""
        for order in list(self._open[number].values()):
            is_reducing = order.request.reduce_only and order.state is not OrderState.UNTRIGGERED
            if is_reducing and self._permitted(order) == 0:
                self._expire(order, "nothing to reduce")

    # what the tape does

    def on_event(self, row: Any, *, is_watched: bool) -> None:
        """Let a row of the tape that has been folded take effect; `is_watched`: the pit stopped for it."""
        number, kind = int(row["instrument"]), int(row["kind"])
        self.now = max(self.now, int(row["ts_recv"]))
        floor = self.floors[number]
        if kind == Kind.TRADE:
            self._filled(floor.on_trade(int(row["price"]), int(row["qty"]), int(row["side"])))
            self._prune(number)
            self._fire(number)
            self._upkeep.liquidate(number)
        elif kind == Kind.MARK:
            self._fire(number)
            self._upkeep.liquidate(number)
        elif kind == Kind.FUNDING:
            self._upkeep.pay(number)
        else:
            if is_watched:
                floor.on_depth()
            self._filled(floor.on_meeting())
            self._prune(number)
        self.watch(number)

    def _filled(self, fills: Any) -> None:
        for resting, lots in fills:
            if lots > 0:
                self._fill(resting.order, resting.order.price, lots, is_maker=True)
            elif resting.order.is_open:
                self._expire(resting.order, "nothing to reduce")

    def _watched_price(self, request: OrderRequest) -> int:
        name = "mark" if triggers.watches_mark(request) else "last"
        return int(self._pits[request.instrument][name])

    def _fire(self, number: int) -> None:
        waiting = [order for order in self._open[number].values() if order.state is OrderState.UNTRIGGERED]
        for order in waiting:
            request = order.request
            price = self._watched_price(request)
            if request.kind is OrderKind.TRAILING_STOP_MARKET:
                has_fired = price > 0 and triggers.trailed(self._trails[order.order_id], request, price)
            else:
                has_fired = triggers.has_passed(request, price)
            # one that fired before may have ended this one
            if has_fired and order.is_open:
                self._triggered(order)

    def _triggered(self, order: Order) -> None:
        request, number = order.request, order.request.instrument
        account = self.accounts[request.account]
        order.triggered = order.updated = self.now
        if request.close_position:
            order.lots = abs(account.lots(number))
        refusal = ""
        try:
            entry.check_triggered(order, self._watched_price(request), account, self.floors[number])
        except Refused as error:
            refusal = str(error)
        order.state = OrderState.NEW
        self.tell_order(order, Change.TRIGGERED, None)
        if refusal:
            self.end(order, OrderState.REJECTED, Change.REJECTED, refusal)
        elif self._permitted(order) == 0:
            self._expire(order, "there is no position to reduce")
        else:
            self._work(order)

    # time

    def next_expiry(self) -> int:
        """Return when the next order goes away by itself, NEVER when none does."""
        while self._expiries and not self._expiries[0][2].is_open:
            heapq.heappop(self._expiries)
        return self._expiries[0][0] if self._expiries else NEVER

    def expire_due(self, now: int) -> None:
        """End the orders whose time is up at `now`."""
        self.now = max(self.now, now)
        while self.next_expiry() <= now:
            order = heapq.heappop(self._expiries)[2]
            self._expire(order, "its time is up")
            self.watch(order.request.instrument)

    def watch(self, number: int) -> None:
        """Tell the loop over the tape what concerns us at an instrument."""
        waiting = [order for order in self._open[number].values() if order.state is OrderState.UNTRIGGERED]
        is_held = any(account.lots(number) for account in self.accounts.values())
        watching.watch(self._pits[number], self.floors[number], waiting, self._trails, is_held=is_held)
