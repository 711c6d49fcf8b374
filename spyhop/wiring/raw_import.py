"""Raw recordings back to tapes: segments of raw frames, told again to the adapters that they were made through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from spyhop.errors import JournalDamaged, SpyhopError
from spyhop.model.instruments import Instrument
from spyhop.model.raw import Mark
from spyhop.model.tape import Events
from spyhop.storage import raw_frames
from spyhop.venues.endpoints import Endpoints
from spyhop.venues.files.chunks import MAX_ROWS_PER_LINE, Chunk, SetAside, by_channel
from spyhop.venues.params import FeedParams
from spyhop.venues.raw.replay import FeedReplay, RecordedAnswers, Told, replay
from spyhop.wiring.adapters import adapter_of


class RawSettings(msgspec.Struct, frozen=True):
    """What a recorder must say so that its records can be told again."""

    endpoints: Endpoints
    feeds: FeedParams


class RawReader:
    """Reads segments; best one after the other, because each goes on with the books of the one before.

    A segment whose predecessor was not read just now is read after it, in silence: the same chunks come either way as
    long as what a segment needs is no further back.
    """

    def __init__(self) -> None:
        self._feeds: dict[str, FeedReplay] = {}
        self._run = 0
        self._last: Path | None = None

    def chunks(self, path: Path) -> Iterator[Chunk]:
        """Yield the chunks of a segment; a line is a record. Raises JournalDamaged."""
        before = _before(path)
        if before is None or before != self._last:
            self._feeds.clear()
            self._run = 0
        if before is not None and before != self._last:
            for _ in self._told(before):
                pass
        yield from self._chunks(path)
        self._last = path

    def _chunks(self, path: Path) -> Iterator[Chunk]:
        for instrument, told in self._told(path):
            positions = told.number * MAX_ROWS_PER_LINE + np.arange(len(told.events), dtype=np.int64)
            yield from by_channel(
                _renumbered(told.events),
                positions,
                [instrument],
                first_line=told.number,
                last_line=told.number,
                quarantined=tuple(SetAside(*aside) for aside in told.set_aside),
                ignored=told.ignored,
            )

    def _told(self, path: Path) -> Iterator[tuple[Instrument, Told]]:
        records = raw_frames.read_frames(path)
        first = next(records, None)
        mark = raw_frames.mark_of(first) if first is not None else None
        if mark is None:
            return  # killed before it had anything
        self._open(path, mark)
        instruments = {instrument.key: instrument for instrument in mark.instruments}
        for told in replay(records, self._feeds):
            # the mark is the first record of the file
            yield instruments[told.feed], told._replace(number=told.number + 1)

    def _open(self, path: Path, mark: Mark) -> None:
        if mark.run == self._run and self._feeds:
            return
        try:
            settings = msgspec.convert(mark.settings, RawSettings)
        except msgspec.ValidationError as error:
            raise JournalDamaged(str(path), f"settings of another version: {error}") from error
        self._run = mark.run
        for instrument in mark.instruments:
            answers = RecordedAnswers()
            adapter = adapter_of(instrument, settings.endpoints, settings.feeds, answers)
            if instrument.key in self._feeds:
                self._feeds[instrument.key].renew(adapter, answers)
            else:
                self._feeds[instrument.key] = FeedReplay(adapter, answers)


def is_raw(path: Path) -> bool:
    """Return whether a file is a segment of raw frames; False when it cannot be read."""
    try:
        return raw_frames.is_raw(path)
    except (OSError, SpyhopError):
        return False


def _before(path: Path) -> Path | None:
    segments = raw_frames.segments(path.parent.parent)
    earlier = [segment for segment in segments if segment.name < path.name]
    return earlier[-1] if earlier else None


def _renumbered(events: Events) -> Events:
    events = events.copy()
    events["instrument"] = 0
    return events
