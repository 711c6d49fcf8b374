"""Bars, marks and funding from Parquet and Feather, made here and recorded."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from spyhop.errors import LakeDamaged, MissingInput
from spyhop.model.tape import Flag, Kind, Venue
from spyhop.venues.files import tables
from spyhop.venues.files.chunks import Chunk

SHARED = Path(__file__).resolve().parents[5] / "shared" / "data"
recorded = pytest.mark.skipif(not SHARED.is_dir(), reason="the recordings are not here")
MINUTE = 60 * 10**9
START = 1735689600 * 10**9


def bars(count: int = 3, **changes: list[float]) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "open_time": pd.to_datetime(START + MINUTE * np.arange(count), utc=True),
        "open": [100.5] * count,
        "high": [101.0] * count,
        "low": [99.0] * count,
        "close": [100.75] * count,
        "volume": [1.5] * count,
    }
    return pd.DataFrame(columns | changes)


def saved(path: Path, frame: pd.DataFrame) -> Path:
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_feather(path)
    return path


def taken(path: Path, **options: Any) -> tuple[Any, list[Chunk]]:
    chunks = list(tables.read(path, **options))
    return np.concatenate([chunk.events for chunk in chunks]), chunks


def test_bars_are_known_at_their_close(tmp_path: Path) -> None:
    events, (chunk,) = taken(saved(tmp_path / "BTCUSDT_1m.parquet", bars(1)))
    assert chunk.instrument is not None
    assert (chunk.instrument.key, chunk.channel) == ("binance-spot:BTCUSDT", "bars")
    assert events["kind"].tolist() == [Kind.BAR_OPEN, Kind.BAR_CLOSE]
    assert events["id"].tolist() == [START, START]
    assert events["ts_event"].tolist() == events["ts_recv"].tolist() == [START + MINUTE] * 2
    assert events["interval_s"].tolist() == [60, 60]
    assert events["price"].tolist() == [10050, 9900]
    assert events["aux"].tolist() == [10100, 10075]
    assert events["qty"].tolist() == [150_000, 0]
    assert chunk.positions.tolist() == [1 << 20, (1 << 20) + 1]


@pytest.mark.parametrize(
    ("column", "number", "reason"),
    [
        ("open", float("nan"), "price not a number"),
        ("high", float("inf"), "price not a number"),
        ("low", -1.0, "price not positive"),
        ("close", 0.0, "price not positive"),
        ("close", 100.755, "price off the instrument's grid"),
        ("low", 100.6, "open or close outside low and high"),
        ("volume", -1.0, "volume not a number or negative"),
    ],
)
def test_a_bad_bar_is_set_aside(tmp_path: Path, column: str, number: float, reason: str) -> None:
    frame = bars(3)
    frame.loc[1, column] = number
    events, (chunk,) = taken(saved(tmp_path / "BTCUSDT_1m.parquet", frame))
    assert events["id"].tolist() == [START, START, START + 2 * MINUTE, START + 2 * MINUTE]
    assert [(line.line, line.reason) for line in chunk.quarantined] == [(2, reason)]
    assert f"{column}=".encode() in chunk.quarantined[0].raw


def test_an_unknown_symbol_gets_the_decimals_of_its_columns(tmp_path: Path) -> None:
    events, (chunk,) = taken(saved(tmp_path / "WIFUSDT_5m.parquet", bars(2)))
    assert chunk.instrument is not None
    assert chunk.instrument.is_inferred
    assert (chunk.instrument.tick_size, chunk.instrument.lot_size) == (Decimal("0.01"), Decimal("0.1"))
    assert events["interval_s"].tolist() == [300] * 4


def test_two_venues_side_by_side_and_their_missing_minutes(tmp_path: Path) -> None:
    frame = bars(3).drop(columns="open_time")
    both = pd.concat([frame.add_suffix("_binance"), (frame * 100).round().add_suffix("_dydx")], axis=1)
    both.insert(0, "ts_ms", START // 10**6 + 60_000 * np.arange(3))
    both.loc[1, [f"{name}_dydx" for name in frame.columns]] = np.nan
    _, (binance, dydx) = taken(saved(tmp_path / "BTC_1m.parquet", both))
    assert binance.instrument is not None
    assert dydx.instrument is not None
    assert [binance.instrument.key, dydx.instrument.key] == ["binance-spot:BTCUSDT", "dydx:BTC-USD"]
    assert (len(binance.events), len(dydx.events)) == (6, 4)
    assert dydx.ignored == {"missing bar": 1}
    assert dydx.quarantined == ()


def test_freqtrade_files_say_what_they_are_by_name(tmp_path: Path) -> None:
    frame = bars(2).rename(columns={"open_time": "date"})
    frame["open"] = [0.0001, -0.0002]
    events, (chunk,) = taken(saved(tmp_path / "BTC_USDT_USDT-8h-funding_rate.feather", frame))
    assert chunk.channel == "funding"
    assert events["aux"].tolist() == [100_000_000, -200_000_000]
    assert set(events["aux2"].tolist()) == {8 * 3600 * 10**9}
    assert set(events["flags"].tolist()) == {Flag.SETTLED}
    assert events["ts_recv"].tolist() == events["id"].tolist() == [START, START + MINUTE]
    frame["open"] = [95505.123456, float("nan")]
    events, (chunk,) = taken(saved(tmp_path / "BTC_USDT_USDT-8h-mark.feather", frame))
    assert (chunk.channel, events["price"].tolist(), events["aux"].tolist()) == ("marks", [955051], [9550512345600])
    assert chunk.quarantined[0].line == 2
    _, (chunk,) = taken(
        saved(tmp_path / "BTC_USDT_USDT-1m-futures.feather", bars(2).rename(columns={"open_time": "date"}))
    )
    assert chunk.instrument is None  # 100.75 is off the grid of 0.1
    assert len(chunk.quarantined) == 2


def test_unknown_layouts_and_damaged_files_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no layout of bars"):
        list(tables.read(saved(tmp_path / "BTCUSDT_1m.parquet", bars(1).drop(columns="close"))))
    with pytest.raises(MissingInput, match="does not say its symbol"):
        list(tables.read(saved(tmp_path / "bars.parquet", bars(1))))
    (tmp_path / "ETHUSDT_1m.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(LakeDamaged):
        list(tables.read(tmp_path / "ETHUSDT_1m.parquet"))
    with pytest.raises(MissingInput, match="there is no file"):
        list(tables.read(tmp_path / "SOLUSDT_1m.parquet"))


@recorded
@pytest.mark.parametrize("base", ["BTC", "ETH"])
def test_recorded_minutes_of_two_venues(base: str) -> None:
    path = SHARED / "binance_dydx_1m" / f"{base}_1m.parquet"
    chunks = list(tables.read(path))
    assert [chunk.quarantined for chunk in chunks] == [(), ()]
    assert [dict(chunk.ignored) for chunk in chunks] == [{}, {"missing bar": 10}]
    frame = pd.read_parquet(path)
    for chunk, suffix in zip(chunks, ("binance", "dydx"), strict=True):
        assert chunk.instrument is not None
        rows = frame.dropna(subset=[f"open_{suffix}"])
        opened, closed = chunk.events[::2], chunk.events[1::2]
        tick, lot = chunk.instrument.tick, chunk.instrument.lot
        assert np.allclose(opened["price"] * tick, rows[f"open_{suffix}"], rtol=1e-12)
        assert np.allclose(opened["aux"] * tick, rows[f"high_{suffix}"], rtol=1e-12)
        assert np.allclose(closed["price"] * tick, rows[f"low_{suffix}"], rtol=1e-12)
        assert np.allclose(closed["aux"] * tick, rows[f"close_{suffix}"], rtol=1e-12)
        assert np.allclose(opened["qty"] * lot, rows[f"volume_{suffix}"], atol=lot / 100)
        assert np.array_equal(opened["id"], rows["ts_ms"].to_numpy() * 10**6)


@recorded
def test_recorded_perpetual_bars_marks_and_funding() -> None:
    counts = {}
    for path in sorted((SHARED / "binance_perp_1m").glob("BTC*.feather")):
        chunks = list(tables.read(path))
        assert not any(chunk.quarantined or chunk.ignored for chunk in chunks)
        assert {chunk.instrument.venue for chunk in chunks if chunk.instrument} == {Venue.BINANCE_USDM}
        counts[chunks[0].channel] = sum(len(chunk.events) for chunk in chunks)
    assert counts == {"bars": 2 * 43_199, "funding": 266, "marks": 266}


@recorded
@pytest.mark.slow
def test_recorded_spot_bars_have_no_gap() -> None:
    chunks = list(tables.read(SHARED / "binance_spot_1m" / "BTCUSDT_1m_2025-2026.parquet"))
    opens = np.concatenate([chunk.events["id"][::2] for chunk in chunks])
    assert len(opens) == 809_280
    assert np.all(np.diff(opens) == MINUTE)
    assert not any(chunk.quarantined for chunk in chunks)
    assert len(chunks) > 10
