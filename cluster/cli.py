"""The command `spyhop`: reads the command line and turns what a person did wrong into one sentence.

Nothing heavy is imported here: the bodies are in `cluster.commands`, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spyhop.errors import NotAvailable, SpyhopError, UserError

if TYPE_CHECKING:
    from cluster.origins import Origin

app = typer.Typer(
    name="spyhop",
    help="Watches whales on crypto derivatives and trades what follows; every decision can be replayed to the bit.",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
data_app = typer.Typer(help="Bring recordings into a lake, list and verify what it holds.")
app.add_typer(data_app, name="data")

INTERRUPTED = 130

SETTINGS = "Settings"
SOURCE = "Where events come from"
SEEDS = "Trading"

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one setting; may be repeated.", rich_help_panel=SETTINGS),
]
File = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings file; ./spyhop.toml if there.", rich_help_panel=SETTINGS),
]
Profile = Annotated[str, typer.Option(metavar="NAME", help="Shipped profile to begin with.", rich_help_panel=SETTINGS)]
Runs = Annotated[
    str | None, typer.Option(metavar="DIR", help="Folder of sessions, ./runs by default.", rich_help_panel=SETTINGS)
]
Lang = Annotated[
    str | None, typer.Option(metavar="LANG", help="en, zh-TW or zh-CN; by locale.", rich_help_panel=SETTINGS)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text.")]
Symbols = Annotated[
    str | None, typer.Option(metavar="A,B", help="Symbols, separated by commas.", rich_help_panel=SOURCE)
]
Replay = Annotated[
    str | None,
    typer.Option("--replay", metavar="LAKE", help="Take events from this lake.", rich_help_panel=SOURCE),
]
Generate = Annotated[
    bool,
    typer.Option("--generate", help="Take events from the generative market, without sockets.", rich_help_panel=SOURCE),
]
Venues = Annotated[
    str | None,
    typer.Option(
        metavar="WHICH",
        help="simulator (default: embedded, no keys, no internet), live, or a file with a simulator's ready line.",
        rich_help_panel=SOURCE,
    ),
]
Speed = Annotated[
    str | None,
    typer.Option(metavar="N", help="Event time over wall time; 0 is as fast as it goes.", rich_help_panel=SOURCE),
]
Seed = Annotated[str | None, typer.Option(metavar="N", help="What chance starts from.", rich_help_panel=SOURCE)]
Hours = Annotated[str | None, typer.Option(metavar="H", help="Hours of event time, 1.0.", rich_help_panel=SEEDS)]
Leverage = Annotated[str | None, typer.Option(metavar="X", help="Highest leverage, 100.", rich_help_panel=SEEDS)]
Size = Annotated[str | None, typer.Option(metavar="USDT", help="Margin of one trade, 100.", rich_help_panel=SEEDS)]
Interval = Annotated[str | None, typer.Option(metavar="S", help="Seconds between analyses, 30.", rich_help_panel=SEEDS)]
Paper = Annotated[bool, typer.Option("--paper", help="Simulated fills (default).", rich_help_panel=SEEDS)]
Live = Annotated[bool, typer.Option("--live", help="Real orders; comes with a later version.", rich_help_panel=SEEDS)]
Lake = Annotated[str, typer.Option("--lake", metavar="DIR", help="Folder or URI of the lake.")]
SessionName = Annotated[str, typer.Argument(metavar="[SESSION]", help="Id of a session, or latest.")]


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
    runs: Runs = None,
    profile: Profile = "default",
    config: File = None,
    set_: Set = None,
    lang: Lang = None,
    as_json: Json = False,
) -> None:
    """Run a paper session: watch, decide, check the risk, trade against the simulated venue."""
    _refuse_live(live, paper)
    given = _overrides(
        symbols=symbols, speed=speed, seed=seed, hours=hours, leverage=leverage, size=size, interval=interval,
        runs=runs, lang=lang,
    )  # fmt: skip
    from cluster import commands

    loaded = commands.settings(profile, config, set_ or [], given)
    from cluster import sessions

    if report:
        sessions.report(loaded, "latest", None, as_json=as_json)
        return
    ran = sessions.run(
        loaded, _origin(replay, generate, venues), is_local=local, is_watched=watch, has_dashboard=dashboard
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
    given = _overrides(
        symbols=symbols, speed=speed, seed=seed, hours=hours, interval=interval, lang=lang
    )  # fmt: skip
    from cluster import commands, sessions

    sessions.watch(commands.settings(profile, config, set_ or [], given), _origin(replay, generate, venues))


@app.command()
def report(
    session: SessionName = "latest",
    *,
    paper: Paper = False,
    live: Live = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where report.html and report.json go.")] = None,
    runs: Runs = None,
    profile: Profile = "default",
    config: File = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Say what a session earned after fees, slippage and funding, and whether that shows an edge."""
    _refuse_live(live, paper)
    from cluster import commands, sessions

    loaded = commands.settings(profile, config, set_ or [], _overrides(runs=runs))
    sessions.report(loaded, session, out, as_json=as_json)


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

    loaded = commands.settings(profile, config, set_ or [], _overrides(runs=runs))
    sessions.replay(loaded, session, as_json=as_json)


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


