"""Binance's frames and REST bodies about the market, as typed structures; what a body has beyond them is ignored.

Only what the compiled decoder does not read is here. Prices and sizes stay the text that the venue sent: whoever needs
a number takes it on the instrument's grid. `Raw` fields are tokens of JSON that are passed on to that decoder.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Raw, Struct

Millis = Annotated[int, msgspec.Meta(ge=100_000_000_000, lt=4_100_000_000_000)]
"""A time in ms between 1973 and 2099; REST bodies are read leniently, so that one in quotes is taken too."""

_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?")


def number(text: str) -> Decimal:
    """Return the decimal number that `text` says; raise ValueError for anything but plain digits."""
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(f"not a number: {text[:40]!r}")
    return Decimal(text)


# ---------------------------------------------------------------- sockets


class Refusal(Struct, frozen=True):
    """Why the venue did not do what it was asked."""

    code: int = 0
    msg: str = ""


class Envelope(Struct, frozen=True):
    """The outermost layer of any object that a socket can send, to tell what it is.

    `id` is that of the request which a message answers; `event` holds spot's account events.
    """

    stream: str = ""
    data: Raw = Raw(b"")
    event: Raw = Raw(b"")
    kind: str = msgspec.field(name="e", default="")
    id: int | str | None = None
    status: int = 200
    result: Raw = Raw(b"")
    error: Refusal | None = None
    code: int | None = None
    msg: str = ""

    @property
    def refusal(self) -> Refusal | None:
        """Return why a request was refused, None when this is no refusal."""
        if self.error is not None:
            return self.error
        return None if self.code is None else Refusal(self.code, self.msg)


class PartialBook(Struct, frozen=True, rename={"last_id": "lastUpdateId", "bids": "bids", "asks": "asks"}):
    """The best levels of spot's book."""

    last_id: Raw
    bids: Raw
    asks: Raw


class PartialDepth(
    Struct, frozen=True, rename={"last_id": "u", "bids": "b", "asks": "a", "ts_sent": "E", "ts_event": "T"}
):
    """The best levels of the book of USDT-M, which look like a diff."""

    last_id: Raw
    bids: Raw
    asks: Raw
    ts_sent: Raw
    ts_event: Raw


class Ticker(
    Struct,
    frozen=True,
    rename={
        "ts_event": "E",
        "symbol": "s",
        "change": "p",
        "last": "c",
        "volume": "v",
        "turnover": "q",
        "num_trades": "n",
    },
):
    """The last 24 hours of one symbol, from `@ticker`."""

    ts_event: Millis
    symbol: str
    change: str
    last: str
    volume: str
    turnover: str
    num_trades: int


class MiniTicker(
    Struct, frozen=True, rename={"ts_event": "E", "symbol": "s", "last": "c", "volume": "v", "turnover": "q"}
):
    """The last 24 hours of one symbol in short, from `@miniTicker`."""

    ts_event: int
    symbol: str
    last: str
    volume: str
    turnover: str


# ---------------------------------------------------------------- REST


class ServerTime(Struct, frozen=True, rename="camel"):
    """The venue's time in ms."""

    server_time: Millis


class RateLimit(Struct, frozen=True, rename="camel"):
    """One limit out of exchangeInfo: so many of a kind in so many intervals."""

    rate_limit_type: str = ""
    interval: str = ""
    interval_num: int = 0
    limit: int = 0


class Market(Struct, frozen=True, rename="camel"):
    """One symbol of exchangeInfo in brief; its grid is the catalogue's business."""

    symbol: str
    status: str = ""
    base_asset: str = ""
    quote_asset: str = ""
    contract_type: str = ""
    order_types: tuple[str, ...] = ()
    filters: tuple[dict[str, str | int | float | bool], ...] = ()


class ExchangeInfo(Struct, frozen=True, rename="camel"):
    """The venue's limits and symbols."""

    rate_limits: tuple[RateLimit, ...]
    symbols: tuple[Market, ...]


class BookTicker(Struct, frozen=True, rename="camel"):
    """The best prices of one symbol; spot's has neither time nor update id."""

    symbol: Raw
    bid_price: Raw
    bid_qty: Raw
    ask_price: Raw
    ask_qty: Raw
    time: Raw = Raw(b"")
    last_update_id: Raw = Raw(b"0")


class Day(Struct, frozen=True, rename="camel"):
    """The last 24 hours of one symbol by REST."""

    symbol: str
    price_change: str
    last_price: str
    volume: str
    quote_volume: str
    close_time: Millis
    count: int


class PremiumIndex(Struct, frozen=True, rename="camel"):
    """Mark and index price, and the funding that they predict."""

    symbol: Raw
    mark_price: Raw
    index_price: Raw
    last_funding_rate: Raw
    next_funding_time: Raw
    time: Raw


class FundingRate(Struct, frozen=True, rename="camel"):
    """A funding rate that was paid."""

    symbol: str
    funding_rate: str
    funding_time: Millis


class FundingInfo(Struct, frozen=True, rename="camel"):
    """A symbol whose funding is not every 8 hours within the usual bounds."""

    symbol: str
    adjusted_funding_rate_cap: str
    adjusted_funding_rate_floor: str
    funding_interval_hours: int


class OpenInterest(Struct, frozen=True, rename="camel"):
    """Open contracts now, in base currency."""

    symbol: str
    open_interest: str
    time: Millis


class PastOpenInterest(Struct, frozen=True, rename="camel"):
    """Open contracts at a time, in base currency and in quote currency."""

    symbol: str
    sum_open_interest: str
    sum_open_interest_value: str
    timestamp: Millis


class LongShort(Struct, frozen=True, rename="camel"):
    """Longs and shorts as shares of all accounts, or of the positions of the top ones."""

    symbol: str
    long_short_ratio: str
    long_account: str
    short_account: str
    timestamp: Millis


class TakerVolume(Struct, frozen=True, rename="camel"):
    """What takers bought and sold in a period, in base currency."""

    buy_sell_ratio: str
    buy_vol: str
    sell_vol: str
    timestamp: Millis


class Trade(Struct, frozen=True, rename="camel"):
    """One fill of the public tape by REST."""

    id: Raw
    price: Raw
    qty: Raw
    time: Raw
    is_buyer_maker: Raw


class Price(Struct, frozen=True):
    """The last price of one symbol."""

    symbol: str
    price: str


class AveragePrice(Struct, frozen=True):
    """The mean price of the last `mins` minutes, on spot."""

    mins: int
    price: str
