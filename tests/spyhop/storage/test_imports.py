from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from spyhop.clock import NS_PER_DAY
from spyhop.errors import MissingInput, StorageFailed, UserError
from spyhop.model.tape import Events, empty, joined
from spyhop.storage.imports import Imported, Progress, import_files
from spyhop.storage.lake import Lake
from spyhop.storage.parts import PartWriter
from spyhop.storage.quarantine import Kept

BTC = "binance-usdm:BTCUSDT"


@dataclass(frozen=True)
class Piece:
    """What a reader yields, as the import sees it."""

    instrument: Any = None
    channel: str = ""
    events: Events = field(default_factory=empty)
    positions: Any = field(default_factory=lambda: np.zeros(0, np.int64))
    last_line: int = 0
    quarantined: tuple[tuple[int, str, bytes], ...] = ()
    ignored: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


Read = Callable[[Path], Iterator[Piece]]


@pytest.fixture
def read(make: Any) -> Read:
    """Read a file of one receive time a line; lines that are no number are set aside."""

    def chunks(path: Path) -> Iterator[Piece]:
        lines = path.read_bytes().splitlines()
        for start in range(0, len(lines), 3):
            some = list(enumerate(lines[start : start + 3], start + 1))
            good = [(number, int(line)) for number, line in some if line.isdigit()]
            bad = tuple((number, "not a number", line) for number, line in some if not line.isdigit())
            yield Piece(
                instrument=make.instrument() if good else None,
                channel="trades" if good else "",
                events=make.trades([ts for _, ts in good], id=[ts for _, ts in good]),
                positions=np.array([number << 20 for number, _ in good], np.int64),
                last_line=some[-1][0],
                quarantined=bad,
                ignored={"heartbeat": 2},
                notes=("read slowly",),
            )

    return chunks


def times(lake: Lake) -> list[int]:
    return joined(list(lake.scan(BTC, 0, 1 << 62)))["ts_recv"].tolist()


def outcome(done: list[Imported]) -> list[tuple[int, int, bool, str]]:
    return [(one.num_events, one.num_quarantined, one.is_known, one.failure) for one in done]


def test_good_lines_come_in_and_bad_ones_are_set_aside_with_their_place(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.txt").write_text("1\n2\nbad\n4\nworse\n")
    lake = Lake(tmp_path / "lake")
    done = import_files(read, [tmp_path / "a.txt"], lake, reader="1")
    assert outcome(done) == [(3, 2, False, "")]
    assert times(lake) == [1, 2, 4]
    source = lake.sources()[0]
    assert (source.name, source.num_lines, source.ignored, source.notes) == (
        "a.txt", 5, {"heartbeat": 4}, ("read slowly",),
    )  # fmt: skip
    aside = next((tmp_path / "lake" / "_quarantine").iterdir()).read_bytes().splitlines()
    assert [msgspec.json.decode(line, type=Kept) for line in aside] == [
        Kept("a.txt", 3, "not a number", raw="bad"),
        Kept("a.txt", 5, "not a number", raw="worse"),
    ]


def test_the_same_content_twice_changes_nothing_under_whatever_name(tmp_path: Path, read: Read) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("1\n2\n")
    lake = Lake(tmp_path / "lake")
    import_files(read, [tmp_path / "a.txt"], lake, reader="1")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "lake").rglob("*") if path.is_file()}
    done = import_files(read, [tmp_path / "a.txt", tmp_path / "b.txt"], lake, reader="1")
    assert outcome(done) == [(2, 0, True, ""), (2, 0, True, "")]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "lake").rglob("*") if path.is_file()} == before
    (tmp_path / "b.txt").write_text("1\n2\n3\n")
    import_files(read, [tmp_path / "b.txt"], lake, reader="1")
    assert len(lake.sources()) == 2


def test_a_newer_reader_replaces_what_an_older_one_made(tmp_path: Path, read: Read, make: Any) -> None:
    (tmp_path / "a.txt").write_text("1\n2\n")
    lake = Lake(tmp_path / "lake")
    import_files(read, [tmp_path / "a.txt"], lake, reader="1")

    def newer(path: Path) -> Iterator[Piece]:
        yield Piece(make.instrument(), "trades", make.trades([8]), make.positions(1), 2)

    assert outcome(import_files(newer, [tmp_path / "a.txt"], lake, reader="2")) == [(1, 0, False, "")]
    assert times(lake) == [8]


