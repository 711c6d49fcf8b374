from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from spyhop.clock import NS_PER_S
from spyhop.errors import StorageFailed
from spyhop.model import rows as rows_model
from spyhop.model.control import Session
from spyhop.model.decisions import STRATEGIES, Decision, Intent, Trigger
from spyhop.model.entries import Entry
from spyhop.model.instruments import Instrument
from spyhop.model.orders import TradeClosed
from spyhop.model.rows import DETECTORS, RowFlag, Rows
from spyhop.model.tape import Side, Venue
from spyhop.storage import records
from spyhop.storage.features import FEATURES, LABELS
from spyhop.storage.records import SeedRecords

T = 1_764_350_100 * NS_PER_S  # 2025-11-28T17:15:00
DAY = "20251128"
PROBABILITIES = tuple(0.78 if k == 0 else 0.01 for k in range(len(STRATEGIES)))


def session(mode: str = "paper") -> Session:
    return Session(
        id="s",
        started=T,
        mode=mode,
        source="a test",
        is_simulated=True,
        instruments=tuple(
            Instrument(
                id=k, venue=Venue.BINANCE_USDM, symbol=symbol, tick_size=Decimal("0.10"), lot_size=Decimal("0.001")
            )
            for k, symbol in enumerate(("BTCUSDT", "ETHUSDT"))
        ),
        settings={},
        version="0",
        runner="local",
    )


def row_at(ts: int, obi: float = 0.35) -> Rows:
    row = rows_model.empty(1)
    row["ts"], row["flags"], row["last"] = ts, RowFlag.SECOND | RowFlag.ANALYSIS, 91_500.0
    row["detections"]["value"][0, DETECTORS.index("obi")] = obi
    return row


def wished(n: int, ts: int) -> list[Entry]:
    decision = Decision(
        seq=n,
        ts=ts,
        instrument=0,
        trigger=Trigger.INTERVAL,
        price=91_500.0,
        probabilities=PROBABILITIES,
        strategy="WHALE_PUMP",
        probability=0.78,
        confidence=0.72,
        side=Side.BUY,
        evidence=(),
    )
    intent = Intent(
        seq=n,
        ts=ts,
        instrument=0,
        decision_seq=n,
        side=Side.BUY,
        strategy="WHALE_PUMP",
        probability=0.78,
        confidence=0.72,
        reference=915_000,
        take_profit=916_372,
        stop=914_085,
        max_hold_ns=1,
    )
    return [Entry(ts, "decision", 2 * n, decision), Entry(ts, "decision", 2 * n + 1, intent)]


def closed(n: int, ts: int, held_s: int = 30, **changes: Any) -> Entry:
    trade = TradeClosed(
        ts=ts + held_s * NS_PER_S,
        trade_id=f"WT_{n:04d}",
        instrument=0,
        side=Side.BUY,
        strategy="WHALE_PUMP",
        probability=0.78,
        confidence=0.72,
        intent_seq=n,
        decision_seq=n,
        ts_entry=ts,
        ts_exit=ts + held_s * NS_PER_S,
        entry_price=91_500.0,
        exit_price=91_638.0,
        take_profit_price=91_637.25,
        stop_loss_price=91_408.5,
        lots=109,
        notional=10_000.0,
        margin=100.0,
        leverage=100.0,
        exit_purpose="take_profit",
        gross=15.10,
        fees=8.0,
        funding=0.0,
        slippage=0.5,
        net=7.10,
        max_profit_frac=0.00162,
        max_drawdown_frac=-0.00021,
    )
    return Entry(trade.ts, "order", n, msgspec.structs.replace(trade, **changes))


def tell(keeper: SeedRecords, n: int, ts: int, obi: float = 0.35) -> None:
    row = row_at(ts, obi)
    keeper.rows(row, np.array([PROBABILITIES]))
    keeper.append(wished(n, ts))


def trades_of(folder: Path, day: str = DAY) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = msgspec.json.decode(
        (folder / "logs" / "whale_paper_trader" / f"trades_{day}.json").read_bytes()
    )
    return found


