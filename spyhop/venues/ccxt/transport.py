"""ccxt behind the ports of a venue's client: what it watches comes as messages, what it fetches as answers.

The only module that imports ccxt for market data, and not before an exchange is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from spyhop.clock import Clock
from spyhop.errors import (
    ConnectFailed,
    ConnectionLost,
    MissingInput,
    Throttled,
    VenueError,
    VenueRefused,
    VenueUnavailable,
)
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Venue
from spyhop.venues.ccxt.adapter import BARS, BOOK, BOOK_LEVELS, TICKER, TRADES, grid_unit
from spyhop.venues.net.transport import Frame, Response

log = logging.getLogger(__name__)

_VENUES = {"bybit": Venue.BYBIT, "kraken": Venue.KRAKEN}
_WAIT_S = 1.0  # after a 429, which ccxt tells without saying how long to wait
_TRADE = ("id", "timestamp", "side", "price", "amount")
_TICKER = ("timestamp", "last", "baseVolume", "quoteVolume", "change")
_FUNDING = ("timestamp", "markPrice", "indexPrice", "fundingRate", "fundingTimestamp")
_INTEREST = ("timestamp", "openInterestAmount")
_WATCHED = {TRADES: "watch_trades", BOOK: "watch_order_book", BARS: "watch_ohlcv", TICKER: "watch_ticker"}
_BOOK_LIMITS = {"bybit": 50, "kraken": 100}
"""Depths that an exchange offers and refuses others; the rest get their default."""
_HAS = {TRADES: "watchTrades", BOOK: "watchOrderBook", BARS: "watchOHLCV", TICKER: "watchTicker"}


class CcxtTransport:
    """One exchange of ccxt for one feed; a Dial and an Http. `settings` go to the exchange's constructor.

    Made in the loop that uses it; `prepare` sees what the exchange is told before its first request.
    """

    def __init__(
        self,
        exchange: str,
        clock: Clock,
        settings: Mapping[str, Any] | None = None,
        prepare: Callable[[Any], None] = lambda exchange: None,
    ) -> None:
        self._name, self._clock, self._settings, self._prepare = exchange, clock, dict(settings or {}), prepare
        self._ccxt: Any = importlib.import_module("ccxt.pro")
        if exchange not in self._ccxt.exchanges:
            raise MissingInput(f"ccxt knows no exchange called {exchange!r}")
        log.warning("%s comes through ccxt: 10 to 100 times slower than a client of our own", exchange)
        self._asked = self._made()

    def _made(self) -> Any:
        exchange = getattr(self._ccxt, self._name)({"enableRateLimit": True, **self._settings})
        self._prepare(exchange)
        return exchange

    async def instrument(self, symbol: str) -> Instrument:
        """Return what the exchange says of ccxt's `symbol`; raise MissingInput or VenueError."""
        await self._call(self._asked.load_markets)
        market = self._asked.markets.get(symbol)
        if market is None:
            near = ", ".join(sorted(self._asked.markets)[:5])
            raise MissingInput(f"{self._name} lists no {symbol}; it lists {near}, ...")
        precision, mode = market["precision"], self._asked.precisionMode
        try:
            tick, lot = (grid_unit(precision[of], mode, f"{of} of {symbol}") for of in ("price", "amount"))
        except ValueError as error:
            raise MissingInput(f"{self._name} cannot be recorded: {error}") from None
        venue = _VENUES.get(self._name, Venue.CCXT)
        least = (market.get("limits") or {}).get("amount") or {}
        return Instrument(
            id=0,
            venue=venue,
            symbol=symbol if venue is not Venue.CCXT else f"{self._name}/{symbol}",
            tick_size=Decimal(tick).normalize(),
            lot_size=Decimal(lot).normalize(),
            multiplier=_decimal(market.get("contractSize"), Decimal(1)),
            is_inverse=bool(market.get("inverse")),
            base=market["base"],
            quote=market["quote"],
            min_qty=_decimal(least.get("min"), Decimal(0)),
        )

    async def __call__(self, url: str) -> CcxtSocket:
        """Return a socket that watches what it is sent the names of; raise ConnectFailed."""
        try:
            await self._call(self._asked.load_markets)
        except VenueError as error:
            raise ConnectFailed(url, str(error)) from error
        exchange = self._made()
        exchange.set_markets(self._asked.markets, self._asked.currencies)
        return CcxtSocket(url, url.removeprefix(f"ccxt://{self._name}/"), exchange, self._clock)

    async def request(
        self, method: str, url: str, params: Mapping[str, str | int] | None = None, *, timeout_s: float = 10.0
    ) -> Response:
        """Call the method of ccxt that `url` ends in, and answer with what it returned as JSON."""
        name = url.rpartition("/")[2]
        self._asked.timeout = round(timeout_s * 1_000)
        sent = self._clock.now_ns()
        told = await self._call(getattr(self._asked, name), **dict(params or {}))
        return Response(200, {}, msgspec.json.encode(_answer(name, told)), sent, self._clock.now_ns())

    async def _call(self, method: Callable[..., Any], **params: str | int) -> Any:
        ccxt, url = self._ccxt, f"ccxt://{self._name}"
        try:
            return await method(**params)
        except (ccxt.RateLimitExceeded, ccxt.DDoSProtection) as error:
            raise Throttled(url, 429, _WAIT_S) from error
        except (ccxt.NotSupported, ccxt.BadRequest, ccxt.AuthenticationError) as error:
            raise VenueRefused(url, 400, 0, _said(error)) from error
        except (ccxt.BaseError, OSError, TimeoutError) as error:
            raise VenueUnavailable(url, 0, _said(error)) from error

    async def close(self) -> None:
        """Let go of what ccxt holds open."""
        with contextlib.suppress(Exception):
            await self._asked.close()


