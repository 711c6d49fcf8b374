"""Following a leader: when a follower is entered because of what its leader did, and what else that changes."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

_Frac = Annotated[float, msgspec.Meta(gt=0, lt=1)]
_Seconds = Annotated[float, msgspec.Meta(gt=0)]


class LeadParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds are fractions, those of the seed's first study; `spyhop.numerics.follow` has the rules.

    `mode` is what the leader's word does to the entries of the other strategies in a market that is led: nothing, a
    gate (none against it or without it), or a weight (added to or taken from their probability). `enters` says whether
    the strategy `lead_follow` enters by itself.
    """

    mode: Literal["off", "gate", "weight"] = "off"
    enters: bool = False
    direction: Literal["both", "long", "short"] = "both"
    window_s: _Seconds = 300.0
    """Over which the leader's return is taken."""
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
    weight: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.10
    """What a leader's word adds to a probability, or takes from it."""
