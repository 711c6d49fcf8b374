"""A thousand trading sessions in which everything goes wrong: `python -m benchmarks.chaos --runs 1000 --seed 0`.

In each the real order path of a live session trades an account of its own at the venue simulator: order vessel, desk,
ccxt trader and private stream in one process, the ledger in another. Both are killed at drawn moments and points while
the venue errs as drawn; then all is quiet, the session ends, and what the venue knows is compared with what we know.
A run is repeated by its seed (`--runs 1 --seed N`); how processes and sockets interleave is the machine's business.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import pickle
import queue
import shutil
import sys
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

import spyhop
from benchmarks import chaos_child, chaos_ledger, chaos_truth
from benchmarks.chaos_life import Job
from benchmarks.chaos_script import LATE, QUIET_S, STORM_S, SYMBOLS, Kill, Script, script, settings
from benchmarks.chaos_venue import key_of, lively_venue
from spyhop.clock import NS_PER_S
from spyhop.config.settings import encoded
from spyhop.identity import session_id
from spyhop.model.control import Session
from spyhop.storage.journal import write_session
from spyhop.venues.endpoints import Endpoints
from spyhop.wiring.plan import LiveSource, SessionPlan
from spyhop.wiring.venues import Listing, listed

SPEED = 12.0
DRAIN_WITHIN_S = 40.0
"""Seconds of the machine that a session may take from its end to flat."""
KEPT = "kept.bin"
_POLL_S = 0.01
_SPAWNING = threading.Lock()
_OPENING = threading.Lock()
"""Opening a ledger migrates it, which no two threads may do at once."""


class Outcome(msgspec.Struct):
    """What came of one run."""

    seed: int
    violations: list[str]
    kills: list[str]
    troubles: list[str]
    hits: dict[str, int]
    num_orders: int = 0
    num_fills: int = 0
    num_trips: int = 0
    bare_s: float = 0.0
    wall_s: float = 0.0
    folder: str = ""


class Kept(NamedTuple):
    """What a comparison of a run is made of, pickled into its folder so that it can be made again."""

    job: Job
    word: chaos_truth.Word
    quiet: int

    @classmethod
    def of(cls, outcome: Outcome) -> Kept:
        """Return what was kept of a run."""
        kept = pickle.loads(Path(outcome.folder, KEPT).read_bytes())
        assert isinstance(kept, cls)
        return kept


class Lives:
    """The lives of one process, one after the other: each but the last may be killed."""

    def __init__(
        self,
        name: str,
        work: Callable[[Job], None],
        job: Job,
        kills: Sequence[Kill],
        between: Callable[[], None] = lambda: None,
    ) -> None:
        self._between = between
        self.name, self._work, self._job, self._kills = name, work, job, list(kills)
        self.killed: list[str] = []
        self._kill: Kill | None = None
        self._process: Any = None
        self.begin()

    def begin(self) -> None:
        """Begin a life."""
        self._kill = self._kills.pop(0) if self._kills else None
        job = msgspec.structs.replace(self._job, kill=self._kill)
        with _SPAWNING:
            self._process = _context().Process(target=self._work, args=(job,), daemon=True)
            self._process.start()

    @property
    def pid(self) -> int:
        """Return the process id of this life."""
        return int(self._process.pid)

    @property
    def is_over(self) -> bool:
        """Say whether a life came to its natural end; one that was killed is followed by the next."""
        code = self._process.exitcode
        if code is None:
            return False
        if code == 0:
            return True
        if code == -9 and self._kill is not None:
            self.killed.append(f"{self.name}: {self._kill.point}")
        else:
            self.killed.append(f"{self.name}: failed ({code})")
            if len(self.killed) > 20:
                raise RuntimeError(f"{self.name} fails again and again")
        self._between()
        self.begin()
        return False

    def calm(self) -> None:
        """Kill a life that still waits for its point, and let the following ones live."""
        self._kills = []
        if self._kill is not None and self._process.exitcode is None:
            self._kill = Kill(LATE)
            self._process.kill()
            self._process.join(10)

    def end(self) -> None:
        """Make sure that nothing is left."""
        if self._process.exitcode is None:
            self._process.kill()
        self._process.join(10)


def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.chaos_child", "benchmarks.chaos_ledger"])
    return context


class Room:
    """One simulator and the runs that it serves, one after the other."""

    def __init__(self, endpoints: Endpoints, num_keys: int, *, keeps: bool = False) -> None:
        self.endpoints, self._left, self._keeps = endpoints, iter(range(num_keys)), keeps
        self._clock = endpoints.clock.clock()
        self._listing: Listing = asyncio.run(listed(endpoints, SYMBOLS))

    def run(self, seed: int, runs: Path) -> Outcome:
        """Make the run of `seed` in a folder of its own."""
        began, drawn = time.monotonic(), script(seed)
        folder = Path(tempfile.mkdtemp(prefix=f"{seed}-", dir=runs))
        outcome = Outcome(seed, [], [], [trouble.name for trouble in drawn.troubles], {}, folder=str(folder))
        try:
            self._play(self._job(drawn, folder), drawn, outcome)
        except Exception as error:  # noqa: BLE001  whatever breaks a run is a finding
            outcome.violations.append(f"run: {type(error).__name__}: {error}")
            (folder / "failure.txt").write_text(traceback.format_exc())
        finally:
            self._faults("DELETE")
        outcome.wall_s = time.monotonic() - began
        if not outcome.violations and not self._keeps:
            shutil.rmtree(folder)
        return outcome

    def _job(self, drawn: Script, folder: Path) -> Job:
        now = self._clock.now_ns()
        wanted, key = settings(drawn, str(folder)), key_of(next(self._left))
        session = Session(
            id=session_id(now),
            started=now,
            mode="live",
            source="venue simulator",
            is_simulated=True,
            instruments=tuple(one.numbered(number) for number, one in enumerate(self._listing.instruments)),
            settings=encoded(wanted),
            version=spyhop.__version__,
            runner="local",
        )
        home = folder / session.id
        write_session(home, session)
        source = LiveSource(self.endpoints, self._listing.limits)
        plan = SessionPlan(session=session, folder=home, settings=wanted, source=source)
        return Job(plan, drawn, key.key, key.secret, None, STORM_S + QUIET_S)

    def _play(self, job: Job, drawn: Script, outcome: Outcome) -> None:
        lives: list[Lives] = []
        try:
            lives.append(Lives("ledger", chaos_ledger.keep, job, drawn.ledger_kills))
            asking = chaos_truth.Asking(job)

            def look() -> None:
                outcome.violations += asking.unintended()

            lives.append(Lives("executor", chaos_child.execute, job, drawn.kills, look))
            self._storm(job, drawn, lives, outcome)
            quiet = self._drain(job, lives, outcome)
            outcome.kills = [kill for one in lives for kill in one.killed]
            word = asking.word()
            kept = Kept(job, word, quiet)
            Path(outcome.folder, KEPT).write_bytes(pickle.dumps(kept))
            with _OPENING:
                found = chaos_truth.compare(job, word, quiet)
            outcome.violations += found.violations
            outcome.num_orders, outcome.num_fills, outcome.num_trips = (
                found.num_orders,
                found.num_fills,
                found.num_trips,
            )
            outcome.bare_s = found.bare_s
        finally:
            for one in lives:
                one.end()

    def _storm(self, job: Job, drawn: Script, lives: list[Lives], outcome: Outcome) -> None:
        """Let kills and faults happen, then end them."""
        started, troubles = job.plan.session.started, list(drawn.troubles)
        while (at_s := (self._clock.now_ns() - started) / NS_PER_S) < STORM_S:
            while troubles and troubles[0].at_s <= at_s:
                self._faults("POST", troubles.pop(0).faults)
            if lives[1].is_over:
                break  # the machine stood still for the rest of the session, for us only
            assert not lives[0].is_over
            time.sleep(_POLL_S)
        hits: Counter[str] = Counter()
        for told in self._faults("GET"):
            hits[told["fault"]["kind"]] += told["num_hits"]
        outcome.hits = {kind: count for kind, count in hits.items() if count}
        self._faults("DELETE")
        for one in lives:
            one.calm()

    def _drain(self, job: Job, lives: list[Lives], outcome: Outcome) -> int:
        """Wait for the end of the session; return when the last life had begun, nanoseconds of the market."""
        deadline = time.monotonic() + QUIET_S / SPEED + DRAIN_WITHIN_S
        quiet = 0
        ledger, executor = lives
        while not executor.is_over:
            assert not ledger.is_over
            if not quiet and chaos_child.is_up(job, executor.pid):
                quiet = self._clock.now_ns()
            if time.monotonic() > deadline:
                outcome.violations.append(f"end: the session is not over {DRAIN_WITHIN_S:g} s after its end")
                return quiet
            time.sleep(_POLL_S)
        while time.monotonic() < deadline:
            try:
                asyncio.run(chaos_ledger.close_ledger(job.socket))
                break
            except OSError:
                assert not ledger.is_over
                time.sleep(_POLL_S)  # it was killed, and does not listen again yet
        while not ledger.is_over and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return quiet

    def _faults(self, method: str, faults: Sequence[dict[str, Any]] | None = None) -> Any:
        body = json.dumps(faults).encode() if faults is not None else None
        with urllib.request.urlopen(
            urllib.request.Request(f"{self.endpoints.admin}/faults", data=body, method=method)
        ) as answer:
            return json.load(answer)


@contextmanager
def rooms(count: int, num_keys: int, seed: int, *, keeps: bool = False) -> Iterator[list[Room]]:
    """Open `count` simulators, each for `num_keys` runs; the files of all runs stay when `keeps`."""
    # the process that all lives are forked from imports everything once, before any session's clock runs
    warm = _context().Process(target=chaos_child.nothing)
    warm.start()
    warm.join()
    with ExitStack() as stack:
        opened = [stack.enter_context(lively_venue(SYMBOLS, SPEED, seed + n, num_keys)) for n in range(count)]
        yield [Room(endpoints, num_keys, keeps=keeps) for endpoints in opened]


def storm(
    seeds: Sequence[int],
    folder: Path,
    abreast: int,
    each: Callable[[Outcome], None] = lambda outcome: None,
    *,
    keeps: bool = False,
) -> list[Outcome]:
    """Make the runs of `seeds`, `abreast` at a time; what a failed run left stays in `folder`."""
    num_keys = len(seeds)
    with rooms(abreast, num_keys, seeds[0], keeps=keeps) as opened, ThreadPoolExecutor(abreast) as pool:
        free: queue.SimpleQueue[Room] = queue.SimpleQueue()
        for room in opened:
            free.put(room)

        def one(seed: int) -> Outcome:
            room = free.get()
            try:
                return room.run(seed, folder)
            finally:
                free.put(room)

        outcomes = []
        for future in as_completed([pool.submit(one, seed) for seed in seeds]):
            outcomes.append(future.result())
            each(outcomes[-1])
        return outcomes


def table(outcomes: Sequence[Outcome], wall_s: float) -> str:
    """Return what happened, for a person."""
    kills = Counter(kill for outcome in outcomes for kill in outcome.kills)
    troubles = Counter(name for outcome in outcomes for name in outcome.troubles)
    hits = sum((Counter(outcome.hits) for outcome in outcomes), Counter[str]())
    wrong = [(outcome.seed, line) for outcome in outcomes for line in outcome.violations]
    orders, fills, trips = (
        sum(getattr(outcome, name) for outcome in outcomes) for name in ("num_orders", "num_fills", "num_trips")
    )
    lines = [
        f"{'runs':32}{len(outcomes):>8}",
        f"{'orders at the venue':32}{orders:>8}",
        f"{'fills':32}{fills:>8}",
        f"{'round trips':32}{trips:>8}",
        f"{'kills':32}{sum(kills.values()):>8}",
        *(f"  {point:30}{count:>8}" for point, count in sorted(kills.items())),
        f"{'troubles of the venue':32}{sum(troubles.values()):>8}",
        *(f"  {name:30}{count:>8}" for name, count in sorted(troubles.items())),
        f"{'faults that struck':32}{sum(hits.values()):>8}",
        *(f"  {kind:30}{count:>8}" for kind, count in sorted(hits.items())),
        f"{'longest without a stop in quiet':32}{max(outcome.bare_s for outcome in outcomes):>8.1f} market s",
        f"{'violations':32}{len(wrong):>8}",
        *(f"  seed {seed}: {line}" for seed, line in wrong),
        f"{'wall time':32}{wall_s:>8.0f} s",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chaos; 1 when anything was violated."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first run; the others follow")
    parser.add_argument("--abreast", type=int, default=2, help="runs at a time, each with a simulator of its own")
    parser.add_argument("--keep", action="store_true", help="keep the files of all runs")
    wanted = parser.parse_args(arguments)
    began, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="chaos-"))

    def tell(outcome: Outcome) -> None:
        for line in outcome.violations:
            print(f"seed {outcome.seed}: {line}\n    kept in {outcome.folder}", flush=True)

    outcomes = storm(range(wanted.seed, wanted.seed + wanted.runs), folder, wanted.abreast, tell, keeps=wanted.keep)
    print(table(outcomes, time.monotonic() - began))
    if not any(outcome.num_fills for outcome in outcomes):
        print("nothing was traded, so nothing was shown")
        return 1
    if any(outcome.violations for outcome in outcomes):
        print("repeat one with: python -m benchmarks.chaos --runs 1 --seed N")
        return 1
    if not wanted.keep:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
