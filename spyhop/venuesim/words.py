"""The words of the simulated exchange: what is asked of it, what it answers, who listens.

All venues share them; `venuesim.binance` and `venuesim.dydx` translate. Prices are ticks and quantities lots of the
instrument, times nanoseconds of the exchange's clock, money is Decimal in the instrument's quote currency.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

import msgspec

from spyhop.errors import SpyhopError
from spyhop.model.tape import Events, Side


class OrderKind(StrEnum):
    """What an order waits for before and after it is in the book."""

    LIMIT = "limit"
    MARKET = "market"
    STOP = "stop"  # becomes a limit order when its trigger is passed against it
    STOP_MARKET = "stop_market"
    TAKE_PROFIT = "take_profit"
    TAKE_PROFIT_MARKET = "take_profit_market"
    TRAILING_STOP_MARKET = "trailing_stop_market"


class Lasting(StrEnum):
    """How long an order waits in the book."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    POST_ONLY = "post_only"


class OrderState(StrEnum):
    """Where an order is. The last four are final."""

    UNTRIGGERED = "untriggered"
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"


class RefusalCode(StrEnum):
    """Why the exchange would not do what was asked; each venue has its own number for it."""

    BAD_PRICE = "bad_price"  # off the grid, out of range, or outside the band around the mark
    BAD_QTY = "bad_qty"
    MIN_NOTIONAL = "min_notional"
    MARGIN = "margin"
    REDUCE_ONLY = "reduce_only"
    WOULD_TAKE = "would_take"  # post-only
    NOT_FILLABLE = "not_fillable"  # fill-or-kill
    WOULD_TRIGGER = "would_trigger"
    NO_COUNTERPARTY = "no_counterparty"
    DUPLICATE_ID = "duplicate_id"
    UNKNOWN_ORDER = "unknown_order"
    TOO_MANY_ORDERS = "too_many_orders"
    LEVERAGE = "leverage"


class Refused(SpyhopError):
    """The exchange would not; nothing changed."""

    def __init__(self, code: RefusalCode, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" if self.detail else str(self.code)


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An order as a venue's front understood it. `extra` is what its messages must repeat and the engine ignores.

    `trigger_by` is what a conditional order watches; `callback_bps` is a trailing stop's distance; `expires` is when
    it goes away by itself (0 = never); `close_position` takes whatever the position is when it triggers.
    """

    account: str
    instrument: int
    client_id: str
    side: Side
    kind: OrderKind
    lots: int
    price: int = 0
    trigger: int = 0
    trigger_by: str = "last"  # last | mark | oracle
    callback_bps: int = 0
    lasting: Lasting = Lasting.GTC
    expires: int = 0
    reduce_only: bool = False
    close_position: bool = False
    extra: Mapping[str, str] = {}


class Order(msgspec.Struct, kw_only=True):
    """An order that the exchange has; it changes in place and is kept after its end."""

    request: OrderRequest
    order_id: int
    created: int
    updated: int
    state: OrderState = OrderState.NEW
    lots: int = 0  # may be amended
    price: int = 0
    filled: int = 0
    tick_lots: int = 0  # sum of price x lots of its fills
    triggered: int = 0  # when, 0 = not
    reason: str = ""  # of a final state that nobody asked for

    @property
    def left(self) -> int:
        return self.lots - self.filled

    @property
    def is_open(self) -> bool:
        return self.state in (OrderState.UNTRIGGERED, OrderState.NEW, OrderState.PARTIALLY_FILLED)


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One fill of one order. `fee` is what was paid (negative: a rebate), `realized` the profit it booked."""

    trade_id: int
    order_id: int
    account: str
    instrument: int
    side: Side
    ts: int
    price: int
    lots: int
    is_maker: bool
    fee: Decimal
    realized: Decimal
    is_liquidation: bool = False


class Change(StrEnum):
    """Why an order or account is told of."""

    NEW = "new"
    TRADE = "trade"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    AMENDED = "amended"
    TRIGGERED = "triggered"
    LIQUIDATED = "liquidated"
    FUNDING = "funding"
    TRANSFER = "transfer"
    LEVERAGE = "leverage"


class Listener(Protocol):
    """Somebody who is told what happens, in order, while the exchange advances or is asked."""

    def on_market(self, instrument: int, events: Events) -> None:
        """Take rows of the public tape of one instrument, `ts_event` up to the exchange's now."""
        ...

    def on_order(self, order: Order, change: Change, execution: Execution | None) -> None:
        """Take a change of an order; `execution` comes with TRADE and LIQUIDATED."""
        ...

    def on_account(self, account: str, change: Change, instruments: tuple[int, ...]) -> None:
        """Take a change of balance or positions; follows the orders that caused it."""
        ...
