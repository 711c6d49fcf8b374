"""The adapter: its connections, its polls, and the book it hands on across connections and REST."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from spyhop.errors import VenueUnavailable
from spyhop.market.audit import BookAudit
from spyhop.model.tape import Flag, Kind, joined
from spyhop.venues.adapter import PollWhen
from spyhop.venues.catalogue import by_key
from spyhop.venues.dydx.adapter import BOOK, MARKET, DydxAdapter
from spyhop.venues.dydx.rest import DydxRest
from spyhop.venues.endpoints import LIVE
from spyhop.venues.net.transport import Frame, Response
from spyhop.venues.params import FeedParams

BTC = by_key("dydx:BTC-USD")
TS = 1_765_210_320_000_000_000
ANSWERS: dict[str, object] = {
    "/orderbooks/perpetualMarket/BTC-USD": {"bids": [{"price": "98", "size": "1"}], "asks": []},
    "/trades/perpetualMarket/BTC-USD": {"trades": [
        {"id": f"03f89a5500000002000000{number:02x}", "side": "BUY", "size": "1", "price": "100", "type": "LIMIT",
         "createdAt": "2025-12-08T16:11:30.590Z", "createdAtHeight": "66624085"} for number in (9, 8)]},
    "/candles/perpetualMarkets/BTC-USD": {"candles": [
        {"startedAt": f"2025-12-08T16:{minute}:00.000Z", "ticker": "BTC-USD", "resolution": "1MIN", "low": "1",
         "high": "2", "open": "1", "close": "2", "baseTokenVolume": "3", "usdVolume": "4", "trades": 5,
         "startingOpenInterest": "6"} for minute in (12, 11, 10)]},
    "/historicalFunding/BTC-USD": {"historicalFunding": [
        {"ticker": "BTC-USD", "rate": "0.000002375", "price": "1", "effectiveAt": "2025-12-08T16:00:00.219Z"}]},
    "/perpetualMarkets": {"markets": {"BTC-USD": {"oraclePrice": "5", "openInterest": "1"}}},
    "/time": {"iso": "2025-12-08T16:11:56.125Z", "epoch": 1765210316.125},
}  # fmt: skip


class Indexer:
    def __init__(self, **other: object) -> None:
        self.answers = {**ANSWERS, **other}

    async def request(
        self, method: str, url: str, params: Mapping[str, str | int] | None = None, *, timeout_s: float = 10.0
    ) -> Response:
        body = json.dumps(self.answers[url.removeprefix(LIVE.dydx.indexer)]).encode()
        return Response(200, {}, body, TS - 1, TS)

    async def close(self) -> None: ...


def adapter(params: FeedParams | None = None, **other: object) -> DydxAdapter:
    return DydxAdapter(BTC, LIVE.dydx, DydxRest(Indexer(**other), LIVE.dydx), params or FeedParams())


def frame(kind: str, number: int, contents: Any, channel: str = "v4_orderbook") -> Frame:
    told = {"type": kind, "message_id": number, "channel": channel, "id": "BTC-USD", "contents": contents}
    return Frame(TS, json.dumps(told).encode())


CONNECTED = Frame(TS, b'{"type":"connected","connection_id":"c","message_id":0}')
WHOLE = {"bids": [{"price": "100", "size": "1"}], "asks": [{"price": "102", "size": "2"}]}


def test_the_book_has_a_connection_of_its_own_that_lives_until_its_resync() -> None:
    book, market = adapter(FeedParams(book_resync_seconds=77.0, silence_seconds=8.0)).sockets()
    assert (book.name, book.url, book.life_s, market.life_s) == (BOOK, LIVE.dydx.ws, 77.0, 0.0)
    assert [json.loads(words) for words in book.hello] == [
        {"type": "subscribe", "channel": "v4_orderbook", "id": "BTC-USD", "batched": True}
    ]
    asked = [(words["channel"], words.get("id")) for words in map(json.loads, market.hello)]
    assert asked == [
        ("v4_trades", "BTC-USD"), ("v4_markets", None), ("v4_block_height", "v4_block_height"),
        *(("v4_candles", f"BTC-USD/{r}") for r in ("1MIN", "5MINS", "15MINS", "1HOUR", "4HOURS", "1DAY")),
    ]  # fmt: skip
    assert len(set(asked)) == len(asked)  # two subscriptions of a subject within a second cost the connection
    talks_always = {stream.name for plan in (book, market) for stream in plan.streams if stream.silent_s == 8.0}
    assert talks_always == {"orderbook", "block_height"}
    assert {stream.name for plan in (book, market) for stream in plan.streams if stream.is_price} == {
        "orderbook", "trades"
    }  # fmt: skip
    assert len(market.streams) == len(market.hello)


def test_a_resync_hands_the_book_over_without_a_gap() -> None:
    dydx = adapter()
    dydx.opened(BOOK, 1)
    parts = [dydx.decode(BOOK, 1, [CONNECTED, frame("subscribed", 1, WHOLE)]).events]
    dydx.opened(BOOK, 2)
    parts.append(dydx.decode(BOOK, 1, [frame("channel_data", 2, {"bids": [["99", "1"]]})]).events)
    fresh = dydx.decode(BOOK, 2, [CONNECTED, frame("subscribed", 1, WHOLE)])
    assert fresh.heard == ("orderbook",)
    parts.append(fresh.events)
    old = dydx.decode(BOOK, 1, [frame("channel_data", 3, {"bids": [["98", "1"]]})])
    assert not len(old.events)
    dydx.closed(BOOK, 1)
    parts.append(dydx.decode(BOOK, 2, [frame("channel_data", 2, {"bids": [["101", "1"]]})]).events)
    gaps, crossings = BookAudit().on(joined(parts))
    assert not len(gaps)
    assert not len(crossings)
    assert (joined(parts)["kind"] == Kind.SNAPSHOT).sum() == 3


def test_the_loss_of_any_connection_brings_the_whole_book_again() -> None:
    dydx = adapter()
    dydx.decode(BOOK, 1, [CONNECTED, frame("subscribed", 1, WHOLE)])
    dydx.closed(MARKET, 2)
    events = dydx.decode(BOOK, 1, [frame("channel_data", 2, {})]).events
    assert events["kind"].tolist() == [Kind.SNAPSHOT, Kind.LEVEL, Kind.LEVEL]


def test_a_lost_market_message_leaves_the_book_alone() -> None:
    dydx = adapter()
    dydx.decode(BOOK, 1, [CONNECTED, frame("subscribed", 1, WHOLE)])
    for number in range(5, 80):
        decoded = dydx.decode(MARKET, 2, [frame("channel_data", 9 * number, {"trades": []}, "v4_trades")])
    assert not len(decoded.events)
    assert dydx.statistics()["message_gaps"] == 1.0
    assert dydx.decode(BOOK, 1, [frame("channel_data", 2, {})]).events["kind"].tolist() == [Kind.LEVEL]


def test_rest_stands_in_for_the_book_until_the_stream_s_next_frame() -> None:
    dydx = adapter()
    first = dydx.decode(BOOK, 1, [CONNECTED, frame("subscribed", 1, WHOLE)]).events
    by_rest = asyncio.run(dydx.book())
    assert by_rest["kind"].tolist() == [Kind.SNAPSHOT, Kind.LEVEL]
    assert by_rest["id"][0] > first["id"][0]
    after = dydx.decode(BOOK, 1, [frame("channel_data", 2, {})]).events
    assert after["price"].tolist() == [0, 100, 102]
    assert after["id"][0] > by_rest["id"][0]


def test_a_book_off_the_grid_is_a_venue_error() -> None:
    other = {"/orderbooks/perpetualMarket/BTC-USD": {"bids": [{"price": "98.5", "size": "1"}], "asks": []}}
    with pytest.raises(VenueUnavailable, match="grid"):
        asyncio.run(adapter(**other).book())


def test_a_sync_is_closed_minutes_and_the_trades_since() -> None:
    dydx = adapter()
    events = asyncio.run(dydx.sync(2, 0))
    assert [Kind(kind).name for kind in events["kind"]] == ["BAR_OPEN", "BAR_CLOSE"] * 2 + ["TRADE"] * 2
    assert set(events["flags"].tolist()) == {Flag.BACKFILLED}
    assert (events["id"][-2:] & 255).tolist() == [8, 9]
    assert events["aux2"][2] == 30_000  # 16:11, where all that was heard bought
    again = asyncio.run(dydx.sync(2, 0))
    assert (again["kind"] == Kind.TRADE).sum() == 0
    assert not len(asyncio.run(adapter().sync(0, TS))[:0])


def test_polls_cover_every_stream_and_repeat_nothing() -> None:
    dydx = adapter()
    polls = {poll.name: poll for poll in dydx.polls()}
    assert {name for name, poll in polls.items() if poll.when is PollWhen.ALWAYS} == {"funding"}
    assert {name for name, poll in polls.items() if poll.is_price} == {"book", "trades"}
    kinds = {name: [Kind(k).name for k in asyncio.run(poll.fetch())["kind"]] for name, poll in polls.items()}  # type: ignore[arg-type]
    assert kinds == {
        "funding": ["FUNDING"], "book": ["SNAPSHOT", "LEVEL"], "trades": ["TRADE", "TRADE"],
        "bars": ["BAR_OPEN", "BAR_CLOSE"] * 2, "market": ["MARK", "OPEN_INTEREST"],
    }  # fmt: skip
    for name in ("funding", "trades"):
        assert not len(asyncio.run(polls[name].fetch()))  # type: ignore[arg-type]


def test_the_venue_s_time_comes_with_ours() -> None:
    time = asyncio.run(adapter().venue_time())
    assert (time.ts_sent, time.ts_recv, time.ts_venue) == (TS - 1, TS, 1_765_210_316_125_000_000)
