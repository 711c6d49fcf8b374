"""D12 VolatilityAnalyzer: how much the mid moves, against its own past, and how much of it in jumps.

Call it before the detectors that read `m.sigma_1m` and `m.atr`: this one writes them. Returns are of the mid each
second (the last trade while there is no book); a second without a row in between counts as one without a move.
"""

from __future__ import annotations

from math import log, sqrt
from typing import Annotated, Any

import msgspec
import numpy as np

from spyhop.detectors.published import SECOND_NS, price_of, publish
from spyhop.numerics._jit import kernel
from spyhop.numerics.indicators import ATR, atr_step
from spyhop.numerics.volatility import jump_ratio, jump_z

WINDOW_S = 300
"""Window of the realised volatility and of the jump test, in seconds."""

_STEP_S = 5  # the jump test needs returns that are seldom zero
_JUMP_RETURNS = WINDOW_S // _STEP_S
_NUM_BINS = 140
_BINS_PER_LOG = 10.0  # bins of 0.1 in log
_LOWEST_LOG = log(1e-7)

LOW, NORMAL, HIGH, EXTREME = 0, 1, 2, 3

STATE = np.dtype(
    [
        ("ts", "i8"),
        ("ts_moved", "i8"),
        ("price", "f8"),
        ("num_trades", "i8"),
        ("num_seconds", "i8"),
        # time-decayed sums of squared returns and of seconds
        ("squares", "f8"),
        ("seconds", "f8"),
        ("sigma_1m", "f8"),
        # squared returns of the last WINDOW_S seconds
        ("ring", "f8", (WINDOW_S,)),
        ("ring_sum", "f8"),
        # log prices each _STEP_S: returns written twice so that the newest window is always one slice
        ("step_price", "f8"),
        ("steps", "f8", (2 * _JUMP_RETURNS,)),
        ("num_steps", "i8"),
        ("jump_ratio", "f8"),
        # decayed histogram of log(sigma), one entry a minute
        ("bins", "f8", (_NUM_BINS,)),
        ("weight", "f8"),
        ("percentile", "f8"),
        ("log_sigma", "f8"),
        ("num_minutes", "i8"),
        ("vov_mean", "f8"),
        ("vov_var", "f8"),
        ("regime", "i8"),
        ("atr", ATR),
    ]
)
PARAMS = np.dtype(
    [
        ("sigma_keep", "f8"),  # what a decayed sum keeps a second
        ("warm_s", "f8"),
        ("bin_keep", "f8"),  # what the histogram keeps a minute
        ("prior_minutes", "f8"),
        ("min_minutes", "f8"),
        ("warm_minutes", "f8"),
        ("vov_share", "f8"),
        ("jump_z_min", "f8"),
        ("low_enter", "f8"),
        ("low_leave", "f8"),
        ("high_enter", "f8"),
        ("high_leave", "f8"),
        ("extreme_enter", "f8"),
        ("extreme_leave", "f8"),
        ("atr_window", "i8"),
        ("age_tau_ms", "f8"),
    ]
)

_Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]
_Positive = Annotated[float, msgspec.Meta(gt=0)]


class VolatilityParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Time constants and the percentiles at which regimes are entered and left."""

    sigma_tau_s: _Positive = 300.0
    warm_s: _Positive = 60.0  # seconds of returns before sigma speaks
    percentile_half_life_s: _Positive = 86_400.0
    percentile_prior_minutes: _Positive = 5.0  # the percentile is shrunk to 0.5 as if by so many minutes
    percentile_min_minutes: _Positive = 5.0
    percentile_warm_minutes: _Positive = 60.0
    vol_of_vol_minutes: Annotated[float, msgspec.Meta(ge=1)] = 30.0
    jump_z_min: Annotated[float, msgspec.Meta(ge=0)] = 2.33  # one-sided 1 %; below it the jump ratio says 0
    low_enter_frac: _Share = 0.10
    low_leave_frac: _Share = 0.20
    high_enter_frac: _Share = 0.90
    high_leave_frac: _Share = 0.80
    extreme_enter_frac: _Share = 0.98
    extreme_leave_frac: _Share = 0.95
    atr_window: Annotated[int, msgspec.Meta(ge=2)] = 14
    age_tau_s: _Positive = 60.0


def params_record(params: VolatilityParams) -> tuple[float, ...]:
    """Return the numbers of PARAMS in the order of its fields."""
    return (
        float(np.exp(-1.0 / params.sigma_tau_s)),
        params.warm_s,
        0.5 ** (60.0 / params.percentile_half_life_s),
        params.percentile_prior_minutes,
        params.percentile_min_minutes,
        params.percentile_warm_minutes,
        2.0 / (params.vol_of_vol_minutes + 1.0),
        params.jump_z_min,
        params.low_enter_frac,
        params.low_leave_frac,
        params.high_enter_frac,
        params.high_leave_frac,
        params.extreme_enter_frac,
        params.extreme_leave_frac,
        params.atr_window,
        params.age_tau_s * 1e3,
    )


@kernel
def reset(s: Any, p: Any) -> None:
    """Set a zero-filled state to its start."""
    s.percentile = 0.5
    s.regime = NORMAL


@kernel
def on_second(s: Any, p: Any, ts: int, m: Any) -> None:
    """Fold the price at a second boundary and write `m.sigma_1m`."""
    price = price_of(m)
    if price > 0.0:
        if s.ts == 0:
            s.ts, s.ts_moved, s.price, s.step_price = ts, ts, price, price
        else:
            _fold(s, p, ts, price, m.vol_mult if m.vol_mult > 0.0 else 1.0)
        if price != s.price or m.num_trades != s.num_trades:
            s.ts_moved = ts
        s.price = price
        s.num_trades = m.num_trades
    m.sigma_1m = s.sigma_1m


@kernel
def _fold(s: Any, p: Any, ts: int, price: float, vol_mult: float) -> None:
    elapsed = (ts - s.ts) // SECOND_NS
    if elapsed <= 0:
        return
    s.ts = ts
    # seconds without a row: no move; after two windows of them every ring holds zeros only
    for _ in range(min(elapsed - 1, 2 * WINDOW_S)):
        _second(s, p, s.price, 0.0, vol_mult)
    _second(s, p, price, log(price / s.price), vol_mult)
    if s.num_minutes > 0:
        s.percentile = _rank(s, p)
        s.regime = _regime(s.regime, s.percentile, p)


@kernel
def _second(s: Any, p: Any, price: float, r: float, vol_mult: float) -> None:
    square = r * r
    s.squares = s.squares * p.sigma_keep + square
    s.seconds = s.seconds * p.sigma_keep + 1.0
    slot = s.num_seconds % WINDOW_S
    s.ring_sum = max(s.ring_sum + square - s.ring[slot], 0.0)
    s.ring[slot] = square
    s.num_seconds += 1
    if slot == WINDOW_S - 1:
        s.ring_sum = 0.0
        for i in range(WINDOW_S):
            s.ring_sum += s.ring[i]
    if s.num_seconds % _STEP_S == 0:
        _step(s, p, price)
    if s.num_seconds >= p.warm_s:
        s.sigma_1m = sqrt(60.0 * s.squares / s.seconds)
        s.log_sigma = log(max(s.sigma_1m / vol_mult, 1e-7))
        if s.num_seconds % 60 == 0:
            _minute(s, p)


@kernel
def _step(s: Any, p: Any, price: float) -> None:
    slot = s.num_steps % _JUMP_RETURNS
    s.steps[slot] = log(price / s.step_price)
    s.steps[slot + _JUMP_RETURNS] = s.steps[slot]
    s.step_price = price
    s.num_steps += 1
    if s.num_steps >= _JUMP_RETURNS:
        start = s.num_steps % _JUMP_RETURNS
        returns = s.steps[start : start + _JUMP_RETURNS]
        s.jump_ratio = jump_ratio(returns) if jump_z(returns) >= p.jump_z_min else 0.0


@kernel
def _bin_of(log_sigma: float) -> int:
    return min(max(int((log_sigma - _LOWEST_LOG) * _BINS_PER_LOG), 0), _NUM_BINS - 1)


@kernel
def _minute(s: Any, p: Any) -> None:
    s.weight = s.weight * p.bin_keep + 1.0
    for i in range(_NUM_BINS):
        s.bins[i] *= p.bin_keep
    s.bins[_bin_of(s.log_sigma)] += 1.0
    s.num_minutes += 1
    share = max(p.vov_share, 1.0 / s.num_minutes)
    d = s.log_sigma - s.vov_mean
    s.vov_mean += share * d
    s.vov_var = (1.0 - share) * (s.vov_var + share * d * d)


@kernel
def _rank(s: Any, p: Any) -> float:
    here = _bin_of(s.log_sigma)
    below = 0.5 * s.bins[here]
    for i in range(here):
        below += s.bins[i]
    return float((below + 0.5 * p.prior_minutes) / (s.weight + p.prior_minutes))


@kernel
def _regime(now: int, percentile: float, p: Any) -> int:
    if percentile >= p.extreme_enter or (now == EXTREME and percentile >= p.extreme_leave):
        return EXTREME
    if percentile >= p.high_enter or (now >= HIGH and percentile >= p.high_leave):
        return HIGH
    if percentile <= p.low_enter or (now == LOW and percentile <= p.low_leave):
        return LOW
    return NORMAL


@kernel
def on_bar(s: Any, p: Any, bar: Any, m: Any) -> None:
    """Fold a closed 1 m bar and write `m.atr`."""
    m.atr = atr_step(s.atr, bar.high, bar.low, bar.close, p.atr_window)


@kernel
def read(s: Any, p: Any, ts: int, m: Any, detection: Any, evidence: Any) -> None:
    """Fill the detection (value: volatility percentile, 0..1) and the volatility evidence.

    sigma is ready after `warm_s` seconds; the percentile, shrunk to 0.5 while its past is short, after
    `percentile_min_minutes`. `volatility_5m` is scaled up while the window is not full.
    """
    ready = s.weight >= p.min_minutes * 0.99
    publish(detection, s.percentile, ready, s.weight, p.warm_minutes, ts - s.ts_moved, p.age_tau_ms)
    evidence.sigma_1m = s.sigma_1m
    filled = min(s.num_seconds, WINDOW_S)
    evidence.volatility_5m = sqrt(s.ring_sum * WINDOW_S / filled) if filled >= p.warm_s else 0.0
    evidence.vol_pct = s.percentile
    evidence.jump_ratio = s.jump_ratio
    evidence.vol_regime = s.regime
    evidence.vol_of_vol = sqrt(s.vov_var)
    evidence.atr = s.atr.value
