"""Messages to rows: the flows of a connection, what is set aside, and what no bytes may ever do."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.clock import NS_PER_S
from spyhop.model.tape import Events, Flag, Kind, Side, Status
from spyhop.venues.adapter import Decoded, Want
from spyhop.venues.catalogue import by_key
from spyhop.venues.dydx import reader as subject
from spyhop.venues.dydx.book_stream import CROSSED_FRAMES
from spyhop.venues.dydx.message_ids import PATIENCE_NS
from spyhop.venues.dydx.numbers import NOT_A_NUMBER, OFF_GRID
from spyhop.venues.dydx.reader import REPLACE_PAUSE_NS, Batch, Link, Reader
from spyhop.venues.net.transport import Frame

BTC = by_key("dydx:BTC-USD")
TS = 1_765_209_600_000_000_000  # 2025-12-08T16:00:00Z
ID = "3936dbcc-fe3f-4598-ba07-fa8656c455b1"
BOOK = {"bids": [{"price": "100", "size": "1"}], "asks": [{"price": "102", "size": "2"}]}
TRADE = {
    "id": "03f89a550000000200000002", "side": "BUY", "size": "0.0001", "price": "89942", "type": "LIMIT",
    "createdAt": "2025-12-08T16:11:30.590Z", "createdAtHeight": "66624085",
}  # fmt: skip
CANDLE = {
    "startedAt": "2025-12-08T16:00:00.000Z", "ticker": "BTC-USD", "resolution": "1MIN", "low": "89911",
    "high": "89970", "open": "89934", "close": "89941", "baseTokenVolume": "3.2767", "usdVolume": "294697.4391",
    "trades": 49, "startingOpenInterest": "381.7348", "orderbookMidPriceOpen": None,
}  # fmt: skip


def message(kind: str, number: int, channel: str, contents: object, **columns: object) -> bytes:
    told: dict[str, object] = {
        "type": kind, "connection_id": ID, "message_id": number, "channel": channel, "id": "BTC-USD",
        "version": "1.0.0", "contents": contents,
    }  # fmt: skip
    return json.dumps({**told, **columns}).encode()


class Feed:
    """A reader with one connection."""

    def __init__(self, num_subscriptions: int = 1) -> None:
        self.reader, self.link = Reader(BTC), Link(1, num_subscriptions)

    def on(self, *messages: bytes, ts: int = TS) -> Decoded:
        batch = Batch(BTC)
        for data in messages:
            self.reader.on_frame(self.link, Frame(ts, data), batch)
        return batch.decoded()


def kinds(events: Events) -> list[str]:
    return [Kind(kind).name for kind in events["kind"].tolist()]


CONNECTED = b'{"type":"connected","connection_id":"004a1efa","message_id":0}'


def test_a_book_from_its_first_message_on() -> None:
    decoded = Feed().on(
        CONNECTED,
        message("subscribed", 1, "v4_orderbook", BOOK),
        message("channel_batch_data", 2, "v4_orderbook", [{"bids": [["101", "1"]]}, {"asks": [["102", "0"]]}]),
    )
    assert kinds(decoded.events) == ["SNAPSHOT"] + ["LEVEL"] * 4
    assert decoded.heard == ("orderbook",)
    assert decoded.ignored == {"connected": 1}
    assert not decoded.set_aside
    assert not decoded.wants


def test_a_batch_is_one_frame_of_the_tape_that_is_not_crossed() -> None:
    feed = Feed()
    feed.on(CONNECTED, message("subscribed", 1, "v4_orderbook", BOOK))
    batch = [{"bids": [["103", "1"]]}, {"asks": [["101", "4"]]}, {"bids": [["99", "2"]], "asks": [["105", "3"]]}]
    events = feed.on(message("channel_batch_data", 2, "v4_orderbook", batch)).events
    assert (events["flags"] & Flag.LAST).tolist() == [0] * (len(events) - 1) + [Flag.LAST]
    last = {(int(row["side"]), int(row["price"])): int(row["qty"]) for row in events}
    # the bid of 103 was told before the ask of 101 that it touches, and goes; then nothing is crossed any more
    assert last == {(1, 103): 0, (-1, 101): 40_000, (1, 99): 20_000, (-1, 105): 30_000}


def test_trades_are_rows_once_and_history_is_not() -> None:
    feed = Feed()
    later = {**TRADE, "id": "03f89a550000000200000005", "side": "SELL", "type": "LIQUIDATED"}
    decoded = feed.on(
        CONNECTED,
        message("subscribed", 1, "v4_trades", {"trades": [TRADE]}),
        message("channel_data", 2, "v4_trades", {"trades": [TRADE]}),
        message("channel_data", 3, "v4_trades", {"trades": [later]}),
    )
    assert kinds(decoded.events) == ["TRADE", "LIQUIDATION"]
    trade = decoded.events[0]
    assert (trade["side"], trade["price"], trade["qty"]) == (Side.SELL, 89_942, 1)
    assert trade["ts_event"] == 1_765_210_290_590_000_000
    assert decoded.ignored == {"connected": 1, "trade from before the feed": 1}


def test_a_reconnection_backfills_what_was_missed() -> None:
    feed = Feed()
    feed.on(CONNECTED, message("subscribed", 1, "v4_trades", {"trades": [TRADE]}))
    feed.link = Link(2, 1)
    missed = [{**TRADE, "id": f"03f89a55000000020000000{digit}"} for digit in "43"]
    decoded = feed.on(CONNECTED, message("subscribed", 1, "v4_trades", {"trades": [*missed, TRADE]}))
    assert (decoded.events["id"] & 15).tolist() == [3, 4]
    assert decoded.events["flags"].tolist() == [Flag.BACKFILLED] * 2


def test_markets_are_merged_and_only_ours() -> None:
    feed = Feed()
    market = {"ticker": "BTC-USD", "oraclePrice": "89919.2", "priceChange24H": "701.10762", "trades24H": 63_065,
              "volume24H": "247500844.6834", "nextFundingRate": "0.00000254545454545455",
              "openInterest": "381.7348", "status": "ACTIVE"}  # fmt: skip
    decoded = feed.on(
        CONNECTED, message("subscribed", 1, "v4_markets", {"markets": {"BTC-USD": market, "X": {}}}, id="v4_markets")
    )
    assert kinds(decoded.events) == ["MARK", "FUNDING", "OPEN_INTEREST", "TICKER"]
    mark, funding, interest, ticker = decoded.events
    assert (mark["price"], mark["aux"], mark["aux2"]) == (89_919, 8_991_920_000_000, 8_991_920_000_000)
    assert mark["id"] == funding["id"] == TS + 3_600 * NS_PER_S
    assert (funding["aux"], funding["aux2"]) == (2_545_455, 3_600 * NS_PER_S)
    assert interest["qty"] == 3_817_348
    assert (ticker["price"], ticker["id"], ticker["aux"], ticker["aux2"]) == (89_919, 63_065, 701, 24_750_084_468)

    both = {"trading": {"BTC-USD": {"volume24H": "5"}}, "oraclePrices": {"BTC-USD": {
        "oraclePrice": "90000", "effectiveAt": "2025-12-08T16:11:30.590Z", "marketId": 0}}}  # fmt: skip
    more = {"trading": {"BTC-USD": {"trades24H": 7}, "ETH-USD": {"volume24H": "x"}}}
    decoded = feed.on(message("channel_batch_data", 2, "v4_markets", [both, more]))
    assert kinds(decoded.events) == ["MARK", "TICKER"]
    assert decoded.events["ts_event"][0] == 1_765_210_290_590_000_000
    assert (decoded.events["id"][1], decoded.events["aux"][1], decoded.events["aux2"][1]) == (7, 701, 500)
    other = feed.on(message("channel_data", 3, "v4_markets", {"trading": {"ETH-USD": {}}}))
    assert other.ignored == {subject.OTHER_MARKET: 1}
    assert other.heard == ("markets",)


def test_blocks_have_heights_and_close_bars() -> None:
    feed = Feed(2)
    decoded = feed.on(
        CONNECTED,
        message("subscribed", 1, "v4_candles", {"candles": [CANDLE]}, id="BTC-USD/1MIN"),
        message("channel_data", 2, "v4_block_height", {"blockHeight": "66624132", "time": "2025-12-08T16:01:03.000Z"}),
    )
    assert kinds(decoded.events) == ["BAR_OPEN", "BAR_CLOSE", "BLOCK", "BAR_OPEN", "BAR_CLOSE"]
    assert decoded.events["flags"].tolist() == [Flag.PARTIAL, Flag.PARTIAL, 0, 0, 0]
    assert decoded.events["id"][2] == 66_624_132
    assert decoded.heard == ("candles_1MIN", "block_height")


def test_a_bar_whose_connection_is_gone_waits_for_the_candles_of_another() -> None:
    def block(number: int) -> bytes:
        contents = {"blockHeight": "66624132", "time": "2025-12-08T16:01:03.000Z"}
        return message("channel_data", number, "v4_block_height", contents)

    def candles(number: int, **columns: object) -> bytes:
        return message("subscribed", number, "v4_candles", {"candles": [{**CANDLE, **columns}]}, id="BTC-USD/1MIN")

    feed = Feed(2)
    feed.on(CONNECTED, candles(1))
    feed.reader.closed(feed.link.number)
    feed.link = Link(2, 2)
    assert kinds(feed.on(CONNECTED, block(1)).events) == ["BLOCK"]
    decoded = feed.on(candles(2, trades=50), block(3))
    assert kinds(decoded.events) == ["BAR_OPEN", "BAR_CLOSE", "BLOCK", "BAR_OPEN", "BAR_CLOSE"]
    assert decoded.events["flags"].tolist() == [Flag.PARTIAL, Flag.PARTIAL, 0, 0, 0]
    assert decoded.events["qty"][4] == 50


def test_a_bar_is_closed_while_one_of_two_connections_tells_it() -> None:
    feed = Feed(2)
    candles = message("subscribed", 1, "v4_candles", {"candles": [CANDLE]}, id="BTC-USD/1MIN")
    feed.on(CONNECTED, candles)
    first, feed.link = feed.link, Link(2, 2)
    feed.on(CONNECTED, candles)
    feed.reader.closed(first.number)
    contents = {"blockHeight": "66624132", "time": "2025-12-08T16:01:03.000Z"}
    decoded = feed.on(message("channel_data", 2, "v4_block_height", contents))
    assert kinds(decoded.events) == ["BLOCK", "BAR_OPEN", "BAR_CLOSE"]


def test_a_lost_book_message_is_a_gap_and_a_wish_for_a_fresh_connection() -> None:
    feed = Feed()
    feed.on(CONNECTED, message("subscribed", 1, "v4_orderbook", BOOK))
    update: dict[str, Any] = {"bids": [["99", "1"]]}
    assert not feed.on(message("channel_data", 3, "v4_orderbook", update)).wants
    decoded = feed.on(message("channel_data", 4, "v4_orderbook", update), ts=TS + PATIENCE_NS + 1)
    assert decoded.wants == (Want.RECONNECT,)
    assert decoded.events["aux"][-1] == Status.GAP
    soon = feed.on(message("channel_data", 5, "v4_orderbook", update), ts=TS + PATIENCE_NS + 2)
    assert (len(soon.events), soon.wants) == (0, ())
    again = feed.on(message("channel_data", 6, "v4_orderbook", update), ts=TS + PATIENCE_NS + 1 + REPLACE_PAUSE_NS)
    assert again.wants == (Want.RECONNECT,)


def test_a_late_book_message_is_taken_where_nothing_newer_was_told() -> None:
    feed = Feed()
    feed.on(CONNECTED, message("subscribed", 1, "v4_orderbook", BOOK))
    feed.on(message("channel_data", 3, "v4_orderbook", {"bids": [["99", "3"]]}))
    late = {"bids": [["99", "9"], ["98", "9"]]}
    events = feed.on(message("channel_data", 2, "v4_orderbook", late)).events
    assert events["price"].tolist() == [98]
    repeated = feed.on(message("channel_data", 2, "v4_orderbook", late))
    assert repeated.ignored == {subject.REPEATED: 1}
    assert not feed.on(message("channel_data", 4, "v4_orderbook", {}), ts=TS + 9 * PATIENCE_NS).wants


def test_a_book_that_stays_crossed_wants_a_fresh_connection() -> None:
    feed = Feed()
    feed.on(CONNECTED, message("subscribed", 1, "v4_orderbook", BOOK))
    wants: list[Want] = []
    for i in range(CROSSED_FRAMES):
        assert not wants
        level = {"asks": [["102", "1"]]} if i % 2 else {"bids": [["103", "1"]]}
        wants += feed.on(message("channel_data", 2 + i, "v4_orderbook", level)).wants
    assert wants == [Want.RECONNECT]


@pytest.mark.parametrize(
    ("contents", "reason"),
    [({"bids": [["99", "0.00001"]]}, OFF_GRID), ({"bids": [["99", "1e9"]]}, NOT_A_NUMBER),
     ({"bids": [["99"]]}, subject.NOT_CONTENTS), ({"bids": 5}, subject.NOT_CONTENTS)],
)  # fmt: skip
def test_a_book_message_that_cannot_be_read_ends_the_trust_in_its_connection(contents: object, reason: str) -> None:
    feed = Feed()
    feed.on(CONNECTED, message("subscribed", 1, "v4_orderbook", BOOK))
    raw = message("channel_data", 2, "v4_orderbook", contents)
    decoded = feed.on(raw)
    assert decoded.set_aside == ((reason, raw),)
    assert kinds(decoded.events) == ["STATUS"]
    assert decoded.wants == (Want.RECONNECT,)
    assert not decoded.heard


def test_a_bad_trade_is_set_aside_alone() -> None:
    feed = Feed()
    trades = [TRADE, {**TRADE, "id": "03f89a550000000200000009", "price": "1.5"}]
    raw = message("channel_data", 1, "v4_trades", {"trades": trades})
    decoded = feed.on(CONNECTED, raw)
    assert kinds(decoded.events) == ["TRADE"]
    assert decoded.set_aside == ((OFF_GRID, raw),)


def test_complaints_other_channels_and_other_markets_have_their_reasons() -> None:
    feed = Feed()
    complaint = b'{"type":"error","message":"Invalid channel: x","connection_id":"c","message_id":0}'
    decoded = feed.on(
        CONNECTED,
        complaint,
        message("channel_data", 1, "v4_subaccounts", {"orders": []}, id="dydx1abc/0"),
        message("channel_data", 2, "v4_trades", {"trades": [TRADE]}, id="ETH-USD"),
        b'{"type":"unsubscribed","connection_id":"c","message_id":3,"channel":"v4_trades","id":"BTC-USD"}',
    )
    assert decoded.set_aside == ((subject.COMPLAINT, complaint),)
    assert decoded.ignored == {
        "connected": 1, subject.OTHER_CHANNEL: 1, subject.OTHER_MARKET: 1, "unsubscribed": 1
    }  # fmt: skip
    assert not decoded.wants


# ---- fuzz

SAMPLES = [
    message("subscribed", 1, "v4_orderbook", BOOK),
    message("channel_batch_data", 1, "v4_orderbook", [{"bids": [["101", "1"]]}, {"asks": [["102", "0"]]}]),
    message("channel_data", 1, "v4_trades", {"trades": [TRADE, {**TRADE, "id": "03f89a550000000200000009"}]}),
    message("channel_data", 1, "v4_candles", CANDLE, id="BTC-USD/1MIN"),
    message("subscribed", 1, "v4_candles", {"candles": [CANDLE]}, id="BTC-USD/1MIN"),
    message("channel_data", 1, "v4_markets", {"trading": {"BTC-USD": {"openInterest": "1", "volume24H": "2"}}}),
    message("channel_data", 1, "v4_block_height", {"blockHeight": "66624132", "time": "2025-12-08T16:01:03.000Z"}),
]


@given(st.binary(max_size=400))
def test_random_bytes_are_set_aside_and_no_event(data: bytes) -> None:
    decoded = Feed().on(data)
    assert not len(decoded.events)
    assert len(decoded.set_aside) == 1


@given(st.sampled_from(SAMPLES), st.data())
def test_a_truncated_message_is_set_aside_and_no_event(sample: bytes, data: st.DataObject) -> None:
    cut = sample[: data.draw(st.integers(0, len(sample) - 1))]
    decoded = Feed().on(cut)
    assert not len(decoded.events)
    assert decoded.set_aside == ((subject.NOT_A_MESSAGE, cut),)


@pytest.mark.parametrize("data", [b"[" * 200_000, b'{"type":"connected","x":' + b"[" * 200_000, b'{"a":' * 100_000])
def test_endless_nesting_is_set_aside(data: bytes) -> None:
    assert len(Feed().on(data).set_aside) == 1


def is_sane(row: np.void) -> bool:
    numbers = [int(row[name]) for name in ("price", "qty", "id")]
    needs_price = row["kind"] in (Kind.TRADE, Kind.BAR_OPEN, Kind.BAR_CLOSE, Kind.MARK, Kind.LEVEL)
    return min(numbers) >= 0 and not (needs_price and row["price"] <= 0 and not row["flags"] & Flag.EMPTY)


@pytest.mark.slow
@settings(max_examples=1_500, deadline=None)
@given(st.sampled_from(SAMPLES), st.data())
def test_a_flipped_bit_never_raises_and_never_makes_an_event_of_what_is_not_valid(
    sample: bytes, data: st.DataObject
) -> None:
    place, bit = data.draw(st.integers(0, len(sample) - 1)), data.draw(st.integers(0, 7))
    flipped = bytearray(sample)
    flipped[place] ^= 1 << bit
    decoded = Feed().on(bytes(flipped))
    assert all(is_sane(row) for row in decoded.events)
    try:
        told = json.loads(bytes(flipped))
    except ValueError:
        assert not len(decoded.events)
        assert decoded.set_aside
        return
    if len(decoded.events):
        # whatever became a row is there for a second reader too, digit by digit
        assert told["channel"] in subject.Reader(BTC)._readers
        texts = json.dumps(told)
        for row in decoded.events[np.isin(decoded.events["kind"], [Kind.TRADE, Kind.LEVEL])]:
            assert not row["price"] or str(row["price"]) in texts
    else:
        assert decoded.set_aside or decoded.ignored or decoded.heard or decoded.wants
