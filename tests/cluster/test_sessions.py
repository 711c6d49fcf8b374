import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cluster import cli

SHORT = ("--generate", "--hours", "0.01", "--symbols", "BTCUSDT", "--seed", "7")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(prepared_kernels: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.exit_code(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.slow
def test_a_session_runs_in_one_process_and_is_replayed_to_the_bit(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "run", "--local", "--json", "--profile", "eager", *SHORT)
    assert (code, err) == (0, "")
    ran = json.loads(out)
    assert ran["is_simulated"] is True
    assert ran["num_events"] > 1_000
    assert ran["num_decisions"] >= 1
    assert ran["net"] == pytest.approx(ran["gross"] - ran["fees"] - ran["funding"])
    header = json.loads(Path(ran["folder"], "session.json").read_text())
    assert header["settings"]["session"]["seed"] == 7
    code, out, _ = said(capsys, "replay", "latest", "--json")
    assert code == 0
    assert json.loads(out)["difference"] is None
    code, out, _ = said(capsys, "replay", ran["session"])
    assert code == 0
    assert "reproduced to the bit" in out


@pytest.mark.slow
def test_the_report_of_the_newest_session_is_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = json.loads(said(capsys, "run", "--local", "--json", "--profile", "eager", *SHORT)[1])
    for command in (("run", "--report", "--paper"), ("report", "--paper")):
        code, out, _ = said(capsys, *command)
        assert code == 0
        assert ran["session"] in out
        assert "no demonstrated edge" in out.lower()
        assert Path(ran["folder"], "report.html").is_file()
    code, out, _ = said(capsys, "report", ran["session"], "--out", str(tmp_path / "there"), "--json")
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "there" / "report.json").read_text())


@pytest.mark.slow
def test_the_last_hours_of_all_sessions_are_one_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "report", "--hours", "24")[0] == 2
    ran = json.loads(said(capsys, "run", "--local", "--json", "--profile", "eager", *SHORT)[1])
    code, out, err = said(capsys, "report", "--hours", "24", "--json")
    assert (code, err) == (0, "")
    day = json.loads(out)
    (group,) = day["groups"]
    assert (group["mode"], group["is_simulated"], group["sessions"]) == ("paper", True, [ran["session"]])
    assert group["total"]["decisions"]["num_decisions"] == ran["num_decisions"]
    assert group["total"]["money"]["net"] == pytest.approx(ran["net"])
    assert json.loads((tmp_path / "runs" / "hours.json").read_text()) == day
    code, out, _ = said(capsys, "report", "--hours", "24", "--paper", "--out", "there")
    assert code == 0
    assert "PAPER, the last 24 hours: 1 session" in out
    assert "SIMULATED DATA" in (tmp_path / "there" / "hours.html").read_text()
    code, _, err = said(capsys, "report", "--hours", "24", "--live")
    assert (code, err) == (2, "spyhop: there is no live session in runs\n")
    assert said(capsys, "report", ran["session"], "--hours", "24")[0] == 2


@pytest.mark.slow
def test_a_session_can_be_watched_while_it_trades(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "run", "--local", "--watch", "--lang", "zh-TW", *SHORT)
    assert code == 0
    assert "帳戶" in out
    assert "主力拉盤" in out


@pytest.mark.slow
def test_watching_trades_nothing_and_keeps_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "watch", "--speed", "0", "--lang", "en", *SHORT)
    assert code == 0
    assert "watching only, no trading" in out
    assert "SIMULATED DATA" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_interrupt_drains_a_session_and_leaves_with_zero(tmp_path: Path) -> None:
    arguments = [
        sys.executable,
        "-m",
        "cluster.cli",
        "run",
        "--local",
        "--generate",
        "--json",
        "--speed",
        "1",
        "--symbols",
        "BTCUSDT",
    ]
    with subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        tape = None
        for _ in range(1200):
            tape = next(tmp_path.glob("runs/*/tape/BTCUSDT/*.tape"), None)
            if tape is not None or child.poll() is not None:
                break
            _wait()
        assert tape is not None
        os.kill(child.pid, signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert json.loads(out)["num_events"] > 0
    assert "Traceback" not in err


def _wait() -> None:
    signal.sigtimedwait([], 0.05)
