"""Trades: each once, forced ones twice over: as a trade and as a liquidation."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from spyhop.model.tape import Flag, Kind, Side
from spyhop.venues.catalogue import by_key
from spyhop.venues.dydx import wire
from spyhop.venues.dydx.numbers import Grid, event_id, packed_event
from spyhop.venues.dydx.trade_log import Printed, TradeLog, add_trade, printed
from spyhop.venues.rows import Rows

BTC = by_key("dydx:BTC-USD")
GRID = Grid(BTC)
AT = datetime(2025, 12, 8, 12, tzinfo=UTC)


def trade(number: int, **columns: object) -> wire.Trade:
    told = {
        "id": event_id(packed_event(1_000, 2, number)), "side": "BUY", "size": "0.5", "price": "100", "created_at": AT
    }  # fmt: skip
    return wire.Trade(**{**told, **columns})  # type: ignore[arg-type]


def prints(*numbers: int) -> list[Printed]:
    return [printed(trade(number), GRID) for number in numbers]


def test_a_forced_trade_is_a_liquidation_of_the_taker_too() -> None:
    for kind in ("LIQUIDATED", "DELEVERAGED"):
        rows = Rows(BTC)
        add_trade(printed(trade(1, side="SELL", type=kind), GRID), 7, 0, rows)
        events = rows.events()
        assert events["kind"].tolist() == [Kind.TRADE, Kind.LIQUIDATION]
        assert events["side"].tolist() == [Side.SELL, Side.SELL]
        assert events["price"].tolist() == [100, 100]
        assert events["qty"].tolist() == [5_000, 5_000]
        assert events["aux"].tolist() == [0, 100]


@pytest.mark.parametrize("kind", ["LIMIT", "TWAP_SUBORDER", "MARKET", "SOMETHING_NEW"])
def test_any_other_type_is_a_trade(kind: str) -> None:
    rows = Rows(BTC)
    add_trade(printed(trade(1, type=kind), GRID), 7, Flag.BACKFILLED, rows)
    assert rows.events()["kind"].tolist() == [Kind.TRADE]


@pytest.mark.parametrize("columns", [{"side": "buy"}, {"size": "0"}, {"price": "0"}, {"id": "x"}, {"price": "1.5"}])
def test_what_is_no_trade_is_refused(columns: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        printed(trade(1, **columns), GRID)


def test_repeats_are_dropped_and_late_trades_are_not() -> None:
    log = TradeLog()
    assert log.new(prints(5, 7)) == prints(5, 7)
    assert log.new(prints(5, 6, 7, 8)) == prints(6, 8)
    assert log.num_repeated == 2


def test_the_first_history_was_not_missed_and_is_not_told_again() -> None:
    log = TradeLog()
    assert log.begin(prints(1, 2, 3)) == []
    assert log.new(prints(2, 3, 4)) == prints(4)
    assert log.num_history == 3


def test_a_later_history_brings_exactly_what_was_missed() -> None:
    log = TradeLog()
    log.begin(prints(1, 2))
    log.new(prints(3, 6))
    assert log.begin(prints(1, 2, 3, 4, 5, 6, 7)) == prints(4, 5, 7)


def test_history_after_the_first_live_trade_reaches_back_no_further_than_that_trade() -> None:
    log = TradeLog()
    log.new(prints(5))
    assert log.begin(prints(3, 4, 5, 6)) == prints(6)


def test_memory_is_bounded_and_what_was_forgotten_stays_seen() -> None:
    log = TradeLog()
    for number in range(20_000):
        assert log.new(prints(number))
    assert len(log._seen) <= 8_192
    assert log.new(prints(0, 5_000, 19_999)) == []
