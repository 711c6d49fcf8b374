"""`spyhop backtest`: run the strategies over a lake, and report as of a session."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cluster.flags import SOURCE, File, Json, Leverage, Profile, Runs, Set, Size, Symbols, overrides


def register(app: typer.Typer, study_app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(backtest)


def backtest(
    *,
    lake: Annotated[
        str | None, typer.Option("--lake", metavar="DIR", help="Folder or URI of the lake.", rich_help_panel=SOURCE)
    ] = None,
    symbols: Symbols = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="UTC date or ISO time.", rich_help_panel=SOURCE)
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Before this UTC time.", rich_help_panel=SOURCE)
    ] = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="SESSION", help="Go on with this one, or latest.")
    ] = None,
    checkpoint_minutes: Annotated[
        float, typer.Option(metavar="M", help="Event time between two checkpoints.", min=1.0)
    ] = 60.0,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where report.html and report.json go.")] = None,
    leverage: Leverage = None,
    size: Size = None,
    runs: Runs = None,
    profile: Profile = "default",
    config: File = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Run the strategies over a lake as fast as it goes; what is interrupted or killed can be resumed."""
    from cluster import backtest as body
    from cluster import commands
    from spyhop.errors import UserError

    loaded = commands.settings(
        profile, config, set_ or [], overrides(symbols=symbols, leverage=leverage, size=size, runs=runs)
    )
    if resume is not None:
        said = {"--lake": lake, "--symbols": symbols, "--from": start, "--to": end, "--set": set_}
        if given := [flag for flag, value in said.items() if value]:
            raise UserError(f"--resume goes on with what was begun, so {given[0]} cannot be said again")
        plan = body.resumed(loaded, resume)
    elif lake is None:
        raise UserError("a back-test needs --lake DIR, or --resume SESSION")
    else:
        plan = body.planned(loaded, lake, start, end)
    done = body.run(plan, checkpoint_minutes, out)
    body.say(done, as_json=as_json)
    if not done.is_finished:
        raise typer.Exit(body.STOPPED)
