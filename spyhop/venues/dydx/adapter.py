"""One market of dYdX as the session loop wants it: two connections, their messages to rows, REST where it must help.

The book has a connection of its own. Its stream drifts from the venue's book, so it is subscribed to anew every
`book_resync_seconds`: as the planned end of that connection's life, with the old one kept until the new one has
delivered. Everything else shares the other connection. A lost message makes either connection be replaced; the
snapshots that come with `subscribed` then bring what was missed.
"""

from __future__ import annotations

from collections.abc import Sequence

from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, Flag, joined
from spyhop.venues.adapter import Decoded, Poll, PollWhen, SocketPlan, StreamPlan, VenueTime
from spyhop.venues.dydx import endpoints as names
from spyhop.venues.dydx.reader import Batch, Link, Reader
from spyhop.venues.dydx.rest import DydxRest
from spyhop.venues.endpoints import DydxEndpoints
from spyhop.venues.net.transport import Frame
from spyhop.venues.params import FeedParams
from spyhop.venues.rows import Rows

BOOK, MARKET = "book", "market"
_NUM_POLLED_BARS = 10
_NUM_POLLED_TRADES = 100
_NUM_POLLED_FUNDINGS = 8


class DydxAdapter:
    """One market at dYdX; an Adapter."""

    def __init__(self, instrument: Instrument, endpoints: DydxEndpoints, rest: DydxRest, params: FeedParams) -> None:
        self.instrument = instrument
        self._url, self._rest, self._params = endpoints.ws, rest, params
        self._reader = Reader(instrument)
        self._links: dict[tuple[str, int], Link] = {}
        self._plans = {plan.name: plan for plan in self.sockets()}
        self._ts_settled = 0

    def sockets(self) -> Sequence[SocketPlan]:
        """Return the book's connection and the one of all other streams.

        The book and the blocks never pause, trades may. Each stream speaks soon after it was subscribed to, if only
        with its snapshot.
        """
        ticker, first_s = self.instrument.symbol, self._params.first_message_seconds
        silent_s = self._params.silence_seconds
        subjects = [f"{ticker}/{resolution}" for resolution in names.RESOLUTIONS]
        book = SocketPlan(
            BOOK,
            self._url,
            (names.subscribe(names.ORDERBOOK, ticker, batched=True),),
            (StreamPlan(names.stream_of(names.ORDERBOOK), first_s, silent_s, is_price=True),),
            life_s=self._params.book_resync_seconds,
        )
        market = SocketPlan(
            MARKET,
            self._url,
            (
                names.subscribe(names.TRADES, ticker),
                names.subscribe(names.MARKETS, batched=True),
                names.subscribe(names.BLOCK_HEIGHT, names.BLOCK_HEIGHT),
                *(names.subscribe(names.CANDLES, subject, batched=True) for subject in subjects),
            ),
            (
                StreamPlan(names.stream_of(names.TRADES), first_s, is_price=True),
                StreamPlan(names.stream_of(names.MARKETS), first_s),
                StreamPlan(names.stream_of(names.BLOCK_HEIGHT), first_s, silent_s),
                *(StreamPlan(names.stream_of(names.CANDLES, subject), first_s) for subject in subjects),
            ),
        )
        return (book, market)

    def opened(self, socket: str, connection: int) -> None:
        """Expect the messages of a new connection."""
        self._links[socket, connection] = Link(connection, len(self._plans[socket].hello))

    def closed(self, socket: str, connection: int) -> None:
        """Forget a connection. The tape may have lost its book with it, so the next book frame brings all of it."""
        self._links.pop((socket, connection), None)
        self._reader.closed(connection)

    def decode(self, socket: str, connection: int, frames: Sequence[Frame]) -> Decoded:
        """Turn messages into rows; what cannot be read is set aside."""
        if (socket, connection) not in self._links:
            self.opened(socket, connection)
        link, batch = self._links[socket, connection], Batch(self.instrument)
        for frame in frames:
            self._reader.on_frame(link, frame, batch)
        return batch.decoded()

    async def book(self) -> Events:
        """Return the book by REST; the next frame of the stream then brings the stream's own."""
        book, ts = await self._rest.orderbook(self.instrument.symbol)
        rows = Rows(self.instrument)
        try:
            self._reader.book.on_rest(book, ts, rows)
        except ValueError as error:
            raise self._rest.unreadable(names.orderbook(self.instrument.symbol), str(error)) from None
        return rows.events()

    async def sync(self, num_bars: int, since: int) -> Events:
        """Return the newest closed minutes and the trades after `since` that are not on the tape, BACKFILLED."""
        trades, ts = await self._rest.recent_trades(self.instrument, since)
        bars = await self._rest.bars(self.instrument, num_bars, trades)
        return joined([bars, self._reader.missed_trades(trades, ts)])

    def polls(self) -> Sequence[Poll]:
        """Return the funding that was paid, and stand-ins for every stream while there is none."""
        params = self._params
        return (
            Poll("funding", params.funding_poll_seconds, PollWhen.ALWAYS, self._funding),
            Poll("book", params.rest_price_poll_seconds, PollWhen.ON_REST, self.book, is_price=True),
            Poll("trades", params.rest_price_poll_seconds, PollWhen.ON_REST, self._trades, is_price=True),
            Poll("bars", params.rest_kline_poll_seconds, PollWhen.ON_REST, self._bars),
            Poll("market", params.premiumindex_poll_seconds, PollWhen.ON_REST, self._market),
        )

    async def venue_time(self) -> VenueTime:
        """Ask the indexer what time it is."""
        return await self._rest.venue_time()

    def statistics(self) -> dict[str, float]:
        """Return counters of what had to be mended."""
        return self._reader.statistics()

    async def _funding(self) -> Events:
        events = await self._rest.fundings(self.instrument, _NUM_POLLED_FUNDINGS)
        events = events[events["ts_event"] > self._ts_settled]
        if len(events):
            self._ts_settled = int(events["ts_event"].max())
        return events

    async def _trades(self) -> Events:
        trades, ts = await self._rest.trades(self.instrument, _NUM_POLLED_TRADES)
        return self._reader.missed_trades(trades, ts)

    async def _bars(self) -> Events:
        return await self._rest.bars(self.instrument, _NUM_POLLED_BARS)

    async def _market(self) -> Events:
        market, ts = await self._rest.market(self.instrument.symbol)
        rows = Rows(self.instrument)
        try:
            self._reader.market.on_market(market, ts, Flag.BACKFILLED, rows)
        except ValueError as error:
            raise self._rest.unreadable("/perpetualMarkets", str(error)) from None
        return rows.events()
