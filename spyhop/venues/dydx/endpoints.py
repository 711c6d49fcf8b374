"""Names at the indexer: channels, candle resolutions, what to say to subscribe, REST paths."""

from __future__ import annotations

import msgspec

ORDERBOOK = "v4_orderbook"
TRADES = "v4_trades"
CANDLES = "v4_candles"
MARKETS = "v4_markets"
BLOCK_HEIGHT = "v4_block_height"
SUBACCOUNTS = "v4_subaccounts"
PARENT_SUBACCOUNTS = "v4_parent_subaccounts"

RESOLUTIONS: dict[str, int] = {
    "1MIN": 60,
    "5MINS": 300,
    "15MINS": 900,
    "1HOUR": 3_600,
    "4HOURS": 14_400,
    "1DAY": 86_400,
}
"""Seconds of the resolutions that the tape holds; the venue has no three minutes, and the tape no thirty."""

MAX_CANDLES = 1_000
MAX_TRADES = 1_000
MAX_FUNDINGS = 1_000


def subscribe(channel: str, subject: str = "", *, batched: bool = False) -> bytes:
    """Return the message that subscribes to `channel` of `subject` (a ticker, `BTC-USD/1MIN`, `address/0`)."""
    words: dict[str, str | bool] = {"type": "subscribe", "channel": channel}
    if subject:
        words["id"] = subject
    if batched:
        words["batched"] = True
    return msgspec.json.encode(words)


def unsubscribe(channel: str, subject: str = "") -> bytes:
    """Return the message that ends a subscription."""
    words = {"type": "unsubscribe", "channel": channel}
    if subject:
        words["id"] = subject
    return msgspec.json.encode(words)


def stream_of(channel: str, subject: str = "") -> str:
    """Return our name of a stream: `v4_candles` of `BTC-USD/5MINS` is `candles_5MINS`, all others lose the `v4_`."""
    name = channel.removeprefix("v4_")
    return f"{name}_{subject.rsplit('/', 1)[-1]}" if channel == CANDLES else name


def orderbook(ticker: str) -> str:
    """Return the REST path of the book."""
    return f"/orderbooks/perpetualMarket/{ticker}"


def trades(ticker: str) -> str:
    """Return the REST path of the trades."""
    return f"/trades/perpetualMarket/{ticker}"


def candles(ticker: str) -> str:
    """Return the REST path of the candles; this one says perpetualMarkets, with an s."""
    return f"/candles/perpetualMarkets/{ticker}"


def historical_funding(ticker: str) -> str:
    """Return the REST path of the funding rates that were paid."""
    return f"/historicalFunding/{ticker}"


def subaccount(address: str, number: int) -> str:
    """Return the REST path of one subaccount."""
    return f"/addresses/{address}/subaccountNumber/{number}"
