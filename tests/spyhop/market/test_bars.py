from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spyhop.market import bars
from spyhop.market.bars import BARS
from spyhop.model.tape import EVENT, INTERVALS_S, Flag, Kind

NS = 1_000_000_000
MINUTE = 60 * NS
DAY = 1_723_420_800 * NS  # midnight


class Builder:
    """Bars driven as the loop drives them."""

    def __init__(self, grace_s: int = 1, start: int = DAY) -> None:
        self.record = np.zeros(1, BARS)[0]
        self.record["start"] = start
        self.grace = grace_s * NS
        self.closed: dict[int, list[Any]] = {k: [] for k in range(bars.NUM_INTERVALS)}

    def trade(self, at_s: float, price: float, qty: float = 1.0, side: int = 1) -> None:
        bars.on_trade(self.record, DAY + round(at_s * NS), price, qty, side)

    def pass_to(self, at_s: float) -> None:
        while bars.close_if_due(self.record, DAY + round(at_s * NS), self.grace):
            self._take()

    def venue(self, minute: int, ohlc: tuple[int, int, int, int], interval_s: int = 60, flags: int = 0) -> None:
        rows = np.zeros(2, EVENT)
        rows["kind"] = Kind.BAR_OPEN, Kind.BAR_CLOSE
        rows["interval_s"], rows["id"], rows["flags"] = interval_s, DAY + minute * MINUTE, flags
        rows["price"] = ohlc[0], ohlc[2]
        rows["qty"] = 500, 17
        rows["aux"] = ohlc[1], ohlc[3]
        rows["aux2"] = 200, 0
        bars.on_bar_open(self.record, rows[0], 0.1, 0.01)
        if bars.on_bar_close(self.record, rows[1], 0.1):
            self._take()

    def _take(self) -> None:
        for k in range(bars.NUM_INTERVALS):
            if int(self.record["closed_mask"]) & (1 << k):
                self.closed[k].append(self.record["closed"][k].copy())


def ohlcv(bar: Any) -> tuple[float, ...]:
    return tuple(float(bar[name]) for name in ("open", "high", "low", "close", "volume"))


def test_a_minute_holds_its_trades_and_closes_after_the_grace() -> None:
    b = Builder()
    for at, price, side in ((0.0, 100.0, 1), (10.0, 105.0, -1), (59.9, 99.0, 1)):
        b.trade(at, price, 2.0, side)
    b.pass_to(60.0)
    assert b.closed[0] == []
    b.trade(59.95, 98.0)  # came in the grace
    b.pass_to(61.0)
    (bar,) = b.closed[0]
    assert ohlcv(bar) == (100.0, 105.0, 98.0, 98.0, 7.0)
    assert (bar["taker_buy_volume"], bar["num_trades"], bar["interval_s"]) == (5.0, 4, 60)
    assert (bar["ts_open"], bar["ts_close"]) == (DAY, DAY + MINUTE)


def test_a_trade_ahead_of_our_clock_waits_in_the_next_minute() -> None:
    b = Builder()
    b.trade(59.0, 100.0)
    b.trade(60.5, 200.0)
    b.pass_to(61.0)
    assert ohlcv(b.closed[0][0]) == (100.0, 100.0, 100.0, 100.0, 1.0)
    b.pass_to(121.0)
    assert ohlcv(b.closed[0][1]) == (200.0, 200.0, 200.0, 200.0, 1.0)


def test_a_late_trade_is_counted_and_changes_no_closed_bar() -> None:
    b = Builder()
    b.trade(1.0, 100.0)
    b.pass_to(61.0)
    b.trade(59.0, 500.0)
    assert b.record["num_late_trades"] == 1
    b.pass_to(121.0)
    assert ohlcv(b.closed[0][1])[4] == 0.0


def test_a_minute_without_trades_is_flat_but_a_long_silence_is_a_hole() -> None:
    b = Builder()
    b.trade(1.0, 100.0)
    b.pass_to(185.0)
    b.trade(185.0, 110.0)
    b.pass_to(241.0)
    assert [ohlcv(bar)[3:] for bar in b.closed[0]] == [(100.0, 1.0), (100.0, 0.0), (100.0, 0.0), (110.0, 1.0)]
    b.pass_to(241.0 + 3600)
    b.trade(241.0 + 3600, 120.0)
    b.pass_to(360.0 + 3600)
    assert len(b.closed[0]) == 5
    assert b.record["num_gap_minutes"] == 60


def test_a_minute_that_began_before_the_recording_is_dropped() -> None:
    b = Builder(start=DAY + 20 * NS)
    b.trade(20.0, 100.0)
    b.trade(70.0, 101.0)
    b.pass_to(121.0)
    assert [float(bar["open"]) for bar in b.closed[0]] == [101.0]
    assert b.record["num_partial"] == 1


