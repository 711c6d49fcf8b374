from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from spyhop.clock import ScaledClock, WallClock

pytestmark = pytest.mark.slow


def test_a_client_s_book_and_the_venue_s_are_the_same_at_an_update_id(bench: Any) -> None:
    """Binance's own recipe: snapshot, drop what is older, check the first, chain by `pu`."""

    async def scene() -> tuple[dict[str, str], dict[str, str]]:
        async with bench() as sim, sim.ws("/public/stream?streams=btcusdt@depth@100ms") as socket:
            diffs = [(await sim.told(socket, lambda heard: True))[-1]["data"] for _ in range(2)]
            snapshot = await sim.get("/fapi/v1/depth", symbol="BTCUSDT", limit=1000)
            bids = dict(snapshot["bids"])
            diffs += [(await sim.told(socket, lambda heard: True))[-1]["data"] for _ in range(3)]
            applied = [diff for diff in diffs if diff["u"] >= snapshot["lastUpdateId"]]
            assert applied[0]["U"] <= snapshot["lastUpdateId"] <= applied[0]["u"]
            for before, now in zip([None, *applied], applied, strict=False):
                assert before is None or now["pu"] == before["u"]
                bids |= dict(now["b"])
            last = applied[-1]["u"]
            while (again := await sim.get("/fapi/v1/depth", symbol="BTCUSDT", limit=1000))["lastUpdateId"] != last:
                assert again["lastUpdateId"] > last, "the venue is behind its own stream"
                diff = (await sim.told(socket, lambda heard: True))[-1]["data"]
                bids |= dict(diff["b"])
                last = diff["u"]
            return {price: qty for price, qty in bids.items() if float(qty)}, dict(again["bids"])

    ours, theirs = asyncio.run(scene())
    assert ours == theirs
    assert len(ours) == 30


def test_every_closed_bar_is_told_once_however_fast_the_clock_runs(bench: Any) -> None:
    async def scene() -> list[dict[str, Any]]:
        now = WallClock().now_ns()
        clock, path = ScaledClock(now, now, 240.0), "/market/stream?streams=btcusdt@kline_1m"
        async with bench(clock=clock) as sim, sim.ws(path) as socket:
            closed: list[dict[str, Any]] = []
            while len(closed) < 5:
                bar = (await sim.told(socket, lambda heard: True))[-1]["data"]["k"]
                if bar["x"]:
                    closed.append(bar)
            return closed

    closed = asyncio.run(scene())
    assert [bar["t"] - closed[0]["t"] for bar in closed] == [60_000 * place for place in range(5)]
    assert all(bar["T"] == bar["t"] + 59_999 for bar in closed)
    assert [bar["n"] for bar in closed[1:]] == [600] * 4


def test_at_most_one_liquidation_of_a_symbol_is_told_in_a_second(bench: Any) -> None:
    async def scene() -> list[int]:
        now = WallClock().now_ns()
        clock, path = ScaledClock(now, now, 5.0), "/market/stream?streams=!forceOrder@arr"
        async with bench(clock=clock) as sim, sim.ws(path) as socket:
            heard = [(await sim.told(socket, lambda heard: True))[-1]["data"] for _ in range(6)]
            return [order["E"] for order in heard if order["o"]["s"] == "BTCUSDT"]

    told = asyncio.run(scene())
    assert len(told) == 3
    assert all(now - before >= 1_000 for before, now in pairwise(told))
