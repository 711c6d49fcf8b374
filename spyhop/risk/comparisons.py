"""Comparisons: what a market's effective difference to its leader is made of, at a decision or a change of state.

The effective difference of an order is (fill - leader) / leader, fill being the walked price of the configured
notional and leader the leader's mid. Three things make it:

    slippage    (fill - mid) / leader: the follower's own book, above 0 for a buyer and below 0 for a seller
    age         of (mid - leader) / leader, as much as the market may have moved while one of the two prices was older
                than the other: one deviation, sigma_1m sqrt(|age - leader's age| in minutes), with the sign of the
                whole and never more than the whole. An estimate; 0 while sigma_1m is unknown
    deviation   the rest of it: mid against mid

`total` is their sum in this order of additions: (deviation + slippage) + age.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from math import copysign, sqrt

from spyhop.clock import NS_PER_MINUTE
from spyhop.model.observations import Comparison, EffectiveDiff, Observation


class Cause(StrEnum):
    """Why a comparison was recorded."""

    DECISION = "decision"
    RISK_STATE = "risk_state"


def effective_diff(observed: Observation, fill: float) -> EffectiveDiff | None:
    """Return what `fill` (price units) differs from the leader's mid by; None where a price of the three is missing."""
    leader = observed.leader
    if leader is None or leader.mid <= 0.0 or observed.mid <= 0.0 or fill <= 0.0:
        return None
    apart = (observed.mid - leader.mid) / leader.mid
    minutes = abs(observed.age_ns - leader.age_ns) / NS_PER_MINUTE
    age = copysign(min(abs(apart), observed.sigma_1m * sqrt(minutes)), apart)
    deviation = apart - age
    slippage = (fill - observed.mid) / leader.mid
    return EffectiveDiff(total=deviation + slippage + age, deviation=deviation, slippage=slippage, age=age)


def compared(
    observed: Observation, cause: str, state: str, halt_reason: str = "", thresholds: Mapping[str, float] | None = None
) -> Comparison:
    """Return the record of `observed` under the risk state in force; `thresholds` are limits by code."""
    return Comparison(
        ts=observed.ts,
        instrument=observed.instrument,
        cause=Cause(cause).value,
        minute_bucket=observed.ts - observed.ts % NS_PER_MINUTE,
        risk_state=str(state),
        halt_reason=halt_reason,
        thresholds=dict(thresholds or {}),
        observed=observed,
        buy=effective_diff(observed, observed.fill_buy),
        sell=effective_diff(observed, observed.fill_sell),
    )


def largest(comparison: Comparison) -> EffectiveDiff | None:
    """Return the side's difference that is larger in size, the buyer's when equal; None without any."""
    sides = [diff for diff in (comparison.buy, comparison.sell) if diff is not None]
    return max(sides, key=lambda diff: abs(diff.total), default=None)
