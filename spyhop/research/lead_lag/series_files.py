"""A price over time from any csv, parquet or feather file that has a time and a price."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

from spyhop.errors import MissingInput, UserError
from spyhop.research.lead_lag.series import Clock, Series, series

_TIMES = (
    "ts_event", "ts_exchange", "exchange_time", "transact_time", "ts_recv", "local_ts", "local_time", "received_at",
    "ts", "time", "timestamp", "datetime", "date", "t", "close_time", "open_time", "unix",
)  # fmt: skip
_PRICES = ("mid", "mid_price", "midprice", "price", "close", "last", "px", "p", "value", "last_price", "mark_price")
_QUOTES = (("bid", "ask"), ("bid_price", "ask_price"), ("best_bid", "best_ask"), ("b", "a"))
_OPENINGS = ("date", "open_time", "ts", "time", "timestamp", "datetime", "t", "unix")
"""What bars call the time at which they begin, unless a column says that it is the close's."""
_CLOCKS: dict[Clock, tuple[str, ...]] = {
    "receive": ("recv", "receive", "local"),
    "exchange": ("event", "exchange", "transact"),
}

_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_SUFFIX = re.compile(r"_(s|sec|secs|seconds|ms|millis|us|micros|ns|nanos)$")
_UNIT_OF = {"sec": "s", "secs": "s", "seconds": "s", "millis": "ms", "micros": "us", "nanos": "ns"}


def read_series(path: Path, time: str = "", price: str = "", name: str = "") -> Series:
    """Return the series in a file; `time` and `price` name its columns where their names say nothing.

    Times are ISO texts, timestamps, or numbers in s, ms, us or ns: as the column's name ends, else by their size. A
    bid and an ask make a mid. The price of a bar is its close, and stands at its end. Raises UserError.
    """
    table = _table(path)
    names = table.column_names
    when = _chosen(path, names, time, _TIMES, "time")
    times = _times(path, when, table.column(when))
    pair = _quotes(names) if not price else None
    if pair and not any(one in (each.lower() for each in names) for one in ("mid", "mid_price", "midprice")):
        values = 0.5 * (_numbers(path, table, pair[0]) + _numbers(path, table, pair[1]))
        what = "mids"
    else:
        column = _chosen(path, names, price, _PRICES, "price")
        values = _numbers(path, table, column)
        what = "mids" if "mid" in column.lower() else column
    if _is_bars(names) and _base(when) in _OPENINGS and len(times) > 1:
        # known only when the bar is over
        times = times + int(np.median(np.diff(np.sort(times))))
        what = "bars"
    values = np.where(times == _NO_TIME, np.nan, values)
    return series(name or _short(path), times, values, _clock(when), what)


def _clock(column: str) -> Clock:
    said = (clock for clock, words in _CLOCKS.items() if any(word in column.lower() for word in words))
    return next(said, "unknown")


_NO_TIME = np.iinfo(np.int64).min


def _table(path: Path) -> pa.Table:
    if not path.is_file():
        raise MissingInput(f"there is no file {path}")
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        return _parsed(raw)
    except (pa.ArrowException, EOFError, gzip.BadGzipFile) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} is no csv, parquet or feather file that can be read: {reason}") from error


def _parsed(raw: bytes) -> pa.Table:
    if raw[:4] == b"PAR1":
        return pyarrow.parquet.read_table(io.BytesIO(raw))
    if raw[:6] in (b"ARROW1",) or raw[:4] == b"FEA1":
        return pyarrow.feather.read_table(io.BytesIO(raw))
    head = raw.split(b"\n", 1)[0].decode(errors="replace")
    cells = [cell.strip().strip('"') for cell in head.split(",")]
    options = pyarrow.csv.ReadOptions()
    if len(cells) > 1 and all(_is_number(cell) for cell in cells):
        # no header: what exchanges dump has the time first and the price next
        options = pyarrow.csv.ReadOptions(
            column_names=["time", "price", *(f"column{k}" for k in range(3, len(cells) + 1))]
        )
    return pyarrow.csv.read_csv(io.BytesIO(raw), read_options=options)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _base(name: str) -> str:
    return _SUFFIX.sub("", name.strip().lower())


def _chosen(path: Path, names: Sequence[str], asked: str, known: Sequence[str], what: str) -> str:
    if asked:
        if asked not in names:
            raise UserError(f"{path} has no column {asked!r}; it has {', '.join(names)}")
        return asked
    for one in known:
        found = [name for name in names if name.strip().lower() == one or (what == "time" and _base(name) == one)]
        if found:
            return found[0]
    raise UserError(f"{path} has no {what} column that is known; say which with a flag: it has {', '.join(names)}")


def _quotes(names: Sequence[str]) -> tuple[str, str] | None:
    lower = {name.strip().lower(): name for name in names}
    return next(((lower[bid], lower[ask]) for bid, ask in _QUOTES if bid in lower and ask in lower), None)


def _is_bars(names: Sequence[str]) -> bool:
    return all(any(name.lower().startswith(part) for name in names) for part in ("open", "high", "low", "close"))


def _numbers(path: Path, table: pa.Table, column: str) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(table.column(column).cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    except (pa.ArrowException, ValueError) as error:
        raise UserError(f"{path}: the column {column!r} does not hold numbers") from error


def _times(path: Path, name: str, column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return np.asarray(column.cast(pa.timestamp("ns")).cast(pa.int64()).fill_null(_NO_TIME).to_numpy(), np.int64)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _scaled(name, column)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        read = pd.to_datetime(column.to_pandas(), utc=True, format="ISO8601", errors="coerce")
        if read.isna().all():
            raise UserError(f"{path}: the times in {name!r} are no ISO 8601, such as 2025-11-28T17:15:00.123Z")
        return np.asarray(read.dt.tz_localize(None).to_numpy().astype("datetime64[ns]").astype(np.int64))
    raise UserError(f"{path}: the column {name!r} does not hold times")


def _scaled(name: str, column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    ending = _SUFFIX.search(name.strip().lower())
    if pa.types.is_integer(column.type):
        whole: npt.NDArray[np.int64] = column.cast(pa.int64()).fill_null(_NO_TIME).to_numpy()
        is_there = whole != _NO_TIME
        unit = _unit(ending, float(np.max(np.abs(whole[is_there]), initial=0)))
        return np.where(is_there, whole * _NS[unit], _NO_TIME)
    parts = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    is_there = np.isfinite(parts)
    unit = _unit(ending, float(np.max(np.abs(parts[is_there]), initial=0.0)))
    return np.where(is_there, np.round(np.where(is_there, parts, 0.0) * _NS[unit]), _NO_TIME).astype(np.int64)


def _unit(ending: re.Match[str] | None, largest: float) -> str:
    if ending:
        return _UNIT_OF.get(ending[1], ending[1])
    return "s" if largest < 1e11 else ("ms" if largest < 1e14 else ("us" if largest < 1e17 else "ns"))


def _short(path: Path) -> str:
    return path.name.split(".")[0]
