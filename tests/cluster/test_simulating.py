from __future__ import annotations

from pathlib import Path

import pytest

from cluster import cli


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--port", "70000"], "--port must be between 0 and 65533"),
        (["--host", "0.0.0.0"], "--host must be one IPv4 address of this machine, not 0.0.0.0"),
        (["--host", "localhost"], "--host must be one IPv4 address of this machine, not localhost"),
        (["--host", "192.0.2.1"], "the venue simulator cannot listen on 192.0.2.1"),
        (["--speed", "0"], "--speed must be above 0"),
        (["--lake", "x", "--generate"], "--lake and --generate exclude each other"),
        (["--faults", "none.toml"], "none.toml"),
        (["--lag-ms", "-1"], "--lag-ms must be between 0 and 60000"),
        (["--lake", "x", "--calm"], "--calm is for a generated market"),
    ],
)
def test_what_cannot_be_simulated_is_one_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.exit_code(["venue-sim", *arguments]) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
