"""Bars, marks and funding in Parquet and Feather tables.

Three layouts: one venue's `open_time, open, high, low, close, volume`; two venues side by side (`ts_ms`,
`open_binance` .. `volume_dydx`); freqtrade's `date, open, ...`, whose funding files carry the rate and whose mark
files the mark price in `open`. Times are opens; a bar is known at its close, so `ts_event` = `ts_recv` = close, and
funding and marks are known at their date. NaN bars are missing, not unreadable: they are counted under "missing bar".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import feather, parquet

from spyhop.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE
from spyhop.errors import LakeDamaged, MissingInput
from spyhop.model.instruments import Instrument
from spyhop.model.tape import EVENT, Events, Flag, Kind, Venue
from spyhop.venues import catalogue
from spyhop.venues.catalogue import NONE_KNOWN, Known
from spyhop.venues.files.chunks import MAX_ROWS_PER_LINE, Chunk, Positions, SetAside, by_channel

Floats = npt.NDArray[np.float64]

_ROWS_PER_CHUNK = 1 << 16
_MAX_DECIMALS = 10
_ON_GRID = 1e-4  # of a tick: what doubles and exporters lose
_COLUMNS = ("open", "high", "low", "close", "volume")
_NAME = re.compile(
    r"(?P<base>[A-Z0-9]+?)[_/]?(?P<quote>USDT|USDC|USD)?(?:_(?P<settle>[A-Z]+))?[-_](?P<count>\d+)(?P<unit>[mhd])(?![A-Za-z0-9])"
)
_UNITS_NS = {"m": NS_PER_MINUTE, "h": NS_PER_HOUR, "d": NS_PER_DAY}
_SIDE_BY_SIDE = {"binance": (Venue.BINANCE_SPOT, "{}USDT"), "dydx": (Venue.DYDX, "{}-USD")}


class _Named(NamedTuple):
    base: str
    quote: str
    is_perpetual: bool
    interval_ns: int


class _Series(NamedTuple):
    instrument: Instrument
    opens: npt.NDArray[np.int64]
    columns: dict[str, Floats]


def is_table(path: Path) -> bool:
    """Return whether the file is named like a table that this reader may know."""
    return path.suffix in {".parquet", ".feather"}


def read(path: Path, venue: Venue | None = None, known: Known = NONE_KNOWN) -> Iterator[Chunk]:
    """Yield the chunks of a table; raise MissingInput when its columns or name are of no known layout."""
    table = _loaded(path)
    named = _named(path)
    names = set(table.column_names)
    if "ts_ms" in names:
        for suffix, (default, pattern) in _SIDE_BY_SIDE.items():
            if f"open_{suffix}" in names:
                columns = {name: _floats(table, f"{name}_{suffix}") for name in _COLUMNS}
                opens = _nanoseconds(table["ts_ms"])
                series = _series(known, default, pattern.format(named.base), opens, columns)
                yield from _bars(series, named.interval_ns)
        return
    time = next((name for name in ("open_time", "date", "timestamp") if name in names), None)
    if time is None or not names.issuperset(_COLUMNS):
        raise MissingInput(f"{path} has columns {sorted(names)}: no layout of bars that is known")
    columns = {name: _floats(table, name) for name in _COLUMNS}
    at = venue or (Venue.BINANCE_USDM if named.is_perpetual else Venue.BINANCE_SPOT)
    opens = _nanoseconds(table[time])
    symbol = f"{named.base}{named.quote or 'USDT'}"
    if "funding" in path.stem:
        yield from _funding(_series(known, at, symbol, opens, {}), columns["open"], named.interval_ns)
    elif path.stem.endswith("mark"):
        yield from _marks(_series(known, at, symbol, opens, {"open": columns["open"]}), columns["open"])
    else:
        yield from _bars(_series(known, at, symbol, opens, columns), named.interval_ns)


def _loaded(path: Path) -> Any:
    if not path.is_file():
        raise MissingInput(f"there is no file {path}")
    try:
        return parquet.read_table(path) if path.suffix == ".parquet" else feather.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise LakeDamaged(str(path), str(error)) from error


def _named(path: Path) -> _Named:
    match = _NAME.match(path.stem)
    if match is None:
        raise MissingInput(f"{path.name} does not say its symbol and interval, such as BTCUSDT_1m.parquet")
    return _Named(
        match["base"],
        match["quote"] or "",
        match["settle"] is not None or "perp" in path.parent.name,
        int(match["count"]) * _UNITS_NS[match["unit"]],
    )


def _floats(table: Any, name: str) -> Floats:
    return np.asarray(table[name].cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _nanoseconds(column: Any) -> npt.NDArray[np.int64]:
    if pa.types.is_timestamp(column.type):
        return np.asarray(column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64()).to_numpy(), np.int64)
    return np.asarray(column.cast(pa.int64()).to_numpy(), np.int64) * 1_000_000


def _series(
    known: Known, venue: Venue, symbol: str, opens: npt.NDArray[np.int64], columns: dict[str, Floats]
) -> _Series:
    instrument = catalogue.find(venue, symbol, known)
    if instrument is None:
        prices = [columns[name] for name in columns if name != "volume"]
        quantities = [columns["volume"]] if "volume" in columns else []
        instrument = catalogue.inferred(venue, symbol, _decimals(prices), _decimals(quantities))
    return _Series(instrument, opens, columns)


def _decimals(columns: list[Floats]) -> int:
    numbers = np.concatenate(columns) if columns else np.zeros(0)
    numbers = numbers[np.isfinite(numbers)]
    for decimals in range(_MAX_DECIMALS):
        scaled = numbers * 10.0**decimals
        if np.all(np.abs(scaled - np.rint(scaled)) < _ON_GRID):
            return decimals
    return _MAX_DECIMALS


def _on_grid(numbers: Floats, unit: Decimal) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return (whole units, 0 where they cannot be; is each within a ten-thousandth of a unit of one)."""
    decimals, multiple = catalogue.decimals_of(unit)
    ratio = numbers * 10.0**decimals / multiple
    usable = np.isfinite(ratio) & (np.abs(ratio) < 2.0**53)
    whole = np.rint(np.where(usable, ratio, 0.0))
    return whole.astype(np.int64), usable & (np.abs(np.where(usable, ratio, 0.0) - whole) < _ON_GRID)


