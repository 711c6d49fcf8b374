"""`spyhop status`: what a running session is, has and does, once or live."""

from __future__ import annotations

from typing import Annotated

import typer

from cluster.flags import Json


def register(app: typer.Typer, study_app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(status)


def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Again each second, until it ends or Ctrl-C.")] = False,
    address: Annotated[
        str, typer.Option(metavar="ADDR", help="HOST:PORT of the cluster's GCS; auto: that of this machine.")
    ] = "auto",
    as_json: Json = False,
) -> None:
    """Show a running session: its actors, symbols, risk, orders, equity and drawdown."""
    from cluster import status as body

    body.status(address, is_watched=watch, as_json=as_json)
