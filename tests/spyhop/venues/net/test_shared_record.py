from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spyhop.venues.net.shared_record import DAMAGED, MAX_BYTES, SharedRecord


def saved(path: Path, record: bytes) -> None:
    shared = SharedRecord(path)
    assert shared.try_lock()
    shared.load()
    shared.save(record)
    shared.unlock()


def loaded(path: Path) -> bytes | None:
    shared = SharedRecord(path)
    assert shared.try_lock()
    try:
        return shared.load()
    finally:
        shared.unlock()


def test_what_one_saves_the_next_loads(tmp_path: Path) -> None:
    path = tmp_path / "made" / "on demand" / "record"
    assert loaded(path) is None
    for record in (b"one", b"two" * 100, b"3", b"x" * MAX_BYTES, b"5"):
        saved(path, record)
        assert loaded(path) == record


def test_only_one_holds_it(tmp_path: Path) -> None:
    ours, theirs = SharedRecord(tmp_path / "record"), SharedRecord(tmp_path / "record")
    assert ours.try_lock()
    assert not theirs.try_lock()
    ours.unlock()
    assert theirs.try_lock()
    theirs.unlock()
    theirs.unlock()


@pytest.mark.parametrize("num_before", [1, 2, 3])
def test_a_write_that_was_cut_off_leaves_the_one_before(tmp_path: Path, num_before: int) -> None:
    path = tmp_path / "record"
    for k in range(num_before):
        saved(path, b"whole %d" % k)
    before = path.read_bytes()
    saved(path, b"torn")
    after = path.read_bytes()
    end = after.index(b"torn") + 4
    for cut in (end - 1, end - 3, end - 6, end - 18, end - 24):
        path.write_bytes(after[:cut] + before[cut:].ljust(len(after) - cut, b"\0"))
        assert loaded(path) == b"whole %d" % (num_before - 1)
        saved(path, b"next")
        assert loaded(path) == b"next"


@pytest.mark.parametrize("held", [b"\0" * 8192, b"garbage", os.urandom(100) * 100])
def test_what_cannot_be_read_is_damaged_and_can_be_written_again(tmp_path: Path, held: bytes) -> None:
    path = tmp_path / "record"
    path.write_bytes(held)
    assert loaded(path) == DAMAGED
    saved(path, b"new")
    assert loaded(path) == b"new"


def test_a_record_has_bounds(tmp_path: Path) -> None:
    for record in (b"", b"x" * (MAX_BYTES + 1)):
        shared = SharedRecord(tmp_path / "record")
        assert shared.try_lock()
        with pytest.raises(ValueError, match="shared record"):
            shared.save(record)
        shared.unlock()


def test_without_a_path_nothing_is_kept() -> None:
    shared = SharedRecord(None)
    assert shared.try_lock()
    shared.save(b"x")
    assert shared.load() is None
    shared.unlock()


@pytest.mark.slow
def test_a_holder_that_is_killed_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "record"
    saved(path, b"before")
    hold = (
        "import sys, time; from pathlib import Path; from spyhop.venues.net.shared_record import SharedRecord\n"
        "shared = SharedRecord(Path(sys.argv[1])); assert shared.try_lock(); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", hold, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert not SharedRecord(path).try_lock()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert loaded(path) == b"before"
