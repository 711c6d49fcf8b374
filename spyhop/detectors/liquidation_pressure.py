"""Liquidation pressure (methods 2, D6): what forced orders did, and what lies in wait for them.

    value                max of both scores, 0..100
    liq_long, liq_short  100 (1 - (1 - realised)(1 - potential)); long = longs being liquidated, prices below
    liq_realised_*       1 - exp(-r / (c ADV a minute)), r the decayed notional of forced orders: an observed lower
                         bound, since the venue shows at most one forced order a second

The potential part is a map of notional over log price (5 bp bins, 15 % to both sides). New open interest adds mass at
the exact isolated-margin liquidation prices of eight leverage tiers, on both sides, since each contract has a long
and a short; taker flow skews it by 20 % at most. Shrinking open interest shrinks all of it; a price that passes a bin
empties it. The weight of a bin is the chance to reach it within `horizon`. Tier weights are priors. The map counts
only after 24 hours of open interest; confidence grows with it, or with observed liquidations while they are fresh.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import msgspec
import numpy as np

from spyhop.detectors.published import publish
from spyhop.numerics._jit import kernel
from spyhop.numerics.decay import clipped, kept

_BINS = 1024
_MASK = _BINS - 1
_WIDTH = 5e-4
_REACH = 300  # bins, 15 %
_TIERS = 8
_LEVERAGES = (5.0, 10.0, 20.0, 25.0, 50.0, 75.0, 100.0, 125.0)
_WEIGHTS = (0.10, 0.25, 0.25, 0.12, 0.13, 0.06, 0.06, 0.03)
_MMR = (0.005, 0.005, 0.005, 0.005, 0.005, 0.005, 0.004, 0.004)
_REFRESH_S = 5
_SECOND = 1_000_000_000

STATE = np.dtype(
    [
        ("long_flow", "f8"),  # decayed notional of forced sells
        ("short_flow", "f8"),
        ("ts_flow", "i8"),
        ("num_liquidations", "i8"),
        ("minute_notional", "f8"),
        ("minute_s", "i8"),
        ("adv_minute", "f8"),  # mean notional a minute
        ("num_minutes", "i8"),
        ("cum_notional", "f8"),  # at the last second
        ("contracts", "f8"),  # newest open interest, base units; 0 before any
        ("ts_open_interest", "i8"),
        ("ts_first", "i8"),
        ("buy_volume", "f8"),  # cumulative at the newest open interest
        ("sell_volume", "f8"),
        ("high_long", "i8"),  # no long mass above this bin
        ("low_short", "i8"),  # no short mass below
        ("low_long", "i8"),
        ("high_short", "i8"),
        ("mass", "f8"),
        ("long_potential", "f8"),
        ("short_potential", "f8"),
        ("refresh_s", "i8"),
        ("longs", "f8", (_BINS,)),
        ("shorts", "f8", (_BINS,)),
    ],
    align=True,
)
PARAMS = np.dtype(
    [
        ("tau_ns", "f8"),
        ("share", "f8"),
        ("potential_share", "f8"),
        ("horizon_min", "f8"),
        ("minute_alpha", "f8"),
        ("warm_ns", "f8"),
        ("skew", "f8"),
        ("age_tau_ms", "f8"),
    ]
)


class LiquidationPressureParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of the liquidation pressure."""

    tau_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    adv_share_frac: Annotated[float, msgspec.Meta(gt=0)] = 0.5
    potential_share_frac: Annotated[float, msgspec.Meta(gt=0)] = 0.25
    horizon_s: Annotated[float, msgspec.Meta(gt=0)] = 900.0
    adv_days: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    potential_warm_s: Annotated[float, msgspec.Meta(gt=0)] = 86_400.0
    skew_frac: Annotated[float, msgspec.Meta(ge=0, le=0.2)] = 0.2
    age_tau_s: Annotated[float, msgspec.Meta(gt=0)] = 300.0


def params_record(params: LiquidationPressureParams) -> tuple[float, ...]:
    """Return the numbers of PARAMS in the order of its fields."""
    return (
        params.tau_s * 1e9,
        params.adv_share_frac,
        params.potential_share_frac,
        params.horizon_s / 60.0,
        1.0 / (params.adv_days * 1440.0),
        params.potential_warm_s * 1e9,
        params.skew_frac,
        params.age_tau_s * 1e3,
    )


