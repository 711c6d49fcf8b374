"""What leaves for a node, read back by the simulated chain's own decoder, and what its answers mean."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from spyhop.clock import NS_PER_S, EventClock
from spyhop.errors import (
    InvalidSetting,
    MissingInput,
    OutcomeUnknown,
    Throttled,
    VenueError,
    VenueRefused,
    VenueUnavailable,
)
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Venue
from spyhop.venues.dydx.answers import Market
from spyhop.venues.dydx.broadcast import Broadcaster, Nonces
from spyhop.venues.endpoints import LIVE
from spyhop.venues.net.transport import Response
from spyhop.venuesim.dydx import chain
from spyhop.venuesim.dydx.messages import MsgCancelOrder, MsgPlaceOrder
from spyhop.venuesim.dydx.transactions import Transaction, is_signed, parse

SECRET = "33" * 32
NOW_S = 1_780_000_000
BTC = Instrument(id=3, venue=Venue.DYDX, symbol="BTC-USD", tick_size=Decimal(1), lot_size=Decimal("0.0001"))
MARKET = {
    "clobPairId": "0", "ticker": "BTC-USD", "status": "ACTIVE", "oraclePrice": "60000", "priceChange24H": "0",
    "volume24H": "0", "trades24H": 0, "nextFundingRate": "0", "initialMarginFraction": "0.02",
    "maintenanceMarginFraction": "0.012", "openInterest": "1", "atomicResolution": -10,
    "quantumConversionExponent": -9, "tickSize": "1", "stepSize": "0.0001", "stepBaseQuantums": 1_000_000,
    "subticksPerTick": 100_000, "marketType": "CROSS", "baseOpenInterest": "1",
}  # fmt: skip


class Node:
    """Answers by path; broadcasts get `answer`, or it is raised. An Http."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer if answer is not None else {"result": {"code": 0, "log": "[]"}}
        self.sent: list[Transaction] = []

    async def request(
        self, method: str, url: str, params: Mapping[str, str | int] | None = None, *, timeout_s: float = 10.0
    ) -> Response:
        path = url.rpartition("/")[2]
        body: Any = {"markets": {"BTC-USD": MARKET}}
        if path == "broadcast_tx_sync":
            assert params is not None
            self.sent.append(parse(bytes.fromhex(str(params["tx"]).removeprefix("0x"))))
            body = self.answer
        elif path == "abci_info":
            body = {"result": {"response": {"last_block_height": "4711"}}}
        elif path.startswith("dydx1"):
            body = {"info": {"address": path, "pub_key": None, "account_number": "17", "sequence": "0"}}
        if isinstance(body, Exception):
            raise body
        return Response(200, {}, body if isinstance(body, bytes) else msgspec.json.encode(body), 1, 2)

    async def close(self) -> None: ...


def broadcaster(node: Node) -> tuple[Broadcaster, Market]:
    made = Broadcaster(node, LIVE.dydx, SECRET, EventClock(NOW_S * NS_PER_S))
    return made, asyncio.run(made.load([BTC]))[3]


def place(node: Node, **params: Any) -> None:
    made, market = broadcaster(node)
    words = {"clientOrderId": 7, "timeInForce": "IOC", "goodTillBlock": 120, "subaccountId": 2, **params}
    asyncio.run(made.place(market, "limit", "buy", 25, 64_000, words))


def order_id(client_id: int = 7, flags: int = 0) -> dict[str, Any]:
    owner = Broadcaster(Node(), LIVE.dydx, SECRET, EventClock()).address
    subaccount = {"owner": owner, "number": 0}
    return {"subaccountId": subaccount, "clientId": client_id, "orderFlags": flags, "clobPairId": 0}


def test_an_order_arrives_signed_and_as_it_was_meant() -> None:
    node = Node()
    place(node, reduceOnly=True)
    (sent,) = node.sent
    assert is_signed(sent, chain.CHAIN_ID, 17)
    (message,) = sent.messages
    assert isinstance(message, MsgPlaceOrder)
    assert message.order is not None
    assert message.order.order_id is not None
    assert message.order.order_id.subaccount_id is not None
    assert (message.order.order_id.client_id, message.order.order_id.subaccount_id.number) == (7, 2)
    # 0.0025 BTC and 64000 USD, as the venue's documents convert them: 10^10 quantums a BTC, 10^5 subticks a tick
    assert (message.order.quantums, message.order.subticks) == (25_000_000, 6_400_000_000)
    assert (message.order.good_til_block, message.order.reduce_only) == (120, True)


