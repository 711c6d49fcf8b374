"""The trader against the simulated chain: every method, what it says of time-outs, silence and its own names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spyhop.clock import NS_PER_S, EventClock
from spyhop.errors import InvalidSetting, OutcomeUnknown, Throttled, VenueRefused, VenueUnavailable
from spyhop.identity import client_order_id
from spyhop.model.accounts import VenueOrder
from spyhop.model.instruments import Instrument
from spyhop.model.orders import CancelOrder, Fill, OrderStatus, OrderType, Purpose, SubmitOrder, TimeInForce
from spyhop.model.tape import Side, Venue
from spyhop.ports import Trader
from spyhop.venues.desk.desk import Desk, DeskParams
from spyhop.venues.desk.reconciling import ReconcileParams
from spyhop.venues.desk.requests import RequestParams
from spyhop.venues.desk.streams import ReadStream
from spyhop.venues.dydx import wire
from spyhop.venues.dydx.answers import Market
from spyhop.venues.dydx.broadcast import Broadcaster
from spyhop.venues.dydx.order_words import DydxTraderParams
from spyhop.venues.dydx.private import DydxPrivate
from spyhop.venues.dydx.reports import DydxReports
from spyhop.venues.dydx.trader import DydxTrader, dydx_trader
from spyhop.venues.endpoints import LIVE
from spyhop.venues.net.https import HttpClient
from spyhop.venues.params import FeedParams
from spyhop.venuesim.dydx import wallets
from spyhop.venuesim.keys import TEST_WALLET

SESSION = "s20260521_171500_000000"
SPEED = 10.0
BLOCK_S = 1.0


class Scene:
    """A simulator, and traders on its one wallet."""

    def __init__(self, sim: Any, trader: DydxTrader) -> None:
        self.sim, self.trader = sim, trader
        self.instrument = next(one for one in sim.floor.exchange.instruments if one.symbol == "BTC-USD")

    @property
    def number(self) -> int:
        return int(self.instrument.id)

    def order(self, sequence: int, **about: Any) -> SubmitOrder:
        """A post-only bid far below the market, unless `about` says otherwise."""
        columns = {
            "ts": self.sim.clock.now_ns(), "client_order_id": client_order_id(SESSION, sequence),
            "instrument": self.number, "side": Side.BUY, "type": OrderType.LIMIT, "lots": 10,
            "purpose": Purpose.ENTRY, "price": self.bid() - 500, "time_in_force": TimeInForce.POST_ONLY, **about,
        }  # fmt: skip
        return SubmitOrder(**columns)

    def market(self, sequence: int, **about: Any) -> SubmitOrder:
        words = {"type": OrderType.MARKET, "price": 0, "time_in_force": TimeInForce.GTC}
        return self.order(sequence, **{**words, **about})

    def cancel(self, sequence: int) -> CancelOrder:
        return CancelOrder(
            ts=self.sim.clock.now_ns(), client_order_id=client_order_id(SESSION, sequence), instrument=self.number
        )

    def bid(self) -> int:
        return int(self.instrument.to_ticks(self.sim.top(self.number)[0]))

    def ask(self) -> int:
        return int(self.instrument.to_ticks(self.sim.top(self.number)[1]))

    async def asked(self, sequence: int) -> VenueOrder | None:
        return await self.trader.order(client_order_id(SESSION, sequence), self.number)

    async def until(self, sequence: int, *statuses: OrderStatus, within_s: float = 20.0) -> VenueOrder:
        """Ask until the order has one of the statuses; unknown meanwhile is no answer."""
        async with asyncio.timeout(within_s):
            while True:
                try:
                    found = await self.asked(sequence)
                except OutcomeUnknown:
                    found = None
                if found is not None and found.status in statuses:
                    return found
                await asyncio.sleep(0.05)

    async def blocks(self, number: int) -> None:
        """Let so many blocks pass."""
        await asyncio.sleep(number * BLOCK_S / SPEED)


@asynccontextmanager
async def trading(sim: Any, **about: Any) -> AsyncIterator[DydxTrader]:
    instruments = [one for one in sim.floor.exchange.instruments if one.symbol == "BTC-USD"]
    trader = dydx_trader(sim.endpoints.dydx, TEST_WALLET, instruments, sim.clock, **about)
    try:
        yield trader
    finally:
        await trader.close()


def play(simulated: Any, scene: Callable[[Scene], Awaitable[None]], **about: Any) -> None:
    async def go() -> None:
        async with simulated(speed=SPEED) as sim, trading(sim, **about) as trader:
            await scene(Scene(sim, trader))

    asyncio.run(go())


@pytest.mark.slow
def test_a_resting_order_is_found_open_and_cancelled(simulated: Any) -> None:
    async def scene(at: Scene) -> None:
        port: Trader = at.trader
        sent = await port.submit(at.order(1))
        assert (sent.status, sent.lots, sent.filled) == (OrderStatus.SENT, 10, 0)
        found = await at.until(1, OrderStatus.OPEN)
        assert (found.client_order_id, found.venue_order_id) == (sent.client_order_id, sent.venue_order_id)
        assert (found.price, found.side) == (sent.price, Side.BUY)
        assert [one.client_order_id for one in await port.open_orders()] == [sent.client_order_id]
        await port.cancel(at.cancel(1))
        # a validator's word is no end: the order may be filled until its last block
        assert (await at.until(1, OrderStatus.CANCEL_PENDING)).filled == 0
        assert [one.status for one in await port.open_orders()] == [OrderStatus.CANCEL_PENDING]
        assert (await at.until(1, OrderStatus.CANCELLED)).filled == 0
        assert await port.open_orders() == []

    play(simulated, scene)


@pytest.mark.slow
def test_a_short_term_order_expires_without_a_word(simulated: Any) -> None:
    async def scene(at: Scene) -> None:
        await at.trader.submit(at.order(1))
        assert (await at.until(1, OrderStatus.OPEN)).filled == 0
        assert (await at.until(1, OrderStatus.EXPIRED)).filled == 0
        assert await at.trader.open_orders() == []

    play(simulated, scene, params=DydxTraderParams(maker_blocks=4))


@pytest.mark.slow
def test_fills_positions_and_money_after_a_round_trip(simulated: Any) -> None:
    async def scene(at: Scene) -> None:
        (before,) = await at.trader.balances()
        since = at.sim.clock.now_ns()
        await at.trader.submit(at.market(1, lots=20))
        assert (await at.until(1, OrderStatus.FILLED)).filled == 20
        await at.blocks(2)
        (held,) = await at.trader.positions()
        assert (held.instrument, held.lots, held.is_isolated) == (at.number, 20, False)
        fills = await at.trader.fills(at.number, since)
        assert sum(fill.lots for fill in fills) == 20
        assert {fill.client_order_id for fill in fills} == {client_order_id(SESSION, 1)}
        paid = sum(fill.price * fill.lots for fill in fills)
        assert held.entry == pytest.approx(paid / 20)
        await at.trader.submit(at.market(2, lots=20, side=Side.SELL, reduce_only=True))
        await at.until(2, OrderStatus.FILLED)
        await at.blocks(2)
        assert await at.trader.positions() == []
        both = await at.trader.fills(at.number, since)
        assert [fill.fill_id for fill in both[: len(fills)]] == [fill.fill_id for fill in fills]
        assert await at.trader.fills(at.number, both[-1].ts_venue + 1) == []
        # money is what fills and fees explain, to the millionth of a USDC
        unit = float(at.instrument.tick_size * at.instrument.lot_size)
        gained = -sum(int(fill.side) * fill.price * fill.lots for fill in both) * unit
        (after,) = await at.trader.balances()
        assert after.total - before.total == pytest.approx(gained - sum(fill.fee for fill in both), abs=1e-5)

    play(simulated, scene)


@pytest.mark.slow
def test_stops_stay_with_the_chain_and_cancel_all_takes_everything(simulated: Any) -> None:
    async def scene(at: Scene) -> None:
        stop = at.order(
            1, type=OrderType.STOP_MARKET, side=Side.SELL, price=0, trigger=at.bid() - 2_000,
            time_in_force=TimeInForce.GTC, reduce_only=True,
        )  # fmt: skip
        await at.trader.submit(at.market(9))
        await at.until(9, OrderStatus.FILLED)
        await at.trader.submit(stop)
        found = await at.until(1, OrderStatus.OPEN)
        assert (found.trigger, found.reduce_only) == (stop.trigger, True)
        assert found.price == pytest.approx(stop.trigger * 0.9, abs=1.0)
        await at.trader.submit(at.order(2, time_in_force=TimeInForce.GTC))
        await at.until(2, OrderStatus.OPEN)
        await at.trader.submit(at.order(3))
        await at.trader.cancel_all(at.number)
        await at.until(1, OrderStatus.CANCELLED)
        await at.until(2, OrderStatus.CANCELLED)
        await at.until(3, OrderStatus.CANCELLED)
        assert await at.trader.open_orders() == []

    play(simulated, scene)


@pytest.mark.slow
def test_a_time_out_of_an_executed_order_is_unknown_and_then_found(simulated: Any) -> None:
    async def scene(at: Scene) -> None:
        await at.trader.connect()
        at.sim.fault("unknown_executed", target="broadcast_tx_sync", count=1)
        with pytest.raises(OutcomeUnknown):
            await at.trader.submit(at.order(1))
        assert (await at.until(1, OrderStatus.OPEN)).lots == 10
        with pytest.raises(OutcomeUnknown, match="sent before"):
            await at.trader.submit(at.order(1))
        assert len(await at.trader.open_orders()) == 1

    play(simulated, scene)


@pytest.mark.slow
def test_a_lost_order_is_unknown_until_its_last_block_has_passed(simulated: Any) -> None:
    async def scene(at: Scene) -> None:
        await at.trader.connect()
        at.sim.fault("unknown_lost", target="broadcast_tx_sync", count=1)
        with pytest.raises(OutcomeUnknown):
            await at.trader.submit(at.order(1))
        with pytest.raises(OutcomeUnknown, match="may still appear"):
            await at.asked(1)
        async with asyncio.timeout(10.0):
            while True:
                try:
                    assert await at.asked(1) is None
                    break
                except OutcomeUnknown:
                    await at.blocks(1)

    play(simulated, scene, params=DydxTraderParams(maker_blocks=3))


@pytest.mark.slow
def test_another_life_finds_orders_by_the_names_that_it_is_told(simulated: Any) -> None:
    async def scene(at: Scene) -> None:
        await at.trader.submit(at.order(1))
        await at.trader.submit(at.market(2))
        await at.until(2, OrderStatus.FILLED)
        await at.blocks(2)
        async with trading(at.sim, known=[client_order_id(SESSION, number) for number in (1, 2, 3)]) as later:
            opened = await later.open_orders()
            assert [one.client_order_id for one in opened] == [client_order_id(SESSION, 1)]
            assert {one.client_order_id for one in await later.fills(at.number, 0)} == {client_order_id(SESSION, 2)}
            with pytest.raises(OutcomeUnknown):
                await later.order(client_order_id(SESSION, 3), at.number)
            await later.cancel(at.cancel(1))
        async with trading(at.sim) as stranger:
            assert {one.client_order_id for one in await stranger.open_orders()} == {""}
            assert {one.client_order_id for one in await stranger.fills(at.number, 0)} == {""}
        await at.until(1, OrderStatus.CANCEL_PENDING, OrderStatus.CANCELLED, OrderStatus.EXPIRED)

    play(simulated, scene)


@pytest.mark.slow
def test_refusals_say_why_and_leave_nothing_behind(simulated: Any) -> None:
    async def scene(at: Scene) -> None:
        with pytest.raises(VenueRefused, match="2003") as crossing:
            await at.trader.submit(at.order(1, price=at.ask() + 100))
        assert crossing.value.code == 2003
        with pytest.raises(VenueRefused, match="9003"):
            await at.trader.submit(at.order(2, reduce_only=True))
        with pytest.raises(VenueRefused, match="trailing"):
            await at.trader.submit(at.order(3, type=OrderType.TRAILING_STOP, callback=10))
        await at.trader.submit(at.order(1))  # nothing was executed, so the name may be used
        at.sim.fault("reject", target="broadcast_tx_sync", count=1, code=5001)
        with pytest.raises(Throttled):
            await at.trader.submit(at.order(4))
        at.sim.fault("reject", target="broadcast_tx_sync", count=1, code=9)
        await at.trader.cancel(at.cancel(1))  # a cancellation is there already
        at.sim.fault("reject", target="broadcast_tx_sync", count=1, code=3006)
        with pytest.raises(VenueRefused, match="3006"):
            await at.trader.cancel(at.cancel(1))

    play(simulated, scene)


@pytest.mark.slow
def test_what_a_key_may_do_and_what_the_venue_has_not(simulated: Any) -> None:
    async def scene(at: Scene) -> None:
        rights = await at.trader.rights()
        assert (rights.can_trade, rights.can_withdraw, rights.is_one_way) == (True, True, True)
        assert await at.trader.hold_switch(at.number, 10.0) is False
        await at.trader.set_leverage(at.number, 3.0)
        assert TEST_WALLET not in repr(vars(at.trader))

    play(simulated, scene)


@pytest.mark.slow
def test_a_wallet_that_the_chain_has_never_seen_holds_nothing(simulated: Any) -> None:
    async def go() -> None:
        async with simulated(speed=SPEED) as sim:
            trader = dydx_trader(sim.endpoints.dydx, "77" * 32, (), sim.clock)
            rights = await trader.rights()
            assert (rights.can_trade, rights.can_withdraw) == (False, True)
            await trader.close()

    asyncio.run(go())


def test_a_key_that_is_none_is_not_repeated() -> None:
    with pytest.raises(InvalidSetting) as raised:
        dydx_trader(LIVE.dydx, "not-a-secret-key", (), EventClock())
    assert "not-a-secret-key" not in str(raised.value)


class History:
    """An indexer with `number` fills, two a block and each a second after the one before; stands in for a DydxRest."""

    def __init__(self, number: int, *, is_stuck: bool = False) -> None:
        self.num_asked, self._is_stuck = 0, is_stuck
        self._fills = [
            wire.Fill(
                f"fill-{n}", "BUY", "TAKER", "LIMIT", "0.0001", "60000", datetime.fromtimestamp(START_S + n, UTC),
                created_at_height=str(n // 2),
            )
            for n in range(number)
        ]  # fmt: skip

    async def fills(self, *_: Any, limit: int, before_height: str, **__: Any) -> list[wire.Fill]:
        self.num_asked += 1
        height = int(before_height) if before_height and not self._is_stuck else 1 << 31
        return [fill for fill in reversed(self._fills) if int(fill.created_at_height) <= height][:limit]

    def unreadable(self, path: str, reason: str) -> VenueUnavailable:
        return VenueUnavailable(path, 200, reason)


START_S = 1_780_000_000
BTC = Instrument(id=3, venue=Venue.DYDX, symbol="BTC-USD", tick_size=Decimal(1), lot_size=Decimal("0.0001"))


def historian(history: Any) -> DydxTrader:
    clock = EventClock(START_S * NS_PER_S)
    broadcaster = Broadcaster(HttpClient(clock), LIVE.dydx, TEST_WALLET, clock)
    trader = DydxTrader(broadcaster, history, [BTC], clock)
    trader.placements.markets = {3: Market(BTC, 0)}
    trader._tickers = {"BTC-USD": Market(BTC, 0)}
    return trader


@pytest.mark.parametrize(("number", "since", "asked"), [(999, 0, 1), (2_501, 0, 3), (2_501, 2_400, 1), (4_000, 0, 5)])
def test_fills_are_asked_for_as_far_back_as_wanted(number: int, since: int, asked: int) -> None:
    history = History(number)
    told = asyncio.run(historian(history).fills(3, (START_S + since) * NS_PER_S))
    assert [fill.fill_id for fill in told] == [f"fill-{n}" for n in range(since, number)]
    assert history.num_asked == asked


def test_pages_that_do_not_go_back_are_no_answer() -> None:
    with pytest.raises(VenueUnavailable, match="do not go back"):
        asyncio.run(historian(History(1_500, is_stuck=True)).fills(3, 0))


PARAMS = DeskParams(
    requests=RequestParams(validity_s=1.0, ask_min_s=0.2, confirm_s=0.5, request_s=10.0),
    reconcile=ReconcileParams(every_s=3.0, unclean_s=1.0, grace_s=1.0, look_again_s=0.5),
)
BLOCKS = DydxTraderParams(taker_blocks=5, maker_blocks=20)
ATTENTIVE = FeedParams(silence_seconds=20.0, first_message_seconds=10.0, ws_backoff_min=0.05, ws_backoff_max=0.5)


@asynccontextmanager
async def at_work(sim: Any, folder: Path) -> AsyncIterator[tuple[Scene, Desk]]:
    """A desk with a trader and a stream of its own, killed at the end of the block."""
    async with trading(sim, params=BLOCKS) as trader:
        await trader.connect()
        scene = Scene(sim, trader)
        adapter = DydxPrivate(sim.endpoints.dydx, wallets.TEST_ADDRESS)
        async with sim.listen(adapter, ATTENTIVE) as listener:
            stream = ReadStream[Any](listener.stream, DydxReports(trader.placements))
            desk = Desk(trader, stream, folder, sim.clock, {scene.number: scene.instrument}, PARAMS)
            running = asyncio.create_task(desk.run())
            try:
                yield scene, desk
            finally:
                running.cancel()
                (outcome,) = await asyncio.gather(running, return_exceptions=True)
                desk.close()
            assert isinstance(outcome, asyncio.CancelledError), outcome


async def settled(desk: Desk, *sequences: int, within_s: float = 40.0) -> list[OrderStatus]:
    """Wait for the ends of orders and return them."""
    owns = [desk.account.orders[client_order_id(SESSION, sequence)] for sequence in sequences]
    async with asyncio.timeout(within_s):
        while any(own.is_alive for own in owns):
            await asyncio.sleep(0.05)
    return [own.status for own in owns]


async def agree(scene: Scene, desk: Desk) -> None:
    """Assert that the desk knows every execution of the chain once, and what is held."""
    (truth,) = (
        scene.sim.floor.exchange.executions(name, scene.number)
        for name in scene.sim.floor.exchange.accounts(Venue.DYDX)
        if name == f"{wallets.TEST_ADDRESS}/0"
    )
    fills = [one for one in desk.reports_since(0) if isinstance(one, Fill)]
    assert sorted((one.price, one.lots) for one in fills) == sorted((one.price, one.lots) for one in truth)
    assert len({one.fill_id for one in fills}) == len(fills)
    held = sum(position.lots for position in await scene.trader.positions())
    assert desk.account.lots[scene.number] == held == sum(int(one.side) * one.lots for one in truth)


FAULTS = ("", "unknown_executed", "unknown_lost", "event_first", "reply_first", "partial_fill", "drop")


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAULTS)
def test_whatever_goes_wrong_the_desk_and_the_chain_agree(simulated: Any, tmp_path: Path, kind: str) -> None:
    async def go() -> None:
        async with simulated(speed=SPEED) as sim, at_work(sim, tmp_path) as (scene, desk):
            async with asyncio.timeout(10.0):
                while desk.statistics()["connected"] != 1.0:
                    await asyncio.sleep(0.02)
            if kind:
                sim.fault(kind, target="/v4/ws" if kind == "drop" else "broadcast_tx_sync", count=1, delay_s=2.0)
            desk.take(0, [scene.market(1, lots=20), scene.order(2)])
            (taken,) = await settled(desk, 1)
            assert (taken is OrderStatus.FILLED) == (kind not in ("unknown_lost", "partial_fill"))
            desk.take(2, [scene.market(3, side=Side.SELL, lots=5, reduce_only=True), scene.cancel(2)])
            await settled(desk, 2, 3)
            await scene.blocks(3)
            await agree(scene, desk)
            assert await scene.trader.open_orders() == []
            assert kind != "drop" or desk.statistics()["losses"] > 0.0

    asyncio.run(go())


@pytest.mark.slow
def test_a_killed_desk_goes_on_where_it_was_under_the_same_names(simulated: Any, tmp_path: Path) -> None:
    async def go() -> None:
        async with simulated(speed=SPEED) as sim:
            async with at_work(sim, tmp_path) as (scene, desk):
                desk.take(0, [scene.market(1, lots=20), scene.order(2), scene.market(3, lots=3)])
                await scene.blocks(1)
            async with at_work(sim, tmp_path) as (scene, desk):
                ends = await settled(desk, 1, 3)
                assert set(ends) <= {OrderStatus.FILLED, OrderStatus.REJECTED}
                desk.take(3, [scene.cancel(2)])
                assert await settled(desk, 2) != [OrderStatus.FILLED]
                await scene.blocks(3)
                await agree(scene, desk)

    asyncio.run(go())
