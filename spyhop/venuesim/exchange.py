"""The simulated exchange: markets whose tape it publishes and accounts whose orders it matches against that tape.

Time is told: `advance(until)` publishes every row with ts_recv <= until, in order across instruments, and does
what follows from it (fills, triggers, funding, liquidations, expiries). What is asked in between happens at `now`.
Our fills leave no mark on the public tape: a recorded tape is published exactly as it was recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, Ratio, Venue
from spyhop.venuesim.bars import Bars
from spyhop.venuesim.markets import Market
from spyhop.venuesim.views import Balance, Income, IncomeKind, MarginMode, MarkPrice, PositionView, Ticker
from spyhop.venuesim.words import Execution, Listener, Order, OrderRequest


class Exchange:
    """All venues in one: an instrument's number is its place in `markets`, an account belongs to one venue.

    Whoever asks by an unknown account or instrument gets KeyError or IndexError: fronts check names first.
    """

    instruments: tuple[Instrument, ...]
    now: int

    def __init__(self, markets: Sequence[Market], start: int) -> None: ...

    # time and listeners

    def advance(self, until: int) -> None:
        """Publish the tape up to `until` and let what follows from it happen; an `until` before `now` does nothing."""
        raise NotImplementedError

    def subscribe(self, listener: Listener) -> None:
        """Tell `listener` what happens from now on; listeners are told in the order in which they came."""
        raise NotImplementedError

    def unsubscribe(self, listener: Listener) -> None:
        """Tell `listener` no more; one that was not told is no error."""
        raise NotImplementedError

    # markets

    def book(self, instrument: int, limit: int) -> tuple[int, list[tuple[int, int]], list[tuple[int, int]]]:
        """Return (update id, bids, asks) of the public book, at most `limit` (price, lots) a side, best first."""
        raise NotImplementedError

    def best(self, instrument: int) -> tuple[int, int, int, int, int]:
        """Return (update id, bid, bid lots, ask, ask lots) of the freshest of quote and book; 0 where unknown."""
        raise NotImplementedError

    def trades(self, instrument: int, limit: int, from_id: int = -1, start: int = 0, end: int = 0) -> Events:
        """Return TRADE rows, oldest first: the newest `limit`, or the first `limit` from id `from_id` or ts `start` on.

        `end` (ts_event, included) cuts when it is above 0. At most the newest 200,000 trades are remembered.
        """
        raise NotImplementedError

    def bars(self, instrument: int, interval_s: int, start: int = 0, end: int = 0, limit: int = 500) -> Bars:
        """Return bars, oldest first, the open one included: the newest `limit`, or with `start` the first from it on.

        `start` and `end` bound ts_open (both included; 0 = no bound). Minutes without trades are flat bars of
        volume 0 (num_trades 0).
        """
        raise NotImplementedError

    def mark(self, instrument: int) -> MarkPrice:
        """Return mark, index and funding as published; without a mark on the tape the last trade stands for it."""
        raise NotImplementedError

    def funding_history(self, instrument: int, start: int = 0, end: int = 0, limit: int = 100) -> Events:
        """Return paid FUNDING rows, oldest first; `price` holds the mark (ticks) that they were paid at."""
        raise NotImplementedError

    def open_interest(self, instrument: int) -> int:
        """Return the newest open interest in lots, 0 before any."""
        raise NotImplementedError

    def open_interest_history(
        self, instrument: int, period_s: int, start: int = 0, end: int = 0, limit: int = 30
    ) -> Events:
        """Return OPEN_INTEREST rows at the ends of whole periods (multiples of 5 minutes), oldest first."""
        raise NotImplementedError

    def ratios(
        self, instrument: int, ratio: Ratio, period_s: int, start: int = 0, end: int = 0, limit: int = 30
    ) -> Events:
        """Return RATIO rows at the ends of whole periods (multiples of 5 minutes), oldest first."""
        raise NotImplementedError

    def ticker(self, instrument: int) -> Ticker:
        """Return the last 24 hours, by whole minutes."""
        raise NotImplementedError

    def liquidations(self, instrument: int, limit: int = 100) -> Events:
        """Return the newest LIQUIDATION rows, oldest first."""
        raise NotImplementedError

    # accounts

    def open_account(self, name: str, venue: Venue, balances: Mapping[str, Decimal]) -> None:
        """Open an account at one venue; a name that is known already keeps what it has."""
        raise NotImplementedError

    def accounts(self, venue: Venue) -> tuple[str, ...]:
        """Return the names of the accounts at `venue`, in the order in which they were opened."""
        raise NotImplementedError

    def transfer(self, account: str, asset: str, amount: Decimal) -> None:
        """Put `amount` in (negative: take it out); raise Refused(MARGIN) when so much is not available."""
        raise NotImplementedError

    def set_leverage(self, account: str, instrument: int, leverage: int) -> None:
        """Set the leverage of new margin; raise Refused(LEVERAGE or MARGIN)."""
        raise NotImplementedError

    def set_margin_mode(self, account: str, instrument: int, mode: MarginMode) -> None:
        """Change between cross and isolated; raise Refused(LEVERAGE) while a position or an order is open."""
        raise NotImplementedError

    def position(self, account: str, instrument: int) -> PositionView:
        """Return the position and settings of an instrument, held or not."""
        raise NotImplementedError

    def positions(self, account: str) -> list[PositionView]:
        """Return the positions held, by instrument."""
        raise NotImplementedError

    def balances(self, account: str) -> list[Balance]:
        """Return the assets of an account, by name."""
        raise NotImplementedError

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
        raise NotImplementedError

    # orders

    def submit(self, request: OrderRequest) -> Order:
        """Take an order and match it; raise Refused, then nothing has changed.

        An IOC or market order that finds too little comes back EXPIRED with what it got.
        """
        raise NotImplementedError

    def check(self, request: OrderRequest) -> None:
        """Raise what `submit` would refuse now; change nothing."""
        raise NotImplementedError

    def cancel(self, account: str, order_id: int, reason: str = "") -> Order:
        """Take an open order back; raise Refused(UNKNOWN_ORDER)."""
        raise NotImplementedError

    def cancel_all(self, account: str, instrument: int = -1) -> list[Order]:
        """Take back every open order of an instrument (-1: of all), oldest first."""
        raise NotImplementedError

    def amend(self, account: str, order_id: int, lots: int, price: int) -> Order:
        """Change quantity and price of a resting order; it keeps its place only if it merely becomes smaller.

        An order that has `lots` filled already is cancelled. Raise Refused, then nothing has changed.
        """
        raise NotImplementedError

    def expire(self, account: str, order_id: int, reason: str = "") -> Order:
        """End an open order as EXPIRED; raise Refused(UNKNOWN_ORDER)."""
        raise NotImplementedError

    def order(self, account: str, order_id: int = 0, client_id: str = "") -> Order:
        """Return an order by its id, or the newest with a client id; raise Refused(UNKNOWN_ORDER)."""
        raise NotImplementedError

    def open_orders(self, account: str, instrument: int = -1) -> list[Order]:
        """Return the open orders of an instrument (-1: of all), oldest first; conditional ones too."""
        raise NotImplementedError

    def orders(
        self, account: str, instrument: int = -1, from_id: int = 0, start: int = 0, end: int = 0, limit: int = 500
    ) -> list[Order]:
        """Return orders open or not, oldest first: the newest `limit`, or the first from `from_id` or `start` on."""
        raise NotImplementedError

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
        raise NotImplementedError
