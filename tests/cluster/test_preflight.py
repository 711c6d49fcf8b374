import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cluster import cli
from spyhop.venues.endpoints import Endpoints

SOUND = (
    "--symbols", "BTCUSDT,BTC-USD",
    "--set", "risk.limits.max_losses_in_row=5",
    "--set", "risk.sizing.fee_frac=0.0005",
    "--set", "risk.sizing.slippage_bps=1",
    "--set", "venue.taker_fee_frac=0.0005",
)  # fmt: skip

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    monkeypatch.chdir(tmp_path)

    def say(*arguments: str) -> tuple[int, str, str]:
        code = cli.exit_code(["preflight", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return say


def test_every_guard_in_place_leaves_with_zero(said: Say) -> None:
    code, out, err = said(*SOUND)
    assert (code, err) == (0, "")
    assert "MISSING" not in out
    assert "guards stand" in out
    code, out, _ = said(*SOUND, "--json")
    told = json.loads(out)
    assert (code, told["passes"], told["num_missing"]) == (0, True, 0)


def test_a_missing_guard_leaves_with_one_and_says_how_to_mend_it(said: Say) -> None:
    arguments = (*SOUND, "--set", "risk.limits.max_volatility_ratio=1e15")
    code, out, err = said(*arguments)
    assert (code, err) == (1, "")
    assert "--set risk.limits.max_volatility_ratio=20" in out
    assert "1 of " in out
    code, out, _ = said(*arguments, "--json")
    told = json.loads(out)
    assert (code, told["passes"]) == (1, False)
    assert [check["name"] for check in told["checks"] if not check["passes"]] == ["risk.limits.max_volatility_ratio"]


@pytest.mark.slow
def test_accounts_are_examined_where_venues_are_named(said: Say, tmp_path: Path, venues: Endpoints) -> None:
    file = tmp_path / "venues.json"
    file.write_bytes(msgspec.json.encode(venues))
    code, out, _ = said(*SOUND, "--venues", str(file), "--json")
    told = json.loads(out)
    accounts = [check for check in told["checks"] if check["group"] == "account"]
    assert {check["name"].split(":")[0] for check in accounts} == {"binance-usdm", "dydx"}
    assert code == (0 if told["passes"] else 1)
