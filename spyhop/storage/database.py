"""The ledger database: every entry that was acknowledged, in SQLite by default, behind any SQLAlchemy URL.

One writer a session. An entry is known by (session, stage, seq), so a repeat changes nothing; what `append` was given
is on the disk when it returns.
"""

from __future__ import annotations

import logging
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

from spyhop.errors import MissingInput, StateError, StorageFailed, Superseded
from spyhop.execution.orders import NEXT
from spyhop.model.control import Session
from spyhop.model.entries import STAGE_RANK, Entry, Recorded
from spyhop.model.orders import Fill, Liquidated, OrderChanged
from spyhop.storage.engines import WRITES, Database
from spyhop.storage.inserts import Insert
from spyhop.storage.projections import order_row, projection
from spyhop.storage.tables import ENTRIES, FILLS, METADATA, ORDERS, SESSIONS, STATISTICS

log = logging.getLogger(__name__)

_MESSAGE: msgspec.json.Decoder[Recorded] = msgspec.json.Decoder(Recorded)
_CHANGED = msgspec.json.Decoder(OrderChanged)
_FILL = msgspec.json.Decoder(Fill)
_HEAD = msgspec.json.Decoder(Session)
_ALIVE = [status.value for status, following in NEXT.items() if following]
FENCED = frozenset({"risk"})
"""Stages of whose entries a repeat that says something else is refused."""
_KEY = ("session", "stage", "seq")
_MIGRATING = 0x5B79_686F  # of PostgreSQL's advisory locks


def sqlite_url(path: Path) -> str:
    """Return the URL of a ledger in one file."""
    return f"sqlite:///{path}"


class Ledger:
    """The ledger behind `url`; opening it makes or migrates its tables.

    Every method raises StorageFailed when the database refuses; then nothing of that call is kept. A URL of a
    database that Spyhop does not speak raises InvalidSetting.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self._where, self._engine = self._database.name, self._database.engine
        insert, dialect = self._database.insert, self._engine.dialect
        self._driver_error: type[Exception] = dialect.loaded_dbapi.Error
        keep = insert(ENTRIES).on_conflict_do_nothing().returning(ENTRIES.c.stage, ENTRIES.c.seq)
        self._keep = Insert(keep, ENTRIES, dialect)
        self._add = {
            table: Insert(insert(table).on_conflict_do_nothing(), table, dialect) for table in METADATA.sorted_tables
        }
        self._stand = Insert(_standing(insert(ORDERS)), ORDERS, dialect)
        try:
            with self._transaction(write=True) as connection:
                self._migrate(connection)
        except BaseException:
            self._engine.dispose()
            raise

    def _migrate(self, connection: sa.Connection) -> None:
        if not self._database.is_sqlite:
            # two that open a new database at once would both make its tables
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATING)))
        command.upgrade(migrations(connection), "head")

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect().execution_options(**{WRITES: write}) as connection:
                try:
                    with connection.begin():
                        yield connection
                except self._driver_error:
                    # nobody has looked whether it is the connection that is broken
                    connection.invalidate()
                    raise
        except (sa.exc.DBAPIError, self._driver_error, OSError) as error:
            reason = str(error.orig) if isinstance(error, sa.exc.DBAPIError) else str(error)
            raise StorageFailed(f"ledger {self._where}", " ".join(reason.split())) from error
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
            self._add[SESSIONS].run(connection, [row])

    def append(self, session: str, entries: Sequence[Entry]) -> int:
        """Keep the entries that are new and return how many; durable when this returns.

        Raises StateError, and keeps none of them, when one holds a number that is not finite; Superseded when another
        life of a supervisor has said something else under one of their numbers.
        """
        offered = {(entry.stage, entry.seq): entry for entry in reversed(entries)}
        if not offered:
            return 0
        rows = {key: _entry_row(session, offered[key]) for key in sorted(offered)}
        with self._transaction(write=True) as connection:
            new = {(stage, seq) for stage, seq in self._keep.run(connection, list(rows.values()))}
            for key in rows.keys() - new:
                self._check_repeat(connection, rows[key])
            self._project(connection, session, [offered[key] for key in sorted(new)])
        return len(new)

    def _check_repeat(self, connection: sa.Connection, row: dict[str, Any]) -> None:
        # the fence between two that take themselves for the supervisor: who is first at a number has it
        if row["stage"] in FENCED:
            query = sa.select(ENTRIES.c.message).where(*(ENTRIES.c[name] == row[name] for name in _KEY))
            if connection.scalar(query) != row["message"]:
                raise Superseded(row["stage"], row["seq"])

    def _project(self, connection: sa.Connection, session: str, entries: Sequence[Entry]) -> None:
        batches: dict[sa.Table, list[dict[str, Any]]] = {}
        orders: dict[str, dict[str, Any]] = {}
        for entry in entries:
            found = projection(session, entry)
            if found is not None:
                batches.setdefault(found[0], []).append(found[1])
            if isinstance(entry.message, OrderChanged):
                # entries come by number, so the newest step of an order stays
                orders[entry.message.client_order_id] = order_row(session, entry, entry.message)
        for table, rows in batches.items():
            self._add[table].run(connection, rows)
        if orders:
            self._stand.run(connection, list(orders.values()))

    def observe(self, session: str, ts: int, statistics: dict[str, float]) -> None:
        """Keep what was measured at `ts` by name; the first value kept for a name and time stays."""
        rows = [{"session": session, "ts": ts, "name": name, "value": value} for name, value in statistics.items()]
        if rows:
            with self._transaction(write=True) as connection:
                self._add[STATISTICS].run(connection, rows)

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

    def entries_of(self, session: str, stage: str, first: int, limit: int) -> list[Entry]:
        """Return up to `limit` entries of a stage in the order of their numbers, from number `first` on."""
        query = sa.select(ENTRIES.c.ts, ENTRIES.c.seq, ENTRIES.c.message).order_by(ENTRIES.c.seq).limit(limit)
        query = query.where(ENTRIES.c.session == session, ENTRIES.c.stage == stage, ENTRIES.c.seq >= first)
        with self._transaction(write=False) as connection:
            return [
                Entry(ts, stage, seq, _MESSAGE.decode(message)) for ts, seq, message in connection.execute(query).all()
            ]

    def statistics(self, session: str) -> dict[str, list[tuple[int, float]]]:
        """Return what was measured, (ts, value) in order of time, by name."""
        table = STATISTICS.c
        query = sa.select(table.name, table.ts, table.value).where(table.session == session)
        series: dict[str, list[tuple[int, float]]] = {}
        with self._transaction(write=False) as connection:
            for name, ts, value in connection.execute(query.order_by(table.ts)):
                series.setdefault(name, []).append((ts, value))
        return dict(sorted(series.items()))

    def order_ids(self, session: str) -> set[str]:
        """Return the client order ids of every order that a session asked for."""
        query = sa.select(ORDERS.c.client_order_id).where(ORDERS.c.session == session)
        with self._transaction(write=False) as connection:
            return set(connection.scalars(query))

    def known_order(self, client_order_id: str) -> bool:
        """Return whether any session asked for an order under this id."""
        query = sa.select(sa.exists().where(ORDERS.c.client_order_id == client_order_id))
        with self._transaction(write=False) as connection:
            return bool(connection.scalar(query))

    def orders_alive(self, session: str) -> list[OrderChanged]:
        """Return the newest step of every order of a session that can still become something, oldest step first."""
        query = sa.select(ENTRIES.c.message).join(ORDERS, _same_entry(ORDERS))
        query = query.where(ORDERS.c.session == session, ORDERS.c.status.in_(_ALIVE)).order_by(ORDERS.c.seq)
        with self._transaction(write=False) as connection:
            return [_CHANGED.decode(message) for message in connection.scalars(query)]

    def fills(self, session: str) -> list[Fill]:
        """Return a session's fills in order, late ones too, each execution of an instrument once."""
        query = sa.select(ENTRIES.c.message).join(FILLS, _same_entry(FILLS))
        query = query.where(FILLS.c.session == session).order_by(FILLS.c.ts, FILLS.c.seq)
        with self._transaction(write=False) as connection:
            return [_FILL.decode(message) for message in connection.scalars(query)]

    def positions(self, session: str) -> dict[int, int]:
        """Return what a session's fills and liquidations leave, lots with sign by instrument, none flat."""
        lots: dict[int, int] = {}
        for fill in self.fills(session):
            lots[fill.instrument] = lots.get(fill.instrument, 0) + int(fill.side) * fill.lots
        for entry in self.entries(session, Liquidated):
            taken = entry.message
            assert isinstance(taken, Liquidated)
            lots[taken.instrument] = lots.get(taken.instrument, 0) - int(taken.side) * taken.lots
        return {instrument: lots[instrument] for instrument in sorted(lots) if lots[instrument]}

    def tidy(self) -> None:
        """Bring what SQLite's log holds into its file, if nobody is in the way; commits go on meanwhile."""
        if not self._database.is_sqlite:
            return
        try:
            connection = self._engine.raw_connection()
            try:
                connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            finally:
                connection.close()
        except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:
            log.info("the log of ledger %s stays as it is for now: %s", self._where, error)

    def close(self) -> None:
        """Let the database go; everything acknowledged is durable already."""
        self._engine.dispose()


