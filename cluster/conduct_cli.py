"""`spyhop drain` and `spyhop restart`: words to a session that runs on a Ray."""

from __future__ import annotations

from typing import Annotated

import typer

from cluster.flags import Address


def register(app: typer.Typer, study_app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(drain)
    app.command()(restart)


def drain(*, address: Address = None) -> None:
    """End the running session cleanly: no new risk, orders cancelled, positions closed, records written."""
    from cluster import conduct

    conduct.drain(address or "auto")


def restart(
    actors: Annotated[list[str] | None, typer.Argument(metavar="[ACTOR]...", help="Such as feed:BTCUSDT.")] = None,
    *,
    address: Address = None,
) -> None:
    """Start actors anew, one after the other, all without names, while the market runs; nothing is lost by it."""
    from cluster import conduct

    conduct.restart(address or "auto", actors or [])
