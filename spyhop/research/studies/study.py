"""One rule on one span of minutes: its trades, their costs, what chance and simpler things bring, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop import __version__
from spyhop.clock import iso_ms
from spyhop.numerics.follow import HORIZON
from spyhop.reports.model import Benchmark, Head, Sensitivity, Verdict
from spyhop.reports.verdict import NO_EDGE, judge
from spyhop.research.studies import regimes
from spyhop.research.studies.bar_trips import Trips, cost_of_trip
from spyhop.research.studies.chance import Chance, Earned, chance
from spyhop.research.studies.costs import Charged, Costs, charged
from spyhop.research.studies.outcomes import REASONS, Exits, Result, result
from spyhop.research.studies.paired import PairedBars, PairQuality, Span, quality, span
from spyhop.research.studies.regimes import Bucket

LATER_MIN = (1, 2, 5)
"""How many minutes later than asked the same entries are tried again."""
_DEAREST = 1.5
_ALPHA = 0.05
_MANY_TIMEOUTS = 0.2


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Which bars were studied, and how good they are."""

    leader: str
    follower: str
    is_simulated: bool
    span: Span
    version: str
    quality: PairQuality


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One trade; times UTC, returns in bp of the follower's notional, `side` that of the follower."""

    entered: str
    left: str
    side: int
    reason: str
    entry_price: float
    exit_price: float
    spread_entry_bps: float
    spread_exit_bps: float | None
    leader_return_bps: float | None
    gross_bps: float
    net_bps: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule brought. `num_events` counts the minutes that asked for an entry, also while one was held.

    `cost_at_zero_bps` is the cost of a trip at which its net result is zero; `later_at_zero_min` the least of the
    delays tried, 0 among them, at which it is not positive. `net_bps` of the benchmarks is of the money put in once.
    """

    label: str
    num_events: int
    num_missed: int
    num_unfinished: int
    result: Result
    by_range: list[Bucket]
    by_session: list[Bucket]
    by_side: list[Bucket]
    chance: Chance | None
    benchmarks: list[Benchmark]
    sensitivities: list[Sensitivity]
    cost_at_zero_bps: float | None
    later_at_zero_min: int | None
    verdict: Verdict
    trades: list[Trade]


class Rule(NamedTuple):
    """What is tried: `walk` gives its trips, entered so many minutes later than asked; `earned` what its exits bring
    from other entries.

    `alike` says in which way entries at random are like its trades.
    """

    label: str
    alike: str
    num_events: int
    num_legs: int
    planned: Exits | None
    walk: Callable[[int], Trips]
    earned: Callable[[Trips], Earned]


def about(bars: PairedBars) -> About:
    """Return which bars these are."""
    return About(
        leader=bars.leader,
        follower=bars.follower,
        is_simulated=bars.is_simulated,
        span=span(bars),
        version=__version__,
        quality=quality(bars),
    )


def outcome(bars: PairedBars, rule: Rule, costs: Costs, seed: int) -> Outcome:
    """Return what `rule` brings on `bars`; `seed` is that of the entries at random."""
    trips = rule.walk(0)
    rows = trips.rows
    earned = _charged(bars, trips, rule, costs)
    marks = regimes.ranges(bars)[rows["i_signal"]], regimes.sessions(rows["entered_at"]), (rows["side"] + 1) // 2
    by_range, by_session, by_side = (
        regimes.buckets(names, mine, earned.gross, earned.net)
        for names, mine in zip((regimes.RANGES, regimes.SESSIONS, regimes.SIDES), marks, strict=True)
    )
    planned_cost = cost_of_trip(costs.fees_bps, costs.slippage_bps, rule.num_legs)
    told = result(rows, earned, rule.planned, planned_cost)
    luck = _luck(bars, rule, trips, earned, seed)
    later = [_later(bars, rule, costs, by) for by in LATER_MIN]
    asked = float(earned.net.mean()) if len(rows) else None
    at_zero = next(
        (by for by, mean in [(0, asked), *(one[:2] for one in later)] if mean is not None and mean <= 0), None
    )
    return Outcome(
        label=rule.label,
        num_events=rule.num_events,
        num_missed=trips.num_missed,
        num_unfinished=trips.num_unfinished,
        result=told,
        by_range=by_range,
        by_session=by_session,
        by_side=by_side,
        chance=luck,
        benchmarks=_benchmarks(bars, rule, costs, luck, planned_cost),
        sensitivities=[*_dearer(earned, rule.num_legs), *(line for _, _, line in later)],
        cost_at_zero_bps=float((earned.gross - earned.funding).mean() * 1e4) if len(rows) else None,
        later_at_zero_min=at_zero,
        verdict=_judged(bars, rule, told, luck, later[0][1], earned),
        trades=_trades(rows, earned),
    )


def _charged(bars: PairedBars, trips: Trips, rule: Rule, costs: Costs) -> Charged:
    return charged(trips.rows, costs, rule.num_legs, bars.funding_ts, bars.funding_rates)


def _luck(bars: PairedBars, rule: Rule, trips: Trips, earned: Charged, seed: int) -> Chance | None:
    rows = trips.rows
    if not len(rows):
        return None
    longest = int((rows["i_exit"] - rows["i_signal"]).max())
    mean = float(earned.gross.mean())
    return chance(mean, rows["i_signal"], len(bars.ts), rule.earned(trips), apart=longest, seed=seed)


def _later(bars: PairedBars, rule: Rule, costs: Costs, by: int) -> tuple[int, float | None, Sensitivity]:
    earned = _charged(bars, rule.walk(by), rule, costs)
    mean = float(earned.net.mean() * 1e4) if len(earned.net) else None
    name = f"entered {by} min later ({len(earned.net)} trades)"
    return by, mean, Sensitivity(name, float(earned.net.sum() * 1e4))


def _dearer(earned: Charged, num_legs: int) -> list[Sensitivity]:
    net, fees, num = float(earned.net.sum() * 1e4), float(earned.fees.sum() * 1e4), len(earned.net)
    sides = 2 * num_legs * num
    return [
        Sensitivity("without any cost", float(earned.gross.sum() * 1e4)),
        Sensitivity("as it was", net),
        Sensitivity("fees x 1.25", net - 0.25 * fees),
        Sensitivity("fees x 1.5", net - (_DEAREST - 1.0) * fees),
        Sensitivity("slippage + 1 bp a side", net - sides),
        Sensitivity("slippage + 2 bp a side", net - 2.0 * sides),
    ]


def _benchmarks(
    bars: PairedBars, rule: Rule, costs: Costs, luck: Chance | None, planned_cost: float
) -> list[Benchmark]:
    found = [Benchmark(name="no trade", gross_bps=0.0, cost_bps=0.0, net_bps=0.0)]
    if luck is not None:
        cost = planned_cost * 1e4
        found.append(
            Benchmark(
                name=f"random entry, {rule.alike}",
                gross_bps=luck.mean_bps,
                cost_bps=cost,
                net_bps=luck.mean_bps - cost,
            )
        )
    known = bars.follower_close[np.isfinite(bars.follower_close)]
    if len(known) > 1:
        move = float(known[-1] / known[0] - 1.0) * 1e4
        cost = costs.fees_bps + 2 * costs.slippage_bps
        found.append(Benchmark(name="buy and hold the follower", gross_bps=move, cost_bps=cost, net_bps=move - cost))
    return found


def _judged(
    bars: PairedBars, rule: Rule, told: Result, luck: Chance | None, next_minute: float | None, earned: Charged
) -> Verdict:
    judged = judge(_head(bars), told.win_rate, told.expectancy)
    reasons = [*judged.reasons, *_said_of_exits(told), *_said_of_gross(told), *_said_of_luck(luck, rule.alike)]
    against = _against(luck, next_minute, earned) if judged.has_edge else []
    if against:
        return Verdict(
            has_edge=False,
            headline=f"{NO_EDGE}: {against[0]}",
            reasons=[*reasons, *_sentences(against[1:])],
        )
    return Verdict(has_edge=judged.has_edge, headline=judged.headline, reasons=reasons)


def _against(luck: Chance | None, next_minute: float | None, earned: Charged) -> list[str]:
    found = []
    if luck is None or max(luck.p_random, luck.p_shifted) >= _ALPHA:
        found.append("entries that know nothing do as well too often")
    if next_minute is None or next_minute <= 0.0:
        found.append("nothing is left when it is entered a minute later")
    if float((earned.net - (_DEAREST - 1.0) * earned.fees).mean()) <= 0.0:
        found.append("nothing is left when fees are half as much again")
    return found


def _sentences(clauses: Sequence[str]) -> list[str]:
    return [f"{one[0].upper()}{one[1:]}." for one in clauses]


def _said_of_exits(told: Result) -> list[str]:
    held, needed = told.holding, told.break_even_realised
    if held is None or needed is None or told.win_rate.break_even is None:
        return []
    share = held.exits.get(REASONS[HORIZON], 0) / told.trades
    if share < _MANY_TIMEOUTS:
        return []
    return [
        f"{100 * share:.0f} % of the trades ended by time and not at an exit that was planned; at the mean win and the "
        f"mean loss that came about {100 * needed:.1f} % would break even."
    ]


def _said_of_gross(told: Result) -> list[str]:
    if told.per_trade is None:
        return []
    mean = told.per_trade
    costs = mean.fees_bps + mean.slippage_bps + mean.funding_bps
    return [f"Before costs a trade made {mean.gross_bps:+.2f} bp; its costs are {costs:.2f} bp."]


def _said_of_luck(luck: Chance | None, alike: str) -> list[str]:
    if luck is None:
        return []
    return [
        f"Random entries {alike} make {luck.mean_bps:+.2f} bp before costs; as much as this rule or "
        f"more in {100 * luck.p_random:.2f} % of {luck.draws:,} draws, the same entries at other times in "
        f"{100 * luck.p_shifted:.2f} %."
    ]


def _head(bars: PairedBars) -> Head:
    told = span(bars)
    return Head(
        session="",
        mode="study",
        source="lake",
        is_simulated=bars.is_simulated,
        runner="",
        version=__version__,
        started="",
        symbols=[bars.leader, bars.follower],
        currency="bp",
        first_event=told.first,
        last_event=told.last,
        days=told.hours / 24,
    )


def _trades(rows: npt.NDArray[np.void], earned: Charged) -> list[Trade]:
    return [
        Trade(
            entered=iso_ms(int(row["entered_at"])),
            left=iso_ms(int(row["left_at"])),
            side=int(row["side"]),
            reason=REASONS[int(row["reason"])],
            entry_price=float(row["entry"]),
            exit_price=float(row["exit"]),
            spread_entry_bps=float(row["spread_entry"] * 1e4),
            spread_exit_bps=_known(row["spread_exit"] * 1e4),
            leader_return_bps=_known(row["leader_return"] * 1e4),
            gross_bps=float(gross * 1e4),
            net_bps=float(net * 1e4),
        )
        for row, gross, net in zip(rows, earned.gross, earned.net, strict=True)
    ]


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
