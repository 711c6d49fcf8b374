from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.errors import JournalDamaged, MissingInput, StateError, StorageFailed
from spyhop.model import tape
from spyhop.model.control import Session
from spyhop.model.entries import Entry
from spyhop.model.instruments import Instrument
from spyhop.model.orders import FundingPaid
from spyhop.model.tape import EVENT, Events, Kind, Venue
from spyhop.storage import journal
from spyhop.storage.journal import FactWriter, SessionTapes, TapeWriter, read_facts, read_tape


def session(name: str) -> Session:
    btc = Instrument(
        id=0, venue=Venue.BINANCE_USDM, symbol="BTCUSDT", tick_size=Decimal("0.1"), lot_size=Decimal("0.001")
    )
    return Session(
        id=name,
        started=5,
        mode="paper",
        source="a test",
        is_simulated=True,
        instruments=(btc,),
        settings={"risk": {"leverage": 3.5, "names": ["a", "b"]}},
        version="0",
        runner="local",
    )


def paid(seq: int, amount: float = 0.5, stage: str = "order", ts: int | None = None) -> Entry:
    at = seq if ts is None else ts
    return Entry(at, stage, seq, FundingPaid(ts=at, ts_venue=seq, instrument=0, rate=1e-4, lots=2, amount=amount))


def numbered(first: int, count: int) -> Events:
    rows = tape.empty(count)
    rows["ts_recv"] = np.arange(first, first + count)
    rows["id"] = rows["ts_recv"] * 7
    rows["kind"] = Kind.TRADE
    return rows


def whole(folder: Path, stream: str, start: int = 0) -> Events:
    return tape.joined(list(read_tape(folder, stream, start)))


def test_the_head_of_a_session_survives(tmp_path: Path) -> None:
    journal.write_session(tmp_path / "s1", session("s1"))
    assert journal.read_session(tmp_path / "s1") == session("s1")


def test_latest_is_the_newest_session_and_unknown_ones_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no session"):
        journal.latest(tmp_path)
    for name in ("s20250102_000000_000000", "s20250101_000000_000000"):
        journal.write_session(tmp_path / name, session(name))
    (tmp_path / "s20260101_000000_000000").mkdir()
    assert journal.latest(tmp_path).name == "s20250102_000000_000000"
    assert journal.find_session(tmp_path, "latest") == journal.latest(tmp_path)
    with pytest.raises(MissingInput, match="newest are: s20250102"):
        journal.find_session(tmp_path, "s9")


def test_a_damaged_head_is_said_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no session"):
        journal.read_session(tmp_path)
    (tmp_path / "session.json").write_text('{"id": ')
    with pytest.raises(JournalDamaged, match=r"session\.json"):
        journal.read_session(tmp_path)


@given(sizes=st.lists(st.integers(0, 9), max_size=12), start=st.integers(0, 60), segment=st.integers(1, 2000))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_tape_reads_back_from_any_event_across_segments_and_reopenings(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], start: int, segment: int
) -> None:
    folder = tmp_path_factory.mktemp("tape")
    done = 0
    for number, size in enumerate(sizes):
        if number % 4 == 0:
            writer = TapeWriter(folder, "feed:BTC", segment)
        assert writer.num_events == done
        writer.append(numbered(done, size))
        done += size
        if number % 4 == 3:
            writer.close()
    if sizes:
        writer.close()
        assert whole(folder, "feed:BTC", start).tobytes() == numbered(0, done)[start:].tobytes()


def test_streams_are_named_and_a_missing_one_is_said(tmp_path: Path) -> None:
    tapes = SessionTapes(tmp_path)
    tapes.append("feed:BTC", numbered(0, 3))
    tapes.append("odd/name", numbered(5, 2))
    tapes.flush()
    tapes.close()
    assert journal.tape_streams(tmp_path) == ["feed:BTC", "odd/name"]
    assert whole(tmp_path, "odd/name")["ts_recv"].tolist() == [5, 6]
    with pytest.raises(MissingInput, match="feed:BTC, odd/name"):
        whole(tmp_path, "feed:ETH")


