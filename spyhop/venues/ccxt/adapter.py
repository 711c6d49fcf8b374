"""Any exchange that ccxt knows as a venue, with the same events as the venues that have a client of their own.

Slower, and said so: ccxt keeps its own sockets and books and decodes in Python, some 30 us a trade and 100 us a book
update where our own clients take one or two; updates that come while it is busy are seen as one; of the book the best
levels are told, and update ids are ours. Good enough to watch a third venue; not for one that is traded on.

What ccxt hands over comes through `ccxt_transport` as messages of one socket and answers to requests, so this adapter
is like the others: it can be recorded and told its records again.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from decimal import DecimalException
from functools import partial
from typing import Any

import msgspec

from spyhop.clock import NS_PER_MS
from spyhop.errors import VenueUnavailable
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, Flag, Kind, Side, Venue
from spyhop.venues.adapter import Decoded, Poll, PollWhen, SocketPlan, StreamPlan, VenueTime
from spyhop.venues.ccxt.rows import (
    Book,
    Candle,
    FundingRate,
    OpenInterest,
    Ticker,
    Trade,
    add_bar,
    add_funding,
    add_open_interest,
    add_ticker,
    add_trade,
    levels_of,
)
from spyhop.venues.net.transport import Frame, Http, Response
from spyhop.venues.params import FeedParams
from spyhop.venues.rows import Rows

CCXT_VENUES = frozenset({Venue.BYBIT, Venue.KRAKEN, Venue.CCXT})

SOCKET = "ccxt"
TRADES, BOOK, BARS, TICKER = "trades", "book", "bars", "ticker"
BOOK_LEVELS = 50

_MAX_ANSWER = 1_000
_BACKFILLED, _PARTIAL, _FROM_SNAPSHOT = int(Flag.BACKFILLED), int(Flag.PARTIAL), int(Flag.FROM_SNAPSHOT)


class _Message(msgspec.Struct):
    stream: str
    data: msgspec.Raw


_MESSAGE = msgspec.json.Decoder(_Message)
_UNREADABLE = (msgspec.DecodeError, ValueError, DecimalException, OverflowError)


def exchange_and_symbol(instrument: Instrument) -> tuple[str, str]:
    """Return ccxt's names of an instrument: `bybit` and `BTC/USDT:USDT`."""
    return ccxt_names(instrument.venue, instrument.symbol)


def ccxt_names(venue: Venue, symbol: str) -> tuple[str, str]:
    """Return ccxt's names of what we call `symbol` at `venue`."""
    if venue is not Venue.CCXT:
        return venue.label, symbol
    exchange, _, name = symbol.partition("/")
    return exchange, name


