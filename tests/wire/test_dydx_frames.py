"""Every dYdX frame and body there is, real or documented: decoded, or listed with the reason why not."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from spyhop.model.tape import Flag, Kind
from spyhop.venues.adapter import Decoded
from spyhop.venues.catalogue import by_key
from spyhop.venues.dydx import reader, wire
from spyhop.venues.dydx.numbers import BAD_EVENT_ID
from spyhop.venues.dydx.reader import Batch, Link, Reader
from spyhop.venues.net.transport import Frame

BTC = by_key("dydx:BTC-USD")
TS = 1_767_225_600_000_000_000

BODIES: dict[str, type] = {
    "http_get_block_height": wire.Height,
    "http_get_candles": wire.Candles,
    "http_get_fills": wire.Fills,
    "http_get_historical_funding": wire.HistoricalFunding,
    "http_get_orderbook": wire.Book,
    "http_get_orders": list[wire.Order],
    "http_get_perpetual_markets": wire.Markets,
    "http_get_subaccount": wire.SubaccountAnswer,
    "http_get_time": wire.Time,
    "http_get_trades": wire.Trades,
    "http_get_transfers": wire.Transfers,
}
STATES: dict[str, type] = {
    "ws_subaccounts_subscribed": wire.SubaccountState,
    "ws_subaccounts_update": wire.SubaccountUpdate,
}
NOT_FROM_THE_VENUE = {
    "dydx_request_cases.json": "requests of ccxt, nothing that the venue sends",
    "indexer_comlink_swagger.json": "the venue's description of its REST, used by the simulator's tests",
}
ROWS_OF_FRAMES = {
    "ws_block_height_subscribed": {"BLOCK": 1},
    "ws_block_height_update": {"BLOCK": 1},
    "ws_candles_subscribed": {"BAR_OPEN": 1, "BAR_CLOSE": 1},
    "ws_candles_update": {"BAR_OPEN": 1, "BAR_CLOSE": 1},
    "ws_markets_status_update": {"FUNDING": 1},
    "ws_markets_subscribed": {"MARK": 1, "FUNDING": 1, "OPEN_INTEREST": 1, "TICKER": 1},
    "ws_markets_update": {"MARK": 1},
    "ws_orderbook_subscribed": {"SNAPSHOT": 1, "LEVEL": 6},
}
REASONS_OF_FRAMES = {
    "ws_error": reader.COMPLAINT,
    "ws_orderbook_update": "book update before its snapshot",
    "ws_trades_subscribed": BAD_EVENT_ID,  # made up by hand: "trade-001"
    "ws_trades_update": BAD_EVENT_ID,
}


def read(*frames: bytes) -> Decoded:
    batch, link, of_btc = Batch(BTC), Link(1, 1), Reader(BTC)
    for data in frames:
        of_btc.on_frame(link, Frame(TS, data), batch)
    return batch.decoded()


def rows(decoded: Decoded) -> dict[str, int]:
    return dict(Counter(Kind(kind).name for kind in decoded.events["kind"].tolist()))


@pytest.fixture(scope="module")
def files(recordings: Path) -> list[Path]:
    found = sorted(path for path in (recordings / "wire").rglob("*.json") if "dydx" in path.as_posix().lower())
    if not found:
        pytest.skip(f"no frames of dYdX under {recordings / 'wire'}")
    return found


def test_every_file_is_decoded_or_has_its_reason(files: list[Path]) -> None:
    counts: Counter[str] = Counter()
    for path in files:
        if path.name in NOT_FROM_THE_VENUE:
            counts[f"not decoded: {NOT_FROM_THE_VENUE[path.name]}"] += 1
            continue
        raw = path.read_bytes()
        if path.stem in BODIES:
            msgspec.json.decode(json.dumps(json.loads(raw)["result"]).encode(), type=BODIES[path.stem])
            counts["REST body"] += 1
        elif path.stem in STATES:
            message = wire.message(raw)
            assert isinstance(message, wire.Subscribed | wire.ChannelData)
            msgspec.json.decode(message.contents, type=STATES[path.stem])
            counts["account frame"] += 1
        elif path.stem in ROWS_OF_FRAMES:
            decoded = read(raw)
            assert rows(decoded) == ROWS_OF_FRAMES[path.stem], path.name
            assert not decoded.set_aside
            counts["market frame to rows"] += 1
        else:
            decoded = read(raw)
            reasons = {reason for reason, _ in decoded.set_aside} | set(decoded.ignored)
            assert reasons == {REASONS_OF_FRAMES[path.stem]}, path.name
            assert not len(decoded.events)
            counts[f"not decoded: {REASONS_OF_FRAMES[path.stem]}"] += 1
    sys.stdout.writelines(f"{count:3d}  {what}\n" for what, count in sorted(counts.items()))
    assert counts.total() == len(files) == 27
    assert counts == {
        "REST body": 11,
        "account frame": 2,
        "market frame to rows": 8,
        f"not decoded: {reader.COMPLAINT}": 1,
        "not decoded: book update before its snapshot": 1,
        f"not decoded: {BAD_EVENT_ID}": 2,
        **{f"not decoded: {reason}": 1 for reason in NOT_FROM_THE_VENUE.values()},
    }


def body(files: list[Path], stem: str) -> bytes:
    path = next(path for path in files if path.stem == stem)
    return json.dumps(json.loads(path.read_bytes())["result"]).encode()


def test_frames_with_a_snapshot_before_them_are_rows(files: list[Path]) -> None:
    by_stem = {path.stem: path.read_bytes() for path in files}
    decoded = read(by_stem["ws_orderbook_subscribed"], by_stem["ws_orderbook_update"])
    assert rows(decoded) == {"SNAPSHOT": 1, "LEVEL": 10}
    update = decoded.events[-4:]
    assert update["price"].tolist() == [43_240, 43_238, 43_250, 43_252]
    assert update["qty"].tolist() == [20_000, 15_000, 0, 30_000]


def test_real_trades_and_candles_are_read_to_the_digit(files: list[Path]) -> None:
    trades = msgspec.json.decode(body(files, "http_get_trades"), type=wire.Trades).trades
    frame = {"type": "channel_data", "message_id": 1, "channel": "v4_trades", "id": "BTC-USD",
             "contents": json.loads(body(files, "http_get_trades"))}  # fmt: skip
    events = read(json.dumps(frame).encode()).events
    assert [f"{row['price']} {row['qty'] / 10_000:g}" for row in events] == [f"{t.price} {t.size}" for t in trades]
    assert (events["id"] >> 32).tolist() == [int(trade.created_at_height) for trade in trades]

    frame = {"type": "subscribed", "message_id": 1, "channel": "v4_candles", "id": "BTC-USD/1MIN",
             "contents": json.loads(body(files, "http_get_candles"))}  # fmt: skip
    opened, closed = read(json.dumps(frame).encode()).events
    assert opened["flags"] == Flag.PARTIAL
    assert [int(opened[name]) for name in ("price", "aux", "qty", "id")] == [
        89_934, 89_970, 32_767, 1_765_210_260_000_000_000
    ]  # fmt: skip
    assert [int(closed[name]) for name in ("price", "aux", "qty", "aux2")] == [89_911, 89_941, 49, 29_469_744]


DOCUMENTED = {
    "connected": b'{"type":"connected","connection_id":"004a1efa-21bb-4b19-a2e9-a8ffadd6dc53","message_id":0}',
    "orderbook": b'{"type":"subscribed","connection_id":"c","message_id":1,"channel":"v4_orderbook","id":"BTC-USD",'
    b'"contents":{"bids":[{"price":"114623","size":"0.1112"}],"asks":[{"price":"114624","size":"0.0872"}]}}',
    "trades": b'{"type":"channel_data","connection_id":"c","message_id":2,"id":"BTC-USD","channel":"v4_trades",'
    b'"version":"2.1.0","contents":{"trades":[{"id":"02b6148d0000000200000005","side":"BUY","size":"0.024",'
    b'"price":"114581","type":"LIMIT","createdAt":"2025-08-04T00:42:07.119Z","createdAtHeight":"45487245"}]}}',
    "candle": b'{"type":"channel_data","connection_id":"c","message_id":3,"id":"BTC-USD/1MIN","channel":"v4_candles",'
    b'"version":"1.0.0","contents":{"startedAt":"2025-08-05T03:40:00.000Z","ticker":"BTC-USD","resolution":"1MIN",'
    b'"low":"114249","high":"114262","open":"114256","close":"114261","baseTokenVolume":"0.4753",'
    b'"usdVolume":"54304.6873","trades":9,"startingOpenInterest":"501.7424","orderbookMidPriceOpen":"114255.5",'
    b'"orderbookMidPriceClose":"114255.5"}}',
    "oracle": b'{"type":"channel_data","connection_id":"c","message_id":4,"channel":"v4_markets","version":"1.0.0",'
    b'"contents":{"oraclePrices":{"BTC-USD":{"oraclePrice":"43300.00","effectiveAt":"2024-01-01T00:01:00.000Z",'
    b'"effectiveAtHeight":"12345679","marketId":0}}}}',
    "block": b'{"type":"channel_data","connection_id":"c","message_id":5,"channel":"v4_block_height",'
    b'"id":"v4_block_height","version":"1.0.0","contents":{"blockHeight":"12345679",'
    b'"time":"2024-01-01T00:00:01.000Z"}}',
    "batch": b'{"type":"channel_batch_data","connection_id":"c","message_id":6,"id":"BTC-USD",'
    b'"channel":"v4_orderbook","version":"1.0.0","contents":[{"bids":[["114622","1.9861"]]},'
    b'{"asks":[["114624","0"]]}]}',
}


def test_the_documented_frames_make_one_connection_s_tape() -> None:
    decoded = read(*DOCUMENTED.values())
    assert rows(decoded) == {
        "SNAPSHOT": 1, "LEVEL": 4, "TRADE": 1, "BAR_OPEN": 1, "BAR_CLOSE": 1, "MARK": 1, "BLOCK": 1
    }  # fmt: skip
    assert not decoded.set_aside
    assert decoded.ignored == {"connected": 1}
    assert decoded.heard == ("orderbook", "trades", "candles_1MIN", "markets", "block_height")


def test_an_off_grid_size_of_the_documentation_is_set_aside() -> None:
    snapshot = DOCUMENTED["orderbook"]
    update = b'{"type":"channel_data","message_id":2,"id":"BTC-USD","channel":"v4_orderbook","version":"1.0.0",' \
        b'"contents":{"bids":[["27773","1.986168516"]]}}'  # fmt: skip
    assert [reason for reason, _ in read(snapshot, update).set_aside] == ["price or quantity off the instrument's grid"]


SUBACCOUNT = b"""{"orders":[{"id":"64fe30a2-","clientId":"1","side":"BUY","size":"1","totalFilled":"1",
"price":"1948.65","type":"LIMIT","status":"FILLED","timeInForce":"IOC","orderFlags":"0","goodTilBlock":"61186","ticker":"ETH-USD"}],
"fills":[{"id":"c5030bd3-","side":"BUY","liquidity":"TAKER","type":"LIMIT","clobPairId":"1","orderId":"64fe30a2-",
"size":"1","price":"1854.25","quoteAmount":"1854.25","transactionHash":"C84B","createdAt":"2023-04-04T19:09:24.869Z",
"createdAtHeight":"61169","ticker":"ETH-USD"}],"perpetualPositions":[],"assetPositions":[],"blockHeight":"61169"}"""


def test_a_subaccount_s_update_is_typed_and_one_that_does_not_exist_yet_is_empty() -> None:
    update = wire.subaccount_update(SUBACCOUNT)
    assert (update.orders[0].status, update.fills[0].price, update.block_height) == ("FILLED", "1854.25", "61169")
    assert wire.subaccount_state(b"{}").subaccount is None
    parent = wire.subaccount_state(
        b'{"subaccount":{"address":"dydx1","parentSubaccountNumber":0,"equity":"5","freeCollateral":"5",'
        b'"childSubaccounts":[{"address":"dydx1","subaccountNumber":128,"equity":"2"}]},"orders":[],"blockHeight":"5"}'
    )
    assert parent.subaccount is not None
    assert parent.subaccount.child_subaccounts[0].subaccount_number == 128


def test_sparklines_are_texts_by_ticker() -> None:
    lines = msgspec.json.decode(b'{"BTC-USD":["89941","89900"],"ETH-USD":[]}', type=dict[str, list[str]])
    assert lines["BTC-USD"][0] == "89941"
