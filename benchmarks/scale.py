"""How many symbols one host carries: 1 to 64 of them, live against the venue simulator at real time.

    python -m benchmarks.scale [--symbols N ...] [--seconds X] [--write docs/scale.md]

For each number of symbols a session runs on Ray; from when all feeds are at work, `SETTLED_S` later, every process
is read from /proc at the begin and the end of a window: processor time, memory (PSS, so that shared pages count once),
and frames. Then a session over the same simulator and symbols runs in one process (`--local`): the same sockets,
nodes, tape and ledger without Ray. What the session on Ray takes beyond that is Ray's share: its services (raylet,
GCS, agents, monitors) and what calls, pickling and event loops cost inside the actors.

Processor time is what is compared, not throughput, so a busy neighbour slows a run and hardly changes what it says. The
simulator is on the same machine and not counted. A machine is saturated where rows come ever later to the ensemble.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import ray

from actors.conductor import SystemHealth
from benchmarks import scale_page
from benchmarks.output import say
from benchmarks.processes import Usage, machine_cpu_s, usages
from benchmarks.rows import SYMBOLS, timed
from benchmarks.scale_page import Count
from benchmarks.tracing import Trace
from cluster.launch import asked, conduct, conductor_there
from cluster.origins import simulator
from cluster.rays import NAMESPACE, local_ray
from spyhop.clock import NS_PER_S, WallClock
from spyhop.config.loading import Sources, load
from spyhop.engine.pipeline import Progress
from spyhop.venues.endpoints import ClockSpec, Endpoints
from spyhop.wiring import kernels
from spyhop.wiring.plan import RunRequest, plan_session

COUNTS = (1, 2, 4, 8, 16, 32, 64)
SECONDS, SETTLED_S = 60.0, 15.0
READY_WITHIN_S = 600.0
REAL_TIME = ClockSpec(speed=1.0)
_HOURS = "12"
"""Longer than any run: each is drained."""


class Window:
    """Reads all processes at the begin and the end of the time that is measured, while a session runs on Ray."""

    def __init__(self, num_feeds: int, seconds: float) -> None:
        self._clock, self._num_feeds, self._seconds = WallClock(), num_feeds, seconds
        self._ready = self._next = 0
        self.begin: Reading | None = None
        self.end: Reading | None = None
        self.trace: Trace = []

    def on_progress(self, progress: Progress) -> None:
        """Look at the session when a second has passed, and read when it is time."""
        if self.end or (now := self._clock.monotonic_ns()) < self._next:
            return
        self._next = now + NS_PER_S
        health = asked(conductor_there())
        if health is None:
            return
        if not self._ready and self._are_at_work(health):
            self._ready = now
        if not self.begin and self._ready and now - self._ready >= SETTLED_S * NS_PER_S:
            ray.get(self._ensemble().set_traced.remote(is_traced=True))
            self.begin = Reading.of(health)
        elif self.begin and (now - self.begin.at) >= self._seconds * NS_PER_S:
            self.end = Reading.of(health)
            self.trace = ray.get(self._ensemble().take_trace.remote())

    def _are_at_work(self, health: SystemHealth) -> bool:
        feeds = [one for one in health.actors if one.name.startswith("feed:")]
        return sum(one.statistics.get("events", 0.0) > 0 for one in feeds) == self._num_feeds

    @staticmethod
    def _ensemble() -> ray.actor.ActorHandle:
        return ray.get_actor("ensemble", namespace=NAMESPACE)


class Reading(msgspec.Struct, frozen=True):
    """All processes at one moment, and how many frames feeds had received."""

    at: int
    processes: list[Usage]
    frames: float
    machine_s: tuple[float, float]

    @classmethod
    def of(cls, health: SystemHealth) -> Reading:
        """Read now."""
        names = {actor.pid: actor.name for actor in health.actors}
        frames = sum(actor.statistics.get("frames", 0.0) for actor in health.actors)
        return cls(WallClock().monotonic_ns(), usages(names), frames, machine_cpu_s())


def main() -> None:
    """Print a JSON object a measurement, then the page or where it was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, nargs="*", default=list(COUNTS), help="how many symbols, run by run")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="what is measured of each run")
    parser.add_argument("--write", type=Path, help="the page to write; printed without it")
    parser.add_argument("--keep", type=Path, help="append what was measured to this file, and begin with what it holds")
    wanted = parser.parse_args()
    kernels.prepare()
    known = scale_page.kept(wanted.keep) if wanted.keep else {}
    for number in wanted.symbols:
        if number not in known:
            known[number] = measure(number, wanted.seconds)
            if wanted.keep:
                scale_page.keep(wanted.keep, known[number])
        told(known[number])
    text = scale_page.page(sorted(known.values(), key=lambda one: one.symbols), os.cpu_count() or 1)
    if wanted.write:
        wanted.write.write_text(text)
    else:
        print(text)


def names_of(number: int) -> list[str]:
    """Return so many symbols: the usual ones, then made-up ones."""
    usual = [f"{base}USDT" for base in SYMBOLS]
    return [*usual, *(f"S{k}USDT" for k in range(len(usual), number))][:number]


