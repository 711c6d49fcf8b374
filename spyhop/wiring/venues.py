"""From endpoints to clients: what the venues list, and a live feed for one of their instruments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from spyhop.errors import MissingInput
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, Venue, venue_of
from spyhop.ports import Feed
from spyhop.venues.endpoints import Endpoints
from spyhop.venues.params import FeedParams


def venue_and_symbol(name: str) -> tuple[Venue, str]:
    """Return the venue and its own symbol for `BTCUSDT`, `BTC-USD` or `binance-spot:BTCUSDT`; raise MissingInput.

    A bare name with a dash is dYdX's, any other that of a USDT-M perpetual.
    """
    label, _, symbol = name.rpartition(":")
    if not label:
        return (Venue.DYDX if "-" in symbol else Venue.BINANCE_USDM), symbol
    try:
        return venue_of(label), symbol
    except KeyError:
        raise MissingInput(f"no venue is called {label!r}") from None


async def listed(endpoints: Endpoints, symbols: Sequence[str], params: FeedParams) -> tuple[Instrument, ...]:
    """Ask the venues for the instruments called `symbols`; raise MissingInput for one that is not listed."""
    raise NotImplementedError


def live_feed(
    instrument: Instrument, endpoints: Endpoints, params: FeedParams, kept: Callable[[int], Iterator[Events]]
) -> Feed:
    """Return the feed of one instrument; after a restart it begins with what `kept` has from an event number on."""
    raise NotImplementedError
