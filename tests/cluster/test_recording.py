from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from cluster import cli
from spyhop.storage.lake import Lake
from spyhop.venues.endpoints import Endpoints

pytestmark = pytest.mark.slow


def test_what_venues_send_is_recorded_into_a_lake(
    venues: Endpoints, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "venues.json").write_bytes(msgspec.json.encode(venues))
    arguments = ["data", "record", "--venues", "venues.json", "--symbols", "BTCUSDT,BTC-USD", "--out", "there"]
    assert cli.exit_code([*arguments, "--seconds", "40", "--json"]) == 0
    captured = capsys.readouterr()
    assert "VENUE SIMULATOR" in captured.err
    told = json.loads(captured.out)
    assert told["seconds"] >= 40
    assert told["num_raw"] > 100
    lake = Lake("there/lake")
    assert {one.key for one in lake.instruments()} == {"binance-usdm:BTCUSDT", "dydx:BTC-USD"}
    rows = {(line.symbol, line.channel): line.rows for line in lake.ls()}
    assert rows["BTCUSDT", "trades"] > 0
    assert rows["BTC-USD", "blocks"] >= 30
    assert sum(rows.values()) <= told["num_events"]
    assert list((tmp_path / "there" / "raw").iterdir())
