"""How many settings of following a leader are tried in a second: on one core, on all under Ray, on ticks.

`python -m benchmarks.sweep [--rounds N] [--cores N] [--without-vectorbt] [--without-ray]` prints one JSON object a
line. A week of generated minutes; the grid varies all nine settings of following. vectorbt runs every so many-th of
them on the same core between our rounds, after it was shown to do the same trades: `sweep_ratio_to_vectorbt`. It is
quicker when it is given signals that were made beforehand and no horizon, which is less work: the ratio to that
follows. `sweep_ratio_to_reference` is to the plain compiled walk of the studies, a setting at a time. Under Ray the
settings are drawn, no two alike, and `share_kept_per_core` is what is left of one core's rate with such settings, taken
between Ray's rounds. Ticks: settings x quotes a second, and the ratio to a plain compiled loop over all quotes.
Everything is compiled before a clock starts, best rounds are taken, and one core means that the process is pinned.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.output import say
from benchmarks.tick_loop import plain_loop
from spyhop.clock import NS_PER_MINUTE, NS_PER_MS
from spyhop.research.objectives.bar_objectives import (
    DIRECTION,
    FOLLOW_PATHS,
    REVERSION_PATHS,
    WINDOW,
    LeadFollow,
    SpreadReversion,
)
from spyhop.research.objectives.objective import Arrays
from spyhop.research.objectives.tick_objective import TickFollow
from spyhop.research.objectives.tops import Tops, merged
from spyhop.research.studies.bar_trips import MinuteBars, follow_trips, signals, trips_at
from spyhop.strategies.lead import LeadParams

START = 1_764_288_000_000_000_000
NUM_BARS = 10_080
SETTINGS_A_CORE = 150_000
WAYS = {-1: "short", 0: "both", 1: "long"}
Table = npt.NDArray[np.float64]


def week() -> MinuteBars:
    """Return a week of minutes without gaps: a leader as lively as Bitcoin, and a follower three minutes late."""
    rng = np.random.default_rng(5)
    leader = 100_000 * np.exp(np.cumsum(rng.normal(0, 5e-4, NUM_BARS)))
    close = np.r_[leader[:3], leader[:-3]] * np.exp(rng.normal(0, 2e-4, NUM_BARS))
    opened = np.r_[close[0], close[:-1]]
    high = np.maximum(opened, close) * (1 + rng.exponential(2e-4, NUM_BARS))
    low = np.minimum(opened, close) * (1 - rng.exponential(2e-4, NUM_BARS))
    ts = START + np.arange(1, NUM_BARS + 1, dtype=np.int64) * NS_PER_MINUTE
    return MinuteBars(ts, leader, opened, high, low, close, np.zeros(NUM_BARS))


def grid() -> Table:
    """Return all combinations, columns as FOLLOW_PATHS."""
    moves = (0.0010, 0.0015, 0.0020, 0.0030)
    apart = (0.0003, 0.0005, 0.0008, 0.0012)
    exits = (0.002, 0.004, 0.006, 0.009)
    axes = ((180, 300, 600), moves, moves, apart, apart, exits, exits, (600, 900, 1800), (-1, 0, 1))
    return np.array(list(itertools.product(*axes)), np.float64)


def anywhere(num: int) -> Table:
    """Return settings drawn between the ends of the grid, no two alike."""
    rng = np.random.default_rng(6)
    ends = grid()
    drawn = rng.uniform(ends.min(axis=0), ends.max(axis=0), (num, len(FOLLOW_PATHS)))
    drawn[:, WINDOW], drawn[:, DIRECTION] = rng.choice([180, 300, 600], num), rng.choice([-1, 0, 1], num)
    return drawn


def best_s(work: Callable[[], Any], rounds: int) -> float:
    """Return the shortest of `rounds` times, in seconds."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process on one core for a while."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def params_of(setting: Table) -> LeadParams:
    """Return one row of a table as the studies take it."""
    values: dict[str, Any] = {
        path.removeprefix("lead."): value for path, value in zip(FOLLOW_PATHS, setting.tolist(), strict=True)
    }
    return msgspec.convert({**values, "direction": WAYS[int(setting[DIRECTION])]}, LeadParams)


