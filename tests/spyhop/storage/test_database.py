from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.postgres_room import PostgresServer
from spyhop.errors import MissingInput, StateError, StorageFailed
from spyhop.model.control import Session
from spyhop.model.decisions import STRATEGIES, Contribution, Decision, Intent, Trigger
from spyhop.model.entries import Entry
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    Fill,
    FundingPaid,
    Liquidated,
    Liquidity,
    OrderChanged,
    OrderStatus,
    OrderType,
    PairEnded,
    Purpose,
    SubmitOrder,
    TradeClosed,
)
from spyhop.model.tape import Side, Venue
from spyhop.model.verdicts import Approved, EpochBegan, Refused
from spyhop.storage import tables
from spyhop.storage.database import Ledger, SessionLedger, migrations, sqlite_url
from spyhop.storage.engines import Database

S = "s20251128_171500_000000"


def session(name: str = S, started: int = 5) -> Session:
    btc = Instrument(
        id=0, venue=Venue.BINANCE_USDM, symbol="BTCUSDT", tick_size=Decimal("0.1"), lot_size=Decimal("0.001")
    )
    return Session(
        id=name,
        started=started,
        mode="paper",
        source="a test",
        is_simulated=True,
        instruments=(btc,),
        settings={"risk": {"leverage": 3.5}},
        version="0",
        runner="local",
    )


INTENT = Intent(
    seq=0,
    ts=30,
    instrument=0,
    decision_seq=4,
    side=Side.SELL,
    strategy="WHALE_DUMP",
    probability=0.1 + 0.2,
    confidence=0.72,
    reference=915_000,
    take_profit=913_000,
    stop=916_000,
    max_hold_ns=1_800,
)
ORDER = SubmitOrder(
    ts=30,
    client_order_id=f"{S}-000000",
    instrument=0,
    side=Side.SELL,
    type=OrderType.MARKET,
    lots=9,
    purpose=Purpose.ENTRY,
)


def changed(ts: int, status: OrderStatus, filled: int) -> OrderChanged:
    return OrderChanged(
        ts=ts,
        client_order_id=ORDER.client_order_id,
        instrument=0,
        status=status,
        filled=filled,
        cause="a test",
        order=ORDER,
    )


def fill(ts: int, fill_id: str) -> Fill:
    return Fill(
        ts=ts,
        ts_venue=ts - 1,
        fill_id=fill_id,
        client_order_id=ORDER.client_order_id,
        instrument=0,
        side=Side.SELL,
        price=914_990,
        lots=9,
        liquidity=Liquidity.TAKER,
        fee=0.1,
        slippage=0.01,
    )


STORY: list[Entry] = [
    Entry(
        30,
        "decision",
        0,
        Decision(
            seq=4,
            ts=30,
            instrument=0,
            trigger=Trigger.SHARP,
            price=91_500.0,
            probabilities=(1 / 23,) * len(STRATEGIES),
            strategy="WHALE_DUMP",
            probability=0.78,
            confidence=0.72,
            side=Side.SELL,
            evidence=(Contribution("wpi", -0.4, 2.0, 0.8),),
            reasons=("the word null in a text is no number",),
        ),
    ),
    Entry(30, "decision", 1, INTENT),
    Entry(30, "risk", 0, EpochBegan(ts=30, epoch=1, at_seq=0)),
    Entry(
        30,
        "risk",
        1,
        Approved(seq=0, ts=30, intent=INTENT, lots=9, leverage=5.5, risk=10.0, margin=20.0, epoch=1, expires=60),
    ),
    Entry(30, "risk", 2, Refused(seq=1, ts=30, intent=INTENT, code="min_interval", measured=12.5, limit=60.0)),
    Entry(31, "order", 0, changed(31, OrderStatus.OPEN, 0)),
    Entry(32, "order", 1, fill(32, "f1")),
    Entry(32, "order", 2, changed(32, OrderStatus.FILLED, 9)),
    Entry(40, "order", 3, FundingPaid(ts=40, ts_venue=39, instrument=0, rate=1e-4, lots=-9, amount=-0.08)),
    Entry(
        50, "order", 4, Liquidated(ts=50, ts_venue=50, instrument=0, side=Side.SELL, price=920_000, lots=9, loss=20.0)
    ),
    Entry(
        51,
        "order",
        5,
        TradeClosed(
            ts=51,
            trade_id="WT_19700101_000000_0001",
            instrument=0,
            side=Side.SELL,
            strategy="WHALE_DUMP",
            probability=0.78,
            confidence=0.72,
            intent_seq=0,
            decision_seq=4,
            ts_entry=32,
            ts_exit=51,
            entry_price=91_499.0,
            exit_price=92_000.0,
            take_profit_price=91_300.0,
            stop_loss_price=91_600.0,
            lots=9,
            notional=823.49,
            margin=20.0,
            leverage=5.5,
            exit_purpose="liquidation",
            gross=-4.509,
            fees=0.2,
            funding=-0.08,
            slippage=0.02,
            net=-4.629,
            max_profit_frac=0.0001,
            max_drawdown_frac=-0.006,
        ),
    ),
]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that has nothing yet, of each kind that is spoken."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "deep" / "ledger.db")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    opened = Ledger(url)
    yield opened
    opened.close()


