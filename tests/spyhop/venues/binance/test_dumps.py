"""Public dumps: futures and spot columns, header or none, ms or us, csv, gzip or zip, whole or damaged."""

from __future__ import annotations

import gzip
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spyhop.model.tape import Flag, Kind, Side, Venue
from spyhop.venues.binance import dumps
from spyhop.venues.files.chunks import Chunk

AGG = "2291080928,58105.90,0.500,5,6,1723705563418,true\n2291080929,58106.00,0.001,7,7,1723705563419,false\n"
AGG_HEADER = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
SPOT_AGG = "3,58105.91000000,0.50000000,5,6,1735689600000123,True,True\n"
TRADES = "5,58105.9,0.5,29052.95,1723705563418,true\n"
SPOT_TRADES = "5,58105.91000000,0.50000000,29052.95,1723705563418,False,True\n"
BOOK = "5123107839020,61800.20,2.507,61800.30,2.510,1723161256313,1723161256314\n"
KLINE = "1499040000000,61634.70,61800.00,61575.80,61577.10,148.976,1499040059999,2434.195,308,75.877,28.466,0\n"
SPOT_KLINE = (
    "1735689600000000,93576.00000000,93610.93000000,93537.50000000,93610.93000000,8.21827000,1735689659999999,"
    "768978.58521480,2631,4.95800000,463956.08018560,0\n"
)


