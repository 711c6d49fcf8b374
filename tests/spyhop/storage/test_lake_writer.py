from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import fs

from spyhop.clock import NS_PER_DAY
from spyhop.errors import StorageFailed
from spyhop.model.tape import joined
from spyhop.storage import lake_writer
from spyhop.storage.lake import END_OF_TIME, START_OF_TIME, Lake
from spyhop.storage.lake_writer import SourceWriter, store
from spyhop.storage.parts import PartWriter

BTC = "binance-usdm:BTCUSDT"


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def begun(lake: Lake, content: str = "c", reader: str = "1") -> SourceWriter:
    return SourceWriter(lake, content=content, key=f"{content}{reader}", name="x.gz", reader=reader)


def test_nothing_exists_before_the_commit_and_all_of_it_after(tmp_path: Path, make: Any) -> None:
    lake = Lake(tmp_path)
    with begun(lake) as writer:
        writer.write(make.instrument(), "trades", make.trades([1, NS_PER_DAY]), make.positions(2))
        assert lake.ls() == []
        source = writer.commit(num_lines=2, quarantined={"bad": 1}, ignored={"kline": 3}, quarantine=b"{}\n")
    assert files_in(tmp_path) == {"_imports/c.json", "_quarantine/x.gz-c1.jsonl", *(p.path for p in source.parts)}
    assert lake.sources() == [source]
    assert (source.num_lines, source.quarantined, source.ignored) == (2, {"bad": 1}, {"kline": 3})


def test_an_error_leaves_nothing(tmp_path: Path, make: Any) -> None:
    def fail() -> None:
        with begun(Lake(tmp_path)) as writer:
            writer.write(make.instrument(), "trades", make.trades([1]), make.positions(1))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert files_in(tmp_path) == set()


def test_a_newer_reading_of_the_same_content_takes_the_place_of_the_older(tmp_path: Path, make: Any) -> None:
    lake = Lake(tmp_path)
    for reader, times in (("1", [1, NS_PER_DAY, 2 * NS_PER_DAY]), ("2", [1, 5])):
        with begun(lake, reader=reader) as writer:
            writer.write(make.instrument(), "trades", make.trades(times), make.positions(len(times)))
            source = writer.commit()
    assert files_in(tmp_path) == {"_imports/c.json", source.parts[0].path}
    assert joined(list(lake.scan(BTC, 0, END_OF_TIME)))["ts_recv"].tolist() == [1, 5]


@pytest.mark.parametrize("shuffled", [False, True])
def test_rows_in_any_order_over_many_days_within_a_bounded_memory(
    tmp_path: Path, make: Any, monkeypatch: pytest.MonkeyPatch, shuffled: bool
) -> None:
    monkeypatch.setattr(lake_writer, "ROW_GROUP", 50)
    monkeypatch.setattr(lake_writer, "MAX_WAITING_ROWS", 120)
    monkeypatch.setattr(lake_writer, "MAX_OPEN_PARTS", 8)
    generator = np.random.default_rng(4)
    rows = make.random(generator, 2000, 9 * NS_PER_DAY)
    rows["id"] = np.arange(2000) + 1
    order = generator.permutation(2000) if shuffled else np.arange(2000)
    lake, positions = Lake(tmp_path), make.positions(2000)
    with begun(lake) as writer:
        for piece in np.split(order, 23 * np.arange(1, 80)):
            writer.write(make.instrument(), "trades", rows[piece], positions[piece])
            assert sum(len(g.events) for groups in writer._waiting.values() for g in groups) <= 120
            assert len(writer._open) <= 8
        source = writer.commit()
    assert joined(list(lake.scan(BTC, START_OF_TIME, END_OF_TIME))).tobytes() == rows.tobytes()
    assert len({part.date for part in source.parts}) == 9
    if not shuffled:
        assert len(source.parts) == 9


def test_two_descriptions_of_one_instrument_in_a_source_are_a_mistake(tmp_path: Path, make: Any) -> None:
    pieces = [(make.instrument(tick=tick), "trades", make.trades([1]), make.positions(1)) for tick in ("1", "2")]
    with pytest.raises(ValueError, match="two descriptions"):
        store(Lake(tmp_path), "a", pieces)
    assert files_in(tmp_path) == set()


@pytest.mark.parametrize("step", ["write", "close", "move", "manifest", "sync"])
def test_a_full_disk_at_any_step_leaves_nothing_visible(
    tmp_path: Path, make: Any, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    lake = Lake(tmp_path)
    before = store(lake, "before", [(make.instrument(), "quotes", make.trades([9]), make.positions(1))])
    there = files_in(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "a long text of a library")

    if step in ("write", "close"):
        monkeypatch.setattr(PartWriter, step, full)
    elif step == "sync":
        monkeypatch.setattr(lake_writer.os, "fsync", full)
    else:
        real = SourceWriter._move

        def move(self: SourceWriter, aside: str, place: str) -> None:
            if (step == "manifest") == place.startswith("_imports"):
                full()
            real(self, aside, place)

        monkeypatch.setattr(SourceWriter, "_move", move)
    pieces = [(make.instrument(), "trades", make.trades([1, NS_PER_DAY]), make.positions(2))]
    with pytest.raises(StorageFailed, match=os.strerror(errno.ENOSPC)):
        store(lake, "after", pieces)
    monkeypatch.undo()
    assert files_in(tmp_path) == there
    assert lake.sources() == [before]
    store(lake, "after", pieces)
    assert len(lake.sources()) == 2


def test_storing_the_same_pieces_twice_changes_nothing(make: Any) -> None:
    lake = Lake("x", fs._MockFileSystem())
    pieces = [(make.instrument(), "trades", make.trades([1]), make.positions(1))]
    assert store(lake, "a", pieces) == store(lake, "b", pieces)
    assert len(lake.sources()) == 1
