"""A sweep on three Ray nodes of which one is killed in the middle; prints what came of it as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import ray
from ray.cluster_utils import Cluster

from tests.tune import toys
from tune.batches import Batch
from tune.grid import evaluate_all, evaluate_plainly

# a node that was killed is found out sooner than by default
SYSTEM = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 3}


def main(folder: str, count: int, seconds: float) -> None:
    """Sweep `count` settings that take `seconds` each; the third node dies once it has done some of a third of them."""
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "_system_config": SYSTEM, "include_dashboard": False},
    )
    doomed = [cluster.add_node(num_cpus=1) for _ in range(2)][-1]
    ray.init(address=cluster.address, namespace="nodes", log_to_driver=False, configure_logging=False)
    log, doomed_id = Path(folder) / "log", doomed.node_id
    arrays, settings = toys.prices(), toys.grid(count)
    reached, is_there = 0, True

    def on_batch(batch: Batch) -> None:
        nonlocal reached, is_there
        reached += len(batch.pnl)
        if is_there and reached > count // 3 and doomed_id in log.read_text():
            is_there = False
            cluster.remove_node(doomed, allow_graceful=False)

    swept = evaluate_all(
        toys.Momentum(seconds=seconds, log=str(log)), arrays, toys.NAMES, settings, on_batch=on_batch, batch_s=0.2
    )
    plain, _ = evaluate_plainly(toys.Momentum(), arrays, toys.NAMES, settings)
    nodes = [line.split()[0] for line in log.read_text().splitlines()]
    said = {
        "same": swept.pnl.tobytes() == plain.pnl.tobytes(),
        "same_ranking": np.array_equal(np.argsort(swept.pnl.sum(axis=1)), np.argsort(plain.pnl.sum(axis=1))),
        "done": int(swept.is_done.sum()),
        "run": swept.num_run,
        "nodes": len(set(nodes)),
        "doomed": nodes.count(doomed_id),
        "alive": sum(bool(node["Alive"]) for node in ray.nodes()),
    }
    print(json.dumps(said))  # noqa: T201 - what the test reads
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
