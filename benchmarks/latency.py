"""A frame at our socket to the order it leads to at the venue's socket, through all Ray actors, hop by hop.

The venue simulator runs in a process of its own, `SPEED` times as fast as real time, which makes about the 272 frames
a second and symbol of the recordings; the session trades live against it at the least sign. Counted in real time
(one machine, one clock) from the event that closed the row of an intent, a frame or the strike of its second, to the
venue's own time of the order (in milliseconds of the market, so exact to 1/`SPEED` ms). On the way, on purpose: the
tape to the disk, the verdict committed, the order committed, the command in the desk's log, and the word that it was
sent.

Each hop is told by its share of the mean, since percentiles do not add up.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.output import say
from benchmarks.tracing import Trace, traced
from cluster.launch import executors
from cluster.origins import simulator
from cluster.rays import local_ray
from cluster.topology import ORDERS
from spyhop.clock import NS_PER_MS, NS_PER_S, WallClock
from spyhop.config.loading import Sources, load
from spyhop.config.settings import Settings
from spyhop.engine.nodes import Ticket, Wish
from spyhop.engine.vessels import Messages
from spyhop.model.decisions import Intent
from spyhop.model.orders import Command, Fill, OrderAccepted, OrderSent, Purpose, SubmitOrder
from spyhop.model.rows import ROW
from spyhop.model.tape import joined
from spyhop.model.verdicts import Approved
from spyhop.storage.journal import read_tape
from spyhop.venues.desk.log import DeskLog
from spyhop.venues.endpoints import ClockSpec
from spyhop.wiring import kernels
from spyhop.wiring.accounts import desk_folder, routes
from spyhop.wiring.plan import RunRequest, SessionPlan, plan_session

BASES = ("BTC", "ETH", "BNB", "SOL")
SPEED = 4.0
SECONDS = 90.0
SETTLED_S = 40.0
"""The first seconds of the market hold snapshots, the state sync and the start of Ray's workers."""

LIVELY = {
    "decision.filter.min_probability": "0.05",
    "decision.filter.min_trade_interval_s": "1",
    "risk.limits.min_trade_interval_s": "1",
    "risk.limits.max_trades_per_day": "100000",
    "risk.limits.max_losses_in_row": "100000",
    "risk.limits.max_daily_loss_frac": "1",
    "risk.limits.max_daily_drawdown_frac": "1",
    "risk.limits.max_capital_in_use_frac": "1",
}
"""Settings under which the least sign is traded on, again and again."""

HOPS = (
    ("detect", "frame to row, the tape flushed"),
    ("row_travels", "feed to ensemble"),
    ("decide", "the other feeds' rows, the facts before it, the decision"),
    ("intent_travels", "ensemble to supervisor"),
    ("approve", "verdict, its commit"),
    ("ticket_travels", "supervisor to order stage"),
    ("order", "order, its commit"),
    ("command_travels", "order stage to executor"),
    ("desk", "the command in the desk's log"),
    ("socket", "the word that it was sent in the log, the request, the venue"),
)

Steps = dict[int, int]
"""When something happened to each intent, by its number; nanoseconds of the wall's clock."""


def main() -> None:
    """Print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long each run takes")
    parser.add_argument("--symbols", type=int, nargs="*", default=[1, 4], help="how many symbols, run by run")
    wanted = parser.parse_args()
    kernels.prepare()
    for count in wanted.symbols:
        measure([f"{base}USDT" for base in BASES[:count]], wanted.seconds)


def measure(symbols: list[str], seconds: float) -> None:
    """Trade live over the simulator's sockets and say how long orders took."""
    names = ",".join(symbols)
    with tempfile.TemporaryDirectory() as runs:
        with (
            simulator(["--symbols", names, "--speed", str(SPEED)]) as endpoints,
            local_ray(dashboard=False, num_cpus=4),
        ):
            request = RunRequest(mode="live", runner="ray", endpoints=endpoints)
            plan = plan_session(eager(Path(runs), names, seconds), request, WallClock())
            feeds = [f"feed:{name}" for name in plan.feed_names]
            traces, health = traced(plan, [*feeds, "ensemble", "risk", ORDERS, *executors(plan).values()])
        # the desk has let its log go by now
        steps = followed(plan, traces, endpoints.clock)
    frames = sum(actor.statistics.get("frames", 0.0) for actor in health.actors)
    whole = [intent for intent in steps[-1] if all(intent in step for step in steps)]
    times = np.array([[step[intent] for step in steps] for intent in whole], np.float64).reshape(len(whole), len(steps))
    report(times, f"{len(symbols)} symbols, {frames / seconds / len(symbols):.0f} frames/s each, {len(whole)} orders")


def eager(runs: Path, symbols: str, seconds: float) -> Settings:
    """Return settings under which something is bought or sold, and let go again, every few seconds."""
    overrides = {
        "session.runs": str(runs),
        "session.hours": str(seconds * SPEED / 3_600),
        "session.symbols": symbols,
        "session.speed": str(SPEED),
        "analysis_interval_sec": "5",
        **LIVELY,
        "decision.exits.max_hold_s": "2",
    }
    said = [("benchmark", name, value) for name, value in overrides.items()]
    return load(Sources(profile="eager", environment={}, overrides=said))[0].settings


