"""What the indexer sends, typed: socket messages by channel, REST bodies. Unknown keys are ignored.

A message is read once for its envelope, which leaves `contents` raw, and once more for the contents of its channel, so
what we do not want costs a skip. Prices and sizes stay texts here; `numbers` makes integers of an instrument of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, TypeAlias

import msgspec

Moment: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]


class Connected(msgspec.Struct, frozen=True, tag_field="type", tag="connected"):
    """The first message of a connection."""

    message_id: int
    connection_id: str = ""


class Subscribed(msgspec.Struct, frozen=True, tag_field="type", tag="subscribed"):
    """The answer to a subscription, with what REST would have said."""

    message_id: int
    channel: str
    contents: msgspec.Raw
    id: str = ""


class ChannelData(msgspec.Struct, frozen=True, tag_field="type", tag="channel_data"):
    """One update."""

    message_id: int
    channel: str
    contents: msgspec.Raw
    id: str = ""
    version: str = ""


class ChannelBatchData(msgspec.Struct, frozen=True, tag_field="type", tag="channel_batch_data"):
    """Updates of a quarter of a second, oldest first."""

    message_id: int
    channel: str
    contents: list[msgspec.Raw]
    id: str = ""
    version: str = ""


class Unsubscribed(msgspec.Struct, frozen=True, tag_field="type", tag="unsubscribed"):
    """The answer to the end of a subscription."""

    message_id: int
    channel: str = ""
    id: str = ""


class Error(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """A complaint; its id is that of the message before, or the one kept for the subscription that failed."""

    message: str = ""
    message_id: int = -1


Message: TypeAlias = Connected | Subscribed | ChannelData | ChannelBatchData | Unsubscribed | Error


class Level(msgspec.Struct, frozen=True):
    """A level of a whole book."""

    price: str
    size: str


class Book(msgspec.Struct, frozen=True):
    """A whole book, up to 100 levels a side: `subscribed` and REST."""

    bids: list[Level]
    asks: list[Level]


class BookUpdate(msgspec.Struct, frozen=True):
    """Levels by (price, size there is now); the size 0 removes."""

    bids: list[tuple[str, str]] = []
    asks: list[tuple[str, str]] = []


class Trade(msgspec.Struct, frozen=True, rename="camel"):
    """One trade; `side` is the taker's, `type` LIMIT, LIQUIDATED, DELEVERAGED or one that came later."""

    id: str
    side: str
    size: str
    price: str
    created_at: Moment
    created_at_height: str = ""
    type: str = "LIMIT"


class Trades(msgspec.Struct, frozen=True):
    """Trades: newest first in `subscribed` and REST, as they happened in updates."""

    trades: list[Trade]


class Candle(msgspec.Struct, frozen=True, rename="camel"):
    """One candle; `base_token_volume` in the base currency, `usd_volume` in the quote currency."""

    started_at: Moment
    resolution: str
    low: str
    high: str
    open: str
    close: str
    base_token_volume: str
    usd_volume: str
    trades: float
    ticker: str = ""
    starting_open_interest: str = ""
    orderbook_mid_price_open: str | None = None
    orderbook_mid_price_close: str | None = None


class Candles(msgspec.Struct, frozen=True):
    """Candles, newest first."""

    candles: list[Candle]


class Market(msgspec.Struct, frozen=True, rename="camel"):
    """One perpetual market; in updates only what changed is there."""

    ticker: str | None = None
    clob_pair_id: str | None = None
    status: str | None = None
    oracle_price: str | None = None
    price_change_24h: str | None = msgspec.field(default=None, name="priceChange24H")
    volume_24h: str | None = msgspec.field(default=None, name="volume24H")
    trades_24h: int | None = msgspec.field(default=None, name="trades24H")
    next_funding_rate: str | None = None
    initial_margin_fraction: str | None = None
    maintenance_margin_fraction: str | None = None
    open_interest: str | None = None
    atomic_resolution: int | None = None
    quantum_conversion_exponent: int | None = None
    tick_size: str | None = None
    step_size: str | None = None
    step_base_quantums: int | None = None
    subticks_per_tick: int | None = None
    market_type: str | None = None
    base_open_interest: str | None = None


class Markets(msgspec.Struct, frozen=True):
    """All markets by ticker, left raw: `subscribed` and REST."""

    markets: dict[str, msgspec.Raw]


class OraclePrice(msgspec.Struct, frozen=True, rename="camel"):
    """A new oracle price and since when it holds."""

    oracle_price: str
    effective_at: Moment
    effective_at_height: str = ""


class MarketsUpdate(msgspec.Struct, frozen=True, rename="camel"):
    """What changed in which markets, left raw."""

    oracle_prices: dict[str, msgspec.Raw] = {}
    trading: dict[str, msgspec.Raw] = {}


class Height(msgspec.Struct, frozen=True, rename="camel"):
    """A block: `height` in `subscribed` and REST, `blockHeight` in updates."""

    time: Moment
    height: str = ""
    block_height: str = ""


class Funding(msgspec.Struct, frozen=True, rename="camel"):
    """A funding rate of one hour that was paid."""

    rate: str
    price: str
    effective_at: Moment
    effective_at_height: str = ""
    ticker: str = ""


class HistoricalFunding(msgspec.Struct, frozen=True, rename="camel"):
    """Funding rates that were paid, newest first."""

    historical_funding: list[Funding]


