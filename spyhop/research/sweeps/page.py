"""The result of a sweep as one HTML page that needs nothing else: no network, no script; light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from spyhop.clock import NS_PER_S
from spyhop.reports import charts, histograms
from spyhop.reports.html import cards, document, figure, notes, table, verdict
from spyhop.reports.text import amount, bounds, duration, percent, signed
from spyhop.research.sweeps.charts import Dot, heat_map, parallel, scatter
from spyhop.research.sweeps.model import Check, Row, Score, Span, SweepResult

_BIN = 0.05
_OUTCOMES = {True: "passed", False: "failed", None: "could not be made"}


def page(
    result: SweepResult,
    *,
    title: str = "Sweep",
    axes: tuple[str, str] | None = None,
) -> str:
    """Return the whole page; `axes` are the two settings of the heat map, otherwise the first pair."""
    body = [
        _head(result, title),
        verdict(result.verdict.headline, result.verdict.reasons, has_edge=result.verdict.has_edge),
        _tests(result.checks),
        _chosen(result),
        _walk(result),
        _table(result),
        _scatter(result),
        _heat(result, axes),
        _parallel(result),
        _overfit(result),
        notes(_said(result)),
    ]
    return document(f"Spyhop sweep: {title}", "".join(body), is_simulated=result.is_simulated)


def _head(result: SweepResult, title: str) -> str:
    first, last = result.in_sample.first, result.final.last
    told = [
        (f"{result.num_settings:,}", "settings of this sweep"),
        (f"{result.num_trials:,}", "trials ever made on this data, by the ledger"),
        (f"{result.num_idle:,}", "settings that never traded"),
        (f"{result.num_thin:,}", f"traded fewer than {result.params.min_trades} times, never chosen"),
        (f"{result.num_positive:,} of {result.num_eligible:,}", "earned anything before the final period, after costs"),
        ("opened" if result.final_opened else "closed", "final period"),
    ]
    return (
        f"<h1>{escape(title)}</h1>"
        f'<p class="soft">{_time(first)} to {_time(last)} UTC in periods of {duration(result.period_s)} · '
        f"{escape(', '.join(result.names))}</p>{cards(told)}"
    )


def _tests(checks: Sequence[Check]) -> str:
    return f"<h2>Tests</h2>{table(['test', 'outcome'], [[each.name, _OUTCOMES[each.passed]] for each in checks])}"


def _chosen(result: SweepResult) -> str:
    if result.chosen is None or result.chosen_score is None:
        return '<h2>The setting that goes forward</h2><p class="nothing">None traded often enough to be chosen.</p>'
    rows = [[name, f"{value:g}"] for name, value in zip(result.names, result.chosen.setting, strict=True)]
    rows.append(["trades, over all periods", f"{result.chosen.num_trades:,}"])
    rows.append(["before the final period, chosen on it: no evidence", _score(result.chosen_score)])
    if result.chosen_final is not None:
        rows.append(["final period", _score(result.chosen_final)])
        rows.append(["95 % interval there", bounds(result.final_interval, "bp a period", 3)])
    deflated = result.deflated
    if deflated is not None:
        rows.append(["Sharpe ratio a period; by luck alone", f"{deflated.sharpe:+.3f}; {deflated.expected_best:+.3f}"])
        rows.append(["probability that it is above 0, for one trial", f"{deflated.psr:.3f}"])
        rows.append([f"the same after {deflated.num_trials:,} trials (deflated)", f"{deflated.dsr:.3f}"])
        rows.append(["skewness, kurtosis", f"{deflated.skewness:+.2f}, {deflated.kurtosis:.2f}"])
        rows.append(["least track record, periods", amount(deflated.min_track_record, digits=0)])
    caption = "The centre of the best region: the highest median over a setting and its neighbours, not the best point."
    return f'<h2>The setting that goes forward</h2><p class="soft">{caption}</p>{table(["", ""], rows)}'


def _walk(result: SweepResult) -> str:
    walk = result.walk
    rows = [
        [
            f"{_time(fold.test.first)}, {fold.test.num_periods} periods",
            f"{fold.train.num_periods} (and {fold.num_purged} dropped)",
            "none" if fold.setting is None else ", ".join(f"{value:g}" for value in fold.setting),
            "" if fold.in_sample is None else f"{fold.in_sample.sharpe:+.3f}",
            f"{fold.out_of_sample.sharpe:+.3f}",
            signed(fold.out_of_sample.mean_bps, "bp", 3),
        ]
        for fold in walk.folds
    ]
    names = ["test from", "periods trained on", "chosen there", "Sharpe in sample", "out of sample", "net a period"]
    decay = "not known: nothing was earned in sample" if walk.decay is None else f"{walk.decay:.2f}"
    told = (
        f"All tests together: {_score(walk.out_of_sample)}; 95 % interval {bounds(walk.by_student, 'bp', 3)} "
        f"(Student), {bounds(walk.by_bootstrap, 'bp', 3)} (blocks of periods). Out-of-sample over in-sample Sharpe "
        f"ratio: {decay}."
    )
    return f"<h2>Walk-forward</h2><p>{escape(told)}</p>{table(names, rows)}"


def _table(result: SweepResult) -> str:
    names = ["rank", *result.names, "median of neighbours", "Sharpe in sample", "net a period"]
    names += ["Sharpe out of sample", "net a period"]
    if result.final_opened:
        names += ["Sharpe, final", "net a period"]
    names.append("trades")
    rows = []
    for rank, row in enumerate(result.top, start=1):
        cells = [f"{rank}", *(f"{value:g}" for value in row.setting), f"{row.plateau:+.3f}"]
        spans = [row.in_sample, row.out_of_sample, *([row.final] if row.final is not None else [])]
        for told in spans:
            cells += [f"{told.sharpe:+.3f}", signed(told.mean_bps, "bp", 3)]
        rows.append([*cells, f"{row.num_trades:,}"])
    caption = (
        f"Ranked by what was known before the first test: {_periods(result.in_sample)} in sample, "
        f"{_periods(result.out_of_sample)} out of sample, {_periods(result.final)} final; never pooled. "
        "Sharpe ratios are a period's, not annualised. Picking the best of the out-of-sample column would make it one "
        "more sample."
    )
    return f'<h2>Ranked</h2><p class="soft">{escape(caption)}</p>{table(names, rows)}'


def _dots(result: SweepResult) -> list[tuple[Row, str]]:
    dots = [(row, "rest") for row in result.sample] + [(row, "top") for row in result.top]
    return dots if result.chosen is None else [*dots, (result.chosen, "chosen")]


def _scatter(result: SweepResult) -> str:
    dots = [Dot((row.in_sample.sharpe, row.out_of_sample.sharpe), kind) for row, kind in _dots(result)]
    picture = scatter(dots, "In sample against out of sample", "in sample", "out of sample")
    return f"<h2>Does it last?</h2>{figure(picture, _legend(result) + '; on the dashed line nothing decays')}"


def _heat(result: SweepResult, axes: tuple[str, str] | None) -> str:
    if not result.heats:
        return ""
    wanted = [heat for heat in result.heats if axes is not None and {heat.x, heat.y} == set(axes)]
    heat = (wanted or result.heats)[0]
    caption = "median Sharpe ratio in sample over all other settings; pale is near 0, an edge stands in a wide field"
    others = "".join(
        f"<details><summary>{escape(each.x)} and {escape(each.y)}</summary>"
        f"{figure(heat_map(each, f'{each.x} and {each.y}'), caption)}</details>"
        for each in result.heats
        if each is not heat
    )
    return f"<h2>Heat map</h2>{figure(heat_map(heat, f'{heat.x} and {heat.y}'), caption)}{others}"


def _parallel(result: SweepResult) -> str:
    dots = [Dot((*row.setting, row.in_sample.sharpe, row.out_of_sample.sharpe), kind) for row, kind in _dots(result)]
    picture = parallel([*result.names, "in sample", "out of sample"], dots, "Parallel coordinates")
    return f"<h2>Parallel coordinates</h2>{figure(picture, _legend(result))}"


def _legend(result: SweepResult) -> str:
    return (
        f"one line or point a setting: the {len(result.top)} best in sample, the setting that goes forward (thick), "
        f"{len(result.sample)} of the rest by lot (pale)"
    )


def _overfit(result: SweepResult) -> str:
    found = result.overfit
    if found is None:
        return "<h2>Overfitting</h2>" + charts.nothing("Probability of overfitting")
    count = round(1 / _BIN)
    bins = [0] * count
    for value in found.null:
        bins[min(count - 1, int(value / _BIN))] += 1
    picture = histograms.distribution(
        [(k * _BIN, height) for k, height in enumerate(bins)],
        _BIN,
        [
            (f"this sweep {found.pbo:.3f}", found.pbo),
            (f"5 % {found.null_low:.2f}", found.null_low),
            (f"95 % {found.null_high:.2f}", found.null_high),
        ],
        "Probability of overfitting",
        "",
    )
    caption = (
        f"probability of overfitting of {len(found.null)} markets in which every setting is worth the same, all else "
        f"as it was; {found.num_settings:,} settings{_drawn(found.num_settings, found.num_eligible)}, "
        f"{found.num_splits:,} splits of {found.num_blocks} blocks"
    )
    return f"<h2>Overfitting</h2>{figure(picture, caption)}"


def _drawn(taken: int, eligible: int) -> str:
    return "" if taken == eligible else f" drawn by lot of {eligible:,}"


def _said(result: SweepResult) -> list[str]:
    said = list(result.notes)
    if result.superior is not None:
        said.append(
            f"Superior ability: {result.superior.num_draws:,} resamples in blocks of {result.superior.block:.1f} "
            f"periods on average, {result.superior.num_settings:,} settings, statistic {result.superior.statistic:.2f}."
        )
    said.append(
        f"Settings that never traded, and those with fewer than {result.params.min_trades} trades, count as trials, "
        "are worth what they earned to their neighbours, and take no part in the tests."
    )
    said.append(f"Seed {result.seed}; with the same input the result is the same.")
    return said


def _score(told: Score) -> str:
    share = percent(told.num_active / told.num_periods if told.num_periods else None, 0)
    return (
        f"{signed(told.mean_bps, 'bp a period', 3)}, {signed(told.total_bps, 'bp', 1)} in all, Sharpe "
        f"{told.sharpe:+.3f} a period, a result in {share} of {told.num_periods} periods"
    )


def _periods(span: Span) -> str:
    return f"{span.num_periods} periods from {_time(span.first)}"


def _time(ts: int) -> str:
    return f"{datetime.fromtimestamp(ts / NS_PER_S, UTC):%Y-%m-%d %H:%M}"
