from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from spyhop.clock import NS_PER_MINUTE
from spyhop.errors import MissingInput, UserError
from spyhop.model.instruments import Instrument
from spyhop.model.tape import EVENT, Events, Flag, Kind, Venue
from spyhop.research.studies.paired import PairedBars, chosen, minutes, paired, quality, span
from spyhop.storage.lake import Lake
from spyhop.wiring.data import import_data

START_MS = 1_766_774_940_000
COLUMNS = ("open", "high", "low", "close", "volume")
Write = Callable[[str, dict[str, Sequence[float]]], Path]


def bars(closes: Sequence[float], volume: float = 1.0) -> dict[str, Sequence[float]]:
    return {
        "open": closes,
        "high": [one + 1 for one in closes],
        "low": [one - 1 for one in closes],
        "close": closes,
        "volume": [volume] * len(closes),
    }


def side_by_side(
    path: Path, leader: dict[str, Sequence[float]], follower: dict[str, Sequence[float]], ms: Sequence[int]
) -> Path:
    columns: dict[str, Sequence[float]] = {"ts_ms": ms}
    columns |= {f"{name}_binance": leader[name] for name in COLUMNS}
    columns |= {f"{name}_dydx": follower[name] for name in COLUMNS}
    parquet.write_table(pa.table(columns), path)
    return path


def one_venue(path: Path, told: dict[str, Sequence[float]], ms: Sequence[int]) -> Path:
    times = pa.array(ms, pa.timestamp("ms", "UTC"))
    parquet.write_table(pa.table({"open_time": times, **told}), path)
    return path


def every_minute(num: int) -> list[int]:
    return [START_MS + 60_000 * k for k in range(num)]


def lake_of(tmp_path: Path, *files: Path) -> Lake:
    assert not [one.failure for one in import_data(files, str(tmp_path / "lake")) if one.failure]
    return Lake(str(tmp_path / "lake"))


def of_btc(lake: Lake) -> PairedBars:
    return paired(lake, *chosen(lake, "BTC"))


def test_minutes_lie_side_by_side_and_a_hole_is_seen(tmp_path: Path) -> None:
    nan = float("nan")
    follower = bars([99.0, nan, 101.0, 102.0, 103.0])
    follower["volume"] = [1.0, nan, 0.0, 1.0, 1.0]
    # no row at all for the fourth minute, no follower in the second
    ms = [START_MS + 60_000 * k for k in (0, 1, 2, 4, 5)]
    lake = lake_of(tmp_path, side_by_side(tmp_path / "BTC_1m.parquet", bars([100, 101, 102, 103, 104]), follower, ms))
    found = of_btc(lake)
    assert (found.leader, found.follower) == ("binance-spot:BTCUSDT", "dydx:BTC-USD")
    assert found.ts.tolist() == [(START_MS + 60_000 * (k + 1)) * 1_000_000 for k in range(6)]
    np.testing.assert_array_equal(found.leader_close, [100, 101, 102, nan, 103, 104])
    np.testing.assert_array_equal(found.follower_close, [99, nan, 101, nan, 102, 103])
    np.testing.assert_array_equal(found.follower_high, [100, nan, 102, nan, 103, 104])
    np.testing.assert_array_equal(found.follower_low, [98, nan, 100, nan, 101, 102])
    assert found.spread == pytest.approx([-1 / 100, nan, -1 / 102, nan, -1 / 103, -1 / 104], nan_ok=True)
    told = quality(found)
    assert (told.num_minutes, told.missing_leader, told.missing_follower) == (6, 1, 2)
    assert told.idle_follower_share == pytest.approx(1 / 4)
    assert told.flat_follower_share == 0.0
    assert any("25 % of its minutes nobody traded" in one for one in told.warnings)
    assert any("USDC" in one and "not known" in one for one in told.warnings)
    assert span(found).hours == pytest.approx(0.1)
    assert span(found).first == "2025-12-26T18:49:00.000"


