"""Raw captures of Binance sockets to the tape: one `local_ns json` a line, futures, coin-margined or spot.

Times: `ts_recv` is the recorder's stamp; `ts_event` the frame's T, else its E, else (spot's bookTicker and snapshots
have neither) the recorder's stamp; a mark price's is E, because its T is the next funding time. cryptofeed's sockets
(`seconds.fraction: json`, and `URL -> seconds.fraction: json` for snapshots) are read too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spyhop.model.instruments import Instrument
from spyhop.model.tape import EVENT, Events, Venue, empty, joined
from spyhop.venues import catalogue
from spyhop.venues.binance import fields, lines
from spyhop.venues.catalogue import NONE_KNOWN, Known
from spyhop.venues.decimals import (
    BAD_JSON,
    BAD_NUMBER,
    DUPLICATE_KEY,
    NEGATIVE,
    OFF_GRID,
    OUT_OF_RANGE,
    TRUNCATED,
)
from spyhop.venues.files.blocks import BLOCK_BYTES, head, line_blocks
from spyhop.venues.files.chunks import MAX_ROWS_PER_LINE, Chunk, Positions, SetAside, by_channel
from spyhop.venues.files.inference import Grid, wide

REASONS: dict[int, str] = {
    BAD_JSON: "not valid JSON",
    TRUNCATED: "line cut off",
    DUPLICATE_KEY: "a key occurs twice",
    BAD_NUMBER: "not a number",
    NEGATIVE: "negative number",
    OUT_OF_RANGE: "number or time out of range",
    OFF_GRID: "price or quantity off the instrument's grid",
    fields.MISSING_FIELD: "a field is missing or of another type",
    fields.NOT_POSITIVE: "price or quantity not positive",
    fields.BAD_LEVELS: "malformed book levels",
    fields.TOO_MANY_LEVELS: "too many levels in one frame",
    lines.NO_TIME: "no receive time before the frame",
    lines.NO_SYMBOL: "no symbol, and the file holds several",
    lines.BAD_SYMBOL: "symbol cannot be one",
    lines.OTHER_STREAM: "stream and symbol disagree",
    lines.TOO_LONG: "too many rows in one line",
}
IGNORED: dict[int, str] = {
    fields.NOT_MARKET: "trade outside the market (insurance fund, ADL, NA)",
    fields.OTHER_INTERVAL: "kline of an interval that the tape does not hold",
    lines.PARTIAL_BOOK: "partial book stream",
    lines.BESIDE_TRADES: "aggTrade beside trade",
    lines.URL_LINE: "URL line",
    lines.BLANK: "blank line",
}

_OUT_ROWS = 1 << 16
_ASIDE_ROWS = 1 << 12
_SYMBOL = re.compile(r"[^\W_][\w-]*")
_SYMBOL_FIELD = re.compile(rb'"(?:s|symbol)":"([^"\\]{1,48})"')
_CAPTURE = re.compile(rb"\s*(?:\d{16,19}\s+\{|\d{9,10}\.\d+:? \{|wss://\S+/stream|https?://\S+/depth\?\S* -> \d)")

Resolve = Callable[[str], Instrument | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Consecutive lines as one piece of tape; the `instrument` column is an index of the decoder's instruments."""

    events: Events
    positions: Positions
    first_line: int
    last_line: int
    num_decoded: int
    num_rounded: int  # quantities off the lot grid that were taken to the nearest lot
    quarantined: tuple[SetAside, ...]
    ignored: dict[str, int]


