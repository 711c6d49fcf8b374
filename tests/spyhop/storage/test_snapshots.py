from __future__ import annotations

import errno
import os
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.clock import NS_PER_S
from spyhop.errors import StorageFailed
from spyhop.model import rows as rows_model
from spyhop.model.decisions import STRATEGIES
from spyhop.model.instruments import Instrument
from spyhop.model.rows import DETECTORS, RowFlag, Rows
from spyhop.model.tape import Venue
from spyhop.storage import snapshots
from spyhop.storage.snapshots import SnapshotWriter

START = 1_764_350_100 * NS_PER_S  # 2025-11-28T17:15:00
KEYS = [
    "timestamp",
    "price",
    "obi",
    "trade_imbalance",
    "big_trade_count",
    "big_buy_volume",
    "big_sell_volume",
    "big_buy_value",
    "big_sell_value",
    "strategy_probs",
]
INSTRUMENTS = [
    Instrument(id=k, venue=Venue.BINANCE_USDM, symbol=symbol, tick_size=Decimal("0.10"), lot_size=Decimal("0.001"))
    for k, symbol in enumerate(("BTCUSDT", "ETHUSDT"))
]


def seconds(first: int, count: int, num_instruments: int = 1) -> Rows:
    rows = rows_model.empty(count * num_instruments)
    rows["ts"] = START + np.repeat(np.arange(first, first + count), num_instruments) * NS_PER_S
    rows["instrument"] = np.tile(np.arange(num_instruments), count)
    rows["flags"] = RowFlag.SECOND
    rows["last"] = 91_500.0
    rows["mid"] = 91_500.05
    return rows


def uniform(rows: Rows) -> np.ndarray:
    return np.full((len(rows), len(STRATEGIES)), 1 / len(STRATEGIES))


def lines(path: Path) -> list[dict[str, object]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def file_of(folder: Path, day: str = "20251128") -> Path:
    return folder / f"market_snapshots_{day}.jsonl"


def test_a_line_has_the_seeds_keys_in_its_order_then_the_symbol(tmp_path: Path) -> None:
    row = seconds(0, 1)
    row["detections"]["value"][0, DETECTORS.index("obi")] = 0.35
    told = {
        "tfi": 0.42,
        "big_trade_count": 5,
        "big_buy_volume": 2.5,
        "big_sell_volume": 1.2,
        "big_buy_value": 228_750,
        "big_sell_value": 109_800,
    }
    for name, value in told.items():
        row["evidence"][name] = value
    probabilities = uniform(row)
    probabilities[0, 0] = 0.78
    writer = SnapshotWriter(tmp_path, INSTRUMENTS)
    writer.write(row, probabilities)
    [line] = lines(file_of(tmp_path))
    assert list(line) == [*KEYS, "symbol"]
    shares = line.pop("strategy_probs")
    assert isinstance(shares, dict)
    assert tuple(shares) == STRATEGIES
    assert shares["WHALE_PUMP"] == 0.78
    assert line == {
        "timestamp": "2025-11-28T17:15:00.000",
        "price": 91_500.0,
        "obi": 0.35,
        "trade_imbalance": 0.42,
        "big_trade_count": 5,
        "big_buy_volume": 2.5,
        "big_sell_volume": 1.2,
        "big_buy_value": 228_750.0,
        "big_sell_value": 109_800.0,
        "symbol": "BTCUSDT",
    }
    writer.close()


def test_before_any_trade_the_price_is_the_mid(tmp_path: Path) -> None:
    row = seconds(0, 1)
    row["last"] = 0.0
    writer = SnapshotWriter(tmp_path, INSTRUMENTS)
    writer.write(row, uniform(row))
    assert lines(file_of(tmp_path))[0]["price"] == 91_500.05
    writer.close()


def test_only_whole_seconds_are_written_and_each_once(tmp_path: Path) -> None:
    rows = seconds(0, 4, 2)
    rows["flags"][:2] = RowFlag.ANALYSIS
    writer = SnapshotWriter(tmp_path, INSTRUMENTS)
    writer.write(rows, uniform(rows))
    writer.write(rows, uniform(rows))
    found = [(line["timestamp"], line["symbol"]) for line in lines(file_of(tmp_path))]
    assert len(found) == len(set(found)) == 6
    writer.close()


def test_files_roll_at_midnight_utc(tmp_path: Path) -> None:
    midnight = 24_300  # seconds from the start
    rows = seconds(midnight - 2, 4)
    writer = SnapshotWriter(tmp_path, INSTRUMENTS)
    writer.write(rows, uniform(rows))
    writer.close()
    assert len(lines(file_of(tmp_path))) == 2
    assert lines(file_of(tmp_path, "20251129"))[0]["timestamp"] == "2025-11-29T00:00:00.000"
    again = SnapshotWriter(tmp_path, INSTRUMENTS)
    again.write(rows, uniform(rows))
    again.close()
    assert len(lines(file_of(tmp_path))) == len(lines(file_of(tmp_path, "20251129"))) == 2


@given(cut=st.integers(0, 20_000), back=st.integers(0, 6), block=st.sampled_from([64, 1_000, 1 << 20]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_file_cut_anywhere_is_mended_and_goes_on_without_hole_or_repeat(
    tmp_path_factory: pytest.TempPathFactory, cut: int, back: int, block: int
) -> None:
    folder = tmp_path_factory.mktemp("snapshots")
    rows = seconds(0, 12, 2)
    whole = SnapshotWriter(folder / "whole", INSTRUMENTS)
    whole.write(rows, uniform(rows))
    whole.close()
    text = file_of(folder / "whole").read_bytes()
    torn = folder / "torn"
    torn.mkdir()
    head = text[: cut % (len(text) + 1)]
    file_of(torn).write_bytes(head)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "_BLOCK_BYTES", block)
        writer = SnapshotWriter(torn, INSTRUMENTS)
    assert writer.num_bytes_cut == len(head) - (head.rfind(b"\n") + 1)
    resumed = max(0, head.count(b"\n") - back)
    writer.write(rows[resumed:], uniform(rows[resumed:]))
    writer.close()
    assert file_of(torn).read_bytes() == text


def test_a_full_disk_is_said_leaves_no_half_line_and_the_rows_can_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = seconds(0, 3)
    writer = SnapshotWriter(tmp_path, INSTRUMENTS)
    writer.write(rows[:1], uniform(rows[:1]))
    real, calls = os.write, []

    def full(file: int, data: memoryview) -> int:
        calls.append(1)
        if len(calls) == 1:
            return real(file, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageFailed, match="No space left"):
        writer.write(rows[1:], uniform(rows[1:]))
    monkeypatch.setattr(os, "write", real)
    assert len(lines(file_of(tmp_path))) == 1
    writer.write(rows, uniform(rows))
    assert len(lines(file_of(tmp_path))) == 3
    writer.close()


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageFailed):
        SnapshotWriter(tmp_path / "file" / "raw", INSTRUMENTS)


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path, INSTRUMENTS)
    writer.close()
    writer.close()
