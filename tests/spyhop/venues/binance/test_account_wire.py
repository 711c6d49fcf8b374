"""Account events, bare and wrapped, and what never shows."""

from __future__ import annotations

from decimal import Decimal

import pytest

from spyhop.errors import UnreadableLine
from spyhop.venues.binance.account_wire import (
    AccountUpdate,
    AlgoUpdate,
    ExecutionReport,
    ListenKeyExpired,
    OrderTradeUpdate,
    account_event,
)

FILL = (
    b'{"e":"ORDER_TRADE_UPDATE","T":1568879465651,"E":1568879465651,"o":{"s":"BTCUSDT","c":"TEST","S":"BUY",'
    b'"o":"LIMIT","f":"GTC","q":"0.001","p":"7100.50","ap":"7100.50","sp":"0","x":"TRADE","X":"PARTIALLY_FILLED",'
    b'"i":8886774,"l":"0.001","z":"0.001","L":"7100.50","N":"USDT","n":"0.01000000","T":1568879465651,"t":12345678,'
    b'"b":"0","a":"0","m":true,"R":false,"wt":"CONTRACT_PRICE","ot":"LIMIT","ps":"LONG","cp":false,"rp":"12.34"}}'
)


def test_a_fill_is_told_exactly() -> None:
    event = account_event(FILL)
    assert isinstance(event, OrderTradeUpdate)
    order = event.order
    assert (order.symbol, order.trade_id, order.is_maker, order.position_side) == ("BTCUSDT", 12_345_678, True, "LONG")
    assert (order.last_price, order.fee, order.realised_profit) == (
        Decimal("7100.50"),
        Decimal("0.01"),
        Decimal("12.34"),
    )


@pytest.mark.parametrize("wrapper", [b'{"stream":"key","data":%b}', b'{"subscriptionId":0,"event":%b}'])
def test_wrapped_events_are_unwrapped(wrapper: bytes) -> None:
    assert account_event(wrapper % FILL) == account_event(FILL)


def test_a_conditional_order_names_the_order_that_it_became() -> None:
    event = account_event(
        b'{"stream":"test","data":{"e":"ALGO_UPDATE","T":1765431097030,"E":1765431097037,"o":{"caid":"O-1",'
        b'"aid":1000000033225453,"at":"CONDITIONAL","o":"STOP_MARKET","s":"DOGEUSDT","S":"BUY","ps":"BOTH","f":"GTC",'
        b'"q":"38","X":"TRIGGERED","ai":"88937381063","ap":"0","aq":"0","act":"MARKET","tp":"0.13855","p":"0"}}}'
    )
    assert isinstance(event, AlgoUpdate)
    assert (event.order.status, event.order.order_id, event.order.trigger_price) == (
        "TRIGGERED",
        "88937381063",
        Decimal("0.13855"),
    )


def test_an_account_without_positions() -> None:
    event = account_event(
        b'{"e":"ACCOUNT_UPDATE","T":1781606859764,"E":1781606859764,"a":{"m":"ORDER","B":[{"a":"BNFCR",'
        b'"wb":"5001.28983031","cw":"5001.28983031","bc":"0"}],"P":[]}}'
    )
    assert isinstance(event, AccountUpdate)
    assert event.account.balances[0].balance == Decimal("5001.28983031")


def test_a_listen_key_never_shows() -> None:
    event = account_event(b'{"e":"listenKeyExpired","E":1736996475556,"listenKey":"very-secret"}')
    assert isinstance(event, ListenKeyExpired)
    assert event.listen_key == "very-secret"
    assert "secret" not in repr(event)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"[]",
        b"{}",
        b'{"e":"aggTrade"}',
        FILL[:-1],
        FILL.replace(b'"p":"7100.50"', b'"p":"abc"'),
        FILL.replace(b'"p":"7100.50"', b'"p":"NaN"'),
        FILL.replace(b'"p":"7100.50"', b'"p":"Infinity"'),
        FILL.replace(b'"wt"', b'"w\xff"'),
    ],
)
def test_what_is_no_event_is_a_data_error(frame: bytes) -> None:
    with pytest.raises(UnreadableLine):
        account_event(frame)


def test_spot_reports_come_through_the_same_door() -> None:
    event = account_event(
        b'{"subscriptionId":0,"event":{"e":"executionReport","E":1499405658658,"s":"ETHBTC","c":"x","S":"BUY",'
        b'"o":"LIMIT","f":"GTC","q":"1.0","p":"0.1","P":"0.0","x":"NEW","X":"NEW","r":"NONE","i":4293153,"l":"0.0",'
        b'"z":"0.0","L":"0.0","n":"0","N":null,"T":1499405658657,"t":-1,"m":false,"Z":"0.0"}}'
    )
    assert isinstance(event, ExecutionReport)
    assert event.trade_id == -1
