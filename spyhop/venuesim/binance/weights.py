"""Request weights of an address and order counts of an account; too many and the answer is 429, then 418."""

from __future__ import annotations

from collections import Counter

import msgspec

from spyhop.clock import NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from spyhop.venuesim.binance.errors import BinanceError

PATIENCE = 3
"""How many requests that were answered 429 are forgiven before the address is banned."""
UNDER_WAY_NS = NS_PER_S
"""Requests so soon after the first 429 were sent before anybody could know of it; they are always forgiven."""
BAN_S = 120


class Limits(msgspec.Struct, frozen=True):
    """A venue's limits: weight a minute of an address, orders in 10 s and in a period of seconds of an account."""

    weight: int
    orders_10s: int
    orders_long: int
    long_s: int


class Allowance:
    """What addresses and accounts have used, in windows of the exchange's clock."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._minute = 0
        self._used: Counter[str] = Counter()
        self._orders: dict[tuple[str, int], tuple[int, int]] = {}
        self._stopped: dict[str, int] = {}
        self._forgiven: Counter[str] = Counter()
        self._refused_at: dict[str, int] = {}
        self._banned: dict[str, int] = {}
        self.num_throttled = 0
        self.num_banned = 0

    def charge(self, address: str, weight: int, now: int) -> int:
        """Count `weight` and return what the address has used this minute; raise 429 or 418."""
        self._check(address, now)
        if now // NS_PER_MINUTE != self._minute:
            self._minute = now // NS_PER_MINUTE
            self._used.clear()
        self._used[address] += weight
        if self._used[address] > self.limits.weight:
            self.stop(address, (self._minute + 1) * NS_PER_MINUTE)
            self._check(address, now)
        return self._used[address]

    def stop(self, address: str, until: int) -> None:
        """Answer 429 to the address until then."""
        self._stopped[address] = max(until, self._stopped.get(address, 0))

    def count_order(self, account: str, now: int, number: int = 1) -> dict[str, str]:
        """Count orders of an account and return the headers that say so; raise -1015."""
        headers = {}
        over = False
        for seconds, limit in ((10, self.limits.orders_10s), (self.limits.long_s, self.limits.orders_long)):
            window = now // (seconds * NS_PER_S)
            last, count = self._orders.get((account, seconds), (window, 0))
            count = (count if last == window else 0) + number
            over |= count > limit
            self._orders[account, seconds] = (window, count)
            headers[f"X-MBX-ORDER-COUNT-{_interval(seconds)}"] = str(count)
        if over:
            raise BinanceError(-1015, "Too many new orders; please slow down.", 429, 1)
        return headers

    def _check(self, address: str, now: int) -> None:
        banned = self._banned.get(address, 0)
        if now < banned:
            raise self._ban(banned, now)
        stopped = self._stopped.get(address, 0)
        if now >= stopped:
            self._forgiven.pop(address, None)
            self._refused_at.pop(address, None)
            return
        if now - self._refused_at.setdefault(address, now) >= UNDER_WAY_NS:
            self._forgiven[address] += 1
        if self._forgiven[address] > PATIENCE:
            self._banned[address] = now + BAN_S * NS_PER_S
            self.num_banned += 1
            raise self._ban(self._banned[address], now)
        self.num_throttled += 1
        raise BinanceError(
            -1003,
            f"Too many requests; current limit of IP({address}) is {self.limits.weight} requests per minute. "
            "Please use the websocket for live updates to avoid polling the API.",
            429,
            _seconds(stopped - now),
        )

    @staticmethod
    def _ban(until: int, now: int) -> BinanceError:
        text = f"Way too many requests; IP banned until {until // NS_PER_MS}. Please use the websocket for live updates"
        return BinanceError(-1003, f"{text} to avoid bans.", 418, _seconds(until - now))


def _seconds(ns: int) -> int:
    return max(-(-ns // NS_PER_S), 1)


def _interval(seconds: int) -> str:
    return f"{seconds}S" if seconds < 60 else f"{seconds // 60}M" if seconds < 86_400 else "1D"
