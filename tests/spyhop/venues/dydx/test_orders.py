"""The order path: our subclass of ccxt's dYdX class, byte for byte against the public protobuf package."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from ccxt.base.errors import (
    ArgumentsRequired,
    AuthenticationError,
    DuplicateOrderId,
    ExchangeError,
    InvalidNonce,
    InvalidOrder,
    OrderImmediatelyFillable,
)

from spyhop.clock import NS_PER_S, EventClock
from spyhop.venues.dydx.orders import DydxOrders, quantums, subticks

SECRET = "33" * 32
NOW_S = 1_780_000_000
ACCOUNT_NUMBER = 17
MARKET = {
    "clobPairId": "0", "ticker": "BTC-USD", "status": "ACTIVE", "oraclePrice": "60000", "priceChange24H": "0",
    "volume24H": "0", "trades24H": 0, "nextFundingRate": "0", "initialMarginFraction": "0.02",
    "maintenanceMarginFraction": "0.012", "openInterest": "1", "atomicResolution": -10,
    "quantumConversionExponent": -9, "tickSize": "1", "stepSize": "0.0001", "stepBaseQuantums": 1_000_000,
    "subticksPerTick": 100_000, "marketType": "CROSS", "baseOpenInterest": "1",
}  # fmt: skip
SHIB = {
    **MARKET, "clobPairId": "4", "ticker": "SHIB-USD", "atomicResolution": 0, "tickSize": "0.000000001",
    "stepSize": "1000000", "subticksPerTick": 1_000_000,
}  # fmt: skip
PEPE = {
    **MARKET, "clobPairId": "5", "ticker": "PEPE-USD", "atomicResolution": 1, "tickSize": "0.0000000001",
    "stepSize": "10000000", "subticksPerTick": 1_000_000,
}  # fmt: skip


def orders() -> DydxOrders:
    """The class with markets and account in place, so that nothing is asked of a network."""
    exchange = DydxOrders({"options": {"privateKey": SECRET}, "clock": EventClock(NOW_S * NS_PER_S)})
    exchange.retrieve_credentials()
    exchange.set_markets([exchange.parse_market(market) for market in (MARKET, SHIB, PEPE)])
    return exchange


def request(exchange: DydxOrders, *args: Any, **params: Any) -> dict[str, Any]:
    """The order that would be signed."""
    known = {"clientOrderId": 7, "latestBlockHeight": 100}
    message = exchange.create_order_request(*args, params={**known, **params})[1]
    return dict(message["value"]["order"])


def test_sizes_and_prices_convert_as_documented() -> None:
    assert quantums("0.001", -10) == 10_000_000
    assert subticks("64000", -10, -9) == 6_400_000_000
    assert quantums("5000000", 0) == 5_000_000
    assert quantums("50000000", 1) == 5_000_000
    with pytest.raises(InvalidOrder):
        quantums("0.00000000001", -10)


@pytest.mark.parametrize(
    ("symbol", "amount", "price", "expected"),
    [
        ("BTC/USDC:USDC", "0.001", "64000", (10_000_000, 6_400_000_000)),
        ("SHIB/USDC:USDC", "3000000", "0.000012345", (3_000_000, 12_345_000_000)),
        ("PEPE/USDC:USDC", "30000000", "0.0000012345", (3_000_000, 12_345_000_000)),
    ],
)
def test_every_coin_gets_the_size_asked_for(symbol: str, amount: str, price: str, expected: tuple[int, int]) -> None:
    order = request(orders(), symbol, "limit", "buy", amount, price)
    assert (order["quantums"], order["subticks"]) == expected


@pytest.mark.parametrize(
    ("kind", "params", "flags", "time_in_force", "end"),
    [
        ("limit", {}, 64, 0, {"goodTilBlockTime": NOW_S + 30 * 86_400}),
        ("limit", {"postOnly": True}, 64, 2, {"goodTilBlockTime": NOW_S + 30 * 86_400}),
        ("limit", {"postOnly": True, "goodTillBlock": 110}, 0, 2, {"goodTilBlock": 110}),
        ("limit", {"timeInForce": "PO"}, 0, 2, {"goodTilBlock": 120}),
        ("limit", {"timeInForce": "GTB", "goodTillBlock": 140}, 0, 0, {"goodTilBlock": 140}),
        ("limit", {"timeInForce": "IOC"}, 0, 1, {"goodTilBlock": 120}),
        ("market", {}, 0, 1, {"goodTilBlock": 120}),
        ("limit", {"stopLossPrice": 59_000}, 32, 0, {"goodTilBlockTime": NOW_S + 30 * 86_400}),
        ("market", {"takeProfitPrice": 69_000}, 32, 1, {"goodTilBlockTime": NOW_S + 30 * 86_400}),
    ],
)
def test_how_long_an_order_lasts(
    kind: str, params: dict[str, Any], flags: int, time_in_force: int, end: dict[str, int]
) -> None:
    order = request(orders(), "BTC/USDC:USDC", kind, "buy", "0.001", "64000", **params)
    assert order["orderId"]["orderFlags"] == flags
    assert order["timeInForce"] == time_in_force
    assert {name: order[name] for name in ("goodTilBlock", "goodTilBlockTime") if name in order} == end


def test_what_must_not_be_broadcast_is_not_signed() -> None:
    exchange = orders()
    with pytest.raises(ArgumentsRequired, match="price"):
        request(exchange, "BTC/USDC:USDC", "market", "buy", "0.001")
    with pytest.raises(ArgumentsRequired, match="clientOrderId"):
        exchange.create_order_request("BTC/USDC:USDC", "limit", "buy", "0.001", "64000")
    with pytest.raises(InvalidOrder, match="4294967295"):
        request(exchange, "BTC/USDC:USDC", "limit", "buy", "0.001", "64000", clientOrderId=1 << 32)
    with pytest.raises(InvalidOrder, match="fill-or-kill"):
        request(exchange, "BTC/USDC:USDC", "limit", "buy", "0.001", "64000", timeInForce="FOK")


def test_nobodys_router_is_named_unless_one_is_configured() -> None:
    exchange = orders()
    assert "orderRouterAddress" not in request(exchange, "BTC/USDC:USDC", "limit", "buy", "0.001", "64000")
    exchange.options["routerAddress"] = "dydx1n56z5fhmemtffzkt2eqyf9kuc7ycjfs86mvqy7"
    order = request(exchange, "BTC/USDC:USDC", "limit", "buy", "0.001", "64000")
    assert order["orderRouterAddress"] == "dydx1n56z5fhmemtffzkt2eqyf9kuc7ycjfs86mvqy7"


@pytest.mark.parametrize(
    ("codespace", "code", "error"),
    [
        ("sdk", 32, InvalidNonce),
        ("sdk", 19, DuplicateOrderId),
        ("sdk", 4, AuthenticationError),
        ("clob", 2003, OrderImmediatelyFillable),
        ("clob", 11, InvalidOrder),
        ("clob", 999_999, ExchangeError),
    ],
)
def test_codes_mean_what_their_codespace_says(codespace: str, code: int, error: type[Exception]) -> None:
    body = {"result": {"code": code, "codespace": codespace, "log": "no", "hash": "00"}}
    with pytest.raises(error) as raised:
        orders().handle_errors(200, "OK", "", "GET", {}, str(body), body, {}, "")
    if codespace == "sdk":
        assert not isinstance(raised.value, InvalidOrder) or code == 19


BUY = {"side": 1, "quantums": 10**7, "subticks": 6_400_000_000}
CASES = (
    (("limit", "buy", "0.001", "64000"), {"postOnly": True, "goodTillBlock": 110}, 0,
     {**BUY, "goodTilBlock": 110, "timeInForce": 2}),
    (("market", "sell", "0.0025", "61000"), {"reduceOnly": True}, 0,
     {"side": 2, "quantums": 25 * 10**6, "subticks": 6_100_000_000, "goodTilBlock": 120, "timeInForce": 1,
      "reduceOnly": True, "clientMetadata": 1}),
    (("limit", "buy", "0.001", "64000"), {"goodTillBlockTimeInSeconds": 60}, 64,
     {**BUY, "goodTilBlockTime": NOW_S + 60}),
    (("limit", "buy", "0.001", "64000"), {"stopLossPrice": "63000", "goodTillBlockTimeInSeconds": 60}, 32,
     {**BUY, "goodTilBlockTime": NOW_S + 60, "conditionType": 1, "conditionalOrderTriggerSubticks": 6_300_000_000}),
)  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("args", "params", "flags", "columns"), CASES, ids=["post-only", "market", "long-term", "stop"]
)
def test_transactions_are_byte_equal_to_the_public_packages(
    dydx_protos: Callable[..., dict[str, Any]],
    args: tuple[str, ...],
    params: dict[str, Any],
    flags: int,
    columns: dict[str, Any],
) -> None:
    exchange = orders()
    sent: list[str] = []

    async def account(request: Any) -> Any:
        return {"info": {"address": request["dydxAddress"], "pub_key": None, "account_number": str(ACCOUNT_NUMBER)}}

    async def broadcast(request: Any) -> Any:
        sent.append(request["tx"])
        return {"result": {"code": 0, "hash": "00"}}

    exchange.nodeRestGetCosmosAuthV1beta1AccountInfoDydxAddress = account
    exchange.nodeRpcGetBroadcastTxSync = broadcast
    exchange.options["latestBlockHeight"] = 100
    asyncio.run(exchange.create_order("BTC/USDC:USDC", *args, {"clientOrderId": 7, **params}))
    order_id = {"subaccountId": {"owner": exchange.walletAddress}, "clientId": 7, "orderFlags": flags}
    expected = dydx_protos(
        op="order",
        secret=SECRET,
        chain_id="dydx-mainnet-1",
        account_number=ACCOUNT_NUMBER,
        sequence=NOW_S * 1000,
        order={"orderId": order_id, **columns},
    )
    assert sent[0].removeprefix("0x") == expected["hex"]
