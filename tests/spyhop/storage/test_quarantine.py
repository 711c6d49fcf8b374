from __future__ import annotations

import msgspec
import pytest

from spyhop.storage import quarantine
from spyhop.storage.quarantine import Kept, QuarantineFile


def kept(file: QuarantineFile) -> list[Kept]:
    return [msgspec.json.decode(line, type=Kept) for line in file.encoded().splitlines()]


def test_a_line_is_kept_with_file_line_reason_and_content() -> None:
    file = QuarantineFile()
    file.put("a.gz", 7, "not JSON", b'{"x":\n')
    file.put("a.gz", 9, "not text", b"\xff\x00")
    assert kept(file) == [
        Kept("a.gz", 7, "not JSON", raw='{"x":\n'),
        Kept("a.gz", 9, "not text", raw_base64="/wA="),
    ]
    assert file.total == 2


def test_lines_and_reasons_are_bounded_but_all_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MAX_KEPT_LINES", 5)
    monkeypatch.setattr(quarantine, "MAX_REASONS", 3)
    file = QuarantineFile()
    for line in range(20):
        file.put("a", line, f"reason {line % 6}", b"x" * 5000)
    assert len(kept(file)) == 5
    assert kept(file)[0].is_cut
    assert len(kept(file)[0].raw) == quarantine.MAX_KEPT_BYTES
    assert file.total == 20
    assert file.reasons[quarantine.OTHER] == 9


def test_nothing_set_aside_is_an_empty_file() -> None:
    assert QuarantineFile().encoded() == b""
