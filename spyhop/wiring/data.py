"""Recordings into lakes: readers of `venues` joined to the store of `storage`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from spyhop.storage import imports
from spyhop.storage.checks import Finding
from spyhop.storage.imports import Imported, Progress
from spyhop.storage.lake import Lake, Listing
from spyhop.storage.verify import verify
from spyhop.venues.files import readers
from spyhop.venues.files.chunks import Chunk
from spyhop.wiring.raw_import import RawReader, is_raw


def import_data(
    paths: Sequence[Path], lake: str, on_progress: Callable[[Progress], None] = lambda progress: None
) -> list[Imported]:
    """Bring files, or all readable files under folders, into a lake; return what became of each.

    Raises MissingInput when a path is not there, StorageFailed when the store refuses.
    """
    store = Lake(lake)
    known = {instrument.key: instrument for instrument in store.instruments()}
    raw = RawReader()

    def chunks(path: Path) -> Iterator[Chunk]:
        return raw.chunks(path) if is_raw(path) else readers.read(path, known=known)

    return imports.import_files(
        chunks,
        readers.files_under(paths),
        store,
        reader=str(readers.VERSION),
        on_progress=on_progress,
    )


def lake_table(lake: str) -> list[Listing]:
    """Return what a lake holds, one line for each instrument and channel."""
    return Lake(lake).ls()


def verify_lake(lake: str) -> list[Finding]:
    """Return everything that is wrong with a lake, with counts and first places."""
    return verify(Lake(lake))
