"""ccxt's unified structures as rows of the tape.

ccxt's numbers are floats; their shortest decimal text is what the exchange sent, so prices and sizes are taken from
that exactly and refused when they lie off the instrument's grid. Sums (the volumes of bars and tickers) go to the
nearest lot. What ccxt does not tell is 0 on the tape: trades in a bar, and the takers' share.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal

import msgspec

from spyhop.clock import NS_PER_MINUTE, NS_PER_MS
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Flag, Kind, Side
from spyhop.venues.rows import Rows

MINUTE_S = 60
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_HASH_BITS = 22
_LIMIT = (1 << 63) - 1

Candle = tuple[int, Decimal, Decimal, Decimal, Decimal, Decimal]
"""Open time in ms, open, high, low, close, volume."""


class Trade(msgspec.Struct, frozen=True):
    """One trade."""

    timestamp: int
    price: Decimal
    amount: Decimal
    id: str | None = None
    side: str | None = None


class Book(msgspec.Struct, frozen=True):
    """The best levels of a book, best first; prices and sizes."""

    bids: list[tuple[Decimal, Decimal]]
    asks: list[tuple[Decimal, Decimal]]
    timestamp: int | None = None


class Ticker(msgspec.Struct, frozen=True, rename="camel"):
    """What the last 24 hours brought."""

    last: Decimal
    base_volume: Decimal = Decimal(0)
    quote_volume: Decimal | None = None
    change: Decimal | None = None
    timestamp: int | None = None


class FundingRate(msgspec.Struct, frozen=True, rename="camel"):
    """Mark and index price of a perpetual and what will be paid next."""

    mark_price: Decimal | None = None
    index_price: Decimal | None = None
    funding_rate: Decimal | None = None
    funding_timestamp: int | None = None
    timestamp: int | None = None


class OpenInterest(msgspec.Struct, frozen=True, rename="camel"):
    """Contracts that are open, in base currency."""

    open_interest_amount: Decimal
    timestamp: int | None = None


def trade_id(trade: Trade) -> int:
    """Return the id of a trade on the tape: its millisecond and a hash of the exchange's id, which may be any text.

    So ids grow with time, at every exchange. Two trades of one millisecond whose ids have the same 22 bits of hash
    would be taken for one; without an id, two that are equal in all else.
    """
    text = trade.id or f"{trade.price} {trade.amount} {trade.side}"
    digest = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    return (trade.timestamp << _HASH_BITS) | (digest & ((1 << _HASH_BITS) - 1))


def add_trade(rows: Rows, instrument: Instrument, trade: Trade, ts_recv: int, flags: int = 0) -> None:
    """Add a TRADE row; raise ValueError for what cannot be one."""
    price, qty = instrument.to_ticks(trade.price), instrument.to_lots(trade.amount)
    if price <= 0 or qty <= 0:
        raise ValueError("price or amount not positive")
    rows.add(
        Kind.TRADE,
        _ns(trade.timestamp),
        ts_recv,
        side=_SIDES.get(trade.side or "", Side.NONE),
        flags=flags,
        price=_bounded(price),
        qty=_bounded(qty),
        id=_bounded(trade_id(trade)),
    )


def add_bar(rows: Rows, instrument: Instrument, candle: Candle, ts_recv: int, flags: int = 0) -> None:
    """Add the two rows of a minute; raise ValueError for what cannot be one."""
    opened, *prices, volume = candle
    first, high, low, close = (_bounded(instrument.to_ticks(price)) for price in prices)
    if not 0 < low <= min(first, close) <= max(first, close) <= high:
        raise ValueError("low, open, close and high are not in order")
    ts_open = _ns(opened)
    ts = ts_recv if flags & Flag.PARTIAL else ts_open + NS_PER_MINUTE
    shared = {"interval_s": MINUTE_S, "flags": flags, "id": ts_open}
    rows.add(Kind.BAR_OPEN, ts, ts_recv, price=first, qty=_lots(volume, instrument), aux=high, **shared)
    rows.add(Kind.BAR_CLOSE, ts, ts_recv, price=low, aux=close, **shared)


def add_ticker(rows: Rows, instrument: Instrument, ticker: Ticker, ts_recv: int) -> None:
    """Add a TICKER row; raise ValueError for what cannot be one."""
    rows.add(
        Kind.TICKER,
        _ns(ticker.timestamp) if ticker.timestamp else ts_recv,
        ts_recv,
        price=_bounded(instrument.to_ticks(ticker.last)),
        qty=_lots(ticker.base_volume, instrument),
        aux=_bounded(round((ticker.change or Decimal(0)) / instrument.tick_size)),
        aux2=_bounded(round((ticker.quote_volume or Decimal(0)) * 100)),
    )


def add_funding(rows: Rows, instrument: Instrument, told: FundingRate, ts_recv: int) -> None:
    """Add a MARK row and the FUNDING that is predicted, as far as they were told; raise ValueError."""
    ts = _ns(told.timestamp) if told.timestamp else ts_recv
    due = _ns(told.funding_timestamp) if told.funding_timestamp else 0
    if told.mark_price is not None:
        mark, index = (_bounded(round(price * 10**8)) for price in (told.mark_price, told.index_price or Decimal(0)))
        ticks = _bounded(round(told.mark_price / instrument.tick_size))
        rows.add(Kind.MARK, ts, ts_recv, price=ticks, id=due, aux=mark, aux2=index)
    if told.funding_rate is not None and due:
        rows.add(Kind.FUNDING, ts, ts_recv, id=due, aux=_bounded(round(told.funding_rate * 10**12)))


def add_open_interest(rows: Rows, instrument: Instrument, told: OpenInterest, ts_recv: int) -> None:
    """Add an OPEN_INTEREST row; raise ValueError for what cannot be one."""
    ts = _ns(told.timestamp) if told.timestamp else ts_recv
    rows.add(Kind.OPEN_INTEREST, ts, ts_recv, qty=_lots(told.open_interest_amount, instrument))


def levels_of(instrument: Instrument, book: Book) -> dict[tuple[int, int], int]:
    """Return lots by (side, ticks); raise ValueError for a level off the grid, and for a book that is crossed."""
    levels: dict[tuple[int, int], int] = {}
    best: dict[Side, int] = {}
    for side, told in ((Side.BUY, book.bids), (Side.SELL, book.asks)):
        for price, amount in told:
            ticks, lots = _bounded(instrument.to_ticks(price)), _bounded(instrument.to_lots(amount))
            if ticks <= 0 or lots < 0:
                raise ValueError("price or amount not positive")
            if lots:
                levels[int(side), ticks] = lots
                best.setdefault(side, ticks)
    if len(best) == 2 and best[Side.BUY] >= best[Side.SELL]:
        raise ValueError("the book is crossed")
    return levels


def _lots(amount: Decimal, instrument: Instrument) -> int:
    return _bounded(round(amount / instrument.lot_size))


def _ns(ms: int) -> int:
    return _bounded(ms * NS_PER_MS)


def _bounded(number: int) -> int:
    if not -_LIMIT < number < _LIMIT:
        raise ValueError("number out of range")
    return number