class Time(msgspec.Struct, frozen=True):
    """What time it is at the venue."""

    iso: Moment
    epoch: float = 0.0


class Order(msgspec.Struct, frozen=True, rename="camel"):
    """An order, whole from REST and in parts from the subaccount's channel."""

    id: str
    client_id: str = ""
    clob_pair_id: str = ""
    side: str = ""
    size: str = ""
    total_filled: str = ""
    price: str = ""
    type: str = ""
    status: str = ""
    time_in_force: str = ""
    reduce_only: bool = False
    post_only: bool = False
    order_flags: str = ""
    good_til_block: str | None = None
    good_til_block_time: str | None = None
    created_at_height: str | None = None
    updated_at: Moment | None = None
    updated_at_height: str | None = None
    trigger_price: str | None = None
    client_metadata: str = ""
    ticker: str = ""
    removal_reason: str | None = None
    subaccount_number: int | None = None


class Fill(msgspec.Struct, frozen=True, rename="camel"):
    """A fill of one of our orders."""

    id: str
    side: str
    liquidity: str
    type: str
    size: str
    price: str
    created_at: Moment
    created_at_height: str = ""
    market: str = ""
    ticker: str = ""
    fee: str = "0"
    order_id: str | None = None
    client_metadata: str | None = None
    transaction_hash: str | None = None
    subaccount_number: int | None = None


class Position(msgspec.Struct, frozen=True, rename="camel"):
    """A perpetual position."""

    market: str
    status: str
    side: str
    size: str
    entry_price: str = ""
    max_size: str = ""
    exit_price: str | None = None
    realized_pnl: str | None = None
    unrealized_pnl: str | None = None
    net_funding: str | None = None
    sum_open: str | None = None
    sum_close: str | None = None
    created_at: Moment | None = None
    closed_at: Moment | None = None
    subaccount_number: int | None = None


class AssetPosition(msgspec.Struct, frozen=True, rename="camel"):
    """What is held of an asset; USDC is the money."""

    symbol: str
    side: str
    size: str
    asset_id: str = ""
    subaccount_number: int | None = None


class Transfer(msgspec.Struct, frozen=True, rename="camel"):
    """Money that came, went or moved between subaccounts."""

    id: str
    type: str
    amount: str
    created_at: Moment
    asset: str = ""
    created_at_height: str = ""
    transaction_hash: str = ""


class Subaccount(msgspec.Struct, frozen=True, rename="camel"):
    """A subaccount with its money and positions by name, or a parent with its children (one an isolated market)."""

    address: str
    subaccount_number: int | None = None
    parent_subaccount_number: int | None = None
    equity: str = "0"
    free_collateral: str = "0"
    open_perpetual_positions: dict[str, Position] = {}
    asset_positions: dict[str, AssetPosition] = {}
    child_subaccounts: list[Subaccount] = []
    margin_enabled: bool = True
    updated_at_height: str = ""
    latest_processed_block_height: str = ""


class SubaccountState(msgspec.Struct, frozen=True, rename="camel"):
    """`subscribed` of a subaccount or a parent; empty when it does not exist yet."""

    subaccount: Subaccount | None = None
    orders: list[Order] = []
    block_height: str = ""


class SubaccountUpdate(msgspec.Struct, frozen=True, rename="camel"):
    """What happened to a subaccount with one block."""

    orders: list[Order] = []
    fills: list[Fill] = []
    perpetual_positions: list[Position] = []
    asset_positions: list[AssetPosition] = []
    transfers: msgspec.Raw = msgspec.Raw()
    block_height: str = ""


class SubaccountAnswer(msgspec.Struct, frozen=True):
    """REST's answer about one subaccount."""

    subaccount: Subaccount


class Fills(msgspec.Struct, frozen=True):
    """Fills, newest first."""

    fills: list[Fill]


class Positions(msgspec.Struct, frozen=True):
    """Perpetual positions."""

    positions: list[Position]


class Transfers(msgspec.Struct, frozen=True):
    """Transfers, newest first."""

    transfers: list[Transfer]


Sparklines: TypeAlias = Mapping[str, list[str]]
"""Closes of the last day or week by ticker, newest first."""

UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding bytes of a stranger may raise."""

_messages: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
book = msgspec.json.Decoder(Book).decode
book_update = msgspec.json.Decoder(BookUpdate).decode
trades = msgspec.json.Decoder(Trades).decode
candle = msgspec.json.Decoder(Candle).decode
candles = msgspec.json.Decoder(Candles).decode
market = msgspec.json.Decoder(Market).decode
markets = msgspec.json.Decoder(Markets).decode
markets_update = msgspec.json.Decoder(MarketsUpdate).decode
oracle_price = msgspec.json.Decoder(OraclePrice).decode
height = msgspec.json.Decoder(Height).decode
subaccount_state = msgspec.json.Decoder(SubaccountState).decode
subaccount_update = msgspec.json.Decoder(SubaccountUpdate).decode


def message(data: bytes) -> Message:
    """Return a message of a socket; raises one of UNREADABLE."""
    check(data)
    return _messages.decode(data)


def check(data: bytes) -> None:
    """Raise UnicodeDecodeError unless `data` is UTF-8, which msgspec does not look at in what it skips."""
    if not data.isascii():
        data.decode()
