"""Live tapes into a lake: kept in a journal first, brought into the lake as one source a part.

    <journal>/lock                          held by the one recorder of this folder
    <journal>/<ns when it began>/           a part, one hour at most: instruments.json and the tapes of all feeds
    <journal>/<...>.done                    a part that is in the lake and is being deleted

A part is in the lake whole or not at all; its journal goes when it is. What a killed recorder left is brought in when
the next one starts, which marks on every tape, before the first event that follows, that events are missing and for how
long. TIMER rows are not kept.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from spyhop.clock import NS_PER_HOUR, iso_ms
from spyhop.errors import JournalDamaged, MissingInput, StorageFailed
from spyhop.model import tape
from spyhop.model.channels import CHANNELS, NO_CHANNEL, channels_of
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, Kind, Status
from spyhop.storage.files import replace_durably, sync_folder
from spyhop.storage.frames import make_folder
from spyhop.storage.journal import SessionTapes, read_tape, tape_streams
from spyhop.storage.lake import Lake, Source
from spyhop.storage.lake_writer import SourceWriter

log = logging.getLogger(__name__)

READER = "recorder 1"
_INSTRUMENTS = "instruments.json"
_DONE = ".done"


class TapeRecorder:
    """Keeps the tapes of `instruments`, by their keys. All methods belong to one thread; see `bring_in` for another.

    Opening brings into the lake what is left of a recorder that was killed. Raises StorageFailed when the disk refuses
    or another recorder has the folder, JournalDamaged for what was durable and is not there.
    """

    def __init__(self, lake: Lake, journal: Path, instruments: Sequence[Instrument], now_ns: int) -> None:
        self._lake, self._journal = lake, journal
        self._instruments = {instrument.key: instrument for instrument in instruments}
        self._waiting: dict[str, list[Events]] = {key: [] for key in self._instruments}
        self._lock = _locked(journal)
        try:
            self.num_brought_in = sum(bring_in(lake, part) is not None for part in _parts(journal))
            self.last = {key: _last(lake, key) for key in self._instruments}
            """Receive time of the last event on each tape, 0 before any."""
            self._before = dict(self.last)
            self._unmarked = {key for key, last in self.last.items() if last}
            self._part, self._tapes = self._begin(now_ns)
        except BaseException:
            os.close(self._lock)
            raise

    def _begin(self, now_ns: int) -> tuple[Path, SessionTapes]:
        folder = self._journal / f"{now_ns:019d}"
        try:
            make_folder(folder)
        except OSError as error:
            raise StorageFailed(str(folder), error.strerror or str(error)) from error
        replace_durably(folder / _INSTRUMENTS, msgspec.json.encode(list(self._instruments.values())))
        self._hour = now_ns // NS_PER_HOUR
        return folder, SessionTapes(folder)

    def tail(self, key: str, span_ns: int) -> list[Events]:
        """Return the last `span_ns` of what was recorded before this recorder began, for a feed that goes on."""
        last = self._before[key]
        if not last:
            return []
        return list(self._lake.scan(key, last - span_ns, last + 1, instrument=self._instruments[key].id))

    def append(self, key: str, events: Events) -> None:
        """Take events in order; on the disk and durable after the next `flush`."""
        kept = events[channels_of(events) != NO_CHANNEL]
        if len(kept):
            if key in self._unmarked:
                kept = self._with_gap(key, kept)
            self._waiting[key].append(kept)
            self.last[key] = int(kept["ts_recv"][-1])

    # a feed that goes on says itself that events are missing, though not for how long
    def _with_gap(self, key: str, events: Events) -> Events:
        is_gap = (events["kind"] == Kind.STATUS) & (events["aux"] == Status.GAP)
        if not is_gap.any():
            if events["kind"][0] == Kind.STATUS:
                return events
            instrument, ts = self._instruments[key], int(events["ts_recv"][0])
            gap = tape.event(Kind.STATUS, ts, venue=instrument.venue, instrument=instrument.id, aux=Status.GAP)
            events, is_gap = tape.joined([gap, events]), np.ones(1, np.bool_)
        place = int(np.argmax(is_gap))
        ts, last = int(events["ts_recv"][place]), self._before[key]
        events["aux2"][place] = max(0, ts - last)
        self._unmarked.remove(key)
        log.warning("%s: nothing was recorded between %s and %s", key, iso_ms(last), iso_ms(ts))
        return events

    def flush(self) -> None:
        """Make everything appended durable."""
        for key, batches in self._waiting.items():
            if batches:
                self._tapes.append(key, tape.joined(batches))
                batches.clear()
        self._tapes.flush()

    def next_part(self, now_ns: int) -> Path | None:
        """Begin a new part when the hour is over; return the old one, which is to be brought in, or None."""
        if now_ns // NS_PER_HOUR == self._hour:
            return None
        self.flush()
        self._tapes.close()
        done = self._part
        self._part, self._tapes = self._begin(now_ns)
        return done

    def close(self) -> None:
        """Bring everything into the lake that is not yet there and let the folder go."""
        try:
            self.flush()
            self._tapes.close()
            for part in _parts(self._journal):
                bring_in(self._lake, part)
        finally:
            os.close(self._lock)


def bring_in(lake: Lake, part: Path) -> Source | None:
    """Bring one part of a journal into the lake and remove it; None when it held nothing.

    Safe to repeat after a kill at any moment: the same rows are the same source. May run in a thread of its own.
    """
    try:
        instruments = {one.key: one for one in msgspec.json.decode(_described(part), type=list[Instrument])}
    except msgspec.DecodeError as error:
        raise JournalDamaged(str(part / _INSTRUMENTS), str(error)) from error
    streams = [key for key in tape_streams(part) if _has_rows(part, key)]
    source = _stored(lake, part, streams, instruments) if streams else None
    try:
        # half of a part would be another source, so it goes at once
        done = part.rename(part.with_name(part.name + _DONE))
        sync_folder(part.parent)
        shutil.rmtree(done)
    except OSError as error:
        raise StorageFailed(str(part), error.strerror or str(error)) from error
    return source


def _described(part: Path) -> bytes:
    path = part / _INSTRUMENTS
    return path.read_bytes() if path.exists() else b"[]"  # killed before it had anything


def _stored(lake: Lake, part: Path, streams: list[str], instruments: dict[str, Instrument]) -> Source:
    digest = hashlib.sha256(part.name.encode())
    for key in streams:
        digest.update(key.encode())
        for events in read_tape(part, key):
            digest.update(events.tobytes())
    content = digest.hexdigest()
    known = [source for source in lake.sources() if source.content == content]
    if known:
        return known[0]
    name = f"recorded-{iso_ms(int(part.name))}".replace(":", "")
    with SourceWriter(lake, content=content, key=content, name=name, reader=READER) as writer:
        for key in streams:
            number = 0
            for events in _blocks(part, key):
                positions = np.arange(number, number + len(events), dtype=np.int64)
                number += len(events)
                channels = channels_of(events)
                for channel in np.unique(channels).tolist():
                    where = channels == channel
                    writer.write(instruments[key], CHANNELS[channel], events[where], positions[where])
        return writer.commit()


def _blocks(part: Path, key: str, min_rows: int = 1 << 16) -> Iterator[Events]:
    waiting: list[Events] = []
    num_rows = 0
    for events in read_tape(part, key):
        waiting.append(events)
        num_rows += len(events)
        if num_rows >= min_rows:
            yield tape.joined(waiting)
            waiting, num_rows = [], 0
    if waiting:
        yield tape.joined(waiting)


def _has_rows(part: Path, key: str) -> bool:
    try:
        return any(len(events) for events in read_tape(part, key))
    except MissingInput:
        return False


def _parts(journal: Path) -> list[Path]:
    folders = sorted(path for path in journal.iterdir() if path.is_dir())
    for path in folders:
        if path.suffix == _DONE:
            shutil.rmtree(path)
    return [path for path in folders if path.suffix != _DONE]


def _last(lake: Lake, key: str) -> int:
    return max((part.last for _, _, part in lake.parts(key)), default=0)


def _locked(journal: Path) -> int:
    try:
        make_folder(journal)
        lock = os.open(journal / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StorageFailed(str(journal), error.strerror or str(error)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise StorageFailed(str(journal), "another recorder is writing to it") from error
    return lock
