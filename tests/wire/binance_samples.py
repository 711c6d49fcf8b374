"""Every recorded or documented frame and body of Binance that lies beside the project, and what reads it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from spyhop.errors import SpyhopError
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Kind, Ratio, Venue
from spyhop.venues.binance import order_wire, spot_wire, wire
from spyhop.venues.binance.account_wire import account_event
from spyhop.venues.binance.live import FrameDecoder
from spyhop.venues.binance.rest import BinanceRest
from spyhop.venues.endpoints import BinanceEndpoints
from spyhop.venues.files.inference import wide
from spyhop.venues.net.transport import Frame, Response

NOW = 1_789_000_000_000_000_000
NAUTILUS = "nautilus_trader/crates/adapters/binance/test_data"
RESOURCES = "nautilus_trader/tests/integration_tests/adapters/binance/resources"
JKORF = "JKorf_Binance.Net/Binance.Net.UnitTests"


class Sample(NamedTuple):
    """One frame (`path` is "") or one answer to `method` and `path`."""

    origin: str
    venue: Venue
    raw: bytes
    method: str = ""
    path: str = ""


class Answering:
    """An Http whose every answer is `body`."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.asked: list[tuple[str, dict[str, str | int]]] = []

    async def request(
        self, method: str, url: str, params: Mapping[str, str | int] | None = None, *, timeout_s: float = 10.0
    ) -> Response:
        self.asked.append((url, dict(params or {})))
        return Response(200, {}, b"[]" if url.endswith("fundingInfo") else self.body, NOW - 10, NOW)

    async def close(self) -> None:
        pass


# ---------------------------------------------------------------- where they are


def samples(wire_folder: Path) -> list[Sample]:
    """Return all of them, in the order of their files."""
    found = [
        *_nautilus_crate(wire_folder),
        *_nautilus_resources(wire_folder / RESOURCES),
        *_jkorf_pushes(wire_folder / JKORF / "Subscriptions"),
        *_jkorf_bodies(wire_folder / JKORF / "Endpoints"),
        *_ccxt(wire_folder / "ccxt_excerpts" / "binance_ws_real_2026.jsonl"),
        *_cryptofeed(wire_folder / "cryptofeed" / "sample_data"),
    ]
    return [sample for sample in found if sample.raw.strip()]


