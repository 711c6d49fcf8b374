"""From what the exchange publishes to the streams that somebody listens to: as it happens, and at their pace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from spyhop.clock import NS_PER_MS
from spyhop.model.tape import Events, Flag, Kind
from spyhop.venuesim.binance.messages import (
    AUX,
    AUX2,
    FLAGS,
    ID,
    INTERVALS_S,
    KIND,
    PRICE,
    QTY,
    TS_EVENT,
    Frames,
    Row,
    bar_rows,
)
from spyhop.venuesim.binance.streams import ALL, Stream, Streams, Topic
from spyhop.venuesim.floor import Floor

_TRADE, _QUOTE, _LEVEL, _LIQUIDATION = int(Kind.TRADE), int(Kind.QUOTE), int(Kind.LEVEL), int(Kind.LIQUIDATION)
_LAST, _FROM_SNAPSHOT = int(Flag.LAST), int(Flag.FROM_SNAPSHOT)


class Publisher:
    """Sends one venue's market frames. Diffs keep the ids and levels of the tape's frames, one frame for each."""

    def __init__(self, floor: Floor, label: str, frames: Mapping[int, Frames], streams: Streams) -> None:
        self._floor, self._label, self._frames, self._streams = floor, label, frames, streams
        self._diffs: dict[int, list[Row]] = {instrument: [] for instrument in frames}
        self._newest_diff: dict[int, Row] = {}
        self._has_quotes: set[int] = set()
        self._is_book_new: set[int] = set()
        self._quoted: dict[int, tuple[int, int, int, int, int]] = {}
        self._liquidations: dict[int, Row] = {}

    def on_market(self, instrument: int, events: Events) -> None:
        """Send what is sent as it happens."""
        frames = self._frames.get(instrument)
        if frames is None:
            return
        of, skew_ms = self._streams.of, self._skew_ms()
        trades, agg_trades = of(Topic.TRADE, instrument), of(Topic.AGG_TRADE, instrument)
        quotes = (*of(Topic.BOOK_TICKER, instrument), *of(Topic.BOOK_TICKER, ALL))
        depths = of(Topic.DEPTH, instrument)
        for row in events.tolist():
            kind = row[KIND]
            if kind == _LEVEL:
                self._on_level(instrument, frames, row, depths, skew_ms)
            elif kind == _TRADE:
                for stream in agg_trades:
                    stream.send(frames.agg_trade(row, skew_ms))
                for stream in trades:
                    stream.send(frames.trade(row, skew_ms))
            elif kind == _QUOTE:
                self._has_quotes.add(instrument)
                if quotes:
                    best = (row[ID], row[PRICE], row[QTY], row[AUX], row[AUX2])
                    _send(quotes, frames.quote(row[TS_EVENT], best, skew_ms))
            elif kind == _LIQUIDATION:
                self._liquidations[instrument] = row

    def publish(self) -> None:
        """Send what has a pace and is due, and the best prices of markets whose tape has no quotes."""
        now = self._floor.exchange.now
        skew_ms = self._skew_ms()
        now_ms = now // NS_PER_MS + skew_ms
        self._best_of_books(skew_ms)
        for stream in tuple(self._streams.timed):
            if stream.is_due(now_ms):
                self._send_due(stream, now, now_ms, skew_ms)

    def _skew_ms(self) -> int:
        return self._floor.faults.skew_ns(self._label) // NS_PER_MS

    def _on_level(self, instrument: int, frames: Frames, row: Row, depths: list[Stream], skew_ms: int) -> None:
        if row[FLAGS] & _FROM_SNAPSHOT:  # nobody is sent a snapshot
            return
        diff = self._diffs[instrument]
        diff.append(row)
        if row[FLAGS] & _LAST:
            if depths:
                _send(depths, frames.depth(diff, skew_ms))
            self._newest_diff[instrument] = row
            self._is_book_new.add(instrument)
            self._diffs[instrument] = []

    def _best_of_books(self, skew_ms: int) -> None:
        for instrument in self._is_book_new - self._has_quotes:
            streams = (*self._streams.of(Topic.BOOK_TICKER, instrument), *self._streams.of(Topic.BOOK_TICKER, ALL))
            best = self._floor.exchange.best(instrument)
            if streams and best != self._quoted.get(instrument):
                self._quoted[instrument] = best
                _send(streams, self._frames[instrument].quote(self._newest_diff[instrument][TS_EVENT], best, skew_ms))
        self._is_book_new.clear()

    def _send_due(self, stream: Stream, now: int, now_ms: int, skew_ms: int) -> None:
        if stream.topic is Topic.KLINE:
            self._send_bars(stream, now, now_ms, skew_ms)
        elif stream.topic is Topic.PARTIAL_DEPTH:
            self._send_top(stream, skew_ms)
        elif stream.instrument != ALL:
            _send([stream], self._timed(stream, stream.instrument, now_ms, skew_ms))
        elif stream.topic is Topic.FORCE_ORDER:
            for instrument in self._frames:
                _send([stream], self._timed(stream, instrument, now_ms, skew_ms))
        else:
            told = (self._timed(stream, instrument, now_ms, skew_ms) for instrument in self._frames)
            stream.send(b"[" + b",".join(frame for frame in told if frame) + b"]")

    def _timed(self, stream: Stream, instrument: int, now_ms: int, skew_ms: int) -> bytes | None:
        exchange, frames = self._floor.exchange, self._frames[instrument]
        if stream.topic is Topic.MARK_PRICE:
            return frames.mark(exchange.mark(instrument), now_ms, skew_ms)
        if stream.topic is Topic.TICKER:
            return frames.ticker(exchange.ticker(instrument), now_ms, skew_ms)
        if stream.topic is Topic.MINI_TICKER:
            return frames.mini_ticker(exchange.ticker(instrument), now_ms, skew_ms)
        row = self._liquidations.get(instrument)
        if row is None or stream.told.get(instrument) is row:
            return None
        stream.told[instrument] = row
        if row[TS_EVENT] // NS_PER_MS + skew_ms < now_ms - 2 * stream.every_ms:  # before anybody listened
            return None
        return frames.force_order(row, skew_ms)

    def _send_top(self, stream: Stream, skew_ms: int) -> None:
        diff = self._newest_diff.get(stream.instrument)
        if diff is not None and stream.told.get(ALL) is not diff:
            stream.told[ALL] = diff
            book = self._floor.exchange.book(stream.instrument, int(stream.argument))
            stream.send(self._frames[stream.instrument].partial_depth(diff, book, skew_ms))

    def _send_bars(self, stream: Stream, now: int, now_ms: int, skew_ms: int) -> None:
        # every bar that closed since the last time is told as closed once, however fast the clock runs
        bars = self._floor.exchange.bars(
            stream.instrument, INTERVALS_S[stream.argument], stream.seen, limit=1_000 if stream.seen else 2
        )
        frames = self._frames[stream.instrument]
        for bar in bar_rows(bars if stream.seen else bars[-1:]):
            is_closed = bar[1] <= now
            told = (bar, is_closed)
            if told != stream.told.get(ALL):
                stream.send(frames.kline(bar, stream.argument, now_ms, is_closed, skew_ms))
            stream.seen = bar[1] if is_closed else bar[0]
            stream.told[ALL] = told


def _send(streams: Iterable[Stream], frame: bytes | None) -> None:
    if frame is not None:
        for stream in streams:
            stream.send(frame)
