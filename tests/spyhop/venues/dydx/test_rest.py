"""The indexer's REST: questions as the venue wants them, answers to rows, pages joined without holes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_MINUTE
from spyhop.errors import VenueError, VenueUnavailable
from spyhop.model.tape import Flag, Kind, Venue
from spyhop.venues.catalogue import by_key, known
from spyhop.venues.dydx.numbers import event_id, packed_event
from spyhop.venues.dydx.rest import DydxRest
from spyhop.venues.endpoints import DydxEndpoints
from spyhop.venues.net.transport import Response

BTC = by_key("dydx:BTC-USD")
ENDPOINTS = DydxEndpoints("http://indexer/v4", "ws://indexer/v4/ws", "", "")
NOW = datetime(2025, 12, 8, 16, 12, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * 10**9
Result = TypeVar("Result")
Answer = Callable[[str, Mapping[str, Any]], object]


class Indexer:
    """Answers from a function of path and parameters, and remembers what was asked."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def request(
        self, method: str, url: str, params: Mapping[str, str | int] | None = None, *, timeout_s: float = 10.0
    ) -> Response:
        assert method == "GET"
        path = url.removeprefix(ENDPOINTS.indexer)
        self.asked.append((path, dict(params or {})))
        told = self._answer(path, params or {})
        return Response(200, {}, told if isinstance(told, bytes) else json.dumps(told).encode(), NOW_NS - 7, NOW_NS)

    async def close(self) -> None: ...


def asking(answer: Answer, ask: Callable[[DydxRest], Coroutine[Any, Any, Result]]) -> tuple[Result, Indexer]:
    indexer = Indexer(answer)
    return asyncio.run(ask(DydxRest(indexer, ENDPOINTS))), indexer


@pytest.fixture
def real(recordings: Path) -> Answer:
    folder = recordings / "wire/nautilus_trader/crates/adapters/dydx/test_data"
    names = {
        "/perpetualMarkets": "perpetual_markets", "/orderbooks/perpetualMarket/BTC-USD": "orderbook",
        "/trades/perpetualMarket/BTC-USD": "trades", "/candles/perpetualMarkets/BTC-USD": "candles",
        "/historicalFunding/BTC-USD": "historical_funding", "/height": "block_height", "/time": "time",
        "/addresses/dydx1/subaccountNumber/0": "subaccount", "/orders": "orders", "/fills": "fills",
        "/transfers": "transfers",
    }  # fmt: skip
    return lambda path, params: json.loads((folder / f"http_get_{names[path]}.json").read_bytes())["result"]


def test_real_markets_are_instruments(real: Answer) -> None:
    instruments, _ = asking(real, lambda rest: rest.instruments())
    assert [(i.symbol, i.tick_size, i.lot_size) for i in instruments[:2]] == [
        ("BTC-USD", Decimal(1), Decimal("0.0001")), ("ETH-USD", Decimal("0.1"), Decimal("0.001"))
    ]  # fmt: skip
    assert [i.id for i in instruments] == list(range(len(instruments)))
    btc, shipped = instruments[0], known()[Venue.DYDX, "BTC-USD"]
    assert (btc.margin_tiers[0].maintenance_rate, btc.max_leverage) == (Decimal("0.012"), 50.0)
    assert (btc.tick_size, btc.lot_size, btc.quote) == (shipped.tick_size, shipped.lot_size, shipped.quote)


