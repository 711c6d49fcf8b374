"""Compiled decoder of Binance frames about trades, quotes, marks, forced orders and bars: a scanned frame to rows."""

from __future__ import annotations

import numpy as np

from spyhop.model.tape import Flag, Kind
from spyhop.numerics._borrowed import kernel
from spyhop.venues.binance.fields import (
    MISSING_FIELD,
    NOT_MARKET,
    NOT_POSITIVE,
    OTHER_INTERVAL,
    Head,
    event_time,
    first,
    int_at,
    near_at,
    nearest_tick,
    price_at,
    put,
    qty_at,
    time_at,
)
from spyhop.venues.decimals import (
    OK,
    OUT_OF_RANGE,
    Bytes,
    Ints,
    integer,
)
from spyhop.venues.scan import (
    FALSE,
    NESTED,
    NUMBER,
    SLOT_AVERAGE,
    SLOT_OPEN_INTEREST,
    SLOT_TIME,
    STRING,
    TRUE,
    is_word,
)

_TRADE, _QUOTE, _LEVEL = int(Kind.TRADE), int(Kind.QUOTE), int(Kind.LEVEL)
_SNAPSHOT, _BAR_OPEN, _BAR_CLOSE = int(Kind.SNAPSHOT), int(Kind.BAR_OPEN), int(Kind.BAR_CLOSE)
_MARK, _FUNDING = int(Kind.MARK), int(Kind.FUNDING)
_OPEN_INTEREST, _LIQUIDATION = int(Kind.OPEN_INTEREST), int(Kind.LIQUIDATION)
_LAST, _EMPTY = int(Flag.LAST), int(Flag.EMPTY)
_FROM_SNAPSHOT, _PARTIAL = int(Flag.FROM_SNAPSHOT), int(Flag.PARTIAL)

_FUNDING_INTERVAL_NS = 8 * 3_600 * 1_000_000_000  # the frame does not say; Binance's default
_MARKET = np.frombuffer(b"MARKET", np.uint8)
_BUY = np.frombuffer(b"BUY", np.uint8)
_SELL = np.frombuffer(b"SELL", np.uint8)


# one-letter keys by their slots
_E, _T, _U, _u = 69, 84, 85, 117
_b, _B, _a, _A = 98, 66, 97, 65
_p, _q, _t, _m, _X, _r, _i = 112, 113, 116, 109, 88, 114, 105


@kernel
def on_trade(buf: Bytes, spans: Ints, grid: Ints, head: Head, out: Ints, n: int, id_slot: int) -> tuple[int, int]:
    """Append the TRADE of a `trade` or `aggTrade` frame; one that was not a market trade is NOT_MARKET."""
    if spans[0, _X] == STRING and not is_word(buf, spans[1, _X], spans[2, _X], _MARKET):
        return n, NOT_MARKET
    ts, reason = event_time(buf, spans, -1)
    if reason != OK or ts < 0:
        return n, first(reason, MISSING_FIELD)
    price, reason = price_at(buf, spans, _p, grid)
    if reason != OK:
        return n, reason
    qty, reason = qty_at(buf, spans, _q, grid)
    number, other = int_at(buf, spans, id_slot)
    reason = first(reason, other)
    maker = spans[0, _m]
    if maker != TRUE and maker != FALSE:
        reason = first(reason, MISSING_FIELD)
    if reason == OK and qty == 0:
        reason = NOT_POSITIVE
    if reason != OK:
        return n, reason
    side = -1 if maker == TRUE else 1
    return put(out, n, head, _TRADE, side, 0, 0, ts, price, qty, number, 0, 0), OK


@kernel
def on_quote(buf: Bytes, spans: Ints, grid: Ints, head: Head, out: Ints, n: int) -> tuple[int, int]:
    """Append the QUOTE of a `bookTicker` frame; spot's has no time, so ours stands in."""
    ts, reason = event_time(buf, spans, head.ts_recv)
    bid, other = price_at(buf, spans, _b, grid)
    reason = first(reason, other)
    ask, other = price_at(buf, spans, _a, grid)
    reason = first(reason, other)
    bid_qty, other = qty_at(buf, spans, _B, grid)
    reason = first(reason, other)
    ask_qty, other = qty_at(buf, spans, _A, grid)
    reason = first(reason, other)
    number, other = int_at(buf, spans, _u)
    reason = first(reason, other)
    if reason != OK:
        return n, reason
    return put(out, n, head, _QUOTE, 0, 0, 0, ts, bid, bid_qty, number, ask, ask_qty), OK


@kernel
def on_mark(buf: Bytes, spans: Ints, grid: Ints, head: Head, out: Ints, n: int) -> tuple[int, int]:
    """Append a MARK and, where the frame tells a rate, the FUNDING that it predicts (8 h taken as its interval)."""
    ts, reason = time_at(buf, spans, _E)
    mark, other = near_at(buf, spans, _p, 8)
    reason = first(reason, other)
    index = 0
    if spans[0, _i] == STRING:
        index, other = near_at(buf, spans, _i, 8)
        reason = first(reason, other)
    if reason == OK and (mark <= 0 or index < 0):
        reason = NOT_POSITIVE
    if reason != OK:
        return n, reason
    ticks, reason = nearest_tick(buf, spans[1, _p], spans[2, _p], grid)
    due = 0
    if spans[0, _T] == NUMBER and not (spans[2, _T] == spans[1, _T] + 1 and buf[spans[1, _T]] == 48):
        due, other = time_at(buf, spans, _T)
        reason = first(reason, other)
    has_rate = spans[0, _r] == STRING and spans[2, _r] > spans[1, _r] and due > 0
    rate = 0
    if has_rate:
        rate, other = near_at(buf, spans, _r, 12)
        reason = first(reason, other)
    if reason != OK:
        return n, reason
    n = put(out, n, head, _MARK, 0, 0, 0, ts, ticks, 0, due, mark, index)
    if has_rate:
        n = put(out, n, head, _FUNDING, 0, 0, 0, ts, 0, 0, due, rate, _FUNDING_INTERVAL_NS)
    return n, OK


