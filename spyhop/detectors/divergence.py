"""D14 DivergenceAnalyzer: price going one way while signed volume (CVD) goes the other.

Two forms, the stronger speaks: opposite slopes of price and CVD over five minutes, and confirmed swings where price
made a further extreme and CVD did not. The t statistics of the slopes are first scaled to what random walks give, so
that 1.96 means one walk in twenty and not every second one.
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import Annotated, Any

import msgspec
import numpy as np

from spyhop.detectors.published import SECOND_NS, price_of, publish
from spyhop.numerics._jit import kernel
from spyhop.numerics.ols import ols_fit, ols_push, time_ols
from spyhop.numerics.swings import KEPT, MAX_REACH, NEW_HIGH, NEW_LOW, SWINGS, swings_push

WINDOW_S = 300
"""Window of both regressions, in seconds."""

_WALK_SCALE = 1.96 / 2.8  # 2.8: 95 % quantile of |t| / sqrt(n) of a random walk on time (see trend)

STATE = np.dtype(
    [
        ("ts", "i8"),
        ("ts_moved", "i8"),
        ("num_trades", "i8"),
        ("num_seconds", "i8"),
        ("log_price", "f8"),
        ("cvd", "f8"),
        ("price_ols", time_ols(WINDOW_S)),
        ("cvd_ols", time_ols(WINDOW_S)),
        ("slope_value", "f8"),
        ("swings", SWINGS),
        ("bar_cvd", "f8"),
        ("swing_value", "f8"),
        ("ts_swing", "i8"),
    ]
)
PARAMS = np.dtype(
    [
        ("warm_s", "f8"),
        ("swing_reach", "i8"),
        ("swing_ranks", "i8"),
        ("swing_tau_ns", "f8"),
        ("age_tau_ms", "f8"),
    ]
)


class DivergenceParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`swing_reach_bars` is how many 1 m bars confirm a swing; `swing_ranks` how many swings are ranked."""

    warm_s: Annotated[float, msgspec.Meta(ge=10, le=WINDOW_S)] = 60.0
    swing_reach_bars: Annotated[int, msgspec.Meta(ge=1, le=MAX_REACH)] = 3
    swing_ranks: Annotated[int, msgspec.Meta(ge=2, le=KEPT)] = 6
    swing_tau_s: Annotated[float, msgspec.Meta(gt=0)] = 600.0
    age_tau_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0


def params_record(params: DivergenceParams) -> tuple[float, ...]:
    """Return the numbers of PARAMS in the order of its fields."""
    return (
        params.warm_s,
        params.swing_reach_bars,
        params.swing_ranks,
        params.swing_tau_s * 1e9,
        params.age_tau_s * 1e3,
    )


@kernel
def reset(s: Any, p: Any) -> None:
    """Leave a zero-filled state as it is: zeros are a fresh start."""


@kernel
def on_second(s: Any, p: Any, ts: int, m: Any) -> None:
    """Fold price and cumulative signed volume at a second boundary."""
    price = price_of(m)
    if price <= 0.0:
        return
    y = log(price)
    cvd = m.cum_buy_volume - m.cum_sell_volume
    if s.num_seconds == 0:
        s.ts_moved = ts
    else:
        elapsed = (ts - s.ts) // SECOND_NS
        if elapsed <= 0:
            return
        for _ in range(min(elapsed - 1, WINDOW_S)):
            _push(s, s.log_price, s.cvd)
        if y != s.log_price or m.num_trades != s.num_trades:
            s.ts_moved = ts
    _push(s, y, cvd)
    s.ts = ts
    s.log_price = y
    s.cvd = cvd
    s.num_trades = m.num_trades
    if s.num_seconds >= p.warm_s:
        ols_fit(s.price_ols)
        ols_fit(s.cvd_ols)
        scale = _WALK_SCALE / sqrt(s.price_ols.num)
        s.slope_value = slope_divergence(scale * s.price_ols.t, scale * s.cvd_ols.t)


@kernel
def _push(s: Any, y: float, cvd: float) -> None:
    ols_push(s.price_ols, y, WINDOW_S)
    ols_push(s.cvd_ols, cvd, WINDOW_S)
    s.num_seconds += 1


@kernel
def slope_divergence(price_t: float, volume_t: float) -> float:
    """Return -sign(price) * k / (k + 2), k the smaller |t|, where the signs differ; else 0. In (-1, 1)."""
    if price_t * volume_t >= 0.0:
        return 0.0
    smaller = min(abs(price_t), abs(volume_t))
    strength = smaller / (smaller + 2.0)
    return -strength if price_t > 0.0 else strength


@kernel
def _rank_gap(swings: Any, num: int, ranks: int, side: float) -> float:
    # share of the earlier swings that the newest beats in price, less the share it beats in CVD
    newest = swings[(num - 1) % KEPT]
    others = min(num, ranks) - 1
    beats_price = 0
    beats_cvd = 0
    for back in range(2, others + 2):
        swing = swings[(num - back) % KEPT]
        beats_price += side * (newest.price - swing.price) > 0.0
        beats_cvd += side * (newest.aux - swing.aux) > 0.0
    return (beats_price - beats_cvd) / others


@kernel
def _swing_divergence(swings: Any, num: int, ranks: int, side: float) -> float:
    if num < 2:
        return 0.0
    newest = swings[(num - 1) % KEPT]
    before = swings[(num - 2) % KEPT]
    if side * (newest.price - before.price) > 0.0 and side * (newest.aux - before.aux) < 0.0:
        return max(_rank_gap(swings, num, ranks, side), 1.0 / (ranks - 1.0))
    return 0.0


@kernel
def on_bar(s: Any, p: Any, bar: Any, m: Any) -> None:
    """Fold a closed 1 m bar into the swings of price and CVD."""
    s.bar_cvd += 2.0 * bar.taker_buy_volume - bar.volume
    found = swings_push(s.swings, bar.high, bar.low, s.bar_cvd, p.swing_reach)
    bearish = 0.0
    bullish = 0.0
    if found & NEW_HIGH:
        bearish = _swing_divergence(s.swings.highs, s.swings.num_highs, p.swing_ranks, 1.0)
    if found & NEW_LOW:
        bullish = _swing_divergence(s.swings.lows, s.swings.num_lows, p.swing_ranks, -1.0)
    if bearish != bullish:
        s.swing_value = bullish - bearish
        s.ts_swing = bar.ts_close


@kernel
def read(s: Any, p: Any, ts: int, m: Any, detection: Any, evidence: Any) -> None:
    """Fill the detection (-1..1, negative is bearish); ready after `warm_s` seconds. It has no evidence fields."""
    value = s.slope_value
    if s.swing_value != 0.0:
        swing = s.swing_value * exp(-max(ts - s.ts_swing, 0) / p.swing_tau_ns)
        if abs(swing) > abs(value):
            value = swing
    seconds = min(s.num_seconds, WINDOW_S)
    publish(detection, value, s.num_seconds >= p.warm_s, seconds, WINDOW_S, ts - s.ts_moved, p.age_tau_ms)
