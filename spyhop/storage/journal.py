"""The journal of a session: its head, the tape that each feed consumed, and everything that the stages said.

    runs/<session id>/session.json               the head
                      tape/<stream>/<n>.tape     events, in segments named by the number of their first event
                      facts.log                  entries, one a line of JSON, in frames of one append each
                      ended                      there once the session has said everything

Both kinds of files are made of checked frames (`spyhop.storage.frames`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote, unquote

import msgspec
import numpy as np

from spyhop.errors import JournalDamaged, MissingInput, StateError, StorageFailed
from spyhop.model.control import Session
from spyhop.model.entries import Entry
from spyhop.model.tape import EVENT, Events, Kind, Status
from spyhop.storage.files import replace_durably
from spyhop.storage.frames import FrameReader, FrameWriter, make_folder

LATEST = "latest"
ENDED = "ended"
SEGMENT_BYTES = 64 << 20

_TAPE_HEAD = b"#spyhop tape 1\n"
_FACTS_HEAD = b"#spyhop facts 1\n"
_ENTRY = msgspec.json.Decoder(Entry)


def write_session(folder: Path, session: Session) -> None:
    """Write a session's head durably; raise StorageFailed."""
    try:
        make_folder(folder)
    except OSError as error:
        raise StorageFailed(str(folder), error.strerror or str(error)) from error
    replace_durably(folder / "session.json", msgspec.json.format(msgspec.json.encode(session)) + b"\n")


def read_session(folder: Path) -> Session:
    """Return a session's head; raise MissingInput or JournalDamaged."""
    path = folder / "session.json"
    if not path.exists():
        raise MissingInput(f"there is no session in {folder}")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Session)
    except (msgspec.DecodeError, OSError) as error:
        raise JournalDamaged(str(path), str(error)) from error


def mark_ended(folder: Path) -> None:
    """Note durably that a session has said everything; without the mark it was cut off."""
    replace_durably(folder / ENDED, b"")


def is_ended(folder: Path) -> bool:
    """Say whether a session came to its end."""
    return (folder / ENDED).exists()


def sessions(runs: Path) -> list[str]:
    """Return the ids of all sessions in `runs`, oldest first."""
    return sorted(path.parent.name for path in runs.glob("*/session.json"))


def latest(runs: Path) -> Path:
    """Return the folder of the newest session; raise MissingInput when there is none."""
    known = sessions(runs)
    if not known:
        raise MissingInput(f"there is no session in {runs} yet")
    return runs / known[-1]


def find_session(runs: Path, name: str) -> Path:
    """Return the folder of the session called `name`, `latest` for the newest; raise MissingInput."""
    if name == LATEST:
        return latest(runs)
    if name not in sessions(runs):
        newest = ", ".join(reversed(sessions(runs)[-3:])) or "none"
        raise MissingInput(f"there is no session {name!r} in {runs}; the newest are: {newest}")
    return runs / name


