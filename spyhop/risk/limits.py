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
from spyhop.model.verdicts import RiskState
from spyhop.risk.sizing import Size, SizingParams
from spyhop.risk.states import RANK

_Frac = Annotated[float, msgspec.Meta(gt=0, le=1)]


_Count = Annotated[int, msgspec.Meta(ge=1)]
_Above0 = Annotated[float, msgspec.Meta(gt=0)]
_NotNegative = Annotated[float, msgspec.Meta(ge=0)]
UNLIMITED = 1e15
"""A default that no account reaches: the limit is there and waits to be set."""


class LimitParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fractions are of equity, those of a day of the equity that the UTC day began with; USDT is quote currency.

    Notional limits (`max_*_notional_frac`) are multiples of equity, for one instrument, for all of a base currency, for
    all of a venue, and for everything.
    """

    kill_switch: bool = False
    max_data_age_s: _Above0 = 2.0
    max_clock_skew_s: _Above0 = 2.0
    max_effective_diff_frac: _Above0 = 0.03
    max_volatility_ratio: _Above0 = 10.0
    """Volatility over its own mean."""
    min_trade_interval_s: _NotNegative = 60.0
    max_trades_per_day: _Count = 50
    max_orders_per_minute: _Count = 600
    max_losses_in_row: _Count = 100
    loss_cooldown_s: _NotNegative = 1_800.0
    """After so long without a loss a losing streak is forgotten."""
    max_hold_s: _Above0 = UNLIMITED
    """The longest that an entry may ask to be held; one that asks for no end asks for more than any other setting."""
    max_open_positions: _Count = 100
    max_depth_frac: _Above0 = 1.0
    """Of the depth within 5 bp that an entry takes."""
    max_trade_loss_frac: Annotated[float, msgspec.Meta(gt=0, le=0.03)] = 0.02
    max_daily_loss_frac: _Frac = 0.05
    max_daily_drawdown_frac: _Frac = 0.10
    """Below the day's highest equity."""
    max_daily_loss_usdt: _Above0 = UNLIMITED
    max_capital_in_use_frac: _Frac = 0.50
    max_instrument_notional_frac: _Above0 = UNLIMITED
    max_symbol_notional_frac: _Above0 = UNLIMITED
    max_venue_notional_frac: _Above0 = UNLIMITED
    max_leg_imbalance_usdt: _NotNegative = UNLIMITED
    max_var_frac: _Above0 = UNLIMITED
    max_es_frac: _Above0 = UNLIMITED


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when an intent is judged. Money in quote currency.

    `since_approval_ns` is None before the instrument's first approval; `open_*` are what approved entries, live or
    filled, hold already, `open_*_here` in this instrument, `open_*_symbol` in all of its base, `open_*_venue` at its
    venue; `num_open` counts instruments, this one too; `daily_loss` is at marks, `day_peak` the day's highest equity.
    `depth` is None and the other measurements of a market are 0 while nobody observes it; `var` and `es` are 0.0 while
    unknown.
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
    state: RiskState = RiskState.CAN_TRADE
    day_peak: float = 0.0
    clock_skew_ns: int = 0
    effective_diff: float = 0.0
    volatility_ratio: float = 0.0
    depth: float | None = None
    num_orders_1m: int = 0
    losses_in_row: int = 0
    num_open: int = 1
    is_against_held: bool = False
    profit_r: float = 0.0
    open_notional_here: float = 0.0
    open_notional_symbol: float = 0.0
    open_notional_venue: float = 0.0
    leg_imbalance: float = 0.0
    var: float = 0.0
    es: float = 0.0


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


def _depth_share(case: Case) -> float:
    if case.depth is None:
        return 0.0
    return case.size.notional / case.depth if case.depth > 0.0 else float("inf")


def _drawdown_frac(case: Case) -> float:
    return max(0.0, case.day_peak - case.equity) / case.day_peak if case.day_peak > 0.0 else 0.0


