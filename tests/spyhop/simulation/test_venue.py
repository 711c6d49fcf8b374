"""The simulated venue is pessimistic, exact in time, and the same however the tape is cut."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.errors import SnapshotMismatch
from spyhop.model.instruments import Instrument, MarginTier
from spyhop.model.orders import (
    CancelOrder,
    Fill,
    FundingPaid,
    Liquidated,
    Liquidity,
    OrderAccepted,
    OrderCancelled,
    OrderRejected,
    OrderType,
    Purpose,
    Report,
    SubmitOrder,
    TimeInForce,
)
from spyhop.model.tape import Events, Flag, Kind, Side, Status, Venue, event, joined
from spyhop.simulation.feed import GenerativeFeed, usual_instrument
from spyhop.simulation.venue import SimulatedVenue, VenueParams

FOREVER = (1 << 63) - 1
S = NS_PER_S
MS = NS_PER_MS
COIN = Instrument(id=0, venue=Venue.SIMULATED, symbol="COINUSDT", tick_size=Decimal("0.5"), lot_size=Decimal("0.1"))
PROMPT = VenueParams(
    entry_latency_ms=10.0,
    entry_jitter_ms=0.0,
    response_latency_ms=5.0,
    response_jitter_ms=0.0,
    trigger_latency_ms=0.0,
    default_leverage=1.0,
)


def book(ts: int, bids: dict[int, int], asks: dict[int, int], instrument: int = 0) -> Events:
    """Return a snapshot of a book."""
    levels = [(1, price, qty) for price, qty in bids.items()] + [(-1, price, qty) for price, qty in asks.items()]
    rows = [event(Kind.SNAPSHOT, ts, qty=len(levels), id=ts, instrument=instrument)]
    for i, (side, price, qty) in enumerate(levels):
        flags = Flag.FROM_SNAPSHOT | (Flag.LAST if i == len(levels) - 1 else 0)
        rows.append(
            event(
                Kind.LEVEL,
                ts,
                side=side,
                price=price,
                qty=qty,
                id=ts,
                aux=ts,
                aux2=-1,
                flags=flags,
                instrument=instrument,
            )
        )
    return joined(rows)


def level(ts: int, side: int, price: int, qty: int, previous: int) -> Events:
    return event(
        Kind.LEVEL, ts, side=side, price=price, qty=qty, id=ts, aux=previous + 1, aux2=previous, flags=Flag.LAST
    )


def trade(ts: int, side: int, price: int, qty: int) -> Events:
    return event(Kind.TRADE, ts, side=side, price=price, qty=qty)


def quote(ts: int, bid: int, bid_qty: int, ask: int, ask_qty: int) -> Events:
    return event(Kind.QUOTE, ts, price=bid, qty=bid_qty, aux=ask, aux2=ask_qty, id=ts)


def order(ts: int, side: Side, lots: int, key: str = "a", **keywords) -> SubmitOrder:
    keywords.setdefault("type", OrderType.LIMIT if "price" in keywords else OrderType.MARKET)
    keywords.setdefault("purpose", Purpose.ENTRY)
    return SubmitOrder(ts=ts, client_order_id=key, instrument=0, side=side, lots=lots, **keywords)


DEEP = book(1 * S, {99: 50, 98: 50, 95: 500}, {101: 10, 102: 20, 110: 500})


def run(
    commands: list, *tapes: Events, params: VenueParams = PROMPT, instrument: Instrument = COIN, cuts: tuple = ()
) -> list[Report]:
    """Send `commands` at their times over the tape and return every report."""
    venue = SimulatedVenue([instrument], params)
    return drive(venue, commands, joined(list(tapes)), cuts)


def drive(venue: SimulatedVenue, commands: list, events: Events, cuts: tuple = ()) -> list[Report]:
    reports: list[Report] = []
    stops: list[tuple[int, object]] = [(c.ts, c) for c in commands] + [(ts, None) for ts in cuts] + [(FOREVER, None)]
    for until, command in sorted(stops, key=lambda stop: stop[0]):
        count = int(np.searchsorted(events["ts_recv"], until, side="left"))
        head, events, at = events[:count], events[count:], 0
        while True:
            at, heard = venue.advance(head, at, until)
            if not heard:
                break
            assert all(report.ts < until for report in heard)
            reports += heard
        assert at == count
        if isinstance(command, str):
            venue.restore(venue.snapshot())
        elif command is not None:
            venue.send(command)
    return reports


def fills(reports: list[Report]) -> list[tuple[int, int]]:
    return [(r.price, r.lots) for r in reports if isinstance(r, Fill)]


def only(reports: list[Report], kind: type) -> list:
    return [r for r in reports if isinstance(r, kind)]


# aggressive orders


def test_a_market_order_walks_the_visible_book() -> None:
    reports = run([order(2 * S, Side.BUY, 35)], DEEP)
    assert fills(reports) == [(101, 10), (102, 20), (110, 5)]
    assert [type(r) for r in reports] == [OrderAccepted, Fill, Fill, Fill]


def test_what_the_book_cannot_give_is_cancelled() -> None:
    reports = run([order(2 * S, Side.BUY, 1_000)], DEEP)
    assert sum(lots for _, lots in fills(reports)) == 530
    assert only(reports, OrderCancelled)[0].lots_left == 470


def test_without_a_book_nothing_is_filled() -> None:
    reports = run([order(2 * S, Side.BUY, 5)], trade(1 * S, 1, 100, 1))
    assert [type(r) for r in reports] == [OrderAccepted, OrderCancelled]


def test_what_we_took_stays_taken() -> None:
    reports = run([order(2 * S, Side.BUY, 10), order(2 * S + MS, Side.BUY, 10, "b")], DEEP)
    assert fills(reports) == [(101, 10), (102, 10)]


def test_what_we_took_is_back_when_the_tape_tells_the_level_anew() -> None:
    fresh = level(3 * S, -1, 101, 8, 1 * S)
    reports = run([order(2 * S, Side.BUY, 10), order(4 * S, Side.BUY, 10, "b")], DEEP, fresh)
    assert fills(reports) == [(101, 10), (101, 8), (102, 2)]


def test_another_level_told_anew_brings_nothing_back() -> None:
    other = level(3 * S, -1, 102, 30, 1 * S)
    reports = run([order(2 * S, Side.BUY, 10), order(4 * S, Side.BUY, 10, "b")], DEEP, other)
    assert fills(reports) == [(101, 10), (102, 10)]


def test_a_newer_quote_says_what_the_touch_is() -> None:
    reports = run([order(3 * S, Side.BUY, 30)], DEEP, quote(2 * S, 99, 5, 102, 7))
    assert fills(reports) == [(102, 7), (110, 23)]


def test_a_venue_with_quotes_alone_gives_the_touch() -> None:
    reports = run([order(3 * S, Side.SELL, 30)], quote(2 * S, 99, 5, 102, 7))
    assert fills(reports) == [(99, 5)]


def test_after_a_gap_there_is_no_depth_until_the_next_snapshot() -> None:
    gap = event(Kind.STATUS, 2 * S, aux=Status.GAP)
    assert fills(run([order(3 * S, Side.BUY, 5)], DEEP, gap)) == []
    again = book(2 * S + 1, {99: 5}, {103: 5})
    assert fills(run([order(3 * S, Side.BUY, 5)], DEEP, gap, again)) == [(103, 5)]


def test_a_limit_order_takes_up_to_its_price_and_rests_with_what_is_left() -> None:
    reports = run([order(2 * S, Side.BUY, 40, price=102)], DEEP)
    assert fills(reports) == [(101, 10), (102, 20)]
    assert only(reports, OrderCancelled) == []


def test_an_ioc_limit_order_does_not_rest() -> None:
    reports = run([order(2 * S, Side.BUY, 40, price=102, time_in_force=TimeInForce.IOC)], DEEP)
    assert only(reports, OrderCancelled)[0].lots_left == 10


def test_slippage_is_a_loss_against_the_mid_at_the_decision() -> None:
    bought = only(run([order(2 * S, Side.BUY, 10)], DEEP), Fill)[0]
    sold = only(run([order(2 * S, Side.SELL, 10)], DEEP), Fill)[0]
    per_tick = 0.5 * 0.1 * 10
    assert bought.slippage == pytest.approx(1.0 * per_tick)
    assert sold.slippage == pytest.approx(1.0 * per_tick)


def test_a_market_that_moves_our_way_before_arrival_gives_negative_slippage() -> None:
    cheaper = book(2 * S + MS, {89: 50}, {91: 50})
    assert only(run([order(2 * S, Side.BUY, 10)], DEEP, cheaper), Fill)[0].slippage < 0.0


def test_fees_are_those_of_the_terms() -> None:
    fill = only(run([order(2 * S, Side.BUY, 10)], DEEP), Fill)[0]
    assert fill.liquidity is Liquidity.TAKER
    assert fill.fee == pytest.approx(101 * 0.5 * 10 * 0.1 * 0.0004)


# time


@pytest.mark.parametrize(("at_ms", "price"), [(9, 200), (10, 101), (11, 101)])
def test_an_order_meets_the_book_after_its_latency_and_not_earlier(at_ms: int, price: int) -> None:
    # a book that changes just before, at, or after the arrival: at one instant the command comes first
    moved = book(2 * S + at_ms * MS, {150: 50}, {200: 50})
    reports = run([order(2 * S, Side.BUY, 5)], DEEP, moved)
    assert fills(reports) == [(price, 5)]


def test_reports_are_heard_after_the_response_latency() -> None:
    fill = only(run([order(2 * S, Side.BUY, 5)], DEEP), Fill)[0]
    assert (fill.ts_venue, fill.ts) == (2 * S + 10 * MS, 2 * S + 15 * MS)


def test_fill_ids_are_the_order_and_a_count() -> None:
    reports = run([order(2 * S, Side.BUY, 35)], DEEP)
    assert [f.fill_id for f in only(reports, Fill)] == ["a-0", "a-1", "a-2"]


def test_jitter_is_the_same_on_every_run() -> None:
    params = VenueParams(seed=5)
    commands = [order(2 * S, Side.BUY, 5), order(3 * S, Side.SELL, 5, "b")]
    assert run(commands, DEEP, params=params) == run(commands, DEEP, params=params)
    assert run(commands, DEEP, params=params) != run(commands, DEEP, params=VenueParams(seed=6))


# resting orders

QUEUED = book(1 * S, {100: 5}, {101: 10})


def test_five_ahead_trades_of_one_the_sixth_fills_us() -> None:
    trades = joined([trade((10 + k) * S, -1, 100, 1) for k in range(6)])
    commands = [order(2 * S, Side.BUY, 1, price=100)]
    assert fills(run(commands, QUEUED, trades[:5])) == []
    fill = only(run(commands, QUEUED, trades), Fill)[0]
    assert (fill.ts_venue, fill.price, fill.liquidity) == (15 * S, 100, Liquidity.MAKER)
    assert fill.fee == pytest.approx(100 * 0.5 * 0.1 * 0.0002)


def test_trades_before_acceptance_do_not_shorten_the_queue() -> None:
    early = joined([trade(2 * S + k, -1, 100, 1) for k in range(6)])
    assert fills(run([order(2 * S, Side.BUY, 1, price=100)], QUEUED, early)) == []


def test_a_quote_at_our_price_never_fills_us() -> None:
    touching = joined([quote((3 + k) * S, 99, 5, 100, 5) for k in range(5)])
    assert fills(run([order(2 * S, Side.BUY, 1, price=100)], QUEUED, touching)) == []


def test_a_trade_through_our_price_fills_us_at_our_price() -> None:
    reports = run([order(2 * S, Side.BUY, 9, price=100)], QUEUED, trade(10 * S, -1, 99, 1))
    assert fills(reports) == [(100, 9)]


def test_a_trade_on_our_own_side_of_the_book_does_not_reach_us() -> None:
    reports = run([order(2 * S, Side.BUY, 1, price=100)], QUEUED, trade(10 * S, 1, 100, 50), trade(11 * S, 1, 101, 50))
    assert fills(reports) == []


def test_sells_are_the_mirror_of_buys() -> None:
    trades = joined([trade((10 + k) * S, 1, 101, 1) for k in range(11)])
    commands = [order(2 * S, Side.SELL, 1, price=101)]
    assert fills(run(commands, QUEUED, trades[:10])) == []
    assert fills(run(commands, QUEUED, trades)) == [(101, 1)]


def test_our_own_orders_share_what_reaches_their_price() -> None:
    commands = [order(2 * S, Side.BUY, 2, price=100), order(2 * S + MS, Side.BUY, 2, "b", price=100)]
    reports = run(commands, QUEUED, trade(10 * S, -1, 100, 8))
    assert [(f.client_order_id, f.lots) for f in only(reports, Fill)] == [("a", 2), ("b", 1)]


def test_a_post_only_order_that_crosses_is_rejected() -> None:
    reports = run([order(2 * S, Side.BUY, 1, price=101, time_in_force=TimeInForce.POST_ONLY)], QUEUED)
    assert "would cross" in only(reports, OrderRejected)[0].reason
    resting = run([order(2 * S, Side.BUY, 1, price=100, time_in_force=TimeInForce.POST_ONLY)], QUEUED)
    assert [type(r) for r in resting] == [OrderAccepted]


def test_a_better_price_has_nobody_ahead() -> None:
    wide = book(1 * S, {95: 5}, {101: 10})
    assert fills(run([order(2 * S, Side.BUY, 1, price=100)], wide, trade(3 * S, -1, 100, 1))) == [(100, 1)]


def test_cancellations_ahead_count_only_where_asked_for() -> None:
    commands = [order(2 * S, Side.BUY, 1, price=100)]
    thinner = level(3 * S, 1, 100, 1, 1 * S)
    rest = joined([trade(4 * S, -1, 100, 2)])
    assert fills(run(commands, QUEUED, thinner, rest)) == []
    probabilistic = msgspec.structs.replace(PROMPT, queue_model="probabilistic")
    assert fills(run(commands, QUEUED, thinner, rest, params=probabilistic)) == [(100, 1)]


def test_a_cancelled_order_is_gone() -> None:
    commands = [order(2 * S, Side.BUY, 1, price=100), CancelOrder(ts=3 * S, client_order_id="a", instrument=0)]
    reports = run(commands, QUEUED, trade(10 * S, -1, 90, 50))
    assert [type(r) for r in reports] == [OrderAccepted, OrderCancelled]


def test_a_cancellation_that_comes_too_late_says_nothing() -> None:
    commands = [order(2 * S, Side.BUY, 1, price=100), CancelOrder(ts=3 * S, client_order_id="a", instrument=0)]
    reports = run(commands, QUEUED, trade(3 * S + 5 * MS, -1, 90, 50))
    assert [type(r) for r in reports] == [OrderAccepted, Fill]


# triggers

BOTH = [
    order(2 * S, Side.BUY, 5),
    order(3 * S, Side.SELL, 5, "tp", type=OrderType.TAKE_PROFIT_MARKET, trigger=120, reduce_only=True),
    order(3 * S, Side.SELL, 5, "sl", type=OrderType.STOP_MARKET, trigger=97, reduce_only=True),
]


def test_a_stop_fires_on_the_last_trade_and_executes_at_the_book() -> None:
    lower = book(4 * S, {96: 3, 94: 50}, {98: 10})
    reports = run(BOTH, DEEP, lower, trade(5 * S, -1, 98, 1), trade(6 * S, -1, 97, 1))
    assert fills(reports) == [(101, 5), (96, 3), (94, 2)]
    stop = only(reports, Fill)[1]
    assert stop.ts_venue == 6 * S
    assert stop.slippage == pytest.approx((97 - 96) * 0.5 * 3 * 0.1)


def test_a_take_profit_fires_above_for_a_long() -> None:
    higher = book(4 * S, {121: 3, 119: 50}, {122: 10})
    reports = run(BOTH, DEEP, higher, trade(5 * S, 1, 119, 1), trade(6 * S, 1, 120, 1))
    assert fills(reports)[1:] == [(121, 3), (119, 2)]


def test_triggers_of_a_short_are_mirrored() -> None:
    commands = [
        order(2 * S, Side.SELL, 5),
        order(3 * S, Side.BUY, 5, "tp", type=OrderType.TAKE_PROFIT_MARKET, trigger=90, reduce_only=True),
        order(3 * S, Side.BUY, 5, "sl", type=OrderType.STOP_MARKET, trigger=105, reduce_only=True),
    ]
    up = run(commands, DEEP, trade(5 * S, 1, 105, 1))
    assert [f.client_order_id for f in only(up, Fill)] == ["a", "sl"]
    down = run(commands, DEEP, trade(5 * S, -1, 90, 1))
    assert [f.client_order_id for f in only(down, Fill)] == ["a", "tp"]


def test_quotes_and_books_do_not_fire_triggers() -> None:
    reports = run(BOTH, DEEP, book(4 * S, {90: 5}, {91: 5}), quote(5 * S, 80, 5, 81, 5))
    assert fills(reports) == [(101, 5)]


def test_triggers_may_watch_the_mark_instead() -> None:
    params = msgspec.structs.replace(PROMPT, trigger_by="mark")
    calm = event(Kind.MARK, 3 * S, price=100)
    assert fills(run(BOTH, DEEP, calm, trade(4 * S, -1, 90, 1), params=params)) == [(101, 5)]
    assert len(fills(run(BOTH, DEEP, event(Kind.MARK, 4 * S, price=97), params=params))) == 2


def test_a_trigger_that_has_passed_already_fires_at_once() -> None:
    commands = [BOTH[0], order(5 * S, Side.SELL, 5, "sl", type=OrderType.STOP_MARKET, trigger=97, reduce_only=True)]
    reports = run(commands, DEEP, trade(4 * S, -1, 96, 1))
    assert only(reports, Fill)[1].ts_venue == 5 * S + 10 * MS


def test_the_trigger_latency_lets_the_book_move_on() -> None:
    params = msgspec.structs.replace(PROMPT, trigger_latency_ms=10.0)
    gone = book(6 * S + 5 * MS, {90: 50}, {91: 50})
    assert fills(run(BOTH, DEEP, trade(6 * S, -1, 97, 1), gone, params=params))[1:] == [(90, 5)]


# rules


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (order(2 * S, Side.BUY, 0), "0 lots"),
        (order(2 * S, Side.NONE, 5), "needs a side"),
        (order(2 * S, Side.SELL, 5, reduce_only=True), "needs a position"),
        (order(2 * S, Side.BUY, 5, price=0, type=OrderType.LIMIT), "needs a price"),
        (order(2 * S, Side.BUY, 5, type=OrderType.STOP_MARKET), "needs a trigger"),
        (order(2 * S, Side.BUY, 1), "quantity 0.1 is below 0.2"),
        (order(2 * S, Side.BUY, 3), "notional 15.15 is below 20"),
        (msgspec.structs.replace(order(2 * S, Side.BUY, 5), instrument=9), "instrument 9 is not traded here"),
    ],
)
def test_what_the_venue_would_not_have_is_rejected_with_a_reason(wrong: SubmitOrder, reason: str) -> None:
    strict = msgspec.structs.replace(COIN, min_qty=Decimal("0.2"), min_notional=Decimal(20))
    reports = run([wrong], DEEP, instrument=strict)
    assert [type(r) for r in reports] == [OrderRejected]
    assert reason in reports[0].reason


def test_an_id_that_is_alive_is_rejected_a_second_time() -> None:
    reports = run([order(2 * S, Side.BUY, 1, price=90), order(3 * S, Side.BUY, 1, price=90)], DEEP)
    assert only(reports, OrderRejected)[0].reason == "duplicate client order id"


def test_reduce_only_never_opens() -> None:
    commands = [order(2 * S, Side.BUY, 5), order(3 * S, Side.SELL, 50, "b", reduce_only=True)]
    reports = run(commands, DEEP)
    assert fills(reports) == [(101, 5), (99, 5)]
    assert only(reports, OrderCancelled)[0].lots_left == 45


def test_a_resting_reduce_only_order_ends_with_the_position() -> None:
    commands = [
        order(2 * S, Side.BUY, 5),
        order(3 * S, Side.SELL, 5, "rest", price=120, reduce_only=True),
        order(4 * S, Side.SELL, 5, "b", reduce_only=True),
    ]
    reports = run(commands, DEEP, trade(6 * S, 1, 130, 5))
    assert fills(reports) == [(101, 5), (99, 5)]
    assert only(reports, OrderCancelled)[0].client_order_id == "rest"


def test_orders_of_other_instruments_do_not_mix() -> None:
    other = msgspec.structs.replace(COIN, id=7, symbol="OTHERUSDT")
    venue = SimulatedVenue([COIN, other], PROMPT)
    events = joined([DEEP, book(2 * S, {200: 5}, {201: 5}, instrument=7)])
    command = msgspec.structs.replace(order(3 * S, Side.BUY, 3), instrument=7)
    assert fills(drive(venue, [command], events)) == [(201, 3)]
    assert venue.position(7).lots == 3
    assert venue.position(0).lots == 0


def test_events_of_unknown_instruments_are_passed_over() -> None:
    strange = book(2 * S, {200: 5}, {201: 5}, instrument=900)
    assert fills(run([order(3 * S, Side.BUY, 3)], DEEP, strange)) == [(101, 3)]


# funding, liquidation, the end


def funding(ts: int, stamp: int, rate: float, flags: int = 0) -> Events:
    return event(Kind.FUNDING, ts, id=stamp, aux=round(rate * 1e12), aux2=8 * 3_600 * S, flags=flags)


def test_a_position_pays_funding_at_the_stamp() -> None:
    marks = event(Kind.MARK, 4 * S, price=110)
    settled = funding(5 * S + 1, 5 * S, 0.0003, Flag.SETTLED)
    paid = only(run([order(2 * S, Side.BUY, 5)], DEEP, marks, settled), FundingPaid)
    assert len(paid) == 1
    assert paid[0].amount == pytest.approx(110 * 0.5 * 5 * 0.1 * 0.0003)
    assert paid[0].lots == 5


def test_a_short_receives_what_a_long_pays() -> None:
    settled = funding(5 * S + 1, 5 * S, 0.0003, Flag.SETTLED)
    tape = (DEEP, trade(4 * S, 1, 100, 1), settled)
    long, short = (only(run([order(2 * S, side, 5)], *tape), FundingPaid)[0] for side in (Side.BUY, Side.SELL))
    assert long.amount == -short.amount > 0.0


def test_a_venue_that_only_predicts_is_paid_when_the_stamp_has_passed() -> None:
    predictions = joined([funding(3 * S, 5 * S, 0.0002), funding(4 * S, 5 * S, 0.0003), funding(6 * S, 9 * S, 0.01)])
    paid = only(run([order(2 * S, Side.BUY, 5)], DEEP, trade(2 * S + 1, 1, 100, 1), predictions), FundingPaid)
    assert [p.rate for p in paid] == [pytest.approx(0.0003)]


def test_a_stamp_is_paid_once() -> None:
    twice = joined([funding(5 * S + 1, 5 * S, 1e-4, Flag.SETTLED), funding(6 * S, 9 * S, 1e-4)])
    predicted = joined([funding(4 * S, 5 * S, 1e-4), twice])
    reports = run([order(2 * S, Side.BUY, 5)], DEEP, trade(2 * S + 1, 1, 100, 1), predicted)
    assert len(only(reports, FundingPaid)) == 1


def test_who_came_after_the_stamp_does_not_pay() -> None:
    tape = joined([DEEP, funding(5 * S + 1, 1 * S, 1e-4, Flag.SETTLED)])
    assert only(run([order(2 * S, Side.BUY, 5)], tape, trade(6 * S, 1, 100, 1)), FundingPaid) == []


LEVERED = msgspec.structs.replace(
    COIN, margin_tiers=(MarginTier(floor=Decimal(0), maintenance_rate=Decimal("0.005"), max_leverage=Decimal(50)),)
)


@pytest.mark.parametrize(
    ("side", "mark", "is_lost"), [(1, 92, False), (1, 91, True), (-1, 108, False), (-1, 109, True)]
)
def test_an_isolated_position_is_liquidated_by_the_mark(side: int, mark: int, is_lost: bool) -> None:
    # 10x at 101 (long, limit 91.36) and at 99 (short, limit 108.36)
    reports = run(
        [order(2 * S, Side(side), 10, leverage=10.0)], DEEP, event(Kind.MARK, 3 * S, price=mark), instrument=LEVERED
    )
    lost = only(reports, Liquidated)
    assert bool(lost) == is_lost
    if is_lost:
        entry = 101 if side > 0 else 99
        assert lost[0].loss == pytest.approx(entry * 0.5 * 10 * 0.1 / 10.0)
        assert (lost[0].lots, lost[0].price, lost[0].side) == (10, mark, side)


def test_trades_liquidate_only_where_no_mark_was_ever_told() -> None:
    crash = trade(4 * S, -1, 50, 1)
    commands = [order(2 * S, Side.BUY, 10, leverage=10.0)]
    assert only(run(commands, DEEP, crash, instrument=LEVERED), Liquidated)
    calm = event(Kind.MARK, 3 * S, price=100)
    assert not only(run(commands, DEEP, calm, crash, instrument=LEVERED), Liquidated)


def test_liquidation_takes_the_exits_with_it() -> None:
    reports = run(
        [msgspec.structs.replace(BOTH[0], leverage=10.0), *BOTH[1:]],
        DEEP,
        event(Kind.MARK, 4 * S, price=80),
        trade(5 * S, -1, 60, 1),
        instrument=LEVERED,
    )
    assert [c.client_order_id for c in only(reports, OrderCancelled)] == ["tp", "sl"]
    assert fills(reports) == [(101, 5)]


def test_leverage_beyond_the_tiers_is_cut_to_theirs() -> None:
    reports = run(
        [order(2 * S, Side.BUY, 10, leverage=500.0)], DEEP, event(Kind.MARK, 3 * S, price=100), instrument=LEVERED
    )
    assert only(reports, Liquidated) == []


def test_the_end_of_a_session_settles_what_the_book_cannot_take() -> None:
    commands = [
        order(2 * S, Side.BUY, 35),
        order(4 * S, Side.SELL, 35, "end", purpose=Purpose.SESSION_END, reduce_only=True),
    ]
    empty = joined([event(Kind.STATUS, 3 * S, aux=Status.GAP)])
    reports = run(commands, DEEP, trade(2 * S + 1, -1, 100, 1), empty)
    last = only(reports, Fill)[-1]
    assert last.liquidity is Liquidity.SETTLEMENT
    assert (last.lots, last.price) == (35, 100)


# state


def busy() -> tuple[list, Events, Instrument]:
    instrument = usual_instrument("BTCUSDT", 0)
    feed = GenerativeFeed(instrument, 3, 0 * S, hours=1 / 30, batch_ns=120 * S)
    events = feed.next_batch()
    assert events is not None
    commands: list = []
    rng = np.random.default_rng(1)
    for k in range(40):
        ts = (2 + 3 * k) * S
        side = Side.BUY if k % 2 == 0 else Side.SELL
        mid = int(events[events["kind"] == Kind.QUOTE]["price"][0])
        away = int(rng.integers(0, 400))
        commands += [
            order(ts, side, 200, f"m{k}"),
            order(ts + 1, side, 50, f"l{k}", price=mid - side * away),
            order(ts + 2, side.opposite, 100, f"s{k}", type=OrderType.STOP_MARKET, trigger=mid - side * away),
            CancelOrder(ts=ts + S, client_order_id=f"l{k}", instrument=0),
        ]
    return commands, events, instrument


@pytest.mark.parametrize("model", ["risk_averse", "probabilistic"])
def test_cuts_and_restarts_anywhere_change_nothing(model: str) -> None:
    commands, events, instrument = busy()
    params = VenueParams(queue_model=model)
    whole = SimulatedVenue([instrument], params)
    reports = drive(whole, commands, events)
    assert len(only(reports, Fill)) > 50
    assert any(f.liquidity is Liquidity.MAKER for f in only(reports, Fill))
    parts = SimulatedVenue([instrument], params)
    rng = np.random.default_rng(2)
    cuts = tuple(int(ts) for ts in rng.integers(0, 120 * S, 200))
    assert drive(parts, commands, events, cuts) == reports
    assert parts.snapshot() == whole.snapshot()
    again = SimulatedVenue([instrument], params)
    heard: list[Report] = []
    for start, end in zip((0, *sorted(cuts)[::20]), (*sorted(cuts)[::20], FOREVER), strict=True):
        fresh = SimulatedVenue([instrument], params)
        fresh.restore(again.snapshot())
        again = fresh
        part = events[(events["ts_recv"] >= start) & (events["ts_recv"] < end)]
        stops = [c for c in commands if start <= c.ts < end]
        heard += drive_to(again, stops, part, end)
    assert heard == reports
    assert again.snapshot() == whole.snapshot()


def drive_to(venue: SimulatedVenue, commands: list, events: Events, end: int) -> list[Report]:
    reports: list[Report] = []
    for until, command in [*((c.ts, c) for c in commands), (end, None)]:
        count = int(np.searchsorted(events["ts_recv"], until, side="left"))
        at = 0
        while True:
            at, heard = venue.advance(events[:count], at, until)
            if not heard:
                break
            reports += heard
        events = events[count:]
        if command is not None:
            venue.send(command)
    return reports


def test_a_foreign_snapshot_is_refused() -> None:
    with pytest.raises(SnapshotMismatch):
        SimulatedVenue([COIN]).restore(msgspec.msgpack.encode(("other", {}, b"", b"")))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.sampled_from([-1, 1]), st.integers(1, 60), st.booleans()), min_size=1, max_size=12),
    st.sampled_from(["risk_averse", "probabilistic"]),
)
def test_fills_add_up_to_the_position_and_never_exceed_an_order(steps: list, model: str) -> None:
    venue = SimulatedVenue([COIN], msgspec.structs.replace(PROMPT, queue_model=model))
    commands = [
        order((2 + k) * S, Side(side), lots, f"o{k}", reduce_only=reduces)
        for k, (side, lots, reduces) in enumerate(steps)
    ]
    tape = joined([DEEP, *[book((2 + k) * S + 500 * MS, {99: 30, 98: 30}, {101: 30, 103: 30}) for k in range(12)]])
    reports = drive(venue, commands, tape)
    held = 0
    for report in reports:
        if isinstance(report, Fill):
            submitted = next(c for c in commands if c.client_order_id == report.client_order_id)
            if submitted.reduce_only:
                assert abs(held + report.side * report.lots) < abs(held)
            held += report.side * report.lots
    assert venue.position(0).lots == held
    for command in commands:
        got = sum(f.lots for f in only(reports, Fill) if f.client_order_id == command.client_order_id)
        left = sum(c.lots_left for c in only(reports, OrderCancelled) if c.client_order_id == command.client_order_id)
        rejected = any(r.client_order_id == command.client_order_id for r in only(reports, OrderRejected))
        assert got + left == (0 if rejected else command.lots)
