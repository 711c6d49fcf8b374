"""Decision to order through all Ray actors on this machine: the path of an intent, seen from outside the stages.

Runs a paced session that trades at the least sign, lets every actor note when parcels passed (one machine, one
monotonic clock), and follows each intent that was approved: the ensemble decides and has the decision committed, the
supervisor judges the intent and has the verdict committed, the executor receives the approval and sends the order in
the same turn of its loop. Two commits to the disk are on the way, on purpose.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.output import say
from benchmarks.tracing import Trace, traced
from cluster.launch import local_ray
from spyhop.clock import WallClock
from spyhop.config.loading import Sources, load
from spyhop.engine.vessels import RECORDS_DECODER, Messages
from spyhop.model.decisions import Intent
from spyhop.model.verdicts import Approved
from spyhop.wiring import kernels
from spyhop.wiring.plan import RunRequest, plan_session

SPEED = 30.0
HOURS = 0.5


def main() -> None:
    """Print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=HOURS, help="event time to run")
    hours = parser.parse_args().hours
    kernels.prepare()
    with tempfile.TemporaryDirectory() as runs, local_ray(dashboard=False, num_cpus=4):
        traces = run(Path(runs), hours)
    report(traces)


def run(runs: Path, hours: float) -> dict[str, Trace]:
    """Run a session and return what each actor on the path noted."""
    overrides = [("benchmark", "session.runs", str(runs)), ("benchmark", "session.hours", str(hours))]
    overrides += [("benchmark", "session.speed", str(SPEED)), ("benchmark", "analysis_interval_sec", "5")]
    in_force, _ = load(Sources(profile="eager", environment={}, overrides=overrides))
    plan = plan_session(in_force.settings, RunRequest(runner="ray"), WallClock())
    return traced(plan, ("ensemble", "risk", "executor:paper:main"))[0]


def report(traces: dict[str, Trace]) -> None:
    """Say how long intents took to become orders."""
    decided = first_recorded(traces["ensemble"])
    sent = first_seen(traces["ensemble"], ">intents", list[Intent])
    received = first_seen(traces["risk"], "intents", list[Intent])
    approved = first_seen(traces["risk"], ">approved", list[Approved])
    ordered = first_seen(traces["executor:paper:main"], "approved", list[Approved])
    whole = [ordered[seq] - decided[seq] for seq in ordered if seq in decided]
    path = [ordered[seq] - sent[seq] for seq in ordered if seq in sent]
    verdict = [approved[seq] - received[seq] for seq in approved if seq in received]
    on = f"{len(whole)} approved intents, {SPEED:g} x real time, 2 feeds, 6 actors and a conductor on this machine"
    for name, nanos in (("decision_to_order", whole), ("intent_to_order", path), ("verdict_with_commit", verdict)):
        for percent in (50, 99):
            say(f"{name}_p{percent}", float(np.percentile(np.array(nanos) / 1e6, percent)), "ms", on=on)


def first_recorded(trace: Trace) -> dict[int, int]:
    """Return when each intent, by its number, was first offered to the ledger: the moment it was decided."""
    seen: dict[int, int] = {}
    for name, at, data in trace:
        for entry in RECORDS_DECODER.decode(data).entries if name == ">records" else []:
            if isinstance(entry.message, Intent):
                seen.setdefault(entry.message.seq, at)
    return seen


def first_seen(trace: Trace, edge: str, kind: Any) -> dict[int, int]:
    """Return when each intent, by its number, first passed `edge`."""
    seen: dict[int, int] = {}
    for name, at, data in trace:
        payload = msgspec.msgpack.decode(data, type=Messages).payload if name == edge else b""
        for message in msgspec.msgpack.decode(payload, type=kind) if payload else []:
            seen.setdefault(message.intent.seq if isinstance(message, Approved) else message.seq, at)
    return seen


if __name__ == "__main__":
    main()
