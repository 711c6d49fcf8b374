"""Figures of a market: merged, in the tape's units, refused whole when one is no number."""

from __future__ import annotations

import pytest

from spyhop.clock import NS_PER_HOUR
from spyhop.model.tape import Kind
from spyhop.venues.catalogue import by_key
from spyhop.venues.dydx import wire
from spyhop.venues.dydx.market_log import MarketLog, merged, next_hour
from spyhop.venues.dydx.numbers import Grid
from spyhop.venues.rows import Rows

BTC = by_key("dydx:BTC-USD")
TS = 1_765_210_320_000_000_000


def test_funding_is_due_at_the_next_whole_hour_and_never_now() -> None:
    assert next_hour(TS) % NS_PER_HOUR == 0
    assert TS < next_hour(TS) <= TS + NS_PER_HOUR
    assert next_hour(3 * NS_PER_HOUR) == 4 * NS_PER_HOUR


def test_what_changed_is_told_with_what_is_known_already() -> None:
    log, rows = MarketLog(Grid(BTC)), Rows(BTC)
    log.on_market(wire.Market(volume_24h="10.005", price_change_24h="-1.6", trades_24h=4), TS, 0, rows)
    log.on_trade(123)
    log.on_market(wire.Market(trades_24h=5), TS + 1, 0, rows)
    log.on_market(wire.Market(status="PAUSED"), TS + 2, 0, rows)
    events = rows.events()
    assert events["kind"].tolist() == [Kind.TICKER, Kind.TICKER]
    assert events["aux"].tolist() == [-2, -2]
    assert events["aux2"].tolist() == [1_001, 1_001]
    assert events["id"].tolist() == [4, 5]
    assert events["price"].tolist() == [0, 123]


@pytest.mark.parametrize("wrong", ["oracle_price", "open_interest", "next_funding_rate", "volume_24h"])
def test_one_bad_figure_and_none_is_taken(wrong: str) -> None:
    log, rows = MarketLog(Grid(BTC)), Rows(BTC)
    figures = {"oracle_price": "5", "open_interest": "1", "next_funding_rate": "0.1", "volume_24h": "2"}
    with pytest.raises(ValueError):
        log.on_market(wire.Market(**{**figures, wrong: "x"}), TS, 0, rows)  # type: ignore[arg-type]
    assert not len(rows)


@pytest.mark.parametrize("price", ["0", "-5", "0.000000001"])
def test_an_oracle_price_of_nothing_is_refused(price: str) -> None:
    with pytest.raises(ValueError):
        MarketLog(Grid(BTC)).on_market(wire.Market(oracle_price=price), TS, 0, Rows(BTC))


def test_the_newer_of_two_changes_wins_field_by_field() -> None:
    both = merged(wire.Market(oracle_price="1", status="ACTIVE"), wire.Market(oracle_price="2"))
    assert (both.oracle_price, both.status) == ("2", "ACTIVE")
