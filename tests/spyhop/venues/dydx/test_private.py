from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_S
from spyhop.errors import ConnectionLost, VenueRefused
from spyhop.venues.dydx import wire
from spyhop.venues.dydx.orders import DydxOrders
from spyhop.venues.dydx.private import DydxPrivate, _Connection
from spyhop.venues.endpoints import LIVE
from spyhop.venues.live.private import Connected, Lost
from spyhop.venues.live.private_adapter import Heard
from spyhop.venues.live.scripted import ScriptedSocket
from spyhop.venues.net.transport import Frame
from spyhop.venues.params import FeedParams
from spyhop.venuesim.dydx import wallets
from spyhop.venuesim.keys import TEST_WALLET

BTC = "BTC/USDC:USDC"
SUBJECT = f"{wallets.TEST_ADDRESS}/0"
ATTENTIVE = FeedParams(silence_seconds=5.0, first_message_seconds=2.0, ws_backoff_min=0.05, ws_backoff_max=0.5)


@asynccontextmanager
async def listening(sim: Any, number: int = 0) -> AsyncIterator[Any]:
    adapter = DydxPrivate(sim.endpoints.dydx, wallets.TEST_ADDRESS, number)
    async with sim.listen(adapter, ATTENTIVE) as listener:
        yield listener


@asynccontextmanager
async def trading(sim: Any) -> AsyncIterator[Any]:
    exchange = DydxOrders({"options": {"privateKey": TEST_WALLET}, "clock": sim.clock})
    dydx = sim.endpoints.dydx
    exchange.urls["api"].update(indexer=dydx.indexer, nodeRpc=dydx.node_rpc, nodeRest=dydx.node_rest, ws=dydx.ws)
    exchange.enableRateLimit = False
    try:
        await exchange.load_markets()
        yield exchange
    finally:
        await exchange.close()


def play(simulated: Any, scene: Callable[[Any, Any], Awaitable[None]], **about: Any) -> None:
    async def go() -> None:
        async with simulated(speed=4.0, **about) as sim, trading(sim) as exchange:
            await scene(sim, exchange)

    asyncio.run(go())


def connected(event: object) -> bool:
    return isinstance(event, Connected)


def lost(event: object) -> bool:
    return isinstance(event, Lost)


def status_of(client_id: int, *statuses: str) -> Callable[[object], bool]:
    """Say whether an event says that of an order."""

    def is_it(event: object) -> bool:
        return isinstance(event, wire.SubaccountUpdate) and any(
            order.client_id == str(client_id) and order.status in statuses for order in event.orders
        )

    return is_it


def fills(events: Sequence[object]) -> list[str]:
    return [fill.id for event in events if isinstance(event, wire.SubaccountUpdate) for fill in event.fills]


async def rest(sim: Any, exchange: Any, client_id: int) -> Any:
    """Place a bid that is not filled."""
    price = int(sim.top(2)[0]) - 500
    params = {"clientOrderId": client_id, "timeInForce": "GTB"}
    return await exchange.create_order(BTC, "limit", "buy", "0.001", price, params)


async def take(sim: Any, exchange: Any, client_id: int) -> Any:
    """Buy what is there."""
    price = int(sim.top(2)[1]) + 500
    return await exchange.create_order(BTC, "market", "buy", "0.001", price, {"clientOrderId": client_id})


@pytest.mark.slow
def test_orders_are_told_from_the_snapshot_on_between_the_blocks(simulated: Any) -> None:
    async def scene(sim: Any, exchange: Any) -> None:
        async with listening(sim) as heard:
            await heard.until(connected)
            await rest(sim, exchange, 1)
            await heard.until(status_of(1, "BEST_EFFORT_OPENED", "OPEN"))
            await exchange.cancel_order("1", BTC)
            await heard.until(status_of(1, "BEST_EFFORT_CANCELED", "CANCELED"))
            await take(sim, exchange, 2)
            await heard.until(status_of(2, "FILLED"))
            events = heard.events
            assert isinstance(events[0], wire.SubaccountState)
            assert events[0].subaccount is not None
            assert events[0].subaccount.address == wallets.TEST_ADDRESS
            heights = [int(event.block_height or event.height) for event in events if isinstance(event, wire.Height)]
            assert heights == list(range(heights[0], heights[0] + len(heights)))
            made = await exchange.indexerGetFills({"address": wallets.TEST_ADDRESS, "subaccountNumber": 0})
            assert len(fills(events)) == len(set(fills(events))) >= 1
            assert {fill["id"] for fill in made["fills"]} == set(fills(events))
            assert heard.breaks == [Connected(1)]
            assert heard.about["set_aside"] == 0.0

    play(simulated, scene)


