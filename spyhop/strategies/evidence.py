"""Named evidence derived from a row: what the weights of the strategies are written against.

Every piece is (value, confidence); values lie in -1..1 when they have a sign and in 0..1 when they have none, and the
confidence is that of the detectors behind the value, the least of them where there are several. "Both" is said by
the smaller of two values, so that two halves are a half and not a quarter.
"""

from __future__ import annotations

from collections import namedtuple
from math import copysign, tanh
from typing import Annotated, Any

import msgspec
import numpy as np

from spyhop.model.rows import DETECTORS, EVIDENCE_FIELDS, empty

Piece = tuple[float, float]


class EvidenceParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a number begins to be evidence."""

    funding_hurdle_apr_frac: Annotated[float, msgspec.Meta(gt=0)] = 0.30
    toxic_cdf: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.90
    sign_autocorr_full: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.30
    liquidation_score: Annotated[float, msgspec.Meta(ge=0, lt=100)] = 80.0
    funding_age_max_s: Annotated[float, msgspec.Meta(gt=0)] = 28_800.0


# fields by name at the price of a tuple: reading one of a NumPy record costs as much as ten of these
_named: Any = namedtuple
_Evidence = _named("_Evidence", EVIDENCE_FIELDS)
_Detected = _named("_Detected", DETECTORS)


class _Row:
    __slots__ = ("age_ms", "aligned", "confidence", "evidence", "ready", "value")

    def __init__(self, row: np.void) -> None:
        values, confidences, ages, _, ready = zip(*row["detections"].tolist(), strict=True)
        self.value, self.confidence = _Detected._make(values), _Detected._make(confidences)
        self.age_ms, self.ready = _Detected._make(ages), _Detected._make(ready)
        self.evidence = _Evidence._make(row["evidence"].item())
        self.aligned = float(row["aligned"])


def derived(row: np.void, params: EvidenceParams) -> dict[str, Piece]:
    """Return every piece of evidence of a ROW record by name, always the same names in the same order."""
    seen = _Row(row)
    return {
        **_pressure(seen, params),
        **_motion(seen),
        **_activity(seen, params),
        **_hunting(seen, params),
        **_breakouts(seen),
        **_ranges(seen),
        **_conditions(seen, params),
    }


def _pressure(seen: _Row, params: EvidenceParams) -> dict[str, Piece]:
    wpi, flow, value, e = seen.confidence.wpi, seen.confidence.flow, seen.value, seen.evidence
    pressure = value.wpi
    quiet = 1.0 - abs(value.momentum)
    both = min(seen.confidence.wpi, seen.confidence.momentum)
    # without a whale the index has no confidence, yet silence of whales on a busy tape is evidence itself
    silence = flow * seen.ready.wpi
    stealth = min(_above(e.small_flow), _ramp(e.sign_autocorr, 0.0, params.sign_autocorr_full))
    return {
        "whale_pressure": (pressure, wpi),
        "pushed_up": (min(_above(pressure), _above(value.momentum)), both),
        "pushed_down": (min(_above(-pressure), _above(-value.momentum)), both),
        "quiet_buying": (min(_above(pressure), quiet), both),
        "quiet_selling": (min(_above(-pressure), quiet), both),
        "quiet_whales": (1.0 - abs(pressure), silence),
        "stealth_buying": (stealth, flow),
        "absorption": (e.absorption, wpi),
        "iceberg": (e.iceberg, wpi),
        "balanced_whales": (1.0 - min(1.0, abs(pressure) / wpi) if wpi > 0.0 else 0.0, wpi),
        "book_imbalance": (value.obi, seen.confidence.obi),
        "order_flow": (tanh(0.5 * e.ofi_z), seen.confidence.obi),
        "trade_flow": (e.tfi, flow),
        "burst_flow": (e.hawkes_imbalance, flow),
    }


def _motion(seen: _Row) -> dict[str, Piece]:
    momentum, trend = seen.value.momentum, seen.value.trend
    divergence, shift = seen.value.divergence, seen.evidence.structure_shift
    turn = _held(divergence + shift)
    return {
        "momentum": (momentum, seen.confidence.momentum),
        "trend": (trend, seen.confidence.trend),
        "moving_together": (0.5 * abs(momentum + trend), min(seen.confidence.momentum, seen.confidence.trend)),
        "alignment": (seen.aligned, abs(seen.aligned)),
        "quiet_momentum": (1.0 - abs(momentum), seen.confidence.momentum),
        "quiet_trend": (1.0 - abs(trend), seen.confidence.trend),
        "divergence": (divergence, seen.confidence.divergence),
        # a change of character is a fact of closed bars; it fades by itself, so it needs no further confidence
        "structure_shift": (shift, seen.ready.price_pattern),
        "pattern": (seen.value.price_pattern, seen.confidence.price_pattern),
        "turn": (abs(turn), seen.confidence.divergence),
        "turn_side": (turn, seen.confidence.divergence),
        "exhausted_trend": (_against(trend, turn), min(seen.confidence.trend, seen.confidence.divergence)),
    }


def _activity(seen: _Row, params: EvidenceParams) -> dict[str, Piece]:
    e, volume, volatility = seen.evidence, seen.confidence.volume_cluster, seen.confidence.volatility
    # a rank of 0 is what an unranked VPIN shows
    ranked = seen.confidence.vpin if e.vpin_cdf > 0.0 else 0.0
    opening = seen.value.oi_change
    return {
        "volume_high": (_ramp(e.volume_z, 0.0, 3.0), volume),
        "volume_low": (_ramp(-e.volume_z, 0.0, 3.0), volume),
        "burst": (_ramp(e.burst, 1.0, 4.0), seen.confidence.flow),
        "toxic": (_ramp(e.vpin_cdf, params.toxic_cdf, 1.0), ranked),
        "benign": (1.0 - e.vpin_cdf, ranked),
        "opening": (_above(opening), seen.confidence.oi_change),
        "closing": (_above(-opening), seen.confidence.oi_change),
        "volatile": (_ramp(e.vol_pct, 0.8, 1.0), volatility),
        "calm": (_ramp(1.0 - e.vol_pct, 0.5, 1.0), volatility),
        "jumps": (e.jump_ratio, volatility),
    }


def _hunting(seen: _Row, params: EvidenceParams) -> dict[str, Piece]:
    e, swept = seen.evidence, seen.ready.price_pattern
    closing, swept_closing = _above(-seen.value.oi_change), min(swept, seen.confidence.oi_change)
    forced = seen.confidence.liquidation_pressure
    hottest = max(e.liq_long, e.liq_short)
    return {
        "swept_low": (e.swept_low, swept),
        "swept_high": (e.swept_high, swept),
        "swept_low_closing": (min(e.swept_low, closing), swept_closing),
        "swept_high_closing": (min(e.swept_high, closing), swept_closing),
        "liquidation_heat": (_ramp(hottest, params.liquidation_score, 100.0), forced),
        "liquidations": (max(e.liq_realised_long, e.liq_realised_short), forced),
        # forced buying lifts the price, forced selling presses it
        "liquidation_side": (e.liq_realised_short - e.liq_realised_long, forced),
    }


def _breakouts(seen: _Row) -> dict[str, Piece]:
    e, cluster, flow = seen.evidence, seen.confidence.volume_cluster, seen.confidence.obi
    # how far the price stands at the rim of the value area, signed by the side it has left to
    rim = _ramp(abs(2.0 * e.va_pos - 1.0), 0.8, 1.0)
    breakout = copysign(min(rim, abs(e.poc_dist)), e.va_pos - 0.5)
    size, order_flow = abs(breakout), tanh(0.5 * e.ofi_z)
    with_flow = copysign(1.0, breakout) * order_flow
    opening = _above(seen.value.oi_change)
    against = _against(seen.value.divergence, breakout)
    return {
        "breakout": (size, cluster),
        "breakout_side": (breakout, cluster),
        "breakout_confirmed": (min(size, _above(with_flow)), min(cluster, flow)),
        "breakout_contested": (min(size, _above(-with_flow)), min(cluster, flow)),
        "breakout_busy": (min(size, _ramp(e.volume_z, 0.0, 3.0)), cluster),
        "breakout_quiet": (min(size, _ramp(-e.volume_z, 0.0, 3.0)), cluster),
        "breakout_opening": (min(size, opening), min(seen.confidence.volume_cluster, seen.confidence.oi_change)),
        "breakout_diverging": (min(size, against), min(seen.confidence.volume_cluster, seen.confidence.divergence)),
    }


def _ranges(seen: _Row) -> dict[str, Piece]:
    e, cluster = seen.evidence, seen.confidence.volume_cluster
    quiet = 1.0 - abs(seen.value.trend)
    still, held = (
        min(seen.confidence.volume_cluster, seen.confidence.trend),
        min(seen.confidence.volume_cluster, seen.confidence.obi),
    )
    support = _ramp(0.25 - e.va_pos, 0.0, 0.25)
    resistance = _ramp(e.va_pos - 0.75, 0.0, 0.25)
    return {
        "near_support": (min(support, quiet), still),
        "near_resistance": (min(resistance, quiet), still),
        "support_bid": (min(support, _above(seen.value.obi)), held),
        "resistance_offered": (min(resistance, _above(-seen.value.obi)), held),
        "support_node": (min(support, e.node), cluster),
        "resistance_node": (min(resistance, e.node), cluster),
        "at_value": (1.0 - abs(e.poc_dist), cluster),
    }


def _conditions(seen: _Row, params: EvidenceParams) -> dict[str, Piece]:
    e = seen.evidence
    depth, whale = min(e.depth_bid, e.depth_ask), e.whale_threshold
    # the rate is the venue's own figure: it needs no history, only to be current
    known = 1.0 if e.funding_apr != 0.0 and seen.age_ms.funding_rate <= params.funding_age_max_s * 1e3 else 0.0
    hurdle = params.funding_hurdle_apr_frac
    return {
        "wide_spread": (_ramp(e.spread_pct, 0.5, 1.0), seen.confidence.spread),
        # thin: what rests near the best price is small beside one whale
        "thin_depth": (whale / (whale + depth) if whale > 0.0 else 0.0, seen.confidence.obi * seen.ready.wpi),
        "funding_carry": (_ramp(abs(e.funding_apr), hurdle, 2.0 * hurdle), known),
        "funding_side": (_held(-e.funding_apr / hurdle), known),
        "crowding": (e.funding_crowding, seen.confidence.funding_rate),
        "news": (e.news_window, e.news_window),
    }


def _above(x: float) -> float:
    return x if x > 0.0 else 0.0


def _ramp(x: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (x - low) / (high - low)))


def _held(x: float) -> float:
    return min(1.0, max(-1.0, x))


def _against(x: float, side: float) -> float:
    return _above(-x if side > 0.0 else x) if side != 0.0 else 0.0


NAMES: tuple[str, ...] = tuple(derived(empty(1)[0], EvidenceParams()))
"""The names of all evidence, in the order of the columns of a weight matrix."""


def vectors(row: np.void, params: EvidenceParams) -> tuple[Any, Any]:
    """Return the values and the confidences of a row as two arrays in the order of NAMES."""
    values, confidences = zip(*derived(row, params).values(), strict=True)
    return np.array(values), np.array(confidences)
