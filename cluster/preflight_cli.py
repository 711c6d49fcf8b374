"""`spyhop preflight`: whether every guard stands that trading on a leader's word needs."""

from __future__ import annotations

from typing import Annotated

import typer

from cluster.flags import File, Json, Leverage, Profile, Runs, Set, Size, Symbols, Venues, overrides


def register(app: typer.Typer, study_app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(preflight)


def preflight(
    *,
    live: Annotated[bool, typer.Option("--live", help="Examine the accounts at the live venues, too.")] = False,
    venues: Venues = None,
    symbols: Symbols = None,
    leverage: Leverage = None,
    size: Size = None,
    runs: Runs = None,
    profile: Profile = "default",
    config: File = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Look whether every guard stands: age, costs, black swans, exits, leader, lag; 1 when one is missing."""
    from cluster import commands
    from cluster import preflight as body

    given = overrides(symbols=symbols, leverage=leverage, size=size, runs=runs)
    loaded = commands.settings(profile, config, set_ or [], given)
    # naming venues asks for their accounts to be looked at
    asked = venues or ("live" if live else None)
    raise typer.Exit(0 if body.preflight(loaded, asked, as_json=as_json) else 1)
