"""Edges between nodes that may die: nothing is lost and nothing counts twice.

The sender numbers its parcels and keeps each until the receiver says that its effect is durable. The receiver takes
them in order, ignores repeats, and answers with the number it wants next and the number up to which it is durable.
A receiver that came back from an older checkpoint simply wants an older number; a sender that came back makes the
same parcels again, because stages are deterministic.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import msgspec

from spyhop.errors import StateError

P = TypeVar("P")


class Receipt(msgspec.Struct, frozen=True):
    """The receiver's answer: parcels below `durable` need not be kept, `wanted` is the next to send."""

    wanted: int
    durable: int


class Outbox(Generic[P]):
    """Numbered parcels on their way to one receiver, at most `limit` kept."""

    def __init__(self, limit: int = 256) -> None:
        self.limit = limit
        self.first = 0  # number of the oldest parcel kept
        self.next = 0  # number that the next parcel gets
        self.cursor = 0  # number of the next parcel to send
        self._kept: deque[P] = deque()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def is_full(self) -> bool:
        """Say whether the sender must wait before it makes more."""
        return len(self._kept) >= self.limit

    @property
    def is_sent(self) -> bool:
        """Say whether everything kept has been sent at least once and none was asked for again."""
        return self.cursor >= self.next

    def put(self, parcel: P) -> int:
        """Keep a parcel and return its number."""
        self._kept.append(parcel)
        self.next += 1
        return self.next - 1

    def unsent(self) -> tuple[int, P] | None:
        """Return the parcel to send now with its number, or None."""
        if self.cursor >= self.next:
            return None
        return self.cursor, self._kept[self.cursor - self.first]

    def acknowledge(self, receipt: Receipt) -> None:
        """Forget what is durable there and move to what is wanted; raise StateError if that is gone."""
        while self.first < min(receipt.durable, self.next):
            self._kept.popleft()
            self.first += 1
        if receipt.wanted < self.first:
            raise StateError(f"receiver wants parcel {receipt.wanted}, the oldest kept is {self.first}")
        self.cursor = min(receipt.wanted, self.next)

    def snapshot(self) -> tuple[int, list[P]]:
        """Return the number of the oldest parcel kept and the parcels."""
        return self.first, list(self._kept)

    def restore(self, first: int, parcels: list[P]) -> None:
        """Take the state that `snapshot` described; everything kept will be offered again."""
        self.first, self.cursor = first, first
        self._kept = deque(parcels)
        self.next = first + len(parcels)


class Inlet:
    """The receiving end of one edge."""

    def __init__(self) -> None:
        self.wanted = 0
        self.durable = 0

    def accepts(self, number: int) -> bool:
        """Say whether this parcel is the one wanted; repeats and parcels too early are not."""
        if number != self.wanted:
            return False
        self.wanted += 1
        return True

    def checkpointed(self) -> None:
        """Note that the effect of everything accepted is durable."""
        self.durable = self.wanted

    @property
    def receipt(self) -> Receipt:
        return Receipt(self.wanted, self.durable)
