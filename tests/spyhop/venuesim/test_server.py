from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from typing import Any

import msgspec
import pytest

from spyhop.errors import NotAvailable
from spyhop.venues.endpoints import Endpoints
from spyhop.venuesim.server import serve

pytestmark = pytest.mark.slow

RUN = """
import sys
from spyhop.venuesim import server
from spyhop.venuesim.options import SimOptions
sys.exit(server.main(SimOptions(seed=3, history_s=120.0)))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_says_where_it_listens_and_ends_cleanly(number: signal.Signals) -> None:
    sim = subprocess.Popen([sys.executable, "-c", RUN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert sim.stdout is not None
        line = sim.stdout.readline()
        told = json.loads(line)
        assert told["ready"] is True
        endpoints = msgspec.json.decode(line, type=Endpoints)
        assert endpoints.is_simulated
        with urllib.request.urlopen(endpoints.binance_usdm.rest + "/fapi/v1/depth?symbol=BTCUSDT&limit=5") as reply:
            assert len(json.load(reply)["bids"]) == 5
        os.kill(sim.pid, number)
        rest, errors = sim.communicate(timeout=20)
    finally:
        sim.kill()
        sim.communicate()
    assert (sim.returncode, rest, errors) == (0, "", "")


def test_faults_are_added_listed_and_forgotten_by_the_admin(bench: Any) -> None:
    async def scene() -> list[Any]:
        async with bench() as sim:
            url, told = sim.endpoints.admin + "/faults", []
            for body in ('{"kind": "stall", "after_s": 60}', '[{"kind": "gap"}, {"kind": "drop"}]', '{"kind": "?"}'):
                async with sim.http.post(url, data=body) as reply:
                    told.append((reply.status, await reply.json()))
            async with sim.http.get(url) as reply:
                told.append(await reply.json())
            async with sim.http.delete(url) as reply:
                told.append(await reply.json())
            assert sim.floor.faults.kinds == frozenset()
            return told

    first, second, refused, listed, forgotten = asyncio.run(scene())
    assert (first[0], second[0], refused[0]) == (200, 200, 400)
    assert "kind" in refused[1]["error"]
    assert [fault["fault"]["kind"] for fault in listed] == ["stall", "gap", "drop"]
    assert [fault["is_begun"] for fault in listed] == [False, True, True]
    assert forgotten == []


def test_ports_follow_each_other_and_a_taken_one_is_told(bench: Any) -> None:
    async def scene() -> None:
        async with bench() as sim:
            taken = int(sim.endpoints.binance_usdm.rest.rpartition(":")[2])
            with pytest.raises(NotAvailable, match="cannot listen"):
                await serve(sim.floor, [sim.usdm], port=taken)

    asyncio.run(scene())


def test_state_outlives_the_clients(bench: Any) -> None:
    async def scene() -> Any:
        async with bench() as sim:
            async with sim.ws("/market/stream?streams=btcusdt@aggTrade") as socket:
                await sim.told(socket, lambda heard: True)
                during = await state(sim)
            async with asyncio.timeout(5.0):
                while (after := await state(sim))["connections"]:
                    await asyncio.sleep(0.02)
            return during, after

    during, after = asyncio.run(scene())
    (connection,) = during["connections"]
    assert connection["streams"] == ["btcusdt@aggTrade"]
    assert connection["sent"] >= 1
    assert during["fronts"]["binance-usdm"]["streams"] == ["btcusdt@aggTrade"]
    assert after["fronts"]["binance-usdm"]["streams"] == []


async def state(sim: Any) -> Any:
    async with sim.http.get(sim.endpoints.admin + "/state") as reply:
        return await reply.json()
