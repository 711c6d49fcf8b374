"""Order book imbalance (methods 2, D1).

    value      time-weighted mean of the distance-weighted imbalance over `tau_s`, -1..1
    obi1       best level, now;  obi_w: distance-weighted, now;  micro_tilt: (micro-price - mid) / half spread (which
               is the best level's imbalance) averaged over the last second by time
    ofi_z      order-flow imbalance of the last second over mean best-level depth, as a z-score against its own past
    depth_*    quote currency resting within `depth_bps` of the best price

While no depth stream was ever seen, the quote is the whole book and obi_w is obi1. After a break in the sequence the
detector is not ready until the next snapshot, and warms up anew.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np

from spyhop.detectors.published import publish
from spyhop.numerics._jit import kernel
from spyhop.numerics.decay import causal_z, clipped, ew_moments, held_mean, kept

STATE = np.dtype(
    [
        ("bid", "i8"),
        ("ask", "i8"),
        ("bid_qty", "i8"),
        ("ask_qty", "i8"),
        ("obi1", "f8"),
        ("tilt_sum", "f8"),  # obi1 x ns since the last second
        ("ts_tilt", "i8"),
        ("micro_tilt", "f8"),
        ("flow", "f8"),  # order-flow imbalance of this second, lots
        ("depth_sum", "f8"),
        ("num_tops", "i8"),  # in this second
        ("flow_mean", "f8"),
        ("flow_var", "f8"),
        ("ofi_z", "f8"),
        ("num_flows", "i8"),  # seconds in the moments
        ("obi_w", "f8"),
        ("mean", "f8"),
        ("ts_mean", "i8"),
        ("ts_valid", "i8"),  # the book is valid since; 0 = it is not
        ("ts", "i8"),  # newest input
        ("has_levels", "i8"),  # a depth stream was seen
        ("depth_bid", "f8"),
        ("depth_ask", "f8"),
    ],
    align=True,
)
PARAMS = np.dtype(
    [
        ("tau_ns", "f8"),
        ("warm_taus", "f8"),
        ("flow_alpha", "f8"),
        ("flow_warm", "f8"),
        ("depth_frac", "f8"),
        ("age_tau_ms", "f8"),
    ]
)


class ObiParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of the order book imbalance."""

    tau_s: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    warm_taus: Annotated[float, msgspec.Meta(ge=1)] = 3.0
    flow_tau_s: Annotated[float, msgspec.Meta(gt=1)] = 300.0
    flow_warm_s: Annotated[int, msgspec.Meta(ge=2)] = 30
    depth_bps: Annotated[float, msgspec.Meta(gt=0, le=50)] = 5.0
    age_tau_s: Annotated[float, msgspec.Meta(gt=0)] = 5.0


def params_record(params: ObiParams) -> tuple[float, ...]:
    """Return the numbers of PARAMS in the order of its fields."""
    return (
        params.tau_s * 1e9,
        params.warm_taus,
        float(-np.expm1(-1.0 / params.flow_tau_s)),
        float(params.flow_warm_s),
        params.depth_bps * 1e-4,
        params.age_tau_s * 1e3,
    )


@kernel
def reset(s: Any, p: Any) -> None:
    """Set a zero-filled state to its start, which zeros are."""


@kernel
def on_top(s: Any, p: Any, ts: int, top: Any) -> None:
    """Take new best prices."""
    bid = top.bid
    ask = top.ask
    bid_qty = top.bid_qty
    ask_qty = top.ask_qty
    if s.bid > 0:
        # Cont, Kukanov and Stoikov (2014): what came minus what went, bids minus asks
        flow = 0
        if bid >= s.bid:
            flow += bid_qty
        if bid <= s.bid:
            flow -= s.bid_qty
        if ask <= s.ask:
            flow -= ask_qty
        if ask >= s.ask:
            flow += s.ask_qty
        s.flow += flow
        s.depth_sum += 0.5 * (bid_qty + ask_qty)
        s.num_tops += 1
        s.tilt_sum += s.obi1 * max(ts - s.ts_tilt, 0)
    s.ts_tilt = ts
    s.bid = bid
    s.ask = ask
    s.bid_qty = bid_qty
    s.ask_qty = ask_qty
    total = bid_qty + ask_qty
    s.obi1 = (bid_qty - ask_qty) / total if total > 0 else 0.0
    s.ts = ts
    if s.has_levels == 0:
        _hold(s, p, ts, s.obi1)


