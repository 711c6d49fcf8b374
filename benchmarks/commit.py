"""The cost of one commit: how long a stage waits until what it said is on the disk.

Three keepers are on the way of every order, one after the other: the ledger database (SQLite in WAL mode with
`synchronous=FULL`, or PostgreSQL with `fsync` and `synchronous_commit` on, by a socket on this machine), the seed's
records, and the journal. Measured are the databases and the journal alone, and the whole of a session's keeper.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.output import say
from benchmarks.postgres_room import NoServer, postgres
from spyhop.clock import WallClock
from spyhop.config.settings import SessionConfig, Settings
from spyhop.model.entries import Entry
from spyhop.model.orders import OrderChanged, OrderStatus, OrderType, Purpose, SubmitOrder
from spyhop.model.tape import Side
from spyhop.storage.database import Ledger, sqlite_url
from spyhop.storage.journal import FactWriter
from spyhop.wiring.plan import RunRequest, plan_session
from spyhop.wiring.records import SessionKeeper

SIZES = (1, 10, 100)
COMMITS = 300
WARM_UP = 10


def main() -> None:
    """Print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commits", type=int, default=COMMITS, help="how many to measure of each size")
    commits = parser.parse_args().commits
    with tempfile.TemporaryDirectory() as folder:
        measure_ledger("sqlite", sqlite_url(Path(folder) / "ledger.db"), commits)
        facts = FactWriter(Path(folder))
        measure("journal", facts.append, commits)
        facts.close()
        measure_keeper("keeper_sqlite", Path(folder) / "sqlite", "", commits)
        try:
            with postgres() as server:
                measure_ledger("postgresql", server.new_database(), commits)
                measure_keeper("keeper_postgresql", Path(folder) / "postgresql", server.new_database(), commits)
        except NoServer as missing:
            print(f"no PostgreSQL: {missing}")


def measure_ledger(name: str, url: str, commits: int) -> None:
    """Measure a ledger database alone."""
    ledger = Ledger(url)
    measure(name, lambda entries: ledger.append("s", entries), commits)
    ledger.close()


def measure_keeper(name: str, runs: Path, url: str, commits: int) -> None:
    """Measure all that a session keeps."""
    settings = Settings(session=SessionConfig(runs=str(runs), ledger_url=url))
    keeper = SessionKeeper(plan_session(settings, RunRequest(), WallClock()))
    measure(name, keeper.append, commits)
    keeper.close()


def measure(name: str, append: Callable[[Sequence[Entry]], object], commits: int) -> None:
    """Say how long a commit of each size takes."""
    first = 0
    for size in SIZES:
        took: list[float] = []
        for _ in range(WARM_UP + commits):
            entries = [step(number) for number in range(first, first + size)]
            first += size
            began = time.perf_counter()
            append(entries)
            took.append((time.perf_counter() - began) * 1e3)
        for percent in (50, 99):
            value = float(np.percentile(took[WARM_UP:], percent))
            say(f"commit_{name}_{size}_p{percent}", value, "ms", on=f"{commits} commits of {size} order events")


def step(number: int) -> Entry:
    """Return the `number`-th event of a session in which every order has four."""
    order = SubmitOrder(
        ts=number,
        client_order_id=f"s20251128_171500_000000-{number // 4:06d}",
        instrument=0,
        side=Side.BUY,
        type=OrderType.MARKET,
        lots=10,
        purpose=Purpose.ENTRY,
    )
    lives = (OrderStatus.PENDING_NEW, OrderStatus.SENT, OrderStatus.OPEN, OrderStatus.FILLED)
    status = lives[number % 4]
    return Entry(
        number,
        "order",
        number,
        OrderChanged(
            ts=number,
            client_order_id=order.client_order_id,
            instrument=0,
            status=status,
            filled=10 if status is OrderStatus.FILLED else 0,
            cause="benchmark",
            order=order,
        ),
    )


if __name__ == "__main__":
    main()