@kernel
def on_liquidation(buf: Bytes, spans: Ints, grid: Ints, head: Head, out: Ints, n: int) -> tuple[int, int]:
    """Append the LIQUIDATION of a `forceOrder` frame: filled so far; prices to the nearest tick."""
    ts, reason = time_at(buf, spans, NESTED + _T)
    side = 0
    if spans[0, NESTED + 83] == STRING:
        if is_word(buf, spans[1, NESTED + 83], spans[2, NESTED + 83], _BUY):
            side = 1
        elif is_word(buf, spans[1, NESTED + 83], spans[2, NESTED + 83], _SELL):
            side = -1
    qty, other = qty_at(buf, spans, NESTED + 122, grid)
    reason = first(reason, other)
    if spans[0, NESTED + _p] != STRING or spans[0, NESTED + SLOT_AVERAGE] != STRING or side == 0:
        reason = first(reason, MISSING_FIELD)
    if reason != OK:
        return n, reason
    price, reason = nearest_tick(buf, spans[1, NESTED + _p], spans[2, NESTED + _p], grid)
    average, other = nearest_tick(buf, spans[1, NESTED + SLOT_AVERAGE], spans[2, NESTED + SLOT_AVERAGE], grid)
    reason = first(reason, other)
    if reason == OK and qty == 0:
        reason = NOT_POSITIVE
    if reason != OK:
        return n, reason
    return put(out, n, head, _LIQUIDATION, side, 0, 0, ts, price, qty, 0, average, 0), OK


@kernel
def interval_s(buf: Bytes, start: int, end: int) -> int:
    """Return the seconds of `1m`, `4h`, `1d` (as 0, see the tape), or -1 where the tape cannot hold them."""
    if end - start < 2:
        return -1
    count, reason = integer(buf, start, end - 1)
    if reason != OK or count == 0 or count > 3600:
        return -1
    unit = buf[end - 1]
    if unit == 115:
        return count
    if unit == 109:
        return count * 60 if count * 60 < 65_536 else -1
    if unit == 104:
        return count * 3_600 if count * 3_600 < 65_536 else -1
    if unit == 100 and count == 1:
        return 0
    return -1


@kernel
def on_kline(buf: Bytes, spans: Ints, grid: Ints, head: Head, out: Ints, n: int) -> tuple[int, int]:
    """Append BAR_OPEN and BAR_CLOSE of a `kline` frame, flagged PARTIAL while the bar is open."""
    k = NESTED
    ts, reason = time_at(buf, spans, _E)
    if spans[0, k + _i] != STRING:
        return n, first(reason, MISSING_FIELD)
    seconds = interval_s(buf, spans[1, k + _i], spans[2, k + _i])
    if seconds < 0:
        return n, OTHER_INTERVAL
    begin, other = time_at(buf, spans, k + _t)
    reason = first(reason, other)
    opened, other = price_at(buf, spans, k + 111, grid)
    reason = first(reason, other)
    high, other = price_at(buf, spans, k + 104, grid)
    reason = first(reason, other)
    low, other = price_at(buf, spans, k + 108, grid)
    reason = first(reason, other)
    close, other = price_at(buf, spans, k + 99, grid)
    reason = first(reason, other)
    volume, other = qty_at(buf, spans, k + 118, grid)
    reason = first(reason, other)
    buys, other = qty_at(buf, spans, k + 86, grid)
    reason = first(reason, other)
    turnover, other = near_at(buf, spans, k + _q, 2)
    reason = first(reason, other)
    count, other = int_at(buf, spans, k + 110)
    reason = first(reason, other)
    closed = spans[0, k + 120]
    if closed != TRUE and closed != FALSE:
        reason = first(reason, MISSING_FIELD)
    if reason == OK and not (low <= opened <= high and low <= close <= high):
        reason = OUT_OF_RANGE
    if reason == OK and turnover < 0:
        reason = NOT_POSITIVE
    if reason != OK:
        return n, reason
    flags = 0 if closed == TRUE else _PARTIAL
    n = put(out, n, head, _BAR_OPEN, 0, flags, seconds, ts, opened, volume, begin, high, buys)
    return put(out, n, head, _BAR_CLOSE, 0, flags, seconds, ts, low, count, begin, close, turnover), OK


@kernel
def on_open_interest(buf: Bytes, spans: Ints, grid: Ints, head: Head, out: Ints, n: int) -> tuple[int, int]:
    """Append the OPEN_INTEREST of a REST answer."""
    ts, reason = time_at(buf, spans, SLOT_TIME)
    lots, other = qty_at(buf, spans, SLOT_OPEN_INTEREST, grid)
    reason = first(reason, other)
    if reason != OK:
        return n, reason
    return put(out, n, head, _OPEN_INTEREST, 0, 0, 0, ts, 0, lots, 0, 0, 0), OK
