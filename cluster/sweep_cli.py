"""`spyhop sweep`: try many settings on recordings, and say how much of the best one is luck."""

from __future__ import annotations

import typer


def register(app: typer.Typer, study_app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
