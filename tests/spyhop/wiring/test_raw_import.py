from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.errors import JournalDamaged
from spyhop.model import tape
from spyhop.model.instruments import Instrument
from spyhop.model.raw import RawKind, RawRecord
from spyhop.model.tape import Events, Kind, Venue
from spyhop.storage.lake import END_OF_TIME, Lake
from spyhop.storage.raw_frames import RawFrameWriter, segments
from spyhop.venues.endpoints import LIVE
from spyhop.venues.params import FeedParams
from spyhop.wiring.data import import_data
from spyhop.wiring.raw_import import RawReader, RawSettings, is_raw

BTC = Instrument(
    id=0, venue=Venue.BINANCE_SPOT, symbol="BTCUSDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.00001")
)
ETH = msgspec.structs.replace(BTC, id=1, symbol="ETHUSDT")
START = 1_734_000_000 * NS_PER_S
SETTINGS = msgspec.to_builtins(RawSettings(LIVE, FeedParams()))


def trade(one: Instrument, number: int) -> RawRecord:
    ms = START // NS_PER_MS + number
    data = {
        "e": "aggTrade", "E": ms, "s": one.symbol, "a": number, "p": "60000.01", "q": "0.50000", "f": number,
        "l": number, "T": ms, "m": False, "M": True,
    }  # fmt: skip
    frame = {"stream": f"{one.symbol.lower()}@aggTrade", "data": data}
    return RawRecord(
        RawKind.FRAME,
        START + number * NS_PER_MS,
        one.key,
        "streams",
        1,
        json.dumps(frame, separators=(",", ":")).encode(),
    )


def recording(folder: Path, runs: list[list[list[RawRecord]]]) -> list[Path]:
    """Write a recording of several runs, each of several flushes, a segment each."""
    for run in runs:
        now = run[0][0].ts
        writer = RawFrameWriter(folder, (BTC, ETH), SETTINGS, now - 1, segment_bytes=1)
        for flush in run:
            for record in flush:
                writer.add(record)
            writer.flush(flush[0].ts)
        writer.close(run[-1][-1].ts)
    return segments(folder)


def read(reader: RawReader, path: Path) -> Events:
    return tape.joined([chunk.events for chunk in reader.chunks(path) if len(chunk.events)])


def test_segments_are_imported_by_instrument_and_channel(tmp_path: Path) -> None:
    first = [trade(BTC, 1), trade(ETH, 2), RawRecord(RawKind.FRAME, START, BTC.key, "streams", 1, b"no frame")]
    recording(tmp_path / "raw", [[first, [trade(BTC, 3), trade(BTC, 3)]]])
    done = import_data([tmp_path / "raw"], str(tmp_path / "lake"))
    assert [one.failure for one in done] == [""] * len(done)
    assert sum(one.num_quarantined for one in done) == 1
    lake = Lake(tmp_path / "lake")
    assert {one.key for one in lake.instruments()} == {BTC.key, ETH.key}
    told = {key: tape.joined(list(lake.scan(key, 0, END_OF_TIME)))["id"].tolist() for key in (BTC.key, ETH.key)}
    assert told == {BTC.key: [1, 3], ETH.key: [2]}
    assert all(one.is_known for one in import_data([tmp_path / "raw"], str(tmp_path / "lake")))


def test_a_segment_goes_on_where_the_one_before_ended_whether_that_was_just_read_or_not(tmp_path: Path) -> None:
    # the second segment tells again what the first has told
    paths = recording(tmp_path, [[[trade(BTC, 1), trade(BTC, 2)], [trade(BTC, 2), trade(BTC, 3)]]])
    paths = [path for path in paths if list(RawReader().chunks(path))]
    one = RawReader()
    in_order = [read(one, path) for path in paths]
    alone = [read(RawReader(), path) for path in paths]
    assert [rows["id"].tolist() for rows in in_order] == [[1, 2], [3]]
    assert [rows.tobytes() for rows in alone] == [rows.tobytes() for rows in in_order]


def test_another_run_has_fresh_adapters_and_repeats_nothing(tmp_path: Path) -> None:
    paths = recording(
        tmp_path, [[[trade(BTC, 1), trade(BTC, 2)]], [[trade(BTC, 2)._replace(ts=START + NS_PER_S), trade(BTC, 4)]]]
    )
    reader = RawReader()
    rows = tape.joined([read(reader, path) for path in paths])
    assert rows["id"].tolist() == [1, 2, 4]
    assert rows["kind"].tolist() == [Kind.TRADE] * 3


def test_settings_of_another_version_are_told(tmp_path: Path) -> None:
    writer = RawFrameWriter(tmp_path, (BTC,), {"endpoints": 5}, START)
    writer.close(START)
    with pytest.raises(JournalDamaged, match="settings of another version"):
        list(RawReader().chunks(segments(tmp_path)[0]))


def test_what_is_no_segment_is_known_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.frames").write_bytes(b"#spyhop tape 1\n")
    assert not is_raw(tmp_path / "a.frames")
    assert not is_raw(tmp_path / "none.frames")
