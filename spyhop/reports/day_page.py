"""The last hours as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from spyhop.reports import charts
from spyhop.reports.day_model import Day, Group, Line, Tally
from spyhop.reports.day_text import shares, steps, title
from spyhop.reports.html import cards, document, figure, table, verdict
from spyhop.reports.model import Count, Money
from spyhop.reports.text import SIMULATED, amount, bounds, percent, signed


def page(day: Day) -> str:
    """Return the whole page; a group of simulated data says so at its head, and all of them at the top."""
    body = "".join(_group(group, day.hours) for group in day.groups)
    body = body or f"<p>Nothing was said in the last {day.hours:g} hours.</p>"
    is_simulated = bool(day.groups) and all(group.is_simulated for group in day.groups)
    head = f"<h1>The last {day.hours:g} hours</h1><p class='soft'>Modes are never added up.</p>"
    return document(f"Spyhop: the last {day.hours:g} hours", head + body, is_simulated=is_simulated)


def _group(group: Group, hours: float) -> str:
    told = group.total.verdict
    notes = "".join(f"<li>{escape(note)}</li>" for note in group.notes)
    simulated = f"<p><strong>{escape(SIMULATED)}</strong></p>" if group.is_simulated else ""
    states = [[one.name, amount(one.seconds, "s", 0), shares(one)] for one in group.states]
    return (
        f"<section><h1>{escape(title(group, hours))}</h1>{simulated}"
        f'<p class="soft">{escape(group.first)} to {escape(group.last)} UTC · {escape(", ".join(group.sessions))}</p>'
        f"{verdict(told.headline, told.reasons, has_edge=told.has_edge)}"
        f"<h2>All strategies</h2>{_tally(group.total, group.currency)}"
        f"<h2>LEAD_FOLLOW</h2><p>The leader's rule held at {group.signals:,} decisions.</p>"
        f"{_tally(group.lead_follow, group.currency)}"
        f"<h2>By strategy</h2>{_lines(group.by_strategy)}<h2>By symbol</h2>{_lines(group.by_symbol)}"
        f"<h2>Risk states</h2>{table(['instrument', 'observed', 'share of the time'], states)}"
        f"{_counts(group.halts, 'Risk states entered')}"
        f"{f'<h2>Notes</h2><ul>{notes}</ul>' if notes else ''}</section>"
    )


def _tally(tally: Tally, currency: str) -> str:
    rate, mean = tally.win_rate, tally.expectancy
    certain = [
        ["net a trade", signed(mean.mean_bps, "bp"), bounds(mean.by_student, "bp")],
        ["win rate after costs", percent(rate.rate), f"{percent(rate.interval.low)} to {percent(rate.interval.high)}"],
        ["break-even win rate, costs as paid", percent(rate.break_even_observed), ""],
    ]
    return (
        f"{cards([(value, name) for name, value in steps(tally)])}{_money(tally.money, currency)}"
        f"{table(['', 'value', '95 % interval'], certain)}"
        f"<h3>Refused by risk</h3>{_counts(tally.decisions.refusals, 'Refusals')}"
        f"<h3>No entry because</h3>{_counts(tally.decisions.non_entries, 'Reasons for no entry')}"
        f"<h3>Rejected by the venue</h3>{_counts(tally.orders.rejections, 'Rejections')}"
    )


def _money(money: Money, currency: str) -> str:
    rows = [
        ("before slippage", money.before_slippage, "line"),
        ("slippage", -money.slippage, "cost"),
        ("gross", money.gross, "line"),
        ("fees", -money.fees, "cost"),
        ("funding", -money.funding, "cost"),
        ("NET", money.net, "gain" if money.net >= 0 else "loss"),
    ]
    told = [(name, value, signed(value)) for name, value, _ in rows]
    picture = charts.bars(told, f"Money in {currency}", [colour for *_, colour in rows])
    return figure(picture, f"{currency}; trades that closed in the window")


def _counts(found: Sequence[Count], label: str) -> str:
    if not found:
        return charts.nothing(label)
    return table(["", "times", "for example"], [[each.what, f"{each.count:,}", each.example] for each in found])


def _lines(lines: Sequence[Line]) -> str:
    names = [
        "",
        "intents",
        "approved",
        "trades",
        "won",
        "before slippage",
        "slippage",
        "gross",
        "fees",
        "funding",
        "net",
    ]
    rows = [
        [
            one.name,
            f"{one.intents:,}",
            f"{one.approved:,}",
            f"{one.trades:,}",
            f"{one.wins:,}",
            signed(one.before_slippage),
            signed(-one.slippage),
            signed(one.gross),
            signed(-one.fees),
            signed(-one.funding),
            signed(one.net),
        ]
        for one in lines
    ]
    return table(names, rows)
