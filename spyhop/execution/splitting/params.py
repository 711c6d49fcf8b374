"""What is split, and how."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from spyhop.errors import InvalidSetting
from spyhop.execution.splitting.curves import HOURS_A_WEEK

Kind = Literal["none", "twap", "vwap", "pov", "iceberg", "almgren_chriss"]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class SplitParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an order becomes children; only market and limit orders do."""

    kind: Kind = "none"
    min_split_notional: Annotated[float, msgspec.Meta(ge=0)] = 10_000.0
    """Quote currency at the last price (or the limit); smaller orders go whole."""
    splits_exits: bool = False
    """Whether closing at the maximum hold is split, too; stops and the end of a session, which has no time, are not."""
    duration_s: Positive = 60.0
    """From the first child to the last word; pov and iceberg give up what they have not placed by then."""
    num_slices: Annotated[int, msgspec.Meta(ge=1, le=500)] = 6
    jitter_frac: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.2
    """Of the time between two slices: by up to so much, either way, each of them is moved."""
    volume_curve: tuple[Annotated[float, msgspec.Meta(ge=0)], ...] = ()
    """Of vwap: the 168 hours of the week, Monday 00 h UTC first; none: all alike."""
    urgency: Annotated[float, msgspec.Meta(ge=0, le=100)] = 2.0
    """Of almgren_chriss: kappa T, 0 for equal slices."""
    participation_frac: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.1
    """Of pov: our part of all volume, our own included."""
    interval_s: Positive = 5.0
    """Of pov: between two looks at the volume."""
    max_child_frac: Share = 0.25
    """Of pov: the most of the order that one look may send."""
    counts_own_trades: bool = False
    """Of pov: whether the tape shows our own fills among its trades (a real venue does, a simulated one does not)."""
    min_visible_frac: Share = 0.05
    """Of iceberg: what is shown is a random part of the order between these two."""
    max_visible_frac: Share = 0.2
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 1

    def __post_init__(self) -> None:
        if len(self.volume_curve) not in (0, HOURS_A_WEEK):
            raise InvalidSetting(
                "volume_curve", f"needs {HOURS_A_WEEK} weights, Monday 00 h first, not {len(self.volume_curve)}"
            )
        if self.min_visible_frac > self.max_visible_frac:
            raise InvalidSetting("min_visible_frac", f"{self.min_visible_frac} is above {self.max_visible_frac}")