# the names of files without their endpoint, and the endpoint
_NAMED = {
    "account_info_v2": "/fapi/v2/account",
    "balance": "/fapi/v3/balance",
    "open_algo_orders": "/fapi/v1/openAlgoOrders",
    "order_response": "/order",
    "position_risk": "/fapi/v3/positionRisk",
    "account_response": "/api/v3/account",
    "account_trades_response": "/api/v3/myTrades",
    "all_orders_response": "/api/v3/allOrders",
    "avg_price_response": "/api/v3/avgPrice",
    "book_ticker_response": "/api/v3/ticker/bookTicker",
    "cancel_open_orders_response": "/api/v3/openOrders",
    "cancel_order_response": "/api/v3/order",
    "depth_response": "/api/v3/depth",
    "exchange_info_response": "/api/v3/exchangeInfo",
    "klines_response": "/api/v3/klines",
    "new_order_full_response": "/api/v3/order",
    "open_orders_response": "/api/v3/openOrders",
    "ping_response": "/api/v3/ping",
    "server_time_response": "/api/v3/time",
    "ticker_24hr_response": "/api/v3/ticker/24hr",
    "ticker_price_response": "/api/v3/ticker/price",
    "trades_response": "/api/v3/trades",
    "http_futures_account_orders": "/fapi/v1/allOrders",
    "http_futures_account_position_side_dual": "/fapi/v1/positionSide/dual",
    "http_futures_account_positions_hedge": "/fapi/v2/positionRisk",
    "http_futures_account_positions_one_way": "/fapi/v2/positionRisk",
    "http_futures_account_symbol_config": "/fapi/v1/symbolConfig",
    "http_futures_account_trades": "/fapi/v1/userTrades",
    "http_futures_market_agg_trades": "/fapi/v1/aggTrades",
    "http_futures_market_asset_index": "/fapi/v1/assetIndex",
    "http_futures_market_blvt_nav_kline": "/fapi/v1/lvtKlines",
    "http_futures_market_book_ticker": "/fapi/v1/ticker/bookTicker",
    "http_futures_market_continuous_klines": "/fapi/v1/continuousKlines",
    "http_futures_market_depth": "/fapi/v1/depth",
    "http_futures_market_exchange_info": "/fapi/v1/exchangeInfo",
    "http_futures_market_funding_rate": "/fapi/v1/fundingRate",
    "http_futures_market_global_long_short_account_ratio": "/futures/data/globalLongShortAccountRatio",
    "http_futures_market_historical_trades": "/fapi/v1/historicalTrades",
    "http_futures_market_index_info": "/fapi/v1/indexInfo",
    "http_futures_market_index_price_klines": "/fapi/v1/indexPriceKlines",
    "http_futures_market_klines": "/fapi/v1/klines",
    "http_futures_market_mark_price_klines": "/fapi/v1/markPriceKlines",
    "http_futures_market_open_interest": "/fapi/v1/openInterest",
    "http_futures_market_open_interest_historical": "/futures/data/openInterestHist",
    "http_futures_market_premium_index": "/fapi/v1/premiumIndex",
    "http_futures_market_taker_long_short_ratio": "/futures/data/takerlongshortRatio",
    "http_futures_market_ticker_24hr": "/fapi/v1/ticker/24hr",
    "http_futures_market_ticker_price": "/fapi/v1/ticker/price",
    "http_futures_market_top_long_short_account_ratio": "/futures/data/topLongShortAccountRatio",
    "http_futures_market_top_long_short_position_ratio": "/futures/data/topLongShortPositionRatio",
    "http_futures_market_trades": "/fapi/v1/trades",
    "http_futures_wallet_commission_rate_btcusdt": "/fapi/v1/commissionRate",
    "http_futures_wallet_commission_rate_btcusdt_quarterly": "/fapi/v1/commissionRate",
    "http_futures_wallet_commission_rate_ethusdt": "/fapi/v1/commissionRate",
    "http_spot_market_agg_trades": "/api/v3/aggTrades",
    "http_spot_market_avg_price": "/api/v3/avgPrice",
    "http_spot_market_book_ticker": "/api/v3/ticker/bookTicker",
    "http_spot_market_depth": "/api/v3/depth",
    "http_spot_market_exchange_info": "/api/v3/exchangeInfo",
    "http_spot_market_historical_trades": "/api/v3/historicalTrades",
    "http_spot_market_klines": "/api/v3/klines",
    "http_spot_market_ping": "/api/v3/ping",
    "http_spot_market_ticker_price": "/api/v3/ticker/price",
    "http_spot_market_time": "/api/v3/time",
    "http_spot_market_trades": "/api/v3/trades",
    "http_spot_wallet_account": "/api/v3/account",
    "http_wallet_trading_fee": "/sapi/v1/asset/tradeFee",
    "http_wallet_trading_fees": "/sapi/v1/asset/tradeFee",
}


def _nautilus_crate(folder: Path) -> Iterator[Sample]:
    for market, venue in (("futures", Venue.BINANCE_USDM), ("spot", Venue.BINANCE_SPOT)):
        for file in sorted((folder / NAUTILUS / market).rglob("*.json")):
            if file.parent.name != "http_json":
                yield Sample(str(file.relative_to(folder)), venue, file.read_bytes())
                continue
            path = _NAMED[file.stem]
            if path == "/order":
                path = "/fapi/v1/order" if market == "futures" else "/api/v3/order"
            yield Sample(str(file.relative_to(folder)), venue, file.read_bytes(), "GET", path)


def _nautilus_resources(folder: Path) -> Iterator[Sample]:
    for file in sorted(folder.rglob("*.json")):
        venue = Venue.BINANCE_SPOT if "_spot_" in file.name or "_wallet_trading" in file.name else Venue.BINANCE_USDM
        if file.parent.name == "ws_messages":
            yield Sample(file.name, venue, file.read_bytes())
        else:
            yield Sample(file.name, venue, file.read_bytes(), "GET", _NAMED[file.stem])


