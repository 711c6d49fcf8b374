from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from spyhop.clock import NS_PER_S
from spyhop.venuesim.dydx import chain
from spyhop.venuesim.dydx import messages as pb
from spyhop.venuesim.faults import Fault, FaultKind

MID = 60_000
BOOK = {"type": "subscribe", "channel": "v4_orderbook", "id": "BTC-USD"}
TRADES = {"type": "subscribe", "channel": "v4_trades", "id": "BTC-USD"}


class Client:
    """A plain client of the socket: sends JSON, keeps what comes."""

    def __init__(self, sim: Any, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.sim, self.ws = sim, ws
        self.got: list[dict[str, Any]] = []

    async def send(self, *messages: Any) -> None:
        """Send messages and wait until the server has read them all."""
        heard = self._heard()
        for message in messages:
            if isinstance(message, str):
                await self.ws.send_str(message)
            else:
                await self.ws.send_json(message)
        async with asyncio.timeout(5):
            while self._heard() < heard + len(messages):
                await asyncio.sleep(0.001)

    async def throw(self, *messages: Any) -> None:
        """Send messages that may end the connection."""
        for message in messages:
            await self.ws.send_str(message if isinstance(message, str) else msgspec.json.encode(message).decode())

    async def take(self, number: int) -> list[dict[str, Any]]:
        """Return the next `number` messages."""
        got = []
        async with asyncio.timeout(5):
            for _ in range(number):
                got.append(await self.ws.receive_json())
        self.got += got
        return got

    async def closed(self) -> tuple[int | None, str]:
        """Read to the end and return the close code and reason."""
        async with asyncio.timeout(5):
            while True:
                message = await self.ws.receive()
                if message.type is aiohttp.WSMsgType.TEXT:
                    self.got.append(msgspec.json.decode(message.data))
                elif message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING):
                    return self.ws.close_code, str(message.extra or "")

    def _heard(self) -> int:
        return sum(connection.num_heard for connection in self.sim.floor.connections)


def run(bench: Callable[..., Any], story: Callable[[Any, Client], Any], faults: tuple[Fault, ...] = ()) -> None:
    async def go() -> None:
        async with bench(faults) as sim, sim.ws() as ws:
            client = Client(sim, ws)
            (hello,) = await client.take(1)
            assert hello["type"] == "connected"
            assert hello["message_id"] == 0
            await story(sim, client)

    asyncio.run(go())


def test_ids_are_reserved_when_asked_for_and_snapshots_come_later(bench: Callable[..., Any]) -> None:
    async def story(sim: Any, client: Client) -> None:
        height = {"type": "subscribe", "channel": "v4_block_height"}
        await client.send(BOOK, height)
        sim.clock.advance(4_000_000)  # the height is fetched sooner than the book
        sim.floor.turn()
        (first,) = await client.take(1)
        assert (first["channel"], first["message_id"], first["id"]) == ("v4_block_height", 2, "v4_block_height")
        assert first["contents"] == {
            "height": str(sim.height),
            "time": chain.iso(chain.time_of(sim.height)),
        }
        sim.turn(0.1)
        (second,) = await client.take(1)
        assert (second["type"], second["channel"], second["message_id"]) == ("subscribed", "v4_orderbook", 1)
        assert set(second["contents"]["bids"][0]) == {"price", "size"}
        # what happened while the book was fetched comes after it, though the book has it already
        (third,) = await client.take(1)
        assert (third["type"], third["message_id"], third["version"]) == ("channel_data", 3, "1.0.0")
        assert third["contents"]["bids"] == [[*second["contents"]["bids"][0].values()]]

    run(bench, story)


def test_trades_around_a_subscription_come_twice_with_the_same_id(bench: Callable[..., Any]) -> None:
    async def story(sim: Any, client: Client) -> None:
        await client.send(TRADES)
        sim.turn(0.2)
        snapshot, first, second = await client.take(3)
        newest = snapshot["contents"]["trades"][0]
        assert first["contents"]["trades"] == [newest]
        assert second["contents"]["trades"][0]["id"] > newest["id"]
        assert first["version"] == "2.1.0"

    run(bench, story)


