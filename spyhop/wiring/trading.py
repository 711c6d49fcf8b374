"""Questions to accounts outside of a session: is this one fit to trade, what does it hold, close all of it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import msgspec
import numpy as np

from spyhop.clock import NS_PER_MS, Clock
from spyhop.config.settings import Settings
from spyhop.errors import MissingInput, UserError, VenueError
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, Kind, Side, Venue
from spyhop.ports import Trader
from spyhop.risk.sizing import leverage_at
from spyhop.venues.binance.rest import BinanceRest
from spyhop.venues.desk.flatten import Flattened, Step, flatten
from spyhop.venues.doctor import Finding, Level, Plan, examine
from spyhop.venues.dydx.rest import DydxRest
from spyhop.venues.endpoints import Endpoints
from spyhop.wiring.accounts import Keys, account_of, equity_of, trader_of
from spyhop.wiring.venues import binance_endpoints, listed, public_http

NUM_BARS = 61


class Examined(msgspec.Struct, frozen=True):
    """What the doctor says of one account, and its money in quote currency (0.0 where nobody could say)."""

    account: str
    findings: list[Finding]
    equity: float

    @property
    def is_fit(self) -> bool:
        """Say whether it may trade."""
        return bool(self.findings) and all(finding.level is not Level.FAIL for finding in self.findings)


class Market(msgspec.Struct, frozen=True):
    """How a market stood when it was asked: levels of its book by side, (ticks, lots), best first; volatility."""

    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]
    sigma_1m: float
    offset_ms: float

    @property
    def mid(self) -> float:
        """Return the mid in ticks, 0.0 for a book of one side."""
        return (self.bids[0][0] + self.asks[0][0]) / 2.0 if self.bids and self.asks else 0.0

    def depth(self, side: Side) -> int:
        """Return the lots that an order of `side` would find in the levels that were told."""
        return sum(lots for _, lots in (self.asks if side is Side.BUY else self.bids))


async def instruments_of(endpoints: Endpoints, symbols: Sequence[str]) -> tuple[Instrument, ...]:
    """Return what the venues list under `symbols`, numbered; raise MissingInput or VenueError."""
    found = (await listed(endpoints, symbols)).instruments
    return tuple(one.numbered(number) for number, one in enumerate(found))


async def examined(
    endpoints: Endpoints, settings: Settings, instruments: Sequence[Instrument], keys: Keys
) -> list[Examined]:
    """Return what there is to say of each account that `instruments` are traded by; nothing is changed at a venue."""
    clock, told = endpoints.clock.clock(), []
    for name in dict.fromkeys(account_of(one) for one in instruments):
        ours = [one for one in instruments if account_of(one) == name]
        markets = [await market_of(endpoints, one, clock) for one in ours]
        plans = [_plan(one, market, settings) for one, market in zip(ours, markets, strict=True)]
        trader = trader_of(ours[0].venue, endpoints, ours, keys, clock)
        try:
            findings = await examine(
                trader, plans, settings.doctor, clock.now_ns(), offset_ms=max(one.offset_ms for one in markets)
            )
            told.append(Examined(name, findings, await _equity(trader, ours[0].quote)))
        finally:
            await trader.close()
    return told


async def killed(endpoints: Endpoints, instruments: Sequence[Instrument], keys: Keys) -> dict[str, Flattened]:
    """Cancel everything and close everything in each account of `instruments`, side by side; report by account.

    An account that cannot be opened, for want of a key, is reported as not flat and keeps nobody else waiting.
    """
    clock = endpoints.clock.clock()
    names = list(dict.fromkeys(account_of(one) for one in instruments))
    done = await asyncio.gather(
        *(_flattened(endpoints, [one for one in instruments if account_of(one) == name], keys, clock) for name in names)
    )
    return dict(zip(names, done, strict=True))


async def _flattened(endpoints: Endpoints, ours: Sequence[Instrument], keys: Keys, clock: Clock) -> Flattened:
    begun = clock.now_ns()
    try:
        trader = trader_of(ours[0].venue, endpoints, ours, keys, clock)
    except (UserError, VenueError) as error:
        failed = Step(clock.now_ns(), "failed", note=str(error))
        return Flattened(is_flat=False, begun=begun, ended=failed.ts, steps=(failed,))
    try:
        depths = await _depths(endpoints, ours, clock)

        def depth(instrument: int, side: Side) -> int:
            return depths[instrument].depth(side) if instrument in depths else 0

        return await flatten(trader, {one.id: one for one in ours}, clock, None, depth)
    finally:
        await trader.close()


async def _depths(endpoints: Endpoints, ours: Sequence[Instrument], clock: Clock) -> dict[int, Market]:
    depths: dict[int, Market] = {}
    for one in ours:
        try:
            depths[one.id] = await market_of(endpoints, one, clock)
        except (VenueError, MissingInput):
            continue  # a kill does not need market data
    return depths


async def market_of(endpoints: Endpoints, instrument: Instrument, clock: Clock) -> Market:
    """Return how the market of an instrument stands; raise VenueError or MissingInput."""
    http = public_http(clock, endpoints, instrument.venue)
    try:
        if instrument.venue is Venue.DYDX:
            dydx = DydxRest(http, endpoints.dydx)
            book, _ = await dydx.orderbook(instrument.symbol)
            bids, asks = (
                [(instrument.to_ticks(level.price), instrument.to_lots(level.size)) for level in side]
                for side in (book.bids, book.asks)
            )
            bars, time = await dydx.bars(instrument, NUM_BARS), await dydx.venue_time()
        else:
            rest = BinanceRest(http, binance_endpoints(endpoints, instrument.venue), instrument.venue)
            levels = await rest.depth(instrument, 100)
            bids, asks = (_levels(levels, side) for side in (Side.BUY, Side.SELL))
            bars, time = await rest.klines(instrument, "1m", NUM_BARS), await rest.venue_time()
    finally:
        await http.close()
    offset = (time.ts_venue - (time.ts_sent + time.ts_recv) / 2) / NS_PER_MS
    return Market(bids, asks, _sigma(bars), abs(offset))


def _levels(events: Events, side: Side) -> list[tuple[int, int]]:
    rows = events[(events["kind"] == Kind.LEVEL) & (events["side"] == side) & (events["qty"] > 0)]
    return sorted(((int(row["price"]), int(row["qty"])) for row in rows), key=lambda level: -side * level[0])


def _sigma(bars: Events) -> float:
    closes = bars["price"][bars["kind"] == Kind.BAR_CLOSE].astype(np.float64)
    if len(closes) < 10 or not (closes > 0).all():
        return 0.0
    return float(np.std(np.diff(np.log(closes)), ddof=1))


def _plan(instrument: Instrument, market: Market, settings: Settings) -> Plan:
    sizing = settings.risk.sizing
    one = instrument.notional(market.mid, 1) if market.mid else 0.0
    leverage = leverage_at(sizing.position_size_usdt, instrument, sizing.max_leverage)
    lots = math.floor(sizing.position_size_usdt * leverage / one) if one else 0
    return Plan(instrument=instrument, price=market.mid, lots=lots, leverage=float(leverage), sigma_1m=market.sigma_1m)


async def _equity(trader: Trader, quote: str) -> float:
    try:
        return await equity_of(trader, quote)
    except (VenueError, UserError):
        return 0.0
