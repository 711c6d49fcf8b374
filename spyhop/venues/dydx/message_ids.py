"""The message ids of one connection: what is new, late or repeated, and when one that never came is a gap.

The indexer counts one up for each message of a connection, but takes the id of a `subscribed` when the subscription is
asked for and sends it when its REST answer is there. Other messages with higher ids overtake it. So a missing id is
a gap only when it stays away: longer than the answer to a subscription may take while there are as many unanswered
as ids missing, otherwise for `PATIENCE_FRAMES` messages or `PATIENCE_NS`, whichever is over first.
"""

from __future__ import annotations

from enum import Enum

from spyhop.clock import NS_PER_S

PATIENCE_FRAMES = 64
PATIENCE_NS = 2 * NS_PER_S
ANSWER_PATIENCE_NS = 20 * NS_PER_S
_MAX_MISSING = 256


class Order(Enum):
    """How an id stands to those before it."""

    NEW = "new"
    LATE = "late"
    REPEATED = "repeated"


class MessageIds:
    """Follows one connection with `num_subscriptions` asked for at its start."""

    def __init__(self, num_subscriptions: int) -> None:
        self._unanswered = num_subscriptions
        self._next = 0
        self._frames = 0
        self._missing: dict[int, tuple[int, int]] = {}  # id -> (frames, time) when it was first missed
        self._is_broken = False
        self.num_late = 0
        self.num_repeated = 0

    def on(self, message_id: int, ts: int) -> Order:
        """Take the id of a message received at `ts` (ns)."""
        self._frames += 1
        if message_id == self._next:
            self._next += 1
            return Order.NEW
        if message_id < self._next:
            if self._missing.pop(message_id, None) is None:
                self.num_repeated += 1
                return Order.REPEATED
            self.num_late += 1
            return Order.LATE
        if message_id - self._next + len(self._missing) > _MAX_MISSING:
            self._is_broken = True
        else:
            for missing in range(self._next, message_id):
                self._missing[missing] = (self._frames, ts)
        self._next = message_id + 1
        return Order.NEW

    def on_answer(self) -> None:
        """Take the answer to a subscription."""
        self._unanswered = max(0, self._unanswered - 1)

    def on_error(self, message_id: int) -> None:
        """Take the id of a complaint: it is not counted up, but may be one that a failed subscription had taken."""
        if self._missing.pop(message_id, None) is not None or message_id == self._next:
            self._next = max(self._next, message_id + 1)

    def has_gap(self, ts: int) -> bool:
        """Return whether a message is lost, as far as can be told at `ts`."""
        if self._is_broken:
            return True
        if not self._missing:
            return False
        is_reserved = len(self._missing) <= self._unanswered
        frames, since = next(iter(self._missing.values()))
        if is_reserved:
            return ts - since > ANSWER_PATIENCE_NS
        return ts - since > PATIENCE_NS or self._frames - frames > PATIENCE_FRAMES
