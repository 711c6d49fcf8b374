"""USDT-M by ccxt against the simulator: signatures, orders, conditional orders, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from spyhop.clock import NS_PER_S
from spyhop.errors import OutcomeUnknown, Throttled, VenueError, VenueRefused, VenueUnavailable
from spyhop.model.orders import Liquidity, OrderStatus, OrderType, TimeInForce
from spyhop.model.tape import Side, Venue
from spyhop.venues.ccxt.trader import binance_trader
from spyhop.venues.ccxt.usdm import rights_of
from spyhop.venuesim.binance.order_words import ALGO_BASE

pytestmark = pytest.mark.slow

CONDITIONAL = [
    (OrderType.STOP_MARKET, Side.SELL, 0.99, 0.0),
    (OrderType.STOP_LIMIT, Side.SELL, 0.99, 0.985),
    (OrderType.TAKE_PROFIT_MARKET, Side.SELL, 1.01, 0.0),
    (OrderType.TAKE_PROFIT_LIMIT, Side.SELL, 1.01, 1.005),
]


def play(stand: Any, scene: Callable[[Any], Awaitable[None]], **about: Any) -> None:
    async def go() -> None:
        async with stand(**about) as at:
            await scene(at)

    asyncio.run(go())


def test_an_order_rests_under_our_name_and_numbers_until_it_is_taken_back(stand: Any) -> None:
    async def scene(at: Any) -> None:
        asked = at.order()
        placed = await at.trader.submit(asked)
        assert (placed.client_order_id, placed.status, placed.filled) == (asked.client_order_id, OrderStatus.OPEN, 0)
        assert (placed.lots, placed.price, placed.side) == (asked.lots, asked.price, Side.BUY)
        (known,) = at.known()
        assert (known.request.client_id, known.price, known.lots) == (asked.client_order_id, asked.price, asked.lots)
        assert await at.trader.open_orders() == [placed]
        assert await at.trader.order(asked.client_order_id, at.instrument) == placed
        await at.trader.cancel(at.back(asked))
        ended = await at.trader.order(asked.client_order_id, at.instrument)
        assert ended is not None
        assert ended.status is OrderStatus.CANCELLED
        assert await at.trader.open_orders() == []
        with pytest.raises(VenueRefused) as refused:
            await at.trader.cancel(at.back(asked))
        assert refused.value.code == -2011
        assert await at.trader.order("s20251128_171500_123456-999999", at.instrument) is None

    play(stand, scene)


def test_a_market_order_fills_and_its_fills_positions_and_fees_are_told(stand: Any) -> None:
    async def scene(at: Any) -> None:
        since = at.sim.clock.now_ns()
        asked = at.order(OrderType.MARKET, lots=2_000)
        placed = await at.trader.submit(asked)
        assert (placed.status, placed.filled) == (OrderStatus.FILLED, 2_000)
        fills = await at.trader.fills(at.instrument, since)
        (account,) = at.sim.floor.exchange.accounts(Venue.BINANCE_USDM)[:1]
        truth = at.sim.floor.exchange.executions(account, at.instrument)
        assert [(fill.fill_id, fill.price, fill.lots, fill.fee) for fill in fills] == [
            (str(one.trade_id), one.price, one.lots, float(one.fee)) for one in truth
        ]
        assert sum(fill.lots for fill in fills) == 2_000
        assert {(fill.client_order_id, fill.side, fill.liquidity) for fill in fills} == {
            (asked.client_order_id, Side.BUY, Liquidity.TAKER)
        }
        (held,) = await at.trader.positions()
        mean = sum(fill.price * fill.lots for fill in fills) / 2_000
        assert held.lots == 2_000
        assert held.entry == pytest.approx(mean, rel=1e-7)
        await at.trader.submit(at.order(OrderType.MARKET, Side.SELL, 5_000, reduce_only=True))
        assert await at.trader.positions() == []
        (money,) = await at.trader.balances()
        assert money.asset == "USDT"
        assert money.total < 100_000

    play(stand, scene)


def test_fills_are_all_found_however_many_and_after_a_restart(stand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spyhop.venues.ccxt.binance._PAGE", 3)

    async def scene(at: Any) -> None:
        since = at.sim.clock.now_ns()
        names = []
        for number in range(4):
            asked = at.order(OrderType.MARKET, Side.BUY if number % 2 else Side.SELL, 700)
            await at.trader.submit(asked)
            names.append(asked.client_order_id)
        key, mine = at.sim.key, [at.sim.floor.exchange.instruments[at.instrument]]
        fresh = binance_trader(Venue.BINANCE_USDM, at.sim.endpoints, key.key, key.secret, mine, at.sim.clock)
        try:
            # from the start of the account's history, from a month ago, and from just now
            for start in (0, since - 30 * 86_400 * NS_PER_S, since):
                fills = await fresh.fills(at.instrument, start)
                assert sum(fill.lots for fill in fills) == 2_800
                assert len({fill.fill_id for fill in fills}) == len(fills) > 6
                assert list(dict.fromkeys(fill.client_order_id for fill in fills)) == names
            assert await fresh.fills(at.instrument, at.sim.clock.now_ns() + NS_PER_S) == []
        finally:
            await fresh.close()

    play(stand, scene)


@pytest.mark.parametrize(("kind", "side", "trigger", "price"), CONDITIONAL)
def test_conditional_orders_wait_are_found_and_are_taken_back(
    stand: Any, kind: OrderType, side: Side, trigger: float, price: float
) -> None:
    async def scene(at: Any) -> None:
        assert kind in at.trader.kinds
        about = {"trigger": int(at.top[0] * trigger), "price": int(at.top[0] * price), "reduce_only": True}
        await at.trader.submit(at.order(OrderType.MARKET))
        asked = at.order(kind, side, **about)
        placed = await at.trader.submit(asked)
        assert (placed.client_order_id, placed.status) == (asked.client_order_id, OrderStatus.OPEN)
        assert (placed.trigger, placed.price, placed.reduce_only) == (asked.trigger, asked.price, True)
        assert await at.trader.open_orders() == [placed]
        assert await at.trader.order(asked.client_order_id, at.instrument) == placed
        await at.trader.cancel(at.back(asked))
        assert await at.trader.open_orders() == []
        ended = await at.trader.order(asked.client_order_id, at.instrument)
        assert ended is not None
        assert ended.status is OrderStatus.CANCELLED

    play(stand, scene)


def test_a_restarted_trader_finds_a_conditional_order_too(stand: Any) -> None:
    async def scene(at: Any) -> None:
        asked = at.order(OrderType.STOP_MARKET, Side.SELL, trigger=at.top[0] * 99 // 100)
        placed = await at.trader.submit(asked)
        at.trader._conditional.clear()
        assert await at.trader.order(asked.client_order_id, at.instrument) == placed
        await at.trader.cancel(at.back(asked))
        assert await at.trader.open_orders() == []

    play(stand, scene)


async def until_one_triggers(at: Any, kind: OrderType, far: float = 0.0) -> tuple[Any, list[Any]]:
    """Place a stop on each side of the market; return the one that is triggered first, and both.

    Limits are a share of `far` behind the market, so that they rest.
    """
    await at.trader.balances()
    orders: list[Any] = []
    while len(orders) < 2:
        side = (Side.BUY, Side.SELL)[len(orders)]
        trigger = at.top[1] + 80 if side is Side.BUY else at.top[0] - 80
        asked = at.order(kind, side, trigger=trigger, price=round(trigger * (1.0 - side * far)) if far else 0)
        try:
            await at.trader.submit(asked)
        except VenueRefused as refused:
            if refused.code != -2021:  # the market has come by meanwhile
                raise
        else:
            orders.append(asked)
    async with asyncio.timeout(30.0):
        while True:
            waiting = {body["clientAlgoId"] for body in await at.sim.call("GET", "/fapi/v1/openAlgoOrders")}
            gone = [asked for asked in orders if asked.client_order_id not in waiting]
            if gone:
                return gone[0], orders
            await asyncio.sleep(0.05)


def test_a_conditional_order_is_followed_into_what_it_becomes(stand: Any) -> None:
    async def scene(at: Any) -> None:
        since = at.sim.clock.now_ns()
        went, _ = await until_one_triggers(at, OrderType.STOP_MARKET)
        told = await at.trader.order(went.client_order_id, at.instrument)
        assert (told.client_order_id, told.status, told.filled) == (went.client_order_id, OrderStatus.FILLED, went.lots)
        # neither of it is remembered: the venue must be asked what became of which
        at.trader._client_ids.clear()
        fills = await at.trader.fills(at.instrument, since)
        assert went.client_order_id in {fill.client_order_id for fill in fills}
        await at.trader.cancel_all(at.instrument)
        assert await at.trader.open_orders() == []

    play(stand, scene, speed=20.0)


def test_an_order_that_became_another_is_found_and_taken_back_as_that(stand: Any) -> None:
    """The venue may call what a conditional order becomes by a name of its own."""

    async def scene(at: Any) -> None:
        went, orders = await until_one_triggers(at, OrderType.STOP_LIMIT, 0.05)

        async def none(one: Any, name: str) -> None:
            raise VenueRefused("here", 400, -2011, "Unknown order sent.")

        at.trader._cancel_plain = none
        told = await at.trader.order(went.client_order_id, at.instrument)
        assert (told.client_order_id, told.status) == (went.client_order_id, OrderStatus.OPEN)
        assert int(told.venue_order_id) < ALGO_BASE
        for asked in orders:
            await at.trader.cancel(at.back(asked))
        assert await at.trader.open_orders() == []

    play(stand, scene, speed=20.0)


def test_trailing_stops_are_told_in_percent(stand: Any) -> None:
    async def scene(at: Any) -> None:
        asked = at.order(OrderType.TRAILING_STOP, Side.SELL, callback=at.top[0] // 100)
        await at.trader.submit(asked)
        (body,) = await at.sim.call("GET", "/fapi/v1/openAlgoOrders")
        assert (body["orderType"], body["clientAlgoId"]) == ("TRAILING_STOP_MARKET", asked.client_order_id)
        assert float(body["callbackRate"]) in (0.9, 1.0)
        with pytest.raises(VenueRefused, match="the venue has"):
            await at.trader.submit(at.order(OrderType.TRAILING_STOP, Side.SELL, callback=5))

    play(stand, scene)


def test_post_only_and_immediate_orders(stand: Any) -> None:
    async def scene(at: Any) -> None:
        crossing = at.order(price=at.top[1] + 50, lasting=TimeInForce.POST_ONLY)
        with pytest.raises(VenueRefused) as refused:
            await at.trader.submit(crossing)
        assert refused.value.code == -5022
        remainder = await at.trader.submit(at.order(price=at.top[1], lots=30_000, lasting=TimeInForce.IOC))
        assert remainder.status is OrderStatus.EXPIRED
        assert 0 < remainder.filled < 30_000

    play(stand, scene)


def test_everything_is_taken_back_and_the_switch_does_so_alone(stand: Any) -> None:
    async def scene(at: Any) -> None:
        trader, number = at.trader, at.instrument
        for _ in range(2):
            await trader.submit(at.order())
        await trader.submit(at.order(OrderType.STOP_MARKET, Side.SELL, trigger=at.top[0] * 98 // 100))
        await trader.cancel_all(number)
        assert await trader.open_orders() == []
        await trader.cancel_all(number)
        await trader.submit(at.order())
        assert await trader.hold_switch(number, 60.0)
        assert await trader.hold_switch(number, 0.0)
        assert await trader.hold_switch(number, 2.0)
        async with asyncio.timeout(10.0):
            while await trader.open_orders():
                await asyncio.sleep(0.05)

    play(stand, scene, speed=10.0)


def test_leverage_is_set_as_often_as_one_likes_and_margin_is_isolated(stand: Any) -> None:
    async def scene(at: Any) -> None:
        for leverage in (7.0, 7.0, 3.9):
            await at.trader.set_leverage(at.instrument, leverage)
        await at.trader.submit(at.order(OrderType.MARKET))
        (held,) = await at.trader.positions()
        assert (held.leverage, held.is_isolated) == (3.0, True)
        assert 0 < held.liquidation < held.entry
        with pytest.raises(VenueRefused):
            await at.trader.set_leverage(at.instrument, 500.0)

    play(stand, scene)


def test_rights_of_a_key() -> None:
    told = {"ipRestrict": True, "createTime": 1_698_645_219_000, "enableWithdrawals": False, "enableFutures": False}
    rights = rights_of(told, "enableFutures", may_trade=True, is_one_way=True)
    assert (rights.can_trade, rights.can_withdraw, rights.is_ip_restricted) == (False, False, True)
    assert rights.created == 1_698_645_219_000_000_000
    silent = rights_of({}, "enableFutures", may_trade=True, is_one_way=False)
    assert (silent.can_trade, silent.can_withdraw, silent.is_ip_restricted, silent.created) == (True, None, None, 0)
    assert not rights_of({"enableFutures": True}, "enableFutures", may_trade=False, is_one_way=True).can_trade


def test_the_simulator_has_no_word_on_keys(stand: Any) -> None:
    async def scene(at: Any) -> None:
        rights = await at.trader.rights()
        assert (rights.can_trade, rights.can_withdraw, rights.is_one_way) == (True, None, True)

    play(stand, scene)


@pytest.mark.parametrize("kind", ["unknown_executed", "unknown_lost"])
def test_an_unknown_503_is_resolved_by_asking(stand: Any, kind: str) -> None:
    async def scene(at: Any) -> None:
        at.sim.fault(kind, count=1)
        asked = at.order()
        with pytest.raises(OutcomeUnknown):
            await at.trader.submit(asked)
        found = await at.trader.order(asked.client_order_id, at.instrument)
        assert (found is not None) == (kind == "unknown_executed")
        if found is None:
            await at.trader.submit(asked)
        assert len(at.known()) == 1
        at.sim.fault(kind, count=1)
        with pytest.raises(OutcomeUnknown):
            await at.trader.cancel(at.back(asked))
        left = await at.trader.order(asked.client_order_id, at.instrument)
        assert left is not None
        assert (left.status is OrderStatus.CANCELLED) == (kind == "unknown_executed")

    play(stand, scene)


def test_a_name_that_is_taken_is_no_second_order_and_no_refusal(stand: Any) -> None:
    async def scene(at: Any) -> None:
        for asked in (at.order(), at.order(OrderType.STOP_MARKET, Side.SELL, trigger=at.top[0] * 98 // 100)):
            placed = await at.trader.submit(asked)
            with pytest.raises(OutcomeUnknown, match="has an order"):
                await at.trader.submit(asked)
            assert await at.trader.order(asked.client_order_id, at.instrument) == placed
        assert len(at.known()) == 2

    play(stand, scene)


def test_failures_that_executed_nothing_say_so(stand: Any) -> None:
    async def scene(at: Any) -> None:
        asked = at.order()
        at.sim.fault("server_error", count=1, status=503)
        with pytest.raises(VenueUnavailable):
            await at.trader.submit(asked)
        at.sim.fault("reject", count=1, code=-2019)
        with pytest.raises(VenueRefused) as refused:
            await at.trader.submit(asked)
        assert refused.value.code == -2019
        at.sim.fault("throttle", count=1, delay_s=7.0)
        with pytest.raises(Throttled) as throttled:
            await at.trader.submit(asked)
        assert throttled.value.retry_after_s == pytest.approx(7.0, abs=1.0)
        assert at.known() == []

    play(stand, scene)


def test_a_5xx_that_says_nothing_leaves_an_effect_unknown_and_a_question_in_vain(stand: Any) -> None:
    async def scene(at: Any) -> None:
        await at.trader.balances()
        at.sim.fault("server_error", count=3, status=500)
        with pytest.raises(OutcomeUnknown):
            await at.trader.submit(at.order())
        with pytest.raises(VenueUnavailable):
            await at.trader.open_orders()

    play(stand, scene)


def test_an_answer_that_comes_too_late_leaves_the_order_unknown(stand: Any) -> None:
    async def scene(at: Any) -> None:
        await at.trader.balances()
        at.sim.fault("event_first", count=1, delay_s=3.0)
        asked = at.order()
        with pytest.raises(OutcomeUnknown):
            await at.trader.submit(asked)
        found = await at.trader.order(asked.client_order_id, at.instrument)
        assert found is not None
        assert found.status is OrderStatus.OPEN

    play(stand, scene, timeout_s=0.5)


def test_nobody_there_is_no_unknown_outcome(stand: Any) -> None:
    async def scene(at: Any) -> None:
        await at.trader.balances()
        key = at.sim.key
        asked = at.order()
        at.trader._calls.client.urls["api"]["fapiPrivate"] = "http://127.0.0.1:9/fapi/v1"
        with pytest.raises(VenueUnavailable) as failed:
            await at.trader.submit(asked)
        assert "signature" not in str(failed.value)
        assert key.key not in str(failed.value)

    play(stand, scene)


def test_a_clock_that_is_wrong_costs_one_request(stand: Any) -> None:
    async def scene(at: Any) -> None:
        await at.trader.balances()
        at.sim.fault("clock_skew", offset_ms=60_000.0)
        with pytest.raises(VenueRefused) as refused:
            await at.trader.submit(at.order())
        assert refused.value.code == -1021
        await at.trader.submit(at.order())
        assert len(at.known()) == 1

    play(stand, scene)


def test_a_secret_is_in_no_error(stand: Any) -> None:
    async def scene(at: Any) -> None:
        with pytest.raises(VenueError) as refused:
            await at.trader.submit(at.order())
        assert isinstance(refused.value, VenueRefused)
        assert refused.value.code == -1022
        told = f"{refused.value!r} {refused.value} {refused.value.args} {at.trader!r}"
        for hidden in ("another-secret", at.sim.key.key, "signature="):
            assert hidden not in told

    play(stand, scene, secret="another-secret")


def test_orders_of_others_have_no_name_of_ours(stand: Any) -> None:
    async def scene(at: Any) -> None:
        price = at.top[0] * 99 // 100 * at.sim.floor.exchange.instruments[at.instrument].tick_size
        about = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": price}
        await at.sim.call("POST", "/fapi/v1/order", **about, quantity="0.100", newClientOrderId="web_1")
        (foreign,) = await at.trader.open_orders()
        assert (foreign.client_order_id, foreign.lots) == ("", 100)

    play(stand, scene)


def test_what_cannot_be_asked_is_refused_here(stand: Any) -> None:
    async def scene(at: Any) -> None:
        with pytest.raises(VenueRefused, match="none of this trader's"):
            await at.trader.order("s20251128_171500_123456-000001", 99)
        order = at.order()
        with pytest.raises(VenueRefused, match="36 letters"):
            await at.trader.submit(type(order)(**{name: getattr(order, name) for name in order.__struct_fields__}
                                               | {"client_order_id": "x" * 37}))  # fmt: skip
        assert at.known() == []

    play(stand, scene)
