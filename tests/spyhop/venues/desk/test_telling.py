"""What is told: ends wait for their fills, and nothing is told twice or before it is durable."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from spyhop.clock import EventClock
from spyhop.errors import StateError
from spyhop.execution.account import OwnOrder
from spyhop.model.accounts import VenueOrder
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    Fill,
    Liquidity,
    OrderCancelled,
    OrderExpired,
    OrderSent,
    OrderStatus,
    OrderType,
    Purpose,
    SubmitOrder,
)
from spyhop.model.tape import Side, Venue
from spyhop.venues.desk.log import kept_reports
from spyhop.venues.desk.telling import Teller

BTC = Instrument(id=1, venue=Venue.SIMULATED, symbol="BTC", tick_size=Decimal(1), lot_size=Decimal(1))
ORDER = SubmitOrder(
    ts=0, client_order_id="a", instrument=1, side=Side.BUY, type=OrderType.LIMIT, lots=4, price=9, purpose=Purpose.ENTRY
)
SENT = OrderSent(ts=0, client_order_id="a", instrument=1)


def fill(name: str, lots: int) -> Fill:
    return Fill(
        ts=0,
        ts_venue=0,
        fill_id=name,
        client_order_id="a",
        instrument=1,
        side=Side.BUY,
        price=9,
        lots=lots,
        liquidity=Liquidity.MAKER,
        fee=0.0,
        slippage=0.0,
    )


def ended(left: int) -> OrderCancelled:
    return OrderCancelled(ts=0, ts_venue=0, client_order_id="a", instrument=1, lots_left=left)


def opened(folder: Path, clock: EventClock | None = None) -> Teller:
    teller = Teller(folder, {1: BTC}, clock or EventClock(5))
    teller.take(0, [ORDER], lambda instrument: 8.0)
    teller.tell(SENT)
    return teller


def test_an_end_waits_for_the_fills_that_it_implies(tmp_path: Path) -> None:
    short: list[OwnOrder] = []
    teller = opened(tmp_path)
    teller.on_short = short.append
    assert teller.tell(ended(1), ended(1)) == 0
    assert [own.key for own in short] == ["a"]
    assert teller.is_ending("a")
    teller.tell(fill("t", 2))
    assert teller.is_ending("a")
    teller.tell(fill("u", 1))
    assert not teller.is_ending("a")
    assert [type(one) for one in teller.reports_since(0)] == [OrderSent, Fill, Fill, OrderCancelled]
    assert teller.account.orders["a"].status is OrderStatus.CANCELLED
    teller.close()


def test_a_last_fill_makes_a_held_end_needless(tmp_path: Path) -> None:
    teller = opened(tmp_path)
    teller.tell(OrderExpired(ts=0, ts_venue=0, client_order_id="a", instrument=1, lots_left=0))
    teller.tell(fill("t", 4))
    assert [type(one) for one in teller.reports_since(1)] == [Fill]
    assert teller.account.orders["a"].status is OrderStatus.FILLED
    teller.close()


def test_times_never_go_back_even_over_a_restart(tmp_path: Path) -> None:
    teller = opened(tmp_path, EventClock(100))
    teller.close()
    late = Teller(tmp_path, {1: BTC}, EventClock(50))
    late.tell(ended(4))
    assert [one.ts for one in late.reports_since(0)] == [100, 100]
    late.close()


def test_a_reopened_teller_knows_what_the_first_knew(tmp_path: Path) -> None:
    teller = opened(tmp_path)
    teller.know(
        VenueOrder(
            client_order_id="a",
            venue_order_id="77",
            instrument=1,
            side=Side.BUY,
            status=OrderStatus.OPEN,
            lots=4,
            filled=0,
        )
    )
    teller.tell(fill("t", 2))
    teller.close()
    again = Teller(tmp_path, {1: BTC}, EventClock(9))
    assert again.account.orders == teller.account.orders
    assert again.account.fills == {(1, "t")}
    assert again.account.lots == {1: 2}
    assert again.account.orders["a"].reference == 8.0
    assert again.account.order_of(1, "", "77") is again.account.orders["a"]
    assert again.tell(fill("t", 2)) == 0
    assert again.num_reports == teller.num_reports == 2
    again.close()


def test_a_name_is_used_once(tmp_path: Path) -> None:
    teller = opened(tmp_path)
    with pytest.raises(StateError, match="twice"):
        teller.take(1, [ORDER], lambda instrument: 0.0)
    teller.close()


def test_listeners_are_called_when_reports_are_durable(tmp_path: Path) -> None:
    teller = opened(tmp_path)
    seen: list[bool] = []
    teller.on_report = lambda: seen.append(teller._log._is_dirty)
    teller.tell(fill("t", 1))
    teller.tell(fill("t", 1))
    assert seen == [False]
    teller.close()


def test_after_the_end_nothing_is_said_or_kept(tmp_path: Path) -> None:
    teller = opened(tmp_path)
    said = teller.num_reports
    teller.end()
    assert teller.tell(fill("t", 1)) == 0
    assert (teller.num_reports, teller.counts["after_the_end"]) == (said, 1)
    teller.close()
    assert len(kept_reports(tmp_path)) == said
