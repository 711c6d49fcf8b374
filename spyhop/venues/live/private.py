"""The private stream of one account: its orders, fills and balances as typed events, in order, and never one shed.

The loop here is the same for every venue; a PrivateAdapter knows how the venue's stream is joined and read. What a
reader is told besides events:

    Connected   from here on everything is told: ask by REST for what is, then apply what follows
    Lost        something may be missing from here until the next Connected

A planned change of connections is neither: the fresh one is open beside the old one for a while, and what both told
comes once. A reader that is slow stops the reading of the socket, and so in the end the venue.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Hashable
from itertools import count
from typing import Generic, NamedTuple

import msgspec
import numpy as np

from spyhop.clock import NS_PER_S, Clock, ScaledClock
from spyhop.errors import ConnectFailed, ConnectionLost, Throttled, VenueError, VenueRefused
from spyhop.venues.live.link import Backoff
from spyhop.venues.live.private_adapter import Event, Heard, PrivateAdapter, PrivateConnection
from spyhop.venues.live.session import step
from spyhop.venues.net.transport import Dial, Socket
from spyhop.venues.params import FeedParams

log = logging.getLogger(__name__)

OVERLAP_S = 5.0
"""How long the old connection is read on beside its replacement: more than any message is on its way."""
_WATCH_S = 0.25
_SHORTEST_S = 0.5  # of the machine: what a network may take however fast the clock runs
_NUM_REMEMBERED = 1 << 14
_MAX_REASONS = 64
_COUNTS = (
    "frames",
    "events",
    "repeats",
    "set_aside",
    "losses",
    "mute",
    "rollovers",
    "connect_failures",
    "keep_failures",
)


class Connected(msgspec.Struct, frozen=True):
    """The stream is joined: from here on everything that happens to the account is told."""

    connection: int


class Lost(msgspec.Struct, frozen=True):
    """The stream is broken: until the next Connected events may be missing."""

    connection: int
    reason: str


class Told(NamedTuple, Generic[Event]):
    """An event and when it came, nanoseconds of the clock; times never go back."""

    ts_recv: int
    event: Event | Connected | Lost


class _Link(Generic[Event]):
    """A joined connection, what is known of it, and the tasks that read and keep it."""

    def __init__(self, number: int, connection: PrivateConnection[Event], now: int) -> None:
        self.number, self.connection = number, connection
        self.ts_joined = self.ts_heard = self.ts_held_up = now
        self.is_held_up = False
        """Whether nothing is read, so that silence means nothing."""
        self.is_closing = False
        self.error: VenueError | None = None
        self.changed = asyncio.Event()
        self.reader: asyncio.Task[None] | None = None
        self.keeper: asyncio.Task[None] | None = None

    def end(self, error: VenueError) -> None:
        """Note that the connection is over; the first reason stays."""
        self.error = self.error or error
        self.changed.set()

    def stop(self) -> None:
        """End its tasks; a reader that is closing the socket does so to the end."""
        if self.keeper is not None:
            self.keeper.cancel()
        if self.reader is not None and not self.is_closing:
            self.reader.cancel()


class PrivateStream(Generic[Event]):
    """Keeps one account's stream joined and hands over what it tells.

    At most `max_events` and one batch of a socket wait to be taken. `generator` jitters the back-offs.
    """

    def __init__(
        self,
        adapter: PrivateAdapter[Event],
        dial: Dial,
        params: FeedParams,
        clock: Clock,
        *,
        generator: np.random.Generator,
        max_events: int = 10_000,
    ) -> None:
        self.reasons: Counter[str] = Counter()
        """Frames set aside or ignored, by reason."""
        self._adapter, self._dial, self._params, self._clock = adapter, dial, params, clock
        self._backoff = Backoff(params, generator)
        self._max_events = max_events
        self._waiting: deque[Told[Event]] = deque()
        self._has_some, self._has_room = asyncio.Event(), asyncio.Event()
        self._seen: dict[Hashable, None] = {}
        self._numbers = count(1)
        self._sockets: set[Socket] = set()
        self._ts_last = 0
        self._is_connected = False
        # all there from the start: another thread may be reading
        self._counts = dict.fromkeys(_COUNTS, 0)

    async def run(self) -> None:
        """Run until cancelled; every socket is closed then.

        Raise VenueRefused if the venue does not accept the keys or the account to begin with, and what is no
        VenueError in an ExceptionGroup.
        """
        try:
            link = await self._linked(is_first=True)
            async with asyncio.TaskGroup() as group:
                while True:
                    self._tell(Connected(link.number), link.ts_joined)
                    self._is_connected = True
                    self._keep_up(link, group)
                    self._read_on(link, group)
                    self._lose(await self._ended(link, group))
                    await self._clock.sleep(self._backoff.next_s())
                    link = await self._linked()
        finally:
            self._is_connected = False
            for socket in tuple(self._sockets):
                await socket.close()

    async def take(self) -> list[Told[Event]]:
        """Wait until there is something and return all of it, oldest first; for one reader."""
        await self._has_some.wait()
        taken = list(self._waiting)
        self._waiting.clear()
        self._has_some.clear()
        self._has_room.set()
        return taken

    def statistics(self) -> dict[str, float]:
        """Return counters and gauges by name; cheap, never blocks."""
        return {
            "connected": float(self._is_connected),
            "queued": float(len(self._waiting)),
            **{name: float(number) for name, number in self._counts.items()},
        }

    # ── connections

    async def _linked(self, *, is_first: bool = False) -> _Link[Event]:
        while True:
            try:
                return await self._join()
            except VenueError as error:
                if is_first and isinstance(error, VenueRefused):
                    raise
                wait_s = self._backoff.next_s()
                if isinstance(error, Throttled):
                    wait_s = max(wait_s, error.retry_after_s)
                log.warning("%s: %s; next attempt in %.1f s", self._adapter.name, error, wait_s)
            await self._clock.sleep(wait_s)

    async def _join(self) -> _Link[Event]:
        limit_s = self._at_least(self._params.first_message_seconds) / _speed(self._clock)
        try:
            async with asyncio.timeout(limit_s):
                connection = await self._adapter.join(self._dial, self._clock.now_ns())
        except TimeoutError:
            self._counts["connect_failures"] += 1
            raise ConnectFailed(self._adapter.name, "the subscription is not answered") from None
        except VenueError:
            self._counts["connect_failures"] += 1
            raise
        self._sockets.add(connection.socket)
        return _Link(next(self._numbers), connection, self._clock.now_ns())

    def _keep_up(self, link: _Link[Event], group: asyncio.TaskGroup) -> None:
        link.keeper = group.create_task(self._keep(link), name=f"keep {self._adapter.name}:{link.number}")

    def _read_on(self, link: _Link[Event], group: asyncio.TaskGroup) -> None:
        link.reader = group.create_task(self._read(link), name=f"read {self._adapter.name}:{link.number}")

    async def _ended(self, link: _Link[Event], group: asyncio.TaskGroup) -> _Link[Event]:
        """Wait for the end of the connection, or of those that took its place; return the one that ended."""
        life_ns = round(self._adapter.life_s * NS_PER_S)
        ts_due = link.ts_joined + life_ns
        while True:
            while link.error is None and not (life_ns and self._clock.now_ns() >= ts_due):
                await link.changed.wait()
                link.changed.clear()
            if link.error is not None:
                return link
            fresh = await self._replaced(link, group)
            if fresh is None:
                ts_due = self._clock.now_ns() + round(self._backoff.next_s() * NS_PER_S)
            else:
                link, ts_due = fresh, fresh.ts_joined + life_ns

    async def _replaced(self, old: _Link[Event], group: asyncio.TaskGroup) -> _Link[Event] | None:
        """Return the connection that has taken the place of `old`, None when none has.

        `old` is read for OVERLAP_S after the fresh one was joined: what was told before that has come by then, and
        what comes later is on both. The fresh one is not read before, so that nothing overtakes what is older.
        """
        log.info("%s: connection %d has reached its planned age", self._adapter.name, old.number)
        try:
            fresh = await self._join()
        except VenueError as error:
            log.warning("%s: no replacement: %s", self._adapter.name, error)
            return None
        fresh.is_held_up = True
        self._keep_up(fresh, group)
        overlap_ns = round(self._at_least(OVERLAP_S) * NS_PER_S)
        while old.error is None and fresh.error is None:
            await self._clock.sleep(step(self._clock, _WATCH_S))
            if not old.is_held_up and self._clock.now_ns() - max(fresh.ts_joined, old.ts_held_up) >= overlap_ns:
                break
        if old.error is not None or fresh.error is not None:
            fresh.stop()
            await self._close(fresh)
            return None
        old.stop()
        fresh.is_held_up, fresh.ts_heard = False, self._clock.now_ns()
        self._read_on(fresh, group)
        self._backoff.reset()
        self._counts["rollovers"] += 1
        return fresh

    def _lose(self, link: _Link[Event]) -> None:
        link.stop()
        self._is_connected = False
        self._counts["losses"] += 1
        log.warning("%s: connection %d lost: %s", self._adapter.name, link.number, link.error)
        now = self._clock.now_ns()
        self._tell(Lost(link.number, str(link.error)), now)
        if now - link.ts_joined > self._params.ws_backoff_max * NS_PER_S:
            self._backoff.reset()

    # ── one connection

    async def _read(self, link: _Link[Event]) -> None:
        connection = link.connection
        try:
            self._hand_over(connection.early)
            while True:
                await self._until_room(link)
                frames = await connection.socket.frames()
                # nothing is awaited between taking frames and handing them over: a cancelled reader loses none
                self._counts["frames"] += len(frames)
                self._hand_over(connection.decode(frames))
                link.ts_heard = self._clock.now_ns()
        except VenueError as error:
            link.end(error)
        finally:
            await self._close(link)

    async def _close(self, link: _Link[Event]) -> None:
        link.is_closing = True
        await link.connection.socket.close()
        self._sockets.discard(link.connection.socket)

    async def _until_room(self, link: _Link[Event]) -> None:
        if len(self._waiting) < self._max_events:
            return
        link.is_held_up = True
        self._has_room.clear()
        await self._has_room.wait()
        link.is_held_up = False
        link.ts_heard = link.ts_held_up = self._clock.now_ns()

    async def _keep(self, link: _Link[Event]) -> None:
        silent_s = self._at_least(self._params.silence_seconds)
        every_ns, ts_kept = round(silent_s / 3.0 * NS_PER_S), 0
        while link.error is None:
            now = self._clock.now_ns()
            if not link.is_held_up and now - link.ts_heard > silent_s * NS_PER_S:
                self._counts["mute"] += 1
                link.end(ConnectionLost(self._adapter.name, 1006, f"silent for {silent_s:g} s"))
            elif now - ts_kept >= every_ns:
                ts_kept = now
                try:
                    await link.connection.keep(now)
                except ConnectionLost as error:
                    link.end(error)
                except VenueError as error:
                    self._counts["keep_failures"] += 1
                    log.warning("%s: not prolonged: %s", self._adapter.name, error)
            link.changed.set()
            await self._clock.sleep(step(self._clock, _WATCH_S))

    def _at_least(self, seconds: float) -> float:
        """Return `seconds` of the clock, or more where it runs so fast that a network could not follow."""
        return max(seconds, _SHORTEST_S * _speed(self._clock))

    # ── what is told

    def _hand_over(self, heard: Heard[Event]) -> None:
        """Tell what is new and count the rest; raise what ends the connection."""
        for ts, event in heard.events:
            if self._is_new(event):
                self._counts["events"] += 1
                self._tell(event, ts)
        for reason, frame in heard.set_aside:
            self._set_aside(reason, len(frame))
        self.reasons.update(heard.ignored)
        if heard.end is not None:
            raise heard.end

    def _is_new(self, event: Event) -> bool:
        identity = self._adapter.identity(event)
        if identity is None:
            return True
        if identity in self._seen:
            self._counts["repeats"] += 1
            return False
        self._seen[identity] = None
        if len(self._seen) > _NUM_REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return True

    def _tell(self, event: Event | Connected | Lost, ts: int) -> None:
        self._ts_last = max(self._ts_last, ts)
        self._waiting.append(Told(self._ts_last, event))
        self._has_some.set()

    def _set_aside(self, reason: str, num_bytes: int) -> None:
        self._counts["set_aside"] += 1
        if reason not in self.reasons:
            if len(self.reasons) >= _MAX_REASONS:
                reason = "other"
            # not the frame itself: it may hold a key
            log.warning("%s: frame of %d bytes set aside: %s", self._adapter.name, num_bytes, reason)
        self.reasons[reason] += 1


def _speed(clock: Clock) -> float:
    return clock.speed if isinstance(clock, ScaledClock) else 1.0
