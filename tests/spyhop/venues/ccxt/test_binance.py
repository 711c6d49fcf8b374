"""What both of Binance's traders have: budget, prices of coins, names that the venue forgets, windows of time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest

from spyhop.clock import NS_PER_DAY, NS_PER_MS, EventClock, ScaledClock
from spyhop.errors import Throttled, VenueRefused
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Venue
from spyhop.venues.ccxt.trader import binance_trader
from spyhop.venues.endpoints import LIVE
from spyhop.venues.net.limits import Counted, Limit, SharedBudget

NOW = 1_790_000_000 * 10**9
BTC = Instrument(
    id=2, venue=Venue.BINANCE_SPOT, symbol="BTCUSDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"), base="BTC"
)
OURS = "s20251128_171500_123456-000001"


class Answers:
    """Stands where requests leave: writes them down and answers by path."""

    def __init__(self, answers: Mapping[str, Callable[[dict[str, Any]], Any]]) -> None:
        self.answers, self.asked = answers, list[tuple[str, dict[str, Any]]]()

    async def request(self, path: str, api: list[str], method: str, params: dict[str, Any]) -> Any:
        self.asked.append((path, params))
        return self.answers[path](params)


def gone(params: dict[str, Any]) -> Any:
    raise VenueRefused("here", 400, -2013, "Order does not exist.")


def play(
    venue: Venue,
    answers: Mapping[str, Callable[[dict[str, Any]], Any]],
    scene: Callable[[Any, Answers], Awaitable[None]],
) -> None:
    async def go() -> None:
        trader = binance_trader(venue, LIVE, "key", "secret", [BTC], EventClock(NOW))
        stood = Answers({"time": lambda params: {"serverTime": NOW // NS_PER_MS}, **answers})
        trader._calls.client.request = stood.request
        try:
            await scene(trader, stood)
        finally:
            await trader.close()

    asyncio.run(go())


def trade(number: int, ts_ms: int, **about: Any) -> dict[str, Any]:
    told = {"id": number, "orderId": 7, "price": "60000.00", "qty": "0.001", "commission": "0.00001", "time": ts_ms}
    return {**told, "commissionAsset": "BNB", "isBuyer": True, "isMaker": False, **about}


def test_fees_in_another_coin_are_told_by_its_price() -> None:
    async def scene(trader: Any, stood: Answers) -> None:
        (fill,) = await trader.fills(2, NOW - NS_PER_DAY // 2)
        assert fill.fee == pytest.approx(0.00001 * 650.5)
        assert trader.price_of("BNB", "USDT") == 650.5
        assert trader.price_of("XYZ", "USDT") is None

    answers = {
        "myTrades": lambda params: [trade(1, NOW // NS_PER_MS - 1_000)] if "startTime" in params else [],
        "order": lambda params: {"clientOrderId": OURS},
        "ticker/price": lambda params: {"symbol": params["symbol"], "price": "650.5"},
    }
    play(Venue.BINANCE_SPOT, answers, scene)


@pytest.mark.parametrize(
    ("order", "name"),
    [
        (lambda params: {"clientOrderId": OURS}, OURS),
        (lambda params: {"clientOrderId": "web_1"}, ""),
        (gone, ""),
    ],
)
def test_fills_are_told_under_the_name_of_their_order(order: Callable[[dict[str, Any]], Any], name: str) -> None:
    async def scene(trader: Any, stood: Answers) -> None:
        for _ in range(2):
            (fill,) = await trader.fills(2, NOW - NS_PER_DAY // 2)
            assert (fill.client_order_id, fill.venue_order_id) == (name, "7")
        assert [path for path, _ in stood.asked].count("order") == 1  # it is remembered

    told = trade(1, NOW // NS_PER_MS - 1_000, commissionAsset="USDT")
    play(Venue.BINANCE_SPOT, {"myTrades": lambda params: [told], "order": order}, scene)


def test_an_order_that_cannot_be_asked_for_is_no_order_of_nobody() -> None:
    async def scene(trader: Any, stood: Answers) -> None:
        with pytest.raises(VenueRefused):
            await trader.fills(2, NOW - NS_PER_DAY // 2)

    def refuse(params: dict[str, Any]) -> Any:
        raise VenueRefused("here", 401, -2015, "Invalid API-key, IP, or permissions for action.")

    play(Venue.BINANCE_SPOT, {"myTrades": lambda params: [trade(1, NOW // NS_PER_MS)], "order": refuse}, scene)


@pytest.mark.parametrize(("days_ago", "num_windows"), [(0.5, 1), (3.5, 4), (29.5, 30)])
def test_a_day_without_fills_is_leapt_over(days_ago: float, num_windows: int) -> None:
    async def scene(trader: Any, stood: Answers) -> None:
        since = NOW - int(days_ago * NS_PER_DAY)
        assert await trader.fills(2, since) == []
        spans = [(params["startTime"], params["endTime"]) for path, params in stood.asked if path == "myTrades"]
        assert len(spans) == num_windows
        assert spans[0][0] == since // NS_PER_MS
        assert all(end - start < 86_400_000 for start, end in spans)
        assert all(later[0] - before[1] == 1 for before, later in itertools.pairwise(spans))
        assert spans[-1][1] >= NOW // NS_PER_MS

    play(Venue.BINANCE_SPOT, {"myTrades": lambda params: []}, scene)


def test_what_is_long_ago_is_found_by_number_and_nothing_before_it() -> None:
    async def scene(trader: Any, stood: Answers) -> None:
        since = NOW - 40 * NS_PER_DAY
        told = [trade(number, (since + day * NS_PER_DAY) // NS_PER_MS) for number, day in ((3, -1), (5, 0), (9, 39))]
        stood.answers = {
            **stood.answers,
            "myTrades": lambda params: [one for one in told if one["id"] >= params["fromId"]],
        }
        assert [fill.fill_id for fill in await trader.fills(2, since)] == ["5", "9"]

    answers = {"order": lambda params: {"clientOrderId": OURS}, "ticker/price": lambda params: {"price": "650.5"}}
    play(Venue.BINANCE_SPOT, answers, scene)


def test_what_the_venue_says_of_a_key_is_told() -> None:
    async def scene(trader: Any, stood: Answers) -> None:
        rights = await trader.rights()
        assert (rights.can_trade, rights.can_withdraw, rights.is_ip_restricted) == (True, True, False)
        assert rights.created == 1_698_645_219_000 * NS_PER_MS

    told = {"ipRestrict": False, "createTime": 1_698_645_219_000, "enableWithdrawals": True}
    answers = {
        "account/apiRestrictions": lambda params: {**told, "enableSpotAndMarginTrading": True},
        "account": lambda params: {"canTrade": True},
    }
    play(Venue.BINANCE_SPOT, answers, scene)


def test_a_key_that_is_refused_is_not_taken_for_a_venue_without_a_word() -> None:
    def refuse(params: dict[str, Any]) -> Any:
        raise VenueRefused("here", 401, -2015, "Invalid API-key, IP, or permissions for action.")

    async def scene(trader: Any, stood: Answers) -> None:
        with pytest.raises(VenueRefused):
            await trader.rights()

    play(Venue.BINANCE_SPOT, {"account/apiRestrictions": refuse}, scene)


def test_a_request_is_valid_for_five_seconds_or_longer_where_time_runs() -> None:
    async def go() -> None:
        for speed, seconds in ((0.5, 5.0), (2.0, 10.0), (100.0, 59.999)):
            trader = binance_trader(Venue.BINANCE_USDM, LIVE, "key", "secret", [BTC], ScaledClock(0, 0, speed))
            assert trader.validity_s == seconds
            await trader.close()

    asyncio.run(go())


@pytest.mark.slow
def test_orders_and_weights_are_charged_and_a_shut_door_is_not_knocked_at(stand: Any) -> None:
    async def go() -> None:
        budget: Any = None

        class Late:
            """The budget lives by the simulator's clock, which is there later."""

            async def acquire(self, weight: int = 1, orders: int = 0) -> None:
                await budget.acquire(weight, orders)

            async def note(self, headers: Mapping[str, str], status: int, retry_after_s: float | None = None) -> None:
                await budget.note(headers, status, retry_after_s)

        async with stand(budget=Late()) as at:
            limits = (
                Limit(Counted.WEIGHT, 60, 2_400),
                Limit(Counted.ORDERS, 10, 300),
                Limit(Counted.REQUESTS, 60, 900),
            )
            budget = SharedBudget(at.sim.clock, limits)
            asked = [at.order() for _ in range(2)]
            for order in asked:
                await at.trader.submit(order)
            await at.trader.cancel(at.back(asked[0]))
            await at.trader.open_orders()
            told = budget.statistics()
            assert told["orders/10"] == 2
            assert told["weight/60"] >= 40 + 1 + 1
            at.sim.fault("throttle", count=1, delay_s=30.0)
            with pytest.raises(Throttled):
                await at.trader.balances()
            before = at.trader._calls.num_requests
            with pytest.raises(Throttled):
                await at.trader.submit(at.order())
            assert at.trader._calls.num_requests == before
            assert len(at.known()) == 2

    asyncio.run(go())
