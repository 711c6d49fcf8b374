"""The desk's memory: repeats, gaps, torn tails, and real damage."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.errors import JournalDamaged, StateError, StorageFailed
from spyhop.model.orders import CancelOrder, OrderSent
from spyhop.venues.desk.log import HEAD, NAME, DeskLog, Known, Record, Taken


def command(number: int) -> CancelOrder:
    return CancelOrder(ts=number, client_order_id=f"o{number}", instrument=1)


def report(number: int) -> OrderSent:
    return OrderSent(ts=number, client_order_id=f"o{number}", instrument=1)


RECORDS: list[Record] = [
    Taken(command(0), 101.5),
    report(0),
    Known(1, "v0", "o0"),
    Taken(command(1)),
    report(1),
    report(2),
]


def written(folder: Path, records: list[Record]) -> bytes:
    log = DeskLog(folder)
    for record in records:
        log.append(record)
    log.flush()
    log.close()
    return (folder / NAME).read_bytes()


def test_a_reopened_log_tells_everything_in_order(tmp_path: Path) -> None:
    written(tmp_path, RECORDS)
    read: list[Record] = []
    log = DeskLog(tmp_path, read.append)
    assert read == RECORDS
    assert (log.num_commands, log.num_reports, log.num_bytes_cut) == (2, 3, 0)
    assert list(log.reports(1)) == [report(1), report(2)]
    log.close()


@settings(deadline=None, max_examples=50)
@given(cut=st.integers(0, 400), tail=st.binary(max_size=20))
def test_whatever_is_cut_off_what_is_left_is_a_beginning(
    tmp_path_factory: pytest.TempPathFactory, cut: int, tail: bytes
) -> None:
    folder = tmp_path_factory.mktemp("log")
    whole = written(folder, RECORDS)
    kept = whole[: max(len(HEAD), len(whole) - cut)]
    (folder / NAME).write_bytes(kept + tail)
    read: list[Record] = []
    log = DeskLog(folder, read.append)
    assert read == RECORDS[: len(read)]
    assert cut > 0 or read == RECORDS
    # what follows is readable again
    log.append(report(9))
    log.flush()
    log.close()
    again: list[Record] = []
    DeskLog(folder, again.append).close()
    assert again == [*read, report(9)]


def test_a_torn_tail_is_counted(tmp_path: Path) -> None:
    written(tmp_path, RECORDS)
    with (tmp_path / NAME).open("ab") as file:
        file.write(b"\x05\x00\x00\x00torn")
    log = DeskLog(tmp_path)
    assert log.num_bytes_cut == 8
    log.close()


def test_a_head_that_was_torn_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(HEAD[:5])
    log = DeskLog(tmp_path)
    log.append(report(0))
    assert list(log.reports()) == [report(0)]
    log.close()


def test_repeats_are_known_by_number_and_content(tmp_path: Path) -> None:
    log = DeskLog(tmp_path)
    for number in range(3):
        log.append(Taken(command(number)))
    assert list(log.unseen(1, [command(1), command(2), command(3)])) == [command(3)]
    assert list(log.unseen(0, [command(0)])) == []
    assert list(log.unseen(3, [command(3)])) == [command(3)]
    with pytest.raises(StateError):
        log.unseen(4, [command(4)])
    with pytest.raises(StateError):
        log.unseen(1, [command(2)])
    log.close()


def test_two_desks_never_share_a_log(tmp_path: Path) -> None:
    log = DeskLog(tmp_path)
    with pytest.raises(StorageFailed, match="another process"):
        DeskLog(tmp_path)
    log.close()
    DeskLog(tmp_path).close()


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"#spyhop facts 1\nwhatever")
    with pytest.raises(JournalDamaged):
        DeskLog(tmp_path)


def test_after_a_failed_write_nothing_more_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = DeskLog(tmp_path)

    def full(file: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StorageFailed, match="No space"):
            log.append(report(0))
    with pytest.raises(StorageFailed):
        log.append(report(0))
    with pytest.raises(StorageFailed):
        log.flush()
    log.close()
