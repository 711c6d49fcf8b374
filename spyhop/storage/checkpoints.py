"""A stage's checkpoints: each life of it replaces a file of its own, and the newest life's counts.

A life that was cut off may write once more when its disk is there again, long after another one has begun elsewhere. It
can only ever replace its own file, which nobody reads any more.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import msgspec

from spyhop.errors import JournalDamaged
from spyhop.storage.files import replace_durably

_encode = msgspec.msgpack.encode


def newest_checkpoint(path: Path) -> tuple[int, Path] | None:
    """Return the number of the newest life that has a checkpoint under the name `path`, and its file."""
    return max(_lives(path), default=None)


def read_checkpoint(file: Path) -> bytes:
    """Return the state in a life's file; raise JournalDamaged when it is not what was written."""
    try:
        checksum, state = msgspec.msgpack.decode(file.read_bytes(), type=tuple[int, bytes])
    except msgspec.DecodeError as error:
        raise JournalDamaged(str(file), str(error)) from error
    if zlib.crc32(state) != checksum:
        raise JournalDamaged(str(file), "its checksum differs")
    return state


def write_checkpoint(path: Path, life: int, state: bytes) -> None:
    """Replace the checkpoint of a life under the name `path` durably; raise StorageFailed."""
    replace_durably(path.with_name(f"{path.stem}.{life}{path.suffix}"), _encode((zlib.crc32(state), state)))


def forget_lives_before(path: Path, life: int) -> None:
    """Delete the checkpoints of earlier lives; what a dead one writes later stays where nobody reads it."""
    for number, file in _lives(path):
        if number < life:
            file.unlink(missing_ok=True)


def _lives(path: Path) -> list[tuple[int, Path]]:
    named = re.compile(rf"{re.escape(path.stem)}\.(\d+){re.escape(path.suffix)}")
    files = path.parent.iterdir() if path.parent.is_dir() else ()
    return [(int(found[1]), file) for file in files if (found := named.fullmatch(file.name))]
