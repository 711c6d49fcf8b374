"""Compiled decoder of Binance's public dumps: one comma-separated line to rows of the tape."""

from __future__ import annotations

import numpy as np

from spyhop.model.tape import Flag, Kind
from spyhop.numerics._jit import kernel
from spyhop.venues.binance.fields import (
    MISSING_FIELD,
    NOT_POSITIVE,
    OTHER_INTERVAL,
    Head,
    first,
    head_of,
    near_lot,
    price_of,
    put,
    to_ns,
)
from spyhop.venues.decimals import (
    OK,
    OUT_OF_RANGE,
    Bytes,
    Ints,
    integer,
    rounded,
)
from spyhop.venues.scan import (
    is_word,
    skip_spaces,
)

HEADER = 107
BLANK = 106
AGG_TRADES, TRADES, BOOK_TICKER, KLINES, FUNDING = range(1, 6)
MIN_LINE_BYTES = 8

AT, LINE, ROWS, SET_ASIDE, WHY, DECODED = 0, 1, 2, 3, 4, 7
FINISHED, OUT_FULL, ASIDE_FULL = range(3)

_MAX_FIELDS = 16
_TRADE, _QUOTE = int(Kind.TRADE), int(Kind.QUOTE)
_BAR_OPEN, _BAR_CLOSE, _FUNDING = int(Kind.BAR_OPEN), int(Kind.BAR_CLOSE), int(Kind.FUNDING)
_SETTLED = int(Flag.SETTLED)
_AGG_TRADE_ID, _ID = np.frombuffer(b"agg_trade_id", np.uint8), np.frombuffer(b"id", np.uint8)
_UPDATE_ID, _OPEN_TIME = np.frombuffer(b"update_id", np.uint8), np.frombuffer(b"open_time", np.uint8)
_CALC_TIME = np.frombuffer(b"calc_time", np.uint8)
_HOUR_NS = 3_600_000_000_000
_TRUE, _True = np.frombuffer(b"true", np.uint8), np.frombuffer(b"True", np.uint8)
_FALSE, _False = np.frombuffer(b"false", np.uint8), np.frombuffer(b"False", np.uint8)


@kernel
def split(buf: Bytes, i: int, end: int, spans: Ints) -> int:
    """Fill the places of the comma-separated fields of a line; return how many, at most 16."""
    while end > i and (buf[end - 1] == 13 or buf[end - 1] == 32):
        end -= 1
    count = 0
    start = skip_spaces(buf, i, end)
    while count < _MAX_FIELDS:
        i = start
        while i < end and buf[i] != 44:
            i += 1
        spans[1, count], spans[2, count] = start, i
        count += 1
        if i >= end:
            break
        start = skip_spaces(buf, i + 1, end)
    return count


@kernel
def _time(buf: Bytes, spans: Ints, k: int) -> tuple[int, int]:
    number, reason = integer(buf, spans[1, k], spans[2, k])
    if reason != OK:
        return 0, reason
    ns = to_ns(number)
    return ns, OK if ns >= 0 else OUT_OF_RANGE


@kernel
def _trade(
    buf: Bytes, spans: Ints, grid: Ints, head: Head, out: Ints, n: int, time: int, maker: int
) -> tuple[int, int]:
    number, reason = integer(buf, spans[1, 0], spans[2, 0])
    price, other = price_of(buf, spans[1, 1], spans[2, 1], grid)
    reason = first(reason, other)
    qty, other = near_lot(buf, spans[1, 2], spans[2, 2], grid)
    reason = first(reason, other)
    ts, other = _time(buf, spans, time)
    reason = first(reason, other)
    start, end = spans[1, maker], spans[2, maker]
    sold = is_word(buf, start, end, _TRUE) or is_word(buf, start, end, _True)
    if not (sold or is_word(buf, start, end, _FALSE) or is_word(buf, start, end, _False)):
        reason = first(reason, MISSING_FIELD)
    if reason == OK and qty == 0:
        reason = NOT_POSITIVE
    if reason != OK:
        return n, reason
    at = Head(head.word, ts)
    return put(out, n, at, _TRADE, -1 if sold else 1, 0, 0, ts, price, qty, number, 0, 0), OK


@kernel
def _quote(buf: Bytes, spans: Ints, grid: Ints, head: Head, out: Ints, n: int) -> tuple[int, int]:
    number, reason = integer(buf, spans[1, 0], spans[2, 0])
    bid, other = price_of(buf, spans[1, 1], spans[2, 1], grid)
    reason = first(reason, other)
    bid_qty, other = near_lot(buf, spans[1, 2], spans[2, 2], grid)
    reason = first(reason, other)
    ask, other = price_of(buf, spans[1, 3], spans[2, 3], grid)
    reason = first(reason, other)
    ask_qty, other = near_lot(buf, spans[1, 4], spans[2, 4], grid)
    reason = first(reason, other)
    ts, other = _time(buf, spans, 5)
    reason = first(reason, other)
    sent, other = _time(buf, spans, 6)
    reason = first(reason, other)
    if reason != OK:
        return n, reason
    at = Head(head.word, sent)
    return put(out, n, at, _QUOTE, 0, 0, 0, ts, bid, bid_qty, number, ask, ask_qty), OK


