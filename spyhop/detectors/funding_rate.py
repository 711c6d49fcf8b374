"""D4 FundingRate: what holding costs, how unusual that is, and who is crowded.

A positive rate means that longs pay. Rates are compared per eight hours, so a change of the interval is no change of
the rate. A payment is known from the venue (`settled`), or from the last prediction before its time.
"""

from __future__ import annotations

from math import sqrt, tanh
from typing import Annotated, Any

import msgspec
import numpy as np

from spyhop.detectors.published import SECOND_NS, publish
from spyhop.numerics._jit import kernel

WINDOW = 91
"""Payments kept: 90 that a rate is judged against, and the newest."""

_EIGHT_HOURS_S = 28_800.0
_HOURS_A_YEAR = 8_760.0

STATE = np.dtype(
    [
        ("ts", "i8"),
        ("rate", "f8"),  # fraction for one interval
        ("interval_s", "f8"),
        ("ts_next", "i8"),
        ("is_predicted", "i8"),
        ("paid", "f8", (WINDOW,)),  # per eight hours
        ("num_paid", "i8"),
        ("ts_paid", "i8"),
        ("z", "f8"),
        # time-weighted premium of mark over index since the last payment
        ("premium", "f8"),
        ("ts_mark", "i8"),
        ("premium_time", "f8"),
        ("premium_s", "f8"),
    ]
)
PARAMS = np.dtype(
    [
        ("scale_floor", "f8"),
        ("min_paid", "i8"),
        ("interest_8h", "f8"),
        ("damper", "f8"),
        ("cap", "f8"),
        ("age_tau_ms", "f8"),
    ]
)

_Positive = Annotated[float, msgspec.Meta(gt=0)]


class FundingRateParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Binance's constants by default; the cap is per interval and symmetric."""

    scale_floor_bps: _Positive = 0.25
    min_payments: Annotated[int, msgspec.Meta(ge=2, le=WINDOW - 1)] = 9
    interest_8h_bps: float = 1.0
    damper_bps: Annotated[float, msgspec.Meta(ge=0)] = 5.0
    cap_bps: _Positive = 200.0
    age_tau_s: _Positive = 28_800.0


def params_record(params: FundingRateParams) -> tuple[float, ...]:
    """Return the numbers of PARAMS in the order of its fields."""
    return (
        params.scale_floor_bps * 1e-4,
        params.min_payments,
        params.interest_8h_bps * 1e-4,
        params.damper_bps * 1e-4,
        params.cap_bps * 1e-4,
        params.age_tau_s * 1e3,
    )


@kernel
def premium_index(impact_bid: float, impact_ask: float, index: float) -> float:
    """Return [max(0, bid - index) - max(0, index - ask)] / index, Binance's premium."""
    return (max(0.0, impact_bid - index) - max(0.0, index - impact_ask)) / index


@kernel
def binance_funding(premium: float, interest_8h: float, damper: float, cap: float, interval_s: float) -> float:
    """Return the rate of one interval: [P + clamp(I - P, +-damper)] / (8 h / interval), within +-cap.

    `premium` is the time-weighted mean over the interval; rates are fractions.
    """
    held = premium + min(max(interest_8h - premium, -damper), damper)
    return min(max(held * interval_s / _EIGHT_HOURS_S, -cap), cap)


@kernel
def dydx_funding(premium: float, interest_1h: float, cap: float) -> float:
    """Return the hourly rate: premium / 8 + interest, within +-cap."""
    return min(max(premium / 8.0 + interest_1h, -cap), cap)


@kernel
def reset(s: Any, p: Any) -> None:
    """Leave a zero-filled state as it is: zeros are a fresh start."""


