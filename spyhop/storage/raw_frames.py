"""Raw frames on the disk: append-only segments of compressed blocks, one block a flush.

    <folder>/<YYYYMMDD>/<ns of the first record>.frames

A segment is a file of checked frames (`spyhop.storage.frames`); each is one block of records, msgpack under zstd. What
was flushed survives a kill -9 and a lost power supply; what was not is marked by the recorder that goes on.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from spyhop.clock import day
from spyhop.errors import JournalDamaged
from spyhop.model.instruments import Instrument
from spyhop.model.raw import Mark, RawKind, RawRecord
from spyhop.storage.frames import FrameReader, FrameWriter

SUFFIX = ".frames"
SEGMENT_BYTES = 64 << 20
MAX_WAITING_BYTES = 256 << 20

_HEAD = b"#spyhop raw 1\n"
_RECORD_BYTES = 40  # what a record costs in memory beside its data, about
_BLOCK = msgspec.msgpack.Decoder(list[RawRecord])
_ENCODER = msgspec.msgpack.Encoder()
_SIZE_BYTES = 8


class RawFrameWriter:
    """Keeps raw records of several feeds; a RawKeeper. `flush` and `close` belong to one thread, `add` to any.

    Every recorder begins segments of its own; it marks that the one before was cut off unless that one stopped. One
    file is open at a time. `num_records` and `num_shed` count. Raises StorageFailed, and JournalDamaged on opening.
    """

    def __init__(
        self,
        folder: Path,
        instruments: tuple[Instrument, ...],
        settings: dict[str, Any],
        now_ns: int,
        segment_bytes: int = SEGMENT_BYTES,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._folder, self._instruments, self._settings = folder, instruments, settings
        self._segment_bytes, self._max_waiting_bytes = segment_bytes, max_waiting_bytes
        self._lock = threading.Lock()
        self._waiting: list[RawRecord] = []
        self._waiting_bytes = 0
        self._num_shed_now = 0
        self.num_records = self.num_shed = 0
        newest = _newest_record(folder)
        self._last = newest.ts if newest is not None else 0
        self._run = now_ns
        self._segment, self._day = self._begin(now_ns), day(now_ns)
        if newest is not None and not _is_end(newest):
            self._put([_mark(now_ns, Mark("cut", since=newest.ts))])
        self._segment.flush()

    def add(self, record: RawRecord) -> None:
        """Take a record; durable after the next `flush`. Above the limit it is dropped, counted and marked."""
        size = len(record.data) + _RECORD_BYTES
        with self._lock:
            if self._waiting_bytes + size > self._max_waiting_bytes:
                self._num_shed_now += 1
                return
            self._waiting.append(record)
            self._waiting_bytes += size

    def flush(self, now_ns: int) -> None:
        """Make everything added durable as one block; raise StorageFailed."""
        with self._lock:
            records, num_shed = self._waiting, self._num_shed_now
            self._waiting, self._waiting_bytes, self._num_shed_now = [], 0, 0
        if num_shed:
            self.num_shed += num_shed
            records.append(_mark(now_ns, Mark("shed", since=records[-1].ts if records else self._last, count=num_shed)))
        if not records:
            return
        if self._segment.end >= self._segment_bytes or day(now_ns) != self._day:
            self._segment.close()
            self._segment, self._day = self._begin(now_ns), day(now_ns)
        self._put(records)
        self._segment.flush()
        self.num_records += len(records)
        self._last = records[-1].ts

    def close(self, now_ns: int) -> None:
        """Flush, mark the end and let the file go."""
        self.flush(now_ns)
        self._put([_mark(now_ns, Mark("end"))])
        self._segment.flush()
        self._segment.close()

    def _begin(self, now_ns: int) -> FrameWriter:
        path = self._folder / day(now_ns) / f"{now_ns:019d}{SUFFIX}"
        segment = FrameWriter(path, _HEAD, lambda payload: None)
        mark = Mark("begin", since=self._last, run=self._run, instruments=self._instruments, settings=self._settings)
        segment.append(_block([_mark(now_ns, mark)]))
        return segment

    def _put(self, records: list[RawRecord]) -> None:
        self._segment.append(_block(records))


def read_frames(path: Path) -> Iterator[RawRecord]:
    """Yield the records of one segment, oldest first, up to any torn tail; raise JournalDamaged."""
    for payload in FrameReader(path, _HEAD):
        yield from _records(path, payload)


def is_raw(path: Path) -> bool:
    """Return whether a file is a segment of raw frames."""
    with path.open("rb") as file:
        return file.read(len(_HEAD)) == _HEAD


def segments(folder: Path) -> list[Path]:
    """Return the segments under a folder, oldest first."""
    return sorted(folder.glob(f"*/*{SUFFIX}"), key=lambda path: path.name)


def mark_of(record: RawRecord) -> Mark | None:
    """Return what a MARK says, None for any other record."""
    return msgspec.json.decode(record.data, type=Mark) if record.kind == RawKind.MARK else None


def _newest_record(folder: Path) -> RawRecord | None:
    for path in reversed(segments(folder)):
        newest = deque(FrameReader(path, _HEAD), maxlen=1)
        if newest:  # a segment whose head is torn off holds nothing: the one before tells how it ended
            return _records(path, newest[0])[-1]
    return None


def _is_end(record: RawRecord) -> bool:
    mark = mark_of(record)
    return mark is not None and mark.what == "end"


def _mark(ts: int, mark: Mark) -> RawRecord:
    return RawRecord(RawKind.MARK, ts, "", "", 0, msgspec.json.encode(mark))


def _block(records: list[RawRecord]) -> bytes:
    content = _ENCODER.encode(records)
    packed = pa.compress(content, codec="zstd", asbytes=True)
    return len(content).to_bytes(_SIZE_BYTES, "little") + bytes(packed)


def _records(path: Path, payload: bytes) -> list[RawRecord]:
    size = int.from_bytes(payload[:_SIZE_BYTES], "little")
    try:
        content = pa.decompress(payload[_SIZE_BYTES:], size, codec="zstd", asbytes=True)
        return _BLOCK.decode(content)
    except (OSError, ValueError, pa.ArrowException, msgspec.DecodeError) as error:
        raise JournalDamaged(str(path), str(error)) from error
