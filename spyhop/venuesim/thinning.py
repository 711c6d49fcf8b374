"""The fault of partial fills: somebody else takes most of what an order would have found, right before it."""

from __future__ import annotations

import contextlib
from decimal import Decimal

from spyhop.model.tape import Side, Venue
from spyhop.venuesim.exchange import Exchange
from spyhop.venuesim.words import Lasting, OrderKind, OrderRequest, Refused

_WEALTH = Decimal(10) ** 12
_LEVELS = 5_000


def thin(exchange: Exchange, request: OrderRequest, fraction: float) -> None:
    """Leave `fraction` of what `request` would fill at once, one lot at least; an order that would rest is untouched.

    The rest goes to an account of the simulator's own, so money and lots stay conserved. What was taken comes back as
    the tape tells those levels anew.
    """
    instrument = exchange.instruments[request.instrument]
    _, bids, asks = exchange.book(request.instrument, _LEVELS)
    levels = asks if request.side is Side.BUY else bids
    within = [
        (price, lots) for price, lots in levels if not request.price or (request.price - price) * request.side >= 0
    ]
    found = min(sum(lots for _, lots in within), request.lots)
    left = max(int(found * fraction), 1)
    taken = sum(lots for _, lots in within) - left
    if not found or taken <= 0:
        return
    with contextlib.suppress(Refused):
        exchange.submit(
            OrderRequest(
                account=_taker(exchange, instrument.venue, instrument.base, instrument.quote),
                instrument=request.instrument,
                client_id=f"thin-{request.client_id}"[:36],
                side=request.side,
                kind=OrderKind.LIMIT,
                lots=taken,
                price=within[-1][0],
                lasting=Lasting.IOC,
                extra={"type": "LIMIT"},
            )
        )


def _taker(exchange: Exchange, venue: Venue, base: str, quote: str) -> str:
    name = f"{venue.label}:simulator"
    if name not in exchange.accounts(venue):
        exchange.open_account(
            name, venue, {quote: _WEALTH, base: _WEALTH} if venue is Venue.BINANCE_SPOT else {quote: _WEALTH}
        )
    return name
