from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import fs

from spyhop.clock import NS_PER_DAY, NS_PER_S
from spyhop.engine.feeds import CatalogFeed
from spyhop.errors import LakeDamaged, MissingInput
from spyhop.model.tape import Kind, Ratio, Venue, joined
from spyhop.storage import parts
from spyhop.storage.lake import END_OF_TIME, START_OF_TIME, Lake
from spyhop.storage.lake_writer import store

BTC = "binance-usdm:BTCUSDT"
EVER = (START_OF_TIME, END_OF_TIME)


@pytest.fixture(params=["local", "subtree", "memory"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    if request.param == "local":
        return Lake(tmp_path / "lake")
    if request.param == "subtree":
        return Lake("lake", fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()))
    return Lake("bucket/lake", fs._MockFileSystem())


def scanned(lake: Lake, key: str = BTC, start: int = EVER[0], end: int = EVER[1], **rest: Any) -> Any:
    return joined(list(lake.scan(key, start, end, **rest)))


def test_an_empty_lake_and_a_missing_symbol_are_said_in_a_sentence(lake: Lake, make: Any) -> None:
    assert lake.instruments() == lake.ls() == []
    with pytest.raises(MissingInput, match=r"the lake .* is empty: import something first"):
        scanned(lake)
    store(lake, "a", [(make.instrument(), "trades", make.trades([1]), make.positions(1))])
    with pytest.raises(MissingInput, match=r"there is no DOGEUSDT in the lake .*; there is binance-usdm:BTCUSDT"):
        lake.instrument("DOGEUSDT")
    with pytest.raises(MissingInput, match="holds nothing of bars of binance-usdm:BTCUSDT"):
        scanned(lake, channels=["bars"])


def test_channels_come_back_in_the_order_of_the_source(lake: Lake, make: Any) -> None:
    day = NS_PER_DAY
    trades, quotes = make.trades([5, 5, day - 1, day + 3]), make.rows(Kind.QUOTE, [5, 7, day - 1, day])
    btc, eth = make.instrument(), make.instrument("ETHUSDT")
    store(
        lake,
        "a",
        [
            (btc, "trades", trades, np.array([2, 4, 9, 12]) << 20),
            (btc, "quotes", quotes, np.array([3, 5, 8, 11]) << 20),
            (eth, "trades", make.trades([6]), np.array([1])),
        ],
    )
    rows = scanned(lake, instrument=3)
    assert rows["ts_recv"].tolist() == [5, 5, 5, 7, day - 1, day - 1, day, day + 3]
    assert rows["kind"].tolist() == [1, 2, 1, 2, 2, 1, 2, 1]
    assert set(rows["instrument"]) == {3}
    assert scanned(lake, channels=["trades"])["id"].tolist() == [1, 2, 3, 4]
    assert scanned(lake, start=7, end=day)["ts_recv"].tolist() == [7, day - 1, day - 1]
    assert lake.channels(BTC) == ["quotes", "trades"]
    assert lake.span(BTC) == (5, day + 3)
    assert [one.symbol for one in lake.instruments()] == ["BTCUSDT", "ETHUSDT"]
    assert lake.instrument("BTCUSDT") == lake.instrument(BTC) == btc
    listings = [(one.symbol, one.channel, one.first, one.last, one.rows, one.files) for one in lake.ls()]
    assert listings == [
        ("BTCUSDT", "quotes", 5, day, 4, 2),
        ("BTCUSDT", "trades", 5, day + 3, 4, 2),
        ("ETHUSDT", "trades", 6, 6, 1, 1),
    ]
    assert all(one.bytes > 500 for one in lake.ls())


def test_one_symbol_at_two_venues_must_be_named_in_full(tmp_path: Path, make: Any) -> None:
    lake = Lake(tmp_path)
    spot = msgspec.structs.replace(make.instrument(), venue=Venue.BINANCE_SPOT)
    store(lake, "a", [(make.instrument(), "trades", make.trades([1]), make.positions(1))])
    store(lake, "b", [(spot, "trades", make.trades([1]), make.positions(1))])
    with pytest.raises(MissingInput, match="say one of binance-spot:BTCUSDT, binance-usdm:BTCUSDT"):
        lake.instrument("BTCUSDT")


@given(seed=st.integers(0, 1000), start=st.integers(0, 3000), group=st.integers(8, 60))
@settings(max_examples=8, deadline=None, derandomize=True)
def test_a_scan_may_begin_and_end_anywhere_and_a_feed_go_on_from_any_snapshot(
    tmp_path_factory: pytest.TempPathFactory, make: Any, seed: int, start: int, group: int
) -> None:
    generator = np.random.default_rng(seed)
    lake = Lake(tmp_path_factory.mktemp("lake"))
    second = NS_PER_S
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "ROW_GROUP", group)
        for name in ("a", "b"):
            trades = make.trades([0] * 120, id=generator.integers(1, 60, 120))
            trades["ts_recv"] = np.sort(generator.integers(0, 300, 120)) * 10 * second
            quotes = make.rows(Kind.QUOTE, sorted((generator.integers(0, 300, 80) * 10 * second).tolist()))
            place = generator.permutation(200).astype(np.int64)
            store(
                lake,
                name,
                [
                    (make.instrument(), "trades", trades, np.sort(place[:120])),
                    (make.instrument(), "quotes", quotes, np.sort(place[120:])),
                ],
            )
    whole = scanned(lake)
    assert len(whole) < 400  # some trades were repeats
    cut = start * second
    assert scanned(lake, start=cut).tobytes() == whole[whole["ts_recv"] >= cut].tobytes()
    assert scanned(lake, end=cut).tobytes() == whole[whole["ts_recv"] < cut].tobytes()

    feed, seen = CatalogFeed(lake, BTC, 0, *EVER), []
    while (batch := feed.next_batch()) is not None:
        seen.append(batch)
        if len(batch) and generator.integers(6) == 0:
            snapshot = feed.snapshot()
            feed = CatalogFeed(lake, BTC, 0, *EVER)
            feed.restore(snapshot)
    assert joined(seen).tobytes() == whole.tobytes()


