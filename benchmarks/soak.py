"""A day of market time in minutes, with faults at random: nothing leaks, nothing is missing.

Feeds of Binance USDT-M and dYdX listen to a quiet simulated market (`soak_venue`) by a clock that runs many times as
fast as the machine's. Faults come at seeded random times, of random kinds, and overlap. Towards the end of each hour
they pause; then the tape of the hour is held against what the venue tells by REST, and a row of the table is printed.

    python -m benchmarks.soak [--hours X] [--speed X] [--seed N]

A source is judged by the machine's time in the end: at 60 times real time 5 s are 83 ms, as long as a busy machine may
let a process wait. So prices may be `STALE_S` old here and bars `KLINE_STALE_S`; all else is as shipped.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.faults import MAIN, Scenario
from benchmarks.soak_venue import quiet_venue
from benchmarks.venue_room import DYDX, USDM, Comparison, Room, Watched, bad_rows, compare, truth
from spyhop.clock import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S, iso_ms
from spyhop.venues.params import FeedParams

log = logging.getLogger(__name__)

STALE_S, KLINE_STALE_S = 20.0, 60.0
PARAMS = FeedParams(stale_seconds=STALE_S, kline_stale_seconds=KLINE_STALE_S)
GAP_S = 240.0
"""Mean time from one fault to the next, market seconds."""
PAUSE_S = 240.0
"""How long before the end of an hour faults end, so that what they left can be mended."""
WELL_WITHIN_S = 3_600.0
"""How long feeds may take to be well after the last fault: a handshake that hangs costs 10 s of the machine's time,
which are ten minutes here, and there may be several in a row."""
WARM_HOURS = 3.0
MAX_GROWTH_MB = 25.0
MAX_VENUE_GROWTH_MB = 45.0
"""Room for 2 x 16 MB of trades that the venue remembers of its two markets: it fills in half a day and then is full."""
MAX_GROWTH_FDS = 4
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / (1 << 20)
_FOLD_S = 60.0
_NOT_HERE = {"throttle_418", "silence"}  # minutes without REST, and one long wait: each is in the table of faults


class Hour(msgspec.Struct, frozen=True):
    """What one period looked like at its end; counts are of the period, for all feeds together."""

    hours: float
    client_mb: float
    venue_mb: float
    fds: int
    venue_fds: int
    tasks: int
    threads: int
    faults: int
    gaps: int
    switches: int
    reconnects: int
    minutes: int
    missing_minutes: int
    trades: int
    missing_trades: int
    duplicates: int
    crossed: int
    untold_stale: int
    longest_queue: int
    waited_s: float
    """How long after the last fault all feeds were well; -1 when they were not."""

    @property
    def is_whole(self) -> bool:
        """Say whether nothing is missing, twice there, crossed or secretly old."""
        wrong = self.missing_minutes + self.missing_trades + self.duplicates + self.crossed + self.untold_stale
        return not wrong and self.waited_s >= 0 and self.minutes > 0 and self.trades > 0


class Soak:
    """Plays random faults and takes stock; `venue` is the simulator's process, `gap_s` the mean time between faults."""

    def __init__(self, room: Room, venue: int, seed: int, gap_s: float = GAP_S, pause_s: float = PAUSE_S) -> None:
        self._room, self._venue, self._gap_s, self._pause_s = room, venue, gap_s, pause_s
        self._generator = np.random.default_rng([seed, 77])
        self._scenarios = [one for one in MAIN if one.name not in _NOT_HERE]
        self._gates: list[tuple[int, Watched]] = []
        self._checked_to = room.clock.now_ns()
        self._begun = self._checked_to
        self._faults = self._crossed = self._stale = 0
        self._counts: dict[str, float] = self._counted()

    def hours(self, hours: float, every_h: float = 1.0) -> Iterator[Hour]:
        """Yield what each period of `every_h` looked like until `hours` have passed."""
        end = self._begun + int(hours * NS_PER_HOUR)
        while (start := self._room.clock.now_ns()) < end:
            until = start + int(every_h * NS_PER_HOUR)
            yield self._period(until)

    def _period(self, until: int) -> Hour:
        room = self._room
        due = self._after_a_while()
        while (now := room.clock.now_ns()) < until - self._pause_s * NS_PER_S:
            if now >= due:
                self._strike(now)
                due = self._after_a_while()
            room.run(min(max((due - now) / NS_PER_S, 1.0), _FOLD_S))
            self._fold(now)
        room.until(self._is_gated_no_more, 120.0)
        room.clear()
        waited = self._wait_until_well()
        room.until(lambda: room.clock.now_ns() >= until, self._pause_s)
        return self._stock(waited)

    def _after_a_while(self) -> int:
        return self._room.clock.now_ns() + int(self._generator.exponential(self._gap_s) * NS_PER_S)

    def _strike(self, now: int) -> None:
        scenario: Scenario = self._scenarios[int(self._generator.integers(len(self._scenarios)))]
        self._faults += 1
        if scenario.faults:
            self._room.inject(*scenario.faults)
        watched = self._room.feeds[scenario.key]
        if scenario.gate is not None:
            watched.gate.fault = scenario.gate
            self._gates.append((now + int(scenario.for_s * NS_PER_S), watched))

    def _is_gated_no_more(self) -> bool:
        now = self._room.clock.now_ns()
        for over, watched in self._gates:
            if now >= over:
                watched.gate.fault = None
        self._gates = [(over, watched) for over, watched in self._gates if now < over]
        return not self._gates

    def _wait_until_well(self) -> float:
        feeds = self._room.feeds
        waited = self._room.until(lambda: all(one.is_well for one in feeds.values()), WELL_WITHIN_S)
        for key, one in feeds.items():
            if not one.is_well:
                log.error("%s is not well after %.0f s: %s", key, waited, one.feed.statistics())
        return waited if waited < WELL_WITHIN_S else -1.0

    # the detectors' rows are large: they are judged and forgotten as they come
    def _fold(self, now: int) -> None:
        self._is_gated_no_more()
        for watched in self._room.feeds.values():
            crossed, stale = bad_rows(watched.seen())
            self._crossed += crossed
            self._stale += stale
            watched.rows = [watched.seen()[-1:].copy()]

    def _counted(self) -> dict[str, float]:
        names = ("switches", "reconnects", "gaps", "shed")
        told = [one.feed.statistics() for one in self._room.feeds.values()]
        counts = {name: sum(about.get(name, 0.0) for about in told) for name in names}
        crossed = sum(one.num_crossed_books + one.num_crossed_quotes for one in self._room.feeds.values())
        return {**counts, "crossed": crossed}

    def _stock(self, waited_s: float) -> Hour:
        room = self._room
        self._fold(room.clock.now_ns())
        start, end = self._checked_to, room.clock.now_ns() - 10 * NS_PER_S
        end -= end % NS_PER_MINUTE
        room.run(15.0)
        told = [self._compared(one, start, end) for one in room.feeds.values()]
        for watched in room.feeds.values():
            # a minute told late may lie before what was compared
            watched.batches = [watched.tape(end - 10 * NS_PER_MINUTE).copy()]
        self._checked_to = end
        before, self._counts = self._counts, self._counted()
        grown = {name: int(self._counts[name] - before[name]) for name in self._counts}
        queues = [int(one.longest_queue) for one in room.feeds.values()]
        for watched in room.feeds.values():
            watched.longest_queue = 0.0
        hour = Hour(
            hours=round((end - self._begun) / NS_PER_HOUR, 2),
            client_mb=_memory_mb(os.getpid()),
            venue_mb=_memory_mb(self._venue),
            fds=_num_files(os.getpid()),
            venue_fds=_num_files(self._venue),
            tasks=sum(_num_tasks(one) for one in room.feeds.values()),
            threads=threading.active_count(),
            faults=self._faults,
            gaps=grown["gaps"],
            switches=grown["switches"],
            reconnects=grown["reconnects"],
            minutes=sum(one.num_minutes for one in told),
            missing_minutes=sum(len(one.missing_minutes) + len(one.wrong_minutes) for one in told),
            trades=sum(one.num_trades for one in told),
            missing_trades=sum(len(one.missing_trades) + len(one.wrong_trades) for one in told),
            duplicates=sum(one.num_duplicates for one in told),
            crossed=self._crossed + grown["crossed"],
            untold_stale=self._stale,
            longest_queue=max(queues),
            waited_s=round(waited_s, 1),
        )
        self._faults = self._crossed = self._stale = 0
        return hour

    def _compared(self, watched: Watched, start: int, end: int) -> Comparison:
        told = compare(watched, truth(self._room, watched, start, end))
        minutes = [iso_ms(at)[11:16] for at in told.missing_minutes + told.wrong_minutes]
        trades = told.missing_trades + told.wrong_trades
        if minutes or trades or told.num_duplicates:
            log.error("%s: minutes %s, trades %s, %d twice", watched.key, minutes, trades[:9], told.num_duplicates)
        return told


