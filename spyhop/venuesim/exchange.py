"""The simulated exchange: markets whose tape it publishes and accounts whose orders it matches against that tape.

Time is told: `advance(until)` publishes every row with ts_recv <= until, in order across instruments, and does
what follows from it (fills, triggers, funding, liquidations, expiries). What is asked in between happens at `now`.
Our fills leave no mark on the public tape: a recorded tape is published exactly as it was recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import numpy as np

from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, Ratio, Venue, empty, merged
from spyhop.simulation import pit
from spyhop.venuesim import depth
from spyhop.venuesim.accounts import tier_of
from spyhop.venuesim.bars import Bars
from spyhop.venuesim.desk import Desk
from spyhop.venuesim.markets import Market
from spyhop.venuesim.public import PublicRecord
from spyhop.venuesim.views import Balance, Income, IncomeKind, MarginMode, MarkPrice, PositionView, Ticker
from spyhop.venuesim.words import Change, Execution, Listener, Order, OrderRequest, OrderState, RefusalCode, Refused

_NOTHING = empty()


class Exchange:
    """All venues in one: an instrument's number is its place in `markets`, an account belongs to one venue.

    Whoever asks by an unknown account or instrument gets KeyError or IndexError: fronts check names first.
    """

    def __init__(self, markets: Sequence[Market], start: int) -> None:
        self.instruments: tuple[Instrument, ...] = tuple(
            market.instrument.numbered(number) for number, market in enumerate(markets)
        )
        self._markets = list(markets)
        self._pits = np.zeros(len(markets), pit.PIT)
        self._slots = np.arange(len(markets), dtype=np.int64)
        self._public = [PublicRecord(instrument) for instrument in self.instruments]
        self._listeners: list[Listener] = []
        self._desk = Desk(self.instruments, self._pits, start, self._on_order, self._on_account)

    @property
    def now(self) -> int:
        """Return the time that the exchange has reached."""
        return self._desk.now

    # time and listeners

    def advance(self, until: int) -> None:
        """Publish the tape up to `until` and let what follows from it happen; an `until` before `now` does nothing."""
        if until <= self.now:
            return
        batches = [self._read(number, until) for number in range(len(self._markets))]
        told = [batch for batch in batches if len(batch)]
        if self._desk.is_idle:
            for batch in told:
                pit.fold(self._pits, self._slots, batch, 0, until + 1)
                self._publish(batch)
        else:
            self._advance(told[0] if len(told) == 1 else merged(told), until)
        self._desk.now = max(self._desk.now, until)
        for record in self._public:
            record.fold(_NOTHING, until)

    def _read(self, number: int, until: int) -> Events:
        rows = self._markets[number].read(until)
        rows["instrument"] = number
        return rows

    def _advance(self, rows: Events, until: int) -> None:
        desk, at = self._desk, 0
        while True:
            due = min(desk.next_expiry(), until + 1)
            end = depth.meeting(self._pits, rows, at) if desk.has_resting else -1
            stop, slot = pit.fold(self._pits, self._slots, rows if end < 0 else rows[:end], at, due)
            self._publish(rows[at:stop])
            at = stop
            if slot >= 0 or at == end:
                desk.on_event(rows[at - 1], is_watched=slot >= 0)
            elif due <= until:
                desk.expire_due(due)
            else:
                return

    def _publish(self, rows: Events) -> None:
        if not len(rows):
            return
        until = int(rows["ts_recv"][-1])
        numbers = np.unique(rows["instrument"]).tolist()
        if len(rows) and until > self._desk.now:
            self._desk.now = until
        for number in numbers:
            own = rows if len(numbers) == 1 else rows[rows["instrument"] == number]
            self._public[number].fold(own, int(own["ts_recv"][-1]))
            for listener in self._listeners:
                listener.on_market(number, own)

    def _on_order(self, order: Order, change: Change, execution: Execution | None) -> None:
        for listener in self._listeners:
            listener.on_order(order, change, execution)

    def _on_account(self, account: str, change: Change, instruments: tuple[int, ...]) -> None:
        for listener in self._listeners:
            listener.on_account(account, change, instruments)

    def subscribe(self, listener: Listener) -> None:
        """Tell `listener` what happens from now on; listeners are told in the order in which they came."""
        self._listeners.append(listener)

    def unsubscribe(self, listener: Listener) -> None:
        """Tell `listener` no more; one that was not told is no error."""
        self._listeners = [one for one in self._listeners if one is not listener]

    # markets

    def book(self, instrument: int, limit: int) -> tuple[int, list[tuple[int, int]], list[tuple[int, int]]]:
        """Return (update id, bids, asks) of the public book, at most `limit` (price, lots) a side, best first."""
        p = self._pits[instrument]
        return int(p["sequence"]["last_id"]), depth.side_of(p, 1, limit), depth.side_of(p, -1, limit)

    def best(self, instrument: int) -> tuple[int, int, int, int, int]:
        """Return (update id, bid, bid lots, ask, ask lots) of the freshest of quote and book; 0 where unknown."""
        top = self._pits[instrument]["top"]
        if not top["is_ready"]:
            return 0, 0, 0, 0, 0
        return int(top["id"]), int(top["bid"]), int(top["bid_qty"]), int(top["ask"]), int(top["ask_qty"])

    def trades(self, instrument: int, limit: int, from_id: int = -1, start: int = 0, end: int = 0) -> Events:
        """Return TRADE rows, oldest first: the newest `limit`, or the first `limit` from id `from_id` or ts `start` on.

        `end` (ts_event, included) cuts when it is above 0. At most the newest 131,072 trades are remembered.
        """
        return self._public[instrument].trades(limit, from_id, start, end)

    def bars(self, instrument: int, interval_s: int, start: int = 0, end: int = 0, limit: int = 500) -> Bars:
        """Return bars, oldest first, the open one included: the newest `limit`, or with `start` the first from it on.

        `start` and `end` bound ts_open (both included; 0 = no bound). Minutes without trades are flat bars of
        volume 0 (num_trades 0).
        """
        return self._public[instrument].bars(interval_s, start, end, limit)

    def mark(self, instrument: int) -> MarkPrice:
        """Return mark, index and funding as published; without a mark on the tape the last trade stands for it."""
        return self._public[instrument].mark(self.now)

    def funding_history(self, instrument: int, start: int = 0, end: int = 0, limit: int = 100) -> Events:
        """Return paid FUNDING rows, oldest first; `price` holds the mark (ticks) that they were paid at."""
        return self._public[instrument].funding_history(start, end, limit)

    def open_interest(self, instrument: int) -> int:
        """Return the newest open interest in lots, 0 before any."""
        return self._public[instrument].open_interest

    def open_interest_history(
        self, instrument: int, period_s: int, start: int = 0, end: int = 0, limit: int = 30
    ) -> Events:
        """Return OPEN_INTEREST rows at the ends of whole periods (multiples of 5 minutes), oldest first."""
        return self._public[instrument].open_interest_history(period_s, start, end, limit)

    def ratios(
        self, instrument: int, ratio: Ratio, period_s: int, start: int = 0, end: int = 0, limit: int = 30
    ) -> Events:
        """Return RATIO rows at the ends of whole periods (multiples of 5 minutes), oldest first."""
        return self._public[instrument].ratios(ratio, period_s, start, end, limit)

    def ticker(self, instrument: int) -> Ticker:
        """Return the last 24 hours, by whole minutes."""
        return self._public[instrument].ticker(self.now, self.best(instrument)[1:])

    def liquidations(self, instrument: int, limit: int = 100) -> Events:
        """Return the newest LIQUIDATION rows, oldest first."""
        return self._public[instrument].liquidations(limit)

    # accounts

    def open_account(self, name: str, venue: Venue, balances: Mapping[str, Decimal]) -> None:
        """Open an account at one venue; a name that is known already keeps what it has."""
        self._desk.open_account(name, venue, balances)

    def accounts(self, venue: Venue) -> tuple[str, ...]:
        """Return the names of the accounts at `venue`, in the order in which they were opened."""
        return tuple(name for name, account in self._desk.accounts.items() if account.venue is venue)

    def transfer(self, account: str, asset: str, amount: Decimal) -> None:
        """Put `amount` in (negative: take it out); raise Refused(MARGIN) when so much is not available."""
        held = self._desk.accounts[account]
        if amount < 0 and held.available(asset) + amount < 0:
            raise Refused(RefusalCode.MARGIN, f"{held.available(asset)} {asset} is not enough")
        held.credit(asset, amount)
        self._desk.enter_income(account, IncomeKind.TRANSFER, -1, amount, asset=asset)
        self._on_account(account, Change.TRANSFER, ())

    def set_leverage(self, account: str, instrument: int, leverage: int) -> None:
        """Set the leverage of new margin; raise Refused(LEVERAGE or MARGIN)."""
        held = self._desk.accounts[account]
        holding, one = held.holding(instrument), self.instruments[instrument]
        before, most = holding.leverage, int(tier_of(one, abs(held.value(instrument))).max_leverage)
        if not 1 <= leverage <= most:
            raise Refused(RefusalCode.LEVERAGE, f"{leverage} is not in 1..{most}")
        holding.leverage = leverage
        if leverage < before and holding.mode is MarginMode.CROSS and held.available(one.quote) < 0:
            holding.leverage = before
            raise Refused(RefusalCode.MARGIN, "open positions and orders need more margin")
        self._on_account(account, Change.LEVERAGE, (instrument,))

    def set_margin_mode(self, account: str, instrument: int, mode: MarginMode) -> None:
        """Change between cross and isolated; raise Refused(LEVERAGE) while a position or an order is open."""
        holding = self._desk.accounts[account].holding(instrument)
        if mode is not holding.mode and (holding.lots or self.open_orders(account, instrument)):
            raise Refused(RefusalCode.LEVERAGE, "a position or an order is open")
        holding.mode = mode

    def position(self, account: str, instrument: int) -> PositionView:
        """Return the position and settings of an instrument, held or not."""
        return self._desk.accounts[account].position(instrument)

    def positions(self, account: str) -> list[PositionView]:
        """Return the positions held, by instrument."""
        held = self._desk.accounts[account]
        return [held.position(number) for number in held.held]

    def balances(self, account: str) -> list[Balance]:
        """Return the assets of an account, by name."""
        return self._desk.accounts[account].balances()

    def income(
        self,
        account: str,
        instrument: int = -1,
        kind: IncomeKind | None = None,
        start: int = 0,
        end: int = 0,
        limit: int = 100,
    ) -> list[Income]:
        """Return changes of balances, oldest first: the newest `limit`, or with `start` the first from it on."""
        return self._desk.blotters[account].income(instrument, kind, start, end, limit)

    # orders

    def submit(self, request: OrderRequest) -> Order:
        """Take an order and match it; raise Refused, then nothing has changed.

        An IOC or market order that finds too little comes back EXPIRED with what it got.
        """
        return self._desk.submit(request)

    def check(self, request: OrderRequest) -> None:
        """Raise what `submit` would refuse now; change nothing."""
        self._desk.check(request)

    def cancel(self, account: str, order_id: int, reason: str = "") -> Order:
        """Take an open order back; raise Refused(UNKNOWN_ORDER)."""
        order = self._desk.found(account, order_id)
        self._desk.end(order, OrderState.CANCELED, Change.CANCELED, reason)
        self._desk.watch(order.request.instrument)
        return order

    def cancel_all(self, account: str, instrument: int = -1) -> list[Order]:
        """Take back every open order of an instrument (-1: of all), oldest first."""
        return [self.cancel(account, order.order_id) for order in self.open_orders(account, instrument)]

    def amend(self, account: str, order_id: int, lots: int, price: int) -> Order:
        """Change quantity and price of a resting order; it keeps its place only if it merely becomes smaller.

        An order that has `lots` filled already is cancelled. Raise Refused, then nothing has changed.
        """
        order = self._desk.found(account, order_id)
        self._desk.amend(order, lots, price)
        return order

    def expire(self, account: str, order_id: int, reason: str = "") -> Order:
        """End an open order as EXPIRED; raise Refused(UNKNOWN_ORDER)."""
        order = self._desk.found(account, order_id)
        self._desk.end(order, OrderState.EXPIRED, Change.EXPIRED, reason)
        self._desk.watch(order.request.instrument)
        return order

    def order(self, account: str, order_id: int = 0, client_id: str = "") -> Order:
        """Return an order by its id, or the newest with a client id; raise Refused(UNKNOWN_ORDER)."""
        return self._desk.blotters[account].order(order_id, client_id)

    def open_orders(self, account: str, instrument: int = -1) -> list[Order]:
        """Return the open orders of an instrument (-1: of all), oldest first; conditional ones too."""
        return self._desk.open_orders(account, instrument)

    def orders(
        self, account: str, instrument: int = -1, from_id: int = 0, start: int = 0, end: int = 0, limit: int = 500
    ) -> list[Order]:
        """Return orders open or not, oldest first: the newest `limit`, or the first from `from_id` or `start` on."""
        return self._desk.blotters[account].orders(instrument, from_id, start, end, limit)

    def executions(
        self,
        account: str,
        instrument: int = -1,
        order_id: int = 0,
        from_id: int = 0,
        start: int = 0,
        end: int = 0,
        limit: int = 500,
    ) -> list[Execution]:
        """Return fills, oldest first: the newest `limit`, or the first from trade id `from_id` or ts `start` on."""
        return self._desk.blotters[account].executions(instrument, order_id, from_id, start, end, limit)
