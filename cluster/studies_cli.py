"""`spyhop study`: what recordings say about one venue following another."""

from __future__ import annotations

import typer

study_app = typer.Typer(help="Measure on recordings how one venue follows another, and what of it costs leave.")
