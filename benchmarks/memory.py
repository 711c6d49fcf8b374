"""Resident memory: what one more symbol costs, and what a day of ticks adds (nothing, it should)."""

from __future__ import annotations

import argparse
import gc
import os
from pathlib import Path

from benchmarks.output import say
from spyhop.clock import NS_PER_HOUR
from spyhop.detectors.stage import DetectionStage
from spyhop.detectors.state import DETECTION_STATE, DetectionParams
from spyhop.simulation.feed import GenerativeFeed, usual_instrument

START_NS = 1_764_288_000 * 1_000_000_000
NUM_SYMBOLS = 8
WARM_UP_H = 4
HOURS = 24


def resident_bytes() -> int:
    """Return the resident set of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def line(symbol: str) -> tuple[GenerativeFeed, DetectionStage]:
    """Return a source and its detection, warm from ten minutes of ticks."""
    instrument = usual_instrument(symbol)
    feed, stage = (
        GenerativeFeed(instrument, 7, START_NS, hours=HOURS + 1),
        DetectionStage(instrument, DetectionParams()),
    )
    run(feed, stage, START_NS + NS_PER_HOUR // 6)
    return feed, stage


def run(feed: GenerativeFeed, stage: DetectionStage, until: int) -> int:
    """Fold the feed up to event time `until`; return the number of events."""
    num_events = 0
    while (batch := feed.next_batch()) is not None:
        stage.on(batch)
        num_events += len(batch)
        if len(batch) and batch["ts_recv"][-1] >= until:
            return num_events
    return num_events


def checkpointed(stage: DetectionStage) -> int:
    """Take a snapshot, as a session does again and again, and return its size."""
    return len(stage.snapshot())


def main() -> None:
    """Print one JSON object a line."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    first = line("BTCUSDT")
    before = resident_bytes()
    more = [line(f"S{number}USDT") for number in range(NUM_SYMBOLS)]
    say("detection_state_bytes", DETECTION_STATE.itemsize, "bytes", on="one symbol")
    say(
        "resident_per_symbol",
        (resident_bytes() - before) / len(more),
        "bytes",
        on=f"{len(more)} more symbols in a process",
    )
    feed, stage = first
    num_events = 0
    for hour in range(1, WARM_UP_H + 1):
        num_events += run(feed, stage, START_NS + hour * NS_PER_HOUR)
        checkpointed(stage)
    state, warm = checkpointed(stage), resident_bytes()
    for hour in range(WARM_UP_H + 1, HOURS + 1):
        num_events += run(feed, stage, START_NS + hour * NS_PER_HOUR)
        checkpointed(stage)
    on = f"{HOURS} h of the generative market, {num_events} events; from hour {WARM_UP_H} on"
    say("resident_growth_24h", resident_bytes() - warm, "bytes", on=on)
    say("state_growth_24h", checkpointed(stage) - state, "bytes", on=on)


if __name__ == "__main__":
    main()
