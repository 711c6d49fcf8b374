"""Machines of a cluster: from a file, from a Ray that runs, or this one; and what is said of who runs where."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.commands import print_json, stdout
from cluster.topology import PAPER, Demand, Node, Topology, demands, executor_name, moved, place, shards
from spyhop.config.settings import Settings
from spyhop.errors import MissingInput, UserError
from spyhop.wiring.accounts import account_at
from spyhop.wiring.venues import venue_and_symbol

GB = 1e9
_HEAD = "node:__internal_head__"


class _Nodes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    nodes: list[Node]


def of_file(path: Path) -> list[Node]:
    """Return the nodes that a file tells in its list `nodes`; raises UserError when it cannot be read."""
    try:
        data = path.read_bytes()
        if path.suffix == ".json":
            return msgspec.json.decode(data, type=_Nodes).nodes
        return msgspec.toml.decode(data, type=_Nodes).nodes
    except OSError:
        raise MissingInput(f"there is no file of nodes at {path}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}") from None


def of_ray(address: str) -> list[Node]:
    """Return the nodes that live on the Ray at `address` (host:port, or auto); raises UserError where none answers."""
    import ray

    from cluster.rays import joined_ray

    with joined_ray(address):
        nodes: Any = ray.nodes  # has no types
        table: list[dict[str, Any]] = nodes()
    return of_table(table)


def of_table(table: Sequence[Mapping[str, Any]]) -> list[Node]:
    """Return the nodes of Ray's own table that live; two processes of Ray on one host are told apart by their id."""
    alive = [row for row in table if row["Alive"]]
    hosts = [row["NodeManagerHostname"] for row in alive]
    return [
        Node(
            name=host if hosts.count(host) == 1 else f"{host}-{row['NodeID'][:8]}",
            cpus=row["Resources"].get("CPU", 0.0),
            memory_gb=row["Resources"].get("memory", 0.0) / GB,
            labels={key: value for key, value in row["Labels"].items() if not key.startswith("ray.io/")},
            is_head=_HEAD in row["Resources"],
            id=row["NodeID"],
        )
        for host, row in zip(hosts, alive, strict=True)
    ]


def this_one() -> Node:
    """Return this machine, as a Ray that is started here alone would see it; a third is left to its object store."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB
    return Node(name=os.uname().nodename, cpus=os.cpu_count() or 1, memory_gb=memory_gb * 0.7, is_head=True)


def wanted(settings: Settings, *, is_live: bool, per_feed: int = 1) -> tuple[Demand, ...]:
    """Return what a session under these settings asks for."""
    symbols = settings.session.symbols
    venues = dict.fromkeys(venue_and_symbol(symbol)[0] for symbol in symbols) if is_live else ()
    executors = [executor_name(account_at(venue)) for venue in venues] or [PAPER]
    return demands(shards(symbols, per_feed), executors)


def say(
    settings: Settings, nodes: Sequence[Node], lost: Sequence[str], *, is_live: bool, per_feed: int, as_json: bool
) -> None:
    """Print where everything would run, and what would move if the nodes `lost` were."""
    if unknown := [name for name in lost if name not in {node.name for node in nodes}]:
        raise UserError(f"there is no node {unknown[0]}; there are {', '.join(node.name for node in nodes)}")
    asked = wanted(settings, is_live=is_live, per_feed=per_feed)
    topology = place(asked, nodes)
    left = [node for node in nodes if node.name not in lost]
    after = place(asked, left, topology.nodes_of_actors()) if lost else topology
    moves = moved(topology, after)
    if as_json:
        print_json(
            {
                "actors": {each.actor: each.node.name for each in topology.places},
                "market": [_use(topology, node) for node in topology.market],
                "sweep": [{"node": node.name, "cpus": node.cpus} for node in topology.sweep],
                "notes": topology.notes,
                "moves": [{"actor": actor, "from": then, "to": now} for actor, (then, now) in moves.items()],
            }
        )
        return
    _show(topology, nodes, stdout())
    for actor, (then, now) in moves.items():
        stdout().print(Text(f"{actor} moves from {then} to {now}"))


def ray_command(verb: str, file: Path, more: Sequence[str]) -> int:
    """Print a command of Ray's own, run it, and return its exit code; raises UserError when there is no such file."""
    if not file.is_file():
        raise MissingInput(f"there is no cluster file at {file}")
    command = [str(Path(sys.executable).with_name("ray")), verb, str(file), *more]
    stdout().print(Text(shlex.join(["ray", *command[1:]]), style="bold"))
    return subprocess.run(command, check=False).returncode


def _use(topology: Topology, node: Node) -> dict[str, Any]:
    held = topology.on(node.name)
    return {
        "node": node.name,
        "actors": [demand.actor for demand in held],
        "symbols": [symbol for demand in held for symbol in demand.symbols],
        "cpus": round(sum(demand.cpus for demand in held), 6),
        "of_cpus": node.cpus,
        "memory_gb": round(sum(demand.memory_gb for demand in held), 6),
        "of_memory_gb": round(node.memory_gb, 3),
    }


def _show(topology: Topology, nodes: Sequence[Node], console: Console) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("node", "role", "CPUs", "GB", "runs"):
        table.add_column(name, header_style="bold", overflow="fold", justify="left")
    market, sweep = ({node.name for node in part} for part in (topology.market, topology.sweep))
    for node in nodes:
        use = _use(topology, node)
        runs = "  ".join(use["actors"]) or ("sweeps" if node.name in sweep else "nothing")
        role = node.role or ("head" if node.is_head else "")
        cpus, memory = f"{use['cpus']:g}/{node.cpus:g}", f"{use['memory_gb']:.1f}/{node.memory_gb:.0f}"
        table.add_row(node.name, role, cpus, memory, runs, style="" if node.name in market | sweep else "dim")
    console.print(table)
    for note in topology.notes:
        console.print(Text(note, style="yellow"))
