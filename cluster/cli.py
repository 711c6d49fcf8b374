"""The command `spyhop`: reads the command line and turns what a person did wrong into one sentence.

Nothing heavy is imported here: the bodies are in `cluster.commands`, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster import backtest_cli, cluster_cli, conduct_cli, lead_lag_cli, preflight_cli, status_cli, sweep_cli
from cluster.data_cli import data_app
from cluster.flags import (
    SOURCE,
    Address,
    File,
    Generate,
    Hours,
    Interval,
    Json,
    Lang,
    Leverage,
    Live,
    Paper,
    Profile,
    Replay,
    Runs,
    Seed,
    SessionName,
    Set,
    Size,
    Speed,
    Symbols,
    Venues,
    overrides,
)
from cluster.studies_cli import study_app
from spyhop.errors import SpyhopError, UserError

if TYPE_CHECKING:
    from cluster.origins import Origin

app = typer.Typer(
    name="spyhop",
    help="Watches whales on crypto derivatives and trades what follows; every decision can be replayed to the bit.",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(data_app, name="data")
app.add_typer(study_app, name="study")
for _more in (backtest_cli, cluster_cli, conduct_cli, lead_lag_cli, preflight_cli, status_cli, sweep_cli):
    _more.register(app, study_app)

INTERRUPTED = 130


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Show the help when no command is given."""
    if version:
        import spyhop

        typer.echo(f"spyhop {spyhop.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def run(
    *,
    replay: Replay = None,
    generate: Generate = False,
    venues: Venues = None,
    symbols: Symbols = None,
    speed: Speed = None,
    seed: Seed = None,
    hours: Hours = None,
    leverage: Leverage = None,
    size: Size = None,
    interval: Interval = None,
    paper: Paper = False,
    live: Live = False,
    report: Annotated[bool, typer.Option("--report", help="Show the report of the newest session instead.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show the dashboard while it runs (with --local).")] = False,
    local: Annotated[bool, typer.Option("--local", help="One process, without Ray.")] = False,
    dashboard: Annotated[bool, typer.Option("--dashboard", help="Start the Ray dashboard too.")] = False,
    address: Address = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the session that runs at --address already.")
    ] = False,
    runs: Runs = None,
    profile: Profile = "default",
    config: File = None,
    set_: Set = None,
    lang: Lang = None,
    as_json: Json = False,
) -> None:
    """Run a session: watch, decide, check the risk, trade; on paper unless --live is said."""
    _refuse_both(live, paper)
    given = overrides(
        symbols=symbols, speed=speed, seed=seed, hours=hours, leverage=leverage, size=size, interval=interval,
        runs=runs, lang=lang,
    )  # fmt: skip
    from cluster import commands

    loaded = commands.settings(profile, config, set_ or [], given)
    from cluster import sessions

    if report:
        sessions.report(loaded, "latest", None, mode="live" if live else "", as_json=as_json)
        return
    if resume:
        sessions.say(sessions.resume(address), as_json=as_json)
        return
    ran = sessions.run(
        loaded,
        _origin(replay, generate, venues),
        is_live=live,
        is_local=local,
        is_watched=watch,
        has_dashboard=dashboard,
        address=None if local else address,
    )
    sessions.say(ran, as_json=as_json)


@app.command()
def watch(
    *,
    replay: Replay = None,
    generate: Generate = False,
    venues: Venues = None,
    symbols: Symbols = None,
    speed: Speed = "1",
    seed: Seed = None,
    hours: Hours = None,
    interval: Interval = None,
    profile: Profile = "default",
    config: File = None,
    set_: Set = None,
    lang: Lang = None,
) -> None:
    """Show the detectors and the 23 probabilities in colour; nothing is traded."""
    given = overrides(
        symbols=symbols, speed=speed, seed=seed, hours=hours, interval=interval, lang=lang
    )  # fmt: skip
    from cluster import commands, sessions

    sessions.watch(commands.settings(profile, config, set_ or [], given), _origin(replay, generate, venues))


