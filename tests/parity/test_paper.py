"""Paper and the venue simulator's own engine over the same tape: they differ by what paper's model declares."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from benchmarks.paper import (
    KINDS,
    Compared,
    Got,
    Pair,
    compared,
    filled_by_both,
    got,
    is_taken,
    later_by_ms,
    line,
    touch,
    unexplained,
    worse_by,
)
from spyhop.clock import NS_PER_MS
from spyhop.model.orders import Liquidity, OrderType, Purpose, SubmitOrder
from spyhop.model.tape import EVENT, Events, Kind, Side
from spyhop.simulation.venue import VenueParams

NUM_ORDERS = 50
WALK = 10.0
"""Ticks: what is larger than the best quote eats the next levels, too; nothing of fifty lots needs more of them."""
LATENCY_MS = VenueParams().entry_latency_ms
JITTERS = 15.0
"""Of their mean: an exponential time is longer once in three million orders."""


@pytest.fixture(scope="module")
def found(prepared_kernels: None) -> Compared:
    return compared(NUM_ORDERS, speed=4.0, seed=7)


@pytest.mark.storm
@pytest.mark.slow
def test_every_kind_of_order_was_filled_by_both(found: Compared) -> None:
    assert len(found.pairs) == NUM_ORDERS
    assert {pair.asked for pair in filled_by_both(found.pairs)} == set(KINDS)


@pytest.mark.storm
@pytest.mark.slow
def test_market_orders_reach_paper_after_its_latency_and_are_filled_whole_by_both(found: Compared) -> None:
    market = [pair for pair in found.pairs if pair.asked == "market"]
    for pair in market:
        assert pair.there.lots == pair.paper.lots == pair.order.lots
        waited = (pair.paper.ts - pair.order.ts) / NS_PER_MS
        assert LATENCY_MS <= waited <= LATENCY_MS + JITTERS * VenueParams().entry_jitter_ms
        assert pair.there.maker_frac == pair.paper.maker_frac == 0.0


@pytest.mark.storm
@pytest.mark.slow
def test_what_is_taken_costs_what_the_book_showed_at_the_moment_of_the_fill(found: Compared) -> None:
    taken = [pair for pair in filled_by_both(found.pairs) if is_taken(pair)]
    assert len(taken) >= 15
    left = [max(unexplained(pair, found.tape)) for pair in taken]
    assert max(left) <= WALK
    # most orders are smaller than the best quote: nothing at all is left of the difference
    assert sum(ticks < 1e-6 for ticks in left) >= 0.75 * len(left)


@pytest.mark.storm
@pytest.mark.slow
def test_what_is_made_costs_its_limit_and_comes_later_on_paper(found: Compared) -> None:
    made = [pair for pair in filled_by_both(found.pairs) if pair.there.maker_frac == pair.paper.maker_frac == 1.0]
    assert len(made) >= 5
    for pair in made:
        assert pair.there.price == pair.paper.price == pair.order.price
    # behind the whole queue, and entered later
    assert statistics.median(later_by_ms(pair) for pair in made) > 0.0


@pytest.mark.storm
@pytest.mark.slow
def test_triggers_fire_later_on_paper(found: Compared) -> None:
    fired = [pair for pair in filled_by_both(found.pairs) if pair.asked in ("stop", "take_profit")]
    assert len(fired) >= 5
    assert statistics.median(later_by_ms(pair) for pair in fired) >= VenueParams().trigger_latency_ms


@pytest.mark.storm
@pytest.mark.slow
def test_hardly_an_order_is_filled_by_one_engine_alone(found: Compared) -> None:
    had = [pair for pair in found.pairs if not pair.refused]
    # an order that is taken back at the moment of its fill may go either way
    alone = [pair for pair in had if bool(pair.there.lots) is not bool(pair.paper.lots)]
    assert len(alone) <= 0.1 * NUM_ORDERS
    # and what the exchange would not have, it refused for where the market was: paper's order came to another one
    assert {pair.asked for pair in found.pairs if pair.refused} <= {"post_only", "stop", "take_profit"}


# ── the measures themselves


def quotes(*rows: tuple[int, int, int]) -> Events:
    """Return a tape of quotes: (milliseconds, bid, ask), received 5 ms after they happened."""
    tape = np.zeros(len(rows), EVENT)
    tape["kind"] = Kind.QUOTE
    tape["ts_event"] = [row[0] * NS_PER_MS for row in rows]
    tape["ts_recv"] = tape["ts_event"] + 5 * NS_PER_MS
    tape["price"], tape["aux"] = [row[1] for row in rows], [row[2] for row in rows]
    return tape


TAPE = quotes((0, 100, 101), (100, 110, 111), (200, 120, 121))


def pair(side: Side, there: tuple[float, int], paper: tuple[float, int]) -> Pair:
    order = SubmitOrder(
        ts=0,
        client_order_id="o",
        instrument=0,
        side=side,
        type=OrderType.MARKET,
        lots=1,
        purpose=Purpose.ENTRY,
    )
    sides = [Got(1, price, at * NS_PER_MS) for price, at in (there, paper)]
    return Pair("market", order, sides[0], sides[1])


def test_a_price_is_held_against_the_book_at_its_own_moment() -> None:
    assert touch(TAPE, Side.BUY, 0, 50 * NS_PER_MS) == (101, 101)
    assert touch(TAPE, Side.SELL, 50 * NS_PER_MS, 150 * NS_PER_MS) == (100, 110)
    # ten ticks apart, and each is what its moment showed
    bought = pair(Side.BUY, (101.0, 50), (111.0, 150))
    assert (worse_by(bought), later_by_ms(bought)) == (10.0, 100.0)
    assert unexplained(bought, TAPE) == (0.0, 0.0)
    assert unexplained(pair(Side.BUY, (101.0, 150), (111.0, 50)), TAPE) == (10.0, 10.0)
    sold = pair(Side.SELL, (100.0, 50), (98.0, 60))
    assert (worse_by(sold), unexplained(sold, TAPE)) == (2.0, (0.0, 2.0))
    assert line([sold], TAPE)[-1] == 2.0


def test_fills_are_summed_by_their_lots() -> None:
    fills = [(100, 1, 7, Liquidity.MAKER), (104, 3, 5, Liquidity.TAKER)]
    assert got(fills) == Got(4, 103.0, 5, 0.25)
    assert got([]) == Got()
