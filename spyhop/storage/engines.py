"""Databases that Spyhop speaks, set up so that a commit that returned is on the disk and no call waits for ever."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from spyhop.errors import InvalidSetting, StorageFailed
from spyhop.storage.mounts import Seen, seen, why_no_sqlite

BUSY_S = 5
"""How long a call waits for another process's lock, or for a server that does not answer."""

MAX_LOG_PAGES = 16_384
"""How long SQLite's log may get, in pages of 4 KB, before a commit brings it into the file itself; until then that
waits for `Ledger.tidy`. The median of commits is 0.7 ms with it, 1.6 with SQLite's own 1,000 pages."""

WRITES = "spyhop_write"
"""The execution option that marks a connection as one that will write."""

_POSTGRES = "postgresql+psycopg"
_PATIENCE = {
    "connect_timeout": str(BUSY_S),
    # a server that vanished without a word is noticed within seconds, not after hours
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "spyhop",
}


class Database:
    """An engine, its dialect's `insert`, and a name for messages, which holds no password."""

    def __init__(self, url: str) -> None:
        """Take `url`, of SQLite or PostgreSQL (`postgres://` too); raise InvalidSetting, or StorageFailed for a folder.

        Nothing is connected yet. An SQLite file on a network's file system is refused.
        """
        parsed = _parsed(url)
        self.name = parsed.render_as_string(hide_password=True)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.insert: Callable[[sa.Table], Any] = sqlite.insert if self.is_sqlite else postgresql.insert
        if not self.is_sqlite:
            unsaid = {name: value for name, value in _PATIENCE.items() if name not in parsed.query}
            parsed = parsed.update_query_dict(unsaid)
        try:
            self.engine = sa.create_engine(parsed)
        except ImportError as error:
            hint = "; PostgreSQL needs the extra: pip install 'spyhop[postgres]'" if not self.is_sqlite else ""
            raise InvalidSetting("ledger", f"{error}{hint}") from error
        if self.is_sqlite:
            refuse_split(url, {"": seen_from_here(folder)} if (folder := sqlite_folder(url)) else {})
            sa.event.listen(self.engine, "connect", _connected_sqlite)
            sa.event.listen(self.engine, "begin", _begun_sqlite)
        else:
            sa.event.listen(self.engine, "connect", _connected_postgres)


def _parsed(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
        if parsed.drivername in ("postgres", "postgresql"):
            parsed = parsed.set(drivername=_POSTGRES)
        backend = parsed.get_dialect().name
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError) as error:
        raise InvalidSetting("ledger", str(error)) from None
    if backend not in ("sqlite", "postgresql"):
        raise InvalidSetting("ledger", f"{backend} is not spoken; use sqlite or postgresql")
    return parsed


def _connected_sqlite(connection: sqlite3.Connection, _: object) -> None:
    # the driver must not open or end transactions by itself: DDL and reads belong to ours too
    connection.isolation_level = None
    log = f"wal_autocheckpoint={MAX_LOG_PAGES}"
    for pragma in (f"busy_timeout={int(BUSY_S * 1000)}", "journal_mode=WAL", "synchronous=FULL", log):
        connection.execute(f"PRAGMA {pragma}").fetchall()


def _begun_sqlite(connection: sa.Connection) -> None:
    # a writer takes the lock at once: a reader that turns writer cannot wait for another
    is_write = connection.get_execution_options().get(WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")


def _connected_postgres(connection: Any, _: object) -> None:
    # `on` is the weakest that survives a crash of the server and its standby; a stronger setting stays
    connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false) "
        "WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')"
    )
    connection.execute(f"SET lock_timeout = '{BUSY_S}s'")
    connection.commit()


def sqlite_folder(url: str) -> Path | None:
    """Return the folder of the file that `url` names, None for PostgreSQL and memory; raises InvalidSetting."""
    parsed = _parsed(url)
    name = parsed.database or ":memory:"
    if parsed.get_backend_name() != "sqlite" or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name).parent


def seen_from_here(folder: Path, mark: str = "") -> Seen:
    """Return the folder of a ledger, made if it is not there, as this process sees it; raises StorageFailed."""
    try:
        return seen(folder, mark)
    except OSError as error:
        raise StorageFailed(str(folder), error.strerror or str(error)) from error


def refuse_split(url: str, machines: Mapping[str, Seen]) -> None:
    """Raise InvalidSetting unless the SQLite file of `url` is one and the same for all machines that may open it."""
    if why := why_no_sqlite(machines):
        raise InvalidSetting("session.ledger_url", f"{_parsed(url).database} {why}; name a PostgreSQL database instead")