def test_a_session_leaves_every_file_of_the_seed(tmp_path: Path) -> None:
    keeper = SeedRecords(tmp_path, session())
    tell(keeper, 0, T)
    keeper.append([closed(0, T)])
    keeper.close()
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {
        ".open_features",
        f"data/tensorflow_training/raw/market_snapshots_{DAY}.jsonl",
        f"data/tensorflow_training/raw/trade_records_{DAY}.json",
        f"data/tensorflow_training/features/features_{DAY}.npy",
        "data/tensorflow_training/features/feature_names.json",
        f"data/tensorflow_training/labels/labels_{DAY}.npy",
        f"logs/whale_paper_trader/trades_{DAY}.json",
        "logs/whale_paper_trader/system_20251128_171500.log",
        f"logs/whale_training/training_data_{DAY}.csv",
    }
    raw = tmp_path / "data" / "tensorflow_training" / "raw" / f"trade_records_{DAY}.json"
    assert msgspec.json.decode(raw.read_bytes()) == trades_of(tmp_path)


def test_arrays_csv_and_json_agree(tmp_path: Path) -> None:
    keeper = SeedRecords(tmp_path, session())
    for n in range(3):
        tell(keeper, n, T + n * 60 * NS_PER_S, obi=0.1 * n)
        keeper.append([closed(n, T + n * 60 * NS_PER_S, net=7.10 - 8 * n)])
    keeper.close()
    training = tmp_path / "data" / "tensorflow_training"
    x = np.load(training / "features" / f"features_{DAY}.npy")
    y = np.load(training / "labels" / f"labels_{DAY}.npy")
    names = msgspec.json.decode((training / "features" / "feature_names.json").read_bytes())
    with (tmp_path / "logs" / "whale_training" / f"training_data_{DAY}.csv").open() as file:
        table = list(csv.DictReader(file))
    trades = trades_of(tmp_path)
    assert x.shape == (3, 40)
    assert y.shape == (3, 6)
    assert x.dtype == y.dtype == np.float64
    assert tuple(names["features"]) == FEATURES
    assert tuple(table[0]) == (*FEATURES, *LABELS)
    for n, (line, trade) in enumerate(zip(table, trades, strict=True)):
        assert x[n, 0] == float(line["obi"]) == trade["obi"] == 0.1 * n
        assert line["strategy"] == "WHALE_PUMP"
        assert x[n, FEATURES.index("strategy")] == names["strategy"]["WHALE_PUMP"] == 0
        assert line["direction"] == "LONG"
        assert x[n, FEATURES.index("direction")] == names["direction"]["LONG"] == 1
        assert y[n].tolist() == [float(line[label]) for label in LABELS]
        assert y[n, 0] == (trade["net_pnl_usdt"] > 0)
    assert y[:, 0].tolist() == [1.0, 0.0, 0.0]


def test_a_trade_belongs_to_the_day_it_was_entered(tmp_path: Path) -> None:
    keeper = SeedRecords(tmp_path, session())
    late = T + 24_299 * NS_PER_S
    tell(keeper, 0, late)
    keeper.append([closed(0, late)])
    keeper.close()
    assert trades_of(tmp_path)[0]["exit_time"].startswith("2025-11-29")


def test_repeats_and_restarts_change_nothing(tmp_path: Path) -> None:
    keeper = SeedRecords(tmp_path, session())
    tell(keeper, 0, T)
    # killed here: what was caught is kept, and everything not acknowledged is told again
    keeper = SeedRecords(tmp_path, session())
    tell(keeper, 0, T)
    keeper.append([closed(0, T)])
    keeper = SeedRecords(tmp_path, session())
    keeper.append([closed(0, T)])
    keeper.append([closed(0, T)])
    keeper.close()
    assert len(trades_of(tmp_path)) == 1
    assert trades_of(tmp_path)[0]["obi"] == 0.35
    raw = tmp_path / "data" / "tensorflow_training" / "raw" / f"market_snapshots_{DAY}.jsonl"
    assert len(raw.read_text().splitlines()) == 1
    log = tmp_path / "logs" / "whale_paper_trader" / "system_20251128_171500.log"
    assert len(log.read_text().splitlines()) == 3


def test_features_survive_a_restart_between_decision_and_exit(tmp_path: Path) -> None:
    tell(SeedRecords(tmp_path, session()), 0, T, obi=-0.7)
    keeper = SeedRecords(tmp_path, session())
    keeper.append([closed(0, T)])
    assert trades_of(tmp_path)[0]["obi"] == -0.7