@contextmanager
def engine_of(url: str) -> Iterator[sa.Engine]:
    engine = Database(url).engine
    yield engine
    engine.dispose()


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with engine_of(url) as engine, engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def test_entries_of_every_kind_come_back_equal_and_in_order(ledger: Ledger) -> None:
    ledger.begin(session())
    assert ledger.append(S, list(reversed(STORY))) == len(STORY)
    assert ledger.entries(S) == STORY
    assert [entry.message for entry in ledger.entries(S, Refused, TradeClosed)] == [STORY[4].message, STORY[-1].message]
    assert ledger.entries("another") == []


def test_a_repeat_changes_nothing_even_a_different_one(ledger: Ledger) -> None:
    ledger.append(S, STORY)
    assert ledger.append(S, STORY[3:]) == 0
    assert ledger.append(S, [Entry(99, "order", 1, fill(99, "f9"))]) == 0
    assert ledger.append(S, [STORY[0], STORY[0]]) == 0
    assert ledger.entries(S) == STORY
    assert [ledger.committed(S, stage) for stage in ("decision", "risk", "order")] == [2, 3, 6]


@given(cuts=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=6))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_parcels_that_overlap_in_any_way_leave_one_of_each(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[tuple[int, int]]
) -> None:
    url = sqlite_url(tmp_path_factory.mktemp("ledger") / "ledger.db")
    ledger = Ledger(url)
    for low, high in cuts:
        ledger.append(S, STORY[low:high])
    ledger.append(S, STORY)
    assert ledger.entries(S) == STORY
    assert rows(url, "select count(*) from fills") == [(1,)]
    assert rows(url, "select status, filled, seq from orders") == [("filled", 9, 2)]
    ledger.close()


def test_the_typed_tables_hold_the_same_facts(ledger: Ledger, url: str) -> None:
    ledger.append(S, STORY)
    assert rows(url, 'select intent_seq, is_approved, code, measured, "limit", lots, leverage from verdicts') == [
        (0, 1, "", 0.0, 0.0, 9, 5.5),
        (0, 0, "min_interval", 12.5, 60.0, 0, 0.0),
    ]
    assert rows(url, "select strategy, side, intent_seq, reference from intents") == [("WHALE_DUMP", -1, 0, 915_000)]
    assert rows(url, "select decision_seq, trigger, seq from decisions") == [(4, "sharp", 0)]
    assert rows(url, "select fill_id, liquidity, fee, price from fills") == [("f1", "taker", 0.1, 914_990)]
    assert rows(url, "select net, exit_purpose, max_drawdown_frac from trades") == [(-4.629, "liquidation", -0.006)]
    assert rows(url, "select rate, amount from funding") == [(1e-4, -0.08)]
    assert rows(url, "select loss from liquidations") == [(20.0,)]
    assert rows(url, "select status, purpose, filled from orders") == [("filled", "entry", 9)]
    assert rows(url, "select count(*) from order_events") == [(2,)]


