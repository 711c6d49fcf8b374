"""Places a session's actors on a Ray, one that this process starts or one that is there, and waits until all is done.

On a Ray that is there the session outlives this process; who comes back finds it by the conductor's name.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import ray

from actors.carrier import LOST
from actors.conductor import CONDUCTOR, MEMORY_LIMIT_MB, WEDGED_S, Conductor, Placement, SystemHealth, place
from actors.desks import desk_post, listener
from actors.ledger import LedgerActor
from actors.stages import EnsembleActor, ExecutorActor, FeedActor, OrderActor, RiskSupervisor
from cluster.ledgers import permit_ledger
from cluster.machines import of_table
from cluster.rays import NAMESPACE, joined_ray, local_ray
from cluster.terminal import stopping
from cluster.topology import NODE_ID, ORDERS, PAPER, Topology, demands, executor_name
from cluster.topology import place as placed_on
from spyhop.clock import NS_PER_S, Clock, WallClock
from spyhop.engine.pipeline import Progress
from spyhop.errors import UserError
from spyhop.model.control import Session
from spyhop.storage import journal
from spyhop.wiring import kernels, nodes
from spyhop.wiring.accounts import routes
from spyhop.wiring.killing import KillSwitch
from spyhop.wiring.plan import Pacing, SessionPlan
from spyhop.wiring.records import ledger_keeper
from spyhop.wiring.sessions import pacing

log = logging.getLogger(__name__)

POLL_S = 0.2
STOP_TIMEOUT_S = 30.0
SEEN_WITHIN_S = 60.0
KILLED_WITHIN_S = 15.0
"""How long a session that was killed may take to end cleanly."""


def placements(plan: SessionPlan, pace: Pacing, topology: Topology | None = None) -> list[Placement]:
    """Return every actor of a session, with its edges; the same graph that `engine.pipeline` walks.

    With a topology each goes to its node; without one to wherever Ray likes.
    """
    folder = plan.folder / "checkpoints"
    orders = orders_name(plan)

    def stage(name: str, actor: type, build: Callable[..., object], edges: dict[str, tuple[str, str]]) -> Placement:
        path = folder / f"{re.sub('[:/]', '_', name)}.bin"
        return Placement(name, actor, (name, build, path), {"num_cpus": 0.1}, edges)

    order_edges = {
        "facts:decision": ("ensemble", "facts"),
        "facts:risk": ("risk", "facts"),
        "records": ("ledger", "order"),
        **{f"commands:{account}": (name, "commands") for account, name in executors(plan).items()},
    }
    order_stage = stage(
        orders, OrderActor if plan.is_live else ExecutorActor, partial(nodes.order_vessel, plan), order_edges
    )
    placed = [
        Placement("ledger", LedgerActor, ("ledger", partial(ledger_keeper, plan)), {"num_cpus": 0.1}, {}),
        _beside(order_stage, listener) if plan.is_live else order_stage,
        stage(
            "risk",
            RiskSupervisor,
            partial(nodes.risk_vessel, plan),
            {"approved": (orders, "approved"), "records": ("ledger", "risk")},
        ),
        stage(
            "ensemble",
            EnsembleActor,
            partial(nodes.decision_vessel, plan),
            {"intents": ("risk", "intents"), "records": ("ledger", "decision")},
        ),
    ]
    for account, name in executors(plan).items():
        edges = {"reports": (orders, f"heard:{account}")}
        executor = stage(name, ExecutorActor, partial(nodes.executor_vessel, plan, account), edges)
        placed.append(_beside(executor, desk_post))
    for name in plan.feed_names:
        edges = {"rows": ("ensemble", f"rows:{name}"), "tape": (orders, f"tape:{name}")}
        feed = stage(f"feed:{name}", FeedActor, partial(nodes.feed_vessel, plan, name), edges)
        placed.append(Placement(feed.name, feed.actor, (*feed.args, pace), feed.options, edges))
    if topology is None:
        return placed
    return [msgspec.structs.replace(one, options=topology.of(one.name).options()) for one in placed]


def topology_of(plan: SessionPlan) -> Topology:
    """Return where a session's actors go on the Ray that this process is connected to.

    Raises UserError when it does not fit, or when a node that would trade does not see the session's folder: an actor
    that moves takes its state from there.
    """
    feeds = {f"feed:{name}": (name,) for name in plan.feed_names}
    topology = placed_on(demands(feeds, list(executors(plan).values()) or [PAPER]), of_table(_nodes()))
    head = plan.folder / "session.json"
    seen = {
        node.name: ray.remote(_sees).options(num_cpus=0, label_selector={NODE_ID: node.id}).remote(str(head))
        for node in topology.market
    }
    for name, answer in seen.items():
        if not ray.get(answer, timeout=SEEN_WITHIN_S):
            raise UserError(f"{name} does not see {plan.folder}: --runs must be a folder that all market nodes share")
    permit_ledger(plan, topology)
    return topology


def _nodes() -> list[dict[str, Any]]:
    # Ray's own annotation is missing
    table: Any = ray.nodes
    nodes: list[dict[str, Any]] = table()
    return nodes


def _sees(file: str) -> bool:
    return Path(file).is_file()


def orders_name(plan: SessionPlan) -> str:
    """Return the name of the actor that holds the order stage; on paper it holds the venue as well."""
    return ORDERS if plan.is_live else PAPER


def executors(plan: SessionPlan) -> dict[str, str]:
    """Return, by account, the names of the actors that hold a live session's desks."""
    accounts = routes(plan.session.instruments).values() if plan.is_live else ()
    return {account: executor_name(account) for account in accounts}


