from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from spyhop.clock import NS_PER_MINUTE, NS_PER_S, ScaledClock, WallClock
from spyhop.venuesim.binance.errors import BinanceError
from spyhop.venuesim.binance.user_stream import ListenKeys
from spyhop.venuesim.faults import Fault, FaultKind

TAKE = {"side": "BUY", "type": "MARKET", "quantity": "0.050"}
REST = {"side": "BUY", "type": "LIMIT", "quantity": "0.010", "price": "59000"}


async def listen_key(sim: Any, key: Any = None) -> str:
    headers = {"X-MBX-APIKEY": (key or sim.key).key}
    async with sim.http.post(sim.endpoints.binance_usdm.rest + "/fapi/v1/listenKey", headers=headers) as reply:
        told: str = (await reply.json())["listenKey"]
        return told


def kinds(events: Sequence[Any]) -> list[str]:
    return [f"{event['e']} {event['o']['x']}" if event["e"] == "ORDER_TRADE_UPDATE" else event["e"] for event in events]


def test_a_listen_key_lives_an_hour_from_when_it_was_last_kept() -> None:
    keys = ListenKeys(seed=5)
    first = keys.create("alice", 0)
    assert keys.create("alice", 30 * NS_PER_MINUTE) == first
    assert keys.create("bob", 0) != first
    assert keys.account(first) == "alice"
    keys.keep("alice", 45 * NS_PER_MINUTE)
    assert [account for account, _ in keys.expired(104 * NS_PER_MINUTE)] == ["bob"]
    assert keys.expired(105 * NS_PER_MINUTE) == [("alice", first)]
    with pytest.raises(BinanceError) as refused:
        keys.keep("alice", 106 * NS_PER_MINUTE)
    assert refused.value.code == -1125
    assert keys.create("alice", 107 * NS_PER_MINUTE) != first


@pytest.mark.slow
def test_a_fill_is_told_in_the_venue_s_order_and_only_to_its_account(bench: Any) -> None:
    async def scene() -> tuple[list[Any], list[Any]]:
        async with bench() as sim:
            mine, theirs = await listen_key(sim), await listen_key(sim, sim.other_key)
            async with sim.ws(f"/private/ws?listenKey={mine}") as socket, sim.ws(f"/private/ws/{theirs}") as other:
                await sim.place(**TAKE)
                await sim.place(**REST)
                heard = await sim.told(
                    socket, lambda event: event["e"] == "ORDER_TRADE_UPDATE" and event["o"]["o"] == "LIMIT"
                )
                await sim.call("POST", "/fapi/v1/leverage", key=sim.other_key, symbol="BTCUSDT", leverage=5)
                return heard, await sim.told(other, lambda event: True)

    heard, overheard = asyncio.run(scene())
    assert kinds(heard) == [
        *("ORDER_TRADE_UPDATE NEW", "TRADE_LITE", "ACCOUNT_UPDATE"),
        *("ORDER_TRADE_UPDATE TRADE", "ORDER_TRADE_UPDATE NEW"),
    ]
    _, lite, account, trade, _ = heard
    assert (lite["l"], lite["L"], lite["t"]) == (trade["o"]["l"], trade["o"]["L"], trade["o"]["t"])
    assert (trade["o"]["X"], trade["o"]["z"], trade["o"]["n"]) == ("FILLED", "0.050", "1.50000250")
    assert account["a"]["P"][0]["pa"] == "0.050"
    assert account["a"]["B"][0]["wb"] == "99998.49999750"
    assert kinds(overheard) == ["ACCOUNT_CONFIG_UPDATE"]
    assert overheard[0]["ac"] == {"s": "BTCUSDT", "l": 5}


