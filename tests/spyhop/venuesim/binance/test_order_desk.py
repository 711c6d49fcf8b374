from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from spyhop.clock import ScaledClock, WallClock
from spyhop.venuesim.faults import Fault, FaultKind

pytestmark = pytest.mark.slow

REST = {"side": "BUY", "type": "LIMIT", "quantity": "0.010", "price": "59000"}
TAKE = {"side": "BUY", "type": "MARKET", "quantity": "0.050"}


def test_an_order_lives_is_found_changed_and_taken_back(bench: Any) -> None:
    async def scene() -> list[Any]:
        async with bench() as sim:
            named = {"symbol": "BTCUSDT", "origClientOrderId": "abc-1"}
            placed = await sim.place(**REST, newClientOrderId="abc-1")
            found = (await sim.call("GET", "/fapi/v1/order", **named))[1]
            opened = (await sim.call("GET", "/fapi/v1/openOrders"))[1]
            changed = (await sim.call("PUT", "/fapi/v1/order", **named, side="BUY", quantity="0.02", price="58900"))[1]
            gone = (await sim.call("DELETE", "/fapi/v1/order", symbol="BTCUSDT", orderId=placed["orderId"]))[1]
            listed = (await sim.call("GET", "/fapi/v1/allOrders", symbol="BTCUSDT"))[1]
            return [placed, found, *opened, changed, gone, *listed]

    told = asyncio.run(scene())
    assert len({order["orderId"] for order in told}) == 1
    assert [order["status"] for order in told] == ["NEW"] * 4 + ["CANCELED"] * 2
    assert [order["origQty"] for order in told] == ["0.010"] * 3 + ["0.020"] * 3
    assert told[3]["price"] == "58900.00"


def test_a_market_order_fills_at_the_touch_and_its_trade_and_income_are_booked(bench: Any) -> None:
    async def scene() -> tuple[Any, ...]:
        async with bench() as sim:
            filled = await sim.place(**TAKE)
            trades = (await sim.call("GET", "/fapi/v1/userTrades", symbol="BTCUSDT"))[1]
            income = (await sim.call("GET", "/fapi/v1/income"))[1]
            positions = (await sim.call("GET", "/fapi/v3/positionRisk"))[1]
            return filled, trades, income, positions

    filled, trades, income, positions = asyncio.run(scene())
    assert (filled["status"], filled["avgPrice"], filled["executedQty"]) == ("FILLED", "60000.10", "0.050")
    assert filled["cumQuote"] == "3000.00500"
    (trade,) = trades
    assert (trade["price"], trade["qty"], trade["maker"]) == ("60000.10", "0.050", False)
    assert trade["commission"] == "1.50000250"  # five basis points of 3000.005
    assert [(entry["incomeType"], entry["income"]) for entry in income] == [("COMMISSION", "-1.50000250")]
    assert [(held["positionAmt"], held["entryPrice"]) for held in positions] == [("0.050", "60000.10000")]


def test_an_acknowledgement_tells_nothing_of_what_was_executed(bench: Any) -> None:
    async def scene() -> Any:
        async with bench() as sim:
            return await sim.place(**TAKE, newOrderRespType="ACK")

    told = asyncio.run(scene())
    assert (told["status"], told["executedQty"], told["avgPrice"]) == ("NEW", "0.000", "0.00")


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({**REST, "price": "59000.05"}, -4014),
        ({**REST, "quantity": "0.0105"}, -1111),
        ({**REST, "quantity": "0"}, -4003),
        ({**REST, "price": "90000"}, -4016),  # above the band around the mark
        ({**REST, "quantity": "0.001", "price": "58000", "symbol": "NOSUCH"}, -1121),
        ({**REST, "side": "HOLD"}, -1117),
        ({**REST, "timeInForce": "NOW"}, -1115),
        ({**REST, "type": "ICEBERG"}, -1116),
        ({"side": "BUY", "type": "LIMIT", "quantity": "1"}, -1102),
        ({**REST, "newClientOrderId": "no spaces"}, -4015),
        ({**REST, "positionSide": "LONG"}, -4061),
        ({**REST, "price": "60000.1", "timeInForce": "GTX"}, -5022),
        ({**REST, "price": "60000.1", "quantity": "9", "timeInForce": "FOK"}, -5021),
        ({**TAKE, "quantity": "200"}, -2019),
        ({**TAKE, "reduceOnly": "true"}, -2022),
        ({**TAKE, "type": "STOP_MARKET", "stopPrice": "61000"}, -4120),
        ({**TAKE, "type": "TRAILING_STOP_MARKET", "callbackRate": "1"}, -4120),
    ],
)
def test_refusals_have_the_venue_s_codes_and_change_nothing(bench: Any, order: dict[str, Any], code: int) -> None:
    async def scene() -> tuple[Any, Any]:
        async with bench() as sim:
            refused = await sim.place(**order)
            return refused, (await sim.call("GET", "/fapi/v1/allOrders", symbol="BTCUSDT"))[1]

    refused, left = asyncio.run(scene())
    assert refused["code"] == code
    assert left == []