def _hold_s(case: Case) -> float:
    return case.intent.max_hold_ns / NS_PER_S if case.intent.max_hold_ns > 0 else UNLIMITED


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
        "state_permits",
        "entries in CAN_TRADE and SUSPECT, 0 and 1",
        lambda case: float(RANK[case.state]),
        lambda case: float(RANK[RiskState.SUSPECT]),
    ),
    Limit(
        "fresh_data",
        "entries on data of this age, seconds",
        lambda case: case.intent.data_age_ns / NS_PER_S,
        lambda case: case.limits.max_data_age_s,
    ),
    Limit(
        "clocks_agree",
        "entries while the venue's clock is so near to ours, seconds",
        lambda case: abs(case.clock_skew_ns) / NS_PER_S,
        lambda case: case.limits.max_clock_skew_s,
    ),
    Limit(
        "max_effective_diff",
        "a fill this far from the leader's mid, fraction",
        lambda case: case.effective_diff,
        lambda case: case.limits.max_effective_diff_frac,
    ),
    Limit(
        "max_volatility",
        "entries at a volatility of so many times its own mean",
        lambda case: case.volatility_ratio,
        lambda case: case.limits.max_volatility_ratio,
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
        "max_order_rate",
        "so many orders in a minute, this one too",
        lambda case: float(case.num_orders_1m + 1),
        lambda case: float(case.limits.max_orders_per_minute),
    ),
    Limit(
        "max_losses_in_row",
        "entries after at most so many losses in a row, until they are so long ago that they are forgotten",
        lambda case: float(case.losses_in_row),
        lambda case: float(case.limits.max_losses_in_row),
    ),
    Limit(
        "max_hold",
        "an entry that is closed after so long, seconds",
        _hold_s,
        lambda case: case.limits.max_hold_s,
    ),
    Limit(
        "one_position",
        "one position or entry in an instrument, and its adds",
        lambda case: float(case.num_open_here + 1),
        lambda case: 1.0 + case.sizing.max_adds,
    ),
    Limit(
        "adds_one_way",
        "an add on the side of what is held",
        lambda case: float(case.is_against_held),
        lambda case: 0.0,
    ),
    Limit(
        "adds_to_profit",
        "an add to a position that has gained so much, in multiples of its first risk",
        lambda case: case.profit_r if case.num_open_here else float("inf"),
        lambda case: case.sizing.min_add_profit_r,
        is_floor=True,
    ),
    Limit(
        "max_open_positions",
        "positions or entries in so many instruments, this one too",
        lambda case: float(case.num_open),
        lambda case: float(case.limits.max_open_positions),
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
        "max_depth_share",
        "a notional of so much of the depth within 5 bp",
        _depth_share,
        lambda case: case.limits.max_depth_frac,
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
        "max_daily_loss_usdt",
        "the same loss as an amount, quote currency",
        lambda case: case.daily_loss + case.open_risk + case.size.risk,
        lambda case: case.limits.max_daily_loss_usdt,
    ),
    Limit(
        "max_daily_drawdown",
        "equity below the day's highest, fraction",
        _drawdown_frac,
        lambda case: case.limits.max_daily_drawdown_frac,
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
    Limit(
        "max_instrument_exposure",
        "notional in this instrument, this entry's too, quote currency",
        lambda case: case.open_notional_here + case.size.notional,
        lambda case: case.limits.max_instrument_notional_frac * case.equity,
    ),
    Limit(
        "max_symbol_exposure",
        "notional in this base currency at all venues, this entry's too, quote currency",
        lambda case: case.open_notional_symbol + case.size.notional,
        lambda case: case.limits.max_symbol_notional_frac * case.equity,
    ),
    Limit(
        "max_venue_exposure",
        "notional at this venue, this entry's too, quote currency",
        lambda case: case.open_notional_venue + case.size.notional,
        lambda case: case.limits.max_venue_notional_frac * case.equity,
    ),
    Limit(
        "max_leg_imbalance",
        "legs in one base currency that miss each other by so much, quote currency",
        lambda case: case.leg_imbalance,
        lambda case: case.limits.max_leg_imbalance_usdt,
    ),
    Limit(
        "max_var",
        "value at risk of all that is held, this entry's too, quote currency",
        lambda case: case.var,
        lambda case: case.limits.max_var_frac * case.equity,
    ),
    Limit(
        "max_es",
        "expected shortfall of all that is held, this entry's too, quote currency",
        lambda case: case.es,
        lambda case: case.limits.max_es_frac * case.equity,
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