class SessionLedger:
    """One session's part of a ledger, for its keeper."""

    def __init__(self, ledger: Ledger, session: Session) -> None:
        self._ledger, self._session = ledger, session.id
        try:
            ledger.begin(session)
        except BaseException:
            ledger.close()
            raise

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep the entries that are new; durable when this returns."""
        self._ledger.append(self._session, entries)

    def observe(self, ts: int, statistics: dict[str, float]) -> None:
        """Keep what was measured at `ts` by name."""
        self._ledger.observe(self._session, ts, statistics)

    def committed(self, stage: str) -> int:
        """Return how many entries of `stage` are kept."""
        return self._ledger.committed(self._session, stage)

    def entries(self, stage: str, first: int, limit: int) -> list[Entry]:
        """Return up to `limit` entries of a stage in the order of their numbers, from number `first` on."""
        return self._ledger.entries_of(self._session, stage, first, limit)

    def tidy(self) -> None:
        """Do what no commit should wait for."""
        self._ledger.tidy()

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


def _standing(insert: Any) -> Any:
    key = ("session", "client_order_id")
    return insert.on_conflict_do_update(
        index_elements=list(key),
        set_={column.name: insert.excluded[column.name] for column in ORDERS.columns if column.name not in key},
        where=ORDERS.c.seq < insert.excluded.seq,
    )


def _same_entry(table: sa.Table) -> sa.ColumnElement[bool]:
    return sa.and_(ENTRIES.c.session == table.c.session, ENTRIES.c.stage == table.c.stage, ENTRIES.c.seq == table.c.seq)


def migrations(connection: sa.Connection) -> Config:
    """Return what Alembic's commands need to migrate the database of `connection`, inside its transaction."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
