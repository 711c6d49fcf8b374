"""Says whether this machine works for a Ray: `python -m cluster.member HOST:PORT` leaves with 0 if so, else with 1.

For the start commands of `ray up`: a head that came back, or an autoscaler that heard nothing for a while, runs them on
machines that never stopped, and `ray stop` there would end what trades.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from cluster.rays import reach
from spyhop.errors import UserError

ANSWERS_WITHIN_S = 5.0


def main() -> None:
    """Leave with the answer."""
    if len(sys.argv) != 2:
        sys.stderr.write("expected the address of a Ray, HOST:PORT\n")
        sys.exit(2)
    sys.exit(0 if is_member(sys.argv[1]) else 1)


def is_member(address: str) -> bool:
    """Say whether a raylet runs here and the Ray at `address` takes this machine for alive."""
    try:
        reach(address)
    except UserError:
        return False
    return _has_raylet() and _is_alive(address)


def _has_raylet() -> bool:
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text() == "raylet\n":
                return True
        except OSError:
            continue
    return False


def _is_alive(address: str) -> bool:
    import ray._private.services
    import ray._raylet
    from ray.core.generated import gcs_pb2
    from ray.exceptions import RayError

    # Ray's own modules are without types
    services: Any = ray._private.services
    raylet: Any = ray._raylet
    tables: Any = gcs_pb2
    try:
        nodes = raylet.GcsClient(address=address).get_all_node_info(timeout=ANSWERS_WITHIN_S)
    except (RayError, TimeoutError):
        return False
    here = services.get_node_ip_address(address)
    return any(node.node_manager_address == here and node.state == tables.GcsNodeInfo.ALIVE for node in nodes.values())


if __name__ == "__main__":
    main()
