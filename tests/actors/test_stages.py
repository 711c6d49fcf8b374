"""The shells around carriers: what they pass on, how a supervisor begins, and when a process leaves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors import stages
from actors.carrier import Target
from actors.stages import EXIT_FAILED, EnsembleActor, ExecutorActor, FeedActor, OrderActor, RiskSupervisor, StageActor
from spyhop.engine.edges import Inlet, Receipt
from spyhop.engine.rebuilding import Past
from spyhop.engine.turns import Turns
from spyhop.engine.vessels import RECORDS, FeedVessel, Records, RiskVessel, Vessel
from spyhop.errors import StateError
from spyhop.model.entries import Entry
from spyhop.model.verdicts import EpochBegan
from spyhop.storage.checkpoints import newest_checkpoint, read_checkpoint


class Quiet:
    """A node that only remembers the epochs that it was told of."""

    def __init__(self) -> None:
        self.began: list[EpochBegan] = []
        self.past: Past | None = None
        self.turns, self.seq = Turns(), 0
        self.is_finished = True

    def begin_epochs(self, epochs: list[EpochBegan]) -> None:
        self.began += epochs

    def rebuild(self, past: Past) -> None:
        self.past = past

    def snapshot(self) -> bytes:
        return b"quiet"

    def restore(self, snapshot: bytes) -> None:
        assert snapshot == b"quiet"

    def statistics(self) -> dict[str, float]:
        return {}


class LedgerHandle:
    """The ledger's handle, which says how many entries are kept, and which."""

    def __init__(self, committed: int, *entries: Entry) -> None:
        self.asked: list[str] = []
        self._committed, self._entries = committed, entries
        self.inlet = Inlet()

    @property
    def entries(self) -> Any:
        return _Remote(self._read)

    async def _read(self, stage: str, first: int) -> bytes:
        # two a parcel, so that there is more than one
        said = [entry for entry in self._entries if entry.stage == stage and entry.seq >= first][:2]
        return msgspec.msgpack.encode(Records(said))

    @property
    def committed(self) -> Any:
        return _Remote(self._said)

    @property
    def receive(self) -> Any:
        return _Remote(self._taken)

    async def _said(self, stage: str) -> int:
        self.asked.append(stage)
        return self._committed

    async def _taken(self, edge: str, number: int, data: bytes) -> Receipt:
        self.inlet.accept(number, 1, 0)
        self.inlet.checkpointed()
        return self.inlet.receipt


class _Remote:
    def __init__(self, remote: Callable[..., Awaitable[object]]) -> None:
        self.remote = remote


def risk_vessel(node: Quiet) -> Vessel:
    anything: Any = node
    return RiskVessel(anything)


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit codes with which processes would have left."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    return codes


def lasting(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))


def test_every_shell_is_called_what_it_was_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        for actor, name in (
            (FeedActor, "feed:BTCUSDT"),
            (EnsembleActor, "ensemble"),
            (RiskSupervisor, "risk"),
            (OrderActor, "orders"),
            (ExecutorActor, "executor:paper:main"),
        ):
            shell = actor(name, lambda: Vessel(Quiet(), [], []), tmp_path / f"{actor.__name__}.bin")
            assert repr(shell) == name
            assert (await shell.health()).name == name

    lasting(scenario())


def test_making_a_shell_does_nothing_that_could_fail(tmp_path: Path, left: list[int]) -> None:
    def broken() -> Vessel:
        raise StateError("it cannot be built")

    async def scenario() -> None:
        shell = StageActor("broken", broken, tmp_path / "broken.bin")
        assert left == []
        assert not (await shell.health()).is_connected
        while not left:
            await asyncio.sleep(0.005)
        assert left == [EXIT_FAILED]

    lasting(scenario())


def test_a_process_leaves_only_when_its_life_ended_in_an_error(left: list[int]) -> None:
    async def ending() -> None:
        return

    async def failing() -> None:
        raise StateError("it went wrong")

    async def scenario() -> None:
        cancelled = asyncio.create_task(asyncio.sleep(10, None))
        cancelled.cancel()
        lives = [asyncio.create_task(ending()), cancelled]
        await asyncio.wait(lives)
        for life in lives:
            stages.leave_on_failure(life)
        assert left == []
        life = asyncio.create_task(failing())
        await asyncio.wait([life])
        stages.leave_on_failure(life)
        assert left == [EXIT_FAILED]

    lasting(scenario())


def test_a_supervisor_begins_an_epoch_behind_what_is_kept_but_not_in_its_first_life(
    tmp_path: Path, left: list[int]
) -> None:
    async def scenario() -> None:
        for restarts, expected in ((0, []), (1, [EpochBegan(ts=0, epoch=2, at_seq=41)])):
            node, ledger = Quiet(), LedgerHandle(committed=41)
            shell = RiskSupervisor("risk", lambda node=node: risk_vessel(node), tmp_path / "risk.bin")
            await shell.connect({RECORDS: Target(ledger, "risk"), "approved": Target(ledger, "approved")})
            health = await shell.health()
            assert (health.restarts, health.is_connected) == (restarts, True)
            assert node.began == expected
            assert ledger.asked == ["risk"] * restarts
        assert left == []

    lasting(scenario())


def kept(*epochs: int) -> list[Entry]:
    return [Entry(n, "risk", n, EpochBegan(ts=n, epoch=epoch, at_seq=n)) for n, epoch in enumerate(epochs)]


