"""A sweep from its plan to its result: evaluate, count in the ledger of trials, judge, write.

<folder>/plan.json         what is swept; its digest is the sweep's id
         batches/          what every setting earned (`tune.batches`)
         search/           what an adaptive search keeps (`tune.search`)
         sweep.json        the result      sweep.html  the same for a person
         settings.parquet  every setting, what it earned before the final period, and why it failed if it did
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from spyhop.clock import Clock, WallClock
from spyhop.config.settings import Settings, decoded, encoded
from spyhop.errors import JournalDamaged, MissingInput, UserError
from spyhop.research.sweeps.model import AssessParams, SweepResult
from spyhop.research.sweeps.page import page
from spyhop.research.sweeps.result import assess, require_enough
from spyhop.storage.files import replace_durably
from tune.batches import Batch, Batches
from tune.grid import Pace, Swept, evaluate_all
from tune.grounds import Asked, Ground, prepared
from tune.search import Budget, searched
from tune.space import Space
from tune.trials import Opened, Trials

PLAN_FILE = "plan.json"
Search = Literal["grid", "random", "optuna", "asha", "pbt"]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that decides a sweep's trials and how they are judged; `settings` hold where `space` does not vary them."""

    asked: Asked
    space: Space
    search: Search
    settings: dict[str, Any]
    samples: Annotated[int, msgspec.Meta(ge=1)] = 100
    """How many settings a search other than the grid looks at."""
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    final_frac: float = 0.2
    min_trades: int = 30


class Found(NamedTuple):
    """What a sweep came to: `result` is None when it was stopped before its end."""

    id: str
    folder: Path
    result: SweepResult | None
    swept: Swept
    num_looked: int
    said: str


def sweep_id(plan: Plan, data: tuple[str, ...]) -> str:
    """Return the id of a sweep: the same plan over the same recordings has the same."""
    asked = msgspec.structs.replace(plan.asked, lake="")
    trials = msgspec.structs.replace(plan, asked=asked, final_frac=0.5, min_trades=2)
    return hashlib.sha256(msgspec.json.encode((trials, data), order="sorted")).hexdigest()[:12]


def write_plan(folder: Path, plan: Plan) -> None:
    """Put the plan into the sweep's folder; raise UserError when the folder holds another sweep."""
    path = folder / PLAN_FILE
    if path.exists() and msgspec.json.encode(read_plan(folder)) != msgspec.json.encode(plan):
        raise UserError(f"{folder} holds another sweep; say another --out, or --resume {folder} to go on with it")
    replace_durably(path, msgspec.json.format(msgspec.json.encode(plan)) + b"\n")


def read_plan(folder: Path) -> Plan:
    """Return the plan of the sweep in `folder`; raise MissingInput or JournalDamaged."""
    path = folder / PLAN_FILE
    if not path.exists():
        raise MissingInput(f"there is no sweep in {folder}")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except msgspec.DecodeError as error:
        raise JournalDamaged(str(path), str(error)) from error


def planned(asked: Asked, space: Space, search: Search, base: Settings, **more: Any) -> Plan:
    """Return a plan under the settings `base`."""
    return Plan(asked=asked, space=space, search=search, settings=encoded(base), **more)


def grounded(plan: Plan) -> Ground:
    """Read the data of a plan; raise UserError or MissingInput when it is not there."""
    return prepared(plan.asked, decoded(plan.settings), plan.space)


def run(
    plan: Plan,
    ground: Ground,
    folder: Path,
    trials: Trials,
    *,
    on_progress: Callable[[Pace, str], None] = lambda pace, what: None,
    should_stop: Callable[[], bool] = lambda: False,
    open_final: bool = False,
    clock: Clock | None = None,
) -> Found:
    """Run a sweep, or go on with it, on the Ray that this process is connected to, and write its result.

    With `open_final` the chosen setting is held to the final period too, which is noted in the ledger for good.
    Raises UserError when it was opened with another setting, when another process sweeps into `folder`, or when the
    data is too short to judge anything.
    """
    clock = clock or WallClock()
    # before a night of work, not after it
    require_enough(ground.objective.periods(ground.arrays), _params(plan, ground))
    name = sweep_id(plan, ground.data)
    trials.begin(name, plan.asked.objective, ground.data, clock.now_ns())
    with Batches(folder / "batches") as batches:
        points, num_looked = _points(plan, ground, folder, name, trials, on_progress, should_stop)
        swept = evaluate_all(
            ground.objective,
            ground.arrays,
            plan.space.names,
            points,
            batches=batches,
            on_batch=lambda batch: _look(trials, name, batch),
            on_progress=lambda pace: on_progress(pace, "evaluating"),
            should_stop=should_stop,
            clock=clock,
        )
        if num_looked > len(points):
            trials.look(name, len(points), num_looked - len(points))
        is_whole = len(points) > 0 and bool(swept.is_done.sum() + len(swept.failures) == len(points))
        if not is_whole:
            return Found(name, folder, None, swept, num_looked, ground.said)
        result = _judged(plan, ground, name, points, swept, trials, clock, open_final=open_final)
        _write(folder, plan, ground, points, swept, result)
    return Found(name, folder, result, swept, num_looked, ground.said)


