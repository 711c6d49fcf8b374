"""The cost of each detector: the same tape with one detector left out at a time.

`python -m benchmarks.detectors [--input PATH] [--rounds N]` prints one JSON object a line: `detector_NAME_ns_per_event`
is what the whole loop saves without it, spread over all events; `book_and_bars` is what is left when none is on. Runs
are interleaved and the best round of each is taken, since neighbours on the machine make single runs differ by
more than a detector costs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.output import say
from benchmarks.replay import best_s, load
from spyhop.detectors.state import DetectionParams
from spyhop.model.rows import DETECTORS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, default=None, help="a raw capture (.gz)")
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    events, instrument, on = load(asked.input)
    choices: dict[str, tuple[str, ...]] = {"all": (), "none": DETECTORS, **{name: (name,) for name in DETECTORS}}
    best = dict.fromkeys(choices, float("inf"))
    for _ in range(asked.rounds):
        for name, without in choices.items():
            taken = best_s(events, instrument, DetectionParams(without=without), 1)
            best[name] = min(best[name], taken)
    scale = 1e9 / len(events)
    say("all_ns_per_event", best["all"] * scale, "ns", on=on)
    say("book_and_bars_ns_per_event", best["none"] * scale, "ns", on=on)
    for name in DETECTORS:
        say(f"detector_{name}_ns_per_event", (best["all"] - best[name]) * scale, "ns", on=on)


if __name__ == "__main__":
    main()
