"""One open connection of a plan and its deadlines, and how long to wait before the next attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import numpy as np

from spyhop.clock import NS_PER_S
from spyhop.errors import VenueError
from spyhop.model.tape import SwitchReason
from spyhop.venues.adapter import SocketPlan, StreamPlan
from spyhop.venues.net.transport import Socket
from spyhop.venues.params import FeedParams


class Backoff:
    """Delays from `ws_backoff_min` to `ws_backoff_max` that double, each cut by up to a half at random."""

    def __init__(self, params: FeedParams, generator: np.random.Generator) -> None:
        self._min, self._max, self._generator = params.ws_backoff_min, params.ws_backoff_max, generator
        self._next = min(2.0 * self._min, self._max)

    def next_s(self) -> float:
        """Return how many seconds to wait now."""
        delay = max(self._min, self._next * self._generator.uniform(0.5, 1.0))
        self._next = min(self._next * 2.0, self._max)
        return float(delay)

    def reset(self) -> None:
        """Begin anew: an attempt has succeeded."""
        self._next = min(2.0 * self._min, self._max)


class Link:
    """A connection, what was heard on it and when; `changed` is set when it ended or should be replaced."""

    def __init__(self, plan: SocketPlan, number: int, socket: Socket, now: int) -> None:
        self.plan, self.number, self.socket = plan, number, socket
        self.ts_opened = now
        self.ts_heard = now
        self.error: VenueError | None = None
        self.why_lost = SwitchReason.EXCEPTION
        self.why_replace = ""
        self.changed = asyncio.Event()
        self.reader: asyncio.Task[None] | None = None
        self.prices = frozenset(stream.name for stream in plan.streams if stream.is_price)
        self.is_after_loss = False
        """Whether events were missed before it, so that a backfill is wanted once it delivers."""
        self._heard: dict[str, int] = {}
        self._due = now + round(plan.life_s * NS_PER_S) if plan.life_s else 0
        self._not_before = 0

    @property
    def is_ended(self) -> bool:
        return self.error is not None

    def end(self, error: VenueError, reason: SwitchReason) -> None:
        """Note that the connection is over; the first reason stays."""
        if self.error is None:
            self.error, self.why_lost = error, reason
        self.changed.set()

    def hear(self, streams: Iterable[str], now: int) -> None:
        """Note that something of `streams` arrived."""
        for stream in streams:
            self._heard[stream] = self.ts_heard = now

    def replace(self, why: str, now: int) -> None:
        """Ask for a fresh connection in the place of this one, unless an attempt was put off to later than `now`."""
        if now >= self._not_before and not self.why_replace:
            self.why_replace = why
            self.changed.set()

    def put_off(self, until: int) -> None:
        """Forget the wish for a replacement until then."""
        self.why_replace, self._not_before = "", until

    def overdue(self, now: int) -> list[str]:
        """Return the streams that broke a deadline: no first message in time, or a pause that is too long."""
        return [
            stream.name
            for stream in self.plan.streams
            if (allowed := self._allowed_s(stream))
            and now - self._heard.get(stream.name, self.ts_opened) > allowed * NS_PER_S
        ]

    def is_mute(self, now: int) -> bool:
        """Say whether nothing at all came for as long as some stream may be silent."""
        allowed = [allowed for stream in self.plan.streams if (allowed := self._allowed_s(stream))]
        return bool(allowed) and now - self.ts_heard > min(allowed) * NS_PER_S

    def _allowed_s(self, stream: StreamPlan) -> float:
        return stream.silent_s if stream.name in self._heard else stream.first_s

    def is_due(self, now: int) -> bool:
        """Say whether the connection has reached its planned age."""
        return bool(self._due) and now >= self._due

    @property
    def missing(self) -> set[str]:
        """Return the streams that always speak and have not spoken yet."""
        return {stream.name for stream in self.plan.streams if stream.silent_s} - self._heard.keys()

    @property
    def heard(self) -> set[str]:
        return set(self._heard)
