"""Candlestick patterns of closed bars, as TA-Lib defines them with its default settings.

A window keeps the last 16 bars. A pattern speaks at the close that completes it: +1 bullish, -1 bearish, 0 absent,
and 0.8 where TA-Lib says 80 (bodies that touch). "Long", "short" and "very short" compare with the mean of the ten
bars before the one that is judged, "near" and "far" with five.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spyhop.numerics._jit import kernel

KEPT = 16
WARM_UP = 14
"""Bars that must be there before any pattern speaks."""

CANDLES = np.dtype(
    [
        ("open", "f8", (KEPT,)),  # oldest first: index 15 is the newest bar
        ("high", "f8", (KEPT,)),
        ("low", "f8", (KEPT,)),
        ("close", "f8", (KEPT,)),
        ("num", "i8"),
    ]
)

PATTERNS: tuple[str, ...] = (
    "doji",
    "dragonfly_doji",
    "gravestone_doji",
    "spinning_top",
    "marubozu",
    "hammer",
    "inverted_hammer",
    "hanging_man",
    "shooting_star",
    "engulfing",
    "harami",
    "piercing",
    "dark_cloud_cover",
    "morning_star",
    "evening_star",
    "three_inside",
    "three_outside",
    "three_white_soldiers",
    "three_black_crows",
)
NUM_PATTERNS = len(PATTERNS)

UNSIGNED: tuple[str, ...] = ("doji", "dragonfly_doji", "gravestone_doji", "spinning_top")
"""Patterns of indecision: their sign says nothing about direction (TA-Lib's is +100, or the colour of the body)."""

_STAR_PENETRATION = 0.3
_CLOUD_PENETRATION = 0.5
_TOUCHING = 0.8


@kernel
def candles_push(s: Any, open_: float, high: float, low: float, close: float) -> None:
    """Keep a closed bar as the newest of the window."""
    for i in range(KEPT - 1):
        s.open[i] = s.open[i + 1]
        s.high[i] = s.high[i + 1]
        s.low[i] = s.low[i + 1]
        s.close[i] = s.close[i + 1]
    s.open[KEPT - 1] = open_
    s.high[KEPT - 1] = high
    s.low[KEPT - 1] = low
    s.close[KEPT - 1] = close
    s.num += 1


@kernel
def _body(s: Any, i: int) -> float:
    return float(abs(s.close[i] - s.open[i]))


@kernel
def _color(s: Any, i: int) -> int:
    return 1 if s.close[i] >= s.open[i] else -1


@kernel
def _top(s: Any, i: int) -> float:
    return float(max(s.open[i], s.close[i]))


@kernel
def _bottom(s: Any, i: int) -> float:
    return float(min(s.open[i], s.close[i]))


@kernel
def _upper(s: Any, i: int) -> float:
    return float(s.high[i] - _top(s, i))


@kernel
def _lower(s: Any, i: int) -> float:
    return float(_bottom(s, i) - s.low[i])


@kernel
def _mean_body(s: Any, i: int) -> float:
    total = 0.0
    for j in range(i - 10, i):
        total += _body(s, j)
    return total / 10.0


@kernel
def _mean_range(s: Any, i: int, bars: int) -> float:
    total = 0.0
    for j in range(i - bars, i):
        total += s.high[j] - s.low[j]
    return total / bars


@kernel
def _tiny(s: Any, i: int) -> float:
    return 0.1 * _mean_range(s, i, 10)


@kernel
def _near(s: Any, i: int) -> float:
    return 0.2 * _mean_range(s, i, 5)


@kernel
def _far(s: Any, i: int) -> float:
    return 0.6 * _mean_range(s, i, 5)


@kernel
def _is_long(s: Any, i: int) -> bool:
    return bool(_body(s, i) > _mean_body(s, i))


@kernel
def _one_bar(s: Any, out: Any) -> None:
    i = KEPT - 1
    body = _body(s, i)
    upper = _upper(s, i)
    lower = _lower(s, i)
    tiny = _tiny(s, i)
    mean_body = _mean_body(s, i)
    color = _color(s, i)
    if body <= tiny:
        out[0] = 1.0
        if upper < tiny and lower > tiny:
            out[1] = 1.0
        if lower < tiny and upper > tiny:
            out[2] = 1.0
    if body < mean_body and upper > body and lower > body:
        out[3] = color
    if body > mean_body and upper < tiny and lower < tiny:
        out[4] = color
    if body < mean_body and lower > body and upper < tiny:
        if _bottom(s, i) <= s.low[i - 1] + _near(s, i - 1):
            out[5] = 1.0
        if _bottom(s, i) >= s.high[i - 1] - _near(s, i - 1):
            out[7] = -1.0
    if body < mean_body and upper > body and lower < tiny:
        if _top(s, i) < _bottom(s, i - 1):
            out[6] = 1.0
        if _bottom(s, i) > _top(s, i - 1):
            out[8] = -1.0


@kernel
def _two_bars(s: Any, out: Any) -> None:
    i = KEPT - 1
    j = i - 1
    color = _color(s, i)
    color_before = _color(s, j)
    if color != color_before:
        above = _top(s, i) - _top(s, j)
        below = _bottom(s, j) - _bottom(s, i)
        if above > 0.0 and below > 0.0:
            out[9] = color
        elif (above > 0.0 and below >= 0.0) or (above >= 0.0 and below > 0.0):
            out[9] = color * _TOUCHING
    if _is_long(s, j) and not _is_long(s, i):
        if _top(s, i) < _top(s, j) and _bottom(s, i) > _bottom(s, j):
            out[10] = -color_before
        elif _top(s, i) <= _top(s, j) and _bottom(s, i) >= _bottom(s, j):
            out[10] = -color_before * _TOUCHING
    if color == 1 and color_before == -1 and _is_long(s, j) and _is_long(s, i):
        reached = s.close[i] > s.close[j] + _CLOUD_PENETRATION * _body(s, j)
        if s.open[i] < s.low[j] and s.close[i] < s.open[j] and reached:
            out[11] = 1.0
    if color == -1 and color_before == 1 and _is_long(s, j):
        reached = s.close[i] < s.close[j] - _CLOUD_PENETRATION * _body(s, j)
        if s.open[i] > s.high[j] and s.close[i] > s.open[j] and reached:
            out[12] = -1.0


@kernel
def _stars_and_inside(s: Any, out: Any) -> None:
    i = KEPT - 1
    j = i - 1
    k = i - 2
    color = _color(s, i)
    color_first = _color(s, k)
    if _is_long(s, k) and not _is_long(s, j):
        reach = _STAR_PENETRATION * _body(s, k)
        if _is_long(s, i):
            gap_down = _top(s, j) < _bottom(s, k)
            gap_up = _bottom(s, j) > _top(s, k)
            if color_first == -1 and color == 1 and gap_down and s.close[i] > s.close[k] + reach:
                out[13] = 1.0
            if color_first == 1 and color == -1 and gap_up and s.close[i] < s.close[k] - reach:
                out[14] = -1.0
        if _top(s, j) < _top(s, k) and _bottom(s, j) > _bottom(s, k):
            if color_first == 1 and color == -1 and s.close[i] < s.open[k]:
                out[15] = -1.0
            if color_first == -1 and color == 1 and s.close[i] > s.open[k]:
                out[15] = 1.0
    if color_first == -1 and _color(s, j) == 1:
        engulfed = s.close[j] > s.open[k] and s.open[j] < s.close[k]
        out[16] = 1.0 if engulfed and s.close[i] > s.close[j] else 0.0
    elif color_first == 1 and _color(s, j) == -1:
        engulfed = s.open[j] > s.close[k] and s.close[j] < s.open[k]
        out[16] = -1.0 if engulfed and s.close[i] < s.close[j] else 0.0


@kernel
def _soldiers_and_crows(s: Any, out: Any) -> None:
    i = KEPT - 1
    j = i - 1
    k = i - 2
    color = _color(s, i)
    if color != _color(s, j) or color != _color(s, k):
        return
    if color == 1:
        rising = s.close[i] > s.close[j] and s.close[j] > s.close[k]
        bare = _upper(s, i) < _tiny(s, i) and _upper(s, j) < _tiny(s, j) and _upper(s, k) < _tiny(s, k)
        opens_j = s.open[j] > s.open[k] and s.open[j] <= s.close[k] + _near(s, k)
        opens_i = s.open[i] > s.open[j] and s.open[i] <= s.close[j] + _near(s, j)
        not_fading = _body(s, j) > _body(s, k) - _far(s, k) and _body(s, i) > _body(s, j) - _far(s, j)
        if rising and bare and opens_j and opens_i and not_fading and _is_long(s, i):
            out[17] = 1.0
    else:
        falling = s.close[i] < s.close[j] and s.close[j] < s.close[k]
        bare = _lower(s, i) < _tiny(s, i) and _lower(s, j) < _tiny(s, j) and _lower(s, k) < _tiny(s, k)
        opens_j = s.open[j] < s.open[k] and s.open[j] > s.close[k]
        opens_i = s.open[i] < s.open[j] and s.open[i] > s.close[j]
        after_white = _color(s, k - 1) == 1 and s.high[k - 1] > s.close[k]
        if falling and bare and opens_j and opens_i and after_white:
            out[18] = -1.0


@kernel
def candles_patterns(s: Any, out: Any) -> None:
    """Fill `out` (NUM_PATTERNS floats) with what the newest bar completed, each -1..1; all 0 before WARM_UP bars."""
    for pattern in range(NUM_PATTERNS):
        out[pattern] = 0.0
    if s.num < WARM_UP:
        return
    _one_bar(s, out)
    _two_bars(s, out)
    _stars_and_inside(s, out)
    _soldiers_and_crows(s, out)
