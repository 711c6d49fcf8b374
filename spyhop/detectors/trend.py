"""D13 TrendAnalyzer: whether the mid drifts, judged against what a random walk does.

The t statistic of a random walk on time grows with the square root of the window, so it is divided by that root and
scaled until 95 % of random walks stay below |value| 0.3; a straight line gives 1. An EMA stack that points the other
way halves the value.
"""

from __future__ import annotations

from math import exp, log, sqrt, tanh
from typing import Annotated, Any

import msgspec
import numpy as np

from spyhop.detectors.published import SECOND_NS, price_of, publish
from spyhop.numerics._jit import kernel
from spyhop.numerics.indicators import ADX, EMA, adx_step, ema_step
from spyhop.numerics.ols import ols_fit, ols_push, time_ols
from spyhop.numerics.variance_ratio import variance_ratio

WINDOW_S = 300
"""Window of the regression, in seconds."""

RANDOM_WALK_T95 = 2.8
"""95 % quantile of |t| / sqrt(n) for a random walk on time; 100,000 simulated walks of 60 to 300 steps."""

_T_AT_95 = 1.2  # tanh(1.2 / 4) = 0.29
_RATIO_STEP_S = 5
_RATIO_RETURNS = 120
_MIN_RATIO_RETURNS = 60

RANGE, TRANSITION, TREND = -1, 0, 1

STATE = np.dtype(
    [
        ("ts", "i8"),
        ("ts_moved", "i8"),
        ("num_trades", "i8"),
        ("log_price", "f8"),
        ("num_seconds", "i8"),
        ("ols", time_ols(WINDOW_S)),
        ("step_price", "f8"),
        ("steps", "f8", (2 * _RATIO_RETURNS,)),
        ("num_steps", "i8"),
        ("variance_ratio", "f8"),
        ("ratio_z", "f8"),
        ("adx", ADX),
        ("ema_fast", EMA),
        ("ema_slow", EMA),
        ("stack", "i8"),
        ("close", "f8"),
        ("cusum_up", "f8"),
        ("cusum_down", "f8"),
        ("change", "f8"),  # sign of the last alarm
        ("ts_change", "i8"),
        ("value", "f8"),
        ("regime", "i8"),
    ]
)
PARAMS = np.dtype(
    [
        ("warm_s", "f8"),
        ("ratio_q", "i8"),
        ("adx_window", "i8"),
        ("ema_fast", "i8"),
        ("ema_slow", "i8"),
        ("adx_trend", "f8"),
        ("adx_range", "f8"),
        ("trend_min", "f8"),
        ("cusum_drift", "f8"),
        ("cusum_alarm", "f8"),
        ("change_tau_ns", "f8"),
        ("age_tau_ms", "f8"),
    ]
)

_Positive = Annotated[float, msgspec.Meta(gt=0)]
_Bars = Annotated[int, msgspec.Meta(ge=2)]


class TrendParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Windows in 1 m bars unless the name says seconds; the CUSUM works on 1 m returns in units of sigma."""

    warm_s: Annotated[float, msgspec.Meta(ge=10, le=WINDOW_S)] = 60.0
    ratio_q: Annotated[int, msgspec.Meta(ge=2, le=20)] = 6
    adx_window: _Bars = 14
    ema_fast: _Bars = 20
    ema_slow: _Bars = 50
    adx_trend: _Positive = 25.0
    adx_range: _Positive = 20.0
    trend_min: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.3
    cusum_drift: Annotated[float, msgspec.Meta(ge=0)] = 0.5
    cusum_alarm: _Positive = 5.0
    change_tau_s: _Positive = 300.0
    age_tau_s: _Positive = 60.0


def params_record(params: TrendParams) -> tuple[float, ...]:
    """Return the numbers of PARAMS in the order of its fields."""
    return (
        params.warm_s,
        params.ratio_q,
        params.adx_window,
        params.ema_fast,
        params.ema_slow,
        params.adx_trend,
        params.adx_range,
        params.trend_min,
        params.cusum_drift,
        params.cusum_alarm,
        params.change_tau_s * 1e9,
        params.age_tau_s * 1e3,
    )


@kernel
def reset(s: Any, p: Any) -> None:
    """Set a zero-filled state to its start."""
    s.variance_ratio = 1.0


@kernel
def on_second(s: Any, p: Any, ts: int, m: Any) -> None:
    """Fold the price at a second boundary."""
    price = price_of(m)
    if price <= 0.0:
        return
    y = log(price)
    if s.num_seconds == 0:
        s.ts_moved = ts
        s.step_price = y
        _second(s, p, y)
    else:
        elapsed = (ts - s.ts) // SECOND_NS
        if elapsed <= 0:
            return
        for _ in range(min(elapsed - 1, _RATIO_STEP_S * _RATIO_RETURNS)):
            _second(s, p, s.log_price)
        if y != s.log_price or m.num_trades != s.num_trades:
            s.ts_moved = ts
        _second(s, p, y)
    s.ts = ts
    s.log_price = y
    s.num_trades = m.num_trades
    ols_fit(s.ols)
    _judge(s, p)


@kernel
def _second(s: Any, p: Any, y: float) -> None:
    ols_push(s.ols, y, WINDOW_S)
    s.num_seconds += 1
    if s.num_seconds % _RATIO_STEP_S != 0:
        return
    slot = s.num_steps % _RATIO_RETURNS
    s.steps[slot] = y - s.step_price
    s.steps[slot + _RATIO_RETURNS] = s.steps[slot]
    s.step_price = y
    s.num_steps += 1
    filled = min(s.num_steps, _RATIO_RETURNS)
    if filled >= _MIN_RATIO_RETURNS:
        start = (s.num_steps - filled) % _RATIO_RETURNS
        s.variance_ratio, s.ratio_z = variance_ratio(s.steps[start : start + filled], p.ratio_q)


@kernel
def _judge(s: Any, p: Any) -> None:
    if s.num_seconds < p.warm_s:
        return
    s.value = tanh(s.ols.t / sqrt(s.ols.num) * (0.25 * _T_AT_95 / RANDOM_WALK_T95))
    if s.stack * s.value < 0.0:
        s.value *= 0.5
    strength = abs(s.value)
    has_adx = s.adx.num >= 2 * p.adx_window
    if strength >= p.trend_min and (not has_adx or s.adx.value >= p.adx_trend):
        s.regime = TREND
    elif strength < p.trend_min and ((has_adx and s.adx.value <= p.adx_range) or s.ratio_z <= -1.96):
        s.regime = RANGE
    else:
        s.regime = TRANSITION


@kernel
def on_bar(s: Any, p: Any, bar: Any, m: Any) -> None:
    """Fold a closed 1 m bar: ADX, EMA stack and the CUSUM of returns in units of `m.sigma_1m`."""
    adx_step(s.adx, bar.high, bar.low, bar.close, p.adx_window)
    fast = ema_step(s.ema_fast, bar.close, p.ema_fast)
    slow = ema_step(s.ema_slow, bar.close, p.ema_slow)
    s.stack = 0
    if s.ema_fast.num >= p.ema_fast and s.ema_slow.num >= p.ema_slow:
        if bar.close > fast > slow:
            s.stack = 1
        elif bar.close < fast < slow:
            s.stack = -1
    if s.close > 0.0 and m.sigma_1m > 0.0:
        _cusum(s, p, log(bar.close / s.close) / m.sigma_1m, bar.ts_close)
    s.close = bar.close


@kernel
def _cusum(s: Any, p: Any, x: float, ts: int) -> None:
    s.cusum_up = max(s.cusum_up + x - p.cusum_drift, 0.0)
    s.cusum_down = max(s.cusum_down - x - p.cusum_drift, 0.0)
    if max(s.cusum_up, s.cusum_down) >= p.cusum_alarm:
        s.change = 1.0 if s.cusum_up > s.cusum_down else -1.0
        s.ts_change = ts
        s.cusum_up = 0.0
        s.cusum_down = 0.0


@kernel
def read(s: Any, p: Any, ts: int, m: Any, detection: Any, evidence: Any) -> None:
    """Fill the detection (-1..1) and the trend evidence; ready after `warm_s` seconds.

    ADX is 0 until 2 `adx_window` bars, the variance ratio, over ten minutes at most, 1 until there are five.
    """
    seconds = min(s.num_seconds, WINDOW_S)
    ready = s.num_seconds >= p.warm_s
    publish(detection, s.value, ready, seconds, WINDOW_S, ts - s.ts_moved, p.age_tau_ms)
    evidence.adx = s.adx.value
    evidence.variance_ratio = s.variance_ratio
    evidence.trend_regime = s.regime
    evidence.trend_change = s.change * exp(-max(ts - s.ts_change, 0) / p.change_tau_ns) if s.change != 0.0 else 0.0
