"""The ends of sessions and the range of trades, on tapes of a few rows."""

from __future__ import annotations

from spyhop.execution import sightings
from spyhop.model.tape import Events, Kind, Status, event, joined


def trade(ts: int, price: int, number: int = 0) -> Events:
    one = event(Kind.TRADE, ts, side=1, price=price, qty=1)
    one["instrument"] = number
    return one


def test_ends_come_with_time_and_instrument() -> None:
    second = event(Kind.STATUS, 9, aux=Status.SESSION_END)
    second["instrument"] = 3
    tape = joined([event(Kind.STATUS, 4, aux=Status.GAP), event(Kind.STATUS, 7, aux=Status.SESSION_END), second])
    assert sightings.session_ends(tape) == [(7, 0), (9, 3)]


def test_the_range_is_that_of_the_trades_of_one_instrument() -> None:
    tape = joined([trade(1, 10), trade(2, 8), event(Kind.MARK, 3, price=99), trade(4, 50, number=1), trade(5, 9)])
    assert sightings.traded_between(tape, 0) == (8, 10)
    assert sightings.traded_between(tape, 2) is None
