"""Numbers as words, the same in terminal and page, and the report as plain text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from spyhop.reports.model import Count, Interval, Report

UNKNOWN = "not known"
SIMULATED = "SIMULATED DATA: no venue ever said these events"
_WIDTH = 78


def amount(value: float | None, unit: str = "", digits: int = 2) -> str:
    """Return a number with thousands apart and its unit, or "not known"."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}{' ' if unit else ''}{unit}"


def signed(value: float | None, unit: str = "", digits: int = 2) -> str:
    """Return a number that always bears its sign."""
    if value is None:
        return UNKNOWN
    shown = round(value, digits) + 0.0  # a minus in front of nothing would be read as a cost
    return f"{shown:+,.{digits}f}{' ' if unit else ''}{unit}"


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share in percent."""
    return UNKNOWN if share is None else f"{100 * share:.{digits}f} %"


def p_value(value: float | None) -> str:
    """Return a p-value of a thousand draws."""
    return UNKNOWN if value is None else f"{value:.3f}"


def bounds(interval: Interval | None, unit: str, digits: int = 2) -> str:
    """Return an interval as "low to high"."""
    return UNKNOWN if interval is None else f"{interval.low:+.{digits}f} to {interval.high:+.{digits}f} {unit}"


def duration(seconds: float | None) -> str:
    """Return a time as a person says it."""
    if seconds is None:
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def counts(found: dict[str, int]) -> str:
    """Return how often each thing was, most often first."""
    total = sum(found.values())
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count} ({percent(count / total, 0)})" for name, count in ordered) or "none"


def summary(report: Report) -> str:
    """Return the report in a terminal's width, the verdict first."""
    head, money, rate, expected = report.head, report.money, report.win_rate, report.expectancy
    lines = [f"Session {head.session}: {head.mode}, {', '.join(head.symbols)}, {head.runner}", f"Source: {head.source}"]
    if head.is_simulated:
        lines = ["*" * _WIDTH, f"*** {SIMULATED} ***".center(_WIDTH), "*" * _WIDTH, *lines]
    span = (
        f"{head.first_event} to {head.last_event} UTC ({duration(head.days * 86_400)})" if head.first_event else "none"
    )
    lines += [f"Events: {span}", "", f"VERDICT: {report.verdict.headline}"]
    lines += [f"  - {reason}" for reason in report.verdict.reasons]
    lines += ["", f"Money ({head.currency}), {rate.trades} closed trades, after all costs:"]
    lines += _columns(
        [
            ("before slippage", signed(money.before_slippage)),
            ("slippage", signed(-money.slippage)),
            ("gross", signed(money.gross)),
            ("fees", signed(-money.fees)),
            ("funding", signed(-money.funding)),
            ("NET", signed(money.net)),
            ("costs / result before costs", percent(money.cost_share)),
        ]
    )
    lines += ["", "How sure:"]
    lines += _columns(
        [
            ("win rate", f"{percent(rate.rate)} of {rate.trades} (95 %: {_shares(rate.interval)})"),
            ("break-even win rate", f"{percent(rate.break_even)} planned, {percent(rate.break_even_observed)} as paid"),
            ("net a trade", f"{signed(expected.mean_bps, 'bp')} (95 %: {bounds(expected.by_student, 'bp')})"),
            ("net in R", f"{signed(expected.mean_r, 'R', 3)} (95 %: {bounds(expected.r_interval, 'R', 3)})"),
            ("deepest drawdown", f"{amount(report.risk.max_drawdown)} ({percent(report.risk.max_drawdown_frac, 2)})"),
            ("held", f"median {duration(report.holding.median_s)}; ends: {counts(report.holding.exits)}"),
        ]
    )
    decisions = report.decisions
    lines += [
        "",
        f"Decisions {decisions.num_decisions}, intents {decisions.num_intents}, approved {decisions.num_approved}, "
        f"orders {report.orders.num_orders}, fills {report.orders.num_fills}",
        *_listed("Refused by risk", decisions.refusals),
        *_listed("No entry because", decisions.non_entries),
        *_listed("Rejected by the venue", report.orders.rejections),
    ]
    for quality in report.quality:
        lines.append(
            f"{quality.symbol}: {quality.num_events:,} events, {quality.gap_s} s with gaps, "
            f"{quality.stale_book_s} s stale, {quality.crossed_s} s crossed of {quality.seconds:,} s"
        )
    lines += [f"Note: {note}" for note in report.notes]
    return "\n".join(lines) + "\n"


def _columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    return [f"  {name:<28}{value}" for name, value in rows]


def _listed(title: str, found: Sequence[Count], most: int = 5) -> list[str]:
    if not found:
        return []
    more = [f"  and {len(found) - most} other reasons"] if len(found) > most else []
    return [f"{title}:", *(f"  {each.count:>7,} {each.what}" for each in found[:most]), *more]


def _shares(interval: Interval) -> str:
    return f"{percent(interval.low)} to {percent(interval.high)}"
