"""`spyhop study`: what recordings say about one venue following another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cluster.flags import SOURCE, Json

COSTS = "Costs"
RULE = "The rule"

study_app = typer.Typer(help="Measure on recordings how one venue follows another, and what of it costs leave.")

Symbol = Annotated[str, typer.Option(metavar="BTC", help="Binance leads, dYdX follows.", rich_help_panel=SOURCE)]
Leader = Annotated[str, typer.Option(metavar="NAME", help="Instrument of the lake.", rich_help_panel=SOURCE)]
Follower = Annotated[str, typer.Option(metavar="NAME", help="Instrument of the lake.", rich_help_panel=SOURCE)]
FromLake = Annotated[str | None, typer.Option("--lake", metavar="DIR", help="A lake.", rich_help_panel=SOURCE)]
Files = Annotated[
    list[Path] | None,
    typer.Option("--files", metavar="FILE", help="Recordings instead of a lake; repeat.", rich_help_panel=SOURCE),
]
Hours = Annotated[
    float | None, typer.Option(metavar="H", help="The newest hours; all by default.", rich_help_panel=SOURCE)
]
Days = Annotated[float | None, typer.Option(metavar="D", help="The newest days.", rich_help_panel=SOURCE)]
Fees = Annotated[
    float, typer.Option("--fees-bps", metavar="BP", help="Whole round trip, all legs.", rich_help_panel=COSTS)
]
Slippage = Annotated[
    float, typer.Option("--slippage-bps", metavar="BP", help="Of each side of each leg.", rich_help_panel=COSTS)
]
Funding = Annotated[
    float | None,
    typer.Option(
        "--funding-bps-8h",
        metavar="BP",
        help="What a long follower pays in 8 h; the lake's own rates by default.",
        rich_help_panel=COSTS,
    ),
]
Latency = Annotated[
    float,
    typer.Option(
        "--latency-s",
        metavar="S",
        help="0 enters at the close, up to 60 at the next open, and so on.",
        rich_help_panel=COSTS,
    ),
]
Entry = Annotated[float, typer.Option(metavar="PCT", help="Enter at this |spread|, percent.", rich_help_panel=RULE)]
Exit = Annotated[
    float, typer.Option("--exit", metavar="PCT", help="Leave at this |spread|, percent.", rich_help_panel=RULE)
]
Mode = Annotated[str, typer.Option(metavar="MODE", help="short, long or both.", rich_help_panel=RULE)]
SpreadEntry = Annotated[
    float,
    typer.Option("--spread-entry", metavar="PCT", help="Premium or discount to enter at.", rich_help_panel=RULE),
]
Window = Annotated[
    float,
    typer.Option("--binance-drop-window", metavar="MIN", help="Of the leader's return.", rich_help_panel=RULE),
]
Drop = Annotated[
    float,
    typer.Option("--binance-drop-pct", metavar="PCT", help="Leader's fall, or rise for longs.", rich_help_panel=RULE),
]
Rise = Annotated[
    float | None,
    typer.Option("--binance-rise-pct", metavar="PCT", help="Of longs, if not the same.", rich_help_panel=RULE),
]
Horizon = Annotated[float, typer.Option("--horizon-min", metavar="MIN", help="Longest hold.", rich_help_panel=RULE)]
AnyHorizon = Annotated[
    float | None,
    typer.Option("--horizon-min", metavar="MIN", help="Longest hold; none by default.", rich_help_panel=RULE),
]
TakeProfit = Annotated[float, typer.Option("--tp", metavar="PCT", help="Take profit.", rich_help_panel=RULE)]
StopLoss = Annotated[float, typer.Option("--sl", metavar="PCT", help="Stop loss.", rich_help_panel=RULE)]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the JSON and the page go.")]
Seed = Annotated[int, typer.Option(metavar="N", min=0, help="Of entries at random.")]

SEED = 20251128


@study_app.command("spread")
def study_spread(
    *,
    symbol: Symbol = "",
    leader: Leader = "",
    follower: Follower = "",
    lake: FromLake = None,
    files: Files = None,
    hours: Hours = None,
    days: Days = None,
    entry: Entry = 0.08,
    exit_: Exit = 0.03,
    horizon_min: AnyHorizon = None,
    fees_bps: Fees = 8.0,
    slippage_bps: Slippage = 0.0,
    funding_bps_8h: Funding = None,
    latency_s: Latency = 0.0,
    out: Out = Path("studies"),
    seed: Seed = SEED,
    as_json: Json = False,
) -> None:
    """Say how a follower's spread is spread, how soon it closes, and what trading both legs of it leaves."""
    from cluster import studies

    studies.spread(
        studies.Source(symbol, leader, follower, lake, files or [], hours, days),
        studies.reversion(entry, exit_, horizon_min),
        studies.costs(fees_bps, slippage_bps, funding_bps_8h),
        studies.Ways(latency_s, seed, out, as_json),
    )