@kernel
def reset(s: Any, p: Any) -> None:
    """Set a zero-filled state to its start, which zeros are."""


@kernel
def on_liquidation(s: Any, p: Any, ts: int, side: int, price: float, qty: float) -> None:
    """Take a forced order; its side SELL closes a long."""
    e = kept(ts - s.ts_flow, p.tau_ns)
    s.long_flow *= e
    s.short_flow *= e
    s.ts_flow = ts
    if side < 0:
        s.long_flow += price * qty
    else:
        s.short_flow += price * qty
    s.num_liquidations += 1


@kernel
def long_liquidation_price(price: float, leverage: float, mmr: float) -> float:
    """Return the price at which an isolated long of `leverage` entered at `price` is liquidated."""
    return price * (1.0 - 1.0 / leverage) / (1.0 - mmr)


@kernel
def short_liquidation_price(price: float, leverage: float, mmr: float) -> float:
    """Return the price at which an isolated short of `leverage` entered at `price` is liquidated."""
    return price * (1.0 + 1.0 / leverage) / (1.0 + mmr)


@kernel
def on_open_interest(s: Any, p: Any, ts: int, contracts: float, m: Any) -> None:
    """Take open interest (base units): growth adds mass on both sides, decline shrinks all."""
    price = m.mid if m.mid > 0.0 else m.last
    if contracts < 0.0 or ts == s.ts_open_interest:
        return
    before = s.contracts
    known = s.ts_first != 0
    if not known:
        s.ts_first = ts
    s.contracts = contracts
    s.ts_open_interest = ts
    buys = m.cum_buy_volume - s.buy_volume
    sells = m.cum_sell_volume - s.sell_volume
    s.buy_volume = m.cum_buy_volume
    s.sell_volume = m.cum_sell_volume
    if not known:
        return
    if contracts < before:
        _shrink(s, contracts / before)
        return
    if price <= 0.0 or contracts == before:
        return
    taker = (buys - sells) / (buys + sells) if buys + sells > 0.0 else 0.0
    _add(s, price, (contracts - before) * price, p.skew * taker)


@kernel
def _shrink(s: Any, factor: float) -> None:
    s.longs[:] *= factor
    s.shorts[:] *= factor
    s.mass *= factor


@kernel
def _add(s: Any, price: float, notional: float, skew: float) -> None:
    here = math.floor(math.log(price) / _WIDTH)
    if s.mass <= 0.0:
        s.longs[:] = 0.0
        s.shorts[:] = 0.0
        s.high_long = here
        s.low_long = here
        s.low_short = here
        s.high_short = here
    for k in range(_TIERS):
        below = math.floor(math.log(long_liquidation_price(price, _LEVERAGES[k], _MMR[k])) / _WIDTH)
        above = math.floor(math.log(short_liquidation_price(price, _LEVERAGES[k], _MMR[k])) / _WIDTH)
        longs = notional * _WEIGHTS[k] * (1.0 + skew)
        shorts = notional * _WEIGHTS[k] * (1.0 - skew)
        if here - below <= _REACH:
            s.longs[below & _MASK] += longs
            s.mass += longs
            s.high_long = max(s.high_long, below)
            s.low_long = min(s.low_long, below)
        if above - here <= _REACH:
            s.shorts[above & _MASK] += shorts
            s.mass += shorts
            s.low_short = min(s.low_short, above)
            s.high_short = max(s.high_short, above)


@kernel
def _cross(s: Any, low: float, high: float) -> None:
    """Empty the bins that the price has passed, and those it has left more than the map's reach behind."""
    bottom = math.floor(math.log(low) / _WIDTH)
    top = math.floor(math.log(high) / _WIDTH)
    while s.high_long >= bottom and s.high_long >= s.low_long:
        s.mass -= s.longs[s.high_long & _MASK]
        s.longs[s.high_long & _MASK] = 0.0
        s.high_long -= 1
    while s.low_short <= top and s.low_short <= s.high_short:
        s.mass -= s.shorts[s.low_short & _MASK]
        s.shorts[s.low_short & _MASK] = 0.0
        s.low_short += 1
    # stay inside the ring: a bin may not be met again under another name
    while s.low_long < top - _REACH - 100 and s.low_long <= s.high_long:
        s.mass -= s.longs[s.low_long & _MASK]
        s.longs[s.low_long & _MASK] = 0.0
        s.low_long += 1
    while s.high_short > bottom + _REACH + 100 and s.high_short >= s.low_short:
        s.mass -= s.shorts[s.high_short & _MASK]
        s.shorts[s.high_short & _MASK] = 0.0
        s.high_short -= 1
    if s.high_long < s.low_long and s.low_short > s.high_short:
        s.mass = 0.0