def _points(
    plan: Plan,
    ground: Ground,
    folder: Path,
    name: str,
    trials: Trials,
    on_progress: Callable[[Pace, str], None],
    should_stop: Callable[[], bool],
) -> tuple[npt.NDArray[np.float64], int]:
    if plan.search == "grid":
        points = plan.space.grid()
        return points, len(points)
    if plan.search == "random":
        points = plan.space.sample(plan.samples, np.random.default_rng(plan.seed))
        return points, len(points)
    # what a search looks at is counted before it looks: nobody knows where it may be killed
    trials.look(name, 0, plan.samples)
    periods = ground.objective.periods(ground.arrays)
    params = _params(plan, ground)
    num_seen = int(len(periods) * (1.0 - params.final_frac) * params.train_frac)
    budget = Budget(num_samples=plan.samples, num_periods=max(1, num_seen), seed=plan.seed)
    return searched(
        plan.search,
        ground.objective,
        ground.arrays,
        plan.space,
        budget,
        folder / "search",
        on_progress=lambda pace: on_progress(pace, "searching"),
        should_stop=should_stop,
    )


def _look(trials: Trials, name: str, batch: Batch) -> None:
    trials.look(name, batch.first, len(batch.pnl))


def _params(plan: Plan, ground: Ground) -> AssessParams:
    return AssessParams(final_frac=plan.final_frac, min_trades=plan.min_trades, horizon_s=ground.horizon_s)


def _judged(
    plan: Plan,
    ground: Ground,
    name: str,
    points: npt.NDArray[np.float64],
    swept: Swept,
    trials: Trials,
    clock: Clock,
    *,
    open_final: bool,
) -> SweepResult:
    periods = ground.objective.periods(ground.arrays)
    rows = np.flatnonzero(swept.is_done)

    def judged(*, is_open: bool) -> SweepResult:
        return assess(
            plan.space.names,
            points[rows],
            swept.pnl[rows],
            swept.num_trades[rows],
            periods,
            num_trials=trials.num_trials(ground.data),
            params=_params(plan, ground),
            seed=plan.seed,
            open_final=is_open,
            is_simulated=ground.is_simulated,
        )

    result = judged(is_open=False)
    if not open_final:
        return result
    if result.chosen is None:
        raise UserError("no setting was chosen, so there is nothing to hold to the final period; it stays closed")
    setting = plan.space.spelled(np.array(result.chosen.setting))
    opened = Opened(sweep=name, data=ground.data, since=result.final.first, setting=setting, ts=clock.now_ns())
    trials.open_final(opened)
    return judged(is_open=True)


def _write(
    folder: Path, plan: Plan, ground: Ground, points: npt.NDArray[np.float64], swept: Swept, result: SweepResult
) -> None:
    periods = ground.objective.periods(ground.arrays)
    is_shown = periods < result.final.first if not result.final_opened else np.ones(len(periods), np.bool_)
    columns: dict[str, Any] = {path: points[:, place] for place, path in enumerate(plan.space.names)}
    columns["num_trades"] = swept.num_trades
    columns["net"] = swept.pnl[:, is_shown].sum(axis=1, dtype=np.float64)
    columns["failed"] = [swept.failures.get(row) for row in range(len(points))]
    columns["pnl"] = pa.FixedSizeListArray.from_arrays(
        pa.array(swept.pnl[:, is_shown].ravel()), int(np.count_nonzero(is_shown))
    )
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    replace_durably(folder / "settings.parquet", sink.getvalue().to_pybytes())
    replace_durably(folder / "sweep.json", msgspec.json.format(msgspec.json.encode(result)) + b"\n")
    replace_durably(folder / "sweep.html", page(result, title=ground.said).encode())
