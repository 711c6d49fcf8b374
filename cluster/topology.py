"""Which actor runs on which machine: settings and nodes in, placements out, decided before anything starts.

Only nodes that carry the label role=market trade. The head and the sweep nodes never do, and a sweep never runs on a
market node. A machine that is alone carries everything. What has a place keeps it while its node is there and has room.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from spyhop.errors import UserError

ROLE = "role"
MARKET = "market"
MARKET_SELECTOR = {ROLE: MARKET}
"""What Ray is asked for where trading shall run."""
SWEEP_SELECTOR = {ROLE: f"!{MARKET}"}
"""What Ray is asked for where sweeps and other jobs shall run; a machine without labels satisfies it, too."""
NODE_ID = "ray.io/node-id"
ORDERS = "orders"
"""The actor of a live session's order stage."""
PAPER = "executor:paper:main"
"""The actor of a paper session's order stage, with the venue."""

_Positive = Annotated[float, msgspec.Meta(gt=0)]
_NotNegative = Annotated[float, msgspec.Meta(ge=0)]
_EPSILON = 1e-9


class Node(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One machine of a cluster: its CPUs and GB as Ray knows them, its labels, Ray's id of it where it runs already."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    cpus: _NotNegative
    memory_gb: _NotNegative
    labels: dict[str, str] = {}
    is_head: bool = False
    id: str = ""

    @property
    def role(self) -> str:
        """Return its label `role`, "" without one."""
        return self.labels.get(ROLE, "")


class Costs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is set aside: CPUs and GB of a process, and of each symbol that a feed's process holds."""

    process_cpus: _Positive = 0.1
    process_gb: _Positive = 0.25
    symbol_cpus: _NotNegative = 0.1
    symbol_gb: _NotNegative = 0.02
    ensemble_cpus: _Positive = 0.5


class Demand(msgspec.Struct, frozen=True):
    """An actor that needs a place. Two of the same group `apart` share a node only when every node has one."""

    actor: str
    cpus: float
    memory_gb: float
    symbols: tuple[str, ...] = ()
    apart: str = ""


class Place(msgspec.Struct, frozen=True):
    """An actor and the node that it runs on."""

    demand: Demand
    node: Node

    @property
    def actor(self) -> str:
        """Return the actor's name."""
        return self.demand.actor

    def options(self) -> dict[str, Any]:
        """Return how Ray is told: what is set aside, this node, and any market node when this one is lost."""
        options: dict[str, Any] = {"num_cpus": self.demand.cpus, "memory": round(self.demand.memory_gb * 1e9)}
        if self.node.id:
            options["label_selector"] = {NODE_ID: self.node.id}
            if self.node.role:
                options["fallback_strategy"] = [{"label_selector": MARKET_SELECTOR}]
        elif self.node.role:
            options["label_selector"] = MARKET_SELECTOR
        return options


class Topology(msgspec.Struct, frozen=True):
    """Where everything runs: the actors, by name; the nodes that trade; the nodes that sweeps may use; what to mind."""

    places: tuple[Place, ...]
    market: tuple[Node, ...]
    sweep: tuple[Node, ...]
    notes: tuple[str, ...] = ()

    def nodes_of_actors(self) -> dict[str, str]:
        """Return the node's name of each actor; as `current` of `place` it says what shall stay."""
        return {place.actor: place.node.name for place in self.places}

    def on(self, node: str) -> tuple[Demand, ...]:
        """Return what runs on a node."""
        return tuple(place.demand for place in self.places if place.node.name == node)

    def of(self, actor: str) -> Place:
        """Return the place of an actor; raises KeyError for one that has none."""
        for place in self.places:
            if place.actor == actor:
                return place
        raise KeyError(actor)


def shards(symbols: Sequence[str], size: int = 1) -> dict[str, tuple[str, ...]]:
    """Return feed name -> its symbols, `size` in a process; a symbol added at the end moves no other."""
    if size < 1:
        raise UserError(f"a feed holds at least one symbol, not {size}")
    if size == 1:
        return {f"feed:{symbol}": (symbol,) for symbol in symbols}
    return {f"feed:{at // size}": tuple(symbols[at : at + size]) for at in range(0, len(symbols), size)}


def executor_name(account: str) -> str:
    """Return the name of the actor that holds the desk of an account, in a live session."""
    return f"executor:live:{account}"


def demands(
    feeds: Mapping[str, Sequence[str]], executors: Sequence[str], costs: Costs | None = None
) -> tuple[Demand, ...]:
    """Return what a session asks for: its feeds with their symbols, an executor an account, and the single ones.

    The executor of paper holds the order stage as well; live ones leave it to an actor of its own.
    """
    costs = costs or Costs()
    cpus, memory_gb = costs.process_cpus, costs.process_gb
    single = ("risk", "ledger", "conductor")
    return (
        *(Demand(name, cpus, memory_gb, apart="executor") for name in executors),
        Demand("ensemble", costs.ensemble_cpus, memory_gb),
        *(Demand(name, cpus, memory_gb) for name in (single if PAPER in executors else (ORDERS, *single))),
        *(
            Demand(name, costs.symbol_cpus * len(symbols), memory_gb + costs.symbol_gb * len(symbols), tuple(symbols))
            for name, symbols in feeds.items()
        ),
    )


def place(wanted: Iterable[Demand], nodes: Sequence[Node], current: Mapping[str, str] | None = None) -> Topology:
    """Return a place for everything, the same for the same arguments in any order.

    An actor whose node in `current` (actor -> node name) still trades and has room stays; the others go, the scarcest
    first, to the node that is least in use. Raises UserError when nothing may trade or something does not fit.
    """
    market = trading(nodes)
    rooms = {node.name: _Room(node) for node in market}
    current = current or {}
    waiting: list[Demand] = []
    for demand in sorted(wanted, key=_order):
        room = rooms.get(current.get(demand.actor, ""))
        if room is not None and room.holds(demand):
            room.take(demand)
        else:
            waiting.append(demand)
    for demand in waiting:
        fitting = [room for room in rooms.values() if room.holds(demand)]
        if not fitting:
            raise UserError(_does_not_fit(demand, rooms.values()))
        min(fitting, key=lambda room: room.cost(demand)).take(demand)
    places = [Place(demand, room.node) for room in rooms.values() for demand in room.taken]
    return Topology(
        tuple(sorted(places, key=lambda place: _order(place.demand))), market, sweeping(nodes), _notes(places, market)
    )


def trading(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Return the nodes that may trade, by name; raises UserError when there is none, or a name twice."""
    names = [node.name for node in nodes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"two nodes are called {twice[0]}")
    if len(nodes) == 1 and nodes[0].role in ("", MARKET):
        return tuple(nodes)
    market = sorted(
        (node for node in nodes if node.role == MARKET and not node.is_head and node.cpus > 0),
        key=lambda node: node.name,
    )
    if not market:
        raise UserError(f"nothing may trade: none of {len(nodes)} nodes has CPUs and the label {ROLE}={MARKET}")
    return tuple(market)


def sweeping(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Return the nodes that sweeps may use, by name; the head's own CPUs are nobody's."""
    alone = len(nodes) == 1
    return tuple(
        sorted(
            (node for node in nodes if node.cpus > 0 and (alone or (node.role != MARKET and not node.is_head))),
            key=lambda node: node.name,
        )
    )


def moved(before: Topology, after: Topology) -> dict[str, tuple[str, str]]:
    """Return actor -> (node before, node after) of each that has another node than it had."""
    then, now = before.nodes_of_actors(), after.nodes_of_actors()
    return {actor: (then[actor], node) for actor, node in now.items() if actor in then and then[actor] != node}


class _Room:
    """What is left on a node while places are given."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.taken: list[Demand] = []
        self.cpus = self.memory_gb = 0.0

    def holds(self, demand: Demand) -> bool:
        return (
            self.cpus + demand.cpus <= self.node.cpus + _EPSILON
            and self.memory_gb + demand.memory_gb <= self.node.memory_gb + _EPSILON
        )

    def take(self, demand: Demand) -> None:
        self.taken.append(demand)
        self.cpus += demand.cpus
        self.memory_gb += demand.memory_gb

    def cost(self, demand: Demand) -> tuple[int, float, int, str]:
        """How unwilling it is: neighbours that shall be apart, then how full it would be, then how many it has."""
        together = sum(other.apart == demand.apart for other in self.taken) if demand.apart else 0
        full = max(
            (self.cpus + demand.cpus) / self.node.cpus, (self.memory_gb + demand.memory_gb) / self.node.memory_gb
        )
        # rounded, because the order in which tenths were added up must not decide
        return together, round(full, 6), len(self.taken), self.node.name


def _order(demand: Demand) -> tuple[bool, bool, float, str]:
    # what must be apart chooses first, feeds fill what is left, and among those the large come before the small
    return not demand.apart, bool(demand.symbols), -demand.cpus, demand.actor


def _does_not_fit(demand: Demand, rooms: Iterable[_Room]) -> str:
    rooms = list(rooms)
    cpus = sum(room.node.cpus - room.cpus for room in rooms)
    memory_gb = sum(room.node.memory_gb - room.memory_gb for room in rooms)
    return (
        f"{demand.actor} needs {demand.cpus:g} CPUs and {demand.memory_gb:g} GB, which no market node has left "
        f"({len(rooms)} of them, together {max(cpus, 0.0):.1f} CPUs and {max(memory_gb, 0.0):.1f} GB): "
        "add a node, or name fewer symbols"
    )


def _notes(places: Sequence[Place], market: Sequence[Node]) -> tuple[str, ...]:
    notes = []
    used = {place.node.name for place in places}
    executors = [place for place in places if place.demand.apart]
    if len(market) > 1 and len({place.node.name for place in executors}) < len(executors):
        notes.append(f"{len(executors)} executors share {len(market)} market nodes: some have a neighbour")
    if len(used) > 1:
        notes.append("session.runs must be a folder that every market node sees: a moved actor reads its state there")
    return tuple(notes)