def test_batches_come_four_times_a_second(bench: Callable[..., Any]) -> None:
    async def story(sim: Any, client: Client) -> None:
        await client.send({**BOOK, "batched": True})
        sim.turn(0.1)
        snapshot, _ = await client.take(2)
        assert snapshot["type"] == "subscribed"
        start = sim.clock.now_ns()
        sim.turn(3.0)
        batches = await client.take(10)
        assert {batch["type"] for batch in batches} == {"channel_batch_data"}
        assert [batch["message_id"] for batch in batches] == list(range(3, 13))
        # ticks are 100 ms apart, so a batch is due after 3 of them
        assert all(len(batch["contents"]) == 3 for batch in batches[1:])
        assert all(set(update) <= {"bids", "asks"} for batch in batches for update in batch["contents"])
        assert sim.clock.now_ns() - start == 3 * NS_PER_S

    run(bench, story)


def test_the_stream_is_the_tapes_book(bench: Callable[..., Any]) -> None:
    async def story(sim: Any, client: Client) -> None:
        await client.send(BOOK)
        sim.turn(5.0)
        snapshot, *updates = await client.take(1 + 50)
        book = {
            side: {level["price"]: level["size"] for level in snapshot["contents"][side]} for side in ("bids", "asks")
        }
        for update in updates:
            for side, levels in update["contents"].items():
                book[side].update(levels)
        rest = await sim.get("/orderbooks/perpetualMarket/BTC-USD")
        for side in ("bids", "asks"):
            assert [book[side][level["price"]] for level in rest[side]] == [level["size"] for level in rest[side]]

    run(bench, story)


def test_candles_markets_and_heights_follow_the_blocks(bench: Callable[..., Any]) -> None:
    async def story(sim: Any, client: Client) -> None:
        await client.send(
            {"type": "subscribe", "channel": "v4_candles", "id": "BTC-USD/1MIN"},
            {"type": "subscribe", "channel": "v4_markets"},
            {"type": "subscribe", "channel": "v4_block_height"},
        )
        sim.turn(11.0)
        got = await client.take(3 + 11 * 3)
        by_channel: dict[str, list[dict[str, Any]]] = {}
        for message in got:
            by_channel.setdefault(message["channel"], []).append(message)
        candles = by_channel["v4_candles"]
        assert "id" not in candles[0]["contents"]["candles"][0]
        counts = [message["contents"]["trades"] for message in candles[1:]]
        assert counts == sorted(set(counts))
        assert counts[-1] == 111  # step 1800 to 1910, all in the fourth minute
        markets = by_channel["v4_markets"]
        assert "id" not in markets[0]
        assert set(markets[0]["contents"]["markets"]) == {"BTC-USD", "SHIB-USD"}
        assert all("id" not in message and message["version"] == "1.0.0" for message in markets[1:])
        oracle = [m["contents"]["oraclePrices"]["BTC-USD"]["oraclePrice"] for m in markets[1:]]
        assert set(oracle) == {"60000", "60001", "60002"}
        trading = [m["contents"]["trading"]["BTC-USD"] for m in markets[1:] if "trading" in m["contents"]]
        assert trading
        assert set(trading[0]) >= {"volume24H", "nextFundingRate", "openInterest"}
        heights = [int(m["contents"]["blockHeight"]) for m in by_channel["v4_block_height"][1:]]
        assert heights == list(range(heights[0], heights[0] + 11))

    run(bench, story)


