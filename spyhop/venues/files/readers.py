"""All file formats that can be read, and which of them a file is: by content, by name where content is mute."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from spyhop.errors import MissingInput
from spyhop.model.tape import Venue
from spyhop.venues.binance import capture, dumps
from spyhop.venues.catalogue import NONE_KNOWN, Known
from spyhop.venues.files import tables, texts
from spyhop.venues.files.blocks import head
from spyhop.venues.files.chunks import Chunk

VERSION = 1
"""Goes up when the same file would give other chunks, so that a lake knows to import again."""

_SUFFIXES = (".gz", ".zip", ".csv", ".parquet", ".feather", ".jsonl", ".txt", ".frames")


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file and its reader."""

    name: str
    read: Callable[[Path, Venue | None, Known], Iterator[Chunk]]


RAW_CAPTURE = Format("raw Binance capture", capture.read)
DUMP = Format("Binance public dump", dumps.read)
TABLE = Format("table of bars, marks or funding", tables.read)
TEXT = Format("funding, forced orders or large trades", texts.read)


def format_of(path: Path) -> Format:
    """Return the format of the file; raise MissingInput when it is not there or no reader knows it."""
    if not path.is_file():
        raise MissingInput(f"there is no file {path}")
    if tables.is_table(path):
        return TABLE
    if dumps.is_dump(path):
        return DUMP
    start = head(path, 4096)
    if capture.is_capture(start):
        return RAW_CAPTURE
    if texts.is_text(start):
        return TEXT
    raise MissingInput(f"no reader knows the format of {path}")


def read(path: Path, venue: Venue | None = None, known: Known = NONE_KNOWN) -> Iterator[Chunk]:
    """Yield the chunks of any file that `format_of` knows; `venue` overrides what the file seems to say.

    Pass what a lake already holds as `known`: two files of a symbol that is not in the catalogue would else be
    decoded on two grids, each inferred from its own decimals.
    """
    return format_of(path).read(path, venue, known)


def files_under(paths: Iterable[Path]) -> list[Path]:
    """Return the files named, and the data files in folders, sorted; raise MissingInput for what is not there."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.is_file() and p.suffix in _SUFFIXES)
        elif path.is_file():
            found.append(path)
        else:
            raise MissingInput(f"there is no file or folder {path}")
    return found