def _jkorf_pushes(folder: Path) -> Iterator[Sample]:
    venues = {"Spot": Venue.BINANCE_SPOT, "UsdFutures": Venue.BINANCE_USDM, "CoinFutures": Venue.BINANCE_COINM}
    for file in sorted(folder.rglob("*.txt")):
        name = str(file.relative_to(folder))
        text = re.sub(r"\|\w+\|", "1", file.read_text(encoding="utf-8-sig"))
        for part in re.split(r"^(?=[<>=])", text, flags=re.MULTILINE):
            if part[:1] in "<=":
                # a number before the brace says which subscription of the script is meant
                yield Sample(name, venues[name.split("/", maxsplit=1)[0]], re.sub(r"^[<=]\s*\d*\s*", "", part).encode())


def _jkorf_bodies(folder: Path) -> Iterator[Sample]:
    for file in sorted(folder.rglob("*.txt")):
        method, path, _, body = file.read_text(encoding="utf-8-sig").split("\n", 3)
        name = str(file.relative_to(folder))
        venue = Venue.BINANCE_SPOT if name.startswith("Spot") else Venue.BINANCE_USDM
        yield Sample(name, venue, body.encode(), method.strip(), path.strip())


def _ccxt(file: Path) -> Iterator[Sample]:
    for line in file.read_text().splitlines():
        entry = json.loads(line)
        raw = json.dumps(entry["msg"], separators=(",", ":")).encode()
        source = entry["src"]
        venue = Venue.BINANCE_SPOT if "/spot" in source else Venue.BINANCE_USDM
        venue = Venue.BINANCE_COINM if "/inverse" in source else venue
        if entry["dir"] == "in":
            yield Sample(f"ccxt {source}", venue, raw)
        elif entry["dir"] == "rest":
            yield Sample(f"ccxt {source}", venue, raw, "GET", "/fapi/v1/depth")


def _cryptofeed(folder: Path) -> Iterator[Sample]:
    for file in sorted(folder.glob("BINANCE*")):
        venue = Venue.BINANCE_USDM if "FUTURES" in file.name else Venue.BINANCE_SPOT
        for line in file.read_text().splitlines():
            if line.startswith(("configuration:", "wss://")):
                continue
            if " -> " in line:
                url, _, rest = line.partition(" -> ")
                path = "/" + url.split("?")[0].split("/", 3)[3]
                yield Sample(file.name, venue, rest.partition(": ")[2].encode(), "GET", path)
            else:
                yield Sample(file.name, venue, line.partition(": ")[2].encode())


# ---------------------------------------------------------------- what reads them

_SYMBOL = re.compile(rb'"(?:s|symbol)"\s*:\s*"([^"]+)"')
_PLACEHOLDER = re.compile(rb"\b1234\d{5}\b")
"""What the documentation writes for times: 1970 in ms."""


def outcome(sample: Sample) -> str:
    """Return what a sample came to: `rows ...`, `struct ...`, `answer`, or `left out: reason`."""
    told = _body(sample) if sample.path else _frame(sample)
    if told.startswith("left out") and _PLACEHOLDER.search(sample.raw):
        dated = sample._replace(raw=_PLACEHOLDER.sub(b"1723456789000", sample.raw))
        again = _body(dated) if sample.path else _frame(dated)
        if not again.startswith("left out"):
            return f"{again}, once its placeholder for a time is one"
    return told


def instrument_of(sample: Sample) -> Instrument:
    """Return an instrument so fine that every number of the sample lies on its grid."""
    found = _SYMBOL.search(sample.raw)
    return wide(sample.venue, found[1].decode() if found else "BTCUSDT")


def _frame(sample: Sample) -> str:
    read = FrameDecoder(instrument_of(sample)).read([Frame(NOW, sample.raw)])
    if len(read.events):
        return "rows " + "+".join(Kind(kind).name for kind in sorted(read.kinds))
    try:
        return f"struct {type(account_event(sample.raw)).__name__}"
    except SpyhopError:
        pass
    if read.ignored:
        return "answer" if read.ignored[0].startswith("answer") else f"left out: {read.ignored[0]}"
    return f"left out: {read.set_aside[0][0]}"


