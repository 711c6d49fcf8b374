"""What a sweep over ticks maximises: following a leader on both markets' best prices, by the time that we heard them.

At every quote of either the rules of `spyhop.numerics.follow` look at both mids, neither older than `max_age_s`, and at
the leader's a window ago. A latency after it the follower is entered at its ask, or sold at its bid, as they stand
then. From the next quote of the follower on its bid, or its ask, may touch the exits: a stop fills at what was quoted,
a take profit no better than its price. When the horizon is over the position is left at the quote of that moment. One
position at a time; the quote that ended it may give the next signal. An entry that the data cuts off is left out.

Quotes stream once for all settings that share a window; those see what the most permissive of them would enter at.
What becomes of an entry depends on the exits alone and is remembered among settings that share them, and of the
follower's quotes only those blocks are read whose extremes reach an exit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_HOUR, NS_PER_S
from spyhop.errors import UserError
from spyhop.numerics._jit import kernel
from spyhop.numerics.follow import BOTH, NOT_TOUCHED, STOP, entry_side, touched
from spyhop.research.objectives.bar_objectives import (
    DIRECTION,
    DISCOUNT,
    FALL,
    FOLLOW_PATHS,
    LEAVE,
    PREMIUM,
    RISE,
    STOP_LOSS,
    TAKE_PROFIT,
    WINDOW,
    follow_table,
    groups,
    nothing,
)
from spyhop.research.objectives.objective import Arrays, Evaluated
from spyhop.research.studies.bar_trips import cost_of_trip
from spyhop.strategies.lead import LeadParams

_BLOCK = 64
_UNFINISHED = -2


class TickFollow(msgspec.Struct, frozen=True, kw_only=True):
    """Following the leader on quotes, periods by the entry; `params` holds where a batch says nothing else.

    Arrays are those of `spyhop.research.objectives.tops.merged`. The spread that is paid lies in the gross.
    """

    params: LeadParams = LeadParams()
    fees_bps: float = 8.0
    """Of a round trip."""
    slippage_bps: float = 0.0
    """Of the entry, and of the exit, on top of bid and ask."""
    latency_ms: float = 200.0
    basis: float = 0.0
    """The leader's currency in the follower's less 1: what a spread without cause would show."""
    period_ns: int = NS_PER_HOUR

    @property
    def name(self) -> str:
        return "ticks"

    @property
    def paths(self) -> Sequence[str]:
        return FOLLOW_PATHS

    def periods(self, arrays: Arrays) -> npt.NDArray[np.int64]:
        """Return the beginnings of the periods that the quotes lie in, int64 (T,)."""
        first, last = (int(arrays["ts"][at]) // self.period_ns for at in (0, -1))
        return np.arange(first, last + 1, dtype=np.int64) * self.period_ns

    def evaluate(self, arrays: Arrays, names: Sequence[str], settings: npt.NDArray[np.float64]) -> Evaluated:
        """Evaluate `settings` (n, k); raise UserError for what is not a number or no length of time."""
        table = follow_table(self.params, names, settings)
        if not (table[:, (WINDOW, LEAVE)] >= 1e-9).all():
            raise UserError("lead.window_s and lead.horizon_s are a nanosecond or longer")
        periods = self.periods(arrays)
        earned = nothing(len(table), len(periods))
        ts, is_follower, bid, ask = (_read_only(arrays[name]) for name in ("ts", "is_follower", "bid", "ask"))
        follower = _follower(ts, is_follower, bid, ask)
        if not len(follower[0]):
            return earned
        order = np.lexsort(tuple(table[:, column] for column in (LEAVE, STOP_LOSS, TAKE_PROFIT, WINDOW)))
        max_age = _ns(self.params.max_age_s)
        latency = _ns(self.latency_ms / 1e3)
        costs = cost_of_trip(self.fees_bps, self.slippage_bps, 1)
        for rows in groups(table[:, WINDOW], order):
            least = table[rows, FALL : DISCOUNT + 1].min(axis=0)
            window = _ns(float(table[rows[0], WINDOW]))
            found = _candidates(ts, is_follower, bid, ask, self.basis, max_age, window, *least)
            when = latency, int(periods[0]), self.period_ns
            _follow_all(table, rows, ts, follower, found, when, costs, earned.pnl, earned.num_trades)
        return earned


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


@kernel
def _follower(ts: Any, is_follower: Any, bid: Any, ask: Any) -> Any:
    """Return the follower's quotes (times, bids, asks, index of each) and the extremes of each block of them."""
    n = int(np.sum(is_follower))
    times, where = np.empty(n, np.int64), np.empty(n, np.int64)
    bids, asks = np.empty(n), np.empty(n)
    j = 0
    for i in range(len(ts)):
        if is_follower[i]:
            times[j], where[j], bids[j], asks[j] = ts[i], i, bid[i], ask[i]
            j += 1
    num_blocks = (n + _BLOCK - 1) // _BLOCK
    extremes = np.empty((num_blocks, 4))
    for block in range(num_blocks):
        first, stop = block * _BLOCK, min(n, (block + 1) * _BLOCK)
        extremes[block, 0], extremes[block, 1] = bids[first:stop].min(), bids[first:stop].max()
        extremes[block, 2], extremes[block, 3] = asks[first:stop].min(), asks[first:stop].max()
    return times, bids, asks, where, extremes


