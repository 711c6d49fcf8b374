"""What may be concluded from a session: nothing, unless every test says otherwise."""

from __future__ import annotations

from spyhop.reports.model import Expectancy, Head, Interval, Verdict, WinRate

MIN_TRADES = 30
"""Fewer say nothing, whatever their interval: Student's and the bootstrap's both lean on sums being normal."""

NO_EDGE = "no demonstrated edge"
TOO_FEW = "not enough trades to tell"
SIMULATED_GAIN = "the gain was made on simulated data"


def judge(head: Head, rate: WinRate, expected: Expectancy) -> Verdict:
    """Return the verdict; the default is "no demonstrated edge"."""
    reasons: list[str] = []
    intervals = [interval for interval in (expected.by_student, expected.by_bootstrap) if interval is not None]
    if rate.trades == 0:
        return Verdict(
            has_edge=False,
            headline=f"{NO_EDGE}: no trade was closed",
            reasons=["Without trades there is nothing to judge.", *_caveats(head)],
        )
    reasons.append(_said_of_mean(rate.trades, expected))
    if rate.rate is not None and rate.break_even is not None:
        reasons.append(_said_of_rate(rate))
    is_few = rate.trades < MIN_TRADES
    if is_few:
        count = "1 trade is" if rate.trades == 1 else f"{rate.trades} trades are"
        reasons.append(f"{count} fewer than the {MIN_TRADES} that an interval of a mean asks for.")
    is_above = bool(intervals) and all(interval.low > 0.0 for interval in intervals)
    is_below = bool(intervals) and all(interval.high < 0.0 for interval in intervals)
    reasons += _caveats(head)
    if is_few:
        return Verdict(has_edge=False, headline=f"{NO_EDGE}: {TOO_FEW}", reasons=reasons)
    if is_below:
        return Verdict(has_edge=False, headline=f"{NO_EDGE}: these trades lose after costs", reasons=reasons)
    if not is_above:
        return Verdict(has_edge=False, headline=f"{NO_EDGE}: the interval holds zero", reasons=reasons)
    if head.is_simulated:
        return Verdict(has_edge=False, headline=f"{NO_EDGE}: {SIMULATED_GAIN}", reasons=reasons)
    reasons.append(
        "One sample, looked at after the fact: it becomes evidence when a period that nobody saw repeats it."
    )
    return Verdict(has_edge=True, headline="positive after costs in this sample", reasons=reasons)


def _said_of_mean(trades: int, expected: Expectancy) -> str:
    mean = 0.0 if expected.mean_bps is None else expected.mean_bps
    text = f"Mean net result {mean:+.2f} bp of notional over {trades} {'trade' if trades == 1 else 'trades'}"
    if expected.by_student is None:
        return f"{text}; a single trade has no interval."
    text += f"; 95 % interval {_bounds(expected.by_student)} (Student)"
    return f"{text} and {_bounds(expected.by_bootstrap)} (bootstrap)." if expected.by_bootstrap else f"{text}."


def _said_of_rate(rate: WinRate) -> str:
    text = (
        f"Won {rate.wins} of {rate.trades} after costs (95 % interval {100 * rate.interval.low:.1f} to "
        f"{100 * rate.interval.high:.1f} %); break-even needs {100 * (rate.break_even or 0.0):.1f} %."
    )
    if rate.trades_needed is not None and rate.trades_needed > rate.trades:
        text += f" Were this the true rate, about {rate.trades_needed:,} trades would tell the two apart."
    return text


def _caveats(head: Head) -> list[str]:
    if not head.is_simulated:
        return []
    return ["The market was simulated; these numbers say that the machinery works and nothing about any real market."]


def _bounds(interval: Interval) -> str:
    return f"{interval.low:+.2f} to {interval.high:+.2f}"