def test_orders_fills_and_positions_are_told(bench: Callable[..., Any]) -> None:
    async def story(sim: Any, client: Client) -> None:
        signer = sim.signer
        await client.send({"type": "subscribe", "channel": "v4_subaccounts", "id": f"{signer.address}/0"})
        sim.turn(0.1)
        (snapshot,) = await client.take(1)
        assert snapshot["contents"]["subaccount"]["equity"] == "100000"
        order = signer.order(1, lots=100, price=MID + 1, time_in_force=1, good_til_block=sim.height + 5)
        assert (await sim.broadcast(signer.sign(order)))["code"] == 0
        (opened,) = await client.take(1)
        assert opened["version"] == "3.0.0"
        assert opened["contents"]["orders"][0]["status"] == "BEST_EFFORT_OPENED"
        sim.next_block()
        (filled,) = await client.take(1)
        contents = filled["contents"]
        assert contents["orders"][0]["status"] == "FILLED"
        assert contents["fills"][0]["orderId"] == opened["contents"]["orders"][0]["id"]
        assert contents["perpetualPositions"][0]["size"] == "0.01"
        assert contents["assetPositions"][0]["symbol"] == "USDC"
        assert contents["blockHeight"] == str(sim.height)
        resting = signer.order(2, good_til_block=sim.height + 5)
        assert (await sim.broadcast(signer.sign(resting)))["code"] == 0
        cancel = pb.MsgCancelOrder(order_id=signer.order_id(2), good_til_block=sim.height + 5)
        assert (await sim.broadcast(signer.sign(cancel)))["code"] == 0
        told = await client.take(2)
        statuses = [message["contents"]["orders"][0]["status"] for message in told]
        assert statuses == ["BEST_EFFORT_OPENED", "BEST_EFFORT_CANCELED"]
        assert told[1]["contents"]["orders"][0]["removalReason"] == "USER_CANCELED"

    run(bench, story)


def test_a_subaccount_that_is_not_there_is_empty(bench: Callable[..., Any]) -> None:
    async def story(sim: Any, client: Client) -> None:
        await client.send({"type": "subscribe", "channel": "v4_subaccounts", "id": f"{sim.signer.address}/5"})
        sim.turn(0.1)
        (snapshot,) = await client.take(1)
        assert snapshot["contents"] == {}

    run(bench, story)


@pytest.mark.parametrize(
    ("message", "says", "message_id"),
    [
        ({"type": "subscribe", "channel": "v4_nothing"}, "Invalid channel: v4_nothing", 0),
        ({"type": "subscribe"}, "Invalid subscribe message: channel is required", 0),
        ({"type": "subscribe", "channel": "v4_trades"}, "Invalid id: None", 0),
        (
            {"type": "subscribe", "channel": "v4_trades", "id": "DOGE-USD"},
            "Invalid subscription id for channel: (v4_trades-DOGE-USD)",
            1,
        ),
        (
            {"type": "subscribe", "channel": "v4_candles", "id": "BTC-USD/3MINS"},
            "Invalid subscription id for channel: (v4_candles-BTC-USD/3MINS)",
            1,
        ),
        ({"type": "trade"}, "Invalid message type: trade", 0),
        ("{", "Invalid message: could not parse", 0),
        ("[]", "Invalid message: could not parse", 0),
        ({}, "Invalid message: type is required", 0),
    ],
)
def test_complaints_use_the_id_at_hand(bench: Callable[..., Any], message: Any, says: str, message_id: int) -> None:
    async def story(sim: Any, client: Client) -> None:
        await client.send(message)
        (error,) = await client.take(1)
        assert (error["type"], error["message"], error["message_id"]) == ("error", says, message_id)

    run(bench, story)


def test_pings_are_ignored_and_unsubscribing_is_answered(bench: Callable[..., Any]) -> None:
    async def story(sim: Any, client: Client) -> None:
        await client.send({"type": "ping"}, TRADES)
        sim.turn(0.2)
        await client.take(3)
        await client.send({**TRADES, "type": "unsubscribe"})
        (answer,) = await client.take(1)
        assert answer["type"] == "unsubscribed"
        assert answer["message_id"] == 4
        sim.turn(1.0)
        await client.send(TRADES)  # once more than nothing came: the next is the snapshot
        sim.turn(0.1)
        (again,) = await client.take(1)
        assert (again["type"], again["message_id"]) == ("subscribed", 5)

    run(bench, story)


def test_a_second_subscription_is_refused(bench: Callable[..., Any]) -> None:
    async def story(sim: Any, client: Client) -> None:
        await client.send(TRADES, TRADES)
        (error,) = await client.take(1)
        assert error["message"] == "Invalid subscribe message: already subscribed (v4_trades-BTC-USD)"
        assert error["message_id"] == 2

    run(bench, story)