def test_sources_with_other_ticks_and_lots_meet_on_a_grid_that_fits_both(tmp_path: Path, make: Any) -> None:
    lake = Lake(tmp_path)
    kinds = [Kind.TRADE, Kind.QUOTE, Kind.SNAPSHOT, Kind.BAR_OPEN, Kind.BAR_CLOSE, Kind.MARK, Kind.LIQUIDATION]
    for name, tick, lot, ts in (("a", "0.01", "1", 1), ("b", "0.005", "0.1", 100)):
        rows = make.rows(Kind.TRADE, [ts] * len(kinds), price=7, qty=7, aux=7, aux2=7)
        rows["kind"] = kinds
        store(
            lake,
            name,
            [(make.instrument("X", tick, lot, is_inferred=True), "trades", rows, make.positions(len(rows)))],
        )
    found = lake.instrument("X")
    assert (str(found.tick_size), str(found.lot_size)) == ("0.005", "0.1")
    rows = scanned(lake, "binance-usdm:X")
    assert rows["price"][:7].tolist() == [14, 14, 7, 14, 14, 14, 14]
    assert rows["qty"][:7].tolist() == [70, 70, 7, 70, 7, 7, 70]
    assert rows["aux"][:7].tolist() == [7, 14, 7, 14, 14, 7, 14]
    assert rows["aux2"][:7].tolist() == [7, 70, 7, 70, 7, 7, 7]
    assert {int(x) for name in ("price", "qty", "aux", "aux2") for x in rows[name][7:]} == {7}


def test_tickers_and_the_takers_volume_are_rescaled_and_other_ratios_are_not(tmp_path: Path, make: Any) -> None:
    lake = Lake(tmp_path)
    for name, tick, lot, ts in (("a", "0.01", "1", 1), ("b", "0.005", "0.1", 100)):
        one = make.instrument("X", tick, lot)
        ratios = make.rows(
            Kind.RATIO, [ts, ts], price=7, qty=7, aux2=7, aux=[Ratio.GLOBAL_ACCOUNTS, Ratio.TAKER_VOLUME]
        )
        tickers = make.rows(Kind.TICKER, [ts], price=7, qty=7, aux=7, aux2=7)
        store(lake, name, [(one, "ratios", ratios, make.positions(2)), (one, "tickers", tickers, make.positions(1, 3))])
    rows = scanned(lake, "binance-usdm:X")
    assert rows["kind"].tolist() == [Kind.RATIO, Kind.RATIO, Kind.TICKER] * 2
    assert rows["price"].tolist() == [7, 70, 14, 7, 7, 7]
    assert rows["qty"].tolist() == [7, 70, 70, 7, 7, 7]
    assert rows["aux"][2] == 14
    assert set(rows["aux2"].tolist()) == {7}


def test_what_a_venue_told_wins_over_what_was_inferred(tmp_path: Path, make: Any) -> None:
    lake = Lake(tmp_path)
    for name, is_inferred, ts in (("a", False, 1), ("b", True, 2)):
        one = make.instrument("X", is_inferred=is_inferred)
        store(lake, name, [(one, "trades", make.trades([ts]), make.positions(1))])
    assert not lake.instrument("X").is_inferred


def test_a_damaged_part_and_a_damaged_manifest_are_named(tmp_path: Path, make: Any) -> None:
    lake = Lake(tmp_path)
    source = store(lake, "a", [(make.instrument(), "trades", make.trades([1, 2]), make.positions(2))])
    path = tmp_path / source.parts[0].path
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(LakeDamaged, match="venue=binance-usdm/symbol=BTCUSDT"):
        scanned(lake)
    manifest = next((tmp_path / "_imports").iterdir())
    manifest.write_text("{")
    with pytest.raises(LakeDamaged, match="_imports/"):
        Lake(tmp_path).ls()


def test_an_address_that_is_no_place_for_a_lake_is_said() -> None:
    with pytest.raises(MissingInput, match="no place for a lake"):
        Lake("nowhere://x/y")
    assert Lake("file:///tmp/x").is_local


def test_a_trade_recorded_twice_comes_once_wherever_the_scan_begins(lake: Lake, make: Any) -> None:
    second = NS_PER_S
    trades = make.trades([0, 10 * second, 20 * second], id=[7, 7, 8])
    store(lake, "a", [(make.instrument(), "trades", trades, make.positions(3))])
    assert scanned(lake)["ts_recv"].tolist() == [0, 20 * second]
    assert scanned(lake, start=5 * second)["ts_recv"].tolist() == [20 * second]
