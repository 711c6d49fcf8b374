"""Import: files of any known format into a lake, each whole or not at all, and never twice.

A file is known by the SHA-256 of its content and the version of the reader: the same content changes nothing, a
newer reader replaces what an older one made of it. An import that was killed left nothing that exists.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from spyhop.errors import DataError, MissingInput, UserError
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events
from spyhop.storage.lake import Lake, Source
from spyhop.storage.lake_writer import SourceWriter
from spyhop.storage.parts import Positions
from spyhop.storage.quarantine import QuarantineFile

MAX_NOTES = 50


class ChunkLike(Protocol):
    """What a reader yields: events of one instrument and channel in the order of the file, and what it set aside."""

    @property
    def instrument(self) -> Instrument | None: ...
    @property
    def channel(self) -> str: ...
    @property
    def events(self) -> Events: ...
    @property
    def positions(self) -> Positions: ...
    @property
    def last_line(self) -> int: ...
    @property
    def quarantined(self) -> Sequence[tuple[int, str, bytes]]: ...
    @property
    def ignored(self) -> Mapping[str, int]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an import is; `file` counts from 1."""

    path: str
    file: int
    num_files: int
    num_lines: int
    num_events: int
    is_done: bool


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one file: new, known already (`is_known`), or not readable at all (`failure`)."""

    path: str
    source: Source | None
    is_known: bool = False
    failure: str = ""

    @property
    def num_events(self) -> int:
        return sum(part.rows for part in self.source.parts) if self.source is not None else 0

    @property
    def num_quarantined(self) -> int:
        return sum(self.source.quarantined.values()) if self.source is not None else 0


def import_files(
    chunks_of: Callable[[Path], Iterable[ChunkLike]],
    paths: Sequence[Path],
    lake: Lake,
    *,
    reader: str,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> list[Imported]:
    """Import `paths` one after the other with `chunks_of` and return what became of each.

    `reader` is the version of the readers. A file that no reader understands is told in its `failure` and the others go
    on. Raises MissingInput before anything is done when a path is not there, StorageFailed when the store refuses.
    """
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise MissingInput(f"there is no file {', '.join(missing)}")
    done = []
    for number, path in enumerate(paths, 1):
        watch = _Watch(path, number, len(paths), on_progress)
        done.append(_import_file(chunks_of, path, lake, reader, watch))
    return done


class _Watch:
    """Counts and tells."""

    def __init__(self, path: Path, file: int, num_files: int, tell: Callable[[Progress], None]) -> None:
        self._path, self._file, self._num_files, self._tell = str(path), file, num_files, tell
        self.num_lines = 0
        self.num_events = 0

    def on(self, chunk: ChunkLike) -> None:
        self.num_lines = max(self.num_lines, chunk.last_line)
        self.num_events += len(chunk.events)
        self.tell(is_done=False)

    def tell(self, *, is_done: bool) -> None:
        self._tell(
            Progress(
                path=self._path,
                file=self._file,
                num_files=self._num_files,
                num_lines=self.num_lines,
                num_events=self.num_events,
                is_done=is_done,
            )
        )


def _import_file(
    chunks_of: Callable[[Path], Iterable[ChunkLike]], path: Path, lake: Lake, reader: str, watch: _Watch
) -> Imported:
    try:
        content = _digest(path)
        key = hashlib.sha256(f"{content} {reader}".encode()).hexdigest()
        known = next((source for source in lake.sources() if source.key == key), None)
        if known is not None:
            return Imported(path=str(path), source=known, is_known=True)
        with SourceWriter(lake, content=content, key=key, name=path.name, reader=reader) as writer:
            return Imported(path=str(path), source=_bring(_read(chunks_of, path), path, writer, watch))
    except (UserError, DataError, _Unreadable) as error:
        return Imported(path=str(path), source=None, failure=str(error))
    finally:
        watch.tell(is_done=True)


class _Unreadable(Exception):
    """The file itself cannot be read; the disk of the lake is not to blame."""


def _read(chunks_of: Callable[[Path], Iterable[ChunkLike]], path: Path) -> Iterator[ChunkLike]:
    try:
        yield from chunks_of(path)
    except OSError as error:
        raise _Unreadable(f"{path}: {error.strerror or error}") from error


def _bring(chunks: Iterable[ChunkLike], path: Path, writer: SourceWriter, watch: _Watch) -> Source:
    quarantine = QuarantineFile()
    ignored: Counter[str] = Counter()
    notes: dict[str, None] = {}
    for chunk in chunks:
        for line, reason, raw in chunk.quarantined:
            quarantine.put(path.name, line, reason, raw)
        ignored.update(chunk.ignored)
        for note in chunk.notes[: MAX_NOTES - len(notes)]:
            notes.setdefault(note)
        if chunk.instrument is not None and len(chunk.events):
            writer.write(chunk.instrument, chunk.channel, chunk.events, chunk.positions)
        watch.on(chunk)
    return writer.commit(
        num_lines=watch.num_lines,
        quarantined=quarantine.reasons,
        ignored=ignored,
        notes=tuple(notes),
        quarantine=quarantine.encoded(),
    )


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _Unreadable(f"{path}: {error.strerror or error}") from error
