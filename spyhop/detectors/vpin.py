"""VPIN (methods 2, D3; Easley, Lopez de Prado and O'Hara 2012) with the exchange's aggressor flag.

    value      sum of |buy - sell| over the last 50 volume buckets / their volume, 0..1; whole buckets only
    vpin_cdf   its rank among the last 30 days of buckets, 0..1: what rules are to use, never a direction

A bucket holds 1/50 of the previous UTC day's volume, frozen for the day. Until a whole day has been seen it holds
`first_minute_frac` of the first minute's volume; such buckets are provisional and say so by half the confidence.
`bucket_volume` above 0 fixes it.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np

from spyhop.clock import NS_PER_DAY
from spyhop.detectors.published import publish
from spyhop.numerics._jit import kernel

NUM_BUCKETS = 50
_BINS = 200
_DAY = NS_PER_DAY
_MINUTE_S = 60
_MAX_SPANNED = 4 * NUM_BUCKETS

STATE = np.dtype(
    [
        ("bucket_volume", "f8"),  # 0 until known
        ("buy", "f8"),  # in the bucket being filled
        ("sell", "f8"),
        ("imbalances", "f8", (NUM_BUCKETS,)),
        ("volumes", "f8", (NUM_BUCKETS,)),
        ("at", "i8"),
        ("num_buckets", "i8"),
        ("sum_imbalance", "f8"),
        ("sum_volume", "f8"),
        ("vpin", "f8"),
        ("cdf", "f8"),
        ("is_provisional", "i8"),
        ("day", "i8"),
        ("day_volume", "f8"),
        ("is_whole_day", "i8"),
        ("ts", "i8"),  # newest trade
        ("num_ranked", "i8"),
        ("total", "f8"),
        ("scale", "f8"),
        ("counts", "f8", (_BINS,)),
    ],
    align=True,
)
PARAMS = np.dtype(
    [
        ("bucket_volume", "f8"),
        ("first_minute_frac", "f8"),
        ("growth", "f8"),
        ("rank_warm", "f8"),
        ("age_tau_ms", "f8"),
    ]
)


class VpinParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of VPIN; `bucket_volume` in base units, 0 = from the previous day."""

    bucket_volume: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    first_minute_frac: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.05
    rank_days: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    rank_warm_buckets: Annotated[int, msgspec.Meta(ge=1)] = 50
    age_tau_s: Annotated[float, msgspec.Meta(gt=0)] = 300.0


def params_record(params: VpinParams) -> tuple[float, ...]:
    """Return the numbers of PARAMS in the order of its fields."""
    return (
        params.bucket_volume,
        params.first_minute_frac,
        float(np.exp(1.0 / (params.rank_days * NUM_BUCKETS))),
        float(params.rank_warm_buckets),
        params.age_tau_s * 1e3,
    )


@kernel
def reset(s: Any, p: Any) -> None:
    """Set a zero-filled state to its start."""
    s.scale = 1.0
    s.bucket_volume = p.bucket_volume
    s.day = -1


@kernel
def on_trade(s: Any, p: Any, ts: int, qty: float, side: int) -> None:
    """Fill buckets with a trade, splitting it exactly where one is full."""
    s.ts = ts
    s.day_volume += qty
    v = s.bucket_volume
    if v <= 0.0:
        return
    room = v - (s.buy + s.sell)
    if qty < room:
        if side > 0:
            s.buy += qty
        else:
            s.sell += qty
        return
    _fill(s, p, qty, side, v)


@kernel
def _fill(s: Any, p: Any, qty: float, side: int, v: float) -> None:
    if qty > _MAX_SPANNED * v:
        # the ring turns over several times: what is filled first is forgotten anyway
        qty = _MAX_SPANNED * v + qty % v
    while True:
        room = v - (s.buy + s.sell)
        if qty < room:
            break
        if side > 0:
            s.buy += room
        else:
            s.sell += room
        qty -= room
        _close(s, p, v)
    if side > 0:
        s.buy += qty
    else:
        s.sell += qty


@kernel
def _close(s: Any, p: Any, v: float) -> None:
    at = s.at
    imbalance = abs(s.buy - s.sell)
    s.sum_imbalance += imbalance - s.imbalances[at]
    s.sum_volume += v - s.volumes[at]
    s.imbalances[at] = imbalance
    s.volumes[at] = v
    s.buy = 0.0
    s.sell = 0.0
    s.num_buckets += 1
    at += 1
    if at == NUM_BUCKETS:
        at = 0
        s.sum_imbalance = s.imbalances.sum()
        s.sum_volume = s.volumes.sum()
    s.at = at
    if s.num_buckets < NUM_BUCKETS:
        return
    s.vpin = max(0.0, min(1.0, s.sum_imbalance / s.sum_volume))
    _rank(s, p)


@kernel
def _rank(s: Any, p: Any) -> None:
    where = min(int(s.vpin * _BINS), _BINS - 1)
    below = 0.0
    for i in range(where):
        below += s.counts[i]
    s.cdf = (below + 0.5 * s.counts[where]) / s.total if s.total > 0.0 else 0.5
    s.scale *= p.growth
    if s.scale > 1e12:
        s.counts[:] /= s.scale
        s.total /= s.scale
        s.scale = 1.0
    s.counts[where] += s.scale
    s.total += s.scale
    s.num_ranked += 1


@kernel
def on_second(s: Any, p: Any, ts: int, m: Any) -> None:
    """Choose the bucket volume: after the first minute, and anew with each UTC day that was seen whole."""
    day = ts // _DAY
    if s.day < 0:
        s.day = day
        s.is_whole_day = 1 if ts % _DAY == 0 else 0
    elif day != s.day:
        if s.is_whole_day and s.day_volume > 0.0 and p.bucket_volume == 0.0:
            s.bucket_volume = s.day_volume / NUM_BUCKETS
            s.is_provisional = 0
        s.is_whole_day = 1 if day == s.day + 1 else 0
        s.day = day
        s.day_volume = 0.0
    if s.bucket_volume == 0.0 and m.num_seconds >= _MINUTE_S and m.cum_volume > 0.0:
        s.bucket_volume = m.cum_volume * _MINUTE_S / m.num_seconds * p.first_minute_frac
        s.is_provisional = 1


@kernel
def read(s: Any, p: Any, ts: int, m: Any, detection: Any, evidence: Any) -> None:
    """Fill the detection (value: VPIN, 0..1) and its rank."""
    ready = s.num_buckets >= NUM_BUCKETS
    age = ts - s.ts if s.ts > 0 else 0
    publish(detection, s.vpin, ready, s.num_buckets, NUM_BUCKETS, age, p.age_tau_ms)
    if s.is_provisional:
        detection.confidence *= 0.5
    evidence.vpin_cdf = s.cdf if s.num_ranked >= p.rank_warm else 0.0
