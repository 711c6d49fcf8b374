"""Compiled decoder of Binance's book frames: diffs and snapshots to rows of the tape."""

from __future__ import annotations

from spyhop.model.tape import Flag, Kind
from spyhop.numerics._borrowed import kernel
from spyhop.venues.binance.fields import (
    BAD_LEVELS,
    LOT_DECIMALS,
    LOT_UNIT,
    MISSING_FIELD,
    NOT_POSITIVE,
    TICK_DECIMALS,
    TICK_UNIT,
    TOO_MANY_LEVELS,
    Head,
    event_time,
    first,
    int_at,
    near_lot,
    put,
)
from spyhop.venues.decimals import (
    BAD_NUMBER,
    OFF_GRID,
    OK,
    Bytes,
    Ints,
    fixed,
)
from spyhop.venues.files.chunks import MAX_ROWS_PER_LINE
from spyhop.venues.scan import (
    ARRAY,
    NUMBER,
    SLOT_LAST_UPDATE_ID,
    SLOT_PREVIOUS,
    skip_spaces,
)

_LEVEL, _SNAPSHOT = int(Kind.LEVEL), int(Kind.SNAPSHOT)
_LAST, _EMPTY, _FROM_SNAPSHOT = int(Flag.LAST), int(Flag.EMPTY), int(Flag.FROM_SNAPSHOT)
_U, _u, _b, _a = 85, 117, 98, 97


@kernel
def _levels(
    buf: Bytes, i: int, end: int, grid: Ints, head: Head, out: Ints, n: int, side: int, flags: int, ts: int,
    number: int, aux: int, aux2: int,
) -> tuple[int, int]:  # fmt: skip
    tick_decimals, tick_unit = grid[TICK_DECIMALS], grid[TICK_UNIT]
    lot_decimals, lot_unit = grid[LOT_DECIMALS], grid[LOT_UNIT]
    i = skip_spaces(buf, i + 1, end)
    if i < end and buf[i] == 93:
        return n, OK if i + 1 == end else BAD_LEVELS
    while True:
        if i >= end or buf[i] != 91:
            return n, BAD_LEVELS
        i = skip_spaces(buf, i + 1, end)
        if i >= end or buf[i] != 34:
            return n, BAD_LEVELS
        price, i, reason = fixed(buf, i + 1, end, tick_decimals)
        if reason != OK:
            return n, reason
        if i >= end or buf[i] != 34:
            return n, BAD_NUMBER
        if tick_unit != 1:
            if price % tick_unit != 0:
                return n, OFF_GRID
            price //= tick_unit
        if price == 0:
            return n, NOT_POSITIVE
        i = skip_spaces(buf, i + 1, end)
        if i >= end or buf[i] != 44:
            return n, BAD_LEVELS
        i = skip_spaces(buf, i + 1, end)
        if i >= end or buf[i] != 34:
            return n, BAD_LEVELS
        start = i + 1
        qty, i, reason = fixed(buf, start, end, lot_decimals)
        if i >= end or (buf[i] != 34 and reason == OK):
            return n, BAD_NUMBER
        if reason == OFF_GRID or lot_unit != 1:
            qty, reason = near_lot(buf, start, i, grid)
        if reason != OK:
            return n, reason
        i = skip_spaces(buf, i + 1, end)
        if i >= end or buf[i] != 93:
            return n, BAD_LEVELS
        n = put(out, n, head, _LEVEL, side, flags, 0, ts, price, qty, number, aux, aux2)
        i = skip_spaces(buf, i + 1, end)
        if i < end and buf[i] == 93:
            return n, OK if i + 1 == end else BAD_LEVELS
        if i >= end or buf[i] != 44:
            return n, BAD_LEVELS
        i = skip_spaces(buf, i + 1, end)


@kernel
def _both_sides(
    buf: Bytes, spans: Ints, grid: Ints, head: Head, out: Ints, n: int, flags: int, ts: int, number: int,
    aux: int, aux2: int,
) -> tuple[int, int]:  # fmt: skip
    if spans[0, _b] != ARRAY or spans[0, _a] != ARRAY:
        return n, MISSING_FIELD
    begin = n
    n, reason = _levels(buf, spans[1, _b], spans[2, _b], grid, head, out, n, 1, flags, ts, number, aux, aux2)
    if reason == OK:
        n, reason = _levels(buf, spans[1, _a], spans[2, _a], grid, head, out, n, -1, flags, ts, number, aux, aux2)
    if reason == OK and n - begin >= MAX_ROWS_PER_LINE - 1:
        reason = TOO_MANY_LEVELS
    if reason != OK:
        return begin, reason
    if n == begin:
        n = put(out, n, head, _LEVEL, 0, flags | _EMPTY | _LAST, 0, ts, 0, 0, number, aux, aux2)
    else:
        out[n - 1, 0] |= _LAST << 24
    return n, OK


@kernel
def on_depth(buf: Bytes, spans: Ints, grid: Ints, head: Head, out: Ints, n: int) -> tuple[int, int]:
    """Append the LEVEL rows of a diff, bids first; `pu` is -1 where the venue (spot) has none."""
    ts, reason = event_time(buf, spans, -1)
    if reason != OK or ts < 0:
        return n, first(reason, MISSING_FIELD)
    first_id, other = int_at(buf, spans, _U)
    reason = first(reason, other)
    number, other = int_at(buf, spans, _u)
    reason = first(reason, other)
    previous = -1
    if spans[0, SLOT_PREVIOUS] == NUMBER:
        previous, other = int_at(buf, spans, SLOT_PREVIOUS)
        reason = first(reason, other)
    if reason != OK:
        return n, reason
    return _both_sides(buf, spans, grid, head, out, n, 0, ts, number, first_id, previous)


@kernel
def on_snapshot(buf: Bytes, spans: Ints, grid: Ints, head: Head, out: Ints, n: int) -> tuple[int, int]:
    """Append the SNAPSHOT and LEVEL rows of a REST book; spot's has no time, so ours stands in."""
    ts, reason = event_time(buf, spans, head.ts_recv)
    number, other = int_at(buf, spans, SLOT_LAST_UPDATE_ID)
    reason = first(reason, other)
    if reason != OK:
        return n, reason
    put(out, n, head, _SNAPSHOT, 0, 0, 0, ts, 0, 0, number, 0, 0)
    end, reason = _both_sides(buf, spans, grid, head, out, n + 1, _FROM_SNAPSHOT, ts, number, number, -1)
    if reason != OK:
        return n, reason
    if (out[end - 1, 0] >> 24) & _EMPTY == 0:
        out[n, 4] = end - n - 1
    return end, OK
