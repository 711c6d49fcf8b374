"""Whatever is asked, the answer is a body or one of the venue's refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spyhop.clock import NS_PER_S, EventClock
from spyhop.venuesim.binance.account_desk import AccountDesk
from spyhop.venuesim.binance.algo_desk import AlgoDesk
from spyhop.venuesim.binance.errors import BinanceError
from spyhop.venuesim.binance.front import SpotFront, UsdmFront
from spyhop.venuesim.binance.futures_rest import FuturesRest
from spyhop.venuesim.binance.rest import Access, Call, Endpoint
from spyhop.venuesim.binance.spot_desk import SpotDesk
from spyhop.venuesim.faults import Faults
from spyhop.venuesim.floor import Floor
from spyhop.venuesim.keys import ApiKey
from spyhop.venuesim.words import Refused

START = 1_700_000_000 * NS_PER_S
KEY = ApiKey("alice", "key", "secret")

WORDS = st.one_of(
    st.sampled_from(
        [
            *("BTCUSDT", "ETHUSDT", "BUY", "SELL", "LIMIT", "MARKET", "STOP", "STOP_MARKET", "TRAILING_STOP_MARKET"),
            *("GTC", "IOC", "FOK", "GTX", "GTD", "true", "false", "0", "-1", "1", "0.001", "59000", "60000.1", "1e9"),
            *("CONDITIONAL", "MARK_PRICE", "ISOLATED", "CROSSED", "1m", "5m", "1d", "[]", "[{}]", "[1]", "LIMIT_MAKER"),
            *("1000001", "1000000001000001", "1700000000000", "99999999999999999999", "NaN", "Infinity", "RESULT"),
        ]
    ),
    st.text(max_size=12),
    st.integers(-(10**6), 10**15).map(str),
)
NAMES = [
    *("symbol", "side", "type", "quantity", "price", "timeInForce", "limit", "fromId", "startTime", "endTime"),
    *("orderId", "origClientOrderId", "newClientOrderId", "triggerPrice", "stopPrice", "callbackRate", "algoType"),
    *("algoId", "clientAlgoId", "closePosition", "reduceOnly", "goodTillDate", "activatePrice", "leverage"),
    *("marginType", "countdownTime", "interval", "period", "batchOrders", "orderIdList", "incomeType", "quoteOrderQty"),
    *("origClientOrderIdList", "dualSidePosition", "cancelReplaceMode", "cancelOrderId", "positionSide"),
]


@pytest.fixture(scope="module")
def endpoints(scripted_exchange: Callable[[int], Any]) -> tuple[Floor, list[tuple[str, Endpoint]]]:
    clock = EventClock(START + 30 * NS_PER_S)
    floor = Floor(scripted_exchange(START), clock, Faults(clock.now_ns, np.random.default_rng(1)))
    usdm, spot = UsdmFront(floor, [KEY]), SpotFront(floor, [KEY])
    floor.add(usdm)
    floor.add(spot)
    floor.turn()
    futures = [
        usdm.market,
        FuturesRest(usdm.market),
        usdm.orders,
        AlgoDesk(usdm.market, usdm.allowance, usdm.next_id),
        AccountDesk(usdm.market, usdm.listen_keys),
    ]
    pairs = [spot.market, SpotDesk(spot.market, spot.allowance, spot.next_id)]
    found = [(usdm.account_of(KEY), endpoint) for desk in futures for endpoint in desk.endpoints()]
    found += [(spot.account_of(KEY), endpoint) for desk in pairs for endpoint in desk.endpoints()]
    return floor, found


def test_there_is_something_to_ask(endpoints: tuple[Floor, list[tuple[str, Endpoint]]]) -> None:
    assert len(endpoints[1]) > 70
    assert sum(endpoint.access is Access.TRADING for _, endpoint in endpoints[1]) >= 14


@pytest.mark.slow
@settings(max_examples=1_500, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_nothing_that_is_asked_breaks_the_venue(
    endpoints: tuple[Floor, list[tuple[str, Endpoint]]], data: st.DataObject
) -> None:
    floor, known = endpoints
    account, endpoint = data.draw(st.sampled_from(known))
    params = data.draw(st.dictionaries(st.sampled_from(NAMES), WORDS, max_size=9))
    if data.draw(st.booleans()):
        params = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.01", "type": "LIMIT", "price": "59000"} | params
    call = Call(params, account, floor, 0, endpoint.path)
    try:
        body = endpoint.handler(call)
    except (BinanceError, Refused):
        return
    finally:
        floor.publish()
    assert isinstance(body, bytes) or msgspec.json.decode(msgspec.json.encode(body)) is not None
