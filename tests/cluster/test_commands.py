import json
from pathlib import Path

import pytest

from cluster import cli

HIDDEN = "hunter2-hunter2"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, object]]:
    assert cli.exit_code(["config", "--json", *arguments]) == 0
    tables: dict[str, dict[str, object]] = json.loads(capsys.readouterr().out)
    return tables


def test_config_prints_every_setting_its_value_and_where_it_came_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spyhop.toml").write_text("target_profit_pct = 0.2\n[session]\nhours = 2\n")
    (tmp_path / ".env").write_text("LEVERAGE=50\nSWEEP_PCT=3\n")
    tables = shown(capsys, "--set", "session.speed=2")
    assert len(tables["settings"]) > 100
    assert tables["settings"]["session.hours"] == {"value": 2.0, "origin": "spyhop.toml"}
    assert tables["settings"]["session.speed"] == {"value": 2.0, "origin": "--set"}
    assert tables["settings"]["risk.sizing.max_leverage"] == {"value": 50.0, "origin": ".env (LEVERAGE)"}
    assert tables["settings"]["decision.exits.take_profit_frac"] == {
        "value": 0.002,
        "origin": "spyhop.toml (target_profit_pct)",
    }
    assert tables["unused"] == ["SWEEP_PCT (.env)"]
    assert cli.exit_code(["config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["session.hours", "2.0", "spyhop.toml"] for line in lines)
    assert "SWEEP_PCT (.env): this version does not use it" in lines


def test_a_secret_is_named_and_never_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".env").write_text(f"BINANCE_API_KEY={HIDDEN}\n")
    assert shown(capsys)["secrets"] == {"BINANCE_API_KEY": ".env"}
    assert cli.exit_code(["config"]) == 0
    out = capsys.readouterr().out
    assert "BINANCE_API_KEY = ******** (.env)" in out
    assert HIDDEN not in out


def test_a_profile_says_what_it_sets(capsys: pytest.CaptureFixture[str]) -> None:
    tables = shown(capsys, "--profile", "eager")
    assert tables["settings"]["decision.filter.min_probability"]["origin"] == "profile eager"  # type: ignore[index]
