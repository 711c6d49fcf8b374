"""What trades of a study come to, and how sure that is: the numbers of a report, taken from trips and their costs."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_MINUTE
from spyhop.numerics import statistics
from spyhop.numerics.follow import HORIZON, STOP, TAKE_PROFIT
from spyhop.reports.model import Expectancy, Interval, WinRate
from spyhop.reports.verdict import MIN_TRADES
from spyhop.research.studies.bar_trips import REVERTED
from spyhop.research.studies.costs import Charged

Floats: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = npt.NDArray[Any]

REASONS = {TAKE_PROFIT: "take profit", STOP: "stop", HORIZON: "timeout", REVERTED: "reverted"}
QUANTILES = (0.01, 0.05, 0.25, 0.50, 0.75, 0.95, 0.99)

MIN_RESAMPLED = 10
"""Resamples of fewer trades repeat the same few numbers and give an interval that is far too narrow."""
_BOOTSTRAP_SEED = 20251128
_TOP = 5
_CERTAIN = 1e-12


class PerTrade(msgspec.Struct, frozen=True, kw_only=True):
    """Means over trades in bp of the follower's notional; `cost_share` is all costs over a positive gross."""

    gross_bps: float
    fees_bps: float
    slippage_bps: float
    funding_bps: float
    net_bps: float
    cost_share: float | None


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """How long trades were held, whole minutes of bars, and how they ended."""

    mean_min: float
    median_min: float
    max_min: float
    exits: dict[str, int]


class Streak(msgspec.Struct, frozen=True, kw_only=True):
    """The most losses in a row; what independent trades with as many losses would show; the chance of as many."""

    longest: int
    expected: float
    probability: float


class Concentration(msgspec.Struct, frozen=True, kw_only=True):
    """What five trades make of it: their share of all that was won, and the mean of the others."""

    top5_share: float | None
    net_without_top5_bps: float | None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Trades after costs. `break_even_realised` is p* of the mean win and the mean loss that came about."""

    trades: int
    per_trade: PerTrade | None
    total_net_bps: float
    win_rate: WinRate
    break_even_realised: float | None
    expectancy: Expectancy
    quantiles_bps: dict[str, float]
    worst_bps: float | None
    best_bps: float | None
    max_drawdown_bps: float
    """Of the sum of net results, one notional each time."""
    holding: Holding | None
    losing_streak: Streak | None
    concentration: Concentration


class Exits(NamedTuple):
    """Planned exits, fractions of the entry's price."""

    take_profit: float
    stop_loss: float


def result(rows: Rows, earned: Charged, planned: Exits | None, planned_cost: float) -> Result:
    """Return what `rows` (TRIP, by time) came to; `planned_cost` is fees and slippage of a trip, a fraction."""
    bps = earned.net * 1e4
    sums = np.concatenate([[0.0], np.cumsum(bps)])
    return Result(
        trades=len(rows),
        per_trade=per_trade(earned) if len(rows) else None,
        total_net_bps=float(bps.sum()),
        win_rate=_win_rate(earned, planned, planned_cost),
        break_even_realised=_realised(bps),
        expectancy=expectancy(bps),
        quantiles_bps=quantiles(bps),
        worst_bps=float(bps.min()) if len(bps) else None,
        best_bps=float(bps.max()) if len(bps) else None,
        max_drawdown_bps=float((np.maximum.accumulate(sums) - sums).max()),
        holding=_holding(rows) if len(rows) else None,
        losing_streak=streak(bps <= 0.0) if len(bps) else None,
        concentration=_concentration(bps),
    )


def per_trade(earned: Charged) -> PerTrade:
    """Return the means of at least one trade."""
    gross, fees, slippage, funding, net = (float(column.mean() * 1e4) for column in earned)
    return PerTrade(
        gross_bps=gross,
        fees_bps=fees,
        slippage_bps=slippage,
        funding_bps=funding,
        net_bps=net,
        cost_share=(fees + slippage + funding) / gross if gross > 0.0 else None,
    )


def expectancy(bps: Floats) -> Expectancy:
    """Return the mean of net results with its intervals."""
    rng = np.random.default_rng(_BOOTSTRAP_SEED)
    return Expectancy(
        mean_bps=float(bps.mean()) if len(bps) else None,
        median_bps=float(np.median(bps)) if len(bps) else None,
        by_student=interval(statistics.t_interval(bps)),
        by_bootstrap=interval(statistics.bootstrap_interval(bps, rng)) if len(bps) >= MIN_RESAMPLED else None,
        mean_r=None,
        r_interval=None,
        profit_factor=statistics.profit_factor(bps),
    )