def test_two_writers_of_one_session_keep_one_of_each(url: str) -> None:
    ledgers = [Ledger(url), Ledger(url)]
    many = [Entry(n, "order", n, fill(n, f"f{n}")) for n in range(120)]

    def write(writer: int) -> int:
        # one goes up while the other goes down, in parcels that overlap
        starts = range(0, 120, 10)
        order = starts if writer == 0 else reversed(starts)
        return sum(ledgers[writer].append(S, many[start : start + 15]) for start in order)

    with ThreadPoolExecutor(2) as threads:
        new = list(threads.map(write, (0, 1)))
    assert sum(new) == 120
    assert ledgers[0].entries(S) == many
    assert rows(url, "select count(*) from fills") == [(120,)]
    for ledger in ledgers:
        ledger.close()


def test_the_newest_step_of_an_order_stands_however_many_come_at_once(ledger: Ledger, url: str) -> None:
    steps = [step(n, name, OrderStatus.OPEN, n) for n, name in enumerate("abab")]
    ledger.append(S, [steps[3], steps[0], steps[2], steps[1]])
    assert rows(url, "select client_order_id, seq, filled from orders order by seq") == [("a", 2, 2), ("b", 3, 3)]


def test_an_older_event_of_an_order_does_not_move_it_back(ledger: Ledger, url: str) -> None:
    ledger.append(S, [STORY[7]])
    ledger.append(S, [STORY[5]])
    assert rows(url, "select status from orders") == [("filled",)]


def test_more_entries_than_one_query_may_name(ledger: Ledger) -> None:
    many = [Entry(n, "order", n, fill(n, f"f{n}")) for n in range(1_203)]
    ledger.append(S, many[:700])
    assert ledger.append(S, many) == 503
    assert ledger.committed(S, "order") == 1_203


def test_a_number_that_is_not_finite_is_refused_and_nothing_of_the_parcel_kept(ledger: Ledger) -> None:
    bad = FundingPaid(ts=1, ts_venue=1, instrument=0, rate=float("nan"), lots=1, amount=1.0)
    with pytest.raises(StateError, match="order 7 holds a number that is not finite"):
        ledger.append(S, [*STORY, Entry(60, "order", 7, bad)])
    assert ledger.entries(S) == []
    with pytest.raises(StateError, match="no stage 'nobody'"):
        ledger.append(S, [Entry(1, "nobody", 0, STORY[1].message)])


def test_sessions_and_statistics_are_kept_once(ledger: Ledger) -> None:
    ledger.begin(session("b", 9))
    ledger.begin(session("a", 2))
    ledger.begin(session("b", 100))
    assert ledger.sessions() == ["a", "b"]
    assert ledger.session("b") == session("b", 9)
    with pytest.raises(MissingInput, match="no session 'c'"):
        ledger.session("c")
    kept = SessionLedger(ledger, session("a", 2))
    kept.observe(10, {"gaps": 1.0, "events": 5.0})
    kept.observe(20, {"gaps": 3.0})
    kept.observe(20, {"gaps": 7.0})
    kept.observe(30, {})
    kept.append(STORY[:3])
    assert ledger.statistics("a") == {"events": [(10, 5.0)], "gaps": [(10, 1.0), (20, 3.0)]}
    assert kept.committed("decision") == 2
    kept.close()


def shape(url: str) -> tuple[list[object], dict[str, list[str]]]:
    """How the tables differ from those of the code, and their keys."""
    with engine_of(url) as engine, engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), tables.METADATA)
        keys = {
            name: sa.inspect(connection).get_pk_constraint(name)["constrained_columns"]
            for name in sa.inspect(connection).get_table_names()
            if name != "alembic_version"
        }
    return differences, keys


KEYS = {name: [column.name for column in table.primary_key.columns] for name, table in tables.METADATA.tables.items()}


