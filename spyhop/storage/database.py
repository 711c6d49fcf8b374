"""The ledger database: every entry that was acknowledged, in SQLite by default, behind any SQLAlchemy URL.

One writer a session. An entry is known by (session, stage, seq), so a repeat changes nothing; what `append` was given
is on the disk when it returns.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.dialects import postgresql, sqlite

from spyhop.errors import InvalidSetting, MissingInput, StateError, StorageFailed
from spyhop.model.control import Session
from spyhop.model.entries import STAGE_RANK, Entry, Recorded
from spyhop.model.orders import OrderChanged
from spyhop.storage.projections import order_row, projection
from spyhop.storage.tables import ENTRIES, ORDERS, SESSIONS, STATISTICS

_MESSAGE: msgspec.json.Decoder[Recorded] = msgspec.json.Decoder(Recorded)
_HEAD = msgspec.json.Decoder(Session)
_MAX_KEYS = 500  # in one query; SQLite's oldest limit of variables is 999
_BUSY_S = 10


def sqlite_url(path: Path) -> str:
    """Return the URL of a ledger in one file."""
    return f"sqlite:///{path}"


class Ledger:
    """The ledger behind `url`; opening it makes or migrates its tables.

    Every method raises StorageFailed when the database refuses; then nothing of that call is kept. A URL of a
    database that Spyhop does not speak raises InvalidSetting.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = sa.make_url(url)
            dialect = parsed.get_dialect().name
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError) as error:
            raise InvalidSetting("ledger", str(error)) from None
        if dialect not in ("sqlite", "postgresql"):
            raise InvalidSetting("ledger", f"{dialect} is not spoken; use sqlite or postgresql")
        self._insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
        self._where = parsed.render_as_string(hide_password=True)
        self._engine = sa.create_engine(parsed)
        try:
            if dialect == "sqlite":
                _prepare_sqlite(self._engine)
                _make_folder(parsed)
            with self._transaction(write=True) as connection:
                _migrate(connection)
        except BaseException:
            self._engine.dispose()
            raise

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect().execution_options(spyhop_write=write) as connection, connection.begin():
                yield connection
        except (sa.exc.DBAPIError, OSError) as error:
            reason = str(error.orig) if isinstance(error, sa.exc.DBAPIError) else str(error)
            raise StorageFailed(f"ledger {self._where}", reason) from error
        except CommandError as error:
            raise StorageFailed(f"ledger {self._where}", f"its tables are of another version: {error}") from error

    def begin(self, session: Session) -> None:
        """Keep a session's head; the first one kept stays."""
        row = {
            "id": session.id,
            "started": session.started,
            "mode": session.mode,
            "source": session.source,
            "is_simulated": session.is_simulated,
            "version": session.version,
            "runner": session.runner,
            "head": msgspec.json.encode(session).decode(),
        }
        with self._transaction(write=True) as connection:
            connection.execute(self._insert(SESSIONS).on_conflict_do_nothing(), row)

    def append(self, session: str, entries: Sequence[Entry]) -> int:
        """Keep the entries that are new and return how many; durable when this returns.

        Raises StateError, and keeps none of them, when one holds a number that is not finite.
        """
        offered = {(entry.stage, entry.seq): entry for entry in reversed(entries)}
        if not offered:
            return 0
        rows = {key: _entry_row(session, offered[key]) for key in sorted(offered)}
        with self._transaction(write=True) as connection:
            known = _known(connection, session, list(rows))
            new = [key for key in rows if key not in known]
            if new:
                connection.execute(sa.insert(ENTRIES), [rows[key] for key in new])
                self._project(connection, session, [offered[key] for key in new])
        return len(new)

    def _project(self, connection: sa.Connection, session: str, entries: Sequence[Entry]) -> None:
        batches: dict[sa.Table, list[dict[str, Any]]] = {}
        for entry in entries:
            found = projection(session, entry)
            if found is not None:
                batches.setdefault(found[0], []).append(found[1])
        for table, rows in batches.items():
            connection.execute(self._insert(table).on_conflict_do_nothing(), rows)
        for entry in entries:
            if isinstance(entry.message, OrderChanged):
                self._stand(connection, order_row(session, entry, entry.message))

    def _stand(self, connection: sa.Connection, row: dict[str, Any]) -> None:
        insert = self._insert(ORDERS).values(row)
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=["session", "client_order_id"],
                set_={name: insert.excluded[name] for name in row if name not in ("session", "client_order_id")},
                where=ORDERS.c.seq < insert.excluded.seq,
            )
        )

    def observe(self, session: str, ts: int, statistics: dict[str, float]) -> None:
        """Keep what was measured at `ts` by name; the first value kept for a name and time stays."""
        rows = [{"session": session, "ts": ts, "name": name, "value": value} for name, value in statistics.items()]
        if rows:
            with self._transaction(write=True) as connection:
                connection.execute(self._insert(STATISTICS).on_conflict_do_nothing(), rows)

    def committed(self, session: str, stage: str) -> int:
        """Return how many entries of `stage` are kept."""
        query = sa.select(sa.func.count()).where(ENTRIES.c.session == session, ENTRIES.c.stage == stage)
        with self._transaction(write=False) as connection:
            return int(connection.execute(query).scalar_one())

    def sessions(self) -> list[str]:
        """Return the ids of all sessions, oldest first."""
        with self._transaction(write=False) as connection:
            return list(connection.scalars(sa.select(SESSIONS.c.id).order_by(SESSIONS.c.started, SESSIONS.c.id)))

    def session(self, session: str) -> Session:
        """Return a session's head; raise MissingInput."""
        with self._transaction(write=False) as connection:
            head = connection.scalar(sa.select(SESSIONS.c.head).where(SESSIONS.c.id == session))
        if head is None:
            raise MissingInput(f"there is no session {session!r} in the ledger {self._where}")
        return _HEAD.decode(head)

    def entries(self, session: str, *kinds: type[Recorded]) -> list[Entry]:
        """Return a session's entries in canonical order (ts, stage, seq), of the given kinds only when any are."""
        query = sa.select(ENTRIES.c.ts, ENTRIES.c.stage, ENTRIES.c.seq, ENTRIES.c.message)
        query = query.where(ENTRIES.c.session == session)
        if kinds:
            query = query.where(ENTRIES.c.kind.in_([kind.__name__ for kind in kinds]))
        with self._transaction(write=False) as connection:
            rows = connection.execute(query).all()
        entries = [Entry(ts, stage, seq, _MESSAGE.decode(message)) for ts, stage, seq, message in rows]
        return sorted(entries, key=lambda entry: entry.order)

    def statistics(self, session: str) -> dict[str, list[tuple[int, float]]]:
        """Return what was measured, (ts, value) in order of time, by name."""
        table = STATISTICS.c
        query = sa.select(table.name, table.ts, table.value).where(table.session == session)
        series: dict[str, list[tuple[int, float]]] = {}
        with self._transaction(write=False) as connection:
            for name, ts, value in connection.execute(query.order_by(table.name, table.ts)):
                series.setdefault(name, []).append((ts, value))
        return series

    def close(self) -> None:
        """Let the database go; everything acknowledged is durable already."""
        self._engine.dispose()


