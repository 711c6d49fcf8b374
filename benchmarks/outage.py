"""The ledger's database stopped for ten seconds under load: what was acknowledged, what was lost, when it went on.

SQLite is held by another process's `BEGIN EXCLUSIVE`; the PostgreSQL server is aborted and started again, which makes
it repair itself. Two senders offer one parcel after the other, as actors do: the next only after an answer, the same
again after a refusal.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from actors.ledger import LedgerActor
from benchmarks.commit import step
from benchmarks.output import say
from benchmarks.postgres_room import NoServer, postgres
from spyhop.clock import NS_PER_S, WallClock
from spyhop.config.settings import SessionConfig, Settings
from spyhop.engine.vessels import Records
from spyhop.errors import StorageFailed
from spyhop.model.entries import Entry
from spyhop.model.verdicts import EpochBegan
from spyhop.storage.database import Ledger
from spyhop.storage.journal import read_facts
from spyhop.wiring.plan import RunRequest, plan_session
from spyhop.wiring.records import SessionKeeper, ledger_url

OUTAGE_S = 10.0
AROUND_S = 1.0
"""How long is offered before the outage and after it."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one outage did. `lost` and `twice` compare what was acknowledged with database and journal.

    `resumed_after_s` counts from when the database answered again to the next acknowledgement.
    """

    acknowledged: int
    acknowledged_meanwhile: int
    refused: int
    lost: int
    twice: int
    differing: int
    resumed_after_s: float
    beat_age_s: float


def main() -> None:
    """Print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=OUTAGE_S, help="how long the database is away")
    seconds = parser.parse_args().seconds
    report("sqlite", sqlite_outage(seconds), seconds)
    try:
        report("postgresql", postgresql_outage(seconds), seconds)
    except NoServer as missing:
        print(f"no PostgreSQL: {missing}")


def report(name: str, outcome: Outcome, seconds: float) -> None:
    """Say what an outage did."""
    for field, value in msgspec.structs.asdict(outcome).items():
        unit = "s" if field.endswith("_s") else "parcels"
        say(f"outage_{name}_{field}", float(value), unit, on=f"{seconds:g} s without the database, two senders")


def sqlite_outage(seconds: float) -> Outcome:
    """Hold the file of a SQLite ledger for so long."""
    held: list[sqlite3.Connection] = []

    def stop(url: str) -> None:
        holder = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
        holder.execute("PRAGMA busy_timeout=5000")
        holder.execute("BEGIN EXCLUSIVE")
        held.append(holder)

    def start() -> None:
        held[0].execute("ROLLBACK")
        held[0].close()

    return asyncio.run(outage("", stop, start, seconds))


def postgresql_outage(seconds: float) -> Outcome:
    """Have a PostgreSQL server down for so long; raise NoServer."""
    with postgres(fsync=False) as server:
        return asyncio.run(outage(server.new_database(), lambda _: server.crash(), server.start, seconds))


async def outage(url: str, stop: Callable[[str], None], start: Callable[[], None], seconds: float) -> Outcome:
    """Offer parcels to a ledger at `url` ("" for SQLite), stop its database for `seconds`, and compare."""
    with tempfile.TemporaryDirectory() as runs:
        settings = Settings(session=SessionConfig(runs=str(Path(runs)), ledger_url=url))
        plan = plan_session(settings, RunRequest(), WallClock())
        scene = Scene(LedgerActor("ledger", lambda: SessionKeeper(plan)))
        senders = [asyncio.create_task(scene.send(stage)) for stage in ("risk", "order")]
        watching = asyncio.create_task(scene.watch())
        await asyncio.sleep(AROUND_S)
        await asyncio.to_thread(stop, ledger_url(plan))
        # an answer may have been on its way while the database went
        await asyncio.sleep(0.1)
        before = len(scene.acknowledged)
        await asyncio.sleep(seconds)
        meanwhile = len(scene.acknowledged) - before
        await asyncio.to_thread(start)
        began = scene.clock.monotonic_ns()
        while len(scene.acknowledged) == before + meanwhile:
            await asyncio.sleep(0.005)
        resumed = (scene.clock.monotonic_ns() - began) / NS_PER_S
        await asyncio.sleep(AROUND_S)
        scene.is_over = True
        await asyncio.gather(*senders)
        watching.cancel()
        await scene.ledger.close()
        ledger = Ledger(ledger_url(plan))
        kept, facts = ledger.entries(plan.session.id), read_facts(plan.folder)
        ledger.close()
    return Outcome(
        acknowledged=len(scene.acknowledged),
        acknowledged_meanwhile=meanwhile,
        refused=scene.num_refused,
        lost=sum(entry not in kept or entry not in facts for entry in scene.acknowledged),
        twice=len(kept) - len({(entry.stage, entry.seq) for entry in kept}),
        differing=int(kept != facts),
        resumed_after_s=resumed,
        beat_age_s=scene.beat_age_s,
    )


class Scene:
    """A ledger, who offers to it, and who watches its beat."""

    def __init__(self, ledger: LedgerActor) -> None:
        self.ledger, self.clock = ledger, WallClock()
        self.acknowledged: list[Entry] = []
        self.num_refused = 0
        self.beat_age_s = 0.0
        self.is_over = False

    async def send(self, stage: str) -> None:
        """Offer one parcel after the other."""
        number = 0
        while not self.is_over:
            entry = step(number)
            if stage == "risk":
                entry = Entry(number, stage, number, EpochBegan(ts=number, epoch=1, at_seq=number))
            try:
                await self.ledger.receive(stage, number, msgspec.msgpack.encode(Records([entry])))
            except StorageFailed:
                self.num_refused += 1
                await asyncio.sleep(0.05)
                continue
            self.acknowledged.append(entry)
            number += 1
            await asyncio.sleep(0.01)

    async def watch(self) -> None:
        """Note how long the loop has stood still at most."""
        while True:
            self.beat_age_s = max(self.beat_age_s, (await self.ledger.health()).beat_age_s)
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    main()
