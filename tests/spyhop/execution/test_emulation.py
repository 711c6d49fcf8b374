"""Emulated orders fire where the venue's own would, survive restarts, and are the same however the tape is cut."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.execution.emulation import EmulatingGateway, WatchedPrice
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    CancelOrder,
    Fill,
    OrderAccepted,
    OrderCancelled,
    OrderRejected,
    OrderType,
    Purpose,
    Report,
    SubmitOrder,
)
from spyhop.model.tape import Events, Flag, Kind, Side, Venue, event, joined
from spyhop.ports import Gateway
from spyhop.simulation.venue import SimulatedVenue, VenueParams

S, MS = NS_PER_S, NS_PER_MS
NATIVE = frozenset({OrderType.MARKET, OrderType.LIMIT, OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET})
PLAIN = frozenset({OrderType.MARKET, OrderType.LIMIT})
COIN = Instrument(id=0, venue=Venue.SIMULATED, symbol="COINUSDT", tick_size=Decimal("0.5"), lot_size=Decimal("0.1"))
# from the trigger to the execution as long as from our command to its effect: who fires does not show in the times
PROMPT = VenueParams(
    entry_latency_ms=10.0,
    entry_jitter_ms=0.0,
    response_latency_ms=5.0,
    response_jitter_ms=0.0,
    trigger_latency_ms=10.0,
)


def depth(ts: int) -> Events:
    levels = [(1, price, 1_000) for price in range(999, 900, -1)] + [(-1, price, 1_000) for price in range(1001, 1100)]
    rows = [event(Kind.SNAPSHOT, ts, qty=len(levels), id=ts)]
    for i, (side, price, qty) in enumerate(levels):
        flags = Flag.FROM_SNAPSHOT | (Flag.LAST if i == len(levels) - 1 else 0)
        rows.append(event(Kind.LEVEL, ts, side=side, price=price, qty=qty, id=ts, aux=ts, aux2=-1, flags=flags))
    return joined(rows)


def trade(ts: int, price: int, number: int = 0) -> Events:
    one = event(Kind.TRADE, ts, side=1, price=price, qty=1)
    one["instrument"] = number
    return one


def path(*prices: int, start: int = 2 * S) -> Events:
    """Return a book and then a trade a second."""
    return joined([depth(1 * S), *(trade(start + k * S, price) for k, price in enumerate(prices))])


def order(kind: OrderType, key: str = "a", ts: int = 1 * S + 1, side: Side = Side.SELL, **keywords) -> SubmitOrder:
    values = {"lots": 5, "purpose": Purpose.STOP_LOSS, "instrument": 0, **keywords}
    return SubmitOrder(ts=ts, client_order_id=key, side=side, type=kind, **values)


def emulating(
    has: frozenset[OrderType] = PLAIN, by: WatchedPrice = "last", venue: VenueParams = PROMPT
) -> EmulatingGateway:
    return EmulatingGateway(SimulatedVenue([COIN], msgspec.structs.replace(venue, trigger_by=by)), has, by)


def advanced(gateway: Gateway, events: Events, until: int) -> list[Report]:
    heard: list[Report] = []
    at = 0
    while True:
        at, reports = gateway.advance(events, at, until)
        if not reports:
            assert at == np.searchsorted(events["ts_recv"], until)
            return heard
        heard += reports


def play(gateway: Gateway, commands: list, events: Events, cuts: tuple[int, ...] = ()) -> list[Report]:
    """Return all reports; commands are sent at their times, and the tape is cut at them and at `cuts`."""
    heard: list[Report] = []
    stops = sorted([(command.ts, k, command) for k, command in enumerate(commands)] + [(cut, -1, None) for cut in cuts])
    for ts, _, command in stops:
        count = int(np.searchsorted(events["ts_recv"], ts))
        heard += advanced(gateway, events[:count], ts)
        events = events[count:]
        if command is not None:
            gateway.send(command)
    return heard + advanced(gateway, events, 1 << 60)


def only(reports: list[Report], kind: type) -> list:
    return [report for report in reports if isinstance(report, kind)]


def fill_times(reports: list[Report]) -> list[tuple[str, int, int, int]]:
    return [(f.client_order_id, f.ts_venue, f.price, f.lots) for f in only(reports, Fill)]


def test_a_stop_of_ours_fires_at_the_event_that_fires_the_venues() -> None:
    tape = path(1000, 995, 990, 985)
    stop = order(OrderType.STOP_MARKET, trigger=990)
    native, ours = play(emulating(NATIVE), [stop], tape), play(emulating(), [stop], tape)
    assert fill_times(ours) == fill_times(native) == [("a", 4 * S + 10 * MS, 999, 5)]


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(985, 1015), min_size=1, max_size=25),
    st.lists(
        st.tuples(
            st.sampled_from([OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET]),
            st.sampled_from([Side.BUY, Side.SELL]),
            st.integers(985, 1015),
            st.integers(0, 20),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["last", "mark"]),
)
def test_ours_and_the_venues_own_fire_at_the_same_events(
    prices: list[int], wanted: list[tuple[OrderType, Side, int, int]], by: WatchedPrice
) -> None:
    tape = path(1000, *prices)
    if by == "mark":
        tape["kind"][tape["kind"] == Kind.TRADE] = Kind.MARK
    # between two trades, so that the way to the venue (which only its own orders go before they fire) does not show
    asked = [
        order(kind, f"o{k}", ts=2 * S + at * S + 500 * MS, side=side, trigger=trigger)
        for k, (kind, side, trigger, at) in enumerate(wanted)
    ]
    native, ours = play(emulating(NATIVE, by), asked, tape), play(emulating(PLAIN, by), asked, tape)
    # one that has passed already fires when it arrives: at the venue after the way there, and once more to fire
    in_time = {key for key, ts, _, _ in fill_times(native) if (ts - 10 * MS) % S == 0}
    assert [f for f in fill_times(ours) if f[0] in in_time] == [f for f in fill_times(native) if f[0] in in_time]
    assert {f[0] for f in fill_times(ours)} == {f[0] for f in fill_times(native)}


def test_an_order_of_ours_is_accepted_at_once_and_marked() -> None:
    (told,) = play(emulating(), [order(OrderType.STOP_MARKET, trigger=900)], path(1000))
    assert told == OrderAccepted(ts=S + 1, ts_venue=S + 1, client_order_id="a", instrument=0, is_emulated=True)


def test_what_the_venue_has_goes_straight_through() -> None:
    commands = [order(OrderType.STOP_MARKET, trigger=990), order(OrderType.MARKET, "b", ts=3 * S, side=Side.BUY)]
    tape = path(1000, 995, 990)
    bare = SimulatedVenue([COIN], PROMPT)
    assert play(emulating(NATIVE), commands, tape) == play(bare, commands, tape)


def test_a_stop_limit_rests_at_its_price() -> None:
    stop = order(OrderType.STOP_LIMIT, trigger=990, price=1005)
    reports = play(emulating(), [stop], path(1000, 990, 1006))
    assert fill_times(reports) == [("a", 4 * S, 1005, 5)]


def test_a_take_profit_limit_buys_no_dearer_than_it_says() -> None:
    reports = play(
        emulating(), [order(OrderType.TAKE_PROFIT_LIMIT, side=Side.BUY, trigger=995, price=1001)], path(1000, 995)
    )
    assert fill_times(reports) == [("a", 3 * S + 10 * MS, 1001, 5)]


@pytest.mark.parametrize("cuts", [(), tuple(range(2 * S, 9 * S, S // 2))])
def test_a_trailing_stop_follows_and_fires(cuts: tuple[int, ...]) -> None:
    tape = path(1000, 1010, 1003, 1012, 1005, 1004)
    reports = play(emulating(), [order(OrderType.TRAILING_STOP, callback=8)], tape, cuts)
    assert [f.ts_venue for f in only(reports, Fill)] == [7 * S + 10 * MS]


def test_what_is_no_trade_fires_nothing() -> None:
    tape = path(1000, 980)
    tape["qty"][-1] = 0
    assert only(play(emulating(), [order(OrderType.STOP_MARKET, trigger=990)], tape), Fill) == []


def test_our_own_answers_wait_for_their_time() -> None:
    one, tape = emulating(), path(1000)[:0]
    one.send(order(OrderType.STOP_MARKET, "a", 3 * S, trigger=990))
    one.send(order(OrderType.STOP_MARKET, "b", 4 * S, trigger=990))
    heard = [one.advance(tape, 0, until)[1] for until in (3 * S, 4 * S, 4 * S + 1, 5 * S)]
    assert [[report.client_order_id for report in reports] for reports in heard] == [[], ["a"], ["b"], []]


def test_an_order_that_comes_too_late_fires_at_once() -> None:
    reports = play(emulating(), [order(OrderType.STOP_MARKET, ts=4 * S + 1, trigger=1003)], path(1010, 1000, 1001))
    assert [f.ts_venue for f in only(reports, Fill)] == [4 * S + 1 + 10 * MS]


@pytest.mark.parametrize("by", ["last", "mark"])
def test_the_other_price_stands_in_while_the_watched_one_is_silent(by: WatchedPrice) -> None:
    other, own = (Kind.MARK, Kind.TRADE) if by == "last" else (Kind.TRADE, Kind.MARK)
    tape = path(1000, 989)
    tape["kind"][-2:] = other
    stop = order(OrderType.STOP_MARKET, trigger=990)
    assert [f.ts_venue for f in only(play(emulating(by=by), [stop], tape), Fill)] == [3 * S + 10 * MS]
    tape["kind"][-2] = own
    assert only(play(emulating(by=by), [stop], tape), Fill) == []


def test_a_cancelled_order_never_reaches_the_venue() -> None:
    one = emulating()
    cancel = CancelOrder(ts=2 * S + 5, client_order_id="a", instrument=0)
    reports = play(one, [order(OrderType.STOP_MARKET, trigger=990), cancel], path(1000, 980))
    assert only(reports, OrderCancelled) == [
        OrderCancelled(ts=2 * S + 5, ts_venue=2 * S + 5, client_order_id="a", instrument=0, lots_left=5)
    ]
    assert only(reports, Fill) == []
    assert one.statistics()["armed"] == one.statistics()["fired"] == 0.0
    assert one.statistics()["emulated"] == 1.0


def test_a_cancellation_after_the_firing_goes_to_the_venue() -> None:
    stop = order(OrderType.STOP_LIMIT, trigger=990, price=1050)
    cancel = CancelOrder(ts=4 * S + 5, client_order_id="a", instrument=0)
    (cancelled,) = only(play(emulating(), [stop, cancel], path(1000, 990, 1000, 1000)), OrderCancelled)
    assert cancelled.ts_venue == 4 * S + 5 + 10 * MS


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (order(OrderType.STOP_MARKET, "b"), "a conditional order needs a trigger"),
        (order(OrderType.STOP_MARKET, "a", trigger=5), "duplicate client order id"),
    ],
)
def test_what_cannot_be_held_is_rejected(second: SubmitOrder, reason: str) -> None:
    reports = play(emulating(), [order(OrderType.STOP_MARKET, trigger=900), second], path(1000))
    assert [r.reason for r in only(reports, OrderRejected)] == [reason]


def test_instruments_do_not_fire_each_other() -> None:
    tape = joined([path(1000), trade(3 * S, 980, number=1)])
    assert only(play(emulating(), [order(OrderType.STOP_MARKET, trigger=990)], tape), Fill) == []


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(980, 1020), min_size=5, max_size=20),
    st.lists(st.integers(0, 22 * S), max_size=6),
    st.integers(0, 2**32 - 1),
)
def test_cuts_and_restarts_anywhere_change_nothing(prices: list[int], cuts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    kinds = sorted(OrderType)
    commands: list = []
    for k in range(8):
        kind, side = kinds[rng.integers(len(kinds))], Side(1 if rng.random() < 0.5 else -1)
        ts, price = int(rng.integers(S, 20 * S)), int(rng.integers(985, 1015))
        price_of = price if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT) else 0
        trigger = price if kind not in (OrderType.MARKET, OrderType.LIMIT, OrderType.TRAILING_STOP) else 0
        callback = int(rng.integers(5, 35)) if kind is OrderType.TRAILING_STOP else 0
        commands.append(order(kind, f"o{k}", ts, side, price=price_of, trigger=trigger, callback=callback))
        if rng.random() < 0.3:
            commands.append(CancelOrder(ts=ts + int(rng.integers(3 * S)), client_order_id=f"o{k}", instrument=0))
    tape = path(*prices)
    whole = emulating(venue=VenueParams())
    expected = play(whole, commands, tape)
    one = Restarting()
    assert play(one, commands, tape, tuple(cuts)) == expected
    assert one.gateway.snapshot() == whole.snapshot()


class Restarting:
    """A gateway that is taken down and built anew from its snapshot before every command."""

    def __init__(self) -> None:
        self.gateway = emulating(venue=VenueParams())

    def send(self, command: SubmitOrder | CancelOrder) -> None:
        snapshot, self.gateway = self.gateway.snapshot(), emulating(venue=VenueParams())
        self.gateway.restore(snapshot)
        self.gateway.send(command)

    def advance(self, events: Events, start: int, until: int) -> tuple[int, list[Report]]:
        return self.gateway.advance(events, start, until)
