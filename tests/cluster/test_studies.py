from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from cluster import cli

START_MS = 1_766_774_940_000
LAG = 3
NUM = 1_600


@pytest.fixture(scope="session")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Side-by-side minutes in which the follower is three minutes late."""
    rng = np.random.default_rng(7)
    walk = 90_000 * np.exp(np.cumsum(rng.normal(0, 8e-4, NUM + LAG)))
    columns: dict[str, object] = {"ts_ms": [START_MS + 60_000 * k for k in range(NUM)]}
    for name, close in (("binance", walk[LAG:]), ("dydx", walk[:NUM])):
        close = np.rint(close)
        opens = np.concatenate([close[:1], close[:-1]])
        columns |= {
            f"open_{name}": opens, f"high_{name}": np.maximum(opens, close), f"low_{name}": np.minimum(opens, close),
            f"close_{name}": close, f"volume_{name}": np.ones(NUM),
        }  # fmt: skip
    path = tmp_path_factory.mktemp("tape") / "BTC_1m.parquet"
    parquet.write_table(pa.table(columns), path)
    return path


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.exit_code(["study", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_seeds_own_spread_command(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(
        capsys, "spread", "--files", str(tape), "--symbol", "BTC", "--hours", "12", "--entry", "0.08", "--exit", "0.03",
        "--fees-bps", "8", "--out", "told",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "VERDICT" in out
    assert "(12.0 h)" in out
    found = json.loads(Path("told/spread-dydx-BTC-USD.json").read_text())
    assert found["params"] == {"entry_frac": 0.0008, "exit_frac": 0.0003, "horizon_s": None}
    assert found["costs"]["fees_bps"] == 8.0
    assert found["about"]["span"]["hours"] == 12.0
    assert "<h2>The spread</h2>" in Path("told/spread-dydx-BTC-USD.html").read_text()


def test_the_seeds_own_lead_follow_command(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(
        capsys, "lead-follow", "--files", str(tape), "--symbol", "BTC", "--hours", "24", "--mode", "short",
        "--spread-entry", "0.08", "--binance-drop-window", "5", "--binance-drop-pct", "0.15", "--horizon-min", "15",
        "--tp", "0.40", "--sl", "0.60", "--fees-bps", "8", "--slippage-bps", "1", "--funding-bps-8h", "0.5", "--json",
    )  # fmt: skip
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found == json.loads(Path("studies/lead-follow-dydx-BTC-USD.json").read_text())
    params = found["params"]
    assert [params[name] for name in ("fall_frac", "premium_frac", "take_profit_frac", "stop_loss_frac")] == [
        pytest.approx(one) for one in (0.0015, 0.0008, 0.0040, 0.0060)
    ]
    assert (params["window_s"], params["horizon_s"], params["direction"]) == (300.0, 900.0, "short")
    mean = found["outcome"]["result"]["per_trade"]
    assert mean["gross_bps"] > 0.0
    assert (mean["fees_bps"], mean["slippage_bps"]) == (pytest.approx(8.0), pytest.approx(2.0))
    assert mean["funding_bps"] < 0.0  # a short receives it
    assert {trade["side"] for trade in found["outcome"]["trades"]} == {-1}


@pytest.mark.slow
def test_the_seeds_own_week_command(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(
        capsys, "week", "--files", str(tape), "--symbol", "BTC", "--days", "1", "--mode", "both",
        "--out", "w/theory.json",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "IN ALL" in out
    found = json.loads(Path("w/theory.json").read_text())
    assert [one["params"]["direction"] for one in found["following"]] == ["short", "long", "both"]
    assert found["about"]["span"]["hours"] == 24.0
    assert found["lead_lag"]["lag_s"] == 60.0 * LAG
    assert Path("w/theory.html").is_file()


def test_a_lake_is_read_too(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.exit_code(["data", "import", str(tape), "--lake", "lake"]) == 0
    capsys.readouterr()
    code, out, _ = said(
        capsys, "spread", "--lake", "lake", "--leader", "binance-spot:BTCUSDT", "--follower", "BTC-USD", "--json"
    )
    assert code == 0
    assert json.loads(out)["about"]["quality"]["num_minutes"] == NUM


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("spread --symbol BTC", "say where the bars come from: --lake DIR, or --files FILE (repeated for more)"),
        ("spread --symbol BTC --lake a --files b", "say where the bars come from"),
        ("spread --symbol BTC --files nothing.parquet", "there is no file or folder nothing.parquet"),
        ("spread --symbol BTC --lake nowhere", "no leader for BTC with bars in the lake nowhere"),
        ("spread --symbol SOL --files TAPE", "no leader for SOL with bars"),
        ("spread --files TAPE", "say what to study: --symbol BTC, or --leader and --follower"),
        ("spread --symbol BTC --files TAPE --entry 0.02", "--exit 0.03 must be below --entry 0.02"),
        ("spread --symbol BTC --files TAPE --hours 1 --days 1", "--hours and --days exclude each other"),
        ("spread --symbol BTC --files TAPE --hours 0", "0 hours is no span to study"),
        ("spread --symbol BTC --files TAPE --fees-bps -3", "--fees-bps -3.0"),
        ("spread --symbol BTC --files TAPE --latency-s -1", "-1 s is no length of time"),
        ("lead-follow --symbol BTC --files TAPE --mode sideways", "--mode sideways"),
        ("lead-follow --symbol BTC --files TAPE --tp 140", "--tp 140.0: take_profit_frac would be 1.4"),
        ("lead-follow --symbol BTC --files TAPE --binance-drop-window 2.5", "whole minutes"),
        ("lead-follow --symbol BTC --files TAPE --horizon-min 0", "--horizon-min 0.0"),
        ("week --symbol BTC --files TAPE --entry x", "--entry"),
    ],
)
def test_a_mistake_is_one_sentence(
    tape: Path, arguments: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = said(capsys, *arguments.replace("TAPE", str(tape)).split())
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.startswith("spyhop: ")
    assert err.count("\n") == 1
    assert not Path("studies").exists()