@pytest.mark.slow
def test_a_message_that_is_lost_is_noticed_with_the_next_blocks(simulated: Any) -> None:
    async def scene(sim: Any, exchange: Any) -> None:
        async with listening(sim) as heard:
            await heard.until(connected)
            sim.fault("gap", target="v4_subaccounts/*", count=1)
            await rest(sim, exchange, 1)
            ts = sim.clock.now_ns()
            assert (await heard.until(lost)).reason.endswith("a message is missing")
            assert heard.told[-1].ts_recv - ts < 10 * NS_PER_S
            state = await heard.until(lambda event: isinstance(event, wire.SubaccountState) and event.orders)
            assert [order.client_id for order in state.orders] == ["1"]
            assert [type(event) for event in heard.breaks] == [Connected, Lost, Connected]

    play(simulated, scene)


@pytest.mark.slow
def test_a_late_message_is_waited_for_and_a_repeated_one_dropped(simulated: Any) -> None:
    async def scene(sim: Any, exchange: Any) -> None:
        async with listening(sim) as heard:
            await heard.until(connected)
            sim.fault("late", target="v4_subaccounts/*", count=1, delay_s=1.2)
            sim.fault("repeat", target="v4_subaccounts/*", after_s=1.5)
            await rest(sim, exchange, 1)
            await exchange.cancel_order("1", BTC)
            await take(sim, exchange, 2)
            await heard.until(status_of(2, "FILLED"))
            updates = [event for event in heard.events if isinstance(event, wire.SubaccountUpdate)]
            told = [(order.client_id, order.status) for event in updates for order in event.orders]
            assert next(status for number, status in told if number == "1") in ("BEST_EFFORT_OPENED", "OPEN")
            assert len(fills(heard.events)) == len(set(fills(heard.events)))
            assert len(told) == len(set(told))
            assert heard.breaks == [Connected(1)]

    play(simulated, scene)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["drop", "stall"])
def test_a_connection_that_breaks_or_is_mute_is_opened_anew(simulated: Any, kind: str) -> None:
    async def scene(sim: Any, exchange: Any) -> None:
        async with listening(sim) as heard:
            await heard.until(connected)
            sim.fault(kind, **({"duration_s": 7.0} if kind == "stall" else {"count": 1}))
            reason = (await heard.until(lost)).reason
            assert ("silent" if kind == "stall" else "1006") in reason
            await heard.until(connected)
            await take(sim, exchange, 1)
            await heard.until(status_of(1, "FILLED"))

    play(simulated, scene)


@pytest.mark.slow
def test_a_subaccount_that_is_not_there_yet_is_empty_and_an_address_that_cannot_be_is_refused(simulated: Any) -> None:
    async def scene(sim: Any, exchange: Any) -> None:
        async with listening(sim, number=7) as heard:
            state = await heard.until(lambda event: isinstance(event, wire.SubaccountState))
            assert state == wire.SubaccountState()
        with pytest.raises(VenueRefused, match="Invalid subscription id"):
            await sim.stream(DydxPrivate(sim.endpoints.dydx, "dydx1nobody")).run()

    play(simulated, scene)


# ── frames by hand


def connection() -> _Connection:
    async def made() -> _Connection:
        return _Connection(ScriptedSocket("u"), "dydx", SUBJECT)

    return asyncio.run(made())


def framed(*messages: dict[str, object], ts: int = 0) -> list[Frame]:
    return [Frame(ts, json.dumps(message).encode()) for message in messages]


def subscribed(number: int, **changes: object) -> dict[str, object]:
    contents = {"subaccount": None, "orders": [], "blockHeight": "5"}
    told = {"type": "subscribed", "message_id": number, "channel": "v4_subaccounts", "id": SUBJECT}
    return {**told, "contents": contents, **changes}


def update(number: int, order_id: str, **changes: object) -> dict[str, object]:
    told = {"type": "channel_data", "message_id": number, "channel": "v4_subaccounts", "id": SUBJECT}
    return {**told, "contents": {"orders": [{"id": order_id}]}, **changes}


GREETING: dict[str, object] = {"type": "connected", "message_id": 0}
BLOCKS: dict[str, object] = {
    "type": "subscribed",
    "message_id": 2,
    "channel": "v4_block_height",
    "id": "v4_block_height",
    "contents": {"height": "5", "time": "2025-12-08T16:11:59.450Z"},
}


def orders(heard: Heard[Any]) -> list[str]:
    return [order.id for _, event in heard.events if isinstance(event, wire.SubaccountUpdate) for order in event.orders]


