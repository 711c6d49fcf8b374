"""`spyhop backtest`: run the strategies over a lake, and report as of a session."""

from __future__ import annotations

import typer


def register(app: typer.Typer, study_app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
