"""Who keeps a session: journal, ledger database and the seed's records behind one RecordKeeper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from spyhop.model.entries import Entry
from spyhop.model.rows import Rows
from spyhop.storage.database import Ledger, SessionLedger, sqlite_url
from spyhop.storage.journal import FactWriter, mark_ended
from spyhop.storage.records import SeedRecords
from spyhop.wiring.kept import tell
from spyhop.wiring.logs import keep_log
from spyhop.wiring.plan import SessionPlan

RECORDS_FOLDER = "records"
LEDGER_FILE = "ledger.db"


class SessionKeeper:
    """Keeps everything that a session says; what it has acknowledged survives a kill.

    The ledger and the seed's records come before the journal. A kill between them leaves the ledger ahead: `committed`
    counts what either has, so that no new entry takes the number of one that is kept, and who said it says it again.
    """

    def __init__(self, plan: SessionPlan) -> None:
        self._folder = plan.folder
        self._symbols = {instrument.id: instrument.key for instrument in plan.session.instruments}
        self._ledger = SessionLedger(Ledger(ledger_url(plan)), plan.session)
        try:
            self._records = SeedRecords(plan.folder / RECORDS_FOLDER, plan.session)
            self._facts = FactWriter(plan.folder)
        except BaseException:
            # whoever opens it again does not leave a connection behind each time
            self._ledger.close()
            raise

    def rows(self, rows: Rows, probabilities: npt.NDArray[Any]) -> None:
        """Take judged rows, with 23 probabilities each."""
        self._records.rows(rows, probabilities)

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep entries; durable when this returns."""
        self._ledger.append(entries)
        self._records.append(entries)
        self._facts.append(entries)
        tell(entries, self._symbols)

    def committed(self, stage: str) -> int:
        """Return how many entries of `stage` are kept."""
        return max(self._facts.committed(stage), self._ledger.committed(stage))

    def entries(self, stage: str, first: int, limit: int) -> list[Entry]:
        """Return up to `limit` entries of a stage in the order of their numbers, from number `first` on."""
        return self._ledger.entries(stage, first, limit)

    def tidy(self) -> None:
        """Do what no commit should wait for; another thread may commit meanwhile."""
        self._ledger.tidy()

    def leave(self) -> None:
        """Let the files go while the session has more to say; another keeper goes on where this one was."""
        self._records.close()
        self._ledger.close()
        self._facts.close()

    def close(self) -> None:
        """Write what is written once at the end of a session, and let the files go."""
        self.leave()
        mark_ended(self._folder)


def ledger_url(plan: SessionPlan) -> str:
    """Return where a session's ledger is: the database of the settings, else one file for all sessions of a folder."""
    return plan.settings.session.ledger_url or sqlite_url(plan.folder.parent / LEDGER_FILE)


def ledger_keeper(plan: SessionPlan) -> SessionKeeper:
    """Return the keeper of a process that does nothing else, with a log of its own."""
    keep_log(plan.folder / "logs" / "ledger.jsonl", actor="ledger")
    return SessionKeeper(plan)
