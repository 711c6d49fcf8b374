from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import fs

from spyhop.clock import NS_PER_HOUR, NS_PER_S
from spyhop.errors import StorageFailed
from spyhop.model import tape
from spyhop.model.tape import Events, Kind, Status
from spyhop.storage import lake_writer
from spyhop.storage.lake import END_OF_TIME, Lake
from spyhop.storage.tape_recorder import TapeRecorder, bring_in

BTC = "binance-usdm:BTCUSDT"
START = 482_000 * NS_PER_HOUR


def scanned(lake: Lake, key: str = BTC) -> Events:
    return tape.joined(list(lake.scan(key, 0, END_OF_TIME)))


def mixed(make: Any, start: int) -> Events:
    rows = make.trades([start, start, start + 1, start + 1, start + 2, start + 3], first_id=start - START + 1)
    rows["kind"] = [Kind.TRADE, Kind.QUOTE, Kind.TIMER, Kind.STATUS, Kind.BLOCK, Kind.TRADE]
    rows["venue"] = 1
    return rows


def test_what_was_recorded_is_in_the_lake_after_the_end_less_the_timers(tmp_path: Path, make: Any) -> None:
    lake = Lake(tmp_path / "lake")
    recorder = TapeRecorder(lake, tmp_path / "journal", [make.instrument()], START)
    rows = mixed(make, START)
    recorder.append(BTC, rows[:3])
    recorder.append(BTC, rows[3:])
    recorder.close()
    assert scanned(lake).tobytes() == rows[rows["kind"] != Kind.TIMER].tobytes()
    assert lake.channels(BTC) == ["quotes", "trades", "blocks", "status"]
    assert [path.name for path in (tmp_path / "journal").iterdir()] == ["lock"]


def test_any_file_system_takes_a_recording(tmp_path: Path, make: Any) -> None:
    lake = Lake("bucket/lake", fs._MockFileSystem())
    recorder = TapeRecorder(lake, tmp_path, [make.instrument()], START)
    recorder.append(BTC, make.trades([START, START + 1]))
    recorder.close()
    assert len(scanned(lake)) == 2


def test_a_recorder_that_starts_again_brings_in_what_was_left_and_marks_the_gap(tmp_path: Path, make: Any) -> None:
    lake = Lake(tmp_path / "lake")
    instruments = [make.instrument(), make.instrument("ETHUSDT")]
    killed = TapeRecorder(lake, tmp_path / "journal", instruments, START)
    killed.append(BTC, make.trades([START + 5]))
    killed.flush()
    assert lake.sources() == []
    shutil.copytree(tmp_path / "journal", tmp_path / "killed")
    killed.close()

    lake = Lake(tmp_path / "lake2")
    again = TapeRecorder(lake, tmp_path / "killed", instruments, START + NS_PER_S)
    assert again.num_brought_in == 1
    again.append(BTC, make.trades([START + 2 * NS_PER_S], first_id=9))
    again.close()
    rows = scanned(lake)
    assert rows["kind"].tolist() == [Kind.TRADE, Kind.STATUS, Kind.TRADE]
    gap = rows[1]
    assert (gap["aux"], gap["aux2"], gap["ts_recv"]) == (Status.GAP, 2 * NS_PER_S - 5, START + 2 * NS_PER_S)
    assert lake.channels("binance-usdm:ETHUSDT") == []


def test_a_feed_that_marks_the_gap_itself_is_told_its_length_once(tmp_path: Path, make: Any) -> None:
    lake = Lake(tmp_path / "lake")
    recorder = TapeRecorder(lake, tmp_path / "journal", [make.instrument()], START)
    recorder.append(BTC, make.rows(Kind.STATUS, [START], aux=Status.GAP))
    recorder.close()
    again = TapeRecorder(lake, tmp_path / "journal", [make.instrument()], START + 5)
    again.append(BTC, make.rows(Kind.STATUS, [START + 7], aux=Status.DISCONNECTED))
    again.append(BTC, make.rows(Kind.STATUS, [START + 8, START + 9], aux=Status.GAP))
    again.append(BTC, make.trades([START + 10]))
    again.close()
    rows = scanned(lake)
    is_gap = rows["aux"] == Status.GAP
    assert rows["aux2"][is_gap].tolist() == [0, 8, 0]


def test_bringing_in_again_after_a_kill_between_the_two_steps_changes_nothing(tmp_path: Path, make: Any) -> None:
    lake = Lake(tmp_path / "lake")
    recorder = TapeRecorder(lake, tmp_path / "journal", [make.instrument()], START)
    recorder.append(BTC, make.trades(list(range(START, START + 10)), id=0))
    recorder.flush()
    (part,) = (path for path in (tmp_path / "journal").iterdir() if path.is_dir())
    shutil.copytree(part, tmp_path / "copies" / part.name)
    assert bring_in(lake, tmp_path / "copies" / part.name) is not None
    recorder.close()
    assert len(lake.sources()) == 1
    assert len(scanned(lake)) == 10


def test_a_part_that_was_being_deleted_is_not_brought_in_again(tmp_path: Path, make: Any) -> None:
    lake = Lake(tmp_path / "lake")
    half = tmp_path / "journal" / f"{START:019d}.done" / "tape"
    half.mkdir(parents=True)
    TapeRecorder(lake, tmp_path / "journal", [make.instrument()], START).close()
    assert lake.sources() == []
    assert not half.exists()


