"""The indexer's limits: milliseconds are milliseconds, and one address is one budget."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web

from spyhop.clock import EventClock, WallClock
from spyhop.errors import Throttled, VenueRefused
from spyhop.venues.dydx import limits


async def _asked(status: int, headers: dict[str, str]) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers, text=json.dumps({"errors": [{"msg": "not so fast"}]}))

    app = web.Application()
    app.router.add_get("/v4/time", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    client = limits.client(WallClock())
    try:
        await client.request("GET", f"http://127.0.0.1:{port}/v4/time")
    finally:
        await client.close()
        await runner.cleanup()


def test_retry_after_is_counted_in_milliseconds() -> None:
    with pytest.raises(Throttled) as raised:
        asyncio.run(_asked(429, {"Retry-After": "1500"}))
    assert raised.value.retry_after_s == 1.5


def test_the_venue_s_own_words_are_kept() -> None:
    with pytest.raises(VenueRefused, match="not so fast"):
        asyncio.run(_asked(404, {}))


def test_ninety_requests_in_ten_seconds_and_no_more() -> None:
    clock = EventClock(1_765_210_320_000_000_000)
    budget = limits.budget(clock)

    async def spend() -> None:
        for _ in range(90):
            await budget.acquire()
        assert clock.now_ns() == 1_765_210_320_000_000_000
        await budget.acquire()

    asyncio.run(spend())
    assert clock.now_ns() >= 1_765_210_320_000_000_000 + 9_500_000_000