def test_a_trade_without_its_row_is_recorded_but_not_trained_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = SeedRecords(tmp_path, session())
    keeper.append([closed(0, T)])
    tell(keeper, 1, T + 60 * NS_PER_S)
    keeper.append([closed(1, T + 60 * NS_PER_S)])
    keeper.close()
    assert [trade["obi"] for trade in trades_of(tmp_path)] == [None, 0.35]
    assert np.load(tmp_path / f"data/tensorflow_training/labels/labels_{DAY}.npy").shape == (1, 6)
    assert "1 trades of 20251128 lack features" in caplog.text


def test_a_disk_that_refuses_is_said_and_the_trade_comes_when_told_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = SeedRecords(tmp_path, session())
    tell(keeper, 0, T)
    real = records.replace_durably

    def full(path: Path, data: bytes) -> None:
        raise StorageFailed(str(path), "No space left on device")

    monkeypatch.setattr(records, "replace_durably", full)
    with pytest.raises(StorageFailed):
        keeper.append([closed(0, T)])
    monkeypatch.setattr(records, "replace_durably", real)
    keeper.append([closed(0, T)])
    assert trades_of(tmp_path)[0]["obi"] == 0.35


def test_features_that_the_disk_refused_are_on_it_once_the_same_was_told_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise StorageFailed(str(path), "No space left on device")

    keeper = SeedRecords(tmp_path, session())
    with monkeypatch.context() as disk:
        disk.setattr(records, "replace", full)
        with pytest.raises(StorageFailed):
            tell(keeper, 0, T)
    tell(keeper, 0, T)
    again = SeedRecords(tmp_path, session())
    again.append([closed(0, T)])
    assert trades_of(tmp_path)[0]["obi"] == 0.35


@pytest.mark.parametrize("size", [0, 20])
def test_features_that_a_power_failure_tore_are_missing_and_nothing_else_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    tell(SeedRecords(tmp_path, session()), 0, T)
    with (tmp_path / ".open_features").open("r+b") as file:
        file.truncate(size)
    again = SeedRecords(tmp_path, session())
    assert "features of open trades are lost" in caplog.text
    again.append([closed(0, T)])
    assert [trade["obi"] for trade in trades_of(tmp_path)] == [None]


def test_live_sessions_have_their_own_folder(tmp_path: Path) -> None:
    SeedRecords(tmp_path, session("live")).close()
    assert (tmp_path / "logs" / "whale_live_trader" / "system_20251128_171500.log").exists()


def test_a_session_without_trades_closes(tmp_path: Path) -> None:
    SeedRecords(tmp_path, session()).close()
    assert not list(tmp_path.rglob("*.csv"))


_VICTIM = """
import importlib.util
import sys
spec = importlib.util.spec_from_file_location("story", sys.argv[1])
story = importlib.util.module_from_spec(spec)
spec.loader.exec_module(story)
from pathlib import Path
keeper = story.SeedRecords(Path(sys.argv[2]), story.session())
for n in range(1_000):
    ts = story.T + n * 20 * story.NS_PER_S
    story.tell(keeper, n, ts)
    keeper.append([story.closed(n, ts)])
    print(n, flush=True)
"""


@pytest.mark.slow
def test_every_acknowledged_trade_survives_kill_9(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", _VICTIM, __file__, str(tmp_path)]
    victim = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    acknowledged = -1
    while acknowledged < 20:
        acknowledged = int(victim.stdout.readline())
    os.kill(victim.pid, signal.SIGKILL)
    acknowledged = max([acknowledged, *map(int, victim.stdout.read().split())])
    victim.stdout.close()
    victim.wait()
    keeper = SeedRecords(tmp_path, session())
    keeper.close()
    ids = [trade["trade_id"] for trade in trades_of(tmp_path)]
    assert ids[: acknowledged + 1] == [f"WT_{n:04d}" for n in range(acknowledged + 1)]
    assert len(ids) <= acknowledged + 2
    assert all(trade["obi"] == 0.35 for trade in trades_of(tmp_path))
    raw = tmp_path / "data" / "tensorflow_training" / "raw" / f"market_snapshots_{DAY}.jsonl"
    assert len(raw.read_text().splitlines()) >= acknowledged + 1
