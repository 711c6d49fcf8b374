"""The report as one HTML page that needs nothing else: no network, no script; light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from spyhop.model.decisions import CLASSES, STRATEGIES
from spyhop.reports import charts
from spyhop.reports.html import cards, document, figure, notes, table, verdict
from spyhop.reports.model import Count, Quality, Report
from spyhop.reports.text import amount, bounds, counts, duration, p_value, percent, signed

_MOST_REASONS = 12

_CLASS_OF = {strategy: name for name, strategies in CLASSES.items() for strategy in strategies}


def page(report: Report) -> str:
    """Return the whole page."""
    title = f"Spyhop report {report.head.session}"
    sections = [
        _head(report),
        verdict(report.verdict.headline, report.verdict.reasons, has_edge=report.verdict.has_edge),
        _money(report),
        _certainty(report),
        _risk(report),
        _tails(report),
    ]
    sections += [_conduct(report), _symbols(report), _quality(report), _comparison(report), notes(report.notes)]
    return document(title, "".join(sections), is_simulated=report.head.is_simulated)


def _head(report: Report) -> str:
    head = report.head
    span = f"{head.first_event} to {head.last_event} UTC" if head.first_event else "no events"
    return (
        f"<h1>{escape(', '.join(head.symbols))}: {escape(head.mode)} session</h1>"
        f'<p class="soft">{escape(head.session)} · source: {escape(head.source)} · {escape(span)} '
        f"({escape(duration(head.days * 86_400))}) · Spyhop {escape(head.version)}, {escape(head.runner)}</p>"
    )


def _money(report: Report) -> str:
    money, unit = report.money, report.head.currency
    rows = [
        ("price moves, before slippage", money.before_slippage),
        ("slippage against the mid decided at", -money.slippage),
        ("gross", money.gross),
        ("fees", -money.fees),
        ("funding", -money.funding),
        ("NET", money.net),
    ]
    colours = ["line", "cost", "line", "cost", "cost", "gain" if money.net >= 0 else "loss"]
    told = [
        (signed(money.net, unit), f"net of {report.win_rate.trades} trades"),
        (signed(money.gross, unit), "gross"),
        (amount(money.fees, unit), "fees"),
        (amount(money.slippage, unit), "slippage, inside gross"),
        (amount(money.funding, unit), "funding paid"),
        (percent(money.cost_share), "of the result before costs went to costs"),
    ]
    picture = charts.bars([(name, value, signed(value)) for name, value in rows], f"Money in {unit}", colours)
    return f"<h2>Money</h2>{cards(told)}{figure(picture, f'{unit}; closed trades only')}"


def _certainty(report: Report) -> str:
    rate, expected = report.win_rate, report.expectancy
    marks = []
    if rate.rate is not None:
        marks.append(("realised", rate.rate, "line"))
    if rate.break_even is not None:
        marks.append(("break-even p*, planned costs", rate.break_even, "loss"))
    if rate.break_even_observed is not None:
        marks.append(("break-even, costs as paid", rate.break_even_observed, "cost"))
    band = charts.interval(rate.interval.low, rate.interval.high, marks, "Win rate and break-even")
    caption = f"band: 95 % Wilson interval of the win rate, {rate.wins} of {rate.trades} trades won after costs"
    rows = [
        ["win rate after costs", percent(rate.rate), f"{percent(rate.interval.low)} to {percent(rate.interval.high)}"],
        ["break-even win rate p*, planned exits and fees", percent(rate.break_even), ""],
        ["break-even win rate, costs as paid", percent(rate.break_even_observed), ""],
        ["planned take profit / stop", f"{amount(rate.take_profit_bps)} / {amount(rate.stop_loss_bps)} bp", ""],
        ["costs of a round trip, as paid", amount(rate.cost_bps, "bp"), ""],
        ["net result a trade", signed(expected.mean_bps, "bp"), bounds(expected.by_student, "bp")],
        ["the same, by bootstrap", signed(expected.mean_bps, "bp"), bounds(expected.by_bootstrap, "bp")],
        ["median trade", signed(expected.median_bps, "bp"), ""],
        ["net result a trade in R", signed(expected.mean_r, "R", 3), bounds(expected.r_interval, "R", 3)],
        ["profit factor", amount(expected.profit_factor), ""],
        ["trades to tell win rate from p*", amount(rate.trades_needed, digits=0), "one-sided 5 %, power 80 %"],
    ]
    histogram = charts.histogram(report.net_bps, "Net result of trades", "bp")
    return (
        f"<h2>How sure can one be?</h2>{figure(band, caption)}"
        f"{table(['', 'value', '95 % interval'], rows)}"
        f"{figure(histogram, 'net result of each trade, bp of its notional')}"
    )


def _risk(report: Report) -> str:
    risk, holding, unit = report.risk, report.holding, report.head.currency
    picture = charts.steps([(point.ts / 1e9, point.equity) for point in risk.equity], "Equity", "closed trades, time →")
    rows = [
        ["equity at the start", amount(risk.start_equity, unit)],
        [
            "deepest drawdown, closed trades",
            f"{amount(risk.max_drawdown, unit)} ({percent(risk.max_drawdown_frac, 2)})",
        ],
        ["deepest drawdown, open positions at their worst price", percent(risk.with_open_frac, 2)],
        ["worst / best trade", f"{signed(risk.worst_trade)} / {signed(risk.best_trade)} {unit}"],
        ["worst day (UTC)", signed(risk.worst_day, unit)],
        ["share of the gains from the best five trades", percent(risk.top5_share)],
        ["held: shortest, median, longest", _held(report)],
        ["ended by", counts(holding.exits)],
        ["highest leverage, notional / equity", amount(risk.max_leverage, "x")],
        ["highest leverage, notional / margin", amount(risk.max_margin_leverage, "x")],
        ["least distance to liquidation seen", percent(risk.liquidation_distance_frac, 2)],
        ["liquidations", str(risk.num_liquidated)],
        ["annualised Sharpe ratio", amount(risk.sharpe) if risk.sharpe is not None else risk.sharpe_note],
    ]
    return (
        "<h2>Risk</h2>"
        f"{figure(picture, f'equity in {unit} at each closing; shaded: below the peak so far')}"
        f"{table(['', ''], rows)}"
    )


def _tails(report: Report) -> str:
    if not report.tails:
        return ""
    rows = [
        [
            f"{one.symbol} {one.side}",
            f"{one.minutes:,}",
            f"{one.exceedances} of {one.expected:.1f}",
            p_value(one.coverage_p),
            p_value(one.independence_p),
            p_value(one.shortfall_p),
        ]
        if one.expected is not None
        else [f"{one.symbol} {one.side}", f"{one.minutes:,} of {one.minutes_needed} needed: too few to tell", *[""] * 4]
        for one in report.tails
    ]
    first = report.tails[0]
    head = ["held", "minutes", "losses beyond it", "as many (Kupiec)", "apart (Christoffersen)", "as large (ES)"]
    return (
        "<h2>Value at risk, tested</h2>"
        f"<p>The supervisor's {escape(first.method)} value at risk at {percent(first.probability)}, said before each "
        "minute for a unit held through the session. The last three columns are p-values: below 0.05 the measure is "
        "doubtful here. After a gap the whole move counts as that of one minute.</p>"
        f"{table(head, rows)}"
    )


def _held(report: Report) -> str:
    holding = report.holding
    return f"{duration(holding.min_s)}, {duration(holding.median_s)}, {duration(holding.max_s)}"


def _conduct(report: Report) -> str:
    decisions, orders = report.decisions, report.orders
    told = [
        (f"{decisions.num_decisions:,}", "decisions"),
        (f"{decisions.num_intents:,}", "intents"),
        (f"{decisions.num_approved:,}", "approved"),
        (f"{sum(each.count for each in decisions.refusals):,}", "refused by risk"),
        (f"{orders.num_orders:,}", f"orders, {orders.num_rejected} rejected by the venue"),
        (f"{orders.num_fills:,}", f"fills, {percent(orders.maker_share, 0)} as maker"),
    ]
    shares = [(name, decisions.mean_probabilities.get(name, 0.0)) for name in STRATEGIES]
    probabilities = charts.bars(
        [(name, share, f"{percent(share)} · won {decisions.winners.get(name, 0)}") for name, share in shares],
        "Mean probability of each strategy",
        [_CLASS_OF[name] for name in STRATEGIES],
    )
    legend = "".join(f'<span><i style="background: var(--{name})"></i>{name}</span>' for name in CLASSES)
    return (
        f"<h2>Decisions, refusals and orders</h2>{cards(told)}"
        f"<h3>Refused by risk, by code</h3>{_counts(decisions.refusals, 'Refusals by code')}"
        f"<h3>Decisions that wanted no entry, by reason</h3>{_counts(decisions.non_entries, 'Reasons for no entry')}"
        f"<h3>Rejected by the venue</h3>{_counts(orders.rejections, 'Rejections')}"
        f'<h3>Mean probability of the 23 strategies</h3><p class="legend soft">{legend}</p>'
        f"{figure(probabilities, 'over all decisions; a ranking by prior weights, not the chance of a win')}"
    )


def _counts(found: Sequence[Count], label: str) -> str:
    if not found:
        return charts.nothing(label)
    shown = found[:_MOST_REASONS]
    picture = charts.bars(
        [(each.what, float(each.count), f"{each.count:,}") for each in shown], label, ["cost"] * len(shown)
    )
    rows = [[each.what, f"{each.count:,}", each.example] for each in found]
    return f"{figure(picture, '')}{table(['', 'times', 'for example'], rows)}"


def _symbols(report: Report) -> str:
    rows = [
        [
            each.symbol,
            f"{each.trades}",
            f"{each.wins}",
            signed(each.before_slippage),
            signed(-each.slippage),
            signed(-each.fees),
            signed(-each.funding),
            signed(each.net),
        ]
        for each in report.by_symbol
    ]
    names = ["symbol", "trades", "won", "before slippage", "slippage", "fees", "funding", "net"]
    return f"<h2>By symbol</h2>{table(names, rows)}"


def _quality(report: Report) -> str:
    def row(quality: Quality) -> list[str]:
        offset = "not known" if quality.clock_offset_ms is None else f"{quality.clock_offset_ms:+,.1f} ms"
        return [
            quality.symbol + (" (simulated)" if quality.is_simulated else ""),
            f"{quality.num_events:,}",
            f"{quality.num_trades:,}",
            f"{quality.seconds:,}",
            f"{quality.no_book_s:,}",
            f"{quality.stale_book_s:,}",
            f"{quality.stale_trades_s:,}",
            f"{quality.crossed_s:,}",
            f"{quality.gap_s:,}",
            f"{quality.num_out_of_order:,}",
            offset,
        ]

    names = ["symbol", "events", "trades", "seconds", "no book", "stale book", "stale trades", "crossed", "gap"]
    names += ["out of order", "clock offset"]
    rows = [row(quality) for quality in report.quality]
    text = "Seconds of event time at which it was so; the offset is the least receive time minus venue time."
    details = "".join(
        f"<tr><td>{escape(quality.symbol)}</td><td class='wide'>"
        f"{escape(', '.join(f'{name} {value:,.0f}' for name, value in quality.counters.items() if value) or 'none')}"
        "</td></tr>"
        for quality in report.quality
    )
    counters = f"<details><summary>All counters</summary><table>{details}</table></details>" if details else ""
    return f'<h2>Data quality</h2><p class="soft">{text}</p>{table(names, rows)}{counters}'


def _comparison(report: Report) -> str:
    benchmarks = [
        [each.name, signed(each.gross_bps, "bp"), signed(-each.cost_bps, "bp"), signed(each.net_bps, "bp")]
        for each in report.benchmarks
    ]
    under = [[each.name, signed(each.net, report.head.currency)] for each in report.sensitivities]
    return (
        "<h2>Against something simpler</h2>"
        f"{table(['benchmark, same span', 'gross', 'costs', 'net'], benchmarks)}"
        '<p class="soft">In bp of the money put in once; a trade above is in bp of its own notional.</p>'
        f"<h3>The same trades under other costs</h3>{table(['', 'net'], under)}"
    )
