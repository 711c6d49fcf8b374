"""The supervisor killed with SIGKILL in a live session on Ray: how long its approvals still open something, and when
those of its next life do.

An approval is worth no more than its lease: the order stage takes none after `expires`, and a desk sends no entry that
was ordered longer ago than `max_age_s`. So whatever a dead supervisor approved is void `LEASE_S` of the venue's time
after its death at the latest; intents of that time are approved by its next life, under its epoch, and those that have
become too old meanwhile are refused. Each outage is held open by killing every new life until it has lasted `down_s`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import ray

from actors.carrier import LOST
from actors.health import Health
from benchmarks.output import say
from cluster.launch import conduct
from cluster.origins import simulator
from cluster.rays import NAMESPACE, local_ray
from spyhop.clock import NS_PER_S, Clock, WallClock
from spyhop.config.loading import Sources, load
from spyhop.engine.pipeline import Progress
from spyhop.model.entries import Entry
from spyhop.model.orders import OrderChanged, OrderStatus, Purpose
from spyhop.model.verdicts import Approved
from spyhop.risk.stage import RiskParams
from spyhop.storage.journal import read_facts
from spyhop.venues.desk.requests import RequestParams
from spyhop.wiring import kernels
from spyhop.wiring.plan import LiveSource, RunRequest, SessionPlan, plan_session

SPEED = 8.0
DOWN_S = 3.0
"""Wall seconds for which the supervisor stays dead, at the least."""
SUPERVISOR, EXECUTOR = "risk", "orders"
LEASE_S = RiskParams().approval_ttl_s + RequestParams().max_age_s
"""Seconds of the venue's time after which nothing that a dead supervisor approved can leave."""
_POLL_S = 0.02
_SENT = (OrderStatus.SENT, OrderStatus.UNKNOWN, OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED)


class Death(msgspec.Struct, frozen=True):
    """When a supervisor was killed and when the first of its next lives that was let live was connected.

    Both in nanoseconds of the venue's clock; `epoch` is the last one whose approvals were made before the death.
    """

    at: int
    back: int
    epoch: int


class Departure(msgspec.Struct, frozen=True):
    """An entry that left for the venue at `ts`, approved under `epoch`; or one that was refused for its age."""

    ts: int
    epoch: int
    is_refused: bool = False


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """What one death did, in seconds of the venue's time since it; None where nothing of the kind happened.

    `last_old` is the last entry that a dead life approved and that still left, `violations` counts the entries that
    left after the lease of the dead without an approval of a newer epoch.
    """

    last_old_s: float | None
    back_s: float
    first_refused_s: float | None
    resumed_s: float | None
    violations: int


