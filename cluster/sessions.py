"""`spyhop run`, `watch`, `report` and `replay`: plan, run, and say what came of it."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy.typing as npt
from rich.console import Console

from cluster.board import Board
from cluster.commands import Loaded, print_json, stdout
from cluster.language import chosen, words
from cluster.origins import Origin, requested
from cluster.terminal import Meter, event_time, stopping
from cluster.trading import permitted
from cluster.watch import Screen, ShownRecords, Watcher
from spyhop.clock import WallClock
from spyhop.config.settings import Settings
from spyhop.engine.pipeline import Progress
from spyhop.errors import MissingInput, ReplayDiverged, UserError
from spyhop.model.control import Session
from spyhop.model.decisions import Decision
from spyhop.model.entries import Entry
from spyhop.model.rows import Rows
from spyhop.reports import day, day_page, day_text
from spyhop.reports import sessions as reports
from spyhop.reports.text import summary
from spyhop.storage import journal
from spyhop.storage.files import replace_durably
from spyhop.wiring import kernels, nodes, sessions
from spyhop.wiring.plan import SessionPlan, plan_session


class Ran(msgspec.Struct, frozen=True):
    """What a run came to, in short; the report says what it is worth. Money is quote currency."""

    session: str
    folder: str
    is_simulated: bool
    num_events: int
    elapsed_s: float
    num_decisions: int
    num_approved: int
    refusals: dict[str, int]
    num_trades: int
    gross: float
    fees: float
    funding: float
    net: float


def run(
    loaded: Loaded,
    origin: Origin,
    *,
    is_live: bool,
    is_local: bool,
    is_watched: bool,
    has_dashboard: bool,
    address: str | None = None,
) -> Ran:
    """Run a session to its end, or until Ctrl-C has drained it; progress goes to stderr. `address` is a Ray to join."""
    if address and not Path(loaded.settings.session.runs).is_absolute():
        raise UserError("on a Ray that is there --runs must be an absolute path, to a folder that all its nodes share")
    if is_live and is_local:
        raise UserError("--live needs actors that can be restarted; it excludes --local")
    if is_watched and not is_local:
        raise UserError("--watch needs --local: the screen shows what happens in this process")
    if is_live and (origin.lake is not None or origin.is_generated):
        raise UserError("--live trades where events come from: it needs --venues, not a recording")
    if not kernels.are_prepared():
        # before a market is there that would not wait for us
        Console(stderr=True).print("compiling the kernels of this version, once (about a minute)")
        kernels.prepare()
    mode = "live" if is_live else "paper"
    with requested(origin, loaded.settings, mode=mode, runner="local" if is_local else "ray") as request:
        settings = loaded.settings
        if is_live:
            assert request.endpoints is not None
            settings = permitted(loaded, request.endpoints)
        plan = plan_session(settings, request, WallClock())

        def work(show: Callable[[Progress], None]) -> None:
            if is_local:
                _run_local(plan, show, is_watched=is_watched)
                return
            from cluster.launch import run_on_ray

            run_on_ray(plan, show, address=address, dashboard=has_dashboard, on_dashboard=_tell_dashboard)

        return _shown(plan.folder, plan.session, work, is_quiet=is_watched)


def resume(address: str | None) -> Ran:
    """Go on with the session that runs on the Ray at `address`, to its end, as the process that started it would."""
    from cluster.launch import accompany, session_there
    from cluster.rays import joined_ray

    with joined_ray(address or "auto"), stopping() as stop:
        folder, session = session_there()

        def work(show: Callable[[Progress], None]) -> None:
            num_feeds, is_live = len(session.instruments), session.mode == "live"
            accompany(folder, show, WallClock(), stop, num_feeds=num_feeds, is_live=is_live)

        return _shown(folder, session, work)


def _shown(
    folder: Path, session: Session, work: Callable[[Callable[[Progress], None]], None], *, is_quiet: bool = False
) -> Ran:
    last = Progress(0, 0, 0, len(session.instruments))
    with Meter("session " + session.id, WallClock(), is_quiet=is_quiet) as meter:

        def show(progress: Progress) -> None:
            nonlocal last
            last = progress
            rate = progress.num_events / max(meter.elapsed_s, 1e-3)
            said = f"feeds ended  {event_time(progress.ts)}  {progress.num_events:,} events  {rate:,.0f}/s"
            meter.show(progress.num_finished, progress.num_feeds, said)

        work(show)
        return _ran(folder, session, last.num_events, meter.elapsed_s)


def _tell_dashboard(address: str) -> None:
    Console(stderr=True, highlight=False).print(f"Ray dashboard: http://{address}")


def say(ran: Ran, *, as_json: bool) -> None:
    """Print what a run came to."""
    if as_json:
        print_json(ran)
        return
    console = stdout()
    origin = "SIMULATED DATA, " if ran.is_simulated else ""
    console.print(f"session {ran.session}: {origin}{ran.num_events:,} events in {ran.elapsed_s:.1f} s")
    refused = ", ".join(f"{code} {count}" for code, count in sorted(ran.refusals.items())) or "none"
    console.print(f"decisions {ran.num_decisions}, approved {ran.num_approved}, refused: {refused}")
    costs = f"gross {ran.gross:+,.2f}, fees {ran.fees:,.2f}, funding {ran.funding:,.2f}"
    console.print(f"round trips {ran.num_trades}, net {ran.net:+,.2f} USDT ({costs})")
    console.print(f"kept in {ran.folder}; see: spyhop report, spyhop replay latest", style="dim")


def _ran(folder: Path, session: Session, num_events: int, elapsed_s: float) -> Ran:
    entries = journal.read_facts(folder)
    board = Board(session.instruments, is_trading=True, is_simulated=session.is_simulated)
    board.append(entries)
    account = board.account
    return Ran(
        session=session.id,
        folder=str(folder),
        is_simulated=session.is_simulated,
        num_events=num_events,
        elapsed_s=elapsed_s,
        num_decisions=sum(isinstance(entry.message, Decision) for entry in entries),
        num_approved=account.num_approved,
        refusals=dict(account.refusals),
        num_trades=account.num_trades,
        gross=account.gross,
        fees=account.fees,
        funding=account.funding,
        net=account.net,
    )


def _run_local(plan: SessionPlan, show: Callable[[Progress], None], *, is_watched: bool) -> None:
    with stopping() as stop:
        if not is_watched:
            sessions.run_local(plan, show, stop)
            return
        board = Board(plan.session.instruments, is_trading=True, is_simulated=plan.session.is_simulated)
        with _screen(board, plan.settings) as screen:
            sessions.run_local(plan, show, stop, heard_by=lambda keeper: ShownRecords(keeper, board, screen))


def watch(loaded: Loaded, origin: Origin) -> None:
    """Show the board until the feeds end or Ctrl-C; nothing is traded and nothing is kept."""
    settings, clock = loaded.settings, WallClock()
    with (
        tempfile.TemporaryDirectory(prefix="spyhop-watch-") as folder,
        requested(origin, settings, mode="watch") as request,
        stopping() as stop,
    ):
        plan = plan_session(_kept_in(settings, folder), request, clock)
        board = Board(plan.session.instruments, is_trading=False, is_simulated=plan.session.is_simulated)
        pace = sessions.pacing(plan, clock)
        with _screen(board, settings) as screen:

            def wait(ts: int) -> None:
                while (seconds := pace.wait_s(ts, clock.now_ns())) > 0 and not stop():
                    time.sleep(min(seconds, 0.1))
                    screen.refresh()

            def show(rows: Rows, probabilities: npt.NDArray[Any], entries: Sequence[Entry]) -> None:
                board.rows(rows, probabilities)
                board.append(entries)
                screen.refresh()

            feeds = [nodes.feed_node(plan, name) for name in plan.feed_names]
            Watcher(feeds, nodes.decision_node(plan)).run(show, wait, stop)


def replay(loaded: Loaded, session: str, *, as_json: bool) -> None:
    """Replay a session and say that it was reproduced; raise ReplayDiverged with the first difference."""
    folder = journal.find_session(Path(loaded.settings.session.runs), session)
    with Meter(f"replaying {folder.name}", WallClock()) as meter:

        def show(progress: Progress) -> None:
            meter.show(progress.num_finished, progress.num_feeds, f"feeds ended  {progress.num_events:,} events")

        result = sessions.replay(folder, show)
    if as_json:
        print_json(result)
    difference = result.difference
    if difference is not None:
        recorded = f"{difference.entry}, {difference.field} = {difference.recorded}"
        raise ReplayDiverged(difference.index, recorded, difference.replayed)
    if not as_json:
        said = f"session {result.session}: {result.num_entries:,} entries reproduced to the bit"
        stdout().print(f"{said} from {result.num_events:,} events")


def report(loaded: Loaded, session: str, out: Path | None, *, mode: str = "", as_json: bool) -> None:
    """Write a session's report as HTML and JSON, into its own folder unless `out` is given, and print it.

    `latest` is the newest of `mode`, when one is given.
    """
    runs = Path(loaded.settings.session.runs)
    folder = _newest(runs, mode) if mode and session == "latest" else journal.find_session(runs, session)
    made = reports.of_session(folder)
    target = out or folder
    target.mkdir(parents=True, exist_ok=True)
    html, data = reports.write(made, target)
    if as_json:
        print_json(made)
        return
    sys.stdout.write(f"{summary(made)}\nreport: {html} and {data.name} beside it\n")


def report_hours(loaded: Loaded, hours: float, out: Path | None, *, mode: str, as_json: bool) -> None:
    """Write the report of the last hours of all sessions, of one mode if given, to `out` or `runs`, and print it."""
    runs = Path(loaded.settings.session.runs)
    made = day.read_day(runs, hours, WallClock().now_ns(), mode)
    target = out or runs
    target.mkdir(parents=True, exist_ok=True)
    html, data = target / "hours.html", target / "hours.json"
    replace_durably(html, day_page.page(made).encode())
    replace_durably(data, msgspec.json.format(msgspec.json.encode(made)) + b"\n")
    if as_json:
        print_json(made)
        return
    sys.stdout.write(f"{day_text.summary(made)}\nreport: {html} and {data.name} beside it\n")


def _newest(runs: Path, mode: str) -> Path:
    for name in reversed(journal.sessions(runs) if runs.is_dir() else []):
        if journal.read_session(runs / name).mode == mode:
            return runs / name
    raise MissingInput(f"there is no {mode} session in {runs}")


def language(settings: Settings) -> str:
    """Return the language that a person is spoken to in."""
    return chosen(settings.display.lang, os.environ)


def _screen(board: Board, settings: Settings) -> Screen:
    return Screen(board, words(language(settings)), Console(), WallClock(), settings.display.refresh_s)


def _kept_in(settings: Settings, folder: str) -> Settings:
    return msgspec.structs.replace(settings, session=msgspec.structs.replace(settings.session, runs=folder))
