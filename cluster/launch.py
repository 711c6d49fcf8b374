"""Places a session's actors on a Ray that this process starts, and waits until all is done."""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import ray

from actors.carrier import LOST
from actors.conductor import Conductor, Placement, SystemHealth, place
from actors.desks import desk_posts
from actors.ledger import LedgerActor
from actors.stages import EnsembleActor, ExecutorActor, FeedActor, RiskSupervisor
from cluster.terminal import stopping
from spyhop.clock import NS_PER_S, Clock, WallClock
from spyhop.engine.pipeline import Progress
from spyhop.errors import UserError
from spyhop.wiring import kernels, nodes
from spyhop.wiring.killing import KillSwitch
from spyhop.wiring.plan import Pacing, SessionPlan
from spyhop.wiring.records import SessionKeeper
from spyhop.wiring.sessions import pacing

log = logging.getLogger(__name__)

NAMESPACE = "spyhop"
CONDUCTOR = "conductor"
POLL_S = 0.2
STOP_TIMEOUT_S = 30.0
KILLED_WITHIN_S = 15.0
"""How long a session that was killed may take to end cleanly."""


def placements(plan: SessionPlan, pace: Pacing) -> list[Placement]:
    """Return every actor of a session, with its edges; the same graph that `engine.pipeline` walks."""
    folder = plan.folder / "checkpoints"
    executor = executor_name(plan)
    feeds = plan.feed_names

    def stage(name: str, actor: type, build: Callable[..., object], edges: dict[str, tuple[str, str]]) -> Placement:
        path = folder / f"{re.sub('[:/]', '_', name)}.bin"
        return Placement(name, actor, (name, build, path), {"num_cpus": 0.1}, edges)

    placed = [
        Placement("ledger", LedgerActor, ("ledger", partial(SessionKeeper, plan)), {"num_cpus": 0.1}, {}),
        _executor(
            plan,
            stage(
                executor,
                ExecutorActor,
                partial(nodes.order_vessel, plan),
                {
                    "facts:decision": ("ensemble", "facts"),
                    "facts:risk": ("risk", "facts"),
                    "records": ("ledger", "order"),
                },
            ),
        ),
        stage(
            "risk",
            RiskSupervisor,
            partial(nodes.risk_vessel, plan),
            {"approved": (executor, "approved"), "records": ("ledger", "risk")},
        ),
        stage(
            "ensemble",
            EnsembleActor,
            partial(nodes.decision_vessel, plan),
            {"intents": ("risk", "intents"), "records": ("ledger", "decision")},
        ),
    ]
    for name in feeds:
        edges = {"rows": ("ensemble", f"rows:{name}"), "tape": (executor, f"tape:{name}")}
        feed = stage(f"feed:{name}", FeedActor, partial(nodes.feed_vessel, plan, name), edges)
        placed.append(Placement(feed.name, feed.actor, (*feed.args, pace), feed.options, edges))
    return placed


def executor_name(plan: SessionPlan) -> str:
    """Return the name of the actor that holds the order stage and the desks of its accounts."""
    return f"executor:{'live' if plan.is_live else 'paper'}:main"


def _executor(plan: SessionPlan, placement: Placement) -> Placement:
    if not plan.is_live:
        return placement
    return msgspec.structs.replace(placement, args=(*placement.args, None, partial(desk_posts, plan)))


@contextlib.contextmanager
def local_ray(*, dashboard: bool, num_cpus: int | None = None) -> Iterator[Any]:
    """Start a Ray of our own on this machine and stop it afterwards; never join one that is there."""
    context = ray.init(
        address="local",
        namespace=NAMESPACE,
        num_cpus=num_cpus,
        include_dashboard=dashboard,
        log_to_driver=False,
        configure_logging=False,
    )
    try:
        yield context
    finally:
        ray.shutdown()


