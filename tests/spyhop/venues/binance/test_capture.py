"""The compiled capture decoder against a slow one (json and Decimal), recorded files and damaged input."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.errors import MissingInput
from spyhop.model.instruments import Instrument
from spyhop.model.tape import EVENT, Flag, Kind, Side, Venue
from spyhop.venues import catalogue
from spyhop.venues.binance import capture
from spyhop.venues.files.chunks import MAX_ROWS_PER_LINE

SHARED = Path(__file__).resolve().parents[5] / "shared" / "data"
RAW = SHARED / "binance_raw"
CRYPTOFEED = SHARED / "wire" / "cryptofeed" / "sample_data"
recorded = pytest.mark.skipif(not RAW.is_dir(), reason="the recordings are not here")

BTC = catalogue.by_key("binance-usdm:BTCUSDT")
T = 1723161255030314667
TRADE = (
    '{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161256322,"T":1723161256321,"s":"BTCUSDT",'
    '"t":5266583935,"p":"61800.30","q":"0.006","X":"MARKET","m":false}}'
)
DEPTH = (
    '{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSDT",'
    '"U":11,"u":15,"pu":10,"b":[["58710.20","0.014"],["61496.50","0.000"]],"a":[["61496.60","7"]]}}'
)
QUOTE = (
    '{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":5123107839020,"s":"BTCUSDT","b":"61800.20",'
    '"B":"2.507","a":"61800.30","A":"2.510","T":1723161256313,"E":1723161256314}}'
)


# ---------------------------------------------------------------- the oracle

NUMBER = re.compile(r"\d+(\.\d+)?")


class Unreadable(Exception):
    pass


class Ignored(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if any(count > 1 for key, count in Counter(key for key, _ in pairs).items() if len(key) <= 2):
        raise Unreadable("duplicate key")
    return found


def _never(text: str) -> Any:
    raise Unreadable(text)


def _price(text: Any, instrument: Instrument) -> int:
    if not isinstance(text, str) or not NUMBER.fullmatch(text) or Decimal(text) == 0:
        raise Unreadable("price")
    ticks = Decimal(text) / instrument.tick_size
    if ticks != int(ticks):
        raise Unreadable("off grid")
    return int(ticks)


def _qty(text: Any, instrument: Instrument) -> int:
    if not isinstance(text, str) or not NUMBER.fullmatch(text):
        raise Unreadable("quantity")
    lots = int((Decimal(text) / instrument.lot_size).to_integral_value(ROUND_HALF_UP))
    return max(lots, 1) if Decimal(text) > 0 else 0


def _int(number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise Unreadable("integer")
    return number


def _ms(number: Any) -> int:
    for unit, low in ((10**6, 10**11), (10**3, 10**14), (1, 10**17)):
        if low <= _int(number) < 41 * low // 1 and (number * unit) < 41 * 10**17:
            return number * unit
    raise Unreadable("time")


def slow_rows(line: str, instrument: Instrument) -> list[tuple[int, ...]]:
    """Return rows (kind, side, flags, ts_event, ts_recv, price, qty, id, aux, aux2) of one capture line."""
    stamp, _, text = line.partition(" ")
    if not re.fullmatch(r"\d{12,19}", stamp):
        raise Unreadable("stamp")
    ts_recv = _ms(int(stamp))
    try:
        outer = json.loads(text, object_pairs_hook=_unique, parse_constant=_never)
    except (json.JSONDecodeError, RecursionError) as error:
        raise Unreadable("json") from error
    if not isinstance(outer, dict):
        raise Unreadable("no object")
    frame = outer.get("data", outer)
    if not isinstance(frame, dict):
        raise Ignored("frame")
    if "e" not in frame and "lastUpdateId" in frame:
        when = frame.get("T", frame.get("E"))
        ts = ts_recv if when is None else _ms(when)
        levels = [(1, pair) for pair in frame["bids"]] + [(-1, pair) for pair in frame["asks"]]
        u = _int(frame["lastUpdateId"])
        head = (int(Kind.SNAPSHOT), 0, 0, ts, ts_recv, 0, len(levels), u, 0, 0)
        return [head, *_levels(levels, int(Flag.FROM_SNAPSHOT), ts, ts_recv, u, u, -1, instrument)]
    has_quote = {"u", "b", "B", "a", "A"} <= set(frame)
    kind = frame.get("e", "bookTicker" if has_quote else "")
    if kind not in {"trade", "depthUpdate", "bookTicker"}:
        raise Ignored(kind)
    if frame.get("s") != instrument.symbol:
        raise Unreadable("symbol")
    stream = outer.get("stream")
    if stream is not None and not stream.startswith(instrument.symbol.lower() + "@"):
        raise Unreadable("stream")
    return _slow_event(kind, frame, ts_recv, instrument)


def _slow_event(kind: str, frame: dict[str, Any], ts_recv: int, instrument: Instrument) -> list[tuple[int, ...]]:
    when = frame.get("T", frame.get("E"))
    ts = ts_recv if when is None else _ms(when)
    if kind == "trade":
        if frame.get("X", "MARKET") != "MARKET":
            raise Ignored("not market")
        if frame.get("m") not in {True, False} or _qty(frame.get("q"), instrument) == 0:
            raise Unreadable("trade")
        side = int(Side.SELL if frame["m"] else Side.BUY)
        row = (int(Kind.TRADE), side, 0, ts, ts_recv)
        return [(*row, _price(frame["p"], instrument), _qty(frame["q"], instrument), _int(frame["t"]), 0, 0)]
    if kind == "bookTicker":
        bid, ask = _price(frame["b"], instrument), _price(frame["a"], instrument)
        sizes = _qty(frame["B"], instrument), _qty(frame["A"], instrument)
        return [(int(Kind.QUOTE), 0, 0, ts, ts_recv, bid, sizes[0], _int(frame["u"]), ask, sizes[1])]
    levels = [(1, pair) for pair in frame["b"]] + [(-1, pair) for pair in frame["a"]]
    ids = _int(frame["u"]), _int(frame["U"]), _int(frame["pu"]) if "pu" in frame else -1
    return _levels(levels, 0, ts, ts_recv, *ids, instrument)


def _levels(
    levels: list[tuple[int, Any]],
    flags: int,
    ts: int,
    ts_recv: int,
    u: int,
    first: int,
    pu: int,
    instrument: Instrument,
) -> list[tuple[int, ...]]:
    kind = int(Kind.LEVEL)
    if not levels:
        return [(kind, 0, flags | int(Flag.EMPTY | Flag.LAST), ts, ts_recv, 0, 0, u, first, pu)]
    rows = []
    for side, pair in levels:
        if not isinstance(pair, list) or len(pair) != 2:
            raise Unreadable("level")
        price, qty = _price(pair[0], instrument), _qty(pair[1], instrument)
        rows.append((kind, side, flags, ts, ts_recv, price, qty, u, first, pu))
    rows[-1] = (*rows[-1][:2], flags | int(Flag.LAST), *rows[-1][3:])
    return rows


COLUMNS = ("kind", "side", "flags", "ts_event", "ts_recv", "price", "qty", "id", "aux", "aux2")


def as_tuples(events: Any) -> list[tuple[int, ...]]:
    return list(zip(*(events[name].tolist() for name in COLUMNS), strict=True))


# ---------------------------------------------------------------- helpers


def written(folder: Path, lines: list[str] | bytes, name: str = "capture.txt") -> Path:
    path = folder / name
    path.write_bytes(lines if isinstance(lines, bytes) else "".join(f"{line}\n" for line in lines).encode())
    return path


def decoded(path: Path, **options: Any) -> tuple[list[capture.Block], capture.CaptureReader]:
    reader = capture.CaptureReader(path, **options)
    return list(reader.blocks()), reader


def events_of(blocks: list[capture.Block]) -> Any:
    return np.concatenate([block.events for block in blocks])


def only(folder: Path, *lines: str) -> Any:
    blocks, _ = decoded(written(folder, list(lines)))
    assert not [line for block in blocks for line in block.quarantined]
    return events_of(blocks)


def reason_of(folder: Path, frame: str) -> str:
    blocks, _ = decoded(written(folder, [f"{T} {TRADE}", frame]))
    assert sum(block.num_decoded for block in blocks) == 1
    (told,) = [line for block in blocks for line in block.quarantined]
    assert told.line == 2
    assert told.raw == frame.encode()
    return told.reason


# ---------------------------------------------------------------- frames


def test_a_trade_becomes_one_row(tmp_path: Path) -> None:
    (row,) = only(tmp_path, f"{T} {TRADE}")
    assert (row["kind"], row["side"], row["venue"]) == (Kind.TRADE, Side.BUY, Venue.BINANCE_USDM)
    assert (row["ts_recv"], row["ts_event"]) == (T, 1723161256321_000_000)
    assert (row["price"], row["qty"], row["id"]) == (618003, 6, 5266583935)


def test_a_diff_becomes_levels_and_the_last_says_so(tmp_path: Path) -> None:
    rows = only(tmp_path, f"{T} {DEPTH}")
    assert rows["kind"].tolist() == [Kind.LEVEL] * 3
    assert rows["side"].tolist() == [1, 1, -1]
    assert rows["price"].tolist() == [587102, 614965, 614966]
    assert rows["qty"].tolist() == [14, 0, 7000]
    assert rows["flags"].tolist() == [0, 0, Flag.LAST]
    assert set(zip(rows["id"].tolist(), rows["aux"].tolist(), rows["aux2"].tolist(), strict=True)) == {(15, 11, 10)}


def test_a_diff_without_levels_is_one_empty_row(tmp_path: Path) -> None:
    (row,) = only(tmp_path, f"{T} " + re.sub(r'"b":.*', '"b":[],"a":[]}}', DEPTH))
    assert row["kind"] == Kind.LEVEL
    assert row["flags"] == Flag.EMPTY | Flag.LAST
    assert row["id"] == 15


def test_a_spot_diff_has_no_previous_id_and_the_event_time(tmp_path: Path) -> None:
    spot = DEPTH.replace(',"pu":10', "").replace('"T":1723161256298,', "")
    rows = only(tmp_path, f"{T} {spot}")
    assert set(rows["aux2"].tolist()) == {-1}
    assert set(rows["ts_event"].tolist()) == {1723161256299_000_000}
    assert set(rows["venue"].tolist()) == {Venue.BINANCE_SPOT}


def test_a_spot_quote_has_our_time_for_want_of_another(tmp_path: Path) -> None:
    frame = '{"stream":"btcusdt@bookTicker","data":{"u":9,"s":"BTCUSDT","b":"1.50000000","B":"2","a":"1.51","A":"3"}}'
    (row,) = only(tmp_path, f"{T} {frame}")
    assert (row["kind"], row["venue"]) == (Kind.QUOTE, Venue.BINANCE_SPOT)
    assert row["ts_event"] == row["ts_recv"] == T
    assert (row["price"], row["qty"], row["aux"], row["aux2"]) == (150, 200_000, 151, 300_000)


def test_a_snapshot_counts_its_levels_and_belongs_to_the_only_symbol(tmp_path: Path) -> None:
    snapshot = (
        '{"lastUpdateId":12,"E":1723161256501,"T":1723161256493,"bids":[["61800.2","2.9"]],"asks":[["61800.3","1"]]}'
    )
    rows = only(tmp_path, f"{T} {snapshot}", f"{T + 1} {TRADE}")
    assert rows["kind"].tolist() == [Kind.SNAPSHOT, Kind.LEVEL, Kind.LEVEL, Kind.TRADE]
    assert rows["qty"].tolist()[:3] == [2, 2900, 1000]
    assert rows["flags"].tolist()[:3] == [0, Flag.FROM_SNAPSHOT, Flag.FROM_SNAPSHOT | Flag.LAST]


def test_a_snapshot_without_a_symbol_among_several_is_set_aside(tmp_path: Path) -> None:
    other = TRADE.replace("btcusdt", "ethusdt").replace("BTCUSDT", "ETHUSDT")
    snapshot = '{"lastUpdateId":12,"bids":[["61800.2","2.9"]],"asks":[]}'
    blocks, _ = decoded(written(tmp_path, [f"{T} {TRADE}", f"{T} {other}", f"{T} {snapshot}"]))
    assert [(line.line, line.reason) for line in blocks[-1].quarantined] == [
        (3, "no symbol, and the file holds several")
    ]


def test_a_mark_price_tells_the_mark_and_the_rate_to_come(tmp_path: Path) -> None:
    frame = (
        '{"e":"markPriceUpdate","E":1723161256000,"s":"BTCUSDT","p":"61794.15000000","i":"61784.62659091",'
        '"P":"61784.2","r":"-0.00038167","T":1723190400000,"st":1}'
    )
    mark, funding = only(tmp_path, f"{T} {frame}")
    assert (mark["kind"], mark["price"], mark["aux"], mark["aux2"]) == (
        Kind.MARK,
        617942,
        6179415000000,
        6178462659091,
    )
    assert mark["ts_event"] == 1723161256000_000_000
    assert mark["id"] == funding["id"] == 1723190400000_000_000
    assert (funding["kind"], funding["aux"], funding["flags"]) == (Kind.FUNDING, -381670000, 0)


def test_a_forced_order_keeps_what_was_filled_and_the_nearest_tick(tmp_path: Path) -> None:
    frame = (
        '{"e":"forceOrder","E":1723161256460,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014",'
        '"p":"9910.00000000","ap":"9910.16345678","X":"FILLED","l":"0.001","z":"0.013","T":1723161256450}}'
    )
    (row,) = only(tmp_path, f"{T} {frame}")
    assert (row["kind"], row["side"]) == (Kind.LIQUIDATION, Side.SELL)
    assert (row["price"], row["aux"], row["qty"]) == (99100, 99102, 13)


@pytest.mark.parametrize(("closed", "flags"), [("true", 0), ("false", Flag.PARTIAL)])
def test_a_kline_becomes_two_rows(tmp_path: Path, closed: str, flags: int) -> None:
    frame = (
        '{"e":"kline","E":1723161260066,"s":"BTCUSDT","k":{"t":1723161240000,"T":1723161299999,"s":"BTCUSDT","i":"1m",'
        '"f":7,"L":9,"o":"64049.30","c":"64025.70","h":"64049.40","l":"64025.60","v":"32.311","n":924,"x":CLOSED,'
        '"q":"2069200.98590","V":"6.944","Q":"444689.92","B":"0"}}'
    ).replace("CLOSED", closed)
    opened, close = only(tmp_path, f"{T} {frame}")
    assert (opened["kind"], close["kind"]) == (Kind.BAR_OPEN, Kind.BAR_CLOSE)
    assert opened["flags"] == close["flags"] == flags
    assert opened["interval_s"] == 60
    assert opened["id"] == close["id"] == 1723161240000_000_000
    assert (opened["price"], opened["qty"], opened["aux"], opened["aux2"]) == (640493, 32311, 640494, 6944)
    assert (close["price"], close["qty"], close["aux"], close["aux2"]) == (640256, 924, 640257, 206920099)


def test_open_interest_is_read(tmp_path: Path) -> None:
    rows = only(tmp_path, f"{T} {TRADE}", f'{T} {{"openInterest":"10659.509","symbol":"BTCUSDT","time":1723161256322}}')
    assert (rows[1]["kind"], rows[1]["qty"]) == (Kind.OPEN_INTEREST, 10659509)


def test_keys_may_come_in_any_order_with_spaces_and_strangers(tmp_path: Path) -> None:
    frame = (
        '{ "data" : {"a": [ [ "61496.60" , "7" ] ] ,"zz":{"x":[1,-2.5e3,{"y":"\\u00e9\\""}]},"b":[], "pu":10 ,"u":15,'
        '"U":11,"s":"BTCUSDT","T":1723161256298,"e":"depthUpdate","st":null} , "stream":"btcusdt@depth" } '
    )
    (row,) = only(tmp_path, f"{T}  {frame}\r")
    assert (row["side"], row["price"], row["qty"], row["id"], row["aux2"]) == (-1, 614966, 7000, 15, 10)


def test_agg_trades_stand_in_for_trades_only_where_there_are_none(tmp_path: Path) -> None:
    agg = (
        '{"e":"aggTrade","E":1723161256322,"a":77,"s":"BTCUSDT","p":"61800.30","q":"1","f":1,"l":2,'
        '"T":1723161256321,"m":true}'
    )
    (row,) = only(tmp_path, f"{T} {agg}")
    assert (row["kind"], row["id"], row["side"]) == (Kind.TRADE, 77, Side.SELL)
    blocks, _ = decoded(written(tmp_path, [f"{T} {agg}", f"{T} {TRADE}"]))
    assert events_of(blocks)["id"].tolist() == [5266583935]
    assert blocks[0].ignored == {"aggTrade beside trade": 1}


def test_what_is_valid_but_not_ours_is_counted_by_name(tmp_path: Path) -> None:
    lines = [
        TRADE.replace('"p":"61800.30","q":"0.006","X":"MARKET"', '"p":"0","q":"0","X":"NA"'),
        '{"e":"24hrTicker","E":1672515782136,"s":"BTCUSDT","o":"1"}',
        '{"result":null,"id":1}',
        DEPTH.replace("@depth@0ms", "@depth5@100ms"),
        DEPTH.replace("@depth@0ms", "@rpiDepth@500ms"),
        '{"stream":"btcusdt@depth5","data":{"lastUpdateId":160,"bids":[["61800.2","2.9"]],"asks":[]}}',
    ]
    blocks, _ = decoded(written(tmp_path, [f"{T} {line}" for line in lines] + [""]))
    assert blocks[0].ignored == {
        "trade outside the market (insurance fund, ADL, NA)": 1,
        "frame 24hrTicker": 1,
        "frame without a type": 1,
        "partial book stream": 3,
        "blank line": 1,
    }
    assert blocks[0].quarantined == ()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("garbage", "no receive time before the frame"),
        (f"{T}{TRADE}", "no receive time before the frame"),
        (f"12 {TRADE}", "number or time out of range"),
        (f"{T} {TRADE[:-1]}", "line cut off"),
        (f"{T} {TRADE[:60]}", "line cut off"),
        (f"{T} {DEPTH[:-30]}", "line cut off"),
        (f"{T} {TRADE}x", "not valid JSON"),
        (f"{T} " + TRADE.replace('"m":false', '"m":False'), "not valid JSON"),
        (f"{T} " + TRADE.replace('"m":false', '"m":NaN'), "not valid JSON"),
        (f"{T} " + TRADE.replace('"t":5266583935', '"t":05266583935'), "not valid JSON"),
        (f"{T} " + TRADE.replace('"t":5266583935', '"t":5,"t":6'), "a key occurs twice"),
        (f"{T} " + TRADE.replace("61800.30", "NaN"), "not a number"),
        (f"{T} " + TRADE.replace("61800.30", "1e5"), "not a number"),
        (f"{T} " + TRADE.replace("61800.30", ""), "not a number"),
        (f"{T} " + TRADE.replace("61800.30", "61800."), "not a number"),
        (f"{T} " + TRADE.replace("61800.30", "-61800.30"), "negative number"),
        (f"{T} " + TRADE.replace("61800.30", "0.00"), "price or quantity not positive"),
        (f"{T} " + TRADE.replace('"0.006"', '"0.000"'), "price or quantity not positive"),
        (f"{T} " + TRADE.replace("61800.30", "61800.35"), "price or quantity off the instrument's grid"),
        (f"{T} " + TRADE.replace("61800.30", "9" * 30), "number or time out of range"),
        (f"{T} " + TRADE.replace('"t":5266583935', '"t":' + "9" * 25), "number or time out of range"),
        (f"{T} " + TRADE.replace('"T":1723161256321', '"T":99'), "number or time out of range"),
        (f"{T} " + TRADE.replace('"T":1723161256321', '"T":1723161256321999999999'), "number or time out of range"),
        (f"{T} " + TRADE.replace('"m":false', '"m":1'), "a field is missing or of another type"),
        (f"{T} " + TRADE.replace('"s":"BTCUSDT",', ""), "a field is missing or of another type"),
        (f"{T} " + TRADE.replace('"p":"61800.30",', ""), "a field is missing or of another type"),
        (f"{T} " + TRADE.replace('"p":"61800.30"', '"p":61800.30'), "a field is missing or of another type"),
        (f"{T} " + TRADE.replace('"s":"BTCUSDT"', '"s":"ETHUSDT"'), "stream and symbol disagree"),
        (f"{T} " + TRADE.replace("BTCUSDT", "B/C").replace("btcusdt", "b/c"), "symbol cannot be one"),
        (f"{T} " + DEPTH.replace('["61496.60","7"]', '["61496.60"]'), "malformed book levels"),
        (f"{T} " + DEPTH.replace('["61496.60","7"]', '["61496.60","7","1"]'), "malformed book levels"),
        (f"{T} " + DEPTH.replace('["61496.60","7"]', "5"), "malformed book levels"),
        (f"{T} " + DEPTH.replace('"61496.60"', '"-61496.60"'), "negative number"),
        (f"{T} " + DEPTH.replace('"7"', '"7x"'), "not a number"),
    ],
)
def test_a_bad_line_is_set_aside_with_its_reason(tmp_path: Path, line: str, reason: str) -> None:
    assert reason_of(tmp_path, line) == reason


def test_quantities_finer_than_the_lot_are_taken_to_the_nearest_and_counted(tmp_path: Path) -> None:
    levels = '"b":[["61496.50","0.0004"],["61496.40","1.0005"]]'
    blocks, _ = decoded(written(tmp_path, [f"{T} " + re.sub(r'"b":\[\[.*?\]\]', levels, DEPTH)]))
    assert blocks[0].events["qty"].tolist() == [1, 1001, 7000]
    assert blocks[0].num_rounded == 2


# ---------------------------------------------------------------- files


def test_unknown_symbols_get_tick_and_lot_from_the_whole_file(tmp_path: Path) -> None:
    def trade(price: str, qty: str) -> str:
        frame = TRADE.replace("btcusdt", "wifusdt").replace("BTCUSDT", "WIFUSDT")
        return f"{T} " + frame.replace("61800.30", price).replace("0.006", qty)

    path = written(tmp_path, [trade("1.5000", "10.0"), trade("1.5020", "7.5")])
    blocks, reader = decoded(path)
    (instrument,) = reader.instruments
    assert instrument.is_inferred
    assert (instrument.symbol, instrument.quote) == ("WIFUSDT", "USDT")
    assert (instrument.tick_size, instrument.lot_size) == (Decimal("0.001"), Decimal("0.1"))
    assert events_of(blocks)["price"].tolist() == [1500, 1502]
    told = {instrument.key: catalogue.inferred(Venue.BINANCE_USDM, "WIFUSDT", 4, 2)}
    assert events_of(decoded(path, known=told)[0])["price"].tolist() == [15000, 15020]


def test_symbols_are_numbered_as_they_come(tmp_path: Path) -> None:
    other = TRADE.replace("btcusdt", "ethusdt").replace("BTCUSDT", "ETHUSDT")
    path = written(tmp_path, [f"{T} {other}", f"{T} {TRADE}", f"{T} {other}"])
    blocks, reader = decoded(path)
    assert [(i.id, i.symbol) for i in reader.instruments] == [(0, "ETHUSDT"), (1, "BTCUSDT")]
    assert events_of(blocks)["instrument"].tolist() == [0, 1, 0]


def test_a_thousand_symbols_fit_the_table(tmp_path: Path) -> None:
    lines = [f"{T} " + TRADE.replace("btcusdt", f"x{k}usdt").replace("BTCUSDT", f"X{k}USDT") for k in range(1000)]
    blocks, reader = decoded(written(tmp_path, lines))
    assert len(reader.instruments) == 1000
    assert events_of(blocks)["instrument"].tolist() == list(range(1000))


@pytest.mark.parametrize("block_bytes", [1, 700, 1 << 20])
def test_the_size_of_blocks_changes_nothing(tmp_path: Path, block_bytes: int) -> None:
    lines = [f"{T + k} {(TRADE, DEPTH, 'garbage', QUOTE)[k % 4]}" for k in range(5000)]
    blocks, _ = decoded(written(tmp_path, lines), block_bytes=block_bytes)
    whole, _ = decoded(written(tmp_path, lines), block_bytes=1 << 30)
    assert events_of(blocks).tobytes() == events_of(whole).tobytes()
    assert [x for b in blocks for x in b.quarantined] == [x for b in whole for x in b.quarantined]
    positions = np.concatenate([block.positions for block in blocks])
    assert np.all(np.diff(positions) > 0)
    assert positions[0] == MAX_ROWS_PER_LINE
    firsts = [block.first_line for block in blocks]
    assert firsts == [1, *[block.last_line + 1 for block in blocks[:-1]]]


def test_one_line_may_hold_more_levels_than_the_buffer(tmp_path: Path) -> None:
    count = 120_000
    levels = ",".join(f'["{k}.0","1"]' for k in range(1, count + 1))
    snapshot = f'{{"lastUpdateId":12,"symbol":"BTCUSDT","bids":[{levels}],"asks":[]}}'
    rows = only(tmp_path, f"{T} {snapshot}", f"{T} {TRADE}")
    assert len(rows) == count + 2
    assert rows["price"][1 : count + 1].tolist() == list(range(10, 10 * count + 1, 10))


def test_a_cut_gzip_gives_all_before_the_cut_and_says_so(tmp_path: Path) -> None:
    lines = [f"{T + 1000 * k} {TRADE.replace('5266583935', str(k * k))}" for k in range(20_000)]
    whole = gzip.compress("\n".join(lines).encode())
    blocks, _ = decoded(written(tmp_path, whole[: len(whole) // 2], "cut.gz"))
    events = events_of(blocks)
    assert 8_000 < len(events) < 12_000
    assert events["id"].tolist() == [k * k for k in range(len(events))]
    told = [line for block in blocks for line in block.quarantined]
    assert [line.reason for line in told][-1] == "gzip cut off: the end-of-file mark is missing"
    assert len(told) <= 2  # the last line is most likely cut too
    assert told[0].line == len(events) + 1


def test_a_damaged_gzip_gives_all_before_the_damage_and_says_so(tmp_path: Path) -> None:
    lines = [f"{T + 1000 * k} {TRADE.replace('5266583935', str(k * k))}" for k in range(20_000)]
    whole = bytearray(gzip.compress("\n".join(lines).encode()))
    middle = len(whole) // 2
    whole[middle : middle + 64] = b"\xff" * 64
    blocks, _ = decoded(written(tmp_path, bytes(whole), "damaged.gz"))
    told = [line for block in blocks for line in block.quarantined]
    assert told[-1].reason.startswith("gzip damaged: ")
    ids = events_of(blocks)["id"].tolist()
    assert ids[:9_000] == [k * k for k in range(9_000)]


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="there is no file"):
        capture.CaptureReader(tmp_path / "nothing.gz")


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    blocks, reader = decoded(written(tmp_path, b""))
    assert blocks == []
    assert reader.instruments == []


def test_chunks_are_split_by_channel_and_keep_the_order_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, [f"{T} {QUOTE}", f"{T} {DEPTH}", "garbage", f"{T} {TRADE}", f"{T} {QUOTE}"])
    chunks = list(capture.read(path))
    assert {chunk.channel for chunk in chunks} == {"book", "quotes", "trades"}
    assert [line.line for chunk in chunks for line in chunk.quarantined] == [3]
    positions = np.concatenate([chunk.positions for chunk in chunks])
    merged = np.concatenate([chunk.events for chunk in chunks])[np.argsort(positions)]
    assert merged.tobytes() == capture.tape(path)[0].tobytes()
    assert all(chunk.instrument is not None and chunk.instrument.key == BTC.key for chunk in chunks)


# ---------------------------------------------------------------- recordings

FILES = sorted(RAW.glob("*.gz")) if RAW.is_dir() else []


@recorded
@pytest.mark.slow
@pytest.mark.oracle
@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_recordings_decode_as_json_and_decimal_do(path: Path) -> None:
    events, (instrument,) = capture.tape(path)
    names = {"cm": Venue.BINANCE_COINM, "spot": Venue.BINANCE_SPOT, "usdm": Venue.BINANCE_USDM}
    assert instrument.venue == names[path.name.split("_", maxsplit=1)[0]]
    assert set(events["venue"].tolist()) == {instrument.venue}
    # the slow decoder takes 3 s a file: every line of the small ones, the head and a sample of the large
    with gzip.open(path, "rt") as file:
        lines = file.read().splitlines()
    mine = iter(as_tuples(events))
    by_line = _grouped(path)
    chosen = range(len(lines)) if len(lines) < 15_000 else [*range(3_000), *range(3_000, len(lines), 17)]
    for k in chosen:
        assert by_line[k + 1] == slow_rows(lines[k], instrument), lines[k]
    assert sum(len(rows) for rows in by_line.values()) == len(list(mine)) == len(events)
    assert len(by_line) == len(lines)


def _grouped(path: Path) -> dict[int, list[tuple[int, ...]]]:
    by_line: dict[int, list[tuple[int, ...]]] = {}
    for block in capture.CaptureReader(path).blocks():
        numbers = (block.positions // MAX_ROWS_PER_LINE).tolist()
        for line, row in zip(numbers, as_tuples(block.events), strict=True):
            by_line.setdefault(line, []).append(row)
    return by_line


@recorded
def test_the_august_recording_holds_what_its_notes_say() -> None:
    events, _ = capture.tape(RAW / "usdm_btcusdt_20240808.gz")
    kinds = Counter(events["kind"].tolist())
    assert kinds[Kind.QUOTE] == 66_089
    assert kinds[Kind.TRADE] == 21_313
    assert kinds[Kind.SNAPSHOT] == 1
    diffs = events[(events["kind"] == Kind.LEVEL) & (events["flags"] & Flag.FROM_SNAPSHOT == 0)]
    ends = diffs[diffs["flags"] & Flag.LAST != 0]
    assert len(ends) == 6_551
    assert np.array_equal(ends["aux2"][1:], ends["id"][:-1])  # pu links each diff to the one before
    assert np.all(np.diff(events["ts_recv"]) >= 0)


@recorded
def test_old_sockets_of_cryptofeed_are_read_too() -> None:
    for name in ("BINANCE_FUTURES.ws.1.0", "BINANCE_FUTURES.http.0.0", "BINANCE.ws.1.0", "BINANCE.http.0.0"):
        blocks, reader = decoded(CRYPTOFEED / name)
        assert not [line for block in blocks for line in block.quarantined]
        assert len(reader.instruments) == 4
        assert reader.venue == (Venue.BINANCE_USDM if "FUTURES" in name else Venue.BINANCE_SPOT)
        events = events_of(blocks)
        events = events[(events["kind"] != Kind.LEVEL) | (events["flags"] & Flag.LAST != 0)]
        kinds = Counter(events["kind"].tolist())
        text = (CRYPTOFEED / name).read_bytes()
        assert kinds[Kind.SNAPSHOT] == text.count(b"lastUpdateId")
        assert kinds[Kind.LEVEL] == text.count(b'"e":"depthUpdate"') + text.count(b"lastUpdateId")
        assert kinds[Kind.QUOTE] == text.count(b'@bookTicker"')
        assert kinds[Kind.TRADE] == text.count(b'"e":"trade"') + text.count(b'"e":"aggTrade"')
        assert kinds[Kind.BAR_OPEN] == text.count(b'"e":"kline"')
        assert sum(block.num_decoded + sum(block.ignored.values()) for block in blocks) == len(text.splitlines())


# ---------------------------------------------------------------- fuzz

SEEDS = [f"{T} {frame}".encode() for frame in (TRADE, DEPTH, QUOTE)]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    line = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(line) - 1))
        match draw(st.integers(0, 3)):
            case 0:
                line[at] = draw(st.integers(0, 255))
            case 1:
                del line[at : at + draw(st.integers(1, 12))]
            case 2:
                line[at:at] = bytes(draw(st.lists(st.sampled_from(b'{}[]",:.0123456789-ebtrufalsn \\'), max_size=6)))
            case _:
                begin = draw(st.integers(0, len(line) - 1))
                line[at:at] = line[begin : begin + 20]
        line = line or bytearray(b"x")
    return bytes(line).replace(b"\n", b"")


def _lines_of(data: bytes) -> Iterator[tuple[bytes, list[tuple[int, ...]], capture.Block]]:
    decoder = capture.LineDecoder(Venue.BINANCE_USDM, lambda s: BTC if s == "BTCUSDT" else None)
    decoder.expect(b"BTCUSDT")
    for line in data.split(b"\n"):
        for block in decoder.decode(line + b"\n"):
            yield line, as_tuples(block.events), block


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(mutated(), min_size=1, max_size=6))
def test_a_damaged_line_is_set_aside_or_means_what_json_says(lines: list[bytes]) -> None:
    total = 0
    for line, rows, block in _lines_of(b"\n".join(lines)):
        total += block.num_decoded + len(block.quarantined) + sum(block.ignored.values())
        assert block.num_decoded == (1 if rows else 0)
        if rows:
            # whatever we took must be what a general parser reads, to the last digit
            assert rows == slow_rows(" ".join(line.decode("latin-1").strip().split(maxsplit=1)), BTC)
    assert total == len(lines)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.binary(max_size=400))
def test_random_bytes_never_crash_and_every_line_is_told(data: bytes) -> None:
    decoder = capture.LineDecoder(Venue.BINANCE_USDM, lambda _: None)
    blocks = list(decoder.decode(data))
    lines = data.count(b"\n") + (1 if data and not data.endswith(b"\n") else 0)
    assert sum(block.num_decoded + len(block.quarantined) + sum(block.ignored.values()) for block in blocks) == lines


def test_the_row_layout_is_the_tapes() -> None:
    assert EVENT.itemsize == 64
    assert set(COLUMNS) < set(EVENT.names or ())
