"""A stage's checkpoint: one file, replaced at once, with a checksum; the number of restarts beside the state."""

from __future__ import annotations

import zlib
from pathlib import Path

import msgspec

from spyhop.errors import JournalDamaged
from spyhop.storage.files import replace_durably

_encode = msgspec.msgpack.encode


def read_checkpoint(path: Path) -> tuple[int, bytes]:
    """Return how often its stage was restarted, and the state; raise JournalDamaged when it is not what was written."""
    try:
        restarts, checksum, state = msgspec.msgpack.decode(path.read_bytes(), type=tuple[int, int, bytes])
    except msgspec.DecodeError as error:
        raise JournalDamaged(str(path), str(error)) from error
    if zlib.crc32(state) != checksum:
        raise JournalDamaged(str(path), "its checksum differs")
    return restarts, state


def write_checkpoint(path: Path, restarts: int, state: bytes) -> None:
    """Replace a checkpoint durably; raise StorageFailed."""
    replace_durably(path, _encode((restarts, zlib.crc32(state), state)))
