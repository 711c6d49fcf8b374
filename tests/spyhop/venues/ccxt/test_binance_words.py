"""Orders in Binance's words, by the documents."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.errors import VenueRefused
from spyhop.model.accounts import VenueOrder
from spyhop.model.instruments import Instrument
from spyhop.model.orders import Liquidity, OrderStatus, OrderType, Purpose, SubmitOrder, TimeInForce
from spyhop.model.tape import Side, Venue
from spyhop.venues.ccxt import binance_words as words
from spyhop.venues.fees import nobody_knows

BTC = Instrument(
    id=3,
    venue=Venue.BINANCE_USDM,
    symbol="BTCUSDT",
    tick_size=Decimal("0.10"),
    lot_size=Decimal("0.001"),
    base="BTC",
)
# 1000000 of these make one of a coin worth less than a cent
PEPE = Instrument(
    id=4, venue=Venue.BINANCE_USDM, symbol="PEPEUSDT", tick_size=Decimal("1E-8"), lot_size=Decimal("1E+2")
)


def order(kind: OrderType, **about: Any) -> SubmitOrder:
    usual = {"ts": 1, "client_order_id": "n", "instrument": 3, "side": Side.SELL, "lots": 5, "purpose": Purpose.ENTRY}
    return SubmitOrder(**{**usual, **about}, type=kind)


USUAL = {"symbol": "BTCUSDT", "side": "SELL", "quantity": "0.005", "newOrderRespType": "RESULT"}
PLAIN = USUAL | {"newClientOrderId": "n"}
ALGO = USUAL | {"algoType": "CONDITIONAL", "clientAlgoId": "n"}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (order(OrderType.MARKET, reduce_only=True), PLAIN | {"type": "MARKET", "reduceOnly": "true"}),
        (order(OrderType.LIMIT, price=600_001), PLAIN | {"type": "LIMIT", "price": "60000.10", "timeInForce": "GTC"}),
        (
            order(OrderType.LIMIT, price=10, time_in_force=TimeInForce.POST_ONLY),
            PLAIN | {"type": "LIMIT", "price": "1.00", "timeInForce": "GTX"},
        ),
        (
            order(OrderType.LIMIT, price=10, time_in_force=TimeInForce.IOC),
            PLAIN | {"type": "LIMIT", "price": "1.00", "timeInForce": "IOC"},
        ),
        (order(OrderType.STOP_MARKET, trigger=20), ALGO | {"type": "STOP_MARKET", "triggerPrice": "2.00"}),
        (
            order(OrderType.STOP_LIMIT, trigger=20, price=10),
            ALGO | {"type": "STOP", "triggerPrice": "2.00", "price": "1.00", "timeInForce": "GTC"},
        ),
        (
            order(OrderType.TAKE_PROFIT_MARKET, trigger=20),
            ALGO | {"type": "TAKE_PROFIT_MARKET", "triggerPrice": "2.00"},
        ),
        (
            order(OrderType.TAKE_PROFIT_LIMIT, trigger=20, price=10),
            ALGO | {"type": "TAKE_PROFIT", "triggerPrice": "2.00", "price": "1.00", "timeInForce": "GTC"},
        ),
        (
            order(OrderType.TRAILING_STOP, trigger=1_000, callback=19),
            ALGO | {"type": "TRAILING_STOP_MARKET", "callbackRate": "1.9", "activatePrice": "100.00"},
        ),
    ],
)
def test_orders_of_futures(asked: SubmitOrder, told: dict[str, str]) -> None:
    assert words.usdm_params(asked, BTC) == told


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (order(OrderType.MARKET), PLAIN | {"type": "MARKET"}),
        (order(OrderType.MARKET, reduce_only=True), PLAIN | {"type": "MARKET"}),
        (order(OrderType.LIMIT, price=10), PLAIN | {"type": "LIMIT", "price": "1.00", "timeInForce": "GTC"}),
        (
            order(OrderType.LIMIT, price=10, time_in_force=TimeInForce.IOC),
            PLAIN | {"type": "LIMIT", "price": "1.00", "timeInForce": "IOC"},
        ),
        (
            order(OrderType.LIMIT, price=10, time_in_force=TimeInForce.POST_ONLY),
            PLAIN | {"type": "LIMIT_MAKER", "price": "1.00"},
        ),
        (order(OrderType.STOP_MARKET, trigger=20), PLAIN | {"type": "STOP_LOSS", "stopPrice": "2.00"}),
        (
            order(OrderType.STOP_LIMIT, trigger=20, price=10),
            PLAIN | {"type": "STOP_LOSS_LIMIT", "stopPrice": "2.00", "price": "1.00", "timeInForce": "GTC"},
        ),
        (order(OrderType.TAKE_PROFIT_MARKET, trigger=20), PLAIN | {"type": "TAKE_PROFIT", "stopPrice": "2.00"}),
        (
            order(OrderType.TAKE_PROFIT_LIMIT, trigger=20, price=10),
            PLAIN | {"type": "TAKE_PROFIT_LIMIT", "stopPrice": "2.00", "price": "1.00", "timeInForce": "GTC"},
        ),
    ],
)
def test_orders_of_spot(asked: SubmitOrder, told: dict[str, str]) -> None:
    assert words.spot_params(asked, BTC) == told


@pytest.mark.parametrize(
    "asked",
    [
        order(OrderType.MARKET, side=Side.BUY, reduce_only=True),
        order(OrderType.STOP_LIMIT, trigger=2, price=1, time_in_force=TimeInForce.POST_ONLY),
    ],
)
def test_what_spot_does_not_have(asked: SubmitOrder) -> None:
    with pytest.raises(VenueRefused):
        words.spot_params(asked, BTC)


@pytest.mark.parametrize(("callback", "rate"), [(10, "0.1"), (19, "0.1"), (20, "0.2"), (1_000, "10.0")])
def test_a_trailing_stop_is_never_wider_than_asked(callback: int, rate: str) -> None:
    asked = order(OrderType.TRAILING_STOP, callback=callback)
    assert words.usdm_params(asked, BTC, 10_000)["callbackRate"] == rate


@pytest.mark.parametrize("callback", [0, 9, 1_010])
def test_a_distance_that_the_venue_does_not_have(callback: int) -> None:
    with pytest.raises(VenueRefused):
        words.usdm_params(order(OrderType.TRAILING_STOP, callback=callback), BTC, 10_000)


@given(lots=st.integers(1, 10**9), price=st.integers(1, 10**12), one=st.sampled_from([BTC, PEPE]))
def test_numbers_are_digits_and_come_back_the_same(lots: int, price: int, one: Instrument) -> None:
    told = words.usdm_params(order(OrderType.LIMIT, lots=lots, price=price), one)
    assert re.fullmatch(r"\d+(\.\d+)?", told["quantity"])
    assert re.fullmatch(r"\d+(\.\d+)?", told["price"])
    assert (one.to_lots(told["quantity"]), one.to_ticks(told["price"])) == (lots, price)


PLACED = {
    "orderId": 12345678, "symbol": "BTCUSDT", "status": "PARTIALLY_FILLED", "clientOrderId": "testOrder123",
    "price": "50000.00", "avgPrice": "0.00", "origQty": "0.003", "executedQty": "0.001", "timeInForce": "GTC",
    "type": "LIMIT", "reduceOnly": True, "side": "BUY", "positionSide": "BOTH", "stopPrice": "0.00",
    "time": 1625474304765, "updateTime": 1625474304766,
}  # fmt: skip


def test_an_order_of_the_document() -> None:
    told = words.order_of(PLACED, BTC, lambda name: True)
    assert told == VenueOrder(
        client_order_id="testOrder123",
        venue_order_id="12345678",
        instrument=3,
        side=Side.BUY,
        status=OrderStatus.PARTIALLY_FILLED,
        lots=3,
        filled=1,
        price=500_000,
        reduce_only=True,
        ts_venue=1_625_474_304_766_000_000,
    )
    assert words.order_of(PLACED, BTC, lambda name: False).client_order_id == ""
    assert words.order_of(PLACED, BTC, lambda name: False, "known").client_order_id == "known"


WAITING = {
    "algoId": 2146760, "clientAlgoId": "6B2I9XVcJpCjqPAJ4YoFX7", "algoType": "CONDITIONAL", "orderType": "TAKE_PROFIT",
    "symbol": "BNBUSDT", "side": "SELL", "positionSide": "BOTH", "timeInForce": "GTC", "quantity": "0.01",
    "algoStatus": "NEW", "triggerPrice": "750.000", "price": "750.000", "icebergQuantity": None, "reduceOnly": False,
    "activatePrice": "", "callbackRate": "", "createTime": 1750485492076, "updateTime": 1750485492076,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "status", "actual"),
    [
        ({}, OrderStatus.OPEN, ""),
        ({"algoStatus": "TRIGGERED", "actualOrderId": "77"}, OrderStatus.OPEN, "77"),
        ({"algoStatus": "CANCELED", "actualOrderId": ""}, OrderStatus.CANCELLED, ""),
        ({"algoStatus": "REJECTED", "actualOrderId": None}, OrderStatus.REJECTED, ""),
        ({"algoStatus": "FINISHED", "actualOrderId": "0"}, OrderStatus.EXPIRED, ""),
        ({"triggerPrice": "", "price": None}, OrderStatus.OPEN, ""),
    ],
)
def test_a_conditional_order_of_the_document(changes: dict[str, Any], status: OrderStatus, actual: str) -> None:
    body = WAITING | changes
    told = words.algo_order_of(body, BTC, lambda name: True)
    assert (told.status, told.lots, told.filled) == (status, 10, 0)
    assert told.trigger == (0 if "triggerPrice" in changes else 7_500)
    assert words.becomes(body) == actual


def test_fills_of_the_documents() -> None:
    futures = {
        "buyer": False, "commission": "-0.07819010", "commissionAsset": "USDT", "id": 698759, "maker": True,
        "orderId": 25851813, "price": "7819.0", "qty": "0.002", "side": "SELL", "time": 1569514978020,
    }  # fmt: skip
    told = words.fill_of(futures, BTC, "n", nobody_knows)
    assert (told.fill_id, told.side, told.price, told.lots) == ("698759", Side.SELL, 78_190, 2)
    assert (told.liquidity, told.fee, told.ts_venue) == (Liquidity.MAKER, -0.0781901, 1_569_514_978_020_000_000)
    spot = {
        "id": 28457, "orderId": 100234, "price": "4000.0", "qty": "12.000", "commission": "0.1",
        "commissionAsset": "BTC", "time": 1499865549590, "isBuyer": True, "isMaker": False,
    }  # fmt: skip
    told = words.fill_of(spot, BTC, "n", nobody_knows)
    assert (told.side, told.liquidity, told.fee) == (Side.BUY, Liquidity.TAKER, 400.0)


@pytest.mark.parametrize("told", ["NaN", "Infinity", "abc"])
def test_what_is_no_number_is_none(told: str) -> None:
    with pytest.raises(ValueError, match="no number"):
        words.number(told)
