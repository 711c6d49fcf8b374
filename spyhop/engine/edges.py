"""Edges between nodes that may die: nothing is lost and nothing counts twice.

A stream is a sequence of messages, and how it was cut into parcels is an accident: a sender that came back from its
checkpoint makes the same messages again, because stages are deterministic, but its inputs arrive in another rhythm, so
it cuts them elsewhere. Both ends therefore count messages, never parcels. The sender keeps each parcel until the
receiver says that its effect is durable; the receiver takes from a parcel what it has not seen, and answers with the
position it wants next and the position up to which it is durable. A receiver that came back from an older checkpoint
simply wants an older position.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from spyhop.errors import StateError


class Position(msgspec.Struct, frozen=True):
    """How far a stream is: so many messages, and every one before event time `watermark` is among them."""

    count: int = 0
    watermark: int = 0

    def lower(self, other: Position) -> Position:
        """Return how far both are."""
        return Position(min(self.count, other.count), min(self.watermark, other.watermark))

    def covers(self, parcel: Parcel) -> bool:
        """Say whether `parcel` says nothing that is not known here."""
        return parcel.end <= self.count and parcel.watermark <= self.watermark


class Parcel(msgspec.Struct, frozen=True):
    """Messages `first` to `end` of a stream and the promise behind them; to leave once `after` records are durable."""

    first: int
    end: int
    watermark: int
    data: bytes
    after: int = 0


class Receipt(msgspec.Struct, frozen=True):
    """The receiver's answer: what `durable` covers need not be kept, what `wanted` does not is to be sent.

    `is_over` tells the sender that another life has taken its place.
    """

    wanted: Position
    durable: Position
    is_over: bool = False

    @classmethod
    def of_records(cls, number: int) -> Receipt:
        """Return the answer of a keeper that knows repeats by their keys: the `number`-th parcel is durable."""
        position = Position(number + 1)
        return cls(position, position)

    @classmethod
    def of_nobody(cls) -> Receipt:
        """Return the answer to a sender whose place another life has taken."""
        return cls(Position(), Position(), is_over=True)


class Outbox:
    """Parcels on their way to one receiver, at most `limit` kept."""

    def __init__(self, limit: int = 256) -> None:
        self.limit = limit
        self.first = 0  # the oldest message kept
        self.next = 0  # the number that the next message gets
        self.heard = 0  # the newest promise that the receiver is known to have had, in whatever life it was made
        self._kept: deque[Parcel] = deque()
        self._num_sent = 0  # how many of those kept need not be sent now

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def is_full(self) -> bool:
        """Say whether the sender must wait before it makes more."""
        return len(self._kept) >= self.limit

    @property
    def is_sent(self) -> bool:
        """Say whether everything kept has been sent at least once and none was asked for again."""
        return self._num_sent >= len(self._kept)

    def put(self, data: bytes, count: int, watermark: int = 0, after: int = 0) -> None:
        """Keep a parcel of the next `count` messages.

        A promise says nothing that this parcel does not: it takes its place, so that an edge has one promise to carry,
        the newest. One that waits and may leave earlier than this parcel stays; one that was sent has done its work.
        """
        last = self._kept[-1] if self._kept else None
        is_promise = last is not None and last.first == last.end and last.watermark <= watermark
        if last is not None and is_promise and (self.is_sent or last.after == after):
            self._num_sent -= self.is_sent
            self._kept.pop()
        self._kept.append(Parcel(self.next, self.next + count, watermark, data, after))
        self.next += count

    def unsent(self) -> Parcel | None:
        """Return the parcel to send now, or None."""
        return None if self.is_sent else self._kept[self._num_sent]

    def rewind(self) -> None:
        """Offer everything kept again: a receiver that came back older cannot ask for what it had."""
        self._num_sent = 0

    def acknowledge(self, receipt: Receipt) -> None:
        """Forget what is durable there and move to what is wanted; raise StateError if that is gone."""
        kept, self.heard = self._kept, max(self.heard, receipt.wanted.watermark)
        while kept and receipt.durable.covers(kept[0]):
            self.first = kept.popleft().end
            self._num_sent -= 1
        if receipt.wanted.count < self.first:
            raise StateError(f"receiver wants message {receipt.wanted.count}, the oldest kept is {self.first}")
        self._num_sent = max(0, self._num_sent)
        while self._num_sent and not receipt.wanted.covers(kept[self._num_sent - 1]):
            self._num_sent -= 1
        while self._num_sent < len(kept) and receipt.wanted.covers(kept[self._num_sent]):
            self._num_sent += 1

    def snapshot(self) -> tuple[int, list[Parcel]]:
        """Return the number of the next message and the parcels kept."""
        return self.next, list(self._kept)

    def restore(self, next_: int, parcels: Sequence[Parcel]) -> None:
        """Take the state that `snapshot` described; everything kept will be offered again."""
        self._kept, self._num_sent, self.next = deque(parcels), 0, next_
        self.first = parcels[0].first if parcels else next_


class Inlet:
    """The receiving end of one edge."""

    def __init__(self) -> None:
        self.wanted = Position()
        self.durable = Position()

    def accept(self, first: int, count: int, watermark: int) -> int | None:
        """Return how many of a parcel's messages are known already; None if it says nothing new or comes too early."""
        known = self.wanted
        if first > known.count or (first + count <= known.count and watermark <= known.watermark):
            return None
        self.wanted = Position(max(known.count, first + count), max(known.watermark, watermark))
        return min(count, known.count - first)

    def checkpointed(self) -> None:
        """Note that the effect of everything accepted is durable."""
        self.durable = self.wanted

    def restore(self, position: Position) -> None:
        """Take the position of a checkpoint."""
        self.wanted = self.durable = position

    @property
    def receipt(self) -> Receipt:
        return Receipt(self.wanted, self.durable)