def test_longer_bars_equal_a_fold_of_all_trades() -> None:
    rng = np.random.default_rng(1)
    b = Builder()
    times = np.sort(rng.uniform(0, 2 * 86_400, 60_000))
    prices = 100.0 + np.cumsum(rng.normal(0, 0.01, len(times)))
    sizes = rng.integers(1, 50, len(times)).astype(float)
    minute = 1
    for at, price, size in zip(times, prices, sizes, strict=True):
        while at >= 60 * minute + 1:
            b.pass_to(60.0 * minute + 1)
            minute += 1
        b.trade(at, price, size)
    b.pass_to(2 * 86_400 + 1)
    for k, (label, seconds) in enumerate(INTERVALS_S.items()):
        assert len(b.closed[k]) == 2 * 86_400 // seconds, label
        for bar in b.closed[k]:
            low, high = (bar["ts_open"] - DAY) / NS, (bar["ts_close"] - DAY) / NS
            inside = (times >= low) & (times < high)
            if not inside.any():
                continue
            p = prices[inside]
            expected = (p[0], p.max(), p.min(), p[-1], sizes[inside].sum())
            opens_flat = bar["num_trades"] == inside.sum() and k > 0
            assert ohlcv(bar)[3:] == pytest.approx(expected[3:]), label
            assert bar["num_trades"] == inside.sum()
            if not opens_flat or (times[inside][0] < low + 60):
                assert ohlcv(bar) == pytest.approx(expected), label


def test_a_longer_bar_with_a_minute_missing_is_dropped() -> None:
    b = Builder(start=DAY + 60 * NS)
    for minute in range(6):
        b.trade(60.0 * minute + 30, 100.0 + minute)
        b.pass_to(60.0 * minute + 61)
    assert [int(bar["ts_open"] - DAY) // MINUTE for bar in b.closed[1]] == [3]
    # the minute under way at the start, and the bars of 3 and 5 minutes that it belongs to
    assert b.record["num_partial"] == 3
    assert b.closed[2] == []


def test_a_bar_of_the_venue_wins_over_trades_and_closes_at_once() -> None:
    b = Builder()
    b.trade(1.0, 100.0)
    b.pass_to(60.0)
    b.venue(0, (1000, 1010, 990, 1005))
    (bar,) = b.closed[0]
    assert ohlcv(bar) == pytest.approx((100.0, 101.0, 99.0, 100.5, 5.0))
    assert (bar["num_trades"], bar["taker_buy_volume"]) == (17, pytest.approx(2.0))
    b.trade(61.0, 107.0)
    b.pass_to(121.0)
    assert [float(bar["close"]) for bar in b.closed[0]] == pytest.approx([100.5, 107.0])


def test_a_bar_that_comes_after_its_minute_has_closed_changes_nothing() -> None:
    b = Builder()
    b.trade(1.0, 100.0)
    b.pass_to(61.0)
    b.venue(0, (1000, 1010, 990, 1005))
    assert len(b.closed[0]) == 1
    assert ohlcv(b.closed[0][0])[3] == 100.0
    assert b.record["num_late_bars"] == 1


def test_bars_alone_are_enough_and_holes_stay_holes() -> None:
    b = Builder()
    for minute in [m for m in range(12) if m != 7]:
        b.venue(minute, (1000 + minute, 1100, 900, 1001 + minute))
        b.pass_to(60.0 * minute + 100)
    assert len(b.closed[0]) == 11
    assert [int(bar["ts_open"] - DAY) // MINUTE for bar in b.closed[2]] == [0]
    assert float(b.closed[2][0]["close"]) == pytest.approx(100.5)


@pytest.mark.parametrize(
    ("ohlc", "interval_s", "flags", "counter"),
    [
        ((1000, 990, 900, 950), 60, 0, "num_bad_bars"),
        ((1000, 1010, 1005, 1006), 60, 0, "num_bad_bars"),
        ((1000, 1010, 0, 1006), 60, 0, "num_bad_bars"),
        ((1000, 1010, 990, 1006), 300, 0, "num_other_bars"),
        ((1000, 1010, 990, 1006), 60, int(Flag.PARTIAL), "num_other_bars"),
    ],
)
def test_impossible_partial_and_longer_bars_are_counted(
    ohlc: tuple[int, int, int, int], interval_s: int, flags: int, counter: str
) -> None:
    b = Builder()
    b.venue(0, ohlc, interval_s, flags)
    assert b.closed[0] == []
    assert b.record[counter] == 1


def test_while_the_feed_asks_by_rest_a_minute_waits_for_the_venue() -> None:
    b = Builder()
    b.trade(0.0, 100.0)
    b.trade(59.0, 101.0)
    b.pass_to(70.0)
    b.record["is_held"] = 1
    b.trade(61.0, 101.0)
    b.pass_to(200.0)  # both minutes are over, and what they held is not known
    assert len(b.closed[0]) == 1
    b.venue(1, (1_010, 1_020, 1_000, 1_015))
    b.venue(2, (1_015, 1_030, 1_015, 1_030))
    assert [ohlcv(bar)[:4] for bar in b.closed[0][1:]] == [(101.0, 102.0, 100.0, 101.5), (101.5, 103.0, 101.5, 103.0)]
    b.record["is_held"] = 0
    b.trade(185.0, 103.0)
    b.pass_to(241.0)
    assert [int(bar["ts_open"] - DAY) // MINUTE for bar in b.closed[0]] == [0, 1, 2, 3]


def test_a_minute_is_not_held_for_ever() -> None:
    b = Builder()
    b.trade(0.0, 100.0)
    b.record["is_held"] = 1
    b.pass_to(60.0 + 899.0)
    assert b.closed[0] == []
    b.pass_to(60.0 + 901.0)
    assert len(b.closed[0]) == 1
