from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.errors import VenueRefused
from spyhop.model.instruments import Instrument
from spyhop.model.orders import OrderType, Purpose, SubmitOrder, TimeInForce
from spyhop.model.tape import Side, Venue
from spyhop.venues.dydx.answers import Market
from spyhop.venues.dydx.order_words import KINDS, DydxTraderParams, anchor, words, worst
from spyhop.venues.dydx.placements import CONDITIONAL, LONG_TERM, SHORT_TERM

MARKET = Market(
    Instrument(id=3, venue=Venue.DYDX, symbol="X-USD", tick_size=Decimal("0.00001"), lot_size=Decimal(10)), 5
)
PARAMS = DydxTraderParams(taker_blocks=7, maker_blocks=15, stateful_days=1.0)


def order(kind: OrderType, **about: Any) -> SubmitOrder:
    columns: dict[str, Any] = {"side": Side.BUY, "lots": 7, "price": 123, **about}
    return SubmitOrder(ts=0, client_order_id="a-1", instrument=3, type=kind, purpose=Purpose.ENTRY, **columns)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (order(OrderType.MARKET, price=0), ("market", SHORT_TERM, 107, {"timeInForce": "IOC", "goodTillBlock": 107})),
        (
            order(OrderType.LIMIT, time_in_force=TimeInForce.IOC),
            ("limit", SHORT_TERM, 107, {"timeInForce": "IOC", "goodTillBlock": 107}),
        ),
        (
            order(OrderType.LIMIT, time_in_force=TimeInForce.POST_ONLY),
            ("limit", SHORT_TERM, 115, {"timeInForce": "PO", "goodTillBlock": 115}),
        ),
        (order(OrderType.LIMIT), ("limit", LONG_TERM, 0, {"goodTillBlockTimeInSeconds": 86_400})),
        (
            order(OrderType.STOP_MARKET, trigger=120),
            ("market", CONDITIONAL, 0, {"goodTillBlockTimeInSeconds": 86_400, "stopLossPrice": "0.00120"}),
        ),
        (
            order(OrderType.TAKE_PROFIT_LIMIT, trigger=120),
            ("limit", CONDITIONAL, 0, {"goodTillBlockTimeInSeconds": 86_400, "takeProfitPrice": "0.00120"}),
        ),
    ],
)
def test_how_an_order_is_said_and_how_long_it_lives(asked: SubmitOrder, expected: tuple[Any, ...]) -> None:
    assert tuple(words(asked, MARKET, 100, PARAMS)) == expected


def test_resting_orders_may_be_short_term_by_choice() -> None:
    said = words(order(OrderType.LIMIT), MARKET, 100, DydxTraderParams(gtc_blocks=30))
    assert (said.flags, said.good_til_block, said.params["timeInForce"]) == (SHORT_TERM, 130, "GTB")


def test_what_the_venue_has_not_is_refused_here() -> None:
    assert OrderType.TRAILING_STOP not in KINDS
    with pytest.raises(VenueRefused):
        words(order(OrderType.TRAILING_STOP, callback=5), MARKET, 100, PARAMS)


def test_the_worst_price_of_market_orders_and_of_stops() -> None:
    params = DydxTraderParams(max_slippage_frac=0.02, stop_slippage_frac=0.1)
    buy, sell = order(OrderType.MARKET, price=0), order(OrderType.MARKET, price=0, side=Side.SELL)
    assert (anchor(buy), worst(buy, 60_000.0, params), worst(sell, 60_000.0, params)) == (0.0, 61_200, 58_800)
    stop = order(OrderType.STOP_MARKET, price=0, trigger=59_000, side=Side.SELL)
    assert (anchor(stop), worst(stop, anchor(stop), params)) == (59_000.0, 53_100)
    limit = order(OrderType.LIMIT, price=123)
    assert (anchor(limit), worst(limit, 60_000.0, params)) == (123.0, 123)


@given(st.floats(1.0, 1e9), st.floats(0.001, 0.5), st.sampled_from([Side.BUY, Side.SELL]))
def test_the_worst_price_never_lies_beyond_what_is_permitted(worth: float, frac: float, side: Side) -> None:
    asked = order(OrderType.MARKET, price=0, side=side)
    price = worst(asked, worth, DydxTraderParams(max_slippage_frac=frac))
    assert price >= 1
    assert int(side) * (price - worth) <= frac * worth * (1 + 1e-12) or price == 1