def test_a_client_s_id_is_taken_only_while_its_order_is_open(bench: Any) -> None:
    async def scene() -> list[Any]:
        async with bench() as sim:
            first = await sim.place(**REST, newClientOrderId="again")
            second = await sim.place(**REST, newClientOrderId="again")
            await sim.call("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")
            third = await sim.place(**REST, newClientOrderId="again")
            newest = (await sim.call("GET", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="again"))[1]
            return [first, second, third, newest]

    first, second, third, newest = asyncio.run(scene())
    assert second["code"] == -4116
    assert third["orderId"] == newest["orderId"] > first["orderId"]


def test_accounts_do_not_see_each_other(bench: Any) -> None:
    async def scene() -> list[Any]:
        async with bench() as sim:
            order = await sim.place(**REST)
            named = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
            return [
                (await sim.call("GET", "/fapi/v1/order", key=sim.other_key, **named))[1]["code"],
                (await sim.call("DELETE", "/fapi/v1/order", key=sim.other_key, **named))[1]["code"],
                (await sim.call("GET", "/fapi/v1/openOrders", key=sim.other_key))[1],
            ]

    assert asyncio.run(scene()) == [-2013, -2011, []]


def test_a_batch_answers_each_of_its_orders(bench: Any) -> None:
    async def scene() -> tuple[Any, Any, Any, int]:
        async with bench() as sim:
            good = {**REST, "symbol": "BTCUSDT", "timeInForce": "GTC"}
            wanted = [good, {**good, "type": "STOP", "stopPrice": "61000"}, {**good, "price": "59000.05"}]
            placed = (await sim.call("POST", "/fapi/v1/batchOrders", batchOrders=json.dumps(wanted)))[1]
            ids = json.dumps([placed[0]["orderId"], 1])
            gone = (await sim.call("DELETE", "/fapi/v1/batchOrders", symbol="BTCUSDT", orderIdList=ids))[1]
            six = (await sim.call("POST", "/fapi/v1/batchOrders", batchOrders=json.dumps([good] * 6)))[1]
            return placed, gone, six, len((await sim.call("GET", "/fapi/v1/openOrders"))[1])

    placed, gone, six, still_open = asyncio.run(scene())
    assert [order.get("code", order.get("status")) for order in placed] == ["NEW", -4120, -4014]
    assert [order.get("code", order.get("status")) for order in gone] == ["CANCELED", -2011]
    assert six["code"] == -4082
    assert still_open == 0


def test_the_dead_man_s_switch_fires_on_the_exchange_s_clock_unless_it_is_fed(bench: Any) -> None:
    async def scene() -> list[str]:
        now = WallClock().now_ns()
        statuses = []
        async with bench(clock=ScaledClock(now, now, 20.0)) as sim:
            order = await sim.place(**REST)
            named = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
            for countdown in ("8000", "8000", "8000", "4000"):
                await sim.call("POST", "/fapi/v1/countdownCancelAll", symbol="BTCUSDT", countdownTime=countdown)
                await sim.floor.clock.sleep(5.0)
                statuses.append((await sim.call("GET", "/fapi/v1/order", **named))[1]["status"])
        return statuses

    assert asyncio.run(scene()) == ["NEW", "NEW", "NEW", "CANCELED"]


