from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from spyhop.clock import NS_PER_DAY
from spyhop.errors import JournalDamaged
from spyhop.model.raw import Mark, RawKind, RawRecord
from spyhop.storage.raw_frames import RawFrameWriter, is_raw, mark_of, read_frames, segments

NOON = 20_000 * NS_PER_DAY + NS_PER_DAY // 2


def frame(ts: int, data: bytes = b"{}", connection: int = 1) -> RawRecord:
    return RawRecord(RawKind.FRAME, ts, "dydx:BTC-USD", "indexer", connection, data)


def everything(folder: Path) -> list[RawRecord]:
    return [record for path in segments(folder) for record in read_frames(path)]


def marks(folder: Path) -> list[Mark]:
    return [mark for record in everything(folder) if (mark := mark_of(record)) is not None]


def frames(folder: Path) -> list[RawRecord]:
    return [record for record in everything(folder) if record.kind == RawKind.FRAME]


def test_records_come_back_as_they_were_with_time_feed_socket_and_connection(tmp_path: Path, make: Any) -> None:
    writer = RawFrameWriter(tmp_path, (make.instrument(),), {"depth": "diff"}, NOON)
    kept = [
        frame(NOON + 1, b"\x00\xff\n\n"),
        RawRecord(RawKind.CALL, NOON + 2, "a", "sync", 7, b""),
        frame(NOON + 2, b"x" * 9_000_000),
    ]
    for record in kept:
        writer.add(record)
    writer.close(NOON + 3)
    (path,) = segments(tmp_path)
    assert is_raw(path)
    assert path.stat().st_size < 100_000
    found = list(read_frames(path))
    assert found[1:-1] == kept
    assert mark_of(found[0]) == Mark("begin", run=NOON, instruments=(make.instrument(),), settings={"depth": "diff"})
    assert mark_of(found[-1]) == Mark("end")
    assert writer.num_records == 3


def test_nothing_is_on_the_disk_before_the_flush_and_everything_after(tmp_path: Path) -> None:
    writer = RawFrameWriter(tmp_path, (), {}, NOON)
    writer.add(frame(NOON + 1))
    assert frames(tmp_path) == []
    writer.flush(NOON + 2)
    assert frames(tmp_path) == [frame(NOON + 1)]
    writer.flush(NOON + 3)
    writer.close(NOON + 4)


def test_segments_end_by_size_and_by_day_and_each_says_whose_it_is(tmp_path: Path, make: Any) -> None:
    writer = RawFrameWriter(tmp_path, (make.instrument(),), {}, NOON, segment_bytes=2_000)
    for number in range(20):
        writer.add(frame(NOON + number, os.urandom(500)))
        writer.flush(NOON + number)
    writer.add(frame(NOON + NS_PER_DAY))
    writer.flush(NOON + NS_PER_DAY)
    writer.close(NOON + NS_PER_DAY + 1)
    assert [record.ts for record in frames(tmp_path)] == [NOON + n for n in range(20)] + [NOON + NS_PER_DAY]
    paths = segments(tmp_path)
    assert len(paths) > 4
    assert {path.parent.name for path in paths} == {"20241004", "20241005"}
    assert all(mark_of(next(iter(read_frames(path)))).instruments == (make.instrument(),) for path in paths)


def test_a_recorder_that_goes_on_after_one_that_stopped_marks_nothing(tmp_path: Path) -> None:
    RawFrameWriter(tmp_path, (), {}, NOON).close(NOON + 1)
    RawFrameWriter(tmp_path, (), {}, NOON + 5).close(NOON + 6)
    assert [mark.what for mark in marks(tmp_path)] == ["begin", "end", "begin", "end"]


@pytest.mark.slow
def test_after_a_kill_only_what_was_not_flushed_is_missing_and_it_is_marked(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from spyhop.model.raw import RawKind, RawRecord
from spyhop.storage.raw_frames import RawFrameWriter
writer = RawFrameWriter(Path({str(tmp_path)!r}), (), {{}}, {NOON})
for number in range(10**9):
    writer.add(RawRecord(RawKind.FRAME, {NOON} + number, "dydx:BTC-USD", "indexer", 1, b"{{}}"))
    if number % 10 == 9:
        writer.flush({NOON} + number)
        print(number, flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    told = [int(child.stdout.readline()) for _ in range(20)]
    child.send_signal(signal.SIGKILL)
    told += [int(line) for line in child.stdout if line.endswith(b"\n")]
    child.wait()
    child.stdout.close()
    writer = RawFrameWriter(tmp_path, (), {}, NOON + NS_PER_DAY)
    kept = [record.ts - NOON for record in frames(tmp_path)]
    assert kept == list(range(len(kept)))
    assert kept[-1] >= told[-1]
    assert marks(tmp_path)[-1] == Mark("cut", since=NOON + kept[-1])
    writer.close(NOON + NS_PER_DAY)


def test_a_torn_tail_is_left_out_and_damage_is_told(tmp_path: Path) -> None:
    writer = RawFrameWriter(tmp_path, (), {}, NOON)
    for number in range(3):
        writer.add(frame(NOON + number))
        writer.flush(NOON + number)
    writer.close(NOON + 3)
    (path,) = segments(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    assert [record.ts for record in frames(tmp_path)] == [NOON, NOON + 1, NOON + 2]
    assert marks(tmp_path)[-1].what == "begin"
    path.write_bytes(whole[:200] + b"\x00" + whole[201:])
    with pytest.raises(JournalDamaged):
        everything(tmp_path)


def test_what_is_too_much_for_memory_is_dropped_counted_and_marked(tmp_path: Path) -> None:
    writer = RawFrameWriter(tmp_path, (), {}, NOON, max_waiting_bytes=1_000)
    for number in range(5):
        writer.add(frame(NOON + number, b"x" * 400))
    writer.flush(NOON + 9)
    writer.add(frame(NOON + 10))
    writer.close(NOON + 11)
    assert [record.ts - NOON for record in frames(tmp_path)] == [0, 1, 10]
    assert marks(tmp_path)[1] == Mark("shed", since=NOON + 1, count=3)
    assert writer.num_shed == 3


def test_feeds_add_from_their_own_threads_and_no_record_is_lost(tmp_path: Path) -> None:
    writer = RawFrameWriter(tmp_path, (), {}, NOON)

    def run(connection: int) -> None:
        for number in range(2_000):
            writer.add(frame(NOON + number, connection=connection))

    threads = [threading.Thread(target=run, args=(connection,)) for connection in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        writer.flush(NOON)
    writer.close(NOON + 1)
    found = frames(tmp_path)
    for connection in range(4):
        mine = [record.ts - NOON for record in found if record.connection == connection]
        assert mine == list(range(2_000))


def test_a_segment_whose_head_is_torn_off_hides_nothing(tmp_path: Path) -> None:
    writer = RawFrameWriter(tmp_path, (), {}, NOON)
    writer.add(frame(NOON + 1))
    writer.flush(NOON + 1)  # and killed
    (tmp_path / "20241004" / f"{NOON + 5:019d}.frames").write_bytes(b"#spy")
    again = RawFrameWriter(tmp_path, (), {}, NOON + 9)
    again.close(NOON + 9)
    writer.close(NOON + 10)
    assert Mark("cut", since=NOON + 1) in marks(tmp_path)
