"""What a feed asks of the venue by REST: polls, snapshots of the book, backfills, and the time."""

from __future__ import annotations

import logging

import numpy as np

from spyhop.clock import NS_PER_MINUTE, NS_PER_S
from spyhop.errors import Throttled, VenueError
from spyhop.model.tape import Events, Flag, Kind
from spyhop.venues.adapter import Poll, PollWhen
from spyhop.venues.live.intake import Intake
from spyhop.venues.live.link import Backoff
from spyhop.venues.live.source import SyncDone, SyncFailed

log = logging.getLogger(__name__)

MAX_TRADE_BACKFILLS = 3
"""After so many backfills that did not bring them, trades count as missing."""
_PAUSE_S = 1.0
_NUM_FIRST_QUESTIONS = 4
_PARTIAL = int(Flag.PARTIAL)


class Duties:
    """The REST side of a feed. Every method but the constructor runs until cancelled; a VenueError ends none of them.

    When the venue says that it wants fewer requests, all of them wait as long as it says.
    """

    def __init__(self, intake: Intake, generator: np.random.Generator) -> None:
        self._intake, self._generator = intake, generator
        self._adapter, self._params, self._clock = intake.adapter, intake.params, intake.clock
        self._not_before = 0

    async def poll(self, poll: Poll) -> None:
        """Fetch `poll` every `every_s`, always or while the feed asks by REST."""
        intake = self._intake
        while True:
            if poll.when is PollWhen.ON_REST:
                await intake.is_rest.wait()
            await self._permitted()
            started = intake.now()
            try:
                events = await poll.fetch()
            except VenueError as error:
                self._note(error)
                intake.on_rest_failed(poll.name, error, is_price=poll.is_price)
            else:
                intake.counts["polls"] += 1
                intake.on_rest(events, is_price=poll.is_price)
            spent_s = (intake.now() - started) / NS_PER_S
            await self._clock.sleep(max(poll.every_s - spent_s, poll.every_s / 10.0))

    async def book(self) -> None:
        """Fetch a snapshot of the book whenever one is wanted."""
        intake = self._intake
        backoff, last = self._backoff(), 0
        while True:
            await intake.book_wanted.wait()
            await self._permitted()
            intake.book_wanted.clear()
            try:
                events = await self._adapter.book()
            except VenueError as error:
                self._note(error)
                intake.on_rest_failed("book", error)
                intake.book_wanted.set()
            else:
                intake.counts["books"] += 1
                intake.put(events)
                # one after the other means that they do not fit; each costs dear, so they come less and less often
                if intake.now() - last > 10 * NS_PER_S:
                    backoff.reset()
                last = intake.now()
            await self._clock.sleep(backoff.next_s())

    async def sync(self) -> None:
        """Backfill minutes and trades whenever that is wanted, and again while there are holes."""
        backoff = self._backoff()
        while True:
            await self._intake.sync_wanted.wait()
            await self._permitted()
            self._intake.sync_wanted.clear()
            self._intake.is_syncing = True
            is_done = await self._sync_once()
            self._intake.is_syncing = False
            has_hole = self._intake.dedup.has_hole
            if is_done and not has_hole:
                backoff.reset()
            await self._clock.sleep(backoff.next_s())
            if has_hole or not is_done:
                self._intake.sync_wanted.set()

    async def clock(self) -> None:
        """Ask the venue what time it is, a few times at once in the beginning."""
        intake = self._intake
        num_asked = 0
        while True:
            await self._permitted()
            try:
                intake.offset.on_answer(await self._adapter.venue_time())
            except VenueError as error:
                self._note(error)
                intake.on_rest_failed("time", error)
            num_asked += 1
            # the first answer also took the time to connect
            is_first = num_asked < _NUM_FIRST_QUESTIONS
            if not is_first:
                intake.on_clock()
            is_soon = is_first or intake.offset.is_doubted
            await self._clock.sleep(_PAUSE_S if is_soon else self._params.clock_poll_seconds)

    async def _sync_once(self) -> bool:
        intake, dedup = self._intake, self._intake.dedup
        is_live = not intake.manager.down
        since = intake.since or dedup.ts_trade or intake.now()
        for hole in dedup.trade_holes:
            since = min(since, hole.ts_before)
        try:
            events = await self._adapter.sync(self._num_bars(), since)
        except VenueError as error:
            self._note(error)
            intake.on_rest_failed("state sync", error)
            # what came before the feed would be good to have; the feed goes on without it
            intake.pass_on(dedup.anchor())
            intake.tell(SyncFailed(intake.now()))
            return False
        intake.counts["syncs"] += 1
        intake.pass_on(dedup.admit(events))
        if len(opens := _closed_minutes(events)):
            intake.pass_on(dedup.answered(int(opens.min()), int(opens.max())))
        else:
            intake.pass_on(dedup.anchor())
        if lost := dedup.asked_for_trades(MAX_TRADE_BACKFILLS):
            log.warning("%s: %d trades are missing for good", self._adapter.instrument.key, lost)
            intake.mark_gap(lost)
        if is_live:
            intake.since = 0
        intake.tell(SyncDone(intake.now()))
        return True

    # at least what the source manager wants, and all since the newest bar that is on the tape
    def _num_bars(self) -> int:
        intake = self._intake
        newest = intake.dedup.bars.newest
        if newest == 0:
            return intake.num_bars
        return max(intake.num_bars, (intake.now() + intake.offset.offset_ns - newest) // NS_PER_MINUTE + 2)

    def _note(self, error: VenueError) -> None:
        if isinstance(error, Throttled):
            self._intake.counts["throttled"] += 1
            self._not_before = max(self._not_before, self._intake.now() + round(error.retry_after_s * NS_PER_S))

    async def _permitted(self) -> None:
        while (rest := self._not_before - self._intake.now()) > 0:
            await self._clock.sleep(rest / NS_PER_S)

    def _backoff(self) -> Backoff:
        return Backoff(self._params, self._generator)


def _closed_minutes(events: Events) -> Events:
    is_minute = (events["kind"] == Kind.BAR_OPEN) & (events["interval_s"] == 60) & ((events["flags"] & _PARTIAL) == 0)
    return np.asarray(events["id"][is_minute])
