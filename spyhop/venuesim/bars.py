"""Minute bars of one instrument in ticks and lots, and longer bars folded from them when they are asked for.

A trade belongs to the minute of its `ts_event`; a minute begins when the tape (ts_recv) reaches it, flat at the close
before it, and a trade that comes later still counts in its own. A closed minute that the tape itself tells
replaces what the trades gave. With each fifth minute a sample of open interest and of the takers' decayed lean is kept.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_MINUTE
from spyhop.model.tape import Flag, Kind
from spyhop.numerics._jit import kernel

BAR = np.dtype(
    [
        ("ts_open", "i8"),
        ("ts_close", "i8"),  # exclusive end
        ("open", "i8"),  # ticks
        ("high", "i8"),
        ("low", "i8"),
        ("close", "i8"),
        ("lots", "i8"),
        ("buy_lots", "i8"),  # taken by buyers
        ("tick_lots", "i8"),  # sum of price x lots
        ("buy_tick_lots", "i8"),
        ("num_trades", "i8"),
        ("first_id", "i8"),  # of trades, -1 where none
        ("last_id", "i8"),
        ("open_interest", "i8"),  # lots, when the bar began
        ("open_bid", "i8"),  # best prices when the bar began and (so far) ended
        ("open_ask", "i8"),
        ("close_bid", "i8"),
        ("close_ask", "i8"),
    ]
)

Bars: TypeAlias = npt.NDArray[Any]
"""A one-dimensional array of BAR."""

CAPACITY = 30 * 1_440
"""Minutes that are kept."""
_SAMPLES = CAPACITY // 5
_DECAY_5M = 0.5 ** (5 / 240)

SAMPLE = np.dtype(
    [
        ("ts", "i8"),
        ("open_interest", "i8"),
        ("lean", "f8"),  # lots bought less lots sold by takers, decayed by half in four hours
        ("mid", "f8"),  # ticks
        ("lots", "i8"),  # of the five minutes before
        ("buy_lots", "i8"),
    ]
)

MINUTES = np.dtype(
    [
        ("first", "i8"),  # numbers of the first and newest minute kept; 0 = none
        ("newest", "i8"),
        ("bid", "i8"),
        ("ask", "i8"),
        ("open_interest", "i8"),
        ("last", "i8"),
        ("last_lots", "i8"),
        ("lean", "f8"),
        ("lots", "i8"),  # since the newest sample
        ("buy_lots", "i8"),
        ("first_sample", "i8"),  # numbers of the first and newest sample kept
        ("newest_sample", "i8"),
        ("open_row", "i8", (6,)),  # a told bar between its two rows: ts_open, open, high, lots, buy lots, interval
        ("bars", BAR, (CAPACITY,)),
        ("samples", SAMPLE, (_SAMPLES,)),
    ],
    align=True,
)

_MINUTE = NS_PER_MINUTE
_TRADE, _QUOTE, _OPEN_INTEREST = int(Kind.TRADE), int(Kind.QUOTE), int(Kind.OPEN_INTEREST)
_BAR_OPEN, _BAR_CLOSE, _PARTIAL = int(Kind.BAR_OPEN), int(Kind.BAR_CLOSE), int(Flag.PARTIAL)


@kernel
def fold(s: Any, events: Any, unit: float, until: int) -> None:
    """Fold rows of one instrument into the record `s` of MINUTES and let time reach `until`.

    `unit` is the quote currency of one tick-lot.
    """
    for i in range(len(events)):
        e = events[i]
        kind = e.kind
        if e.ts_recv // _MINUTE > s.newest:
            _roll(s, e.ts_recv // _MINUTE)
        if kind == _TRADE:
            _on_trade(s, e)
        elif kind == _QUOTE:
            s.bid = e.price
            s.ask = e.aux
            if s.newest > 0:
                bar = s.bars[s.newest % CAPACITY]
                bar.close_bid = e.price
                bar.close_ask = e.aux
        elif kind == _OPEN_INTEREST:
            s.open_interest = e.qty
        elif kind == _BAR_OPEN:
            told = s.open_row
            told[0] = e.id
            told[1] = e.price
            told[2] = e.aux
            told[3] = e.qty
            told[4] = e.aux2
            told[5] = e.interval_s
        elif kind == _BAR_CLOSE and e.interval_s == 60 and (e.flags & _PARTIAL) == 0 and s.open_row[0] == e.id:
            _on_told(s, e, unit)
    if until // _MINUTE > s.newest:
        _roll(s, until // _MINUTE)


@kernel
def _begin(s: Any, minute: int, price: int) -> None:
    bar = s.bars[minute % CAPACITY]
    bar.ts_open = minute * _MINUTE
    bar.ts_close = (minute + 1) * _MINUTE
    bar.open = price
    bar.high = price
    bar.low = price
    bar.close = price
    bar.lots = 0
    bar.buy_lots = 0
    bar.tick_lots = 0
    bar.buy_tick_lots = 0
    bar.num_trades = 0
    bar.first_id = -1
    bar.last_id = -1
    bar.open_interest = s.open_interest
    bar.open_bid = s.bid
    bar.open_ask = s.ask
    bar.close_bid = s.bid
    bar.close_ask = s.ask


@kernel
def _roll(s: Any, minute: int) -> None:
    """Begin the minutes up to `minute`, once there has been a trade."""
    if s.newest == 0:
        return
    begin = max(s.newest + 1, minute - CAPACITY + 1)
    price = s.bars[s.newest % CAPACITY].close
    for m in range(begin, minute + 1):
        if m % 5 == 0:
            _sample(s, m // 5)
        _begin(s, m, price)
    s.newest = minute
    s.first = max(s.first, minute - CAPACITY + 1)


@kernel
def _sample(s: Any, number: int) -> None:
    if s.newest_sample == 0:
        s.first_sample = number
    sample = s.samples[number % _SAMPLES]
    sample.ts = number * 5 * _MINUTE
    sample.open_interest = s.open_interest
    s.lean = s.lean * _DECAY_5M + (2 * s.buy_lots - s.lots)
    sample.lean = s.lean
    sample.mid = 0.5 * (s.bid + s.ask) if s.bid > 0 and s.ask > 0 else float(s.last)
    sample.lots = s.lots
    sample.buy_lots = s.buy_lots
    s.lots = 0
    s.buy_lots = 0
    s.newest_sample = number
    s.first_sample = max(s.first_sample, number - _SAMPLES + 1)


@kernel
def _on_trade(s: Any, e: Any) -> None:
    price = e.price
    lots = e.qty
    if price <= 0 or lots <= 0:
        return
    minute = e.ts_event // _MINUTE
    if s.newest == 0:
        s.first = minute
        s.newest = minute
        _begin(s, minute, price)
    elif minute > s.newest:
        _roll(s, minute)
    s.last = price
    s.last_lots = lots
    s.lots += lots
    if e.side > 0:
        s.buy_lots += lots
    if minute < s.first:
        return
    bar = s.bars[minute % CAPACITY]
    if bar.num_trades == 0:
        bar.open = price
        bar.high = price
        bar.low = price
        bar.first_id = e.id
    bar.high = max(bar.high, price)
    bar.low = min(bar.low, price)
    bar.close = price
    bar.lots += lots
    bar.tick_lots += price * lots
    if e.side > 0:
        bar.buy_lots += lots
        bar.buy_tick_lots += price * lots
    bar.num_trades += 1
    bar.last_id = e.id
    _carry(s, minute, price)


@kernel
def _carry(s: Any, minute: int, price: int) -> None:
    """Let the minutes without a trade after `minute` be flat at `price`."""
    for m in range(minute + 1, s.newest + 1):
        bar = s.bars[m % CAPACITY]
        if bar.num_trades > 0:
            return
        bar.open = price
        bar.high = price
        bar.low = price
        bar.close = price


@kernel
def _on_told(s: Any, e: Any, unit: float) -> None:
    """Replace a minute by the closed bar that the tape tells."""
    minute = e.id // _MINUTE
    told = s.open_row
    if s.newest == 0:
        s.first = minute
        s.newest = minute
        _begin(s, minute, told[1])
    if minute < s.first or minute > s.newest:
        return
    bar = s.bars[minute % CAPACITY]
    bar.open = told[1]
    bar.high = told[2]
    bar.low = e.price
    bar.close = e.aux
    share = told[4] / told[3] if told[3] > 0 else 0.0
    bar.lots = told[3]
    bar.buy_lots = told[4]
    bar.tick_lots = round(e.aux2 * 0.01 / unit)
    bar.buy_tick_lots = round(bar.tick_lots * share)
    bar.num_trades = e.qty
    _carry(s, minute, e.aux)


def bars(s: Any, interval_s: int, start: int, end: int, limit: int) -> Bars:
    """Return bars of `interval_s` (whole minutes), oldest first; see `Exchange.bars`."""
    minutes = interval_s // 60
    if interval_s % 60 or minutes < 1:
        raise ValueError(f"a bar is whole minutes long, not {interval_s} s")
    first, newest = int(s["first"]), int(s["newest"])
    if newest == 0 or limit < 1:
        return np.zeros(0, BAR)
    stop = min(newest, end // _MINUTE + minutes - 1) if end > 0 else newest
    stop = min(newest, stop // minutes * minutes + minutes - 1)
    if start > 0:
        begin = max(first, -(-start // (_MINUTE * minutes)) * minutes)
        stop = min(stop, (begin // minutes + limit) * minutes - 1)
    else:
        begin = max(first, (stop // minutes - limit + 1) * minutes)
    if begin > stop:
        return np.zeros(0, BAR)
    numbers = np.arange(begin, stop + 1)
    return _folded(s["bars"][numbers % CAPACITY], numbers // minutes, minutes)


def _folded(rows: Bars, groups: npt.NDArray[Any], minutes: int) -> Bars:
    starts = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1))
    ends = np.append(starts[1:], len(rows)) - 1
    out = np.zeros(len(starts), BAR)
    out["ts_open"] = groups[starts] * minutes * _MINUTE
    out["ts_close"] = out["ts_open"] + minutes * _MINUTE
    for name in ("open_interest", "open_bid", "open_ask"):
        out[name] = rows[name][starts]
    for name in ("close", "close_bid", "close_ask"):
        out[name] = rows[name][ends]
    for name in ("lots", "buy_lots", "tick_lots", "buy_tick_lots", "num_trades"):
        out[name] = np.add.reduceat(rows[name], starts)
    out["high"] = np.maximum.reduceat(rows["high"], starts)
    out["low"] = np.minimum.reduceat(rows["low"], starts)
    out["open"] = rows["open"][starts]
    never = np.iinfo(np.int64).max
    firsts = np.minimum.reduceat(np.where(rows["first_id"] < 0, never, rows["first_id"]), starts)
    out["first_id"] = np.where(firsts == never, -1, firsts)
    out["last_id"] = np.maximum.reduceat(rows["last_id"], starts)
    # a flat minute repeats the close before it: only minutes with trades make highs, lows and opens
    traded = np.flatnonzero(rows["num_trades"] > 0)
    if len(traded):
        place = np.searchsorted(starts, traded, "right") - 1
        has, at = np.unique(place, return_index=True)
        out["open"][has] = rows["open"][traded[at]]
        out["high"][has] = np.maximum.reduceat(rows["high"][traded], at)
        out["low"][has] = np.minimum.reduceat(rows["low"][traded], at)
    return out


def samples(s: Any) -> npt.NDArray[Any]:
    """Return the samples kept, oldest first."""
    newest = int(s["newest_sample"])
    if newest == 0:
        return np.zeros(0, SAMPLE)
    kept: npt.NDArray[Any] = s["samples"][np.arange(int(s["first_sample"]), newest + 1) % _SAMPLES]
    return kept