@kernel
def _weigh(s: Any, p: Any, price: float, sigma_1m: float) -> None:
    """Turn the map into potentials: mass times the chance to reach it, against the volume of the horizon."""
    s.long_potential = 0.0
    s.short_potential = 0.0
    scale = sigma_1m * math.sqrt(p.horizon_min) * math.sqrt(2.0)
    volume = s.adv_minute * p.horizon_min * p.potential_share
    if scale <= 0.0 or volume <= 0.0:
        return
    x = math.log(price)
    longs = 0.0
    shorts = 0.0
    for b in range(s.low_long, s.high_long + 1):
        if s.longs[b & _MASK] > 0.0:
            longs += s.longs[b & _MASK] * math.erfc(max(x - (b + 0.5) * _WIDTH, 0.0) / scale)
    for b in range(s.low_short, s.high_short + 1):
        if s.shorts[b & _MASK] > 0.0:
            shorts += s.shorts[b & _MASK] * math.erfc(max((b + 0.5) * _WIDTH - x, 0.0) / scale)
    s.long_potential = 1.0 - math.exp(-longs / volume)
    s.short_potential = 1.0 - math.exp(-shorts / volume)


@kernel
def on_second(s: Any, p: Any, ts: int, m: Any) -> None:
    """Learn the volume a minute, empty what the price has passed, weigh the map anew every few seconds."""
    s.minute_notional += m.cum_notional - s.cum_notional
    s.cum_notional = m.cum_notional
    s.minute_s += 1
    if s.minute_s == 60:
        s.num_minutes += 1
        s.adv_minute += max(p.minute_alpha, 1.0 / s.num_minutes) * (s.minute_notional - s.adv_minute)
        s.minute_notional = 0.0
        s.minute_s = 0
    if s.mass <= 0.0:
        s.long_potential = 0.0
        s.short_potential = 0.0
        return
    price = m.mid if m.mid > 0.0 else m.last
    if price <= 0.0:
        return
    low = m.sec_low if m.sec_low > 0.0 else price
    high = m.sec_high if m.sec_high > 0.0 else price
    _cross(s, min(low, price), max(high, price))
    s.refresh_s += 1
    if s.refresh_s >= _REFRESH_S:
        s.refresh_s = 0
        _weigh(s, p, price, m.sigma_1m)


@kernel
def read(s: Any, p: Any, ts: int, m: Any, detection: Any, evidence: Any) -> None:
    """Fill the detection (value: the larger score, 0..100) and the evidence of both sides."""
    e = kept(ts - s.ts_flow, p.tau_ns)
    adv = p.share * s.adv_minute
    realised_long = 1.0 - math.exp(-s.long_flow * e / adv) if adv > 0.0 else 0.0
    realised_short = 1.0 - math.exp(-s.short_flow * e / adv) if adv > 0.0 else 0.0
    known = ts - s.ts_first if s.ts_first > 0 else 0
    is_mapped = known >= p.warm_ns
    potential_long = s.long_potential if is_mapped else 0.0
    potential_short = s.short_potential if is_mapped else 0.0
    long_score = 100.0 * (1.0 - (1.0 - realised_long) * (1.0 - potential_long))
    short_score = 100.0 * (1.0 - (1.0 - realised_short) * (1.0 - potential_short))
    seen = min(1.0, s.num_liquidations / 5.0) * kept(ts - s.ts_flow, p.age_tau_ms * 1e6)
    is_ready = adv > 0.0 and (s.num_liquidations > 0 or is_mapped)
    newest = max(s.ts_flow, s.ts_open_interest)
    n_eff = max(seen, min(1.0, known / p.warm_ns))
    publish(
        detection, max(long_score, short_score), is_ready, n_eff, 1.0, ts - newest if newest > 0 else 0, p.age_tau_ms
    )
    evidence.liq_long = clipped(long_score, 0.0, 100.0)
    evidence.liq_short = clipped(short_score, 0.0, 100.0)
    evidence.liq_realised_long = realised_long
    evidence.liq_realised_short = realised_short