def _memory_mb(process: int) -> float:
    return round(int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE_MB, 1)


def _num_files(process: int) -> int:
    return len(os.listdir(f"/proc/{process}/fd"))


def _num_tasks(watched: Watched) -> int:
    loop = watched.feed._loop
    if loop is None:
        return 0

    async def count() -> int:
        return len(asyncio.all_tasks()) - 1

    return asyncio.run_coroutine_threadsafe(count(), loop).result(30)


def leaks(hours: list[Hour], warm: float = WARM_HOURS) -> list[str]:
    """Return what grew after the first `warm` hours beyond its bound, in words; the least of the last few counts."""
    begin = next((k for k, hour in enumerate(hours) if hour.hours >= warm), len(hours) // 2)
    first, last = hours[begin], hours[-3:] if len(hours) - begin > 4 else hours[-1:]
    grown = []
    for name, bound in (
        ("client_mb", MAX_GROWTH_MB), ("venue_mb", MAX_VENUE_GROWTH_MB), ("fds", MAX_GROWTH_FDS),
        ("venue_fds", MAX_GROWTH_FDS), ("tasks", 0), ("threads", 1),
    ):  # fmt: skip
        growth = min(getattr(hour, name) for hour in last) - getattr(first, name)
        if growth > bound:
            grown.append(f"{name} grew by {growth:g}")
    return grown


def soak(
    hours: float, speed: float, seed: int, every_h: float = 1.0, gap_s: float = GAP_S, pause_s: float = PAUSE_S
) -> Iterator[Hour]:
    """Yield each period of a soak of so many hours of market time."""
    with quiet_venue("BTCUSDT", speed, seed) as (endpoints, process):
        room = Room(endpoints, (USDM, DYDX), PARAMS)
        try:
            room.until(lambda: all(one.is_well for one in room.feeds.values()), 600.0)
            room.run(70.0)  # the first whole minute is the first that can be compared
            yield from Soak(room, process, seed, gap_s, pause_s).hours(hours, every_h)
        finally:
            room.close()


def main() -> None:
    """Run it and print a row for each hour."""
    logging.basicConfig(level=logging.CRITICAL, format="%(message)s")
    log.setLevel(logging.ERROR)
    parser = argparse.ArgumentParser()
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--speed", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=5)
    asked = parser.parse_args()
    print(f"{asked.hours:g} h of market time at {asked.speed:g} times real time, seed {asked.seed}", flush=True)
    names = list(Hour.__struct_fields__)
    widths = [max(len(name), 8) for name in names]
    print(" ".join(name.rjust(width) for name, width in zip(names, widths, strict=True)), flush=True)
    hours: list[Hour] = []
    for hour in soak(asked.hours, asked.speed, asked.seed):
        hours.append(hour)
        values = (f"{getattr(hour, name):g}" for name in names)
        print(" ".join(text.rjust(width) for text, width in zip(values, widths, strict=True)), flush=True)
    problems = leaks(hours) + [f"hour {hour.hours:g} is not whole" for hour in hours if not hour.is_whole]
    print(f"FAIL: {'; '.join(problems)}" if problems else "PASS")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
