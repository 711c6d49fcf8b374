"""Following a leader as vectorbt does it, for a comparison with our sweep: the same signals, exits and horizon.

Two things differ and are made harmless. vectorbt does one order a bar, so the bar of an exit gives no entry; and it
fills a take profit that a bar opened beyond at the open, which a tape without gaps never does. Needs the extra `bench`.
"""

from __future__ import annotations

import warnings
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from spyhop.numerics.follow import entry_side
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
from spyhop.research.studies.bar_trips import MinuteBars, spreads

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    try:
        import vectorbt
    except ImportError:
        vectorbt = None


@numba.njit
def _signal(c: Any, returns: Any, spread: Any, table: Any, window: Any, entered: Any) -> Any:
    """Return what vectorbt asks for at each bar: (long entry, long exit, short entry, short exit)."""
    asked = table[c.col]
    if c.position_now != 0:
        is_over = c.i - entered[c.col] >= asked[LEAVE] / 60
        return False, is_over and c.position_now > 0, False, is_over and c.position_now < 0
    thresholds = asked[FALL], asked[RISE], asked[PREMIUM], asked[DISCOUNT]
    side = entry_side(returns[window[c.col], c.i], spread[c.i], *thresholds, int(asked[DIRECTION]))
    if side != 0:
        entered[c.col] = c.i
    return side > 0, False, side < 0, False


def trades(bars: MinuteBars, table: npt.NDArray[np.float64]) -> Any:
    """Return vectorbt's records of what each setting of `table` traded: columns as FOLLOW_PATHS, one unit a trade."""
    distinct, window = np.unique(table[:, WINDOW], return_inverse=True)
    returns = np.full((len(distinct), len(bars.ts)), np.nan)
    for row, seconds in enumerate(distinct):
        back = round(seconds / 60)
        returns[row, back:] = bars.leader[back:] / bars.leader[:-back] - 1
    num = len(table)
    portfolio = vectorbt.Portfolio.from_signals(
        np.broadcast_to(bars.close[:, None], (len(bars.ts), num)),
        signal_func_nb=_signal,
        signal_args=(returns, spreads(bars), table, window, np.zeros(num, np.int64)),
        open=bars.open[:, None],
        high=bars.high[:, None],
        low=bars.low[:, None],
        sl_stop=table[None, :, STOP_LOSS],
        tp_stop=table[None, :, TAKE_PROFIT],
        stop_exit_price="stoplimit",
        size=1.0,
        init_cash=1e12,
        freq="1min",
    )
    return portfolio.exit_trades.values


def made_beforehand(sides: list[npt.NDArray[np.int8]]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the long and the short entries (bars, settings) of the sides at each close."""
    side = np.column_stack(sides)
    return side > 0, side < 0


def without_horizon(
    bars: MinuteBars, table: npt.NDArray[np.float64], made: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]
) -> Any:
    """Return the records of trades that end by their exits alone, entries given: vectorbt's quickest way."""
    entries, short_entries = made
    portfolio = vectorbt.Portfolio.from_signals(
        np.broadcast_to(bars.close[:, None], entries.shape),
        entries=entries,
        short_entries=short_entries,
        exits=False,
        short_exits=False,
        upon_opposite_entry="ignore",
        open=bars.open[:, None],
        high=bars.high[:, None],
        low=bars.low[:, None],
        sl_stop=table[None, :, STOP_LOSS],
        tp_stop=table[None, :, TAKE_PROFIT],
        stop_exit_price="stoplimit",
        size=1.0,
        init_cash=1e12,
        freq="1min",
    )
    return portfolio.exit_trades.values
