"""REST market data that USDT-M and spot share: time, book, trades, bars, 24 hours, best prices, exchangeInfo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from spyhop.clock import NS_PER_MINUTE, NS_PER_MS
from spyhop.venuesim.binance import listing
from spyhop.venuesim.binance.errors import BAD_SYMBOL, BinanceError, missing
from spyhop.venuesim.binance.grid import Grid, fixed
from spyhop.venuesim.binance.messages import ID, INTERVALS_S, PRICE, QTY, SIDE, TS_EVENT, Frames, Row, bar_rows, changes
from spyhop.venuesim.binance.rest import Call, Endpoint
from spyhop.venuesim.faults import FaultKind
from spyhop.venuesim.floor import Floor

AGED_NS = NS_PER_MINUTE
"""How often an old snapshot of every book is kept, for the fault that serves it."""


class MarketRest:
    """The market data of one venue under `prefix`, such as /fapi/v1."""

    def __init__(self, floor: Floor, label: str, frames: Mapping[int, Frames], prefix: str, *, is_spot: bool) -> None:
        self.floor, self.label, self._prefix, self._is_spot = floor, label, prefix, is_spot
        self.frames = frames
        self._numbers = {told.grid.instrument.symbol: number for number, told in frames.items()}
        self._aged: dict[int, tuple[bytes, bytes]] = {}
        self._kept_at = 0

    def number(self, call: Call) -> int:
        """Return the instrument of `symbol`; raise -1102 or -1121."""
        return self.number_of(call.need("symbol"))

    def number_of(self, symbol: str) -> int:
        """Return the instrument called `symbol`; raise -1102 or -1121."""
        if not symbol:
            raise missing("symbol")
        number = self._numbers.get(symbol)
        if number is None:
            raise BAD_SYMBOL
        return number

    def numbers(self, call: Call) -> list[int]:
        """Return the instrument of `symbol`, or all of them without one."""
        return [self.number(call)] if call.text("symbol") else list(self.frames)

    def grid(self, number: int) -> Grid:
        """Return how numbers of an instrument are written."""
        return self.frames[number].grid

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints, with the weights that the venue asks."""
        prefix = self._prefix
        history = 200 if not self._is_spot else 25
        endpoints = [
            Endpoint("GET", f"{prefix}/ping", lambda call: {}),
            Endpoint("GET", f"{prefix}/time", lambda call: {"serverTime": call.now_ms}),
            Endpoint("GET", f"{prefix}/exchangeInfo", self.exchange_info, 20 if self._is_spot else 1),
            Endpoint("GET", f"{prefix}/depth", self.depth, _spot_depth_weight if self._is_spot else _depth_weight),
            Endpoint("GET", f"{prefix}/trades", self.trades, 25 if self._is_spot else 5),
            Endpoint("GET", f"{prefix}/historicalTrades", self.trades, history),
            Endpoint("GET", f"{prefix}/aggTrades", self.agg_trades, 4 if self._is_spot else 20),
            Endpoint("GET", f"{prefix}/klines", self.klines, 2 if self._is_spot else _klines_weight),
            Endpoint(
                "GET", f"{prefix}/ticker/24hr", self.day, _all_weight(2, 80) if self._is_spot else _all_weight(1, 40)
            ),
        ]
        if self._is_spot:
            endpoints.append(Endpoint("GET", f"{prefix}/avgPrice", self.average, 2))
        for path in (prefix, prefix.replace("v1", "v2")) if not self._is_spot else (prefix,):
            weight = _all_weight(2, 4) if self._is_spot else _all_weight(1, 2)
            endpoints.append(Endpoint("GET", f"{path}/ticker/price", self.price, weight))
            endpoints.append(Endpoint("GET", f"{path}/ticker/bookTicker", self.best, weight))
        return endpoints

    def keep_old_books(self) -> None:
        """Keep a snapshot of every book once a minute, and the one before it; runs with every publication."""
        now, wanted = self.floor.exchange.now, FaultKind.OLD_SNAPSHOT in self.floor.faults.kinds
        if self._aged and (wanted or now - self._kept_at < AGED_NS):
            return
        self._kept_at = now
        for number in self.frames:
            book = self._book(number, 1_000, now // NS_PER_MS)
            self._aged[number] = (self._aged.get(number, (b"", book))[1], book)

    def exchange_info(self, call: Call) -> object:
        """Return exchangeInfo."""
        grids = [told.grid for told in self.frames.values()]
        if self._is_spot and call.text("symbol"):
            grids = [self.grid(self.number(call))]
        return listing.spot(grids, call.now_ms) if self._is_spot else listing.usdm(grids, call.now_ms)

    def depth(self, call: Call) -> bytes:
        """Return a snapshot of the book: the newest, or an old one while a fault wants it."""
        number = self.number(call)
        limit = call.limit(100 if self._is_spot else 500, 5_000 if self._is_spot else 1_000)
        if number in self._aged and self.floor.faults.hit(
            FaultKind.OLD_SNAPSHOT, self.label, call.path, call.need("symbol")
        ):
            before, newest = self._aged[number]
            return before or newest
        return self._book(number, limit, call.now_ms)

    def trades(self, call: Call) -> object:
        """Return recent trades."""
        number = self.number(call)
        rows = self.floor.exchange.trades(number, call.limit(500, 1_000), call.integer("fromId", -1)).tolist()
        return [self._trade(number, row, call.skew_ms) for row in rows]

    def agg_trades(self, call: Call) -> object:
        """Return aggregated trades, by id or by time."""
        number = self.number(call)
        start, end = call.span()
        rows = self.floor.exchange.trades(number, call.limit(500, 1_000), call.integer("fromId", -1), start, end)
        return [self._agg_trade(number, row, call.skew_ms) for row in rows.tolist()]

    def klines(self, call: Call) -> object:
        """Return bars, the open one included."""
        number = self.number(call)
        interval_s = INTERVALS_S.get(call.need("interval"))
        if interval_s is None:
            raise BinanceError(-1120, "Invalid interval.")
        start, end = call.span()
        limit = call.limit(500, 1_000 if self._is_spot else 1_500)
        bars = self.floor.exchange.bars(number, interval_s, start, end, limit)
        return [self.frames[number].kline_row(bar, call.skew_ms) for bar in bar_rows(bars)]

    def day(self, call: Call) -> object:
        """Return the last 24 hours of one symbol or of all."""
        told = [self._day(number, call.skew_ms) for number in self.numbers(call)]
        return told[0] if call.text("symbol") else told

    def price(self, call: Call) -> object:
        """Return last prices."""
        told: list[dict[str, Any]] = []
        for number in self.numbers(call):
            grid, ticker = self.grid(number), self.floor.exchange.ticker(number)
            body: dict[str, Any] = {"symbol": grid.instrument.symbol, "price": grid.price(ticker.last)}
            told.append(body if self._is_spot else {**body, "time": ticker.ts // NS_PER_MS + call.skew_ms})
        return told[0] if call.text("symbol") else told

    def average(self, call: Call) -> object:
        """Return the mean price of the last five minutes."""
        number = self.number(call)
        bars = self.floor.exchange.bars(number, 60, limit=5)
        mean = self.grid(number).average(int(bars["tick_lots"].sum()), int(bars["lots"].sum()))
        return {"mins": 5, "price": fixed(mean), "closeTime": call.now_ms}

    def best(self, call: Call) -> object:
        """Return best prices."""
        told: list[dict[str, Any]] = []
        for number in self.numbers(call):
            grid = self.grid(number)
            update, bid, bid_lots, ask, ask_lots = self.floor.exchange.best(number)
            body: dict[str, Any] = {
                "symbol": grid.instrument.symbol,
                "bidPrice": grid.price(bid),
                "bidQty": grid.qty(bid_lots),
                "askPrice": grid.price(ask),
                "askQty": grid.qty(ask_lots),
            }
            told.append(body if self._is_spot else {**body, "time": call.now_ms, "lastUpdateId": update})
        return told[0] if call.text("symbol") else told

    def _book(self, number: int, limit: int, now_ms: int) -> bytes:
        frames = self.frames[number]
        update, bids, asks = self.floor.exchange.book(number, limit)
        times = "" if self._is_spot else f'"E":{now_ms},"T":{now_ms},'
        sides = f'"bids":[{frames.levels(bids)}],"asks":[{frames.levels(asks)}]'
        return f'{{"lastUpdateId":{update},{times}{sides}}}'.encode()

    def _trade(self, number: int, row: Row, skew_ms: int) -> dict[str, Any]:
        grid = self.grid(number)
        body = {
            "id": row[ID],
            "price": grid.price(row[PRICE]),
            "qty": grid.qty(row[QTY]),
            "quoteQty": grid.money(row[PRICE] * row[QTY]),
            "time": row[TS_EVENT] // NS_PER_MS + skew_ms,
            "isBuyerMaker": row[SIDE] < 0,
        }
        return {**body, "isBestMatch": True} if self._is_spot else body

    def _agg_trade(self, number: int, row: Row, skew_ms: int) -> dict[str, Any]:
        grid = self.grid(number)
        body = {
            "a": row[ID],
            "p": grid.price(row[PRICE]),
            "q": grid.qty(row[QTY]),
            "f": row[ID],
            "l": row[ID],
            "T": row[TS_EVENT] // NS_PER_MS + skew_ms,
            "m": row[SIDE] < 0,
        }
        return {**body, "M": True} if self._is_spot else body

    def _day(self, number: int, skew_ms: int) -> dict[str, Any]:
        grid, ticker = self.grid(number), self.floor.exchange.ticker(number)
        change, percent, mean = changes(grid, ticker)
        body = {
            "symbol": grid.instrument.symbol,
            "priceChange": change,
            "priceChangePercent": percent,
            "weightedAvgPrice": mean if self._is_spot else fixed(grid.average(ticker.tick_lots, ticker.lots), 2),
            "lastPrice": grid.price(ticker.last),
            "lastQty": grid.qty(ticker.last_lots),
            "openPrice": grid.price(ticker.open),
            "highPrice": grid.price(ticker.high),
            "lowPrice": grid.price(ticker.low),
            "volume": grid.qty(ticker.lots),
            "quoteVolume": grid.money(ticker.tick_lots),
            "openTime": ticker.ts_open // NS_PER_MS + skew_ms,
            "closeTime": ticker.ts // NS_PER_MS + skew_ms,
            "firstId": ticker.first_id,
            "lastId": ticker.last_id,
            "count": ticker.num_trades,
        }
        if not self._is_spot:
            return body
        return {
            **body,
            "prevClosePrice": grid.price(ticker.open),
            "bidPrice": grid.price(ticker.bid),
            "bidQty": grid.qty(ticker.bid_lots),
            "askPrice": grid.price(ticker.ask),
            "askQty": grid.qty(ticker.ask_lots),
        }


def _number(params: Mapping[str, str], default: int) -> int:
    try:
        return int(params.get("limit", default))
    except ValueError:
        return default


def _depth_weight(params: Mapping[str, str]) -> int:
    limit = _number(params, 500)
    return 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20


def _spot_depth_weight(params: Mapping[str, str]) -> int:
    limit = _number(params, 100)
    return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1_000 else 250


def _klines_weight(params: Mapping[str, str]) -> int:
    limit = _number(params, 500)
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1_000 else 10


def _all_weight(one: int, every: int) -> Callable[[Mapping[str, str]], int]:
    return lambda params: one if params.get("symbol") else every