def quantiles(values: Floats) -> dict[str, float]:
    """Return the quantiles of QUANTILES by name, such as `p05`; nothing for nothing."""
    if not len(values):
        return {}
    found = np.quantile(values, QUANTILES)
    return {f"p{round(100 * q):02d}": float(value) for q, value in zip(QUANTILES, found, strict=True)}


def interval(found: tuple[float, float] | None) -> Interval | None:
    """Return an interval as reports have it."""
    return None if found is None else Interval(*found)


def streak(is_lost: npt.NDArray[np.bool_]) -> Streak:
    """Return the longest run of losses of at least one trade beside what independence makes of it."""
    longest = run = 0
    for lost in is_lost.tolist():
        run = run + 1 if lost else 0
        longest = max(longest, run)
    share = float(is_lost.mean())
    chances = run_chances(len(is_lost), share)
    return Streak(
        longest=longest,
        expected=float(sum(chances)),
        probability=1.0 if longest == 0 else (chances[longest - 1] if longest <= len(chances) else 0.0),
    )


def run_chances(num: int, share: float) -> list[float]:
    """Return the chances that `num` independent trials, each lost with chance `share`, hold a run of 1, 2, ... losses.

    Their sum is the expected longest run. The chance of no run of k among j trials falls with each trial by that of
    one that ends there: N(j) = N(j - 1) - (1 - q) q^k N(j - k - 1), N(k) = 1 - q^k (Feller I, XIII.7).
    """
    chances: list[float] = []
    for length in range(1, num + 1):
        power = share**length
        without = [1.0] * length + [1.0 - power]
        for j in range(length + 1, num + 1):
            without.append(without[j - 1] - (1.0 - share) * power * without[j - length - 1])
        chance = 1.0 - without[num]
        if chance < _CERTAIN:
            break
        chances.append(chance)
    return chances


def _win_rate(earned: Charged, planned: Exits | None, planned_cost: float) -> WinRate:
    num, wins = len(earned.net), int((earned.net > 0.0).sum())
    cost = float((earned.fees + earned.slippage + earned.funding).mean()) if num else None
    plan = observed = None
    if planned is not None:
        plan = _break_even(planned, planned_cost)
        observed = None if cost is None else _break_even(planned, cost)
    rate = wins / num if num else None
    needed = None
    if rate is not None and plan is not None and rate != plan and num >= MIN_TRADES:
        needed = statistics.trades_needed(plan, rate)
    return WinRate(
        wins=wins,
        trades=num,
        rate=rate,
        interval=Interval(*statistics.wilson(wins, num)),
        break_even=plan,
        break_even_observed=observed,
        take_profit_bps=None if planned is None else planned.take_profit * 1e4,
        stop_loss_bps=None if planned is None else planned.stop_loss * 1e4,
        cost_bps=None if cost is None else cost * 1e4,
        trades_needed=needed,
    )


# p* = (stop + cost) / (take profit + stop)
def _break_even(planned: Exits, cost: float) -> float:
    return statistics.break_even(planned.take_profit - cost, planned.stop_loss + cost)


def _realised(bps: Floats) -> float | None:
    won, lost = bps[bps > 0.0], bps[bps <= 0.0]
    if not len(won) or not len(lost):
        return None
    return statistics.break_even(float(won.mean()), -float(lost.mean()))


def _holding(rows: Rows) -> Holding:
    held = (rows["left_at"] - rows["entered_at"]) / NS_PER_MINUTE
    counted = Counter(REASONS[reason] for reason in rows["reason"].tolist())
    return Holding(
        mean_min=float(held.mean()),
        median_min=float(np.median(held)),
        max_min=float(held.max()),
        exits=dict(sorted(counted.items())),
    )


def _concentration(bps: Floats) -> Concentration:
    won = np.sort(bps[bps > 0.0])
    ordered = np.sort(bps)
    return Concentration(
        top5_share=float(won[-_TOP:].sum() / won.sum()) if len(won) > _TOP else None,
        net_without_top5_bps=float(ordered[:-_TOP].mean()) if len(ordered) > _TOP else None,
    )
