"""An hour of a whole session on Ray at twenty times real time: no process grows, and the end is clean.

    python -m benchmarks.cluster_soak [--minutes X] [--speed X] [--symbols N]

Sixteen symbols of a quiet made-up market trade on paper through all actors. Each few seconds every process below this
one is read from /proc, those of Ray too. What counts is anonymous memory: what a process made itself, which no
neighbour on the machine changes. After a warm-up the slope of the medians of each half minute is told with its 95 %
interval (Theil and Sen: a single leap does not bend it). Flat means that the whole interval is below the bound:

- `OURS_MB_PER_H` for actors: at 20 times real time an hour is 20 of the market, so an actor of 350 MB would take more
  than 200 days of market time to the 3,000 MB at which the conductor starts it anew;
- `RAYS_MB_PER_H` for Ray's services, which live by the machine's time: less than 1 GB in ten days.

At the end the session is drained and replayed: every entry of the journal is made again to the bit.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import msgspec
import numpy as np
from scipy.stats import theilslopes

from actors.conductor import SystemHealth
from benchmarks.output import say
from benchmarks.processes import Usage, usages
from benchmarks.rows import SYMBOLS
from cluster.launch import asked, conduct, conductor_there
from cluster.rays import local_ray
from spyhop.clock import NS_PER_S, WallClock
from spyhop.config.loading import Sources, load
from spyhop.config.settings import Settings
from spyhop.engine.pipeline import Progress
from spyhop.wiring import kernels
from spyhop.wiring.plan import RunRequest, plan_session
from spyhop.wiring.sessions import replay

MINUTES, SPEED, NUM_SYMBOLS = 60.0, 20.0, 16
WARM_FRAC = 0.25
"""Of the whole: windows of the detectors fill, and allocators reach what they will hold."""
EVERY_S = 5.0
OURS_MB_PER_H, RAYS_MB_PER_H = 10.0, 4.0
MAX_GROWTH_FILES = 8
MIN_BLOCKS = 6
PRESENT_FRAC = 0.5
"""Who was there for less of the measured time has no slope: idle workers of Ray come and go."""


class Slope(msgspec.Struct, frozen=True):
    """How one process grew after the warm-up: MB an hour of the machine, with the ends of the 95 % interval."""

    name: str
    is_ray: bool
    own_mb: float
    pss_mb: float
    slope: float
    low: float
    high: float
    files: int

    @property
    def bound(self) -> float:
        """Return what it may grow by."""
        return RAYS_MB_PER_H if self.is_ray else OURS_MB_PER_H


class Sampler:
    """Reads all processes each few seconds while a session runs."""

    def __init__(self, num_feeds: int) -> None:
        self._clock, self._num_feeds = WallClock(), num_feeds
        self._begun = self._next = 0
        self.samples: list[tuple[float, list[Usage]]] = []
        self.health: SystemHealth | None = None
        self.progress = Progress(0, 0, 0, 0)
        self.first_ts = 0

    @property
    def elapsed_s(self) -> float:
        """Return the seconds since all feeds were at work; 0 before."""
        return (self._clock.monotonic_ns() - self._begun) / NS_PER_S if self._begun else 0.0

    def on_progress(self, progress: Progress) -> None:
        """Take a sample when one is due."""
        self.progress = progress
        if (now := self._clock.monotonic_ns()) < self._next:
            return
        self._next = now + int(EVERY_S * NS_PER_S)
        self.health = asked(conductor_there()) or self.health
        told = [] if self.health is None else self.health.actors
        at_work = [one for one in told if one.name.startswith("feed:") and one.statistics.get("events", 0.0)]
        if not self._begun and len(at_work) == self._num_feeds:
            self._begun, self.first_ts = now, progress.ts
        if self._begun:
            self.samples.append((self.elapsed_s, usages({actor.pid: actor.name for actor in told})))


def main() -> None:
    """Print a JSON object a process and a line that says how it went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--speed", type=float, default=SPEED)
    parser.add_argument("--symbols", type=int, default=NUM_SYMBOLS)
    wanted = parser.parse_args()
    kernels.prepare()
    with tempfile.TemporaryDirectory(prefix="spyhop-soak-") as runs:
        settings = quiet(Path(runs), [f"{base}USDT" for base in SYMBOLS[: wanted.symbols]], wanted.speed)
        plan = plan_session(settings, RunRequest(runner="ray"), WallClock())
        with local_ray(dashboard=False, num_cpus=4):
            sampler = Sampler(len(plan.feed_names))
            health = conduct(
                plan, sampler.on_progress, WallClock(), should_drain=lambda: sampler.elapsed_s > wanted.minutes * 60.0
            )
        elapsed_s = sampler.elapsed_s
        again = replay(plan.folder)
        on = f"{wanted.symbols} symbols, {wanted.minutes:g} min at {wanted.speed:g} times real time"
        market_s = (sampler.progress.ts - sampler.first_ts) / NS_PER_S
        say("speed_kept", market_s / elapsed_s, "times real time", on=on)
        say("events_per_s", again.num_events / elapsed_s, "1/s", on=on)
        say("entries", again.num_entries, "entries of the journal", on=on)
        say("market_hours", market_s / 3_600.0, "h", on=on)
        taken = cores(sampler.samples)
        by_kind = ", ".join(f"{kind} {one:.2f}" for kind, one in sorted(taken.items()))
        say("cores", sum(taken.values()), "cores", on=f"all processes: {by_kind}")
        found = slopes(sampler.samples, wanted.minutes * 60.0 * WARM_FRAC, wanted.minutes * 60.0)
        for one in found:
            report(one)
        # a busy machine may wedge one; its next life is measured when it is long enough
        say("restarts", sum(health.restarts.values()), "actors started anew", on=on)
        wrong = problems(found)
        if again.difference is not None:
            wrong.append(f"the replay differs: {again.difference}")
    print(f"FAIL: {'; '.join(wrong)}" if wrong else f"PASS: {len(found)} processes flat, replay equal", flush=True)
    sys.exit(bool(wrong))


