"""The public tapes: the same however they are read, recorded ones as they were recorded."""

from __future__ import annotations

import gzip
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from spyhop.clock import NS_PER_MINUTE, NS_PER_S
from spyhop.model.tape import Events, Flag, Kind, Venue, event, joined
from spyhop.storage.lake import END_OF_TIME, START_OF_TIME, Lake
from spyhop.venuesim.exchange import Exchange
from spyhop.venuesim.markets import (
    GeneratedMarket,
    LakeMarket,
    Market,
    SpotMarket,
    Tape,
    generated_instrument,
    generated_markets,
    lake_markets,
)
from spyhop.wiring.data import import_data

START = 1_760_000_000 * NS_PER_S
END = START + 60 * NS_PER_S
NUM_LINES = 6_000


def whole(market: Market, until: int = END) -> Events:
    return market.read(until)


def pieces(market: Market, seed: int, num: int) -> Events:
    cuts = np.sort(np.random.default_rng(seed).integers(START, END, num)).tolist()
    return joined([market.read(until) for until in [*cuts, END]])


@pytest.mark.parametrize("place", range(3))
def test_reading_in_pieces_changes_no_bit(place: int) -> None:
    one, other = (generated_markets(["BTCUSDT"], 5, START) for _ in range(2))
    rows = whole(one[place])
    assert len(rows) > 1_000
    assert pieces(other[place], place, 200).tobytes() == rows.tobytes()
    assert rows["ts_recv"][-1] <= END


@pytest.mark.parametrize("leader_first", [True, False])
def test_a_leader_and_its_followers_may_be_read_in_any_order(leader_first: bool) -> None:
    leader, spot, dydx = generated_markets(["BTCUSDT"], 5, START)
    alone = whole(generated_markets(["BTCUSDT"], 5, START)[2])
    order = [leader, spot, dydx] if leader_first else [dydx, spot, leader]
    read = {id(market): whole(market) for market in order}
    assert read[id(dydx)].tobytes() == alone.tobytes()
    assert read[id(leader)].tobytes() == whole(GeneratedMarket("BTCUSDT", 5, START)).tobytes()


def test_a_reader_may_write_into_what_it_was_given() -> None:
    leader, _, dydx = generated_markets(["BTCUSDT"], 5, START)
    leader.read(END)["price"] = 1
    assert whole(dydx).tobytes() == whole(generated_markets(["BTCUSDT"], 5, START)[2]).tobytes()


def test_a_tape_that_has_begun_takes_no_more_readers() -> None:
    leader = GeneratedMarket("BTCUSDT", 5, START)
    leader.read(START + NS_PER_S)
    with pytest.raises(ValueError, match="has begun"):
        SpotMarket(leader, 5, START)


def test_a_tape_ends() -> None:
    tape = Tape(iter([event(Kind.TRADE, 5), event(Kind.TRADE, 7)]))
    reader = tape.reader()
    assert reader.read(6)["ts_recv"].tolist() == [5]
    assert reader.read(100)["ts_recv"].tolist() == [7]
    assert len(reader.read(200)) == 0


def test_generated_frames_chain_as_futures_do() -> None:
    rows = whole(GeneratedMarket("BTCUSDT", 5, START))
    frames = rows[(rows["kind"] == Kind.LEVEL) & ((rows["flags"] & Flag.LAST) != 0)]
    assert (frames["aux2"][1:] == frames["id"][:-1]).all()
    assert (frames["aux"][1:] > frames["id"][:-1]).all()
    trades = rows[rows["kind"] == Kind.TRADE]
    assert (np.diff(trades["id"]) == 1).all()


def test_the_markets_of_a_symbol() -> None:
    instruments = [market.instrument for market in generated_markets(["BTCUSDT", "DOGEUSDT"], 1, START)]
    assert [one.key for one in instruments] == [
        "binance-usdm:BTCUSDT",
        "binance-usdm:DOGEUSDT",
        "binance-spot:BTCUSDT",
        "binance-spot:DOGEUSDT",
        "dydx:BTC-USD",
        "dydx:DOGE-USD",
    ]
    assert generated_instrument("ETHUSDT").venue is Venue.BINANCE_USDM


