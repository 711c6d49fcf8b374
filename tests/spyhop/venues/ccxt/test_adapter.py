from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.clock import NS_PER_MINUTE
from spyhop.errors import VenueUnavailable
from spyhop.model import tape
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Events, Flag, Kind, Side, Venue
from spyhop.venues.ccxt.adapter import CcxtAdapter, exchange_and_symbol, grid_unit
from spyhop.venues.net.transport import Frame, Response
from spyhop.venues.params import FeedParams

BTC = Instrument(id=4, venue=Venue.BYBIT, symbol="BTC/USDT:USDT", tick_size=Decimal("0.5"), lot_size=Decimal("0.001"))
NOW = 1_672_304_486_900_000_000


class Answers:
    """Answers by method; an Http."""

    def __init__(self, **bodies: Any) -> None:
        self._bodies = bodies
        self.asked: list[tuple[str, dict[str, str | int]]] = []

    async def request(
        self, method: str, url: str, params: Mapping[str, str | int] | None = None, *, timeout_s: float = 10.0
    ) -> Response:
        name = url.rpartition("/")[2]
        self.asked.append((name, dict(params or {})))
        body = self._bodies[name]
        return Response(200, {}, body if isinstance(body, bytes) else msgspec.json.encode(body), NOW, NOW + 5)

    async def close(self) -> None: ...


def adapter(**bodies: Any) -> CcxtAdapter:
    return CcxtAdapter(BTC, Answers(**bodies), FeedParams())


def frame(stream: str, data: Any, ts: int = NOW) -> Frame:
    return Frame(ts, msgspec.json.encode({"stream": stream, "data": data}))


def book(bids: list[tuple[float, float]], asks: list[tuple[float, float]], ts: int = NOW) -> Frame:
    return frame("book", {"timestamp": None, "bids": bids, "asks": asks}, ts)


def folded(events: Events) -> dict[tuple[int, int], int]:
    levels: dict[tuple[int, int], int] = {}
    newest = -1
    for row in events:
        if row["kind"] == Kind.SNAPSHOT:
            levels, newest = {}, row["id"]
        elif row["kind"] == Kind.LEVEL:
            if not row["flags"] & Flag.FROM_SNAPSHOT and row["id"] != newest:
                assert row["aux2"] == newest
                newest = row["id"]
            levels[int(row["side"]), int(row["price"])] = int(row["qty"])
    return {place: lots for place, lots in levels.items() if lots}


def test_trades_and_tickers_become_rows_and_what_cannot_be_read_is_set_aside_whole() -> None:
    good = {"id": "a", "timestamp": 1672304486865, "side": "sell", "price": 16578.5, "amount": 0.001}
    bad = {**good, "price": 16578.3}
    frames = [
        frame("trades", [good]),
        frame("trades", [good, bad]),
        frame("ticker", {"timestamp": None, "last": 16578.5, "baseVolume": 5.0, "quoteVolume": None, "change": None}),
        frame("nothing", []),
        Frame(NOW, b'{"stream":"trades","data":[{"price":"'),
        frame("ticker", {"last": None}),
    ]
    decoded = adapter().decode("ccxt", 1, frames)
    assert decoded.events["kind"].tolist() == [Kind.TRADE, Kind.TICKER]
    assert decoded.heard == ("trades", "ticker")
    assert [reason for reason, _ in decoded.set_aside] == [
        "price or quantity off the instrument's grid",
        "nobody asked for this stream",
        "not valid JSON",
        "a field is missing or of another type",
    ]


