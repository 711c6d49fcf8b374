"""Run on the head: prints a line of JSON whenever Ray's table of actors or machines changes, by the wall's clock.

Each line is [nanoseconds, {actor: [state, address, pid]}, [addresses of machines that are alive]]. While the table
cannot be asked nothing is printed; the loop goes on until standard output is closed.
"""

from __future__ import annotations

import json
import sys
import time

from ray._raylet import GcsClientOptions, GlobalStateAccessor
from ray.core.generated import gcs_pb2

from spyhop.clock import WallClock

EVERY_S = 0.05


def seen(table: GlobalStateAccessor) -> list[object]:
    """Return who is alive where, by Ray's word."""
    actors: dict[str, tuple[str, str, int]] = {}
    for raw in table.get_actor_table(None, None):
        actor = gcs_pb2.ActorTableData.FromString(raw)
        state = gcs_pb2.ActorTableData.ActorState.Name(actor.state)
        if actor.ray_namespace == "spyhop" and state != "DEAD":
            actors[actor.name] = (state, actor.address.ip_address, actor.pid)
    nodes = sorted(node["NodeManagerAddress"] for node in table.get_node_table() if node["Alive"])
    return [actors, nodes]


def main(address: str) -> None:
    """Watch the Ray at `address`."""
    clock, last = WallClock(), None
    table = GlobalStateAccessor(
        GcsClientOptions.create(address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False)
    )
    table.connect()
    while True:
        now = seen(table)
        if now != last:
            sys.stdout.write(json.dumps([clock.now_ns(), *now]) + "\n")
            sys.stdout.flush()
            last = now
        time.sleep(EVERY_S)


if __name__ == "__main__":
    main(sys.argv[1])