class CcxtAdapter:
    """One instrument of an exchange that ccxt knows; an Adapter. `http` is a CcxtTransport or records of one."""

    def __init__(self, instrument: Instrument, http: Http, params: FeedParams) -> None:
        self.instrument = instrument
        self._http, self._params = http, params
        self._exchange, self._symbol = exchange_and_symbol(instrument)
        self._readers: dict[str, Callable[[msgspec.Raw, int, Rows], None]] = {
            TRADES: self._on_trades,
            BOOK: self._on_book,
            BARS: self._on_bars,
            TICKER: self._on_ticker,
        }
        self._levels: dict[tuple[int, int], int] | None = None
        self._top: tuple[int, int, int, int] = (0, 0, 0, 0)
        self._frame = 0
        self._bar: Candle | None = None

    def sockets(self) -> Sequence[SocketPlan]:
        """Return the one connection that carries all that ccxt watches."""
        p = self._params
        streams = [
            StreamPlan(TRADES, 0.0, is_price=True),
            StreamPlan(BOOK, p.first_message_seconds, p.silence_seconds, is_price=True),
            StreamPlan(BARS, 0.0),
            StreamPlan(TICKER, 0.0),
        ]
        if p.depth == "none":
            del streams[1]
        hello = tuple(stream.name.encode() for stream in streams)
        return (SocketPlan(SOCKET, f"ccxt://{self._exchange}/{self._symbol}", hello, tuple(streams)),)

    def opened(self, socket: str, connection: int) -> None:
        """Begin the book anew."""
        self._levels = None

    def closed(self, socket: str, connection: int) -> None:
        """Begin the book anew: what reads the tape forgets it where a connection was lost."""
        self._levels = None

    def decode(self, socket: str, connection: int, frames: Sequence[Frame]) -> Decoded:
        """Turn messages into rows; of one that cannot be read nothing is taken."""
        rows = Rows(self.instrument)
        heard: dict[str, None] = {}
        set_aside: list[tuple[str, bytes]] = []
        for frame in frames:
            length = len(rows)
            try:
                message = _MESSAGE.decode(frame.data)
                reader = self._readers.get(message.stream)
                if reader is None:
                    raise ValueError("nobody asked for this stream")
                reader(message.data, frame.ts_recv, rows)
                heard[message.stream] = None
            except _UNREADABLE as error:
                rows.cut(length)
                set_aside.append((_reason(error), frame.data))
        return Decoded(rows.events(), tuple(heard), (), tuple(set_aside))

    async def book(self) -> Events:
        """Return the best levels as a SNAPSHOT row and its levels."""
        answer = await self._ask("fetch_order_book", limit=BOOK_LEVELS)
        rows = Rows(self.instrument)
        self._levels = None
        self._read(lambda: self._take_book(msgspec.json.decode(answer.body, type=Book), answer.ts_recv, rows))
        return rows.events()

    async def sync(self, num_bars: int, since: int) -> Events:
        """Return the newest closed minutes and the trades after `since`, BACKFILLED, as far as one answer reaches."""
        bars = await self._bars(num_bars + 1)
        if not since:
            return bars.events()
        answer = await self._ask("fetch_trades", since=since // NS_PER_MS, limit=_MAX_ANSWER)
        self._read(lambda: self._add_trades(answer, bars, since // NS_PER_MS))
        return bars.events()

    def polls(self) -> Sequence[Poll]:
        """Return what stands for the streams while there are none, and what perpetuals tell by REST alone."""
        p = self._params
        polls = [
            Poll("trades", p.rest_price_poll_seconds, PollWhen.ON_REST, self._new_trades, is_price=True),
            Poll("bars", p.rest_kline_poll_seconds, PollWhen.ON_REST, self._new_bars),
        ]
        if p.depth != "none":
            polls.append(Poll("book", 2 * p.rest_price_poll_seconds, PollWhen.ON_REST, self.book, is_price=True))
        if ":" in self._symbol:
            funding = partial(self._told, "fetch_funding_rate", FundingRate, add_funding)
            interest = partial(self._told, "fetch_open_interest", OpenInterest, add_open_interest)
            polls.append(Poll("funding", p.premiumindex_poll_seconds, PollWhen.ALWAYS, funding))
            polls.append(Poll("open_interest", p.oi_poll_seconds, PollWhen.ALWAYS, interest))
        return polls

    async def venue_time(self) -> VenueTime:
        """Ask the exchange what time it is."""
        answer = await self._ask("fetch_time")
        told = self._read(lambda: msgspec.json.decode(answer.body, type=int))
        return VenueTime(answer.ts_sent, answer.ts_recv, told * NS_PER_MS)

    def _on_trades(self, data: msgspec.Raw, ts: int, rows: Rows) -> None:
        for trade in msgspec.json.decode(data, type=list[Trade]):
            add_trade(rows, self.instrument, trade, ts)

    def _on_ticker(self, data: msgspec.Raw, ts: int, rows: Rows) -> None:
        add_ticker(rows, self.instrument, msgspec.json.decode(data, type=Ticker), ts)

    # the newest candle is in the making; it is closed when a newer one appears
    def _on_bars(self, data: msgspec.Raw, ts: int, rows: Rows) -> None:
        candles = sorted(msgspec.json.decode(data, type=list[Candle]))
        if not candles or (self._bar is not None and candles[-1][0] < self._bar[0]):
            return
        told = {candle[0]: candle for candle in ([self._bar] if self._bar is not None else []) + candles}
        *closed, newest = (told[opened] for opened in sorted(told))
        for candle in closed:
            is_just_now = self._bar is not None and candle[0] >= self._bar[0]
            add_bar(rows, self.instrument, candle, ts, 0 if is_just_now else _BACKFILLED)
        add_bar(rows, self.instrument, newest, ts, _PARTIAL)
        self._bar = newest

    def _on_book(self, data: msgspec.Raw, ts: int, rows: Rows) -> None:
        self._take_book(msgspec.json.decode(data, type=Book), ts, rows)

    def _take_book(self, book: Book, ts: int, rows: Rows) -> None:
        levels = levels_of(self.instrument, book)
        previous, known = self._frame, self._levels
        # by the clock, so that ids go on growing over connections and processes
        frame = max(previous + 1, ts // 1_000)
        if known is None:
            rows.add(Kind.SNAPSHOT, ts, ts, qty=len(levels), id=frame)
            if levels:
                told = [(*place, lots) for place, lots in levels.items()]
                rows.levels(told, ts, flags=_FROM_SNAPSHOT, id=frame, first=frame, previous=-1)
        else:
            changes = [(*place, 0) for place in known.keys() - levels.keys()]
            changes += [(*place, lots) for place, lots in levels.items() if known.get(place) != lots]
            rows.levels(sorted(changes), ts, flags=0, id=frame, first=previous + 1, previous=previous)
        self._levels, self._frame = levels, frame
        self._add_quote(levels, ts, rows)

    def _add_quote(self, levels: dict[tuple[int, int], int], ts: int, rows: Rows) -> None:
        bid = max((ticks for side, ticks in levels if side == Side.BUY), default=0)
        ask = min((ticks for side, ticks in levels if side == Side.SELL), default=0)
        if not bid or not ask:
            return
        top = (bid, levels[int(Side.BUY), bid], ask, levels[int(Side.SELL), ask])
        if top != self._top:
            self._top = top
            rows.add(Kind.QUOTE, ts, ts, price=top[0], qty=top[1], aux=top[2], aux2=top[3], id=self._frame)

    async def _new_trades(self) -> Events:
        answer = await self._ask("fetch_trades", limit=100)
        rows = Rows(self.instrument)
        self._read(lambda: self._add_trades(answer, rows, 0))
        return rows.events()

    def _add_trades(self, answer: Response, rows: Rows, since_ms: int) -> None:
        trades = msgspec.json.decode(answer.body, type=list[Trade])
        for trade in sorted(trades, key=lambda one: one.timestamp):
            if trade.timestamp >= since_ms:
                add_trade(rows, self.instrument, trade, answer.ts_recv, _BACKFILLED)

    async def _new_bars(self) -> Events:
        return (await self._bars(10)).events()

    async def _bars(self, limit: int) -> Rows:
        answer = await self._ask("fetch_ohlcv", timeframe="1m", limit=min(limit, _MAX_ANSWER))
        rows = Rows(self.instrument)

        def read() -> None:
            for candle in sorted(msgspec.json.decode(answer.body, type=list[Candle]))[:-1]:
                add_bar(rows, self.instrument, candle, answer.ts_recv, _BACKFILLED)

        self._read(read)
        return rows

    async def _told(self, method: str, kind: type[Any], add: Callable[[Rows, Instrument, Any, int], None]) -> Events:
        answer = await self._ask(method)
        rows = Rows(self.instrument)
        self._read(lambda: add(rows, self.instrument, msgspec.json.decode(answer.body, type=kind), answer.ts_recv))
        return rows.events()

    def _ask(self, method: str, **params: str | int) -> Awaitable[Response]:
        symbol = {} if method == "fetch_time" else {"symbol": self._symbol}
        return self._http.request("GET", f"ccxt://{self._exchange}/{method}", {**symbol, **params})

    def _read(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except _UNREADABLE as error:
            raise VenueUnavailable(f"ccxt://{self._exchange}", 200, _reason(error)) from None


def _reason(error: Exception) -> str:
    if isinstance(error, msgspec.ValidationError):
        return "a field is missing or of another type"
    if isinstance(error, msgspec.DecodeError):
        return "not valid JSON"
    if isinstance(error, DecimalException):
        return "not a number"
    # the grid's own words name the number, which would make every one a reason of its own
    return "price or quantity off the instrument's grid" if "multiple" in str(error) else str(error)


def grid_unit(precision: float | int | None, mode: int, what: str) -> str:
    """Return the step of a price or amount from ccxt's `precision`; raise ValueError where there is none."""
    decimal_places, tick_size = 2, 4  # ccxt's numbers
    if precision is None or not math.isfinite(precision) or mode not in (decimal_places, tick_size):
        raise ValueError(f"{what} has no fixed step")
    return repr(float(precision)) if mode == tick_size else f"1e-{int(precision)}"
