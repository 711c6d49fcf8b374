"""The flags of the command line that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SETTINGS = "Settings"
SOURCE = "Where events come from"
SEEDS = "Trading"

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one setting; may be repeated.", rich_help_panel=SETTINGS),
]
File = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings file; ./spyhop.toml if there.", rich_help_panel=SETTINGS),
]
Profile = Annotated[str, typer.Option(metavar="NAME", help="Shipped profile to begin with.", rich_help_panel=SETTINGS)]
Runs = Annotated[
    str | None, typer.Option(metavar="DIR", help="Folder of sessions, ./runs by default.", rich_help_panel=SETTINGS)
]
Lang = Annotated[
    str | None, typer.Option(metavar="LANG", help="en, zh-TW or zh-CN; by locale.", rich_help_panel=SETTINGS)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text.")]
Symbols = Annotated[
    str | None, typer.Option(metavar="A,B", help="Symbols, separated by commas.", rich_help_panel=SOURCE)
]
Replay = Annotated[
    str | None,
    typer.Option("--replay", metavar="LAKE", help="Take events from this lake.", rich_help_panel=SOURCE),
]
Generate = Annotated[
    bool,
    typer.Option("--generate", help="Take events from the generative market, without sockets.", rich_help_panel=SOURCE),
]
Venues = Annotated[
    str | None,
    typer.Option(
        metavar="WHICH",
        help="simulator (default: embedded, no keys, no internet), live, or a file with a simulator's ready line.",
        rich_help_panel=SOURCE,
    ),
]
Speed = Annotated[
    str | None,
    typer.Option(metavar="N", help="Event time over wall time; 0 is as fast as it goes.", rich_help_panel=SOURCE),
]
Seed = Annotated[str | None, typer.Option(metavar="N", help="What chance starts from.", rich_help_panel=SOURCE)]
Hours = Annotated[str | None, typer.Option(metavar="H", help="Hours of event time, 1.0.", rich_help_panel=SEEDS)]
Leverage = Annotated[str | None, typer.Option(metavar="X", help="Highest leverage, 100.", rich_help_panel=SEEDS)]
Size = Annotated[str | None, typer.Option(metavar="USDT", help="Margin of one trade, 100.", rich_help_panel=SEEDS)]
Interval = Annotated[str | None, typer.Option(metavar="S", help="Seconds between analyses, 30.", rich_help_panel=SEEDS)]
Paper = Annotated[bool, typer.Option("--paper", help="Simulated fills (default).", rich_help_panel=SEEDS)]
Live = Annotated[
    bool,
    typer.Option(
        "--live",
        help="Real orders, after spyhop doctor and a typed word; of a report or an export: live sessions.",
        rich_help_panel=SEEDS,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address", metavar="ADDRESS", envvar="RAY_ADDRESS", help="Join the Ray there (host:port, or auto) instead."
    ),
]
Lake = Annotated[str, typer.Option("--lake", metavar="DIR", help="Folder or URI of the lake.")]
SessionName = Annotated[str, typer.Argument(metavar="[SESSION]", help="Id of a session, or latest.")]

# the flags of the command line that set a setting, under the name that the settings know
_FLAGS = {
    "symbols": "session.symbols",
    "speed": "session.speed",
    "seed": "session.seed",
    "hours": "session.hours",
    "runs": "session.runs",
    "lang": "display.lang",
    "leverage": "leverage",
    "size": "position_size_usdt",
    "interval": "analysis_interval_sec",
}


def overrides(**given: str | None) -> list[tuple[str, str, str]]:
    """Return (flag, setting, text) of each flag that was given."""
    return [(f"--{flag}", _FLAGS[flag], text) for flag, text in given.items() if text is not None]
