"""The answers of USDT-M about orders, positions and accounts, as typed structures; unknown keys are ignored.

Amounts are exact decimals. Where one kind of order has no such amount, the venue leaves the key out or sends "".
"""

from __future__ import annotations

from decimal import Decimal

import msgspec
from msgspec import Raw, Struct

from spyhop.errors import UnreadableLine


class Order(Struct, frozen=True, rename="camel"):
    """An order as the venue answers to placing, changing, cancelling or asking."""

    order_id: int
    symbol: str
    status: str
    client_order_id: str
    price: Decimal
    orig_qty: Decimal
    executed_qty: Decimal
    time_in_force: str
    type: str
    side: str
    avg_price: Decimal = Decimal(0)
    cum_quote: Decimal = Decimal(0)
    reduce_only: bool = False
    close_position: bool = False
    position_side: str = "BOTH"
    stop_price: Decimal = Decimal(0)
    orig_type: str = ""
    working_type: str = ""
    good_till_date: int = 0
    time: int = 0
    update_time: int = 0


class AlgoOrder(Struct, frozen=True, rename="camel"):
    """A conditional order; `actual_order_id` is "" until it has triggered and become an order."""

    algo_id: int
    client_algo_id: str
    algo_type: str
    symbol: str
    side: str
    position_side: str
    time_in_force: str
    quantity: Decimal
    algo_status: str
    trigger_price: Decimal
    order_type: str = ""
    type: str = ""
    price: Decimal = Decimal(0)
    reduce_only: bool = False
    close_position: bool = False
    actual_order_id: str = ""
    create_time: int = 0
    update_time: int = 0


class Said(Struct, frozen=True):
    """A yes in words, such as to cancelling all orders; an error has the same shape."""

    code: int
    msg: str


class Countdown(Struct, frozen=True, rename="camel"):
    """The dead man's switch: in how many ms all orders of the symbol are cancelled, 0 = never."""

    symbol: str
    countdown_time: str


class Amendment(Struct, frozen=True, rename="camel"):
    """One change that was made to an order."""

    amendment_id: int
    symbol: str
    order_id: int
    client_order_id: str
    time: int


class Position(Struct, frozen=True, rename="camel"):
    """A position and what it risks; short ones are negative."""

    symbol: str
    position_amt: Decimal
    entry_price: Decimal
    mark_price: Decimal
    un_realized_profit: Decimal
    liquidation_price: Decimal
    position_side: str
    leverage: str = ""
    margin_type: str = ""
    notional: Decimal = Decimal(0)
    update_time: int = 0


class Balance(Struct, frozen=True, rename="camel"):
    """One asset of a futures account."""

    asset: str
    balance: Decimal
    cross_wallet_balance: Decimal
    available_balance: Decimal
    update_time: int = 0


class Account(Struct, frozen=True, rename="camel"):
    """A futures account in sums, in USD."""

    total_initial_margin: Decimal
    total_maint_margin: Decimal
    total_wallet_balance: Decimal
    total_unrealized_profit: Decimal
    total_margin_balance: Decimal
    available_balance: Decimal


class AccountConfig(Struct, frozen=True, rename="camel"):
    """What an account may do."""

    fee_tier: int
    can_trade: bool
    dual_side_position: bool
    multi_assets_margin: bool


class Fill(Struct, frozen=True, rename="camel"):
    """One of our fills."""

    symbol: str
    id: int
    order_id: int
    side: str
    price: Decimal
    qty: Decimal
    realized_pnl: Decimal
    commission: Decimal
    commission_asset: str
    time: int
    maker: bool
    position_side: str = "BOTH"


class Income(Struct, frozen=True, rename="camel"):
    """One booking: funding, commission, profit, transfer."""

    symbol: str
    income_type: str
    income: Decimal
    asset: str
    time: int
    tran_id: int | str


class Leverage(Struct, frozen=True, rename="camel"):
    """The leverage of one symbol after it was set."""

    symbol: str
    leverage: int
    max_notional_value: str


class Bracket(Struct, frozen=True, rename="camel"):
    """One step of a symbol's margin table."""

    bracket: int
    initial_leverage: int
    notional_cap: Decimal
    notional_floor: Decimal
    maint_margin_ratio: Decimal
    cum: Decimal


class Brackets(Struct, frozen=True, rename="camel"):
    """A symbol's margin table."""

    symbol: str
    brackets: tuple[Bracket, ...]


class CommissionRate(Struct, frozen=True, rename="camel"):
    """What trading costs, as fractions of the notional."""

    symbol: str
    maker_commission_rate: Decimal
    taker_commission_rate: Decimal


class SymbolConfig(Struct, frozen=True, rename="camel"):
    """How one symbol is set up for this account."""

    symbol: str
    margin_type: str
    leverage: int


class PositionMode(Struct, frozen=True, rename="camel"):
    """Whether long and short positions of a symbol are held side by side."""

    dual_side_position: bool


class MultiAssets(Struct, frozen=True, rename="camel"):
    """Whether all assets are margin for all positions."""

    multi_assets_margin: bool


class AdlQuantile(Struct, frozen=True, rename="camel"):
    """How soon positions would be used to settle those of others, from 0 to 4."""

    symbol: str
    adl_quantile: dict[str, int]


class ListenKey(Struct, frozen=True, rename="camel"):
    """The key of a user-data stream, which is a secret."""

    listen_key: str

    def __repr__(self) -> str:
        return "ListenKey()"


_raw_list = msgspec.json.Decoder(list[Raw])
_order = msgspec.json.Decoder(Order)
_said = msgspec.json.Decoder(Said)


def batch(body: bytes) -> tuple[Order | Said, ...]:
    """Return the answers to a batch of orders, each an order or why it was refused; raise UnreadableLine."""
    try:
        str(body, "utf-8")
        return tuple(
            _order.decode(entry) if b'"orderId"' in bytes(entry) else _said.decode(entry)
            for entry in _raw_list.decode(body)
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableLine("batch of orders", 1, str(error)) from None