def newest(path: Path) -> tuple[int, bytes] | None:
    found = newest_checkpoint(path)
    return None if found is None else (found[0], read_checkpoint(found[1]))


@pytest.mark.parametrize("damage", ["lost", "cut", "changed"])
def test_a_supervisor_without_its_checkpoint_becomes_what_the_ledger_keeps(
    tmp_path: Path, left: list[int], caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    path = tmp_path / "risk.bin"

    async def scenario() -> None:
        first, ledger = Quiet(), LedgerHandle(0)
        shell = RiskSupervisor("risk", lambda: risk_vessel(first), path)
        await shell.connect({RECORDS: Target(ledger, "risk"), "approved": Target(ledger, "approved")})
        assert first.past is None
        found = newest_checkpoint(path)
        assert found is not None
        file = found[1]
        data = file.read_bytes()
        if damage == "lost":
            file.unlink()
        else:
            file.write_bytes(data[:-3] if damage == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
        node, ledger = Quiet(), LedgerHandle(3, *kept(2, 3, 7))
        shell = RiskSupervisor("risk", lambda: risk_vessel(node), path)
        await shell.connect({RECORDS: Target(ledger, "risk"), "approved": Target(ledger, "approved")})
        await shell.connect({RECORDS: Target(ledger, "risk"), "approved": Target(ledger, "approved")})
        assert node.past is not None
        assert (node.past.num_entries, node.past.epoch) == (3, 7)
        # behind every epoch that was ever used, and once
        assert node.began == [EpochBegan(ts=0, epoch=8, at_seq=3)]
        assert left == []

    lasting(scenario())
    damaged = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(damaged) == (damage != "lost")
    assert all("risk begins without its checkpoint" in line for line in damaged)


def test_a_life_that_dies_before_the_ledger_has_answered_leaves_no_checkpoint_to_begin_from(tmp_path: Path) -> None:
    async def scenario() -> None:
        shell = RiskSupervisor("risk", lambda: risk_vessel(Quiet()), tmp_path / "risk.bin")
        await shell._carrier.is_built.wait()
        assert newest(tmp_path / "risk.bin") == (0, b"")

    lasting(scenario())


def test_a_life_that_was_told_half_of_its_past_ends(tmp_path: Path, left: list[int]) -> None:
    class Confused(Quiet):
        def rebuild(self, past: Past) -> None:
            raise StateError("it makes no sense")

    async def scenario() -> None:
        shell = RiskSupervisor("risk", lambda: risk_vessel(Confused()), tmp_path / "risk.bin")
        ledger = LedgerHandle(1, *kept(1))
        with pytest.raises(StateError):
            await shell.connect({RECORDS: Target(ledger, "risk"), "approved": Target(ledger, "approved")})
        while not left:
            await asyncio.sleep(0.005)
        assert not (await shell.health()).is_connected

    lasting(scenario())


def test_a_supervisor_that_another_one_overtook_leaves_and_asks_the_ledger_anew(
    tmp_path: Path, left: list[int]
) -> None:
    class Fencing(LedgerHandle):
        async def _taken(self, edge: str, number: int, data: bytes) -> Receipt:
            return Receipt.of_nobody()

    async def scenario() -> None:
        shell = RiskSupervisor("risk", lambda: risk_vessel(Quiet()), tmp_path / "risk.bin")
        ledger = Fencing(0)
        vessel = shell._carrier
        await shell.connect({RECORDS: Target(ledger, "risk"), "approved": Target(ledger, "approved")})
        assert isinstance(vessel.vessel, RiskVessel)
        vessel.vessel.outboxes[RECORDS].put(b"", 1)
        while not left:
            await asyncio.sleep(0.005)
        assert newest(tmp_path / "risk.bin") == (0, b"")

    lasting(scenario())


def test_a_supervisor_takes_nothing_until_the_ledger_has_answered(tmp_path: Path) -> None:
    class Silent(LedgerHandle):
        async def _said(self, stage: str) -> int:
            raise TimeoutError

    async def scenario() -> None:
        first = RiskSupervisor("risk", lambda: risk_vessel(Quiet()), tmp_path / "risk.bin")
        far = LedgerHandle(0)
        targets = {RECORDS: Target(far, "risk"), "approved": Target(far, "approved")}
        await first.connect(targets)
        second = RiskSupervisor("risk", lambda: risk_vessel(Quiet()), tmp_path / "risk.bin")
        with pytest.raises(TimeoutError):
            await second.connect({**targets, RECORDS: Target(Silent(0), "risk")})
        assert not (await second.health()).is_connected
        await second.connect(targets)
        assert (await second.health()).is_connected

    lasting(scenario())


def test_a_shell_passes_on_what_it_is_asked(tmp_path: Path, left: list[int]) -> None:
    def feed() -> Vessel:
        node: Any = Quiet()
        return FeedVessel(node, lambda output: None)

    async def scenario() -> None:
        shell = FeedActor("feed:X", feed, tmp_path / "feed.bin")
        await shell.set_traced(True)
        assert await shell.take_trace() == []
        far = LedgerHandle(0)
        await shell.connect({"rows": Target(far, "rows:X"), "tape": Target(far, "tape:X")})
        await shell.drain()
        assert (await shell.health()).is_connected
        with pytest.raises(KeyError, match="nowhere"):
            await shell.receive("nowhere", 0, b"")

    lasting(scenario())