def test_migrations_lead_from_nothing_to_exactly_the_tables(ledger: Ledger, url: str) -> None:
    assert shape(url) == ([], KEYS)


def test_migrations_lead_down_and_up_again_and_keep_what_was_said(ledger: Ledger, url: str) -> None:
    ledger.append(S, STORY)
    other = msgspec.structs.replace(fill(70, "f1"), instrument=1)
    ledger.append(S, [Entry(70, "order", 6, other)])
    assert rows(url, "select instrument from fills order by instrument") == [(0,), (1,)]
    ledger.close()
    with engine_of(url) as engine:
        with engine.begin() as connection:
            command.downgrade(migrations(connection), "0001")
        assert rows(url, "select instrument, price from fills") == [(0, 914_990)]
        old = shape(url)[1]
        assert set(KEYS) - set(old) == {"risk_states", "comparisons", "differences", "reconciliations", "pairs"}
        assert old["fills"] == ["session", "fill_id"]
    again = Ledger(url)
    assert shape(url) == ([], KEYS)
    assert [entry.message for entry in again.entries(S, Fill)] == [fill(32, "f1"), other]
    again.close()
    with engine_of(url) as engine:
        with engine.begin() as connection:
            command.downgrade(migrations(connection), "base")
        assert shape(url)[1] == {}


def test_a_pair_and_its_legs_can_be_told_from_trades(ledger: Ledger, url: str) -> None:
    plain = STORY[-1].message
    assert isinstance(plain, TradeClosed)
    leg = msgspec.structs.replace(plain, trade_id="leg", intent_seq=7, is_leg=True)
    money = {"notional": 823.49, "gross": 1.0, "fees": 0.25, "funding": 0.0, "slippage": 0.0, "net": 0.75}
    end = PairEnded(ts=60, intent_seq=7, instrument=0, hedge=1, num_legs=2, reason="", **money)
    ledger.append(S, [Entry(51, "order", 0, plain), Entry(52, "order", 1, leg), Entry(60, "order", 2, end)])
    assert rows(url, "select trade_id from trades where not is_leg") == [("WT_19700101_000000_0001",)]
    joined = "select trade_id, hedge, num_legs, pairs.net from pairs join trades using (session, intent_seq)"
    assert rows(url, joined) == [("leg", 1, 2, 0.75)]
    ledger.close()
    with engine_of(url) as engine, engine.begin() as connection:
        command.downgrade(migrations(connection), "0002")
    assert rows(url, "select count(*) from trades") == [(2,)]
    # what was kept before there were pairs is no leg
    again = Ledger(url)
    assert rows(url, "select count(*) from trades where not is_leg") == [(2,)]
    assert shape(url) == ([], KEYS)
    again.close()


def test_opening_again_keeps_everything(url: str) -> None:
    for _ in range(2):
        ledger = Ledger(url)
        ledger.append(S, STORY)
        ledger.close()
    reopened = Ledger(url)
    assert reopened.entries(S) == STORY
    reopened.close()


def test_many_may_open_a_new_database_at_once(url: str) -> None:
    with ThreadPoolExecutor(6) as threads:
        ledgers = list(threads.map(Ledger, [url] * 6))
    for ledger in ledgers:
        assert ledger.sessions() == []
        ledger.close()


def test_a_ledger_of_a_later_version_is_refused(url: str) -> None:
    Ledger(url).close()
    with engine_of(url) as engine, engine.begin() as connection:
        connection.execute(sa.text("update alembic_version set version_num = '9999'"))
    with pytest.raises(StorageFailed, match="another version"):
        Ledger(url)


def test_a_full_disk_acknowledges_nothing(tmp_path: Path) -> None:
    ledger = Ledger(sqlite_url(tmp_path / "ledger.db"))
    ledger.append(S, STORY[:2])
    with ledger._engine.connect() as connection:
        size = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        # the connection goes back to the pool and is the one that is used next
        connection.exec_driver_sql(f"PRAGMA max_page_count={size}")
    with pytest.raises(StorageFailed, match="full"):
        ledger.append(S, [Entry(n, "order", n, fill(n, f"f{n}")) for n in range(2_000)])
    assert ledger.entries(S) == STORY[:2]
    ledger.close()


