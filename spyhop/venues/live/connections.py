"""Keeps the connections of a feed: opens them, watches their deadlines, replaces them before or after they fail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import count
from typing import TypeAlias

import numpy as np

from spyhop.clock import NS_PER_S
from spyhop.errors import ConnectionLost, Throttled, VenueError
from spyhop.model.tape import Status, SwitchReason
from spyhop.venues.adapter import SocketPlan, Want
from spyhop.venues.live.intake import Intake
from spyhop.venues.live.link import Backoff, Link
from spyhop.venues.live.source import SocketClosed, SocketFailed, SocketOpened
from spyhop.venues.net.transport import Dial, Frame

log = logging.getLogger(__name__)

FrameTap: TypeAlias = Callable[[int, str, Sequence[Frame]], None]
"""Called with (connection, socket, frames) before they are decoded."""

_STEP_S = 0.05


class Connections:
    """One connection for each plan of the adapter, two while one takes the other's place.

    A plan's connection is lost when it breaks, or when nothing at all came for as long as one of its streams may be
    silent: it is opened anew after a back-off that doubles until a connection outlives the longest. When only some of
    its streams are silent, when it reaches its planned age, or when the adapter says so, a fresh one is opened beside
    it and takes over once every stream that always speaks was heard there: what still flows is never cut off.
    """

    def __init__(
        self,
        intake: Intake,
        dial: Dial,
        generator: np.random.Generator,
        tap: FrameTap | None = None,
    ) -> None:
        self._intake, self._dial, self._generator, self._tap = intake, dial, generator, tap
        self._adapter, self._params, self._clock = intake.adapter, intake.params, intake.clock
        self._numbers = count(1)
        self._links: set[Link] = set()

    async def keep(self, plan: SocketPlan, group: asyncio.TaskGroup) -> None:
        """Keep `plan` connected until cancelled; what reads a connection is a task of `group`."""
        backoff = Backoff(self._params, self._generator)
        link = await self._opened(plan, backoff, group)
        while True:
            while not link.is_ended:
                await link.changed.wait()
                link.changed.clear()
                if link.why_replace and not link.is_ended:
                    link = await self._replaced(link, backoff, group)
            self._lose(link)
            if self._intake.now() - link.ts_opened > self._params.ws_backoff_max * NS_PER_S:
                backoff.reset()
            await self._clock.sleep(backoff.next_s())
            link = await self._opened(plan, backoff, group)
            link.is_after_loss = True
            self._intake.counts["reconnects"] += 1

    def watch(self) -> None:
        """Judge every deadline now."""
        now = self._intake.now()
        for link in list(self._links):
            if not (overdue := link.overdue(now)):
                if link.is_due(now):
                    link.replace("it has reached its planned age", now)
            elif link.is_mute(now):
                self._intake.counts["mute"] += 1
                silent = ConnectionLost(link.plan.name, 1006, f"silent: {', '.join(overdue)}")
                link.end(silent, SwitchReason.EXCEPTION)
                self._stop(link)
            else:
                link.replace(f"silent: {', '.join(overdue)}", now)

    async def _opened(self, plan: SocketPlan, backoff: Backoff, group: asyncio.TaskGroup) -> Link:
        while True:
            try:
                return await self._link(plan, group)
            except VenueError as error:
                wait_s = backoff.next_s()
                if isinstance(error, Throttled):
                    wait_s = max(wait_s, error.retry_after_s)
                self._intake.counts["connect_failures"] += 1
                log.warning("%s: %s; next attempt in %.1f s", plan.name, error, wait_s)
                self._intake.tell(SocketFailed(self._intake.now(), plan.name))
            await self._clock.sleep(wait_s)

    async def _link(self, plan: SocketPlan, group: asyncio.TaskGroup) -> Link:
        socket = await self._dial(plan.url)
        link = Link(plan, next(self._numbers), socket, self._intake.now())
        self._links.add(link)
        self._adapter.opened(plan.name, link.number)
        link.reader = group.create_task(self._read(link), name=f"{plan.name}:{link.number}")
        try:
            for message in plan.hello:
                socket.send(message)
        except VenueError as error:
            link.end(error, SwitchReason.DISCONNECTED)
        self._intake.status(Status.CONNECTED, qty=link.number)
        if not any(stream.first_s for stream in plan.streams):
            self._intake.tell(SocketOpened(self._intake.now(), plan.name))
        return link

    async def _read(self, link: Link) -> None:
        try:
            while True:
                self._take(link, await link.socket.frames())
        except ConnectionLost as error:
            link.end(error, SwitchReason.DISCONNECTED)
        except VenueError as error:
            link.end(error, SwitchReason.EXCEPTION)
        finally:
            self._links.discard(link)
            self._adapter.closed(link.plan.name, link.number)
            await link.socket.close()

    def _take(self, link: Link, frames: Sequence[Frame]) -> None:
        if not frames:
            return
        plan = link.plan.name
        if self._tap is not None:
            self._tap(link.number, plan, frames)
        decoded = self._adapter.decode(plan, link.number, frames)
        # a venue that takes a subscription and then says nothing is not up
        if decoded.heard and plan in self._intake.manager.down:
            self._intake.tell(SocketOpened(frames[-1].ts_recv, plan))
        self._intake.on_frames(link, frames, decoded)
        if link.is_after_loss and decoded.heard:
            link.is_after_loss = False
            self._intake.sync_wanted.set()
        for want in decoded.wants:
            if want is Want.BOOK:
                self._intake.book_wanted.set()
            else:
                link.replace("the adapter asks for it", self._intake.now())

    async def _replaced(self, old: Link, backoff: Backoff, group: asyncio.TaskGroup) -> Link:
        intake, plan = self._intake, old.plan
        log.info("%s: connection %d is to be replaced: %s", plan.name, old.number, old.why_replace)
        try:
            fresh = await self._link(plan, group)
        except VenueError as error:
            log.warning("%s: no replacement: %s", plan.name, error)
            old.put_off(intake.now() + round(backoff.next_s() * NS_PER_S))
            return old
        allowed_s = max((stream.first_s for stream in plan.streams), default=0.0)
        until = intake.now() + round((allowed_s or self._params.first_message_seconds) * NS_PER_S)
        while fresh.missing and not (fresh.is_ended or old.is_ended) and intake.now() < until:
            await self._clock.sleep(_STEP_S)
        alive = old.heard.difference(old.overdue(intake.now()))
        if fresh.is_ended or not (old.is_ended or not fresh.missing or fresh.heard > alive):
            self._stop(fresh)
            old.put_off(intake.now() + round(backoff.next_s() * NS_PER_S))
            return old
        if old.is_ended:
            self._lose(old)
            fresh.is_after_loss = True
        else:
            self._stop(old)
            backoff.reset()
        intake.counts["rollovers"] += 1
        return fresh

    def _stop(self, link: Link) -> None:
        self._links.discard(link)
        if link.reader is not None:
            link.reader.cancel()

    def _lose(self, link: Link) -> None:
        now, error = self._intake.now(), link.error
        log.warning("%s: connection %d lost: %s", link.plan.name, link.number, error)
        self._intake.on_loss(link.why_lost, link.number)
        stimulus = SocketClosed if link.why_lost is SwitchReason.DISCONNECTED else SocketFailed
        self._intake.tell(stimulus(now, link.plan.name))