def followed(plan: SessionPlan, traces: Mapping[str, Trace], clock: ClockSpec) -> list[Steps]:
    """Return when each intent was caused by a frame, passed each hop, and stood at the venue."""
    wall = time.time_ns() - time.monotonic_ns()
    decided = {one.seq: one for _, one in passed(traces["ensemble"], ">intents", list[Wish]) if isinstance(one, Intent)}
    left, there = [], []
    for account, name in executors(plan).items():
        left += entries(passed(traces[ORDERS], f">commands:{account}", list[Command]))
        there += entries(passed(traces[name], "commands", list[Command]))
    return [
        *from_frames(plan, traces, decided, clock, wall),
        intents_in(passed(traces["ensemble"], ">intents", list[Wish]), wall),
        intents_in(passed(traces["risk"], "intents", list[Wish]), wall),
        intents_in(passed(traces["risk"], ">approved", list[Ticket]), wall),
        intents_in(passed(traces[ORDERS], "approved", list[Ticket]), wall),
        first((one.intent_seq, at + wall) for at, one in left),
        first((one.intent_seq, at + wall) for at, one in there),
        *at_the_venue(plan, {one.client_order_id: one.intent_seq for _, one in left}, clock),
    ]


def passed(trace: Trace, edge: str, kind: Any) -> Iterator[tuple[int, Any]]:
    """Yield the messages that passed `edge`, with the time."""
    for name, at, data in trace:
        parcel = msgspec.msgpack.decode(data, type=Messages) if name == edge else Messages(0)
        for message in msgspec.msgpack.decode(parcel.payload, type=kind) if parcel.count else ():
            yield at, message


def entries(commands: Iterable[tuple[int, Any]]) -> list[tuple[int, SubmitOrder]]:
    """Return the orders among commands that open a position."""
    return [(at, one) for at, one in commands if isinstance(one, SubmitOrder) and one.purpose is Purpose.ENTRY]


def intents_in(messages: Iterable[tuple[int, Any]], wall: int) -> Steps:
    """Return when each intent, or an approval of it, first passed."""
    approved = ((at, one.intent if isinstance(one, Approved) else one) for at, one in messages)
    return first((one.seq, at + wall) for at, one in approved if isinstance(one, Intent))


def first(times: Iterable[tuple[int, int]]) -> Steps:
    """Return the earliest time of each number."""
    steps: Steps = {}
    for number, at in times:
        steps[number] = min(at, steps.get(number, at))
    return steps


def from_frames(
    plan: SessionPlan, traces: Mapping[str, Trace], decided: Mapping[int, Intent], clock: ClockSpec, wall: int
) -> tuple[Steps, Steps, Steps]:
    """Return when the frame came that made an intent's row, when the row left, and when it was at the ensemble."""
    steps: tuple[Steps, Steps, Steps] = ({}, {}, {})
    for name in plan.feed_names:
        events = joined(list(read_tape(plan.folder, name)))
        begin = int(events["ts_recv"][0]) + int(SETTLED_S * NS_PER_S)
        number = plan.instrument(name).id
        left = rows_in(traces[f"feed:{name}"], ">rows")
        heard = rows_in(traces["ensemble"], f"rows:{name}")
        for seq, intent in decided.items():
            if intent.instrument == number and intent.ts > begin and intent.ts in left and intent.ts in heard:
                cause = events[min(int(np.searchsorted(events["ts_recv"], intent.ts)), len(events) - 1)]
                steps[0][seq] = real(int(cause["ts_recv"]), clock)
                steps[1][seq], steps[2][seq] = left[intent.ts] + wall, heard[intent.ts] + wall
    return steps


def rows_in(trace: Trace, edge: str) -> Steps:
    """Return when the row of each event time first passed `edge`."""
    parcels = [(at, msgspec.msgpack.decode(data, type=Messages)) for name, at, data in trace if name == edge]
    return first((int(row["ts"]), at) for at, parcel in parcels for row in np.frombuffer(parcel.payload, ROW))


def at_the_venue(plan: SessionPlan, keys: Mapping[str, int], clock: ClockSpec) -> tuple[Steps, Steps]:
    """Return when the desks had the commands kept, and when the orders were at the venue, by its own clock."""
    sent: list[tuple[int, int]] = []
    there: list[tuple[int, int]] = []
    for account in dict.fromkeys(routes(plan.session.instruments).values()):
        log = DeskLog(desk_folder(plan, account))
        for report in log.reports():
            match report:
                case OrderSent(client_order_id=key) if key in keys:
                    sent.append((keys[key], real(report.ts, clock)))
                case OrderAccepted(client_order_id=key) | Fill(client_order_id=key) if key in keys:
                    # the venue cuts its times to milliseconds: the middle of one is no bias
                    there.append((keys[key], real(report.ts_venue + NS_PER_MS // 2, clock)))
        log.close()
    return first(sent), first(there)


def real(ts: int, clock: ClockSpec) -> int:
    """Return when event time `ts` was, by the wall's clock."""
    return clock.anchor_ns + int((ts - clock.start_ns) / clock.speed)


def report(times: np.ndarray[Any, Any], on: str) -> None:
    """Say how long the whole way took, and each hop; `times` has shape (orders, hops + 1)."""
    whole = (times[:, -1] - times[:, 0]) / 1e6
    for percent in (50, 99, 99.9):
        say(f"frame_to_order_p{percent:g}", float(np.percentile(whole, percent)), "ms", on=on)
    for (name, what), took in zip(HOPS, (np.diff(times, axis=1) / 1e6).T, strict=True):
        for percent in (50, 99):
            say(f"hop_{name}_p{percent}", float(np.percentile(took, percent)), "ms", on=what)
        say(f"hop_{name}_share", float(took.sum() / whole.sum() * 100.0), "%", on=what)


if __name__ == "__main__":
    main()