class LineDecoder:
    """Turns blocks of whole lines into tape; keeps the symbol table and the line number between blocks.

    `resolve` is asked once for each new symbol; None says that it cannot be one, and its lines are quarantined.
    """

    def __init__(self, venue: Venue, resolve: Resolve, *, prefer_trades: bool = False) -> None:
        self.venue = venue
        self.instruments: list[Instrument] = []
        self._resolve = resolve
        self._prefers_trades = prefer_trades
        self._default = -1
        self._num_entries = 0
        self._symbols = _symbol_table(64)
        self._spans = lines.work_spans()
        self._out = np.empty(_OUT_ROWS, EVENT)
        self._positions = np.zeros(_OUT_ROWS, np.int64)
        self._aside = np.zeros((_ASIDE_ROWS, 6), np.int64)
        self._cursor = np.zeros(8, np.int64)
        self._line = 1

    def expect(self, raw: bytes) -> None:
        """Enter a symbol before a frame names it, so that a book without a symbol can be told whose it is."""
        name = np.frombuffer(raw, np.uint8)
        if 0 < len(raw) <= lines.MAX_SYMBOL and lines.find_symbol(name, 0, len(name), self._symbols) < 0:
            self._enter(raw)

    def decode(self, block: bytes) -> Iterator[Block]:
        """Yield the tape of `block`, in pieces of bounded size."""
        buf = np.frombuffer(block, np.uint8)
        cursor = self._cursor
        cursor[lines.AT], cursor[lines.LINE] = 0, self._line
        while True:
            first_line = int(cursor[lines.LINE])
            lines.decode_lines(
                buf,
                len(buf),
                int(self.venue),
                self._default,
                self._symbols,
                self._spans,
                self._out.view(np.int64).reshape(-1, 8),
                self._positions,
                self._aside,
                MAX_ROWS_PER_LINE,
                cursor,
            )
            self._line = int(cursor[lines.LINE])
            if self._line > first_line:
                yield self._block(block, first_line)
            why = int(cursor[lines.WHY])
            if why == lines.FINISHED:
                return
            if why == lines.NEW_SYMBOL:
                self._enter(block[cursor[lines.SPAN_START] : cursor[lines.SPAN_END]])
            elif why == lines.OUT_FULL and self._line == first_line:
                self._make_room(block, int(cursor[lines.AT]))

    def _block(self, block: bytes, first_line: int) -> Block:
        rows = int(self._cursor[lines.ROWS])
        aside = self._aside[: self._cursor[lines.SET_ASIDE]].tolist()
        quarantined, ignored = _told(block, aside)
        events, positions = self._out[:rows], self._positions[:rows]
        if rows > len(self._out) // 2:  # give the buffer away
            self._out, self._positions = np.empty(_OUT_ROWS, EVENT), np.empty(_OUT_ROWS, np.int64)
        else:
            events, positions = events.copy(), positions.copy()
        return Block(
            events=events,
            positions=positions,
            first_line=first_line,
            last_line=self._line - 1,
            num_decoded=int(self._cursor[lines.DECODED]),
            num_rounded=self._rounded(),
            quarantined=quarantined,
            ignored=ignored,
        )

    def _rounded(self) -> int:
        counts = self._symbols.grids[:, fields.NUM_ROUNDED]
        num_rounded = int(counts.sum())
        counts[:] = 0
        return num_rounded

    def _enter(self, raw: bytes) -> None:
        entry = self._num_entries
        if entry == len(self._symbols.names):
            self._symbols = _twice(self._symbols)
        table = self._symbols
        table.names[entry, : len(raw)] = np.frombuffer(raw, np.uint8)
        table.lengths[entry] = len(raw)
        lines.add_symbol(entry, table)
        self._num_entries += 1
        symbol = raw.decode("utf-8", "replace")
        instrument = self._resolve(symbol) if _SYMBOL.fullmatch(symbol) else None
        if instrument is None or len(self.instruments) > np.iinfo(np.uint16).max:
            table.grids[entry, fields.IS_REJECTED] = 1
            return
        number = len(self.instruments)
        table.grids[entry] = (
            *catalogue.decimals_of(instrument.tick_size),
            *catalogue.decimals_of(instrument.lot_size),
            0,
            int(self._prefers_trades),
            number,
            0,
        )
        self.instruments.append(instrument.numbered(number))
        self._default = entry if number == 0 else -1

    def _make_room(self, block: bytes, at: int) -> None:
        end = block.find(b"\n", at)
        length = (end if end >= 0 else len(block)) - at
        rows = length // lines.MIN_LEVEL_BYTES + 8
        self._out, self._positions = empty(rows), np.zeros(rows, np.int64)


