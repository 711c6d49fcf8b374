"""Searches that learn from what they saw: Optuna, successive halving (ASHA) and populations (PBT), on Ray Tune.

A trial is one setting walked through the periods before the first out-of-sample one, in `STEPS` steps with a checkpoint
each; later periods it never sees, so that they can still judge it. A search only proposes: what it proposed is then
evaluated whole, as a grid is. Of a cheap objective that is every setting looked at, also those that were stopped early;
of a costly one those that reached the end. A trial that raises scores worst; one whose process dies goes on from its
checkpoint elsewhere. Neither ends the search. After the death of the driver the search goes on from its own folder.

With several trials at once a search sees results in the order they arrive, so its proposals repeat only roughly.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import ray.tune as ray_tune
from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining
from ray.tune.search import BasicVariantGenerator
from ray.tune.search.optuna import OptunaSearch

from spyhop.clock import NS_PER_S, Clock, WallClock
from spyhop.errors import UserError
from spyhop.research.objectives.objective import Arrays, Objective
from spyhop.storage.files import replace_durably
from spyhop.wiring.backtests import Passed
from tune.costly import BackTest
from tune.grid import Pace, evaluate_plainly
from tune.space import Axis, Space

STEPS = 8
"""Reports of a trial that is not stopped."""
PROPOSED_FILE = "proposed.npz"
LOOKED_FILE = "looked.jsonl"
SCORE, REASON = "score", "reason"
RETRIES = 3
REDUCTION = 3
"""ASHA lets one in so many go on at each rung."""
GENERATION = 4
"""Settings that PBT looks at for each member of its population, about."""

IDLE, FAILED = -10.0, -20.0
"""Scores of a setting that never trades, which is no finding, and of one that failed."""

_ANALYSIS = "ray.tune.analysis.experiment_analysis"

log = logging.getLogger(__name__)


class Budget(NamedTuple):
    """How many settings a search may look at, how many periods it may see, and what chance starts from."""

    num_samples: int
    num_periods: int
    seed: int


def searched(
    kind: str,
    objective: Objective,
    arrays: Arrays,
    space: Space,
    budget: Budget,
    folder: Path,
    *,
    on_progress: Callable[[Pace], None] = lambda pace: None,
    should_stop: Callable[[], bool] = lambda: False,
    clock: Clock | None = None,
) -> tuple[npt.NDArray[np.float64], int]:
    """Return the settings that a search proposes, float64 (n, k), distinct, and how many it looked at.

    `kind` is optuna, asha or pbt; what `folder` holds of the same search is gone on with. None are returned when it was
    stopped before its end. Raises UserError when no trial came to its end.
    """
    done = folder / PROPOSED_FILE
    if done.exists():
        with np.load(done) as file:
            return file["points"], int(file["num_looked"])
    total = _population(kind, budget.num_samples)
    with _listening(_Listener(on_progress, should_stop, clock or WallClock(), total)), _undisturbed():
        grid = _tuner(kind, objective, arrays, space, budget, folder).fit()
    if grid.num_terminated + grid.num_errors < total:
        return np.zeros((0, len(space.axes))), 0
    if grid.num_errors == total:
        raise UserError(f"every trial of the search died; the first said: {str(grid.errors[0]).splitlines()[-1]}")
    looked, whole, reasons = _seen(folder / LOOKED_FILE, space)
    points = whole if isinstance(objective, BackTest) else looked
    if not len(points):
        raise UserError(f"no setting of the search came to its end: {reasons[0] if reasons else 'nobody says why'}")
    written = io.BytesIO()
    np.savez(written, points=points, num_looked=len(looked))
    replace_durably(done, written.getvalue())
    return points, len(looked)


def _population(kind: str, num_samples: int) -> int:
    return max(4, -(-num_samples // GENERATION)) if kind == "pbt" else num_samples


def _tuner(
    kind: str, objective: Objective, arrays: Arrays, space: Space, budget: Budget, folder: Path
) -> ray_tune.Tuner:
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    body: Any = _walk_costly if isinstance(objective, BackTest) else _walk_cheap
    body = partial(_trial, body=body, space=space, num_periods=budget.num_periods)
    trainable = ray_tune.with_resources(
        ray_tune.with_parameters(body, objective=objective, arrays=dict(arrays)), {"cpu": 1}
    )
    # Tune takes what is not absolute for the address of a store
    path = folder.absolute() / kind
    if ray_tune.Tuner.can_restore(str(path)):
        return ray_tune.Tuner.restore(str(path), trainable, resume_unfinished=True, resume_errored=True)
    search: Any = BasicVariantGenerator(random_state=budget.seed)
    scheduler: Any = None
    if kind == "optuna":
        search = OptunaSearch(metric=SCORE, mode="max", seed=budget.seed)
    elif kind == "asha":
        scheduler = ASHAScheduler(max_t=STEPS, grace_period=1, reduction_factor=REDUCTION, metric=SCORE, mode="max")
    else:
        scheduler = PopulationBasedTraining(
            time_attr="training_iteration",
            metric=SCORE,
            mode="max",
            perturbation_interval=max(1, STEPS // GENERATION),
            hyperparam_mutations={axis.path: _mutation(axis) for axis in space.axes},
            custom_explore_fn=partial(_inside, space=space),
        )
    return ray_tune.Tuner(
        trainable,
        param_space={axis.path: _domain(axis) for axis in space.axes},
        tune_config=ray_tune.TuneConfig(
            num_samples=_population(kind, budget.num_samples),
            search_alg=search,
            scheduler=scheduler,
            reuse_actors=True,
        ),
        run_config=ray_tune.RunConfig(
            name=kind,
            storage_path=str(path.parent),
            failure_config=ray_tune.FailureConfig(max_failures=RETRIES),
            callbacks=[_Watch(folder / LOOKED_FILE)],
            verbose=0,
        ),
    )


def _trial(
    config: Mapping[str, Any],
    objective: Objective,
    arrays: Arrays,
    *,
    body: Callable[..., None],
    space: Space,
    num_periods: int,
) -> None:
    point = np.array([_code(axis, config[axis.path]) for axis in space.axes])
    edges = np.unique(np.linspace(0, num_periods, STEPS + 1).astype(int))
    state = _State.found() or _State(np.zeros(0), 0, b"")
    try:
        body(objective, arrays, space, point, edges, state)
    except Exception as error:  # noqa: BLE001 - whatever a setting does, the search goes on
        log.info("a trial failed: %s", error)
        ray_tune.report({SCORE: FAILED, REASON: f"{type(error).__name__}: {error}"})


class _State(NamedTuple):
    """What a trial knows: what each period that it walked through earned, its trades, and a back-test's snapshot."""

    pnl: npt.NDArray[np.float64]
    num_trades: int
    kept: bytes

    @staticmethod
    def found() -> _State | None:
        checkpoint = ray_tune.get_checkpoint()
        if checkpoint is None:
            return None
        with checkpoint.as_directory() as folder, np.load(Path(folder) / "state.npz") as file:
            return _State(file["pnl"], int(file["num_trades"]), file["kept"].tobytes())

    def report(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            kept = np.frombuffer(self.kept, np.uint8)
            np.savez(Path(folder) / "state.npz", pnl=self.pnl, num_trades=self.num_trades, kept=kept)
            ray_tune.report({SCORE: score(self.pnl, self.num_trades)}, checkpoint=ray_tune.Checkpoint(folder))


def score(pnl: npt.NDArray[np.float64], num_trades: int) -> float:
    """Return the Sharpe ratio of a period, `IDLE` without trades."""
    deviation = float(np.std(pnl)) if len(pnl) else 0.0
    if num_trades == 0 or deviation == 0.0:
        return IDLE
    return max(IDLE, float(np.mean(pnl)) / deviation)


def _walk_cheap(
    objective: Objective, arrays: Arrays, space: Space, point: npt.NDArray[Any], edges: npt.NDArray[Any], state: _State
) -> None:
    earned, failures = evaluate_plainly(objective, arrays, space.names, point[None])
    if failures:
        raise UserError(failures[0])
    pnl = earned.pnl[0].astype(np.float64)
    for edge in edges[edges > len(state.pnl)]:
        state = _State(np.concatenate((state.pnl, pnl[len(state.pnl) : edge])), int(earned.num_trades[0]), b"")
        state.report()


def _walk_costly(
    objective: BackTest, arrays: Arrays, space: Space, point: npt.NDArray[Any], edges: npt.NDArray[Any], state: _State
) -> None:
    pnl = state.pnl.tolist()
    last = [sum(pnl)]

    def on_period(passed: Passed) -> bool:
        pnl.append(passed.net - last[0])
        last[0] = passed.net
        if len(pnl) in edges:
            _State(np.array(pnl), passed.num_trades, passed.snapshot()).report()
        return len(pnl) < int(edges[-1])

    if len(pnl) < edges[-1]:
        objective.walk(point, on_period, state.kept)


def _domain(axis: Axis) -> Any:
    if axis.values:
        is_word = any(isinstance(value, str | bool) for value in axis.values)
        places = len(axis.values)
        return ray_tune.choice(list(range(places))) if is_word else ray_tune.randint(0, places)
    if axis.is_whole:
        between = ray_tune.lograndint if axis.is_log else ray_tune.randint
        return between(int(axis.low), int(axis.high) + 1)
    return (ray_tune.loguniform if axis.is_log else ray_tune.uniform)(axis.low, axis.high)


def _mutation(axis: Axis) -> Any:
    return list(range(len(axis.values))) if axis.values else _domain(axis)


def _inside(config: dict[str, Any], space: Space) -> dict[str, Any]:
    for axis in space.axes:
        if not axis.values:
            config[axis.path] = type(config[axis.path])(min(max(config[axis.path], axis.low), axis.high))
    return config


def _code(axis: Axis, value: Any) -> float:
    return float(axis.codes()[int(value)]) if axis.values else float(value)


def _seen(path: Path, space: Space) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], list[str]]:
    reasons: list[str] = []
    looked: list[list[float]] = []
    whole: list[list[float]] = []
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            step = msgspec.json.decode(line, type=_Step)
        except msgspec.DecodeError:
            continue  # a driver that was killed tore it; the trial goes on from its checkpoint and says it again
        point = [_code(axis, step.config[axis.path]) for axis in space.axes]
        looked.append(point)
        if step.number >= STEPS and step.score > FAILED:
            whole.append(point)
        reasons += [step.reason] if step.reason else []
    return _distinct(looked, space), _distinct(whole, space), reasons


