"""Indicators of closed bars, one bar a step, by TA-Lib's conventions.

Every indicator is a small record and a kernel that folds one bar into it in O(1) (Bollinger: O(window)). EMAs are
seeded with the simple mean of their first window, Wilder averages with the plain mean of theirs. Before its warm-up
an indicator's `is ready` kernel says False and its value is 0. Periods are numbers of bars and must stay the same
for the life of a record.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from spyhop.numerics._jit import kernel

MAX_WINDOW = 200
"""Longest window of a simple mean or of Bollinger bands, in bars."""

EMA = np.dtype([("value", "f8"), ("sum", "f8"), ("num", "i8")])
WINDOW = np.dtype([("values", "f8", (MAX_WINDOW,)), ("num", "i8")])
RSI = np.dtype([("gain", "f8"), ("loss", "f8"), ("close", "f8"), ("num", "i8")])
MACD = np.dtype([("fast", EMA), ("slow", EMA), ("signal", EMA), ("line", "f8"), ("num", "i8")])
ATR = np.dtype([("value", "f8"), ("sum", "f8"), ("close", "f8"), ("num", "i8")])
ADX = np.dtype(
    [
        ("value", "f8"),
        ("plus_dm", "f8"),
        ("minus_dm", "f8"),
        ("true_range", "f8"),
        ("sum_dx", "f8"),
        ("plus_di", "f8"),
        ("minus_di", "f8"),
        ("high", "f8"),
        ("low", "f8"),
        ("close", "f8"),
        ("num", "i8"),
    ]
)


@kernel
def ema_step(s: Any, x: float, period: int) -> float:
    """Fold `x` into an EMA record and return its value; ready after `period` steps, 0 before."""
    s.num += 1
    if s.num > period:
        s.value += 2.0 / (period + 1.0) * (x - s.value)
    else:
        s.sum += x
        if s.num == period:
            s.value = s.sum / period
    return float(s.value)


@kernel
def window_step(s: Any, x: float) -> None:
    """Keep `x` as the newest of the last MAX_WINDOW values."""
    s.values[s.num % MAX_WINDOW] = x
    s.num += 1


@kernel
def window_mean(s: Any, period: int) -> float:
    """Return the mean of the newest `period` values (1..MAX_WINDOW), 0 while there are fewer."""
    if s.num < period:
        return 0.0
    total = 0.0
    for back in range(period):
        total += s.values[(s.num - 1 - back) % MAX_WINDOW]
    return total / period


@kernel
def window_deviation(s: Any, period: int, mean: float) -> float:
    """Return the population deviation from `mean` of the newest `period` values, 0 while there are fewer."""
    if s.num < period:
        return 0.0
    total = 0.0
    for back in range(period):
        distance = s.values[(s.num - 1 - back) % MAX_WINDOW] - mean
        total += distance * distance
    return sqrt(total / period)


@kernel
def rsi_step(s: Any, close: float, period: int) -> None:
    """Fold a close into a Wilder RSI record; ready after `period` + 1 closes."""
    s.num += 1
    if s.num > 1:
        change = close - s.close
        gain = max(change, 0.0)
        loss = max(-change, 0.0)
        if s.num <= period + 1:
            s.gain += gain
            s.loss += loss
            if s.num == period + 1:
                s.gain /= period
                s.loss /= period
        else:
            s.gain = (s.gain * (period - 1) + gain) / period
            s.loss = (s.loss * (period - 1) + loss) / period
    s.close = close


@kernel
def rsi_is_ready(s: Any, period: int) -> bool:
    """Say whether the RSI has seen `period` changes."""
    return bool(s.num > period)


@kernel
def rsi_value(s: Any) -> float:
    """Return the RSI in 0..100; 50 when nothing moved at all (TA-Lib says 0 there)."""
    total = s.gain + s.loss
    if total < 1e-14:
        return 50.0
    return float(100.0 * s.gain / total)


@kernel
def macd_step(s: Any, close: float, fast: int, slow: int, signal: int) -> None:
    """Fold a close into a MACD record; the line is ready after `slow` closes, its signal `signal` - 1 later.

    As in TA-Lib both averages start at the same bar, so the fast one is seeded with the last `fast` of the first
    `slow` closes.
    """
    s.num += 1
    if s.num > slow - fast:
        ema_step(s.fast, close, fast)
    ema_step(s.slow, close, slow)
    if s.num >= slow:
        s.line = s.fast.value - s.slow.value
        ema_step(s.signal, s.line, signal)


@kernel
def true_range(high: float, low: float, close_before: float) -> float:
    """Return the largest of the bar's range and its distances from the close before."""
    return max(high - low, abs(high - close_before), abs(low - close_before))


@kernel
def atr_step(s: Any, high: float, low: float, close: float, period: int) -> float:
    """Fold a bar into a Wilder ATR record and return its value; ready after `period` + 1 bars, 0 before."""
    s.num += 1
    if s.num > 1:
        reach = true_range(high, low, s.close)
        if s.num > period + 1:
            s.value = (s.value * (period - 1) + reach) / period
        else:
            s.sum += reach
            if s.num == period + 1:
                s.value = s.sum / period
    s.close = close
    return float(s.value)


@kernel
def adx_step(s: Any, high: float, low: float, close: float, period: int) -> None:
    """Fold a bar into a Wilder ADX record; ready after 2 `period` bars, its directional indices after `period` + 1."""
    s.num += 1
    if s.num > 1:
        up = high - s.high
        down = s.low - low
        plus = up if up > 0.0 and up > down else 0.0
        minus = down if down > 0.0 and down > up else 0.0
        reach = true_range(high, low, s.close)
        if s.num <= period:
            s.plus_dm += plus
            s.minus_dm += minus
            s.true_range += reach
        else:
            s.plus_dm += plus - s.plus_dm / period
            s.minus_dm += minus - s.minus_dm / period
            s.true_range += reach - s.true_range / period
            _adx_value(s, period)
    s.high, s.low, s.close = high, low, close


@kernel
def _adx_value(s: Any, period: int) -> None:
    dx = -1.0
    if s.true_range > 1e-14:
        s.plus_di = 100.0 * s.plus_dm / s.true_range
        s.minus_di = 100.0 * s.minus_dm / s.true_range
        total = s.plus_di + s.minus_di
        if total > 1e-14:
            dx = 100.0 * abs(s.plus_di - s.minus_di) / total
    if s.num <= 2 * period:
        s.sum_dx += max(dx, 0.0)
        if s.num == 2 * period:
            s.value = s.sum_dx / period
    elif dx >= 0.0:
        s.value = (s.value * (period - 1) + dx) / period
