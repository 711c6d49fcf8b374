"""The fence around an account: alone, and between two processes at the venue simulator."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from spyhop.clock import NS_PER_S, EventClock, WallClock
from spyhop.config.secrets import Secrets
from spyhop.errors import StorageFailed, VenueError, VenueUnavailable
from spyhop.model.orders import OrderType, Purpose, SubmitOrder
from spyhop.model.tape import Side
from spyhop.storage.lease import Lease
from spyhop.venues.endpoints import LIVE, Endpoints
from spyhop.wiring import fencing
from spyhop.wiring.accounts import Keys, trader_of
from spyhop.wiring.fencing import Fence, fence_of
from spyhop.wiring.trading import instruments_of, market_of

FIRST, SECOND = "s20251128_170000_000001", "s20251128_170000_000002"


def test_nothing_leaves_before_the_account_is_ours_nor_after_it_is_anothers(tmp_path: Path) -> None:
    clock = EventClock(NS_PER_S)

    def claim(owner: str) -> Lease:
        return Lease(tmp_path / "a.lease", owner, owner, clock)

    ours, theirs = Fence("a", claim("ours"), clock), claim("theirs")

    async def story() -> None:
        with pytest.raises(VenueUnavailable, match="not the right"):
            ours.check()
        await ours.hold()
        ours.check()
        assert ours.epoch == 1
        clock.advance(60 * NS_PER_S)
        assert theirs.take()
        with pytest.raises(VenueUnavailable):
            ours.check()
        with pytest.raises(StorageFailed, match="a belongs to theirs, epoch 2 now"):
            await ours.run()
        assert theirs.is_held

    asyncio.run(story())


def test_who_must_wait_says_for_whom_and_gets_it_when_it_is_given_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fencing, "RENEW_EVERY_S", 0.01)
    monkeypatch.setattr(fencing, "ASK_EVERY_S", 0.01)
    first, second = (fence_of(tmp_path, "binance-usdm:main", LIVE, "") for _ in range(2))

    async def story() -> None:
        await first.hold()
        keeping, waiting = asyncio.create_task(first.run()), asyncio.create_task(second.hold())
        await asyncio.sleep(0.1)
        assert not waiting.done()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await asyncio.wait_for(waiting, 10)
        second.check()
        with pytest.raises(VenueUnavailable):
            first.check()

    asyncio.run(story())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f":{os.getpid()}:" in caplog.text


def test_a_renewal_that_is_under_way_does_not_take_back_what_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fencing, "RENEW_EVERY_S", 0.0)
    first, second = (fence_of(tmp_path, "binance-usdm:main", LIVE, "") for _ in range(2))
    under_way, may_go_on = threading.Event(), threading.Event()
    renew = first._lease.renew

    def slowly() -> bool:
        under_way.set()
        assert may_go_on.wait(10.0)
        return renew()

    async def story() -> None:
        await first.hold()
        monkeypatch.setattr(first._lease, "renew", slowly)
        keeping = asyncio.create_task(first.run())
        await asyncio.to_thread(under_way.wait, 10.0)
        keeping.cancel()
        await asyncio.sleep(0.05)
        may_go_on.set()
        await asyncio.gather(keeping, return_exceptions=True)
        await asyncio.sleep(0.05)
        await asyncio.wait_for(second.hold(), 2.0)

    asyncio.run(story())


def test_each_account_and_each_simulator_has_a_fence_of_its_own(tmp_path: Path) -> None:
    simulated = msgspec.structs.replace(LIVE, is_simulated=True)
    paths = [
        fence_of(tmp_path, account, endpoints, url)._lease.path.name
        for account, endpoints, url in (
            ("dydx:main", LIVE, "http://a"),
            ("binance-usdm:main", LIVE, "http://a"),
            ("binance-usdm:main", simulated, "http://a"),
            ("binance-usdm:main", simulated, "http://b"),
        )
    ]
    assert paths[:2] == ["dydx_main.lease", "binance-usdm_main.lease"]
    assert len(set(paths)) == 4


async def send(runs: Path, endpoints: Endpoints, session: str) -> None:
    """Send an order that rests, every tenth of a second, and say a line of each outcome; the body of a process."""
    (one,) = await instruments_of(endpoints, ["BTCUSDT"])
    clock = endpoints.clock.clock()
    fence = fence_of(runs, "binance-usdm:main", endpoints, endpoints.binance_usdm.rest)
    keys = Keys(Secrets({}), is_simulated=True)
    trader = trader_of(one.venue, endpoints, [one], keys, clock, check=fence.check)
    price = (await market_of(endpoints, one, clock)).bids[0][0] * 9 // 10
    say("waits")
    await fence.hold()
    keeping = asyncio.create_task(fence.run())
    for number in range(10_000):
        order = SubmitOrder(
            ts=clock.now_ns(), client_order_id=f"{session}-{number:06d}", instrument=one.id, side=Side.BUY,
            type=OrderType.LIMIT, lots=10, purpose=Purpose.ENTRY, price=price,
        )  # fmt: skip
        try:
            await trader.submit(order)
        except VenueError as error:
            say(f"refused {error}")
        else:
            say("sent")
        if keeping.done():
            say(f"fenced {keeping.exception()}")
            sys.exit(70)
        await asyncio.sleep(0.1)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextlib.contextmanager
def sender(runs: Path, endpoints: Endpoints, session: str) -> Iterator[subprocess.Popen[str]]:
    """A process that sends."""
    body = (
        "import asyncio, msgspec, pathlib, sys; from tests.spyhop.wiring import test_fencing as test; "
        "endpoints = msgspec.json.decode(sys.argv[2], type=test.Endpoints); "
        "asyncio.run(test.send(pathlib.Path(sys.argv[1]), endpoints, sys.argv[3]))"
    )
    command = [sys.executable, "-c", body, str(runs), msgspec.json.encode(endpoints).decode(), session]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_until(process: subprocess.Popen[str], word: str, most: int = 600) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    for _ in range(most):
        line = process.stdout.readline().strip()
        assert line, lines[-3:]
        lines.append(line)
        if line.startswith(word):
            return lines
    raise AssertionError(f"no {word} in {lines[-3:]}")


@pytest.mark.slow
def test_of_two_processes_on_one_account_one_sends_and_who_stood_still_never_does_again(
    venues: Endpoints, tmp_path: Path
) -> None:
    with sender(tmp_path, venues, FIRST) as first:
        lines_until(first, "sent")
        os.kill(first.pid, signal.SIGSTOP)
        stopped = WallClock().now_ns()
        with sender(tmp_path, venues, SECOND) as second:
            assert len(lines_until(second, "sent")) == 2
            assert 5.0 < (WallClock().now_ns() - stopped) / NS_PER_S < 30.0
            os.kill(first.pid, signal.SIGCONT)
            outcomes = lines_until(first, "fenced")
            assert first.wait(20) == 70
            lines_until(second, "sent")
    assert any(line.startswith("refused") and "not the right" in line for line in outcomes)
    sent = asyncio.run(_orders(venues))
    # the venue's own word: it numbers orders as they come
    assert sent[FIRST]
    assert sent[SECOND]
    assert max(sent[FIRST]) < min(sent[SECOND])


async def _orders(venues: Endpoints) -> dict[str, list[int]]:
    """Return the venue's numbers of the orders that rest there, by session; take them all back."""
    (one,) = await instruments_of(venues, ["BTCUSDT"])
    trader = trader_of(one.venue, venues, [one], Keys(Secrets({}), is_simulated=True), venues.clock.clock())
    sent: dict[str, list[int]] = {FIRST: [], SECOND: []}
    try:
        for order in await trader.open_orders():
            sent[order.client_order_id.partition("-")[0]].append(int(order.venue_order_id))
        await trader.cancel_all(one.id)
    finally:
        await trader.close()
    return sent
