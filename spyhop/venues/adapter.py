"""What one venue must tell so that the one session loop (`venues.live.session`) can run it.

An adapter is about one instrument at one venue. It knows names, shapes and sequence rules and keeps no clock, task or
connection of its own: the session opens the sockets, watches their deadlines, calls `decode` with what arrived, and
does what the answer wants.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events
from spyhop.venues.net.transport import Frame


class StreamPlan(msgspec.Struct, frozen=True):
    """One stream of a socket and how silent it may be; deadlines in seconds of the session's clock.

    `first_s` is how long after the subscription the first message may take, `silent_s` how long it may pause after
    that; 0 means for ever. `is_price` marks streams whose messages are price ticks to the source manager.
    """

    name: str
    first_s: float = 10.0
    silent_s: float = 0.0
    is_price: bool = False


class SocketPlan(msgspec.Struct, frozen=True):
    """One connection: where to, what to say when it is open, what must then be heard.

    `life_s` is when it is replaced by a fresh one, with both open until the fresh one has delivered (0 = never).
    """

    name: str
    url: str
    hello: tuple[bytes, ...]
    streams: tuple[StreamPlan, ...]
    life_s: float = 0.0


class Want(StrEnum):
    """What an adapter asks of the session after decoding."""

    BOOK = "book"  # fetch a snapshot of the book by REST: call `book`
    RECONNECT = "reconnect"  # this connection cannot be mended: open a fresh one


class Decoded(msgspec.Struct):
    """What frames came to: rows of the tape in order of arrival, and everything else said with a reason.

    `heard` has the streams that the frames belong to, once each. `set_aside` holds (reason, raw frame) of what could
    not be read; `ignored` counts by reason what is known and not for the tape, such as answers to subscriptions.
    """

    events: Events
    heard: tuple[str, ...] = ()
    wants: tuple[Want, ...] = ()
    set_aside: tuple[tuple[str, bytes], ...] = ()
    ignored: Mapping[str, int] = {}


class PollWhen(StrEnum):
    """When a REST poll runs."""

    ALWAYS = "always"  # there is no stream for it
    ON_REST = "on_rest"  # only while the feed is in Mode.REST


class Poll(msgspec.Struct, frozen=True):
    """Something to be fetched by REST again and again; rows are marked BACKFILLED where they stand for a stream."""

    name: str
    every_s: float
    when: PollWhen
    fetch: Callable[[], Awaitable[Events]]
    is_price: bool = False


class VenueTime(msgspec.Struct, frozen=True):
    """One question about the venue's time: ours before and after, and its answer; nanoseconds."""

    ts_sent: int
    ts_recv: int
    ts_venue: int


class Adapter(Protocol):
    """One instrument at one venue. REST methods raise VenueError; rows carry `ts_recv` of their answer."""

    instrument: Instrument

    def sockets(self) -> Sequence[SocketPlan]:
        """Return the connections that the feed needs."""
        ...

    def opened(self, socket: str, connection: int) -> None:
        """Note that `connection` (counted by the session, never reused) of the plan `socket` is open."""
        ...

    def closed(self, socket: str, connection: int) -> None:
        """Note that it is gone. Another connection of the same plan may be open."""
        ...

    def decode(self, socket: str, connection: int, frames: Sequence[Frame]) -> Decoded:
        """Turn frames of one connection into rows of the tape; never raises for what a frame holds."""
        ...

    async def book(self) -> Events:
        """Return the book as a SNAPSHOT row and its levels."""
        ...

    async def sync(self, num_bars: int, since: int) -> Events:
        """Return the newest `num_bars` closed one-minute bars and the trades after `since` (ns), BACKFILLED."""
        ...

    def polls(self) -> Sequence[Poll]:
        """Return what REST is asked for, always or as a fallback."""
        ...

    async def venue_time(self) -> VenueTime:
        """Ask the venue what time it is."""
        ...
