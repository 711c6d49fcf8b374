"""REST bodies of the documentation as rows, and what is asked for to get them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import msgspec
import pytest

from spyhop.clock import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS
from spyhop.errors import VenueRefused, VenueUnavailable
from spyhop.model.tape import Events, Flag, Kind, Ratio, Side, Venue
from spyhop.venues.binance.rest import BinanceRest
from spyhop.venues.endpoints import BinanceEndpoints
from spyhop.venues.files.inference import wide
from spyhop.venues.net.transport import Response

NOW = 1_786_540_310_066 * NS_PER_MS
# a tick of 1e-10 and a lot of 1e-8, so that any number lies on the grid
BTC = msgspec.structs.replace(wide(Venue.BINANCE_USDM, "BTCUSDT"), id=3)

T = TypeVar("T")


class Venues:
    """An Http with an answer for each path, a list of them in turn."""

    def __init__(self, bodies: Mapping[str, bytes | list[bytes] | Exception]) -> None:
        self.bodies = dict(bodies)
        self.asked: list[tuple[str, dict[str, str | int]]] = []

    async def request(
        self, method: str, url: str, params: Mapping[str, str | int] | None = None, *, timeout_s: float = 10.0
    ) -> Response:
        assert method == "GET"
        path = url.removeprefix("http://venue")
        self.asked.append((path, dict(params or {})))
        body = self.bodies[path]
        if isinstance(body, list):
            body = body.pop(0)
        if isinstance(body, Exception):
            raise body
        return Response(200, {}, body, NOW - 20, NOW)

    async def close(self) -> None:
        pass


def rest_of(
    bodies: Mapping[str, bytes | list[bytes] | Exception], venue: Venue = Venue.BINANCE_USDM
) -> tuple[BinanceRest, Venues]:
    http = Venues(bodies)
    return BinanceRest(http, BinanceEndpoints("http://venue", "ws://venue"), venue), http


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


def bar(minute: int) -> bytes:
    return (
        b'[%d,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",%d,"2434.19055334",308,'
        b'"1756.87402397","28.46694368","0"]' % (minute * 60_000, minute * 60_000 + 59_999)
    )


def test_a_bar_is_a_pair_of_rows_and_partial_until_it_has_ended() -> None:
    minute = NOW // NS_PER_MINUTE
    rest, http = rest_of({"/fapi/v1/klines": b"[%b,%b]" % (bar(minute - 1), bar(minute))})
    rows = run(rest.klines(BTC, "1m", 2))
    assert http.asked == [("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 2})]
    assert rows["kind"].tolist() == [Kind.BAR_OPEN, Kind.BAR_CLOSE] * 2
    opened, closed = rows[0], rows[1]
    assert (opened["price"], opened["aux"], closed["price"], closed["aux"]) == (
        163_479_000, 8_000_000_000, 157_580_000, 157_710_000,
    )  # fmt: skip
    assert (opened["qty"], opened["aux2"]) == (14_897_611_427_815, 175_687_402_397)
    assert (closed["qty"], closed["aux2"], closed["id"]) == (308, 243_419, (minute - 1) * NS_PER_MINUTE)
    assert (opened["instrument"], opened["ts_recv"], opened["interval_s"]) == (3, NOW, 60)
    assert (rows["flags"] & Flag.PARTIAL != 0).tolist() == [False, False, True, True]
    assert (rows["flags"] & Flag.BACKFILLED).all()


# it ends ten seconds from NOW
@pytest.mark.parametrize(("ahead_s", "is_partial"), [(0, True), (60, False), (-60, True), (12, True), (16, False)])
def test_the_venues_clock_says_when_a_bar_has_ended(ahead_s: int, is_partial: bool) -> None:
    rest, _ = rest_of({"/fapi/v1/klines": b"[%b]" % bar(NOW // NS_PER_MINUTE)})
    rows = run(rest.klines(BTC, ahead_ns=ahead_s * 1_000_000_000))
    assert bool(rows["flags"][0] & Flag.PARTIAL) is is_partial


def test_a_bar_with_a_newer_one_has_ended_whatever_the_clock_says() -> None:
    minute = NOW // NS_PER_MINUTE
    rest, _ = rest_of({"/fapi/v1/klines": b"[%b,%b]" % (bar(minute), bar(minute + 1))})
    assert (run(rest.klines(BTC))["flags"] & Flag.PARTIAL != 0).tolist() == [False, False, True, True]


def test_more_bars_than_a_page_come_in_pages() -> None:
    minute = NOW // NS_PER_MINUTE
    minutes = list(range(minute - 1_999, minute + 1))
    pages = [b"[%b]" % b",".join(map(bar, part)) for part in (minutes[:1_500], minutes[1_500:])]
    rest, http = rest_of({"/fapi/v1/klines": list(pages), "/fapi/v1/time": b'{"serverTime":%d}' % (NOW // NS_PER_MS)})
    rows = run(rest.newest_bars(BTC, 2_000))
    assert (rows["id"][::2] // NS_PER_MINUTE).tolist() == minutes
    starts = [params["startTime"] for path, params in http.asked if path.endswith("klines")]
    assert starts == [minutes[0] * 60_000, minutes[1_500] * 60_000]


def test_trades_come_page_by_page_until_one_is_not_full() -> None:
    def page(first: int, count: int) -> bytes:
        trades = (
            b'{"a":%d,"p":"0.01633102","q":"4.70443515","f":27781,"l":27781,"T":1498793709153,"m":true}' % number
            for number in range(first, first + count)
        )
        return b"[%b]" % b",".join(trades)

    rest, http = rest_of({"/fapi/v1/aggTrades": [page(1, 1_000), page(1_001, 1_000), page(2_001, 7)]})
    rows = run(rest.trades_since(BTC, 1_498_793_709_153_999_999, 20))
    assert rows["id"].tolist() == list(range(1, 2_008))
    assert (rows["side"][0], rows["price"][0], rows["qty"][0]) == (Side.SELL, 163_310_200, 470_443_515)
    assert [params for _, params in http.asked] == [
        {"symbol": "BTCUSDT", "limit": 1_000, "startTime": 1_498_793_709_153},
        {"symbol": "BTCUSDT", "limit": 1_000, "fromId": 1_001},
        {"symbol": "BTCUSDT", "limit": 1_000, "fromId": 2_001},
    ]
    rest, http = rest_of({"/fapi/v1/aggTrades": [page(1, 1_000)] * 3})
    assert len(run(rest.trades_since(BTC, 1, 2))) == 2_000


def test_the_book_is_a_snapshot() -> None:
    body = (
        b'{"lastUpdateId":1027024,"E":1589436922972,"T":1589436922959,"bids":[["4.00000000","431.00000000"]],'
        b'"asks":[["4.00000200","12.00000000"]]}'
    )
    rest, _ = rest_of({"/fapi/v1/depth": body})
    rows = run(rest.depth(BTC, 5))
    assert rows["kind"].tolist() == [Kind.SNAPSHOT, Kind.LEVEL, Kind.LEVEL]
    assert (rows["id"][0], rows["qty"][0], rows["ts_event"][0]) == (1_027_024, 2, 1_589_436_922_959 * NS_PER_MS)
    assert not (rows["flags"] & Flag.BACKFILLED).any()


def test_best_prices_with_and_without_time() -> None:
    told = b'"symbol":"BTCUSDT","bidPrice":"4.00000000","bidQty":"431.0","askPrice":"4.00000200","askQty":"9.0"'
    rest, _ = rest_of({"/fapi/v1/ticker/bookTicker": b'{%b,"time":1589437530011}' % told})
    (row,) = run(rest.book_ticker(BTC))
    assert (row["price"], row["aux"], row["qty"], row["aux2"]) == (
        40_000_000_000,
        40_000_020_000,
        43_100_000_000,
        9 * 10**8,
    )
    assert (row["kind"], row["id"], row["ts_event"]) == (Kind.QUOTE, 0, 1_589_437_530_011 * NS_PER_MS)
    spot, _ = rest_of({"/api/v3/ticker/bookTicker": b"{%b}" % told}, Venue.BINANCE_SPOT)
    assert run(spot.book_ticker(wide(Venue.BINANCE_SPOT, "BTCUSDT")))["ts_event"].tolist() == [NOW]


def test_the_premium_index_is_a_mark_and_the_funding_that_it_predicts() -> None:
    body = (
        b'{"symbol":"BTCUSDT","markPrice":"11793.63104562","indexPrice":"11781.80495970","estimatedSettlePrice":'
        b'"11781.16138815","lastFundingRate":"0.00038246","nextFundingTime":1597392000000,"interestRate":"0.0001",'
        b'"time":1597370495002}'
    )
    rest, _ = rest_of({"/fapi/v1/premiumIndex": body})
    mark, funding = run(rest.premium_index(BTC))
    assert (mark["kind"], mark["aux"], mark["aux2"]) == (Kind.MARK, 1_179_363_104_562, 1_178_180_495_970)
    assert (funding["kind"], funding["aux"], funding["id"]) == (
        Kind.FUNDING,
        382_460_000,
        1_597_392_000_000 * NS_PER_MS,
    )


INFO = (
    b'[{"symbol":"BTCUSDT","adjustedFundingRateCap":"0.02","adjustedFundingRateFloor":"-0.02",'
    b'"fundingIntervalHours":4}]'
)


@pytest.mark.parametrize(
    ("info", "hours"),
    [
        (b"[]", 8),
        (INFO, 4),
        (VenueRefused("", 404, 0, ""), 8),
    ],
)  # fmt: skip
def test_paid_funding_knows_its_interval(info: bytes | Exception, hours: int) -> None:
    body = (
        b'[{"symbol":"BTCUSDT","fundingRate":"-0.03750000","fundingTime":1570608000000},'
        b'{"symbol":"BTCUSDT","fundingRate":"0.00010000","fundingTime":1570636800000}]'
    )
    rest, http = rest_of({"/fapi/v1/fundingRate": body, "/fapi/v1/fundingInfo": info})
    rows = run(rest.funding_rates(BTC))
    assert rows["aux"].tolist() == [-37_500_000_000, 100_000_000]
    assert rows["id"].tolist() == [1_570_608_000_000 * NS_PER_MS, 1_570_636_800_000 * NS_PER_MS]
    assert (rows["flags"] == Flag.SETTLED).all()
    assert (rows["aux2"] == hours * NS_PER_HOUR).all()
    run(rest.funding_rates(BTC))
    assert [path for path, _ in http.asked].count("/fapi/v1/fundingInfo") == 1


def test_ratios_and_open_interest_take_times_in_quotes_and_without() -> None:
    shares = (
        b'[{"symbol":"BTCUSDT","longShortRatio":"1.4342","longAccount":"0.5891","shortAccount":"0.4108",'
        b'"timestamp":"1583139600000"},{"symbol":"BTCUSDT","longShortRatio":"1.4337","longAccount":"0.3583",'
        b'"shortAccount":"0.6417","timestamp":1583139900000}]'
    )
    volume = b'[{"buySellRatio":"1.5586","buyVol":"387.3300","sellVol":"248.5030","timestamp":"1585614900000"}]'
    past = (
        b'[{"symbol":"BTCUSDT","sumOpenInterest":"20403.63700000","sumOpenInterestValue":"150570784.07809979",'
        b'"timestamp":"1583127900000"}]'
    )
    rest, http = rest_of(
        {
            "/futures/data/topLongShortPositionRatio": shares,
            "/futures/data/takerlongshortRatio": volume,
            "/futures/data/openInterestHist": past,
            "/fapi/v1/openInterest": b'{"openInterest":"10659.509","symbol":"BTCUSDT","time":1589437530011}',
        }
    )
    rows = run(rest.ratio(BTC, Ratio.TOP_POSITIONS))
    assert rows["price"].tolist() == [58_910_000, 35_830_000]
    assert rows["aux2"].tolist() == [143_420_000, 143_370_000]
    assert rows["ts_event"].tolist() == [1_583_139_600_000 * NS_PER_MS, 1_583_139_900_000 * NS_PER_MS]
    assert (rows["aux"] == Ratio.TOP_POSITIONS).all()
    assert http.asked[0][1]["period"] == "5m"
    (row,) = run(rest.ratio(BTC, Ratio.TAKER_VOLUME, "15m"))
    assert (row["price"], row["qty"], row["id"], row["aux2"]) == (38_733_000_000, 24_850_300_000, 900, 155_860_000)
    (row,) = run(rest.open_interest_history(BTC))
    assert (row["kind"], row["qty"], row["flags"]) == (Kind.OPEN_INTEREST, 2_040_363_700_000, Flag.BACKFILLED)
    (row,) = run(rest.open_interest(BTC))
    assert (row["qty"], row["flags"], row["ts_event"]) == (1_065_950_900_000, 0, 1_589_437_530_011 * NS_PER_MS)


def test_the_day_in_brief() -> None:
    body = (
        b'{"symbol":"BTCUSDT","priceChange":"-94.99999800","priceChangePercent":"-95.960","weightedAvgPrice":"0.29",'
        b'"lastPrice":"4.00000200","lastQty":"200.0","openPrice":"99.0","highPrice":"100.0","lowPrice":"0.1",'
        b'"volume":"8913.30000000","quoteVolume":"15.30000000","openTime":1499783499040,"closeTime":1499869899040,'
        b'"firstId":28385,"lastId":28460,"count":76}'
    )
    rest, _ = rest_of({"/fapi/v1/ticker/24hr": body})
    (row,) = run(rest.ticker(BTC))
    assert (row["kind"], row["price"], row["qty"], row["id"]) == (Kind.TICKER, 40_000_020_000, 891_330_000_000, 76)
    assert (row["aux"], row["aux2"]) == (-949_999_980_000, 1_530)


def test_one_unreadable_entry_is_kept_aside_and_the_rest_used() -> None:
    minute = NOW // NS_PER_MINUTE - 5
    broken = bar(minute + 1).replace(b"0.01575800", b"x")
    rest, _ = rest_of({"/fapi/v1/klines": b"[%b,%b]" % (bar(minute), broken)})
    assert len(run(rest.klines(BTC))) == 2
    ((reason, entry),) = rest.unreadable(BTC)
    assert reason == "not a number"
    assert b'"x"' in entry
    assert rest.unreadable(BTC) == []


@pytest.mark.parametrize("body", [b"", b"null", b"<html>", b'{"a":1}', b"[[1,2,3]]", b'[{"p":1}]', b'[{"a":"\xff"}]'])
def test_an_answer_that_cannot_be_read_is_an_error_of_the_venue(body: bytes) -> None:
    for path, fetch in (
        ("/fapi/v1/klines", BinanceRest.klines),
        ("/fapi/v1/aggTrades", BinanceRest.agg_trades),
        ("/fapi/v1/fundingRate", BinanceRest.funding_rates),
        ("/fapi/v1/depth", BinanceRest.depth),
        ("/fapi/v1/ticker/24hr", BinanceRest.ticker),
    ):
        rest, _ = rest_of({path: body, "/fapi/v1/fundingInfo": b"[]"})
        with pytest.raises(VenueUnavailable, match="cannot be read"):
            run(fetch(rest, BTC))  # type: ignore[operator]


def test_nothing_to_tell_is_no_rows() -> None:
    rest, _ = rest_of({"/fapi/v1/klines": b"[]", "/fapi/v1/aggTrades": b"[]", "/futures/data/openInterestHist": b"[]"})
    batches: list[Events] = [
        run(rest.klines(BTC)), run(rest.agg_trades(BTC)), run(rest.open_interest_history(BTC)),
    ]  # fmt: skip
    assert [len(batch) for batch in batches] == [0, 0, 0]


def test_exchange_info_gives_instruments_and_the_body() -> None:
    body = (
        b'{"rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":2400}],"symbols":['
        b'{"symbol":"BTCUSDT","pricePrecision":2,"baseAsset":"BTC","quoteAsset":"USDT","filters":[{"filterType":'
        b'"PRICE_FILTER","tickSize":"0.10"},{"filterType":"LOT_SIZE","stepSize":"0.001","minQty":"0.001"}]}]}'
    )
    rest, _ = rest_of({"/fapi/v1/exchangeInfo": body})
    (instrument,), told = run(rest.exchange_info())
    assert (str(instrument.tick_size), str(instrument.lot_size), told) == ("0.1", "0.001", body)
    rest, _ = rest_of({"/fapi/v1/exchangeInfo": b'{"symbols":[5]}'})
    with pytest.raises(VenueUnavailable):
        run(rest.exchange_info())


def test_the_venues_time() -> None:
    rest, _ = rest_of({"/fapi/v1/time": b'{"serverTime":1499827319559}'})
    told = run(rest.venue_time())
    assert (told.ts_sent, told.ts_recv, told.ts_venue) == (NOW - 20, NOW, 1_499_827_319_559 * NS_PER_MS)
