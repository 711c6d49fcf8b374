"""The indexer's REST: typed answers, and rows of the tape of what stands in for streams.

Every method raises VenueError; a body that cannot be read is VenueUnavailable, asking again is all there is to do.
Lists come newest first from the venue and leave here oldest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import msgspec

from spyhop.clock import NS_PER_HOUR, NS_PER_S, iso_ms
from spyhop.errors import VenueUnavailable
from spyhop.model.instruments import Instrument, MarginTier
from spyhop.model.tape import Events, Flag, Kind, Side, Venue
from spyhop.venues import catalogue
from spyhop.venues.adapter import VenueTime
from spyhop.venues.dydx import endpoints as names
from spyhop.venues.dydx import wire
from spyhop.venues.dydx.bars import Bar, add_bar, bar_of
from spyhop.venues.dydx.numbers import Grid, event_id_parts, nanoseconds, rounded
from spyhop.venues.dydx.trade_log import Printed, printed
from spyhop.venues.endpoints import DydxEndpoints
from spyhop.venues.net.transport import Http
from spyhop.venues.rows import Rows

Body = TypeVar("Body")

MAX_PAGES = 10
_CLOSED_AFTER_NS = 30 * NS_PER_S
"""A candle that no newer one follows is taken for closed so long after its end, should the chain stand still."""


class DydxRest:
    """Asks one indexer; holds nothing but where it is."""

    def __init__(self, http: Http, endpoints: DydxEndpoints) -> None:
        self._http, self._base = http, endpoints.indexer

    async def markets(self, ticker: str = "") -> dict[str, wire.Market]:
        """Return the perpetual markets by ticker, all or one."""
        body, _ = await self._get("/perpetualMarkets", wire.Markets, {"ticker": ticker} if ticker else {})
        try:
            return {name: wire.market(raw) for name, raw in body.markets.items()}
        except wire.UNREADABLE:
            raise self.unreadable("/perpetualMarkets", "a market is not one") from None

    async def market(self, ticker: str) -> tuple[wire.Market, int]:
        """Return one market and when the answer came."""
        body, ts = await self._get("/perpetualMarkets", wire.Markets, {"ticker": ticker})
        try:
            return wire.market(body.markets[ticker]), ts
        except (KeyError, *wire.UNREADABLE):
            raise self.unreadable("/perpetualMarkets", f"no {ticker}") from None

    async def instruments(self) -> tuple[Instrument, ...]:
        """Return the instruments of all markets whose tick and step are told, numbered in the venue's order."""
        listed = [_instrument(ticker, market) for ticker, market in (await self.markets()).items()]
        return tuple(instrument.numbered(i) for i, instrument in enumerate(x for x in listed if x is not None))

    async def orderbook(self, ticker: str) -> tuple[wire.Book, int]:
        """Return the book, up to 100 levels a side, and when the answer came."""
        return await self._get(names.orderbook(ticker), wire.Book)

    async def trades(
        self, instrument: Instrument, limit: int = names.MAX_TRADES, before_height: str = ""
    ) -> tuple[list[Printed], int]:
        """Return the newest trades up to a block's height, and when the answer came."""
        params: dict[str, str | int] = {"limit": limit}
        if before_height:
            params["createdBeforeOrAtHeight"] = before_height
        path = names.trades(instrument.symbol)
        body, ts = await self._get(path, wire.Trades, params)
        grid = Grid(instrument)
        try:
            return [printed(trade, grid) for trade in body.trades[::-1]], ts
        except ValueError as error:
            raise self.unreadable(path, str(error)) from None

    async def recent_trades(
        self, instrument: Instrument, since: int, max_pages: int = MAX_PAGES
    ) -> tuple[list[Printed], int]:
        """Return the trades after `since` (ns), at most `max_pages` times 1,000 of the newest, and when they came."""
        found: dict[int, Printed] = {}
        height, ts = "", 0
        for _ in range(max_pages):
            page, ts = await self.trades(instrument, before_height=height)
            known = len(found)
            found.update((trade.id, trade) for trade in page)
            if len(page) < names.MAX_TRADES or page[0].ts_event <= since or len(found) == known:
                break
            height = str(event_id_parts(page[0].id)[0])
        return [found[number] for number in sorted(found) if found[number].ts_event > since], ts

    async def candles(
        self, instrument: Instrument, resolution: str, limit: int, from_ns: int = 0, to_ns: int = 0
    ) -> tuple[list[Bar], int]:
        """Return the newest candles that begin from `from_ns` until `to_ns` (0: any), and when they came."""
        params: dict[str, str | int] = {"resolution": resolution, "limit": limit}
        if from_ns:
            params["fromISO"] = f"{iso_ms(from_ns)}Z"
        if to_ns:
            params["toISO"] = f"{iso_ms(to_ns)}Z"
        path = names.candles(instrument.symbol)
        body, ts = await self._get(path, wire.Candles, params)
        grid = Grid(instrument)
        try:
            bars = [bar_of(candle, grid) for candle in body.candles[::-1]]
        except ValueError as error:
            raise self.unreadable(path, str(error)) from None
        return [bar for bar in bars if bar is not None], ts

    async def bars(
        self, instrument: Instrument, num_bars: int, trades: Sequence[Printed] = (), resolution: str = "1MIN"
    ) -> Events:
        """Return the newest `num_bars` closed bars, BACKFILLED; the takers' share is that of `trades`, else a half.

        A candle is closed when a newer one is there, or half a minute after its end.
        """
        found: dict[int, Bar] = {}
        to_ns, ts = 0, 0
        for _ in range(MAX_PAGES):
            # one more to join the pages: whether the end itself is in a page is not said anywhere
            limit = min(num_bars + 1 - len(found) + (to_ns > 0), names.MAX_CANDLES)
            page, ts = await self.candles(instrument, resolution, limit, to_ns=to_ns)
            known = len(found)
            found.update((bar.start, bar) for bar in page)
            if len(found) > num_bars or len(page) < limit or len(found) == known:
                break
            to_ns = page[0].start
        newest = max(found, default=0)
        closed = [bar for _, bar in sorted(found.items()) if bar.start < newest or bar.end + _CLOSED_AFTER_NS <= ts]
        takers = _takers(trades, closed[0].seconds if closed else 60)
        rows = Rows(instrument)
        for bar in closed[-num_bars:]:
            buys, total = takers.get(bar.start, (1, 2))
            add_bar(bar, bar.volume * buys // total, min(bar.end, ts), ts, Flag.BACKFILLED, rows)
        return rows.events()

    async def fundings(self, instrument: Instrument, limit: int, before_ns: int = 0) -> Events:
        """Return the newest `limit` funding rates that were paid (until `before_ns`), as settled FUNDING rows."""
        path = names.historical_funding(instrument.symbol)
        found: dict[int, wire.Funding] = {}
        ts = 0
        for _ in range(MAX_PAGES):
            size = min(limit - len(found), names.MAX_FUNDINGS)
            params: dict[str, str | int] = {"limit": size}
            if before_ns:
                params["effectiveBeforeOrAt"] = f"{iso_ms(before_ns)}Z"
            body, ts = await self._get(path, wire.HistoricalFunding, params)
            try:
                page = {nanoseconds(funding.effective_at): funding for funding in body.historical_funding}
            except ValueError as error:
                raise self.unreadable(path, str(error)) from None
            known = len(found)
            found |= page
            if len(found) >= limit or len(page) < size or len(found) == known:
                break
            before_ns = min(page) - 1_000_000
        rows = Rows(instrument)
        try:
            for ts_paid, funding in sorted(found.items())[-limit:]:
                flags = Flag.SETTLED | Flag.BACKFILLED
                due = ts_paid - ts_paid % NS_PER_HOUR
                rows.add(
                    Kind.FUNDING, ts_paid, ts, flags=flags, id=due, aux=rounded(funding.rate, 12), aux2=NS_PER_HOUR
                )
        except ValueError as error:
            raise self.unreadable(path, str(error)) from None
        return rows.events()

    async def height(self) -> wire.Height:
        """Return the newest block that the indexer has."""
        return (await self._get("/height", wire.Height))[0]

    async def venue_time(self) -> VenueTime:
        """Ask what time it is."""
        response = await self._http.request("GET", f"{self._base}/time")
        try:
            now = nanoseconds(msgspec.json.decode(response.body, type=wire.Time).iso)
        except wire.UNREADABLE:
            raise self.unreadable("/time", "no time") from None
        return VenueTime(response.ts_sent, response.ts_recv, now)

    async def sparklines(self, period: str = "ONE_DAY") -> wire.Sparklines:
        """Return closes by ticker for ONE_DAY (hourly) or SEVEN_DAYS (every four hours), newest first."""
        return (await self._get("/sparklines", dict[str, list[str]], {"timePeriod": period}))[0]

    async def subaccount(self, address: str, number: int) -> wire.Subaccount:
        """Return one subaccount; raise VenueRefused (404) when it has never held anything."""
        return (await self._get(names.subaccount(address, number), wire.SubaccountAnswer))[0].subaccount

    async def orders(
        self, address: str, number: int, *, ticker: str = "", status: str = "", limit: int = 100
    ) -> list[wire.Order]:
        """Return orders, newest first; short-term orders that expired are not told of."""
        params = _of(address, number, limit) | ({"ticker": ticker} if ticker else {})
        return (await self._get("/orders", list[wire.Order], params | ({"status": status} if status else {})))[0]

    async def order(self, order_id: str) -> wire.Order:
        """Return one order by the venue's id."""
        return (await self._get(f"/orders/{order_id}", wire.Order))[0]

    async def fills(
        self, address: str, number: int, *, ticker: str = "", limit: int = 100, before_height: str = ""
    ) -> list[wire.Fill]:
        """Return fills up to a block's height, newest first."""
        params = _of(address, number, limit) | ({"market": ticker, "marketType": "PERPETUAL"} if ticker else {})
        params |= {"createdBeforeOrAtHeight": before_height} if before_height else {}
        return (await self._get("/fills", wire.Fills, params))[0].fills

    async def positions(
        self, address: str, number: int, *, status: str = "OPEN", limit: int = 100
    ) -> list[wire.Position]:
        """Return perpetual positions."""
        params = _of(address, number, limit) | {"status": status}
        return (await self._get("/perpetualPositions", wire.Positions, params))[0].positions

    async def transfers(self, address: str, number: int, *, limit: int = 100) -> list[wire.Transfer]:
        """Return transfers, newest first."""
        return (await self._get("/transfers", wire.Transfers, _of(address, number, limit)))[0].transfers

    def unreadable(self, path: str, reason: str) -> VenueUnavailable:
        """Return the error for an answer that makes no sense."""
        return VenueUnavailable(f"{self._base}{path}", 200, f"unreadable answer: {reason}")

    async def _get(
        self, path: str, shape: type[Body], params: dict[str, str | int] | dict[str, str] | None = None
    ) -> tuple[Body, int]:
        response = await self._http.request("GET", f"{self._base}{path}", params)
        try:
            wire.check(response.body)
            return msgspec.json.decode(response.body, type=shape), response.ts_recv
        except wire.UNREADABLE:
            raise self.unreadable(path, "not the body of this path") from None


def _of(address: str, number: int, limit: int) -> dict[str, str | int]:
    return {"address": address, "subaccountNumber": number, "limit": limit}


def _takers(trades: Sequence[Printed], seconds: int) -> dict[int, tuple[int, int]]:
    """Return (takers' buys, all) in lots by the start of their interval."""
    takers: dict[int, tuple[int, int]] = {}
    for trade in trades:
        start = trade.ts_event - trade.ts_event % (seconds * NS_PER_S)
        buys, total = takers.get(start, (0, 0))
        takers[start] = (buys + trade.lots * (trade.side == Side.BUY), total + trade.lots)
    return takers


def _instrument(ticker: str, market: wire.Market) -> Instrument | None:
    try:
        tick, step = Decimal(market.tick_size or "0"), Decimal(market.step_size or "0")
        initial = Decimal(market.initial_margin_fraction or "0")
        maintenance = Decimal(market.maintenance_margin_fraction or "0")
    except InvalidOperation:
        return None
    if not all(number.is_finite() for number in (tick, step, initial, maintenance)) or tick <= 0 or step <= 0:
        return None
    base, quote = catalogue.split_symbol(ticker)
    tiers = (MarginTier(Decimal(0), maintenance, 1 / initial),) if initial > 0 else ()
    return Instrument(
        id=0,
        venue=Venue.DYDX,
        symbol=ticker,
        tick_size=tick.normalize(),
        lot_size=step.normalize(),
        base=base,
        quote=quote,
        min_qty=step.normalize(),
        margin_tiers=tiers,
    )
