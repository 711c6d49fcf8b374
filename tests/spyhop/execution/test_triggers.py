"""Triggers by hand: what fires at which price, and how a trailing stop follows."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.execution import triggers
from spyhop.execution.triggers import Armed
from spyhop.model.orders import OrderType, Purpose, SubmitOrder
from spyhop.model.tape import Side


def order(kind: OrderType, side: Side = Side.SELL, **keywords) -> SubmitOrder:
    return SubmitOrder(
        ts=1, client_order_id="a", instrument=0, side=side, type=kind, lots=5, purpose=Purpose.STOP_LOSS, **keywords
    )


def first(one: SubmitOrder, *prices: int) -> int:
    return triggers.first_firing(Armed(one), np.array(prices))


@pytest.mark.parametrize("kind", [OrderType.STOP_MARKET, OrderType.STOP_LIMIT])
def test_stops_fire_where_it_gets_worse(kind: OrderType) -> None:
    assert first(order(kind, trigger=100), 103, 101, 100, 99) == 2
    assert first(order(kind, Side.BUY, trigger=100), 97, 99, 101) == 2
    assert first(order(kind, trigger=100), 103, 101) == -1


@pytest.mark.parametrize("kind", [OrderType.TAKE_PROFIT_MARKET, OrderType.TAKE_PROFIT_LIMIT])
def test_take_profits_fire_where_it_gets_better(kind: OrderType) -> None:
    assert first(order(kind, trigger=100), 99, 100) == 1
    assert first(order(kind, Side.BUY, trigger=100), 101, 100) == 1


def test_a_trailing_stop_fires_a_callback_below_the_best() -> None:
    trailing = order(OrderType.TRAILING_STOP, callback=5)
    assert first(trailing, 100, 103, 99, 104, 100, 99) == 5
    assert first(order(OrderType.TRAILING_STOP, Side.BUY, callback=5), 100, 97, 101, 96, 100, 101) == 5


def test_a_trailing_stop_with_a_trigger_begins_there() -> None:
    trailing = order(OrderType.TRAILING_STOP, trigger=110, callback=5)
    assert first(trailing, 100, 90, 109, 80) == -1
    assert first(trailing, 100, 90, 110, 106, 105) == 4


def by_hand(one: SubmitOrder, prices: list[int]) -> int:
    """Return where a trailing stop fires, price by price."""
    best = None
    for k, price in enumerate(prices):
        if best is None and one.trigger and (price - one.trigger) * -one.side < 0:
            continue
        best = price if best is None else (max(best, price) if one.side is Side.SELL else min(best, price))
        if abs(best - price) >= one.callback:
            return k
    return -1


@given(
    st.sampled_from([Side.BUY, Side.SELL]),
    st.integers(0, 20),
    st.integers(1, 6),
    st.lists(st.integers(1, 20), max_size=30),
    st.lists(st.integers(0, 30), max_size=3),
)
def test_trailing_is_the_same_however_the_prices_are_cut(
    side: Side, trigger: int, callback: int, prices: list[int], cuts: list[int]
) -> None:
    armed = Armed(order(OrderType.TRAILING_STOP, side, trigger=trigger, callback=callback))
    fired, at = -1, 0
    for stop in [*sorted(min(cut, len(prices)) for cut in cuts), len(prices)]:
        part = np.array(prices[at:stop], np.int64)
        fired = triggers.first_firing(armed, part) if len(part) else -1
        if fired >= 0:
            fired += at
            break
        triggers.follow(armed, part)
        at = stop
    assert fired == by_hand(armed.order, prices)


def test_what_fires_keeps_its_name_and_purpose() -> None:
    one = order(OrderType.STOP_LIMIT, trigger=100, price=98, reduce_only=True)
    sent = triggers.fired(one, 7)
    assert (sent.type, sent.price, sent.trigger, sent.ts) == (OrderType.LIMIT, 98, 0, 7)
    assert msgspec.structs.replace(sent, type=one.type, trigger=100, ts=1) == one
    assert triggers.fired(order(OrderType.TRAILING_STOP, callback=5), 7).type is OrderType.MARKET


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (order(OrderType.STOP_MARKET), "a conditional order needs a trigger"),
        (order(OrderType.STOP_LIMIT, trigger=5), "a limit order needs a price"),
        (order(OrderType.TRAILING_STOP), "a trailing stop needs a callback"),
        (order(OrderType.LIMIT, price=5), "a limit order waits for no price and cannot be emulated"),
        (order(OrderType.TAKE_PROFIT_LIMIT, trigger=5, price=5), ""),
    ],
)
def test_what_cannot_be_armed(one: SubmitOrder, reason: str) -> None:
    assert triggers.objection(one) == reason
