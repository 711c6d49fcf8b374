from __future__ import annotations

from decimal import Decimal

import pytest

from spyhop.errors import MissingInput
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Venue
from spyhop.venues.endpoints import LIVE
from spyhop.venues.params import FeedParams
from spyhop.venues.raw.replay import RecordedAnswers
from spyhop.wiring.adapters import adapter_of


def instrument(venue: Venue, symbol: str) -> Instrument:
    return Instrument(id=0, venue=venue, symbol=symbol, tick_size=Decimal("0.1"), lot_size=Decimal("0.001"))


@pytest.mark.parametrize(
    ("venue", "symbol", "url"),
    [
        (Venue.BINANCE_USDM, "BTCUSDT", "wss://fstream.binance.com/"),
        (Venue.BINANCE_SPOT, "BTCUSDT", "wss://stream.binance.com:9443/"),
        (Venue.DYDX, "BTC-USD", "wss://indexer.dydx.trade/v4/ws"),
        (Venue.BYBIT, "BTC/USDT:USDT", "ccxt://bybit/BTC/USDT:USDT"),
        (Venue.KRAKEN, "BTC/USD", "ccxt://kraken/BTC/USD"),
        (Venue.CCXT, "okx/BTC/USDT", "ccxt://okx/BTC/USDT"),
    ],
)
def test_every_venue_with_a_live_feed_has_an_adapter_that_goes_there(venue: Venue, symbol: str, url: str) -> None:
    one = instrument(venue, symbol)
    adapter = adapter_of(one, LIVE, FeedParams(), RecordedAnswers())
    assert adapter.instrument == one
    assert all(plan.url.startswith(url) for plan in adapter.sockets())


def test_a_venue_without_one_is_said_in_a_sentence() -> None:
    with pytest.raises(MissingInput, match="dydx-v3 has no live feed"):
        adapter_of(instrument(Venue.DYDX_V3, "BTC-USD"), LIVE, FeedParams(), RecordedAnswers())
