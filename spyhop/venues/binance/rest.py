"""Binance's REST market data: typed answers, and rows of the tape made by the same decoder as the streams'.

Klines, trades, best prices and the premium index are put into the words of their streams and decoded like those, so
that both ways give the same rows; they are flagged BACKFILLED. An answer that cannot be read is VenueUnavailable: it
may be asked for again. Single entries that cannot be read are kept, with the reason, for `unreadable`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from spyhop.clock import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from spyhop.errors import VenueRefused, VenueUnavailable
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, Flag, Kind, Ratio, Venue, joined
from spyhop.venues import catalogue
from spyhop.venues.adapter import VenueTime
from spyhop.venues.binance import rows, wire
from spyhop.venues.binance.endpoints import paths_of
from spyhop.venues.binance.live import FrameDecoder
from spyhop.venues.endpoints import BinanceEndpoints
from spyhop.venues.net.transport import Frame, Http, Response

MAX_KLINES = 1_500
MAX_SPOT_KLINES = 1_000
MAX_TRADES = 1_000
MAX_HISTORY = 500
FUNDING_INTERVAL_NS = 8 * NS_PER_HOUR
"""How often funding is paid unless fundingInfo says otherwise."""

_MAX_UNREADABLE = 100
_INFO_LIVES_NS = NS_PER_HOUR
_ENDED_NS = 5 * NS_PER_S  # more than a clock's offset can be wrong by
_PERIODS_S = {"5m": 300, "15m": 900, "30m": 1_800, "1h": 3_600, "2h": 7_200, "4h": 14_400, "6h": 21_600, "1d": 86_400}

_KLINE = (
    b'{"e":"kline","E":%b,"s":"%b","k":{"t":%b,"i":"%b","o":%b,"h":%b,"l":%b,"c":%b,"v":%b,"n":%b,"q":%b,"V":%b,'
    b'"x":%b}}'
)

T = TypeVar("T")


class BinanceRest:
    """One market (USDT-M or spot) over `http`; every method raises VenueError."""

    def __init__(self, http: Http, endpoints: BinanceEndpoints, venue: Venue) -> None:
        self.venue = venue
        self._http = http
        self._base = endpoints.rest
        self._paths = paths_of(venue)
        self._decoders: dict[str, FrameDecoder] = {}
        self._unreadable: dict[str, list[tuple[str, bytes]]] = {}
        self._intervals: dict[str, int] = {}
        self._ts_intervals = 0
        self._max_klines = MAX_KLINES if venue is Venue.BINANCE_USDM else MAX_SPOT_KLINES

    def unreadable(self, instrument: Instrument) -> list[tuple[str, bytes]]:
        """Return (reason, entry) of what could not be read about `instrument` since the last call."""
        return self._unreadable.pop(instrument.symbol, [])

    async def venue_time(self) -> VenueTime:
        """Ask what time it is at the venue."""
        answer = await self._get(self._paths.time)
        told = self._body(answer, wire.ServerTime, self._paths.time)
        return VenueTime(answer.ts_sent, answer.ts_recv, told.server_time * NS_PER_MS)

    async def exchange_info(self) -> tuple[tuple[Instrument, ...], bytes]:
        """Return all instruments, numbered in the venue's order, and the body, which also tells the limits."""
        answer = await self._get(self._paths.exchange_info)
        path = self._paths.exchange_info
        try:
            return catalogue.exchange_info(self.venue, self._body(answer, dict[str, Any], path)), answer.body
        except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError) as error:
            raise self._unusable(path, f"{type(error).__name__}") from None

    async def depth(self, instrument: Instrument, limit: int = 1_000) -> Events:
        """Return the book as a SNAPSHOT row and up to `limit` levels a side."""
        path = self._paths.depth
        answer = await self._get(path, symbol=instrument.symbol, limit=limit)
        events = self._decoded(instrument, path, answer.ts_recv, [answer.body], kind=Kind.SNAPSHOT)
        events["flags"] &= ~int(Flag.BACKFILLED) & 0xFF  # a snapshot always comes by REST
        return events

    async def klines(
        self,
        instrument: Instrument,
        interval: str = "1m",
        limit: int = MAX_HISTORY,
        *,
        start: int = 0,
        ahead_ns: int = 0,
    ) -> Events:
        """Return bars, the newest or those that open from `start` (ns) on, oldest first.

        A bar has ended when a newer one is there. The newest is PARTIAL unless it had ended well before we asked, by
        the venue's clock, which is about `ahead_ns` ahead of ours. One request gives at most MAX_KLINES, on spot
        MAX_SPOT_KLINES.
        """
        path = self._paths.klines
        since = {"startTime": start // NS_PER_MS} if start else {}
        limit = min(limit, self._max_klines)
        answer = await self._get(path, symbol=instrument.symbol, interval=interval, limit=limit, **since)
        bars = self._body(answer, list[list[Raw]], path)
        # not by when the answer came: it may have been given right before the end
        ended_ms = (answer.ts_sent + ahead_ns - _ENDED_NS) // NS_PER_MS
        frames = [
            _kline_frame(instrument.symbol, interval, bar, ended_ms, has_newer=number < len(bars))
            for number, bar in enumerate(bars, 1)
        ]
        return self._decoded(instrument, path, answer.ts_recv, frames, kind=Kind.BAR_CLOSE)

    async def newest_bars(self, instrument: Instrument, count: int, *, ahead_ns: int = 0) -> Events:
        """Return the newest `count` bars of a minute, the one under way among them, from as many requests as needed."""
        if count <= self._max_klines:
            return await self.klines(instrument, "1m", count, ahead_ns=ahead_ns)
        now = (await self.venue_time()).ts_venue
        start = (now // NS_PER_MINUTE - count + 1) * NS_PER_MINUTE
        pages: list[Events] = []
        while start <= now:
            page = await self.klines(instrument, "1m", self._max_klines, start=start, ahead_ns=ahead_ns)
            pages.append(page)
            if len(page) < 2 * self._max_klines:
                break
            start = int(page["id"][-1]) + NS_PER_MINUTE
        return joined(pages)

    async def agg_trades(
        self, instrument: Instrument, limit: int = MAX_TRADES, *, from_id: int = -1, start: int = 0
    ) -> Events:
        """Return trades, the newest, those from the id `from_id` on, or those from `start` (ns) on; oldest first."""
        since = {"fromId": from_id} if from_id >= 0 else {"startTime": start // NS_PER_MS} if start else {}
        path = self._paths.agg_trades
        answer = await self._get(path, symbol=instrument.symbol, limit=limit, **since)
        head = b'{"e":"aggTrade","s":"%b",' % instrument.symbol.encode()
        frames = [head + bytes(trade)[1:] for trade in self._body(answer, list[Raw], path)]
        return self._decoded(instrument, path, answer.ts_recv, frames, kind=Kind.TRADE)

    async def trades_since(self, instrument: Instrument, since: int, max_pages: int) -> Events:
        """Return the trades after `since` (ns), oldest first, from at most `max_pages` requests."""
        page = await self.agg_trades(instrument, start=since)
        pages = [page]
        while len(page) == MAX_TRADES and len(pages) < max_pages:
            page = await self.agg_trades(instrument, from_id=int(page["id"][-1]) + 1)
            pages.append(page)
        return joined(pages)

    async def recent_trades(self, instrument: Instrument, limit: int = MAX_TRADES) -> Events:
        """Return the newest single fills, oldest first; older ones cannot be had without a key."""
        path = self._paths.trades
        answer = await self._get(path, symbol=instrument.symbol, limit=limit)
        frames = [
            b'{"e":"trade","s":"%b","t":%b,"p":%b,"q":%b,"T":%b,"m":%b}' % (
                instrument.symbol.encode(), told.id, told.price, told.qty, told.time, told.is_buyer_maker,
            )
            for told in self._body(answer, list[wire.Trade], path)
        ]  # fmt: skip
        return self._decoded(instrument, path, answer.ts_recv, frames, kind=Kind.TRADE)

    async def book_ticker(self, instrument: Instrument) -> Events:
        """Return the best prices as a QUOTE row; its id is 0 where the venue tells no update id."""
        path = self._paths.book_ticker
        answer = await self._get(path, symbol=instrument.symbol)
        told = self._body(answer, wire.BookTicker, path)
        sent = b',"E":%b' % told.time if bytes(told.time) else b""
        frame = b'{"e":"bookTicker","u":%b,"s":%b,"b":%b,"B":%b,"a":%b,"A":%b%b}' % (
            told.last_update_id, told.symbol, told.bid_price, told.bid_qty, told.ask_price, told.ask_qty, sent,
        )  # fmt: skip
        return self._decoded(instrument, path, answer.ts_recv, [frame], kind=Kind.QUOTE)

    async def premium_index(self, instrument: Instrument) -> Events:
        """Return the MARK row and the FUNDING row that it predicts."""
        path = self._paths.premium_index
        answer = await self._get(path, symbol=instrument.symbol)
        told = self._body(answer, wire.PremiumIndex, path)
        frame = b'{"e":"markPriceUpdate","E":%b,"s":%b,"p":%b,"i":%b,"r":%b,"T":%b}' % (
            told.time, told.symbol, told.mark_price, told.index_price, told.last_funding_rate, told.next_funding_time,
        )  # fmt: skip
        return self._decoded(instrument, path, answer.ts_recv, [frame], kind=Kind.MARK)

    async def open_interest(self, instrument: Instrument) -> Events:
        """Return the OPEN_INTEREST row of now."""
        path = self._paths.open_interest
        answer = await self._get(path, symbol=instrument.symbol)
        self._body(answer, wire.OpenInterest, path)
        events = self._decoded(instrument, path, answer.ts_recv, [answer.body], kind=Kind.OPEN_INTEREST)
        events["flags"] &= ~int(Flag.BACKFILLED) & 0xFF  # there is no stream of it
        return events

    async def ticker(self, instrument: Instrument) -> Events:
        """Return the TICKER row of the last 24 hours."""
        path = self._paths.ticker
        answer = await self._get(path, symbol=instrument.symbol)
        told = self._body(answer, wire.Day, path)
        return self._rows(instrument, path, [told], lambda day: rows.ticker(instrument, answer.ts_recv, day))

    async def funding_rates(self, instrument: Instrument, limit: int = 100, *, start: int = 0) -> Events:
        """Return the FUNDING rows of rates that were paid, oldest first."""
        path = self._paths.funding_rate
        since = {"startTime": start // NS_PER_MS} if start else {}
        answer = await self._get(path, symbol=instrument.symbol, limit=limit, **since)
        told = self._body(answer, list[wire.FundingRate], path)
        interval_ns = await self.funding_interval_ns(instrument, answer.ts_recv)
        return self._rows(
            instrument, path, told, lambda paid: rows.funding_paid(instrument, answer.ts_recv, paid, interval_ns)
        )

    async def funding_interval_ns(self, instrument: Instrument, now: int) -> int:
        """Return how often `instrument` pays funding; what was asked within an hour before `now` still holds."""
        if now - self._ts_intervals > _INFO_LIVES_NS:
            path = self._paths.funding_info
            try:
                told = self._body(await self._get(path), list[wire.FundingInfo], path)
            except VenueRefused:
                told = []
            self._intervals = {info.symbol: info.funding_interval_hours * NS_PER_HOUR for info in told}
            self._ts_intervals = now
        return self._intervals.get(instrument.symbol, FUNDING_INTERVAL_NS)

    async def open_interest_history(
        self, instrument: Instrument, period: str = "5m", limit: int = MAX_HISTORY
    ) -> Events:
        """Return OPEN_INTEREST rows of the past, oldest first; the venue keeps 30 days."""
        path = self._paths.open_interest_history
        answer = await self._get(path, symbol=instrument.symbol, period=period, limit=limit)
        told = self._body(answer, list[wire.PastOpenInterest], path)
        return self._rows(
            instrument, path, told, lambda past: rows.past_open_interest(instrument, answer.ts_recv, past)
        )

    async def ratio(self, instrument: Instrument, whose: Ratio, period: str = "5m", limit: int = 30) -> Events:
        """Return RATIO rows of one kind, oldest first; the venue keeps 30 days."""
        path = {
            Ratio.TOP_POSITIONS: self._paths.top_positions,
            Ratio.TOP_ACCOUNTS: self._paths.top_accounts,
            Ratio.GLOBAL_ACCOUNTS: self._paths.global_accounts,
            Ratio.TAKER_VOLUME: self._paths.taker_volume,
        }[whose]
        answer = await self._get(path, symbol=instrument.symbol, period=period, limit=limit)
        ts, seconds = answer.ts_recv, _PERIODS_S[period]
        if whose is Ratio.TAKER_VOLUME:
            volumes = self._body(answer, list[wire.TakerVolume], path)
            return self._rows(instrument, path, volumes, lambda v: rows.taker_volume(instrument, ts, seconds, v))
        shares = self._body(answer, list[wire.LongShort], path)
        return self._rows(instrument, path, shares, lambda s: rows.long_short(instrument, ts, whose, seconds, s))

    async def _get(self, path: str, **params: str | int) -> Response:
        return await self._http.request("GET", self._base + path, params)

    def _body(self, answer: Response, kind: type[T], path: str) -> T:
        try:
            str(answer.body, "utf-8")  # keys that nobody asked for are passed over unread
            # lenient: some times come in quotes
            return msgspec.json.decode(answer.body, type=kind, strict=False)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._unusable(path, str(error)) from None

    def _unusable(self, path: str, reason: str) -> VenueUnavailable:
        return VenueUnavailable(self._base + path, 200, f"an answer that cannot be read: {reason}")

    def _decoded(
        self, instrument: Instrument, path: str, ts_recv: int, frames: Sequence[bytes], *, kind: Kind
    ) -> Events:
        """Return the rows of frames in the words of a stream, flagged BACKFILLED."""
        decoder = self._decoders.get(instrument.key)
        if decoder is None or decoder.instrument != instrument:
            decoder = self._decoders[instrument.key] = FrameDecoder(instrument)
        read = decoder.read([Frame(ts_recv, frame) for frame in frames])
        self._keep_unreadable(instrument, [*read.set_aside, *((reason, b"") for reason in read.ignored)])
        if frames and int(kind) not in read.kinds:
            reason = read.set_aside[0][0] if read.set_aside else "nothing in it is about what was asked"
            raise self._unusable(path, reason)
        read.events["flags"] |= int(Flag.BACKFILLED)
        return read.events

    def _rows(self, instrument: Instrument, path: str, told: Sequence[T], row_of: Callable[[T], Events]) -> Events:
        made: list[Events] = []
        for entry in told:
            try:
                made.append(row_of(entry))
            except (ValueError, ArithmeticError) as error:
                self._keep_unreadable(instrument, [(str(error), msgspec.json.encode(entry))])
        if told and not made:
            raise self._unusable(path, "none of its numbers can be read")
        return joined(made)

    def _keep_unreadable(self, instrument: Instrument, entries: Sequence[tuple[str, bytes]]) -> None:
        if entries:
            kept = self._unreadable.setdefault(instrument.symbol, [])
            kept.extend(entries[: _MAX_UNREADABLE - len(kept)])


def _kline_frame(symbol: str, interval: str, bar: Sequence[Raw], ended_ms: int, *, has_newer: bool) -> bytes:
    """Return a REST bar in the words of the stream; the decoder judges what is in them."""
    if len(bar) < 10:
        return b"[]"
    opened, first, high, low, last, volume, end, turnover, count, buys = bar[:10]
    is_closed = has_newer or (bytes(end).isdigit() and int(bytes(end)) < ended_ms)
    return _KLINE % (
        end, symbol.encode(), opened, interval.encode(), first, high, low, last, volume, count, turnover, buys,
        b"true" if is_closed else b"false",
    )  # fmt: skip