@study_app.command("lead-follow")
def study_lead_follow(
    *,
    symbol: Symbol = "",
    leader: Leader = "",
    follower: Follower = "",
    lake: FromLake = None,
    files: Files = None,
    hours: Hours = None,
    days: Days = None,
    mode: Mode = "both",
    spread_entry: SpreadEntry = 0.08,
    binance_drop_window: Window = 5.0,
    binance_drop_pct: Drop = 0.15,
    binance_rise_pct: Rise = None,
    horizon_min: Horizon = 15.0,
    tp: TakeProfit = 0.40,
    sl: StopLoss = 0.60,
    fees_bps: Fees = 8.0,
    slippage_bps: Slippage = 0.0,
    funding_bps_8h: Funding = None,
    latency_s: Latency = 0.0,
    out: Out = Path("studies"),
    seed: Seed = SEED,
    as_json: Json = False,
) -> None:
    """Say what entering the follower when its leader has moved and it has not would have left after costs."""
    from cluster import studies

    rise = binance_drop_pct if binance_rise_pct is None else binance_rise_pct
    studies.lead_follow(
        studies.Source(symbol, leader, follower, lake, files or [], hours, days),
        studies.following_by(mode, spread_entry, binance_drop_window, binance_drop_pct, rise, horizon_min, tp, sl),
        studies.costs(fees_bps, slippage_bps, funding_bps_8h),
        studies.Ways(latency_s, seed, out, as_json),
    )


@study_app.command("week")
def study_week(
    *,
    symbol: Symbol = "",
    leader: Leader = "",
    follower: Follower = "",
    lake: FromLake = None,
    files: Files = None,
    hours: Hours = None,
    days: Days = None,
    mode: Mode = "both",
    entry: Entry = 0.08,
    exit_: Exit = 0.03,
    spread_entry: SpreadEntry = 0.08,
    binance_drop_window: Window = 5.0,
    binance_drop_pct: Drop = 0.15,
    binance_rise_pct: Rise = None,
    horizon_min: Horizon = 15.0,
    tp: TakeProfit = 0.40,
    sl: StopLoss = 0.60,
    fees_bps: Fees = 8.0,
    slippage_bps: Slippage = 0.0,
    funding_bps_8h: Funding = None,
    latency_s: Latency = 0.0,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Folder, or the JSON file's name.")] = Path(
        "studies"
    ),
    seed: Seed = SEED,
    as_json: Json = False,
) -> None:
    """Run every study over one span, 7 days by default: the spread, its reversion, following, the lag."""
    from cluster import studies

    rise = binance_drop_pct if binance_rise_pct is None else binance_rise_pct
    studies.week(
        studies.Source(symbol, leader, follower, lake, files or [], hours, 7.0 if hours is days is None else days),
        studies.reversion(entry, exit_, None),
        studies.following_by(mode, spread_entry, binance_drop_window, binance_drop_pct, rise, horizon_min, tp, sl),
        studies.costs(fees_bps, slippage_bps, funding_bps_8h),
        studies.Ways(latency_s, seed, out, as_json),
    )
