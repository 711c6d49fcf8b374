"""Compiled loop over the lines of a raw capture, and the symbol table that it looks names up in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spyhop.numerics._borrowed import kernel
from spyhop.venues.binance.book_frames import on_depth, on_snapshot
from spyhop.venues.binance.fields import (
    BAD_LEVELS,
    HAS_TRADES,
    INSTRUMENT,
    IS_REJECTED,
    MISSING_FIELD,
    NUM_ROUNDED,
    Head,
    head_of,
    to_ns,
)
from spyhop.venues.binance.frames import (
    on_kline,
    on_liquidation,
    on_mark,
    on_open_interest,
    on_quote,
    on_trade,
)
from spyhop.venues.decimals import (
    BAD_JSON,
    DUPLICATE_KEY,
    OK,
    OUT_OF_RANGE,
    TRUNCATED,
    Bytes,
    Ints,
    integer,
)
from spyhop.venues.scan import (
    ABSENT,
    NUM_SLOTS,
    NUMBER,
    SLOT_LAST_UPDATE_ID,
    SLOT_OPEN_INTEREST,
    SLOT_STREAM,
    STRING,
    find_line_feed,
    is_word,
    scan_frame,
    skip_spaces,
)

NO_TIME = 40
NO_SYMBOL = 41
BAD_SYMBOL = 42
OTHER_STREAM = 43
TOO_LONG = 44
OTHER_TYPE = 100
PARTIAL_BOOK = 103
BESIDE_TRADES = 104
URL_LINE = 105
BLANK = 106
UNKNOWN_SYMBOL = -1
IGNORED_FROM = 100  # reasons from here on are understood and left out, not unreadable

MAX_SYMBOL = 48
MIN_LEVEL_BYTES = 10  # ["1","0"],

# cursor: where the loop is, and why it returned
AT, LINE, ROWS, SET_ASIDE, WHY, SPAN_START, SPAN_END, DECODED = range(8)
FINISHED, OUT_FULL, ASIDE_FULL, NEW_SYMBOL = range(4)

_TRADE = np.frombuffer(b"trade", np.uint8)
_AGG_TRADE = np.frombuffer(b"aggTrade", np.uint8)
_DEPTH_UPDATE = np.frombuffer(b"depthUpdate", np.uint8)
_BOOK_TICKER = np.frombuffer(b"bookTicker", np.uint8)
_MARK_PRICE = np.frombuffer(b"markPriceUpdate", np.uint8)
_FORCE_ORDER = np.frombuffer(b"forceOrder", np.uint8)
_KLINE = np.frombuffer(b"kline", np.uint8)
_DEPTH = np.frombuffer(b"depth", np.uint8)
_ARROW = np.frombuffer(b" -> ", np.uint8)
_SYMBOL_IS = np.frombuffer(b"symbol=", np.uint8)

# what a frame is
_AS_TRADE, _AS_AGG_TRADE, _AS_DEPTH, _AS_QUOTE, _AS_MARK, _AS_LIQUIDATION, _AS_KLINE = range(1, 8)
_AS_SNAPSHOT, _AS_OPEN_INTEREST = 8, 9


class Symbols(NamedTuple):
    """Known symbols: names, their lengths, their grids, and an open hash table of number + 1."""

    names: Bytes  # [capacity, MAX_SYMBOL]
    lengths: Ints
    grids: Ints  # [capacity, 8]
    hashes: Ints  # a power of two long


@kernel
def _hash(buf: Bytes, start: int, end: int) -> int:
    # FNV-1a, 32 bits
    h = 2_166_136_261
    for i in range(start, end):
        h = ((h ^ buf[i]) * 16_777_619) & 0xFFFFFFFF
    return h


@kernel
def find_symbol(buf: Bytes, start: int, end: int, symbols: Symbols) -> int:
    """Return the number of the symbol buf[start:end], or UNKNOWN_SYMBOL."""
    mask = len(symbols.hashes) - 1
    at = _hash(buf, start, end) & mask
    while symbols.hashes[at] != 0:
        k = symbols.hashes[at] - 1
        if symbols.lengths[k] == end - start and is_word(buf, start, end, symbols.names[k, : end - start]):
            return int(k)
        at = (at + 1) & mask
    return UNKNOWN_SYMBOL


@kernel
def add_symbol(k: int, symbols: Symbols) -> None:
    """Enter the `k`-th name into the hash table."""
    mask = len(symbols.hashes) - 1
    at = _hash(symbols.names[k], 0, symbols.lengths[k]) & mask
    while symbols.hashes[at] != 0:
        at = (at + 1) & mask
    symbols.hashes[at] = k + 1


@kernel
def _find_word(buf: Bytes, i: int, end: int, word: Bytes) -> int:
    while i + len(word) <= end:
        if is_word(buf, i, i + len(word), word):
            return i
        i += 1
    return -1


@kernel
def _received(buf: Bytes, i: int, end: int) -> tuple[int, int, int]:
    """Return (our time in ns, place of the frame, OK or the reason) of `ns {`, `s.fraction: {` or `s.fraction {`."""
    start = i
    while i < end and 48 <= buf[i] <= 57:
        i += 1
    if i == start or i - start > 19:
        return 0, i, NO_TIME
    ns, reason = integer(buf, start, i)
    if reason != OK:
        return 0, i, NO_TIME
    if i < end and buf[i] == 46:
        if ns >= 4_100_000_000:
            return 0, i, OUT_OF_RANGE
        i += 1
        left = 9
        while i < end and 48 <= buf[i] <= 57:
            if left > 0:
                ns = ns * 10 + (buf[i] - 48)
                left -= 1
            i += 1
        while left > 0:
            ns *= 10
            left -= 1
    if i < end and buf[i] == 58:
        i += 1
    if i >= end or (buf[i] != 32 and buf[i] != 9):
        return 0, i, NO_TIME
    ns = to_ns(ns)
    return ns, skip_spaces(buf, i, end), OK if ns >= 0 else OUT_OF_RANGE


@kernel
def _frame_type(buf: Bytes, spans: Ints) -> int:
    if spans[0, 101] == STRING:
        start, end = spans[1, 101], spans[2, 101]
        if is_word(buf, start, end, _BOOK_TICKER):
            return _AS_QUOTE
        if is_word(buf, start, end, _TRADE):
            return _AS_TRADE
        if is_word(buf, start, end, _DEPTH_UPDATE):
            return _AS_DEPTH
        if is_word(buf, start, end, _AGG_TRADE):
            return _AS_AGG_TRADE
        if is_word(buf, start, end, _MARK_PRICE):
            return _AS_MARK
        if is_word(buf, start, end, _FORCE_ORDER):
            return _AS_LIQUIDATION
        if is_word(buf, start, end, _KLINE):
            return _AS_KLINE
        return 0
    if spans[0, 101] != ABSENT:
        return 0
    if spans[0, SLOT_LAST_UPDATE_ID] != ABSENT:
        return _AS_SNAPSHOT
    if spans[0, SLOT_OPEN_INTEREST] != ABSENT:
        return _AS_OPEN_INTEREST
    if spans[0, 117] == NUMBER and spans[0, 98] == STRING and spans[0, 97] == STRING:
        return _AS_QUOTE  # spot's bookTicker has no "e"
    return 0


@kernel
def _stream_fits(buf: Bytes, spans: Ints, start: int, end: int, frame_type: int) -> int:
    """Return OK, OTHER_STREAM when the stream names another symbol, PARTIAL_BOOK when it is no diff stream."""
    if spans[0, SLOT_STREAM] != STRING:
        return OK
    i, stop = spans[1, SLOT_STREAM], spans[2, SLOT_STREAM]
    if i < stop and buf[i] != 33:  # "!" is all symbols
        for k in range(start, end):
            c = buf[k]
            if 65 <= c <= 90:
                c += 32
            if i >= stop or buf[i] != c:
                return OTHER_STREAM
            i += 1
        if i >= stop or buf[i] != 64:
            return OTHER_STREAM
    if frame_type == _AS_SNAPSHOT:
        return PARTIAL_BOOK
    if frame_type == _AS_DEPTH:
        if i + 6 > stop or not is_word(buf, i + 1, i + 6, _DEPTH):
            return PARTIAL_BOOK
        if i + 6 < stop and buf[i + 6] != 64:
            return PARTIAL_BOOK
    return OK


@kernel
def _rows_of(buf: Bytes, spans: Ints, frame_type: int, grid: Ints, head: Head, out: Ints, n: int) -> tuple[int, int]:
    if frame_type == _AS_QUOTE:
        return on_quote(buf, spans, grid, head, out, n)
    if frame_type == _AS_TRADE:
        n, reason = on_trade(buf, spans, grid, head, out, n, 116)
        if reason == OK:
            grid[HAS_TRADES] = 1
        return n, reason
    if frame_type == _AS_DEPTH:
        return on_depth(buf, spans, grid, head, out, n)
    if frame_type == _AS_AGG_TRADE:
        if grid[HAS_TRADES] != 0:
            return n, BESIDE_TRADES
        return on_trade(buf, spans, grid, head, out, n, 97)
    if frame_type == _AS_MARK:
        return on_mark(buf, spans, grid, head, out, n)
    if frame_type == _AS_LIQUIDATION:
        return on_liquidation(buf, spans, grid, head, out, n)
    if frame_type == _AS_KLINE:
        return on_kline(buf, spans, grid, head, out, n)
    if frame_type == _AS_SNAPSHOT:
        return on_snapshot(buf, spans, grid, head, out, n)
    return on_open_interest(buf, spans, grid, head, out, n)


@kernel
def _decode_line(
    buf: Bytes, i: int, end: int, venue: int, default: int, symbols: Symbols, spans: Ints, out: Ints, n: int,
    cursor: Ints, is_quick: bool,
) -> tuple[int, int]:  # fmt: skip
    """Return (rows so far, OK or the reason)."""
    i = skip_spaces(buf, i, end)
    if i == end:
        return n, BLANK
    url_start = url_end = 0
    if buf[i] == 104 or buf[i] == 119:  # http, wss
        arrow = _find_word(buf, i, end, _ARROW)
        if arrow < 0:
            return n, URL_LINE
        url_start = _find_word(buf, i, arrow, _SYMBOL_IS) + len(_SYMBOL_IS)
        url_end = url_start
        while url_end < arrow and buf[url_end] != 38:
            url_end += 1
        i = arrow + len(_ARROW)
    ts_recv, i, reason = _received(buf, i, end)
    if reason != OK:
        return n, reason
    reason = scan_frame(buf, i, end, is_quick, spans)
    if reason != OK:
        return n, reason
    frame_type = _frame_type(buf, spans)
    if frame_type == 0:
        return n, OTHER_TYPE
    slot = 128 + 115 if frame_type == _AS_LIQUIDATION else 115
    start, end = url_start, url_end
    if spans[0, slot] == STRING:
        start, end = spans[1, slot], spans[2, slot]
    if start == end:
        if frame_type != _AS_SNAPSHOT or spans[0, 115] != ABSENT:
            return n, MISSING_FIELD
        if spans[0, SLOT_STREAM] != ABSENT:
            return n, PARTIAL_BOOK
        if default < 0:
            return n, NO_SYMBOL
        entry = default
    else:
        reason = _stream_fits(buf, spans, start, end, frame_type)
        if reason != OK:
            return n, reason
        if end - start > MAX_SYMBOL:
            return n, BAD_SYMBOL
        entry = find_symbol(buf, start, end, symbols)
        if entry < 0:
            cursor[SPAN_START] = start
            cursor[SPAN_END] = end
            return n, UNKNOWN_SYMBOL
    grid = symbols.grids[entry]
    if grid[IS_REJECTED] != 0:
        return n, BAD_SYMBOL
    num_rounded = grid[NUM_ROUNDED]
    rows, reason = _rows_of(buf, spans, frame_type, grid, head_of(venue, grid[INSTRUMENT], ts_recv), out, n)
    if reason != OK:
        grid[NUM_ROUNDED] = num_rounded
    return rows, reason


@kernel
def decode_lines(
    buf: Bytes, stop: int, venue: int, default: int, symbols: Symbols, spans: Ints, out: Ints, positions: Ints,
    aside: Ints, max_rows: int, cursor: Ints,
) -> None:  # fmt: skip
    """Decode the lines of buf[cursor[AT]:stop] into `out` until one of its ends is reached; `cursor` says which.

    `aside` takes (line, reason, start, end, start and end of the frame's type) of every line that gave no rows.
    """
    at = cursor[AT]
    line = cursor[LINE]
    n = 0
    num_aside = 0
    decoded = 0
    why = FINISHED
    while at < stop:
        end = find_line_feed(buf, at, stop)
        if num_aside == len(aside):
            why = ASIDE_FULL
            break
        if (end - at) // MIN_LEVEL_BYTES + 4 > len(out) - n:
            why = OUT_FULL
            break
        spans[0, 101] = ABSENT
        is_quick = True
        while True:  # one place that calls, because the compiler copies the callee into each
            rows, reason = _decode_line(buf, at, end, venue, default, symbols, spans, out, n, cursor, is_quick)
            if not is_quick or reason not in (BAD_JSON, TRUNCATED, DUPLICATE_KEY, BAD_LEVELS, OTHER_TYPE):
                break
            is_quick = False
        if reason == UNKNOWN_SYMBOL:
            why = NEW_SYMBOL
            break
        if reason == OK and rows - n > max_rows:
            reason = TOO_LONG
        if reason == OK:
            base = line * max_rows
            for k in range(n, rows):
                positions[k] = base + (k - n)
            n = rows
            decoded += 1
        else:
            aside[num_aside, 0] = line
            aside[num_aside, 1] = reason
            aside[num_aside, 2] = at
            aside[num_aside, 3] = end
            has_type = reason == OTHER_TYPE and spans[0, 101] == STRING
            aside[num_aside, 4] = spans[1, 101] if has_type else 0
            aside[num_aside, 5] = spans[2, 101] if has_type else 0
            num_aside += 1
        line += 1
        at = end + 1
    cursor[AT] = at
    cursor[LINE] = line
    cursor[ROWS] = n
    cursor[SET_ASIDE] = num_aside
    cursor[DECODED] = decoded
    cursor[WHY] = why


def work_spans() -> Ints:
    """Return the work array of one decoder."""
    return np.zeros((3, NUM_SLOTS), np.int64)