def test_only_the_minutes_that_both_cover_are_there(tmp_path: Path) -> None:
    ms = every_minute(10)
    early = one_venue(tmp_path / "BTCUSDT_1m.parquet", bars(list(range(100, 106))), ms[:6])
    late = one_venue(tmp_path / "BTC_USDT_USDT-1m.parquet", bars(list(range(200, 206))), ms[4:])
    found = paired(
        lake := lake_of(tmp_path, early, late), lake.instrument("binance-spot:BTCUSDT"),
        lake.instrument("binance-usdm:BTCUSDT"),
    )  # fmt: skip
    assert found.leader_close.tolist() == [104, 105]
    assert found.follower_close.tolist() == [200, 201]
    assert not found.is_basis_needed  # both in USDT
    assert not any("USDC" in one for one in quality(found).warnings)
    assert found.last(1 / 60).leader_close.tolist() == [105]
    assert len(found.last(99).ts) == 2


def test_two_that_never_met_are_an_error(tmp_path: Path) -> None:
    ms = every_minute(10)
    lake = lake_of(
        tmp_path,
        one_venue(tmp_path / "BTCUSDT_1m.parquet", bars([100, 101]), ms[:2]),
        one_venue(tmp_path / "BTC_USDT_USDT-1m.parquet", bars([100, 101]), ms[8:]),
    )
    with pytest.raises(MissingInput, match="never recorded in the same minute"):
        paired(lake, *chosen(lake, leader="binance-spot:BTCUSDT", follower="binance-usdm:BTCUSDT"))


def test_what_usdc_is_worth_leaves_the_spread(tmp_path: Path) -> None:
    """A follower in USDC that agrees with its leader in USDT stands off it by the worth of USDC, and by no spread."""
    ms = every_minute(4)
    leader, usdc = np.array([90_000.0, 90_100.0, 90_200.0, 90_300.0]), np.array([1.0010, 0.9990, 1.0002, np.nan])
    follower = np.rint(np.where(np.isfinite(usdc), leader / usdc, 90_000.0))
    stable: dict[str, Sequence[float]] = {name: list(usdc) for name in COLUMNS}
    lake = lake_of(
        tmp_path,
        side_by_side(tmp_path / "BTC_1m.parquet", bars(list(leader)), bars(list(follower)), ms),
        one_venue(tmp_path / "USDCUSDT_1m.parquet", stable, ms),
    )
    found = of_btc(lake)
    assert found.spread[:3] == pytest.approx(0.0, abs=1e-5)  # half a dollar of rounding
    assert abs(found.basis[:3]).max() == pytest.approx(1 / 0.9990 - 1)
    assert found.basis[3] == 0.0
    assert found.has_basis.tolist() == [True, True, True, False]
    told = quality(found)
    assert told.basis_minutes == 3
    assert any("known in 3 of 4 minutes only" in one for one in told.warnings)


def test_the_perpetual_leads_where_it_is_there(tmp_path: Path) -> None:
    ms = every_minute(3)
    lake = lake_of(
        tmp_path,
        side_by_side(tmp_path / "BTC_1m.parquet", bars([100, 101, 102]), bars([100, 101, 102]), ms),
        one_venue(tmp_path / "BTC_USDT_USDT-1m.parquet", bars([100, 101, 102]), ms),
    )
    for name in ("BTC", "btc", "BTCUSDT", "BTC-USD"):
        assert [one.key for one in chosen(lake, name)] == ["binance-usdm:BTCUSDT", "dydx:BTC-USD"]
    found = chosen(lake, "BTC", leader="binance-spot:BTCUSDT")
    assert found[0].key == "binance-spot:BTCUSDT"


def test_funding_that_was_settled_comes_along(tmp_path: Path) -> None:
    ms = every_minute(3)
    rates = {name: [1e-4, -2e-4] for name in COLUMNS[:4]} | {"volume": [0.0, 0.0]}
    dates = pa.array([START_MS - 60_000, START_MS + 60_000], pa.timestamp("ms", "UTC"))
    feather.write_feather(pa.table({"date": dates, **rates}), tmp_path / "BTC_USDT_USDT-8h-funding_rate.feather")
    lake = lake_of(
        tmp_path,
        one_venue(tmp_path / "BTCUSDT_1m.parquet", bars([100, 101, 102]), ms),
        one_venue(tmp_path / "BTC_USDT_USDT-1m.parquet", bars([100, 102, 103]), ms),
        tmp_path / "BTC_USDT_USDT-8h-funding_rate.feather",
    )
    found = paired(lake, *chosen(lake, leader="binance-spot:BTCUSDT", follower="binance-usdm:BTCUSDT"))
    assert found.funding_rates == pytest.approx([1e-4, -2e-4])
    assert np.diff(found.funding_ts).tolist() == [2 * NS_PER_MINUTE]
    # what was settled is not cut with the minutes: a position pays by time
    assert len(found.last(1 / 60).funding_ts) == 2


