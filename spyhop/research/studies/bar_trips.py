"""What would have been traded on minute bars of a leader and its follower: plain kernels that read bars once.

The reference of studies; a sweep must give the same trips. A follower is entered at the close that gave the signal or,
with a latency, at the open of the first bar that begins no sooner than that long after it. Its two exits are standing
orders: a bar that opens beyond the stop fills it at the open, a bar that reaches both exits fills the stop, and a take
profit never fills better than its price. A missing bar touches nothing while its time counts. Prices are of bars, so
what happened within a minute, and whether anybody would have traded at a close, they do not say.

All results here are gross; `net` takes the costs off, so that one walk serves any number of costs.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S
from spyhop.errors import UserError
from spyhop.numerics._jit import kernel
from spyhop.numerics.follow import BOTH, HORIZON, LONG_ONLY, NOT_TOUCHED, SHORT_ONLY, STOP, entry_side, touched
from spyhop.strategies.lead import LeadParams

Floats: TypeAlias = npt.NDArray[np.float64]

REVERTED = 4
"""Why a reversion was left: the spread came back; the other reasons are those of `spyhop.numerics.follow`."""

MODE = {"both": BOTH, "long": LONG_ONLY, "short": SHORT_ONLY}
"""`lead.direction` as the rules take it."""

TRIP = np.dtype(
    [
        ("i_signal", "i8"),  # bars
        ("i_entry", "i8"),
        ("i_exit", "i8"),
        ("entered_at", "i8"),  # ns UTC; an exit within a bar is dated by the bar's close
        ("left_at", "i8"),
        ("side", "i8"),  # of the follower
        ("reason", "i8"),
        ("entry", "f8"),  # prices of the follower
        ("exit", "f8"),
        ("spread_entry", "f8"),  # at the signal, and at the close of the bar of the exit
        ("spread_exit", "f8"),
        ("leader_return", "f8"),  # over the signal's window; of a reversion: while it was held
        ("gross", "f8"),  # fraction of the follower's notional at the entry
    ],
    align=True,
)


class MinuteBars(NamedTuple):
    """A leader's and a follower's bars, one row a minute without holes.

    `ts` int64, close times in nanoseconds UTC; the others float64: the leader's close, the follower's open, high, low
    and close (all NaN where a bar is missing) and `basis`, the leader's currency in the follower's less 1 (0.0 where it
    is not known): what a spread without cause would show. `_asdict()` is the arrays of a sweep.
    """

    ts: npt.NDArray[np.int64]
    leader: Floats
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    basis: Floats


class ReversionParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When both legs are entered and left again; fractions, the seed's. Without a horizon the exit is waited for."""

    entry_frac: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.0008
    exit_frac: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0003
    horizon_s: Annotated[float, msgspec.Meta(gt=0)] | None = None


class Signals(NamedTuple):
    """What each bar's close says, (n,): `side` int8 of the follower, spread and leader's return, NaN if unknown."""

    side: npt.NDArray[np.int8]
    spread: Floats
    leader_return: Floats


class Trips(NamedTuple):
    """`rows` of TRIP by time, and what is not among them.

    `num_signals` are the bars that asked for an entry while there was no position, `num_missed` those of them whose
    bar of entry is missing or lies after the data, `num_unfinished` the positions that the data's end cut off.
    """

    rows: npt.NDArray[Any]
    num_signals: int
    num_missed: int
    num_unfinished: int


class Exits(NamedTuple):
    """How a position of following is left, as kernels take it: fractions, and whole bars."""

    take_profit: float
    stop_loss: float
    horizon: int
    latency: int


def signals(bars: MinuteBars, params: LeadParams) -> Signals:
    """Return what the rules of following say at each close; raise UserError for a window of part minutes."""
    thresholds = params.fall_frac, params.rise_frac, params.premium_frac, params.discount_frac
    return Signals(*_signals(bars, whole_bars(params.window_s), *thresholds, MODE[params.direction]))


def exits_of(params: LeadParams, latency_s: float) -> Exits:
    """Return the exits of `params` in whole bars, rounded up."""
    return Exits(params.take_profit_frac, params.stop_loss_frac, bars_within(params.horizon_s), bars_behind(latency_s))


def follow_trips(bars: MinuteBars, params: LeadParams, latency_s: float = 0.0) -> Trips:
    """Return the trips of following the leader, one position at a time."""
    rows = np.zeros(len(bars.ts), TRIP)
    return _trips(rows, *_follow(rows, bars, signals(bars, params), exits_of(params, latency_s)))