def _body(sample: Sample) -> str:
    if sample.path in UNUSED_EXACTLY:
        return f"left out: {UNUSED_EXACTLY[sample.path]}"
    for prefix, reason in UNUSED.items():
        if sample.path.startswith(prefix):
            return f"left out: {reason}"
    rest = BinanceRest(Answering(sample.raw), BinanceEndpoints("http://venue", ""), sample.venue)
    try:
        if sample.path in ROWS:
            rows = asyncio.run(ROWS[sample.path](rest, instrument_of(sample)))
            return "rows " + "+".join(Kind(kind).name for kind in sorted(set(rows["kind"].tolist())))
        if sample.path.endswith("/exchangeInfo"):
            instruments, _ = asyncio.run(rest.exchange_info())
            msgspec.json.decode(sample.raw, type=wire.ExchangeInfo)
            return "instruments" if instruments else "left out: no symbol with a grid"
        if sample.path.endswith("/time"):
            asyncio.run(rest.venue_time())
            return "struct ServerTime"
    except SpyhopError as error:
        return f"left out: {error}"
    if sample.path == "/fapi/v1/batchOrders":
        return f"struct {type(order_wire.batch(sample.raw)[0]).__name__}"
    kind = SAID if (sample.method, sample.path) in SAYING else STRUCTS[sample.path]
    if not json.loads(sample.raw):
        return "answer"
    if sample.raw.lstrip().startswith(b"["):
        kind = list[kind]  # type: ignore[valid-type]
    try:
        decoded = msgspec.json.decode(sample.raw, type=kind, strict=False)
    except msgspec.DecodeError as error:
        return f"left out: {error}"
    one = decoded[0] if isinstance(decoded, list) else decoded
    return f"struct {type(one).__name__}"


Fetch = Callable[[BinanceRest, Instrument], Awaitable[Any]]

ROWS: dict[str, Fetch] = {
    **dict.fromkeys(("/fapi/v1/depth", "/api/v3/depth"), lambda rest, i: rest.depth(i)),
    **dict.fromkeys(("/fapi/v1/klines", "/api/v3/klines", "/api/v3/uiKlines"), lambda rest, i: rest.klines(i)),
    **dict.fromkeys(("/fapi/v1/aggTrades", "/api/v3/aggTrades"), lambda rest, i: rest.agg_trades(i)),
    **dict.fromkeys(
        ("/fapi/v1/trades", "/api/v3/trades", "/fapi/v1/historicalTrades", "/api/v3/historicalTrades"),
        lambda rest, i: rest.recent_trades(i),
    ),
    **dict.fromkeys(("/fapi/v1/ticker/bookTicker", "/api/v3/ticker/bookTicker"), lambda rest, i: rest.book_ticker(i)),
    **dict.fromkeys(("/fapi/v1/ticker/24hr", "/api/v3/ticker/24hr"), lambda rest, i: rest.ticker(i)),
    "/fapi/v1/premiumIndex": lambda rest, i: rest.premium_index(i),
    "/fapi/v1/fundingRate": lambda rest, i: rest.funding_rates(i),
    "/fapi/v1/openInterest": lambda rest, i: rest.open_interest(i),
    "/futures/data/openInterestHist": lambda rest, i: rest.open_interest_history(i),
    "/futures/data/topLongShortPositionRatio": lambda rest, i: rest.ratio(i, Ratio.TOP_POSITIONS),
    "/futures/data/topLongShortAccountRatio": lambda rest, i: rest.ratio(i, Ratio.TOP_ACCOUNTS),
    "/futures/data/globalLongShortAccountRatio": lambda rest, i: rest.ratio(i, Ratio.GLOBAL_ACCOUNTS),
    "/futures/data/takerlongshortRatio": lambda rest, i: rest.ratio(i, Ratio.TAKER_VOLUME),
}