def read_only(path: Path) -> str:
    return f"sqlite:///file:{path}?mode=ro&uri=true"


def test_a_ledger_that_may_only_be_read_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger(sqlite_url(path))
    ledger.append(S, STORY)
    ledger.close()
    reader = Ledger(read_only(path))
    assert reader.entries(S) == STORY
    with pytest.raises(StorageFailed, match="readonly"):
        reader.append(S, [Entry(1, "order", 77, fill(1, "x"))])
    reader.close()


def test_a_role_that_may_only_read_can_read(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    ledger = Ledger(url)
    ledger.append(S, STORY)
    with engine_of(url) as engine, engine.begin() as connection:
        connection.execute(sa.text("create role reader login"))
        connection.execute(sa.text("grant select on all tables in schema public to reader"))
    reader = Ledger(url.replace("spyhop@", "reader@"))
    assert reader.entries(S) == STORY
    with pytest.raises(StorageFailed, match="permission denied"):
        reader.append(S, [Entry(1, "order", 77, fill(1, "x"))])
    reader.close()
    ledger.close()


def test_a_connection_that_the_server_ended_is_replaced(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    kept = Ledger(url)
    kept.append(S, [Entry(1, "order", 0, changed(1, OrderStatus.OPEN, 0))])
    with engine_of(url) as engine, engine.connect() as other:
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        assert all(other.execute(sa.text(f"{ended} AND pid <> pg_backend_pid()")).scalars())
    with pytest.raises(StorageFailed):
        kept.append(S, [Entry(2, "order", 1, changed(2, OrderStatus.OPEN, 0))])
    assert kept.append(S, [Entry(2, "order", 1, changed(2, OrderStatus.OPEN, 0))]) == 1
    kept.close()


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageFailed, match="file"):
        Ledger(sqlite_url(tmp_path / "file" / "ledger.db"))


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"not a database at all, and longer than a header of one" * 40)
    with pytest.raises(StorageFailed, match="not a database"):
        Ledger(sqlite_url(tmp_path / "ledger.db"))