def test_messages_are_told_by_their_ids() -> None:
    one = connection()
    first = one.decode(framed(GREETING, BLOCKS, update(3, "a"), ts=1))
    assert (first.events, one.is_joined) == ([], False)
    second = one.decode(framed(update(5, "c"), subscribed(1), update(4, "b"), update(4, "b"), update(6, "d"), ts=2))
    assert one.is_joined
    assert [type(event) for _, event in second.events][:2] == [wire.SubaccountState, wire.Height]
    assert orders(second) == ["a", "b", "c", "d"]
    assert [ts for ts, _ in second.events] == [2, 1, 1, 2, 2, 2]
    assert second.ignored == {"message id seen before": 1}
    assert second.end is None


def test_a_block_is_known_by_its_height_and_nothing_else_is_told_twice() -> None:
    events = [event for _, event in connection().decode(framed(
        GREETING, subscribed(1), BLOCKS, update(3, "a"),
        {**BLOCKS, "type": "channel_data", "message_id": 4,
         "contents": {"blockHeight": "5", "time": "2025-12-08T16:11:59.450Z"}},
    )).events]  # fmt: skip
    adapter = DydxPrivate(LIVE.dydx, "dydx1x")
    assert [adapter.identity(event) for event in events] == [None, "5", None, "5"]


def test_a_batch_is_told_part_by_part() -> None:
    batch = update(3, "", type="channel_batch_data", contents=[{"orders": [{"id": "a"}]}, {"orders": [{"id": "b"}]}])
    assert orders(connection().decode(framed(GREETING, subscribed(1), BLOCKS, batch))) == ["a", "b"]


def test_a_message_that_stays_away_ends_the_connection() -> None:
    one = connection()
    one.decode(framed(GREETING, subscribed(1), BLOCKS, update(4, "b")))
    asyncio.run(one.keep(NS_PER_S))
    with pytest.raises(ConnectionLost, match="a message is missing"):
        asyncio.run(one.keep(3 * NS_PER_S))
    heard = one.decode(framed(update(5, "c"), update(3, "a"), ts=3 * NS_PER_S))
    assert "a message is missing" in str(heard.end)
    assert heard.events == []


@pytest.mark.parametrize("body", [
    update(3, "", contents={"orders": [{"status": "FILLED"}]}),
    update(3, "", contents=[]),
    {"type": "unsubscribed", "message_id": 3, "channel": "v4_subaccounts", "id": SUBJECT},
])  # fmt: skip
def test_news_that_cannot_be_had_end_the_connection(body: dict[str, object]) -> None:
    heard = connection().decode(framed(GREETING, subscribed(1), BLOCKS, body, update(4, "b")))
    assert isinstance(heard.end, ConnectionLost)
    assert len(heard.set_aside) == (body["type"] == "channel_data")
    assert orders(heard) == []


def test_other_channels_complaints_and_bad_blocks_are_counted() -> None:
    one = connection()
    heard = one.decode(framed(
        GREETING, subscribed(1), BLOCKS, update(3, "x", id="another/0"), update(4, "x", channel="v4_orderbook"),
        {**BLOCKS, "type": "channel_data", "message_id": 5, "contents": {}}, {"type": "error", "message_id": 5},
        update(6, "a"),
    ))  # fmt: skip
    assert orders(heard) == ["a"]
    assert heard.ignored == {"greeting": 1, "another channel or subaccount": 2, "complaint of the venue": 1}
    assert [reason for reason, _ in heard.set_aside] == ["contents that are not the channel's"]
    assert heard.end is None


def test_a_complaint_before_the_answers_is_a_refusal() -> None:
    heard = connection().decode(framed(GREETING, {"type": "error", "message": "Invalid channel: x", "message_id": 0}))
    assert isinstance(heard.end, VenueRefused)
    assert "Invalid channel" in str(heard.end)


WHOLE = [json.dumps(message).encode() for message in (GREETING, subscribed(0), update(0, "a"), {**BLOCKS})]


@given(st.one_of(
    st.binary(max_size=200),
    st.builds(lambda whole, end: whole[: end % len(whole)], st.sampled_from(WHOLE), st.integers(0, 1_000)),
))  # fmt: skip
def test_noise_and_parts_of_frames_are_no_events(frame: bytes) -> None:
    heard = connection().decode([Frame(1, frame)])
    assert heard.events == []
    assert len(heard.set_aside) == 1
    assert heard.end is None


@given(st.sampled_from(WHOLE), st.integers(0, 10_000))
def test_a_flipped_bit_never_raises(whole: bytes, bit: int) -> None:
    frame = bytearray(whole)
    frame[bit // 8 % len(frame)] ^= 1 << bit % 8
    connection().decode([Frame(1, bytes(frame)), *framed(GREETING)])
