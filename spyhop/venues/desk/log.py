"""The durable memory of a desk: the commands it has taken and the reports it has made, in one file, in order.

A head line, then records: length and CRC-32 (little-endian u32 each), then msgpack. Whatever does not check at the end
is what a kill left of a write that nobody was told of; it is cut and counted. That more is missing shows when the next
command or the next reader comes with a number that does not follow.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from spyhop.errors import JournalDamaged, StateError, StorageFailed
from spyhop.model.orders import Command, Report

HEAD = b"#spyhop desk 1\n"
NAME = "desk.log"
_FRAME = struct.Struct("<II")


class Taken(msgspec.Struct, frozen=True, tag=True, tag_field="is"):
    """A command, and the price (ticks) that it was decided at, 0 unknown."""

    command: Command
    reference: float = 0.0


class Known(msgspec.Struct, frozen=True, tag=True, tag_field="is"):
    """The venue's own id of an order of ours."""

    instrument: int
    venue_order_id: str
    client_order_id: str


Record = Taken | Known | Report

_RECORD: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


class DeskLog:
    """The only writer of `folder/desk.log`, or of `name` there; `on_record` gets every record that is there already.

    What is appended is durable after the next `flush`. Raises StorageFailed when the disk refuses or another process
    has the file, JournalDamaged for a file of another kind.
    """

    def __init__(self, folder: Path, on_record: Callable[[Record], None] | None = None, name: str = NAME) -> None:
        self.path = folder / name
        self.num_reports = self.num_bytes_cut = 0
        self._commands = array("I")
        self._is_dirty = self._is_broken = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _failed(self.path, error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._recover(on_record or (lambda record: None))
        except BlockingIOError as error:
            self.close()
            raise StorageFailed(str(self.path), "another process is writing to it") from error
        except OSError as error:
            self.close()
            raise _failed(self.path, error) from error
        except BaseException:
            self.close()
            raise

    @property
    def num_commands(self) -> int:
        """Return how many commands are taken."""
        return len(self._commands)

    def _recover(self, on_record: Callable[[Record], None]) -> None:
        end = len(HEAD)
        for payload, until in _frames(self.path):
            end = until
            record = _decoded(self.path, payload)
            self._count(record)
            on_record(record)
        size = os.fstat(self._file).st_size
        if size < len(HEAD):
            self.num_bytes_cut = size
            os.ftruncate(self._file, 0)
            _write(self._file, HEAD)
        else:
            self.num_bytes_cut = size - end
            os.ftruncate(self._file, end)
        os.lseek(self._file, 0, os.SEEK_END)
        os.fsync(self._file)
        _sync_folder(self.path.parent)

    def _count(self, record: Record) -> None:
        match record:
            case Taken(command=command):
                self._commands.append(_checksum(command))
            case Known():
                pass
            case _:
                self.num_reports += 1

    def unseen(self, number: int, commands: Sequence[Command]) -> Sequence[Command]:
        """Return which of `commands`, the first of them the `number`-th (from 0), are not taken yet.

        Raise StateError when some between are missing or a repeated one is another than was taken.
        """
        if number > self.num_commands:
            raise StateError(f"{self.path}: command {number} offered, {self.num_commands} taken")
        known = self.num_commands - number
        for place, command in enumerate(commands[:known], number):
            if _checksum(command) != self._commands[place]:
                raise StateError(f"{self.path}: command {place} is another than the one taken")
        return commands[known:]

    def append(self, record: Record) -> None:
        """Add a record; durable after the next `flush`."""
        payload = msgspec.msgpack.encode(record)
        self._check()
        self._is_dirty = True
        try:
            _write(self._file, _FRAME.pack(len(payload), zlib.crc32(payload)) + payload)
        except OSError as error:
            # half a record may be there now, so nothing may follow it
            self._is_broken = True
            raise _failed(self.path, error) from error
        self._count(record)

    def flush(self) -> None:
        """Make everything appended durable."""
        if not self._is_dirty:
            return
        self._check()
        try:
            os.fdatasync(self._file)
        except OSError as error:
            self._is_broken = True
            raise _failed(self.path, error) from error
        self._is_dirty = False

    def reports(self, start: int = 0) -> Iterator[Report]:
        """Yield the reports from number `start` (from 0) on, as they are in the file."""
        number = 0
        for payload, _ in _frames(self.path):
            record = _decoded(self.path, payload)
            if not isinstance(record, Taken | Known):
                if number >= start:
                    yield record
                number += 1

    def close(self) -> None:
        """Let the file go; what was not flushed may be lost."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _check(self) -> None:
        if self._is_broken or self._file < 0:
            raise StorageFailed(str(self.path), "closed, or failed before")


def kept_reports(folder: Path, name: str = NAME) -> list[Report]:
    """Return the reports in a log that nobody writes any more, for a replay; none where there never was one."""
    path = folder / name
    if not path.exists():
        return []
    records = (_decoded(path, payload) for payload, _ in _frames(path))
    return [record for record in records if not isinstance(record, Taken | Known)]


def _frames(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield (payload, where it ends) up to the first record that does not check."""
    with path.open("rb") as file:
        head = file.read(len(HEAD))
        if head != HEAD:
            if not HEAD.startswith(head):
                raise JournalDamaged(str(path), f"does not begin with {HEAD!r}")
            return
        end = len(HEAD)
        while len(header := file.read(_FRAME.size)) == _FRAME.size:
            length, checksum = _FRAME.unpack(header)
            payload = file.read(length)
            if len(payload) < length or not payload or zlib.crc32(payload) != checksum:
                return
            end += _FRAME.size + length
            yield payload, end


def _decoded(path: Path, payload: bytes) -> Record:
    try:
        return _RECORD.decode(payload)
    except msgspec.MsgspecError as error:
        raise JournalDamaged(str(path), str(error)) from error


def _checksum(command: Command) -> int:
    return zlib.crc32(msgspec.msgpack.encode(command))


def _failed(path: Path, error: OSError) -> StorageFailed:
    return StorageFailed(str(path), error.strerror or str(error))


def _write(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
