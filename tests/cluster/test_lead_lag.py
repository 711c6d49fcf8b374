from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cluster import cli


@pytest.fixture(autouse=True)
def _in_a_folder_with_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(1)
    common = 1e-4 * generator.standard_normal(6_050)
    own = 5e-5 * generator.standard_normal(6_050)
    x = 100.0 * np.exp(np.cumsum(common)[50:])
    y = 101.0 * np.exp(np.cumsum(common + own)[:6_000])
    for name, price, num in (("big", x, 2_000), ("small", y, 1_000)):
        at = np.sort(generator.choice(6_000, num, replace=False))
        rows = "".join(f"{1_760_000_000 + k},{price[k]:.8f}\n" for k in at)
        (tmp_path / f"{name}.csv").write_text("time,price\n" + rows)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.exit_code(["study", "lead-lag", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


FILES = ("--leader", "big.csv", "--follower", "small.csv", "--max-lag-s", "100", "--step-s", "2", "--placebos", "39")


def test_two_files_give_json_with_the_lag(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, *FILES, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["lag_s"] == pytest.approx(50.0, abs=2.0)
    assert found["lag_low_s"] <= found["lag_s"] <= found["lag_high_s"]
    assert found["rho"] > found["null_95"] > 0.0
    assert found["lead_lag_ratio"] > 1.0
    assert found["verdict"].startswith("big leads small by 50 s")
    assert (found["structural"], found["actionable"]) == (None, None)
    assert len(found["curve"]["shift_s"]) == 101


def test_words_and_files_are_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = said(capsys, *FILES, "--out", "there/it")
    assert code == 0
    assert "VERDICT: big leads small by 50 s" in out
    assert "nobody said whose clock" in out
    assert json.loads((tmp_path / "there/it/lead-lag.json").read_text())["has_lag"]
    assert "<svg" in (tmp_path / "there/it/lead-lag.html").read_text()


def test_columns_of_one_file_are_told_apart(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    values = 100.0 + np.cumsum(generator.standard_normal((300, 2)), axis=0) * 0.01
    rows = "".join(f"{60 * k},{a},{b}\n" for k, (a, b) in enumerate(values))
    (tmp_path / "both.csv").write_text("time,one,two\n" + rows)
    code, out, _ = said(
        capsys, "--leader", "both.csv", "--follower", "both.csv", "--leader-price", "one", "--follower-price", "two",
        "--max-lag-s", "600", "--placebos", "39", "--json",
    )  # fmt: skip
    assert code == 0
    found = json.loads(out)
    assert (found["leader"]["name"], found["follower"]["name"]) == ("one", "two")
    assert not found["has_lag"]
    assert any("nothing about shorter times" in each for each in found["warnings"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--leader", "none.csv"), "there is no file none.csv"),
        (("--max-lag-s", "0"), "--max-lag-s: expected `float` > 0.0"),
        (("--placebos", "3"), "--placebos: expected `int` >= 39"),
        (("--max-lag-s", "5000"), "too short to look 5000 s far"),
        (("--leader-price", "mid"), "no column 'mid'"),
        (("--source", "quotes"), "--source chooses from a lake"),
        (("--lake", "l", "--source", "prices"), "--source prices: there is quotes, book, trades, bars"),
        (("--lake", "l", "--time", "ts"), "are for files"),
        (("--lake", "empty"), "the lake empty is empty"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = said(capsys, *FILES, *arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.startswith("spyhop: ")
    assert err.count("\n") == 1


@pytest.mark.slow
def test_a_lake_answers_by_both_clocks(capsys: pytest.CaptureFixture[str], recordings: Path) -> None:
    raw = recordings / "binance_raw"
    names = ("usdm_btcusdt_20240808.gz", "cm_btcusd_perp_20240808.gz")
    assert cli.exit_code(["data", "import", *(str(raw / name) for name in names), "--lake", "l"]) == 0
    capsys.readouterr()
    asked = ("--lake", "l", "--leader", "BTCUSDT", "--follower", "BTCUSD_PERP", "--max-lag-s", "0.5")
    code, out, _ = said(capsys, *asked, "--placebos", "39", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["clock"] == "receive"
    assert found["lag_s"] == found["actionable"]["lag_s"]
    assert found["structural"]["clock"] == "exchange"
    code, out, _ = said(capsys, *asked, "--placebos", "39")
    assert code == 0
    assert out.count("VERDICT") == 2
