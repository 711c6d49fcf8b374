import json
from pathlib import Path

import pytest

from cluster import cli

START = 1_723_161_255_000_000_000
FRAME = (
    '{stamp} {{"stream":"btcusdt@trade","data":{{"e":"trade","E":{ms},"T":{ms},"s":"BTCUSDT","t":{id},'
    '"p":"61773.60","q":"0.005","X":"MARKET","m":true}}}}'
)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [
        FRAME.format(stamp=START + number * 10**8, ms=(START + number * 10**8) // 10**6, id=number)
        for number in range(20)
    ]
    (tmp_path / "usdm_btcusdt.txt").write_text("\n".join([*lines, "garbage"]) + "\n")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.exit_code(["data", *arguments, "--lake", "lake"])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_recording_is_imported_listed_and_verified(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "import", "usdm_btcusdt.txt", "--json")
    assert (code, err) == (0, "")
    (brought,) = json.loads(out)
    assert (brought["lines"], brought["events"], sum(brought["quarantined"].values())) == (21, 20, 1)
    code, out, _ = said(capsys, "import", "usdm_btcusdt.txt")
    assert code == 0
    assert "known" in out
    assert "set aside 1 lines: " in out
    code, out, _ = said(capsys, "ls", "--json")
    assert [(one["symbol"], one["channel"], one["rows"]) for one in json.loads(out)] == [("BTCUSDT", "trades", 20)]
    code, out, _ = said(capsys, "ls")
    assert code == 0
    assert "2024-08-08 23:54:15" in out
    code, out, _ = said(capsys, "verify")
    assert code == 0
    assert "lake" in out.splitlines()[-1]
    code, out, _ = said(capsys, "verify", "--json")
    assert any(found["count"] == 1 for found in json.loads(out))


@pytest.mark.parametrize("command", ["ls", "verify"])
def test_an_empty_lake_is_one_sentence(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, command)
    assert (code, out) == (2, "")
    assert err == "spyhop: the lake lake is empty; fill it with: spyhop data import FILE... --lake lake\n"


def test_a_file_that_no_reader_knows_is_told_after_the_others_are_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("dear whale\n")
    code, out, err = said(capsys, "import", "letter.txt", "usdm_btcusdt.txt")
    assert code == 2
    assert "new" in out
    assert err.startswith("spyhop: 1 of 2 files were not imported: letter.txt: ")