class CaptureReader:
    """One raw capture file, read from the beginning to its end or its damage.

    `venue` is told from the frames unless given. Instruments come from `known`, then from the catalogue; for a symbol
    that is in neither the whole file is surveyed once and tick and lot are inferred.
    """

    def __init__(
        self,
        path: Path,
        venue: Venue | None = None,
        known: Known = NONE_KNOWN,
        *,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self.path = path
        self._known = known
        self._block_bytes = block_bytes
        start = head(path)
        self.venue = venue_of_frames(start) if venue is None else venue
        self._surveyed: dict[str, Instrument] | None = None
        self._decoder = LineDecoder(self.venue, self._instrument, prefer_trades=b'"e":"trade"' in start)
        for raw in dict.fromkeys(_SYMBOL_FIELD.findall(start)):
            self._decoder.expect(raw)

    @property
    def instruments(self) -> list[Instrument]:
        """Return the instruments met so far; the tape's `instrument` column indexes them."""
        return self._decoder.instruments

    def blocks(self) -> Iterator[Block]:
        """Yield the tape block by block, in the order of the file; damage is the last block's quarantine."""
        damages: list[str] = []
        last_line = 0
        for content in line_blocks(self.path, damages.append, self._block_bytes):
            for block in self._decoder.decode(content):
                last_line = block.last_line
                yield block
        if damages:
            yield _damage(last_line + 1, damages[0])

    def _instrument(self, symbol: str) -> Instrument | None:
        shipped = catalogue.find(self.venue, symbol, self._known)
        if shipped is not None:
            return shipped
        if self._surveyed is None:
            self._surveyed = survey(self.path, self.venue)
        return self._surveyed.get(symbol)


def read(path: Path, venue: Venue | None = None, known: Known = NONE_KNOWN) -> Iterator[Chunk]:
    """Yield the chunks of a raw capture, a block of lines at a time, each split by instrument and channel."""
    reader = CaptureReader(path, venue, known)
    for block in reader.blocks():
        yield from by_channel(
            block.events,
            block.positions,
            reader.instruments,
            first_line=block.first_line,
            last_line=block.last_line,
            quarantined=block.quarantined,
            ignored=block.ignored,
            notes=(f"{block.num_rounded} quantities off the lot grid, taken to the nearest lot",)
            if block.num_rounded
            else (),
        )


def tape(path: Path, venue: Venue | None = None) -> tuple[Events, list[Instrument]]:
    """Return a whole capture in memory, in the order of its lines, and the instruments that its rows index."""
    reader = CaptureReader(path, venue)
    return joined([block.events for block in reader.blocks()]), reader.instruments


def is_capture(start: bytes) -> bool:
    """Return whether content that begins with `start` looks like a raw capture."""
    return _CAPTURE.match(start) is not None


def venue_of_frames(start: bytes) -> Venue:
    """Return which of Binance's markets sent these frames, by what only that market sends; USDT-M if in doubt."""
    if re.search(rb'"s":"[A-Z0-9]+USD_(?:PERP|\d{6})"', start):
        return Venue.BINANCE_COINM
    if re.search(rb'"(?:e":"bookTicker"|pu":\d)|"X":"', start):
        return Venue.BINANCE_USDM
    if re.search(rb'"e":"(?:depthUpdate|(?:aggT|t)rade)"[^\n]*"M":|"data":\{"u":\d|"e":"depthUpdate"', start):
        return Venue.BINANCE_SPOT
    if re.match(rb"\s*https?://api\.binance\.", start):
        return Venue.BINANCE_SPOT
    return Venue.BINANCE_USDM


def survey(path: Path, venue: Venue) -> dict[str, Instrument]:
    """Return every symbol of the capture as an instrument whose tick and lot are the finest decimals seen."""
    decoder = LineDecoder(venue, lambda symbol: wide(venue, symbol))
    grids: dict[int, Grid] = {}
    for content in line_blocks(path, lambda _: None):
        for block in decoder.decode(content):
            for number in np.unique(block.events["instrument"]).tolist():
                grids.setdefault(number, Grid()).see(block.events[block.events["instrument"] == number])
    return {
        decoder.instruments[number].symbol: grid.instrument(venue, decoder.instruments[number].symbol)
        for number, grid in grids.items()
    }


def _told(block: bytes, aside: list[list[int]]) -> tuple[tuple[SetAside, ...], dict[str, int]]:
    quarantined: list[SetAside] = []
    ignored: Counter[str] = Counter()
    for line, reason, start, end, type_start, type_end in aside:
        if reason == lines.OTHER_TYPE:
            name = block[type_start:type_end].decode("utf-8", "replace")
            ignored[f"frame {name}" if name else "frame without a type"] += 1
        elif reason >= lines.IGNORED_FROM:
            ignored[IGNORED[reason]] += 1
        else:
            quarantined.append(SetAside(line, REASONS[reason], block[start:end]))
    return tuple(quarantined), dict(ignored)


def _damage(line: int, reason: str) -> Block:
    return Block(
        events=empty(),
        positions=np.zeros(0, np.int64),
        first_line=line,
        last_line=line - 1,
        num_decoded=0,
        num_rounded=0,
        quarantined=(SetAside(line, reason, b""),),
        ignored={},
    )


def _symbol_table(capacity: int) -> lines.Symbols:
    return lines.Symbols(
        np.zeros((capacity, lines.MAX_SYMBOL), np.uint8),
        np.zeros(capacity, np.int64),
        np.zeros((capacity, 8), np.int64),
        np.zeros(4 * capacity, np.int64),
    )


def _twice(table: lines.Symbols) -> lines.Symbols:
    size = len(table.names)
    larger = _symbol_table(2 * size)
    larger.names[:size], larger.lengths[:size], larger.grids[:size] = table.names, table.lengths, table.grids
    for entry in range(size):
        lines.add_symbol(entry, larger)
    return larger
