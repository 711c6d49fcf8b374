from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spyhop.model.instruments import Instrument
from spyhop.model.tape import EVENT, Kind, Side, Venue
from spyhop.venues.binance.capture import LineDecoder
from spyhop.venuesim.bars import BAR
from spyhop.venuesim.binance.grid import Grid
from spyhop.venuesim.binance.messages import Frames, Row
from spyhop.venuesim.views import MarkPrice, Ticker

TS = 1_786_540_291_675_000_000


def perpetual(venue: Venue = Venue.BINANCE_USDM) -> Instrument:
    tick = Decimal("0.1") if venue is Venue.BINANCE_USDM else Decimal("0.01")
    return Instrument(
        id=0, venue=venue, symbol="BTCUSDT", tick_size=tick, lot_size=Decimal("0.001"), base="BTC", quote="USDT"
    )


def row(kind: Kind, side: int, price: int, qty: int, number: int, aux: int = 0, aux2: int = 0) -> Row:
    return (int(kind), side, 1, 0, 0, 0, TS, TS, price, qty, number, aux, aux2)


def bar() -> Row:
    one = np.zeros(1, BAR)
    one["ts_open"], one["ts_close"] = TS // 60_000_000_000 * 60_000_000_000, 0
    one["ts_close"] = one["ts_open"] + 60_000_000_000
    told: Row = one.tolist()[0]
    return told


TICKER = Ticker(
    ts=TS, ts_open=TS - 1, open=10, high=12, low=9, last=11, last_lots=1, lots=5, tick_lots=52, num_trades=3,
    first_id=1, last_id=3, bid=10, bid_lots=1, ask=11, ask_lots=2,
)  # fmt: skip
MARK = MarkPrice(
    ts=TS, mark=Decimal("60000.1"), index=Decimal(60000), rate=Decimal("1e-4"), next_funding=TS, interval=1
)


def ours(name: str, frames: Frames) -> Any:
    trade = row(Kind.TRADE, Side.SELL, 640_421, 38, 7_967_419_777)
    level = row(Kind.LEVEL, Side.BUY, 640_421, 38, 11, 9, 8)
    told = {
        "trade": lambda: frames.trade(trade, 0),
        "aggTrade": lambda: frames.agg_trade(trade, 0),
        "bookTicker": lambda: frames.quote(TS, (1, 2, 3, 4, 5), 0),
        "depth": lambda: frames.depth([level], 0),
        "kline": lambda: frames.kline(bar(), "1m", 1, False, 0),  # noqa: FBT003
        "ticker": lambda: frames.ticker(TICKER, 1, 0),
        "miniTicker": lambda: frames.mini_ticker(TICKER, 1, 0),
        "markPrice": lambda: frames.mark(MARK, 1, 0),
        "forceOrder": lambda: frames.force_order(row(Kind.LIQUIDATION, Side.SELL, 99_100, 14, 0, 99_101), 0),
    }[name]()
    return json.loads(told)


def recorded(recordings: Path, source: str, kind: str) -> Any:
    lines = (recordings / "wire/ccxt_excerpts/binance_ws_real_2026.jsonl").read_text().splitlines()
    frames = [json.loads(line) for line in lines]
    return next(
        frame["msg"]
        for frame in frames
        if frame["src"] == source and frame["dir"] == "in" and frame["msg"].get("e", "bookTicker") == kind
    )


