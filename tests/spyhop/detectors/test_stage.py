from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.detectors.stage import DetectionStage
from spyhop.detectors.state import DetectionParams
from spyhop.model.instruments import Instrument
from spyhop.model.rows import DETECTORS
from spyhop.model.tape import EVENT, Flag, Kind, Mode, Status, SwitchReason, Venue, empty, event, joined
from spyhop.venues.binance import capture

RAW = Path(__file__).resolve().parents[4] / "shared" / "data" / "binance_raw"
NS = 1_000_000_000
BEGIN = 1_723_161_600 * NS  # a whole minute
BTC = Instrument(id=0, venue=Venue.BINANCE_USDM, symbol="BTCUSDT", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"))
INVERSE = Instrument(
    id=0,
    venue=Venue.BINANCE_COINM,
    symbol="BTCUSD_PERP",
    tick_size=Decimal("0.1"),
    lot_size=Decimal(1),
    multiplier=Decimal(100),
    is_inverse=True,
)


def trades(seconds: int, lots: int = 1_000) -> Any:
    out = np.zeros(seconds, EVENT)
    out["kind"], out["side"], out["price"], out["qty"] = Kind.TRADE, 1, 600_000, lots
    out["id"] = np.arange(seconds)
    out["ts_recv"] = out["ts_event"] = BEGIN + np.arange(seconds) * NS
    return out


def test_only_rows_of_the_tape_are_folded() -> None:
    stage = DetectionStage(BTC, DetectionParams())
    assert len(stage.on(empty())) == 0
    with pytest.raises(TypeError, match="rows of the tape"):
        stage.on(np.zeros(3))


def test_an_unknown_detector_cannot_be_left_out() -> None:
    with pytest.raises(ValueError, match="no detector is called"):
        DetectionParams(without=("obj",))


def test_bars_close_as_time_passes_and_are_marked_on_the_row() -> None:
    stage = DetectionStage(BTC, DetectionParams())
    rows = stage.on(trades(200))
    assert [int(ts - BEGIN) // NS for ts in rows["ts"][(rows["flags"] & 8) != 0]] == [61, 121, 181]
    bars = stage.closed_bars()
    assert set(bars) == {"1m", "3m"}
    assert float(bars["3m"]["volume"]) == pytest.approx(180.0)
    assert rows["last"][-1] == 60_000.0


def test_statistics_count_what_was_folded_and_what_was_set_aside() -> None:
    stage = DetectionStage(BTC, DetectionParams())
    events = trades(10)
    events["price"][3], events["qty"][4], events["side"][5] = 0, -1, 0
    stage.on(events)
    counters = stage.statistics()
    assert counters["loop.events"] == 10
    assert counters["loop.bad_trades"] == 3
    assert counters["loop.rows"] == 9


def test_how_late_we_hear_is_judged_by_the_venues_own_clock() -> None:
    events = trades(10)
    events["ts_event"] = events["ts_recv"] + 300_000_000  # its clock runs half a second ahead and the way takes 200 ms
    stage = DetectionStage(BTC, DetectionParams())
    assert set(stage.on(events)["venue_lag"].tolist()) == {0}  # without the offset nobody can tell
    clock = event(Kind.STATUS, BEGIN, aux=Status.CLOCK, aux2=500_000_000)
    stage = DetectionStage(BTC, DetectionParams())
    rows = stage.on(joined([clock, events]))
    assert rows["venue_lag"][-1] == NS + 200_000_000  # the last trade came a second ago
    assert rows["ts_exchange"][-1] == events["ts_event"][-2]


def test_trades_fetched_after_the_fact_are_in_the_bars_and_move_no_detector() -> None:
    late = trades(60)
    late["flags"] = Flag.BACKFILLED
    stage = DetectionStage(BTC, DetectionParams())
    rows = stage.on(joined([trades(1), late[1:], event(Kind.TIMER, BEGIN + 62 * NS)]))
    assert float(stage.closed_bars()["1m"]["volume"]) == pytest.approx(60.0)
    assert rows["evidence"]["big_trade_count"].sum() == 1.0  # the one that was heard when it happened
    assert rows["ts_trade"][-1] == BEGIN


def test_a_feed_that_asks_by_rest_holds_its_minute_open() -> None:
    switch = event(Kind.STATUS, BEGIN + 30 * NS, aux=Status.SOURCE, qty=Mode.REST, id=SwitchReason.DISCONNECTED)
    stage = DetectionStage(BTC, DetectionParams())
    stage.on(joined([trades(30), switch, event(Kind.TIMER, BEGIN + 100 * NS)]))
    assert stage.closed_bars() == {}
    back = event(Kind.STATUS, BEGIN + 100 * NS, aux=Status.SOURCE, qty=Mode.WS, id=SwitchReason.RECOVERED)
    stage.on(joined([back, event(Kind.TIMER, BEGIN + 101 * NS)]))
    assert set(stage.closed_bars()) == {"1m"}


def test_contracts_of_inverse_instruments_count_by_what_they_are_worth() -> None:
    stage = DetectionStage(INVERSE, DetectionParams())
    stage.on(trades(120, lots=600))
    # 600 contracts of 100 USD at 60,000 are one coin
    assert float(stage.closed_bars()["1m"]["volume"]) == pytest.approx(60.0)


def booked(levels: list[tuple[int, int, int]], instrument: Instrument = BTC, **params: Any) -> np.void:
    """Return the row a second after a snapshot of these levels (side, ticks, lots)."""
    flags = [Flag.FROM_SNAPSHOT] * (len(levels) - 1) + [Flag.FROM_SNAPSHOT | Flag.LAST]
    tape = [event(Kind.SNAPSHOT, BEGIN + 1, id=7, qty=len(levels))]
    for (side, price, qty), flag in zip(levels, flags, strict=True):
        tape.append(event(Kind.LEVEL, BEGIN + 1, id=7, aux=7, aux2=-1, side=side, price=price, qty=qty, flags=flag))
    stage = DetectionStage(instrument, DetectionParams(**params))
    return stage.on(joined([*tape, event(Kind.TIMER, BEGIN + NS)]))[-1]


LEVELS = [(1, 599_999, 50), (1, 599_899, 1_000), (-1, 600_001, 100), (-1, 600_011, 1_000)]


def test_a_row_prices_the_notional_through_the_book() -> None:
    row = booked(LEVELS)
    # 10,000 at 60,000 a coin are 166.7 lots of 0.001
    assert row["fill_buy"] == pytest.approx((100 * 60_000.1 + 67 * 60_001.1) / 167, rel=1e-12)
    assert row["fill_sell"] == pytest.approx((50 * 59_999.9 + 117 * 59_989.9) / 167, rel=1e-12)
    small = booked(LEVELS, fill_notional=60.0)
    assert (small["fill_buy"], small["fill_sell"]) == pytest.approx((60_000.1, 59_999.9), rel=1e-12)
    # of 2,000 lots the book sells 1,100, on average 10/11 above the best ask: twice as many cost as much again
    large = booked(LEVELS, fill_notional=120_000.0)
    assert large["fill_buy"] == pytest.approx(60_000.1 + (1_000 / 1_100) * (2_000 / 1_100), rel=1e-12)
    assert large["fill_sell"] == pytest.approx(59_999.9 - 10.0 * (1_000 / 1_050) * (2_000 / 1_050), rel=1e-12)
    assert booked(LEVELS, fill_notional=1e9)["fill_sell"] == pytest.approx(0.1)  # nobody gives less than a tick


bids = st.dictionaries(st.integers(599_000, 599_999), st.integers(1, 300), min_size=1, max_size=30)
asks = st.dictionaries(st.integers(600_001, 601_000), st.integers(1, 300), min_size=1, max_size=30)


@settings(max_examples=40, deadline=None)
@given(bids, asks, st.floats(10.0, 200_000.0))
def test_the_price_of_a_notional_is_that_of_a_walk_by_hand(
    bids: dict[int, int], asks: dict[int, int], notional: float
) -> None:
    levels = [(1, price, qty) for price, qty in bids.items()] + [(-1, price, qty) for price, qty in asks.items()]
    row = booked(levels, fill_notional=notional)
    lots = math.ceil(notional / (0.5 * (max(bids) + min(asks)) * 0.1 * 0.001) - 1e-9)
    for name, side in (("fill_buy", sorted(asks.items())), ("fill_sell", sorted(bids.items(), reverse=True))):
        each = [price for price, qty in side for _ in range(qty)][:lots]
        beyond = (sum(each) / len(each) - side[0][0]) * lots / len(each)
        assert row[name] == pytest.approx(0.1 * (side[0][0] + beyond), rel=1e-9)


def test_contracts_of_inverse_instruments_are_priced_by_their_face() -> None:
    # 10,000 dollars are 100 contracts of 100, whatever the price
    row = booked([(1, 599_999, 50), (1, 599_899, 1_000), (-1, 600_001, 60), (-1, 600_011, 1_000)], INVERSE)
    assert row["fill_buy"] == pytest.approx((60 * 60_000.1 + 40 * 60_001.1) / 100, rel=1e-12)
    assert row["fill_sell"] == pytest.approx((50 * 59_999.9 + 50 * 59_989.9) / 100, rel=1e-12)


def test_without_a_book_the_quote_is_the_price_and_without_both_there_is_none() -> None:
    quote = event(Kind.QUOTE, BEGIN + 1, price=599_999, qty=1, aux=600_001, aux2=1)
    row = DetectionStage(BTC, DetectionParams()).on(joined([quote, event(Kind.TIMER, BEGIN + NS)]))[-1]
    assert (row["fill_buy"], row["fill_sell"]) == pytest.approx((60_000.1, 59_999.9), rel=1e-12)
    row = DetectionStage(BTC, DetectionParams()).on(trades(3))[-1]
    assert (row["fill_buy"], row["fill_sell"]) == (0.0, 0.0)
    gap = event(Kind.STATUS, BEGIN + NS + 1, aux=Status.GAP)
    stage = DetectionStage(BTC, DetectionParams())
    tape = [event(Kind.SNAPSHOT, BEGIN + 1, id=7, qty=2)]
    tape.append(event(Kind.LEVEL, BEGIN + 1, id=7, aux=7, aux2=-1, side=1, price=5, qty=9, flags=Flag.FROM_SNAPSHOT))
    last = Flag.FROM_SNAPSHOT | Flag.LAST
    tape.append(event(Kind.LEVEL, BEGIN + 1, id=7, aux=7, aux2=-1, side=-1, price=7, qty=9, flags=last))
    rows = stage.on(joined([*tape, gap, event(Kind.TIMER, BEGIN + 2 * NS)]))
    assert [float(price) for price in rows["fill_buy"]] == [pytest.approx(0.7), 0.0]


@pytest.mark.slow
@pytest.mark.skipif(not RAW.exists(), reason="the shared recordings are not beside this tree")
@pytest.mark.parametrize("name", ["usdm_btcusdt_20240718", "spot_ethusdt_20240808", "cm_btcusd_perp_20240808"])
def test_a_recording_folds_without_a_gap_and_wakes_the_detectors(name: str) -> None:
    events, instruments = capture.tape(RAW / f"{name}.gz")
    stage = DetectionStage(instruments[0], DetectionParams())
    rows = stage.on(events)
    counters = stage.statistics()
    for counter in ("sequence.gaps", "sequence.crossed", "sequence.bad_levels", "top.mismatches", "book.lost"):
        assert counters[counter] == 0, counter
    assert len(rows) > 170
    assert rows["health"][2:].max() == 0
    tick = instruments[0].tick
    assert np.all(rows["fill_buy"][2:] >= rows["ask"][2:] * tick)
    assert np.all(rows["fill_sell"][2:] <= rows["bid"][2:] * tick)
    assert np.all(rows["fill_buy"][2:] < 1.01 * rows["fill_sell"][2:])
    for part in ("detections", "evidence", "timeframes"):
        for field in rows[part].dtype.names:
            assert np.all(np.isfinite(rows[part][field])), field
    ready = rows["detections"]["ready"][-1]
    for detector in ("obi", "wpi", "volume_cluster", "spread", "flow", "momentum", "trend", "divergence"):
        assert ready[DETECTORS.index(detector)], detector