def _beside(placement: Placement, join: Callable[..., object]) -> Placement:
    return msgspec.structs.replace(placement, args=(*placement.args, None, join))


def run_on_ray(
    plan: SessionPlan,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    *,
    address: str | None = None,
    dashboard: bool = False,
    on_dashboard: Callable[[str], None] = lambda address: None,
    clock: Clock | None = None,
) -> SystemHealth:
    """Run a session to its end, on a Ray of its own or at `address`; Ctrl-C or SIGTERM drains it, a second one leaves.

    With `dashboard` its address is told to `on_dashboard` before the session starts.
    """
    kernels.prepare()
    if not address:
        permit_ledger(plan)
    # in this order: Ray puts its own handlers in when it starts, and its answer to SIGTERM is to abort
    with joined_ray(address) if address else local_ray(dashboard=dashboard) as context, stopping() as should_drain:
        if context.dashboard_url:
            on_dashboard(context.dashboard_url)
        return conduct(plan, on_progress, clock or WallClock(), should_drain, topology_of if address else None)


def conduct(
    plan: SessionPlan,
    on_progress: Callable[[Progress], None],
    clock: Clock,
    should_drain: Callable[[], bool] = lambda: False,
    where: Callable[[SessionPlan], Topology] | None = None,
) -> SystemHealth:
    """Run a session on the Ray that this process is connected to, until its end or until `should_drain()`.

    `where` says which node each actor goes to. Raises UserError when a session runs there already.
    """
    if not taken_down(by_us=True):
        raise UserError("a session is running on this Ray already; wait for its end or stop it first")
    topology = where(plan) if where else None
    args = (
        placements(plan, pacing(plan, clock), topology), NAMESPACE, WEDGED_S, MEMORY_LIMIT_MB, str(plan.folder)
    )  # fmt: skip
    options = topology.of(CONDUCTOR).options() if topology else {"num_cpus": 0.1}
    conductor = place(Placement(CONDUCTOR, Conductor, args, options, {}), NAMESPACE)
    ends = _ends(plan.folder, clock, should_drain, is_live=plan.is_live)
    return _to_the_end(conductor, on_progress, len(plan.feed_names), *ends)


def accompany(
    folder: Path,
    on_progress: Callable[[Progress], None],
    clock: Clock,
    should_drain: Callable[[], bool] = lambda: False,
    *,
    num_feeds: int,
    is_live: bool,
) -> SystemHealth:
    """Go on with a session that another process started on the Ray that this one is connected to, as `conduct` does."""
    ends = _ends(folder, clock, should_drain, is_live=is_live)
    return _to_the_end(conductor_there(), on_progress, num_feeds, *ends)


def conductor_there() -> Any:
    """Return the conductor of the Ray that this process is connected to; raises UserError when no session runs."""
    try:
        return ray.get_actor(CONDUCTOR, namespace=NAMESPACE)
    except ValueError:
        raise UserError("no session is running on this Ray") from None


def session_there() -> tuple[Path, Session]:
    """Return folder and head of the session that runs here; raises UserError when there is none, or it is not seen."""
    health = asked(conductor_there())
    if health is None:
        raise UserError("the session's conductor does not answer; try again in some seconds")
    folder = Path(health.folder)
    if not _sees(str(folder / "session.json")):
        raise UserError(f"this machine does not see {folder}, where the session is")
    return folder, journal.read_session(folder)


def taken_down(*, by_us: bool = False) -> bool:
    """Say whether no session is here any more; `by_us` takes one down that has ended and whose driver is dead."""
    if CONDUCTOR not in ray.util.list_named_actors():
        return True
    if not by_us:
        return False
    conductor = conductor_there()
    health = asked(conductor)
    if health is None or not health.is_finished:
        return False
    _take_down(conductor)
    return True


def _take_down(conductor: Any) -> None:
    with contextlib.suppress(*LOST):
        ray.get(conductor.stop.remote(), timeout=STOP_TIMEOUT_S)
    ray.kill(conductor)


def _to_the_end(
    conductor: Any,
    on_progress: Callable[[Progress], None],
    num_feeds: int,
    should_drain: Callable[[], bool],
    is_over: Callable[[], bool],
) -> SystemHealth:
    try:
        return _accompany(conductor, on_progress, num_feeds, should_drain, is_over)
    finally:
        _take_down(conductor)


def _ends(
    folder: Path, clock: Clock, should_drain: Callable[[], bool], *, is_live: bool
) -> tuple[Callable[[], bool], Callable[[], bool]]:
    """Return when to drain, and when not to wait for a clean end any more.

    A live session that is killed drains; what the kill closed is not ours to close any more, so nobody waits for it.
    """
    if not is_live:
        return should_drain, lambda: False
    switch, since = KillSwitch(folder.parent), 0

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
        last, health = health, asked(conductor)
        if health is None and CONDUCTOR not in ray.util.list_named_actors():
            # it is started again when it dies, so somebody took it down
            if last is not None and last.is_finished:
                return last
            raise UserError("the session was taken down by somebody else; what it kept can be reported and replayed")
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


def asked(conductor: Any) -> SystemHealth | None:
    """Return what the conductor says, None when it does not answer in time."""
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
