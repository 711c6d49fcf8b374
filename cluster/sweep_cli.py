"""`spyhop sweep`: try many settings on recordings, and say how much of the best one is luck."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cluster.flags import SETTINGS, SOURCE, File, Json, Profile, Runs, Set, Symbols, overrides

COSTS = "What a trade costs"
HOW = "How"

Param = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="PATH=RANGE",
        help="What varies: PATH=LOW:HIGH:STEP, PATH=LOW:HIGH, PATH=LOW:HIGH:log or PATH=a,b,c; may be repeated.",
        rich_help_panel=SETTINGS,
    ),
]
Objective = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="lead-follow or spread (minute bars), ticks (quotes), backtest (the whole system).",
        rich_help_panel=HOW,
    ),
]
Search = Annotated[str, typer.Option(metavar="HOW", help="grid, random, optuna, asha or pbt.", rich_help_panel=HOW)]
Samples = Annotated[
    int, typer.Option(metavar="N", min=1, help="Settings to look at, for all but the grid.", rich_help_panel=HOW)
]
Seed = Annotated[int, typer.Option(metavar="N", min=0, help="What chance starts from.", rich_help_panel=HOW)]
LakeDir = Annotated[str | None, typer.Option("--lake", metavar="DIR", help="Folder or URI of the lake.")]
Leader = Annotated[
    str, typer.Option(metavar="KEY", help="Who leads; Binance's of the symbol by default.", rich_help_panel=SOURCE)
]
Follower = Annotated[str, typer.Option(metavar="KEY", help="Who follows; dYdX's by default.", rich_help_panel=SOURCE)]
Fees = Annotated[
    float, typer.Option("--fees-bps", metavar="BP", min=0, help="Of a round trip, all legs.", rich_help_panel=COSTS)
]
Slippage = Annotated[
    float, typer.Option("--slippage-bps", metavar="BP", min=0, help="Of each entry and exit.", rich_help_panel=COSTS)
]
Latency = Annotated[
    float, typer.Option("--latency-s", metavar="S", min=0, help="From the signal to the entry.", rich_help_panel=COSTS)
]
Period = Annotated[
    float, typer.Option("--period-s", metavar="S", min=1, help="Results are kept so finely.", rich_help_panel=HOW)
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the sweep; runs/sweeps/ID by default.")]
Resume = Annotated[str | None, typer.Option(metavar="SWEEP", help="Go on with a sweep: its folder, its id, or latest.")]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="ADDR", help="local (a Ray of our own, the default), or that of a Ray cluster; else $RAY_ADDRESS."
    ),
]
OpenFinal = Annotated[
    bool,
    typer.Option("--open-final", help="Hold the chosen setting to the untouched final period: once, for good, logged."),
]


def register(app: typer.Typer, study_app: typer.Typer) -> None:
    """Add `spyhop sweep`."""
    app.command()(sweep)


def sweep(
    *,
    lake: LakeDir = None,
    param: Param = None,
    objective: Objective = "lead-follow",
    search: Search = "grid",
    samples: Samples = 100,
    seed: Seed = 0,
    symbols: Symbols = None,
    leader: Leader = "",
    follower: Follower = "",
    fees_bps: Fees = 8.0,
    slippage_bps: Slippage = 0.0,
    latency_s: Latency = 0.0,
    period_s: Period = 3_600.0,
    out: Out = None,
    resume: Resume = None,
    address: Address = None,
    open_final: OpenFinal = False,
    runs: Runs = None,
    profile: Profile = "default",
    config: File = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Try many settings on recordings with every core, and say how much of the best one is luck."""
    from cluster import commands
    from cluster import sweep as sweeps

    folder: Path | None
    loaded = commands.settings(profile, config, set_ or [], overrides(runs=runs))
    if resume is not None:
        sweeps.refuse_with_resume(lake, param, out)
        plan, folder = sweeps.resumed(loaded, resume)
    else:
        costs = sweeps.Costs(fees_bps, slippage_bps, latency_s, period_s)
        source = sweeps.Source(objective, lake or "", symbols or "", leader, follower)
        plan, folder = sweeps.planned(loaded, source, costs, param or [], search, samples, seed), out
    sweeps.say(
        sweeps.run(loaded, plan, folder, address=address, open_final=open_final, is_quiet=as_json), as_json=as_json
    )