def quiet(runs: Path, symbols: list[str], speed: float) -> Settings:
    """Return the settings of a session without an end on a market that moves little: about 60 events a second."""
    overrides = {
        "session.runs": str(runs),
        "session.hours": str(24 * 30),
        "session.symbols": ",".join(symbols),
        "session.speed": str(speed),
        "market.orders_per_s": "0.1",
        "market.refreshes_per_frame": "1",
        "market.depth_bps": "2",
        "market.occupancy_frac": "0.1",
        "market.mark_interval_s": "5",
        "market.open_interest_interval_s": "30",
        "decision.filter.min_probability": "0.2",
        "risk.limits.max_trades_per_day": "100000",
        "risk.limits.max_losses_in_row": "100000",
        "risk.limits.max_daily_loss_frac": "1",
        "risk.limits.max_daily_drawdown_frac": "1",
    }
    said = [("benchmark", name, value) for name, value in overrides.items()]
    return load(Sources(environment={}, overrides=said))[0].settings


def cores(samples: list[tuple[float, list[Usage]]]) -> dict[str, float]:
    """Return how many cores each kind of process took, of those that were there from the middle to the end."""
    # the last sample may be of the drain, when some are gone
    (begin, first), (end, last) = samples[len(samples) // 2], samples[-2]
    before = {one.pid: one.cpu_s for one in first}
    taken: defaultdict[str, float] = defaultdict(float)
    for one in last:
        if one.pid in before:
            taken[one.kind] += (one.cpu_s - before[one.pid]) / max(end - begin, 1e-9)
    return dict(taken)


def slopes(samples: list[tuple[float, list[Usage]]], warm_s: float, end_s: float) -> list[Slope]:
    """Return how each process grew from `warm_s` to `end_s`, those that came late or left early aside."""
    kept = [(at, told) for at, told in samples if warm_s <= at <= end_s]
    by_process: defaultdict[int, list[tuple[float, Usage]]] = defaultdict(list)
    for at, told in kept:
        for one in told:
            by_process[one.pid].append((at, one))
    found = [slope_of(series) for series in by_process.values() if len(series) >= PRESENT_FRAC * len(kept)]
    return sorted(found, key=lambda one: (one.is_ray, one.name))


def slope_of(series: list[tuple[float, Usage]]) -> Slope:
    """Return how one process grew: the slope of the medians of at least six pieces, of half a minute when it is long.

    Neighbouring samples are not independent; medians of pieces nearly are.
    """
    times = np.array([at for at, _ in series])
    held = np.array([one.own_mb for _, one in series])
    last = series[-1][1]
    num_blocks = max(MIN_BLOCKS, int((times[-1] - times[0]) / 30.0))
    blocks = [block for block in np.array_split(np.arange(len(series)), num_blocks) if len(block)]
    hours = np.array([np.median(times[block]) for block in blocks]) / 3_600.0
    fit = theilslopes([np.median(held[block]) for block in blocks], hours, alpha=0.95)
    return Slope(
        name=last.name,
        is_ray=last.is_ray,
        own_mb=float(held[-1]),
        pss_mb=last.pss_mb,
        slope=float(fit.slope),
        low=float(fit.low_slope),
        high=float(fit.high_slope),
        files=last.num_files - series[0][1].num_files,
    )


def report(one: Slope) -> None:
    """Print how one process grew."""
    on = (
        f"{one.name}: 95 % in [{one.low:.2f}, {one.high:.2f}], bound {one.bound:g}; {one.own_mb:.0f} MB of its own, "
        f"{one.pss_mb:.0f} MB with its share of what is shared; files {one.files:+d}"
    )
    say("memory_slope", one.slope, "MB/h", on=on)


def problems(found: list[Slope]) -> list[str]:
    """Return what is not as it should be, in words."""
    wrong = []
    for one in found:
        if one.low > one.bound:
            wrong.append(f"{one.name} grows by {one.slope:.1f} MB/h")
        elif one.high > one.bound:
            wrong.append(f"{one.name}: too short or too restless to say ({one.low:.1f} to {one.high:.1f} MB/h)")
        if one.files > MAX_GROWTH_FILES:
            wrong.append(f"{one.name} has {one.files} more files open")
    return wrong or ([] if found else ["nothing was measured"])


if __name__ == "__main__":
    main()
