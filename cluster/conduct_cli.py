"""`spyhop drain`, `restart`, `pause`, `resume` and `set`: words to a session that runs on a Ray."""

from __future__ import annotations

from typing import Annotated

import typer

from cluster.flags import Address


def register(app: typer.Typer, study_app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(drain)
    app.command()(restart)
    app.command()(pause)
    app.command()(resume)
    app.command(name="set")(change)


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


def pause(*, address: Address = None) -> None:
    """Enter nothing until `spyhop resume`: resting entries are taken back, what is held keeps its exits."""
    from cluster import conduct

    conduct.pause(address or "auto")


def resume(*, address: Address = None) -> None:
    """End a pause; other causes of a halt stay."""
    from cluster import conduct

    conduct.resume(address or "auto")


def change(
    assignments: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE...", help="Such as risk.limits.max_trades_per_day=20.")
    ],
    *,
    address: Address = None,
) -> None:
    """Change settings of the running session, all or none: limits, bounds of risk states, sizing."""
    from cluster import conduct

    conduct.change(address or "auto", assignments)
