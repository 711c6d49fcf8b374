"""From endpoints to clients: what the venues list, and a live feed for one of their instruments."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

import msgspec

from spyhop.clock import Clock
from spyhop.errors import MissingInput
from spyhop.model.instruments import Instrument
from spyhop.model.raw import RawKeeper
from spyhop.model.tape import Events, Venue, venue_of
from spyhop.venues.binance.limits import weigh
from spyhop.venues.binance.rest import BinanceRest
from spyhop.venues.ccxt.adapter import CCXT_VENUES, ccxt_names, exchange_and_symbol
from spyhop.venues.ccxt.transport import CcxtTransport
from spyhop.venues.dydx import limits as dydx_limits
from spyhop.venues.dydx.rest import DydxRest
from spyhop.venues.endpoints import BinanceEndpoints, Endpoints
from spyhop.venues.live.feed import Client, LiveFeed
from spyhop.venues.net import sockets
from spyhop.venues.net.https import HttpClient
from spyhop.venues.net.limits import BINANCE_SPOT, BINANCE_USDM, DYDX, Limit, SharedBudget, limits_of
from spyhop.venues.net.transport import Dial, Http
from spyhop.venues.params import FeedParams
from spyhop.venues.raw.tap import TappedAdapter, TappedHttp
from spyhop.wiring.adapters import adapter_of


class Listing(msgspec.Struct, frozen=True):
    """What venues say about the instruments that were asked for, and about how much may be asked of them."""

    instruments: tuple[Instrument, ...]
    limits: dict[str, tuple[Limit, ...]]  # by the venue's label


def venue_and_symbol(name: str) -> tuple[Venue, str]:
    """Return the venue and its own symbol for `BTCUSDT`, `BTC-USD` or `binance-spot:BTCUSDT`; raise MissingInput.

    A bare name with a dash is dYdX's, any other that of a USDT-M perpetual. What ccxt reaches is named as ccxt does:
    `bybit:BTC/USDT:USDT`, and `ccxt:okx/BTC/USDT:USDT` for an exchange that has no number of its own on the tape.
    """
    label, colon, symbol = name.partition(":")
    if not colon:
        return (Venue.DYDX if "-" in name else Venue.BINANCE_USDM), name
    try:
        return venue_of(label), symbol
    except KeyError:
        raise MissingInput(f"no venue is called {label!r}") from None


async def listed(endpoints: Endpoints, symbols: Sequence[str]) -> Listing:
    """Ask the venues for the instruments called `symbols`; raise MissingInput for one that is not listed.

    Margin tiers are no part of what a venue lists publicly: the shipped ones are taken where there are any. Raises
    VenueError when a venue cannot be asked.
    """
    named = [venue_and_symbol(name) for name in symbols]
    known: dict[Venue, dict[str, Instrument]] = {}
    limits: dict[str, tuple[Limit, ...]] = {}
    for venue in dict.fromkeys(venue for venue, _ in named):
        if venue in CCXT_VENUES:
            known[venue] = {}
            continue
        known[venue], limits[venue.label] = await _listed_by(endpoints, venue)
    for venue, symbol in named:
        if venue in CCXT_VENUES:
            known[venue][symbol] = await _listed_by_ccxt(endpoints, venue, symbol)
        if symbol not in known[venue]:
            near = ", ".join(sorted(known[venue])[:5])
            raise MissingInput(f"{venue.label} lists no {symbol}; it lists {near}, ...")
    found = (known[venue][symbol] for venue, symbol in named)
    is_simulated = endpoints.is_simulated
    return Listing(tuple(msgspec.structs.replace(one, is_simulated=is_simulated) for one in found), limits)


def live_feed(
    instrument: Instrument,
    endpoints: Endpoints,
    params: FeedParams,
    limits: Mapping[str, Sequence[Limit]] = MappingProxyType({}),
    *,
    seed: int = 0,
    raw: RawKeeper | None = None,
    kept: Callable[[int], Iterator[Events]] | None = None,
) -> LiveFeed:
    """Return the feed of one instrument; after a restart it begins with what `kept` has from an event number on.

    `limits` are those that the venues told when they listed the instrument; `raw` takes all that its adapter is told.
    """
    clock = endpoints.clock.clock()
    told = limits.get(instrument.venue.label, ())

    async def build() -> Client:
        client: Http
        dial: Dial
        if instrument.venue in CCXT_VENUES:
            client = dial = CcxtTransport(exchange_and_symbol(instrument)[0], clock)
        else:
            client, dial = _http(clock, endpoints, instrument.venue, told), sockets.connect(clock)
        if raw is None:
            return Client(adapter_of(instrument, endpoints, params, client), dial, client.close)
        tapped = adapter_of(instrument, endpoints, params, TappedHttp(client, raw, clock, instrument.key))
        return Client(TappedAdapter(tapped, raw, clock), dial, client.close)

    return LiveFeed(build, params, clock, instrument, seed=seed, kept=kept)


def budget_path(endpoints: Endpoints, url: str) -> Path:
    """Return the file in which all processes of this machine count what they ask of the venue at `url`.

    One machine is taken for one address. A simulator's file is its own: it lives by a clock of its own.
    """
    clock = f"-{endpoints.clock.anchor_ns}" if endpoints.is_simulated else ""
    folder = Path(tempfile.gettempdir()) / f"spyhop-limits-{os.getuid()}"
    return folder / f"{urlsplit(url).netloc.replace(':', '_')}{clock}"


async def _listed_by_ccxt(endpoints: Endpoints, venue: Venue, symbol: str) -> Instrument:
    exchange, name = ccxt_names(venue, symbol)
    if endpoints.is_simulated:
        raise MissingInput(f"the venue simulator is no {exchange}; say --venues live")
    transport = CcxtTransport(exchange, endpoints.clock.clock())
    try:
        return await transport.instrument(name)
    finally:
        await transport.close()


async def _listed_by(endpoints: Endpoints, venue: Venue) -> tuple[dict[str, Instrument], tuple[Limit, ...]]:
    http = _http(endpoints.clock.clock(), endpoints, venue, ())
    limits: tuple[Limit, ...]
    try:
        if venue is Venue.DYDX:
            instruments, limits = await DydxRest(http, endpoints.dydx).instruments(), DYDX
        else:
            instruments, body = await BinanceRest(http, binance_endpoints(endpoints, venue), venue).exchange_info()
            limits = limits_of(body)
    finally:
        await http.close()
    return {instrument.symbol: instrument for instrument in instruments}, limits


def _http(clock: Clock, endpoints: Endpoints, venue: Venue, told: Sequence[Limit]) -> HttpClient:
    if venue is Venue.DYDX:
        return dydx_limits.client(clock, budget_path(endpoints, endpoints.dydx.indexer))
    return HttpClient(clock, budget=binance_budget(clock, endpoints, venue, told), weigh=weigh)


def binance_budget(clock: Clock, endpoints: Endpoints, venue: Venue, told: Sequence[Limit] = ()) -> SharedBudget:
    """Return what this machine may ask of one of Binance's markets; `told` are the limits that it told, if it has."""
    limits = told or (BINANCE_SPOT if venue is Venue.BINANCE_SPOT else BINANCE_USDM)
    path = budget_path(endpoints, binance_endpoints(endpoints, venue).rest)
    return SharedBudget(clock, limits, path, name=venue.label)


def public_http(clock: Clock, endpoints: Endpoints, venue: Venue) -> HttpClient:
    """Return a client for what a venue tells everybody, under the budget of this machine."""
    return _http(clock, endpoints, venue, ())


def binance_endpoints(endpoints: Endpoints, venue: Venue) -> BinanceEndpoints:
    """Return where one of Binance's markets is; raise MissingInput for another venue."""
    match venue:
        case Venue.BINANCE_USDM:
            return endpoints.binance_usdm
        case Venue.BINANCE_SPOT:
            return endpoints.binance_spot
        case _:
            raise MissingInput(f"{venue.label} has no live feed")