def test_a_bar_that_is_not_closed_or_not_of_a_minute_is_left_out_and_the_last_recording_wins() -> None:
    """A tape as a recorder leaves it: the bar under way again and again, hours among minutes, a bar told twice."""
    told = [
        # open time in minutes, length in seconds, flags, close
        (0, 60, Flag.PARTIAL, 500),
        (0, 60, 0, 100),
        (0, 3_600, 0, 900),
        (1, 60, 0, 101),
        (1, 60, 0, 102),
        (2, 60, Flag.PARTIAL, 700),
    ]
    events = np.zeros((len(told), 2), EVENT)
    for row, (minute, length, flags, close) in zip(events, told, strict=True):
        row["kind"] = Kind.BAR_OPEN, Kind.BAR_CLOSE
        row["interval_s"], row["flags"], row["id"] = length, flags, minute * NS_PER_MINUTE
        row["price"], row["aux"] = (close, close - 2), (close + 2, close)

    class Tape:
        root = "tape"

        def channels(self, key: str) -> list[str]:
            return ["bars"]

        def scan(self, *given: object) -> list[Events]:
            return [events[:3].reshape(-1), events[3:].reshape(-1)]

    one = Instrument(id=0, venue=Venue.DYDX, symbol="BTC-USD", tick_size=Decimal(1), lot_size=Decimal(1))
    closes, prices = minutes(cast(Lake, Tape()), one)
    assert closes.tolist() == [NS_PER_MINUTE, 2 * NS_PER_MINUTE]
    assert [prices[name].tolist() for name in COLUMNS[:4]] == [[100, 102], [102, 104], [98, 100], [100, 102]]


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    ms = every_minute(3)
    lake = lake_of(tmp_path, one_venue(tmp_path / "BTCUSDT_1m.parquet", bars([100, 101, 102]), ms))
    with pytest.raises(UserError, match="say what to study: --symbol BTC"):
        chosen(lake)
    with pytest.raises(MissingInput, match=r"no follower for BTC with bars .*: say --follower; it has binance-spot"):
        chosen(lake, "BTC")
    with pytest.raises(UserError, match="cannot follow itself"):
        chosen(lake, leader="BTCUSDT", follower="BTCUSDT")
    with pytest.raises(MissingInput, match="is empty"):
        chosen(Lake(str(tmp_path / "nothing")), leader="A", follower="B")


def test_an_instrument_without_minutes_is_an_error(tmp_path: Path) -> None:
    hourly = {name: [1e-4] for name in COLUMNS}
    dates = pa.array([START_MS], pa.timestamp("ms", "UTC"))
    feather.write_feather(pa.table({"date": dates, **hourly}), tmp_path / "BTC_USDT_USDT-8h-funding_rate.feather")
    lake = lake_of(tmp_path, tmp_path / "BTC_USDT_USDT-8h-funding_rate.feather")
    with pytest.raises(MissingInput, match="no one-minute bars of binance-usdm:BTCUSDT"):
        minutes(lake, lake.instrument("BTCUSDT"))


def test_the_recording_is_as_it_says(recordings: Path, tmp_path: Path) -> None:
    lake = lake_of(tmp_path, *sorted((recordings / "binance_dydx_1m").glob("*.parquet")))
    for symbol, idle in (("BTC", 0.0084), ("ETH", 0.2690)):
        found = paired(lake, *chosen(lake, symbol))
        told = quality(found)
        assert (told.num_minutes, told.missing_leader, told.missing_follower) == (10_081, 0, 10)
        assert told.idle_follower_share == pytest.approx(idle, abs=5e-4)
        table = parquet.read_table(recordings / "binance_dydx_1m" / f"{symbol}_1m.parquet")
        for role, suffix in (("leader", "binance"), ("follower", "dydx")):
            for name in COLUMNS[:4]:
                theirs = table[f"{name}_{suffix}"].to_numpy(zero_copy_only=False)
                np.testing.assert_allclose(getattr(found, f"{role}_{name}"), theirs, rtol=1e-12)