@app.command()
def report(
    session: SessionName = "latest",
    *,
    hours: Annotated[
        float | None, typer.Option(metavar="H", help="Of all sessions the last hours, modes apart.", min=0.01)
    ] = None,
    paper: Paper = False,
    live: Live = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the HTML and the JSON go.")] = None,
    runs: Runs = None,
    profile: Profile = "default",
    config: File = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Say what a session, or the last hours, earned after all costs, and whether that shows an edge."""
    _refuse_both(live, paper)
    from cluster import commands, sessions

    loaded = commands.settings(profile, config, set_ or [], overrides(runs=runs))
    if hours is not None:
        if session != "latest":
            raise UserError(f"--hours is about all sessions, so {session} cannot be asked for besides")
        sessions.report_hours(loaded, hours, out, mode="live" if live else "paper" if paper else "", as_json=as_json)
        return
    sessions.report(loaded, session, out, mode="live" if live else "", as_json=as_json)


@app.command()
def replay(
    session: SessionName = "latest",
    *,
    runs: Runs = None,
    profile: Profile = "default",
    config: File = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Run a session's tape again and compare every decision, verdict, order and fill to the bit."""
    from cluster import commands, sessions

    loaded = commands.settings(profile, config, set_ or [], overrides(runs=runs))
    sessions.replay(loaded, session, as_json=as_json)


@app.command()
def doctor(
    *,
    venues: Venues = None,
    symbols: Symbols = None,
    leverage: Leverage = None,
    size: Size = None,
    profile: Profile = "default",
    config: File = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Examine the accounts that would trade live: keys, clock, money, leverage, foreign orders; changes nothing."""
    given = overrides(symbols=symbols, leverage=leverage, size=size)
    from cluster import commands, trading

    loaded = commands.settings(profile, config, set_ or [], given)
    trading.leave(trading.doctor(loaded, venues or "live", as_json=as_json))


@app.command()
def kill(
    *,
    venues: Venues = None,
    symbols: Symbols = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="What the records shall say.")] = "by the operator",
    lift: Annotated[bool, typer.Option("--lift", help="Permit entries again, nothing else.")] = False,
    runs: Runs = None,
    profile: Profile = "default",
    config: File = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Cancel every order, close every position, ask the venues until all is flat; works with everything else dead."""
    given = overrides(symbols=symbols, runs=runs)
    from cluster import commands, trading

    loaded = commands.settings(profile, config, set_ or [], given)
    if lift:
        trading.lift(loaded)
    else:
        trading.leave(trading.kill(loaded, venues, reason, as_json=as_json))


@app.command("halts")
def show_halts(
    session: SessionName = "latest",
    number: Annotated[int, typer.Argument(metavar="[N]", help="Explain the N-th.", min=0)] = 0,
    *,
    runs: Runs = None,
    profile: Profile = "default",
    config: File = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """List a session's halts, or explain one: mid deviation, slippage or age, with numbers and thresholds."""
    from cluster import commands, trading

    trading.show_halts(
        commands.settings(profile, config, set_ or [], overrides(runs=runs)), session, number, as_json=as_json
    )


@app.command()
def export(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go.")] = Path("export"),
    *,
    live: Live = False,
    runs: Runs = None,
    profile: Profile = "default",
    config: File = None,
    set_: Set = None,
) -> None:
    """Write risk_state.json and pnl.csv from the ledger, of paper sessions or of live ones."""
    from cluster import commands, trading

    loaded = commands.settings(profile, config, set_ or [], overrides(runs=runs))
    trading.export(loaded, out, "live" if live else "paper")


@app.command()
def config(
    *,
    profile: Profile = "default",
    config: File = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Print every setting in force, its value and where it came from."""
    from cluster import commands

    commands.show_settings(commands.settings(profile, config, set_ or [], []), as_json=as_json)


@app.command("venue-sim")
def venue_sim(
    *,
    port: Annotated[int, typer.Option(metavar="N", help="First of three ports; 0 is any.")] = 0,
    host: Annotated[
        str, typer.Option(metavar="IP", help="Address of this machine; anybody who reaches it can use it.")
    ] = "127.0.0.1",
    lake: Annotated[str | None, typer.Option(metavar="DIR", help="Publish this lake.", rich_help_panel=SOURCE)] = None,
    generate: Annotated[
        bool, typer.Option("--generate", help="Make the market up (default).", rich_help_panel=SOURCE)
    ] = False,
    symbols: Symbols = None,
    speed: Annotated[float, typer.Option(metavar="X", help="Its time over ours.", rich_help_panel=SOURCE)] = 1.0,
    seed: Annotated[int, typer.Option(metavar="N", help="What chance starts from.", rich_help_panel=SOURCE)] = 20251128,
    faults: Annotated[Path | None, typer.Option(metavar="FILE", help="What goes wrong, and when.")] = None,
    lag_ms: Annotated[
        float | None, typer.Option(metavar="MS", help="How far dYdX is behind.", rich_help_panel=SOURCE)
    ] = None,
    calm: Annotated[
        bool, typer.Option("--calm", help="No whales: made-up prices are a random walk.", rich_help_panel=SOURCE)
    ] = False,
    with_parent: Annotated[bool, typer.Option("--with-parent", help="Leave when standard input ends.")] = False,
) -> None:
    """Serve Binance USDT-M, Binance spot and dYdX v4 on this machine; prints one line of JSON when ready."""
    from cluster import simulating

    if lake is not None and generate:
        raise UserError("--lake and --generate exclude each other: the market is one of them")
    names = tuple((symbols or "").replace(" ", "").split(",")) if symbols else ()
    raise typer.Exit(
        simulating.serve(
            port=port,
            host=host,
            lake=lake,
            symbols=names,
            speed=speed,
            seed=seed,
            faults=faults,
            is_with_parent=with_parent,
            lag_ms=lag_ms,
            is_calm=calm,
        )
    )


def main() -> None:
    """Run the command line of this process."""
    sys.exit(exit_code(sys.argv[1:]))


def exit_code(arguments: Sequence[str]) -> int:
    """Run `arguments` and return the exit code: 0, 1 for a failure, 2 for a mistake of the person who typed."""
    try:
        code = app(args=list(arguments), prog_name="spyhop", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return _said("interrupted", INTERRUPTED)
    except UserError as error:
        return _said(str(error), 2)
    except SpyhopError as error:
        return _said(str(error), 1)
    except BrokenPipeError:
        # who read us has left; leave stdout alone so that the interpreter does not complain at its end
        sys.stdout = None
        return 0
    except OSError as error:
        return _said(f"{error.filename or 'the system'}: {error.strerror or error}", 2)
    except Exception as error:
        # what typer finds wrong with a command line carries its own sentence; anything else is a bug
        if not hasattr(error, "format_message"):
            raise
        return _said(f"{error.format_message().strip().rstrip('.')} (see spyhop --help)", 2)
    if code == INTERRUPTED:
        return _said("interrupted", INTERRUPTED)
    return code if isinstance(code, int) else 0


def _said(sentence: str, code: int) -> int:
    typer.echo(f"spyhop: {' '.join(sentence.split())}", err=True)
    return code


def _refuse_both(live: bool, paper: bool) -> None:
    if live and paper:
        raise UserError("--paper and --live exclude each other")


def _origin(replay: str | None, generate: bool, venues: str | None) -> Origin:
    from cluster.origins import Origin

    return Origin.of(replay, venues, generate=generate)


if __name__ == "__main__":
    main()
