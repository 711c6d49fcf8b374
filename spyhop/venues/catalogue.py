"""Known instruments: what ships with the package, what a venue's exchangeInfo says, what a recording lets us infer."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, TypeAlias

from spyhop.errors import MissingInput
from spyhop.model.instruments import Instrument, MarginTier
from spyhop.model.tape import Venue, venue_of

_QUOTES = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "BTC", "ETH", "BNB", "EUR", "TRY", "BRL", "JPY")

Known: TypeAlias = Mapping[str, Instrument]
"""Instruments by key that go before the shipped ones, such as those a lake already has, or of an exchangeInfo."""

NONE_KNOWN: Known = MappingProxyType({})


@cache
def known() -> Mapping[tuple[Venue, str], Instrument]:
    """Return the shipped instruments by (venue, symbol), each with id 0."""
    text = files("spyhop.venues").joinpath("catalogue.toml").read_text(encoding="utf-8")
    entries = tomllib.loads(text)["instruments"]
    instruments = [_shipped(entry) for entry in entries]
    return {(instrument.venue, instrument.symbol): instrument for instrument in instruments}


def find(venue: Venue, symbol: str, told: Known = NONE_KNOWN) -> Instrument | None:
    """Return the instrument that was `told`, else the shipped one, else None."""
    return told.get(f"{venue.label}:{symbol}") or known().get((venue, symbol))


def by_key(key: str) -> Instrument:
    """Return the shipped instrument called `venue:symbol`; raise MissingInput, which names those there are."""
    for instrument in known().values():
        if instrument.key == key:
            return instrument
    names = ", ".join(instrument.key for instrument in known().values())
    raise MissingInput(f"no known instrument is called {key!r}; known are {names}")


def inferred(venue: Venue, symbol: str, price_decimals: int, qty_decimals: int) -> Instrument:
    """Return an instrument whose tick and lot are the finest decimals of a recording, marked `is_inferred`."""
    base, quote = split_symbol(symbol)
    return Instrument(
        id=0,
        venue=venue,
        symbol=symbol,
        tick_size=_unit(price_decimals),
        lot_size=_unit(qty_decimals),
        base=base,
        quote=quote,
        is_inverse=venue is Venue.BINANCE_COINM,
        is_inferred=True,
    )


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return (base, quote) of `BTCUSDT`, `BTCUSD_PERP`, `BTC-USD`; quote is empty when it cannot be told."""
    name = symbol.split("_", maxsplit=1)[0]
    if "-" in name:
        base, quote = name.split("-", 1)
        return base, quote
    for quote in _QUOTES:
        if name.endswith(quote) and len(name) > len(quote):
            return name.removesuffix(quote), quote
    return name, ""


def exchange_info(venue: Venue, body: Mapping[str, Any]) -> tuple[Instrument, ...]:
    """Return the instruments of Binance's exchangeInfo (spot, USDT-M or COIN-M), numbered in its order.

    Tick, lot and minimums come from the filters, never from `pricePrecision`; symbols whose filters give no tick or
    lot are left out. Margin tiers are not part of exchangeInfo: the shipped ones are taken where there are any.
    """
    listed = [_listed(venue, entry) for entry in body.get("symbols", ())]
    return tuple(instrument.numbered(i) for i, instrument in enumerate(x for x in listed if x is not None))


def decimals_of(unit: Decimal) -> tuple[int, int]:
    """Return (d, n) with unit = n x 10^-d, d >= 0 as small as it can be."""
    normal = unit.normalize()
    exponent = normal.as_tuple().exponent
    decimals = max(0, -exponent) if isinstance(exponent, int) else 0
    return decimals, int(normal.scaleb(decimals))


def _unit(decimals: int) -> Decimal:
    return Decimal(1).scaleb(-decimals)


def _shipped(entry: dict[str, Any]) -> Instrument:
    return Instrument(
        id=0,
        venue=venue_of(entry["venue"]),
        symbol=entry["symbol"],
        base=entry["base"],
        quote=entry["quote"],
        tick_size=Decimal(entry["tick_size"]),
        lot_size=Decimal(entry["lot_size"]),
        multiplier=Decimal(entry.get("multiplier", "1")),
        is_inverse=entry.get("is_inverse", False),
        min_qty=Decimal(entry.get("min_qty", "0")),
        min_notional=Decimal(entry.get("min_notional", "0")),
        margin_tiers=tuple(
            MarginTier(Decimal(floor), Decimal(rate), Decimal(leverage), Decimal(amount))
            for floor, rate, leverage, amount in entry.get("tiers", ())
        ),
    )


def _listed(venue: Venue, entry: Mapping[str, Any]) -> Instrument | None:
    filters = {f["filterType"]: f for f in entry.get("filters", ())}
    tick = Decimal(filters.get("PRICE_FILTER", {}).get("tickSize", "0"))
    lot = Decimal(filters.get("LOT_SIZE", {}).get("stepSize", "0"))
    if tick <= 0 or lot <= 0:
        return None
    notional = filters.get("MIN_NOTIONAL") or filters.get("NOTIONAL") or {}
    shipped = find(venue, entry["symbol"])
    return Instrument(
        id=0,
        venue=venue,
        symbol=entry["symbol"],
        base=entry.get("baseAsset", ""),
        quote=entry.get("quoteAsset", ""),
        tick_size=tick.normalize(),
        lot_size=lot.normalize(),
        multiplier=Decimal(str(entry.get("contractSize", 1))),
        is_inverse=venue is Venue.BINANCE_COINM,
        min_qty=Decimal(filters["LOT_SIZE"].get("minQty", "0")),
        min_notional=Decimal(str(notional.get("notional") or notional.get("minNotional") or 0)),
        margin_tiers=shipped.margin_tiers if shipped else (),
    )
