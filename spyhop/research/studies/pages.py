"""Studies as HTML pages that need nothing else: no network, no script; light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import msgspec

from spyhop.reports import charts, histograms
from spyhop.reports.html import cards, document, facts, figure, table, verdict
from spyhop.reports.text import amount, bounds, counts, percent, signed
from spyhop.research.studies.aftermath import PathPoint
from spyhop.research.studies.following import FollowingStudy
from spyhop.research.studies.regimes import Bucket
from spyhop.research.studies.spreads import SpreadStudy
from spyhop.research.studies.study import About, Outcome
from spyhop.research.studies.week import WeekStudy
from spyhop.research.studies.words import half_life, said_of_closing, said_of_path

_BIN_BPS = 1.0
_MOST_TRADES = 500


def page(study: SpreadStudy | FollowingStudy | WeekStudy) -> str:
    """Return the whole page of a study."""
    about = study.about
    if isinstance(study, SpreadStudy):
        title, body = "Spread reversion", [*_outcome(study.outcome), *_spread(study)]
    elif isinstance(study, FollowingStudy):
        title, body = f"Lead/follow, {study.outcome.label}", [*_outcome(study.outcome), *_following(study)]
    else:
        title, body = "All studies", _week(study)
    return _document(about, title, [*body, _quality(about)])


def _document(about: About, title: str, body: Sequence[str]) -> str:
    span = about.span
    head = (
        f"<h1>{escape(title)}: {escape(about.follower)} after {escape(about.leader)}</h1>"
        f'<p class="soft">{escape(span.first)} to {escape(span.last)} UTC ({span.hours:.1f} h of minute bars) · '
        f"Spyhop {escape(about.version)}</p>"
    )
    return document(f"Spyhop study: {title}", head + "".join(body), is_simulated=about.is_simulated)


def _outcome(outcome: Outcome) -> list[str]:
    return [
        verdict(outcome.verdict.headline, outcome.verdict.reasons, has_edge=outcome.verdict.has_edge),
        _money(outcome),
        _certainty(outcome),
        _simpler(outcome),
        _regimes(outcome),
        _sensitivity(outcome),
        _trades(outcome),
    ]


def _money(outcome: Outcome) -> str:
    mean = outcome.result.per_trade
    counted = [
        (f"{outcome.num_events:,}", "events: minutes that asked for an entry"),
        (f"{outcome.result.trades:,}", "trades, one at a time"),
        (f"{outcome.num_unfinished}", "unfinished at the end of the data, left out"),
        (f"{outcome.num_missed}", "without a price to enter at"),
    ]
    if mean is None:
        return f"<h2>Money</h2>{cards(counted)}"
    rows = [
        ("gross", mean.gross_bps, "line"),
        ("fees", -mean.fees_bps, "cost"),
        ("slippage", -mean.slippage_bps, "cost"),
        ("funding", -mean.funding_bps, "cost"),
        ("NET", mean.net_bps, "gain" if mean.net_bps >= 0 else "loss"),
    ]
    told = [
        *counted,
        (signed(mean.net_bps, "bp"), "net a trade"),
        (signed(mean.gross_bps, "bp"), "gross a trade"),
        (percent(mean.cost_share), "of the gross went to costs"),
        (signed(outcome.result.total_net_bps, "bp", 0), "net of all trades, of one notional"),
    ]
    picture = charts.bars(
        [(name, value, signed(value)) for name, value, _ in rows], "Means a trade in bp", [each[2] for each in rows]
    )
    return f"<h2>Money</h2>{cards(told)}{figure(picture, 'means a trade, bp of the notional of one leg')}"


def _certainty(outcome: Outcome) -> str:
    told = outcome.result
    rate, expected, held, lost = told.win_rate, told.expectancy, told.holding, told.losing_streak
    if told.per_trade is None or held is None or lost is None:
        return ""
    marks = [("realised", rate.rate or 0.0, "line")]
    for name, place, colour in (
        ("break-even p*, planned exits", rate.break_even, "loss"),
        ("break-even, costs as paid", rate.break_even_observed, "cost"),
        ("break-even, mean win and loss", told.break_even_realised, "cost"),
    ):
        if place is not None:
            marks.append((name, place, colour))
    band = charts.interval(rate.interval.low, rate.interval.high, marks, "Win rate and break-even")
    tail = ", ".join(f"{name} {signed(value)}" for name, value in told.quantiles_bps.items())
    rows = [
        ["win rate after costs", percent(rate.rate), f"{percent(rate.interval.low)} to {percent(rate.interval.high)}"],
        ["break-even p*, planned exits and costs", percent(rate.break_even), ""],
        ["break-even p*, planned exits, costs as paid", percent(rate.break_even_observed), ""],
        ["break-even at the mean win and the mean loss", percent(told.break_even_realised), ""],
        ["net a trade (Student)", signed(expected.mean_bps, "bp"), bounds(expected.by_student, "bp")],
        ["the same, by bootstrap", signed(expected.mean_bps, "bp"), bounds(expected.by_bootstrap, "bp")],
        ["median trade", signed(expected.median_bps, "bp"), ""],
        ["worst and best trade", signed(told.worst_bps, "bp"), signed(told.best_bps, "bp")],
        ["profit factor", amount(expected.profit_factor), ""],
        ["deepest drawdown of the sum", amount(told.max_drawdown_bps, "bp"), ""],
        ["most losses in a row", f"{lost.longest}", f"{lost.expected:.1f} expected if trades were independent"],
        ["share of the five best in all that was won", percent(told.concentration.top5_share), ""],
        ["net a trade without the five best", signed(told.concentration.net_without_top5_bps, "bp"), ""],
        ["held", f"{held.mean_min:.1f} min", f"median {held.median_min:.0f}, most {held.max_min:.0f}"],
        ["ends", counts(held.exits), ""],
    ]
    picture = charts.histogram([trade.net_bps for trade in outcome.trades], "Net result of trades", "bp")
    caption = f"band: 95 % Wilson interval of the win rate, {rate.wins} of {rate.trades} trades won after costs"
    return (
        f"<h2>How sure</h2>{figure(band, caption)}{table(['', 'value', '95 % interval, or more'], rows)}"
        f'{figure(picture, "net result of each trade")}<p class="soft">Quantiles in bp: {escape(tail)}. Trades that '
        "come in bursts share one move, so these intervals, which take trades to be independent, are rather too "
        "narrow.</p>"
    )


def _simpler(outcome: Outcome) -> str:
    luck = outcome.chance
    rows = [
        [one.name, signed(one.gross_bps, "bp"), signed(-one.cost_bps, "bp"), signed(one.net_bps, "bp")]
        for one in outcome.benchmarks
    ]
    told = '<p class="nothing">No trade, so no entries at random to compare with.</p>'
    if luck is not None and outcome.result.per_trade is not None:
        gross = outcome.result.per_trade.gross_bps
        picture = histograms.means(
            [
                ("this rule", gross, None, signed(gross, "bp")),
                (
                    "random entries",
                    luck.mean_bps,
                    (luck.interval.low, luck.interval.high),
                    f"p = {luck.p_random:.4f}",
                ),
                (
                    "same entries, moved in time",
                    0.5 * (luck.shifted_interval.low + luck.shifted_interval.high),
                    (luck.shifted_interval.low, luck.shifted_interval.high),
                    f"p = {luck.p_shifted:.4f}",
                ),
            ],
            "Gross a trade against chance",
        )
        told = figure(
            picture,
            f"gross a trade in bp; bands hold 95 % of {luck.draws:,} strategies that know nothing and leave alike",
        )
    return f"<h2>Against something simpler</h2>{told}{table(['benchmark, same span', 'gross', 'costs', 'net'], rows)}"


def _regimes(outcome: Outcome) -> str:
    found = [*outcome.by_range, *outcome.by_session, *outcome.by_side]
    picture = histograms.means(
        [
            (
                one.name,
                one.mean_net_bps,
                None if one.net_interval is None else (one.net_interval.low, one.net_interval.high),
                f"{one.trades} trades",
            )
            for one in found
        ],
        "Net a trade by regime",
    )
    return (
        f"<h2>By regime</h2>{figure(picture, 'net a trade in bp with its 95 % interval; hollow: one trade only')}"
        f"{table(['', 'trades', 'won', 'gross', 'net', '95 % interval'], [_bucket(one) for one in found])}"
        '<p class="soft">Eight looks at the same trades: one of twenty such intervals leaves the truth out.</p>'
    )


def _bucket(one: Bucket) -> list[str]:
    return [
        one.name,
        f"{one.trades}",
        f"{one.wins}",
        signed(one.mean_gross_bps, "bp") if one.trades else "",
        signed(one.mean_net_bps, "bp") if one.trades else "",
        bounds(one.net_interval, "bp") if one.net_interval is not None else "",
    ]


def _sensitivity(outcome: Outcome) -> str:
    rows = [[one.name, signed(one.net, "bp", 1)] for one in outcome.sensitivities]
    zero = []
    if outcome.cost_at_zero_bps is not None:
        zero.append(f"Net is zero where a trip costs {outcome.cost_at_zero_bps:.2f} bp in all.")
    if outcome.later_at_zero_min:
        zero.append(f"Of the delays tried, {outcome.later_at_zero_min} min is the first that leaves nothing.")
    return (
        f"<h2>The same under other costs</h2>{table(['', 'net of all trades, one notional'], rows)}"
        f"<p>{escape(' '.join(zero))}</p>"
    )


def _trades(outcome: Outcome) -> str:
    rows = [
        [
            trade.entered[:16],
            "bought" if trade.side > 0 else "sold",
            trade.reason,
            f"{trade.entry_price:,.8g}",
            f"{trade.exit_price:,.8g}",
            signed(trade.spread_entry_bps),
            signed(trade.gross_bps),
            signed(trade.net_bps),
        ]
        for trade in outcome.trades[:_MOST_TRADES]
    ]
    if not rows:
        return ""
    more = len(outcome.trades) - len(rows)
    rest = f"<p class='soft'>and {more:,} more, in the JSON beside this page</p>" if more else ""
    names = ["entered", "follower", "left by", "entry", "exit", "spread bp", "gross bp", "net bp"]
    return f"<details><summary>All {len(outcome.trades):,} trades</summary>{table(names, rows)}{rest}</details>"


def _spread(study: SpreadStudy) -> list[str]:
    found, params = study.distribution, study.params
    if found is None:
        return ["<h2>The spread</h2>", charts.nothing("The spread")]
    marks = [
        ("-entry", -params.entry_frac * 1e4),
        ("entry", params.entry_frac * 1e4),
        ("mean", found.mean_bps),
        ("0", 0.0),
    ]
    picture = histograms.distribution(study.histogram_bps, _BIN_BPS, marks, "The spread at the closes", "bp")
    rows = [
        ["closes", f"{found.num:,}"],
        ["mean, deviation", f"{signed(found.mean_bps, 'bp')}, {amount(found.deviation_bps, 'bp')}"],
        ["quantiles", ", ".join(f"{name} {signed(value)}" for name, value in found.quantiles_bps.items())],
        ["at or above the entry", percent(found.above)],
        ["at or below its negative", percent(found.below)],
        ["inside the exit", percent(found.inside_exit)],
        ["excursions beyond the entry", f"{found.episodes:,}"],
        ["half-life around its mean", half_life(found.half_life)],
        ["half-life around its own 30-minute mean", half_life(found.excursion_half_life)],
        ["share of the variance that is a slow level", percent(found.slow_share)],
    ]
    return [
        f"<h2>The spread</h2>{figure(picture, 'minutes a bp')}{facts(rows)}",
        f"<h2>After the excursions</h2>{_path(study.path)}<p>{escape(said_of_closing(study.path))}</p>",
        _run(study),
    ]


def _following(study: FollowingStudy) -> list[str]:
    return [
        f"<h2>After the events</h2>{_path(study.path)}<p>{escape(said_of_path(study.path))}</p>",
        _run(study),
    ]


def _path(path: Sequence[PathPoint]) -> str:
    lines = [
        (name, colour, [(float(point.minute), value) for point in path if (value := getattr(point, field)) is not None])
        for name, colour, field in (
            ("spread left", "cost", "spread_bps"),
            ("follower", "gain", "follower_bps"),
            ("leader", "line", "leader_bps"),
        )
    ]
    picture = histograms.paths(lines, "Means after the events", "bp", "minutes after the event")
    return figure(picture, "means over all events, overlapping ones too, from the side that the rule takes")


def _week(study: WeekStudy) -> list[str]:
    has_edge = any(one.outcome.verdict.has_edge for one in study.following)
    parts = [verdict("In all", study.conclusion, has_edge=has_edge, label="Conclusion")]
    parts.append("<h2>Spread reversion, both legs</h2>")
    parts += [*_outcome(study.spread.outcome), *_spread(study.spread)]
    for one in study.following:
        parts.append(f"<h2>Lead/follow, {escape(one.outcome.label)}</h2>")
        parts += [*_outcome(one.outcome), *_following(one)]
    lag = study.lead_lag
    curve = list(zip(lag.curve.shift_s, lag.curve.rho, strict=True))
    picture = histograms.paths(
        [("correlation", "line", curve)], "Correlation at each shift", "rho", "seconds that the leader is ahead"
    )
    warned = "".join(f"<li>{escape(one)}</li>" for one in lag.warnings)
    parts.append(f"<h2>Lag</h2><p>{escape(lag.verdict)}</p>{figure(picture, 'closes of minutes')}<ul>{warned}</ul>")
    return parts


def _run(study: SpreadStudy | FollowingStudy) -> str:
    said: dict[str, Any] = {**msgspec.to_builtins(study.params), **msgspec.to_builtins(study.costs)}
    rows = [[name, "not given" if value is None else f"{value}"] for name, value in said.items()]
    return f"<h2>What was asked</h2>{facts([*rows, ['latency_s', f'{study.latency_s:g}']])}"


def _quality(about: About) -> str:
    quality = about.quality
    basis = "not needed" if not quality.is_basis_needed else f"{quality.basis_minutes:,} minutes known"
    rows = [
        ["minutes of the span", f"{quality.num_minutes:,}"],
        ["missing of the leader", f"{quality.missing_leader:,}"],
        ["missing of the follower", f"{quality.missing_follower:,}"],
        ["bars of one price, leader / follower", _two(quality.flat_leader_share, quality.flat_follower_share)],
        ["minutes without a trade, leader / follower", _two(quality.idle_leader_share, quality.idle_follower_share)],
        ["what USDC is worth in USDT", basis],
    ]
    warned = "".join(f"<li>{escape(warning)}</li>" for warning in quality.warnings)
    return f"<h2>Data quality</h2>{facts(rows)}<ul>{warned}</ul>"


def _two(first: float, second: float) -> str:
    return f"{percent(first)} / {percent(second)}"
