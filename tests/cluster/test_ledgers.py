"""Where a ledger's file may be: on one machine's own disk, and nowhere that a second machine could open it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import ray

from cluster.ledgers import permit_ledger
from cluster.topology import NODE_ID, Node, Topology
from spyhop.clock import EventClock
from spyhop.config.settings import SessionConfig, Settings
from spyhop.errors import InvalidSetting
from spyhop.storage import mounts
from spyhop.storage.mounts import Seen
from spyhop.wiring.plan import RunRequest, SessionPlan, plan_session

MARKET = tuple(
    Node(name=name, cpus=2, memory_gb=4, labels={"role": "market"}, id=f"id-of-{name}") for name in ("one", "two")
)


def planned(runs: Path, url: str = "") -> SessionPlan:
    session = SessionConfig(runs=str(runs), symbols=("BTCUSDT",), ledger_url=url)
    return plan_session(msgspec.structs.replace(Settings(), session=session), RunRequest(), EventClock())


def on_nfs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(f"27 1 254:0 / / rw - ext4 /dev/vda rw\n31 27 0:26 / {tmp_path} rw - nfs4 far:/data rw\n")
    monkeypatch.setattr(mounts, "TABLE", table)


def test_a_session_of_one_machine_keeps_its_ledger_in_a_file(tmp_path: Path) -> None:
    permit_ledger(planned(tmp_path / "runs"))
    permit_ledger(planned(tmp_path / "runs", f"sqlite:///{tmp_path}/apart/ledger.db"))
    assert (tmp_path / "apart").is_dir()


def test_a_file_on_a_network_is_refused_in_one_sentence_and_postgresql_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_nfs(monkeypatch, tmp_path)
    with pytest.raises(InvalidSetting) as refused:
        permit_ledger(planned(tmp_path / "runs"))
    assert str(refused.value) == (
        f"setting 'session.ledger_url': {tmp_path}/runs/ledger.db is on nfs4, a network's file system; "
        "name a PostgreSQL database instead"
    )
    permit_ledger(planned(tmp_path / "runs", "postgresql://spyhop@ledger/spyhop"))


@pytest.mark.parametrize(
    ("two", "why"),
    [
        (Seen("", "machine", (1, 2)), ""),
        (Seen("nfs4", "machine", (1, 2)), "is on nfs4, a network's file system, on two"),
        (Seen("", "another", (1, 2)), "may move between machines: one, two"),
        (Seen("", "machine", (1, 3)), "not the same one on one, two"),
    ],
)
def test_every_machine_that_trades_is_asked_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two: Seen, why: str
) -> None:
    answers = {"id-of-one": Seen("", "machine", (1, 2)), "id-of-two": two}

    class Remote:
        def options(self, *, num_cpus: int, label_selector: dict[str, str]) -> Remote:
            self.node = label_selector[NODE_ID]
            return self

        def remote(self, folder: Path) -> Seen:
            assert folder == tmp_path
            return answers[self.node]

    def remote(function: Any) -> Remote:
        return Remote()

    def get(answer: Seen, timeout: float) -> Seen:
        return answer

    monkeypatch.setattr(ray, "remote", remote)
    monkeypatch.setattr(ray, "get", get)
    topology = Topology(places=(), market=MARKET, sweep=())
    if not why:
        permit_ledger(planned(tmp_path), topology)
        return
    with pytest.raises(InvalidSetting, match=why):
        permit_ledger(planned(tmp_path), topology)
    permit_ledger(planned(tmp_path, "postgresql://spyhop@ledger/spyhop"), topology)
