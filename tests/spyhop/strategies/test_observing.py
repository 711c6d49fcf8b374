"""Observations beside their leaders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from spyhop.clock import NS_PER_S
from spyhop.model.instruments import Instrument
from spyhop.model.rows import Health
from spyhop.model.tape import Side, Venue
from spyhop.strategies.lead import LeadParams
from spyhop.strategies.observing import Exchange, Known, Observer, data_age, exchanges, leaders

MakeRow = Callable[..., np.void]


def at(instrument: Instrument, number: int, venue: Venue, base: str = "BTC") -> Instrument:
    return msgspec.structs.replace(instrument, id=number, venue=venue, base=base)


@pytest.fixture
def pair(instrument: Instrument) -> list[Instrument]:
    return [at(instrument, 0, Venue.DYDX), at(instrument, 1, Venue.BINANCE_USDM)]


def row_of(make_row: MakeRow, number: int, after_s: float = 0.0, **columns: Any) -> np.void:
    row = make_row(instrument=number)
    row["ts"] += round(after_s * NS_PER_S)
    row["ts_book"] = row["ts"]
    for name, value in columns.items():
        row[name] = value
    return row


def test_binance_leads_other_venues_by_base_and_perpetuals_before_spot(instrument: Instrument) -> None:
    listed = [
        at(instrument, 0, Venue.DYDX),
        at(instrument, 1, Venue.BINANCE_SPOT),
        at(instrument, 2, Venue.BINANCE_USDM),
        at(instrument, 3, Venue.DYDX, "ETH"),
        at(instrument, 4, Venue.CCXT, "SOL"),
        at(instrument, 5, Venue.BINANCE_SPOT, "SOL"),
        at(instrument, 6, Venue.DYDX, ""),
        at(instrument, 7, Venue.BINANCE_USDM, ""),
        at(instrument, 8, Venue.BINANCE_USDM),
    ]
    assert leaders(listed) == {0: 2, 4: 5}


def test_a_market_alone_is_observed_without_a_leader(instrument: Instrument, make_row: MakeRow) -> None:
    observer = Observer([instrument])
    row = make_row(
        evidence={"depth_bid": 5e4, "depth_ask": 6e4, "sigma_1m": 8e-4, "vol_pct": 0.9, "atr": 70.0},
        fill_buy=91_501.0,
        fill_sell=91_499.0,
        aligned=-1,
    )
    row["ts_exchange"] = row["ts"] - 40_000_000
    row["timeframes"]["rsi"] = (40.0, 50.0, 60.0, 70.0, 80.0)
    row["timeframes"]["ready"] = (1, 0, 3, 0, 0)
    observer.note(row)
    seen = observer.observed(row, Side.SELL, 0.8)
    assert seen.leader is None
    assert observer.snapshot() == Known()
    assert (seen.mid, seen.last, seen.fill_buy, seen.fill_sell) == (91_500.05, 91_500.0, 91_501.0, 91_499.0)
    assert (seen.depth_bid, seen.depth_ask, seen.sigma_1m, seen.volatility_rank) == (5e4, 6e4, 8e-4, 0.9)
    assert (seen.atr, seen.aligned, seen.score) == (70.0, -1.0, -0.8)
    assert seen.spread == pytest.approx(0.1)
    assert (seen.rsi_1m, seen.rsi_5m, seen.rsi_15m) == (40.0, -1.0, 60.0)
    assert (seen.ts_venue, seen.age_ns) == (int(row["ts"]) - 40_000_000, 0)


def test_a_leader_ages_from_its_newest_book_by_the_worse_of_silence_and_delay(
    pair: list[Instrument], make_row: MakeRow
) -> None:
    observer = Observer(pair)
    leading = row_of(make_row, 1, mid=91_600.0, last=91_601.0)
    leading["ts_book"] -= 2 * NS_PER_S
    leading["ts_exchange"] = leading["ts"] - 7
    leading["venue_lag"] = NS_PER_S
    observer.note(leading)
    leader = observer.observed(row_of(make_row, 0, 3.0), Side.BUY, 0.5).leader
    assert leader is not None
    assert (leader.instrument, leader.mid, leader.last) == (1, 91_600.0, 91_601.0)
    assert (leader.ts, leader.age_ns) == (int(leading["ts"]) - 7, 5 * NS_PER_S)
    late = row_of(make_row, 1, 3.0, venue_lag=4 * NS_PER_S)
    observer.note(late)
    leader = observer.observed(row_of(make_row, 0, 3.5), Side.BUY, 0.5).leader
    assert leader is not None
    assert leader.age_ns == 4.5 * NS_PER_S


def test_a_leader_that_lost_its_book_keeps_its_last_price_and_grows_old(
    pair: list[Instrument], make_row: MakeRow
) -> None:
    observer = Observer(pair)
    assert observer.observed(row_of(make_row, 0), Side.BUY, 0.5).leader is None
    first = row_of(make_row, 1, mid=91_600.0)
    observer.note(first)
    observer.note(row_of(make_row, 1, 10.0, mid=0.0, ts_book=first["ts"]))
    leader = observer.observed(row_of(make_row, 0, 10.0), Side.BUY, 0.5).leader
    assert leader is not None
    assert (leader.mid, leader.age_ns) == (91_600.0, 10 * NS_PER_S)


def test_the_venues_clock_against_ours_is_told_once_it_is_known(instrument: Instrument, make_row: MakeRow) -> None:
    observer = Observer([instrument])
    row = make_row(ts_exchange=0)
    row["ts_exchange"] = row["ts"] + 300_000_000  # half a second ahead, 200 ms on the way
    assert observer.observed(row, Side.BUY, 0.5).clock_skew_ns == 0
    row["venue_lag"] = 200_000_000
    assert observer.observed(row, Side.BUY, 0.5).clock_skew_ns == 500_000_000


def test_data_is_as_old_as_the_worse_of_silence_and_delay(make_row: MakeRow) -> None:
    row = row_of(make_row, 0)
    row["ts_book"] -= 5
    assert data_age(row) == 5
    row["venue_lag"] = 8
    assert data_age(row) == 8


# ---- features of what is led

LEAD = LeadParams(window_s=3.0, fall_frac=1e-3, rise_frac=1e-3, premium_frac=5e-4, discount_frac=5e-4, max_age_s=2.0)


def walked(observer: Observer, make_row: MakeRow, mids: list[float], number: int = 1) -> None:
    for second, mid in enumerate(mids):
        observer.note(row_of(make_row, number, second, mid=mid))


def test_features_by_hand(pair: list[Instrument], make_row: MakeRow) -> None:
    observer = Observer(pair, LEAD)
    walked(observer, make_row, [90_000.0, 100_000.0, 100_100.0, 99_900.0, 99_800.0])
    found = observer.features(row_of(make_row, 0, 4.0, mid=99_900.0))
    assert found is not None
    # three seconds before the fourth: the first
    assert found.leader_return == pytest.approx(99_800.0 / 100_000.0 - 1.0)
    assert found.spread == pytest.approx(100.0 / 99_800.0)
    assert (found.window_ns, found.age_ns, found.side) == (3 * NS_PER_S, 0, -1)
    assert (found.compression, found.lag) == (0.0, None)
    near = observer.features(row_of(make_row, 0, 4.0, mid=99_840.0))
    assert near is not None
    assert near.side == 0


def test_the_window_is_remembered_and_no_more(pair: list[Instrument], make_row: MakeRow) -> None:
    observer = Observer(pair, LEAD)
    walked(observer, make_row, [100_000.0 + n for n in range(50)])
    trail = observer.snapshot().trails[1]
    assert [mid for _, mid in trail] == [100_046.0, 100_047.0, 100_048.0, 100_049.0]


@pytest.mark.parametrize(
    ("mids", "after_s"),
    [
        ([], 4.0),  # no leader yet
        ([100_000.0, 100_100.0, 99_900.0], 2.0),  # not for as long as the window
        ([100_000.0, 100_100.0, 0.0, 0.0, 0.0, 0.0, 99_900.0], 7.5),  # a hole where the window begins
    ],
)
def test_too_little_history_has_no_features(
    pair: list[Instrument], make_row: MakeRow, mids: list[float], after_s: float
) -> None:
    observer = Observer(pair, LEAD)
    walked(observer, make_row, mids)
    assert observer.features(row_of(make_row, 0, after_s)) is None


def test_a_leader_s_crossed_book_says_nothing(pair: list[Instrument], make_row: MakeRow) -> None:
    observer = Observer(pair, LEAD)
    walked(observer, make_row, [100_000.0] * 5)
    observer.note(row_of(make_row, 1, 5.0, health=Health.CROSSED))
    assert observer.features(row_of(make_row, 0, 5.0)) is None
    observer.note(row_of(make_row, 1, 6.0, mid=100_000.0))
    assert observer.features(row_of(make_row, 0, 6.0)) is not None


def test_a_market_that_nobody_leads_has_no_features(pair: list[Instrument], make_row: MakeRow) -> None:
    observer = Observer(pair, LEAD)
    walked(observer, make_row, [100_000.0] * 5)
    assert observer.features(row_of(make_row, 1, 5.0)) is None


def test_the_age_is_that_of_the_older_market(pair: list[Instrument], make_row: MakeRow) -> None:
    observer = Observer(pair, LEAD)
    walked(observer, make_row, [100_000.0] * 5)
    late = observer.features(row_of(make_row, 0, 5.5))
    assert late is not None
    assert late.age_ns == 1.5 * NS_PER_S
    old = row_of(make_row, 0, 5.5)
    old["ts_book"] -= 3 * NS_PER_S
    older = observer.features(old)
    assert older is not None
    assert older.age_ns == 3 * NS_PER_S


def test_compression_is_how_much_of_the_entry_s_spread_is_gone(pair: list[Instrument], make_row: MakeRow) -> None:
    observer = Observer(pair, LEAD)
    walked(observer, make_row, [100_000.0] * 5)
    for mid, gone in ((100_200.0, 0.0), (100_050.0, 0.75), (99_900.0, 1.5), (100_300.0, -0.5)):
        found = observer.features(row_of(make_row, 0, 4.0, mid=mid), entry_spread=0.002)
        assert found is not None
        assert found.compression == pytest.approx(gone)


def quoted(instrument: Instrument, number: int, venue: Venue, base: str, quote: str) -> Instrument:
    return msgspec.structs.replace(at(instrument, number, venue, base), quote=quote)


@pytest.mark.parametrize(
    ("base", "quote", "rate"), [("USDC", "USDT", 1.001), ("USDT", "USDC", 1.0 / 1.001)], ids=["told", "inverted"]
)
def test_the_currencies_basis_is_taken_out(
    instrument: Instrument, make_row: MakeRow, base: str, quote: str, rate: float
) -> None:
    listed = [
        quoted(instrument, 0, Venue.DYDX, "BTC", "USD"),
        quoted(instrument, 1, Venue.BINANCE_USDM, "BTC", "USDT"),
        quoted(instrument, 2, Venue.BINANCE_SPOT, base, quote),
    ]
    assert exchanges(listed) == {0: Exchange(2, is_inverted=base == "USDT")}
    observer = Observer(listed, LEAD)
    walked(observer, make_row, [100_000.0] * 5)
    fair = row_of(make_row, 0, 4.0, mid=100_000.0 / 1.001)  # the same worth, told in a currency that is worth more
    blind = observer.features(fair)
    assert blind is not None
    assert (blind.is_basis_known, blind.basis) == (False, 0.0)
    assert blind.spread == pytest.approx(1 / 1.001 - 1.0)
    observer.note(row_of(make_row, 2, 4.0, mid=rate))
    seen = observer.features(fair)
    assert seen is not None
    assert (seen.is_basis_known, seen.basis) == (True, pytest.approx(1 / 1.001 - 1.0))
    assert seen.spread == pytest.approx(0.0, abs=1e-12)


def test_a_basis_may_be_old_but_not_for_ever(instrument: Instrument, make_row: MakeRow) -> None:
    listed = [
        quoted(instrument, 0, Venue.DYDX, "BTC", "USD"),
        quoted(instrument, 1, Venue.BINANCE_USDM, "BTC", "USDT"),
        quoted(instrument, 2, Venue.BINANCE_SPOT, "USDC", "USDT"),
    ]
    observer = Observer(listed, LEAD)
    observer.note(row_of(make_row, 2, 0.0, mid=1.001))
    for after, is_known in ((60.0, True), (61.0, False)):
        for second in range(4):
            observer.note(row_of(make_row, 1, after - 3 + second, mid=100_000.0))
        found = observer.features(row_of(make_row, 0, after))
        assert found is not None
        assert found.is_basis_known is is_known


def test_one_currency_has_no_basis_and_an_unknown_one_an_unknown(instrument: Instrument, make_row: MakeRow) -> None:
    leader = quoted(instrument, 1, Venue.BINANCE_USDM, "BTC", "USDT")
    assert exchanges([quoted(instrument, 0, Venue.CCXT, "BTC", "USDT"), leader]) == {0: Exchange(-1)}
    assert exchanges([quoted(instrument, 0, Venue.CCXT, "BTC", ""), leader]) == {}
    observer = Observer([quoted(instrument, 0, Venue.CCXT, "BTC", "USDT"), leader], LEAD)
    walked(observer, make_row, [100_000.0] * 5)
    found = observer.features(row_of(make_row, 0, 4.0))
    assert found is not None
    assert (found.is_basis_known, found.basis) == (True, 0.0)


def test_an_observation_holds_the_features_and_the_lag_that_was_measured(
    pair: list[Instrument], make_row: MakeRow
) -> None:
    observer = Observer(pair, LEAD)
    mid = 1e5 * np.exp(np.cumsum(np.random.default_rng(2).normal(0, 1e-5, 20 * 200)))
    for second in range(2, 200):
        for number, behind in ((1, 0), (0, 8)):  # 400 ms in steps of 50
            row = row_of(make_row, number, second, mid=mid[20 * second - behind])
            row["path"] = mid[20 * (second - 1) + 1 - behind : 20 * second + 1 - behind]
            observer.note(row)
    row = row_of(make_row, 0, 199.0, mid=mid[0])
    leader = observer.observed(row, Side.BUY, 0.5, observer.features(row)).leader
    assert leader is not None
    assert leader.features is not None
    assert leader.features.lag is not None
    assert leader.features.lag.lag_ns == 400_000_000
    assert leader.features.lag.is_measured


def test_what_is_remembered_goes_on_elsewhere(pair: list[Instrument], make_row: MakeRow) -> None:
    observer, other = Observer(pair, LEAD), Observer(pair, LEAD)
    walked(observer, make_row, [100_000.0, 100_200.0, 100_100.0, 99_900.0, 99_800.0])
    other.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(observer.snapshot()), type=Known))
    row = row_of(make_row, 0, 4.0, mid=99_900.0)
    assert other.features(row) == observer.features(row) is not None
    assert other.snapshot() == observer.snapshot()
