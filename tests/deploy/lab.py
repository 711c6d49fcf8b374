"""Machines made of namespaces, Ray on them by `ray up`, a venue beside them, and what can be done to all of it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.postgres_room import PostgresServer
from spyhop.clock import WallClock

ROOT = Path(__file__).resolve().parent.parent.parent
HOSTS = Path(__file__).with_name("hosts.sh")
NETWORK = "10.78.0"
RUNS = "/srv/runs"
HEAD, MARKET = 0, (1, 2)
STARTED_WITHIN_S = 900.0
CLOCK = WallClock()


def address(number: int) -> str:
    """Return where a machine is."""
    return f"{NETWORK}.1{number}"


class Lab:
    """Three machines, the first of which is the head, with all that they share below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "lab.yaml"
        self.python = Path(sys.executable)
        self.runs = folder / "shared" / "runs"
        self.environment = os.environ | {
            "PATH": f"{folder / 'tools' / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder / "launcher"),
            "RAY_AUTH_MODE": "token",
            "RAY_UP_enable_autoscaler_v2": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
        }

    def hosts(self, verb: str, *arguments: str) -> str:
        """Run a verb of hosts.sh."""
        done = subprocess.run(
            ["bash", str(HOSTS), verb, str(self.folder), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    def begin(self) -> None:
        """Start the machines; build the wheel that they run, and the launcher's own file and token."""
        self.runs.mkdir(parents=True)
        (self.folder / "launcher" / ".ray").mkdir(parents=True)
        # kept between runs: minutes of compiling say nothing of what is tested
        kept = Path.home() / ".cache" / "spyhop-lab"
        kept.mkdir(parents=True, exist_ok=True)
        (self.folder / "kernels").symlink_to(kept)
        self.hosts("tools")
        self.hosts("up", sys.executable)
        wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(self.folder / "dist")]
        subprocess.run([*wheel, str(ROOT)], check=True)
        self._ray("get-auth-token", "--generate")
        written = (ROOT / "cluster" / "onprem.yaml").read_text()
        for is_there, is_meant in (
            ("10.0.0.1", f"{NETWORK}.1"),
            ("~/.ssh/id_ed25519", str(self.folder / "key")),
            ("wheels: dist", f"wheels: {self.folder / 'dist'}"),
            ("cluster_name: spyhop", f"cluster_name: {self.folder.name}"),
        ):
            assert is_there in written
            written = written.replace(is_there, is_meant)
        self.file.write_text(written)

    def up(self, *more: str) -> float:
        """Run `ray up`; return how many seconds it took until all machines were there."""
        began = CLOCK.monotonic_ns()
        self._ray("up", "-y", "--no-config-cache", *more, str(self.file))
        for _ in range(int(STARTED_WITHIN_S)):
            with contextlib.suppress(subprocess.SubprocessError):
                if self.on_head("ray status 2>/dev/null | grep -c '^ 3 local' || true", timeout_s=60).strip() == "1":
                    return (CLOCK.monotonic_ns() - began) / 1e9
            time.sleep(1.0)
        raise AssertionError("the machines did not come")

    def start_ray(self, number: int) -> None:
        """Start Ray on a market machine, with the commands that `ray up` has for it."""
        for command in yaml.safe_load(self.file.read_text())["worker_start_ray_commands"]:
            self.on(number, f"export RAY_HEAD_IP={address(HEAD)}; {command}")

    def _ray(self, *arguments: str) -> None:
        with (self.folder / "ray.log").open("ab") as log:
            subprocess.run(
                ["ray", *arguments], env=self.environment, stdout=log, stderr=log, check=True, timeout=STARTED_WITHIN_S
            )

    def on(self, number: int, command: str, timeout_s: float = 300.0) -> str:
        """Run a command of the shell on a machine, as its user; raise CalledProcessError."""
        home = "/home/spyhop"
        shell = f"export HOME={home} RAY_AUTH_MODE=token PATH={home}/spyhop/venv/bin:$PATH; cd /srv; {command}"
        enter = ["bash", str(HOSTS), "enter", str(self.folder), str(number), "bash", "-c", shell]
        return subprocess.run(enter, capture_output=True, text=True, check=True, timeout=timeout_s).stdout

    def on_head(self, command: str, timeout_s: float = 300.0) -> str:
        """Run a command on the head."""
        return self.on(HEAD, command, timeout_s)

    def submit(self, name: str, script: str, *options: str) -> None:
        """Submit a job that runs a script of the shell, and do not wait for it."""
        (self.folder / "shared" / f"{name}.sh").write_text(script)
        more = " ".join(options)
        self.on_head(f"ray job submit --no-wait --submission-id {name} {more} -- bash /srv/{name}.sh")

    def said(self, name: str) -> str:
        """Return what a job has written."""
        return self.on_head(f"cat /tmp/ray/session_latest/logs/job-driver-{name}.log 2>/dev/null || true")

    def state_of(self, name: str) -> str:
        """Return the state of a job, such as SUCCEEDED."""
        told = self.on_head(f"ray job status {name} 2>&1 || true")
        known = ("SUCCEEDED", "FAILED", "STOPPED", "RUNNING", "PENDING")
        return next((word for word in known if word in told.upper()), told)

    def end(self) -> None:
        """End the machines."""
        self.hosts("down")
        for left in Path("/tmp/ray").glob(f"cluster-{self.folder.name}.*"):
            left.unlink()


class Watch:
    """Ray's own table of who is alive where, as the head tells it; each line with the time."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._file = lab.folder / "shared" / "watch.jsonl"
        shutil.copy(Path(__file__).with_name("watching.py"), lab.folder / "shared")
        self.begin()

    def begin(self) -> None:
        """Ask the head that is there now."""
        where = f"{address(HEAD)}:6379"
        self._lab.on_head(f"setsid python /srv/watching.py {where} >> /srv/watch.jsonl 2>/srv/watch.err < /dev/null &")

    def lines(self) -> list[Any]:
        """Return all that was told: [nanoseconds, {actor: [state, address, pid]}, [addresses]]."""
        if not self._file.exists():
            return []
        return [json.loads(line) for line in self._file.read_text().splitlines() if line.endswith("]]")]

    def now(self) -> dict[str, tuple[str, str, int]]:
        """Return state, address and process of every actor."""
        told = self.lines()
        return {name: (state, where, pid) for name, (state, where, pid) in told[-1][1].items()} if told else {}


@contextlib.contextmanager
def venue(lab: Lab, symbols: str) -> Iterator[str]:
    """Run a venue simulator beside the machines; yield the URL of its admin. They find it as /srv/venues.json."""
    command = [sys.executable, "-m", "cluster.cli", "venue-sim", "--host", f"{NETWORK}.1", "--with-parent"]
    with subprocess.Popen(
        [*command, "--symbols", symbols, "--seed", "5"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            assert select.select([process.stdout], [], [], STARTED_WITHIN_S)[0]
            line = process.stdout.readline()
            (lab.folder / "shared" / "venues.json").write_bytes(line)
            yield json.loads(line)["admin"]
        finally:
            process.stdin.close()


@contextlib.contextmanager
def database(lab: Lab) -> Iterator[str]:
    """Run a PostgreSQL server of the lab's own; yield the URL of an empty database, as the machines reach it.

    Its socket is a path in the shared folder, which knows no network: who is cut off keeps the connection that it has.
    """
    folder = lab.folder / "shared" / "postgres"
    folder.mkdir()
    lab.folder.chmod(0o755)
    server = PostgresServer(folder, fsync=True)
    server.start()
    try:
        url = server.new_database()
        yield url.replace(str(folder), "/srv/postgres")
    finally:
        server.crash()


def told_by(admin: str) -> dict[str, Any]:
    """Return what the simulator knows of Binance USDT-M: the account, and who sent what from where."""
    with urllib.request.urlopen(f"{admin}/state", timeout=30) as answer:
        state: dict[str, Any] = json.load(answer)["fronts"]["binance-usdm"]
    return state
