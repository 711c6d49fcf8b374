"""Which adapter speaks for an instrument, whatever its requests go through: a network, or answers that were kept."""

from __future__ import annotations

from spyhop.errors import MissingInput
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Venue
from spyhop.venues.adapter import Adapter
from spyhop.venues.binance.adapter import BinanceAdapter
from spyhop.venues.binance.rest import BinanceRest
from spyhop.venues.ccxt.adapter import CCXT_VENUES, CcxtAdapter
from spyhop.venues.dydx.adapter import DydxAdapter
from spyhop.venues.dydx.rest import DydxRest
from spyhop.venues.endpoints import Endpoints
from spyhop.venues.net.transport import Http
from spyhop.venues.params import FeedParams


def adapter_of(instrument: Instrument, endpoints: Endpoints, params: FeedParams, http: Http) -> Adapter:
    """Return the adapter of `instrument`; raise MissingInput for a venue that has none."""
    match instrument.venue:
        case Venue.DYDX:
            return DydxAdapter(instrument, endpoints.dydx, DydxRest(http, endpoints.dydx), params)
        case Venue.BINANCE_USDM:
            base = endpoints.binance_usdm
        case Venue.BINANCE_SPOT:
            base = endpoints.binance_spot
        case venue if venue in CCXT_VENUES:
            return CcxtAdapter(instrument, http, params)
        case _:
            raise MissingInput(f"{instrument.venue.label} has no live feed")
    return BinanceAdapter(instrument, base, BinanceRest(http, base, instrument.venue), params)
