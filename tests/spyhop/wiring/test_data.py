from __future__ import annotations

import gzip
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from spyhop.errors import MissingInput
from spyhop.model import tape
from spyhop.model.tape import Events, Kind
from spyhop.storage.imports import Progress
from spyhop.storage.lake import Lake
from spyhop.wiring.data import import_data, lake_table, verify_lake
from spyhop.wiring.plan import SessionPlan
from spyhop.wiring.sessions import replay, run_local

NUM_LINES = 4_000


@pytest.fixture(scope="module")
def samples(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first lines of two captures, with a line in one of them that cannot be read."""
    folder = tmp_path_factory.mktemp("samples")
    for name in ("usdm_btcusdt_20240808.gz", "spot_ethusdt_20240808.gz"):
        with gzip.open(recordings / "binance_raw" / name, "rb") as capture:
            lines = list(islice(capture, NUM_LINES))
        if name.startswith("usdm"):
            lines[17] = lines[17][:40] + b"\n"
        with gzip.open(folder / name, "wb") as sample:
            sample.writelines(lines)
    return folder


@pytest.fixture(scope="module")
def lake(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    root = str(tmp_path_factory.mktemp("store") / "lake")
    done = import_data([samples], root)
    assert [one.failure for one in done] == ["", ""]
    assert not any(one.is_known for one in done)
    return root


def events_of(lake: str, key: str) -> Events:
    return tape.joined(list(Lake(lake).scan(key, 0, 1 << 62)))


def test_a_capture_comes_in_and_is_listed(lake: str) -> None:
    table = lake_table(lake)
    assert {(line.venue, line.symbol) for line in table} == {("binance-usdm", "BTCUSDT"), ("binance-spot", "ETHUSDT")}
    counts = {(line.symbol, line.channel): line.rows for line in table}
    assert min(counts["BTCUSDT", channel] for channel in ("trades", "book", "quotes")) > 0
    trades = events_of(lake, "binance-usdm:BTCUSDT")
    assert counts["BTCUSDT", "trades"] == (trades["kind"] == Kind.TRADE).sum()


def test_a_line_that_cannot_be_read_is_found_with_its_place(lake: str) -> None:
    aside = [finding for finding in verify_lake(lake) if "set aside" in finding.check]
    assert [(finding.count, finding.places[0].file) for finding in aside] == [(1, "usdm_btcusdt_20240808.gz")]
    (kept,) = (Path(lake) / "_quarantine").iterdir()
    assert [msgspec.json.decode(line)["line"] for line in kept.read_bytes().splitlines()] == [18]


def test_the_same_capture_again_changes_nothing(lake: str, samples: Path) -> None:
    before = {path: path.read_bytes() for path in Path(lake).rglob("*") if path.is_file()}
    seen: list[Progress] = []
    again = import_data([samples / "usdm_btcusdt_20240808.gz", samples], lake, seen.append)
    assert [one.is_known for one in again] == [True, True, True]
    assert {path: path.read_bytes() for path in Path(lake).rglob("*") if path.is_file()} == before
    assert [(progress.file, progress.num_files) for progress in seen if progress.is_done] == [(1, 3), (2, 3), (3, 3)]


def test_what_is_not_there_stops_an_import_before_anything_is_written(tmp_path: Path, samples: Path) -> None:
    with pytest.raises(MissingInput, match=r"nothing\.gz"):
        import_data([samples, tmp_path / "nothing.gz"], str(tmp_path / "lake"))
    assert not (tmp_path / "lake").exists()


def test_a_file_of_no_known_format_is_told_and_the_others_come_in(tmp_path: Path, samples: Path) -> None:
    strange = tmp_path / "strange.txt"
    strange.write_text("nobody reads this\n")
    done = import_data([strange, samples / "spot_ethusdt_20240808.gz"], str(tmp_path / "lake"))
    assert "no reader knows" in done[0].failure
    assert done[1].num_events > 0


def test_a_recorded_lake_can_be_traded_and_replayed(
    tmp_path: Path, lake: str, planned: Callable[..., SessionPlan], prepared_kernels: None
) -> None:
    plan = planned(tmp_path, lake=Path(lake), symbols=("BTCUSDT",), hours=0.01)
    result = run_local(plan)
    assert result.progress.num_events == len(events_of(lake, "binance-usdm:BTCUSDT")) + 1
    assert replay(plan.folder).difference is None
