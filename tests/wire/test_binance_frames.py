"""All recorded and documented frames and bodies of Binance decode, and damage to them never becomes an event."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.errors import UnreadableLine, VenueError
from spyhop.model.tape import Kind, Venue
from spyhop.venues.adapter import Want
from spyhop.venues.binance.account_wire import account_event
from spyhop.venues.binance.adapter import BinanceAdapter
from spyhop.venues.binance.live import FrameDecoder
from spyhop.venues.binance.rest import BinanceRest
from spyhop.venues.endpoints import LIVE, BinanceEndpoints
from spyhop.venues.files.inference import wide
from spyhop.venues.net.transport import Frame
from spyhop.venues.params import FeedParams
from tests.wire.binance_samples import NOW, ROWS, Answering, Sample, instrument_of, outcome, samples

LEFT_OUT = {
    "wallet, margin, convert, leveraged tokens and algo-trading API, of which nothing of ours asks": 53,
    "bars of another price": 8,
    "order lists of spot, which nothing of ours places": 7,
    "a report by mail": 6,
    "about an index or the insurance fund": 6,
    # JKorf's Concurrent scripts, which hold a bar of nothing but its time
    "a field is missing or of another type": 6,
    # JKorf's scripts that ask for btcusdt and answer with BNBBTC or BNBUSDT
    "stream and symbol disagree": 5,
    "frame 24hrMiniTicker": 3,
    "ways of placing a spot order that nothing of ours takes": 3,
    "a ticker over another time": 2,
    "margin of isolated positions, which we do not hold": 2,
    # the documentation's exchangeInfo of spot lists a symbol without filters
    "no symbol with a grid": 2,
    # the documentation's open bar has a low above its open
    "number or time out of range": 2,
    "reference price of spot": 2,
    "says nothing": 2,
    "whether fees are paid in BNB": 2,
    # the third of the orders that were cancelled is an order list
    "Object missing required field `orderId` - at `$[2]`": 1,
    "basis of futures with an end": 1,
    "frame 1hTicker": 1,
    "frame GRID_UPDATE": 1,
    "frame MARGIN_LEVEL_STATUS_CHANGE": 1,
    "frame STRATEGY_UPDATE": 1,
    "frame USER_LIABILITY_CHANGE": 1,
    "frame assetIndexUpdate": 1,
    "frame compositeIndex": 1,
    "frame continuous_kline": 1,
    "frame contractInfo": 1,
    "marks of an account that were given for bad orders": 1,
    "rules that exchangeInfo tells": 1,
    "self-trades that were prevented": 1,
}
READ = {
    "answer": 47,
    "instruments": 5,
    "rows BAR_OPEN+BAR_CLOSE": 79,
    "rows FUNDING": 2,
    "rows LEVEL": 945,
    "rows LEVEL+SNAPSHOT": 15,
    "rows LIQUIDATION": 2,
    "rows MARK+FUNDING": 4,
    "rows OPEN_INTEREST": 4,
    "rows QUOTE": 706,
    "rows RATIO": 8,
    "rows TICKER": 7,
    "rows TRADE": 110,
    "rows LEVEL, once its placeholder for a time is one": 3,
    "rows TICKER, once its placeholder for a time is one": 3,
    "rows TRADE, once its placeholder for a time is one": 3,
}
STRUCTS = {
    "Account": 5,
    "AccountConfig": 1,
    "AccountPosition": 3,
    "AccountTrade": 2,
    "AccountUpdate": 3,
    "AdlQuantile": 1,
    "AlgoOrder": 6,
    "AlgoUpdate": 7,
    "Amendment": 1,
    "AveragePrice": 3,
    "Balance": 2,
    "BalanceUpdate": 3,
    "Brackets": 1,
    "CommissionRate": 4,
    "ConditionalReject": 1,
    "ConfigUpdate": 2,
    "Countdown": 1,
    "ExecutionReport": 28,
    "Fill": 2,
    "FundingInfo": 1,
    "Income": 1,
    "Leverage": 1,
    "ListStatus": 2,
    "ListenKey": 1,
    "MarginCall": 1,
    "MultiAssets": 1,
    "Order": 24,
    "OrderTradeUpdate": 20,
    "Position": 5,
    "PositionMode": 1,
    "Price": 5,
    "RateLimit": 1,
    "Said": 5,
    "ServerTime": 4,
    "SymbolConfig": 2,
    "TradeLite": 3,
}


@pytest.fixture(scope="module")
def everything(recordings: Path) -> list[Sample]:
    return samples(recordings / "wire")


# ---------------------------------------------------------------- what there is


@pytest.mark.slow
def test_everything_is_read_or_left_out_for_a_reason(everything: list[Sample]) -> None:
    outcomes = Counter(outcome(sample) for sample in everything)
    for told, count in sorted(outcomes.items()):
        print(f"{count:6d}  {told}")  # noqa: T201 - the table is asked for
    left_out = {
        told.removeprefix("left out: "): count for told, count in outcomes.items() if told.startswith("left out")
    }
    structs = {told.removeprefix("struct "): count for told, count in outcomes.items() if told.startswith("struct ")}
    read = {told: count for told, count in outcomes.items() if not told.startswith(("left out", "struct "))}
    assert left_out == LEFT_OUT
    assert read == READ
    assert structs == STRUCTS
    assert sum(outcomes.values()) == len(everything) == 2_222


def test_no_file_is_passed_over(everything: list[Sample], recordings: Path) -> None:
    wire = recordings / "wire"
    folders = (
        "nautilus_trader/crates/adapters/binance",
        "nautilus_trader/tests/integration_tests",
        "JKorf_Binance.Net",
    )
    files = {
        file.name for folder in folders for file in (wire / folder).rglob("*.*") if file.suffix in (".json", ".txt")
    }
    assert files == {
        Path(sample.origin).name for sample in everything if Path(sample.origin).suffix in (".json", ".txt")
    }
    recorded = [file.read_text() for file in (wire / "cryptofeed" / "sample_data").glob("BINANCE*")]
    lines = sum(line[:4].isdigit() or line.startswith("https://") for text in recorded for line in text.splitlines())
    assert sum(sample.origin.startswith("BINANCE") for sample in everything) == lines == 1_810


@pytest.mark.slow
def test_real_sockets_of_2021_keep_every_diff(everything: list[Sample]) -> None:
    # counted with grep
    diffs = Counter(
        sample.venue for sample in everything if sample.origin.startswith("BINANCE") and outcome(sample) == "rows LEVEL"
    )
    assert diffs == {Venue.BINANCE_USDM: 764, Venue.BINANCE_SPOT: 177}


@pytest.mark.parametrize(("name", "venue"), [("BINANCE_FUTURES", Venue.BINANCE_USDM), ("BINANCE", Venue.BINANCE_SPOT)])
def test_recorded_books_need_one_snapshot_and_never_break(recordings: Path, name: str, venue: Venue) -> None:
    folder = recordings / "wire" / "cryptofeed" / "sample_data"
    snapshots = {}
    for line in (folder / f"{name}.http.0.0").read_text().splitlines():
        if "/depth?" in line:
            url, _, answer = line.partition(" -> ")
            stamp, _, body = answer.partition(": ")
            snapshots[re.search(r"symbol=(\w+)", url)[1]] = (float(stamp), body.encode())  # type: ignore[index]
    frames = [line.partition(": ") for line in (folder / f"{name}.ws.1.0").read_text().splitlines()[1:]]
    for symbol, (stamp, body) in snapshots.items():
        rest = BinanceRest(Answering(body), BinanceEndpoints("http://venue", ""), venue)
        endpoints = LIVE.binance_usdm if venue is Venue.BINANCE_USDM else LIVE.binance_spot
        adapter = BinanceAdapter(wide(venue, symbol), endpoints, rest, FeedParams())
        socket = adapter.sockets()[0].name
        adapter.opened(socket, 1)
        mine = [(float(ts), text.encode()) for ts, _, text in frames if f'"{symbol.lower()}@' in text]
        wants, is_fetched = [], False
        for ts, text in mine:
            if ts > stamp and not is_fetched:
                asyncio.run(adapter.book())
                is_fetched = True
            wants += adapter.decode(socket, 1, [Frame(int(ts * 1e9), text)]).wants
        assert is_fetched
        sync = adapter._sync
        assert (sync.num_gaps, sync.num_stale_snapshots, sync.is_synced) == (0, 0, True), symbol
        # whoever waits for longer than an answer may take asks again; these recordings took up to 4 s
        assert set(wants) <= {Want.BOOK}
        assert len(wants) <= 2


# ---------------------------------------------------------------- damage

HEAD = '"E":1723161256322,"s":"BTCUSDT"'
FRAMES = {
    "trade": '{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161256322,"T":1723161256321,"s":"BTCUSDT",'
    '"t":5266583935,"p":"61800.30","q":"0.006","X":"MARKET","m":false,"st":1}}',
    "aggTrade": f'{{"stream":"btcusdt@aggTrade","data":{{"e":"aggTrade",{HEAD},"a":5933014,"p":"61800.10","q":"0.100",'
    '"nq":"0.1","f":100,"l":105,"T":1723161256321,"m":true,"st":1}}',
    "bookTicker": '{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":400900217,"s":"BTCUSDT","b":"61800.20",'
    '"B":"2.507","a":"61800.30","A":"2.510","T":1723161256313,"E":1723161256314}}',
    "depthUpdate": f'{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate",{HEAD},"T":1723161256298,"U":11,'
    '"u":15,"pu":10,"b":[["58710.20","0.014"],["61496.50","0.000"]],"a":[["61496.60","7"]],"st":1}}',
    "partial": f'{{"stream":"btcusdt@depth5@100ms","data":{{"e":"depthUpdate",{HEAD},"T":1723161256298,"U":11,"u":15,'
    '"pu":10,"b":[["58710.20","0.014"]],"a":[["61496.60","7"]]}}',
    "kline": f'{{"e":"kline",{HEAD},"k":{{"t":1723161240000,"T":1723161299999,"s":"BTCUSDT","i":"1m","o":"61800.1",'
    '"c":"61801.2","h":"61805.3","l":"61799.9","v":"32.311","n":924,"x":true,"q":"2069200.9","V":"6.944"}}',
    "markPriceUpdate": f'{{"stream":"btcusdt@markPrice@1s","data":{{"e":"markPriceUpdate",{HEAD},"p":"61800.15",'
    '"i":"61801.62659091","P":"11784.2","r":"-0.00038167","T":1723161600000,"st":1}}',
    "forceOrder": '{"e":"forceOrder","E":1723161256322,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014",'
    '"p":"61800.1","ap":"61800.12345678","X":"FILLED","l":"0.014","z":"0.014","T":1723161256321}}',
    "24hrTicker": f'{{"stream":"btcusdt@ticker","data":{{"e":"24hrTicker",{HEAD},"p":"-131.4","P":"-0.786","w":"1.9",'
    '"c":"61800.1","Q":"0.002","o":"61000.0","h":"62000.0","l":"60000.1","v":"122474.816","q":"2036102085.69",'
    '"O":1672429382136,"C":1672515782136,"F":2289691,"L":2432543,"n":142853}}',
    "array": f'[{{"e":"markPriceUpdate",{HEAD},"p":"61800.15","i":"61801.6","r":"0.0001","T":1723161600000}}]',
}
USED = {
    "trade": "pq",
    "aggTrade": "pq",
    "bookTicker": "bBaA",
    "markPriceUpdate": "p",
    "24hrTicker": "pcvq",
}
NUMBER = re.compile(r"-?\d+(\.\d+)?")
BTC = wide(Venue.BINANCE_USDM, "BTCUSDT")


def strictly(text: bytes) -> Any:
    """Parse JSON as the standard says; raise ValueError."""

    def never(constant: str) -> Any:
        raise ValueError(constant)

    return json.loads(text.decode("utf-8"), parse_constant=never)


def is_sound(frame: bytes) -> bool:
    """Say, by a reader that shares nothing with ours, whether numbers stand where an event takes its numbers from."""
    try:
        told = strictly(frame)
    except ValueError:
        return False
    told = told[0] if isinstance(told, list) else told
    told = told.get("data", told)
    kind = told.get("e", "bookTicker")  # spot's best prices have no kind
    if kind in ("kline", "forceOrder"):
        inner = told.get("k") or told.get("o")  # the kind says what is in it, whatever it is called
        numbers = [inner.get(key) for key in (("p", "ap", "z") if kind == "forceOrder" else "ohlcvVq")]
    elif kind == "depthUpdate":
        numbers = [number for side in "ba" for level in told[side] for number in level]
    else:
        numbers = [told.get(key) for key in USED[kind]]
    return all(isinstance(text, str) and NUMBER.fullmatch(text) for text in numbers)


@pytest.mark.parametrize("name", FRAMES)
def test_the_frame_itself_is_an_event(name: str) -> None:
    frame = FRAMES[name].encode()
    assert len(FrameDecoder(BTC).read([Frame(NOW, frame)]).events)
    assert is_sound(frame)


@pytest.mark.slow
@pytest.mark.parametrize("name", FRAMES)
def test_no_cut_frame_is_an_event(name: str) -> None:
    frame = FRAMES[name].encode()
    read = FrameDecoder(BTC).read([Frame(NOW, frame[:length]) for length in range(len(frame))])
    assert len(read.events) == 0
    assert len(read.set_aside) + len(read.ignored) == len(frame)


@pytest.mark.slow
@pytest.mark.parametrize("name", FRAMES)
def test_a_flipped_bit_makes_no_event_of_what_is_not_valid(name: str) -> None:
    frame = FRAMES[name].encode()
    decoder = FrameDecoder(BTC)
    num_events = 0
    for place in range(len(frame)):
        for bit in range(8):
            flipped = bytearray(frame)
            flipped[place] ^= 1 << bit
            read = decoder.read([Frame(NOW, bytes(flipped))])
            if len(read.events):
                num_events += 1
                assert is_sound(bytes(flipped)), bytes(flipped)
            else:
                assert read.set_aside or read.ignored
    assert num_events  # digits become other digits


@given(st.lists(st.binary(max_size=200), max_size=20))
@settings(max_examples=300, deadline=None)
def test_random_bytes_are_set_aside(blobs: list[bytes]) -> None:
    read = FrameDecoder(BTC).read([Frame(NOW, blob) for blob in blobs])
    assert len(read.events) == 0
    assert len(read.set_aside) + len(read.ignored) == len(blobs)


@given(
    st.lists(
        st.one_of(st.binary(max_size=60), st.sampled_from([b"\n", b"[]", b"[[[", b'{"e":"trade"}\n1 {}'])), max_size=9
    )
)
@settings(max_examples=200, deadline=None)
def test_garbage_between_frames_moves_nothing(blobs: list[bytes]) -> None:
    good = FRAMES["aggTrade"].encode()
    frames = [Frame(NOW + 2 * i, blob) for i, blob in enumerate(blobs)]
    mixed = [frame for i, blob in enumerate(frames) for frame in (blob, Frame(NOW + 2 * i + 1, good))]
    read = FrameDecoder(BTC).read(mixed)
    assert read.events["ts_recv"].tolist() == [NOW + 2 * i + 1 for i in range(len(blobs))]
    assert np.all(read.events["kind"] == Kind.TRADE)
    assert [frame for _, frame in read.set_aside] == [blob for blob in blobs if blob != b"[]"]


# ---------------------------------------------------------------- damaged bodies

BODIES = {
    "/fapi/v1/depth": '{"lastUpdateId":1027024,"E":1589436922972,"T":1589436922959,"bids":[["4.1","431"]],'
    '"asks":[["4.2","12"]]}',
    "/fapi/v1/klines": '[[1499040000000,"0.016","0.8","0.015","0.0157","148976.1",1499644799999,"2434.1",308,"1756.8",'
    '"28.4","1"]]',
    "/fapi/v1/aggTrades": '[{"a":26129,"p":"0.016","q":"4.7","f":27781,"l":27781,"T":1498793709153,"m":true}]',
    "/fapi/v1/trades": '[{"id":28457,"price":"4.1","qty":"12","quoteQty":"48.0","time":1499865549590,'
    '"isBuyerMaker":true}]',
    "/fapi/v1/ticker/bookTicker": '{"symbol":"BTCUSDT","bidPrice":"4.0","bidQty":"431","askPrice":"4.2","askQty":"9",'
    '"time":1589437530011}',
    "/fapi/v1/premiumIndex": '{"symbol":"BTCUSDT","markPrice":"117.6","indexPrice":"117.8",'
    '"lastFundingRate":"0.0003","nextFundingTime":1597392000000,"time":1597370495002}',
    "/fapi/v1/openInterest": '{"openInterest":"10659.509","symbol":"BTCUSDT","time":1589437530011}',
    "/fapi/v1/fundingRate": '[{"symbol":"BTCUSDT","fundingRate":"-0.0375","fundingTime":1570608000000}]',
    "/futures/data/openInterestHist": '[{"symbol":"BTCUSDT","sumOpenInterest":"204.6",'
    '"sumOpenInterestValue":"150.7","timestamp":"1583127900000"}]',
    "/futures/data/takerlongshortRatio": '[{"buySellRatio":"1.5586","buyVol":"387.33","sellVol":"248.5",'
    '"timestamp":"1585614900000"}]',
    "/futures/data/topLongShortPositionRatio": '[{"symbol":"BTCUSDT","longShortRatio":"1.4342",'
    '"longAccount":"0.5891","shortAccount":"0.4108","timestamp":1583139600000}]',
}


def rows_of(path: str, body: bytes) -> int:
    """Return how many rows a body comes to; raise VenueError."""
    rest = BinanceRest(Answering(body), BinanceEndpoints("http://venue", ""), Venue.BINANCE_USDM)
    return len(asyncio.run(_fetched(ROWS[path], rest)))


async def _fetched(fetch: Callable[..., Any], rest: BinanceRest) -> Any:
    return await fetch(rest, BTC)


@pytest.mark.slow
@pytest.mark.parametrize("path", BODIES)
def test_a_damaged_body_is_an_error_of_the_venue(path: str) -> None:
    body = BODIES[path].encode()
    assert rows_of(path, body) > 0
    for length in range(len(body)):
        with pytest.raises(VenueError):
            rows_of(path, body[:length])
    for place in range(len(body)):
        flipped = bytearray(body)
        flipped[place] ^= 1 << (place % 8)
        try:
            num_rows = rows_of(path, bytes(flipped))
        except VenueError:
            continue
        strictly(bytes(flipped))
        assert num_rows


JSON_LIKE = st.text(alphabet='[]{}",:0123456789.ae-', max_size=60).map(str.encode)


@given(st.sampled_from(sorted(BODIES)), st.one_of(st.binary(max_size=100), JSON_LIKE))
@settings(max_examples=300, deadline=None)
def test_a_random_body_is_an_error_or_nothing(path: str, body: bytes) -> None:
    with contextlib.suppress(VenueError):
        assert rows_of(path, body) == 0


@pytest.mark.slow
def test_damaged_account_events_are_data_errors(everything: list[Sample]) -> None:
    events = [s.raw for s in everything if (not s.path and b"_UPDATE" in s.raw) or b"executionReport" in s.raw][::6]
    assert len(events) > 5
    for event in events:
        for place in range(len(event)):
            flipped = bytearray(event)
            flipped[place] ^= 1 << (place % 8)
            for damaged in (bytes(flipped), event[:place]):
                try:
                    account_event(damaged)
                except UnreadableLine:
                    continue
                strictly(damaged)


def test_instruments_of_a_sample_are_told_by_its_symbol(everything: list[Sample]) -> None:
    assert {instrument_of(sample).symbol for sample in everything[:20]} >= {"BTCUSDT", "BNBUSDT"}