def check_vectorbt(bars: MinuteBars, settings: Table) -> int:
    """Raise AssertionError unless vectorbt trades as we do, but for entries in the bar of an exit; return how many."""
    from benchmarks.vectorbt_sweep import trades

    told = trades(bars, settings)
    count = 0
    for column, setting in enumerate(settings):
        params = params_of(setting)
        side = signals(bars, params).side
        at = np.flatnonzero(side)
        ours = []
        busy_until = -1
        for trip in trips_at(bars, at, side[at], params).rows:
            if trip["i_signal"] > busy_until:
                ours.append(trip)
                busy_until = trip["i_exit"]
        theirs = told[(told["col"] == column) & (told["status"] == 1)]
        gross = theirs["pnl"] / theirs["entry_price"]
        assert theirs["entry_idx"].tolist() == [trip["i_entry"] for trip in ours]
        assert theirs["exit_idx"].tolist() == [trip["i_exit"] for trip in ours]
        assert np.allclose(gross, [trip["gross"] for trip in ours], rtol=0, atol=1e-9)
        count += len(ours)
    return count


def on_bars(rounds: int, is_with_vectorbt: bool) -> None:
    """Say the rates on one core."""
    bars, asked = week(), grid()
    arrays, objective = bars._asdict(), LeadFollow()
    trades = objective.evaluate(arrays, FOLLOW_PATHS, asked).num_trades
    on = f"{len(asked):,} settings, {NUM_BARS:,} minutes, {trades.mean():.0f} trades a setting"
    some = asked[:: len(asked) // 300]
    reference = [params_of(setting) for setting in some]
    work: dict[str, Callable[[], Any]] = {
        "ours": lambda: objective.evaluate(arrays, FOLLOW_PATHS, asked),
        "reference": lambda: [follow_trips(bars, params) for params in reference],
    }
    if is_with_vectorbt:
        from benchmarks.vectorbt_sweep import made_beforehand, without_horizon
        from benchmarks.vectorbt_sweep import trades as vectorbt_trades

        say("vectorbt_same_trades", check_vectorbt(bars, asked[:: len(asked) // 20]), "trades", on=on)
        made = made_beforehand([signals(bars, params).side for params in reference])
        work["vectorbt"] = lambda: vectorbt_trades(bars, some)
        work["without_horizon"] = lambda: without_horizon(bars, some, made)
        without_horizon(bars, some, made)
    best = dict.fromkeys(work, float("inf"))
    for _ in range(rounds):
        for name, one in work.items():
            best[name] = min(best[name], best_s(one, 1))
    rate = len(asked) / best["ours"]
    say("sweep_settings_per_s_1core", rate, "settings/s", on=on)
    say("sweep_ratio_to_reference", rate * best["reference"] / len(some), "x", on=on)
    if is_with_vectorbt:
        say("vectorbt_settings_per_s_1core", len(some) / best["vectorbt"], "settings/s", on=on)
        say("sweep_ratio_to_vectorbt", rate * best["vectorbt"] / len(some), "x", on=on)
        say("sweep_ratio_to_vectorbt_without_horizon", rate * best["without_horizon"] / len(some), "x", on=on)
    drawn = anywhere(20_000)
    taken = best_s(lambda: objective.evaluate(arrays, FOLLOW_PATHS, drawn), rounds)
    say("sweep_random_settings_per_s_1core", len(drawn) / taken, "settings/s", on="no two settings alike")
    both_legs = np.array(
        list(itertools.product(np.linspace(5e-4, 3e-3, 60), np.linspace(0, 5e-4, 60), (600, 1800, 3600)))
    )
    SpreadReversion().evaluate(arrays, REVERSION_PATHS, both_legs[:10])
    taken = best_s(lambda: SpreadReversion().evaluate(arrays, REVERSION_PATHS, both_legs), rounds)
    say("reversion_settings_per_s_1core", len(both_legs) / taken, "settings/s", on=f"{len(both_legs):,} settings")


def on_ray(rounds: int, cores: int) -> None:
    """Say the rate on all cores, and what share of one core's each keeps."""
    from cluster.rays import local_ray
    from tune.grid import evaluate_all

    arrays, objective = week()._asdict(), LeadFollow()
    asked = anywhere(SETTINGS_A_CORE * cores)
    some = asked[: SETTINGS_A_CORE // 4]
    alone, together = [], []
    with local_ray(dashboard=False, num_cpus=cores):
        evaluate_all(objective, arrays, FOLLOW_PATHS, some)
        for _ in range(rounds):
            with one_core():
                alone.append(best_s(lambda: objective.evaluate(arrays, FOLLOW_PATHS, some), 1))
            together.append(best_s(lambda: evaluate_all(objective, arrays, FOLLOW_PATHS, asked), 1))
    rate = len(asked) / min(together)
    on = f"{cores} cores, {len(asked):,} settings"
    say("sweep_settings_per_s_ray", rate, "settings/s", on=on)
    say("share_kept_per_core", 100 * rate / cores / (len(some) / min(alone)), "%", on=on)


def quotes(num: int) -> Arrays:
    """Return `num` quotes of a leader and of a follower 700 ms late, together; 10 a second each."""
    rng = np.random.default_rng(7)
    half = num // 2
    ts = START + np.cumsum(rng.exponential(100 * NS_PER_MS, half)).astype(np.int64)
    mid = 100_000 * np.exp(np.cumsum(rng.normal(0, 2e-5, half)))
    later = np.sort(START + rng.integers(0, int(ts[-1] - START), half))
    followed = mid[np.maximum(0, np.searchsorted(ts, later - 700 * NS_PER_MS, side="right") - 1)]
    return merged(Tops(ts, mid - 0.05, mid + 0.05), Tops(later, followed - 1, followed + 1))


def on_ticks(rounds: int, num: int) -> None:
    """Say settings x quotes a second, beside a plain loop that reads every quote for every setting."""
    axes = ((1.0, 2.0, 5.0), (2e-4, 3e-4, 5e-4), (2e-4, 3e-4, 5e-4), (5e-5, 1e-4), (5e-5, 1e-4))
    exits = ((5e-4, 1e-3), (5e-4, 1e-3, 2e-3), (5.0, 60.0, 300.0), (0.0,))
    asked = np.array(list(itertools.product(*axes, *exits)))
    arrays, objective = quotes(num), TickFollow(fees_bps=8.0, latency_ms=200.0)
    some = asked[:: len(asked) // 6]
    few, plain = objective.evaluate(arrays, FOLLOW_PATHS, some), plain_loop(objective, arrays, some)
    assert few.num_trades.tolist() == plain.num_trades.tolist()
    assert np.allclose(few.pnl.sum(axis=1), plain.pnl, atol=1e-4)
    trades = objective.evaluate(arrays, FOLLOW_PATHS, asked).num_trades.mean()
    on = f"{len(asked):,} settings, {num:,} quotes, {trades:.0f} trades a setting"
    taken = best_s(lambda: objective.evaluate(arrays, FOLLOW_PATHS, asked), rounds)
    slowly = best_s(lambda: plain_loop(objective, arrays, some), rounds)
    say("tick_events_x_settings_per_s", num * len(asked) / taken, "quotes x settings/s", on=on)
    say("tick_ratio_to_plain_loop", (len(asked) / taken) / (len(some) / slowly), "x", on=on)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--quotes", type=int, default=1_000_000)
    parser.add_argument("--without-vectorbt", action="store_true")
    parser.add_argument("--without-ray", action="store_true")
    asked = parser.parse_args()
    if not asked.without_vectorbt:
        from benchmarks.vectorbt_sweep import vectorbt

        if vectorbt is None:
            parser.error("vectorbt is not installed: install the extra 'bench', or say --without-vectorbt")
    with one_core():
        on_bars(asked.rounds, not asked.without_vectorbt)
        on_ticks(asked.rounds, asked.quotes)
    if not asked.without_ray:
        on_ray(asked.rounds, asked.cores)


if __name__ == "__main__":
    main()