def zipped(path: Path, text: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(path.stem + ".csv", text)
    return path


def plain(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def taken(path: Path, **options: Any) -> tuple[Any, list[Chunk]]:
    chunks = list(dumps.read(path, **options))
    return np.concatenate([chunk.events for chunk in chunks]), chunks


@pytest.mark.parametrize("header", ["", AGG_HEADER])
def test_futures_agg_trades_are_read_with_and_without_header(tmp_path: Path, header: str) -> None:
    path = zipped(tmp_path / "BTCUSDT-aggTrades-2024-08-15.zip", header + AGG)
    events, (chunk,) = taken(path)
    assert chunk.instrument is not None
    assert (chunk.instrument.key, chunk.channel) == ("binance-usdm:BTCUSDT", "trades")
    assert chunk.ignored == ({"header": 1} if header else {})
    assert events["price"].tolist() == [581059, 581060]
    assert events["qty"].tolist() == [500, 1]
    assert events["side"].tolist() == [Side.SELL, Side.BUY]
    assert events["id"].tolist() == [2291080928, 2291080929]
    assert events["ts_recv"].tolist() == events["ts_event"].tolist() == [1723705563418_000_000, 1723705563419_000_000]
    assert chunk.positions.tolist() == [(1 + bool(header)) << 20, (2 + bool(header)) << 20]


def test_spot_agg_trades_are_told_by_their_columns_and_microseconds_by_their_size(tmp_path: Path) -> None:
    (row,), (chunk,) = taken(plain(tmp_path / "BTCUSDT-aggTrades-2025-01-01.csv", SPOT_AGG))
    assert chunk.instrument is not None
    assert chunk.instrument.key == "binance-spot:BTCUSDT"
    assert (row["price"], row["qty"], row["side"]) == (5810591, 50_000, Side.SELL)
    assert row["ts_event"] == 1735689600000123_000


@pytest.mark.parametrize(
    ("text", "venue", "price", "side"),
    [(TRADES, Venue.BINANCE_USDM, 581059, Side.SELL), (SPOT_TRADES, Venue.BINANCE_SPOT, 5810591, Side.BUY)],
)
def test_trades_are_read(tmp_path: Path, text: str, venue: Venue, price: int, side: Side) -> None:
    (row,), _ = taken(plain(tmp_path / "BTCUSDT-trades-2024-08.csv", text))
    assert (row["kind"], row["venue"], row["price"], row["side"], row["id"]) == (Kind.TRADE, venue, price, side, 5)


def test_book_tickers_are_received_when_they_were_sent(tmp_path: Path) -> None:
    (row,), (chunk,) = taken(zipped(tmp_path / "BTCUSDT-bookTicker-2024-08-08.zip", BOOK))
    assert chunk.channel == "quotes"
    assert (row["price"], row["qty"], row["aux"], row["aux2"]) == (618002, 2507, 618003, 2510)
    assert (row["ts_event"], row["ts_recv"]) == (1723161256313_000_000, 1723161256314_000_000)


def test_klines_become_bars_known_at_their_close(tmp_path: Path) -> None:
    events, (chunk,) = taken(plain(tmp_path / "BTCUSDT-1m-2017-07.csv", KLINE))
    assert chunk.channel == "bars"
    assert events["kind"].tolist() == [Kind.BAR_OPEN, Kind.BAR_CLOSE]
    assert events["id"].tolist() == [1499040000000_000_000] * 2
    assert events["ts_recv"].tolist() == [1499040060000_000_000] * 2
    assert events["interval_s"].tolist() == [60, 60]
    assert events["price"].tolist() == [616347, 615758]
    assert events["qty"].tolist() == [148976, 308]
    assert events["aux"].tolist() == [618000, 615771]
    assert events["aux2"].tolist() == [75877, 243420]
    assert chunk.positions.tolist() == [1 << 20, (1 << 20) + 1]


def test_spot_klines_are_told_by_eight_decimals(tmp_path: Path) -> None:
    events, (chunk,) = taken(plain(tmp_path / "BTCUSDT-1m-2025-01.csv", SPOT_KLINE))
    assert chunk.instrument is not None
    assert chunk.instrument.venue is Venue.BINANCE_SPOT
    assert events["interval_s"].tolist() == [60, 60]
    assert events["ts_recv"].tolist() == [1735689660_000_000_000] * 2
    assert events["price"].tolist() == [9357600, 9353750]


def test_a_day_long_bar_has_interval_zero(tmp_path: Path) -> None:
    day = KLINE.replace("1499040059999", str(1499040000000 + 86_400_000 - 1))
    events, _ = taken(plain(tmp_path / "BTCUSDT-1d-2017-07.csv", day))
    assert events["interval_s"].tolist() == [0, 0]
    assert events["ts_recv"].tolist() == [(1499040000 + 86_400) * 10**9] * 2


def test_funding_dumps_are_paid_rates(tmp_path: Path) -> None:
    text = "calc_time,funding_interval_hours,last_funding_rate\n1704067200000,8,-0.00037409\n"
    (row,), _ = taken(plain(tmp_path / "BTCUSDT-fundingRate-2024-01.csv", text))
    assert (row["kind"], row["flags"], row["aux"]) == (Kind.FUNDING, Flag.SETTLED, -374090000)
    assert row["aux2"] == 8 * 3600 * 10**9
    assert row["id"] == row["ts_event"] == 1704067200_000_000_000


@pytest.mark.parametrize(
    ("folder", "symbol", "venue"),
    [
        ("data/spot/daily", "BTCUSDT", Venue.BINANCE_SPOT),
        ("data/futures/um/daily", "BTCUSDT", Venue.BINANCE_USDM),
        ("data/futures/cm/daily", "BTCUSD_PERP", Venue.BINANCE_COINM),
        (".", "BTCUSD_PERP", Venue.BINANCE_COINM),
    ],
)
def test_the_market_is_told_by_folder_or_symbol(tmp_path: Path, folder: str, symbol: str, venue: Venue) -> None:
    text = KLINE.replace("148.976", "149").replace("75.877", "75")
    events, _ = taken(plain(tmp_path / folder / f"{symbol}-1m-2017-07.csv", text))
    assert set(events["venue"].tolist()) == {venue}


def test_an_unknown_symbol_gets_the_decimals_of_the_whole_file(tmp_path: Path) -> None:
    text = AGG.replace("58105.90", "0.5800").replace("58106.00", "0.5825").replace("0.500", "10").replace("0.001", "20")
    events, (chunk,) = taken(plain(tmp_path / "XRPUSDT-aggTrades-2024-08-15.csv", text))
    assert chunk.instrument is not None
    assert chunk.instrument.is_inferred
    assert chunk.instrument.tick_size == Decimal("0.0001")
    assert chunk.instrument.lot_size == 1
    assert events["price"].tolist() == [5800, 5825]


def test_bad_lines_are_set_aside_and_the_rest_is_read(tmp_path: Path) -> None:
    bad = [
        "x,58105.90,0.500,5,6,1723705563418,true",
        "1,-58105.90,0.500,5,6,1723705563418,true",
        "1,nan,0.500,5,6,1723705563418,true",
        "1,58105.95,0.500,5,6,1723705563418,true",
        "1,58105.90,0,5,6,1723705563418,true",
        "1,58105.90,0.500,5,6,17,true",
        "1,58105.90,0.500,5,6,1723705563418,maybe",
        "1,58105.90",
        "agg_trade,price",
    ]
    path = plain(tmp_path / "BTCUSDT-aggTrades-2024-08-15.csv", AGG + "\n".join(bad) + "\n\n" + AGG)
    events, chunks = taken(path)
    assert len(events) == 4
    told = [line for chunk in chunks for line in chunk.quarantined]
    assert [line.line for line in told] == list(range(3, 12))
    assert [line.raw.decode() for line in told] == bad
    assert [line.reason for line in told] == [
        "not a number",
        "negative number",
        "not a number",
        "price or quantity off the instrument's grid",
        "price or quantity not positive",
        "number or time out of range",
        "a field is missing or of another type",
        "a field is missing or of another type",
        "a field is missing or of another type",
    ]
    assert chunks[0].ignored == {"blank line": 1}


def test_many_lines_come_in_bounded_chunks(tmp_path: Path) -> None:
    text = "".join(f"{k},58105.90,0.500,5,6,{1723705563418 + k},true\n" for k in range(100_000))
    path = tmp_path / "BTCUSDT-aggTrades-2024-08-15.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    events, chunks = taken(path)
    assert len(chunks) > 1
    assert events["id"].tolist() == list(range(100_000))
    assert np.all(np.diff(np.concatenate([chunk.positions for chunk in chunks])) == 1 << 20)


def test_a_damaged_zip_is_told_and_what_lies_before_is_read(tmp_path: Path) -> None:
    text = "".join(f"{k},58105.90,0.500,5,{k * k % 7919},{1723705563418 + k},true\n" for k in range(50_000))
    path = zipped(tmp_path / "BTCUSDT-aggTrades-2024-08-15.zip", text)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = b"\xff" * 64
    path.write_bytes(content)
    events, chunks = taken(path)
    assert len(events) > 10_000
    assert events["id"][:10_000].tolist() == list(range(10_000))
    assert chunks[-1].quarantined[-1].reason.startswith("zip damaged: ")


def test_a_cut_zip_is_told(tmp_path: Path) -> None:
    path = zipped(tmp_path / "BTCUSDT-aggTrades-2024-08-15.zip", AGG)
    path.write_bytes(path.read_bytes()[:60])
    chunks = list(dumps.read(path))
    assert chunks[0].quarantined[0].reason.startswith("zip damaged: ")


def test_only_names_of_dumps_are_dumps() -> None:
    assert dumps.is_dump(Path("BTCUSDT-1m-2024-08.zip"))
    assert dumps.is_dump(Path("ETHUSD_PERP-aggTrades-2024-08-01.csv"))
    assert not dumps.is_dump(Path("binance_trades.csv.gz"))
    assert not dumps.is_dump(Path("BTC_USDT_USDT-1m-futures.feather"))
