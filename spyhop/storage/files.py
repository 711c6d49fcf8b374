"""Files that are either the old or the new, never half."""

from __future__ import annotations

import os
from pathlib import Path

from spyhop.errors import StorageFailed


def replace_durably(path: Path, data: bytes) -> None:
    """Put `data` in the place of `path` at once and on the disk; raise StorageFailed and leave the old otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageFailed(str(path), error.strerror or str(error)) from error


def replace(path: Path, data: bytes) -> None:
    """Put `data` in the place of `path` at once, to be on the disk when the system writes it; raise StorageFailed.

    A killed process leaves the old or the new; after a power failure the file may be torn.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageFailed(str(path), error.strerror or str(error)) from error


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable (a rename is not, until its folder is)."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
