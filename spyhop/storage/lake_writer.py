"""Brings one source into a lake: parts aside first, then in place, then the manifest that makes them exist."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType

import msgspec
import numpy as np
import pyarrow as pa
from pyarrow import fs

from spyhop.clock import NS_PER_DAY
from spyhop.errors import StorageFailed
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events
from spyhop.storage.lake import INCOMING, MANIFESTS, QUARANTINE, Lake, Source
from spyhop.storage.parts import ROW_GROUP, Group, Part, PartWriter, Positions, date_of, in_order, part_folder

MAX_OPEN_PARTS = 64
MAX_WAITING_ROWS = 8 * ROW_GROUP

_Where = tuple[str, str, str]
"""Instrument key, channel, date."""


Piece = tuple[Instrument, str, Events, Positions]
"""Events of one instrument and channel with their positions."""


class SourceWriter:
    """Collects what one source brings; nothing of it exists before `commit`. A context that abandons on an error.

    `content` is the SHA-256 of the source and `key` names this reading of it: a second commit of the same content
    takes the place of the first. Every method raises StorageFailed when the store refuses.
    """

    def __init__(self, lake: Lake, *, content: str, key: str, name: str, reader: str) -> None:
        self._lake, self._files = lake, lake.files
        self._content, self._key, self._name, self._reader = content, key, name, reader
        self._folder = f"{INCOMING}/{content}"
        self._open: dict[_Where, PartWriter] = {}
        self._waiting: dict[_Where, list[Group]] = {}
        self._paths: dict[_Where, tuple[str, str]] = {}
        self._parts: list[tuple[str, Part]] = []
        self._instruments: dict[str, Instrument] = {}
        self._moved: list[str] = []
        self._num_paths = self._num_waiting = 0
        with self._refusals("import"):
            self._clear()
            self._files.create_dir(self._folder)

    def __enter__(self) -> SourceWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.abandon()

    def write(self, instrument: Instrument, channel: str, events: Events, positions: Positions) -> None:
        """Take events of one instrument and channel, in any order; best about as they were received."""
        known = self._instruments.setdefault(instrument.key, instrument.numbered(0))
        if known != instrument.numbered(0):
            raise ValueError(f"{self._name}: two descriptions of {instrument.key} in one source")
        days = events["ts_recv"] // NS_PER_DAY
        with self._refusals(self._name):
            for day in np.unique(days).tolist():
                where = np.flatnonzero(days == day)
                self._put((instrument.key, channel, date_of(day)), in_order(events[where], positions[where]))

    def _put(self, where: _Where, group: Group) -> None:
        waiting = self._waiting.setdefault(where, [])
        waiting.append(group)
        self._num_waiting += len(group.events)
        if sum(len(one.events) for one in waiting) >= ROW_GROUP:
            self._write_out(where)
        while self._num_waiting > MAX_WAITING_ROWS:
            self._write_out(next(iter(self._waiting)))

    def _write_out(self, where: _Where) -> None:
        waiting = self._waiting.pop(where, [])
        if not waiting:
            return
        group = waiting[0]
        if len(waiting) > 1:
            group = in_order(*(np.concatenate(columns) for columns in zip(*waiting, strict=True)))
        writer = self._open.pop(where, None)
        if writer is not None and not writer.accepts(group):
            self._finish(where, writer)
            writer = None
        if writer is None:
            writer = self._begin(where)
        self._num_waiting -= len(group.events)
        self._open[where] = writer  # newest last: the one used longest ago is closed when there are too many
        writer.write(group)
        if len(self._open) > MAX_OPEN_PARTS:
            oldest = next(iter(self._open))
            self._finish(oldest, self._open.pop(oldest))

    def _begin(self, where: _Where) -> PartWriter:
        key, channel, date = where
        instrument = self._instruments[key]
        aside = f"{self._folder}/{self._num_paths:05d}.parquet"
        place = f"{part_folder(instrument, channel, date)}/{self._key[:16]}-{self._num_paths:05d}.parquet"
        self._num_paths += 1
        self._paths[where] = (aside, place)
        return PartWriter(self._files, aside, instrument)

    def _finish(self, where: _Where, writer: PartWriter) -> None:
        key, channel, date = where
        aside, place = self._paths.pop(where)
        instrument = self._instruments[key]
        part = Part(
            path=place,
            venue=instrument.venue.label,
            symbol=instrument.symbol,
            channel=channel,
            date=date,
            rows=writer.rows,
            bytes=writer.close(),
            first=writer.first,
            last=writer.last,
        )
        self._sync(aside)
        self._parts.append((aside, part))

    def commit(
        self,
        *,
        num_lines: int = 0,
        quarantined: Mapping[str, int] | None = None,
        ignored: Mapping[str, int] | None = None,
        notes: tuple[str, ...] = (),
        quarantine: bytes = b"",
    ) -> Source:
        """Make everything written exist at once and return the manifest."""
        with self._refusals(self._name):
            for where in sorted(self._waiting):
                self._write_out(where)
            for where in sorted(self._open):
                self._finish(where, self._open.pop(where))
            former = [source for source in self._lake.sources() if source.content == self._content]
            source = Source(
                key=self._key,
                content=self._content,
                name=self._name,
                reader=self._reader,
                instruments=tuple(self._instruments[key] for key in sorted(self._instruments)),
                parts=tuple(part for _, part in self._parts),
                num_lines=num_lines,
                quarantined=dict(sorted((quarantined or {}).items())),
                ignored=dict(sorted((ignored or {}).items())),
                notes=notes,
            )
            for aside, part in self._parts:
                self._moved.append(part.path)
                self._move(aside, part.path)
            if quarantine:
                self._put_file(f"{QUARANTINE}/{self._name}-{self._key[:8]}.jsonl", quarantine)
            self._put_file(f"{MANIFESTS}/{self._content}.json", msgspec.json.encode(source))
            self._moved.clear()
            self._forget(former, source)
            self._clear()
        return source

    def _forget(self, former: list[Source], source: Source) -> None:
        kept = {part.path for part in source.parts}
        self._delete(sorted({part.path for one in former for part in one.parts} - kept))

    def _delete(self, paths: list[str]) -> None:
        for path in paths:
            if self._files.get_file_info(path).type != fs.FileType.NotFound:
                self._files.delete_file(path)

    def _put_file(self, place: str, content: bytes) -> None:
        aside = f"{self._folder}/{place.rpartition('/')[2]}"
        with self._files.open_output_stream(aside) as file:
            file.write(content)
        self._sync(aside)
        self._move(aside, place)

    def _move(self, aside: str, place: str) -> None:
        self._files.create_dir(place.rpartition("/")[0])
        self._files.move(aside, place)
        self._sync(place.rpartition("/")[0])

    # what a cloud store has taken is durable; a local disk must be told
    def _sync(self, path: str) -> None:
        if self._lake.local_path is None:
            return
        handle = os.open(self._lake.local_path / path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def abandon(self) -> None:
        """Leave nothing of an import that did not come to its end."""
        for writer in self._open.values():
            writer.abandon()
        self._open.clear()
        self._waiting.clear()
        try:
            self._delete(self._moved)
            self._clear()
        except OSError:
            return  # the next import of this content clears it

    def _clear(self) -> None:
        if self._files.get_file_info(self._folder).type != fs.FileType.NotFound:
            self._files.delete_dir(self._folder)

    @contextmanager
    def _refusals(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            raise StorageFailed(f"lake {self._lake.root}, {what}", reason) from error


def store(lake: Lake, name: str, pieces: Sequence[Piece], reader: str = "1") -> Source:
    """Bring events that are at hand into a lake as one source called `name`; the same pieces twice change nothing."""
    digest = hashlib.sha256()
    for instrument, channel, events, positions in pieces:
        digest.update(f"{instrument.key} {channel}".encode())
        digest.update(events.tobytes())
        digest.update(positions.tobytes())
    content = digest.hexdigest()
    known = [source for source in lake.sources() if source.content == content and source.reader == reader]
    if known:
        return known[0]
    with SourceWriter(lake, content=content, key=content, name=name, reader=reader) as writer:
        for piece in pieces:
            writer.write(*piece)
        return writer.commit()
