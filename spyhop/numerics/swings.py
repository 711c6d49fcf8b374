"""Confirmed swing highs and lows of closed bars: known `reach` bars after they happened, never rewritten.

A swing high is a bar whose high is above every high of the `reach` bars before it and not below any of the `reach`
after it (of equal highs the first counts); lows mirror it. It is dated at its confirmation, so nothing repaints.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spyhop.numerics._jit import kernel

MAX_REACH = 10
KEPT = 16
"""How many swings of each side are remembered."""

_RING = 2 * MAX_REACH + 1

SWING = np.dtype(
    [
        ("price", "f8"),
        ("bar", "i8"),  # number of the bar, from 0, that made it
        ("aux", "f8"),  # what the caller kept with that bar
        ("used", "i8"),  # for the caller: 1 when broken or swept
    ]
)
SWINGS = np.dtype(
    [
        ("high", "f8", (_RING,)),
        ("low", "f8", (_RING,)),
        ("aux", "f8", (_RING,)),
        ("num_bars", "i8"),
        ("highs", SWING, (KEPT,)),
        ("lows", SWING, (KEPT,)),
        ("num_highs", "i8"),
        ("num_lows", "i8"),
    ]
)

NEW_HIGH = 1
NEW_LOW = 2


@kernel
def swings_push(s: Any, high: float, low: float, aux: float, reach: int) -> int:
    """Fold a closed bar and return which swings it confirmed: NEW_HIGH, NEW_LOW, their sum, or 0."""
    slot = s.num_bars % _RING
    s.high[slot] = high
    s.low[slot] = low
    s.aux[slot] = aux
    s.num_bars += 1
    middle = s.num_bars - 1 - reach
    if middle < reach:
        return 0
    at = middle % _RING
    top = s.high[at]
    bottom = s.low[at]
    is_high = True
    is_low = True
    for step in range(1, reach + 1):
        before = (middle - step) % _RING
        after = (middle + step) % _RING
        if s.high[before] >= top or s.high[after] > top:
            is_high = False
        if s.low[before] <= bottom or s.low[after] < bottom:
            is_low = False
    found = 0
    if is_high:
        _keep(s.highs[s.num_highs % KEPT], top, middle, s.aux[at])
        s.num_highs += 1
        found += NEW_HIGH
    if is_low:
        _keep(s.lows[s.num_lows % KEPT], bottom, middle, s.aux[at])
        s.num_lows += 1
        found += NEW_LOW
    return found


@kernel
def _keep(swing: Any, price: float, bar: int, aux: float) -> None:
    swing.price = price
    swing.bar = bar
    swing.aux = aux
    swing.used = 0