@kernel
def on_funding(s: Any, p: Any, ts: int, rate: float, interval_s: float, next_ts: int, settled: int) -> None:
    """Fold a rate: `settled` means paid at `next_ts`, else predicted for the payment at `next_ts` (0: unknown).

    `interval_s` of 0 or less means unknown: the last one known, at first eight hours.
    """
    if interval_s <= 0.0:
        interval_s = s.interval_s if s.interval_s > 0.0 else _EIGHT_HOURS_S
    s.ts = max(s.ts, ts)
    rate_8h = rate * _EIGHT_HOURS_S / interval_s
    if settled:
        # judged against the payments before it
        z = _z(s, p, rate_8h, s.num_paid - (s.num_paid > 0 and s.ts_paid == next_ts))
        _pay(s, rate_8h, next_ts)
        if s.ts_next > next_ts:
            return  # a newer prediction is known
        s.ts_next = next_ts + int(interval_s) * SECOND_NS
    else:
        if s.is_predicted and s.ts_paid < s.ts_next < next_ts:
            # the prediction that stood when the time came is what was paid
            _pay(s, s.rate * _EIGHT_HOURS_S / s.interval_s, s.ts_next)
        z = _z(s, p, rate_8h, s.num_paid)
        s.is_predicted = 1
        s.ts_next = max(s.ts_next, next_ts)
    s.rate = rate
    s.interval_s = interval_s
    s.z = z


@kernel
def _pay(s: Any, rate_8h: float, ts_paid: int) -> None:
    if ts_paid < s.ts_paid:
        return
    if ts_paid > s.ts_paid or s.num_paid == 0:
        s.num_paid += 1
        s.ts_paid = ts_paid
        s.premium_time = 0.0
        s.premium_s = 0.0
    s.paid[(s.num_paid - 1) % WINDOW] = rate_8h


@kernel
def _z(s: Any, p: Any, rate_8h: float, num_paid: int) -> float:
    n = min(num_paid, WINDOW - 1)
    if n < 2:
        return 0.0
    mean = 0.0
    for i in range(num_paid - n, num_paid):
        mean += s.paid[i % WINDOW]
    mean /= n
    squares = 0.0
    for i in range(num_paid - n, num_paid):
        d = s.paid[i % WINDOW] - mean
        squares += d * d
    return float((rate_8h - mean) / max(sqrt(squares / n), p.scale_floor))


@kernel
def on_mark(s: Any, p: Any, ts: int, mark: float, index: float) -> None:
    """Fold mark and index price into the time-weighted premium (mark stands in for the impact prices)."""
    if index <= 0.0 or mark <= 0.0:
        return
    if s.ts_mark > 0 and ts > s.ts_mark:
        elapsed_s = (ts - s.ts_mark) * 1e-9
        s.premium_time += s.premium * elapsed_s
        s.premium_s += elapsed_s
    s.premium = (mark - index) / index
    s.ts_mark = max(s.ts_mark, ts)


@kernel
def _estimate(s: Any, p: Any) -> float:
    if s.is_predicted or s.ts_mark == 0:
        return float(s.rate)
    mean = s.premium_time / s.premium_s if s.premium_s > 0.0 else s.premium
    return binance_funding(mean, p.interest_8h, p.damper, p.cap, _EIGHT_HOURS_S)


@kernel
def _seconds_to_next(s: Any, ts: int) -> float:
    if s.ts_next == 0:
        return 0.0
    left = s.ts_next - ts
    if left < 0 and s.interval_s > 0.0:
        left %= int(s.interval_s) * SECOND_NS
    return float(max(left, 0) * 1e-9)


@kernel
def read(s: Any, p: Any, ts: int, m: Any, detection: Any, evidence: Any) -> None:
    """Fill the detection (crowding, -1 longs .. 1 shorts pay) and the funding evidence.

    Ready after `min_payments` payments; apr, estimate and time to the next payment are known from the first rate.
    """
    crowding = 0.0 - tanh(0.5 * s.z)
    paid = min(s.num_paid, WINDOW - 1)
    ready = s.num_paid >= p.min_paid
    publish(detection, crowding, ready, paid, WINDOW - 1, ts - s.ts if s.ts > 0 else 0, p.age_tau_ms)
    evidence.funding_apr = s.rate * _HOURS_A_YEAR * 3600.0 / s.interval_s if s.interval_s > 0.0 else 0.0
    evidence.funding_z = s.z if ready else 0.0
    evidence.funding_crowding = crowding if ready else 0.0
    evidence.funding_next_s = _seconds_to_next(s, ts)
    evidence.funding_estimate = _estimate(s, p)
