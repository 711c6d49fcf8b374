"""A study in a terminal's width: the verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from spyhop.reports.model import Interval
from spyhop.reports.text import SIMULATED, UNKNOWN, bounds, counts, percent, signed
from spyhop.research.studies.aftermath import PathPoint
from spyhop.research.studies.following import FollowingStudy
from spyhop.research.studies.regimes import Bucket
from spyhop.research.studies.spreads import Distribution, HalfLife, SpreadStudy
from spyhop.research.studies.study import About, Outcome
from spyhop.strategies.lead import LeadParams


def of_spread(study: SpreadStudy) -> str:
    """Return the study of a spread as text."""
    params = study.params
    lines = [
        *_head(study.about, "spread reversion, both legs"),
        f"Rule: enter at |spread| >= {percent(params.entry_frac, 3)}, leave at <= {percent(params.exit_frac, 3)}"
        + ("" if params.horizon_s is None else f" or after {params.horizon_s / 60:.0f} min"),
        "",
        *of_outcome(study.outcome),
        "",
        *_of_distribution(study.distribution),
        said_of_closing(study.path),
    ]
    return "\n".join([*lines, *_warned(study.about)]) + "\n"


def of_following(study: FollowingStudy) -> str:
    """Return the study of following as text."""
    params = study.params
    lines = [
        *_head(study.about, f"lead/follow, {study.outcome.label}"),
        f"Rule: {'; '.join(_entries(params))} (leader's move of {params.window_s / 60:.0f} min); "
        f"TP {percent(params.take_profit_frac, 2)}, SL {percent(params.stop_loss_frac, 2)}, "
        f"{params.horizon_s / 60:.0f} min",
        "",
        *of_outcome(study.outcome),
        "",
        said_of_path(study.path),
    ]
    return "\n".join([*lines, *_warned(study.about)]) + "\n"


def _entries(params: LeadParams) -> list[str]:
    sold = f"sold after {percent(-params.fall_frac, 2)} at a spread >= {percent(params.premium_frac, 3)}"
    bought = f"bought after +{percent(params.rise_frac, 2)} at a spread <= {percent(-params.discount_frac, 3)}"
    return {"short": [sold], "long": [bought], "both": [sold, bought]}[params.direction]


def of_outcome(outcome: Outcome) -> list[str]:
    """Return verdict, money, certainty, chance, regimes and sensitivity of one rule."""
    told, mean, rate = outcome.result, outcome.result.per_trade, outcome.result.win_rate
    lines = [f"VERDICT ({outcome.label}): {outcome.verdict.headline}"]
    lines += [f"  - {reason}" for reason in outcome.verdict.reasons]
    lines.append(
        f"{outcome.num_events:,} events, {told.trades:,} trades, {outcome.num_unfinished} unfinished, "
        f"{outcome.num_missed} without a price to enter at"
    )
    if mean is None or told.holding is None or told.losing_streak is None:
        return lines
    expected, held, lost = told.expectancy, told.holding, told.losing_streak
    needed = [(rate.break_even, "planned exits"), (told.break_even_realised, "mean win and loss")]
    rows = [
        ("gross a trade", signed(mean.gross_bps, "bp")),
        ("fees", signed(-mean.fees_bps, "bp")),
        ("slippage", signed(-mean.slippage_bps, "bp")),
        ("funding", signed(-mean.funding_bps, "bp")),
        ("NET a trade", f"{signed(mean.net_bps, 'bp')} (95 %: {bounds(expected.by_student, 'bp')})"),
        ("costs / gross", percent(mean.cost_share)),
        ("win rate", f"{percent(rate.rate)} (95 %: {_shares(rate.interval)})"),
        ("break-even win rate", ", ".join(f"{percent(one)} {of}" for one, of in needed if one is not None) or UNKNOWN),
        ("median, 5 %, 95 %", ", ".join(signed(told.quantiles_bps[name], "bp") for name in ("p50", "p05", "p95"))),
        ("worst / deepest drawdown", f"{signed(told.worst_bps, 'bp')} / {told.max_drawdown_bps:,.1f} bp"),
        ("held", f"mean {held.mean_min:.1f}, median {held.median_min:.0f}, most {held.max_min:.0f} min"),
        ("ends", counts(held.exits)),
        ("losses in a row", f"{lost.longest}; {lost.expected:.1f} expected of independent trades"),
        ("net is zero", f"at costs of {signed(outcome.cost_at_zero_bps, 'bp')} a trip"),
    ]
    lines += [f"  {name:<26}{value}" for name, value in rows]
    lines += ["  by regime (trades, net a trade):"]
    lines += [_bucket(one) for one in (*outcome.by_range, *outcome.by_session, *outcome.by_side)]
    lines += ["  the same, total net in bp of one notional:"]
    lines += [f"    {one.name:<36}{one.net:>+12,.1f}" for one in outcome.sensitivities]
    lines += ["  something simpler, net:"]
    lines += [f"    {one.name:<36}{one.net_bps:>+12,.2f} bp" for one in outcome.benchmarks]
    return lines


def said_of_path(path: Sequence[PathPoint]) -> str:
    """Return what came after the events: whether the spread closed, and by whose move."""
    if not path or path[0].spread_bps is None or path[-1].spread_bps is None:
        return "No event, so nothing came after any."
    first, last = path[0], path[-1]
    before, after = path[0].spread_bps, path[-1].spread_bps
    return (
        f"After the {first.events:,} events, in {last.minute} min: spread {before:+.2f} to {after:+.2f} bp, follower "
        f"{signed(last.follower_bps, 'bp')}, leader {signed(last.leader_bps, 'bp')}, from the side that was taken. "
        f"Only the {before - after:+.2f} bp that the spread closed can be called following; the rest is the market's."
    )


def said_of_closing(path: Sequence[PathPoint]) -> str:
    """Return how much of the excursions was left a minute later and at the end."""
    known = [point for point in path if point.spread_bps is not None]
    if len(known) < 3:
        return "No excursion, so nothing closed."
    first, soon, last = known[0], known[1], known[-1]
    return (
        f"After the {first.events:,} excursions: {signed(first.spread_bps, 'bp')} off at once, "
        f"{signed(soon.spread_bps, 'bp')} after {soon.minute} min, {signed(last.spread_bps, 'bp')} after {last.minute} "
        "min (what closes before an order arrives is nobody's)."
    )


def _head(about: About, what: str) -> list[str]:
    span = about.span
    lines = [f"{about.follower} after {about.leader}: {what}", f"{span.first} to {span.last} UTC ({span.hours:.1f} h)"]
    return [f"*** {SIMULATED} ***", *lines] if about.is_simulated else lines


def _of_distribution(found: Distribution | None) -> list[str]:
    if found is None:
        return ["The spread is never known."]
    q = found.quantiles_bps
    return [
        f"Spread over {found.num:,} closes: mean {found.mean_bps:+.2f}, deviation {found.deviation_bps:.2f} bp; "
        f"5 % {q['p05']:+.2f}, median {q['p50']:+.2f}, 95 % {q['p95']:+.2f}",
        f"  at or above the entry {percent(found.above)}, at or below its negative {percent(found.below)}, inside the "
        f"exit {percent(found.inside_exit)} of the time; {found.episodes:,} excursions",
        f"  half-life {half_life(found.half_life)}; around its 30-minute mean {half_life(found.excursion_half_life)}",
        f"  {percent(found.slow_share)} of its variance is a level that drifts slower than half an hour",
    ]


def half_life(found: HalfLife | None) -> str:
    """Return a half-life with its interval."""
    if found is None or found.minutes is None:
        return UNKNOWN
    high = "never" if found.high_min is None else f"{found.high_min:.1f}"
    low = "0" if found.low_min is None else f"{found.low_min:.1f}"
    return f"{found.minutes:.1f} min (95 %: {low} to {high})"


def _bucket(one: Bucket) -> str:
    band = "" if one.net_interval is None else f" (95 %: {bounds(one.net_interval, 'bp')})"
    mean = "" if one.mean_net_bps is None else f"{signed(one.mean_net_bps, 'bp')}{band}"
    return f"    {one.name:<24}{one.trades:>6}  {mean}".rstrip()


def _warned(about: About) -> list[str]:
    quality = about.quality
    lines = [
        "",
        f"Data: {quality.num_minutes:,} minutes, {quality.missing_leader} without the leader, "
        f"{quality.missing_follower} without the follower, nobody traded the follower in "
        f"{percent(quality.idle_follower_share)} of them",
    ]
    return lines + [f"Warning: {warning}" for warning in quality.warnings]


def _shares(interval: Interval) -> str:
    return f"{percent(interval.low)} to {percent(interval.high)}"
