"""What the order stage reads off the tape: ends of sessions, between which prices was traded, what a quote shows."""

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


def quoted(events: Events, instrument: int) -> tuple[int, int] | None:
    """Return the lots at the best bid and at the best ask of the newest quote of `instrument`, None without one."""
    at = np.flatnonzero((events["kind"] == Kind.QUOTE) & (events["instrument"] == instrument))
    return (int(events["qty"][at[-1]]), int(events["aux2"][at[-1]])) if len(at) else None
