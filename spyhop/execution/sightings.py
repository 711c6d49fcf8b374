"""What the order stage reads off the tape: the ends of sessions, and between which prices was traded."""

from __future__ import annotations

import numpy as np

from spyhop.model.tape import Events, Kind, Status


def session_ends(events: Events) -> list[tuple[int, int]]:
    """Return time and instrument of each end of a session, in order."""
    at = np.flatnonzero((events["kind"] == Kind.STATUS) & (events["aux"] == Status.SESSION_END))
    return [(int(events["ts_recv"][i]), int(events["instrument"][i])) for i in at]


def traded_between(events: Events, instrument: int) -> tuple[int, int] | None:
    """Return the lowest and the highest price in ticks that `instrument` traded at, None without a trade."""
    prices = events["price"][(events["kind"] == Kind.TRADE) & (events["instrument"] == instrument)]
    return (int(prices.min()), int(prices.max())) if len(prices) else None
