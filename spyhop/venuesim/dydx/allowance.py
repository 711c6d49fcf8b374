"""How many requests an address may make in a window, and the headers that say so; Retry-After is in milliseconds."""

from __future__ import annotations

from typing import Final

import msgspec

from spyhop.clock import NS_PER_MS, NS_PER_S

WINDOW_NS: Final = 10 * NS_PER_S
REQUESTS: Final = 100
CANDLE_REQUESTS: Final = 1_000


class Verdict(msgspec.Struct, frozen=True):
    """Whether a request may pass, and what to tell."""

    is_allowed: bool
    headers: dict[str, str]


class Allowance:
    """Points per address and kind of request; a window starts with the first request in it."""

    def __init__(self) -> None:
        self._used: dict[tuple[str, bool], tuple[int, int]] = {}

    def spend(self, address: str, now: int, *, is_candles: bool, retry_ns: int = 0) -> Verdict:
        """Count a request at `now`; a `retry_ns` above 0 refuses it and says to wait so long."""
        limit = CANDLE_REQUESTS if is_candles else REQUESTS
        start, used = self._used.get((address, is_candles), (now, 0))
        if now - start >= WINDOW_NS:
            start, used = now, 0
        used += 1
        self._used[address, is_candles] = (start, used)
        reset = start + WINDOW_NS
        is_allowed = used <= limit and not retry_ns
        headers = {
            "RateLimit-Limit": str(limit),
            "RateLimit-Remaining": str(max(limit - used, 0)),
            "RateLimit-Reset": str(reset // NS_PER_MS),
        }
        if not is_allowed:
            headers["Retry-After"] = str((retry_ns or reset - now) // NS_PER_MS)
        return Verdict(is_allowed, headers)
