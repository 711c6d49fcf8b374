"""What `spyhop preflight` does: run the checklist, with the doctor's for accounts, and say it."""

from __future__ import annotations

import asyncio

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.commands import Loaded, print_json, stdout
from cluster.origins import REAL, announce, reached
from spyhop.clock import WallClock
from spyhop.wiring import trading
from spyhop.wiring.accounts import Keys
from spyhop.wiring.preflight import Check, of_accounts, passes
from spyhop.wiring.preflight import preflight as checklist


def preflight(loaded: Loaded, venues: str | None, *, as_json: bool) -> bool:
    """Print every check and say whether all pass; accounts at `venues` are examined too, None looks at no account."""
    checks = checklist(loaded.settings, WallClock().now_ns(), is_live=venues == REAL)
    if venues is not None:
        checks += of_accounts(_examined(loaded, venues))
    is_well = passes(checks)
    if as_json:
        print_json({"passes": is_well, "num_missing": sum(not check.passes for check in checks), "checks": checks})
    else:
        _show(checks, stdout())
    return is_well


def _examined(loaded: Loaded, venues: str) -> list[trading.Examined]:
    with reached(venues, loaded.settings) as endpoints:
        announce(endpoints)
        keys = Keys(loaded.secrets, is_simulated=endpoints.is_simulated)
        instruments = asyncio.run(trading.instruments_of(endpoints, loaded.settings.session.symbols))
        return asyncio.run(trading.examined(endpoints, loaded.settings, instruments, keys))


def _show(checks: list[Check], console: Console) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("", "guard", "", "found", "asked"):
        table.add_column(name, header_style="bold", overflow="fold")
    for check in checks:
        verdict = Text("ok", style="green") if check.passes else Text("MISSING", style="bold red")
        table.add_row(Text(check.group), Text(check.name), verdict, Text(check.found), Text(check.asked))
    console.print(table)
    missing = [check for check in checks if not check.passes]
    for check in missing:
        console.print(Text(f"{check.name}: {check.mend}", style="yellow"))
    if missing:
        count = f"{len(missing)} of {len(checks)} guards {'is' if len(missing) == 1 else 'are'} missing"
        console.print(Text(f"{count}: not fit to trade", style="bold red"))
    else:
        console.print(Text(f"all {len(checks)} guards stand", style="bold green"))
