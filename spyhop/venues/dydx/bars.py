"""Bars of the tape from the indexer's candles: open ones as they grow, closed ones once.

The indexer never says that a candle is closed. It is when a newer one appears (the indexer begins one with the first
block of each interval, traded or not), or when blocks have passed its end by `GRACE_NS`. The candles of `subscribed`
close what was missed while we were away; those from before the feed began are history, and fetched by who wants it.

Candles do not tell who was the taker. The share of takers' buys is that of the trades heard in the interval; without
any, a half, which says nothing either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from spyhop.clock import NS_PER_S
from spyhop.model.tape import Flag, Kind, Side
from spyhop.venues.dydx import wire
from spyhop.venues.dydx.endpoints import RESOLUTIONS
from spyhop.venues.dydx.numbers import OUT_OF_RANGE, Grid, nanoseconds, rounded
from spyhop.venues.rows import Rows

GRACE_NS = 3 * NS_PER_S
_SECONDS = tuple(RESOLUTIONS.values())
_DAY_S = 86_400


class Bar(NamedTuple):
    """A candle in ticks, lots and hundredths of the quote currency."""

    start: int
    seconds: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    turnover: int
    num_trades: int

    @property
    def end(self) -> int:
        return self.start + self.seconds * NS_PER_S


def bar_of(candle: wire.Candle, grid: Grid) -> Bar | None:
    """Return a candle as a bar, None for a resolution that the tape does not hold; raise ValueError."""
    seconds = RESOLUTIONS.get(candle.resolution)
    if seconds is None:
        return None
    start = nanoseconds(candle.started_at)
    bar = Bar(
        start,
        seconds,
        grid.ticks(candle.open),
        grid.ticks(candle.high),
        grid.ticks(candle.low),
        grid.ticks(candle.close),
        grid.lots(candle.base_token_volume),
        rounded(candle.usd_volume, 2),
        int(candle.trades),
    )
    is_whole = candle.trades == bar.num_trades >= 0 and start % (seconds * NS_PER_S) == 0 and bar.turnover >= 0
    if not is_whole or not bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high:
        raise ValueError(OUT_OF_RANGE)
    return bar


def add_bar(bar: Bar, taker_buys: int, ts_event: int, ts_recv: int, flags: int, rows: Rows) -> None:
    """Add the two rows of a bar."""
    interval_s = bar.seconds if bar.seconds != _DAY_S else 0
    rows.add(
        Kind.BAR_OPEN, ts_event, ts_recv, flags=flags, interval_s=interval_s,
        price=bar.open, qty=bar.volume, id=bar.start, aux=bar.high, aux2=taker_buys,
    )  # fmt: skip
    rows.add(
        Kind.BAR_CLOSE, ts_event, ts_recv, flags=flags, interval_s=interval_s,
        price=bar.low, qty=bar.num_trades, id=bar.start, aux=bar.close, aux2=bar.turnover,
    )  # fmt: skip


class BarLog:
    """The open bar of each resolution and what is closed already."""

    def __init__(self) -> None:
        self._open: dict[int, Bar] = {}
        self._closed: dict[int, int] = {}  # start of the newest closed bar, by seconds
        self._takers: dict[tuple[int, int], tuple[int, int]] = {}  # (buys, all) in lots, by (seconds, start)
        self._doubted: set[int] = set()  # resolutions whose open bar may have missed something
        self.num_late = 0
        self.num_history = 0

    def on_trade(self, ts_event: int, lots: int, side: int) -> None:
        """Take a trade of the tape."""
        for seconds in _SECONDS:
            start = ts_event - ts_event % (seconds * NS_PER_S)
            if start <= self._closed.get(seconds, -1):
                continue
            buys, total = self._takers.get((seconds, start), (0, 0))
            self._takers[seconds, start] = (buys + lots if side == Side.BUY else buys, total + lots)

    def doubt(self, seconds: int) -> None:
        """Trust the open bar of a resolution no more: nobody has told its candles from some time on.

        It is not closed until `on_history` has told it anew.
        """
        self._doubted.add(seconds)

    def on_updates(self, bars: Sequence[Bar], ts_recv: int, rows: Rows) -> None:
        """Take what one message says, oldest first; of several states of one candle only the last is told."""
        for i, bar in enumerate(bars):
            if i + 1 == len(bars) or bars[i + 1].start != bar.start or bars[i + 1].seconds != bar.seconds:
                self._on_update(bar, ts_recv, rows)

    def _on_update(self, bar: Bar, ts_recv: int, rows: Rows) -> None:
        current = self._open.get(bar.seconds)
        if bar.start <= self._closed.get(bar.seconds, -1) or (current is not None and _is_older(bar, current)):
            self.num_late += 1
            return
        if current is not None and bar.start > current.start and bar.seconds not in self._doubted:
            self._close(current, ts_recv, 0, rows)
        self._open[bar.seconds] = bar
        add_bar(bar, self._taker_buys(bar), ts_recv, ts_recv, Flag.PARTIAL, rows)

    def on_history(self, bars: Sequence[Bar], ts_recv: int, rows: Rows) -> None:
        """Take the candles of `subscribed`, oldest first; what was missed is closed, the newest is open."""
        if not bars:
            return
        newest = bars[-1]
        seconds = newest.seconds
        self._doubted.discard(seconds)
        if seconds in self._open or seconds in self._closed:
            for bar in bars:
                self._catch_up(bar, ts_recv, rows)
        else:
            self.num_history += len(bars) - 1
            self._open[seconds] = newest
        if self._open.get(seconds) == newest:
            add_bar(newest, self._taker_buys(newest), ts_recv, ts_recv, Flag.PARTIAL, rows)

    def _catch_up(self, bar: Bar, ts_recv: int, rows: Rows) -> None:
        if bar.start <= self._closed.get(bar.seconds, -1):
            self.num_history += 1
            return
        current = self._open.get(bar.seconds)
        if current is not None and _is_older(bar, current):
            if bar.start < current.start:
                self._add_closed(bar, ts_recv, Flag.BACKFILLED, rows)
            return
        if current is not None and bar.start > current.start:
            self._close(current, ts_recv, Flag.BACKFILLED, rows)
        self._open[bar.seconds] = bar

    def on_block(self, ts_block: int, ts_recv: int, rows: Rows) -> None:
        """Close the bars that the chain has left behind."""
        for bar in list(self._open.values()):
            if bar.end + GRACE_NS <= ts_block and bar.seconds not in self._doubted:
                self._close(bar, ts_recv, 0, rows)

    def _close(self, bar: Bar, ts_recv: int, flags: int, rows: Rows) -> None:
        self._add_closed(bar, ts_recv, flags, rows)
        self._open.pop(bar.seconds, None)
        self._closed[bar.seconds] = bar.start
        for key in [key for key in self._takers if key[0] == bar.seconds and key[1] <= bar.start]:
            del self._takers[key]

    def _add_closed(self, bar: Bar, ts_recv: int, flags: int, rows: Rows) -> None:
        add_bar(bar, self._taker_buys(bar), min(bar.end, ts_recv), ts_recv, flags, rows)

    def _taker_buys(self, bar: Bar) -> int:
        buys, total = self._takers.get((bar.seconds, bar.start), (0, 0))
        return bar.volume * buys // total if total else bar.volume // 2


# another connection may lag: a candle only ever gains trades
def _is_older(bar: Bar, current: Bar) -> bool:
    return (bar.start, bar.num_trades) < (current.start, current.num_trades)
