"""D11 MomentumAnalyzer: how far price went against what it usually does, over 1, 5, 15 and 60 minutes.

The value is the mean of the parts that are ready: the weighted mean of tanh(r_h / (sigma sqrt h)) over the horizons
whose window is filled, the signed efficiency ratio, RSI about its middle, and MACD histogram in ATRs.
"""

from __future__ import annotations

from math import expm1, log, sqrt, tanh
from typing import Annotated, Any

import msgspec
import numpy as np

from spyhop.detectors.published import SECOND_NS, price_of, publish
from spyhop.numerics._jit import kernel
from spyhop.numerics.indicators import MACD, RSI, macd_step, rsi_is_ready, rsi_step, rsi_value

HORIZONS_MIN: tuple[int, ...] = (1, 5, 15, 60)

_RING = 3601  # one more than the longest horizon in seconds
_EFFICIENCY_S = 300

STATE = np.dtype(
    [
        ("ts", "i8"),
        ("ts_moved", "i8"),
        ("num_trades", "i8"),
        ("log_prices", "f8", (_RING,)),
        ("num_seconds", "i8"),  # prices in the ring, ever
        ("path", "f8"),  # sum |dp| over the efficiency window
        ("num_moves", "i8"),  # how many of them are not zero
        ("value", "f8"),
        ("efficiency", "f8"),
        ("return_1m", "f8"),
        ("return_5m", "f8"),
        ("rsi", RSI),
        ("macd", MACD),
        ("rsi_part", "f8"),
        ("macd_part", "f8"),
        ("has_rsi", "i8"),
        ("has_macd", "i8"),
        ("is_ready", "i8"),
    ]
)
PARAMS = np.dtype(
    [
        ("weights", "f8", (len(HORIZONS_MIN),)),
        ("rsi_window", "i8"),
        ("macd_fast", "i8"),
        ("macd_slow", "i8"),
        ("macd_signal", "i8"),
        ("warm_minutes", "f8"),
        ("age_tau_ms", "f8"),
    ]
)

_Weight = Annotated[float, msgspec.Meta(ge=0)]
_Bars = Annotated[int, msgspec.Meta(ge=2)]


class MomentumParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights of the horizons, windows in 1 m bars."""

    weight_1m: _Weight = 0.4
    weight_5m: _Weight = 0.3
    weight_15m: _Weight = 0.2
    weight_60m: _Weight = 0.1
    rsi_window: _Bars = 14
    macd_fast: _Bars = 12
    macd_slow: _Bars = 26
    macd_signal: _Bars = 9
    warm_minutes: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    age_tau_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0


def params_record(params: MomentumParams) -> tuple[Any, ...]:
    """Return the numbers of PARAMS in the order of its fields."""
    return (
        (params.weight_1m, params.weight_5m, params.weight_15m, params.weight_60m),
        params.rsi_window,
        params.macd_fast,
        params.macd_slow,
        params.macd_signal,
        params.warm_minutes,
        params.age_tau_s * 1e3,
    )


@kernel
def reset(s: Any, p: Any) -> None:
    """Leave a zero-filled state as it is: zeros are a fresh start."""


@kernel
def on_second(s: Any, p: Any, ts: int, m: Any) -> None:
    """Fold the price at a second boundary; `m.sigma_1m` must be that of this boundary."""
    price = price_of(m)
    if price <= 0.0:
        return
    y = log(price)
    if s.num_seconds == 0:
        s.ts = s.ts_moved = ts
        _push(s, y)
    else:
        elapsed = (ts - s.ts) // SECOND_NS
        if elapsed <= 0:
            return
        before = s.log_prices[(s.num_seconds - 1) % _RING]
        for _ in range(min(elapsed - 1, _RING)):
            _push(s, before)
        _push(s, y)
        if y != before or m.num_trades != s.num_trades:
            s.ts_moved = ts
    s.ts = ts
    s.num_trades = m.num_trades
    _judge(s, p, y, m.sigma_1m)


@kernel
def _push(s: Any, y: float) -> None:
    n = s.num_seconds
    if n > 0:
        step = abs(y - s.log_prices[(n - 1) % _RING])
        s.path += step
        s.num_moves += step != 0.0
        if n > _EFFICIENCY_S:
            old = abs(s.log_prices[(n - _EFFICIENCY_S) % _RING] - s.log_prices[(n - _EFFICIENCY_S - 1) % _RING])
            s.path -= old
            s.num_moves -= old != 0.0
        if s.num_moves == 0:
            s.path = 0.0  # what rounding left
    s.log_prices[n % _RING] = y
    s.num_seconds = n + 1


@kernel
def _return_over(s: Any, seconds: int, y: float) -> float:
    return float(y - s.log_prices[(s.num_seconds - 1 - seconds) % _RING])


@kernel
def _horizons(s: Any, p: Any, y: float, sigma: float) -> float:
    total = 0.0
    weight = 0.0
    for k in range(len(HORIZONS_MIN)):
        minutes = HORIZONS_MIN[k]
        if s.num_seconds > 60 * minutes:
            r = _return_over(s, 60 * minutes, y)
            total += p.weights[k] * tanh(r / (sigma * sqrt(minutes)))
            weight += p.weights[k]
    return total / weight if weight > 0.0 else 0.0


@kernel
def _judge(s: Any, p: Any, y: float, sigma: float) -> None:
    span = min(s.num_seconds - 1, _EFFICIENCY_S)
    moved = _return_over(s, span, y)
    s.efficiency = min(abs(moved) / s.path, 1.0) if s.path > 0.0 else 0.0
    s.return_1m = expm1(_return_over(s, 60, y)) if s.num_seconds > 60 else 0.0
    s.return_5m = expm1(_return_over(s, 300, y)) if s.num_seconds > 300 else 0.0
    s.is_ready = 1 if s.num_seconds > 60 and sigma > 0.0 else 0
    if s.is_ready == 0:
        s.value = 0.0
        return
    parts = 2 + s.has_rsi + s.has_macd
    signed = s.efficiency if moved > 0.0 else -s.efficiency
    s.value = (_horizons(s, p, y, sigma) + signed + s.rsi_part + s.macd_part) / parts


@kernel
def on_bar(s: Any, p: Any, bar: Any, m: Any) -> None:
    """Fold a closed 1 m bar; `m.atr` must hold the ATR at its close."""
    rsi_step(s.rsi, bar.close, p.rsi_window)
    macd_step(s.macd, bar.close, p.macd_fast, p.macd_slow, p.macd_signal)
    if rsi_is_ready(s.rsi, p.rsi_window):
        s.has_rsi = 1
        s.rsi_part = (rsi_value(s.rsi) - 50.0) / 50.0
    if s.macd.signal.num >= p.macd_signal:
        s.has_macd = 1
        s.macd_part = tanh((s.macd.line - s.macd.signal.value) / m.atr) if m.atr > 0.0 else 0.0


@kernel
def read(s: Any, p: Any, ts: int, m: Any, detection: Any, evidence: Any) -> None:
    """Fill the detection (-1..1) and the momentum evidence; ready after 60 s once sigma is known.

    `return_1m` and `return_5m` are 0 until their window is filled.
    """
    minutes = min(s.num_seconds - 1, _RING - 1) / 60.0 if s.num_seconds > 0 else 0.0
    publish(detection, s.value, s.is_ready == 1, minutes, p.warm_minutes, ts - s.ts_moved, p.age_tau_ms)
    evidence.efficiency_ratio = s.efficiency
    evidence.return_1m = s.return_1m
    evidence.return_5m = s.return_5m
