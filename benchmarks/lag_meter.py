"""The lag of a follower as it goes, beside what measuring the same window anew at each analysis would cost.

`python -m benchmarks.lag_meter [--minutes N] [--rounds N]` prints one JSON object a line. A simulated leader and its
follower (700 ms behind) become rows of a second; `lag_meter_rows_per_s` is how many of them a meter takes, best of the
rounds, with a reading each 30 s; `lag_meter_times_off_line` how much longer the off-line estimator takes to
walk the moves of the last 30 minutes at each of those readings, at the same 201 shifts, in the same run. Kernels are
compiled before the clock starts.
"""

from __future__ import annotations

import argparse
import time
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from benchmarks.output import say
from benchmarks.replay import START_NS
from spyhop.clock import NS_PER_S
from spyhop.detectors.stage import DetectionStage
from spyhop.detectors.state import DetectionParams
from spyhop.model.instruments import Instrument
from spyhop.model.rows import PATH_STEP_NS, ROW, RowFlag, Rows
from spyhop.model.tape import Venue, joined
from spyhop.numerics.lead_lag import Moves, correlations, moves
from spyhop.simulation.feed import GenerativeFeed, usual_instrument
from spyhop.simulation.followers import Follower, FollowerParams
from spyhop.strategies.lag_meter import LagMeter

LEADER = usual_instrument("BTCUSDT")
FOLLOWER = Instrument(
    id=LEADER.id + 1, venue=Venue.DYDX, symbol="BTC-USD", tick_size=Decimal(1), lot_size=Decimal("0.0001"), base="BTC"
)
WINDOW_NS = 1_800 * NS_PER_S
EACH_S = 30


def both(minutes: float) -> tuple[Rows, Rows]:
    """Return the rows of the leader and of the follower, of the same seconds."""
    feed = GenerativeFeed(LEADER, 7, START_NS, hours=minutes / 60)
    batches = []
    while (batch := feed.next_batch()) is not None:
        batches.append(batch)
    led = joined(batches)
    params = FollowerParams(lag_ms=700.0)
    followed = Follower(FOLLOWER, LEADER, 7, START_NS, params).advance(led, int(led["ts_recv"][-1]))
    found = [DetectionStage(one, DetectionParams()).on(tape) for one, tape in ((LEADER, led), (FOLLOWER, followed))]
    leader, follower = (rows[rows["flags"] != RowFlag.END] for rows in found)
    shared = np.intersect1d(leader["ts"], follower["ts"])
    return leader[np.isin(leader["ts"], shared)], follower[np.isin(follower["ts"], shared)]


def metered_s(leader: Rows, follower: Rows) -> float:
    """Return how long a new meter takes for all rows, with a reading each 30 s, in seconds."""
    meter = LagMeter({FOLLOWER.id: LEADER.id})
    start = time.perf_counter()
    for k in range(len(leader)):
        meter.note(leader[k])
        meter.note(follower[k])
        if k % EACH_S == EACH_S - 1:
            meter.lag(FOLLOWER.id)
    return time.perf_counter() - start


def walked_s(leader: Rows, follower: Rows) -> float:
    """Return how long the off-line estimator takes for the same readings, in seconds."""
    whole = [_moves(rows) for rows in (leader, follower)]
    shifts: npt.NDArray[np.int64] = np.arange(-100, 101) * PATH_STEP_NS
    start = time.perf_counter()
    for k in range(EACH_S - 1, len(leader), EACH_S):
        end = int(leader["ts"][k])
        correlations(*(_within(one, end) for one in whole), shifts)
    return time.perf_counter() - start


def _moves(rows: Rows) -> Moves:
    path = rows["path"].ravel()
    times = (rows["ts"][:, None] + np.arange(-19, 1) * PATH_STEP_NS).ravel()
    is_move = np.diff(path, prepend=0.0) != 0.0
    return moves(times[is_move], np.log(path[is_move]))


def _within(whole: Moves, end: int) -> Moves:
    cut = slice(int(np.searchsorted(whole.end, end - WINDOW_NS)), int(np.searchsorted(whole.end, end, "right")))
    return Moves(whole.begin[cut], whole.end[cut], whole.size[cut])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    on = f"a simulated pair, {asked.minutes:g} minutes"
    leader, follower = both(asked.minutes)
    metered_s(leader[:40], follower[:40])
    walked_s(leader[:40], follower[:40])
    taken = min(metered_s(leader, follower) for _ in range(asked.rounds))
    walked = min(walked_s(leader, follower) for _ in range(asked.rounds))
    say("lag_meter_rows_per_s", 2 * len(leader) / taken, "rows/s", on=on)
    say("lag_meter_us_per_pair_second", 1e6 * taken / len(leader), "us", on=on)
    say("lag_meter_times_off_line", walked / taken, "x", on=on)
    say("lag_meter_state_bytes", len(LagMeter({FOLLOWER.id: LEADER.id}).snapshot()), "bytes", on="one pair")
    say("row_bytes", ROW.itemsize, "bytes", on="one instrument and second")


if __name__ == "__main__":
    main()
