"""Binance's public dumps (data.binance.vision): aggTrades, trades, bookTicker, klines, fundingRate; zip or csv.

With and without header, USDT-M, COIN-M and spot columns, times in ms or us (by their size: spot has us since 2025).
Dumps have no receive time: `ts_recv` is the venue's time (of a quote the time it was sent), of a bar its close,
because only then is it known.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spyhop.model.instruments import Instrument
from spyhop.model.tape import EVENT, Events, Venue
from spyhop.venues import catalogue
from spyhop.venues.binance import csv_rows, fields, lines
from spyhop.venues.binance.capture import REASONS
from spyhop.venues.catalogue import NONE_KNOWN, Known
from spyhop.venues.files.blocks import head, line_blocks, whole_lines
from spyhop.venues.files.chunks import MAX_ROWS_PER_LINE, Chunk, SetAside, by_channel
from spyhop.venues.files.inference import Grid, wide

_OUT_ROWS = 1 << 16
_ASIDE_ROWS = 1 << 12
_PIECE_BYTES = 1 << 20
_READ_BYTES = 64 << 10  # a wrong checksum costs the last read
_IGNORED = {csv_rows.HEADER: "header", csv_rows.BLANK: "blank line"}
_NAME = re.compile(
    r"(?P<symbol>[A-Z0-9]+(?:_[A-Z0-9]+)?)-"
    r"(?P<kind>aggTrades|trades|bookTicker|fundingRate|\d+[smhdw])-\d{4}-\d{2}(?:-\d{2})?\.(?:csv|csv\.gz|zip)$"
)
_LAYOUTS = {
    "aggTrades": csv_rows.AGG_TRADES,
    "trades": csv_rows.TRADES,
    "bookTicker": csv_rows.BOOK_TICKER,
    "fundingRate": csv_rows.FUNDING,
}
_FIELDS = {  # by layout: how many columns each market prints
    csv_rows.AGG_TRADES: {7: Venue.BINANCE_USDM, 8: Venue.BINANCE_SPOT},
    csv_rows.TRADES: {6: Venue.BINANCE_USDM, 7: Venue.BINANCE_SPOT},
    csv_rows.BOOK_TICKER: {7: Venue.BINANCE_USDM},
    csv_rows.KLINES: {12: Venue.BINANCE_USDM},
    csv_rows.FUNDING: {3: Venue.BINANCE_USDM},
}
_FOLDERS = {"spot": Venue.BINANCE_SPOT, "um": Venue.BINANCE_USDM, "cm": Venue.BINANCE_COINM}
_SPOT_PRICE = re.compile(rb"^\d+,\d+\.\d{8},", re.MULTILINE)


class Dump(NamedTuple):
    """What a dump's name and first lines say about it."""

    symbol: str
    layout: int
    num_fields: int
    venue: Venue


def is_dump(path: Path) -> bool:
    """Return whether the file is named like a public dump."""
    return _NAME.search(path.name) is not None


def read(path: Path, venue: Venue | None = None, known: Known = NONE_KNOWN) -> Iterator[Chunk]:
    """Yield the chunks of a dump; `venue` is told from the folders, the columns and the symbol unless given."""
    dump = _described(path, venue)
    instrument = catalogue.find(dump.venue, dump.symbol, known)
    if instrument is None:
        grid = Grid()
        for chunk in _decoded(path, dump, wide(dump.venue, dump.symbol)):
            grid.see(chunk.events)
        instrument = grid.instrument(dump.venue, dump.symbol)
    yield from _decoded(path, dump, instrument)


def _decoded(path: Path, dump: Dump, instrument: Instrument) -> Iterator[Chunk]:
    damages: list[str] = []
    decoder = _RowDecoder(dump, instrument)
    for content in _contents(path, damages.append):
        yield from decoder.decode(content)
    if damages:
        yield Chunk(
            instrument=None,
            channel="",
            first_line=decoder.line,
            last_line=decoder.line - 1,
            quarantined=(SetAside(decoder.line, damages[0], b""),),
        )


