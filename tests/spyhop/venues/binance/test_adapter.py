"""What the session loop is told: sockets, deadlines, streams heard, wishes, polls, backfill."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
import pytest

from spyhop.clock import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from spyhop.errors import VenueUnavailable
from spyhop.model.tape import Flag, Kind, Ratio, Venue
from spyhop.venues import catalogue
from spyhop.venues.adapter import Decoded, PollWhen, Want
from spyhop.venues.binance.adapter import BinanceAdapter
from spyhop.venues.binance.rest import BinanceRest
from spyhop.venues.endpoints import LIVE, BinanceEndpoints
from spyhop.venues.net.transport import Frame, Response
from spyhop.venues.params import FeedParams

T = 1_723_161_255_030_314_667
BTC = msgspec.structs.replace(catalogue.by_key("binance-usdm:BTCUSDT"), id=4)
SPOT = catalogue.by_key("binance-spot:BTCUSDT")
TRADE = (
    b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1723161256322,"a":%d,"s":"BTCUSDT","p":"61800.30",'
    b'"q":"0.100","f":100,"l":105,"T":1723161256321,"m":true}}'
)
MARK = (
    b'{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1723161256000,"s":"BTCUSDT","p":"61800.1",'
    b'"i":"61801.2","r":"0.0001","T":1723161600000}}'
)


class Venues:
    """An Http with one answer for each path and a count of what was asked."""

    def __init__(self, **bodies: bytes) -> None:
        self.bodies = bodies
        self.asked: list[tuple[str, dict[str, str | int]]] = []

    async def request(
        self, method: str, url: str, params: Mapping[str, str | int] | None = None, *, timeout_s: float = 10.0
    ) -> Response:
        name = url.rsplit("/", 1)[1]
        self.asked.append((name, dict(params or {})))
        if name not in self.bodies:
            raise VenueUnavailable(url, 500, "nothing here")
        return Response(200, {}, self.bodies[name], T - 10, T)

    async def close(self) -> None:
        pass


def adapter_of(http: Venues, params: FeedParams | None = None, *, is_spot: bool = False) -> BinanceAdapter:
    instrument = SPOT if is_spot else BTC
    endpoints = BinanceEndpoints("http://venue", "ws://venue")
    return BinanceAdapter(instrument, endpoints, BinanceRest(http, endpoints, instrument.venue), params or FeedParams())


def diff(first: int, last: int, previous: int) -> bytes:
    return (
        b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSDT",'
        b'"U":%d,"u":%d,"pu":%d,"b":[["58710.20","0.014"]],"a":[["61496.60","7"]]}}' % (first, last, previous)
    )


def snapshot(last: int) -> bytes:
    return (
        b'{"lastUpdateId":%d,"E":1723161256299,"T":1723161256298,"bids":[["58710.2","1"]],"asks":[["61496.6","1"]]}'
        % last
    )


def decode(adapter: BinanceAdapter, socket: str, *frames: bytes, ts: int = T, connection: int = 1) -> Decoded:
    return adapter.decode(socket, connection, [Frame(ts, frame) for frame in frames])


def test_futures_speak_on_two_routes_with_every_stream_where_it_is_served() -> None:
    adapter = BinanceAdapter(BTC, LIVE.binance_usdm, BinanceRest(Venues(), LIVE.binance_usdm, BTC.venue), FeedParams())
    public, market = adapter.sockets()
    assert public.url == "wss://fstream.binance.com/public/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker"
    assert market.url.startswith("wss://fstream.binance.com/market/stream?streams=btcusdt@aggTrade/btcusdt@kline_1m/")
    assert {plan.name.partition("@")[2] for plan in market.streams} == {
        "aggTrade", "ticker", "markPrice@1s", "forceOrder",
        *(f"kline_{name}" for name in ("1m", "3m", "5m", "15m", "1h", "4h", "1d")),
    }  # fmt: skip
    assert {plan.life_s for plan in (public, market)} == {23 * 3_600.0}
    assert {plan.name for plan in (*public.streams, *market.streams) if plan.is_price} == {
        "btcusdt@bookTicker", "btcusdt@aggTrade",
    }  # fmt: skip
    always = {plan.name for plan in (*public.streams, *market.streams) if plan.silent_s}
    assert always == {"btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@kline_1m", "btcusdt@markPrice@1s"}
    quiet = {plan.name for plan in (*public.streams, *market.streams) if not plan.first_s}
    assert quiet == {"btcusdt@aggTrade", "btcusdt@forceOrder", "btcusdt@ticker"}


def test_spot_has_one_socket_and_no_marks() -> None:
    (plan,) = adapter_of(Venues(), is_spot=True).sockets()
    assert plan.url.startswith("ws://venue/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker/btcusdt@aggTrade/")
    assert "markPrice" not in plan.url
    assert "forceOrder" not in plan.url


def test_settings_choose_trades_and_depth() -> None:
    public, market = adapter_of(Venues(), FeedParams(trades="trade", depth="depth20")).sockets()
    assert [plan.name for plan in public.streams] == ["btcusdt@depth20@100ms", "btcusdt@bookTicker", "btcusdt@trade"]
    assert not any("Trade" in plan.name for plan in market.streams)
    public, _ = adapter_of(Venues(), FeedParams(depth="none")).sockets()
    assert [plan.name for plan in public.streams] == ["btcusdt@bookTicker"]


def test_streams_are_heard_by_their_rows() -> None:
    adapter = adapter_of(Venues())
    bar = (
        b'{"e":"kline","E":1723161256322,"s":"BTCUSDT","k":{"t":1723161240000,"T":1723161299999,"s":"BTCUSDT","i":"%b",'
        b'"o":"61800.1","c":"61801.2","h":"61805.3","l":"61799.9","v":"32.311","n":924,"x":false,"q":"2069200.9",'
        b'"V":"6.944"}}'
    )
    told = decode(adapter, "market", TRADE % 1, MARK, bar % b"1m", bar % b"1d", b"{", b'{"result":null,"id":1}')
    assert set(told.heard) == {
        "btcusdt@aggTrade", "btcusdt@markPrice@1s", "btcusdt@kline_1m", "btcusdt@kline_1d",
    }  # fmt: skip
    assert (told.set_aside, told.ignored) == ((("line cut off", b"{"),), {"answer to a request": 1})
    assert (told.events["instrument"] == 4).all()
    assert decode(adapter, "market", b"{").heard == ()


def test_a_snapshot_is_wanted_once_for_the_first_diff_and_again_after_a_gap() -> None:
    adapter = adapter_of(Venues(depth=snapshot(15)))
    adapter.opened("public", 1)
    assert decode(adapter, "public", diff(11, 15, 10)).wants == (Want.BOOK,)
    assert decode(adapter, "public", diff(16, 20, 15)).wants == ()
    rows = asyncio.run(adapter.book())
    assert (rows["kind"][0], rows["id"][0]) == (Kind.SNAPSHOT, 15)
    assert decode(adapter, "public", diff(21, 25, 20), diff(26, 30, 25)).wants == ()
    assert decode(adapter, "public", diff(41, 45, 40)).wants == (Want.BOOK,)


def test_a_snapshot_that_never_comes_is_asked_for_again() -> None:
    adapter = adapter_of(Venues())
    assert decode(adapter, "public", diff(11, 15, 10)).wants == (Want.BOOK,)
    assert decode(adapter, "public", diff(16, 20, 15), ts=T + 9 * NS_PER_S).wants == ()
    assert decode(adapter, "public", diff(21, 25, 20), ts=T + 11 * NS_PER_S).wants == (Want.BOOK,)


def test_failed_and_old_snapshots_are_asked_for_again_ever_more_slowly() -> None:
    http = Venues(depth=snapshot(5))
    adapter = adapter_of(http)
    ts, last, pauses = T, 10, []
    asked = ts
    decode(adapter, "public", diff(6, last, 5 + 1))
    for _ in range(4):
        asyncio.run(adapter.book())
        while True:
            ts, last = ts + 100 * NS_PER_MS, last + 5
            if decode(adapter, "public", diff(last - 4, last, last - 5), ts=ts).wants:
                break
        pauses.append((ts - asked) / NS_PER_S)
        asked = ts
    assert pauses == sorted(pauses)
    assert pauses[0] <= 0.3
    assert pauses[-1] >= 2.0
    http.bodies = {}
    with pytest.raises(VenueUnavailable):
        asyncio.run(adapter.book())
    assert decode(adapter, "public", diff(last + 1, last + 5, last), ts=ts + NS_PER_S).wants == ()
    assert decode(adapter, "public", diff(last + 6, last + 9, last + 5), ts=ts + 5 * NS_PER_S).wants == (Want.BOOK,)


def test_two_connections_that_tell_the_same_need_no_snapshot() -> None:
    adapter = adapter_of(Venues(depth=snapshot(15)))
    adapter.opened("public", 1)
    decode(adapter, "public", diff(11, 15, 10))
    asyncio.run(adapter.book())
    adapter.opened("public", 2)
    decode(adapter, "public", diff(16, 20, 15), connection=1)
    assert decode(adapter, "public", diff(16, 20, 15), diff(21, 25, 20), connection=2).wants == ()
    assert decode(adapter, "public", diff(21, 25, 20), connection=1).wants == ()
    adapter.closed("public", 1)
    assert decode(adapter, "public", diff(26, 30, 25), connection=2).wants == ()
    adapter.closed("public", 2)
    adapter.opened("public", 3)
    assert decode(adapter, "public", diff(31, 35, 30), connection=3).wants == (Want.BOOK,)


def test_spot_diffs_link_by_their_first_id() -> None:
    body = (
        b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161256299,"s":"BTCUSDT","U":%d,"u":%d,'
        b'"b":[],"a":[]}}'
    )
    adapter = adapter_of(Venues(depth=b'{"lastUpdateId":15,"bids":[],"asks":[]}'), is_spot=True)
    assert decode(adapter, "streams", body % (11, 15)).wants == (Want.BOOK,)
    asyncio.run(adapter.book())
    assert decode(adapter, "streams", body % (16, 20), body % (21, 22)).wants == ()
    assert decode(adapter, "streams", body % (24, 25)).wants == (Want.BOOK,)


def test_a_partial_book_needs_no_snapshot() -> None:
    adapter = adapter_of(Venues(), FeedParams(depth="depth5"))
    told = decode(adapter, "public", diff(11, 15, 10).replace(b"@depth@", b"@depth5@"))
    assert told.events["kind"].tolist() == [Kind.SNAPSHOT, Kind.LEVEL, Kind.LEVEL]
    assert (told.wants, told.heard) == ((), ("btcusdt@depth5@100ms",))


def test_a_server_that_is_about_to_close_is_left() -> None:
    told = decode(adapter_of(Venues()), "market", b'{"e":"serverShutdown","E":1770123456789}')
    assert told.wants == (Want.RECONNECT,)


def test_polls_ask_for_what_has_no_stream_and_for_the_rest_in_need() -> None:
    polls = {poll.name: poll for poll in adapter_of(Venues()).polls()}
    assert {name for name, poll in polls.items() if poll.when is PollWhen.ALWAYS} == {
        "open_interest", "funding", "premium_index", "ratios",
    }  # fmt: skip
    assert [name for name, poll in polls.items() if poll.is_price] == ["price"]
    spot = adapter_of(Venues(), FeedParams(depth="none"), is_spot=True).polls()
    assert {poll.name for poll in spot} == {"price", "trades", "bars", "ticker"}


def test_the_funding_interval_is_learned_and_put_on_the_predictions() -> None:
    info = (
        b'[{"symbol":"BTCUSDT","adjustedFundingRateCap":"1","adjustedFundingRateFloor":"-1","fundingIntervalHours":4}]'
    )
    paid = b'[{"symbol":"BTCUSDT","fundingRate":"0.0001","fundingTime":1570636800000}]'
    adapter = adapter_of(Venues(fundingRate=paid, fundingInfo=info))
    assert decode(adapter, "market", MARK).events["aux2"][1] == 8 * NS_PER_HOUR
    (poll,) = [poll for poll in adapter.polls() if poll.name == "funding"]
    asyncio.run(_fetch(poll))
    assert decode(adapter, "market", MARK).events["aux2"][1] == 4 * NS_PER_HOUR


async def _fetch(poll: object) -> object:
    return await poll.fetch()  # type: ignore[attr-defined]


def test_ratios_are_all_four_and_the_past_of_open_interest() -> None:
    share = (
        b'[{"symbol":"BTCUSDT","longShortRatio":"1.4","longAccount":"0.5","shortAccount":"0.4",'
        b'"timestamp":1583139600000}]'
    )
    http = Venues(
        topLongShortPositionRatio=share,
        topLongShortAccountRatio=share,
        globalLongShortAccountRatio=share,
        takerlongshortRatio=b'[{"buySellRatio":"1.5","buyVol":"387.3","sellVol":"248.5","timestamp":"1585614900000"}]',
        openInterestHist=b'[{"symbol":"BTCUSDT","sumOpenInterest":"2","sumOpenInterestValue":"1","timestamp":%d}]'
        % 1_583_127_900_000,
    )
    (poll,) = [poll for poll in adapter_of(http).polls() if poll.name == "ratios"]
    rows = asyncio.run(_fetch(poll))
    assert rows["kind"].tolist() == [Kind.RATIO] * 4 + [Kind.OPEN_INTEREST]  # type: ignore[index]
    assert rows["aux"][:4].tolist() == list(Ratio)  # type: ignore[index]


def test_trades_by_rest_go_on_where_the_stream_ended() -> None:
    trade = b'[{"a":43,"p":"61800.1","q":"1","f":1,"l":1,"T":1723161256321,"m":true}]'
    http = Venues(aggTrades=trade)
    adapter = adapter_of(http)
    (poll,) = [poll for poll in adapter.polls() if poll.name == "trades"]
    asyncio.run(_fetch(poll))
    decode(adapter, "market", TRADE % 41, MARK, TRADE % 42)
    asyncio.run(_fetch(poll))
    asyncio.run(_fetch(poll))
    assert [params.get("fromId") for _, params in http.asked] == [None, 43, 44]


def bars(*minutes: int) -> bytes:
    bar = b'[%d,"61800.1","61800.2","61800.0","61800.1","1",%d,"61800.1",3,"1","1","0"]'
    return b"[%b]" % b",".join(bar % (minute * 60_000, minute * 60_000 + 59_999) for minute in minutes)


def test_sync_brings_closed_bars_longer_ones_that_ended_and_trades() -> None:
    minute = T // NS_PER_MINUTE
    trade = b'[{"a":43,"p":"61800.1","q":"1","f":1,"l":1,"T":1723161256321,"m":true}]'
    http = Venues(
        klines=bars(minute - 2, minute - 1, minute), aggTrades=trade, time=b'{"serverTime":%d}' % (T // NS_PER_MS)
    )
    adapter = adapter_of(http)
    rows = asyncio.run(adapter.sync(2, 0))
    assert (rows["id"][::2] // NS_PER_MINUTE).tolist() == [minute - 2, minute - 1]
    assert (rows["flags"] & Flag.PARTIAL == 0).all()
    assert [name for name, _ in http.asked] == ["klines"]
    http.asked.clear()
    since = T - 6 * NS_PER_MINUTE
    rows = asyncio.run(adapter.sync(2, since))
    ended = [params["interval"] for name, params in http.asked if name == "klines"][1:]
    assert ended == [
        name for name, length in (("3m", 3), ("5m", 5), ("15m", 15), ("1h", 60), ("4h", 240), ("1d", 1_440))
        if T // NS_PER_MINUTE // length > since // NS_PER_MINUTE // length
    ]  # fmt: skip
    assert ended[:2] == ["3m", "5m"]
    assert rows["id"][rows["kind"] == Kind.TRADE].tolist() == [43]
    assert http.asked[-1][1]["startTime"] == since // NS_PER_MS


def test_what_rest_could_not_read_comes_out_with_the_next_frames() -> None:
    minute = T // NS_PER_MINUTE - 9
    http = Venues(klines=bars(minute, minute + 1).replace(b'"61800.0"', b'"x"', 1))
    adapter = adapter_of(http)
    asyncio.run(adapter.sync(1, 0))
    ((reason, _),) = decode(adapter, "market", TRADE % 1).set_aside
    assert reason == "not a number"


def test_the_venues_clock_decides_about_bars_once_it_is_known() -> None:
    minute = T // NS_PER_MINUTE
    http = Venues(klines=bars(minute), time=b'{"serverTime":%d}' % ((T + 60 * NS_PER_S) // NS_PER_MS))
    adapter = adapter_of(http)
    assert len(asyncio.run(adapter.sync(1, 0))) == 0
    told = asyncio.run(adapter.venue_time())
    assert told.ts_venue == (T + 60 * NS_PER_S) // NS_PER_MS * NS_PER_MS
    assert len(asyncio.run(adapter.sync(1, 0))) == 2


def test_spot_is_another_venue() -> None:
    told = decode(adapter_of(Venues(), is_spot=True), "streams", TRADE.replace(b"61800.30", b"61800.31") % 1)
    assert told.events["venue"].tolist() == [Venue.BINANCE_SPOT]
