"""Trade flow (methods 2, D10).

    value, tfi        signed / total taker volume of the last `60` whole seconds, -1..1
    hawkes_imbalance  (buy - sell) / (buy + sell) of two self-exciting intensities, fixed decays 0.1, 1 and 10 a second
    burst             intensity / its long-run mean
    kyle_lambda       slope of the mid's change on signed volume over the last 100 seconds, price units a base unit
    in the state      taker ratio, windowed CVD, Amihud's illiquidity

A fast fit of the intensities is `numerics.hawkes.fitted`; here the branching ratio is a parameter and the mean rate is
learnt, so that the imbalance has no scale to be wrong about.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import msgspec
import numpy as np

from spyhop.detectors.published import publish
from spyhop.numerics._jit import kernel
from spyhop.numerics.decay import clipped
from spyhop.numerics.window import pushed_sum, slope

_WINDOW = 60
_KYLE = 100

STATE = np.dtype(
    [
        ("buys", "f8", (_WINDOW,)),
        ("sells", "f8", (_WINDOW,)),
        ("buy", "f8"),  # sums of the rings
        ("sell", "f8"),
        ("at", "i8"),
        ("num_seconds", "i8"),
        ("num_trades", "i8"),
        ("sec_trades", "i8"),
        ("ts", "i8"),  # newest trade
        ("ts_excited", "i8"),
        ("buy_slow", "f8"),
        ("buy_mid", "f8"),
        ("buy_fast", "f8"),
        ("sell_slow", "f8"),
        ("sell_mid", "f8"),
        ("sell_fast", "f8"),
        ("rate", "f8"),  # trades a second, long-run
        ("signed", "f8", (_KYLE,)),
        ("moves", "f8", (_KYLE,)),
        ("kyle_at", "i8"),
        ("num_pairs", "i8"),
        ("mid", "f8"),  # at the last second
        ("kyle_lambda", "f8"),
        ("amihud", "f8"),
    ],
    align=True,
)
PARAMS = np.dtype(
    [
        ("branching", "f8"),
        ("rate_alpha", "f8"),
        ("warm", "f8"),
        ("kyle_warm", "f8"),
        ("age_tau_ms", "f8"),
    ]
)


class FlowParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of the trade flow."""

    branching: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.6
    rate_tau_s: Annotated[float, msgspec.Meta(gt=1)] = 600.0
    warm_s: Annotated[int, msgspec.Meta(ge=1, le=60)] = 30
    kyle_warm_s: Annotated[int, msgspec.Meta(ge=3, le=100)] = 30
    age_tau_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0


def params_record(params: FlowParams) -> tuple[float, ...]:
    """Return the numbers of PARAMS in the order of its fields."""
    return (
        params.branching,
        float(-np.expm1(-1.0 / params.rate_tau_s)),
        float(params.warm_s),
        float(params.kyle_warm_s),
        params.age_tau_s * 1e3,
    )


@kernel
def reset(s: Any, p: Any) -> None:
    """Set a zero-filled state to its start, which zeros are."""


@kernel
def _relax(s: Any, ts: int) -> None:
    """Let both intensities decay to `ts`; exp(-t) and exp(-10 t) are powers of exp(-t / 10)."""
    dt = ts - s.ts_excited
    if dt <= 0:
        return
    slow = math.exp(-1e-10 * dt)
    two = slow * slow
    mid = two * two
    mid *= mid * two
    two = mid * mid
    fast = two * two
    fast *= fast * two
    s.buy_slow *= slow
    s.buy_mid *= mid
    s.buy_fast *= fast
    s.sell_slow *= slow
    s.sell_mid *= mid
    s.sell_fast *= fast
    s.ts_excited = ts


@kernel
def on_trade(s: Any, p: Any, ts: int, side: int) -> None:
    """Excite the intensity of the aggressor's side; volumes come with `on_second`."""
    s.ts = ts
    s.sec_trades += 1
    _relax(s, ts)
    if side > 0:
        s.buy_slow += 1.0
        s.buy_mid += 1.0
        s.buy_fast += 1.0
    else:
        s.sell_slow += 1.0
        s.sell_mid += 1.0
        s.sell_fast += 1.0


@kernel
def on_second(s: Any, p: Any, ts: int, m: Any) -> None:
    """Push the second into the windows."""
    at = s.at
    s.buy = pushed_sum(s.buys, s.buy, at, m.sec_buy_volume)
    s.sell = pushed_sum(s.sells, s.sell, at, m.sec_sell_volume)
    s.at = at + 1 if at + 1 < _WINDOW else 0
    s.num_seconds += 1
    s.num_trades += s.sec_trades
    alpha = max(p.rate_alpha, 1.0 / s.num_seconds)
    s.rate += alpha * (s.sec_trades - s.rate)
    s.sec_trades = 0
    if m.mid <= 0.0:
        s.mid = 0.0
        return
    if s.mid > 0.0:
        k = s.kyle_at
        s.signed[k] = m.sec_buy_volume - m.sec_sell_volume
        s.moves[k] = m.mid - s.mid
        s.kyle_at = k + 1 if k + 1 < _KYLE else 0
        s.num_pairs = min(s.num_pairs + 1, _KYLE)
        s.kyle_lambda = slope(s.signed, s.moves, s.num_pairs) if s.num_pairs >= p.kyle_warm else 0.0
        notional = (m.sec_buy_volume + m.sec_sell_volume) * m.mid
        if notional > 0.0:
            s.amihud += p.rate_alpha * (abs(m.mid / s.mid - 1.0) / notional - s.amihud)
    s.mid = m.mid


@kernel
def read(s: Any, p: Any, ts: int, m: Any, detection: Any, evidence: Any) -> None:
    """Fill the detection (value: trade flow imbalance of the last minute, -1..1) and the flow's evidence."""
    _relax(s, ts)
    total = s.buy + s.sell
    tfi = clipped((s.buy - s.sell) / total, -1.0, 1.0) if total > 0.0 else 0.0
    n_eff = min(s.num_seconds, s.num_trades)
    ready = n_eff >= p.warm
    publish(detection, tfi, ready, n_eff, p.warm, ts - s.ts if s.ts > 0 else 0, p.age_tau_ms)
    evidence.tfi = tfi if ready else 0.0
    share = p.branching / 3.0
    base = 0.5 * (1.0 - p.branching) * s.rate
    buys = base + share * (0.1 * s.buy_slow + s.buy_mid + 10.0 * s.buy_fast)
    sells = base + share * (0.1 * s.sell_slow + s.sell_mid + 10.0 * s.sell_fast)
    both = buys + sells
    evidence.hawkes_imbalance = (buys - sells) / both if ready and both > 0.0 else 0.0
    evidence.burst = both / s.rate if ready and s.rate > 0.0 else 0.0
    evidence.kyle_lambda = s.kyle_lambda
