from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from benchmarks.postgres_room import PostgresServer
from spyhop.errors import InvalidSetting, StorageFailed
from spyhop.storage import mounts
from spyhop.storage.database import Ledger
from spyhop.storage.engines import Database


@pytest.mark.parametrize("url", ["mysql://u:secret@h/db", "nothing", "unknown://x"])
def test_a_url_that_is_not_spoken_is_a_setting_to_mend(url: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        Database(url)
    assert "secret" not in str(caught.value)


def test_sqlite_is_synchronous_and_waits_for_locks(tmp_path: Path) -> None:
    engine = Database(f"sqlite:///{tmp_path}/deep/ledger.db").engine
    with engine.connect() as connection:
        said = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
        assert said == ["wal", 2]
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 5_000
    engine.dispose()


def test_sqlite_on_a_network_is_a_setting_to_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(f"31 27 0:26 / {tmp_path} rw - cifs //server/share rw\n")
    monkeypatch.setattr(mounts, "TABLE", table)
    with pytest.raises(InvalidSetting, match=r"ledger\.db is on cifs, a network's file system; name a PostgreSQL"):
        Database(f"sqlite:///{tmp_path}/deep/ledger.db")
    assert Database("sqlite:///:memory:").is_sqlite


def test_postgresql_is_synchronous_whatever_the_database_says(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    for said, held in (("off", "on"), ("remote_write", "on"), ("remote_apply", "remote_apply")):
        owner = Database(url).engine
        with owner.begin() as connection:
            name = connection.execute(sa.text("select current_database()")).scalar_one()
            connection.execute(sa.text(f"alter database {name} set synchronous_commit = {said}"))
        owner.dispose()
        engine = Database(url).engine
        with engine.connect() as connection:
            assert connection.execute(sa.text("show synchronous_commit")).scalar() == held
            assert connection.execute(sa.text("show lock_timeout")).scalar() == "5s"
        engine.dispose()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_way_to_write_postgresql_leads_to_one_driver(scheme: str) -> None:
    database = Database(f"{scheme}://u:secret@db.example/ledger?connect_timeout=1")
    assert database.engine.dialect.driver == "psycopg"
    assert not database.is_sqlite
    assert "secret" not in database.name
    assert database.engine.url.query["connect_timeout"] == "1"
    assert database.engine.url.query["tcp_user_timeout"] == "10000"


def test_a_password_is_in_no_error() -> None:
    with pytest.raises(StorageFailed) as caught:
        Ledger("postgresql://spyhop:secret@127.0.0.1:1/ledger")
    assert "secret" not in f"{caught.value} {caught.value.__cause__}"
    assert "\n" not in str(caught.value)


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'psycopg'")

    monkeypatch.setattr(sa, "create_engine", refuses)
    with pytest.raises(InvalidSetting, match=r"No module named 'psycopg'.*spyhop\[postgres\]"):
        Database("postgresql://h/ledger")
