"""`spyhop study lead-lag`: how far one market is behind another, from ticks, bars or two files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cluster.flags import Json

_COLUMNS = "Columns of files"


def register(app: typer.Typer, study_app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    study_app.command("lead-lag")(lead_lag)


def lead_lag(
    *,
    leader: Annotated[str, typer.Option(metavar="FILE|SYMBOL", help="A file, or with --lake a symbol or key.")],
    follower: Annotated[str, typer.Option(metavar="FILE|SYMBOL", help="The one that may be behind.")],
    max_lag_s: Annotated[float, typer.Option("--max-lag-s", metavar="N", help="How far to look, seconds.")],
    step_s: Annotated[
        float, typer.Option("--step-s", metavar="S", help="Grid of shifts; a hundredth of the range.")
    ] = 0.0,
    lake: Annotated[str, typer.Option("--lake", metavar="DIR", help="Take both from this lake.")] = "",
    source: Annotated[
        str, typer.Option(metavar="WHAT", help="With --lake: quotes, book, trades or bars; the best that both have.")
    ] = "",
    leader_price: Annotated[str, typer.Option(metavar="COLUMN", help="Its price.", rich_help_panel=_COLUMNS)] = "",
    follower_price: Annotated[str, typer.Option(metavar="COLUMN", help="Its price.", rich_help_panel=_COLUMNS)] = "",
    time: Annotated[str, typer.Option(metavar="COLUMN", help="The time, of both.", rich_help_panel=_COLUMNS)] = "",
    block_s: Annotated[
        float, typer.Option("--block-s", metavar="S", help="Blocks that the interval comes from.")
    ] = 3_600.0,
    placebos: Annotated[int, typer.Option(metavar="N", help="How often chance is asked.")] = 199,
    seed: Annotated[int, typer.Option(metavar="N", help="What chance starts from.")] = 20251128,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where lead-lag.html and lead-lag.json go.")] = None,
    as_json: Json = False,
) -> None:
    """Say who leads whom and by how much, with an interval and with what chance alone would show."""
    from cluster import lead_lag as body

    body.study(
        body.Asked(
            leader=leader, follower=follower, lake=lake, source=source, time=time,
            leader_price=leader_price, follower_price=follower_price,
        ),
        body.params(max_lag_s=max_lag_s, step_s=step_s, block_s=block_s, placebos=placebos, seed=seed),
        out,
        as_json=as_json,
    )  # fmt: skip