@kernel
def _bar(buf: Bytes, spans: Ints, grid: Ints, head: Head, out: Ints, n: int) -> tuple[int, int]:
    begin, reason = _time(buf, spans, 0)
    last, other = _time(buf, spans, 6)
    reason = first(reason, other)
    opened, other = price_of(buf, spans[1, 1], spans[2, 1], grid)
    reason = first(reason, other)
    high, other = price_of(buf, spans[1, 2], spans[2, 2], grid)
    reason = first(reason, other)
    low, other = price_of(buf, spans[1, 3], spans[2, 3], grid)
    reason = first(reason, other)
    close, other = price_of(buf, spans[1, 4], spans[2, 4], grid)
    reason = first(reason, other)
    volume, other = near_lot(buf, spans[1, 5], spans[2, 5], grid)
    reason = first(reason, other)
    turnover, other = rounded(buf, spans[1, 7], spans[2, 7], 2)
    reason = first(reason, other)
    count, other = integer(buf, spans[1, 8], spans[2, 8])
    reason = first(reason, other)
    buys, other = near_lot(buf, spans[1, 9], spans[2, 9], grid)
    reason = first(reason, other)
    if reason == OK and (turnover < 0 or not (low <= opened <= high and low <= close <= high)):
        reason = OUT_OF_RANGE
    if reason != OK:
        return n, reason
    seconds = (last - begin + 500_000_000) // 1_000_000_000
    if seconds < 1 or (seconds > 65_535 and seconds != 86_400):
        return n, OTHER_INTERVAL
    at = Head(head.word, begin + seconds * 1_000_000_000)
    seconds = 0 if seconds == 86_400 else seconds
    n = put(out, n, at, _BAR_OPEN, 0, 0, seconds, at.ts_recv, opened, volume, begin, high, buys)
    return put(out, n, at, _BAR_CLOSE, 0, 0, seconds, at.ts_recv, low, count, begin, close, turnover), OK


@kernel
def _funding(buf: Bytes, spans: Ints, head: Head, out: Ints, n: int) -> tuple[int, int]:
    ts, reason = _time(buf, spans, 0)
    hours, other = integer(buf, spans[1, 1], spans[2, 1])
    reason = first(reason, other)
    rate, other = rounded(buf, spans[1, 2], spans[2, 2], 12)
    reason = first(reason, other)
    if reason == OK and not 1 <= hours <= 24:
        reason = OUT_OF_RANGE
    if reason != OK:
        return n, reason
    at = Head(head.word, ts)
    return put(out, n, at, _FUNDING, 0, _SETTLED, 0, ts, 0, 0, ts, rate, hours * _HOUR_NS), OK


@kernel
def _is_header(buf: Bytes, start: int, end: int) -> bool:
    return (
        is_word(buf, start, end, _AGG_TRADE_ID)
        or is_word(buf, start, end, _ID)
        or is_word(buf, start, end, _UPDATE_ID)
        or is_word(buf, start, end, _OPEN_TIME)
        or is_word(buf, start, end, _CALC_TIME)
    )


@kernel
def _decode_row(
    buf: Bytes, at: int, end: int, layout: int, num_fields: int, grid: Ints, head: Head, spans: Ints,
    out: Ints, n: int,
) -> tuple[int, int]:  # fmt: skip
    count = split(buf, at, end, spans)
    if count == 1 and spans[1, 0] == spans[2, 0]:
        return n, BLANK
    if _is_header(buf, spans[1, 0], spans[2, 0]):
        return n, HEADER
    if count != num_fields:
        return n, MISSING_FIELD
    if layout == AGG_TRADES:
        return _trade(buf, spans, grid, head, out, n, 5, 6)
    if layout == TRADES:
        return _trade(buf, spans, grid, head, out, n, 4, 5)
    if layout == BOOK_TICKER:
        return _quote(buf, spans, grid, head, out, n)
    if layout == KLINES:
        return _bar(buf, spans, grid, head, out, n)
    return _funding(buf, spans, head, out, n)


@kernel
def decode_rows(
    buf: Bytes, layout: int, num_fields: int, venue: int, grid: Ints, spans: Ints, out: Ints, positions: Ints,
    aside: Ints, max_rows: int, cursor: Ints,
) -> None:  # fmt: skip
    """Decode the lines of buf[cursor[AT]:] until one of the ends is reached; `cursor` says where and why.

    `aside` takes (line, reason, start, end) of every line that gave no rows.
    """
    at, line, stop = cursor[AT], cursor[LINE], len(buf)
    n = 0
    num_aside = 0
    decoded = 0
    why = FINISHED
    head = head_of(venue, 0, 0)
    while at < stop:
        end = at
        while end < stop and buf[end] != 10:
            end += 1
        if num_aside == len(aside):
            why = ASIDE_FULL
            break
        if n + 2 > len(out):
            why = OUT_FULL
            break
        num_rounded = grid[-1]
        rows, reason = _decode_row(buf, at, end, layout, num_fields, grid, head, spans, out, n)
        if reason == OK:
            for k in range(n, rows):
                positions[k] = line * max_rows + (k - n)
            n = rows
            decoded += 1
        else:
            grid[-1] = num_rounded
            aside[num_aside, 0] = line
            aside[num_aside, 1] = reason
            aside[num_aside, 2] = at
            aside[num_aside, 3] = end
            num_aside += 1
        line += 1
        at = end + 1
    cursor[AT] = at
    cursor[LINE] = line
    cursor[ROWS] = n
    cursor[SET_ASIDE] = num_aside
    cursor[DECODED] = decoded
    cursor[WHY] = why