def test_a_book_is_a_snapshot_and_then_what_changed_with_the_best_prices_when_they_did() -> None:
    one = adapter()
    events = one.decode(
        "ccxt",
        1,
        [
            book([(99.5, 1.0), (99.0, 2.0)], [(100.0, 3.0)]),
            book([(99.5, 1.0), (98.5, 4.0)], [(100.0, 3.0)], NOW + 1_000),
            book([(99.5, 1.0), (98.5, 4.0)], [(100.0, 3.0)], NOW + 2_000),
            book([(99.5, 1.0)], [(100.0, 2.5)], NOW + 3_000),
        ],
    ).events
    assert events["kind"].tolist() == [
        Kind.SNAPSHOT, Kind.LEVEL, Kind.LEVEL, Kind.LEVEL, Kind.QUOTE,
        Kind.LEVEL, Kind.LEVEL, Kind.LEVEL, Kind.LEVEL, Kind.LEVEL, Kind.QUOTE,
    ]  # fmt: skip
    assert folded(events) == {(Side.BUY, 199): 1000, (Side.SELL, 200): 2500}
    quotes = events[events["kind"] == Kind.QUOTE]
    assert quotes[["price", "qty", "aux", "aux2"]].tolist() == [(199, 1000, 200, 3000), (199, 1000, 200, 2500)]
    assert events["flags"][7] == Flag.LAST | Flag.EMPTY
    again = one.decode("ccxt", 1, [book([(99.0, 1.0)], [(99.5, 1.0)], NOW)]).events
    assert again["id"].min() > events["id"].max()


def test_after_a_loss_the_book_comes_whole_and_by_rest_too() -> None:
    one = adapter(fetch_order_book={"bids": [[98.0, 1.0]], "asks": [[99.0, 1.0]]})
    first = one.decode("ccxt", 1, [book([(99.5, 1.0)], [(100.0, 3.0)])]).events
    one.closed("ccxt", 1)
    second = one.decode("ccxt", 2, [book([(99.5, 1.0)], [(100.0, 3.0)], NOW + 1)]).events
    assert second["kind"][0] == Kind.SNAPSHOT
    third = asyncio.run(one.book())
    assert third["kind"][:3].tolist() == [Kind.SNAPSHOT, Kind.LEVEL, Kind.LEVEL]
    fourth = one.decode("ccxt", 2, [book([(99.5, 1.0)], [(100.0, 3.0)], NOW + 9)]).events
    assert folded(tape.joined([first, second, third, fourth])) == {(Side.BUY, 199): 1000, (Side.SELL, 200): 3000}


def test_a_crossed_book_is_set_aside_and_the_next_one_goes_on() -> None:
    decoded = adapter().decode(
        "ccxt", 1, [book([(99.5, 1.0)], [(100.0, 3.0)]), book([(100.0, 1.0)], [(100.0, 3.0)]), book([], [(100.0, 3.0)])]
    )
    assert [reason for reason, _ in decoded.set_aside] == ["the book is crossed"]
    assert folded(decoded.events) == {(Side.SELL, 200): 3000}


sides = st.dictionaries(st.integers(1, 20), st.integers(1, 9), max_size=8)


@given(st.lists(st.tuples(sides, sides), min_size=1, max_size=12))
def test_the_tape_gives_back_every_book(books: list[tuple[dict[int, int], dict[int, int]]]) -> None:
    one = adapter()
    batches: list[Events] = []
    for k, (bids, asks) in enumerate(books):
        told = [[(0.5 * p, n / 1000) for p, n in bids.items()], [(0.5 * (p + 20), n / 1000) for p, n in asks.items()]]
        told[0].sort(reverse=True)
        told[1].sort()
        batches.append(one.decode("ccxt", 1, [book(told[0], told[1], NOW + k)]).events)
        wanted = {(1, p): n for p, n in bids.items()} | {(-1, p + 20): n for p, n in asks.items()}
        assert folded(tape.joined(batches)) == wanted


