"""What Binance calls its streams, routes and REST paths.

USDT-M sockets have three routes. A stream asked for on a wrong one is acknowledged and then never speaks, so the table
here decides where each is asked for; spot has no routes.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from spyhop.model.tape import INTERVALS_S, Venue

INTERVALS: tuple[str, ...] = tuple(INTERVALS_S)
"""The bars that are asked for."""

PARTIAL_BOOKS: tuple[str, ...] = ("depth5", "depth10", "depth20")

MAX_STREAMS = 200
"""Streams of one connection at most; the venue permits 1,024, but clients in the field stay at 200."""

MAX_MESSAGES_PER_S = {Venue.BINANCE_USDM: 10, Venue.BINANCE_SPOT: 5}
"""Messages a second that a client may send on one connection before it is thrown out."""


class Route(StrEnum):
    """Where a USDT-M stream is served."""

    PUBLIC = "public"
    MARKET = "market"
    PRIVATE = "private"


_ROUTES: dict[str, Route] = {
    "depth": Route.PUBLIC,
    "depth5": Route.PUBLIC,
    "depth10": Route.PUBLIC,
    "depth20": Route.PUBLIC,
    "rpiDepth": Route.PUBLIC,
    "bookTicker": Route.PUBLIC,
    "trade": Route.PUBLIC,
    "aggTrade": Route.MARKET,
    "kline": Route.MARKET,
    "continuousKline": Route.MARKET,
    "markPrice": Route.MARKET,
    "ticker": Route.MARKET,
    "miniTicker": Route.MARKET,
    "forceOrder": Route.MARKET,
    "compositeIndex": Route.MARKET,
    "contractInfo": Route.MARKET,
    "assetIndex": Route.MARKET,
}


def stream(symbol: str, kind: str) -> str:
    """Return the name of a stream, such as `btcusdt@kline_1m`."""
    return f"{symbol.lower()}@{kind}"


def route_of(name: str) -> Route:
    """Return the USDT-M route that serves the stream `name`; raise KeyError for one that nobody knows."""
    first, _, rest = name.partition("@")
    kind = first[1:] if name.startswith("!") else rest.partition("@")[0]
    return _ROUTES[kind.partition("_")[0]]


def combined_url(ws: str, venue: Venue, names: Sequence[str]) -> str:
    """Return the URL that serves all of `names` (of one route) in the envelope that tells them apart."""
    route = f"/{route_of(names[0])}" if venue is Venue.BINANCE_USDM else ""
    return f"{ws}{route}/stream?streams={'/'.join(names)}"


def private_url(ws: str, listen_key: str) -> str:
    """Return the URL of a USDT-M user-data stream; the key in it is a secret."""
    return f"{ws}/{Route.PRIVATE}/ws?listenKey={listen_key}"


class Paths(msgspec.Struct, frozen=True):
    """The REST paths of one market's data; "" is what the market does not have."""

    time: str
    exchange_info: str
    depth: str
    klines: str
    agg_trades: str
    trades: str
    book_ticker: str
    ticker: str
    premium_index: str = ""
    funding_rate: str = ""
    funding_info: str = ""
    open_interest: str = ""
    open_interest_history: str = ""
    top_positions: str = ""
    top_accounts: str = ""
    global_accounts: str = ""
    taker_volume: str = ""


USDM = Paths(
    time="/fapi/v1/time",
    exchange_info="/fapi/v1/exchangeInfo",
    depth="/fapi/v1/depth",
    klines="/fapi/v1/klines",
    agg_trades="/fapi/v1/aggTrades",
    trades="/fapi/v1/trades",
    book_ticker="/fapi/v1/ticker/bookTicker",
    ticker="/fapi/v1/ticker/24hr",
    premium_index="/fapi/v1/premiumIndex",
    funding_rate="/fapi/v1/fundingRate",
    funding_info="/fapi/v1/fundingInfo",
    open_interest="/fapi/v1/openInterest",
    open_interest_history="/futures/data/openInterestHist",
    top_positions="/futures/data/topLongShortPositionRatio",
    top_accounts="/futures/data/topLongShortAccountRatio",
    global_accounts="/futures/data/globalLongShortAccountRatio",
    taker_volume="/futures/data/takerlongshortRatio",
)
SPOT = Paths(
    time="/api/v3/time",
    exchange_info="/api/v3/exchangeInfo",
    depth="/api/v3/depth",
    klines="/api/v3/klines",
    agg_trades="/api/v3/aggTrades",
    trades="/api/v3/trades",
    book_ticker="/api/v3/ticker/bookTicker",
    ticker="/api/v3/ticker/24hr",
)


def paths_of(venue: Venue) -> Paths:
    """Return the REST paths of `venue`; raise KeyError unless it is USDT-M or spot."""
    return {Venue.BINANCE_USDM: USDM, Venue.BINANCE_SPOT: SPOT}[venue]
