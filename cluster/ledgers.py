"""May the ledger of a session be where its settings say, on the machines that the session runs on?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray

from cluster.topology import NODE_ID, Node, Topology
from spyhop.storage.engines import refuse_split, seen_from_here, sqlite_folder
from spyhop.wiring.plan import SessionPlan
from spyhop.wiring.records import ledger_url

ANSWERED_WITHIN_S = 60.0


def permit_ledger(plan: SessionPlan, topology: Topology | None = None) -> None:
    """Raise InvalidSetting for an SQLite file that is a network's, or not the same one wherever the ledger may live.

    With a topology each machine that trades is asked, on the Ray that this process is connected to; without one the
    session stays on this machine. Raises StorageFailed where the file's folder cannot be made.
    """
    url = ledger_url(plan)
    folder = sqlite_folder(url)
    if folder is None:
        return
    if topology is None:
        refuse_split(url, {"": seen_from_here(folder)})
        return
    first = topology.market[0]
    # what a machine leaves there the others find only in the same folder
    mark = f".{plan.session.id}.ledger"
    try:
        _there(first, _leave, folder, mark)
        refuse_split(url, {node.name: _there(node, seen_from_here, folder, mark) for node in topology.market})
    finally:
        _there(first, _take_back, folder, mark)


def _there(node: Node, function: Callable[..., Any], *args: object) -> Any:
    asked = ray.remote(function).options(num_cpus=0, label_selector={NODE_ID: node.id}).remote(*args)
    return ray.get(asked, timeout=ANSWERED_WITHIN_S)


def _leave(folder: Path, mark: str) -> None:
    seen_from_here(folder)
    (folder / mark).touch()


def _take_back(folder: Path, mark: str) -> None:
    (folder / mark).unlink(missing_ok=True)
