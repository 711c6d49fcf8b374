from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spyhop.clock import NS_PER_DAY, NS_PER_MS, NS_PER_S
from spyhop.model.tape import Flag, Kind, Status
from spyhop.storage.checks import Check, Finding
from spyhop.storage.imports import import_files
from spyhop.storage.lake import Lake
from spyhop.storage.lake_writer import SourceWriter, store
from spyhop.storage.verify import verify
from spyhop.venues.files import readers

BTC = "binance-usdm:BTCUSDT"
RECORDED = Path(__file__).resolve().parents[4] / "shared" / "data"

needs_recordings = pytest.mark.skipif(not RECORDED.is_dir(), reason="the recordings are not here")


def faults(found: list[Finding]) -> list[tuple[str, str, Check, int]]:
    return [(one.instrument, one.channel, one.check, one.count) for one in found if one.is_fault]


def test_a_lake_without_faults_has_none(tmp_path: Path, make: Any) -> None:
    assert verify(Lake(tmp_path)) == []
    store(Lake(tmp_path), "a", [(make.instrument(), "trades", make.trades([1, 2]), make.positions(2))])
    read: list[tuple[str, str]] = []
    assert verify(Lake(tmp_path), lambda key, channel: read.append((key, channel))) == []
    assert read == [(BTC, "trades")]


def test_faults_are_named_with_instrument_channel_file_and_line(tmp_path: Path, make: Any) -> None:
    lake = Lake(tmp_path)
    quotes = make.rows(Kind.QUOTE, [1, 2, 3], aux=[101, 99, 101])
    store(lake, "a.gz", [(make.instrument(), "quotes", quotes, make.positions(3, first_line=7))])
    found = verify(lake)
    assert faults(found) == [(BTC, "quotes", Check.CROSSED, 1)]
    assert (found[0].places[0].file, found[0].places[0].line, found[0].places[0].ts) == ("a.gz", 8, 2)


def test_the_clock_offset_is_the_lower_envelope_of_each_recording(tmp_path: Path, make: Any) -> None:
    lake = Lake(tmp_path)
    for name, delays, start in (("a", [-1270, -1200, -900], 0), ("b", [3, 5, 80], 10)):
        trades = make.trades([start + 1, start + 2, start + 3], first_id=start + 1)
        trades["ts_event"] -= np.array(delays) * NS_PER_MS
        store(lake, name, [(make.instrument(), "trades", trades, make.positions(3))])
    found = [one for one in verify(lake) if one.check is Check.CLOCK]
    assert [(one.instrument, one.places[0].file, one.is_fault, one.count) for one in found] == [
        ("binance-usdm", "a", True, 3),
        ("binance-usdm", "b", False, 3),
    ]
    assert found[0].text.startswith("least ts_recv - ts_event -1.270 s, median -1.200 s: the clock of the recording")
    assert found[1].text == "least ts_recv - ts_event +0.003 s, median +0.005 s"


def test_files_that_overlap_lines_set_aside_and_damage_are_told(tmp_path: Path, make: Any) -> None:
    lake = Lake(tmp_path)
    for name, times in (("a", [1, 5]), ("b", [3, 9]), ("c", [NS_PER_DAY, NS_PER_DAY + 1])):
        with SourceWriter(lake, content=name, key=name, name=name, reader="1") as writer:
            trades = make.trades(times, id=[0, 0])
            writer.write(make.instrument(), "trades", trades, make.positions(2))
            last = writer.commit(quarantined={"not JSON": 4} if name == "b" else {})
    (tmp_path / last.parts[0].path).unlink()
    found = verify(lake)
    assert faults(found) == [("", "", Check.SET_ASIDE, 4), (BTC, "trades", Check.DAMAGE, 1)]
    overlap = next(one for one in found if one.check is Check.OVERLAP)
    assert (overlap.count, overlap.places[0].file, overlap.places[0].ts) == (1, "a and b", 3)
    assert "date=1970-01-02" in next(one for one in found if one.check is Check.DAMAGE).places[0].file


def test_a_gap_that_the_tape_marks_is_told_and_is_no_fault(tmp_path: Path, make: Any) -> None:
    lake = Lake(tmp_path)
    rows = make.rows(Kind.STATUS, [5, 9, 12], aux=[Status.CONNECTED, Status.GAP, Status.SHED], qty=[0, 0, 7])
    rows["aux2"] = [0, 3 * NS_PER_S, 0]
    store(lake, "a", [(make.instrument(), "status", rows, make.positions(3))])
    found = verify(lake)
    assert faults(found) == []
    assert [(one.channel, one.count, one.text) for one in found] == [
        ("status", 1, "the recording marks gaps, 3.0 s of known length in all"),
        ("status", 1, "7 events were shed on purpose"),
    ]


def test_a_bar_in_the_making_is_no_repeat(tmp_path: Path, make: Any) -> None:
    lake = Lake(tmp_path)
    rows = make.rows(Kind.BAR_OPEN, [5, 5, 6, 6, 7, 7], id=60 * NS_PER_S, aux=100, interval_s=60)
    rows["kind"][1::2], rows["flags"][:4] = Kind.BAR_CLOSE, Flag.PARTIAL
    store(lake, "a", [(make.instrument(), "bars", rows, make.positions(6))])
    assert faults(verify(lake)) == []
    rows["flags"][2:4] = 0
    store(lake, "b", [(make.instrument(), "bars", rows, make.positions(6, 9))])
    assert (BTC, "bars", Check.DUPLICATE, 2) in faults(verify(lake))


@needs_recordings
@pytest.mark.slow
def test_the_august_capture_has_no_gap_and_a_clock_1_27_s_behind(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    paths = [RECORDED / "binance_raw" / "usdm_btcusdt_20240808.gz"]
    done = import_files(readers.read, paths, lake, reader="1")
    assert (done[0].num_events, done[0].num_quarantined) == (532_924, 0)
    found = verify(lake)
    assert faults(found) == [("binance-usdm", "", Check.CLOCK, 530_923)]
    assert "1.27 s behind" in found[-1].text


@needs_recordings
def test_the_missing_dydx_minutes_and_flat_bars_are_found(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    import_files(readers.read, [RECORDED / "binance_dydx_1m" / "ETH_1m.parquet"], lake, reader="1")
    found = verify(lake)
    assert faults(found) == [("dydx:ETH-USD", "bars", Check.MISSING, 10)]
    flat = next(one for one in found if one.check is Check.FLAT and one.instrument.startswith("dydx"))
    assert flat.text == "45.5% of 10,071 bars have one price, 26.9% no volume"
