"""Books as REST and `subscribed` give them: today's, or, when a fault says so, one of some time ago."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from spyhop.venuesim.dydx.bodies import Bodies
from spyhop.venuesim.faults import FaultKind
from spyhop.venuesim.floor import Floor

_KEPT: Final = 120


class Snapshots:
    """Gives books, and keeps old ones while a fault may ask for them."""

    def __init__(self, floor: Floor, bodies: Bodies, label: str) -> None:
        self._floor, self._bodies, self._label = floor, bodies, label
        self._old: dict[str, deque[tuple[int, dict[str, Any]]]] = {}

    def remember(self) -> None:
        """Keep the books of now if a fault may want them; called with every block."""
        if FaultKind.OLD_SNAPSHOT not in self._floor.faults.kinds:
            self._old.clear()
            return
        for ticker in self._bodies.pairs:
            kept = self._old.setdefault(ticker, deque(maxlen=_KEPT))
            kept.append((self._floor.exchange.now, self._bodies.book(ticker)))

    def book(self, ticker: str) -> dict[str, Any]:
        """Return the book of a ticker, an old one when a fault strikes."""
        fault = self._floor.faults.hit(FaultKind.OLD_SNAPSHOT, self._label, ticker, "v4_orderbook")
        if fault is None:
            return self._bodies.book(ticker)
        latest = self._floor.exchange.now - fault.delay_ns
        old = [body for ts, body in self._old.get(ticker, ()) if ts <= latest]
        return old[-1] if old else self._bodies.book(ticker)
