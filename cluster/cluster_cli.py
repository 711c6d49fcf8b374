"""`spyhop topology`, and `spyhop up` and `spyhop down`, which are `ray up` and `ray down` and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cluster.flags import SETTINGS, File, Json, Live, Profile, Set, Symbols, overrides

_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
ClusterFile = Annotated[Path, typer.Argument(metavar="[FILE]", help="Cluster file, as of Ray.")]
ONPREM = Path("cluster/onprem.yaml")


def register(app: typer.Typer, study_app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command(context_settings=_PASSED_ON)(up)
    app.command(context_settings=_PASSED_ON)(down)
    app.command()(topology)


def up(context: typer.Context, file: ClusterFile = ONPREM) -> None:
    """Run `ray up FILE`; whatever else is given is passed on to it."""
    _ray("up", file, context.args)


def down(context: typer.Context, file: ClusterFile = ONPREM) -> None:
    """Run `ray down FILE`; whatever else is given is passed on to it."""
    _ray("down", file, context.args)


def topology(
    *,
    nodes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML or JSON with the nodes; this machine without it.")
    ] = None,
    address: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Ask the Ray that runs here for them.")] = None,
    lost: Annotated[
        list[str] | None, typer.Option("--lost", metavar="NODE", help="Say what moves when it is lost; repeatable.")
    ] = None,
    per_feed: Annotated[
        int, typer.Option(metavar="N", help="Symbols in one process.", min=1, rich_help_panel=SETTINGS)
    ] = 1,
    symbols: Symbols = None,
    live: Live = False,
    profile: Profile = "default",
    config: File = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Say which actor would run on which machine, before anything starts; 2 when it does not fit."""
    from cluster import commands, machines
    from spyhop.errors import UserError

    if nodes is not None and address is not None:
        raise UserError("--nodes and --address exclude each other: the nodes are one of them")
    loaded = commands.settings(profile, config, set_ or [], overrides(symbols=symbols))
    found = machines.of_file(nodes) if nodes else machines.of_ray(address) if address else [machines.this_one()]
    machines.say(loaded.settings, found, lost or [], is_live=live, per_feed=per_feed, as_json=as_json)


def _ray(verb: str, file: Path, more: list[str]) -> None:
    from cluster import machines

    raise typer.Exit(machines.ray_command(verb, file, more))
