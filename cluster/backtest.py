"""What `spyhop backtest` does: plan or resume, run with progress, write the report and say it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console

from cluster.commands import Loaded, print_json
from cluster.terminal import Meter, event_time, stopping
from spyhop.clock import NS_PER_MINUTE, NS_PER_S, WallClock
from spyhop.engine.pipeline import Progress
from spyhop.engine.streams import END_OF_TIME
from spyhop.errors import UserError
from spyhop.reports import sessions as reports
from spyhop.reports.model import Report
from spyhop.reports.text import duration, summary
from spyhop.storage import journal
from spyhop.wiring import kernels
from spyhop.wiring.backtests import expected_events, plan_backtest, plan_resumed, run_backtest
from spyhop.wiring.plan import SessionPlan

STOPPED = 130
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Backtested(msgspec.Struct, frozen=True, kw_only=True):
    """What a back-test came to; `events_per_s` counts what this process read, `report` is None until it is over."""

    session: str
    folder: str
    is_finished: bool
    event_time: str
    num_events: int
    elapsed_s: float
    events_per_s: float
    report_html: str = ""
    report: Report | None = None


def planned(loaded: Loaded, lake: str, start: str | None, end: str | None) -> SessionPlan:
    """Plan a back-test of a lake between two times, its whole span by default; raise a UserError."""
    first = instant(start, "--from") if start else 0
    last = instant(end, "--to") if end else END_OF_TIME
    if first >= last:
        raise UserError(f"--from {start} is not before --to {end}")
    return plan_backtest(loaded.settings, lake, first, last, WallClock())


def resumed(loaded: Loaded, session: str) -> SessionPlan:
    """Plan to go on with a back-test that was begun; `latest` is the newest session."""
    return plan_resumed(journal.find_session(Path(loaded.settings.session.runs), session))


def run(plan: SessionPlan, checkpoint_minutes: float, out: Path | None) -> Backtested:
    """Run a back-test to its end or to Ctrl-C, with progress on stderr; write its report, to `out` if given."""
    if not kernels.are_prepared():
        Console(stderr=True).print("compiling the kernels of this version, once (about a minute)")
        kernels.prepare()
    total, begun_at = expected_events(plan), -1
    with Meter(f"back-test {plan.session.id}", WallClock()) as meter, stopping() as stop:

        def show(progress: Progress) -> None:
            nonlocal begun_at
            begun_at = progress.num_events if begun_at < 0 else begun_at
            rate = (progress.num_events - begun_at) / max(meter.elapsed_s, 1e-3)
            left = duration(max(0, total - progress.num_events) / rate) if rate else "?"
            meter.show(
                min(progress.num_events, total), total, f"{event_time(progress.ts)}  {rate:,.0f} events/s  {left} left"
            )

        result = run_backtest(plan, show, stop, round(checkpoint_minutes * NS_PER_MINUTE))
        elapsed = meter.elapsed_s
    num_read = result.progress.num_events - max(begun_at, 0)
    done = Backtested(
        session=result.session,
        folder=str(result.folder),
        is_finished=result.is_finished,
        event_time=event_time(result.progress.ts),
        num_events=result.progress.num_events,
        elapsed_s=elapsed,
        events_per_s=num_read / max(elapsed, 1e-3),
    )
    if not result.is_finished:
        return done
    made = reports.of_session(result.folder)
    target = out or result.folder
    target.mkdir(parents=True, exist_ok=True)
    html, _ = reports.write(made, target)
    return msgspec.structs.replace(done, report_html=str(html), report=made)


def say(done: Backtested, *, as_json: bool) -> None:
    """Print what a back-test came to, or how to go on with one that was stopped."""
    if as_json:
        print_json(done)
        return
    if done.report is None:
        sys.stdout.write(
            f"stopped at {done.event_time} after {done.num_events:,} events; go on with: "
            f"spyhop backtest --resume {done.session}\n"
        )
        return
    rate = f"{done.num_events:,} events in {done.elapsed_s:.1f} s ({done.events_per_s:,.0f}/s)"
    sys.stdout.write(f"{summary(done.report)}\n{rate}; report: {done.report_html}\n")


def instant(text: str, flag: str) -> int:
    """Return a UTC date or an ISO time, UTC unless it says otherwise, as nanoseconds; raise a UserError."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"{flag} {text!r}: expected a date or a time such as 2025-12-19 or 2025-12-19T08:30") from None
    past = (at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH
    return (past.days * 86_400 + past.seconds) * NS_PER_S + past.microseconds * 1_000