def test_order_counts_and_weights_are_in_the_headers(bench: Any) -> None:
    async def scene() -> list[Any]:
        async with bench() as sim:
            order = {**REST, "symbol": "BTCUSDT", "timeInForce": "GTC"}
            return [(await sim.call("POST", "/fapi/v1/order", **order))[2] for _ in range(2)]

    headers = asyncio.run(scene())
    assert [told["X-MBX-ORDER-COUNT-10S"] for told in headers] == ["1", "2"]
    assert [told["X-MBX-ORDER-COUNT-1M"] for told in headers] == ["1", "2"]
    assert headers[0]["X-MBX-USED-WEIGHT-1M"] == "0"


def fault(kind: FaultKind, **settings: Any) -> Fault:
    return Fault(kind=kind, target="POST /fapi/v1/order", count=1, **settings)


@pytest.mark.parametrize(
    ("struck", "status", "code", "is_executed"),
    [
        (fault(FaultKind.UNKNOWN_EXECUTED), 503, -1006, True),
        (fault(FaultKind.UNKNOWN_LOST), 503, -1006, False),
        (fault(FaultKind.SERVER_ERROR, status=502), 502, 0, False),
        (fault(FaultKind.REJECT, code=-2027), 400, -2027, False),
        (fault(FaultKind.THROTTLE, delay_s=60), 429, -1003, False),
    ],
)
def test_faults_of_execution(bench: Any, struck: Fault, status: int, code: int, *, is_executed: bool) -> None:
    async def scene() -> tuple[int, Any, Any]:
        async with bench([struck]) as sim:
            order = {**REST, "symbol": "BTCUSDT", "timeInForce": "GTC", "newClientOrderId": "maybe"}
            got, body, headers = await sim.call("POST", "/fapi/v1/order", **order)
            assert (got == 429) == ("Retry-After" in headers)
            orders = sim.floor.exchange.orders(sim.usdm.account_of(sim.key))
            return got, body, [one.request.client_id for one in orders]

    got, body, known = asyncio.run(scene())
    assert (got, body["code"]) == (status, code)
    assert known == (["maybe"] if is_executed else [])


def test_an_order_may_find_only_part_of_what_it_wants(bench: Any) -> None:
    async def scene() -> list[Any]:
        async with bench([fault(FaultKind.PARTIAL_FILL, fraction=0.4)]) as sim:
            crossing = {**REST, "price": "60000.1", "quantity": "0.100"}
            return [await sim.place(**crossing), await sim.place(**{**TAKE, "quantity": "0.01"})]

    partly, later = asyncio.run(scene())
    assert (partly["status"], partly["executedQty"]) == ("PARTIALLY_FILLED", "0.040")
    assert later["status"] == "FILLED"  # the book goes on behind what was taken


def test_bodies_have_the_documented_keys(bench: Any, recordings: Path) -> None:
    folder = recordings / "wire/JKorf_Binance.Net/Binance.Net.UnitTests/Endpoints/UsdFutures"

    def documented(name: str) -> Any:
        return json.loads((folder / f"{name}.txt").read_text().split("\n", 3)[3])

    async def scene() -> dict[str, Any]:
        async with bench() as sim:
            await sim.place(**TAKE)
            orders = {**REST, "symbol": "BTCUSDT", "timeInForce": "GTC"}
            return {
                "Trading/PlaceOrder": await sim.place(**REST),
                "Trading/GetUserTrades": (await sim.call("GET", "/fapi/v1/userTrades", symbol="BTCUSDT"))[1][0],
                "Trading/GetOrder": (await sim.call("GET", "/fapi/v1/allOrders", symbol="BTCUSDT"))[1][0],
                "Trading/CancelOrder": (
                    await sim.call(
                        "DELETE", "/fapi/v1/order", symbol="BTCUSDT", orderId=(await sim.place(**orders))["orderId"]
                    )
                )[1],
            }

    told = asyncio.run(scene())
    of_trailing_stops = {"activatePrice", "priceRate"}  # which are algo orders since December 2025
    for name, body in told.items():
        wanted = documented(name)
        wanted = wanted[0] if isinstance(wanted, list) else wanted
        assert set(wanted) - of_trailing_stops <= set(body), name
