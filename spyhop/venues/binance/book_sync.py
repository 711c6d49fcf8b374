"""Whether the consumer of a tape can keep Binance's book, so that a snapshot is fetched when it cannot.

Follows the rules of `market.sequence` over the ids of frames alone: the same frames are kept aside, the same breaks
seen, the same snapshots found too old. Several connections may tell the same frames: what is held is passed over.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_FRAMES = 1 << 10
MAX_LEVELS = 1 << 14


class DepthFrame(NamedTuple):
    """The ids of one diff; `previous` is -1 on spot."""

    last: int  # u
    first: int  # U
    previous: int  # pu
    num_levels: int


class BookSync:
    """Synced with the frame `last_id`, or waiting for a snapshot with frames kept aside."""

    def __init__(self) -> None:
        self.is_synced = False
        self.last_id = 0
        self.num_gaps = 0
        self.num_stale_snapshots = 0
        self._is_doubtful = False  # a snapshot was older than the book when it was asked for
        self._is_first = False  # no diff has been played over the snapshot yet
        self._kept: list[DepthFrame] = []
        self._num_kept_levels = 0

    @property
    def needs_snapshot(self) -> bool:
        """Say whether diffs have come that no snapshot fits, or that a consumer may not have fitted to the last one."""
        return self._is_doubtful or (not self.is_synced and bool(self._kept))

    def lose(self) -> None:
        """Forget everything: frames may be missing from here on."""
        self.is_synced = self._is_doubtful = False
        self._forget_kept()

    def on_frame(self, frame: DepthFrame) -> None:
        """Take the next diff as it goes on the tape."""
        if self.is_synced:
            if self._is_held(frame):
                return
            if self._continues(frame):
                self.last_id = frame.last
                self._is_first = False
                return
            self.num_gaps += 1
            self.is_synced = False
            self._forget_kept()
        self._keep(frame)

    def on_snapshot(self, snapshot_id: int, known: int = 0) -> None:
        """Take a snapshot as it goes on the tape; it may prove too old for the frames kept aside.

        `known` is `last_id` when it was asked for, 0 without a book. Whoever asks for one in spite of a book has
        consumers that lost theirs, and an older one would not fit the diffs that these have kept since.
        """
        self._is_doubtful = snapshot_id < known
        if self._is_doubtful:
            self.num_stale_snapshots += 1
        if self.is_synced and snapshot_id < self.last_id:
            return
        self.last_id, self._is_first, self.is_synced = snapshot_id, True, True
        for frame in self._kept:
            if self._is_held(frame):
                continue
            if not self._continues(frame):
                self.num_stale_snapshots += 1
                self.is_synced = False
                return
            self.last_id, self._is_first = frame.last, False
        self._forget_kept()

    def _is_held(self, frame: DepthFrame) -> bool:
        if frame.last == self.last_id:
            return not self._is_first or frame.previous < 0
        return frame.last < self.last_id

    def _continues(self, frame: DepthFrame) -> bool:
        if frame.previous >= 0:
            is_next, wanted = frame.previous == self.last_id, self.last_id
        else:
            is_next, wanted = frame.first == self.last_id + 1, self.last_id + 1
        return is_next or (self._is_first and frame.first <= wanted <= frame.last)

    def _keep(self, frame: DepthFrame) -> None:
        if self._kept:
            newest = self._kept[-1].last
            if frame.last <= newest:
                return
            if frame.previous != newest if frame.previous >= 0 else frame.first != newest + 1:
                self._forget_kept()
        if len(self._kept) == MAX_FRAMES:
            self._forget_kept()
        if self._num_kept_levels + frame.num_levels > MAX_LEVELS:
            self._forget_kept()  # a consumer without room drops the frame as well
            return
        self._kept.append(frame)
        self._num_kept_levels += frame.num_levels

    def _forget_kept(self) -> None:
        self._kept.clear()
        self._num_kept_levels = 0