def main() -> None:
    """Print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deaths", type=int, default=5, help="how often the supervisor is killed")
    parser.add_argument("--speed", type=float, default=SPEED, help="event time over wall time")
    parser.add_argument("--down", type=float, default=DOWN_S, help="wall seconds that it stays dead at the least")
    given = parser.parse_args()
    kernels.prepare()
    with tempfile.TemporaryDirectory() as runs, local_ray(dashboard=False, num_cpus=4):
        for name, down_s in (("restarted", 0.0), ("held_down", given.down)):
            found = measured(Path(runs) / name, given.deaths, given.speed, down_s)
            report(name, found, given.speed)


def measured(runs: Path, deaths: int, speed: float, down_s: float) -> list[Outage]:
    """Run a live session at the simulator in which the supervisor dies so often; return what each death did."""
    overrides = [("benchmark", "session.runs", str(runs)), ("benchmark", "session.speed", str(speed))]
    overrides += [("benchmark", name, value) for name, value in _WANTED.items()]
    settings = load(Sources(profile="eager", environment={}, overrides=overrides))[0].settings
    with simulator(["--symbols", "BTCUSDT", "--speed", str(speed), "--seed", "3"]) as endpoints:
        plan = plan_session(settings, RunRequest(mode="live", endpoints=endpoints, runner="ray"), WallClock())
        told = killed(plan, deaths, down_s)
    return outages(told, departures(read_facts(plan.folder)))


_WANTED = {
    "session.symbols": "BTCUSDT,BTC-USD",
    "session.hours": "4",
    "leverage": "5",
    "analysis_interval_sec": "5",
    "decision.exits.max_hold_s": "15",
    "decision.filter.min_probability": "0.05",
    "decision.filter.min_trade_interval_s": "1",
    "risk.limits.min_trade_interval_s": "1",
    "risk.limits.max_trades_per_day": "10000",
}
"""What makes a round trip as often as can be: many approvals, of which each death may catch one."""


def report(name: str, found: Sequence[Outage], speed: float) -> None:
    """Say what the deaths did: the worst and the middle one."""
    on = f"{len(found)} deaths by SIGKILL, {speed:g} x real time, two venues"
    say(f"supervisor_{name}_refusals_begin", LEASE_S, "s of venue time at the latest", on="approval_ttl_s + max_age_s")
    rows = {
        "last_entry_of_the_dead": [one.last_old_s for one in found],
        "next_life_connected": [one.back_s for one in found],
        "first_entry_refused_for_age": [one.first_refused_s for one in found],
        "first_entry_of_the_new_epoch": [one.resumed_s for one in found],
    }
    for what, values in rows.items():
        there = [value for value in values if value is not None]
        say(f"supervisor_{name}_{what}_seen", float(len(there)), "times", on=on)
        if not there:
            continue
        for which, value in (("median", statistics.median(there)), ("max", max(there))):
            say(f"supervisor_{name}_{what}_{which}", value, "s of venue time", on=on)
            say(f"supervisor_{name}_{what}_{which}_wall", value / speed, "s", on=on)
    late = float(sum(one.violations for one in found))
    say(f"supervisor_{name}_entries_of_the_dead_after_the_lease", late, "orders", on=on)


# ── the session and the killer


def health_of(name: str) -> Health | None:
    """Return what an actor says of itself, None when nobody answers."""
    with contextlib.suppress(*LOST, ValueError):
        health: Health = ray.get(ray.get_actor(name, namespace=NAMESPACE).health.remote(), timeout=20)
        return health
    return None


def killed(plan: SessionPlan, deaths: int, down_s: float) -> list[Death]:
    """Run a session; kill the supervisor whenever another round trip has closed, drain when one has after the last."""
    assert isinstance(plan.source, LiveSource)
    clock = plan.source.endpoints.clock.clock()
    told: list[Death] = []
    started, is_over = threading.Event(), threading.Event()

    def kill() -> None:
        try:
            for _ in range(deaths):
                _wait_for_trips(1)
                told.append(_kill(clock, down_s))
            _wait_for_trips(1)
        finally:
            is_over.set()

    killer = threading.Thread(target=kill, daemon=True)

    def on_progress(progress: Progress) -> None:
        if not started.is_set() and progress.num_events:
            started.set()
            killer.start()

    conduct(plan, on_progress, WallClock(), is_over.is_set)
    killer.join(timeout=5)
    return told


def _trips() -> float:
    health = health_of(EXECUTOR)
    return health.statistics.get("closed_trips", 0.0) if health is not None else -1.0


def _wait_for_trips(more: int) -> None:
    goal = max(_trips(), 0.0) + more
    while _trips() < goal:
        time.sleep(0.1)


def _kill(clock: Clock, down_s: float) -> Death:
    """Kill the supervisor, and every life that comes before `down_s` is over; return when one is connected."""
    health = None
    while health is None or not health.is_connected:
        health = health_of(SUPERVISOR)
    epoch, pids = int(health.statistics.get("epoch", 1)), {health.pid}
    os.kill(health.pid, signal.SIGKILL)
    at, until = clock.now_ns(), time.monotonic() + down_s
    while True:
        health = health_of(SUPERVISOR)
        if health is None or health.pid in pids:
            time.sleep(_POLL_S)
        elif time.monotonic() < until:
            # before it is connected it has no epoch, and takes and sends nothing
            pids.add(health.pid)
            os.kill(health.pid, signal.SIGKILL)
        elif health.is_connected:
            return Death(at, clock.now_ns(), epoch)
        else:
            time.sleep(_POLL_S)


# ── what the ledger says


def departures(entries: Iterable[Entry]) -> list[Departure]:
    """Return every entry order that left, once, and every one that was refused for its age, in order of time."""
    kept = list(entries)
    epochs = {one.message.intent.seq: one.message.epoch for one in kept if isinstance(one.message, Approved)}
    found: dict[str, Departure] = {}
    for entry in kept:
        changed = entry.message
        if not isinstance(changed, OrderChanged) or changed.order.purpose is not Purpose.ENTRY:
            continue
        epoch, key = epochs[changed.order.intent_seq], changed.client_order_id
        if changed.status in _SENT:
            found.setdefault(key, Departure(changed.ts, epoch))
        elif changed.status is OrderStatus.REJECTED and "too old" in changed.reason:
            found.setdefault(key, Departure(changed.ts, epoch, is_refused=True))
    return sorted(found.values(), key=lambda one: one.ts)


def outages(deaths: Sequence[Death], told: Sequence[Departure]) -> list[Outage]:
    """Return what each death did, from when the entries left."""
    found = []
    for number, death in enumerate(deaths):
        end = deaths[number + 1].at if number + 1 < len(deaths) else 1 << 62
        after = [one for one in told if death.at < one.ts < end]
        old = [one.ts for one in after if one.epoch <= death.epoch and not one.is_refused]
        new = [one.ts for one in after if one.epoch > death.epoch and not one.is_refused]
        refused = [one.ts for one in after if one.is_refused]

        def since(ts: int, at: int = death.at) -> float:
            return (ts - at) / NS_PER_S

        found.append(
            Outage(
                last_old_s=since(old[-1]) if old else None,
                back_s=since(death.back),
                first_refused_s=since(refused[0]) if refused else None,
                resumed_s=since(new[0]) if new else None,
                violations=sum(since(ts) > LEASE_S for ts in old),
            )
        )
    return found


if __name__ == "__main__":
    main()
