from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spyhop.errors import MissingInput, UserError
from spyhop.research.lead_lag.series import Series
from spyhop.research.lead_lag.series_files import read_series

T0 = 1_760_000_000
NS = 1_000_000_000


def written(folder: Path, text: str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def read(folder: Path, text: str, **columns: str) -> Series:
    return read_series(written(folder, text), **columns)


@pytest.mark.parametrize(
    ("column", "times"),
    [
        ("time", [f"{T0}", f"{T0 + 1}"]),
        ("timestamp", [f"{T0}.5", f"{T0 + 1}.5"]),
        ("ts_ms", [f"{T0}000", f"{T0 + 1}000"]),
        ("ts", [f"{T0}000", f"{T0 + 1}000"]),
        ("t", [f"{T0}000000", f"{T0 + 1}000000"]),
        ("ts_event", [f"{T0}000000000", f"{T0 + 1}000000000"]),
        ("date", ["2025-10-09T08:53:20Z", "2025-10-09T08:53:21Z"]),
        ("Datetime", ["2025-10-09 08:53:20", "2025-10-09 08:53:21"]),
        ("Time", ["2025-10-09T10:53:20.000+02:00", "2025-10-09T10:53:21.000+02:00"]),
    ],
)
def test_times_are_known_by_name_and_size(tmp_path: Path, column: str, times: list[str]) -> None:
    found = read(tmp_path, f"{column},price\n{times[0]},1.5\n{times[1]},2.5\n")
    half = NS // 2 if "." in times[0] and column == "timestamp" else 0
    assert found.times.tolist() == [T0 * NS + half, (T0 + 1) * NS + half]
    assert found.values.tolist() == [1.5, 2.5]


def test_small_times_mean_what_their_name_says(tmp_path: Path) -> None:
    assert read(tmp_path, "ts_ms,price\n0,1\n250,2\n").times.tolist() == [0, NS // 4]
    assert read(tmp_path, "time,price\n0,1\n250,2\n").times.tolist() == [0, 250 * NS]


def test_a_mid_is_preferred_then_quotes_then_a_price(tmp_path: Path) -> None:
    both = read(tmp_path, "ts,price,bid,ask\n1,9,1,2\n2,9,2,3\n")
    assert (both.values.tolist(), both.what) == ([1.5, 2.5], "mids")
    mid = read(tmp_path, "ts,mid,bid,ask\n1,9,1,2\n2,8,2,3\n")
    assert mid.values.tolist() == [9.0, 8.0]
    assert read(tmp_path, "ts,price,bid,ask\n1,9,1,2\n2,7,2,3\n", price="price").values.tolist() == [9.0, 7.0]


def test_the_clock_is_told_by_the_columns_name(tmp_path: Path) -> None:
    assert read(tmp_path, "ts_recv,price\n1,1\n2,2\n").clock == "receive"
    assert read(tmp_path, "ts_event,price\n1,1\n2,2\n").clock == "exchange"
    assert read(tmp_path, "time,price\n1,1\n2,2\n").clock == "unknown"


def test_a_file_without_a_header_is_time_and_price(tmp_path: Path) -> None:
    found = read(tmp_path, f"{T0},100.5,0.2\n{T0 + 1},101.5,0.1\n")
    assert found.times.tolist() == [T0 * NS, (T0 + 1) * NS]
    assert found.values.tolist() == [100.5, 101.5]


def test_the_close_of_a_bar_is_known_when_it_is_over(tmp_path: Path) -> None:
    rows = "".join(f"{T0 + 60 * k},1,2,0.5,{k}\n" for k in range(20))
    found = read(tmp_path, "open_time,open,high,low,close\n" + rows)
    assert found.times[0] == (T0 + 60) * NS
    assert (found.what, found.bar_ns) == ("bars", 60 * NS)
    closed = read(tmp_path, "close_time,open,high,low,close\n" + rows)
    assert closed.times[0] == T0 * NS


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "a.csv.gz", "a.parquet.gz"])
def test_every_format_says_the_same(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"time": pd.to_datetime([T0, T0 + 1, T0 + 2], unit="s", utc=True), "price": [1.0, 2.0, 3.0]})
    path = tmp_path / name
    if "parquet" in name:
        frame.to_parquet(path)
        if name.endswith(".gz"):
            path.write_bytes(gzip.compress(path.read_bytes()))
    elif name.endswith("feather"):
        frame.to_feather(path)
    else:
        frame.to_csv(path, index=False)
    found = read_series(path)
    assert found.times.tolist() == [(T0 + k) * NS for k in range(3)]
    assert found.values.tolist() == [1.0, 2.0, 3.0]
    assert found.name == "a"


def test_rows_without_a_time_or_a_price_are_counted(tmp_path: Path) -> None:
    found = read(tmp_path, "time,price\n1,1\n2,\n,3\n4,4\n")
    assert found.times.tolist() == [NS, 4 * NS]
    assert found.num_missing == 2


@pytest.mark.parametrize(
    ("text", "columns", "said"),
    [
        ("when,price\n1,2\n2,3\n", {}, "no time column that is known.*it has when, price"),
        ("time,much\n1,2\n2,3\n", {}, "no price column that is known.*it has time, much"),
        ("time,price\n1,2\n2,3\n", {"price": "bid"}, "no column 'bid'; it has time, price"),
        ("time,price\n1,a\n2,b\n", {}, "'price' does not hold numbers"),
        ("time,price\nmonday,1\ntuesday,2\n", {}, "no ISO 8601"),
        ("time,price\ntrue,1\nfalse,2\n", {}, "does not hold times"),
        ("time,price\n1,2\n", {}, "nothing to compare"),
        ("", {}, "no csv, parquet or feather"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, text: str, columns: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        read(tmp_path, text, **columns)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="there is no file"):
        read_series(tmp_path / "none.csv")


def test_a_broken_parquet_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(UserError, match="no csv, parquet or feather"):
        read_series(path)


def test_side_by_side_bars_are_read_by_column(recordings: Path) -> None:
    path = recordings / "binance_dydx_1m" / "BTC_1m.parquet"
    leader, follower = (read_series(path, price=f"close_{venue}", name=venue) for venue in ("binance", "dydx"))
    assert leader.bar_ns == follower.bar_ns == 60 * NS
    assert follower.num_missing == 10
    assert len(leader.times) == 10_081
    assert np.all(leader.values > 0)
