"""Funding histories, forced orders and large trades: made here and recorded."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from spyhop.errors import MissingInput
from spyhop.model.tape import Flag, Kind, Side
from spyhop.venues.files import texts

SHARED = Path(__file__).resolve().parents[5] / "shared" / "data"
recorded = pytest.mark.skipif(not SHARED.is_dir(), reason="the recordings are not here")
HOUR = 3600 * 10**9
FUNDING = "Symbol,Date,Funding Rate\n"
FORCED = "BTC,SELL,LIMIT,IOC,0.188,60013.49,59774.50,FILLED,0.1,0.188,1723974428473,11282.5\n"
LARGE = "1723705563505, BTCUSDT, 2291080928, 58105.9, 0.5,1723705563418, True\n"


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_funding_stamped_in_utc_plus_three_is_shifted(tmp_path: Path) -> None:
    rows = "BTC-USDT,2020-01-01 03:00:00.000,-0.00012359\nBTC-USDT,2020-01-01 11:00:00.000,0.0001\n"
    (chunk,) = texts.read(written(tmp_path / "BTC-USDT_binance_funding.csv", FUNDING + rows))
    assert chunk.instrument is not None
    assert chunk.instrument.key == "binance-usdm:BTCUSDT"
    first, second = chunk.events
    assert first["ts_event"] == first["ts_recv"] == first["id"] == 1577836800 * 10**9
    assert second["ts_event"] - first["ts_event"] == first["aux2"] == 8 * HOUR
    assert (first["kind"], first["flags"], first["aux"]) == (Kind.FUNDING, Flag.SETTLED, -123_590_000)
    assert chunk.notes == ("stamps are UTC+3: shifted by -3 h",)


def test_funding_stamped_in_utc_is_left_alone(tmp_path: Path) -> None:
    rows = "BTC-USDT,2020-01-01 00:00:00,0.0001\nBTC-USDT,2020-01-01 08:00:00,0.0001\n"
    (chunk,) = texts.read(written(tmp_path / "binance.csv", FUNDING + rows))
    assert chunk.events["id"].tolist() == [1577836800 * 10**9, 1577836800 * 10**9 + 8 * HOUR]
    assert chunk.notes == ()


def test_dydx_pays_every_hour(tmp_path: Path) -> None:
    (chunk,) = texts.read(written(tmp_path / "ETH_dydx.csv", FUNDING + "ETH-USDT,2022-01-01 03:00:00,0.0000058615\n"))
    assert chunk.instrument is not None
    assert chunk.instrument.key == "dydx-v3:ETH-USD"
    assert chunk.events["aux"].tolist() == [5_861_500]
    assert chunk.events["aux2"].tolist() == [HOUR]
    assert chunk.events["id"].tolist() == [(1640995200 + 3 * 3600) * 10**9]


def test_forced_orders_keep_the_filled_quantity_and_the_nearest_tick(tmp_path: Path) -> None:
    text = FORCED + "WIFUSDT,BUY,LIMIT,IOC,10.5,1.23456,1.23000,FILLED,1,10.5,1723974428474,1\n"
    btc, wif = texts.read(written(tmp_path / "forced.csv", text))
    assert btc.instrument is not None
    assert wif.instrument is not None
    assert (btc.instrument.key, btc.channel) == ("binance-usdm:BTCUSDT", "liquidations")
    (row,) = btc.events
    assert (row["kind"], row["side"], row["price"], row["aux"], row["qty"]) == (
        Kind.LIQUIDATION,
        Side.SELL,
        600135,
        597745,
        188,
    )
    assert row["ts_event"] == row["ts_recv"] == 1723974428473_000_000
    assert wif.instrument.is_inferred
    assert wif.events["price"].tolist() == [123456]
    assert wif.events["qty"].tolist() == [105]


def test_large_trades_have_our_time_where_the_venues_is_a_clock_time(tmp_path: Path) -> None:
    text = LARGE + LARGE.replace("1723705563418", "15:40:27").replace("True", "False")
    (chunk,) = texts.read(written(tmp_path / "trades.csv", text))
    assert chunk.events["ts_recv"].tolist() == [1723705563505_000_000] * 2
    assert chunk.events["ts_event"].tolist() == [1723705563418_000_000, 1723705563505_000_000]
    assert chunk.events["side"].tolist() == [Side.SELL, Side.BUY]
    assert chunk.events["price"].tolist() == [581059] * 2
    assert any("clock time" in note for note in chunk.notes)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("garbage", "wrong number of fields"),
        (FORCED.replace("60013.49", "nan"), "not a number"),
        (FORCED.replace("60013.49", "x"), "not a number"),
        (FORCED.replace("60013.49", "-1"), "price or quantity not positive"),
        (FORCED.replace("SELL", "NONE"), "neither BUY nor SELL"),
        (FORCED.replace("1723974428473", "17"), "time out of range"),
        (FORCED.replace("BTC", "B;C"), "symbol cannot be one"),
    ],
)
def test_a_bad_line_is_set_aside_with_its_reason(tmp_path: Path, line: str, reason: str) -> None:
    (chunk,) = texts.read(written(tmp_path / "forced.csv", FORCED + line.strip() + "\n\n" + FORCED))
    assert len(chunk.events) == 2
    assert [(told.line, told.reason, told.raw) for told in chunk.quarantined] == [(2, reason, line.strip().encode())]
    assert chunk.ignored == {"blank line": 1}


def test_a_cut_file_gives_what_lies_before_the_cut(tmp_path: Path) -> None:
    path = tmp_path / "forced.csv.gz"
    whole = gzip.compress("".join(FORCED.replace("0.188", f"0.{k}") for k in range(100, 999)).encode())
    path.write_bytes(whole[: len(whole) // 2])
    *chunks, last = texts.read(path)
    assert last.quarantined[0].reason.startswith("gzip cut off")
    assert sum(len(chunk.events) for chunk in chunks) > 100


def test_other_text_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no funding history"):
        list(texts.read(written(tmp_path / "notes.csv", "hello\n")))


@recorded
def test_recorded_funding_lies_on_the_hours_of_payment() -> None:
    for path in sorted((SHARED / "funding").glob("*.csv.gz")):
        chunks = list(texts.read(path))
        assert not any(chunk.quarantined for chunk in chunks)
        times = np.concatenate([chunk.events["id"] for chunk in chunks])
        interval = chunks[0].events["aux2"][0]
        assert len(times) == (17_520 if "dydx" in path.name else 4_383)
        assert np.all(times % interval < 100_000_000)  # some stamps are a few ms late
        assert np.all(np.diff(times) > 0)


@recorded
@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [
        ("binance.csv.gz", Kind.LIQUIDATION, 456),
        ("binance_bigliqs.csv.gz", Kind.LIQUIDATION, 385),
        ("binance_trades.csv.gz", Kind.TRADE, 22_181),
    ],
)
def test_recorded_lists_are_read_whole(name: str, kind: Kind, count: int) -> None:
    chunks = list(texts.read(SHARED / "liquidations" / name))
    assert not any(chunk.quarantined for chunk in chunks)
    kinds = Counter(k for chunk in chunks for k in chunk.events["kind"].tolist())
    assert kinds == {kind: count}
    ids = {chunk.instrument.symbol: chunk.instrument.id for chunk in chunks if chunk.instrument}
    assert all(set(c.events["instrument"].tolist()) == {ids[c.instrument.symbol]} for c in chunks if c.instrument)
