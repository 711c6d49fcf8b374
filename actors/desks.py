"""Joins an order stage to the desks of its accounts, in the same process: two edges each, commands out, reports in.

A desk keeps what it took and what it heard on its own disk, so the edges are like all others: counted, repeated after a
death, never lost. What a desk heard counts at the stage's event time, behind a promise that nothing earlier will come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from actors.carrier import METRICS_EVERY_S, Target
from actors.metrics import Meters
from spyhop.clock import NS_PER_S, Clock
from spyhop.engine.edges import Position, Receipt
from spyhop.engine.streams import END_OF_TIME
from spyhop.engine.vessels import Messages, OrderVessel, Vessel
from spyhop.errors import StateError
from spyhop.model.orders import Command, Report
from spyhop.wiring.accounts import Keys, LiveDesk
from spyhop.wiring.killing import KillSwitch
from spyhop.wiring.plan import LiveSource, SessionPlan

TICK_S = 0.02
"""How often time is told to a stage that hears nothing."""

_MESSAGES = msgspec.msgpack.Decoder(Messages)
_COMMANDS = msgspec.msgpack.Decoder(list[Command])


class DeskLike(Protocol):
    """What is asked of a desk."""

    def on_report(self, call: Callable[[], None]) -> None:
        """Have `call` called in the event loop whenever there are new reports."""
        ...

    async def run(self) -> None:
        """Work until cancelled."""
        ...

    async def take(self, number: int, commands: Sequence[Command]) -> int:
        """Keep commands, the first of which is the `number`-th of all; return how many are kept now."""
        ...

    def reports_since(self, number: int) -> list[Report]:
        """Return every report from the `number`-th on, oldest first."""
        ...

    def promise(self, at_least: int) -> int:
        """Return an event time, `at_least` or later, before which no further report can lie."""
        ...

    def end(self) -> None:
        """Make no report any more: nobody would hear it, but a replay."""
        ...

    @property
    def is_idle(self) -> bool:
        """Say whether nothing is under way between us and the venue."""
        ...

    def statistics(self) -> dict[str, float]: ...

    async def close(self) -> None: ...


class DeskPost:
    """Carries between one desk and the order vessel beside it."""

    def __init__(self, account: str, desk: DeskLike, vessel: OrderVessel, clock: Clock) -> None:
        self.account, self.desk = account, desk
        self._vessel, self._clock = vessel, clock
        self._edge = f"reports:{account}"
        self._arrived = asyncio.Event()
        desk.on_report(self._arrived.set)

    @property
    def target(self) -> tuple[str, Target]:
        """Return the edge of the vessel that leads here, and where it leads."""
        return f"commands:{self.account}", Target(_Handle(self), "commands")

    async def take(self, edge: str, number: int, data: bytes) -> Receipt:
        """Hand commands to the desk; the receipt says that they are on its disk."""
        messages = _MESSAGES.decode(data)
        commands = _COMMANDS.decode(messages.payload) if messages.count else []
        count = await self.desk.take(number, commands)
        position = Position(count, messages.watermark)
        return Receipt(position, position)

    def hear(self) -> bool:
        """Tell the vessel what the desk heard and how late it is; say whether that was news."""
        wanted = self._vessel.receipt(self._edge).wanted
        if wanted.watermark == END_OF_TIME:
            # also in a life that begins after the end: its desk would reconcile first of all
            self.desk.end()
            return False
        # the promise first: what is heard while it is read lies behind it
        promise = self.desk.promise(wanted.watermark)
        if self._vessel.node.is_over and self.desk.is_idle:
            promise = END_OF_TIME
        reports = self.desk.reports_since(wanted.count)
        if not reports and promise <= wanted.watermark:
            return False
        payload = msgspec.msgpack.encode(reports) if reports else b""
        said = msgspec.msgpack.encode(Messages(promise, len(reports), payload))
        self._vessel.receive(self._edge, wanted.count, said)
        if promise == END_OF_TIME:
            self.desk.end()
        return True

    async def run(self, stir: Callable[[], None]) -> None:
        """Work until cancelled; `stir` is called when the vessel was told something."""
        working = asyncio.create_task(self.desk.run())
        meters, published = Meters(f"desk:{self.account}"), 0
        try:
            while not working.done():
                if self.hear():
                    stir()
                now = self._clock.monotonic_ns()
                if now - published >= METRICS_EVERY_S * NS_PER_S:
                    published = now
                    meters.publish(self.desk.statistics())
                try:
                    await asyncio.wait_for(self._arrived.wait(), TICK_S)
                except TimeoutError:
                    continue
                self._arrived.clear()
            working.result()
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            await self.desk.close()


class _Handle:
    """Looks like an actor's handle, and is a call in this process."""

    def __init__(self, post: DeskPost) -> None:
        self.receive = _Method(post)


class _Method:
    def __init__(self, post: DeskPost) -> None:
        self._post = post

    def remote(self, edge: str, number: int, data: bytes) -> asyncio.Task[Receipt]:
        return asyncio.get_running_loop().create_task(self._post.take(edge, number, data))


def desk_posts(plan: SessionPlan, vessel: Vessel) -> list[DeskPost]:
    """Return a desk for each account of a live session's order vessel, with its post; made in the actor's loop."""
    if not isinstance(vessel, OrderVessel) or not isinstance(plan.source, LiveSource):
        raise StateError("only the order stage of a session on live venues has desks")
    keys, switch = Keys.here(plan.source.endpoints), KillSwitch(plan.folder.parent)
    clock = plan.source.endpoints.clock.clock()
    return [DeskPost(name, LiveDesk(plan, name, keys, switch), vessel, clock) for name in vessel.accounts]
