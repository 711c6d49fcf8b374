"""Volume at price (methods 2, D8) in log bins of 2 bp that forget by a half-life of four hours.

    value, poc_dist   tanh((price - point of control) / ATR), -1..1; half the value area stands in while ATR is unknown
    va_pos            place in the 70 % value area, 0 at its low, 1 at its high (0.5 in an area of one bin)
    node              volume at the price's bin / volume at the point of control, 0..1
    volume_z          ln volume of the last `10` s against its own past half hour

The profile is a ring of 2,048 bins (about 41 % of price); what the price has left that far behind is dropped.
`on_second` looks at the bins between the lowest and highest that hold volume, so its cost is bounded.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import msgspec
import numpy as np

from spyhop.detectors.published import publish
from spyhop.numerics._jit import kernel
from spyhop.numerics.decay import causal_z, clipped, ew_moments

_BINS = 2048
_MASK = _BINS - 1
_WIDTH = 2e-4
_SAMPLE_S = 10

STATE = np.dtype(
    [
        ("price", "i8"),  # ticks of the newest trade, so that a repeated price costs no logarithm
        ("where", "i8"),  # its bin
        ("low", "i8"),  # bins that hold volume
        ("high", "i8"),
        ("sum", "f8"),
        ("moment", "f8"),  # sum of volume x bin, about `reference`
        ("reference", "i8"),
        ("scale", "f8"),
        ("num_trades", "i8"),
        ("num_seconds", "i8"),
        ("ts", "i8"),
        ("poc", "i8"),
        ("value_low", "i8"),
        ("value_high", "i8"),
        ("is_changed", "i8"),
        ("sample", "f8"),
        ("sample_s", "i8"),
        ("num_samples", "i8"),
        ("sample_mean", "f8"),
        ("sample_var", "f8"),
        ("volume_z", "f8"),
        ("bins", "f8", (_BINS,)),
    ],
    align=True,
)
PARAMS = np.dtype(
    [
        ("growth", "f8"),
        ("value_area", "f8"),
        ("warm", "f8"),
        ("sample_alpha", "f8"),
        ("sample_warm", "f8"),
        ("age_tau_ms", "f8"),
    ]
)


class VolumeClusterParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of the volume profile."""

    half_life_s: Annotated[float, msgspec.Meta(gt=0)] = 14_400.0
    value_area_frac: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.7
    warm_s: Annotated[int, msgspec.Meta(ge=1)] = 60
    volume_tau_s: Annotated[float, msgspec.Meta(gt=10)] = 1_800.0
    volume_warm_s: Annotated[float, msgspec.Meta(ge=20)] = 120.0
    age_tau_s: Annotated[float, msgspec.Meta(gt=0)] = 300.0


def params_record(params: VolumeClusterParams) -> tuple[float, ...]:
    """Return the numbers of PARAMS in the order of its fields."""
    return (
        float(2.0 ** (1.0 / params.half_life_s)),
        params.value_area_frac,
        float(params.warm_s),
        float(-np.expm1(-_SAMPLE_S / params.volume_tau_s)),
        params.volume_warm_s / _SAMPLE_S,
        params.age_tau_s * 1e3,
    )


@kernel
def reset(s: Any, p: Any) -> None:
    """Set a zero-filled state to its start."""
    s.scale = 1.0
    s.high = -1


@kernel
def on_trade(s: Any, p: Any, ts: int, ticks: int, price: float, qty: float) -> None:
    """Add the volume of a trade at its price."""
    if ticks != s.price:
        s.price = ticks
        s.where = math.floor(math.log(price) / _WIDTH)
        if s.num_trades == 0:
            s.low = s.where
            s.high = s.where
            s.reference = s.where
        elif s.where < s.low or s.where > s.high:
            _reach(s, s.where)
    x = qty * s.scale
    s.bins[s.where & _MASK] += x
    s.sum += x
    s.moment += x * (s.where - s.reference)
    s.num_trades += 1
    s.is_changed = 1
    s.ts = ts


