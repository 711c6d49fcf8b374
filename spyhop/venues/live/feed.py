"""A live feed behind the Feed port: a session in a thread of its own, and a tape that survives its process.

A TIMER row stands at every whole second of the clock that no event has passed when it strikes, and wherever nothing
came for a tenth of a second: the row of a second is closed by the clock and waits for no frame, and watermarks move
while a market is silent. The timers are on the tape like everything else, so a replay has
them too and what follows is a function of the tape alone.

After a kill the feed first hands out again what the session's tape kept behind the place of the snapshot, the same
rows in the same order, then says that it was disconnected and goes on live: with a new snapshot of the book and the
minutes and trades that were missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeAlias

import msgspec
import numpy as np

from spyhop.clock import NS_PER_S, Clock
from spyhop.errors import VenueError
from spyhop.model import tape
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, Flag, Kind, Status, SwitchReason
from spyhop.venues.adapter import Adapter
from spyhop.venues.live.connections import FrameTap
from spyhop.venues.live.link import Backoff
from spyhop.venues.live.queue import EventQueue
from spyhop.venues.live.session import Session, step
from spyhop.venues.net.transport import Dial
from spyhop.venues.params import FeedParams

log = logging.getLogger(__name__)

_IDLE_NS: Final = NS_PER_S // 10
_JOIN_S = 30.0
_PARTIAL = int(Flag.PARTIAL)


class Client(msgspec.Struct, frozen=True):
    """What a session needs of one venue, made in the loop that will use it; `close` lets go of all of it."""

    adapter: Adapter
    dial: Dial
    close: Callable[[], Awaitable[None]]


Build: TypeAlias = Callable[[], Awaitable[Client]]
Kept: TypeAlias = Callable[[int], Iterator[Events]]
"""Yields the events that the tape kept from an event number on."""


class Place(msgspec.Struct, array_like=True):
    """How far a tape has come: what a feed must know to go on behind it."""

    num_events: int = 0
    ts_recv: int = 0
    trade_id: int = 0
    ts_trade: int = 0
    bar_open: int = 0

    def advance(self, events: Events) -> None:
        """Take the events that come next."""
        self.num_events += len(events)
        self.ts_recv = int(events["ts_recv"][-1])
        kinds = events["kind"]
        trades = events[kinds == Kind.TRADE]
        if len(trades):
            newest = int(np.argmax(trades["id"]))
            if trades["id"][newest] > self.trade_id:
                self.trade_id = int(trades["id"][newest])
            self.ts_trade = max(self.ts_trade, int(trades["ts_event"].max()))
        if (is_bar := kinds == Kind.BAR_CLOSE).any():
            is_closed_minute = is_bar & (events["interval_s"] == 60) & ((events["flags"] & _PARTIAL) == 0)
            self.bar_open = max(self.bar_open, int(events["id"][is_closed_minute].max(initial=0)))


class LiveFeed:
    """One instrument at one venue, live. `seed` jitters the back-offs.

    `build` makes the client, again and again while the venue cannot be reached. `tap` is called in the feed's thread
    with (connection, socket, frames) as they came. The thread starts with the first `next_batch` and ends with
    `close`; what ends it otherwise is raised by `next_batch`.
    """

    def __init__(
        self,
        build: Build,
        params: FeedParams,
        clock: Clock,
        instrument: Instrument,
        *,
        seed: int = 0,
        tap: FrameTap | None = None,
        kept: Kept | None = None,
    ) -> None:
        self.instrument = instrument
        self._build, self._params, self._clock, self._tap, self._kept = build, params, clock, tap, kept
        self._generator = np.random.default_rng([seed, instrument.id])
        self._queue = EventQueue(params.max_queued_events, venue=instrument.venue, instrument=instrument.id)
        self._place = Place()
        self._again: Iterator[Events] | None = None
        self._is_resumed = False
        self._session: Session | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._is_closed = False

    @property
    def on_arrival(self) -> Callable[[], None] | None:
        """Called from the feed's thread when there is something to take after there was nothing."""
        return self._queue.on_arrival

    @on_arrival.setter
    def on_arrival(self, callback: Callable[[], None] | None) -> None:
        self._queue.on_arrival = callback

    def next_batch(self) -> Events | None:
        """Return what has arrived, at once; empty when nothing has, None after `close`.

        Raises what ended the session: a UserError, or a defect.
        """
        if self._again is not None:
            batch = next(self._again, None)
            if batch is not None:
                self._place.advance(batch)
                return batch
            self._again = None
        if self._thread is None and not self._is_closed:
            self._start()
        batch = self._queue.take()
        if len(batch):
            self._place.advance(batch)
            return batch
        if self._failure is not None:
            raise self._failure
        return None if self._is_closed else batch

    def wait(self, timeout_s: float) -> bool:
        """Block until there is something to take, for `timeout_s` of the machine's seconds at most."""
        return self._again is not None or self._queue.wait(timeout_s)

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode(self._place)

    def restore(self, snapshot: bytes) -> None:
        self._place = msgspec.msgpack.decode(snapshot, type=Place)
        self._is_resumed = True
        if self._kept is not None:
            self._again = (batch for batch in self._kept(self._place.num_events) if len(batch))

    def statistics(self) -> dict[str, float]:
        """Return counters and gauges by name; cheap, never blocks."""
        about = self._queue.statistics() if self._session is None else self._session.statistics()
        return {**about, "handed_out": float(self._place.num_events)}

    def close(self) -> None:
        """End the session and its thread, with every socket closed; what was not taken is dropped."""
        self._is_closed = True
        thread, loop, main = self._thread, self._loop, self._main
        if thread is None or not thread.is_alive():
            return
        if loop is not None and main is not None:
            # the loop may have ended between these two lines
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(main.cancel)
        thread.join(_JOIN_S)

    def _start(self) -> None:
        if self._place.ts_recv:
            self._queue.start_at(self._place.ts_recv)
        has_begun = threading.Event()
        self._thread = threading.Thread(
            target=self._live, args=(has_begun,), name=f"feed {self.instrument.key}", daemon=True
        )
        self._thread.start()
        has_begun.wait()

    def _live(self, has_begun: threading.Event) -> None:
        async def main() -> None:
            self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
            has_begun.set()
            await self._run()

        try:
            asyncio.run(main())
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            # raised again where the feed is read
            self._failure = _first(error)
            log.exception("feed %s ended", self.instrument.key)
        finally:
            has_begun.set()
            if self._queue.on_arrival is not None:
                self._queue.on_arrival()

    async def _run(self) -> None:
        if self._is_resumed:
            for status in (Status.DISCONNECTED, Status.GAP):
                self._mark(Kind.STATUS, self._clock.now_ns(), aux=status, id=SwitchReason.DISCONNECTED)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat(), name="timers")
            client = await self._client()
            try:
                session = Session(
                    client.adapter,
                    client.dial,
                    self._params,
                    self._clock,
                    self._queue,
                    generator=self._generator,
                    tap=self._tap,
                )
                place = self._place
                if self._is_resumed:
                    session.resume(trade_id=place.trade_id, ts_trade=place.ts_trade, bar_open=place.bar_open)
                self._session = session
                await session.run()
            finally:
                await client.close()

    async def _client(self) -> Client:
        backoff = Backoff(self._params, self._generator)
        while True:
            try:
                return await self._build()
            except VenueError as error:
                wait_s = backoff.next_s()
                log.warning("%s: %s; next attempt in %.1f s", self.instrument.key, error, wait_s)
            await self._clock.sleep(wait_s)

    async def _beat(self) -> None:
        step_s = step(self._clock, _IDLE_NS / NS_PER_S)
        while True:
            # frames are stamped by this clock when they come: none of this second can come when the next one strikes
            rest_s = (NS_PER_S - self._clock.now_ns() % NS_PER_S) / NS_PER_S
            await self._clock.sleep(rest_s if rest_s < 2 * step_s else step_s)
            now, last = self._clock.now_ns(), self._queue.ts_last
            second = now - now % NS_PER_S
            if last < second:
                self._mark(Kind.TIMER, second)
            elif now - last >= _IDLE_NS:
                self._mark(Kind.TIMER, now)

    def _mark(self, kind: Kind, ts: int, **columns: int) -> None:
        instrument = self.instrument
        self._queue.put(tape.event(kind, ts, venue=instrument.venue, instrument=instrument.id, **columns))


# the log has all of them
def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
