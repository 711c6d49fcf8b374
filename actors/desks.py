"""Who works beside the vessels of a live session's orders: a desk in its executor, a clock beside the order stage."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from actors.bell import Bell
from spyhop.engine.executors import ExecutorVessel, LiveOrderVessel
from spyhop.engine.vessels import Vessel
from spyhop.errors import StateError

TICK_S = 0.02
"""How often time is told to a stage that hears nothing, and a desk is asked whether it is idle."""


class DeskPost:
    """Has the desk of an executor's vessel work, and the vessel tell what it says."""

    def __init__(self, vessel: ExecutorVessel) -> None:
        self._vessel = vessel

    async def run(self, stir: Callable[[], None]) -> None:
        """Work until cancelled; `stir` is called when there is something to send."""
        desk, arrived = self._vessel.desk, Bell()
        desk.on_report(arrived.ring)
        working = asyncio.create_task(desk.run())
        try:
            while not working.done():
                if self._vessel.tell():
                    stir()
                await arrived.within(TICK_S)
            working.result()
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            await desk.close()


class Listener:
    """Tells an order stage the time, behind which nothing will be heard."""

    def __init__(self, vessel: LiveOrderVessel) -> None:
        self._vessel = vessel

    async def run(self, stir: Callable[[], None]) -> None:
        """Work until cancelled; `stir` is called when the stage was told something."""
        try:
            while True:
                if self._vessel.listen():
                    stir()
                await asyncio.sleep(TICK_S)
        finally:
            self._vessel.close()


def desk_post(vessel: Vessel) -> list[DeskPost]:
    """Return who works beside an executor's vessel."""
    if not isinstance(vessel, ExecutorVessel):
        raise StateError("only an executor has a desk")
    return [DeskPost(vessel)]


def listener(vessel: Vessel) -> list[Listener]:
    """Return who works beside the order stage of a live session."""
    if not isinstance(vessel, LiveOrderVessel):
        raise StateError("only the order stage of a live session hears desks")
    return [Listener(vessel)]
