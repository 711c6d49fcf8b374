"""Starts a head and two workers under the environment it is given, kills one raylet, freezes the other.

Prints one line of JSON: after how many seconds the head took each for dead. A process of its own, because a process
that is connected to one Ray cannot be connected to another.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

from ray._raylet import GcsClient
from ray.cluster_utils import Cluster

from spyhop.clock import NS_PER_S, WallClock

CLOCK = WallClock()
GIVEN_UP_S = 30.0


def noticed_after_s(client: GcsClient, node: object, sent: signal.Signals) -> float:
    """Send a signal to the raylet of `node`; return how long the head's table called it alive after that."""
    (raylet,) = node.all_processes["raylet"]
    began = CLOCK.monotonic_ns()
    os.kill(raylet.process.pid, sent)
    while (passed := (CLOCK.monotonic_ns() - began) / NS_PER_S) < GIVEN_UP_S:
        if any(
            key.hex() == node.node_id and info.state == 1 for key, info in client.get_all_node_info(timeout=5).items()
        ):
            break
        time.sleep(0.02)
    os.kill(raylet.process.pid, signal.SIGKILL)
    return passed


def main() -> None:
    """Run it once."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        killed, frozen = cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)
        client = GcsClient(address=cluster.address)
        told = {
            "killed": noticed_after_s(client, killed, signal.SIGKILL),
            "frozen": noticed_after_s(client, frozen, signal.SIGSTOP),
        }
    finally:
        cluster.shutdown()
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
