"""Whale pressure index (methods 2, D2).

Prints of one taker order are merged into a parent: same side and either the same millisecond or at most 5 ms apart
with consecutive ids. A parent is a whale from theta on, the larger of `floor_usd` and the `quantile` of parents'
notionals (log histogram, half-life a day; the floor alone until `warm_parents`). Its weight is
1 + ln(notional / theta); B and A are decayed sums of side x weight and of weight.

    value           B / (A + k), strictly inside -1..1; 0 with few whales;  confidence holds A / (A + k)
    absorption      1 - |move of the mid| / (Kyle's lambda x |signed whale volume|) over `60` s, 0..1
    iceberg         traded at a best price against the most ever displayed there: 0 at once, 0.5 at 3 times, 1 at 5
    sign_autocorr   mean over lags 1..10 of the autocorrelation of parents' signs, -1..1
    small_flow      signed / total notional of parents below theta, decayed, -1..1 (stealth)
    big_*           the whales of the last second

A forced order (liquidation) that matches a whale just seen takes that whale's weight back: forced is not informed.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import msgspec
import numpy as np

from spyhop.detectors.published import publish
from spyhop.numerics._jit import kernel
from spyhop.numerics.decay import clipped, kept
from spyhop.numerics.histogram import grown, log_bin, quantile_edge
from spyhop.numerics.window import pushed_sum

_BINS = 256
_LOW_USD = 1.0
_WIDTH = 0.1
_LAGS = 10
_WINDOW = 60
_RECENT = 8
_MERGE_NS = 5_000_000
_MS = 1_000_000
_MATCH_NS = 2_000_000_000

STATE = np.dtype(
    [
        ("side", "i8"),  # of the open parent; 0 = none
        ("ts_event", "i8"),  # of its newest print
        ("ts_recv", "i8"),
        ("trade_id", "i8"),
        ("qty", "f8"),
        ("notional", "f8"),
        ("pressure", "f8"),  # B
        ("mass", "f8"),  # A
        ("ts_mass", "i8"),
        ("theta", "f8"),
        ("num_parents", "i8"),
        ("num_whales", "i8"),
        ("ts_whale", "i8"),
        ("ts", "i8"),  # newest trade
        ("big_count", "f8"),  # of this second
        ("big_buy", "f8"),
        ("big_sell", "f8"),
        ("big_buy_value", "f8"),
        ("big_sell_value", "f8"),
        ("last_count", "f8"),  # of the last second
        ("last_buy", "f8"),
        ("last_sell", "f8"),
        ("last_buy_value", "f8"),
        ("last_sell_value", "f8"),
        ("whale_ring", "f8", (_WINDOW,)),
        ("whale_sum", "f8"),
        ("mid_ring", "f8", (_WINDOW,)),
        ("at", "i8"),
        ("absorption", "f8"),
        ("bid", "i8"),
        ("ask", "i8"),
        ("bid_shown", "f8"),
        ("ask_shown", "f8"),
        ("bid_traded", "f8"),
        ("ask_traded", "f8"),
        ("iceberg", "f8"),
        ("signs", "f8", (_LAGS,)),
        ("products", "f8", (_LAGS,)),
        ("small_signed", "f8"),
        ("small_total", "f8"),
        ("sec_small_signed", "f8"),
        ("sec_small_total", "f8"),
        ("recent_ts", "i8", (_RECENT,)),
        ("recent_side", "i8", (_RECENT,)),
        ("recent_qty", "f8", (_RECENT,)),
        ("recent_weight", "f8", (_RECENT,)),
        ("recent_at", "i8"),
        ("num_forced", "i8"),
        ("total", "f8"),
        ("scale", "f8"),
        ("counts", "f8", (_BINS,)),
    ],
    align=True,
)
PARAMS = np.dtype(
    [
        ("tau_ns", "f8"),
        ("prior", "f8"),
        ("floor_usd", "f8"),
        ("quantile", "f8"),
        ("growth", "f8"),
        ("warm_parents", "f8"),
        ("ready_parents", "f8"),
        ("small_kept", "f8"),
        ("iceberg_kept", "f8"),
        ("sign_alpha", "f8"),
        ("age_tau_ms", "f8"),
    ]
)


class WpiParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of the whale pressure index; `floor_usd` in quote currency."""

    tau_s: Annotated[float, msgspec.Meta(gt=0)] = 120.0
    prior: Annotated[float, msgspec.Meta(gt=0)] = 3.0
    floor_usd: Annotated[float, msgspec.Meta(gt=0)] = 50_000.0
    quantile: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.99
    half_life_s: Annotated[float, msgspec.Meta(gt=0)] = 86_400.0
    warm_parents: Annotated[int, msgspec.Meta(ge=1)] = 500
    ready_parents: Annotated[int, msgspec.Meta(ge=1)] = 20
    small_tau_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    iceberg_tau_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    sign_parents: Annotated[float, msgspec.Meta(gt=1)] = 200.0
    age_tau_s: Annotated[float, msgspec.Meta(gt=0)] = 120.0


