"""Names at the indexer."""

from __future__ import annotations

import json

from spyhop.model.tape import INTERVALS_S
from spyhop.venues.dydx import endpoints


def test_messages_have_the_words_of_the_venue() -> None:
    assert json.loads(endpoints.subscribe(endpoints.MARKETS)) == {"type": "subscribe", "channel": "v4_markets"}
    assert json.loads(endpoints.unsubscribe(endpoints.TRADES, "BTC-USD")) == {
        "type": "unsubscribe", "channel": "v4_trades", "id": "BTC-USD"
    }  # fmt: skip


def test_every_resolution_is_an_interval_of_the_tape_but_three_minutes() -> None:
    assert set(INTERVALS_S.values()) - set(endpoints.RESOLUTIONS.values()) == {180}


def test_streams_are_told_apart_by_resolution() -> None:
    assert endpoints.stream_of("v4_candles", "BTC-USD/5MINS") == "candles_5MINS"
    assert endpoints.stream_of("v4_orderbook", "BTC-USD") == "orderbook"
