"""Binance's account events and the answers to orders, as typed structures; unknown keys are ignored.

Amounts are exact decimals. Where the venue sends null or an empty text for an amount that does not exist, it is None.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TypeAlias, get_args

import msgspec
from msgspec import Raw, Struct

from spyhop.errors import UnreadableLine
from spyhop.venues.binance.spot_wire import AccountPosition, BalanceUpdate, ExecutionReport, ListStatus

Amount: TypeAlias = Decimal | None

# ---------------------------------------------------------------- events


class OrderUpdate(
    Struct,
    frozen=True,
    rename={
        "symbol": "s",
        "client_order_id": "c",
        "side": "S",
        "type": "o",
        "time_in_force": "f",
        "qty": "q",
        "price": "p",
        "average_price": "ap",
        "execution": "x",
        "status": "X",
        "order_id": "i",
        "last_qty": "l",
        "filled_qty": "z",
        "last_price": "L",
        "ts_trade": "T",
        "trade_id": "t",
        "stop_price": "sp",
        "fee_asset": "N",
        "fee": "n",
        "is_maker": "m",
        "is_reduce_only": "R",
        "position_side": "ps",
        "is_close_position": "cp",
        "realised_profit": "rp",
    },
):
    """What happened to one futures order; `trade_id` is 0 unless it was filled."""

    symbol: str
    client_order_id: str
    side: str
    type: str
    time_in_force: str
    qty: Decimal
    price: Decimal
    average_price: Decimal
    execution: str
    status: str
    order_id: int
    last_qty: Decimal
    filled_qty: Decimal
    last_price: Decimal
    ts_trade: int
    trade_id: int
    stop_price: Amount = None
    fee_asset: str | None = None
    fee: Amount = None
    is_maker: bool = False
    is_reduce_only: bool = False
    position_side: str = "BOTH"
    is_close_position: bool = False
    realised_profit: Decimal = Decimal(0)


class OrderTradeUpdate(
    Struct, frozen=True, tag_field="e", tag="ORDER_TRADE_UPDATE", rename={"ts": "E", "ts_event": "T", "order": "o"}
):
    """A futures order changed."""

    ts: int
    ts_event: int
    order: OrderUpdate


class TradeLite(
    Struct,
    frozen=True,
    tag_field="e",
    tag="TRADE_LITE",
    rename={
        "ts": "E",
        "ts_event": "T",
        "symbol": "s",
        "client_order_id": "c",
        "side": "S",
        "order_id": "i",
        "last_qty": "l",
        "last_price": "L",
        "trade_id": "t",
        "is_maker": "m",
    },
):
    """A fill, told sooner and in less words than by ORDER_TRADE_UPDATE."""

    ts: int
    ts_event: int
    symbol: str
    client_order_id: str
    side: str
    order_id: int
    last_qty: Decimal
    last_price: Decimal
    trade_id: int
    is_maker: bool


class WalletChange(Struct, frozen=True, rename={"asset": "a", "balance": "wb", "cross_balance": "cw", "change": "bc"}):
    """One asset of a futures account; `change` leaves out fees and profit."""

    asset: str
    balance: Decimal
    cross_balance: Decimal
    change: Decimal = Decimal(0)


class PositionChange(
    Struct,
    frozen=True,
    rename={
        "symbol": "s",
        "qty": "pa",
        "entry_price": "ep",
        "realised_profit": "cr",
        "unrealised_profit": "up",
        "margin_type": "mt",
        "position_side": "ps",
    },
):
    """One position of a futures account; short ones are negative."""

    symbol: str
    qty: Decimal
    entry_price: Decimal
    realised_profit: Decimal
    unrealised_profit: Decimal
    margin_type: str
    position_side: str


class AccountChange(Struct, frozen=True, rename={"reason": "m", "balances": "B", "positions": "P"}):
    """Balances and positions that changed, and why."""

    reason: str
    balances: tuple[WalletChange, ...] = ()
    positions: tuple[PositionChange, ...] = ()


class AccountUpdate(
    Struct, frozen=True, tag_field="e", tag="ACCOUNT_UPDATE", rename={"ts": "E", "ts_event": "T", "account": "a"}
):
    """A futures account changed."""

    ts: int
    ts_event: int
    account: AccountChange


class AlgoOrder(
    Struct,
    frozen=True,
    rename={
        "client_algo_id": "caid",
        "algo_id": "aid",
        "type": "o",
        "symbol": "s",
        "side": "S",
        "position_side": "ps",
        "qty": "q",
        "status": "X",
        "trigger_price": "tp",
        "price": "p",
        "order_id": "ai",
        "reject_reason": "rm",
    },
):
    """A conditional order; `order_id` is "" until it has triggered and become an order."""

    client_algo_id: str
    algo_id: int
    type: str
    symbol: str
    side: str
    position_side: str
    qty: Decimal
    status: str
    trigger_price: Decimal
    price: Decimal
    order_id: str = ""
    reject_reason: str = ""


class AlgoUpdate(
    Struct, frozen=True, tag_field="e", tag="ALGO_UPDATE", rename={"ts": "E", "ts_event": "T", "order": "o"}
):
    """A conditional order changed."""

    ts: int
    ts_event: int
    order: AlgoOrder


class MarginPosition(
    Struct, frozen=True, rename={"symbol": "s", "position_side": "ps", "qty": "pa", "mark": "mp", "needed": "mm"}
):
    """A position that wants more margin."""

    symbol: str
    position_side: str
    qty: Decimal
    mark: Decimal
    needed: Decimal


class MarginCall(Struct, frozen=True, tag_field="e", tag="MARGIN_CALL", rename={"ts": "E", "positions": "p"}):
    """Positions are close to their liquidation."""

    ts: int
    positions: tuple[MarginPosition, ...]


class LeverageChange(Struct, frozen=True, rename={"symbol": "s", "leverage": "l"}):
    """The leverage of one symbol."""

    symbol: str
    leverage: int


class ConfigUpdate(
    Struct, frozen=True, tag_field="e", tag="ACCOUNT_CONFIG_UPDATE", rename={"ts": "E", "leverage": "ac", "modes": "ai"}
):
    """Leverage or the multi-assets mode was changed."""

    ts: int
    leverage: LeverageChange | None = None
    modes: dict[str, bool] = {}


class ListenKeyExpired(
    Struct, frozen=True, tag_field="e", tag="listenKeyExpired", rename={"ts": "E", "listen_key": "listenKey"}
):
    """The user-data stream ends; a new listen key is needed."""

    ts: int
    listen_key: str = ""

    def __repr__(self) -> str:
        return f"ListenKeyExpired(ts={self.ts})"  # the key stays out of logs


class ConditionalReject(
    Struct, frozen=True, tag_field="e", tag="CONDITIONAL_ORDER_TRIGGER_REJECT", rename={"ts": "E", "order": "or"}
):
    """A conditional order could not become one; since 2025-12 told by ALGO_UPDATE instead."""

    ts: int
    order: dict[str, str | int]


AccountEvent: TypeAlias = (
    OrderTradeUpdate
    | TradeLite
    | AccountUpdate
    | AlgoUpdate
    | MarginCall
    | ConfigUpdate
    | ListenKeyExpired
    | ConditionalReject
    | ExecutionReport
    | AccountPosition
    | BalanceUpdate
    | ListStatus
)


class _Wrapped(Struct, frozen=True):
    data: Raw = Raw(b"")
    event: Raw = Raw(b"")
    kind: str = msgspec.field(name="e", default="")


ACCOUNT_EVENTS: frozenset[str] = frozenset(str(t.__struct_config__.tag) for t in get_args(AccountEvent))
_wrapped = msgspec.json.Decoder(_Wrapped)
_events = msgspec.json.Decoder(AccountEvent)


def account_event(frame: bytes) -> AccountEvent:
    """Return the event of a user-data frame, bare or wrapped as streams or spot's socket API do.

    Raises UnreadableLine for what is no event of an account, or not one that can be read.
    """
    try:
        str(frame, "utf-8")  # keys that nobody asked for are passed over unread
        outer = _wrapped.decode(frame)
        inner = outer.data if bytes(outer.data) else outer.event
        event: AccountEvent = _events.decode(inner if not outer.kind and bytes(inner) else frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableLine("account event", 1, str(error)) from None
    if not is_finite(event):
        raise UnreadableLine("account event", 1, "an amount that is no number")
    return event


def is_finite(told: object) -> bool:
    """Return whether every decimal in a structure is a number; a text may also say NaN or Infinity."""
    if isinstance(told, Decimal):
        return told.is_finite()
    if isinstance(told, Struct):
        return all(is_finite(getattr(told, name)) for name in told.__struct_fields__)
    return not isinstance(told, tuple) or all(is_finite(part) for part in told)
