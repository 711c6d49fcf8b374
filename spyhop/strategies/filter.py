"""The signal filter: what a decision must have before it becomes an intent, each failure in words."""

from __future__ import annotations

from typing import Annotated

import msgspec

from spyhop.clock import NS_PER_S
from spyhop.model.tape import Side

_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Seconds = Annotated[float, msgspec.Meta(ge=0)]


class SignalFilterParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Probability and confidence must be above theirs; the interval runs from an instrument's last fill."""

    min_probability: _Share = 0.70
    min_confidence: _Share = 0.60
    min_trade_interval_s: _Seconds = 60.0
    max_data_age_s: Annotated[float, msgspec.Meta(gt=0)] = 2.0


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """What the filter looks at: a winner, and how the instrument stands with us."""

    side: Side
    strategy: str
    probability: float
    confidence: float
    data_age_ns: int
    since_trade_ns: int | None  # None: no trade yet
    is_engaged: bool  # a position is open or an entry is on its way


def reasons(signal: Signal, params: SignalFilterParams) -> tuple[str, ...]:
    """Return why `signal` is no trade, in the order it is looked at; empty when it passes."""
    found = []
    if signal.side is Side.NONE:
        found.append(f"{signal.strategy} has no direction")
    if not signal.probability > params.min_probability:
        found.append(f"probability {_short(signal.probability)} is not above {params.min_probability:.2f}")
    if not signal.confidence > params.min_confidence:
        found.append(f"confidence {_short(signal.confidence)} is not above {params.min_confidence:.2f}")
    return (*found, *obstacles(signal, params))


def obstacles(signal: Signal, params: SignalFilterParams) -> tuple[str, ...]:
    """Return why no signal of any strategy is a trade now: what is held, the interval, the age of the data."""
    found = []
    if signal.is_engaged:
        found.append("a position is open or being entered")
    if signal.since_trade_ns is not None and signal.since_trade_ns < params.min_trade_interval_s * NS_PER_S:
        elapsed = signal.since_trade_ns / NS_PER_S
        found.append(f"{elapsed:.1f} s since the last trade is below {params.min_trade_interval_s:.1f} s")
    if signal.data_age_ns > params.max_data_age_s * NS_PER_S:
        found.append(f"data is {signal.data_age_ns / NS_PER_S:.1f} s old, above {params.max_data_age_s:.1f} s")
    return tuple(found)


# cut, not rounded: 0.6999 must not read as "0.70 is not above 0.70"
def _short(share: float) -> str:
    return f"{int(share * 100.0) / 100.0:.2f}"
