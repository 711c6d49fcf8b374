"""What the indexer permits, and a client for it: 100 requests in 10 s for an address, waits told in milliseconds.

Candles have a larger budget of their own at the venue (1,000 in 10 s). They are counted with the rest here, which
errs on the safe side; a feed asks for them once in 10 s.
"""

from __future__ import annotations

from pathlib import Path

from spyhop.clock import Clock
from spyhop.venues.net.https import HttpClient
from spyhop.venues.net.limits import DYDX, SharedBudget

RETRY_AFTER_UNIT_S = 0.001


def budget(clock: Clock, path: Path | None = None) -> SharedBudget:
    """Return the budget of this machine's address; processes that give the same `path` share it."""
    return SharedBudget(clock, DYDX, path, name="dydx")


def client(clock: Clock, path: Path | None = None) -> HttpClient:
    """Return a client that keeps the budget of `path` and reads Retry-After as the indexer means it."""
    return HttpClient(clock, budget=budget(clock, path), retry_after_unit_s=RETRY_AFTER_UNIT_S)
