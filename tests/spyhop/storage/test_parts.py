from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pyarrow import fs

from spyhop.clock import NS_PER_DAY
from spyhop.errors import LakeDamaged
from spyhop.storage import parts
from spyhop.storage.parts import Group, Part, PartWriter, in_order, read_part

EVER = (-(1 << 63), (1 << 63) - 1)


def described(writer: PartWriter, size: int) -> Part:
    return Part(
        path="x.parquet", venue="binance-usdm", symbol="BTCUSDT", channel="trades", date="1970-01-01",
        rows=writer.rows, bytes=size, first=writer.first, last=writer.last,
    )  # fmt: skip


@pytest.fixture
def files(tmp_path: Any) -> fs.FileSystem:
    return fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())


@pytest.fixture
def part(files: fs.FileSystem, make: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Part, Group]:
    monkeypatch.setattr(parts, "ROW_GROUP", 100)
    group = Group(make.random(np.random.default_rng(1), 950, 1000), make.positions(950))
    writer = PartWriter(files, "x.parquet", make.instrument())
    writer.write(Group(group.events[:600], group.positions[:600]))
    writer.write(Group(group.events[600:], group.positions[600:]))
    return described(writer, writer.close()), group


def test_every_bit_of_every_column_comes_back(files: fs.FileSystem, part: tuple[Part, Group]) -> None:
    groups = list(read_part(files, part[0], *EVER))
    assert len(groups) == 10
    assert np.concatenate([group.events for group in groups]).tobytes() == part[1].events.tobytes()
    assert np.concatenate([group.positions for group in groups]).tolist() == part[1].positions.tolist()
    assert part[0].bytes == files.get_file_info("x.parquet").size


@pytest.mark.parametrize(("start", "end"), [(0, 1), (100, 101), (250, 777), (999, 2000), (500, 500)])
def test_a_span_is_cut_to_the_nanosecond(files: fs.FileSystem, part: tuple[Part, Group], start: int, end: int) -> None:
    times = part[1].events["ts_recv"]
    expected = times[(times >= start) & (times < end)].tolist()
    assert [ts for group in read_part(files, part[0], start, end) for ts in group.events["ts_recv"]] == expected


def test_a_writer_accepts_only_what_follows(files: fs.FileSystem, make: Any) -> None:
    writer = PartWriter(files, "x.parquet", make.instrument())
    writer.write(Group(make.trades([5, 7]), make.positions(2)))
    assert writer.accepts(Group(make.trades([7]), make.positions(1, 3)))
    assert not writer.accepts(Group(make.trades([7]), make.positions(1, 1)))
    assert not writer.accepts(Group(make.trades([6]), make.positions(1, 9)))
    writer.abandon()


def test_a_flipped_bit_anywhere_is_found(files: fs.FileSystem, part: tuple[Part, Group], tmp_path: Any) -> None:
    path = tmp_path / "x.parquet"
    content = path.read_bytes()
    generator, num_found = np.random.default_rng(2), 0
    for place in generator.integers(0, len(content), 60).tolist():
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        try:
            groups = list(read_part(files, part[0], *EVER))
        except LakeDamaged:
            num_found += 1
            continue
        # bytes that carry no data (statistics, padding, names of the writer) may change without harm
        assert np.concatenate([group.events for group in groups]).tobytes() == part[1].events.tobytes()
    assert num_found > 30


def test_missing_cut_and_foreign_files_are_damage(
    files: fs.FileSystem, part: tuple[Part, Group], tmp_path: Any
) -> None:
    path = tmp_path / "x.parquet"
    content = path.read_bytes()
    for damaged in (content[:-7], b"", b"PAR1 no"):
        path.write_bytes(damaged)
        with pytest.raises(LakeDamaged):
            list(read_part(files, part[0], *EVER))
    path.unlink()
    with pytest.raises(LakeDamaged):
        list(read_part(files, part[0], *EVER))


def test_order_is_by_receive_time_and_then_by_place(make: Any) -> None:
    events = make.trades([5, 3, 3, 9])
    group = in_order(events, np.array([1, 4, 2, 3]))
    assert group.events["ts_recv"].tolist() == [3, 3, 5, 9]
    assert group.positions.tolist() == [2, 4, 1, 3]
    assert in_order(events[[1, 0, 3]], np.array([4, 1, 3])).events["id"].tolist() == [2, 1, 4]


def test_dates_and_folders_are_utc_and_safe(make: Any) -> None:
    assert parts.date_of(19_943) == "2024-08-08"
    assert parts.date_of((19_943 * NS_PER_DAY - 1) // NS_PER_DAY) == "2024-08-07"
    assert (
        parts.part_folder(make.instrument("a/b"), "book", "2024-08-08")
        == "venue=binance-usdm/symbol=a%2Fb/channel=book/date=2024-08-08"
    )