def test_every_hour_is_a_source_of_its_own(tmp_path: Path, make: Any) -> None:
    lake = Lake(tmp_path / "lake")
    recorder = TapeRecorder(lake, tmp_path / "journal", [make.instrument()], START)
    recorder.append(BTC, make.trades([START]))
    assert recorder.next_part(START + NS_PER_HOUR - 1) is None
    part = recorder.next_part(START + NS_PER_HOUR)
    recorder.append(BTC, make.trades([START + NS_PER_HOUR], first_id=2))
    assert part is not None
    assert bring_in(lake, part) is not None
    assert len(scanned(lake)) == 1
    recorder.close()
    assert scanned(lake)["id"].tolist() == [1, 2]
    assert [source.name for source in lake.sources()] == [
        "recorded-2024-12-26T080000.000",
        "recorded-2024-12-26T090000.000",
    ]


def test_two_recorders_cannot_share_a_folder(tmp_path: Path, make: Any) -> None:
    first = TapeRecorder(Lake(tmp_path / "lake"), tmp_path / "journal", [make.instrument()], START)
    with pytest.raises(StorageFailed, match="another recorder is writing to it"):
        TapeRecorder(Lake(tmp_path / "lake"), tmp_path / "journal", [make.instrument()], START)
    first.close()
    TapeRecorder(Lake(tmp_path / "lake"), tmp_path / "journal", [make.instrument()], START).close()


def test_a_store_that_refuses_leaves_the_journal(tmp_path: Path, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(tmp_path / "lake")
    recorder = TapeRecorder(lake, tmp_path / "journal", [make.instrument()], START)
    recorder.append(BTC, make.trades([START]))

    def refuse(*args: object, **rest: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lake_writer.PartWriter, "write", refuse)
        with pytest.raises(StorageFailed, match="No space left"):
            recorder.close()
    TapeRecorder(lake, tmp_path / "journal", [make.instrument()], START + 1).close()
    assert scanned(lake)["kind"].tolist() == [Kind.TRADE]


def test_the_tail_of_the_tape_is_there_for_a_feed_that_goes_on(tmp_path: Path, make: Any) -> None:
    lake = Lake(tmp_path / "lake")
    recorder = TapeRecorder(lake, tmp_path / "journal", [make.instrument()], START)
    assert recorder.tail(BTC, NS_PER_S) == []
    recorder.append(BTC, make.trades([START, START + NS_PER_S, START + 2 * NS_PER_S]))
    recorder.close()
    again = TapeRecorder(lake, tmp_path / "journal", [make.instrument().numbered(3)], START + 3 * NS_PER_S)
    kept = tape.joined(again.tail(BTC, NS_PER_S))
    assert (kept["id"].tolist(), kept["instrument"].tolist()) == ([2, 3], [3, 3])
    again.close()


@pytest.mark.slow
def test_killed_at_any_moment_what_was_flushed_is_there_once(tmp_path: Path, make: Any) -> None:
    script = """
import sys
from decimal import Decimal
from pathlib import Path
import numpy as np
from spyhop.clock import NS_PER_HOUR
from spyhop.model.instruments import Instrument
from spyhop.model.tape import EVENT, Kind, Venue
from spyhop.storage.lake import Lake
from spyhop.storage.tape_recorder import TapeRecorder, bring_in
folder, start = Path(sys.argv[1]), int(sys.argv[2])
one = Instrument(id=0, venue=Venue.BINANCE_USDM, symbol="BTCUSDT", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"))
lake = Lake(folder / "lake")
recorder = TapeRecorder(lake, folder / "journal", [one], start)
number = 0
while True:
    rows = np.zeros(10, EVENT)
    rows["kind"] = Kind.TRADE
    rows["ts_recv"] = start + (number + np.arange(10)) * NS_PER_HOUR // 2000
    rows["id"] = start + number + np.arange(10)
    recorder.append(one.key, rows)
    recorder.flush()
    number += 10
    print(start + number - 1, flush=True)
    part = recorder.next_part(int(rows["ts_recv"][-1]))
    if part is not None:
        bring_in(lake, part)
"""
    generator = np.random.default_rng(5)
    start, told = START, []
    for _ in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path), str(start)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        last = [int(child.stdout.readline()) for _ in range(1 + int(generator.integers(600)))][-1]
        child.send_signal(signal.SIGKILL)
        last = int(([str(last)] + [line for line in child.stdout if line.endswith("\n")])[-1])
        child.wait()
        child.stdout.close()
        told.append((start, last))
        start += 100 * NS_PER_HOUR
    lake = Lake(tmp_path / "lake")
    TapeRecorder(lake, tmp_path / "journal", [make.instrument()], start).close()
    rows = scanned(lake)
    assert (rows["ts_recv"][1:] >= rows["ts_recv"][:-1]).all()
    assert np.count_nonzero((rows["kind"] == Kind.STATUS) & (rows["aux"] == Status.GAP)) == 5
    ids = rows["id"][rows["kind"] == Kind.TRADE]
    for first, last in told:
        mine = ids[(ids >= first) & (ids < first + NS_PER_HOUR)]
        assert mine.tolist() == list(range(first, first + len(mine)))
        assert mine[-1] >= last