def trips_at(
    bars: MinuteBars,
    i_signal: npt.NDArray[np.int64],
    side: npt.NDArray[np.int8],
    params: LeadParams,
    latency_s: float = 0.0,
) -> Trips:
    """Return the trips of entries at given bars and sides (m,), each on its own, with the exits of `params`.

    What entries at random would have earned: they may overlap, so all minutes can be computed once and drawn from.
    """
    rows = np.zeros(len(i_signal), TRIP)
    entries = np.asarray(i_signal, np.int64), np.asarray(side, np.int8)
    return _trips(rows, *_each(rows, *entries, bars, signals(bars, params), exits_of(params, latency_s)))


def reversion_trips(bars: MinuteBars, params: ReversionParams, latency_s: float = 0.0) -> Trips:
    """Return the trips of both legs while the spread is wide, one position at a time, entered and left at closes.

    With a latency both happen at the first closes that long after the close that decided it.
    """
    spread = spreads(bars)
    horizon = -1 if params.horizon_s is None else bars_within(params.horizon_s)
    rows = np.zeros(len(bars.ts), TRIP)
    thresholds = params.entry_frac, params.exit_frac, horizon, bars_within(latency_s)
    return _trips(rows, *_revert(rows, bars, spread, *thresholds))


def net(
    rows: npt.NDArray[Any], fees_bps: float, slippage_bps: float = 0.0, num_legs: int = 1, funding_per_h: float = 0.0
) -> Floats:
    """Return what each trip of `rows` earned after costs, a fraction of the follower's notional.

    `fees_bps` are those of the whole round trip, all legs; `slippage_bps` of each entry and each exit of each leg;
    `funding_per_h` the follower's rate an hour, which a long pays and a short receives.
    """
    hours = (rows["left_at"] - rows["entered_at"]) / NS_PER_HOUR
    funding = rows["side"] * funding_per_h * hours
    earned: Floats = rows["gross"] - cost_of_trip(fees_bps, slippage_bps, num_legs) - funding
    return earned


def cost_of_trip(fees_bps: float, slippage_bps: float, num_legs: int) -> float:
    """Return fees and slippage of one trip as a fraction of one leg's notional."""
    return fees_bps / 1e4 + 2 * num_legs * slippage_bps / 1e4


def spreads(bars: MinuteBars) -> Floats:
    """Return how far the follower stands above its leader at each close, basis out, NaN where either is missing."""
    found: Floats = (bars.close - bars.leader) / bars.leader - bars.basis
    return found


def whole_bars(seconds: float) -> int:
    """Return how many bars a window of `seconds` is; raise UserError unless it is whole minutes."""
    bars = round(seconds / 60)
    if bars < 1 or bars * 60 != seconds:
        raise UserError(f"a window on minute bars is whole minutes, such as 300 s, not {seconds:g} s")
    return bars


