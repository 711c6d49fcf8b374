from __future__ import annotations

import pytest

from spyhop.venues.net.urls import shown

KEY = "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1"


@pytest.mark.parametrize(
    ("url", "harmless"),
    [
        ("wss://fstream.binance.com/market/ws", "wss://fstream.binance.com/market/ws"),
        ("wss://h:9443/stream?streams=btcusdt@aggTrade", "wss://h:9443/stream"),
        (f"wss://h/private/ws?listenKey={KEY}", "wss://h/private/ws"),
        ("wss://h/private/ws/short", "wss://h/private/ws/***"),
        (f"wss://h/ws/{KEY}", "wss://h/ws/***"),
        ("https://user:word@h/fapi/v1/order?signature=abc#x", "https://h/fapi/v1/order"),
        ("wss://h/ws/btcusdt@depth@100ms", "wss://h/ws/btcusdt@depth@100ms"),
        ("ws://[::1]:80/ws", "ws://[::1]:80/ws"),
    ],
)
def test_a_shown_url_gives_no_access(url: str, harmless: str) -> None:
    assert shown(url) == harmless
