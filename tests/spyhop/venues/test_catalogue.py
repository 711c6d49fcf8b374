"""Known instruments and what exchangeInfo says."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from spyhop.errors import MissingInput
from spyhop.model.tape import Venue
from spyhop.venues import catalogue

CRYPTOFEED = Path(__file__).resolve().parents[4] / "shared" / "data" / "wire" / "cryptofeed" / "sample_data"


def test_known_instruments_are_whole() -> None:
    keys = {instrument.key for instrument in catalogue.known().values()}
    assert keys >= {"binance-usdm:BTCUSDT", "binance-spot:ETHUSDT", "binance-coinm:BTCUSD_PERP", "dydx:BTC-USD"}
    for (venue, symbol), instrument in catalogue.known().items():
        assert (instrument.venue, instrument.symbol, instrument.id) == (venue, symbol, 0)
        assert not instrument.is_inferred
        floors = [tier.floor for tier in instrument.margin_tiers]
        assert floors == sorted(set(floors))


def test_maintenance_margin_is_continuous_where_tiers_meet() -> None:
    for instrument in catalogue.known().values():
        tiers = instrument.margin_tiers
        for lower, upper in pairwise(tiers):
            at = upper.floor
            below = at * lower.maintenance_rate - lower.amount
            above = at * upper.maintenance_rate - upper.amount
            assert below == above, (instrument.key, at)
            assert lower.max_leverage > upper.max_leverage


def test_a_coin_margined_contract_is_inverse() -> None:
    perp = catalogue.by_key("binance-coinm:BTCUSD_PERP")
    assert perp.is_inverse
    assert perp.notional(0, 3) == 300.0


def test_an_unknown_key_names_the_known_ones() -> None:
    with pytest.raises(MissingInput, match="binance-usdm:BTCUSDT"):
        catalogue.by_key("binance-usdm:NOPE")


def test_what_was_told_goes_before_what_ships() -> None:
    told = catalogue.inferred(Venue.BINANCE_USDM, "BTCUSDT", 2, 4)
    assert catalogue.find(Venue.BINANCE_USDM, "BTCUSDT", {told.key: told}) == told
    assert catalogue.find(Venue.BINANCE_USDM, "NOPE") is None


@pytest.mark.parametrize(
    ("symbol", "parts"),
    [
        ("BTCUSDT", ("BTC", "USDT")),
        ("BTCUSD_PERP", ("BTC", "USD")),
        ("BTCUSD_250926", ("BTC", "USD")),
        ("ETH-USD", ("ETH", "USD")),
        ("1000SHIBFDUSD", ("1000SHIB", "FDUSD")),
        ("LRCBTC", ("LRC", "BTC")),
        ("XYZ", ("XYZ", "")),
        ("USDT", ("USDT", "")),
    ],
)
def test_symbols_are_split(symbol: str, parts: tuple[str, str]) -> None:
    assert catalogue.split_symbol(symbol) == parts


@pytest.mark.parametrize(
    ("unit", "parts"),
    [("0.1", (1, 1)), ("0.010", (2, 1)), ("1", (0, 1)), ("10", (0, 10)), ("0.25", (2, 25)), ("1E-8", (8, 1))],
)
def test_units_are_taken_apart(unit: str, parts: tuple[int, int]) -> None:
    assert catalogue.decimals_of(Decimal(unit)) == parts


def test_exchange_info_speaks_through_its_filters() -> None:
    body = {
        "symbols": [
            {"symbol": "OLD", "filters": []},
            {
                "symbol": "BTCUSDT",
                "baseAsset": "BTC",
                "quoteAsset": "USDT",
                "pricePrecision": 2,
                "filters": [
                    {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
                    {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001"},
                    {"filterType": "MIN_NOTIONAL", "notional": "100"},
                ],
            },
        ]
    }
    (btc,) = catalogue.exchange_info(Venue.BINANCE_USDM, body)
    assert (btc.id, btc.tick_size, btc.lot_size, btc.min_notional) == (0, Decimal("0.1"), Decimal("0.001"), 100)
    assert btc.margin_tiers == catalogue.by_key("binance-usdm:BTCUSDT").margin_tiers


@pytest.mark.skipif(not CRYPTOFEED.is_dir(), reason="the recordings are not here")
@pytest.mark.parametrize(
    ("name", "venue"), [("BINANCE.0", Venue.BINANCE_SPOT), ("BINANCE_FUTURES.0", Venue.BINANCE_USDM)]
)
def test_recorded_exchange_info_is_read(name: str, venue: Venue) -> None:
    line = (CRYPTOFEED / name).read_text().splitlines()[0]
    body = json.loads(line.split(" -> ")[1].split(": ", 1)[1])
    instruments = catalogue.exchange_info(venue, body)
    assert len(instruments) == len(body["symbols"])
    assert [instrument.id for instrument in instruments] == list(range(len(instruments)))
    btc = next(instrument for instrument in instruments if instrument.symbol == "BTCUSDT")
    assert (btc.base, btc.quote, btc.tick_size) == ("BTC", "USDT", Decimal("0.01"))