def bars_within(seconds: float) -> int:
    """Return the least number of bars that take `seconds` or longer; raise UserError for less than none."""
    if not 0 <= seconds < math.inf:
        raise UserError(f"{seconds:g} s is no length of time")
    return -(-round(seconds * NS_PER_S) // NS_PER_MINUTE)


def bars_behind(latency_s: float) -> int:
    """Return which bar's open is the first no sooner than `latency_s` after a close, counted from the close's bar.

    0 for no latency: the close itself. The next bar opens at that very instant, so it comes too soon for any other.
    """
    return 1 + bars_within(latency_s) if latency_s else 0


def _trips(rows: npt.NDArray[Any], count: int, num_signals: int, num_missed: int, num_unfinished: int) -> Trips:
    return Trips(rows[:count].copy(), num_signals, num_missed, num_unfinished)


@kernel
def _signals(bars: Any, window: int, fall: float, rise: float, premium: float, discount: float, mode: int) -> Any:
    leader = bars.leader
    n = len(leader)
    side = np.zeros(n, np.int8)
    spread = (bars.close - leader) / leader - bars.basis
    leader_return = np.full(n, np.nan)
    for i in range(n):
        if i >= window:
            leader_return[i] = leader[i] / leader[i - window] - 1
        side[i] = entry_side(leader_return[i], spread[i], fall, rise, premium, discount, mode)
    return side, spread, leader_return


@kernel
def way_out(bars: Any, first: int, last: int, side: int, entry: float, take_profit: float, stop_loss: float) -> Any:
    """Return (bar, reason, price) of the exit of a position whose exits are looked for from bar `first` on.

    At the close of bar `last`, or of the first one after it that is there, the horizon is over; the bar is -1 when
    the data ends before.
    """
    opens, high, low, close = bars.open, bars.high, bars.low, bars.close
    profit_at = entry * (1 + side * take_profit)
    stop_at = entry * (1 - side * stop_loss)
    for k in range(first, len(close)):
        reason = touched(side, profit_at, stop_at, low[k], high[k])
        if reason == STOP:
            worse = min(stop_at, opens[k]) if side > 0 else max(stop_at, opens[k])
            return k, STOP, worse
        if reason != NOT_TOUCHED:
            return k, reason, profit_at
        if k >= last and close[k] == close[k]:
            return k, HORIZON, close[k]
    return -1, NOT_TOUCHED, 0.0


@kernel
def _trade(row: Any, i: int, side: int, bars: Any, said: Any, exits: Any) -> int:
    """Fill `row` with the trip of a signal; return the bar of its exit, -1: no entry, -2: unfinished."""
    ts, close = bars.ts, bars.close
    at = i + exits.latency
    entry = np.nan
    if at < len(close):
        entry = close[at] if exits.latency == 0 else bars.open[at]
    if not entry > 0.0:
        return -1
    # a bar that is entered at its open is itself the first of the position
    first = at + 1 if exits.latency == 0 else at
    last = first + exits.horizon - 1
    k, reason, price = way_out(bars, first, last, side, entry, exits.take_profit, exits.stop_loss)
    if k < 0:
        return -2
    row.i_signal, row.i_entry, row.i_exit = i, at, k
    row.entered_at = ts[at] if exits.latency == 0 else ts[at] - NS_PER_MINUTE
    row.left_at = ts[k]
    row.side, row.reason, row.entry, row.exit = side, reason, entry, price
    row.spread_entry, row.spread_exit, row.leader_return = said.spread[i], said.spread[k], said.leader_return[i]
    row.gross = side * (price / entry - 1)
    return int(k)


@kernel
def _follow(rows: Any, bars: Any, said: Any, exits: Any) -> Any:
    count = num_signals = num_missed = num_unfinished = 0
    i = 0
    while i < len(bars.ts):
        resume = i + 1
        if said.side[i] != 0:
            num_signals += 1
            left = _trade(rows[count], i, said.side[i], bars, said, exits)
            if left == -2:
                num_unfinished += 1
                break
            if left == -1:
                # until then nobody knew
                resume = i + max(1, exits.latency)
                num_missed += 1
            else:
                resume = left
                count += 1
        i = resume
    return count, num_signals, num_missed, num_unfinished


@kernel
def _each(rows: Any, at: Any, side: Any, bars: Any, said: Any, exits: Any) -> Any:
    count = num_missed = num_unfinished = 0
    for m in range(len(at)):
        left = _trade(rows[count], at[m], side[m], bars, said, exits)
        if left == -2:
            num_unfinished += 1
        elif left == -1:
            num_missed += 1
        else:
            count += 1
    return count, len(at), num_missed, num_unfinished


@kernel
def _revert(rows: Any, bars: Any, spread: Any, wide: float, narrow: float, horizon: int, latency: int) -> Any:
    ts, leader, close = bars.ts, bars.leader, bars.close
    count = num_signals = num_missed = num_unfinished = 0
    n = len(ts)
    i = 0
    while i < n:
        if not abs(spread[i]) >= wide:
            i += 1
            continue
        num_signals += 1
        at = i + latency
        if at >= n or not close[at] / leader[at] > 0.0:
            num_missed += 1
            i += max(1, latency)
            continue
        k, reason = way_back(bars, spread, at, narrow, horizon, latency)
        if k < 0:
            num_unfinished += 1
            break
        row = rows[count]
        row.i_signal, row.i_entry, row.i_exit = i, at, k
        row.entered_at, row.left_at = ts[at], ts[k]
        row.side = -1 if spread[i] > 0 else 1
        row.reason, row.entry, row.exit = reason, close[at], close[k]
        row.spread_entry, row.spread_exit = spread[i], spread[k]
        row.leader_return = leader[k] / leader[at] - 1
        row.gross = row.side * ((close[k] / close[at] - 1) - row.leader_return)
        count += 1
        i = k
    return count, num_signals, num_missed, num_unfinished


@kernel
def way_back(bars: Any, spread: Any, at: int, narrow: float, horizon: int, latency: int) -> Any:
    """Return (bar, reason) of the exit of two legs entered at the close of bar `at`; the bar is -1 without one."""
    leader, close = bars.leader, bars.close
    for j in range(at + 1, len(close)):
        reason = NOT_TOUCHED
        if abs(spread[j]) <= narrow:
            reason = REVERTED
        elif horizon >= 0 and j - at >= horizon:
            reason = HORIZON
        if reason != NOT_TOUCHED:
            for k in range(j + latency, len(close)):
                if close[k] / leader[k] > 0.0:
                    return k, reason
            return -1, NOT_TOUCHED
    return -1, NOT_TOUCHED