def measure(number: int, seconds: float) -> Count:
    """Run so many symbols on Ray, then without it, and return what both took."""
    names = ",".join(names_of(number))
    with (
        tempfile.TemporaryDirectory(prefix="spyhop-scale-") as folder,
        simulator(["--symbols", names, "--speed", "1"]) as endpoints,
    ):
        window, lags = on_ray(Path(folder, "ray"), names, number, endpoints, seconds)
        bare_cores, bare_mb = without_ray(Path(folder, "bare"), names, number, endpoints, seconds)
    assert window.begin is not None
    assert window.end is not None
    return count_of(number, window.begin, window.end, lags, (bare_cores, bare_mb))


def on_ray(
    runs: Path, names: str, number: int, endpoints: Endpoints, seconds: float
) -> tuple[Window, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Run a session on Ray; return what was read of its processes, and how late rows came, nanoseconds in order."""
    said = {"session.runs": str(runs), "session.hours": _HOURS, "session.symbols": names}
    overrides = [("benchmark", name, value) for name, value in said.items()]
    settings = load(Sources(environment={}, overrides=overrides))[0].settings
    plan = plan_session(settings, RunRequest(runner="ray", endpoints=endpoints), WallClock())
    window = Window(number, seconds)
    with local_ray(dashboard=False, num_cpus=max(4, number // 4)):
        conduct(plan, window.on_progress, WallClock(), should_drain=lambda: window.end is not None)
    took = timed(plan, window.trace, REAL_TIME)
    return window, took[np.argsort(took[:, 0]), 1]


def without_ray(runs: Path, names: str, number: int, endpoints: Endpoints, seconds: float) -> tuple[float, float]:
    """Run a session in one process; return the cores that it took and its memory, MB."""
    runs.mkdir()
    file = runs / "venues.json"
    file.write_bytes(msgspec.json.encode(endpoints))
    command = [sys.executable, "-m", "cluster.cli", "run", "--paper", "--local", "--venues", str(file)]
    command += ["--runs", str(runs), "--symbols", names, "--hours", _HOURS]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(lambda: len(list(runs.glob("*/tape/*"))) == number, process)
        time.sleep(SETTLED_S)
        begun, (before,) = time.monotonic(), usages({}, process.pid)
        time.sleep(seconds)
        took, (after,) = time.monotonic() - begun, usages({}, process.pid)
        return (after.cpu_s - before.cpu_s) / took, after.pss_mb
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(is_so: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not is_so():
        if process.poll() is not None or time.monotonic() > deadline:
            raise TimeoutError(f"the session without Ray did not begin (exit code {process.returncode})")
        time.sleep(0.2)


def count_of(
    number: int,
    begin: Reading,
    end: Reading,
    lags: np.ndarray[tuple[int], np.dtype[np.float64]],
    bare: tuple[float, float],
) -> Count:
    """Return what one number of symbols took, from the two readings and the session without Ray."""
    seconds = (end.at - begin.at) / NS_PER_S
    before = {one.pid: one.cpu_s for one in begin.processes}
    cores: dict[str, float] = {}
    memory: dict[str, float] = {}
    for one in end.processes:
        kind = one.kind
        cores[kind] = cores.get(kind, 0.0) + (one.cpu_s - before.get(one.pid, one.cpu_s)) / seconds
        memory[kind] = memory.get(kind, 0.0) + one.pss_mb
    used, there = (after - first for after, first in zip(end.machine_s, begin.machine_s, strict=True))
    first, _, last = np.array_split(lags, 3) if len(lags) >= 3 else (lags, lags, lags)
    return Count(
        symbols=number,
        frames_per_s=(end.frames - begin.frames) / seconds / number,
        cores=cores,
        memory_mb=memory,
        bare_cores=bare[0],
        bare_mb=bare[1],
        lag_p50_ms=float(np.percentile(lags, 50)) / 1e6 if len(lags) else -1.0,
        lag_p99_ms=float(np.percentile(lags, 99)) / 1e6 if len(lags) else -1.0,
        lag_growth_ms=float(np.median(last) - np.median(first)) / 1e6 if len(lags) else -1.0,
        neighbours_cores=max(0.0, used / seconds - sum(cores.values())),
        machine_used_frac=used / max(there, 1e-9),
    )


def told(one: Count) -> None:
    """Print what one number of symbols took."""
    on = (
        f"{one.symbols} symbols, {one.frames_per_s:.0f} frames/s each; neighbours take {one.neighbours_cores:.2f} cores"
    )
    say("cores", one.total_cores, "cores", on=on)
    say("cores_without_ray", one.bare_cores, "cores", on=on)
    say("share_of_ray", 100.0 * one.ray_share, "%", on=on)
    say("memory", one.total_mb, "MB", on=on)
    say("frame_to_row_p50", one.lag_p50_ms, "ms", on=on)
    say("frame_to_row_p99", one.lag_p99_ms, "ms", on=on)
    say("lag_growth", one.lag_growth_ms, "ms, last third of the window against the first", on=on)


if __name__ == "__main__":
    main()
