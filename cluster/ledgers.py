"""May the ledger of a session be where its settings say, on the machines that the session runs on?"""

from __future__ import annotations

import ray

from cluster.topology import NODE_ID, Topology
from spyhop.storage.engines import refuse_split, seen_from_here, sqlite_folder
from spyhop.wiring.plan import SessionPlan
from spyhop.wiring.records import ledger_url

SEEN_WITHIN_S = 60.0


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
    asked = {
        node.name: ray.remote(seen_from_here).options(num_cpus=0, label_selector={NODE_ID: node.id}).remote(folder)
        for node in topology.market
    }
    refuse_split(url, {name: ray.get(answer, timeout=SEEN_WITHIN_S) for name, answer in asked.items()})
