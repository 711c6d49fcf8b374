"""Spread (methods 2, D9): quoted, effective and realised, in basis points of the mid.

value, spread_pct   rank of the quoted spread among the seconds of the past day, 0..1
spread_bps          quoted, averaged over `tau_s` by time
effective_bps       2 D (p - mid before) / mid, weighted by notional, over `effective_tau_s`
realised            the same against the mid `horizon` seconds later (in the state; effective - realised = impact)
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np

from spyhop.detectors.published import publish
from spyhop.numerics._jit import kernel
from spyhop.numerics.decay import held_mean, kept
from spyhop.numerics.histogram import grown, log_bin, rank

_BINS = 160
_LOW_BPS = 1e-3
_WIDTH = 0.1
_HORIZON = 5

STATE = np.dtype(
    [
        ("spread", "f8"),  # quoted now, bp; 0 before any
        ("mean", "f8"),
        ("ts_mean", "i8"),
        ("ts", "i8"),
        ("sec_paid", "f8"),  # sum of effective spread x notional of this second
        ("sec_notional", "f8"),
        ("sec_signed", "f8"),  # sum of D x notional
        ("sec_priced", "f8"),  # sum of D x notional x price
        ("paid", "f8"),
        ("notional", "f8"),
        ("later_signed", "f8", (_HORIZON,)),
        ("later_priced", "f8", (_HORIZON,)),
        ("later_notional", "f8", (_HORIZON,)),
        ("at", "i8"),
        ("realised_paid", "f8"),
        ("realised_notional", "f8"),
        ("num_seconds", "i8"),
        ("rank", "f8"),
        ("scale", "f8"),
        ("counts", "f8", (_BINS,)),
    ],
    align=True,
)
PARAMS = np.dtype(
    [
        ("tau_ns", "f8"),
        ("effective_kept", "f8"),
        ("growth", "f8"),
        ("warm", "f8"),
        ("age_tau_ms", "f8"),
    ]
)


class SpreadParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of the spread."""

    tau_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    effective_tau_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    half_life_s: Annotated[float, msgspec.Meta(gt=0)] = 86_400.0
    warm_s: Annotated[int, msgspec.Meta(ge=1)] = 60
    age_tau_s: Annotated[float, msgspec.Meta(gt=0)] = 5.0


def params_record(params: SpreadParams) -> tuple[float, ...]:
    """Return the numbers of PARAMS in the order of its fields."""
    return (
        params.tau_s * 1e9,
        float(np.exp(-1.0 / params.effective_tau_s)),
        float(2.0 ** (1.0 / params.half_life_s)),
        float(params.warm_s),
        params.age_tau_s * 1e3,
    )


@kernel
def reset(s: Any, p: Any) -> None:
    """Set a zero-filled state to its start."""
    s.scale = 1.0


@kernel
def on_top(s: Any, p: Any, ts: int, top: Any) -> None:
    """Take new best prices; only a change of the spread costs an exponential."""
    s.ts = ts
    spread = 2e4 * (top.ask - top.bid) / (top.ask + top.bid)
    if spread == s.spread:
        return
    if s.ts_mean == 0:
        s.mean = spread
    else:
        s.mean = held_mean(s.mean, s.spread, ts - s.ts_mean, p.tau_ns)
    s.spread = spread
    s.ts_mean = ts


@kernel
def on_break(s: Any, p: Any) -> None:
    """Forget the quoted spread."""
    s.spread = 0.0
    s.mean = 0.0
    s.ts_mean = 0


@kernel
def on_trade(s: Any, p: Any, price: float, notional: float, side: int, mid: float) -> None:
    """Take a trade and the mid just before it (0: unknown, then nothing is learnt)."""
    if mid <= 0.0:
        return
    s.sec_paid += 2e4 * side * (price - mid) / mid * notional
    s.sec_notional += notional
    s.sec_signed += side * notional
    s.sec_priced += side * notional * price


@kernel
def on_second(s: Any, p: Any, ts: int, m: Any) -> None:
    """Close the second: rank of the spread before it is learnt, and the trades that are `horizon` old."""
    s.paid = s.paid * p.effective_kept + s.sec_paid
    s.notional = s.notional * p.effective_kept + s.sec_notional
    s.realised_paid *= p.effective_kept
    s.realised_notional *= p.effective_kept
    at = s.at
    if m.mid > 0.0 and s.later_notional[at] > 0.0:
        s.realised_paid += 2e4 * (s.later_priced[at] - m.mid * s.later_signed[at]) / m.mid
        s.realised_notional += s.later_notional[at]
    s.later_signed[at] = s.sec_signed
    s.later_priced[at] = s.sec_priced
    s.later_notional[at] = s.sec_notional
    s.at = (at + 1) % _HORIZON
    s.sec_paid = 0.0
    s.sec_notional = 0.0
    s.sec_signed = 0.0
    s.sec_priced = 0.0
    if s.spread <= 0.0:
        return
    where = log_bin(s.spread, _LOW_BPS, _WIDTH, _BINS)
    s.rank = rank(s.counts, where)
    s.scale = grown(s.counts, s.scale, p.growth)
    s.counts[where] += s.scale
    s.num_seconds += 1


@kernel
def read(s: Any, p: Any, ts: int, m: Any, detection: Any, evidence: Any) -> None:
    """Fill the detection (value: rank of the quoted spread, 0..1) and the spread's evidence."""
    ready = s.num_seconds >= p.warm and s.spread > 0.0
    publish(detection, s.rank, ready, s.num_seconds, p.warm, ts - s.ts if s.ts > 0 else 0, p.age_tau_ms)
    e = kept(ts - s.ts_mean, p.tau_ns)
    evidence.spread_bps = s.mean * e + s.spread * (1.0 - e)
    evidence.spread_pct = s.rank if ready else 0.0
    evidence.effective_bps = s.paid / s.notional if s.notional > 0.0 else 0.0
