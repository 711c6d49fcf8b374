"""Following a leader on quotes the plain way: every quote is read for every setting. What a sweep is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.numerics._jit import kernel
from spyhop.numerics.follow import NOT_TOUCHED, STOP, entry_side, touched
from spyhop.research.objectives.bar_objectives import (
    DIRECTION,
    DISCOUNT,
    FALL,
    LEAVE,
    PREMIUM,
    RISE,
    STOP_LOSS,
    TAKE_PROFIT,
    WINDOW,
)
from spyhop.research.objectives.objective import Arrays, Evaluated
from spyhop.research.objectives.tick_objective import TickFollow
from spyhop.research.studies.bar_trips import cost_of_trip

_FLAT, _ORDERED, _OPEN = range(3)


def plain_loop(objective: TickFollow, arrays: Arrays, table: npt.NDArray[np.float64]) -> Evaluated:
    """Return what each setting earned in all, (n,), and its number of trades; columns as FOLLOW_PATHS."""
    pnl, num_trades = np.zeros(len(table)), np.zeros(len(table), np.int32)
    costs = cost_of_trip(objective.fees_bps, objective.slippage_bps, 1)
    times = round(objective.latency_ms * NS_PER_MS), round(objective.params.max_age_s * NS_PER_S)
    columns = tuple(arrays[name] for name in ("ts", "is_follower", "bid", "ask"))
    for row, setting in enumerate(table):
        earned, num_trades[row] = _walk(*columns, setting, *times, objective.basis)
        pnl[row] = earned - costs * num_trades[row]
    return Evaluated(pnl, num_trades)


@kernel
def _walk(ts: Any, is_follower: Any, bid: Any, ask: Any, asked: Any, latency: int, max_age: int, basis: float) -> Any:
    window, horizon = round(asked[WINDOW] * NS_PER_S), round(asked[LEAVE] * NS_PER_S)
    leader = past = low = high = entry = np.nan
    leader_at = follower_at = ts[0] - max_age - 1
    state, side, due = _FLAT, 0, ts[0]
    earned, count, j = 0.0, 0, 0
    for i in range(len(ts) + 1):
        # after the last quote time goes on to that quote's own moment
        now = ts[i] if i < len(ts) else ts[-1] + 1
        if state == _ORDERED and due < now:
            state, entry, due = _OPEN, high if side > 0 else low, due + horizon
        if state == _OPEN and due < now:
            earned += side * ((low if side > 0 else high) / entry - 1)
            state, count = _FLAT, count + 1
        if i == len(ts):
            break
        if is_follower[i]:
            low, high, follower_at = bid[i], ask[i], now
            if state == _OPEN:
                profit_at, stop_at = entry * (1 + side * asked[TAKE_PROFIT]), entry * (1 - side * asked[STOP_LOSS])
                quoted = low if side > 0 else high
                reason = touched(side, profit_at, stop_at, quoted, quoted)
                if reason != NOT_TOUCHED:
                    earned += side * ((quoted if reason == STOP else profit_at) / entry - 1)
                    state, count = _FLAT, count + 1
        else:
            leader, leader_at = 0.5 * (bid[i] + ask[i]), now
        while ts[j] <= now - window:
            if not is_follower[j]:
                past = 0.5 * (bid[j] + ask[j])
            j += 1
        if state != _FLAT or now - leader_at > max_age or now - follower_at > max_age:
            continue
        spread = (0.5 * (low + high) - leader) / leader - basis
        fall, rise, premium, discount = asked[FALL], asked[RISE], asked[PREMIUM], asked[DISCOUNT]
        side = entry_side(leader / past - 1, spread, fall, rise, premium, discount, int(asked[DIRECTION]))
        if side != 0:
            state, due = _ORDERED, now + latency
    return earned, count