class SessionLedger:
    """One session's part of a ledger, for its keeper."""

    def __init__(self, ledger: Ledger, session: Session) -> None:
        self._ledger, self._session = ledger, session.id
        ledger.begin(session)

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep the entries that are new; durable when this returns."""
        self._ledger.append(self._session, entries)

    def observe(self, ts: int, statistics: dict[str, float]) -> None:
        """Keep what was measured at `ts` by name."""
        self._ledger.observe(self._session, ts, statistics)

    def committed(self, stage: str) -> int:
        """Return how many entries of `stage` are kept."""
        return self._ledger.committed(self._session, stage)

    def close(self) -> None:
        """Let the database go."""
        self._ledger.close()


def _entry_row(session: str, entry: Entry) -> dict[str, Any]:
    if entry.stage not in STAGE_RANK:
        raise StateError(f"there is no stage {entry.stage!r}")
    message = msgspec.json.encode(entry.message)
    if b"null" in message:  # how msgspec writes a float that is not finite; a text may hold the word too
        try:
            _MESSAGE.decode(message)
        except msgspec.ValidationError as error:
            raise StateError(f"entry {entry.stage} {entry.seq} holds a number that is not finite: {error}") from error
    return {
        "session": session,
        "stage": entry.stage,
        "seq": entry.seq,
        "ts": entry.ts,
        "kind": type(entry.message).__name__,
        "message": message.decode(),
    }


def _known(connection: sa.Connection, session: str, keys: list[tuple[str, int]]) -> set[tuple[str, int]]:
    found: set[tuple[str, int]] = set()
    for stage in STAGE_RANK:
        numbers = [seq for of, seq in keys if of == stage]
        for start in range(0, len(numbers), _MAX_KEYS):
            query = sa.select(ENTRIES.c.seq).where(
                ENTRIES.c.session == session,
                ENTRIES.c.stage == stage,
                ENTRIES.c.seq.in_(numbers[start : start + _MAX_KEYS]),
            )
            found.update((stage, seq) for seq in connection.scalars(query))
    return found


def _migrate(connection: sa.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _prepare_sqlite(engine: sa.Engine) -> None:
    # the driver must not open or end transactions by itself: DDL and reads belong to ours too
    def connected(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None
        for pragma in (f"busy_timeout={_BUSY_S * 1000}", "journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}").fetchall()

    # a writer takes the lock at once: a reader that turns writer cannot wait for another
    def begun(connection: sa.Connection) -> None:
        is_write = connection.get_execution_options().get("spyhop_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")

    sa.event.listen(engine, "connect", connected)
    sa.event.listen(engine, "begin", begun)


def _make_folder(url: sa.URL) -> None:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        return
    folder = Path(url.database).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFailed(str(folder), error.strerror or str(error)) from error