@pytest.mark.parametrize(("flags", "end"), [(0, {"block": 130}), (64, {"seconds": NOW_S + 60})])
def test_a_cancellation_names_the_order_and_its_end(flags: int, end: dict[str, int]) -> None:
    node = Node()
    made, _ = broadcaster(node)
    asyncio.run(made.cancel(order_id(9, flags), **end))
    (message,) = node.sent[0].messages
    assert isinstance(message, MsgCancelOrder)
    assert message.order_id is not None
    assert (message.order_id.client_id, message.order_id.order_flags) == (9, flags)
    ends = (message.good_til_block or 0, message.good_til_block_time or 0)
    assert ends == (end.get("block", 0), end.get("seconds", 0))


def test_no_nonce_comes_twice_though_the_clock_stands() -> None:
    node = Node()
    made, _ = broadcaster(node)
    for number in range(5):
        asyncio.run(made.cancel(order_id(number, 64), seconds=NOW_S + 60))
    nonces = [sent.sequence for sent in node.sent]
    assert sorted(set(nonces)) == nonces
    assert all(abs(nonce - NOW_S * 1_000) < 1_000 for nonce in nonces)


def test_a_clock_that_goes_back_does_not_bring_a_nonce_back() -> None:
    clock = EventClock(NOW_S * NS_PER_S)
    nonces = Nonces(clock)
    first = nonces.now_ns()
    clock._now -= NS_PER_S
    assert nonces.now_ns() > first


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"result": {"code": 0}}, None),
        ({"result": {"code": 19, "codespace": "sdk"}}, None),
        ({"error": {"code": -32603, "data": "tx already exists in cache"}}, None),
        ({"result": {"code": 2003, "codespace": "clob", "log": "would cross"}}, VenueRefused),
        ({"result": {"code": 3007, "codespace": "clob"}}, VenueRefused),
        ({"result": {"code": 19, "codespace": "clob"}}, VenueRefused),
        ({"result": {"code": 9, "codespace": "clob"}}, VenueRefused),
        ({"result": {"code": 5001, "codespace": "clob"}}, Throttled),
        ({"result": {"code": 32, "codespace": "sdk"}}, VenueUnavailable),
        ({"result": {"code": 20, "codespace": "sdk"}}, VenueUnavailable),
        ({"result": {"code": 20, "codespace": "clob"}}, OutcomeUnknown),
        ({"error": {"code": -32603, "data": "timed out"}}, OutcomeUnknown),
        (b"<html>", OutcomeUnknown),
        (VenueUnavailable("u", 503, "unclear"), OutcomeUnknown),
        (VenueUnavailable("u", 0, "no answer in time"), OutcomeUnknown),
        (VenueUnavailable("u", 500, '{"data":"tx already exists in cache"}'), None),
        (Throttled("u", 429, 2.0), Throttled),
    ],
)
def test_answers_say_whether_anything_happened(answer: Any, error: type[VenueError] | None) -> None:
    if error is None:
        place(Node(answer))
        return
    with pytest.raises(error) as raised:
        place(Node(answer))
    assert type(raised.value) is error
    assert SECRET not in str(raised.value)


def test_a_cancellation_that_is_there_already_is_as_good() -> None:
    made, _ = broadcaster(Node({"result": {"code": 9, "codespace": "clob"}}))
    asyncio.run(made.cancel(order_id(), block=120))
    gone, _ = broadcaster(Node({"result": {"code": 3006, "codespace": "clob"}}))
    with pytest.raises(VenueRefused, match="3006"):
        asyncio.run(gone.cancel(order_id(flags=64), seconds=NOW_S + 60))


def test_what_cannot_be_encoded_is_refused_and_not_sent() -> None:
    node = Node()
    with pytest.raises(VenueRefused, match="clientOrderId"):
        place(node, clientOrderId=1 << 32)
    assert node.sent == []


def test_markets_heights_and_keys_are_checked() -> None:
    made, _ = broadcaster(Node())
    assert asyncio.run(made.height()) == 4_711
    other = msgspec.structs.replace(BTC, symbol="DOGE-USD")
    with pytest.raises(MissingInput, match="DOGE"):
        asyncio.run(made.load([other]))
    for bad in ("", "33" * 31, "zz" * 32):
        with pytest.raises(InvalidSetting) as raised:
            Broadcaster(Node(), LIVE.dydx, bad, EventClock())
        assert not bad or bad not in str(raised.value)
    assert SECRET not in repr(made)