@data_app.command("import")
def data_import(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings, of any format that is known.")],
    lake: Lake,
    *,
    as_json: Json = False,
) -> None:
    """Bring recordings into a lake; what cannot be read is set aside with file, line and reason."""
    from cluster import lakes

    lakes.import_data(files, lake, as_json=as_json)


@data_app.command("ls")
def data_ls(lake: Lake, *, as_json: Json = False) -> None:
    """List what a lake holds."""
    from cluster import lakes

    lakes.list_lake(lake, as_json=as_json)


@data_app.command("verify")
def data_verify(lake: Lake, *, as_json: Json = False) -> None:
    """Look for gaps, duplicates, disorder, crossed books, sequence breaks and clock offsets in a lake."""
    from cluster import lakes

    lakes.verify_lake(lake, as_json=as_json)


@data_app.command("record")
def data_record(
    *,
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder of the recording; its lake is DIR/lake.")],
    venues: Venues = None,
    symbols: Symbols = None,
    seconds: Annotated[float, typer.Option(metavar="N", min=0, help="How long; 0 is until Ctrl-C.")] = 0.0,
    raw: Annotated[bool, typer.Option("--raw/--no-raw", help="Keep the frames as received, too.")] = True,
    profile: Profile = "default",
    config: File = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Record what venues send into a lake; a killed recording goes on, its gap marked."""
    from cluster import commands, recording

    loaded = commands.settings(profile, config, set_ or [], _overrides(symbols=symbols))
    recording.record(loaded, venues or "simulator", out, seconds=seconds, is_raw=raw, as_json=as_json)


@app.command("venue-sim")
def venue_sim(
    *,
    port: Annotated[int, typer.Option(metavar="N", help="First of three ports; 0 is any.")] = 0,
    lake: Annotated[str | None, typer.Option(metavar="DIR", help="Publish this lake.", rich_help_panel=SOURCE)] = None,
    generate: Annotated[
        bool, typer.Option("--generate", help="Make the market up (default).", rich_help_panel=SOURCE)
    ] = False,
    symbols: Symbols = None,
    speed: Annotated[float, typer.Option(metavar="X", help="Its time over ours.", rich_help_panel=SOURCE)] = 1.0,
    seed: Annotated[int, typer.Option(metavar="N", help="What chance starts from.", rich_help_panel=SOURCE)] = 20251128,
    faults: Annotated[Path | None, typer.Option(metavar="FILE", help="What goes wrong, and when.")] = None,
    with_parent: Annotated[bool, typer.Option("--with-parent", help="Leave when standard input ends.")] = False,
) -> None:
    """Serve Binance USDT-M, Binance spot and dYdX v4 on this machine; prints one line of JSON when ready."""
    from cluster import simulating

    if lake is not None and generate:
        raise UserError("--lake and --generate exclude each other: the market is one of them")
    names = tuple((symbols or "").replace(" ", "").split(",")) if symbols else ()
    raise typer.Exit(
        simulating.serve(
            port=port, lake=lake, symbols=names, speed=speed, seed=seed, faults=faults, is_with_parent=with_parent
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


def _refuse_live(live: bool, paper: bool) -> None:
    if live and paper:
        raise UserError("--paper and --live exclude each other")
    if live:
        raise NotAvailable("live trading comes with a later version of Spyhop; use --paper")


def _origin(replay: str | None, generate: bool, venues: str | None) -> Origin:
    from cluster.origins import Origin

    return Origin.of(replay, venues, generate=generate)


# the flags of the command line that set a setting, under the name that the settings know
_FLAGS = {
    "symbols": "session.symbols",
    "speed": "session.speed",
    "seed": "session.seed",
    "hours": "session.hours",
    "runs": "session.runs",
    "lang": "display.lang",
    "leverage": "leverage",
    "size": "position_size_usdt",
    "interval": "analysis_interval_sec",
}


def _overrides(**given: str | None) -> list[tuple[str, str, str]]:
    return [(f"--{flag}", _FLAGS[flag], text) for flag, text in given.items() if text is not None]


if __name__ == "__main__":
    main()
