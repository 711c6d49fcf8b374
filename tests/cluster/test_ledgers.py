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
        ("shared", ""),
        ("other", r"not the same one on two, where the ledger may move; name a PostgreSQL"),
        ("nfs", r"ledger\.db is on nfs4, a network's file system, on two"),
    ],
)
def test_every_machine_that_trades_is_asked_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two: str, why: str
) -> None:
    """Machine two sees the folder of one, another one under the same name, or the same over a network."""
    folder = tmp_path / "apart"

    class There:
        def __init__(self, function: Any) -> None:
            self.function = function

        def options(self, *, num_cpus: int, label_selector: dict[str, str]) -> There:
            self.node = label_selector[NODE_ID]
            return self

        def remote(self, asked: Path, mark: str) -> Any:
            assert asked == folder
            if self.node == "id-of-one" or two == "shared":
                return self.function(asked, mark)
            if two == "other":
                return self.function(tmp_path / "other", mark)
            return Seen("nfs4", has_mark=True)

    def get(answer: object, timeout: float) -> object:
        return answer

    monkeypatch.setattr(ray, "remote", There)
    monkeypatch.setattr(ray, "get", get)
    topology = Topology(places=(), market=MARKET, sweep=())
    if why:
        with pytest.raises(InvalidSetting, match=why):
            permit_ledger(planned(tmp_path / "runs", f"sqlite:///{folder}/ledger.db"), topology)
    else:
        permit_ledger(planned(tmp_path / "runs", f"sqlite:///{folder}/ledger.db"), topology)
    assert list(folder.iterdir()) == []
    permit_ledger(planned(tmp_path / "runs", "postgresql://spyhop@ledger/spyhop"), topology)
