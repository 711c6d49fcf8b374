"""Names and routes against the venue's table of 2026."""

from __future__ import annotations

import pytest

from spyhop.model.tape import Venue
from spyhop.venues.binance.endpoints import combined_url, paths_of, private_url, route_of, stream


@pytest.mark.parametrize(
    ("route", "names"),
    [
        ("public", ["btcusdt@depth", "btcusdt@depth@100ms", "btcusdt@depth5@100ms", "btcusdt@depth20"]),
        ("public", ["btcusdt@rpiDepth@500ms"]),
        ("public", ["btcusdt@bookTicker", "!bookTicker", "btcusdt@trade"]),
        ("market", ["btcusdt@aggTrade", "btcusdt@kline_1m", "btcusdt_perpetual@continuousKline_1h"]),
        ("market", ["btcusdt@markPrice", "btcusdt@markPrice@1s", "!markPrice@arr", "btcusdt@ticker"]),
        ("market", ["btcusdt@forceOrder", "!forceOrder@arr", "btcusdt@compositeIndex", "!contractInfo"]),
        ("market", ["!miniTicker@arr", "!assetIndex@arr"]),
    ],
)  # fmt: skip
def test_every_stream_has_the_route_that_serves_it(route: str, names: list[str]) -> None:
    assert {str(route_of(name)) for name in names} == {route}


def test_a_stream_that_nobody_knows_has_no_route() -> None:
    with pytest.raises(KeyError):
        route_of("btcusdt@nothing")


def test_urls() -> None:
    names = [stream("BTCUSDT", "depth@100ms"), stream("BTCUSDT", "bookTicker")]
    assert combined_url("wss://fstream.binance.com", Venue.BINANCE_USDM, names) == (
        "wss://fstream.binance.com/public/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker"
    )
    assert combined_url("wss://stream.binance.com:9443", Venue.BINANCE_SPOT, names[:1]) == (
        "wss://stream.binance.com:9443/stream?streams=btcusdt@depth@100ms"
    )
    assert private_url("ws://h", "key") == "ws://h/private/ws?listenKey=key"


def test_only_two_markets_have_paths() -> None:
    assert paths_of(Venue.BINANCE_SPOT).depth == "/api/v3/depth"
    with pytest.raises(KeyError):
        paths_of(Venue.DYDX)
