"""What `spyhop sweep` does: a plan, a Ray to run it on, progress while it runs, and what came of it in words."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, cast, get_args

import numpy as np
from rich.text import Text

from cluster.commands import Loaded, print_json, stdout
from cluster.rays import LOCAL, joined_ray, local_ray
from cluster.terminal import Meter, stopping
from spyhop.clock import WallClock
from spyhop.errors import MissingInput, UserError
from spyhop.reports.text import duration
from tune import sweep as sweeps
from tune.grid import Pace
from tune.grounds import Asked, is_cheap, own_paths
from tune.space import parsed
from tune.sweep import Found, Plan, Search
from tune.trials import LEDGER_FILE, Trials

FOLDER = "sweeps"
LATEST = "latest"
ADDRESS = "RAY_ADDRESS"
"""Ray sets it for the jobs that are submitted to it."""
MAX_REASONS = 3


class Costs(NamedTuple):
    """What a trade costs, and how finely results are kept."""

    fees_bps: float
    slippage_bps: float
    latency_s: float
    period_s: float


class Source(NamedTuple):
    """Which objective, over what."""

    objective: str
    lake: str
    symbols: str
    leader: str
    follower: str


def planned(
    loaded: Loaded,
    source: Source,
    costs: Costs,
    params: Sequence[str],
    search: str,
    samples: int,
    seed: int,
) -> Plan:
    """Return the plan of a sweep; raise UserError for what cannot be swept, in one sentence."""
    own = own_paths(source.objective)
    if search not in get_args(Search):
        raise UserError(f"there is no search {search!r}; there are: {', '.join(get_args(Search))}")
    if not source.lake:
        raise UserError("say what to sweep over: --lake DIR")
    base = loaded.settings
    space = parsed(params, own, base, is_cheap=is_cheap(source.objective))
    if search == "grid":
        space.grid()  # what has no end is said before anything is read
    asked = Asked(
        objective=source.objective,
        lake=str(Path(source.lake).absolute()) if Path(source.lake).exists() else source.lake,
        symbols=tuple(part.strip() for part in source.symbols.split(",") if part.strip()),
        leader=source.leader,
        follower=source.follower,
        fees_bps=costs.fees_bps,
        slippage_bps=costs.slippage_bps,
        latency_s=costs.latency_s,
        period_s=costs.period_s,
    )
    return sweeps.planned(asked, space, cast(Search, search), base, samples=samples, seed=seed)


def refuse_with_resume(lake: str | None, params: Sequence[str] | None, out: Path | None) -> None:
    """Raise UserError when a sweep that goes on is told to be another one."""
    if lake is not None or params or out is not None:
        raise UserError("--resume goes on with a sweep as it was begun: leave out --lake, --param and --out")


def resumed(loaded: Loaded, name: str) -> tuple[Plan, Path]:
    """Return the plan and folder of the sweep `name`: a folder, an id or `latest`; raise MissingInput."""
    home = Path(loaded.settings.session.runs) / FOLDER
    if name == LATEST:
        known = sorted(home.glob(f"*/{sweeps.PLAN_FILE}"), key=lambda path: path.stat().st_mtime_ns)
        if not known:
            raise MissingInput(f"there is no sweep in {home} yet")
        folder = known[-1].parent
    else:
        folder = next((one for one in (Path(name), home / name) if (one / sweeps.PLAN_FILE).exists()), home / name)
    return sweeps.read_plan(folder), folder


def run(
    loaded: Loaded, plan: Plan, folder: Path | None, *, address: str | None, open_final: bool, is_quiet: bool
) -> Found:
    """Run or go on with a sweep to its end, or until Ctrl-C; `folder` is runs/sweeps/ID by default."""
    runs = Path(loaded.settings.session.runs)
    ground = sweeps.grounded(plan)
    folder = folder or runs / FOLDER / sweeps.sweep_id(plan, ground.data)
    sweeps.write_plan(folder, plan)
    trials = Trials(runs / LEDGER_FILE)
    with (
        _connected(address or os.environ.get(ADDRESS) or LOCAL),
        stopping() as should_stop,
        Meter("sweeping", WallClock(), is_quiet=is_quiet) as meter,
    ):

        def show(pace: Pace, what: str) -> None:
            failed = f", {pace.failed:,} failed" if pace.failed else ""
            # nobody knows before the first is done
            left = f", {duration(pace.left_s)} left" if pace.done < pace.total and math.isfinite(pace.left_s) else ""
            meter.show(pace.done, pace.total, f"{pace.rate:,.0f} settings/s{left}{failed}", what=what)

        return sweeps.run(
            plan, ground, folder, trials, on_progress=show, should_stop=should_stop, open_final=open_final
        )


def say(found: Found, *, as_json: bool) -> None:
    """Print what came of a sweep; raise UserError when it was stopped before its end."""
    result = found.result
    if result is None:
        done = int(found.swept.is_done.sum()) + len(found.swept.failures)
        raise UserError(
            f"the sweep was stopped after {done:,} of {len(found.swept.is_done):,} settings; go on with: "
            f"spyhop sweep --resume {found.folder}"
        )
    if as_json:
        print_json({"id": found.id, "folder": str(found.folder), "failed": _failures(found), "result": result})
        return
    console = stdout()
    console.print(Text(result.verdict.headline, style="bold"))
    for check in result.checks:
        mark, style = {True: ("passed", "green"), False: ("failed", "red"), None: ("not made", "dim")}[check.passed]
        console.print(Text.assemble((f"  {mark:<9}", style), check.said))
    console.print(Text(f"{found.said}; {_looked(found)}"))
    if result.chosen is not None:
        setting = ", ".join(
            f"{name}={value:g}" for name, value in zip(result.names, result.chosen.setting, strict=True)
        )
        console.print(Text(f"chosen: {setting}"))
    for note in result.notes:
        console.print(Text(f"  {note}", style="dim"))
    for reason, count in list(_failures(found).items())[:MAX_REASONS]:
        console.print(Text(f"  {count:,} settings failed: {reason}", style="yellow"))
    console.print(Text(f"report: {found.folder / 'sweep.html'}"))


def _looked(found: Found) -> str:
    assert found.result is not None
    return f"{found.num_looked:,} settings looked at now, {found.result.num_trials:,} ever on these recordings"


def _failures(found: Found) -> dict[str, int]:
    reasons, counts = np.unique(list(found.swept.failures.values()), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {str(reasons[place]): int(counts[place]) for place in order}


def _connected(address: str) -> AbstractContextManager[object]:
    # whoever trades on the same machines goes first
    return local_ray(dashboard=False, is_yielding=True) if address == LOCAL else joined_ray(address, is_yielding=True)