def shape(value: Any) -> Any:
    """Return keys in their order, with the type of each value and the decimals of each number in text."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value[:1]]
    if isinstance(value, str) and value.replace(".", "", 1).replace("-", "", 1).isdigit():
        return f"number of {len(value.partition('.')[2])} decimals"
    return type(value).__name__


@pytest.mark.parametrize(
    ("source", "kind", "name", "venue"),
    [
        ("watchTrades/linear", "trade", "trade", Venue.BINANCE_USDM),
        ("watchOHLCV/linear", "kline", "kline", Venue.BINANCE_USDM),
        ("watchOrderBook/linear", "depthUpdate", "depth", Venue.BINANCE_USDM),
        ("watchOHLCV/spot", "kline", "kline", Venue.BINANCE_SPOT),
        ("watchBidsAsks/spot", "bookTicker", "bookTicker", Venue.BINANCE_SPOT),
    ],
)
def test_frames_are_key_by_key_what_was_recorded(
    recordings: Path, source: str, kind: str, name: str, venue: Venue
) -> None:
    real = recorded(recordings, source, kind)
    made = ours(name, Frames(Grid(perpetual(venue))))
    real.pop("a", None) if name == "depth" else None  # our diff has bids alone
    made.pop("a", None) if name == "depth" else None
    assert list(shape(made).items()) == list(shape(real).items())


def test_a_mini_ticker_has_the_recorded_keys(recordings: Path) -> None:
    real = recorded(recordings, "watchTicker/linear", "24hrMiniTicker")
    assert list(ours("miniTicker", Frames(Grid(perpetual())))) == list(real)


FUTURES = "wire/nautilus_trader/crates/adapters/binance/test_data/futures/market_data_json"


@pytest.mark.parametrize(
    ("file", "name", "of_ours_alone"),
    [
        ("agg_trade_stream", "aggTrade", {"nq"}),
        ("book_ticker_stream", "bookTicker", set()),
        ("mark_price_stream", "markPrice", {"ap"}),
        ("liquidation_stream", "forceOrder", {"st"}),
        ("ticker_stream", "ticker", {"ps"}),
    ],
)
def test_frames_have_every_documented_key(recordings: Path, file: str, name: str, of_ours_alone: set[str]) -> None:
    documented = json.loads((recordings / FUTURES / f"{file}.json").read_text())
    made = ours(name, Frames(Grid(perpetual())))
    assert set(documented) <= set(made)
    assert set(made) - set(documented) <= of_ours_alone
    for key, value in documented.items():
        if isinstance(value, dict):
            assert set(value) == set(made[key])


@pytest.mark.parametrize("venue", [Venue.BINANCE_USDM, Venue.BINANCE_SPOT])
def test_frames_say_what_the_tape_says(venue: Venue) -> None:
    instrument = perpetual(venue)
    frames = Frames(Grid(instrument))
    previous = -1 if venue is Venue.BINANCE_SPOT else 11_270_657_199_444
    diff = [
        row(Kind.LEVEL, Side.BUY, 639_217, 30_114, 11_270_657_214_025, 11_270_657_199_452, previous),
        row(Kind.LEVEL, Side.SELL, 639_218, 0, 11_270_657_214_025, 11_270_657_199_452, previous),
    ]
    trade = row(Kind.TRADE, Side.SELL, 640_421, 38, 7_967_419_777)
    quote = row(Kind.QUOTE, 0, 639_217, 30_696, 98_494_969_448, 639_218, 3_146)
    told = [frames.depth(diff, 0), frames.trade(trade, 0), frames.quote(TS, (quote[10], *quote[8:10], *quote[11:]), 0)]
    decoder = LineDecoder(venue, lambda symbol: instrument if symbol == "BTCUSDT" else None, prefer_trades=True)
    blocks = list(decoder.decode(b"".join(b"%d %s\n" % (TS, frame) for frame in told)))
    assert [block.quarantined for block in blocks] == [()] * len(blocks)
    decoded = np.concatenate([block.events for block in blocks])
    expected = np.array([*diff, trade, quote], EVENT)
    expected["venue"] = int(venue)
    for column in ("kind", "side", "price", "qty", "id", "aux", "aux2", "ts_event", "venue"):
        assert decoded[column].tolist() == expected[column].tolist(), column
    assert decoded["flags"].tolist() == [0, 1, 0, 0]


def test_a_venue_whose_clock_is_ahead_says_so_in_every_time() -> None:
    frames = Frames(Grid(perpetual()))
    trade = row(Kind.TRADE, Side.SELL, 640_421, 38, 1)
    plain, skewed = json.loads(frames.agg_trade(trade, 0)), json.loads(frames.agg_trade(trade, 250))
    assert (skewed["E"] - plain["E"], skewed["T"] - plain["T"]) == (250, 250)
