from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from spyhop.clock import NS_PER_MS
from spyhop.model.accounts import VenueBalance, VenuePosition
from spyhop.model.instruments import Instrument
from spyhop.model.orders import Liquidity, OrderStatus
from spyhop.model.tape import Side, Venue
from spyhop.venues.dydx import answers, wire
from spyhop.venues.dydx.answers import Market

BTC = Instrument(id=3, venue=Venue.DYDX, symbol="BTC-USD", tick_size=Decimal(1), lot_size=Decimal("0.0001"))
MARKET = Market(BTC, 0)
AT = datetime(2026, 5, 21, 17, 15, 0, 250_000, tzinfo=UTC)


def order(status: str = "OPEN", **about: Any) -> wire.Order:
    words = {"side": "SELL", "size": "0.001", "price": "64000", "total_filled": "0", "updated_at": AT, **about}
    return wire.Order("uuid", "77", "0", status=status, **words)


def test_an_order_in_lots_and_ticks() -> None:
    told = answers.judged(order(total_filled="0.0004", trigger_price="63000", reduce_only=True), MARKET, "mine", 100)
    assert (told.client_order_id, told.venue_order_id, told.instrument) == ("mine", "uuid", 3)
    assert (told.side, told.lots, told.filled, told.price, told.trigger) == (Side.SELL, 10, 4, 64_000, 63_000)
    assert (told.status, told.reduce_only) == (OrderStatus.PARTIALLY_FILLED, True)
    assert told.ts_venue == round(AT.timestamp() * 1000) * NS_PER_MS


@pytest.mark.parametrize(
    ("status", "about", "height", "expected"),
    [
        ("BEST_EFFORT_OPENED", {}, 100, OrderStatus.OPEN),
        ("UNTRIGGERED", {}, 10**9, OrderStatus.OPEN),
        ("OPEN", {"good_til_block": "110"}, 111, OrderStatus.OPEN),
        ("OPEN", {"good_til_block": "110"}, 112, OrderStatus.EXPIRED),
        ("BEST_EFFORT_CANCELED", {"good_til_block": "110"}, 111, OrderStatus.CANCEL_PENDING),
        ("BEST_EFFORT_CANCELED", {"good_til_block": "110"}, 112, OrderStatus.CANCELLED),
        ("FILLED", {"good_til_block": "110"}, 200, OrderStatus.FILLED),
        ("CANCELED", {"good_til_block": "110"}, 109, OrderStatus.CANCELLED),
        ("CANCELED", {"good_til_block": "110"}, 110, OrderStatus.EXPIRED),
        ("CANCELED", {"good_til_block": "110", "time_in_force": "IOC"}, 110, OrderStatus.CANCELLED),
        ("CANCELED", {}, 110, OrderStatus.CANCELLED),
    ],
)
def test_blocks_decide_what_a_status_means(
    status: str, about: dict[str, Any], height: int, expected: OrderStatus
) -> None:
    assert answers.judged(order(status, **about), MARKET, "", height).status is expected


def test_an_end_that_we_asked_for_is_a_cancellation() -> None:
    told = answers.judged(order("CANCELED", good_til_block="110"), MARKET, "", 110, is_cancelled=True)
    assert told.status is OrderStatus.CANCELLED


@pytest.mark.parametrize("about", [{"status": "DREAMING"}, {"side": "UP"}, {"size": "0.00001"}, {"price": "0"}])
def test_nonsense_is_no_order(about: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        answers.judged(order(**about), MARKET, "", 100)


def test_a_fill() -> None:
    fill = wire.Fill("f", "BUY", "MAKER", "LIMIT", "0.0025", "64001", AT, fee="-0.5", market="BTC-USD", order_id="uuid")
    told = answers.fill_of(fill, MARKET, "mine")
    assert (told.fill_id, told.venue_order_id, told.client_order_id) == ("f", "uuid", "mine")
    assert (told.side, told.lots, told.price, told.fee) == (Side.BUY, 25, 64_001, -0.5)
    assert told.liquidity is Liquidity.MAKER


@pytest.mark.parametrize(
    ("kind", "order_id", "expected"),
    [
        ("LIQUIDATED", None, True),
        ("DELEVERAGED", None, True),
        ("LIQUIDATION", "uuid", False),
        ("LIMIT", "uuid", False),
        ("LIQUIDATED", "uuid", False),
    ],
)
def test_only_the_side_that_lost_its_position_was_forced(kind: str, order_id: str | None, expected: bool) -> None:
    fill = wire.Fill("f", "BUY", "TAKER", kind, "0.0025", "64001", AT, order_id=order_id)
    assert answers.is_forced(fill) is expected


@pytest.mark.parametrize(("subaccount", "is_isolated"), [(0, False), (127, False), (128, True)])
def test_a_position_has_a_sign_and_the_margin_of_its_subaccount(subaccount: int, is_isolated: bool) -> None:
    short = wire.Position("BTC-USD", "OPEN", "SHORT", "-0.0015", entry_price="64000.5")
    assert answers.position_of(short, MARKET, subaccount) == VenuePosition(
        instrument=3, lots=-15, entry=64_000.5, is_isolated=is_isolated
    )


def test_money_is_without_what_positions_have_gained() -> None:
    held = {"BTC-USD": wire.Position("BTC-USD", "OPEN", "LONG", "0.1", unrealized_pnl="-12.5")}
    told = wire.Subaccount("dydx1", equity="1000.25", free_collateral="800", open_perpetual_positions=held)
    assert answers.balance_of(told) == VenueBalance(asset="USDC", total=1_012.75, free=800.0)


@pytest.mark.parametrize(("text", "number"), [(None, 0), ("", 0), ("0", 0), ("4294967295", 4_294_967_295)])
def test_numbers_may_be_left_out(text: str | None, number: int) -> None:
    assert answers.number_of(text) == number


def test_other_texts_are_no_numbers() -> None:
    for text in ("-1", "1.5", "x", "١"):
        with pytest.raises(ValueError, match="not a number"):
            answers.number_of(text)