def test_real_answers_are_typed(real: Answer) -> None:
    height, _ = asking(real, lambda rest: rest.height())
    assert height.height == "66624132"
    orders, indexer = asking(real, lambda rest: rest.orders("dydx1", 0, ticker="BTC-USD", status="OPEN"))
    assert (orders[0].client_id, orders[0].good_til_block) == ("1700756032", "63049881")
    assert indexer.asked == [("/orders", {"address": "dydx1", "subaccountNumber": 0, "limit": 100,
                                          "ticker": "BTC-USD", "status": "OPEN"})]  # fmt: skip
    fills, _ = asking(real, lambda rest: rest.fills("dydx1", 0))
    assert fills[0].order_id == "0f0981cb-152e-57d3-bea9-4d8e0dd5ed35"
    subaccount, _ = asking(real, lambda rest: rest.subaccount("dydx1", 0))
    assert (subaccount.equity, subaccount.asset_positions["USDC"].size) == ("45.201296", "45.201296")
    transfers, _ = asking(real, lambda rest: rest.transfers("dydx1", 0))
    assert transfers[0].type == "DEPOSIT"


def test_the_venue_s_time_is_to_the_millisecond_with_ours_around_it(real: Answer) -> None:
    time, _ = asking(real, lambda rest: rest.venue_time())
    assert (time.ts_sent, time.ts_recv, time.ts_venue) == (NOW_NS - 7, NOW_NS, 1_765_210_316_125_000_000)


