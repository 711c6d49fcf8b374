"""What a sweep over minute bars maximises: the trips of `studies.bar_trips`, for thousands of settings at once.

The results are those of the reference, to the bit, and come sooner for three reasons. The leader's return over a
window is computed once for all settings with that window. Only the minutes that the most permissive setting of the
batch would enter at are looked at, and after an exit the next of them is known by index. What becomes of an entry at a
minute depends on the exits alone, so it is remembered among the settings that share them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_HOUR, NS_PER_MINUTE
from spyhop.errors import UserError
from spyhop.numerics._jit import kernel
from spyhop.numerics.follow import BOTH, entry_side
from spyhop.research.objectives.objective import Arrays, Evaluated
from spyhop.research.studies.bar_trips import (
    MODE,
    MinuteBars,
    bars_behind,
    bars_within,
    cost_of_trip,
    spreads,
    way_out,
    whole_bars,
)
from spyhop.strategies.lead import LeadParams

FOLLOW_PATHS = (
    "lead.window_s",
    "lead.fall_frac",
    "lead.rise_frac",
    "lead.premium_frac",
    "lead.discount_frac",
    "lead.take_profit_frac",
    "lead.stop_loss_frac",
    "lead.horizon_s",
    "lead.direction",
)
"""What following can be asked with; the direction is -1 for short only, 0 for both, 1 for long only."""

REVERSION_PATHS = ("study.entry_frac", "study.exit_frac", "study.horizon_s")

WINDOW, FALL, RISE, PREMIUM, DISCOUNT, TAKE_PROFIT, STOP_LOSS, LEAVE, DIRECTION = range(9)
"""The columns of a table of FOLLOW_PATHS."""

_ENTRY, _EXIT, _HORIZON = range(3)
_NO_ENTRY, _UNFINISHED = -1, -2


class LeadFollow(msgspec.Struct, frozen=True, kw_only=True):
    """Following the leader on minute bars, periods by the entry; `params` holds where a batch says nothing else."""

    params: LeadParams = LeadParams()
    fees_bps: float = 8.0
    """Of a round trip."""
    slippage_bps: float = 0.0
    """Of the entry, and of the exit."""
    latency_s: float = 0.0
    period_ns: int = NS_PER_HOUR

    @property
    def name(self) -> str:
        return "lead-follow"

    @property
    def paths(self) -> Sequence[str]:
        return FOLLOW_PATHS

    def periods(self, arrays: Arrays) -> npt.NDArray[np.int64]:
        """Return the beginnings of the periods that the bars lie in, int64 (T,)."""
        return periods_of(arrays["ts"], self.period_ns)

    def evaluate(self, arrays: Arrays, names: Sequence[str], settings: npt.NDArray[np.float64]) -> Evaluated:
        """Evaluate `settings` (n, k); raise UserError for one that bars cannot follow, such as part of a minute."""
        bars = _bars(arrays)
        table = follow_table(self.params, names, settings)
        table[:, LEAVE] = _in_bars(table[:, LEAVE])
        order = np.lexsort(tuple(table[:, column] for column in (LEAVE, STOP_LOSS, TAKE_PROFIT, WINDOW)))
        latency = bars_behind(self.latency_s)
        costs = cost_of_trip(self.fees_bps, self.slippage_bps, 1)
        period = _period_of_entry(bars.ts, self.period_ns, is_at_open=latency > 0)
        earned = nothing(len(table), len(self.periods(arrays)))
        spread = spreads(bars)
        for rows in groups(table[:, WINDOW], order):
            least = table[rows, FALL : DISCOUNT + 1].min(axis=0)
            found = _candidates(bars.leader, spread, whole_bars(float(table[rows[0], WINDOW])), *least)
            _follow_all(table, rows, bars, found, latency, period, costs, earned.pnl, earned.num_trades)
        return earned


class SpreadReversion(msgspec.Struct, frozen=True, kw_only=True):
    """Trading both legs of a wide spread at closes, periods by the entry; the fields hold where a batch says nothing.

    A horizon that is infinite is none: the exit is waited for.
    """

    entry_frac: float = 0.0008
    exit_frac: float = 0.0003
    horizon_s: float = np.inf
    fees_bps: float = 8.0
    """Of a round trip, both legs."""
    slippage_bps: float = 0.0
    """Of each entry and each exit of each leg."""
    latency_s: float = 0.0
    period_ns: int = NS_PER_HOUR

    @property
    def name(self) -> str:
        return "spread"

    @property
    def paths(self) -> Sequence[str]:
        return REVERSION_PATHS

    def periods(self, arrays: Arrays) -> npt.NDArray[np.int64]:
        """Return the beginnings of the periods that the bars lie in, int64 (T,)."""
        return periods_of(arrays["ts"], self.period_ns)

    def evaluate(self, arrays: Arrays, names: Sequence[str], settings: npt.NDArray[np.float64]) -> Evaluated:
        """Evaluate `settings` (n, k); raise UserError for a threshold that is none."""
        bars = _bars(arrays)
        table = table_of(REVERSION_PATHS, (self.entry_frac, self.exit_frac, self.horizon_s), names, settings)
        if not (np.isfinite(table[:, :_HORIZON]).all() and (table[:, _ENTRY] > 0).all()):
            raise UserError("study.entry_frac is above 0, and it and study.exit_frac are numbers")
        table[:, _HORIZON] = _in_bars(table[:, _HORIZON])
        costs = cost_of_trip(self.fees_bps, self.slippage_bps, 2)
        period = _period_of_entry(bars.ts, self.period_ns, is_at_open=False)
        earned = nothing(len(table), len(self.periods(arrays)))
        width = np.abs(spreads(bars))
        wide = np.flatnonzero(width >= table[:, _ENTRY].min(initial=np.inf))
        order = np.argsort(table[:, _EXIT], kind="stable")
        latency = bars_within(self.latency_s)
        _revert_all(table, order, bars, spreads(bars), wide, latency, period, costs, earned.pnl, earned.num_trades)
        return earned


def periods_of(ts: npt.NDArray[np.int64], period_ns: int) -> npt.NDArray[np.int64]:
    """Return the beginnings of all periods from that of the first bar to that of the last; `ts` are closes."""
    first, last = (int(ts[at]) - NS_PER_MINUTE for at in (0, -1))
    return np.arange(first // period_ns, last // period_ns + 1, dtype=np.int64) * period_ns


def table_of(
    paths: Sequence[str], defaults: Sequence[float], names: Sequence[str], settings: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return (n, len(paths)): `settings` under `names`, defaults elsewhere; raise UserError for a strange name."""
    unknown = sorted(set(names) - set(paths))
    if unknown:
        raise UserError(f"{unknown[0]} cannot be swept here; what can is {', '.join(paths)}")
    table = np.empty((len(settings), len(paths)))
    table[:] = defaults
    for column, name in enumerate(names):
        table[:, list(paths).index(name)] = settings[:, column]
    return table


