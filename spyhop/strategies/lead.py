"""Following a leader: when a follower is entered because of what its leader did, and what else that changes."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from spyhop.clock import NS_PER_S
from spyhop.model.decisions import Contribution
from spyhop.model.observations import LeadFeatures
from spyhop.model.tape import Side
from spyhop.numerics.follow import BOTH, LONG_ONLY, SHORT_ONLY, entry_side
from spyhop.strategies.exits import ExitParams
from spyhop.strategies.lag_meter import LagMeterParams

_Frac = Annotated[float, msgspec.Meta(gt=0, lt=1)]
_Seconds = Annotated[float, msgspec.Meta(gt=0)]

NAMES = ("leader", "leader_return", "leader_spread")
"""What the leader adds to the evidence of a decision: its word as a weight, or what LEAD_FOLLOW enters for."""

_SIDES = {"both": BOTH, "long": LONG_ONLY, "short": SHORT_ONLY}


class LeadParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds are fractions, those of the seed's first study; `spyhop.numerics.follow` has the rules.

    `mode` is what the leader's word does to the entries of the other strategies in a market that is led: nothing, a
    gate (none against it or without it), or a weight (added to or taken from their probability). `enters` says whether
    the strategy LEAD_FOLLOW enters by itself, at any second of a market that is led. Whatever the mode but off, and for
    LEAD_FOLLOW, prices older than `max_age_s` are a reason for no entry.
    """

    mode: Literal["off", "gate", "weight"] = "off"
    enters: bool = False
    hedge: bool = False
    """Whether what LEAD_FOLLOW enters is hedged with the leader; its exits are then of the two together."""
    direction: Literal["both", "long", "short"] = "both"
    window_s: Annotated[float, msgspec.Meta(ge=1, le=3_600)] = 300.0
    """Over which the leader's return is taken, from second to second."""
    fall_frac: _Frac = 0.0015
    rise_frac: _Frac = 0.0015
    premium_frac: Annotated[float, msgspec.Meta(gt=-1, lt=1)] = 0.0008
    """How far above the leader the follower must stand to be sold."""
    discount_frac: Annotated[float, msgspec.Meta(gt=-1, lt=1)] = 0.0003
    """How far below the leader it must stand to be bought."""
    take_profit_frac: _Frac = 0.004
    stop_loss_frac: _Frac = 0.006
    horizon_s: _Seconds = 900.0
    max_age_s: _Seconds = 2.0
    """Older prices of either market say nothing."""
    max_basis_age_s: _Seconds = 60.0
    """An older price of one currency in the other is not known any more."""
    weight: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.10
    """What a leader's word adds to a probability, or takes from it."""
    meter: LagMeterParams = LagMeterParams()

    @property
    def window_ns(self) -> int:
        """Return the window in nanoseconds."""
        return round(self.window_s * NS_PER_S)

    @property
    def exits(self) -> ExitParams:
        """Return the exits of what LEAD_FOLLOW enters."""
        return ExitParams(
            take_profit_frac=self.take_profit_frac, stop_loss_frac=self.stop_loss_frac, max_hold_s=self.horizon_s
        )


def side_of(leader_return: float, spread: float, params: LeadParams) -> Side:
    """Return what the rules would do with the follower."""
    p = params
    return Side(
        entry_side(
            leader_return, spread, p.fall_frac, p.rise_frac, p.premium_frac, p.discount_frac, _SIDES[p.direction]
        )
    )


def vote(side: Side, known: LeadFeatures | None, params: LeadParams) -> tuple[float, tuple[str, ...]]:
    """Return what the leader does to the probability of an entry on `side`, and why there is to be none.

    `known` is None while there is too little history of the leader. For markets that are led; off says nothing.
    """
    if params.mode == "off" or side is Side.NONE:
        return 0.0, ()
    if known is None:
        return 0.0, ("too little is known of the leader",)
    if stale := staleness(known, params):
        return 0.0, stale
    agrees = known.side * int(side)
    if params.mode == "weight":
        return agrees * params.weight, ()
    if agrees < 0:
        return 0.0, ("the leader speaks against it",)
    return 0.0, () if agrees else ("the leader says nothing",)


def staleness(known: LeadFeatures, params: LeadParams) -> tuple[str, ...]:
    """Return the reason for no entry that the age of the prices is, if it is one."""
    if known.age_ns <= params.max_age_s * NS_PER_S:
        return ()
    return (f"prices of leader and follower are {known.age_ns / NS_PER_S:.1f} s old, above {params.max_age_s:.1f} s",)


def contributions(known: LeadFeatures, params: LeadParams) -> tuple[Contribution, ...]:
    """Return what LEAD_FOLLOW enters for: each score is how many times its threshold was seen."""
    is_long = known.side > 0
    limits = (
        (NAMES[1], known.leader_return, params.rise_frac if is_long else -params.fall_frac),
        (NAMES[2], known.spread, -params.discount_frac if is_long else params.premium_frac),
    )
    weights = [(name, seen, 1.0 / limit if limit else 0.0) for name, seen, limit in limits]
    return tuple(Contribution(name, seen, weight, weight * seen) for name, seen, weight in weights)
