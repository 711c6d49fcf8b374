"""The last hours as plain text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from spyhop.reports.day_model import Day, Group, Line, States, Tally
from spyhop.reports.model import Count
from spyhop.reports.text import SIMULATED, bounds, percent, signed

TOP = 5


def summary(day: Day) -> str:
    """Return every group in a terminal's width, one after the other."""
    if not day.groups:
        return f"Nothing was said in the last {day.hours:g} hours.\n"
    return "\n".join(_group(group, day.hours) for group in day.groups)


def title(group: Group, hours: float) -> str:
    """Return what a group is, in one line."""
    number = len(group.sessions)
    return f"{group.mode.upper()}, the last {hours:g} hours: {number} {'session' if number == 1 else 'sessions'}"


def _group(group: Group, hours: float) -> str:
    total = group.total
    lines = [title(group, hours), f"From {group.first} to {group.last} UTC: {', '.join(group.sessions) or 'nothing'}"]
    if group.is_simulated:
        lines.append(f"*** {SIMULATED} ***")
    lines += [f"VERDICT: {total.verdict.headline}", *(f"  - {reason}" for reason in total.verdict.reasons), ""]
    lines += _tally("all strategies", total, group.currency)
    lines += ["", *_tally("LEAD_FOLLOW", group.lead_follow, group.currency)]
    lines.append(f"  {'leader signals':<26}at {group.signals} decisions the leader's rule held")
    lines += _lines("by strategy", group.by_strategy) + _lines("by symbol", group.by_symbol)
    lines += ["", "risk states (share of the time)", *(f"  {one.name:<26}{shares(one)}" for one in group.states)]
    lines += _counts("risk states entered", group.halts)
    lines += [f"Note: {note}" for note in group.notes]
    return "\n".join(lines) + "\n"


def steps(tally: Tally) -> list[tuple[str, str]]:
    """Return the way from triggers to fills as (name, value)."""
    decisions, orders = tally.decisions, tally.orders
    called = ", ".join(f"{name} {count}" for name, count in tally.triggers.items()) or "none"
    refused = sum(each.count for each in decisions.refusals)
    return [
        ("triggers", f"{decisions.num_decisions:,} ({called})"),
        ("intents", f"{decisions.num_intents:,}, {decisions.num_approved:,} approved, {refused:,} refused"),
        ("orders sent", f"{orders.num_orders:,}, {tally.num_filled:,} filled, {orders.num_rejected:,} rejected"),
        ("trades closed", f"{tally.win_rate.trades:,}, {tally.win_rate.wins:,} won after costs"),
    ]


def shares(states: States) -> str:
    """Return how long which state held."""
    return ", ".join(f"{state} {percent(share)}" for state, share in states.shares.items())


def _tally(name: str, tally: Tally, currency: str) -> list[str]:
    money, mean = tally.money, tally.expectancy
    rows = [
        *steps(tally),
        ("gross", signed(money.gross, currency)),
        ("  slippage inside gross", signed(-money.slippage, currency)),
        ("fees", signed(-money.fees, currency)),
        ("funding", signed(-money.funding, currency)),
        ("NET", signed(money.net, currency)),
        ("net a trade", f"{signed(mean.mean_bps, 'bp')} (95 %: {bounds(mean.by_student, 'bp')})"),
    ]
    lines = [name, *(f"  {what:<26}{value}" for what, value in rows)]
    lines += _counts("refused by risk", tally.decisions.refusals, indent="  ")
    lines += _counts("no entry because", tally.decisions.non_entries, indent="  ")
    return lines + _counts("rejected by the venue", tally.orders.rejections, indent="  ")


def _counts(name: str, found: Sequence[Count], indent: str = "") -> list[str]:
    if not found:
        return []
    more = [f"{indent}  and {len(found) - TOP} other reasons"] if len(found) > TOP else []
    said = [
        f"{indent}  {each.count:>7,} {each.what}{f' ({each.example})' if each.example != each.what else ''}"
        for each in found[:TOP]
    ]
    return [f"{indent}{name}", *said, *more]


def _lines(name: str, lines: Sequence[Line]) -> list[str]:
    if not lines:
        return []
    money = f"{'gross':>11}{'fees':>10}{'funding':>9}{'net':>11}"
    return [
        "",
        f"{name:<28}{'intents':>8}{'approved':>9}{'trades':>7}{'won':>5}{money}",
        *(
            f"  {one.name:<26}{one.intents:>8}{one.approved:>9}{one.trades:>7}{one.wins:>5}"
            f"{signed(one.gross):>11}{signed(-one.fees):>10}{signed(-one.funding):>9}{signed(one.net):>11}"
            for one in lines
        ),
    ]
