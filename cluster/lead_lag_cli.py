"""`spyhop study lead-lag`: how far one market is behind another, from ticks, bars or two files."""

from __future__ import annotations

import typer


def register(app: typer.Typer, study_app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
