from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.errors import JournalDamaged, StorageFailed
from spyhop.storage import frames
from spyhop.storage.frames import FrameReader, FrameWriter

HEAD = b"#test 1\n"


def opened(path: Path) -> tuple[FrameWriter, list[bytes]]:
    there: list[bytes] = []
    return FrameWriter(path, HEAD, there.append), there


def filled(path: Path, payloads: list[bytes], *, flush_each: bool = True) -> Path:
    writer, _ = opened(path)
    for payload in payloads:
        writer.append(payload)
        if flush_each:
            writer.flush()
    writer.close()
    return path


def test_what_is_appended_is_read_back_and_continued(tmp_path: Path) -> None:
    path = filled(tmp_path / "deep" / "er" / "x.log", [b"one", b"", b"#frame"])
    writer, there = opened(path)
    assert there == [b"one", b"", b"#frame"]
    writer.append(b"four")
    writer.close()
    assert list(FrameReader(path, HEAD)) == [b"one", b"", b"#frame", b"four"]


@given(payloads=st.lists(st.binary(max_size=60), max_size=5), data=st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_file_cut_anywhere_keeps_every_whole_frame(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes], data: st.DataObject
) -> None:
    path = filled(tmp_path_factory.mktemp("cut") / "x.log", payloads)
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    ends = [len(HEAD)]
    for payload in payloads:
        ends.append(ends[-1] + 42 + len(payload))
    whole = payloads[: sum(end <= cut for end in ends[1:])]
    assert list(FrameReader(path, HEAD)) == whole
    writer, there = opened(path)
    assert there == whole
    assert writer.num_bytes_cut == cut - max((end for end in ends if end <= cut), default=0)
    writer.append(b"after")
    writer.close()
    assert list(FrameReader(path, HEAD)) == [*whole, b"after"]


@given(payloads=st.lists(st.binary(min_size=1, max_size=40), min_size=2, max_size=4), data=st.data())
@settings(max_examples=80, deadline=None, derandomize=True)
def test_a_flipped_bit_in_what_was_durable_is_damage_and_not_a_tail(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes], data: st.DataObject
) -> None:
    path = filled(tmp_path_factory.mktemp("flip") / "x.log", payloads)
    content = bytearray(path.read_bytes())
    # the last frame is behind the last proof of durability
    place = data.draw(st.integers(len(HEAD), len(content) - 43 - len(payloads[-1])))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with pytest.raises(JournalDamaged, match=r"durable|begin"):
        list(FrameReader(path, HEAD))
    with pytest.raises(JournalDamaged):
        opened(path)


def test_frames_after_a_hole_that_was_never_flushed_are_a_torn_tail(tmp_path: Path) -> None:
    path = filled(tmp_path / "x.log", [b"a" * 10, b"b" * 10, b"c" * 10], flush_each=False)
    content = bytearray(path.read_bytes())
    content[len(HEAD) + 52 + 45] ^= 1
    path.write_bytes(content)
    reader = FrameReader(path, HEAD)
    assert list(reader) == [b"a" * 10]
    assert reader.num_torn_bytes == 104


def test_another_head_is_refused(tmp_path: Path) -> None:
    path = filled(tmp_path / "x.log", [b"one"])
    with pytest.raises(JournalDamaged, match="does not begin"):
        list(FrameReader(path, b"#other 1\n"))


def test_a_second_writer_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    writer, _ = opened(tmp_path / "x.log")
    with pytest.raises(StorageFailed, match="another process"):
        opened(tmp_path / "x.log")
    writer.close()
    again, _ = opened(tmp_path / "x.log")
    again.close()


def test_a_full_disk_leaves_no_half_frame_and_ends_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = filled(tmp_path / "x.log", [b"one"])
    writer, _ = opened(path)
    real, calls = os.write, [0]

    def full(file: int, data: bytes) -> int:
        calls[0] += 1
        if calls[0] == 1:
            return real(file, data[:20])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(frames.os, "write", full)
    with pytest.raises(StorageFailed, match="No space left"):
        writer.append(b"two")
    monkeypatch.undo()
    with pytest.raises(StorageFailed, match="failed before"):
        writer.append(b"three")
    writer.close()
    reader = FrameReader(path, HEAD)
    assert list(reader) == [b"one"]
    assert reader.num_torn_bytes == 0


def test_a_failed_sync_acknowledges_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, _ = opened(tmp_path / "x.log")
    writer.append(b"one")

    def refused(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(frames.os, "fsync", refused)
    with pytest.raises(StorageFailed, match="Input/output"):
        writer.flush()
    monkeypatch.undo()
    with pytest.raises(StorageFailed, match="failed before"):
        writer.flush()
    writer.close()