class CcxtSocket:
    """Everything that one instance of an exchange watches, as one socket whose messages are JSON; a Socket."""

    def __init__(self, url: str, symbol: str, exchange: Any, clock: Clock) -> None:
        self._url, self._symbol, self._exchange, self._clock = url, symbol, exchange, clock
        self._frames: list[Frame] = []
        self._arrived = asyncio.Event()
        self._lost: ConnectionLost | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def frames(self) -> Sequence[Frame]:
        """Wait for messages and return all that have arrived; raise ConnectionLost at the end."""
        while not self._frames:
            if self._lost is not None:
                raise self._lost
            self._arrived.clear()
            await self._arrived.wait()
        taken, self._frames = self._frames, []
        return taken

    def send(self, message: bytes) -> None:
        """Watch the stream that `message` names; what the exchange does not offer is left out, with a word."""
        if self._lost is not None:
            raise self._lost
        stream = message.decode()
        if not self._exchange.has.get(_HAS[stream]):
            log.warning("%s offers no %s through ccxt", self._url, stream)
            return
        self._tasks.add(asyncio.create_task(self._watch(stream), name=f"{self._url} {stream}"))

    async def _watch(self, stream: str) -> None:
        watch = getattr(self._exchange, _WATCHED[stream])
        limit = _BOOK_LIMITS.get(self._exchange.id)
        with_book: dict[str, Any] = {"limit": limit}
        arguments = {BOOK: with_book, BARS: {"timeframe": "1m"}}.get(stream, {})
        try:
            while True:
                told = await watch(self._symbol, **arguments)
                # at once: ccxt goes on changing what it has returned
                data = msgspec.json.encode({"stream": stream, "data": _plain(stream, told)})
                self._frames.append(Frame(self._clock.now_ns(), data))
                self._arrived.set()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever ccxt raises, this connection is over
            self._lost = self._lost or ConnectionLost(self._url, 1006, _said(error))
            self._arrived.set()

    async def close(self) -> None:
        """Stop watching and let go of what ccxt holds open; never raises."""
        self._lost = self._lost or ConnectionLost(self._url, 1000, "closed by us")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(Exception):
            await self._exchange.close()
        self._arrived.set()


def _plain(stream: str, told: Any) -> Any:
    match stream:
        case "trades":
            return [_only(trade, _TRADE) for trade in told]
        case "book":
            sides = {side: [level[:2] for level in told[side][:BOOK_LEVELS]] for side in ("bids", "asks")}
            return {"timestamp": told.get("timestamp"), **sides}
        case "ticker":
            return _only(told, _TICKER)
        case _:
            return [candle[:6] for candle in told]


def _answer(method: str, told: Any) -> Any:
    match method:
        case "fetch_trades":
            return _plain(TRADES, told)
        case "fetch_order_book":
            return _plain(BOOK, told)
        case "fetch_ohlcv":
            return _plain(BARS, told)
        case "fetch_funding_rate":
            return _only(told, _FUNDING)
        case "fetch_open_interest":
            return _only(told, _INTEREST)
        case _:
            return told


def _only(told: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: told.get(name) for name in names}


def _decimal(number: float | None, default: Decimal) -> Decimal:
    return Decimal(repr(number)).normalize() if number else default


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
