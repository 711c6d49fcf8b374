"""Fields of Binance's frames as integers, and the row that they are written to."""

from __future__ import annotations

import sys
from typing import NamedTuple

from spyhop.model.tape import EVENT
from spyhop.numerics._borrowed import kernel
from spyhop.venues.decimals import (
    BAD_NUMBER,
    OFF_GRID,
    OK,
    OUT_OF_RANGE,
    Bytes,
    Ints,
    fixed,
    integer,
    rounded,
    whole,
)
from spyhop.venues.scan import (
    NUMBER,
    STRING,
)

MISSING_FIELD = 20
NOT_POSITIVE = 21
BAD_LEVELS = 22
TOO_MANY_LEVELS = 23
NOT_MARKET = 101
OTHER_INTERVAL = 102

assert sys.byteorder == "little", "rows are written as little-endian words"
assert (EVENT.names or ())[5:8] == ("interval_s", "ts_event", "ts_recv"), "put knows the order of the columns"


# columns of a symbol's grid
TICK_DECIMALS, TICK_UNIT, LOT_DECIMALS, LOT_UNIT, IS_REJECTED, HAS_TRADES, INSTRUMENT, NUM_ROUNDED = range(8)


_E, _T = 69, 84


class Head(NamedTuple):
    """What all rows of a frame share, as far as it is known before the frame is read."""

    word: int  # venue and instrument in their places of the row's first eight bytes
    ts_recv: int


@kernel
def first(reason: int, other: int) -> int:
    """Return `reason` unless it is OK, else `other`."""
    return reason if reason != OK else other


@kernel
def to_ns(number: int) -> int:
    """Return nanoseconds of a time since 1970 in ms, us or ns by its size (years 1973 to 2099), or -1."""
    if 100_000_000_000 <= number < 4_100_000_000_000:
        return number * 1_000_000
    if 100_000_000_000_000 <= number < 4_100_000_000_000_000:
        return number * 1_000
    if 100_000_000_000_000_000 <= number < 4_100_000_000_000_000_000:
        return number
    return -1


@kernel
def int_at(buf: Bytes, spans: Ints, slot: int) -> tuple[int, int]:
    """Return (the whole number in a slot, OK or the reason)."""
    if spans[0, slot] != NUMBER:
        return 0, MISSING_FIELD
    return integer(buf, spans[1, slot], spans[2, slot])


@kernel
def time_at(buf: Bytes, spans: Ints, slot: int) -> tuple[int, int]:
    """Return (ns of the time in a slot, OK or the reason)."""
    number, reason = int_at(buf, spans, slot)
    if reason != OK:
        return 0, reason
    ns = to_ns(number)
    return ns, OK if ns >= 0 else OUT_OF_RANGE


@kernel
def event_time(buf: Bytes, spans: Ints, otherwise: int) -> tuple[int, int]:
    """Return (ns of the frame's T, else its E, else `otherwise`; OK or the reason)."""
    if spans[0, _T] == NUMBER:
        return time_at(buf, spans, _T)
    if spans[0, _E] == NUMBER:
        return time_at(buf, spans, _E)
    return otherwise, OK


@kernel
def price_of(buf: Bytes, start: int, end: int, grid: Ints) -> tuple[int, int]:
    """Return (ticks of a price above zero, OK or the reason)."""
    ticks, reason = whole(buf, start, end, grid[TICK_DECIMALS], grid[TICK_UNIT])
    if reason == OK and ticks == 0:
        return 0, NOT_POSITIVE
    return ticks, reason


@kernel
def price_at(buf: Bytes, spans: Ints, slot: int, grid: Ints) -> tuple[int, int]:
    """Return (ticks of the price in a slot, OK or the reason)."""
    if spans[0, slot] != STRING:
        return 0, MISSING_FIELD
    return price_of(buf, spans[1, slot], spans[2, slot], grid)


@kernel
def near_lot(buf: Bytes, start: int, end: int, grid: Ints) -> tuple[int, int]:
    """Return (nearest lot of a quantity, never none for some; OK or the reason); count those off the grid."""
    # venues made their lots coarser over the years, and old orders still rest in the book with finer quantities
    number, i, reason = fixed(buf, start, end, grid[LOT_DECIMALS])
    if i != end:
        return 0, BAD_NUMBER if reason in (OK, OFF_GRID) else reason
    if reason == OFF_GRID:
        point = start
        while buf[point] != 46:
            point += 1
        number += 1 if buf[point + 1 + grid[LOT_DECIMALS]] >= 53 else 0
    elif reason != OK:
        return 0, reason
    unit = grid[LOT_UNIT]
    lots = (2 * number + unit) // (2 * unit) if unit != 1 else number
    if reason == OFF_GRID or lots * unit != number:
        grid[NUM_ROUNDED] += 1
        lots = max(lots, 1)
    return lots, OK


@kernel
def qty_at(buf: Bytes, spans: Ints, slot: int, grid: Ints) -> tuple[int, int]:
    """Return (lots of the quantity in a slot, OK or the reason)."""
    if spans[0, slot] != STRING:
        return 0, MISSING_FIELD
    return near_lot(buf, spans[1, slot], spans[2, slot], grid)


@kernel
def near_at(buf: Bytes, spans: Ints, slot: int, decimals: int) -> tuple[int, int]:
    """Return (the signed number in a slot in units of 10^-decimals, OK or the reason)."""
    if spans[0, slot] != STRING:
        return 0, MISSING_FIELD
    return rounded(buf, spans[1, slot], spans[2, slot], decimals)


@kernel
def nearest_tick(buf: Bytes, start: int, end: int, grid: Ints) -> tuple[int, int]:
    """Return (nearest tick of a positive price that need not lie on the grid, OK or the reason)."""
    decimals = max(grid[TICK_DECIMALS], 8)
    unit = grid[TICK_UNIT]
    for _ in range(decimals - grid[TICK_DECIMALS]):
        unit *= 10
    number, reason = rounded(buf, start, end, decimals)
    if reason != OK:
        return 0, reason
    ticks = (2 * number + unit) // (2 * unit)
    return ticks, OK if ticks > 0 else NOT_POSITIVE


@kernel
def head_of(venue: int, instrument: int, ts_recv: int) -> Head:
    """Return the head of a frame."""
    return Head((venue << 16) | (instrument << 32), ts_recv)


@kernel
def put(
    out: Ints, n: int, head: Head, kind: int, side: int, flags: int, interval_s: int, ts_event: int, price: int,
    qty: int, number: int, aux: int, aux2: int,
) -> int:  # fmt: skip
    """Write row `n`, and return n + 1."""
    # eight stores in place of thirteen: the first eight bytes of EVENT as one little-endian word
    out[n, 0] = head.word | kind | ((side & 255) << 8) | (flags << 24) | (interval_s << 48)
    out[n, 1] = ts_event
    out[n, 2] = head.ts_recv
    out[n, 3] = price
    out[n, 4] = qty
    out[n, 5] = number
    out[n, 6] = aux
    out[n, 7] = aux2
    return n + 1