def _bars(series: _Series, interval_ns: int) -> Iterator[Chunk]:
    instrument, columns = series.instrument, series.columns
    missing = np.all([np.isnan(columns[name]) for name in _COLUMNS], axis=0)
    reasons = np.full(len(series.opens), "", dtype=object)
    ticks: dict[str, npt.NDArray[np.int64]] = {}
    for name in _COLUMNS[:4]:
        ticks[name], fits = _on_grid(columns[name], instrument.tick_size)
        reasons[(reasons == "") & ~fits] = "price off the instrument's grid"
        reasons[~(columns[name] > 0)] = "price not positive"
        reasons[~np.isfinite(columns[name])] = "price not a number"
    lots, fits = _on_grid(columns["volume"], instrument.lot_size)
    lots[(lots == 0) & (columns["volume"] > 0)] = 1
    reasons[~np.isfinite(columns["volume"]) | (columns["volume"] < 0)] = "volume not a number or negative"
    low, high = ticks["low"], ticks["high"]
    inside = np.all([(low <= ticks[name]) & (ticks[name] <= high) for name in ("open", "close")], axis=0)
    reasons[(reasons == "") & ~inside] = "open or close outside low and high"
    reasons[missing] = "missing"
    good = reasons == ""
    num_rounded = int(np.count_nonzero(good & ~fits))

    rows = np.zeros((len(good), 2), EVENT)
    rows["kind"][:] = (Kind.BAR_OPEN, Kind.BAR_CLOSE)
    rows["venue"] = instrument.venue
    seconds = interval_ns // 1_000_000_000
    rows["interval_s"] = 0 if interval_ns == NS_PER_DAY else seconds
    rows["ts_event"] = rows["ts_recv"] = (series.opens + interval_ns)[:, None]
    rows["id"] = series.opens[:, None]
    rows["price"] = np.stack([ticks["open"], low], axis=1)
    rows["qty"][:, 0] = lots
    rows["aux"] = np.stack([high, ticks["close"]], axis=1)
    notes = (f"{num_rounded} volumes off the lot grid, taken to the nearest lot",) if num_rounded else ()
    if num_rounded > len(good) // 2:
        notes = (f"{num_rounded} volumes off the lot grid: is {instrument.lot_size} the lot?",)
    yield from _chunks(series, rows, reasons, columns, notes)


