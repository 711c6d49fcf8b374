"""Append-only files of checked frames, in which a torn tail is found and cut and real damage is told apart from it.

A file is a head line that says what it holds, then frames: a header line of text with the payload's length, its CRC-32
and `durable`, then the payload. `durable` is how many bytes of the file were known to be on the disk when the frame was
made. A bad frame is a torn tail, what a killed process or a lost power supply leaves, unless a later frame says that
the place was on the disk already: that is damage, and nobody may go on as if nothing had been there.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from spyhop.errors import JournalDamaged, StorageFailed
from spyhop.storage.files import sync_folder

log = logging.getLogger(__name__)

_HEADER = re.compile(rb"#frame ([0-9a-f]{8}) ([0-9a-f]{8}) ([0-9a-f]{16})\n")
_HEADER_BYTES = 42


class FrameReader:
    """The frames of one file, oldest first.

    After the iteration `end` is where the last good frame ends and `num_torn_bytes` what lies behind it. Iterating
    raises JournalDamaged when the head is another one or when frames that were durable cannot be read.
    """

    def __init__(self, path: Path, head: bytes) -> None:
        self.path, self._head = path, head
        self.end = 0
        self.num_torn_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            yield from self._frames(file)

    def _frames(self, file: BinaryIO) -> Iterator[bytes]:
        size = os.fstat(file.fileno()).st_size
        head = file.read(len(self._head))
        if head != self._head:
            if not self._head.startswith(head):
                raise JournalDamaged(str(self.path), f"does not begin with {self._head!r}")
            self.num_torn_bytes = size
            return
        self.end = len(head)
        while self.end < size:
            frame = _frame(file, size - self.end)
            if frame is None:
                self._look_behind(file, size)
                return
            self.end += _HEADER_BYTES + len(frame[0])
            yield frame[0]

    # a torn tail is short (what was written since the last flush), so it is read at once
    def _look_behind(self, file: BinaryIO, size: int) -> None:
        file.seek(self.end)
        rest = file.read()
        for found in _HEADER.finditer(rest, 1):
            file.seek(self.end + found.start())
            frame = _frame(file, size - self.end - found.start())
            if frame is not None and frame[1] > self.end:
                raise JournalDamaged(str(self.path), f"the frame at byte {self.end} was durable and cannot be read")
        self.num_torn_bytes = size - self.end
        log.warning("%s: %d bytes of a torn tail after byte %d", self.path, self.num_torn_bytes, self.end)


def _frame(file: BinaryIO, size: int) -> tuple[bytes, int] | None:
    """Return payload and `durable` of the frame that starts here within `size` bytes, None if it is not whole."""
    found = _HEADER.fullmatch(file.read(_HEADER_BYTES))
    if found is None:
        return None
    length, checksum, durable = (int(text, 16) for text in found.groups())
    if length > size - _HEADER_BYTES:
        return None
    payload = file.read(length)
    return (payload, durable) if _checksum(payload, durable) == checksum else None


def _checksum(payload: bytes | memoryview, durable: int) -> int:
    return zlib.crc32(payload, zlib.crc32(durable.to_bytes(8, "little")))


class FrameWriter:
    """The only writer of one file of frames; cuts a torn tail when it opens the file.

    `on_frame` gets every payload that is there already. Everything there is durable once the constructor returns;
    what is appended later is after the next `flush`. Raises StorageFailed when the disk refuses, when another
    writer has the file, and from then on: after a failed write nobody knows what the disk holds, so open anew.
    """

    def __init__(self, path: Path, head: bytes, on_frame: Callable[[bytes], None]) -> None:
        self.path = path
        self.num_bytes_cut = 0
        self._is_broken = False
        try:
            make_folder(path.parent)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageFailed(str(path), error.strerror or str(error)) from error
        try:
            self._lock()
            self.end = self._recover(head, on_frame)
        except OSError as error:
            self.close()
            raise StorageFailed(str(path), error.strerror or str(error)) from error
        except BaseException:
            self.close()
            raise
        self._durable = self.end

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StorageFailed(str(self.path), "another process is writing to it") from error

    def _recover(self, head: bytes, on_frame: Callable[[bytes], None]) -> int:
        reader = FrameReader(self.path, head)
        for payload in reader:
            on_frame(payload)
        self.num_bytes_cut = reader.num_torn_bytes
        os.ftruncate(self._file, reader.end)
        if reader.end == 0:
            _write(self._file, head)
        end = os.lseek(self._file, 0, os.SEEK_END)
        os.fsync(self._file)
        sync_folder(self.path.parent)
        return end

    def append(self, payload: bytes | memoryview) -> None:
        """Add one frame; durable after the next `flush`. A failed one is taken back whole."""
        header = b"#frame %08x %08x %016x\n" % (len(payload), _checksum(payload, self._durable), self._durable)
        self._check()
        try:
            _write(self._file, header)
            _write(self._file, payload)
        except OSError as error:
            self._is_broken = True
            self._take_back()
            raise StorageFailed(str(self.path), error.strerror or str(error)) from error
        self.end += len(header) + len(payload)

    def flush(self) -> None:
        """Make everything appended durable."""
        if self._durable == self.end:
            return
        self._check()
        try:
            os.fsync(self._file)
        except OSError as error:
            self._is_broken = True
            raise StorageFailed(str(self.path), error.strerror or str(error)) from error
        self._durable = self.end

    def close(self) -> None:
        """Let the file go; what was not flushed may be lost."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _check(self) -> None:
        if self._is_broken or self._file < 0:
            raise StorageFailed(str(self.path), "closed, or failed before")

    def _take_back(self) -> None:
        try:
            os.ftruncate(self._file, self.end)
        except OSError:
            log.warning("%s: a torn frame after byte %d could not be taken back", self.path, self.end)


def _write(file: int, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def make_folder(folder: Path) -> None:
    """Make `folder` and its parents durably."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)
