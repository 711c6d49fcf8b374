from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spyhop.clock import NS_PER_MINUTE, NS_PER_S
from spyhop.errors import InvalidSetting, MissingInput
from spyhop.model.tape import Kind
from spyhop.simulation.feed import MarketParams
from spyhop.storage.imports import import_files
from spyhop.storage.lake import Lake
from spyhop.venues.binance import capture
from spyhop.venuesim import options
from spyhop.venuesim.markets import GeneratedMarket
from spyhop.venuesim.options import SimOptions

pytestmark = pytest.mark.slow

START = 1_700_000_000 * NS_PER_S


def test_a_generated_exchange_has_three_venues_and_a_past() -> None:
    exchange = options.generated(("BTCUSDT", "ETHUSDT"), 1, START, 300.0)
    assert [one.key for one in exchange.instruments] == [
        *("binance-usdm:BTCUSDT", "binance-usdm:ETHUSDT"),
        *("binance-spot:BTCUSDT", "dydx:BTC-USD", "binance-spot:ETHUSDT", "dydx:ETH-USD"),
    ]
    assert exchange.now == START
    for one in exchange.instruments:
        _, bids, asks = exchange.book(one.id, 5)
        assert bids[0][0] < asks[0][0]
        assert len(exchange.bars(one.id, 60)) >= 5


def test_the_same_seed_is_the_same_market_and_another_is_not() -> None:
    def trades(seed: int) -> list[int]:
        exchange = options.generated(("BTCUSDT",), seed, START, 60.0)
        told: list[int] = exchange.trades(0, 100)["price"].tolist()
        return told

    assert trades(1) == trades(1) != trades(2)


def drift_bps(law: MarketParams | None) -> tuple[float, float]:
    """Return the mean of what a second continues of the one before, basis points, and its standard error."""
    market = GeneratedMarket("BTCUSDT", 3, START, law)
    rows = market.read(START + 1_800 * NS_PER_S)
    quotes = rows[rows["kind"] == Kind.QUOTE]
    grid = START + np.arange(60, 1_790) * NS_PER_S
    at = np.searchsorted(quotes["ts_recv"], grid) - 1
    moves = np.diff(np.log(0.5 * (quotes["price"] + quotes["aux"])[at]))
    kept = np.sign(moves[:-1]) * moves[1:] * 1e4
    return float(kept.mean()), float(kept.std() / len(kept) ** 0.5)


def test_a_calm_market_is_a_random_walk_and_a_usual_one_is_not() -> None:
    mean, error = drift_bps(options.CALM)
    assert abs(mean) < 3.0 * error
    mean, error = drift_bps(None)
    assert abs(mean) > 3.0 * error


def test_the_lag_that_was_asked_for_is_the_follower_s() -> None:
    def lag_s(lag_ms: float) -> float:
        wanted = SimOptions(start_ns=START, history_s=900.0, lag_ms=lag_ms, is_calm=True)
        exchange = options.floor(wanted)[0].exchange
        leader, follower = (exchange.trades(number, 100_000) for number in (0, 2))
        grid = START - np.arange(600, 10, -0.1) * NS_PER_S
        moves = [np.diff(np.log(one["price"][np.searchsorted(one["ts_recv"], grid) - 1])) for one in (leader, follower)]
        shifts = range(-5, 40)
        found = [float(np.dot(moves[0][10:-50], moves[1][10 + k : len(moves[1]) - 50 + k])) for k in shifts]
        return shifts[int(np.argmax(found))] * 0.1

    assert lag_s(2_000.0) == pytest.approx(2.0, abs=0.5)
    assert lag_s(0.0) == pytest.approx(0.0, abs=0.5)


def test_a_clock_of_its_own_starts_when_all_is_built() -> None:
    wanted = SimOptions(start_ns=START, speed=50.0, history_s=60.0)
    floor, spec = options.floor(wanted)
    assert (spec.start_ns, spec.speed) == (START, 50.0)
    assert START <= floor.clock.now_ns() < START + 50 * 5 * NS_PER_S
    assert floor.exchange.now == START
    assert {front.label for front in options.fronts(floor, wanted)} == {venue.label for venue in options.VENUES}


def test_a_machine_s_own_clock_needs_no_numbers() -> None:
    _, spec = options.floor(SimOptions(history_s=60.0))
    assert spec.speed == 0.0


def test_faults_that_are_none_are_refused_before_anything_is_built(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text('[[faults]]\nkind = "nonsense"\n')
    with pytest.raises(InvalidSetting):
        options.floor(SimOptions(faults=path))
    with pytest.raises(MissingInput):
        options.floor(SimOptions(faults=tmp_path / "missing.toml"))


def test_a_recording_is_played_from_the_start_asked_for_and_followed_by_the_markets_it_lacks(tmp_path: Path) -> None:
    ms = START // 1_000_000
    frames = [
        f'{{"lastUpdateId":10,"E":{ms},"T":{ms},"symbol":"BTCUSDT","bids":[["59999.90","1.000"]],'
        '"asks":[["60000.10","1.000"]]}'
    ]
    for step in range(1, 200):
        at, u = ms + 100 * step, 10 * step + 10
        frames.append(
            f'{{"e":"depthUpdate","E":{at},"T":{at},"s":"BTCUSDT","U":{u - 5},"u":{u},"pu":{u - 10},'
            f'"b":[["59999.90","{1 + step / 1000:.3f}"]],"a":[]}}'
        )
        frames.append(
            f'{{"e":"trade","E":{at},"T":{at},"s":"BTCUSDT","t":{step},"p":"60000.10","q":"0.010","X":"MARKET","m":false}}'
        )
    path = tmp_path / "recorded.txt"
    path.write_text("".join(f"{START + 100_000_000 * (n // 2)} {frame}\n" for n, frame in enumerate(frames)))
    lake = Lake(tmp_path / "lake")
    import_files(capture.read, [path], lake, reader="test")

    opened = START + 7 * NS_PER_MINUTE
    markets = options.recorded(lake, options.played(lake, ()), 1, opened)
    assert [market.instrument.key for market in markets] == [
        *("binance-usdm:BTCUSDT", "binance-spot:BTCUSDT", "dydx:BTC-USD"),
    ]
    rows = np.concatenate([markets[0].read(opened + 10 * NS_PER_S), markets[0].read(opened + NS_PER_MINUTE)])
    trades = rows[rows["kind"] == Kind.TRADE]
    assert trades["id"].tolist() == list(range(1, 200))
    assert int(trades["ts_event"][0]) == opened + 100_000_000
    with pytest.raises(MissingInput):
        options.played(lake, ("DOGEUSDT",))