def _funding(series: _Series, rates: Floats, interval_ns: int) -> Iterator[Chunk]:
    reasons = np.where(np.isfinite(rates) & (np.abs(rates) < 1.0), "", "rate not a number or out of range").astype(
        object
    )
    rows = np.zeros((len(rates), 1), EVENT)
    rows["kind"], rows["flags"], rows["venue"] = Kind.FUNDING, Flag.SETTLED, series.instrument.venue
    rows["ts_event"] = rows["ts_recv"] = rows["id"] = series.opens[:, None]
    rows["aux"][:, 0] = np.rint(np.where(reasons == "", rates, 0.0) * 1e12).astype(np.int64)
    rows["aux2"] = interval_ns
    yield from _chunks(series, rows, reasons, {"rate": rates}, ())


def _marks(series: _Series, prices: Floats) -> Iterator[Chunk]:
    good = np.isfinite(prices) & (prices > 0) & (prices < 1e9)
    reasons = np.where(good, "", "price not a positive number").astype(object)
    usable = np.where(good, prices, 0.0)
    rows = np.zeros((len(prices), 1), EVENT)
    rows["kind"], rows["venue"] = Kind.MARK, series.instrument.venue
    rows["ts_event"] = rows["ts_recv"] = series.opens[:, None]
    rows["price"][:, 0] = np.rint(usable / series.instrument.tick).astype(np.int64)
    rows["aux"][:, 0] = np.rint(usable * 1e8).astype(np.int64)
    yield from _chunks(series, rows, reasons, {"mark": prices}, ())


def _chunks(
    series: _Series, rows: Events, reasons: Any, columns: dict[str, Floats], notes: tuple[str, ...]
) -> Iterator[Chunk]:
    for start in range(0, len(rows), _ROWS_PER_CHUNK):
        part = slice(start, start + _ROWS_PER_CHUNK)
        why = reasons[part]
        good = np.flatnonzero(why == "")
        quarantined = tuple(
            SetAside(start + int(k) + 1, str(why[k]), _raw(series, columns, start + int(k)))
            for k in np.flatnonzero((why != "") & (why != "missing"))
        )
        num_missing = int(np.count_nonzero(why == "missing"))
        yield from by_channel(
            rows[part][good].reshape(-1),
            _positions(good + start, rows.shape[1]),
            [series.instrument],
            first_line=start + 1,
            last_line=min(start + _ROWS_PER_CHUNK, len(rows)),
            quarantined=quarantined,
            ignored={"missing bar": num_missing} if num_missing else {},
            notes=notes if start == 0 else (),
        )


def _positions(rows: npt.NDArray[np.intp], width: int) -> Positions:
    lines = (rows.astype(np.int64) + 1) * MAX_ROWS_PER_LINE
    return np.asarray((lines[:, None] + np.arange(width)).reshape(-1), np.int64)


def _raw(series: _Series, columns: dict[str, Floats], row: int) -> bytes:
    numbers = [f"{name}={float(column[row])!r}" for name, column in columns.items()]
    return f"time_ns={series.opens[row]} {' '.join(numbers)}".encode()