def test_progress_counts_lines_events_and_files(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.txt").write_text("1\n2\n3\n4\n")
    (tmp_path / "b.txt").write_text("x\n")
    told: list[Progress] = []
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    import_files(read, paths, Lake(tmp_path / "lake"), reader="1", on_progress=told.append)
    assert [(one.file, one.num_files, one.num_lines, one.num_events, one.is_done) for one in told] == [
        (1, 2, 3, 3, False), (1, 2, 4, 4, False), (1, 2, 4, 4, True), (2, 2, 1, 0, False), (2, 2, 1, 0, True),
    ]  # fmt: skip


def test_a_path_that_is_not_there_is_said_before_anything_is_done(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.txt").write_text("1\n")
    with pytest.raises(MissingInput, match=r"no file .*b\.txt"):
        import_files(read, [tmp_path / "a.txt", tmp_path / "b.txt"], Lake(tmp_path / "lake"), reader="1")
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("error", [UserError("no reader knows this"), OSError(5, "Input/output error")])
def test_a_file_that_cannot_be_read_at_all_does_not_stop_the_others(
    tmp_path: Path, read: Read, error: Exception
) -> None:
    (tmp_path / "a.txt").write_text("7\n")
    (tmp_path / "b.txt").write_text("1\n")

    def chunks(path: Path) -> Iterator[Piece]:
        yield from read(path)
        if path.name == "a.txt":
            raise error

    lake = Lake(tmp_path / "lake")
    done = import_files(chunks, [tmp_path / "a.txt", tmp_path / "b.txt"], lake, reader="1")
    assert ("no reader knows this" in done[0].failure) or ("Input/output error" in done[0].failure)
    assert outcome(done)[1] == (1, 0, False, "")
    assert times(lake) == [1]


def test_a_full_disk_stops_the_import_and_keeps_what_was_done(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("1\n")
    (tmp_path / "b.txt").write_text("2\n")
    lake = Lake(tmp_path / "lake")
    import_files(read, [tmp_path / "a.txt"], lake, reader="1")

    def full(self: PartWriter) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PartWriter, "close", full)
    with pytest.raises(StorageFailed, match="No space left on device"):
        import_files(read, [tmp_path / "b.txt"], lake, reader="1")
    monkeypatch.undo()
    assert times(lake) == [1]
    import_files(read, [tmp_path / "b.txt"], lake, reader="1")
    assert times(lake) == [1, 2]


CHILD = """
import sys
from decimal import Decimal
from pathlib import Path
import numpy as np
from spyhop.clock import NS_PER_DAY
from spyhop.model import tape
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Venue
from spyhop.storage.imports import import_files
from spyhop.storage.lake import Lake

class Piece:
    channel, quarantined, ignored, notes = "trades", (), {}, ()
    instrument = Instrument(
        id=0, venue=Venue.BINANCE_USDM, symbol="BTCUSDT", tick_size=Decimal("0.1"), lot_size=Decimal("0.001")
    )
    def __init__(self, day):
        self.events = tape.empty(500)
        self.events["ts_recv"] = day * NS_PER_DAY + np.arange(500)
        self.events["kind"], self.events["id"] = 1, day * 500 + np.arange(500) + 1
        self.positions, self.last_line = self.events["id"].copy(), day * 500 + 500

def chunks(path):
    for day in range(80):
        yield Piece(day)
        if day == 0:
            print("began", flush=True)

print("ready", flush=True)
import_files(chunks, [Path(sys.argv[1])], Lake(sys.argv[2]), reader="1")
print("done", flush=True)
"""


@pytest.mark.slow
def test_an_import_killed_at_any_moment_exists_whole_or_not_at_all_and_can_be_done_again(tmp_path: Path) -> None:
    path, folder = tmp_path / "a.txt", tmp_path / "lake"
    path.write_text("x")
    seen = set()
    for wait_s in (0.0, 0.03, 0.1, 0.2, 9.0):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        if child.stdout.readline() == "began\n":
            try:
                child.wait(wait_s)
            except subprocess.TimeoutExpired:
                os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        parts = [part for source in Lake(folder).sources() for part in source.parts]
        assert sum(part.rows for part in parts) in (0, 40_000)
        seen.add(len(parts))
    assert times(Lake(folder)) == [day * NS_PER_DAY + i for day in range(80) for i in range(500)]
    assert seen == {0, 80}
    left = {path.relative_to(folder).as_posix() for path in folder.glob("venue=*/**/*.parquet")}
    assert left == {part.path for part in parts}
    assert not list((folder / "_incoming").iterdir())
