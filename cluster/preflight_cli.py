"""`spyhop preflight`: whether every guard stands that trading on a leader's word needs."""

from __future__ import annotations

import typer


def register(app: typer.Typer, study_app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
