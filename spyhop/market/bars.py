"""Bars of 1m 3m 5m 15m 1h 4h 1d: minutes from trades or from the venue, the longer ones folded from minutes.

A trade belongs to the minute of its `ts_event`. A minute closes at the first whole second of `ts_recv` that lies
`grace` after its end, so that trades in flight still count; what comes later is late, counted, and in no bar. Since
a venue's clock may run ahead of ours, the next minute is already built while this one is open.
A bar that the venue says closes its minute at once and wins over trades, unless the minute has closed already: a
closed bar never changes. A minute without trades between minutes with trades is a flat bar of volume 0.
While the feed asks by REST a minute is held open, up to fifteen of them, until the venue's own bar is there: trades
may be missing, and a flat bar made up now would stay.
Minutes that were under way when the recording began, and longer bars with a minute missing, are dropped and counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spyhop.model.tape import INTERVALS_S, Flag
from spyhop.numerics._jit import kernel

BAR = np.dtype(
    [
        ("ts_open", "i8"),
        ("ts_close", "i8"),  # exclusive end
        ("open", "f8"),
        ("high", "f8"),
        ("low", "f8"),
        ("close", "f8"),
        ("volume", "f8"),
        ("taker_buy_volume", "f8"),
        ("num_trades", "i8"),
        ("interval_s", "i8"),
    ],
    align=True,
)
NUM_INTERVALS = len(INTERVALS_S)
_SECONDS = tuple(INTERVALS_S.values())
_NS = 1_000_000_000
_MINUTE = 60 * _NS
_MAX_FLAT_NS = 15 * _MINUTE
_PARTIAL = int(Flag.PARTIAL)

BARS = np.dtype(
    [
        ("current", BAR),
        ("next", BAR),
        ("building", BAR, (NUM_INTERVALS,)),  # index 0 is not used
        ("num_minutes", "i8", (NUM_INTERVALS,)),
        ("closed", BAR, (NUM_INTERVALS,)),  # the newest of each
        ("num_closed", "i8", (NUM_INTERVALS,)),
        ("closed_mask", "i8"),  # bit k: interval k closed with the minute that has just closed
        ("start", "i8"),  # ts_event of the first event; minutes that began before are not whole
        ("close", "f8"),  # of the newest minute
        ("is_trade_built", "i8"),
        ("is_held", "i8"),  # trades may be missing: the venue's bars are waited for
        ("ts_closed", "i8"),  # end of the newest closed minute
        ("pending_open", BAR),  # a venue bar between its two rows
        ("num_late_trades", "i8"),
        ("num_partial", "i8"),
        ("num_flat", "i8"),
        ("num_gap_minutes", "i8"),
        ("num_venue_bars", "i8"),
        ("num_late_bars", "i8"),
        ("num_other_bars", "i8"),  # partial ones, or longer than a minute: folded from minutes here
        ("num_bad_bars", "i8"),
    ],
    align=True,
)


@kernel
def _copy(to: Any, bar: Any) -> None:
    to.ts_open = bar.ts_open
    to.ts_close = bar.ts_close
    to.open = bar.open
    to.high = bar.high
    to.low = bar.low
    to.close = bar.close
    to.volume = bar.volume
    to.taker_buy_volume = bar.taker_buy_volume
    to.num_trades = bar.num_trades
    to.interval_s = bar.interval_s


@kernel
def _begin(bar: Any, ts_open: int) -> None:
    bar.ts_open = ts_open
    bar.ts_close = ts_open + _MINUTE
    bar.open = 0.0
    bar.high = 0.0
    bar.low = 0.0
    bar.close = 0.0
    bar.volume = 0.0
    bar.taker_buy_volume = 0.0
    bar.num_trades = 0
    bar.interval_s = 60


@kernel
def _add(bar: Any, price: float, qty: float, side: int) -> None:
    if bar.num_trades == 0:
        bar.open = price
        bar.high = price
        bar.low = price
    elif price > bar.high:
        bar.high = price
    elif price < bar.low:
        bar.low = price
    bar.close = price
    bar.volume += qty
    if side > 0:
        bar.taker_buy_volume += qty
    bar.num_trades += 1


@kernel
def on_trade(s: Any, ts_event: int, price: float, qty: float, side: int) -> None:
    """Add a trade to the minute of its venue time."""
    current = s.current
    if current.ts_open <= ts_event < current.ts_close:
        _add(current, price, qty, side)
    elif current.ts_open == 0:
        _begin(current, ts_event - ts_event % _MINUTE)
        _begin(s.next, current.ts_close)
        _add(current, price, qty, side)
    elif ts_event < current.ts_open:
        s.num_late_trades += 1
    else:
        # also a trade more than a minute ahead: the clock is wrong, the trade is real
        _add(s.next, price, qty, side)


@kernel
def close_if_due(s: Any, now: int, grace: int) -> bool:
    """Close at most one minute that has ended by `now`; call again until False."""
    current = s.current
    if s.is_held != 0:
        grace = _MAX_FLAT_NS
    while current.ts_open != 0 and now >= current.ts_close + grace:
        if current.num_trades == 0 and not _fill_flat(s, now):
            continue
        s.is_trade_built = 1
        if current.ts_open < s.start:
            s.num_partial += 1
            s.close = current.close
            s.ts_closed = current.ts_close
            _advance(s)
            continue
        _close(s, current)
        _advance(s)
        return True
    return False


@kernel
def _fill_flat(s: Any, now: int) -> bool:
    """Make the empty minute a flat bar; return False when it (or the whole gap) was passed over instead."""
    current = s.current
    if s.next.num_trades == 0 and now - current.ts_close > _MAX_FLAT_NS:
        minute = now - now % _MINUTE
        s.num_gap_minutes += (minute - current.ts_open) // _MINUTE
        _begin(current, minute)
        _begin(s.next, current.ts_close)
        return False
    if s.is_trade_built == 0 or s.close <= 0.0:
        _advance(s)
        return False
    current.open = s.close
    current.high = s.close
    current.low = s.close
    current.close = s.close
    s.num_flat += 1
    return True


@kernel
def _advance(s: Any) -> None:
    _copy(s.current, s.next)
    _begin(s.next, s.current.ts_close)


@kernel
def _close(s: Any, bar: Any) -> None:
    """Make `bar` the newest closed minute and fold it into the longer bars."""
    _copy(s.closed[0], bar)
    s.num_closed[0] += 1
    s.close = bar.close
    s.ts_closed = bar.ts_close
    mask = 1
    for k in range(1, NUM_INTERVALS):
        length = _SECONDS[k] * _NS
        ts_open = bar.ts_open - bar.ts_open % length
        b = s.building[k]
        if b.ts_open != ts_open:
            if s.num_minutes[k] > 0:
                s.num_partial += 1
            _copy(b, bar)
            b.ts_open = ts_open
            b.ts_close = ts_open + length
            b.interval_s = _SECONDS[k]
            s.num_minutes[k] = 1
        else:
            b.high = max(b.high, bar.high)
            b.low = min(b.low, bar.low)
            b.close = bar.close
            b.volume += bar.volume
            b.taker_buy_volume += bar.taker_buy_volume
            b.num_trades += bar.num_trades
            s.num_minutes[k] += 1
        if bar.ts_close == b.ts_close:
            if s.num_minutes[k] * 60 == _SECONDS[k]:
                _copy(s.closed[k], b)
                s.num_closed[k] += 1
                mask |= 1 << k
            else:
                s.num_partial += 1
            s.num_minutes[k] = 0
            b.ts_open = -1
    s.closed_mask = mask


@kernel
def on_bar_open(s: Any, e: Any, tick: float, lot: float) -> None:
    """Take the first row of a venue bar."""
    bar = s.pending_open
    _begin(bar, e.id)
    bar.interval_s = e.interval_s
    bar.open = e.price * tick
    bar.high = e.aux * tick
    bar.volume = e.qty * lot
    bar.taker_buy_volume = e.aux2 * lot


@kernel
def on_bar_close(s: Any, e: Any, tick: float) -> bool:
    """Take the second row of a venue bar; return whether a minute closed with it."""
    bar = s.pending_open
    if bar.ts_open != e.id or bar.interval_s != e.interval_s:
        s.num_bad_bars += 1
        return False
    bar.low = e.price * tick
    bar.close = e.aux * tick
    bar.num_trades = e.qty
    if e.interval_s != 60 or (e.flags & _PARTIAL) != 0:
        s.num_other_bars += 1
        return False
    if bar.low <= 0.0 or bar.high < max(bar.open, bar.close) or bar.low > min(bar.open, bar.close):
        s.num_bad_bars += 1
        return False
    if bar.ts_open < s.ts_closed:
        s.num_late_bars += 1
        return False
    s.num_venue_bars += 1
    s.is_trade_built = 0
    _close(s, bar)
    if s.current.ts_close == bar.ts_close:
        _advance(s)
    elif s.current.ts_close < bar.ts_close:
        _begin(s.current, bar.ts_close)
        _begin(s.next, s.current.ts_close)
    return True
