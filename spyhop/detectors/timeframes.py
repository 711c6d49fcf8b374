"""Indicators of five timeframes (1m 5m 15m 1h 4h) on closed bars, and whether the timeframes agree.

What a timeframe shows changes only when one of its bars closes; an indicator in warm-up shows 0 and its ready bit is 0.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np

from spyhop.errors import InvalidSetting
from spyhop.model.rows import TIMEFRAME, TIMEFRAMES
from spyhop.numerics._jit import kernel
from spyhop.numerics.indicators import (
    ATR,
    EMA,
    MACD,
    MAX_WINDOW,
    RSI,
    WINDOW,
    atr_step,
    ema_step,
    macd_step,
    rsi_is_ready,
    rsi_step,
    rsi_value,
    window_deviation,
    window_mean,
    window_step,
)

NUM_TIMEFRAMES = len(TIMEFRAMES)

READY_BITS: tuple[str, ...] = (
    "rsi",
    "macd",
    "macd_signal",
    "macd_hist",
    "bb_upper",
    "bb_middle",
    "bb_lower",
    "sma",
    "ema",
    "atr",
    "close",
    "ts_close",
)
"""What each bit of `TIMEFRAME.ready` speaks of, from bit 0."""

_ONE_TIMEFRAME = np.dtype(
    [
        ("rsi", RSI),
        ("macd", MACD),
        ("closes", WINDOW),
        ("ema", EMA),
        ("atr", ATR),
        ("direction", "i8"),
        ("shown", TIMEFRAME),
    ]
)
STATE = np.dtype([("frames", _ONE_TIMEFRAME, (NUM_TIMEFRAMES,))])
PARAMS = np.dtype(
    [
        ("rsi_window", "i8"),
        ("macd_fast", "i8"),
        ("macd_slow", "i8"),
        ("macd_signal", "i8"),
        ("bollinger_window", "i8"),
        ("bollinger_width", "f8"),
        ("sma_window", "i8"),
        ("ema_window", "i8"),
        ("atr_window", "i8"),
        ("num_aligned", "i8"),
    ]
)

_Bars = Annotated[int, msgspec.Meta(ge=2, le=MAX_WINDOW)]


class TimeframesParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Windows in bars; `num_aligned` says how many timeframes, from the shortest, must agree to be aligned."""

    rsi_window: _Bars = 14
    macd_fast: _Bars = 12
    macd_slow: _Bars = 26
    macd_signal: _Bars = 9
    bollinger_window: _Bars = 20
    bollinger_width: Annotated[float, msgspec.Meta(gt=0)] = 2.0
    sma_window: _Bars = 50
    ema_window: _Bars = 20
    atr_window: _Bars = 14
    num_aligned: Annotated[int, msgspec.Meta(ge=1, le=NUM_TIMEFRAMES)] = NUM_TIMEFRAMES


def params_record(params: TimeframesParams) -> tuple[float, ...]:
    """Return the numbers of PARAMS in the order of its fields; raise InvalidSetting for a MACD that is not one."""
    if params.macd_fast >= params.macd_slow:
        raise InvalidSetting("macd_fast", f"must be below macd_slow ({params.macd_slow})")
    return tuple(getattr(params, name) for name in PARAMS.names or ())


@kernel
def reset(s: Any, p: Any) -> None:
    """Leave a zero-filled state as it is: zeros are a fresh start."""


@kernel
def on_bar_of(s: Any, p: Any, k: int, bar: Any) -> None:
    """Fold the closed bar of timeframe `k` (0..4)."""
    frame = s.frames[k]
    rsi_step(frame.rsi, bar.close, p.rsi_window)
    macd_step(frame.macd, bar.close, p.macd_fast, p.macd_slow, p.macd_signal)
    window_step(frame.closes, bar.close)
    ema_step(frame.ema, bar.close, p.ema_window)
    atr_step(frame.atr, bar.high, bar.low, bar.close, p.atr_window)
    _show(frame, p, bar, frame.shown)
    frame.direction = _direction(frame, p, bar.close)


@kernel
def _direction(frame: Any, p: Any, close: float) -> int:
    if frame.macd.signal.num < p.macd_signal or frame.ema.num < p.ema_window:
        return 0
    histogram = frame.macd.line - frame.macd.signal.value
    if close > frame.ema.value and histogram > 0.0:
        return 1
    if close < frame.ema.value and histogram < 0.0:
        return -1
    return 0


@kernel
def _fill_macd(frame: Any, p: Any, out: Any) -> int:
    ready = 0
    if frame.macd.num >= p.macd_slow:
        out.macd = frame.macd.line
        ready |= 1 << 1
    if frame.macd.signal.num >= p.macd_signal:
        out.macd_signal = frame.macd.signal.value
        out.macd_hist = frame.macd.line - frame.macd.signal.value
        ready |= 1 << 2 | 1 << 3
    return ready


@kernel
def _fill_means(frame: Any, p: Any, out: Any) -> int:
    ready = 0
    if frame.closes.num >= p.bollinger_window:
        middle = window_mean(frame.closes, p.bollinger_window)
        reach = p.bollinger_width * window_deviation(frame.closes, p.bollinger_window, middle)
        out.bb_upper = middle + reach
        out.bb_middle = middle
        out.bb_lower = middle - reach
        ready |= 1 << 4 | 1 << 5 | 1 << 6
    if frame.closes.num >= p.sma_window:
        out.sma = window_mean(frame.closes, p.sma_window)
        ready |= 1 << 7
    if frame.ema.num >= p.ema_window:
        out.ema = frame.ema.value
        ready |= 1 << 8
    return ready


@kernel
def _show(frame: Any, p: Any, bar: Any, out: Any) -> None:
    ready = 0
    if rsi_is_ready(frame.rsi, p.rsi_window):
        out.rsi = rsi_value(frame.rsi)
        ready |= 1
    ready |= _fill_macd(frame, p, out)
    ready |= _fill_means(frame, p, out)
    if frame.atr.num > p.atr_window:
        out.atr = frame.atr.value
        ready |= 1 << 9
    out.close = bar.close
    out.ts_close = bar.ts_close
    out.ready = ready | 1 << 10 | 1 << 11


@kernel
def _copy(shown: Any, out: Any) -> None:
    out.rsi = shown.rsi
    out.macd = shown.macd
    out.macd_signal = shown.macd_signal
    out.macd_hist = shown.macd_hist
    out.bb_upper = shown.bb_upper
    out.bb_middle = shown.bb_middle
    out.bb_lower = shown.bb_lower
    out.sma = shown.sma
    out.ema = shown.ema
    out.atr = shown.atr
    out.close = shown.close
    out.ts_close = shown.ts_close
    out.ready = shown.ready


@kernel
def read(s: Any, p: Any, ts: int, timeframes: Any) -> int:
    """Fill the row's timeframes and return the alignment.

    A timeframe points up when its close is above its EMA and its MACD histogram is positive, down when both are
    below. Returns 1 when the first `num_aligned` timeframes all point up, -1 when all point down, else 0.
    """
    agreed = 0
    for k in range(NUM_TIMEFRAMES):
        _copy(s.frames[k].shown, timeframes[k])
        if k < p.num_aligned:
            agreed += s.frames[k].direction
    if agreed == p.num_aligned:
        return 1
    return -1 if agreed == -p.num_aligned else 0
