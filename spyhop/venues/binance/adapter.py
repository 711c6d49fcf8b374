"""One symbol of Binance's USDT-M futures or spot, as the session loop wants to be told about it.

Which silence is a fault: the book, the best price, the one-minute bar and the mark price always speak, so they have a
deadline for their first message and a longest pause. The longer bars ride beside the one-minute bar and have the first
deadline only. Trades, liquidations and the ticker rest while nobody trades; a wrong route or a dead socket shows in
the streams beside them, and a stale price in the source manager.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from spyhop.clock import NS_PER_S
from spyhop.model.instruments import Instrument
from spyhop.model.tape import INTERVALS_S, Events, Flag, Kind, Ratio, Venue, empty, joined
from spyhop.venues.adapter import Decoded, Poll, PollWhen, SocketPlan, StreamPlan, VenueTime, Want
from spyhop.venues.binance import live
from spyhop.venues.binance.book_sync import BookSync, DepthFrame
from spyhop.venues.binance.endpoints import INTERVALS, Route, combined_url, route_of, stream
from spyhop.venues.binance.rest import FUNDING_INTERVAL_NS, BinanceRest
from spyhop.venues.endpoints import BinanceEndpoints
from spyhop.venues.net.transport import Frame
from spyhop.venues.params import FeedParams

SNAPSHOT_LEVELS = 1_000

_MAX_SYNC_PAGES = 20
_ANSWER_NS = 10 * NS_PER_S  # a snapshot that was asked for and has not come by then is asked for again
_FIRST_PAUSE_NS, _LONGEST_PAUSE_NS = NS_PER_S // 4, 30 * NS_PER_S
_WORD, _IDS = 0, (5, 6, 7)  # columns of a row as eight words
_DIFF_MASK = 0xFF | (int(Flag.LAST | Flag.FROM_SNAPSHOT) << 24)
_DIFF_END = int(Kind.LEVEL) | (int(Flag.LAST) << 24)
_TRADE, _LEVEL, _BAR, _FUNDING = int(Kind.TRADE), int(Kind.LEVEL), int(Kind.BAR_OPEN), int(Kind.FUNDING)
_ONLY_LEVELS = frozenset((_LEVEL,))
_INTERVAL_OF = {seconds % 86_400: name for name, seconds in INTERVALS_S.items()}  # a day is 0 on the tape


class BinanceAdapter:
    """`instrument` at Binance; see `venues.adapter` for what the methods owe."""

    def __init__(
        self, instrument: Instrument, endpoints: BinanceEndpoints, rest: BinanceRest, params: FeedParams
    ) -> None:
        self.instrument = instrument
        self._ws = endpoints.ws
        self._rest = rest
        self._params = params
        self._is_usdm = instrument.venue is Venue.BINANCE_USDM
        self._depth = {"diff": "depth@100ms", "none": ""}.get(params.depth, f"{params.depth}@100ms")
        self._plans = self._planned()
        self._decoder = live.FrameDecoder(instrument, prefers_trades=params.trades == "trade")
        self._names = self._names_of_kinds()
        self._heard: dict[frozenset[int], tuple[str, ...]] = {}
        self._open: dict[int, str] = {}
        self._sync = BookSync()
        self._ts_asked = self._ask_at = 0
        self._pause_ns = _FIRST_PAUSE_NS
        self._last_trades = empty()
        self._ts_bars = 0
        self._interval_ns = FUNDING_INTERVAL_NS
        self._ahead_ns = 0

    def sockets(self) -> Sequence[SocketPlan]:
        """Return one connection for each route; spot has one in all."""
        return self._plans

    def opened(self, socket: str, connection: int) -> None:
        """Note an open connection."""
        self._open[connection] = socket

    def closed(self, socket: str, connection: int) -> None:
        """Note that a connection is gone; without another one of its kind the book is lost."""
        self._open.pop(connection, None)
        if socket == self._plans[0].name and socket not in self._open.values():
            self._sync.lose()

    def decode(self, socket: str, connection: int, frames: Sequence[Frame]) -> Decoded:
        """Turn frames into rows; ask for a snapshot of the book when diffs have come that none fits."""
        read = self._decoder.read(frames)
        events, kinds = read.events, read.kinds
        wants: list[Want] = []
        if _LEVEL in kinds:
            if len(frames) == 1 and kinds == _ONLY_LEVELS:
                last, first, previous = events[-1].item()[-3:]  # id, aux, aux2
                self._sync.on_frame(DepthFrame(last, first, previous, len(events)))
            else:
                self._follow_book(events)
            if self._sync.needs_snapshot and self._may_ask(frames[-1].ts_recv):
                wants.append(Want.BOOK)
        if _TRADE in kinds:
            self._last_trades = events
        if _FUNDING in kinds and self._interval_ns != FUNDING_INTERVAL_NS:
            events["aux2"][events["kind"] == _FUNDING] = self._interval_ns
        if live.SHUTDOWN in read.ignored:
            wants.append(Want.RECONNECT)
        set_aside = (*read.set_aside, *self._rest.unreadable(self.instrument))
        return Decoded(
            events,
            self._heard_in(kinds, events),
            tuple(wants),
            set_aside,
            Counter(read.ignored) if read.ignored else {},
        )

    async def book(self) -> Events:
        """Return the book by REST; whether it fits the diffs shows with the next ones."""
        # times are those of the diffs that made us ask: an adapter has no clock
        self._ask_at = self._ts_asked + self._pause_ns
        self._pause_ns = min(2 * self._pause_ns, _LONGEST_PAUSE_NS)
        known = self._sync.last_id if self._sync.is_synced else 0
        events = await self._rest.depth(self.instrument, SNAPSHOT_LEVELS)
        self._sync.on_snapshot(int(events["id"][0]), known)
        if not self._sync.needs_snapshot:
            self._ask_at, self._pause_ns = 0, _FIRST_PAUSE_NS
        return events

    async def sync(self, num_bars: int, since: int) -> Events:
        """Return the newest closed bars and the trades after `since`, from a bounded number of requests.

        Bars of more than a minute come where one has ended since then.
        """
        bars = await self._rest.newest_bars(self.instrument, num_bars + 1, ahead_ns=self._ahead_ns)
        batches = [_closed(bars)[-2 * num_bars :]]
        if since > 0:
            batches += await self._longer_bars(since)
            batches.append(await self._trades_since(since))
        return joined(batches)

    def polls(self) -> Sequence[Poll]:
        """Return what no stream tells, and what stands for the streams while there are none."""
        p = self._params
        fallback: tuple[Poll, ...] = (
            Poll("price", p.rest_price_poll_seconds, PollWhen.ON_REST, self._price, is_price=True),
            Poll("trades", 5 * p.rest_price_poll_seconds, PollWhen.ON_REST, self._new_trades),
            Poll("bars", p.rest_kline_poll_seconds, PollWhen.ON_REST, self._new_bars),
            Poll("ticker", p.rest_kline_poll_seconds, PollWhen.ON_REST, self._ticker),
        )
        if p.depth != "none":
            book = Poll("book", 5 * p.rest_price_poll_seconds, PollWhen.ON_REST, self.book)
            fallback = (*fallback, book)
        if not self._is_usdm:
            return fallback
        return (
            Poll("open_interest", p.oi_poll_seconds, PollWhen.ALWAYS, self._open_interest),
            Poll("funding", p.funding_poll_seconds, PollWhen.ALWAYS, self._funding),
            Poll("premium_index", p.premiumindex_poll_seconds, PollWhen.ALWAYS, self._premium_index),
            Poll("ratios", p.ratio_poll_seconds, PollWhen.ALWAYS, self._ratios),
            *fallback,
        )

    async def venue_time(self) -> VenueTime:
        """Ask the venue what time it is."""
        told = await self._rest.venue_time()
        self._ahead_ns = told.ts_venue - (told.ts_sent + told.ts_recv) // 2
        return told

    def _planned(self) -> tuple[SocketPlan, ...]:
        p = self._params
        first, silence = p.first_message_seconds, p.silence_seconds
        trades = StreamPlan(self._stream(p.trades), 0.0, is_price=True)
        streams = [
            *((StreamPlan(self._stream(self._depth), first, silence),) if self._depth else ()),
            StreamPlan(self._stream("bookTicker"), first, silence, is_price=True),
            trades,
            *(StreamPlan(self._stream(f"kline_{name}"), first, silence if name == "1m" else 0.0) for name in INTERVALS),
            StreamPlan(self._stream("ticker"), 0.0),
        ]
        if self._is_usdm:
            streams.append(StreamPlan(self._stream("markPrice@1s"), first, silence))
            streams.append(StreamPlan(self._stream("forceOrder"), 0.0))
        if not self._is_usdm:
            return (self._plan("streams", streams),)
        return tuple(
            self._plan(str(route), [plan for plan in streams if route_of(plan.name) is route])
            for route in (Route.PUBLIC, Route.MARKET)
        )

    def _plan(self, name: str, streams: Sequence[StreamPlan]) -> SocketPlan:
        url = combined_url(self._ws, self.instrument.venue, [plan.name for plan in streams])
        return SocketPlan(name, url, (), tuple(streams), self._params.rollover_hours * 3_600.0)

    def _stream(self, kind: str) -> str:
        return stream(self.instrument.symbol, kind)

    def _names_of_kinds(self) -> dict[int, str]:
        names = {
            Kind.TRADE: self._params.trades,
            Kind.QUOTE: "bookTicker",
            Kind.TICKER: "ticker",
            Kind.MARK: "markPrice@1s",
            Kind.LIQUIDATION: "forceOrder",
            **({Kind.LEVEL: self._depth} if self._depth else {}),
        }
        return {int(kind): self._stream(name) for kind, name in names.items()}

    def _heard_in(self, kinds: frozenset[int], events: Events) -> tuple[str, ...]:
        """Return the streams that rows of these kinds came from."""
        heard = self._heard.get(kinds)
        if heard is None:
            heard = self._heard[kinds] = tuple(self._names[kind] for kind in sorted(kinds) if kind in self._names)
        if _BAR not in kinds:
            return heard
        seconds = set(events["interval_s"][events["kind"] == _BAR].tolist())
        bars = (self._stream(f"kline_{_INTERVAL_OF[s]}") for s in sorted(seconds) if s in _INTERVAL_OF)
        return (*heard, *bars)

    def _follow_book(self, events: Events) -> None:
        """Take the diffs among `events`."""
        words = events.view(np.int64).reshape(len(events), -1)
        ends = np.flatnonzero((words[:, _WORD] & _DIFF_MASK) == _DIFF_END)
        begin = 0
        ids = words[ends][:, _IDS].tolist()
        for end, (last, first, previous) in zip(ends.tolist(), ids, strict=True):
            self._sync.on_frame(DepthFrame(last, first, previous, end + 1 - begin))
            begin = end + 1

    def _may_ask(self, now: int) -> bool:
        if now < self._ask_at:
            return False
        self._ts_asked, self._ask_at = now, now + _ANSWER_NS
        return True

    async def _price(self) -> Events:
        return await self._rest.book_ticker(self.instrument)

    async def _new_trades(self) -> Events:
        newest = self._last_trades["id"][self._last_trades["kind"] == _TRADE].max(initial=-1)
        if self._params.trades == "trade":
            trades = await self._rest.recent_trades(self.instrument)
        elif newest < 0:
            trades = await self._rest.agg_trades(self.instrument)
        else:
            trades = await self._rest.agg_trades(self.instrument, from_id=int(newest) + 1)
        if len(trades):
            self._last_trades = trades
        return trades

    async def _trades_since(self, since: int) -> Events:
        if self._params.trades == "trade":
            trades = await self._rest.recent_trades(self.instrument)
            return trades[trades["ts_event"] >= since]
        return await self._rest.trades_since(self.instrument, since, _MAX_SYNC_PAGES)

    async def _new_bars(self) -> Events:
        bars = await self._rest.klines(self.instrument, "1m", 10, ahead_ns=self._ahead_ns)
        if not len(bars):
            return bars
        since, self._ts_bars = self._ts_bars, int(bars["ts_recv"][-1])
        return joined([_closed(bars), *(await self._longer_bars(since) if since else ())])

    async def _longer_bars(self, since: int) -> list[Events]:
        """Return the bars of more than a minute that have closed after `since`."""
        found: list[Events] = []
        told = await self._rest.venue_time()
        for name in INTERVALS[1:]:
            length = INTERVALS_S[name] * NS_PER_S
            count = told.ts_venue // length - since // length
            if count > 0:
                limit = min(count, 99) + 1
                found.append(_closed(await self._rest.klines(self.instrument, name, limit, ahead_ns=self._ahead_ns)))
        return found

    async def _ticker(self) -> Events:
        return await self._rest.ticker(self.instrument)

    async def _open_interest(self) -> Events:
        return await self._rest.open_interest(self.instrument)

    async def _funding(self) -> Events:
        paid = await self._rest.funding_rates(self.instrument, limit=10)
        if len(paid):
            self._interval_ns = int(paid["aux2"][-1])
        return paid

    async def _premium_index(self) -> Events:
        told = await self._rest.premium_index(self.instrument)
        told["aux2"][told["kind"] == _FUNDING] = self._interval_ns
        return told

    async def _ratios(self) -> Events:
        found = [await self._rest.ratio(self.instrument, whose, limit=12) for whose in Ratio]
        return joined([*found, await self._rest.open_interest_history(self.instrument, limit=12)])


def _closed(bars: Events) -> Events:
    """Return the bars that have ended."""
    closed: Events = bars[(bars["flags"] & int(Flag.PARTIAL)) == 0]
    return closed
