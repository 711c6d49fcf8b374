"""A sweep of 100,000 settings submitted as a job while a session trades on the same Ray: what decisions notice of it.

    python -m benchmarks.beside_sweep [--seconds X] [--symbols N] [--bare]

One session trades through, live against the venue simulator at four times real time, on a Ray of its own with its
dashboard, job server and token. Its time is in three parts: alone, beside the sweep (`ray job submit -- spyhop sweep`,
from the submission to its end: reading, evaluating, judging, writing), and alone again. What is compared is how long
after its frame a row is at the decision stage, and how long after it an intent leaves there; the ratio is of the time
beside the sweep to both others together. A sweep's workers are niced, so trading goes first wherever they meet;
`--bare` submits one whose workers are not, for comparison. On a cluster `role: sweep` keeps them on machines of their
own; this is one machine.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import ray
from ray.cluster_utils import Cluster

from benchmarks.latency import BASES, SETTLED_S, SPEED, eager, intents_in, passed, real
from benchmarks.output import say
from benchmarks.rows import timed
from benchmarks.tracing import Trace
from cluster.launch import conduct
from cluster.origins import simulator
from cluster.rays import NAMESPACE, joined_ray
from spyhop.clock import NS_PER_S, WallClock
from spyhop.engine.nodes import Wish
from spyhop.model.decisions import Intent
from spyhop.model.tape import joined
from spyhop.storage.journal import read_tape
from spyhop.venues.endpoints import ClockSpec
from spyhop.wiring import data, kernels
from spyhop.wiring.plan import RunRequest, SessionPlan, plan_session

ROOT = Path(__file__).parents[1]
SECONDS = 60.0
TARGET = 1.5
NUM_BARS = 40_320
"""Four weeks of minutes."""
AXES = (
    ("lead.fall_frac", "0.0004:0.0022:0.0002"),
    ("lead.rise_frac", "0.0004:0.0022:0.0002"),
    ("lead.premium_frac", "0.0001:0.001:0.0001"),
    ("lead.discount_frac", "0.0001:0.001:0.0001"),
    ("lead.take_profit_frac", "0.001:0.01:0.001"),
)
"""Ten steps each: 100,000 settings."""
BARE = "from cluster import cli, rays; rays._YIELDING = {}; cli.main()"
"""A sweep as it would be without giving way."""
BEGIN_MS = 1_764_288_000_000
MOST_S = 7_200.0
JOB_WITHIN_S, JOBS_WITHIN_S = 1_800.0, 300.0
Table = np.ndarray[Any, Any]


class Parts(NamedTuple):
    """When the sweep was submitted and when it had ended, wall nanoseconds, and what it said."""

    begin: int
    end: int
    said: str


class Course:
    """What happens beside the session, in a thread: wait, sweep, wait; then `is_over`, and the session is drained."""

    def __init__(self, seconds: float, prepare: Callable[[], None], sweep: Callable[[], str]) -> None:
        self._seconds, self._prepare, self._sweep = seconds, prepare, sweep
        self._pool = ThreadPoolExecutor(1, "course")
        self._done: Future[tuple[Parts, Trace]] | None = None

    def on_progress(self, progress: Any) -> None:
        """Begin when the first events are there."""
        if progress.num_events and self._done is None:
            self._done = self._pool.submit(self._run)

    def is_over(self) -> bool:
        """Say whether it came to its end, or to an error."""
        return self._done is not None and self._done.done()

    def result(self) -> tuple[Parts, Trace]:
        """Return what was seen; raise what went wrong."""
        if self._done is None:
            raise RuntimeError("the session ended before it had begun")
        return self._done.result()

    def _run(self) -> tuple[Parts, Trace]:
        self._prepare()
        ensemble = ray.get_actor("ensemble", namespace=NAMESPACE)
        ray.get(ensemble.set_traced.remote(is_traced=True))
        time.sleep(self._seconds + SETTLED_S / SPEED)
        begin = time.time_ns()
        said = self._sweep()
        parts = Parts(begin, time.time_ns(), said)
        time.sleep(self._seconds)
        return parts, ray.get(ensemble.take_trace.remote())


def main() -> None:
    """Print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long before the sweep, and after it")
    parser.add_argument("--symbols", type=int, default=2)
    parser.add_argument("--bare", action="store_true", help="a sweep whose workers do not give way")
    wanted = parser.parse_args()
    kernels.prepare()
    names = ",".join(f"{base}USDT" for base in BASES[: wanted.symbols])
    with tempfile.TemporaryDirectory(prefix="spyhop-beside-") as folder:
        runs = Path(folder)
        lake = minutes(runs)
        with (
            simulator(["--symbols", names, "--speed", str(SPEED)]) as endpoints,
            own_ray() as context,
        ):
            settings = eager(runs, names, MOST_S)
            plan = plan_session(settings, RunRequest(runner="ray", endpoints=endpoints), WallClock())
            address = f"http://{context.dashboard_url}"
            course = Course(
                wanted.seconds,
                lambda: await_jobs(address),
                lambda: run_job(address, sweep_of(lake, runs, is_bare=wanted.bare)),
            )
            conduct(plan, course.on_progress, WallClock(), should_drain=course.is_over)
            parts, trace = course.result()
        report(plan, trace, parts, endpoints.clock, wanted.bare)


