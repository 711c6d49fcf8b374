"""Waking a task that waits, without a task and an event for each wait: a busy actor waits thousands of times."""

from __future__ import annotations

import asyncio
import sys

TURN_S = 0.0005
"""How long a thread of an actor may keep the others from the interpreter: Python's own 5 ms are a fifth of what an
order may take, and a feed's connections and its rows are two threads."""


def take_short_turns() -> None:
    """Let the threads of this process change places soon."""
    sys.setswitchinterval(TURN_S)


class Bell:
    """Wakes the one task that waits at it; rung while nobody waits, it spares the next one the wait."""

    def __init__(self) -> None:
        self._is_rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake who waits, or who waits next; to be called in the loop."""
        self._is_rung = True
        self._wake()

    def forget(self) -> None:
        """Take back what was rung while nobody waited."""
        self._is_rung = False

    async def within(self, seconds: float) -> bool:
        """Wait until it rings, at most `seconds`; return whether it did."""
        if not self._is_rung:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(seconds, self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        was_rung, self._is_rung = self._is_rung, False
        return was_rung

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
