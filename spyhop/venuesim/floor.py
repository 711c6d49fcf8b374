"""What the fronts of all venues share: the exchange brought up to its clock, the faults, the open connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web

from spyhop.clock import NS_PER_S, Clock
from spyhop.venuesim.faults import Faults
from spyhop.venuesim.words import Listener

if TYPE_CHECKING:
    from spyhop.venuesim.exchange import Exchange


STEP_NS = NS_PER_S // 2
"""The longest stretch of the exchange's time that is told at once, unless that would take `MAX_STEPS`."""
MAX_STEPS = 64


class Front(Listener, Protocol):
    """One venue's protocol over the exchange. The exchange tells it what happens; it answers on its own port."""

    label: str
    """The venue's label, such as binance-usdm; faults name it so."""

    def routes(self, app: web.Application) -> None:
        """Add the venue's REST and WebSocket routes to the application of its port."""
        ...

    def publish(self) -> None:
        """Send out what was told since the last call; runs after every advance of the exchange."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what a test harness may ask about: counters, keys, subscriptions; plain JSON."""
        ...


class Client(Protocol):
    """Somebody who is connected; `venuesim.connection.Connection` is the one there is."""

    def poll(self, now: int) -> None:
        """Do what is due by `now`: pings, deadlines, faults."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Hang up."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what a test harness may ask about it; plain JSON."""
        ...


class Floor:
    """The exchange on its clock. Everything here runs in one event loop.

    `accounts` are the API keys and secrets of the accounts by name; dYdX's accounts are addresses and have none.
    """

    def __init__(self, exchange: Exchange, clock: Clock, faults: Faults) -> None:
        self.exchange, self.clock, self.faults = exchange, clock, faults
        self.connections: dict[Client, None] = {}
        self.fronts: list[Front] = []
        self.num_frames_lost = 0

    def add(self, front: Front) -> None:
        """Let `front` hear what happens at the exchange."""
        self.fronts.append(front)
        self.exchange.subscribe(front)

    def advance(self) -> int:
        """Bring the exchange up to its clock and return the time. Everybody is told, the newest is not sent yet.

        After a pause of this process it goes there in steps, each of them sent, as if there had been none: a venue
        does not tell ten blocks first and what happened in them afterwards.
        """
        now = self.clock.now_ns()
        step = max(STEP_NS, (now - self.exchange.now) // MAX_STEPS)
        while (until := min(now, self.exchange.now + step)) > self.exchange.now:
            self.exchange.advance(until)
            if until < now:
                self.publish()
        return self.exchange.now

    def publish(self) -> None:
        """Send out what everybody was told, after an advance or a request that changed something."""
        for front in self.fronts:
            front.publish()

    def turn(self) -> None:
        """Advance, publish, and look after every connection's time; what the pump does again and again."""
        now = self.advance()
        self.publish()
        for connection in list(self.connections):
            connection.poll(now)

    def state(self) -> dict[str, Any]:
        """Return what all of them know, as plain JSON; what a test harness asks after it killed its client."""
        return {
            "now": self.exchange.now,
            "fronts": {front.label: front.state() for front in self.fronts},
            "connections": [connection.state() for connection in self.connections],
            "frames_lost": self.num_frames_lost,
        }