@contextmanager
def own_ray() -> Iterator[Any]:
    """Start a Ray with a job server of its own: one that `ray.init` starts wants a port that another may have."""
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": os.cpu_count(),
            "include_dashboard": True,
            "dashboard_port": 0,
            "dashboard_agent_listen_port": 0,
        },
    )
    try:
        with joined_ray(cluster.address) as context:
            yield context
    finally:
        cluster.shutdown()


def minutes(folder: Path) -> Path:
    """Return a lake of four weeks of made-up minutes of BTC at Binance and dYdX, the second one minute behind."""
    rng = np.random.default_rng(5)
    close = 90_000 * np.exp(np.cumsum(rng.normal(0, 5e-4, NUM_BARS)))
    table: dict[str, Any] = {"ts_ms": BEGIN_MS + 60_000 * np.arange(NUM_BARS, dtype=np.int64)}
    for venue, lag in (("binance", 0), ("dydx", 1)):
        closed = np.r_[close[:lag], close[: NUM_BARS - lag]] * np.exp(rng.normal(0, 1e-4, NUM_BARS))
        opened = np.r_[closed[0], closed[:-1]]
        table |= {
            f"open_{venue}": opened,
            f"high_{venue}": np.maximum(opened, closed) * 1.0002,
            f"low_{venue}": np.minimum(opened, closed) * 0.9998,
            f"close_{venue}": closed,
            f"volume_{venue}": rng.exponential(5.0, NUM_BARS),
        }
    path = folder / "BTC_1m.parquet"
    pd.DataFrame(table).to_parquet(path)
    data.import_data([path], str(folder / "lake"), lambda progress: None)
    return folder / "lake"


def sweep_of(lake: Path, runs: Path, *, is_bare: bool) -> str:
    """Return the command of the sweep, for a shell."""
    program = ["-c", BARE] if is_bare else ["-m", "cluster.cli"]
    sweep = [sys.executable, *program, "sweep", "--lake", str(lake), "--symbols", "BTC", "--runs", str(runs)]
    sweep += [word for path, span in AXES for word in ("--param", f"{path}={span}")]
    return f"cd {shlex.quote(str(ROOT))} && {shlex.join(sweep)}"


def run_job(address: str, entrypoint: str) -> str:
    """Submit a job, wait for its end and return what it said; raise RuntimeError when it failed."""
    command = [str(Path(sys.executable).with_name("ray")), "job", "submit", "--address", address, "--"]
    done = subprocess.run(
        [*command, "sh", "-c", entrypoint],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=JOB_WITHIN_S, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the job failed:\n{done.stdout[-4_000:]}")
    return done.stdout


def await_jobs(address: str) -> None:
    """Return when jobs are taken: Ray's agent begins some time after the rest of it."""
    deadline = time.monotonic() + JOBS_WITHIN_S
    while True:
        try:
            run_job(address, "true")
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)
        else:
            return


def report(plan: SessionPlan, trace: Trace, parts: Parts, clock: ClockSpec, is_bare: bool) -> None:
    """Say how long rows and intents took in each part, and the ratios."""
    looked = next((line for line in parts.said.splitlines() if "settings looked at" in line), "").strip()
    bare = ", its workers not niced" if is_bare else ""
    say("sweep_seconds", (parts.end - parts.begin) / NS_PER_S, "s", on=f"the job, from its submission: {looked}{bare}")
    for what, took in (("frame_to_row", timed(plan, trace, clock)), ("frame_to_intent", intents(plan, trace, clock))):
        during = (took[:, 0] >= parts.begin) & (took[:, 0] < parts.end)
        before, after = took[:, 0] < parts.begin, took[:, 0] >= parts.end
        for percent in (50, 99):
            for name, part in (("alone", before), ("beside", during), ("alone_again", after)):
                say(f"{what}_p{percent}_{name}", _percentile(took[part, 1], percent), "ms", on=f"{part.sum()} of them")
            ratio = _percentile(took[during, 1], percent) / _percentile(took[~during, 1], percent)
            say(f"{what}_p{percent}_ratio", ratio, "x", on=f"target {TARGET:g}, {plan.session.source}{bare}")


def intents(plan: SessionPlan, trace: Trace, clock: ClockSpec) -> Table:
    """Return for each intent when the frame behind it was received, and how long after that it left the decision."""
    wall = time.time_ns() - time.monotonic_ns()
    left = intents_in(passed(trace, ">intents", list[Wish]), wall)
    decided = {one.seq: one for _, one in passed(trace, ">intents", list[Wish]) if isinstance(one, Intent)}
    found = []
    for name in plan.feed_names:
        received = joined(list(read_tape(plan.folder, name)))["ts_recv"]
        for seq, intent in decided.items():
            if intent.instrument == plan.instrument(name).id:
                cause = int(received[min(int(np.searchsorted(received, intent.ts)), len(received) - 1)])
                found.append((real(cause, clock), left[seq] - real(cause, clock)))
    return np.array(found, np.float64).reshape(len(found), 2)


def _percentile(took: Table, percent: float) -> float:
    return float(np.percentile(took, percent)) / 1e6 if len(took) else float("nan")


if __name__ == "__main__":
    main()