def params_record(params: WpiParams) -> tuple[float, ...]:
    """Return the numbers of PARAMS in the order of its fields."""
    return (
        params.tau_s * 1e9,
        params.prior,
        params.floor_usd,
        params.quantile,
        float(2.0 ** (1.0 / params.half_life_s)),
        float(params.warm_parents),
        float(params.ready_parents),
        float(np.exp(-1.0 / params.small_tau_s)),
        float(np.exp(-1.0 / params.iceberg_tau_s)),
        1.0 / params.sign_parents,
        params.age_tau_s * 1e3,
    )


@kernel
def reset(s: Any, p: Any) -> None:
    """Set a zero-filled state to its start."""
    s.scale = 1.0
    s.theta = p.floor_usd


@kernel
def on_trade(s: Any, p: Any, ts: int, ts_event: int, price: float, qty: float, side: int, trade_id: int) -> None:
    """Merge a print into its parent, or close the parent and open another."""
    s.ts = ts
    notional = price * qty
    if s.side == side:
        gap = ts_event - s.ts_event
        is_same = ts_event // _MS == s.ts_event // _MS
        if is_same or (0 <= gap <= _MERGE_NS and trade_id == s.trade_id + 1):
            s.ts_event = ts_event
            s.ts_recv = ts
            s.trade_id = trade_id
            s.qty += qty
            s.notional += notional
            return
    if s.side != 0:
        _close(s, p)
    s.side = side
    s.ts_event = ts_event
    s.ts_recv = ts
    s.trade_id = trade_id
    s.qty = qty
    s.notional = notional


@kernel
def _close(s: Any, p: Any) -> None:
    """Count the parent that is complete: histogram, signs, and pressure or small flow."""
    side = s.side
    notional = s.notional
    s.num_parents += 1
    s.counts[log_bin(notional, _LOW_USD, _WIDTH, _BINS)] += s.scale
    s.total += s.scale
    signed = p.sign_alpha * side
    kept_share = 1.0 - p.sign_alpha
    for lag in range(_LAGS):
        # signs[lag] is the sign of lag + 1 parents ago
        s.products[lag] = s.products[lag] * kept_share + signed * s.signs[lag]
    for lag in range(_LAGS - 1, 0, -1):
        s.signs[lag] = s.signs[lag - 1]
    s.signs[0] = side
    if notional >= s.theta:
        _whale(s, p, side, notional)
    else:
        s.sec_small_signed += side * notional
        s.sec_small_total += notional
    s.side = 0


@kernel
def _whale(s: Any, p: Any, side: int, notional: float) -> None:
    weight = 1.0 + math.log(notional / s.theta)
    ts = s.ts_recv
    e = kept(ts - s.ts_mass, p.tau_ns)
    s.pressure = s.pressure * e + side * weight
    s.mass = s.mass * e + weight
    s.ts_mass = ts
    s.ts_whale = ts
    s.num_whales += 1
    s.big_count += 1.0
    if side > 0:
        s.big_buy += s.qty
        s.big_buy_value += notional
    else:
        s.big_sell += s.qty
        s.big_sell_value += notional
    at = s.recent_at
    s.recent_ts[at] = ts
    s.recent_side[at] = side
    s.recent_qty[at] = s.qty
    s.recent_weight[at] = weight
    s.recent_at = (at + 1) % _RECENT


@kernel
def on_liquidation(s: Any, p: Any, ts: int, side: int, price: float, qty: float) -> None:
    """Take the weight of a matching whale back: what was forced says nothing about intent."""
    for i in range(_RECENT):
        if s.recent_side[i] != side or ts - s.recent_ts[i] > _MATCH_NS or qty > s.recent_qty[i] * (1.0 + 1e-9):
            continue
        weight = s.recent_weight[i] * min(1.0, qty / s.recent_qty[i]) * kept(s.ts_mass - s.recent_ts[i], p.tau_ns)
        s.pressure -= side * weight
        s.mass = max(s.mass - weight, 0.0)
        s.pressure = clipped(s.pressure, -s.mass, s.mass)
        s.recent_side[i] = 0
        s.num_forced += 1
        return


