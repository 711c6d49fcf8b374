from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from spyhop.errors import StorageFailed
from spyhop.model import rows as rows_model
from spyhop.model.entries import Entry
from spyhop.model.orders import TradeClosed
from spyhop.model.verdicts import EpochBegan
from spyhop.storage.database import Ledger, SessionLedger
from spyhop.storage.differences import differences
from spyhop.storage.journal import read_facts
from spyhop.wiring import nodes
from spyhop.wiring import records as records_module
from spyhop.wiring.plan import SessionPlan
from spyhop.wiring.records import SessionKeeper, ledger_url
from spyhop.wiring.unkept import MemoryRecords, NoTapes

Planned = Callable[..., SessionPlan]

pytestmark = pytest.mark.usefixtures("prepared_kernels")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory, planned: Planned, prepared_kernels: None) -> list[Entry]:
    """Everything that a short session says, with a round trip or two in it."""
    records = MemoryRecords()
    nodes.pipeline(planned(tmp_path_factory.mktemp("said")), NoTapes(), records).run()
    assert any(isinstance(entry.message, TradeClosed) for entry in records.entries)
    return records.entries


def in_ledger(plan: SessionPlan) -> list[Entry]:
    ledger = Ledger(ledger_url(plan))
    entries = ledger.entries(plan.session.id)
    ledger.close()
    return entries


def in_records(plan: SessionPlan) -> list[str]:
    """Return the ids of the trades in the seed's records."""
    ids: list[str] = []
    for path in sorted(plan.folder.rglob("trades_*.json")):
        ids += [trade["trade_id"] for trade in msgspec.json.decode(path.read_bytes())]
    return ids


def trades(entries: Sequence[Entry]) -> list[str]:
    return [entry.message.trade_id for entry in entries if isinstance(entry.message, TradeClosed)]


def test_what_was_acknowledged_is_in_all_three_though_nobody_closed_them(
    tmp_path: Path, planned: Planned, said: list[Entry]
) -> None:
    plan = planned(tmp_path)
    keeper = SessionKeeper(plan)
    for at in range(0, len(said), 7):
        keeper.append(said[at : at + 7])
        known = said[: at + 7]
        assert differences(known, read_facts(plan.folder)) is None
        assert differences(known, in_ledger(plan)) is None
        assert in_records(plan) == trades(known)
    for stage in ("decision", "risk", "order"):
        assert keeper.committed(stage) == sum(entry.stage == stage for entry in said) > 0
    keeper.close()


def test_repeats_change_nothing_in_any_of_the_three(tmp_path: Path, planned: Planned, said: list[Entry]) -> None:
    plan = planned(tmp_path)
    keeper = SessionKeeper(plan)
    keeper.append(said[:10])
    keeper.append(said)
    keeper.append(said[3:])
    keeper.close()
    again = SessionKeeper(plan)  # as after a kill
    again.append(said)
    assert again.committed("decision") == sum(entry.stage == "decision" for entry in said)
    again.close()
    assert differences(said, read_facts(plan.folder)) is None
    assert differences(said, in_ledger(plan)) is None
    assert in_records(plan) == trades(said)


@pytest.mark.parametrize("refusing", ["_ledger", "_records", "_facts"])
def test_when_one_of_them_refuses_nothing_is_acknowledged_and_a_later_try_heals_it(
    tmp_path: Path, planned: Planned, said: list[Entry], monkeypatch: pytest.MonkeyPatch, refusing: str
) -> None:
    plan = planned(tmp_path)
    keeper = SessionKeeper(plan)
    keeper.append(said[:5])

    def refuse(entries: Sequence[Entry]) -> None:
        raise StorageFailed(refusing, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(getattr(keeper, refusing), "append", refuse)
        with pytest.raises(StorageFailed):
            keeper.append(said[5:])
    assert differences(said[:5], read_facts(plan.folder)) is None
    # the ledger is the first to have anything: numbers that it has used are never given to other entries
    in_use = in_ledger(plan)
    assert len(in_use) == (5 if refusing == "_ledger" else len(said))
    for stage in ("decision", "risk", "order"):
        assert keeper.committed(stage) == sum(entry.stage == stage for entry in in_use)
    keeper.append(said[5:])
    keeper.close()
    assert differences(said, read_facts(plan.folder)) is None
    assert differences(said, in_ledger(plan)) is None
    assert in_records(plan) == trades(said)


def test_an_epoch_after_a_kill_between_ledger_and_journal_takes_no_number_that_the_ledger_has(
    tmp_path: Path, planned: Planned, said: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(tmp_path)
    risk = [entry for entry in said if entry.stage == "risk"]
    killed = SessionKeeper(plan)
    killed.append(risk[:-1])
    # killed when the ledger had committed the last verdict and the journal had not
    monkeypatch.setattr(killed._facts, "append", lambda entries: None)
    killed.append(risk[-1:])
    # what the system does to the files of a killed process
    killed._facts.close()
    killed._ledger.close()
    keeper = SessionKeeper(plan)
    number = keeper.committed("risk")
    # the supervisor comes back older, says its last verdict again and begins its epoch behind it
    began = EpochBegan(ts=risk[-1].ts, epoch=2, at_seq=number)
    keeper.append([risk[-1], Entry(began.ts, "risk", number, began)])
    keeper.close()
    expected = [*risk, Entry(began.ts, "risk", number, began)]
    assert differences(expected, in_ledger(plan)) is None
    assert differences(expected, read_facts(plan.folder)) is None


def test_an_opening_that_fails_leaves_no_connection_behind(
    tmp_path: Path, planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[SessionLedger] = []
    let_go = SessionLedger.close

    def close(ledger: SessionLedger) -> None:
        closed.append(ledger)
        let_go(ledger)

    def refuse(folder: Path) -> None:
        raise StorageFailed(str(folder), "No space left on device")

    monkeypatch.setattr(records_module, "FactWriter", refuse)
    monkeypatch.setattr(SessionLedger, "close", close)
    with pytest.raises(StorageFailed):
        SessionKeeper(planned(tmp_path))
    assert len(closed) == 1


def test_the_ledger_is_one_file_beside_the_sessions_unless_settings_name_another(
    tmp_path: Path, planned: Planned
) -> None:
    assert ledger_url(planned(tmp_path)) == f"sqlite:///{tmp_path / 'ledger.db'}"
    other = f"sqlite:///{tmp_path / 'other.db'}"
    assert ledger_url(planned(tmp_path, ledger_url=other)) == other


def test_memory_counts_what_it_keeps(said: list[Entry]) -> None:
    records = MemoryRecords()
    records.append(said[:4])
    records.rows(rows_model.empty(2), [])
    records.append(said[4:])
    assert records.entries == said
    assert records.committed("risk") == sum(entry.stage == "risk" for entry in said)
    records.close()