def test_the_newest_candle_is_in_the_making_until_a_newer_one_comes() -> None:
    minute, one = 1_672_304_460_000, adapter()

    def candle(k: int, close: float) -> list[float]:
        return [minute + 60_000 * k, 5.0, 9.0, 4.0, close, 1.0]

    def bars(*candles: list[float]) -> list[tuple[int, int, int]]:
        events = one.decode("ccxt", 1, [frame("bars", list(candles))]).events
        closes = events[events["kind"] == Kind.BAR_CLOSE]
        return [
            ((row["id"] - minute * 1_000_000) // NS_PER_MINUTE, int(row["aux"]), int(row["flags"])) for row in closes
        ]

    assert bars(candle(-2, 5.0), candle(-1, 5.5), candle(0, 6.0)) == [
        (-2, 10, Flag.BACKFILLED), (-1, 11, Flag.BACKFILLED), (0, 12, Flag.PARTIAL),
    ]  # fmt: skip
    assert bars(candle(0, 6.5)) == [(0, 13, Flag.PARTIAL)]
    assert bars(candle(0, 7.0), candle(1, 5.0)) == [(0, 14, 0), (1, 10, Flag.PARTIAL)]
    assert bars(candle(2, 5.0)) == [(1, 10, 0), (2, 10, Flag.PARTIAL)]
    assert bars(candle(1, 8.0)) == []


def test_a_backfill_is_the_closed_minutes_and_the_trades_since() -> None:
    trades = [{"id": str(k), "timestamp": 1000 * k, "side": "buy", "price": 5.0, "amount": 1.0} for k in (4, 3, 2, 1)]
    candles = [[60_000 * k, 5.0, 5.0, 5.0, 5.0, 1.0] for k in (3, 1, 2)]
    http = Answers(fetch_ohlcv=candles, fetch_trades=trades)
    events = asyncio.run(CcxtAdapter(BTC, http, FeedParams()).sync(2, 2_500_000_000))
    assert (events["id"][events["kind"] == Kind.BAR_OPEN] // NS_PER_MINUTE).tolist() == [1, 2]
    assert (events["ts_event"][events["kind"] == Kind.TRADE] // 10**9).tolist() == [3, 4]
    assert (events["flags"] == Flag.BACKFILLED).all()
    assert http.asked == [
        ("fetch_ohlcv", {"symbol": "BTC/USDT:USDT", "timeframe": "1m", "limit": 3}),
        ("fetch_trades", {"symbol": "BTC/USDT:USDT", "since": 2500, "limit": 1000}),
    ]


def test_polls_stand_for_streams_and_bring_what_perpetuals_have() -> None:
    one = adapter(
        fetch_trades=[],
        fetch_ohlcv=[],
        fetch_order_book={"bids": [], "asks": []},
        fetch_funding_rate={"markPrice": 5.0, "fundingRate": 0.0001, "fundingTimestamp": 60_000},
        fetch_open_interest={"openInterestAmount": 7.5},
    )
    told = {poll.name: asyncio.run(_fetched(poll.fetch))["kind"].tolist() for poll in one.polls()}
    assert told == {
        "trades": [], "bars": [], "book": [Kind.SNAPSHOT],
        "funding": [Kind.MARK, Kind.FUNDING], "open_interest": [Kind.OPEN_INTEREST],
    }  # fmt: skip


async def _fetched(fetch: Any) -> Events:
    return await fetch()  # type: ignore[no-any-return]


def test_an_answer_that_cannot_be_read_is_the_venues_fault() -> None:
    for body in (b"no", {"bids": 5}, {"bids": [[1.1, 1.0]], "asks": []}):
        with pytest.raises(VenueUnavailable):
            asyncio.run(adapter(fetch_order_book=body).book())
    assert asyncio.run(adapter(fetch_time=7).venue_time()).ts_venue == 7_000_000


@settings(max_examples=300)
@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 7))
def test_no_bytes_raise_and_random_ones_make_no_event(noise: bytes, place: int, bit: int) -> None:
    one = adapter()
    assert len(one.decode("ccxt", 1, [Frame(NOW, noise)]).events) == 0
    whole = bytearray(book([(99.5, 1.0)], [(100.0, 3.0)]).data)
    assert len(one.decode("ccxt", 1, [Frame(NOW, bytes(whole[: place % len(whole)]))]).events) == 0
    whole[place % len(whole)] ^= 1 << bit
    one.decode("ccxt", 1, [Frame(NOW, bytes(whole))])


def test_names_and_steps() -> None:
    assert exchange_and_symbol(BTC) == ("bybit", "BTC/USDT:USDT")
    other = msgspec.structs.replace(BTC, venue=Venue.CCXT, symbol="okx/BTC/USDT:USDT")
    assert exchange_and_symbol(other) == ("okx", "BTC/USDT:USDT")
    assert adapter().sockets()[0].url == "ccxt://bybit/BTC/USDT:USDT"
    assert (grid_unit(0.5, 4, "x"), grid_unit(3, 2, "x")) == ("0.5", "1e-3")
    for precision, mode in ((None, 4), (5, 3), (float("nan"), 4)):
        with pytest.raises(ValueError, match="no fixed step"):
            grid_unit(precision, mode, "price")
