"""Rate budgets: what one address may ask of a venue, shared by every process of the machine through a small file.

Our own counting slides: within any stretch of a window's length, wherever it begins, no more than the safe share of
the limit is spent, so it does not matter how the venue aligns its windows. What the venue says in its headers only
ever corrects our count upwards. Times are those of the clock that is given, which must be the same for all who share: a
file belongs to one venue and one clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import msgspec

from spyhop.clock import NS_PER_S, Clock
from spyhop.errors import Throttled, VenueUnavailable
from spyhop.venues.net.shared_record import SharedRecord

SLOTS = 20
"""A window is counted in so many slots; its effective length is longer by one slot."""
SAFE_SHARE = 0.9
BAN_S = {429: 10.0, 418: 120.0}
"""How long to stay away, by status, when the venue does not say."""
_LONGEST_BAN_NS = 4 * 86_400 * NS_PER_S
_LOCK_TRIES = 2_000
_LOCK_PAUSE_S = 0.001
_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "SECOND": 1, "MINUTE": 60, "HOUR": 3_600, "DAY": 86_400}
_COUNTER = re.compile(r"x-mbx-(used-weight|order-count)-(\d+)([smhd])")


class Counted(StrEnum):
    """What a limit counts."""

    WEIGHT = "weight"
    ORDERS = "orders"
    REQUESTS = "requests"


class Limit(msgspec.Struct, frozen=True):
    """At most `most` of something within `window_s` seconds."""

    counted: Counted
    window_s: int
    most: int

    @property
    def key(self) -> str:
        return f"{self.counted}/{self.window_s}"


BINANCE_USDM = (
    Limit(Counted.WEIGHT, 60, 2_400),
    Limit(Counted.ORDERS, 10, 300),
    Limit(Counted.ORDERS, 60, 1_200),
)
"""What holds until exchangeInfo has been read."""
BINANCE_SPOT = (Limit(Counted.WEIGHT, 60, 6_000), Limit(Counted.ORDERS, 10, 100), Limit(Counted.REQUESTS, 300, 61_000))
DYDX = (Limit(Counted.REQUESTS, 10, 100),)


class Budget(Protocol):
    """Whoever must be asked before a request is sent."""

    async def acquire(self, weight: int = 1, orders: int = 0) -> None:
        """Wait until the request fits and charge it; raise Throttled while the venue has shut us out."""
        ...

    async def note(self, headers: Mapping[str, str], status: int, retry_after_s: float | None = None) -> None:
        """Take what an answer says: counters in its (lower-case) headers, and being shut out by 429 or 418."""
        ...


class _Spent(msgspec.Struct):
    """What was spent in the slots up to the number `last`, oldest first."""

    last: int = 0
    slots: list[int] = []

    def turned_to(self, now: int) -> None:
        """Make `now` the newest slot. What a clock put far back has spent counts as spent now."""
        if not self.slots:
            self.slots = [0] * (SLOTS + 1)
        if now < self.last - SLOTS:
            self.slots = [0] * SLOTS + [sum(self.slots)]
        elif now <= self.last:
            return  # clocks of one machine may differ by a hair
        else:
            passed = min(now - self.last, SLOTS + 1)
            self.slots = self.slots[passed:] + [0] * passed
        self.last = now

    def slots_until(self, room: int) -> int:
        """Return how many slots must pass until at most `room` is spent."""
        left = sum(self.slots)
        for passed, spent in enumerate(self.slots):
            if left <= room:
                return passed
            left -= spent
        return len(self.slots)


class _Ledger(msgspec.Struct):
    """Everything that is shared: by limit what was spent, and until when we are shut out."""

    spent: dict[str, _Spent] = {}
    shut_until: int = 0
    shut_status: int = 0


class SharedBudget:
    """A Budget of several limits at once. `name` is shown in errors; without `path` only this process is counted.

    Waits are the clock's. A charge is written down before its request is sent, so a process that dies has never spent
    more than is known.
    """

    def __init__(
        self,
        clock: Clock,
        limits: Sequence[Limit],
        path: Path | None = None,
        *,
        name: str = "venue",
        share: float = SAFE_SHARE,
    ) -> None:
        if not 0.0 < share <= 1.0:
            raise ValueError("a share of a limit is above 0 and at most 1")
        self.limits: tuple[Limit, ...] = tuple(limits)
        self.name = name
        self._clock = clock
        self._share = share
        self._record = SharedRecord(path)
        self._ledger = _Ledger()
        self.num_waits = 0
        self.num_shut_out = 0

    def set_limits(self, limits: Sequence[Limit]) -> None:
        """Take limits that the venue has told, such as those of `limits_of`; no limits change nothing."""
        self.limits = tuple(limits) or self.limits

    async def acquire(self, weight: int = 1, orders: int = 0) -> None:
        """Wait until every limit has room and charge them all.

        Raise Throttled at once while the venue has shut us out (429, 418), ValueError for what no limit can ever
        hold, VenueUnavailable when the shared file cannot be had.
        """
        costs = {Counted.WEIGHT: weight, Counted.ORDERS: orders, Counted.REQUESTS: 1}
        for limit in self.limits:
            if costs[limit.counted] > self._safe(limit):
                raise ValueError(f"{costs[limit.counted]} of {limit.key} at once, and {self._safe(limit)} are allowed")
        while True:
            async with self._held():
                wait_ns = self._charged(costs)
            if not wait_ns:
                return
            self.num_waits += 1
            await self._clock.sleep(wait_ns / NS_PER_S)

    async def note(self, headers: Mapping[str, str], status: int, retry_after_s: float | None = None) -> None:
        """Correct our counts up to the venue's, and stop everybody for `retry_after_s` after a 429 or 418.

        Without `retry_after_s` a 429 stops for 10 s and a 418 for 2 minutes.
        """
        used = self._told(headers)
        if not used and status not in BAN_S:
            return
        async with self._held():
            now = self._clock.now_ns()
            for limit, count in used:
                spent = self._turned(limit, now)
                spent.slots[-1] += max(count - sum(spent.slots), 0)
            if status in BAN_S:
                seconds = BAN_S[status] if retry_after_s is None else retry_after_s
                self._ledger.shut_until = max(self._ledger.shut_until, now + int(seconds * NS_PER_S))
                self._ledger.shut_status = status
            self._record.save(msgspec.msgpack.encode(self._ledger))

    def statistics(self) -> dict[str, int]:
        """Return what was spent of each limit as this process last saw it, its waits and its refusals when shut out."""
        used = {key: sum(spent.slots) for key, spent in self._ledger.spent.items()}
        return {**used, "waits": self.num_waits, "shut_out": self.num_shut_out}

    def _charged(self, costs: Mapping[Counted, int]) -> int:
        """Charge `costs` and return 0, or charge nothing and return how many nanoseconds to wait."""
        now = self._clock.now_ns()
        if now < self._ledger.shut_until <= now + _LONGEST_BAN_NS:
            self.num_shut_out += 1
            raise Throttled(self.name, self._ledger.shut_status, (self._ledger.shut_until - now) / NS_PER_S)
        wait_ns = 0
        for limit in self.limits:
            spent = self._turned(limit, now)
            num_slots = spent.slots_until(self._safe(limit) - costs[limit.counted])
            if num_slots:
                wait_ns = max(wait_ns, (spent.last + num_slots) * _slot_ns(limit) - now)
        if wait_ns:
            return wait_ns
        for limit in self.limits:
            self._ledger.spent[limit.key].slots[-1] += costs[limit.counted]
        self._record.save(msgspec.msgpack.encode(self._ledger))
        return 0

    def _load(self) -> None:
        """Take what the others have written. After damage everything counts as spent: that heals within a window."""
        held = self._record.load()
        if held is None:
            return
        try:
            self._ledger = msgspec.msgpack.decode(held, type=_Ledger)
        except msgspec.MsgspecError:
            now = self._clock.now_ns()
            self._ledger = _Ledger()
            for limit in self.limits:
                self._turned(limit, now).slots[-1] = self._safe(limit)
            self._record.save(msgspec.msgpack.encode(self._ledger))

    def _turned(self, limit: Limit, now: int) -> _Spent:
        spent = self._ledger.spent.setdefault(limit.key, _Spent())
        spent.turned_to(now // _slot_ns(limit))
        return spent

    def _safe(self, limit: Limit) -> int:
        return max(int(limit.most * self._share), 1)

    def _told(self, headers: Mapping[str, str]) -> list[tuple[Limit, int]]:
        """Return the counts of our limits that the headers tell."""
        told: dict[str, int] = {}
        for name, value in headers.items():
            counter = _COUNTER.fullmatch(name)
            if counter and value.isdigit():
                counted = Counted.WEIGHT if counter[1] == "used-weight" else Counted.ORDERS
                told[f"{counted}/{int(counter[2]) * _UNIT_S[counter[3]]}"] = int(value)
        used = [(limit, told[limit.key]) for limit in self.limits if limit.key in told]
        most, left = headers.get("ratelimit-limit", ""), headers.get("ratelimit-remaining", "")
        if most.isdigit() and left.isdigit():
            used += [(limit, int(most) - int(left)) for limit in self.limits if limit.counted is Counted.REQUESTS]
        return used

    @contextlib.asynccontextmanager
    async def _held(self) -> AsyncIterator[None]:
        """Hold the record, freshly read; nothing may be awaited meanwhile."""
        try:
            for _ in range(_LOCK_TRIES):
                if self._record.try_lock():
                    break
                await asyncio.sleep(_LOCK_PAUSE_S)
            else:
                raise VenueUnavailable(self.name, 0, "another process does not let go of the shared rate budget")
            self._load()
            yield
        except OSError as error:
            reason = f"the shared rate budget cannot be kept: {error.strerror or error}"
            raise VenueUnavailable(self.name, 0, reason) from error
        finally:
            self._record.unlock()


def retry_after_s(headers: Mapping[str, str], unit_s: float) -> float | None:
    """Return the seconds of a Retry-After header counted in `unit_s`, None without a readable one."""
    try:
        seconds = float(headers["retry-after"]) * unit_s
    except (KeyError, ValueError):
        return None
    return seconds if 0.0 <= seconds * NS_PER_S <= _LONGEST_BAN_NS else None


def limits_of(exchange_info: bytes | Mapping[str, Any]) -> tuple[Limit, ...]:
    """Return the limits that a body of Binance's exchangeInfo tells; what cannot be read is left out."""
    try:
        body = msgspec.json.decode(exchange_info) if isinstance(exchange_info, bytes) else exchange_info
    except msgspec.MsgspecError:
        return ()
    rows = body.get("rateLimits") if isinstance(body, Mapping) else None
    return tuple(limit for row in rows or () if (limit := _limit(row)) is not None) if isinstance(rows, list) else ()


_COUNTED = {"REQUEST_WEIGHT": Counted.WEIGHT, "ORDERS": Counted.ORDERS, "RAW_REQUESTS": Counted.REQUESTS}


def _limit(row: object) -> Limit | None:
    match row:
        case {"rateLimitType": str(kind), "interval": str(unit), "intervalNum": int(num), "limit": int(most)}:
            if kind in _COUNTED and unit in _UNIT_S and 0 < num <= 1_000 and most > 0:
                return Limit(_COUNTED[kind], num * _UNIT_S[unit], most)
    return None


def _slot_ns(limit: Limit) -> int:
    return limit.window_s * NS_PER_S // SLOTS