def test_real_candles_are_closed_bars_oldest_first_without_the_open_one(real: Answer) -> None:
    events, indexer = asking(real, lambda rest: rest.bars(BTC, 120))
    assert indexer.asked[0] == ("/candles/perpetualMarkets/BTC-USD", {"resolution": "1MIN", "limit": 121})
    opens = events[events["kind"] == Kind.BAR_OPEN]
    assert [datetime.fromtimestamp(int(ts) // 10**9, UTC).minute for ts in opens["id"]] == [9, 10]
    assert set(events["flags"].tolist()) == {Flag.BACKFILLED}
    assert opens["qty"].tolist() == [12_221, 39_023]
    assert opens["aux2"].tolist() == [6_110, 19_511]  # nobody said who took: a half


def test_real_fundings_are_settled_rates_of_an_hour(real: Answer) -> None:
    events, _ = asking(real, lambda rest: rest.fundings(BTC, 3))
    assert events["aux"].tolist() == [625_000, 375_000, 2_375_000]
    assert events["ts_event"][-1] == 1_765_209_600_219_000_000
    assert events["id"][-1] == 1_765_209_600_000_000_000
    assert set(events["flags"].tolist()) == {Flag.SETTLED | Flag.BACKFILLED}


# ---- pages


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def candles(path: str, params: Mapping[str, Any]) -> object:
    """An indexer with a candle for each minute of a week, `toISO` inclusive."""
    end = datetime.fromisoformat(params["toISO"]) if "toISO" in params else NOW
    starts = [end - timedelta(minutes=i) for i in range(min(params["limit"], 1_000))]
    return {"candles": [
        {"startedAt": iso(start), "ticker": "BTC-USD", "resolution": "1MIN", "low": "1", "high": "2", "open": "1",
         "close": "2", "baseTokenVolume": "3", "usdVolume": "4", "trades": 5, "startingOpenInterest": "6"}
        for start in starts
    ]}  # fmt: skip


@pytest.mark.parametrize("num_bars", [1, 120, 1_000, 2_500])
def test_minutes_over_pages_have_no_hole_and_no_repeat(num_bars: int) -> None:
    events, indexer = asking(candles, lambda rest: rest.bars(BTC, num_bars))
    opens = events["id"][events["kind"] == Kind.BAR_OPEN].tolist()
    assert opens == [NOW_NS - i * NS_PER_MINUTE for i in range(num_bars, 0, -1)]
    assert len(indexer.asked) == 1 + num_bars // 1_000


def trades(newest: int, per_block: int) -> Answer:
    """An indexer with trades numbered down from `newest`, `per_block` in a block, one block a second."""

    def answer(path: str, params: Mapping[str, Any]) -> object:
        top = newest
        if "createdBeforeOrAtHeight" in params:
            top = min(newest, (int(params["createdBeforeOrAtHeight"]) + 1) * per_block - 1)
        return {"trades": [
            {"id": event_id(packed_event(n // per_block, 2, n % per_block)), "side": "BUY" if n % 4 else "SELL",
             "size": "1", "price": "100", "type": "LIMIT", "createdAt": iso(NOW + timedelta(seconds=n // per_block)),
             "createdAtHeight": str(n // per_block)}
            for n in range(top, max(top - params["limit"], -1), -1)
        ]}  # fmt: skip

    return answer


def test_trades_over_pages_have_no_hole_and_no_repeat() -> None:
    since = NOW_NS + 99 * 10**9
    (found, _), indexer = asking(trades(3_456, 7), lambda rest: rest.recent_trades(BTC, since))
    assert [trade.id for trade in found] == [packed_event(n // 7, 2, n % 7) for n in range(700, 3_457)]
    assert len(indexer.asked) == 3


def test_a_block_larger_than_a_page_ends_the_asking() -> None:
    (found, _), indexer = asking(trades(5_000, 3_000), lambda rest: rest.recent_trades(BTC, 0))
    assert len(indexer.asked) <= 3
    assert len(found) >= 1_000


def test_pages_have_an_end() -> None:
    _, indexer = asking(trades(10**6, 7), lambda rest: rest.recent_trades(BTC, 0))
    assert len(indexer.asked) == 10


def test_takers_of_a_minute_are_those_of_its_trades() -> None:
    (found, _), _ = asking(trades(39, 1), lambda rest: rest.recent_trades(BTC, 0))

    def answer(path: str, params: Mapping[str, Any]) -> object:
        told: Any = candles(path, {"limit": 2, "toISO": iso(NOW + timedelta(minutes=1))})
        return told

    events, _ = asking(answer, lambda rest: rest.bars(BTC, 1, found))
    assert events["id"][0] == NOW_NS
    assert events["aux2"][0] == 30_000 * 30 // 40  # every fourth trade sold


@pytest.mark.parametrize(
    "ask",
    [
        lambda rest: rest.instruments(), lambda rest: rest.market("BTC-USD"), lambda rest: rest.orderbook("BTC-USD"),
        lambda rest: rest.recent_trades(BTC, 0), lambda rest: rest.bars(BTC, 5), lambda rest: rest.fundings(BTC, 5),
        lambda rest: rest.height(), lambda rest: rest.venue_time(), lambda rest: rest.sparklines(),
        lambda rest: rest.subaccount("a", 0), lambda rest: rest.orders("a", 0), lambda rest: rest.order("x"),
        lambda rest: rest.fills("a", 0), lambda rest: rest.positions("a", 0), lambda rest: rest.transfers("a", 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("body", [b"", b"null", b"[1]", b'{"candles":5}', b"\xff", b"[" * 100_000, b"<html>"])
def test_a_body_that_cannot_be_read_is_a_venue_error(ask: Callable[[DydxRest], Any], body: bytes) -> None:
    with pytest.raises(VenueUnavailable, match="unreadable answer"):
        asking(lambda path, params: body, ask)


@given(st.data())
def test_a_flipped_bit_in_a_body_is_an_answer_or_a_venue_error(data: st.DataObject) -> None:
    bodies: list[tuple[object, Callable[[DydxRest], Any]]] = [
        (candles("", {"limit": 3}), lambda rest: rest.bars(BTC, 2)),
        (trades(3, 2)("", {"limit": 3}), lambda rest: rest.recent_trades(BTC, 0)),
        ({"historicalFunding": [{"ticker": "BTC-USD", "rate": "0.1", "price": "1", "effectiveAt": iso(NOW)}]},
         lambda rest: rest.fundings(BTC, 2)),
        ({"markets": {"BTC-USD": {"tickSize": "1", "stepSize": "0.1", "initialMarginFraction": "0.02",
                                  "maintenanceMarginFraction": "0.01"}}}, lambda rest: rest.instruments()),
    ]  # fmt: skip
    told, ask = data.draw(st.sampled_from(bodies))
    body = bytearray(json.dumps(told).encode())
    body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(VenueError):
        asking(lambda path, params: bytes(body), ask)