def test_commits_leave_the_log_to_tidying_which_waits_for_nobody(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger, other = Ledger(sqlite_url(path)), Ledger(sqlite_url(path))
    before = path.stat().st_size
    for first in range(0, 30_000, 1_000):
        ledger.append(S, [Entry(n, "order", n, fill(n, f"f{n}")) for n in range(first, first + 1_000)])
    # by itself SQLite would have brought it into the file after every 1,000 pages
    assert path.with_name("ledger.db-wal").stat().st_size > 2_000 * 4_096
    assert path.stat().st_size == before
    with other._transaction(write=True):
        ledger.tidy()
    assert path.stat().st_size > 2 * before
    ledger.close()
    other.close()


def test_a_locked_ledger_fails_instead_of_waiting_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spyhop.storage.engines.BUSY_S", 0)
    url = sqlite_url(tmp_path / "ledger.db")
    one, other = Ledger(url), Ledger(url)
    with one._transaction(write=True), pytest.raises(StorageFailed, match="locked"):
        other.append(S, STORY)
    assert other.append(S, STORY) == len(STORY)
    one.close()
    other.close()


def step(number: int, order_id: str, status: OrderStatus, filled: int, instrument: int = 0) -> Entry:
    order = msgspec.structs.replace(ORDER, client_order_id=order_id, instrument=instrument)
    message = msgspec.structs.replace(
        changed(number, status, filled), client_order_id=order_id, instrument=instrument, order=order
    )
    return Entry(number, "order", number, message)


def test_what_a_reconciliation_asks(ledger: Ledger) -> None:
    life = [
        step(0, "a", OrderStatus.PENDING_NEW, 0),
        step(1, "b", OrderStatus.PENDING_NEW, 0),
        step(2, "a", OrderStatus.UNKNOWN, 0),
        step(3, "c", OrderStatus.SENT, 0, instrument=1),
        step(4, "b", OrderStatus.CANCELLED, 0),
        step(5, "d", OrderStatus.REJECTED, 0),
    ]
    ledger.append(S, life)
    ledger.append("another", [step(0, "e", OrderStatus.OPEN, 0)])
    assert ledger.orders_alive(S) == [life[2].message, life[3].message]
    assert ledger.order_ids(S) == {"a", "b", "c", "d"}
    assert ledger.order_ids("none") == set()
    assert [ledger.known_order(name) for name in ("a", "d", "e", "f", "")] == [True, True, True, False, False]


def test_a_late_fill_is_booked_and_a_repeated_one_is_not(ledger: Ledger, url: str) -> None:
    gone = step(0, "a", OrderStatus.CANCELLED, 0)
    late, again = fill(8, "v1"), fill(9, "v1")
    elsewhere = msgspec.structs.replace(fill(9, "v1"), instrument=1, side=Side.BUY, lots=4)
    ledger.append(S, [gone, Entry(8, "order", 1, late), step(2, "a", OrderStatus.CANCELLED, 9)])
    ledger.append(S, [Entry(9, "order", 3, again), Entry(9, "order", 4, elsewhere)])
    assert ledger.fills(S) == [late, elsewhere]
    assert rows(url, "select status, filled from orders") == [("cancelled", 9)]
    assert ledger.positions(S) == {0: -9, 1: 4}


def test_a_zero_byte_in_what_a_venue_said_is_kept_in_every_database(ledger: Ledger) -> None:
    said = step(0, "a", OrderStatus.REJECTED, 0)
    assert isinstance(said.message, OrderChanged)
    said = msgspec.structs.replace(said, message=msgspec.structs.replace(said.message, reason="no\0money"))
    ledger.append(S, [said])
    assert ledger.entries(S) == [said]


def test_a_liquidation_ends_a_position(ledger: Ledger) -> None:
    ledger.append(S, STORY)
    assert ledger.positions(S) == {}
    assert ledger.positions("none") == {}


def test_a_server_that_crashes_is_said_and_found_again(postgres: PostgresServer) -> None:
    ledger = Ledger(postgres.new_database())
    ledger.append(S, STORY[:4])
    postgres.crash()
    for _ in range(2):
        with pytest.raises(StorageFailed, match="ledger postgresql"):
            ledger.append(S, STORY)
    with pytest.raises(StorageFailed):
        ledger.entries(S)
    postgres.start()
    assert ledger.append(S, STORY) == len(STORY) - 4
    assert ledger.entries(S) == STORY
    ledger.close()


_VICTIM = """
import sys
from spyhop.model.entries import Entry
from spyhop.model.orders import FundingPaid
from spyhop.storage.database import Ledger
ledger = Ledger(sys.argv[1])
for n in range(100_000):
    ledger.append("s", [Entry(n, "order", 2 * n + i, FundingPaid(
        ts=n, ts_venue=n, instrument=0, rate=1e-4, lots=2, amount=float(n))) for i in range(2)])
    print(2 * n + 1, flush=True)
"""


@pytest.mark.slow
def test_everything_acknowledged_survives_kill_9(url: str) -> None:
    for least in (12, 40):
        victim = subprocess.Popen([sys.executable, "-c", _VICTIM, url], stdout=subprocess.PIPE, text=True)
        assert victim.stdout is not None
        acknowledged = -1
        while acknowledged < least:
            acknowledged = int(victim.stdout.readline())
        os.kill(victim.pid, signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, victim.stdout.read().split())])
        victim.stdout.close()
        victim.wait()
        ledger = Ledger(url)
        kept = ledger.entries("s")
        ledger.close()
        assert [entry.seq for entry in kept] == list(range(len(kept)))
        assert len(kept) >= acknowledged + 1
        assert len(kept) % 2 == 0
        assert all(entry.message.amount == entry.seq // 2 for entry in kept)  # type: ignore[union-attr]
