"""A checkpoint that is not what was written is found out."""

from __future__ import annotations

from pathlib import Path

import pytest

from spyhop.errors import JournalDamaged
from spyhop.storage.checkpoints import read_checkpoint, write_checkpoint


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "risk.bin"
    for restarts, state in ((0, b""), (3, b"a long state")):
        write_checkpoint(path, restarts, state)
        assert read_checkpoint(path) == (restarts, state)


def test_no_byte_can_be_missing_or_changed_unseen(tmp_path: Path) -> None:
    path = tmp_path / "risk.bin"
    write_checkpoint(path, 0, b"a state")
    whole = path.read_bytes()
    state_begins = whole.index(b"a state")
    for number in range(len(whole)):
        path.write_bytes(whole[:number])
        with pytest.raises(JournalDamaged):
            read_checkpoint(path)
        if number >= state_begins:
            path.write_bytes(whole[:number] + bytes([whole[number] ^ 4]) + whole[number + 1 :])
            with pytest.raises(JournalDamaged, match="checksum"):
                read_checkpoint(path)
