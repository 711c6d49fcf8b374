"""Evaluates very many settings of a cheap objective: plain Ray tasks over arrays that are placed once.

A task takes a batch of settings, about a second of work by the rate measured so far, and maps the arrays read-only
from the object store of its node. Few batches are under way at a time. A batch whose worker or node died runs again,
on another node if need be; one that kills every worker it is given to is halved until the setting is found that does.
A setting that raises is found by halving too. Neither ends the sweep. Results lie by the settings' numbers, so which
process evaluated what, and how often, changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import ray
from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, WorkerCrashedError

from spyhop.clock import NS_PER_S, Clock, WallClock
from spyhop.research.objectives.objective import Arrays, Evaluated, Objective
from tune.batches import Batch, Batches

BATCH_S = 1.0
BATCH_BYTES = 32 << 20
"""The most that one batch may return."""
GROWTH = 64
RETRIES = 3
POLL_S = 0.2
RATE_OVER = 8
"""So many of the last batches say how fast a core is."""

_DEAD = (WorkerCrashedError, OutOfMemoryError, NodeDiedError)


class Pace(NamedTuple):
    """How far a sweep is: settings done of `total`, of them `failed`; a second, in this run; seconds left."""

    done: int
    total: int
    failed: int
    rate: float
    left_s: float


class Swept(NamedTuple):
    """What every setting earned: `pnl` (n, T), `num_trades` (n,), and why those that failed did, by number.

    A setting that failed, or that was not reached before somebody stopped the sweep, has zeros and is not `is_done`.
    """

    pnl: npt.NDArray[np.float32]
    num_trades: npt.NDArray[np.int32]
    is_done: npt.NDArray[np.bool_]
    failures: dict[int, str]
    num_run: int
    """Settings evaluated by this call; the others were on disk."""


def evaluate_all(
    objective: Objective,
    arrays: Arrays,
    names: Sequence[str],
    settings: npt.NDArray[np.float64],
    *,
    batches: Batches | None = None,
    on_batch: Callable[[Batch], None] = lambda batch: None,
    on_progress: Callable[[Pace], None] = lambda pace: None,
    should_stop: Callable[[], bool] = lambda: False,
    batch_s: float = BATCH_S,
    clock: Clock | None = None,
) -> Swept:
    """Evaluate all `settings`, float64 (n, k), on the Ray that this process is connected to.

    With `batches` every batch is durable before it counts, and what is there already is not evaluated again.
    `on_batch` hears of each batch that counts, those found on disk first. After `should_stop()` what is under way ends.
    """
    run = _Run(objective, arrays, names, settings, batches, on_batch, on_progress, batch_s, clock or WallClock())
    run.recall()
    run.work(should_stop)
    return run.swept()


def evaluate_plainly(
    objective: Objective, arrays: Arrays, names: Sequence[str], settings: npt.NDArray[np.float64]
) -> tuple[Evaluated, dict[int, str]]:
    """Evaluate `settings` here and now; return what they earned and why those that failed did, by number.

    A batch that raises is halved until the settings are alone that do; they get zeros.
    """
    try:
        earned, failures = objective.evaluate(arrays, names, settings), dict[int, str]()
    except Exception:  # noqa: BLE001 - whatever a setting does, the others go on
        earned, failures = _halved(objective, arrays, names, settings)
    # a sum is finite where all its parts are, and reads each number once
    for row in np.flatnonzero(~np.isfinite(earned.pnl.sum(axis=1, dtype=np.float64))):
        failures[int(row)] = "what it earned is not a finite number"
        earned.pnl[row], earned.num_trades[row] = 0.0, 0
    return earned, failures


def _halved(
    objective: Objective, arrays: Arrays, names: Sequence[str], settings: npt.NDArray[np.float64]
) -> tuple[Evaluated, dict[int, str]]:
    failures: dict[int, str] = {}
    pnl = np.zeros((len(settings), len(objective.periods(arrays))), np.float32)
    num_trades = np.zeros(len(settings), np.int32)
    waiting = [(0, len(settings))]
    while waiting:
        first, stop = waiting.pop()
        if first == stop:
            continue
        try:
            pnl[first:stop], num_trades[first:stop] = objective.evaluate(arrays, names, settings[first:stop])
        except Exception as error:  # noqa: BLE001 - as above
            if stop - first == 1:
                failures[first] = _reason(error)
            else:
                middle = (first + stop) // 2
                waiting += [(first, middle), (middle, stop)]
    return Evaluated(pnl, num_trades), failures


class _Placed(NamedTuple):
    """What every task of a sweep needs, in the object store once."""

    objective: Objective
    arrays: dict[str, npt.NDArray[Any]]
    names: tuple[str, ...]


class _Returned(NamedTuple):
    earned: Evaluated
    failures: dict[int, str]
    seconds: float


_warm: set[str] = set()


def _evaluate(placed: _Placed, settings: npt.NDArray[np.float64]) -> _Returned:
    if placed.objective.name not in _warm:
        # what a process does once (imports, compiled code) is not the rate of a batch
        evaluate_plainly(placed.objective, placed.arrays, placed.names, settings[:1])
        _warm.add(placed.objective.name)
    clock = WallClock()
    begun = clock.monotonic_ns()
    earned, failures = evaluate_plainly(placed.objective, placed.arrays, placed.names, settings)
    return _Returned(earned, failures, (clock.monotonic_ns() - begun) / NS_PER_S)


_remote: Any = ray.remote(_evaluate)
_TASK = _remote.options(num_cpus=1, max_retries=RETRIES, enable_task_events=False)


class _Run:
    """One call of `evaluate_all`."""

    def __init__(
        self,
        objective: Objective,
        arrays: Arrays,
        names: Sequence[str],
        settings: npt.NDArray[np.float64],
        batches: Batches | None,
        on_batch: Callable[[Batch], None],
        on_progress: Callable[[Pace], None],
        batch_s: float,
        clock: Clock,
    ) -> None:
        self._placed = _Placed(objective, dict(arrays), tuple(names))
        self._settings = np.ascontiguousarray(settings, np.float64)
        self._batches, self._on_batch, self._on_progress = batches, on_batch, on_progress
        self._batch_s, self._clock, self._begun = batch_s, clock, clock.monotonic_ns()
        num_periods = len(objective.periods(arrays))
        self._pnl = np.zeros((len(settings), num_periods), np.float32)
        self._num_trades = np.zeros(len(settings), np.int32)
        self._is_reached = np.zeros(len(settings), np.bool_)
        self._failures: dict[int, str] = {}
        self._most = max(1, BATCH_BYTES // (4 * max(1, num_periods)))
        self._measured: deque[tuple[int, float]] = deque(maxlen=RATE_OVER)
        self._num_run = 0

    def recall(self) -> None:
        """Count what lies on disk."""
        if self._batches is not None:
            for batch in self._batches.kept(self._pnl.shape[1]):
                self._count(batch)

    def work(self, should_stop: Callable[[], bool]) -> None:
        """Evaluate what is missing."""
        waiting = deque(self._gaps())
        if not waiting:
            return
        data = ray.put(self._placed)
        under_way: dict[Any, tuple[int, int]] = {}
        num_cpus, asked = _num_cpus(), self._clock.monotonic_ns()
        while under_way or (waiting and not should_stop()):
            if self._clock.monotonic_ns() - asked > 2 * NS_PER_S:
                num_cpus, asked = _num_cpus(), self._clock.monotonic_ns()
            while waiting and len(under_way) < 2 * num_cpus and not should_stop():
                first, stop = self._next(waiting, num_cpus)
                under_way[_TASK.remote(data, self._settings[first:stop])] = first, stop
            ready, _ = ray.wait(list(under_way), num_returns=1, timeout=POLL_S)
            for reference in ready:
                first, stop = under_way.pop(reference)
                try:
                    returned = ray.get(reference)
                except ObjectLostError:
                    # the arrays or the answer went with a node: put the arrays again, ask again
                    data = ray.put(self._placed)
                    waiting.appendleft((first, stop))
                except _DEAD as error:
                    waiting.extendleft(self._halved(first, stop, error))
                else:
                    self._take(first, returned)

    def swept(self) -> Swept:
        """Return what is known so far."""
        is_done = self._is_reached.copy()
        is_done[list(self._failures)] = False
        return Swept(self._pnl, self._num_trades, is_done, self._failures, self._num_run)

    def _gaps(self) -> list[tuple[int, int]]:
        edges = np.flatnonzero(np.diff(np.concatenate(([True], self._is_reached, [True])).astype(np.int8)))
        return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]

    def _next(self, waiting: deque[tuple[int, int]], num_cpus: int) -> tuple[int, int]:
        first, stop = waiting.popleft()
        size = min(self._size(), self._most)
        left = stop - first + sum(end - begin for begin, end in waiting)
        # towards the end smaller ones, so that all cores end together
        size = max(1, size // 16, min(size, -(-left // (2 * num_cpus))))
        if first + size < stop:
            waiting.appendleft((first + size, stop))
        return first, min(stop, first + size)

    def _size(self) -> int:
        count = sum(count for count, _ in self._measured)
        seconds = sum(seconds for _, seconds in self._measured)
        if not count:
            return 1
        largest = max(count for count, _ in self._measured)
        return int(min(count / max(seconds, 1e-9) * self._batch_s, GROWTH * largest)) or 1

    def _take(self, first: int, returned: _Returned) -> None:
        batch = Batch(first, returned.earned.pnl, returned.earned.num_trades, returned.failures)
        if self._batches is not None:
            self._batches.keep(batch)
        self._measured.append((len(batch.pnl), returned.seconds))
        self._num_run += len(batch.pnl)
        self._count(batch)

    def _halved(self, first: int, stop: int, error: Exception) -> list[tuple[int, int]]:
        if stop - first > 1:
            middle = (first + stop) // 2
            return [(middle, stop), (first, middle)]
        num_periods = self._pnl.shape[1]
        nothing = Evaluated(np.zeros((1, num_periods), np.float32), np.zeros(1, np.int32))
        reason = f"it killed {1 + RETRIES} workers: {_reason(error)}"
        self._take(first, _Returned(nothing, {0: reason}, self._batch_s))
        return []

    def _count(self, batch: Batch) -> None:
        first, stop = batch.first, batch.stop
        self._pnl[first:stop], self._num_trades[first:stop] = batch.pnl, batch.num_trades
        self._is_reached[first:stop] = True
        self._failures |= {first + row: reason for row, reason in batch.failures.items()}
        self._on_batch(batch)
        done, total = int(self._is_reached.sum()), len(self._is_reached)
        rate = self._num_run * NS_PER_S / max(1, self._clock.monotonic_ns() - self._begun)
        self._on_progress(Pace(done, total, len(self._failures), rate, (total - done) / rate if rate else 0.0))


_resources: Callable[[], dict[str, float]] = ray.cluster_resources


def _num_cpus() -> int:
    return max(1, int(_resources().get("CPU", 1)))


def _reason(error: Exception) -> str:
    words = str(error).strip().splitlines()
    return f"{type(error).__name__}: {words[0][:200]}" if words else type(error).__name__
