"""D7 PricePattern: candlesticks and chart structure of closed 1 m bars, weighed by what they were worth so far.

Nobody has shown that these patterns pay, so every weight starts at its prior, which is 0. A pattern's own record -
what price did in the bars after it, in its direction and in units of ATR - gives its weight once it has occurred
`min_occurrences` times: mean * n / (n + shrink). Sweeps and changes of character are published apart, as evidence.
"""

from __future__ import annotations

from math import exp, sqrt, tanh
from typing import Annotated, Any

import msgspec
import numpy as np

from spyhop.detectors.published import publish
from spyhop.numerics._jit import kernel
from spyhop.numerics.candles import CANDLES, NUM_PATTERNS, PATTERNS, UNSIGNED, WARM_UP, candles_patterns, candles_push
from spyhop.numerics.indicators import ATR, atr_step
from spyhop.numerics.structure import (
    STRUCTURE,
    change_of_character,
    double_turn,
    head_and_shoulders,
    sweep_of_highs,
    sweep_of_lows,
    triangle_break,
)
from spyhop.numerics.swings import MAX_REACH, swings_push

SHAPES: tuple[str, ...] = (
    *PATTERNS,
    "sweep",
    "change_of_character",
    "double_turn",
    "head_and_shoulders",
    "triangle",
)
"""All patterns, in the order of the weights."""

NUM_SHAPES = len(SHAPES)
_DIRECTED = np.array([0.0 if name in UNSIGNED else 1.0 for name in SHAPES])
_MAX_HORIZON = 30

STATE = np.dtype(
    [
        ("candles", CANDLES),
        ("structure", STRUCTURE),
        ("atr", ATR),
        ("ts", "i8"),
        ("num_bars", "i8"),
        ("signs", "f8", (NUM_SHAPES,)),  # of the newest bar
        ("faded", "f8", (NUM_SHAPES,)),  # sum of sign * exp(-age / fade), as of `ts`
        # what was said in the last bars, to be judged when the horizon has passed
        ("said", "f8", (_MAX_HORIZON, NUM_SHAPES)),
        ("said_close", "f8", (_MAX_HORIZON,)),
        ("said_atr", "f8", (_MAX_HORIZON,)),
        ("edge", "f8", (NUM_SHAPES,)),  # sum of what it was worth
        ("num_judged", "i8", (NUM_SHAPES,)),
        ("score", "f8"),
        ("swept_low", "f8"),
        ("swept_high", "f8"),
        ("shift", "f8"),
        ("ts_shape", "i8"),
    ]
)
PARAMS = np.dtype(
    [
        ("priors", "f8", (NUM_SHAPES,)),
        ("swing_reach", "i8"),
        ("horizon_bars", "i8"),
        ("min_occurrences", "i8"),
        ("shrink", "f8"),
        ("fade_ns", "f8"),
        ("evidence_fade_ns", "f8"),
        ("pool_atr", "f8"),
        ("sweep_atr", "f8"),
        ("reclaim_bars", "i8"),
        ("level_atr", "f8"),
        ("atr_window", "i8"),
        ("age_tau_ms", "f8"),
    ]
)

_Positive = Annotated[float, msgspec.Meta(gt=0)]


class PricePatternParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Priors of candles and of chart structure, how patterns are judged, and the distances of structure in ATRs."""

    candle_prior: float = 0.0
    structure_prior: float = 0.0
    swing_reach_bars: Annotated[int, msgspec.Meta(ge=1, le=MAX_REACH)] = 2
    horizon_bars: Annotated[int, msgspec.Meta(ge=1, le=_MAX_HORIZON)] = 5
    min_occurrences: Annotated[int, msgspec.Meta(ge=1)] = 200
    shrink_occurrences: Annotated[float, msgspec.Meta(ge=0)] = 200.0
    fade_s: _Positive = 300.0
    evidence_fade_s: _Positive = 180.0
    pool_atr: _Positive = 0.1
    sweep_atr: Annotated[float, msgspec.Meta(ge=0)] = 0.05
    reclaim_bars: Annotated[int, msgspec.Meta(ge=1)] = 3
    level_atr: _Positive = 0.25  # how level double tops and shoulders must be
    atr_window: Annotated[int, msgspec.Meta(ge=2)] = 14
    age_tau_s: _Positive = 300.0


def params_record(params: PricePatternParams) -> tuple[Any, ...]:
    """Return the numbers of PARAMS in the order of its fields."""
    priors = tuple(
        params.candle_prior * directed if shape in PATTERNS else params.structure_prior
        for shape, directed in zip(SHAPES, _DIRECTED.tolist(), strict=True)
    )
    return (
        priors,
        params.swing_reach_bars,
        params.horizon_bars,
        params.min_occurrences,
        params.shrink_occurrences,
        params.fade_s * 1e9,
        params.evidence_fade_s * 1e9,
        params.pool_atr,
        params.sweep_atr,
        params.reclaim_bars,
        params.level_atr,
        params.atr_window,
        params.age_tau_s * 1e3,
    )


@kernel
def reset(s: Any, p: Any) -> None:
    """Leave a zero-filled state as it is: zeros are a fresh start."""


@kernel
def on_bar(s: Any, p: Any, bar: Any, m: Any) -> None:
    """Fold a closed 1 m bar."""
    atr = s.atr.value  # of the bars before: a bar is not measured with itself
    elapsed = bar.ts_close - s.ts if s.ts > 0 else 0
    fade = exp(-max(elapsed, 0) / p.fade_ns)
    evidence_fade = exp(-max(elapsed, 0) / p.evidence_fade_ns)
    s.ts = bar.ts_close
    candles_push(s.candles, bar.open, bar.high, bar.low, bar.close)
    candles_patterns(s.candles, s.signs)
    s.swept_low *= evidence_fade
    s.swept_high *= evidence_fade
    s.shift *= evidence_fade
    _structure(s, p, bar, atr)
    swings_push(s.structure.swings, bar.high, bar.low, 0.0, p.swing_reach)
    _judge(s, p, bar.close)
    atr_step(s.atr, bar.high, bar.low, bar.close, p.atr_window)
    _weigh(s, p, bar.ts_close, fade)
    s.num_bars += 1


@kernel
def _structure(s: Any, p: Any, bar: Any, atr: float) -> None:
    for i in range(NUM_PATTERNS, NUM_SHAPES):
        s.signs[i] = 0.0
    if atr <= 0.0:
        return
    structure = s.structure
    up = sweep_of_lows(structure, bar.low, bar.close, atr, p.pool_atr, p.sweep_atr, p.reclaim_bars)
    down = sweep_of_highs(structure, bar.high, bar.close, atr, p.pool_atr, p.sweep_atr, p.reclaim_bars)
    shift = change_of_character(structure, bar.close)
    if up != 0:
        s.swept_low = 1.0
    if down != 0:
        s.swept_high = 1.0
    if shift != 0:
        s.shift = shift
    s.signs[NUM_PATTERNS] = up + down
    s.signs[NUM_PATTERNS + 1] = shift
    s.signs[NUM_PATTERNS + 2] = double_turn(structure, bar.close, atr, p.level_atr)
    s.signs[NUM_PATTERNS + 3] = head_and_shoulders(structure, bar.close, atr, p.level_atr)
    s.signs[NUM_PATTERNS + 4] = triangle_break(structure, bar.close)


@kernel
def _judge(s: Any, p: Any, close: float) -> None:
    # what was said `horizon_bars` ago can be judged now; its place takes what is said now
    slot = s.num_bars % p.horizon_bars
    if s.num_bars >= p.horizon_bars and s.said_atr[slot] > 0.0:
        worth = (close - s.said_close[slot]) / (s.said_atr[slot] * sqrt(p.horizon_bars))
        for i in range(NUM_SHAPES):
            if s.said[slot, i] != 0.0:
                s.edge[i] += s.said[slot, i] * worth
                s.num_judged[i] += 1
    s.said_close[slot] = close
    s.said_atr[slot] = s.atr.value
    for i in range(NUM_SHAPES):
        s.said[slot, i] = s.signs[i]


@kernel
def _weight(s: Any, p: Any, i: int) -> float:
    n = s.num_judged[i]
    if n < p.min_occurrences:
        return float(p.priors[i])
    return float(s.edge[i] / (n + p.shrink))


@kernel
def _weigh(s: Any, p: Any, ts: int, fade: float) -> None:
    s.score = 0.0
    for i in range(NUM_SHAPES):
        s.faded[i] = s.faded[i] * fade + s.signs[i]
        if s.signs[i] != 0.0:
            s.ts_shape = ts
        s.score += _weight(s, p, i) * s.faded[i]


@kernel
def read(s: Any, p: Any, ts: int, m: Any, detection: Any, evidence: Any) -> None:
    """Fill the detection (-1..1) and the sweeps and structure shift, which decay from the close that made them.

    Ready after WARM_UP bars; the sample size is the number of judged patterns, so that confidence comes with proof.
    """
    since = max(ts - s.ts, 0) if s.ts > 0 else 0
    value = tanh(s.score * exp(-since / p.fade_ns)) if s.score != 0.0 else 0.0
    judged = 0
    for i in range(NUM_SHAPES):
        judged = max(judged, s.num_judged[i])
    age = ts - s.ts_shape if s.ts_shape > 0 else 0
    publish(detection, value, s.num_bars >= WARM_UP, judged, p.min_occurrences, age, p.age_tau_ms)
    evidence.swept_low = 0.0
    evidence.swept_high = 0.0
    evidence.structure_shift = 0.0
    if s.swept_low != 0.0 or s.swept_high != 0.0 or s.shift != 0.0:
        fade = exp(-since / p.evidence_fade_ns)
        evidence.swept_low = s.swept_low * fade
        evidence.swept_high = s.swept_high * fade
        evidence.structure_shift = s.shift * fade
