"""What a process may do at a Ray with the token it was given: `inside.py stranger|holder GCS DASHBOARD`.

A stranger tries every door and prints, as JSON, what each answered. The holder of the token prints all that Ray tells
about a session: its tables, key-value store, jobs and pages.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

from cluster import cli

OPEN = "open"


def tried(door: Callable[[], object]) -> str:
    """Return what came of it: `open`, or the error's kind and text."""
    from ray.exceptions import RayError
    from ray.util.state.exception import RayStateApiException

    try:
        door()
    except (RayError, RayStateApiException, OSError, RuntimeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return OPEN


def commands(address: str) -> dict[str, str]:
    """Ask by our own commands; their exit codes are said. Ray tries a token that is wrong for half a minute."""
    return {
        "spyhop status": f"exit code {cli.exit_code(['status', '--json', '--address', address])}",
        "spyhop drain": f"exit code {cli.exit_code(['drain', '--address', address])}",
    }


def stranger(gcs: str, dashboard: str) -> dict[str, str]:
    """Try what a stranger could use of Ray from Python."""
    import ray
    from ray.job_submission import JobSubmissionClient
    from ray.util.state import list_actors

    def conductor() -> None:
        try:
            ray.init(address=gcs, namespace="spyhop", log_to_driver=False, configure_logging=False)
            ray.get(ray.get_actor("conductor").drain.remote(), timeout=20)
        finally:
            ray.shutdown()

    def job() -> None:
        JobSubmissionClient(dashboard).submit_job(entrypoint="true")

    return {
        "conductor": tried(conductor),
        "state API": tried(lambda: list_actors(address=dashboard)),
        "state API by GCS": tried(lambda: list_actors(address=gcs)),
        "job": tried(job),
        **commands(gcs),
    }


def told(gcs: str, dashboard: str) -> Iterator[tuple[str, Any]]:
    """Yield what Ray tells the holder of the token, by name."""
    import ray
    from ray._private.state import state
    from ray.experimental import internal_kv
    from ray.util import state as tables

    for name in ("actors", "jobs", "nodes", "objects", "placement_groups", "runtime_envs", "tasks", "workers"):
        listed = getattr(tables, f"list_{name}")
        yield name, listed(address=dashboard, detail=True, limit=9_000, raise_on_missing_output=False)
    with ray.init(address=gcs, namespace="spyhop", log_to_driver=False, configure_logging=False):
        for space in (None, b"fun", b"job", b"session", b"cluster", b"dashboard", b"healthcheck", b"usage_stats"):
            for key in internal_kv._internal_kv_list(b"", namespace=space):
                yield f"kv {space!r} {key!r}", internal_kv._internal_kv_get(key, namespace=space)
        accessor = state._connect_and_get_accessor()
        yield "gcs actors", accessor.get_actor_table(None, None)
        yield "gcs workers", accessor.get_worker_table()
        yield "gcs nodes", accessor.get_node_table()
        yield "gcs jobs", accessor.get_job_table(skip_submission_job_info_field=True, skip_is_running_tasks_field=True)
        yield "gcs config", accessor.get_system_config()
        nodes: Any = ray.nodes
        for node in nodes():
            with urllib.request.urlopen(
                f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics", timeout=60
            ) as answer:
                yield "metrics", answer.read()


if __name__ == "__main__":
    who, gcs, dashboard = sys.argv[1:]
    if who == "stranger":
        answers = stranger(gcs, dashboard)
        sys.stdout.write(json.dumps(answers) + "\n")
    else:
        for name, value in told(gcs, dashboard):
            sys.stdout.write(f"{name}: {value!r}\n")
