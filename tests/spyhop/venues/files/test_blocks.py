"""Files as blocks of whole lines."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from spyhop.errors import MissingInput
from spyhop.venues.files import blocks

TEXT = b"".join(b"%d " % k * (k % 50) + b"\n" for k in range(20_000))


def taken(path: Path, block_bytes: int = 1 << 16) -> tuple[list[bytes], list[str]]:
    damages: list[str] = []
    return list(blocks.line_blocks(path, damages.append, block_bytes)), damages


def written(folder: Path, content: bytes) -> Path:
    path = folder / "file"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content", [TEXT, gzip.compress(TEXT), gzip.compress(TEXT[:9999]) + gzip.compress(TEXT[9999:])]
)
def test_blocks_join_to_the_content_and_end_at_line_ends(tmp_path: Path, content: bytes) -> None:
    found, damages = taken(written(tmp_path, content))
    assert b"".join(found) == TEXT
    assert len(found) > 3
    assert all(block.endswith(b"\n") for block in found)
    assert damages == []


def test_zeros_after_a_gzip_member_are_padding(tmp_path: Path) -> None:
    found, damages = taken(written(tmp_path, gzip.compress(TEXT) + b"\0" * 512))
    assert b"".join(found) == TEXT
    assert damages == []


def test_a_last_line_without_an_end_is_kept(tmp_path: Path) -> None:
    found, _ = taken(written(tmp_path, b"a\nb"))
    assert b"".join(found) == b"a\nb"


def test_a_line_longer_than_a_block_stays_whole(tmp_path: Path) -> None:
    found, _ = taken(written(tmp_path, b"x" * 3_000_000 + b"\ny\n"))
    assert b"".join(found).startswith(b"x" * 3_000_000 + b"\n")
    assert found[0].count(b"\n") >= 1


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_cut_gzip_gives_a_prefix_and_tells(tmp_path: Path, share: float) -> None:
    whole = gzip.compress(TEXT)
    found, damages = taken(written(tmp_path, whole[: int(len(whole) * share)]))
    got = b"".join(found)
    assert TEXT.startswith(got)
    assert len(got) > (share - 0.1) * len(TEXT)
    assert damages == ["gzip cut off: the end-of-file mark is missing"]


def test_a_damaged_gzip_gives_what_lies_before_the_damage(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(TEXT))
    middle = len(whole) // 2
    whole[middle : middle + 200] = bytes(200)
    found, damages = taken(written(tmp_path, bytes(whole)))
    got = b"".join(found)
    assert got[: len(TEXT) // 3] == TEXT[: len(TEXT) // 3]
    assert len(damages) == 1


def test_a_wrong_checksum_is_told_and_costs_nothing(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(TEXT))
    whole[-6] ^= 255
    found, damages = taken(written(tmp_path, bytes(whole)))
    assert b"".join(found) == TEXT
    assert len(damages) == 1


def test_the_head_is_unzipped(tmp_path: Path) -> None:
    assert blocks.head(written(tmp_path, gzip.compress(TEXT)), 100) == TEXT[:100]


def test_what_is_not_there_or_a_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="there is no file"):
        taken(tmp_path / "nothing")
    with pytest.raises(MissingInput, match="is a folder"):
        taken(tmp_path)
