"""Weights against the venue's table."""

from __future__ import annotations

import pytest

from spyhop.venues.binance.limits import weigh


@pytest.mark.parametrize(
    ("method", "path", "params", "weight"),
    [
        ("GET", "/fapi/v1/premiumIndex", {"symbol": "BTCUSDT"}, 1),
        ("GET", "/fapi/v1/premiumIndex", {}, 10),
        ("GET", "/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": 1000}, 20),
        ("GET", "/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": 5}, 2),
        ("GET", "/fapi/v1/depth", {"symbol": "BTCUSDT"}, 10),
        ("GET", "/fapi/v1/klines", {"limit": 99}, 1),
        ("GET", "/fapi/v1/klines", {"limit": 100}, 2),
        ("GET", "/fapi/v1/klines", {"limit": "1000"}, 5),
        ("GET", "/fapi/v1/klines", {"limit": 1500}, 10),
        ("GET", "/fapi/v1/aggTrades", {}, 20),
        ("GET", "/fapi/v1/ticker/24hr", {"symbol": "BTCUSDT"}, 1),
        ("GET", "/fapi/v1/ticker/24hr", {}, 40),
        ("GET", "/futures/data/openInterestHist", {}, 1),
        ("POST", "/fapi/v1/order", {}, 0),
        ("GET", "/fapi/v1/order", {}, 1),
        ("GET", "/api/v3/depth", {"limit": 1000}, 50),
        ("GET", "/api/v3/depth", {"limit": 9_999}, 250),
        ("GET", "/api/v3/somethingNew", {}, 20),
    ],
)
def test_a_request_weighs_what_the_venue_says(
    method: str, path: str, params: dict[str, str | int], weight: int
) -> None:
    assert weigh(method, path, params) == weight
