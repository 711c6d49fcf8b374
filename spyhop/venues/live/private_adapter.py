"""What one venue must tell so that the one loop for private streams (`venues.live.private`) can run it.

The loop opens connections through `join`, watches their silence and age, hands what arrives to `decode` and calls
`keep` every few seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Generic, Protocol, TypeVar

from spyhop.errors import VenueError
from spyhop.venues.net.transport import Dial, Frame, Socket

Event = TypeVar("Event")


class Heard(Generic[Event]):
    """What frames came to: (time of arrival, event) in order, and everything else with a reason.

    `end` is why nothing more can be expected of the connection, None as long as it can.
    """

    def __init__(self) -> None:
        self.events: list[tuple[int, Event]] = []
        self.set_aside: list[tuple[str, bytes]] = []
        self.ignored: Counter[str] = Counter()
        self.end: VenueError | None = None


class PrivateConnection(Protocol[Event]):
    """An open connection on which the account's stream is joined; `early` is what came while it was being joined."""

    socket: Socket
    early: Heard[Event]

    def decode(self, frames: Sequence[Frame]) -> Heard[Event]:
        """Turn frames into events; never raises for what a frame holds."""
        ...

    async def keep(self, now: int) -> None:
        """Prolong what expires and make the venue say something; called every few seconds, `now` is the clock's time.

        Raise ConnectionLost when the connection is worth nothing any more, another VenueError to be called again.
        """
        ...


class PrivateAdapter(Protocol[Event]):
    """One account at one venue. `name` is what logs say, `life_s` when a connection is replaced (0 = never)."""

    name: str
    life_s: float

    async def join(self, dial: Dial, now: int) -> PrivateConnection[Event]:
        """Open a connection and return it when the venue has taken the subscription; `now` is the clock's time.

        Raise VenueError; VenueRefused stands for keys or an account that the venue does not accept. Close the
        connection unless it is returned, when cancelled too.
        """
        ...

    def identity(self, event: Event) -> Hashable:
        """Return what is equal for the same event told twice, None for events that are never told twice."""
        ...