def test_a_third_try_in_a_second_ends_the_connection(bench: Callable[..., Any]) -> None:
    async def story(sim: Any, client: Client) -> None:
        await client.throw(TRADES, TRADES, TRADES)
        code, reason = await client.closed()
        assert (code, reason) == (1008, '{"message":"Rate limited"}')
        assert "Too many subscribe attempts" in client.got[-1]["message"]

    run(bench, story)


def test_three_invalid_messages_in_a_second_end_the_connection(bench: Callable[..., Any]) -> None:
    async def story(sim: Any, client: Client) -> None:
        await client.send("{", "{")
        sim.turn(1.1)
        await client.send("{", "{")
        assert [message["type"] for message in await client.take(4)] == ["error"] * 4
        await client.throw("{")
        code, _ = await client.closed()
        assert code == 1008

    run(bench, story)


def test_a_channel_has_32_subscriptions_a_connection(bench: Callable[..., Any]) -> None:
    async def story(sim: Any, client: Client) -> None:
        await client.send({"type": "subscribe", "channel": "v4_block_height"})
        await client.send({"type": "subscribe", "channel": "v4_block_height", "id": "other"})
        (error,) = await client.take(1)
        assert error["message"] == "Per-connection subscription limit reached for v4_block_height (limit=1)."

    run(bench, story)


def test_a_client_that_answers_no_ping_is_cut_off(bench: Callable[..., Any]) -> None:
    async def go() -> None:
        async with bench() as sim, sim.http.ws_connect(sim.endpoints.dydx.ws, autoping=False) as ws:
            assert (await ws.receive_json())["type"] == "connected"
            sim.turn(30.0)
            assert (await asyncio.wait_for(ws.receive(), 5)).type is aiohttp.WSMsgType.PING
            sim.turn(10.1)
            message = await asyncio.wait_for(ws.receive(), 5)
            assert message.type is aiohttp.WSMsgType.CLOSE
            assert message.data == 1011

    asyncio.run(go())


def test_crossed_updates_stay_until_the_book_is_asked_for_again(bench: Callable[..., Any]) -> None:
    async def story(sim: Any, client: Client) -> None:
        await client.send(BOOK)
        sim.turn(0.5)
        got = await client.take(1 + 5 + 1)
        crossed = [m["contents"] for m in got if m["contents"].get("bids") == [["60002", "0.0001"]]]
        assert len(crossed) == 1  # a bid above the best ask, 60001
        rest = await sim.get("/orderbooks/perpetualMarket/BTC-USD")
        assert float(rest["bids"][0]["price"]) < float(rest["asks"][0]["price"])

    run(bench, story, (Fault(kind=FaultKind.CROSSED, venue="dydx", target="BTC-USD", count=1),))


def test_a_gap_leaves_an_id_out(bench: Callable[..., Any]) -> None:
    async def story(sim: Any, client: Client) -> None:
        await client.send(BOOK)
        sim.turn(0.1)
        await client.take(1)
        sim.turn(0.4)
        ids = [message["message_id"] for message in await client.take(4)]
        assert ids == [3, 4, 5, 6]

    run(bench, story, (Fault(kind=FaultKind.GAP, venue="dydx", target="v4_orderbook/*", count=1),))


def test_frames_have_the_keys_of_recorded_ones(bench: Callable[..., Any], recordings: Path) -> None:
    folder = recordings / "wire/nautilus_trader/crates/adapters/dydx/test_data"

    async def story(sim: Any, client: Client) -> None:
        names = {"v4_orderbook": "orderbook", "v4_trades": "trades", "v4_candles": "candles", "v4_markets": "markets"}
        ids = {"v4_candles": "BTC-USD/1MIN", "v4_markets": "v4_markets"}
        await client.send(*({"type": "subscribe", "channel": c, "id": ids.get(c, "BTC-USD")} for c in names))
        sim.turn(2.0)
        seen = await client.take(46)
        for channel, name in names.items():
            for kind, file in (("subscribed", "subscribed"), ("channel_data", "update")):
                theirs = msgspec.json.decode((folder / f"ws_{name}_{file}.json").read_bytes())
                ours = next(m for m in seen if m["channel"] == channel and m["type"] == kind)
                # markets have no id and unbatched frames no more than the envelope of the recorded ones
                assert set(ours) - {"id"} == set(theirs) - {"id"}, (channel, kind)

    run(bench, story)
