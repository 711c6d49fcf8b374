"""Tape to rows: events a second through the order book, the fifteen detectors and a row each second, on one core.

`python -m benchmarks.replay [--input PATH] [--rounds N]` prints one JSON object a line. The input is a raw capture;
where none is, six minutes of the generative market. Kernels are compiled before the clock starts; `first_start_s` says
what that took (with compiled kernels on disk: what loading them took). Each value is the best round of a
stage that has seen nothing, its rows included.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.output import say
from spyhop.detectors.stage import DetectionStage
from spyhop.detectors.state import DetectionParams
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, joined
from spyhop.simulation.feed import GenerativeFeed, usual_instrument
from spyhop.venues.binance import capture

RECORDED = Path(__file__).resolve().parents[2] / "shared" / "data" / "binance_raw" / "usdm_btcusdt_20240808.gz"
START_NS = 1_764_288_000 * 1_000_000_000


def load(path: Path | None) -> tuple[Events, Instrument, str]:
    """Return a tape of one instrument, the instrument, and what to call it; the generator's where no file is."""
    path = path or (RECORDED if RECORDED.exists() else None)
    if path is None:
        instrument = usual_instrument("BTCUSDT")
        feed = GenerativeFeed(instrument, 7, START_NS, hours=0.1)
        batches = []
        while (batch := feed.next_batch()) is not None:
            batches.append(batch)
        return joined(batches), instrument, "six minutes of the generative market"
    events, instruments = capture.tape(path)
    return events[events["instrument"] == instruments[0].id], instruments[0], path.name


def best_s(events: Events, instrument: Instrument, params: DetectionParams, rounds: int) -> float:
    """Return the shortest time that a fresh stage takes for all of `events`, in seconds."""
    taken = []
    for _ in range(rounds):
        stage = DetectionStage(instrument, params)
        start = time.perf_counter()
        stage.on(events)
        taken.append(time.perf_counter() - start)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, default=None, help="a raw capture (.gz)")
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    events, instrument, on = load(asked.input)
    start = time.perf_counter()
    rows = DetectionStage(instrument, DetectionParams()).on(events)
    say("first_start_s", time.perf_counter() - start, "s", on=on)
    taken = best_s(events, instrument, DetectionParams(), asked.rounds)
    say("replay_events_per_s", len(events) / taken, "events/s", on=on)
    say("replay_ns_per_event", 1e9 * taken / len(events), "ns", on=on)
    say("replay_events", len(events), "events", on=on)
    say("replay_rows", len(rows), "rows", on=on)
    span_s = (int(events["ts_recv"][-1]) - int(events["ts_recv"][0])) * 1e-9
    say("replay_times_real_time", span_s / taken, "x", on=on)


if __name__ == "__main__":
    main()
