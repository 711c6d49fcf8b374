"""Frame received to row at the ensemble, through sockets, a FeedActor and Ray, on this machine.

The venue simulator runs in a process of its own, `SPEED` times as fast as real time, which makes about the 272 frames
a second and symbol of the recordings. A row of the detectors is due at each whole second of the market and is made by
the first frame received after it; the time is counted from the receipt of that frame to the arrival of the row at the
EnsembleActor (one machine, one clock, real milliseconds). Rows that a timer made, because no frame came, are left out.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import Any

import msgspec
import numpy as np

from benchmarks.output import say
from benchmarks.tracing import Trace, traced
from cluster.origins import simulator
from cluster.rays import local_ray
from spyhop.clock import NS_PER_S, WallClock
from spyhop.config.loading import Sources, load
from spyhop.engine.vessels import Messages
from spyhop.model.rows import ROW
from spyhop.model.tape import Kind, joined
from spyhop.storage.journal import read_tape
from spyhop.venues.endpoints import ClockSpec
from spyhop.wiring import kernels
from spyhop.wiring.plan import RunRequest, SessionPlan, plan_session

SYMBOLS = (
    "BTC",
    "ETH",
    "BNB",
    "SOL",
    "XRP",
    "DOGE",
    "ADA",
    "LTC",
    "DOT",
    "LINK",
    "AVAX",
    "TRX",
    "ATOM",
    "NEAR",
    "APT",
    "UNI",
)
SPEED = 4.0
SECONDS = 60.0
SETTLED_S = 20.0
"""The first seconds of the market hold snapshots, the state sync and the start of Ray's workers."""


def main() -> None:
    """Print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long each run takes")
    parser.add_argument("--symbols", type=int, nargs="*", default=[1, 4, 16], help="how many symbols, run by run")
    wanted = parser.parse_args()
    kernels.prepare()
    for count in wanted.symbols:
        measure([f"{base}USDT" for base in SYMBOLS[:count]], wanted.seconds)


def measure(symbols: list[str], seconds: float) -> None:
    """Run one session over the simulator's sockets and say how long rows took."""
    names = ",".join(symbols)
    with (
        tempfile.TemporaryDirectory() as runs,
        simulator(["--symbols", names, "--speed", str(SPEED)]) as endpoints,
        local_ray(dashboard=False, num_cpus=4),
    ):
        overrides = [("benchmark", "session.runs", runs), ("benchmark", "session.hours", str(seconds * SPEED / 3_600))]
        overrides += [("benchmark", "session.symbols", names)]
        in_force, _ = load(Sources(environment={}, overrides=overrides))
        plan = plan_session(in_force.settings, RunRequest(runner="ray", endpoints=endpoints), WallClock())
        traces, health = traced(plan, ["ensemble"])
        taken = latencies(plan, traces["ensemble"], endpoints.clock)
    frames = sum(actor.statistics.get("frames", 0.0) for actor in health.actors)
    on = f"{len(symbols)} symbols, {frames / seconds / len(symbols):.0f} frames/s each, {len(taken)} rows"
    for percent in (50, 99, 99.9):
        say(f"frame_to_row_p{percent:g}", float(np.percentile(taken, percent)) / 1e6, "ms", on=on)


def latencies(plan: SessionPlan, trace: Trace, clock: ClockSpec) -> np.ndarray[Any, Any]:
    """Return nanoseconds from the frame that made a row to the row's arrival at the ensemble."""
    return timed(plan, trace, clock)[:, 1]


def timed(plan: SessionPlan, trace: Trace, clock: ClockSpec) -> np.ndarray[Any, Any]:
    """Return for each row when its frame was received (wall nanoseconds), and how long after it was at the ensemble.

    Float64 (n, 2), in the order of feeds, then of arrival.
    """
    wall_minus_monotonic = time.time_ns() - time.monotonic_ns()
    taken: list[tuple[float, float]] = []
    for name in plan.feed_names:
        events = joined(list(read_tape(plan.folder, name)))
        begin = int(events["ts_recv"][0]) + int(SETTLED_S * NS_PER_S)
        for edge, at, data in trace:
            if edge != f"rows:{name}":
                continue
            for row in np.frombuffer(msgspec.msgpack.decode(data, type=Messages).payload, ROW):
                cause = events[min(int(np.searchsorted(events["ts_recv"], row["ts"], side="left")), len(events) - 1)]
                if row["ts"] > begin and cause["kind"] not in (Kind.TIMER, Kind.STATUS):
                    received = clock.anchor_ns + (int(cause["ts_recv"]) - clock.start_ns) / clock.speed
                    taken.append((received, at + wall_minus_monotonic - received))
    return np.array(taken).reshape(len(taken), 2)


if __name__ == "__main__":
    main()