def run_on_ray(
    plan: SessionPlan,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    *,
    dashboard: bool = False,
    on_dashboard: Callable[[str], None] = lambda address: None,
    clock: Clock | None = None,
) -> SystemHealth:
    """Run a session on a local Ray to its end; Ctrl-C or SIGTERM drains it, a second one leaves at once.

    With `dashboard` its address is told to `on_dashboard` before the session starts.
    """
    kernels.prepare()
    # in this order: Ray puts its own handlers in when it starts, and its answer to SIGTERM is to abort
    with local_ray(dashboard=dashboard) as context, stopping() as should_drain:
        if context.dashboard_url:
            on_dashboard(context.dashboard_url)
        return conduct(plan, on_progress, clock or WallClock(), should_drain)


def conduct(
    plan: SessionPlan,
    on_progress: Callable[[Progress], None],
    clock: Clock,
    should_drain: Callable[[], bool] = lambda: False,
) -> SystemHealth:
    """Run a session on the Ray that this process is connected to, until its end or until `should_drain()`.

    Raises UserError when one runs there already.
    """
    if CONDUCTOR in ray.util.list_named_actors():
        raise UserError("a session is running on this Ray already; wait for its end or stop it first")
    args = (placements(plan, pacing(plan, clock)), NAMESPACE)
    conductor = place(Placement(CONDUCTOR, Conductor, args, {"num_cpus": 0.1}, {}), NAMESPACE)
    try:
        return _accompany(conductor, on_progress, len(plan.feed_names), *_ends(plan, clock, should_drain))
    finally:
        with contextlib.suppress(*LOST):
            ray.get(conductor.stop.remote(), timeout=STOP_TIMEOUT_S)
        ray.kill(conductor)


def _ends(
    plan: SessionPlan, clock: Clock, should_drain: Callable[[], bool]
) -> tuple[Callable[[], bool], Callable[[], bool]]:
    """Return when to drain, and when not to wait for a clean end any more.

    A live session that is killed drains; what the kill closed is not ours to close any more, so nobody waits for it.
    """
    if not plan.is_live:
        return should_drain, lambda: False
    switch, since = KillSwitch(plan.folder.parent), 0

    def is_over() -> bool:
        nonlocal since
        if switch.reason():
            since = since or clock.monotonic_ns()
        return since > 0 and clock.monotonic_ns() - since > KILLED_WITHIN_S * NS_PER_S

    return (lambda: should_drain() or bool(switch.reason())), is_over


def _accompany(
    conductor: Any,
    on_progress: Callable[[Progress], None],
    num_feeds: int,
    should_drain: Callable[[], bool],
    is_over: Callable[[], bool],
) -> SystemHealth:
    restarts: dict[str, int] = {}
    health: SystemHealth | None = None
    while True:
        if should_drain() and not (health is not None and health.is_draining):
            # until it says so: one that was restarted does not remember that it was asked
            with contextlib.suppress(*LOST):
                ray.get(conductor.drain.remote(), timeout=STOP_TIMEOUT_S)
        health = _asked(conductor)
        if health is not None:
            on_progress(_progress(health, num_feeds))
            for name, count in health.restarts.items():
                if count > restarts.get(name, 0):
                    log.warning("%s was restarted (%d so far)", name, count)
            restarts = health.restarts
            if health.is_finished:
                return health
            if is_over():
                log.warning("the session was killed; it ends here")
                return health
        time.sleep(POLL_S)


def _asked(conductor: Any) -> SystemHealth | None:
    try:
        answer: SystemHealth = ray.get(conductor.health.remote(), timeout=10)
    except LOST:
        return None
    return answer


def _progress(health: SystemHealth, num_feeds: int) -> Progress:
    feeds = [actor for actor in health.actors if actor.name.startswith("feed:")]
    return Progress(
        max((int(actor.statistics.get("ts", 0)) for actor in feeds), default=0),
        int(sum(actor.statistics.get("events", 0) for actor in feeds)),
        sum(actor.is_finished for actor in feeds),
        num_feeds,
    )
