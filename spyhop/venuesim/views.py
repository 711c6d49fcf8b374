"""What the simulated exchange answers about its markets and accounts: plain values, exact, in the venue's own grid."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec


class MarginMode(StrEnum):
    """Whether a position may lose the whole wallet or only what was set aside for it."""

    CROSS = "cross"
    ISOLATED = "isolated"


class IncomeKind(StrEnum):
    """Why a balance changed."""

    REALIZED_PNL = "realized_pnl"
    COMMISSION = "commission"
    FUNDING_FEE = "funding_fee"
    TRANSFER = "transfer"
    INSURANCE_CLEAR = "insurance_clear"  # the insurance fund paid what a liquidation left below zero


class MarkPrice(msgspec.Struct, frozen=True, kw_only=True):
    """Mark, index and funding of a perpetual; `rate` is what the next stamp would pay, `next_funding` 0 if unknown."""

    ts: int
    mark: Decimal
    index: Decimal
    rate: Decimal
    next_funding: int
    interval: int


class Ticker(msgspec.Struct, frozen=True, kw_only=True):
    """The last 24 hours. Prices are ticks, 0 where unknown; `tick_lots` is the sum of price x lots of the trades."""

    ts: int
    ts_open: int
    open: int
    high: int
    low: int
    last: int
    last_lots: int
    lots: int
    tick_lots: int
    num_trades: int
    first_id: int
    last_id: int
    bid: int
    bid_lots: int
    ask: int
    ask_lots: int


class PositionView(msgspec.Struct, frozen=True, kw_only=True):
    """One position, or the settings of an instrument that is not held (`lots` 0). Money is quote currency.

    `liquidation` is the mark price at which the venue takes it over if nothing else moves, 0 when there is none;
    `margin` is the isolated wallet (0 for cross).
    """

    instrument: int
    lots: int
    entry: Decimal
    mark: Decimal
    unrealized: Decimal
    liquidation: Decimal
    leverage: int
    mode: MarginMode
    margin: Decimal
    notional: Decimal
    initial_margin: Decimal
    order_margin: Decimal
    maintenance_margin: Decimal
    realized: Decimal
    updated: int


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """One asset of an account. Of margin accounts the quote asset; of spot accounts every asset held.

    `wallet` counts isolated margins, `cross_wallet` does not; `available` may be used for new orders or transferred;
    `locked` is what open spot orders hold.
    """

    asset: str
    wallet: Decimal
    cross_wallet: Decimal
    available: Decimal
    locked: Decimal
    unrealized: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal


class Income(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a balance; `instrument` is -1 for transfers, `trade_id` 0 where no trade caused it."""

    income_id: int
    ts: int
    account: str
    kind: IncomeKind
    instrument: int
    asset: str
    amount: Decimal
    trade_id: int = 0
