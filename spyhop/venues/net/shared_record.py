"""A few bytes that all processes of one machine read and write in turn, through a file.

The lock is the kernel's, so it goes with a process that is killed. The record is kept twice, each copy with a number
and a checksum; a writer replaces the older one, so that a write that was cut off leaves the one before it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import zlib
from pathlib import Path

_HEAD = struct.Struct("<4sIIQ")  # magic, checksum of the rest, length, number
_MAGIC = b"SPY1"
_COPY_BYTES = 4_096
MAX_BYTES = _COPY_BYTES - _HEAD.size

DAMAGED = b""
"""What `load` returns when neither copy can be trusted; no record is empty."""


class SharedRecord:
    """One record. `try_lock`, then `load` and `save`, then `unlock`; without a path it is this process's alone."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._fd = -1
        self._number = 0

    def try_lock(self) -> bool:
        """Return whether the record is now ours; never waits. Make the file where there is none; raise OSError."""
        if self._path is None:
            return True
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return True

    def unlock(self) -> None:
        """Let go; harmless when nothing is locked."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def load(self) -> bytes | None:
        """Return the record, None if nothing was ever written, DAMAGED if what was written cannot be read."""
        if self._fd < 0:
            return None
        held = os.pread(self._fd, 2 * _COPY_BYTES, 0)
        copies = [copy for copy in (_read(held[:_COPY_BYTES]), _read(held[_COPY_BYTES:])) if copy is not None]
        self._number, record = max(copies, default=(0, DAMAGED))
        return record if held else None

    def save(self, record: bytes) -> None:
        """Replace the older copy; `load` must have come before. Raise ValueError for more than MAX_BYTES."""
        if self._fd < 0:
            return
        if not 0 < len(record) <= MAX_BYTES:
            raise ValueError(f"a shared record has 1 to {MAX_BYTES} bytes, not {len(record)}")
        self._number += 1
        rest = struct.pack("<IQ", len(record), self._number) + record
        copy = struct.pack("<4sI", _MAGIC, zlib.crc32(rest)) + rest
        os.pwrite(self._fd, copy.ljust(_COPY_BYTES, b"\0"), self._number % 2 * _COPY_BYTES)


def _read(copy: bytes) -> tuple[int, bytes] | None:
    with contextlib.suppress(struct.error):
        magic, checksum, length, number = _HEAD.unpack_from(copy)
        end = _HEAD.size + length
        if magic == _MAGIC and end <= len(copy) and zlib.crc32(copy[8:end]) == checksum:
            return number, copy[_HEAD.size : end]
    return None
