"""Batches of frames to rows: order, other symbols, long frames, tickers, partial books, arrays."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from spyhop.model.tape import Flag, Kind, Side, Venue
from spyhop.venues import catalogue
from spyhop.venues.binance import live
from spyhop.venues.binance.live import FrameDecoder
from spyhop.venues.net.transport import Frame

BTC = msgspec.structs.replace(catalogue.by_key("binance-usdm:BTCUSDT"), id=7)
T = 1_723_161_255_030_314_667
TRADE = (
    b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1723161256322,"a":5933014,"s":"BTCUSDT","p":"61800.30",'
    b'"q":"0.100","nq":"0.1","f":100,"l":105,"T":1723161256321,"m":true,"st":1}}'
)
TICKER = (
    b'{"e":"24hrTicker","E":1672515782136,"s":"BTCUSDT","p":"-131.40000000","P":"-0.786","w":"16628.97377498",'
    b'"c":"16584.60000000","Q":"0.002","o":"16716.00000000","h":"16764.89000000","l":"16456.51000000",'
    b'"v":"122474.816","q":"2036102085.69746400","O":1672429382136,"C":1672515782136,"F":2289691,"L":2432543,'
    b'"n":142853,"st":1}'
)
PARTIAL = (
    b'{"stream":"btcusdt@depth5@100ms","data":{"e":"depthUpdate","E":1571889248277,"T":1571889248276,"s":"BTCUSDT",'
    b'"U":390497796,"u":390497878,"pu":390497794,"b":[["7403.80","0.002"]],"a":[["7405.90","3.340"],["7406.60","4"]]}}'
)


def read(*frames: bytes, decoder: FrameDecoder | None = None) -> live.Read:
    return (decoder or FrameDecoder(BTC)).read([Frame(T + i, frame) for i, frame in enumerate(frames)])


def test_a_trade_becomes_a_row_under_the_number_of_the_instrument() -> None:
    (row,) = read(TRADE).events
    assert (row["kind"], row["side"], row["instrument"], row["venue"]) == (Kind.TRADE, Side.SELL, 7, Venue.BINANCE_USDM)
    assert (row["price"], row["qty"], row["id"]) == (618_003, 100, 5_933_014)
    assert (row["ts_event"], row["ts_recv"]) == (1_723_161_256_321_000_000, T)


def test_rows_are_the_callers_own() -> None:
    decoder = FrameDecoder(BTC)
    first = read(TRADE, decoder=decoder)
    read(TRADE.replace(b"5933014", b"5933015"), decoder=decoder)
    first.events["price"] = 1
    assert first.events["id"].tolist() == [5_933_014]
    assert read(TRADE, decoder=decoder).events["price"].tolist() == [618_003]


def test_what_is_looked_at_by_hand_keeps_its_place() -> None:
    result = read(TRADE, TICKER, b'{"result":null,"id":1}', TRADE, PARTIAL, TRADE)
    kinds = [Kind.TRADE, Kind.TICKER, Kind.TRADE, Kind.SNAPSHOT, *[Kind.LEVEL] * 3, Kind.TRADE]
    assert result.events["kind"].tolist() == kinds
    assert (result.events["ts_recv"] - T).tolist() == [0, 1, 3, 4, 4, 4, 4, 5]
    assert result.ignored == (live.ANSWER,)
    assert result.kinds == set(kinds)


def test_a_ticker_tells_the_day_in_ticks_and_lots() -> None:
    (row,) = read(TICKER).events
    assert (row["price"], row["qty"], row["id"]) == (165_846, 122_474_816, 142_853)
    assert (row["aux"], row["aux2"]) == (-1_314, 203_610_208_570)
    assert row["ts_event"] == 1_672_515_782_136_000_000


def test_a_ticker_off_the_grid_is_set_aside() -> None:
    ((reason, frame),) = read(TICKER.replace(b"16584.60", b"16584.61")).set_aside
    assert reason == live.UNREADABLE
    assert b"16584.61" in frame


def test_a_partial_book_is_a_snapshot_and_only_of_streams_that_are_one() -> None:
    events = read(PARTIAL).events
    assert events[0].tolist()[0] == Kind.SNAPSHOT
    assert (events["id"][0], events["qty"][0], events["ts_event"][0]) == (390_497_878, 3, 1_571_889_248_276_000_000)
    assert events["price"][1:].tolist() == [74_038, 74_059, 74_066]
    assert (events["flags"][1:] & Flag.FROM_SNAPSHOT).all()
    assert events["flags"][-1] & Flag.LAST
    other = read(PARTIAL.replace(b"depth5@", b"rpiDepth@"))
    assert (len(other.events), other.ignored) == (0, ("partial book stream",))


def test_spots_partial_book_has_no_symbol() -> None:
    spot = catalogue.find(Venue.BINANCE_SPOT, "BTCUSDT")
    assert spot is not None
    frame = (
        b'{"stream":"btcusdt@depth5@100ms","data":{"lastUpdateId":160,"bids":[["24.01","10"]],"asks":[["26.01","9"]]}}'
    )
    events = FrameDecoder(spot).read([Frame(T, frame)]).events
    assert events["kind"].tolist() == [Kind.SNAPSHOT, Kind.LEVEL, Kind.LEVEL]
    assert (events["id"][0], events["ts_event"][0]) == (160, T)


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_array_gives_the_rows_of_our_symbol(wrapped: bool) -> None:
    mark = (
        b'{"e":"markPriceUpdate","E":1562305380000,"s":"%b","p":"11794.1","i":"11784.6","r":"0.0003","T":1562306400000}'
    )
    array = b"[%b]" % b",".join(mark % name for name in (b"ETHUSDT", b"BTCUSDT", b"BNBUSDT"))
    result = read(b'{"stream":"!markPrice@arr","data":%b}' % array if wrapped else array)
    assert result.events["kind"].tolist() == [Kind.MARK, Kind.FUNDING]
    assert result.ignored == (live.OTHER_SYMBOL,) * 2


def test_frames_about_others_are_left_out_and_change_nothing() -> None:
    decoder = FrameDecoder(BTC)
    others = [TRADE.replace(b"BTC", b"X%03d" % i).replace(b"btc", b"x%03d" % i) for i in range(300)]
    result = read(*others, TRADE, *others, decoder=decoder)
    assert result.events["ts_recv"].tolist() == [T + 300]
    assert result.ignored == (live.OTHER_SYMBOL,) * 600
    assert len(read(TRADE, decoder=decoder).events) == 1


def test_a_stray_trade_does_not_silence_the_trades_that_were_asked_for() -> None:
    decoder = FrameDecoder(BTC)
    stray = b'{"e":"trade","E":1723161256322,"T":1723161256321,"s":"BTCUSDT","t":9,"p":"61800.3","q":"1","m":true}'
    read(stray, decoder=decoder)
    assert read(TRADE, decoder=decoder).events["id"].tolist() == [5_933_014]
    assert read(TRADE, decoder=FrameDecoder(BTC, prefers_trades=True)).ignored == ("aggTrade beside trade",)


def test_a_frame_longer_than_the_work_array_is_read_whole() -> None:
    levels = b",".join(b'["%d.10","1"]' % (10_000 + i) for i in range(12_000))
    frame = (
        b'{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSDT","U":11,"u":15,"pu":10,"b":[%b],"a":[%b]}'
        % (levels, levels)
    )
    result = read(TRADE, frame, TRADE, frame)
    assert len(result.events) == 2 + 2 * 24_000
    assert np.flatnonzero(result.events["kind"] == Kind.TRADE).tolist() == [0, 24_001]
    assert not result.set_aside


def test_many_unreadable_frames_are_all_told() -> None:
    result = read(*[b"{" for _ in range(700)], TRADE)
    assert len(result.set_aside) == 700
    assert len(result.events) == 1


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b'{"code":2,"msg":"Invalid request: unknown variant","id":1}', "the venue refused a request (2)"),
        (b'{"error":{"code":-1121,"msg":"Invalid symbol."},"id":"x"}', "the venue refused a request (-1121)"),
        (b'{"e":"somethingNew","E":1}', live.UNKNOWN),
        (b"{}", live.UNKNOWN),
        (b'{"stream":"a","data":5}', live.UNKNOWN),
        (b"\xff\xfe", live.NOT_TEXT),
        (b"", "line cut off"),
        (TRADE.replace(b'"nq"', b'"n\xf1"'), live.NOT_TEXT),
        (TRADE.replace(b"61800.30", b"NaN"), "not a number"),
        (TRADE.replace(b"61800.30", b"61800.31"), "price or quantity off the instrument's grid"),
    ],
)
def test_what_cannot_be_read_is_set_aside_with_its_reason(frame: bytes, reason: str) -> None:
    assert read(frame).set_aside == ((reason, frame),)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b'{"e":"serverShutdown","E":1770123456789}', live.SHUTDOWN),
        (b'{"id":"1","status":200,"result":{"subscriptionId":0}}', live.ANSWER),
        (b'{"e":"24hrMiniTicker","E":1}', "frame 24hrMiniTicker"),
        (b'{"subscriptionId":0,"event":{"e":"balanceUpdate"}}', "frame account event"),
        (TICKER.replace(b"BTCUSDT", b"ETHUSDT"), live.OTHER_SYMBOL),
        (b"[]", live.EMPTY_ARRAY),
    ],
)
def test_what_is_not_for_the_tape_is_told(frame: bytes, reason: str) -> None:
    result = read(frame)
    assert (result.ignored, result.set_aside, len(result.events)) == ((reason,), (), 0)


def test_a_frame_cannot_smuggle_in_another() -> None:
    result = read(TRADE + b"\n%d " % T + TRADE)
    assert len(result.events) == 0
    assert [reason for reason, _ in result.set_aside] == ["not valid JSON"]


def test_line_feeds_between_tokens_are_space_and_inside_texts_damage() -> None:
    assert len(read(TRADE.replace(b",", b",\n")).events) == 1
    assert read(TRADE.replace(b"btcusdt@", b"btcusdt\n@")).set_aside[0][0] == "not valid JSON"