def follow_table(
    params: LeadParams, names: Sequence[str], settings: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return (n, 9), columns as FOLLOW_PATHS, checked; raise UserError."""
    defaults = [getattr(params, path.removeprefix("lead.")) for path in FOLLOW_PATHS[:DIRECTION]]
    table = table_of(FOLLOW_PATHS, [*defaults, MODE[params.direction]], names, settings)
    if not np.isfinite(table).all():
        raise UserError("a setting of a sweep is a number")
    if not (table[:, FALL : RISE + 1] > 0).all():
        raise UserError("lead.fall_frac and lead.rise_frac are above 0")
    if not np.isin(table[:, DIRECTION], (-1, 0, 1)).all():
        raise UserError("lead.direction of a sweep is -1 for short, 0 for both or 1 for long")
    return table


def nothing(num_settings: int, num_periods: int) -> Evaluated:
    """Return what is earned before anything is traded."""
    return Evaluated(np.zeros((num_settings, num_periods), np.float32), np.zeros(num_settings, np.int32))


def groups(keys: npt.NDArray[np.float64], order: npt.NDArray[np.intp]) -> Iterator[npt.NDArray[np.intp]]:
    """Yield the parts of `order` in which `keys` is the same."""
    if len(order):
        yield from np.split(order, np.flatnonzero(np.diff(keys[order])) + 1)


def _bars(arrays: Arrays) -> MinuteBars:
    """Return the bars of a sweep as what cannot be written, so that they are of one type wherever they lie."""
    views = {name: arrays[name].view() for name in MinuteBars._fields}
    for view in views.values():
        view.flags.writeable = False
    if (np.diff(views["ts"]) != NS_PER_MINUTE).any():
        raise UserError("the bars of a sweep are whole minutes without holes")
    return MinuteBars(**views)


def _in_bars(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return horizons in bars, rounded up; infinite ones as -1."""
    distinct, at = np.unique(seconds, return_inverse=True)
    return np.array([-1 if one == np.inf else bars_within(float(one)) for one in distinct], np.float64)[at]


def _period_of_entry(ts: npt.NDArray[np.int64], period_ns: int, *, is_at_open: bool) -> npt.NDArray[np.int64]:
    entered_at = ts - NS_PER_MINUTE if is_at_open else ts
    return entered_at // period_ns - (int(ts[0]) - NS_PER_MINUTE) // period_ns


@kernel
def _candidates(
    leader: Any, spread: Any, window: int, fall: float, rise: float, premium: float, discount: float
) -> Any:
    """Return the bars at which any setting may enter, what each saw, and from every bar on the next of them."""
    n = len(leader)
    at = np.empty(n, np.int64)
    returns = np.empty(n)
    apart = np.empty(n)
    count = 0
    for i in range(window, n):
        leader_return = leader[i] / leader[i - window] - 1
        if entry_side(leader_return, spread[i], fall, rise, premium, discount, BOTH) != 0:
            at[count], returns[count], apart[count] = i, leader_return, spread[i]
            count += 1
    following = np.empty(n + 1, np.int64)
    following[n] = count
    j = count
    for i in range(n - 1, -1, -1):
        if j > 0 and at[j - 1] == i:
            j -= 1
        following[i] = j
    return at[:count].copy(), returns[:count].copy(), apart[:count].copy(), following


@kernel
def _become(bars: Any, i: int, side: int, latency: int, asked: Any) -> Any:
    """Return (bar of the exit, gross) of the entry that a signal at bar `i` asks for."""
    at = i + latency
    entry = np.nan
    if at < len(bars.close):
        entry = bars.close[at] if latency == 0 else bars.open[at]
    if not entry > 0.0:
        return _NO_ENTRY, 0.0
    first = at + 1 if latency == 0 else at
    last = first + int(asked[LEAVE]) - 1
    k, _, price = way_out(bars, first, last, side, entry, asked[TAKE_PROFIT], asked[STOP_LOSS])
    return (_UNFINISHED, 0.0) if k < 0 else (k, side * (price / entry - 1))


@kernel
def _follow_all(
    table: Any,
    rows: Any,
    bars: Any,
    candidates: Any,
    latency: int,
    period: Any,
    costs: float,
    pnl: Any,
    num_trades: Any,
) -> None:
    """Trade the settings `rows` of `table`, which share a window and are sorted by their exits."""
    at, returns, apart, following = candidates
    # what became of each candidate under the exits that `told` numbers; its side is the sign of the return
    told = np.full(len(at), -1, np.int64)
    left = np.empty(len(at), np.int64)
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
            if told[j] != number:
                told[j] = number
                left[j], gross[j] = _become(bars, at[j], side, latency, asked)
            k = left[j]
            if k == _UNFINISHED:
                break
            if k == _NO_ENTRY:
                j = following[min(at[j] + max(1, latency), len(period))]
                continue
            entered = period[at[j] + latency]
            if entered != within:
                if within >= 0:
                    pnl[row, within] = earned
                within, earned = entered, 0.0
            earned += gross[j] - costs
            count += 1
            j = following[k]
        if within >= 0:
            pnl[row, within] = earned
        num_trades[row] = count


@kernel
def _next_of(is_one: Any) -> Any:
    """Return for each index the first one from there on at which `is_one` holds, the length where there is none."""
    n = len(is_one)
    found = np.empty(n + 1, np.int64)
    found[n] = n
    for i in range(n - 1, -1, -1):
        found[i] = i if is_one[i] else found[i + 1]
    return found


@kernel
def _revert_all(
    table: Any,
    rows: Any,
    bars: Any,
    spread: Any,
    wide: Any,
    latency: int,
    period: Any,
    costs: float,
    pnl: Any,
    num_trades: Any,
) -> None:
    """Trade the settings `rows` of `table`, which are sorted by their exit; `wide` are the bars any may enter at."""
    leader, close = bars.leader, bars.close
    n = len(close)
    there = _next_of(close / leader > 0.0)
    candidate_from = np.searchsorted(wide, np.arange(n))
    narrow = there
    for m in range(len(rows)):
        row = rows[m]
        entry_frac, exit_frac, horizon = table[row, _ENTRY], table[row, _EXIT], int(table[row, _HORIZON])
        if m == 0 or exit_frac != table[rows[m - 1], _EXIT]:
            narrow = _next_of(np.abs(spread) <= exit_frac)
        count = 0
        earned = 0.0
        within = -1
        j = 0
        while j < len(wide):
            i = wide[j]
            at = i + latency
            if not abs(spread[i]) >= entry_frac:
                j += 1
                continue
            if at >= n:
                break
            if there[at] != at:
                j = candidate_from[at]
                continue
            decided = narrow[at + 1]
            if horizon >= 0:
                decided = min(decided, at + max(horizon, 1))
            k = there[decided + latency] if decided + latency < n and decided < n else n
            if k == n:
                break
            side = -1 if spread[i] > 0 else 1
            gross = side * ((close[k] / close[at] - 1) - (leader[k] / leader[at] - 1))
            if period[at] != within:
                if within >= 0:
                    pnl[row, within] = earned
                within, earned = period[at], 0.0
            earned += gross - costs
            count += 1
            j = candidate_from[k]
        if within >= 0:
            pnl[row, within] = earned
        num_trades[row] = count
