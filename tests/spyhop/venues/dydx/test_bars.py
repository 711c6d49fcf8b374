"""Candles to bars: open ones grow, closed ones come once and in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from spyhop.model.tape import Events, Flag, Kind, Side
from spyhop.venues.catalogue import by_key
from spyhop.venues.dydx import wire
from spyhop.venues.dydx.bars import GRACE_NS, Bar, BarLog, bar_of
from spyhop.venues.dydx.numbers import Grid
from spyhop.venues.rows import Rows

BTC = by_key("dydx:BTC-USD")
GRID = Grid(BTC)
NOON = datetime(2025, 12, 8, 12, tzinfo=UTC)
MINUTE = 60_000_000_000
START = int(NOON.timestamp()) * 10**9


def candle(minute: int = 0, close: str = "105", volume: str = "2", **columns: object) -> wire.Candle:
    told: dict[str, object] = {
        "started_at": NOON + timedelta(minutes=minute),
        "resolution": "1MIN",
        "low": "100",
        "high": "110",
        "open": "101",
        "close": close,
        "base_token_volume": volume,
        "usd_volume": "207.123456",
        "trades": 4.0,
    }
    return wire.Candle(**{**told, **columns})  # type: ignore[arg-type]


def bar(minute: int = 0, close: str = "105", volume: str = "2", **columns: object) -> Bar:
    made = bar_of(candle(minute, close, volume, **columns), GRID)
    assert made is not None
    return made


def told(log: BarLog, *bars: Bar, ts: int = START) -> Events:
    rows = Rows(BTC)
    log.on_updates(bars, ts, rows)
    return rows.events()


def opens(events: Events) -> list[tuple[int, int]]:
    """(minute, flags) of each bar."""
    of_open = events[events["kind"] == Kind.BAR_OPEN]
    return [((int(row["id"]) - START) // MINUTE, int(row["flags"])) for row in of_open]


def test_a_candle_is_two_rows_in_ticks_lots_and_hundredths() -> None:
    first, second = told(BarLog(), bar())
    assert (first["price"], first["aux"], first["qty"], first["id"]) == (101, 110, 20_000, START)
    assert (second["price"], second["aux"], second["qty"], second["aux2"]) == (100, 105, 4, 20_712)
    assert first["interval_s"] == second["interval_s"] == 60
    assert first["flags"] == Flag.PARTIAL


def test_a_day_is_interval_zero_and_thirty_minutes_are_not_for_the_tape() -> None:
    day = bar_of(candle(resolution="1DAY", started_at=NOON.replace(hour=0)), GRID)
    assert day is not None
    assert told(BarLog(), day)["interval_s"].tolist() == [0, 0]
    assert bar_of(candle(resolution="30MINS"), GRID) is None


@pytest.mark.parametrize(
    "columns",
    [{"high": "104"}, {"low": "102"}, {"trades": 1.5}, {"trades": -1.0}, {"usd_volume": "-1"}, {"open": "101.5"},
     {"started_at": NOON + timedelta(seconds=1)}],
)  # fmt: skip
def test_a_candle_that_cannot_be_is_refused(columns: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        bar_of(candle(**columns), GRID)  # type: ignore[arg-type]


def test_a_newer_candle_closes_the_one_before() -> None:
    log = BarLog()
    told(log, bar(0, close="104"))
    assert opens(told(log, bar(0, close="106"))) == [(0, Flag.PARTIAL)]
    events = told(log, bar(1))
    assert opens(events) == [(0, 0), (1, Flag.PARTIAL)]
    assert events["aux"][1] == 106  # its last close


def test_of_one_message_only_the_last_state_of_a_candle_is_told() -> None:
    log = BarLog()
    assert opens(told(log, bar(0, close="104"), bar(0, close="105"), bar(1), bar(1))) == [
        (0, Flag.PARTIAL), (0, 0), (1, Flag.PARTIAL)
    ]  # fmt: skip


def test_blocks_past_the_end_close_a_bar_once() -> None:
    log, rows = BarLog(), Rows(BTC)
    told(log, bar(0))
    log.on_block(START + MINUTE + GRACE_NS - 1, START, rows)
    assert not len(rows)
    log.on_block(START + MINUTE + GRACE_NS, START, rows)
    log.on_block(START + 9 * MINUTE, START, rows)
    assert opens(rows.events()) == [(0, 0)]
    assert not len(told(log, bar(0)))
    assert log.num_late == 1
    assert opens(told(log, bar(1))) == [(1, Flag.PARTIAL)]


def test_the_first_history_opens_its_newest_only() -> None:
    log, rows = BarLog(), Rows(BTC)
    log.on_history([bar(minute) for minute in range(5)], START, rows)
    assert opens(rows.events()) == [(4, Flag.PARTIAL)]
    assert log.num_history == 4


def test_a_later_history_closes_what_was_missed() -> None:
    log, rows = BarLog(), Rows(BTC)
    told(log, bar(0))
    told(log, bar(1, close="102"))
    log.on_history([bar(minute, close="103") for minute in range(5)], START, rows)
    events = rows.events()
    assert opens(events) == [(1, Flag.BACKFILLED), (2, Flag.BACKFILLED), (3, Flag.BACKFILLED), (4, Flag.PARTIAL)]
    assert events["aux"][1] == 103  # as it ended, not as we left it
    assert opens(told(log, bar(5))) == [(4, 0), (5, Flag.PARTIAL)]


def test_a_doubted_bar_is_not_closed_until_it_is_told_anew() -> None:
    log, rows = BarLog(), Rows(BTC)
    told(log, bar(0, close="104"))
    log.doubt(60)
    log.on_block(START + 2 * MINUTE, START, rows)
    assert not len(rows)
    assert opens(told(log, bar(1))) == [(1, Flag.PARTIAL)]
    log.on_history([bar(0, close="106"), bar(1)], START, rows)
    log.on_block(START + 3 * MINUTE, START, rows)
    events = rows.events()
    assert opens(events) == [(0, Flag.BACKFILLED), (1, Flag.PARTIAL), (1, 0)]
    assert events["aux"][1] == 106


def test_a_connection_that_lags_takes_nothing_back() -> None:
    log, rows = BarLog(), Rows(BTC)
    told(log, bar(0, close="106", trades=5.0))
    assert not len(told(log, bar(0, close="104")))
    log.on_history([bar(-1), bar(0, close="104")], START, rows)
    assert log.num_late == 1
    assert opens(rows.events()) == [(-1, Flag.BACKFILLED)]
    assert told(log, bar(1))["aux"][1] == 106


def test_the_share_of_takers_is_that_of_the_trades_heard() -> None:
    log = BarLog()
    assert told(log, bar(0))["aux2"][0] == 10_000  # a half of 20,000 lots without a trade
    log.on_trade(START + 1, 3_000, Side.BUY)
    log.on_trade(START + 2, 1_000, Side.SELL)
    assert told(log, bar(0))["aux2"][0] == 15_000
    assert opens(told(log, bar(1))) == [(0, 0), (1, Flag.PARTIAL)]
    assert (60, START) not in log._takers
