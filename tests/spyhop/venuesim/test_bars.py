"""Minutes from trades, longer bars from minutes."""

from __future__ import annotations

import numpy as np
import pytest

from spyhop.clock import NS_PER_MINUTE, NS_PER_S
from spyhop.model.tape import Events, Flag, Kind, Side, event, joined
from spyhop.venuesim import bars

HOUR = 1_760_000_400 * NS_PER_S // (60 * NS_PER_MINUTE) * 60 * NS_PER_MINUTE


def trade(seconds: float, price: int, lots: int, number: int, side: Side = Side.BUY, late_s: float = 0.0) -> Events:
    ts = HOUR + int(seconds * NS_PER_S)
    return event(Kind.TRADE, ts + int(late_s * NS_PER_S), ts_event=ts, price=price, qty=lots, id=number, side=int(side))


def folded(rows: list[Events], until_s: float, num_cuts: int = 1) -> np.ndarray:
    state = np.zeros(1, bars.MINUTES)
    tape = joined(rows)
    for part in np.array_split(tape, num_cuts):
        bars.fold(state[0], part, 1e-4, int(part["ts_recv"][-1]) if len(part) else 0)
    bars.fold(state[0], tape[:0], 1e-4, HOUR + int(until_s * NS_PER_S))
    return state


def test_a_minute_is_its_trades() -> None:
    rows = [trade(1, 100, 2, 7), trade(2, 105, 1, 8, Side.SELL), trade(59, 95, 4, 9)]
    (bar,) = bars.bars(folded(rows, 59)[0], 60, 0, 0, 10)
    assert (bar["open"], bar["high"], bar["low"], bar["close"]) == (100, 105, 95, 95)
    assert (bar["lots"], bar["buy_lots"], bar["tick_lots"], bar["buy_tick_lots"]) == (7, 6, 685, 580)
    assert (bar["num_trades"], bar["first_id"], bar["last_id"]) == (3, 7, 9)
    assert (bar["ts_open"], bar["ts_close"]) == (HOUR, HOUR + NS_PER_MINUTE)


def test_a_minute_without_trades_is_flat() -> None:
    found = bars.bars(folded([trade(1, 100, 2, 7), trade(200, 90, 1, 8)], 250)[0], 60, 0, 0, 10)
    assert found["open"].tolist() == [100, 100, 100, 90, 90]
    assert found["num_trades"].tolist() == [1, 0, 0, 1, 0]
    assert found["first_id"].tolist() == [7, -1, -1, 8, -1]


def test_a_late_trade_counts_in_its_own_minute() -> None:
    rows = [trade(1, 100, 2, 7), trade(61, 101, 1, 9), trade(59, 90, 1, 8, late_s=3)]
    found = bars.bars(folded(rows, 70)[0], 60, 0, 0, 10)
    assert found["lots"].tolist() == [3, 1]
    assert found["low"].tolist() == [90, 101]


def test_longer_bars_are_folded_from_minutes_with_trades() -> None:
    rows = [trade(60 * k + 5, 100 + k, 1, k + 1) for k in range(12) if k not in (3, 5)]
    found = bars.bars(folded(rows, 719)[0], 300, 0, 0, 10)
    assert found["ts_open"].tolist() == [HOUR + 300 * k * NS_PER_S for k in range(3)]
    assert found["open"].tolist() == [100, 106, 110]
    assert found["high"].tolist() == [104, 109, 111]
    assert found["low"].tolist() == [100, 106, 110]
    assert found["close"].tolist() == [104, 109, 111]
    assert found["num_trades"].tolist() == [4, 4, 2]


@pytest.mark.parametrize(
    ("start", "end", "limit", "expected"),
    [
        (0, 0, 2, [4, 5]),
        (2, 0, 2, [2, 3]),
        (1.5, 0, 2, [2, 3]),
        (0, 3, 2, [2, 3]),
        (0, 3.5, 2, [2, 3]),
        (1, 2, 10, [1, 2]),
        (9, 0, 10, []),
        (0, 0, 99, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_bars_are_cut_by_their_opening_time(start: float, end: float, limit: int, expected: list[int]) -> None:
    rows = [trade(60 * k + 5, 100 + k, 1, k + 1) for k in range(6)]
    times = [int(HOUR + at * NS_PER_MINUTE) if at else 0 for at in (start, end)]
    found = bars.bars(folded(rows, 359)[0], 60, *times, limit)
    assert ((found["ts_open"] - HOUR) // NS_PER_MINUTE).tolist() == expected


def test_a_bar_that_the_tape_tells_wins() -> None:
    told = [
        event(Kind.BAR_OPEN, HOUR + 61 * NS_PER_S, price=99, aux=120, qty=50, aux2=20, id=HOUR, interval_s=60),
        event(Kind.BAR_CLOSE, HOUR + 61 * NS_PER_S, price=80, aux=110, qty=33, aux2=50, id=HOUR, interval_s=60),
    ]
    partial = [row.copy() for row in told]
    for row in partial:
        row["flags"], row["aux"] = Flag.PARTIAL, 500
    found = bars.bars(folded([trade(1, 100, 2, 7), *told, *partial], 70)[0], 60, 0, 0, 10)
    bar = found[0]
    assert (bar["open"], bar["high"], bar["low"], bar["close"], bar["lots"]) == (99, 120, 80, 110, 50)
    # a quote volume of 0.5 in units of 1e-4
    assert (bar["num_trades"], bar["tick_lots"], bar["buy_tick_lots"]) == (33, 5_000, 2_000)
    assert found["open"][1] == 110


@pytest.mark.parametrize("num_cuts", [2, 7, 100])
def test_cutting_changes_nothing(num_cuts: int) -> None:
    numbers = np.random.default_rng(1)
    rows = [
        trade(at, int(numbers.integers(90, 110)), int(numbers.integers(1, 9)), k)
        for k, at in enumerate(np.sort(numbers.uniform(0, 1_500, 200)))
    ]
    assert folded(rows, 1_600, num_cuts).tobytes() == folded(rows, 1_600).tobytes()


def test_each_fifth_minute_leaves_a_sample() -> None:
    rows = [trade(30 * k, 100, 3, k + 1, Side.BUY if k % 3 else Side.SELL) for k in range(30)]
    found = bars.samples(folded(rows, 899)[0])
    assert ((found["ts"] - HOUR) // NS_PER_MINUTE).tolist() == [5, 10]
    assert found["lots"].tolist() == [30, 30]
    assert found["buy_lots"].tolist() == [18, 21]
    with pytest.raises(ValueError, match="whole minutes"):
        bars.bars(folded(rows, 899)[0], 90, 0, 0, 1)