@pytest.mark.slow
def test_a_conditional_order_is_told_from_its_waiting_to_its_end(bench: Any) -> None:
    async def scene() -> list[Any]:
        async with bench() as sim:
            path = f"/private/stream?listenKey={await listen_key(sim)}"
            async with sim.ws(path) as socket:
                await sim.place(**TAKE)
                # the tape's trades go between 59999.9 and 60000.1: the next sale triggers
                stop = {"symbol": "BTCUSDT", "side": "SELL", "type": "TAKE_PROFIT_MARKET", "quantity": "0.05"}
                wanted = {**stop, "triggerPrice": "60000.1", "algoType": "CONDITIONAL", "clientAlgoId": "tp"}
                for _ in range(20):
                    status, body, _ = await sim.call("POST", "/fapi/v1/algoOrder", **wanted)
                    if status == 200:
                        break
                    assert body["code"] == -2021, body  # the last trade was at the trigger already
                    await asyncio.sleep(0.03)
                heard = await sim.told(
                    socket, lambda event: event["data"]["e"] == "ALGO_UPDATE" and event["data"]["o"]["X"] == "FINISHED"
                )
                return [event["data"] for event in heard if event["data"]["e"] in ("ALGO_UPDATE", "ORDER_TRADE_UPDATE")]

    heard = asyncio.run(scene())[2:]  # after the market order's two
    assert [event["o"]["X"] for event in heard] == [
        *("NEW", "TRIGGERING", "TRIGGERED", "NEW", "FILLED", "FINISHED"),
    ]
    waiting, triggered, order, filled, finished = heard[0], heard[2], heard[3], heard[4], heard[5]
    assert (waiting["o"]["caid"], waiting["o"]["ai"], waiting["o"]["act"]) == ("tp", "", "0")
    assert triggered["o"]["ai"] == finished["o"]["ai"] == str(order["o"]["i"]) == str(filled["o"]["i"])
    assert triggered["o"]["aid"] == waiting["o"]["aid"] != order["o"]["i"]
    assert (finished["o"]["aq"], finished["o"]["act"]) == ("0.050", "MARKET")


@pytest.mark.slow
def test_events_wanted_are_the_only_ones_sent(bench: Any) -> None:
    async def scene() -> list[Any]:
        async with bench() as sim:
            path = f"/private/ws?listenKey={await listen_key(sim)}&events=ACCOUNT_UPDATE/TRADE_LITE"
            async with sim.ws(path) as socket:
                await sim.place(**TAKE)
                heard: list[Any] = await sim.told(socket, lambda event: event["e"] == "ACCOUNT_UPDATE")
                return heard

    assert kinds(asyncio.run(scene())) == ["TRADE_LITE", "ACCOUNT_UPDATE"]


@pytest.mark.slow
@pytest.mark.parametrize("by_fault", [True, False])
def test_an_expired_key_is_told_and_then_silent(bench: Any, *, by_fault: bool) -> None:
    async def scene() -> tuple[str, Any, list[Any]]:
        now = WallClock().now_ns()
        clock = ScaledClock(now, now, 1.0 if by_fault else 20_000.0)
        async with bench(clock=clock) as sim:
            key = await listen_key(sim)
            async with sim.ws(f"/private/ws?listenKey={key}") as socket:
                if by_fault:
                    sim.floor.faults.add(Fault(kind=FaultKind.LISTEN_KEY_EXPIRY, count=1))
                expired = (await sim.told(socket, lambda event: True))[-1]
                await sim.place(**TAKE)
                again = await listen_key(sim)
                try:
                    return again, expired, await sim.told(socket, lambda event: True, 0.3)
                except TimeoutError:
                    return again, expired, []

    again, expired, heard = asyncio.run(scene())
    assert expired["e"] == "listenKeyExpired"
    assert again != expired["listenKey"]
    assert heard == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", [FaultKind.EVENT_FIRST, FaultKind.REPLY_FIRST])
def test_the_stream_may_be_ahead_of_the_reply_or_behind(bench: Any, kind: FaultKind) -> None:
    async def scene() -> float:
        async with bench([Fault(kind=kind, delay_s=0.5, count=1)]) as sim:
            path = f"/private/ws?listenKey={await listen_key(sim)}"
            async with sim.ws(path) as socket:
                clock = WallClock()

                async def replied() -> int:
                    await sim.place(**TAKE)
                    return clock.monotonic_ns()

                async def told() -> int:
                    await sim.told(socket, lambda event: kinds([event]) == ["ORDER_TRADE_UPDATE TRADE"])
                    return clock.monotonic_ns()

                reply, event = await asyncio.gather(replied(), told())
                return (event - reply) / NS_PER_S

    lead = asyncio.run(scene())
    assert (lead < -0.4) if kind is FaultKind.EVENT_FIRST else (lead > 0.4)
