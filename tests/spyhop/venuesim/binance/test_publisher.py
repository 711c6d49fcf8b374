from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from spyhop.clock import NS_PER_MS, NS_PER_S, EventClock, ScaledClock, WallClock
from spyhop.venuesim.binance.front import UsdmFront
from spyhop.venuesim.binance.streams import Route, Session
from spyhop.venuesim.exchange import Exchange
from spyhop.venuesim.faults import Faults
from spyhop.venuesim.floor import Floor

pytestmark = pytest.mark.slow

START = 1_700_000_000 * NS_PER_S


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


def test_at_most_one_liquidation_of_a_symbol_is_told_in_a_second_and_none_twice(bench: Any) -> None:
    async def scene() -> list[int]:
        now = WallClock().now_ns()
        clock, path = ScaledClock(now, now, 5.0), "/market/stream?streams=!forceOrder@arr"
        async with bench(clock=clock) as sim, sim.ws(path) as socket:
            heard = [(await sim.told(socket, lambda heard: True))[-1]["data"] for _ in range(10)]
            return [order["E"] for order in heard if order["o"]["s"] == "BTCUSDT"]

    told = asyncio.run(scene())
    assert len(told) == 5
    assert told == sorted(set(told))
    # each carries the time of its liquidation, which may lie anywhere in its second
    assert told[-1] - told[0] > 3_000


class Ear:
    """A socket that keeps what it is sent."""

    def __init__(self) -> None:
        self.streams: dict[str, None] = {}
        self.heard: list[Any] = []

    def send(self, frame: bytes, stream: str) -> None:
        self.heard.append(json.loads(frame))


def test_a_snapshot_of_the_tape_is_sent_to_nobody(scripted_exchange: Callable[[int], Exchange]) -> None:
    clock = EventClock(START)
    floor = Floor(scripted_exchange(START), clock, Faults(clock.now_ns, np.random.default_rng(1)))
    front, ear = UsdmFront(floor), Ear()
    floor.add(front)
    front.streams.subscribe(Session(cast(Any, ear), Route.PUBLIC, is_combined=False), "btcusdt@depth")
    floor.turn()
    clock.advance(50 * NS_PER_MS)
    floor.turn()  # the snapshot of 30 levels a side is told at the very start
    assert floor.exchange.book(0, 100)[0] > 0
    assert ear.heard == []
    clock.advance(60 * NS_PER_MS)
    floor.turn()
    assert [(len(diff["b"]), len(diff["a"])) for diff in ear.heard] == [(1, 1)]
