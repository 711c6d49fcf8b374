"""`spyhop data`: the commands about recordings and lakes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cluster.flags import File, Json, Lake, Profile, Set, Symbols, Venues, overrides

data_app = typer.Typer(help="Bring recordings into a lake, list and verify what it holds.")


@data_app.command("import")
def data_import(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings, of any format that is known.")],
    lake: Lake,
    *,
    as_json: Json = False,
) -> None:
    """Bring recordings into a lake; what cannot be read is set aside with file, line and reason."""
    from cluster import lakes

    lakes.import_data(files, lake, as_json=as_json)


@data_app.command("ls")
def data_ls(lake: Lake, *, as_json: Json = False) -> None:
    """List what a lake holds."""
    from cluster import lakes

    lakes.list_lake(lake, as_json=as_json)


@data_app.command("verify")
def data_verify(lake: Lake, *, as_json: Json = False) -> None:
    """Look for gaps, duplicates, disorder, crossed books, sequence breaks and clock offsets in a lake."""
    from cluster import lakes

    lakes.verify_lake(lake, as_json=as_json)


@data_app.command("record")
def data_record(
    *,
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder of the recording; its lake is DIR/lake.")],
    venues: Venues = None,
    symbols: Symbols = None,
    seconds: Annotated[float, typer.Option(metavar="N", min=0, help="How long; 0 is until Ctrl-C.")] = 0.0,
    raw: Annotated[bool, typer.Option("--raw/--no-raw", help="Keep the frames as received, too.")] = True,
    profile: Profile = "default",
    config: File = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Record what venues send into a lake; a killed recording goes on, its gap marked."""
    from cluster import commands, recording

    loaded = commands.settings(profile, config, set_ or [], overrides(symbols=symbols))
    recording.record(loaded, venues or "simulator", out, seconds=seconds, is_raw=raw, as_json=as_json)
