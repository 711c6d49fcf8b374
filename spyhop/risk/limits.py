"""Every limit as one line of a table, named by what it permits. The first that does not hold refuses.

Order: what an operator said, then the data, then the pace, then the size, then the money.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec

from spyhop.clock import NS_PER_S
from spyhop.errors import InvalidSetting
from spyhop.model.decisions import Intent
from spyhop.risk.sizing import Size, SizingParams

_Frac = Annotated[float, msgspec.Meta(gt=0, le=1)]


class LimitParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fractions are of equity, `max_daily_loss_frac` of the equity that the UTC day began with."""

    kill_switch: bool = False
    max_data_age_s: Annotated[float, msgspec.Meta(gt=0)] = 2.0
    min_trade_interval_s: Annotated[float, msgspec.Meta(ge=0)] = 60.0
    max_trades_per_day: Annotated[int, msgspec.Meta(ge=1)] = 50
    max_trade_loss_frac: _Frac = 0.02
    max_daily_loss_frac: _Frac = 0.05
    max_capital_in_use_frac: _Frac = 0.50


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when an intent is judged. Money in quote currency.

    `since_approval_ns` is None before the instrument's first approval; `open_*` are what approved entries, live or
    filled, hold already; `daily_loss` is at marks.
    """

    intent: Intent
    size: Size
    equity: float
    day_equity: float
    daily_loss: float
    open_risk: float
    open_margin: float
    open_notional: float
    num_open_here: int
    num_trades_24h: int
    since_approval_ns: int | None
    is_killed: bool
    is_paused: bool
    limits: LimitParams
    sizing: SizingParams


class Breach(msgspec.Struct, frozen=True):
    """A limit that does not hold."""

    code: str
    measured: float
    limit: float


class Limit(msgspec.Struct, frozen=True):
    """Holds while `measured` is at most `limit`; one that `is_floor`, while it is at least `limit`."""

    code: str
    permits: str
    measured: Callable[[Case], float]
    limit: Callable[[Case], float]
    is_floor: bool = False

    def check(self, case: Case) -> Breach | None:
        """Return the breach, None while the limit holds."""
        measured, limit = self.measured(case), self.limit(case)
        holds = measured >= limit if self.is_floor else measured <= limit
        return None if holds else Breach(self.code, measured, limit)


def _since_approval_s(case: Case) -> float:
    return float("inf") if case.since_approval_ns is None else case.since_approval_ns / NS_PER_S


LIMITS: tuple[Limit, ...] = (
    Limit(
        "kill_switch_off",
        "entries while the kill switch is off",
        lambda case: float(case.is_killed or case.limits.kill_switch),
        lambda case: 0.0,
    ),
    Limit("not_paused", "entries while no operator paused them", lambda case: float(case.is_paused), lambda case: 0.0),
    Limit(
        "fresh_data",
        "entries on data of this age, seconds",
        lambda case: case.intent.data_age_ns / NS_PER_S,
        lambda case: case.limits.max_data_age_s,
    ),
    Limit(
        "min_interval",
        "an entry so long after the last in the same instrument, seconds",
        _since_approval_s,
        lambda case: case.limits.min_trade_interval_s,
        is_floor=True,
    ),
    Limit(
        "max_trades_per_day",
        "so many entries in 24 hours",
        lambda case: float(case.num_trades_24h + 1),
        lambda case: float(case.limits.max_trades_per_day),
    ),
    Limit(
        "one_position",
        "one position or entry in an instrument",
        lambda case: float(case.num_open_here + 1),
        lambda case: 1.0,
    ),
    Limit(
        "min_size",
        "a size that the venue takes, lots",
        lambda case: float(case.size.lots),
        lambda case: float(case.size.min_lots),
        is_floor=True,
    ),
    Limit(
        "stop_before_liquidation",
        "a stop that is reached before the venue liquidates, distances as fractions of the price",
        lambda case: case.size.liquidation_frac,
        lambda case: case.size.stop_frac,
        is_floor=True,
    ),
    Limit(
        "max_per_trade_loss",
        "a loss at the stop of so much, costs included, quote currency",
        lambda case: case.size.risk,
        lambda case: case.limits.max_trade_loss_frac * case.equity,
    ),
    Limit(
        "max_daily_loss",
        "the day's loss so far plus that of every stop, this one's too, quote currency",
        lambda case: case.daily_loss + case.open_risk + case.size.risk,
        lambda case: case.limits.max_daily_loss_frac * case.day_equity,
    ),
    Limit(
        "max_capital_in_use",
        "margin in use, this entry's too, quote currency",
        lambda case: case.open_margin + case.size.margin,
        lambda case: case.limits.max_capital_in_use_frac * case.equity,
    ),
    Limit(
        "max_leverage",
        "notional over equity, this entry's too",
        lambda case: (case.open_notional + case.size.notional) / case.equity,
        lambda case: case.sizing.max_leverage,
    ),
)


def first_breach(case: Case) -> Breach | None:
    """Return the first limit of the table that does not hold, None when all do."""
    for limit in LIMITS:
        breach = limit.check(case)
        if breach is not None:
            return breach
    return None


def validate(limits: LimitParams, sizing: SizingParams) -> None:
    """Raise InvalidSetting when what is risked on purpose is more than what may be lost."""
    if sizing.risk_frac > limits.max_trade_loss_frac:
        raise InvalidSetting(
            "sizing.risk_frac", f"{sizing.risk_frac} is above limits.max_trade_loss_frac {limits.max_trade_loss_frac}"
        )
