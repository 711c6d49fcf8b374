"""Spot's account events and answers to orders, as typed structures; unknown keys are ignored."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec import Struct


class ExecutionReport(
    Struct,
    frozen=True,
    tag_field="e",
    tag="executionReport",
    rename={
        "ts": "E",
        "symbol": "s",
        "client_order_id": "c",
        "side": "S",
        "type": "o",
        "time_in_force": "f",
        "qty": "q",
        "price": "p",
        "execution": "x",
        "status": "X",
        "reject_reason": "r",
        "order_id": "i",
        "last_qty": "l",
        "filled_qty": "z",
        "last_price": "L",
        "fee": "n",
        "fee_asset": "N",
        "ts_event": "T",
        "trade_id": "t",
        "is_maker": "m",
        "filled_quote": "Z",
        "original_id": "C",
        "stop_price": "P",
    },
):
    """What happened to one spot order; `trade_id` is -1 unless it was filled."""

    ts: int
    symbol: str
    client_order_id: str
    side: str
    type: str
    time_in_force: str
    qty: Decimal
    price: Decimal
    execution: str
    status: str
    reject_reason: str
    order_id: int
    last_qty: Decimal
    filled_qty: Decimal
    last_price: Decimal
    fee: Decimal
    fee_asset: str | None
    ts_event: int
    trade_id: int
    is_maker: bool
    filled_quote: Decimal
    original_id: str = ""
    stop_price: Decimal | None = None


class SpotBalance(Struct, frozen=True, rename={"asset": "a", "free": "f", "locked": "l"}):
    """One asset of a spot account."""

    asset: str
    free: Decimal
    locked: Decimal


class AccountPosition(
    Struct, frozen=True, tag_field="e", tag="outboundAccountPosition", rename={"ts": "E", "balances": "B"}
):
    """A spot account changed."""

    ts: int
    balances: tuple[SpotBalance, ...]


class BalanceUpdate(
    Struct, frozen=True, tag_field="e", tag="balanceUpdate", rename={"ts": "E", "asset": "a", "change": "d"}
):
    """A deposit, withdrawal or transfer of a spot account."""

    ts: int
    asset: str
    change: Decimal


class ListStatus(
    Struct,
    frozen=True,
    tag_field="e",
    tag="listStatus",
    rename={"ts": "E", "symbol": "s", "list_id": "g", "type": "c", "status": "L", "orders": "O"},
):
    """An order list of spot (one cancels the other) changed."""

    ts: int
    symbol: str
    list_id: int
    type: str
    status: str
    orders: tuple[dict[str, Any], ...]


class Fill(Struct, frozen=True, rename="camel"):
    """One fill in the answer to a spot order."""

    price: Decimal
    qty: Decimal
    commission: Decimal
    commission_asset: str
    trade_id: int = -1


class Order(Struct, frozen=True, rename="camel"):
    """A spot order as the venue answers to placing, cancelling or asking."""

    symbol: str
    order_id: int
    client_order_id: str
    price: Decimal = Decimal(0)
    orig_qty: Decimal = Decimal(0)
    executed_qty: Decimal = Decimal(0)
    cummulative_quote_qty: Decimal = Decimal(0)
    status: str = ""
    time_in_force: str = ""
    type: str = ""
    side: str = ""
    orig_client_order_id: str = ""
    fills: tuple[Fill, ...] = ()


class Funds(Struct, frozen=True):
    """One asset of a spot account."""

    asset: str
    free: Decimal
    locked: Decimal


class Account(Struct, frozen=True, rename="camel"):
    """A spot account."""

    can_trade: bool
    balances: tuple[Funds, ...]


class AccountTrade(Struct, frozen=True, rename="camel"):
    """One of our fills on spot."""

    symbol: str
    id: int
    order_id: int
    price: Decimal
    qty: Decimal
    commission: Decimal
    commission_asset: str
    time: int
    is_buyer: bool
    is_maker: bool
