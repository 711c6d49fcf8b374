from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

TAKE = {"side": "BUY", "type": "MARKET", "quantity": "0.050"}


async def get(sim: Any, path: str, **params: Any) -> Any:
    return (await sim.call("GET", f"/fapi/{path}", **params))[1]


def test_wallet_margin_and_position_agree(bench: Any) -> None:
    async def scene() -> tuple[Any, Any, Any, Any]:
        async with bench() as sim:
            await sim.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=10)
            await sim.place(**TAKE)
            return (
                *[await get(sim, path) for path in ("v3/account", "v2/account", "v2/positionRisk")],
                (await get(sim, "v3/balance"))[0],
            )

    account, older, risks, balance = asyncio.run(scene())
    assert account["totalWalletBalance"] == balance["balance"] == "99998.49999750"
    (held,) = account["positions"]
    assert (held["positionAmt"], held["notional"], held["initialMargin"]) == ("0.050", "3000.00000000", "300.00000000")
    assert account["totalUnrealizedProfit"] == held["unrealizedProfit"] == "-0.00500000"
    assert float(balance["availableBalance"]) == pytest.approx(99_998.4999975 - 300 - 0.005, abs=1e-6)
    by_symbol = {risk["symbol"]: risk for risk in risks}
    assert by_symbol["BTCUSDT"]["leverage"] == "10"
    assert by_symbol["ETHUSDT"]["positionAmt"] == "0.000"
    assert {position["symbol"] for position in older["positions"]} == {"BTCUSDT", "ETHUSDT"}


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("leverage", {"leverage": 126}, -4028),
        ("leverage", {"leverage": 0}, -4028),
        ("marginType", {"marginType": "CROSSED"}, -4046),
        ("marginType", {"marginType": "ISOLATED"}, -4048),
        ("positionSide/dual", {"dualSidePosition": "false"}, -4059),
        ("positionSide/dual", {"dualSidePosition": "true"}, -4067),
    ],
)
def test_settings_that_cannot_be_are_refused(bench: Any, path: str, params: dict[str, Any], code: int) -> None:
    async def scene() -> Any:
        async with bench() as sim:
            await sim.place(**TAKE)
            return (await sim.call("POST", f"/fapi/v1/{path}", symbol="BTCUSDT", **params))[1]

    assert asyncio.run(scene())["code"] == code


@pytest.mark.parametrize(
    ("path", "params", "file", "left_out"),
    [
        ("v3/account", {}, "Account/GetAccountInfoV3", set()),
        ("v3/balance", {}, "Account/GetBalances", set()),
        ("v2/positionRisk", {}, "Account/GetPositionInformation", set()),
        ("v1/leverageBracket", {}, "Account/GetBrackets", {"notionalCoef"}),
        ("v1/income", {}, "Account/GetIncomeHistory", set()),
        ("v1/commissionRate", {"symbol": "BTCUSDT"}, "Account/GetUserCommissionRate", set()),
        ("v1/symbolConfig", {}, "Account/GetSymbolConfiguration", set()),
        ("v1/accountConfig", {}, "Account/GetAccountConfiguration", set()),
        ("v1/apiTradingStatus", {}, "Account/GetTradingStatus", set()),
    ],
)
def test_bodies_have_the_documented_keys(
    bench: Any, recordings: Path, path: str, params: dict[str, str], file: str, left_out: set[str]
) -> None:
    folder = recordings / "wire/JKorf_Binance.Net/Binance.Net.UnitTests/Endpoints/UsdFutures"
    documented = json.loads((folder / f"{file}.txt").read_text().split("\n", 3)[3])

    async def scene() -> Any:
        async with bench() as sim:
            await sim.place(**TAKE)
            return await get(sim, path, **params)

    body = asyncio.run(scene())
    if isinstance(documented, list):
        documented, body = documented[0], body[0]
    assert set(documented) - left_out <= set(body)
    for name in ("assets", "positions", "brackets"):
        if name in documented:
            assert set(documented[name][0]) <= set(body[name][0])


def test_every_account_is_seen_by_a_harness(bench: Any) -> None:
    async def scene() -> Any:
        async with bench() as sim:
            await sim.place(**TAKE, newClientOrderId="abc")
            async with sim.http.get(sim.endpoints.admin + "/state") as reply:
                return await reply.json()

    state = asyncio.run(scene())
    mine = state["fronts"]["binance-usdm"]["accounts"]["binance-usdm:alice"]
    ((at, *sent),) = state["fronts"]["binance-usdm"]["sent"]
    assert at <= state["now"]
    assert sent == ["binance-usdm:alice", "127.0.0.1", "POST /fapi/v1/order"]
    assert mine["positions"] == {"BTCUSDT": 50}
    assert [(order["client_id"], order["state"], order["filled"]) for order in mine["orders"]] == [
        ("abc", "filled", 50)
    ]