def _distinct(points: list[list[float]], space: Space) -> npt.NDArray[np.float64]:
    if not points:
        return np.zeros((0, len(space.axes)))
    return np.unique(np.array(points), axis=0)


class _Listener(NamedTuple):
    on_progress: Callable[[Pace], None]
    should_stop: Callable[[], bool]
    clock: Clock
    total: int


_listeners: list[tuple[_Listener, int]] = []


@contextlib.contextmanager
def _listening(listener: _Listener) -> Iterator[None]:
    """Let `listener` hear of trials; not by what Tune holds, which it pickles."""
    _listeners.append((listener, listener.clock.monotonic_ns()))
    try:
        yield
    finally:
        _listeners.pop()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Take back the signals that Tune claims, and have it say nothing of files that we do not keep."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)}
    loggers = [logging.getLogger(name) for name in ("ray.tune", "optuna", _ANALYSIS)]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for number, handler in before.items():
            signal.signal(number, handler)


class _Step(msgspec.Struct, frozen=True):
    """One report of a trial."""

    config: dict[str, float]
    number: int
    score: float
    reason: str = ""


class _Watch(ray_tune.Callback):
    """Writes down every setting that was looked at, and tells the listener of this process how far the search is."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        config = {path: float(value) for path, value in result["config"].items()}
        reason = str(result.get(REASON, ""))
        step = _Step(config, int(result["training_iteration"]), float(result[SCORE]), reason)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(step) + b"\n")

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        for listener, begun in _listeners:
            done = sum(trial.is_finished() for trial in trials)
            failed = sum(trial.status == "ERROR" for trial in trials)
            rate = done * NS_PER_S / max(1, listener.clock.monotonic_ns() - begun)
            left_s = (listener.total - done) / rate if rate else math.inf
            listener.on_progress(Pace(done, listener.total, failed, rate, left_s))
            if listener.should_stop():
                # what Tune takes for a wish to save everything and leave
                signal.raise_signal(signal.SIGUSR1)