@pytest.fixture(scope="module")
def lake(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("captures")
    for name in ("usdm_btcusdt_20240808.gz", "spot_btcusdt_20240808.gz"):
        with gzip.open(recordings / "binance_raw" / name, "rb") as capture:
            lines = list(islice(capture, NUM_LINES))
        with gzip.open(folder / name, "wb") as sample:
            sample.writelines(lines)
    root = str(tmp_path_factory.mktemp("store") / "lake")
    import_data([folder], root)
    return Lake(root)


def without_snapshots(rows: Events) -> Events:
    return rows[(rows["kind"] != Kind.SNAPSHOT) & ((rows["flags"] & Flag.FROM_SNAPSHOT) == 0)]


def recorded(lake: Lake, key: str) -> Events:
    return joined(list(lake.scan(key, START_OF_TIME, END_OF_TIME)))


KEYS = ["binance-usdm:BTCUSDT", "binance-spot:BTCUSDT"]


@pytest.mark.parametrize("key", KEYS)
def test_a_recording_is_told_as_it_was_recorded(lake: Lake, key: str) -> None:
    rows = whole(LakeMarket(lake, key), END_OF_TIME - 1)
    assert without_snapshots(rows).tobytes() == without_snapshots(recorded(lake, key)).tobytes()
    assert (np.diff(rows["ts_recv"]) >= 0).all()
    # its first snapshot stands at the beginning, and is all there
    head = recorded(lake, key)
    first = head[head["kind"] == Kind.SNAPSHOT][0]
    assert (rows["kind"][0], rows["id"][0]) == (Kind.SNAPSHOT, first["id"])
    assert (rows["id"][1 : 1 + first["qty"]] == first["id"]).all()
    assert rows["flags"][first["qty"]] & Flag.LAST


def test_a_recording_moves_by_whole_minutes(lake: Lake) -> None:
    key = KEYS[0]
    market = LakeMarket(lake, key, START)
    assert 0 <= market.first + market.shift - START < NS_PER_MINUTE
    assert market.shift % NS_PER_MINUTE == 0
    rows, before = without_snapshots(whole(market, END_OF_TIME - 1)), without_snapshots(recorded(lake, key))
    for name in ("ts_recv", "ts_event"):
        assert (rows[name] - before[name] == market.shift).all()
    for name in ("kind", "price", "qty", "id", "aux", "aux2", "side", "flags"):
        assert (rows[name] == before[name]).all(), name


def test_recordings_keep_their_distance(lake: Lake) -> None:
    leaders = lake_markets(lake, KEYS, 1, START)[:2]
    spans = [lake.span(key)[0] for key in KEYS]
    firsts = [int(without_snapshots(whole(one, END_OF_TIME - 1))["ts_recv"][0]) for one in leaders]
    assert (firsts[0] - firsts[1] - (spans[0] - spans[1])) % NS_PER_MINUTE == 0
    assert abs(firsts[0] - firsts[1]) < 2 * NS_PER_MINUTE


@pytest.mark.slow
def test_what_follows_a_recording_stands_beside_it(lake: Lake) -> None:
    begin = lake.span(KEYS[0])[0]
    markets = lake_markets(lake, KEYS, 1)
    assert [market.instrument.key for market in markets] == [*KEYS, "dydx:BTC-USD"]
    exchange = Exchange(markets, begin - 1)
    exchange.advance(begin + 5 * NS_PER_S)
    usdm, spot, dydx = [exchange.best(k)[1] * exchange.instruments[k].tick for k in range(3)]
    assert usdm == pytest.approx(dydx, rel=1e-3)
    assert usdm == pytest.approx(spot, rel=2e-3)


def book_at(rows: Events, until: int, *, is_spot: bool) -> tuple[int, dict[int, int], dict[int, int]]:
    """The book by the venue's own rules: the first snapshot, then every frame after it, absolute quantities."""
    head = int(np.flatnonzero(rows["kind"] == Kind.SNAPSHOT)[0])
    last, count = int(rows["id"][head]), int(rows["qty"][head])
    sides: dict[int, dict[int, int]] = {1: {}, -1: {}}
    for row in rows[head + 1 : head + 1 + count]:
        sides[int(row["side"])][int(row["price"])] = int(row["qty"])
    diffs = without_snapshots(rows[(rows["kind"] == Kind.LEVEL) & (rows["ts_recv"] <= until)])
    for row in diffs[diffs["id"] > last if is_spot else diffs["id"] >= last]:
        last = int(row["id"])
        if row["qty"] == 0:
            sides[int(row["side"])].pop(int(row["price"]), None)
        else:
            sides[int(row["side"])][int(row["price"])] = int(row["qty"])
    return last, sides[1], sides[-1]


@pytest.mark.slow
@pytest.mark.parametrize("key", KEYS)
def test_a_recorded_book_is_whole_from_the_first_event_on(lake: Lake, key: str) -> None:
    rows, first, is_spot = recorded(lake, key), lake.span(key)[0], "spot" in key
    snapshot_ts = int(rows["ts_recv"][rows["kind"] == Kind.SNAPSHOT][0])
    exchange = Exchange([LakeMarket(lake, key)], first - 1)
    exchange.advance(first)
    number, bids, asks = exchange.book(0, 5_000)
    assert number == rows["id"][rows["kind"] == Kind.SNAPSHOT][0]
    assert len(bids) == len(asks) == 1_000
    for seconds in (0, 1, 5, 20):
        until = snapshot_ts + seconds * NS_PER_S
        exchange.advance(until)
        expected = book_at(rows, until, is_spot=is_spot)
        number, bids, asks = exchange.book(0, 5_000)
        assert number == expected[0]
        assert bids == sorted(expected[1].items(), reverse=True)
        assert asks == sorted(expected[2].items())
    assert exchange._pits["sequence"]["num_gaps"][0] == 0
