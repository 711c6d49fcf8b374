"""Chart structure on confirmed swings: pools and sweeps, double tops, head and shoulders, triangles, breaks.

Everything speaks at the close that completes it and is never taken back. Distances are in ATRs, so nothing here
depends on the scale of the price. Each kernel returns +1 (bullish), -1 (bearish) or 0, and mirrors exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spyhop.numerics._jit import kernel
from spyhop.numerics.swings import KEPT, SWINGS

STRUCTURE = np.dtype(
    [
        ("swings", SWINGS),
        ("direction", "i8"),  # of the market structure: 1 up, -1 down, 0 unknown
        # a sweep that waits for its reclaim
        ("low_pool", "f8"),
        ("low_bars_left", "i8"),
        ("high_pool", "f8"),
        ("high_bars_left", "i8"),
        # bar of the newest swing that a pattern has used, + 1
        ("double_used", "i8"),
        ("shoulders_used", "i8"),
        ("triangle_used", "i8"),  # bar of the last break, + 1: a new triangle needs a later swing
    ]
)


@kernel
def _back(swings: Any, num: int, back: int) -> Any:
    return swings[(num - 1 - back) % KEPT]


@kernel
def _broken_pool(
    swings: Any, num: int, side: float, edge: float, tolerance: float, beyond: float
) -> tuple[bool, float]:
    # the most extreme pool that `edge` has gone `beyond`; its swings are used up. side +1: highs, -1: lows
    found = False
    level = 0.0
    kept = min(num, KEPT)
    for i in range(kept):
        first = _back(swings, num, i)
        if first.used or side * (edge - first.price) < beyond:
            continue
        for j in range(i + 1, kept):
            second = _back(swings, num, j)
            outer = max(side * first.price, side * second.price)
            if second.used or side * edge - outer < beyond or abs(first.price - second.price) > tolerance:
                continue
            if not found or outer > side * level:
                level = side * outer
            found = True
    if found:
        for i in range(kept):
            swing = _back(swings, num, i)
            if side * (level - swing.price) >= 0.0:
                swing.used = 1
    return found, level


@kernel
def sweep_of_lows(s: Any, low: float, close: float, atr: float, tolerance: float, beyond: float, bars: int) -> int:
    """Return 1 when a pool of lows was pierced and a close is back above it within `bars` bars.

    A pool is two or more unused swings within `tolerance` ATR; piercing is a wick `beyond` ATR or more below.
    """
    found, level = _broken_pool(s.swings.lows, s.swings.num_lows, -1.0, low, tolerance * atr, beyond * atr)
    if found:
        s.low_pool = level
        s.low_bars_left = bars
    if s.low_bars_left == 0:
        return 0
    s.low_bars_left -= 1
    if close > s.low_pool:
        s.low_bars_left = 0
        return 1
    return 0


@kernel
def sweep_of_highs(s: Any, high: float, close: float, atr: float, tolerance: float, beyond: float, bars: int) -> int:
    """Return -1 when a pool of highs was pierced and a close is back below it within `bars` bars."""
    found, level = _broken_pool(s.swings.highs, s.swings.num_highs, 1.0, high, tolerance * atr, beyond * atr)
    if found:
        s.high_pool = level
        s.high_bars_left = bars
    if s.high_bars_left == 0:
        return 0
    s.high_bars_left -= 1
    if close < s.high_pool:
        s.high_bars_left = 0
        return -1
    return 0


@kernel
def _reference(swings: Any, num: int, side: float) -> tuple[int, float]:
    # newest swing that retreated from the one before it (a lower high, a higher low); bar -1 if none
    kept = min(num, KEPT)
    for i in range(kept - 1):
        swing = _back(swings, num, i)
        if side * (_back(swings, num, i + 1).price - swing.price) > 0.0:
            return swing.bar, swing.price
    return -1, 0.0


@kernel
def change_of_character(s: Any, close: float) -> int:
    """Return +1 when a close breaks the last lower high of a down structure, -1 for the last higher low of an up one.

    A break of the newest swing with the structure, or while none is known, only sets the direction.
    """
    swings = s.swings
    if s.direction == 0:
        up = swings.num_highs > 0 and close > _back(swings.highs, swings.num_highs, 0).price
        down = swings.num_lows > 0 and close < _back(swings.lows, swings.num_lows, 0).price
        s.direction = int(up) - int(down)
    elif s.direction < 0:
        bar, level = _reference(swings.highs, swings.num_highs, 1.0)
        if bar >= 0 and close > level:
            s.direction = 1
            return 1
    else:
        bar, level = _reference(swings.lows, swings.num_lows, -1.0)
        if bar >= 0 and close < level:
            s.direction = -1
            return -1
    return 0


@kernel
def _between(swings: Any, num: int, first_bar: int, last_bar: int, side: float) -> tuple[bool, float]:
    # most extreme swing strictly between two bars. side +1: highs, -1: lows
    found = False
    level = 0.0
    for i in range(min(num, KEPT)):
        swing = _back(swings, num, i)
        if first_bar < swing.bar < last_bar:
            if not found or side * (swing.price - level) > 0.0:
                level = swing.price
            found = True
    return found, level


@kernel
def _double(peaks: Any, num_peaks: int, valleys: Any, num_valleys: int, side: float, close: float, reach: float) -> int:
    # bar of the second peak + 1 when the neck breaks, else 0
    if num_peaks < 2:
        return 0
    last = _back(peaks, num_peaks, 0)
    first = _back(peaks, num_peaks, 1)
    found, neck = _between(valleys, num_valleys, first.bar, last.bar, -side)
    if not found or abs(last.price - first.price) > reach:
        return 0
    return last.bar + 1 if side * close < side * neck else 0


@kernel
def double_turn(s: Any, close: float, atr: float, tolerance: float) -> int:
    """Return -1 when a close breaks the low between the two newest highs, level within `tolerance` ATR; +1 mirrored."""
    swings = s.swings
    reach = tolerance * atr
    top = _double(swings.highs, swings.num_highs, swings.lows, swings.num_lows, 1.0, close, reach)
    bottom = _double(swings.lows, swings.num_lows, swings.highs, swings.num_highs, -1.0, close, reach)
    side = int(bottom > s.double_used) - int(top > s.double_used)
    s.double_used = max(s.double_used, top, bottom)
    return side


@kernel
def _shoulders(
    peaks: Any, num_peaks: int, valleys: Any, num_valleys: int, side: float, close: float, reach: float
) -> int:
    # bar of the right shoulder + 1 when the neck breaks, else 0
    if num_peaks < 3:
        return 0
    right = _back(peaks, num_peaks, 0)
    head = _back(peaks, num_peaks, 1)
    left = _back(peaks, num_peaks, 2)
    above = min(side * (head.price - right.price), side * (head.price - left.price))
    if above <= reach or abs(right.price - left.price) > reach:
        return 0
    found_left, neck_left = _between(valleys, num_valleys, left.bar, head.bar, -side)
    found_right, neck_right = _between(valleys, num_valleys, head.bar, right.bar, -side)
    if not (found_left and found_right):
        return 0
    neck = min(side * neck_left, side * neck_right)
    return right.bar + 1 if side * close < neck else 0


@kernel
def head_and_shoulders(s: Any, close: float, atr: float, tolerance: float) -> int:
    """Return -1 when a close breaks the neck of three tops, the middle highest by `tolerance` ATR; +1 mirrored.

    The neck is the lower of the two lows between, so the break is the later, surer one.
    """
    swings = s.swings
    reach = tolerance * atr
    top = _shoulders(swings.highs, swings.num_highs, swings.lows, swings.num_lows, 1.0, close, reach)
    bottom = _shoulders(swings.lows, swings.num_lows, swings.highs, swings.num_highs, -1.0, close, reach)
    side = int(bottom > s.shoulders_used) - int(top > s.shoulders_used)
    s.shoulders_used = max(s.shoulders_used, top, bottom)
    return side


@kernel
def triangle_break(s: Any, close: float) -> int:
    """Return the side of the first close outside the newest swings when highs fall and lows rise, else 0."""
    swings = s.swings
    if swings.num_highs < 2 or swings.num_lows < 2:
        return 0
    high = _back(swings.highs, swings.num_highs, 0)
    low = _back(swings.lows, swings.num_lows, 0)
    falling = high.price < _back(swings.highs, swings.num_highs, 1).price
    rising = low.price > _back(swings.lows, swings.num_lows, 1).price
    newest = max(high.bar, low.bar) + 1
    if not (falling and rising) or s.triangle_used >= newest:
        return 0
    side = int(close > high.price) - int(close < low.price)
    if side != 0:
        s.triangle_used = swings.num_bars + 1
    return side
