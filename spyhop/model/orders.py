"""Orders as asked, and facts about what became of them."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from spyhop.model.tape import Side


class OrderType(StrEnum):
    """What an order waits for."""

    MARKET = "market"
    LIMIT = "limit"
    STOP_MARKET = "stop_market"
    STOP_LIMIT = "stop_limit"
    TAKE_PROFIT_MARKET = "take_profit_market"
    TAKE_PROFIT_LIMIT = "take_profit_limit"
    TRAILING_STOP = "trailing_stop"


class TimeInForce(StrEnum):
    """How long an order waits."""

    GTC = "gtc"
    IOC = "ioc"
    POST_ONLY = "post_only"


class OrderStatus(StrEnum):
    """Where an order is in its life; the table is `spyhop.execution.orders.NEXT`."""

    PENDING_NEW = "pending_new"
    SENT = "sent"
    UNKNOWN = "unknown"
    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCEL_PENDING = "cancel_pending"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"


class Purpose(StrEnum):
    """Why we ask for an order."""

    ENTRY = "entry"
    TAKE_PROFIT = "take_profit"
    STOP_LOSS = "stop_loss"
    MAX_HOLD = "max_hold"
    SESSION_END = "session_end"
    HEDGE = "hedge"
    UNWIND = "unwind"
    KILL = "kill"


class Liquidity(StrEnum):
    """Which side of a fill we were."""

    MAKER = "maker"
    TAKER = "taker"
    SETTLEMENT = "settlement"  # nobody's: a paper session ended and no depth was left, so the last price was taken


class SubmitOrder(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """A command to a gateway: place this order.

    `price` and `trigger` are ticks, 0 where the type has none; `callback` is how many ticks the price may come back
    before a trailing stop fires (`trigger`, when it has one, is where it begins to trail); `reference` is the price
    that it was decided at, which slippage is told against, 0 for none; `leverage` is that of the isolated margin which
    a position opened by it is given, 0 for what the venue has set.
    """

    ts: int
    client_order_id: str
    instrument: int
    side: Side
    type: OrderType
    lots: int
    purpose: Purpose
    price: int = 0
    trigger: int = 0
    callback: int = 0
    time_in_force: TimeInForce = TimeInForce.GTC
    reduce_only: bool = False
    intent_seq: int = 0
    leverage: float = 0.0
    reference: int = 0


class CancelOrder(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """A command to a gateway: take this order back."""

    ts: int
    client_order_id: str
    instrument: int


Command = SubmitOrder | CancelOrder


class OrderAccepted(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """The venue has the order. `ts` is when we heard, `ts_venue` when it happened.

    `is_emulated` says that we hold it ourselves, because the venue has nothing of its kind.
    """

    ts: int
    ts_venue: int
    client_order_id: str
    instrument: int
    is_emulated: bool = False


class OrderRejected(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """The venue would not have the order."""

    ts: int
    ts_venue: int
    client_order_id: str
    instrument: int
    reason: str


class OrderCancelled(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """The order is gone from the venue, `lots_left` unfilled (IOC remainders end here too)."""

    ts: int
    ts_venue: int
    client_order_id: str
    instrument: int
    lots_left: int


class OrderExpired(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """The venue ended the order by itself, `lots_left` unfilled: its time was up, or nothing stood against it."""

    ts: int
    ts_venue: int
    client_order_id: str
    instrument: int
    lots_left: int


class OrderSent(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """The request was handed to the connection; from now on the venue may have it."""

    ts: int
    client_order_id: str
    instrument: int


class OrderUnknown(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """Nobody can say whether the venue has the order; it is being asked, and another report will follow."""

    ts: int
    client_order_id: str
    instrument: int
    reason: str


class CancelRejected(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """The venue would not take the order back; what became of the order comes as a report of its own."""

    ts: int
    ts_venue: int
    client_order_id: str
    instrument: int
    reason: str


class Fill(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """We got `lots` at `price` ticks.

    `fee` is quote currency paid (negative: rebate). `slippage` is quote currency lost against the mid that the
    order was decided at (positive: worse than the mid).
    """

    ts: int
    ts_venue: int
    fill_id: str
    client_order_id: str
    instrument: int
    side: Side
    price: int
    lots: int
    liquidity: Liquidity
    fee: float
    slippage: float


class FundingPaid(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """Funding charged on a position at a stamp; `amount` is quote currency paid (negative: received)."""

    ts: int
    ts_venue: int
    instrument: int
    rate: float
    lots: int
    amount: float


class Liquidated(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """The venue took our position on `side` over at `price` ticks; `loss` is the margin it had left, quote currency."""

    ts: int
    ts_venue: int
    instrument: int
    side: Side
    price: int
    lots: int
    loss: float


class DifferenceKind(StrEnum):
    """How what the venue knows differs from what we know."""

    MISSING_FILL = "missing_fill"  # the venue filled an order of ours and nobody told us
    UNKNOWN_ORDER = "unknown_order"  # an order that we hold for alive and the venue does not know
    ORDER_STATUS = "order_status"  # an order of ours ended, or stands, otherwise than we hold
    FOREIGN_ORDER = "foreign_order"  # an open order that no session of ours sent
    FOREIGN_POSITION = "foreign_position"  # a position where we hold none
    SIZE_MISMATCH = "size_mismatch"  # a position of another size than ours
    BALANCE = "balance"  # money that fills, fees and funding do not explain


class Difference(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """One thing in which the venue and the ledger differed, and what was done about it.

    `ours` and `theirs` are lots with sign (quote currency for balances); `is_repaired` says that the venue's word was
    clear and reports made of it go before this one; `order` is the client order id, or the venue's id of a foreign one.
    """

    ts: int
    instrument: int
    kind: DifferenceKind
    ours: float
    theirs: float
    is_repaired: bool
    order: str = ""
    note: str = ""


class Reconciled(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """The venue was compared with the ledger; while `is_clean` is False, entries of the instrument wait.

    `cause` is `start`, `timer` or `reconnect`.
    """

    ts: int
    instrument: int
    is_clean: bool
    cause: str
    num_differences: int = 0


Report = (
    OrderAccepted
    | OrderRejected
    | OrderCancelled
    | OrderExpired
    | OrderSent
    | OrderUnknown
    | CancelRejected
    | Fill
    | FundingPaid
    | Liquidated
    | Difference
    | Reconciled
)
"""What a gateway tells us."""


class TradeClosed(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """A round trip: entry to flat. Money is quote currency; prices are VWAPs in price units.

    net = gross - fees - funding; `slippage` is inside gross already and given apart to be seen.
    `max_profit_frac` and `max_drawdown_frac` are the best and worst price moves in our direction while held.
    `is_leg` says that it was one of the two legs of a pair, whose end is told apart.
    """

    ts: int
    trade_id: str
    instrument: int
    side: Side
    strategy: str
    probability: float
    confidence: float
    intent_seq: int
    decision_seq: int
    ts_entry: int
    ts_exit: int
    entry_price: float
    exit_price: float
    take_profit_price: float
    stop_loss_price: float
    lots: int
    notional: float
    margin: float
    leverage: float
    exit_purpose: str  # a Purpose, or "liquidation"
    gross: float
    fees: float
    funding: float
    slippage: float
    net: float
    max_profit_frac: float
    max_drawdown_frac: float
    is_leg: bool = False


class PairEnded(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """Both legs of a hedged intent are flat again, or never were otherwise. Money is that of both, quote currency.

    net = gross - fees - funding; `instrument` is that of the intent, `hedge` the other; `notional` what was entered of
    the former; `num_legs` how many legs were held; `reason` is why it ended before it was whole, "" where it was.
    """

    ts: int
    intent_seq: int
    instrument: int
    hedge: int
    num_legs: int
    notional: float
    gross: float
    fees: float
    funding: float
    slippage: float
    net: float
    reason: str = ""


class OrderChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """One step in an order's life, for the ledger; `cause` names what moved it."""

    ts: int
    client_order_id: str
    instrument: int
    status: OrderStatus
    filled: int
    cause: str
    order: SubmitOrder
    reason: str = ""


Fact = OrderChanged | Fill | FundingPaid | Liquidated | TradeClosed | PairEnded | Difference | Reconciled
"""What the order stage tells the ledger, the risk stage and the decision stage."""
