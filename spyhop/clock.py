"""The only place that reads time. Stages never do: in a stage, now is the `ts_recv` of the event at hand."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_MINUTE = 60 * NS_PER_S
NS_PER_HOUR = 3_600 * NS_PER_S
NS_PER_DAY = 86_400 * NS_PER_S


class Clock(Protocol):
    """What the edge may ask about time; all values are integer nanoseconds."""

    def now_ns(self) -> int:
        """Return UTC nanoseconds since 1970."""
        ...

    def monotonic_ns(self) -> int:
        """Return nanoseconds that never go backwards; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` of this clock pass."""
        ...


class WallClock:
    """The clock of the machine."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ScaledClock:
    """A clock that runs `speed` times as fast as the machine's and showed `start_ns` when that showed `anchor_ns`.

    For a simulated venue that runs faster than real time, and for everybody who talks with it: all processes that are
    given the same three numbers agree.
    """

    def __init__(self, anchor_ns: int, start_ns: int, speed: float) -> None:
        if speed <= 0.0:
            raise ValueError("a clock needs a speed above 0")
        self.anchor_ns, self.start_ns, self.speed = anchor_ns, start_ns, speed

    def now_ns(self) -> int:
        return self.start_ns + int((time.time_ns() - self.anchor_ns) * self.speed)

    def monotonic_ns(self) -> int:
        return int(time.monotonic_ns() * self.speed)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.speed)


class EventClock:
    """A clock that moves only when told to; shipped for tests, replay and back-test."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now = start_ns

    def now_ns(self) -> int:
        return self._now

    def monotonic_ns(self) -> int:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self.advance(int(seconds * NS_PER_S))
        await asyncio.sleep(0)

    def advance(self, ns: int) -> None:
        """Move `ns` nanoseconds (at least 0) forward."""
        if ns < 0:
            raise ValueError("an event clock never goes backwards")
        self._now += ns


def utc(ts_ns: int) -> datetime:
    """Return the UTC date and time of `ts_ns`, exact to the microsecond (the rest is cut)."""
    seconds, rest = divmod(ts_ns, NS_PER_S)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


def day(ts_ns: int) -> str:
    """Return the UTC day of `ts_ns` as YYYYMMDD."""
    return utc(ts_ns).strftime("%Y%m%d")


def iso_ms(ts_ns: int) -> str:
    """Return the UTC time of `ts_ns` as 2025-11-28T17:15:00.123."""
    return utc(ts_ns).isoformat(timespec="milliseconds").removesuffix("+00:00")