@kernel
def _candidates(
    ts: Any,
    is_follower: Any,
    bid: Any,
    ask: Any,
    basis: float,
    max_age: int,
    window: int,
    fall: float,
    rise: float,
    premium: float,
    discount: float,
) -> Any:
    """Return the quotes at which any setting may enter, and what each saw: leader's return and spread."""
    room = 1024
    at, returns, apart = np.empty(room, np.int64), np.empty(room), np.empty(room)
    count = 0
    leader = follower = past = np.nan
    leader_at = follower_at = ts[0] - max_age - 1
    j = 0
    for i in range(len(ts)):
        now = ts[i]
        if is_follower[i]:
            follower, follower_at = 0.5 * (bid[i] + ask[i]), now
        else:
            leader, leader_at = 0.5 * (bid[i] + ask[i]), now
        while ts[j] <= now - window:
            if not is_follower[j]:
                past = 0.5 * (bid[j] + ask[j])
            j += 1
        if now - leader_at > max_age or now - follower_at > max_age:
            continue
        leader_return = leader / past - 1
        spread = (follower - leader) / leader - basis
        if entry_side(leader_return, spread, fall, rise, premium, discount, BOTH) != 0:
            if count == room:
                at = np.concatenate((at, np.empty(room, np.int64)))
                returns, apart = np.concatenate((returns, np.empty(room))), np.concatenate((apart, np.empty(room)))
                room *= 2
            at[count], returns[count], apart[count] = i, leader_return, spread
            count += 1
    return at[:count].copy(), returns[:count].copy(), apart[:count].copy()


@kernel
def _touched_at(follower: Any, first: int, stop: int, side: int, profit_at: float, stop_at: float) -> Any:
    """Return (quote of the follower, reason) of the first touch among quotes `first` to `stop`; `stop` without one."""
    _, bids, asks, _, extremes = follower
    prices = bids if side > 0 else asks
    column = 0 if side > 0 else 2
    j = first
    while j < stop:
        if j % _BLOCK == 0:
            block = j // _BLOCK
            low, high = extremes[block, column], extremes[block, column + 1]
            if touched(side, profit_at, stop_at, low, high) == NOT_TOUCHED:
                j += _BLOCK
                continue
        reason = touched(side, profit_at, stop_at, prices[j], prices[j])
        if reason != NOT_TOUCHED:
            return j, reason
        j += 1
    return stop, NOT_TOUCHED


@kernel
def _become(ts: Any, follower: Any, entered_at: int, side: int, asked: Any) -> Any:
    """Return (index of the quote from which on the next signal may come, gross) of an entry at a time."""
    times, bids, asks, where, _ = follower
    held = int(np.searchsorted(times, entered_at, side="right")) - 1
    # a candidate has seen a quote of the follower, so there is one
    entry = asks[held] if side > 0 else bids[held]
    profit_at = entry * (1 + side * asked[TAKE_PROFIT])
    stop_at = entry * (1 - side * asked[STOP_LOSS])
    leave_at = entered_at + round(asked[LEAVE] * NS_PER_S)
    stop = int(np.searchsorted(times, leave_at, side="right"))
    j, reason = _touched_at(follower, held + 1, stop, side, profit_at, stop_at)
    if reason != NOT_TOUCHED:
        price = profit_at
        if reason == STOP:
            price = bids[j] if side > 0 else asks[j]
        return where[j], side * (price / entry - 1)
    if leave_at > ts[-1]:
        return _UNFINISHED, 0.0
    price = bids[stop - 1] if side > 0 else asks[stop - 1]
    return np.searchsorted(ts, leave_at), side * (price / entry - 1)


@kernel
def _follow_all(
    table: Any,
    rows: Any,
    ts: Any,
    follower: Any,
    candidates: Any,
    when: Any,
    costs: float,
    pnl: Any,
    num_trades: Any,
) -> None:
    """Trade the settings `rows` of `table`, which share a window and are sorted by their exits."""
    at, returns, apart = candidates
    latency, start, period_ns = when
    told = np.full(len(at), -1, np.int64)
    resumes = np.empty(len(at), np.int64)
    gross = np.empty(len(at))
    number = 0
    for m in range(len(rows)):
        row = rows[m]
        asked = table[row]
        if m > 0:
            before = table[rows[m - 1]]
            if (
                asked[TAKE_PROFIT] != before[TAKE_PROFIT]
                or asked[STOP_LOSS] != before[STOP_LOSS]
                or asked[LEAVE] != before[LEAVE]
            ):
                number = m
        fall, rise, premium, discount = asked[FALL], asked[RISE], asked[PREMIUM], asked[DISCOUNT]
        mode = int(asked[DIRECTION])
        count = 0
        earned = 0.0
        within = -1
        j = 0
        while j < len(at):
            side = entry_side(returns[j], apart[j], fall, rise, premium, discount, mode)
            if side == 0:
                j += 1
                continue
            entered_at = ts[at[j]] + latency
            if entered_at > ts[-1]:
                break
            if told[j] != number:
                told[j] = number
                left, gross[j] = _become(ts, follower, entered_at, side, asked)
                resumes[j] = _UNFINISHED if left == _UNFINISHED else np.searchsorted(at, left)
            if resumes[j] == _UNFINISHED:
                break
            entered = (entered_at - start) // period_ns
            if entered != within:
                if within >= 0:
                    pnl[row, within] = earned
                within, earned = entered, 0.0
            earned += gross[j] - costs
            count += 1
            j = resumes[j]
        if within >= 0:
            pnl[row, within] = earned
        num_trades[row] = count
