"""What the processes below this one use, read from /proc: who they are, processor time, memory."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import msgspec

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
_KB_PER_MB = 1024.0
_SERVICES = {
    "gcs_server": "gcs_server",
    "raylet": "raylet",
    "log_monitor.py": "log_monitor",
    "monitor.py": "monitor",
    "dashboard/dashboard.py": "dashboard",
    "dashboard/agent.py": "dashboard_agent",
    "runtime_env/agent/main.py": "runtime_env_agent",
    "ray-dashboard": "dashboard_part",
    "ray::DashboardAgent": "dashboard_agent",
    "ray::RuntimeEnvAgent": "runtime_env_agent",
    "ray::IDLE": "idle_worker",
    "ray::Conductor": "conductor",
    "default_worker.py": "idle_worker",
    "venue-sim": "venue_simulator",
}
"""What Ray's own processes, and the simulator, have in their command lines, and what they are called here."""
OURS = ("driver", "conductor", "venue_simulator")
"""Who has no name that an actor told, and yet is not of Ray."""


class Usage(msgspec.Struct, frozen=True):
    """One process at one moment.

    `own_mb` is its anonymous memory: what it made, which no other process changes. `pss_mb` is that and its share of
    what it maps with others, so sums of it count nothing twice. `cpu_s` is processor time so far.
    """

    pid: int
    name: str
    cpu_s: float
    own_mb: float
    pss_mb: float
    num_files: int

    @property
    def is_ray(self) -> bool:
        """Say whether it is one of Ray's services."""
        return self.name in _SERVICES.values() and self.name not in OURS

    @property
    def kind(self) -> str:
        """Return what it is counted as: an actor's kind, Ray's services, or its own name."""
        if self.is_ray:
            return "ray"
        return {"feed": "feeds", "executor": "executor"}.get(self.name.partition(":")[0], self.name)


def usages(actors: Mapping[int, str], root: int = 0) -> list[Usage]:
    """Return what this process (or `root`) and all below it use; `actors` gives the names of processes known by id."""
    root = root or os.getpid()
    found = []
    for pid in tree(root):
        try:
            found.append(_usage(pid, "driver" if pid == root else _name(pid, actors)))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it left meanwhile
    return found


def tree(root: int) -> list[int]:
    """Return `root` and the ids of all processes below it."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                children[int(_stat(int(entry))[1])].append(int(entry))
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = [root]
    for pid in found:
        found += children[pid]
    return found


def cpu_s(pid: int) -> float:
    """Return the processor time of a process so far, seconds."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def machine_cpu_s() -> tuple[float, float]:
    """Return the processor time that the whole machine has used, and what its cores could have given, seconds."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) * _TICK_S, sum(fields) * _TICK_S


def _usage(pid: int, name: str) -> Usage:
    memory = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    own, pss = (int(memory[key].split()[0]) / _KB_PER_MB for key in ("Anonymous", "Pss"))
    return Usage(pid, name, cpu_s(pid), own, pss, len(os.listdir(f"/proc/{pid}/fd")))


def _name(pid: int, actors: Mapping[int, str]) -> str:
    if pid in actors:
        return actors[pid]
    words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return next((name for mark, name in _SERVICES.items() if mark in words), words.strip().split(" ")[0] or "gone")


def _stat(pid: int) -> list[str]:
    # the name in parentheses may hold anything, also spaces; the parent is the second field after it
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
