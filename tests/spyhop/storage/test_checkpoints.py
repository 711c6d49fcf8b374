"""A checkpoint that is not what was written is found out, and one of a life that is over is not read."""

from __future__ import annotations

from pathlib import Path

import pytest

from spyhop.errors import JournalDamaged
from spyhop.storage.checkpoints import forget_lives_before, newest_checkpoint, read_checkpoint, write_checkpoint


def newest(path: Path) -> tuple[int, bytes] | None:
    found = newest_checkpoint(path)
    return None if found is None else (found[0], read_checkpoint(found[1]))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "risk.bin"
    assert newest(path) is None
    for life, state in ((0, b""), (0, b"more"), (3, b"a long state"), (12, b"x")):
        write_checkpoint(path, life, state)
        assert newest(path) == (life, state)
    assert newest(path.with_name("feed_A.bin")) is None


def test_a_life_that_is_over_and_writes_once_more_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "risk.bin"
    write_checkpoint(path, 9, b"before the cut")
    write_checkpoint(path, 10, b"elsewhere")
    forget_lives_before(path, 10)
    assert [file.name for file in tmp_path.iterdir()] == ["risk.10.bin"]
    write_checkpoint(path, 9, b"the disk is back")
    assert newest(path) == (10, b"elsewhere")


def test_no_byte_can_be_missing_or_changed_unseen(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "risk.bin", 0, b"a state")
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    state_begins = whole.index(b"a state")
    for number in range(len(whole)):
        file.write_bytes(whole[:number])
        with pytest.raises(JournalDamaged):
            read_checkpoint(file)
        if number >= state_begins:
            file.write_bytes(whole[:number] + bytes([whole[number] ^ 4]) + whole[number + 1 :])
            with pytest.raises(JournalDamaged, match="checksum"):
                read_checkpoint(file)