@kernel
def on_resting(s: Any, price: int, qty: float, side: int) -> None:
    """Take what traded at a price (ticks), for icebergs; `side` is the aggressor's."""
    if side > 0:
        if price == s.ask:
            s.ask_traded += qty
    elif price == s.bid:
        s.bid_traded += qty


@kernel
def on_top(s: Any, top: Any, lot: float) -> None:
    """Follow what is displayed at the best prices."""
    if top.bid != s.bid:
        _judge(s, s.bid_traded, s.bid_shown)
        s.bid = top.bid
        s.bid_shown = 0.0
        s.bid_traded = 0.0
    if top.ask != s.ask:
        _judge(s, s.ask_traded, s.ask_shown)
        s.ask = top.ask
        s.ask_shown = 0.0
        s.ask_traded = 0.0
    s.bid_shown = max(s.bid_shown, top.bid_qty * lot)
    s.ask_shown = max(s.ask_shown, top.ask_qty * lot)


@kernel
def _judge(s: Any, traded: float, shown: float) -> None:
    if shown > 0.0 and traded > shown:
        s.iceberg = max(s.iceberg, min(1.0, 0.25 * (traded / shown - 1.0)))


@kernel
def on_second(s: Any, p: Any, ts: int, m: Any, kyle_lambda: float) -> None:
    """Close the second; `kyle_lambda` in price units a base unit, 0 while unknown."""
    if s.side != 0 and ts - s.ts_recv > _MERGE_NS:
        _close(s, p)
    s.last_count = s.big_count
    s.last_buy = s.big_buy
    s.last_sell = s.big_sell
    s.last_buy_value = s.big_buy_value
    s.last_sell_value = s.big_sell_value
    at = s.at
    s.whale_sum = pushed_sum(s.whale_ring, s.whale_sum, at, s.big_buy - s.big_sell)
    past = s.mid_ring[at]
    s.mid_ring[at] = m.mid
    s.at = (at + 1) % _WINDOW
    reach = kyle_lambda * abs(s.whale_sum)
    if reach > 0.0 and past > 0.0 and m.mid > 0.0:
        s.absorption = clipped(1.0 - abs(m.mid - past) / reach, 0.0, 1.0)
    else:
        s.absorption = 0.0
    s.big_count = 0.0
    s.big_buy = 0.0
    s.big_sell = 0.0
    s.big_buy_value = 0.0
    s.big_sell_value = 0.0
    s.small_signed = s.small_signed * p.small_kept + s.sec_small_signed
    s.small_total = s.small_total * p.small_kept + s.sec_small_total
    s.sec_small_signed = 0.0
    s.sec_small_total = 0.0
    s.iceberg *= p.iceberg_kept
    _judge(s, s.bid_traded, s.bid_shown)
    _judge(s, s.ask_traded, s.ask_shown)
    before = s.scale
    s.scale = grown(s.counts, s.scale, p.growth)
    if s.scale < before:
        s.total /= before * p.growth
    if s.num_parents >= p.warm_parents:
        where = quantile_edge(s.counts, s.total, p.quantile)
        s.theta = max(p.floor_usd, _LOW_USD * math.exp(_WIDTH * (where + 1)))


@kernel
def read(s: Any, p: Any, ts: int, m: Any, detection: Any, evidence: Any) -> None:
    """Fill the detection (value: whale pressure, -1..1) and the whales' evidence."""
    e = kept(ts - s.ts_mass, p.tau_ns)
    mass = s.mass * e
    value = s.pressure * e / (mass + p.prior)
    # A / (A + k) is the confidence; min(1, n / warm) of `publish` becomes exactly that
    publish(
        detection,
        value,
        s.num_parents >= p.ready_parents,
        mass,
        mass + p.prior,
        ts - s.ts if s.ts > 0 else 0,
        p.age_tau_ms,
    )
    evidence.absorption = s.absorption
    evidence.iceberg = s.iceberg
    autocorr = 0.0
    for lag in range(_LAGS):
        autocorr += s.products[lag]
    evidence.sign_autocorr = clipped(autocorr / _LAGS, -1.0, 1.0)
    evidence.small_flow = clipped(s.small_signed / s.small_total, -1.0, 1.0) if s.small_total > 0.0 else 0.0
    evidence.whale_threshold = s.theta
    evidence.big_trade_count = s.last_count
    evidence.big_buy_volume = s.last_buy
    evidence.big_sell_volume = s.last_sell
    evidence.big_buy_value = s.last_buy_value
    evidence.big_sell_value = s.last_sell_value
