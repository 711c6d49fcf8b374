"""Parts: Parquet files of one instrument, channel and UTC day, each in the order (ts_recv, position).

The columns are those of the tape (less `instrument`, a number that only a session knows) and `position`, which orders
events of equal `ts_recv` as the source had them. Integers are split into byte streams under zstd and pages carry
checksums: smaller and faster to read than any other encoding tried here (445,522 book events: 1.5 MB, 42 ms to read,
61 ms to write, against 2.1 MB for plain zstd).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from spyhop.clock import NS_PER_DAY, NS_PER_S
from spyhop.errors import LakeDamaged
from spyhop.model.instruments import Instrument
from spyhop.model.tape import EVENT, Events

ROW_GROUP = 1 << 16

Positions = npt.NDArray[np.int64]

_NAMES = [name for name in EVENT.names or () if name != "instrument"]
_SMALL = ["kind", "side", "venue", "flags"]
_WIDE = [*(name for name in _NAMES if name not in _SMALL), "position"]
_SCHEMA = pa.schema(
    [pa.field(name, pa.from_numpy_dtype(EVENT[name]), nullable=False) for name in _NAMES]
    + [pa.field("position", pa.int64(), nullable=False)]
)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the lake, as its source's manifest describes it; times are ts_recv of its first and last event."""

    path: str
    venue: str
    symbol: str
    channel: str
    date: str
    rows: int
    bytes: int
    first: int
    last: int

    @property
    def instrument_key(self) -> str:
        return f"{self.venue}:{self.symbol}"


class Group(NamedTuple):
    """Some consecutive events of a part and where each stood in its source."""

    events: Events
    positions: Positions


def date_of(day: int) -> str:
    """Return the UTC date `day` days after 1970-01-01 as YYYY-MM-DD."""
    return f"{datetime.fromtimestamp(day * (NS_PER_DAY // NS_PER_S), UTC):%Y-%m-%d}"


def part_folder(instrument: Instrument, channel: str, date: str) -> str:
    """Return the folder of a partition, relative to the lake."""
    symbol = quote(instrument.symbol, safe="")
    return f"venue={instrument.venue.label}/symbol={symbol}/channel={channel}/date={date}"


class PartWriter:
    """Writes one part, group by group; `accepts` says whether a group may follow in order."""

    def __init__(self, filesystem: fs.FileSystem, path: str, instrument: Instrument) -> None:
        metadata = {b"spyhop.instrument": msgspec.json.encode(instrument)}
        self.rows = 0
        self.first = 0
        self._last = (-(1 << 63), 0)
        self._sink = filesystem.open_output_stream(path)
        self._file = pq.ParquetWriter(
            self._sink,
            _SCHEMA.with_metadata(metadata),
            compression="zstd",
            compression_level=1,
            use_dictionary=_SMALL,
            column_encoding=dict.fromkeys(_WIDE, "BYTE_STREAM_SPLIT"),
            write_page_checksum=True,
        )

    @property
    def last(self) -> int:
        return self._last[0]

    def accepts(self, group: Group) -> bool:
        """Return whether `group` begins where this part ends, or later."""
        return self._last <= (int(group.events["ts_recv"][0]), int(group.positions[0]))

    def write(self, group: Group) -> None:
        """Add a group that is in order and not empty."""
        columns = [pa.array(np.ascontiguousarray(group.events[name])) for name in _NAMES]
        table = pa.Table.from_arrays([*columns, pa.array(group.positions)], schema=_SCHEMA)
        self._file.write_table(table, row_group_size=ROW_GROUP)
        if not self.rows:
            self.first = int(group.events["ts_recv"][0])
        self.rows += len(group.events)
        self._last = (int(group.events["ts_recv"][-1]), int(group.positions[-1]))

    def close(self) -> int:
        """Finish the file and return its size in bytes."""
        self._file.close()
        size = int(self._sink.tell())
        self._sink.close()
        return size

    def abandon(self) -> None:
        """Let the file go unfinished."""
        for thing in (self._file, self._sink):
            try:
                thing.close()
            except (OSError, pa.ArrowException):
                continue


def read_part(filesystem: fs.FileSystem, part: Part, start: int, end: int) -> Iterator[Group]:
    """Yield the groups of a part that touch `start` <= ts_recv < `end`, cut to it; raise LakeDamaged."""
    try:
        with filesystem.open_input_file(part.path) as source:
            file = pq.ParquetFile(source, page_checksum_verification=True)
            if file.metadata.num_rows != part.rows:
                raise LakeDamaged(part.path, f"has {file.metadata.num_rows} rows instead of {part.rows}")
            for number in range(file.num_row_groups):
                if _touches(file.metadata.row_group(number), start, end):
                    yield from _cut(_group(file.read_row_group(number, use_threads=False)), start, end)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise LakeDamaged(part.path, str(error)) from error


_TS_COLUMN = _SCHEMA.get_field_index("ts_recv")


def _touches(group: Any, start: int, end: int) -> bool:
    statistics = group.column(_TS_COLUMN).statistics
    return statistics is None or (statistics.max >= start and statistics.min < end)


def _group(table: Any) -> Group:
    events = np.zeros(table.num_rows, EVENT)
    for name in _NAMES:
        events[name] = table[name].to_numpy()
    return Group(events, table["position"].to_numpy())


def _cut(group: Group, start: int, end: int) -> Iterator[Group]:
    first, last = np.searchsorted(group.events["ts_recv"], (start, end), side="left").tolist()
    if first < last:
        yield Group(group.events[first:last], group.positions[first:last])


def in_order(events: Events, positions: Positions) -> Group:
    """Return events and positions sorted by (ts_recv, position)."""
    times = events["ts_recv"]
    is_later = times[1:] > times[:-1]
    if bool((is_later | ((times[1:] == times[:-1]) & (positions[1:] > positions[:-1]))).all()):
        return Group(events, positions)
    order = np.lexsort((positions, times))
    return Group(events[order], positions[order])
