"""Market frames as Binance sends them: rows of the tape in, the bytes of one JSON object out.

Field order is that of recorded frames of 2026. The venue's clock may be ahead of the exchange's: `skew_ms` is added to
every time that is on the wire. Spot frames lack what spot lacks: `pu` and `T` of diffs, every time of `bookTicker`.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from spyhop.clock import NS_PER_MS
from spyhop.venuesim.bars import BAR
from spyhop.venuesim.binance.grid import Grid, fixed
from spyhop.venuesim.views import MarkPrice, Ticker

Row: TypeAlias = tuple[int, ...]
"""A row of the tape as a tuple, in the order of EVENT."""

KIND, SIDE, VENUE, FLAGS, INSTRUMENT, INTERVAL, TS_EVENT, TS_RECV, PRICE, QTY, ID, AUX, AUX2 = range(13)
INTERVALS_S = {
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "15m": 900,
    "30m": 1_800,
    "1h": 3_600,
    "2h": 7_200,
    "4h": 14_400,
    "6h": 21_600,
    "8h": 28_800,
    "12h": 43_200,
    "1d": 86_400,
    "3d": 259_200,
    "1w": 604_800,
}
_BAR = {name: position for position, name in enumerate(BAR.names or ())}


class Frames:
    """The frames of one instrument."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._symbol = grid.instrument.symbol
        self._pair = "" if grid.is_spot else f'"ps":"{self._symbol}",'
        self._type = "" if grid.is_spot else ',"st":1'

    def agg_trade(self, row: Row, skew_ms: int) -> bytes:
        """Return an aggTrade of one trade: `a`, `f` and `l` are its id."""
        ms, number, grid = row[TS_EVENT] // NS_PER_MS + skew_ms, row[ID], self.grid
        price, qty, is_maker = grid.price(row[PRICE]), grid.qty(row[QTY]), _truth(row[SIDE] < 0)
        if grid.is_spot:
            return (
                f'{{"e":"aggTrade","E":{ms},"s":"{self._symbol}","a":{number},"p":"{price}","q":"{qty}","f":{number},'
                f'"l":{number},"T":{ms},"m":{is_maker},"M":true}}'
            ).encode()
        return (
            f'{{"e":"aggTrade","E":{ms},"a":{number},"s":"{self._symbol}","p":"{price}","q":"{qty}","nq":"{qty}",'
            f'"f":{number},"l":{number},"T":{ms},"m":{is_maker},"st":1}}'
        ).encode()

    def trade(self, row: Row, skew_ms: int) -> bytes:
        """Return a raw trade."""
        ms, number, grid = row[TS_EVENT] // NS_PER_MS + skew_ms, row[ID], self.grid
        price, qty, is_maker = grid.price(row[PRICE]), grid.qty(row[QTY]), _truth(row[SIDE] < 0)
        if grid.is_spot:
            return (
                f'{{"e":"trade","E":{ms},"s":"{self._symbol}","t":{number},"p":"{price}","q":"{qty}","T":{ms},'
                f'"m":{is_maker},"M":true}}'
            ).encode()
        return (
            f'{{"e":"trade","E":{ms},"T":{ms},"s":"{self._symbol}","t":{number},"p":"{price}","q":"{qty}",'
            f'"X":"MARKET","m":{is_maker},"st":1}}'
        ).encode()

    def quote(self, ts: int, best: tuple[int, int, int, int, int], skew_ms: int) -> bytes:
        """Return a bookTicker of (update id, bid, bid lots, ask, ask lots)."""
        number, bid, bid_lots, ask, ask_lots = best
        price, qty = self.grid.price, self.grid.qty
        sides = f'"b":"{price(bid)}","B":"{qty(bid_lots)}","a":"{price(ask)}","A":"{qty(ask_lots)}"'
        if self.grid.is_spot:
            return f'{{"u":{number},"s":"{self._symbol}",{sides}}}'.encode()
        ms = ts // NS_PER_MS + skew_ms
        return (
            f'{{"e":"bookTicker","u":{number},"E":{ms},"T":{ms},"s":"{self._symbol}",{sides},"st":1,'
            f'"ps":"{self._symbol}"}}'
        ).encode()

    def depth(self, rows: Sequence[Row], skew_ms: int) -> bytes:
        """Return the diff that a run of LEVEL rows of one frame is, the same ids and levels."""
        first, price, qty = rows[0], self.grid.price, self.grid.qty
        bids: list[str] = []
        asks: list[str] = []
        for row in rows:
            if row[SIDE]:
                (bids if row[SIDE] > 0 else asks).append(f'["{price(row[PRICE])}","{qty(row[QTY])}"]')
        return self._depth(first, ",".join(bids), ",".join(asks), skew_ms)

    def partial_depth(
        self, frame: Row, book: tuple[int, list[tuple[int, int]], list[tuple[int, int]]], skew_ms: int
    ) -> bytes:
        """Return the top of the book with the ids of the diff `frame`; spot's is of another shape."""
        number, bids, asks = book
        if self.grid.is_spot:
            return f'{{"lastUpdateId":{number},"bids":[{self.levels(bids)}],"asks":[{self.levels(asks)}]}}'.encode()
        return self._depth(frame, self.levels(bids), self.levels(asks), skew_ms)

    def levels(self, levels: Sequence[tuple[int, int]]) -> str:
        """Return (price, lots) pairs as the inside of a JSON array."""
        price, qty = self.grid.price, self.grid.qty
        return ",".join(f'["{price(ticks)}","{qty(lots)}"]' for ticks, lots in levels)

    def _depth(self, frame: Row, bids: str, asks: str, skew_ms: int) -> bytes:
        ms = frame[TS_EVENT] // NS_PER_MS + skew_ms
        if self.grid.is_spot:
            return (
                f'{{"e":"depthUpdate","E":{ms},"s":"{self._symbol}","U":{frame[AUX]},"u":{frame[ID]},'
                f'"b":[{bids}],"a":[{asks}]}}'
            ).encode()
        return (
            f'{{"e":"depthUpdate","E":{ms},"T":{ms},"s":"{self._symbol}","ps":"{self._symbol}","U":{frame[AUX]},'
            f'"u":{frame[ID]},"pu":{frame[AUX2]},"b":[{bids}],"a":[{asks}],"st":1}}'
        ).encode()

    def kline(self, bar: Row, interval: str, now_ms: int, is_closed: bool, skew_ms: int) -> bytes:
        """Return a bar, a row of BAR as a tuple."""
        grid, price = self.grid, self.grid.price
        start, end = bar[_BAR["ts_open"]] // NS_PER_MS + skew_ms, bar[_BAR["ts_close"]] // NS_PER_MS + skew_ms - 1
        return (
            f'{{"e":"kline","E":{now_ms},"s":"{self._symbol}","k":{{"t":{start},"T":{end},"s":"{self._symbol}",'
            f'"i":"{interval}","f":{bar[_BAR["first_id"]]},"L":{bar[_BAR["last_id"]]},'
            f'"o":"{price(bar[_BAR["open"]])}","c":"{price(bar[_BAR["close"]])}","h":"{price(bar[_BAR["high"]])}",'
            f'"l":"{price(bar[_BAR["low"]])}","v":"{grid.qty(bar[_BAR["lots"]])}","n":{bar[_BAR["num_trades"]]},'
            f'"x":{_truth(is_closed)},"q":"{grid.money(bar[_BAR["tick_lots"]])}",'
            f'"V":"{grid.qty(bar[_BAR["buy_lots"]])}","Q":"{grid.money(bar[_BAR["buy_tick_lots"]])}","B":"0"}}}}'
        ).encode()

    def kline_row(self, bar: Row, skew_ms: int) -> list[object]:
        """Return a bar as REST's klines have it."""
        grid, price = self.grid, self.grid.price
        return [
            bar[_BAR["ts_open"]] // NS_PER_MS + skew_ms,
            price(bar[_BAR["open"]]),
            price(bar[_BAR["high"]]),
            price(bar[_BAR["low"]]),
            price(bar[_BAR["close"]]),
            grid.qty(bar[_BAR["lots"]]),
            bar[_BAR["ts_close"]] // NS_PER_MS + skew_ms - 1,
            grid.money(bar[_BAR["tick_lots"]]),
            bar[_BAR["num_trades"]],
            grid.qty(bar[_BAR["buy_lots"]]),
            grid.money(bar[_BAR["buy_tick_lots"]]),
            "0",
        ]

    def mark(self, mark: MarkPrice, now_ms: int, skew_ms: int) -> bytes:
        """Return a markPriceUpdate."""
        price, index = fixed(mark.mark), fixed(mark.index)
        following = mark.next_funding // NS_PER_MS + skew_ms if mark.next_funding else 0
        return (
            f'{{"e":"markPriceUpdate","E":{now_ms},"s":"{self._symbol}","p":"{price}","ap":"{price}","i":"{index}",'
            f'"P":"{index}","r":"{fixed(mark.rate)}","T":{following},"st":1}}'
        ).encode()

    def force_order(self, row: Row, skew_ms: int) -> bytes:
        """Return a liquidation; its side is that of the forced order."""
        ms, qty, price = row[TS_EVENT] // NS_PER_MS + skew_ms, self.grid.qty(row[QTY]), self.grid.price
        side = "BUY" if row[SIDE] > 0 else "SELL"
        average = price(row[AUX] or row[PRICE])
        return (
            f'{{"e":"forceOrder","E":{ms},"o":{{"s":"{self._symbol}","S":"{side}","o":"LIMIT","f":"IOC","q":"{qty}",'
            f'"p":"{price(row[PRICE])}","ap":"{average}","X":"FILLED","l":"{qty}","z":"{qty}","T":{ms}}},"st":1}}'
        ).encode()

    def ticker(self, ticker: Ticker, now_ms: int, skew_ms: int) -> bytes:
        """Return a 24hrTicker."""
        grid, price = self.grid, self.grid.price
        change, percent, mean = changes(grid, ticker)
        head = f'{{"e":"24hrTicker","E":{now_ms},"s":"{self._symbol}",{self._pair}"p":"{change}","P":"{percent}"'
        sides = ""
        before = ""
        if grid.is_spot:
            before = f',"x":"{price(ticker.open)}"'
            sides = (
                f',"b":"{price(ticker.bid)}","B":"{grid.qty(ticker.bid_lots)}","a":"{price(ticker.ask)}",'
                f'"A":"{grid.qty(ticker.ask_lots)}"'
            )
        start, end = ticker.ts_open // NS_PER_MS + skew_ms, ticker.ts // NS_PER_MS + skew_ms
        return (
            f'{head},"w":"{mean}"{before},"c":"{price(ticker.last)}","Q":"{grid.qty(ticker.last_lots)}"{sides},'
            f'"o":"{price(ticker.open)}","h":"{price(ticker.high)}","l":"{price(ticker.low)}",'
            f'"v":"{grid.qty(ticker.lots)}","q":"{grid.money(ticker.tick_lots)}","O":{start},"C":{end},'
            f'"F":{ticker.first_id},"L":{ticker.last_id},"n":{ticker.num_trades}{self._type}}}'
        ).encode()

    def mini_ticker(self, ticker: Ticker, now_ms: int, skew_ms: int) -> bytes:
        """Return a 24hrMiniTicker."""
        grid, price = self.grid, self.grid.price
        return (
            f'{{"e":"24hrMiniTicker","E":{now_ms},"s":"{self._symbol}",{self._pair}"c":"{price(ticker.last)}",'
            f'"o":"{price(ticker.open)}","h":"{price(ticker.high)}","l":"{price(ticker.low)}",'
            f'"v":"{grid.qty(ticker.lots)}","q":"{grid.money(ticker.tick_lots)}"{self._type}}}'
        ).encode()


def changes(grid: Grid, ticker: Ticker) -> tuple[str, str, str]:
    """Return the 24 h change, the same in percent, and the volume-weighted mean price, as text."""
    tick = grid.instrument.tick_size
    change = tick * (ticker.last - ticker.open)
    percent = Decimal(100) * (ticker.last - ticker.open) / ticker.open if ticker.open else Decimal(0)
    mean = grid.average(ticker.tick_lots, ticker.lots)
    return fixed(change, grid.price.decimals), fixed(percent, 3), fixed(mean, 8)


def bar_rows(bars: Any) -> list[Row]:
    """Return a BAR array as tuples."""
    rows: list[Row] = bars.tolist()
    return rows


def _truth(is_true: bool) -> str:
    return "true" if is_true else "false"