class _RowDecoder:
    def __init__(self, dump: Dump, instrument: Instrument) -> None:
        self.line = 1
        self._dump = dump
        self._instrument = instrument
        self._grid = np.zeros(8, np.int64)
        self._grid[:4] = (
            *catalogue.decimals_of(instrument.tick_size),
            *catalogue.decimals_of(instrument.lot_size),
        )
        self._spans = lines.work_spans()
        self._aside = np.zeros((_ASIDE_ROWS, 4), np.int64)
        self._cursor = np.zeros(8, np.int64)

    def decode(self, block: bytes) -> Iterator[Chunk]:
        buf = np.frombuffer(block, np.uint8)
        cursor = self._cursor
        cursor[csv_rows.AT] = 0
        while True:
            first_line = cursor[csv_rows.LINE] = self.line
            events, positions = np.zeros(_OUT_ROWS, EVENT), np.zeros(_OUT_ROWS, np.int64)
            csv_rows.decode_rows(
                buf,
                self._dump.layout,
                self._dump.num_fields,
                int(self._dump.venue),
                self._grid,
                self._spans,
                events.view(np.int64).reshape(-1, 8),
                positions,
                self._aside,
                MAX_ROWS_PER_LINE,
                cursor,
            )
            self.line = int(cursor[csv_rows.LINE])
            rows = int(cursor[csv_rows.ROWS])
            yield from self._chunks(block, events[:rows], positions[:rows], first_line)
            if cursor[csv_rows.WHY] == csv_rows.FINISHED:
                return

    def _chunks(self, block: bytes, events: Events, positions: Events, first_line: int) -> Iterator[Chunk]:
        quarantined: list[SetAside] = []
        ignored: Counter[str] = Counter()
        for line, reason, start, end in self._aside[: self._cursor[csv_rows.SET_ASIDE]].tolist():
            if reason in _IGNORED:
                ignored[_IGNORED[reason]] += 1
            elif reason == fields.OTHER_INTERVAL:
                quarantined.append(SetAside(line, "bar of an interval that the tape does not hold", block[start:end]))
            else:
                quarantined.append(SetAside(line, REASONS[reason], block[start:end]))
        num_rounded = int(self._grid[fields.NUM_ROUNDED])
        self._grid[fields.NUM_ROUNDED] = 0
        return by_channel(
            events,
            positions,
            [self._instrument],
            first_line=first_line,
            last_line=self.line - 1,
            quarantined=tuple(quarantined),
            ignored=dict(ignored),
            notes=(f"{num_rounded} quantities off the lot grid, taken to the nearest lot",) if num_rounded else (),
        )


def _described(path: Path, venue: Venue | None) -> Dump:
    named = _NAME.search(path.name)
    symbol, kind = (named["symbol"], named["kind"]) if named else ("", "")
    layout = _LAYOUTS.get(kind, csv_rows.KLINES)
    start = next(_contents(path, lambda _: None), b"")[:65_536]
    rows = [line for line in start.splitlines() if line[:1].isdigit()]
    most = Counter(line.count(b",") + 1 for line in rows).most_common(1)
    markets = _FIELDS[layout]
    num_fields = most[0][0] if most and most[0][0] in markets else min(markets)
    return Dump(symbol, layout, num_fields, venue or _venue(path, symbol, markets[num_fields], start))


def _venue(path: Path, symbol: str, by_columns: Venue, start: bytes) -> Venue:
    for part in reversed(path.parts[:-1]):
        if part in _FOLDERS:
            return _FOLDERS[part]
    if re.search(r"USD_(PERP|\d{6})$", symbol):
        return Venue.BINANCE_COINM
    return Venue.BINANCE_SPOT if _SPOT_PRICE.search(start) else by_columns


def _contents(path: Path, on_damage: Callable[[str], None]) -> Iterator[bytes]:
    if head(path, 4)[:2] != b"PK":
        yield from line_blocks(path, on_damage)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".csv"):
                    yield from whole_lines(_member(archive, name, on_damage), _PIECE_BYTES)
    except zipfile.BadZipFile as error:
        on_damage(f"zip damaged: {error}")


def _member(archive: zipfile.ZipFile, name: str, on_damage: Callable[[str], None]) -> Iterator[bytes]:
    try:
        with archive.open(name) as member:
            while piece := member.read(_READ_BYTES):
                yield piece
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        on_damage(f"zip damaged: {error}")