def test_a_feed_that_came_back_may_repeat_itself_but_not_differ(tmp_path: Path) -> None:
    writer = TapeWriter(tmp_path, "f", segment_bytes=200)
    for first in (0, 4, 8):
        writer.append(numbered(first, 4), at=first)
    writer.close()
    writer = TapeWriter(tmp_path, "f")
    writer.append(numbered(2, 6), at=2)
    writer.append(numbered(8, 9), at=8)
    assert writer.num_events == 17
    changed = numbered(10, 4)
    changed["price"][2] = 1
    with pytest.raises(StateError, match="differs at event 12"):
        writer.append(changed, at=10)
    with pytest.raises(StateError, match="event 18 offered, 17 kept"):
        writer.append(numbered(18, 1), at=18)
    writer.close()
    assert whole(tmp_path, "f").tobytes() == numbered(0, 17).tobytes()


def test_a_missing_segment_is_damage(tmp_path: Path) -> None:
    writer = TapeWriter(tmp_path, "f", segment_bytes=100)
    for first in range(0, 9, 3):
        writer.append(numbered(first, 3))
    writer.close()
    segments = sorted((tmp_path / "tape" / "f").iterdir())
    assert len(segments) == 3
    segments[1].unlink()
    with pytest.raises(JournalDamaged, match="begins with event 6 where 3 should follow"):
        whole(tmp_path, "f")


FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(amounts=st.lists(FLOATS, max_size=8))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_facts_come_back_to_the_bit(tmp_path_factory: pytest.TempPathFactory, amounts: list[float]) -> None:
    folder = tmp_path_factory.mktemp("facts")
    entries = [paid(seq, amount) for seq, amount in enumerate(amounts)]
    writer = FactWriter(folder)
    writer.append(entries[:3])
    writer.append(entries[3:])
    writer.close()
    kept = read_facts(folder)
    assert kept == entries
    assert [np.float64(e.message.amount).tobytes() for e in kept] == [np.float64(a).tobytes() for a in amounts]


def test_a_repeat_changes_nothing_even_after_reopening(tmp_path: Path) -> None:
    writer = FactWriter(tmp_path)
    writer.append([paid(0), paid(0, 9.0), paid(2)])
    writer.append([paid(0), paid(1), paid(2)])
    assert writer.committed("order") == 3
    writer.close()
    size = (tmp_path / "facts.log").stat().st_size
    writer = FactWriter(tmp_path)
    writer.append([paid(2, 7.0), paid(1)])
    assert (tmp_path / "facts.log").stat().st_size == size
    assert (writer.committed("order"), writer.committed("risk")) == (3, 0)
    writer.append([paid(3)])
    writer.close()
    assert read_facts(tmp_path) == [paid(0), paid(1), paid(2), paid(3)]


def test_facts_are_read_in_canonical_order(tmp_path: Path) -> None:
    entries = [paid(0, stage=stage, ts=ts) for ts, stage in ((2, "decision"), (1, "order"), (1, "risk"))]
    writer = FactWriter(tmp_path)
    for entry in entries:
        writer.append([entry])
    writer.close()
    assert read_facts(tmp_path) == [entries[2], entries[1], entries[0]]


