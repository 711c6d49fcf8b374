from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

STOP = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "STOP_MARKET",
    "quantity": "0.05",
    "triggerPrice": "58000",
    "algoType": "CONDITIONAL",
}
TAKE = {"side": "BUY", "type": "MARKET", "quantity": "0.050"}


async def algo(sim: Any, method: str = "POST", path: str = "algoOrder", **params: Any) -> Any:
    return (await sim.call(method, f"/fapi/v1/{path}", **params))[1]


def test_a_conditional_order_waits_apart_from_the_book(bench: Any) -> None:
    async def scene() -> dict[str, Any]:
        async with bench() as sim:
            placed = await algo(sim, **STOP, clientAlgoId="stop-1")
            return {
                "placed": placed,
                "found": await algo(sim, "GET", clientAlgoId="stop-1"),
                "waiting": await algo(sim, "GET", "openAlgoOrders"),
                "in the book": await algo(sim, "GET", "openOrders"),
                "swept": await algo(sim, "DELETE", "allOpenOrders", symbol="BTCUSDT"),
                "as an order": await algo(sim, "GET", "order", symbol="BTCUSDT", origClientOrderId="stop-1"),
                "gone": await algo(sim, "DELETE", algoId=placed["algoId"]),
                "again": await algo(sim, "DELETE", algoId=placed["algoId"]),
                "listed": await algo(sim, "GET", "allAlgoOrders", symbol="BTCUSDT"),
            }

    told = asyncio.run(scene())
    assert told["placed"]["algoStatus"] == told["found"]["algoStatus"] == "NEW"
    assert told["placed"]["triggerPrice"] == "58000.00"
    assert [order["clientAlgoId"] for order in told["waiting"]] == ["stop-1"]
    assert told["in the book"] == []
    assert told["as an order"]["code"] == -2013
    assert told["gone"]["algoStatus"] == "CANCELED"
    assert told["again"]["code"] == -2011
    assert [order["algoStatus"] for order in told["listed"]] == ["CANCELED"]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"triggerPrice": "61000"}, -2021),
        ({"triggerPrice": ""}, -1102),
        ({"type": "LIMIT", "price": "1"}, -1116),
        ({"algoType": "VP"}, -1102),
        ({"type": "STOP"}, -1102),  # no price
        ({"type": "TRAILING_STOP_MARKET", "callbackRate": "50"}, -2007),
        ({"closePosition": "true"}, -4137),
    ],
)
def test_what_makes_no_sense_is_refused(bench: Any, changed: dict[str, str], code: int) -> None:
    async def scene() -> Any:
        async with bench() as sim:
            return await algo(sim, **{**STOP, **changed})

    assert asyncio.run(scene())["code"] == code


def test_a_trailing_stop_and_a_stop_that_closes_the_position(bench: Any) -> None:
    async def scene() -> list[Any]:
        async with bench() as sim:
            await sim.place(**TAKE)
            trailing = {**STOP, "type": "TRAILING_STOP_MARKET", "callbackRate": "1.5", "activatePrice": "60500"}
            closing = {key: value for key, value in STOP.items() if key != "quantity"}
            told = [await algo(sim, **trailing), await algo(sim, **closing, closePosition="true")]
            await algo(sim, "DELETE", "algoOpenOrders", symbol="BTCUSDT")
            return [*told, await algo(sim, "GET", "openAlgoOrders")]

    trailing, closing, left = asyncio.run(scene())
    assert (trailing["callbackRate"], trailing["activatePrice"]) == ("1.5", "60500")
    assert closing["closePosition"] is True
    assert left == []


def test_bodies_have_the_documented_keys(bench: Any, recordings: Path) -> None:
    folder = recordings / "wire/JKorf_Binance.Net/Binance.Net.UnitTests/Endpoints/UsdFutures/Trading"

    async def scene() -> Any:
        async with bench() as sim:
            return await algo(sim, **STOP)

    documented = json.loads((folder / "PlaceConditionalOrder.txt").read_text().split("\n", 3)[3])
    assert list(asyncio.run(scene())) == list(documented)