@kernel
def _reach(s: Any, where: int) -> None:
    """Let the ring reach to `where`, dropping what lies more than a ring away."""
    if where < s.low:
        for b in range(max(where + _BINS, s.low), s.high + 1):
            _drop(s, b)
        s.low = where
        s.high = min(s.high, where + _BINS - 1)
    else:
        for b in range(s.low, min(where - _BINS, s.high) + 1):
            _drop(s, b)
        s.high = where
        s.low = max(s.low, where - _BINS + 1)


@kernel
def _drop(s: Any, b: int) -> None:
    x = s.bins[b & _MASK]
    s.sum -= x
    s.moment -= x * (b - s.reference)
    s.bins[b & _MASK] = 0.0


@kernel
def on_second(s: Any, p: Any, ts: int, m: Any) -> None:
    """Forget a second's worth, and find the point of control and the value area if anything traded."""
    s.scale *= p.growth
    if s.scale > 1e12:
        s.bins[:] /= s.scale
        s.sum /= s.scale
        s.moment /= s.scale
        s.scale = 1.0
    if s.num_trades > 0:
        s.num_seconds += 1
    if s.is_changed:
        s.is_changed = 0
        _profile(s, p)
    s.sample += m.sec_buy_volume + m.sec_sell_volume
    s.sample_s += 1
    if s.sample_s == _SAMPLE_S:
        _sample(s, p)


@kernel
def _sample(s: Any, p: Any) -> None:
    x = math.log(s.sample + 1e-9)
    s.sample = 0.0
    s.sample_s = 0
    if s.num_trades == 0:
        return
    if s.num_samples >= p.sample_warm:
        s.volume_z = clipped(causal_z(s.sample_mean, s.sample_var, x, 1e-6), -10.0, 10.0)
    s.num_samples += 1
    alpha = max(p.sample_alpha, 1.0 / s.num_samples)
    s.sample_mean, s.sample_var = ew_moments(s.sample_mean, s.sample_var, x, alpha)


@kernel
def _profile(s: Any, p: Any) -> None:
    total = 0.0
    best = -1.0
    poc = s.low
    centre = s.reference + s.moment / s.sum if s.sum > 0.0 else float(s.where)
    for b in range(s.low, s.high + 1):
        x = s.bins[b & _MASK]
        total += x
        if x > best or (x == best and abs(b - centre) < abs(poc - centre)):
            best = x
            poc = b
    s.sum = total
    s.poc = poc
    low = poc
    high = poc
    inside = best
    wanted = p.value_area * total
    while inside < wanted and (low > s.low or high < s.high):
        above = s.bins[(high + 1) & _MASK] if high < s.high else -1.0
        below = s.bins[(low - 1) & _MASK] if low > s.low else -1.0
        if above >= below:
            high += 1
            inside += above
        else:
            low -= 1
            inside += below
    s.value_low = low
    s.value_high = high


@kernel
def read(s: Any, p: Any, ts: int, m: Any, detection: Any, evidence: Any) -> None:
    """Fill the detection (value: distance to the point of control, -1..1) and the profile's evidence."""
    price = m.mid if m.mid > 0.0 else m.last
    ready = s.num_seconds >= p.warm and price > 0.0 and s.sum > 0.0
    dist = 0.0
    place = 0.0
    node = 0.0
    if ready:
        x = math.log(price) / _WIDTH
        poc = math.exp((s.poc + 0.5) * _WIDTH)
        half = 0.5 * (s.value_high - s.value_low + 1) * _WIDTH * price
        dist = math.tanh((price - poc) / (m.atr if m.atr > 0.0 else half))
        if s.value_high > s.value_low:
            place = clipped((x - s.value_low) / (s.value_high + 1 - s.value_low), 0.0, 1.0)
        else:
            place = 0.5
        here = math.floor(x)
        if s.low <= here <= s.high:
            node = clipped(s.bins[here & _MASK] / s.bins[s.poc & _MASK], 0.0, 1.0)
    publish(detection, dist, ready, s.num_seconds, p.warm, ts - s.ts if s.ts > 0 else 0, p.age_tau_ms)
    evidence.poc_dist = dist
    evidence.va_pos = place
    evidence.node = node
    evidence.volume_z = s.volume_z
