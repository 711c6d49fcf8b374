"""A driver to be killed: sweeps a toy into a folder on the Ray at an address, until somebody ends it."""

from __future__ import annotations

import sys
from pathlib import Path

import ray

from tests.tune import toys
from tune.batches import Batches
from tune.grid import evaluate_all


def main(folder: str, address: str, count: int, seconds: float) -> None:
    """Sweep `count` settings that take `seconds` each."""
    ray.init(address=address, namespace="driver", log_to_driver=False, configure_logging=False)
    with Batches(Path(folder)) as batches:
        objective = toys.Momentum(seconds=seconds)
        evaluate_all(objective, toys.prices(), toys.NAMES, toys.grid(count), batches=batches, batch_s=0.1)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