@pytest.mark.parametrize("amount", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_refused_and_nothing_is_kept(tmp_path: Path, amount: float) -> None:
    writer = FactWriter(tmp_path)
    with pytest.raises(StateError, match="order 1 holds a number that is not finite"):
        writer.append([paid(0), paid(1, amount)])
    writer.append([paid(0), paid(1)])
    writer.close()
    assert read_facts(tmp_path) == [paid(0), paid(1)]


@pytest.mark.parametrize("refused", ["write", "fsync"])
def test_after_a_failure_the_next_append_opens_the_file_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    def refuses(*_: object) -> None:
        raise OSError(28, "No space left on device")

    writer = FactWriter(tmp_path)
    writer.append([paid(0, 1.0)])
    with monkeypatch.context() as disk:
        disk.setattr(f"spyhop.storage.frames.os.{refused}", refuses)
        for _ in range(2):
            with pytest.raises(StorageFailed, match="No space left"):
                writer.append([paid(1, 2.0)])
    assert writer.committed("order") == 1
    # what was refused is not remembered as kept, and another may come in its place
    writer.append([paid(1, 3.0)])
    writer.append([paid(2, 4.0)])
    writer.close()
    for _ in range(2):
        with pytest.raises(StorageFailed, match="closed"):
            writer.append([paid(3, 5.0)])
    assert read_facts(tmp_path) == [paid(0, 1.0), paid(1, 3.0), paid(2, 4.0)]


def test_a_session_without_facts_said_nothing(tmp_path: Path) -> None:
    assert read_facts(tmp_path) == []


FACTS_CHILD = """
import sys
from pathlib import Path
from spyhop.model.entries import Entry
from spyhop.model.orders import FundingPaid
from spyhop.storage.journal import FactWriter
writer = FactWriter(Path(sys.argv[1]))
start = writer.committed("order")
for seq in range(start, 10**9):
    fact = FundingPaid(ts=seq, ts_venue=seq, instrument=0, rate=1e-4, lots=2, amount=0.5)
    writer.append([Entry(seq, "order", seq, fact)])
    print(seq, flush=True)
"""

TAPE_CHILD = """
import sys
from pathlib import Path
import numpy as np
from spyhop.model import tape
from spyhop.storage.journal import TapeWriter
writer = TapeWriter(Path(sys.argv[1]), "f", segment_bytes=100_000)
first = writer.num_events
while True:
    rows = tape.empty(37)
    rows["ts_recv"] = np.arange(first, first + 37)
    rows["id"], rows["kind"] = rows["ts_recv"] * 7, 1
    for part in (rows[:20], rows[20:]):
        writer.append(part)
    writer.flush()
    first += 37
    print(first - 1, flush=True)
"""


def killed_while_appending(script: str, folder: Path, after: int) -> int:
    """Start a writer, kill -9 it after `after` answers, and return the last thing it acknowledged."""
    child = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    answers = [child.stdout.readline() for _ in range(after)]
    os.kill(child.pid, signal.SIGKILL)
    answers += takewhile(lambda line: line.endswith("\n"), child.stdout.readlines())
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    return int(answers[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "count"),
    [
        (FACTS_CHILD, lambda folder: len(read_facts(folder))),
        (TAPE_CHILD, lambda folder: len(whole(folder, "f"))),
    ],
    ids=["facts", "tape"],
)
def test_everything_acknowledged_outlives_kill_9(tmp_path: Path, script: str, count: Callable[[Path], int]) -> None:
    for after in (1, 40, 7):
        acknowledged = killed_while_appending(script, tmp_path, after)
        assert count(tmp_path) >= acknowledged + 1
    if script is TAPE_CHILD:
        rows = whole(tmp_path, "f")
        assert rows.tobytes() == numbered(0, len(rows)).tobytes()
    else:
        assert [entry.seq for entry in read_facts(tmp_path)] == list(range(count(tmp_path)))


def test_the_layout_of_an_event_is_what_the_tape_head_says() -> None:
    # a change of EVENT needs a new version in the head of the tape, or old journals would be misread
    assert EVENT.itemsize == 64
    assert EVENT.names == (
        "kind", "side", "venue", "flags", "instrument", "interval_s",
        "ts_event", "ts_recv", "price", "qty", "id", "aux", "aux2",
    )  # fmt: skip


def test_a_session_has_ended_once_it_was_marked(tmp_path: Path) -> None:
    assert not journal.is_ended(tmp_path)
    journal.mark_ended(tmp_path)
    assert journal.is_ended(tmp_path)