class TapeWriter:
    """Keeps the tape of one stream. Opening one that is there goes on after its last whole frame.

    `num_events` counts what is kept, `num_bytes_cut` the torn tail that was cut. Raises StorageFailed, and
    JournalDamaged on opening.
    """

    def __init__(self, folder: Path, stream: str, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._session, self._stream, self._segment_bytes = folder, stream, segment_bytes
        self._folder = _tape_folder(folder, stream)
        segments = _segments(self._folder)
        self.num_events = _first_event(segments[-1]) if segments else 0
        self._segment = self._opened(segments[-1] if segments else self._segment_path())
        self.num_bytes_cut = self._segment.num_bytes_cut

    def _segment_path(self) -> Path:
        return self._folder / f"{self.num_events:015d}.tape"

    def _opened(self, path: Path) -> FrameWriter:
        def count(payload: bytes) -> None:
            self.num_events += len(_events(path, payload))

        return FrameWriter(path, _TAPE_HEAD, count)

    def append(self, events: Events, at: int | None = None) -> None:
        """Add events; durable after the next `flush`.

        `at` is the number of the first of them in the stream, for a feed that came back from a checkpoint and makes
        the same events again: those that are kept already must be equal to the bit and change nothing. Raises
        StateError when they differ or when events before `at` are missing.
        """
        if at is not None:
            events = self._new(events, at)
        if not len(events):
            return
        if self._segment.end >= self._segment_bytes:
            self._segment.flush()
            self._segment.close()
            self._segment = self._opened(self._segment_path())
        self._segment.append(events.astype(EVENT, copy=False).tobytes())
        self.num_events += len(events)

    def _new(self, events: Events, at: int) -> Events:
        if at > self.num_events:
            raise StateError(f"tape {self._stream}: event {at} offered, {self.num_events} kept")
        known = min(self.num_events - at, len(events))
        if known == 0:
            return events
        done = 0
        for kept in read_tape(self._session, self._stream, start=at):
            part = kept[: known - done]
            others = np.flatnonzero(part != events[done : done + len(part)])
            if len(others):
                raise StateError(f"tape {self._stream}: a restarted feed differs at event {at + done + others[0]}")
            done += len(part)
            if done == known:
                break
        return events[known:]

    def flush(self) -> None:
        """Make everything appended durable."""
        self._segment.flush()

    def close(self) -> None:
        """Flush and let the files go."""
        self._segment.flush()
        self._segment.close()


class SessionTapes:
    """The tapes of all feeds of one session; a TapeKeeper."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, TapeWriter] = {}

    def append(self, feed: str, events: Events, at: int | None = None) -> None:
        """Take events of a feed; durable after the next `flush`. For `at` see TapeWriter."""
        self._writer(feed).append(events, at)

    def _writer(self, feed: str) -> TapeWriter:
        if feed not in self._writers:
            self._writers[feed] = TapeWriter(self._folder, feed)
        return self._writers[feed]

    def num_before_end(self, feed: str) -> int:
        """Return how many events of a feed are kept, the SESSION_END that closes it not counted."""
        count = self._writer(feed).num_events
        last = next(read_tape(self._folder, feed, count - 1), None) if count else None
        is_ended = last is not None and last[-1]["kind"] == Kind.STATUS and last[-1]["aux"] == Status.SESSION_END
        return count - 1 if is_ended else count

    def flush(self) -> None:
        """Make everything appended durable."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Flush and let the files go."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()


def tape_streams(folder: Path) -> list[str]:
    """Return the names of a session's tapes, sorted."""
    return sorted(unquote(path.name) for path in (folder / "tape").glob("*") if path.is_dir())


def read_tape(folder: Path, stream: str, start: int = 0) -> Iterator[Events]:
    """Yield a stream's events from number `start` on, in the batches they were kept in, up to any torn tail.

    Raises MissingInput when there is no such tape, JournalDamaged when durable events cannot be read.
    """
    segments = _segments(_tape_folder(folder, stream))
    if not segments:
        known = ", ".join(tape_streams(folder)) or "none"
        raise MissingInput(f"there is no tape {stream!r} in {folder}; there are: {known}")
    firsts = [_first_event(segment) for segment in segments]
    begin = max((i for i, first in enumerate(firsts) if first <= start), default=0)
    number = firsts[begin]
    for segment, first in zip(segments[begin:], firsts[begin:], strict=True):
        if first != number:
            raise JournalDamaged(str(segment), f"begins with event {first} where {number} should follow")
        for payload in FrameReader(segment, _TAPE_HEAD):
            events = _events(segment, payload)
            number += len(events)
            if number > start:
                yield events[max(0, start - (number - len(events))) :]


def _tape_folder(folder: Path, stream: str) -> Path:
    return folder / "tape" / quote(stream, safe=":@-_ ")


def _segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.tape"))


def _first_event(segment: Path) -> int:
    if not segment.stem.isdigit():
        raise JournalDamaged(str(segment), "is not named by the number of its first event")
    return int(segment.stem)


def _events(path: Path, payload: bytes) -> Events:
    if len(payload) % EVENT.itemsize:
        raise JournalDamaged(str(path), f"{len(payload)} bytes are not whole events")
    # a copy, because kernels are compiled for arrays that can be written and would be again for others
    return np.frombuffer(payload, EVENT).copy()


class FactWriter:
    """Keeps entries; a repeat, known by its key (stage, seq), changes nothing. Raises StorageFailed.

    The entries of one `append` are one frame: after a crash all of them are there or none. After a failure the next
    `append` opens the file anew. `num_bytes_cut` is the torn tail that was cut on opening.
    """

    def __init__(self, folder: Path) -> None:
        self._keys = _Keys()
        self._path = folder / "facts.log"
        self._file = FrameWriter(self._path, _FACTS_HEAD, self._remember)
        self.num_bytes_cut = self._file.num_bytes_cut
        self._durable = self._file.end
        self._has_failed = self._is_closed = False

    def _reopen(self) -> None:
        self._file.close()
        try:
            # what was not acknowledged goes: after a failed flush the cache may show what the disk does not hold
            os.truncate(self._path, self._durable)
        except OSError as error:
            raise StorageFailed(str(self._path), error.strerror or str(error)) from error
        self._file = FrameWriter(self._path, _FACTS_HEAD, self._remember)
        self._has_failed = False

    def _remember(self, payload: bytes) -> None:
        for entry in _entries(self._path, payload):
            self._keys.add(entry.stage, entry.seq)

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep the entries that are new; durable when this returns.

        Raises StateError, and keeps none of them, when one holds a number that is not finite.
        """
        new = {(entry.stage, entry.seq): entry for entry in reversed(entries)}
        lines = [_line(new[key]) for key in sorted(new) if not self._keys.has(*key)]
        if not lines:
            return
        if self._has_failed:
            self._reopen()
        try:
            self._file.append(b"".join(lines))
            self._file.flush()
        except StorageFailed:
            self._has_failed = not self._is_closed
            raise
        self._durable = self._file.end
        for stage, seq in new:
            self._keys.add(stage, seq)

    def committed(self, stage: str) -> int:
        """Return how many entries of `stage` are kept."""
        return self._keys.count(stage)

    def close(self) -> None:
        """Let the file go; everything in it is durable already."""
        self._is_closed = True
        self._file.close()


class _Keys:
    """Which (stage, seq) are known; stages count from 0, so nearly all of them are one number."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}
        self._early: dict[str, set[int]] = {}

    def has(self, stage: str, seq: int) -> bool:
        return seq < self._next.get(stage, 0) or seq in self._early.get(stage, ())

    def add(self, stage: str, seq: int) -> None:
        if self.has(stage, seq):
            return
        early = self._early.setdefault(stage, set())
        early.add(seq)
        following = self._next.get(stage, 0)
        while following in early:
            early.remove(following)
            following += 1
        self._next[stage] = following

    def count(self, stage: str) -> int:
        return self._next.get(stage, 0) + len(self._early.get(stage, ()))


def _line(entry: Entry) -> bytes:
    line = msgspec.json.encode(entry)
    if b"null" in line:
        try:
            _ENTRY.decode(line)
        except msgspec.ValidationError as error:
            raise StateError(f"entry {entry.stage} {entry.seq} holds a number that is not finite: {error}") from error
    return line + b"\n"


def _entries(path: Path, payload: bytes) -> list[Entry]:
    try:
        return [_ENTRY.decode(line) for line in payload.splitlines()]
    except msgspec.DecodeError as error:
        raise JournalDamaged(str(path), str(error)) from error


def read_facts(folder: Path) -> list[Entry]:
    """Return all entries of a session in canonical order (ts, stage, seq), up to any torn tail.

    An absent file means that nothing was said. Raises JournalDamaged when durable entries cannot be read.
    """
    path = folder / "facts.log"
    if not path.exists():
        return []
    entries = [entry for payload in FrameReader(path, _FACTS_HEAD) for entry in _entries(path, payload)]
    return sorted(entries, key=lambda entry: entry.order)
