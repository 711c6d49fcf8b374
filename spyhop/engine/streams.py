"""Streams with watermarks: why the result does not depend on which process was faster.

A message carries its event time; a watermark W is the sender's promise that every message with ts < W has been
sent. A consumer takes what lies below the watermark it waits for, in order of time, so it sees the same sequence
however its inputs were cut or delayed (a Kahn network).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

import msgspec
import numpy as np

from spyhop.errors import OutOfOrder
from spyhop.model import tape
from spyhop.model.rows import ROW, Rows
from spyhop.model.tape import EVENT, Events

END_OF_TIME = 2**63 - 1


class Timed(Protocol):
    """A message that knows its event time."""

    @property
    def ts(self) -> int: ...


M = TypeVar("M", bound=Timed)


class MessageStream(Generic[M]):
    """Messages of one sender, in order of time, behind its watermark."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.watermark = 0
        self._queue: deque[M] = deque()

    def put(self, messages: Iterable[M], watermark: int) -> None:
        """Append messages and move the watermark; raise OutOfOrder if a promise is broken."""
        for message in messages:
            if message.ts < self.watermark:
                raise OutOfOrder(self.name, self.watermark, message.ts)
            self._queue.append(message)
        self.watermark = max(self.watermark, watermark)

    def take_before(self, ts: int) -> list[M]:
        """Remove and return what lies before `ts`, which the watermark must have reached."""
        taken = []
        while self._queue and self._queue[0].ts < ts:
            taken.append(self._queue.popleft())
        return taken

    def peek(self) -> M | None:
        """Return the oldest message without removing it."""
        return self._queue[0] if self._queue else None

    def pop(self) -> M:
        """Remove and return the oldest message."""
        return self._queue.popleft()

    def __len__(self) -> int:
        return len(self._queue)

    def pending(self) -> list[M]:
        """Return what has not been taken, oldest first."""
        return list(self._queue)

    def restore(self, messages: Sequence[M], watermark: int) -> None:
        """Take the state that `pending` and `watermark` describe."""
        self._queue = deque(messages)
        self.watermark = watermark


class ArrayStreams:
    """Arrays of several senders merged by (time, instrument, position) behind the lowest watermark.

    `dtype` is EVENT or ROW, `time` the name of its time column; of one instant the instruments `first` come first.
    """

    def __init__(self, senders: Iterable[str], dtype: np.dtype[np.void], time: str, first: Iterable[int] = ()) -> None:
        self._dtype, self._time, self._first = dtype, time, sorted(first)
        self._arrays: dict[str, list[Events]] = {sender: [] for sender in senders}
        self._watermarks = dict.fromkeys(self._arrays, 0)

    @classmethod
    def of_events(cls, senders: Iterable[str]) -> ArrayStreams:
        return cls(senders, EVENT, "ts_recv")

    @classmethod
    def of_rows(cls, senders: Iterable[str], first: Iterable[int] = ()) -> ArrayStreams:
        return cls(senders, ROW, "ts", first)

    @property
    def watermark(self) -> int:
        """Return the time below which every sender has sent everything."""
        return min(self._watermarks.values())

    @property
    def watermarks(self) -> Mapping[str, int]:
        return self._watermarks

    @property
    def buffered(self) -> int:
        """Return how many elements wait."""
        return sum(len(array) for arrays in self._arrays.values() for array in arrays)

    def is_ahead(self, sender: str, limit: int) -> bool:
        """Say whether `sender` has more than `limit` elements waiting for slower ones; the slowest never is."""
        waiting = sum(len(array) for array in self._arrays[sender])
        return waiting > limit and self._watermarks[sender] > self.watermark

    def put(self, sender: str, array: Events | Rows, watermark: int) -> None:
        """Append an array that is in order of time; raise OutOfOrder if a promise is broken."""
        if len(array):
            first = int(array[self._time][0])
            if first < self._watermarks[sender]:
                raise OutOfOrder(sender, self._watermarks[sender], first)
            self._arrays[sender].append(array)
        self._watermarks[sender] = max(self._watermarks[sender], watermark)

    def take_before(self, ts: int) -> Events:
        """Remove and return everything before `ts`, merged."""
        taken: list[Events] = []
        for arrays in self._arrays.values():
            while arrays:
                head = arrays[0]
                cut = int(np.searchsorted(head[self._time], ts, side="left"))
                if cut:
                    taken.append(head[:cut])
                if cut < len(head):
                    arrays[0] = head[cut:]
                    break
                arrays.pop(0)
        if not taken:
            return np.zeros(0, self._dtype)
        if len(taken) == 1:
            return taken[0]
        rows = tape.joined(taken)
        keys = [np.arange(len(rows)), rows["instrument"], rows[self._time]]
        if self._first:
            keys.insert(2, ~np.isin(rows["instrument"], self._first))
        return rows[np.lexsort(keys)]

    def snapshot(self) -> bytes:
        """Return what waits, as bytes."""
        return msgspec.msgpack.encode(
            [
                (sender, self._watermarks[sender], tape.joined(arrays).tobytes() if arrays else b"")
                for sender, arrays in self._arrays.items()
            ]
        )

    def restore(self, snapshot: bytes) -> None:
        """Take the state of `snapshot`."""
        for sender, watermark, data in msgspec.msgpack.decode(snapshot, type=list[tuple[str, int, bytes]]):
            self._watermarks[sender] = watermark
            self._arrays[sender] = [np.frombuffer(data, self._dtype).copy()] if data else []