@kernel
def on_book(s: Any, p: Any, ts: int, imbalance: float) -> None:
    """Take the distance-weighted imbalance of a book in sequence."""
    if s.has_levels == 0:
        s.has_levels = 1
        s.ts_valid = 0
    s.ts = ts
    _hold(s, p, ts, imbalance)


@kernel
def _hold(s: Any, p: Any, ts: int, imbalance: float) -> None:
    if s.ts_valid == 0:
        s.ts_valid = ts
        s.mean = imbalance
    else:
        s.mean = held_mean(s.mean, s.obi_w, ts - s.ts_mean, p.tau_ns)
    s.obi_w = imbalance
    s.ts_mean = ts


@kernel
def on_break(s: Any, p: Any) -> None:
    """Forget the book: it is out of sequence, crossed or one-sided."""
    s.has_levels = 1
    s.ts_valid = 0
    s.obi_w = 0.0
    s.mean = 0.0
    s.bid = 0
    s.obi1 = 0.0


@kernel
def on_depth(s: Any, bid: float, ask: float) -> None:
    """Take the depth of both sides, quote currency."""
    s.depth_bid = bid
    s.depth_ask = ask


@kernel
def on_second(s: Any, p: Any, ts: int, m: Any) -> None:
    """Close the second: mean tilt, and the z-score of its order flow before the moments learn it."""
    begin = ts - 1_000_000_000
    if s.bid > 0:
        s.tilt_sum += s.obi1 * max(ts - max(s.ts_tilt, begin), 0)
        s.micro_tilt = clipped(s.tilt_sum * 1e-9, -1.0, 1.0)
    else:
        s.micro_tilt = 0.0
    s.tilt_sum = 0.0
    s.ts_tilt = ts
    if s.num_tops > 0:
        depth = s.depth_sum / s.num_tops
        x = s.flow / depth if depth > 0.0 else 0.0
        if s.num_flows >= p.flow_warm:
            s.ofi_z = clipped(causal_z(s.flow_mean, s.flow_var, x, 1e-12), -10.0, 10.0)
        s.num_flows += 1
        alpha = max(p.flow_alpha, 1.0 / s.num_flows)
        s.flow_mean, s.flow_var = ew_moments(s.flow_mean, s.flow_var, x, alpha)
    else:
        s.ofi_z = 0.0
    s.flow = 0.0
    s.depth_sum = 0.0
    s.num_tops = 0


@kernel
def read(s: Any, p: Any, ts: int, m: Any, detection: Any, evidence: Any) -> None:
    """Fill the detection (value: mean distance-weighted imbalance, -1..1) and the book's evidence."""
    n_eff = max(ts - s.ts_valid, 0) / p.tau_ns if s.ts_valid > 0 else 0.0
    ready = n_eff >= p.warm_taus
    e = kept(ts - s.ts_mean, p.tau_ns)
    value = clipped(s.mean * e + s.obi_w * (1.0 - e), -1.0, 1.0)
    publish(detection, value, ready, n_eff, p.warm_taus, ts - s.ts if s.ts > 0 else 0, p.age_tau_ms)
    evidence.obi1 = s.obi1
    evidence.obi_w = s.obi_w
    evidence.ofi_z = s.ofi_z
    evidence.micro_tilt = s.micro_tilt
    evidence.depth_bid = s.depth_bid
    evidence.depth_ask = s.depth_ask