STRUCTS: dict[str, Any] = {
    "/fapi/v1/fundingInfo": wire.FundingInfo,
    "/fapi/v1/ticker/price": wire.Price,
    "/fapi/v2/ticker/price": wire.Price,
    "/api/v3/ticker/price": wire.Price,
    "/api/v3/avgPrice": wire.AveragePrice,
    **dict.fromkeys(
        (
            "/fapi/v1/order",
            "/fapi/v1/openOrder",
            "/fapi/v1/openOrders",
            "/fapi/v1/allOrders",
            "/fapi/v1/forceOrders",
        ),
        order_wire.Order,
    ),
    **dict.fromkeys(("/fapi/v1/algoOrder", "/fapi/v1/openAlgoOrders", "/fapi/v1/allAlgoOrders"), order_wire.AlgoOrder),
    "/fapi/v1/orderAmendment": order_wire.Amendment,
    "/fapi/v1/countdownCancelAll": order_wire.Countdown,
    **dict.fromkeys(
        (
            "/fapi/v1/allOpenOrders",
            "/fapi/v1/algoOpenOrders",
            "/fapi/v1/marginType",
        ),
        order_wire.Said,
    ),
    "/fapi/v1/positionSide/dual": order_wire.PositionMode,
    "/fapi/v1/multiAssetsMargin": order_wire.MultiAssets,
    **dict.fromkeys(("/fapi/v2/positionRisk", "/fapi/v3/positionRisk"), order_wire.Position),
    "/fapi/v3/balance": order_wire.Balance,
    **dict.fromkeys(("/fapi/v2/account", "/fapi/v3/account"), order_wire.Account),
    "/fapi/v1/accountConfig": order_wire.AccountConfig,
    "/fapi/v1/symbolConfig": order_wire.SymbolConfig,
    "/fapi/v1/userTrades": order_wire.Fill,
    "/fapi/v1/income": order_wire.Income,
    "/fapi/v1/leverage": order_wire.Leverage,
    "/fapi/v1/leverageBracket": order_wire.Brackets,
    "/fapi/v1/commissionRate": order_wire.CommissionRate,
    "/fapi/v1/adlQuantile": order_wire.AdlQuantile,
    "/fapi/v1/rateLimit/order": wire.RateLimit,
    "/fapi/v1/listenKey": order_wire.ListenKey,
    **dict.fromkeys(("/api/v3/order", "/api/v3/openOrders", "/api/v3/allOrders"), spot_wire.Order),
    "/api/v3/account": spot_wire.Account,
    "/api/v3/myTrades": spot_wire.AccountTrade,
}
SAID = order_wire.Said
SAYING = {("POST", "/fapi/v1/positionSide/dual"), ("POST", "/fapi/v1/multiAssetsMargin")}

_OTHER_API = "wallet, margin, convert, leveraged tokens and algo-trading API, of which nothing of ours asks"
_LISTS = "order lists of spot, which nothing of ours places"
_OTHER_BARS = "bars of another price"
_ABOUT_INDEX = "about an index or the insurance fund"
_REPORTS = "a report by mail"
UNUSED: dict[str, str] = {
    "/sapi/": _OTHER_API,
    "/fapi/v1/convert/": _OTHER_API,
    "/api/v3/ping": "says nothing",
    "/api/v3/orderList": _LISTS,
    "/api/v3/allOrderList": _LISTS,
    "/api/v3/openOrderList": _LISTS,
    "/api/v3/order/": "ways of placing a spot order that nothing of ours takes",
    "/api/v3/myPreventedMatches": "self-trades that were prevented",
    "/api/v3/executionRules": "rules that exchangeInfo tells",
    "/api/v3/referencePrice": "reference price of spot",
    "/api/v3/ticker/tradingDay": "a ticker over another time",
    "/fapi/v1/continuousKlines": _OTHER_BARS,
    "/fapi/v1/indexPriceKlines": _OTHER_BARS,
    "/fapi/v1/markPriceKlines": _OTHER_BARS,
    "/fapi/v1/premiumIndexKlines": _OTHER_BARS,
    "/fapi/v1/lvtKlines": _OTHER_BARS,
    "/fapi/v1/assetIndex": _ABOUT_INDEX,
    "/fapi/v1/indexInfo": _ABOUT_INDEX,
    "/fapi/v1/constituents": _ABOUT_INDEX,
    "/fapi/v1/insuranceBalance": _ABOUT_INDEX,
    "/futures/data/basis": "basis of futures with an end",
    "/fapi/v1/apiTradingStatus": "marks of an account that were given for bad orders",
    "/fapi/v1/feeBurn": "whether fees are paid in BNB",
    "/fapi/v1/income/asyn": _REPORTS,
    "/fapi/v1/order/asyn": _REPORTS,
    "/fapi/v1/trade/asyn": _REPORTS,
    "/fapi/v1/positionMargin": "margin of isolated positions, which we do not hold",
}
UNUSED_EXACTLY = {"/api/v3/ticker": "a ticker over another time"}
