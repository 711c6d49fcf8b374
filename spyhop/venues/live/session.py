"""The session of one live feed: every task that keeps its sources flowing, under one roof.

    connections   a supervisor and a reader for each socket, with overlap at a planned change
    duties        polls, snapshots, backfills and the venue's time by REST
    watch         deadlines of streams and the source manager's sense of time
    health        a summary for the log every `health_seconds`

A VenueError ends nothing: it is counted and what failed is tried again later. Any other exception is a defect and ends
the session. Cancelling `run` closes every socket before it returns.
"""

from __future__ import annotations

import asyncio
import logging

import numpy as np

from spyhop.clock import Clock, ScaledClock
from spyhop.model.tape import Mode
from spyhop.venues.adapter import Adapter
from spyhop.venues.live.connections import Connections, FrameTap
from spyhop.venues.live.duties import Duties
from spyhop.venues.live.intake import Intake
from spyhop.venues.live.queue import EventQueue
from spyhop.venues.live.source import Started, Tick
from spyhop.venues.net.transport import Dial
from spyhop.venues.params import FeedParams

log = logging.getLogger(__name__)

_WATCH_S = 0.25
_MIN_STEP_S = 0.01


class Session:
    """Everything that one instrument at one venue says, into `queue`, until cancelled.

    `generator` jitters the back-offs.
    """

    def __init__(
        self,
        adapter: Adapter,
        dial: Dial,
        params: FeedParams,
        clock: Clock,
        queue: EventQueue,
        *,
        generator: np.random.Generator,
        tap: FrameTap | None = None,
    ) -> None:
        self.intake = Intake(adapter, params, clock, queue)
        queue.on_shed = self.intake.want_book
        self._connections = Connections(self.intake, dial, generator, tap)
        self._duties = Duties(self.intake, generator)
        self._adapter, self._params, self._clock, self._is_resumed = adapter, params, clock, False

    def resume(self, *, trade_id: int, ts_trade: int, bar_open: int) -> None:
        """Go on behind a tape that ends with this trade and this closed minute; call before `run`."""
        self._is_resumed = True
        self.intake.since = ts_trade
        self.intake.dedup.resume(trade_id=trade_id, ts_trade=ts_trade, bar_open=bar_open)

    async def run(self) -> None:
        """Run until cancelled; raises what is no VenueError, in an ExceptionGroup."""
        self.intake.tell(Started(self.intake.now(), self._is_resumed))
        async with asyncio.TaskGroup() as group:
            for plan in self._adapter.sockets():
                group.create_task(self._connections.keep(plan, group), name=f"keep {plan.name}")
            for poll in self._adapter.polls():
                group.create_task(self._duties.poll(poll), name=f"poll {poll.name}")
            for duty in (self._duties.book, self._duties.sync, self._duties.clock, self._watch, self._health):
                group.create_task(duty(), name=duty.__name__)

    def statistics(self) -> dict[str, float]:
        """Return counters and gauges by name; may be called from any thread."""
        return self.intake.statistics()

    async def _watch(self) -> None:
        step_s = step(self._clock, _WATCH_S)
        while True:
            await self._clock.sleep(step_s)
            self._connections.watch()
            self.intake.tell(Tick(self.intake.now(), self.intake.offset.offset_ns))

    async def _health(self) -> None:
        symbol = self._adapter.instrument.key
        while True:
            await self._clock.sleep(self._params.health_seconds)
            about = self.statistics()
            log.info(
                "%s: %s, price %.0f ms old, closed minute %.0f s, %d queued, %d switches, %d reconnects, %d shed",
                symbol,
                Mode(int(about["mode"])).name,
                about["price_age_ms"],
                about["kline_age_s"],
                about["queued"],
                about["switches"],
                about["reconnects"],
                about["shed"],
                extra={"symbol": symbol, "health": about},
            )


def step(clock: Clock, seconds: float) -> float:
    """Return `seconds` of `clock`, or more where it runs so fast that a task would do nothing but wake up."""
    speed = clock.speed if isinstance(clock, ScaledClock) else 1.0
    return max(seconds, speed * _MIN_STEP_S)
