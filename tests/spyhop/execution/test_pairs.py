"""Two legs: hedged fill by fill, never further apart than permitted, and at the end flat or hedged."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.errors import IllegalTransition, InvalidSetting, SnapshotMismatch
from spyhop.execution.legs import NEXT, LegOrder, PairParams, PairStatus
from spyhop.execution.pairs import HEDGE, LEADER, NEVER, Pair
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    CancelOrder,
    CancelRejected,
    Command,
    Fill,
    FundingPaid,
    Liquidity,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
    OrderType,
    OrderUnknown,
    Purpose,
    Report,
    SubmitOrder,
)
from spyhop.model.tape import Side, Venue

S, MS = NS_PER_S, NS_PER_MS
T0 = 100 * S
FAST = Instrument(id=0, venue=Venue.BINANCE_USDM, symbol="COINUSDT", tick_size=Decimal("0.5"), lot_size=Decimal("0.1"))
SLOW = Instrument(id=1, venue=Venue.DYDX, symbol="COIN-USD", tick_size=Decimal(1), lot_size=Decimal("0.3"))
LEGS = (
    LegOrder(instrument=0, side=Side.BUY, reference=1000),
    LegOrder(instrument=1, side=Side.SELL, reference=500),
)
# a leader lot is 50 quote currency: 30 lots may be unhedged
PARAMS = PairParams(max_imbalance=1_500.0)


def pair(
    lots: int = 100,
    params: PairParams = PARAMS,
    legs: tuple[LegOrder, LegOrder] = LEGS,
    instruments: tuple[Instrument, ...] = (FAST, SLOW),
) -> Pair:
    return Pair("s1-p1", params, legs, lots, instruments, T0)


def fill(order: SubmitOrder, lots: int, ts: int) -> Fill:
    return Fill(
        ts=ts,
        ts_venue=ts,
        fill_id=f"{order.client_order_id}-{ts}",
        client_order_id=order.client_order_id,
        instrument=order.instrument,
        side=order.side,
        price=1000,
        lots=lots,
        liquidity=Liquidity.TAKER,
        fee=0.0,
        slippage=0.0,
    )


def cancelled(order: SubmitOrder, left: int, ts: int, kind: type = OrderCancelled) -> Report:
    return kind(ts=ts, ts_venue=ts, client_order_id=order.client_order_id, instrument=order.instrument, lots_left=left)


def rejected(order: SubmitOrder, ts: int) -> OrderRejected:
    return OrderRejected(
        ts=ts, ts_venue=ts, client_order_id=order.client_order_id, instrument=order.instrument, reason="no margin"
    )


def unknown(order: SubmitOrder, ts: int) -> OrderUnknown:
    return OrderUnknown(ts=ts, client_order_id=order.client_order_id, instrument=order.instrument, reason="time-out")


def one(commands: list[Command]) -> SubmitOrder:
    (order,) = commands
    assert isinstance(order, SubmitOrder)
    return order


# the usual way


def test_every_fill_of_the_leader_is_hedged_and_rests_are_carried() -> None:
    two = pair(30)
    leader = one(two.begin())
    assert (leader.lots, leader.side, leader.purpose, leader.instrument) == (30, Side.BUY, Purpose.ENTRY, 0)
    assert two.on_report(OrderAccepted(ts=T0, ts_venue=T0, client_order_id="s1-p1.L1", instrument=0)) == []
    first = one(two.on_report(fill(leader, 10, T0 + 1)))
    assert (first.lots, first.side, first.purpose, first.instrument) == (3, Side.SELL, Purpose.HEDGE, 1)
    second = one(two.on_report(fill(leader, 5, T0 + 2)))  # a lot was carried: (10 - 9) + 5 are two of the hedge's
    assert second.lots == 2
    two.on_report(fill(first, 3, T0 + 3))
    third = one(two.on_report(fill(leader, 15, T0 + 4)))
    assert third.lots == 5
    two.on_report(fill(second, 2, T0 + 5))
    two.on_report(fill(third, 5, T0 + 6))
    assert (two.status, two.held, two.imbalance) == (PairStatus.HEDGED, (30, 10), 0)
    assert two.due() == NEVER


def test_the_next_clip_waits_for_the_hedge() -> None:
    two = pair(100)
    sent = [one(two.begin())]
    for n in range(1, 4):
        hedge = one(two.on_report(fill(sent[-1], sent[-1].lots, T0 + n * S)))
        sent.append(one(two.on_report(fill(hedge, hedge.lots, T0 + n * S))))
    assert [order.lots for order in sent] == [30, 30, 30, 10]
    hedge = one(two.on_report(fill(sent[-1], 10, T0 + 5 * S)))
    assert hedge.lots == 3
    # a lot of the leader stays, a third of one of the hedge's
    two.on_report(fill(hedge, 3, T0 + 5 * S))
    assert (two.status, two.held, two.imbalance) == (PairStatus.HEDGED, (100, 33), 1)


def test_a_rest_that_the_hedge_would_not_take_is_closed() -> None:
    instruments = (FAST, msgspec.structs.replace(SLOW, min_qty=Decimal("0.9")))
    two = pair(30, instruments=instruments)
    hedge = one(two.on_report(fill(one(two.begin()), 30, T0 + 1)))
    two.on_report(fill(hedge, 9, T0 + 2))
    rest = one(two.on_report(cancelled(hedge, 1, T0 + 3)))  # 0.3 is left, and 0.9 the least
    assert (rest.lots, rest.reduce_only, rest.side, rest.instrument) == (3, True, Side.SELL, 0)
    two.on_report(fill(rest, 3, T0 + 4))
    assert (two.status, two.held, two.reason) == (PairStatus.HEDGED, (27, 9), "")


def test_a_limit_leader_has_its_time() -> None:
    legs = (msgspec.structs.replace(LEGS[0], price=999), LEGS[1])
    two = pair(30, legs=legs)
    leader = one(two.begin())
    assert (leader.type, leader.price) == (OrderType.LIMIT, 999)
    hedge = one(two.on_report(fill(leader, 9, T0 + S)))
    two.on_report(fill(hedge, 3, T0 + S))
    assert two.due() == T0 + 30 * S
    (command,) = two.on_time(T0 + 30 * S)
    assert command == CancelOrder(ts=T0 + 30 * S, client_order_id="s1-p1.L1", instrument=0)
    assert two.status is PairStatus.HEDGING
    two.on_report(cancelled(leader, 21, T0 + 31 * S, OrderExpired))
    assert (two.status, two.held) == (PairStatus.HEDGED, (9, 3))


def test_a_cancelled_pair_that_has_nothing_is_flat() -> None:
    two = pair()
    leader = one(two.begin())
    two.cancel(T0 + 1)
    two.on_report(cancelled(leader, 30, T0 + 2))
    assert two.status is PairStatus.FLAT


def test_a_hedge_that_got_too_little_is_tried_again() -> None:
    two = pair(30)
    hedge = one(two.on_report(fill(one(two.begin()), 30, T0 + 1)))
    two.on_report(fill(hedge, 4, T0 + 2))
    assert two.on_report(cancelled(hedge, 6, T0 + 3)) == []
    assert two.due() == T0 + 3 + 250 * MS
    again = one(two.on_time(two.due()))
    assert (again.lots, again.purpose) == (6, Purpose.HEDGE)
    two.on_report(fill(again, 6, T0 + S))
    assert two.status is PairStatus.HEDGED


# legs that fail


def test_a_rejected_leader_leaves_nothing() -> None:
    two = pair()
    two.on_report(rejected(one(two.begin()), T0 + 1))
    assert (two.status, two.reason) == (PairStatus.FLAT, "leader rejected: no margin")


def test_a_rejected_hedge_unwinds_the_leader() -> None:
    two = pair(30)
    leader = one(two.begin())
    hedge = one(two.on_report(fill(leader, 10, T0 + 1)))
    unwind = one(two.on_report(rejected(hedge, T0 + 2)))
    assert (unwind.purpose, unwind.reduce_only, unwind.side, unwind.lots) == (Purpose.UNWIND, True, Side.SELL, 10)
    assert unwind.type is OrderType.MARKET
    # what the leader still gets is closed, too
    more = one(two.on_report(fill(leader, 20, T0 + 3)))
    assert (more.lots, more.purpose) == (20, Purpose.UNWIND)
    two.on_report(fill(unwind, 10, T0 + 4))
    two.on_report(fill(more, 20, T0 + 5))
    assert (two.status, two.held, two.reason) == (PairStatus.FLAT, (0, 0), "hedge rejected: no margin")


def test_an_unclear_hedge_that_was_filled_after_all_is_unwound_as_well() -> None:
    two = pair(30)
    leader = one(two.begin())
    hedge = one(two.on_report(fill(leader, 30, T0 + 1)))
    unwind = one(two.on_report(unknown(hedge, T0 + 2)))
    assert unwind.lots == 30
    two.on_report(fill(unwind, 30, T0 + 3))
    assert two.status is PairStatus.UNWINDING  # nobody knows what became of the hedge
    back = one(two.on_report(fill(hedge, 10, T0 + 4)))
    assert (back.instrument, back.side, back.lots, back.reduce_only) == (1, Side.BUY, 10, True)
    two.on_report(fill(back, 10, T0 + 5))
    assert (two.status, two.held) == (PairStatus.FLAT, (0, 0))


def test_what_is_unhedged_for_too_long_is_unwound() -> None:
    two = pair(30)
    one(two.on_report(fill(one(two.begin()), 30, T0 + S)))
    assert two.due() == T0 + 3 * S
    assert two.on_time(T0 + 3 * S - 1) == []
    assert one(two.on_time(T0 + 3 * S)).purpose is Purpose.UNWIND
    assert two.reason == "unhedged for 2000 ms"


def test_only_what_is_unmatched_is_unwound() -> None:
    two = pair(60)
    hedge = one(two.on_report(fill(one(two.begin()), 30, T0 + 1)))
    leader = one(two.on_report(fill(hedge, 10, T0 + 2)))
    hedge = one(two.on_report(fill(leader, 30, T0 + 3)))
    unwind = one(two.on_report(rejected(hedge, T0 + 4)))
    assert unwind.lots == 30
    two.on_report(fill(unwind, 30, T0 + 5))
    assert (two.status, two.held) == (PairStatus.HEDGED, (30, 10))


def test_an_unwinding_order_that_failed_is_tried_again() -> None:
    two = pair(30)
    hedge = one(two.on_report(fill(one(two.begin()), 30, T0 + 1)))
    unwind = one(two.on_report(rejected(hedge, T0 + 2)))
    assert two.on_report(rejected(unwind, T0 + 3)) == []
    again = one(two.on_time(two.due()))
    assert (again.lots, again.purpose) == (30, Purpose.UNWIND)


def test_a_late_fill_begins_the_unwinding_again() -> None:
    two = pair(30)
    leader = one(two.begin())
    two.on_report(rejected(leader, T0 + 1))
    assert two.status is PairStatus.FLAT
    unwind = one(two.on_report(fill(leader, 6, T0 + 2)))
    assert (unwind.lots, unwind.reduce_only) == (6, True)
    two.on_report(fill(unwind, 6, T0 + 3))
    assert (two.status, two.reason) == (PairStatus.FLAT, "leader rejected: no margin")


def test_fills_that_are_owed_are_waited_for() -> None:
    two = pair(30)
    leader = one(two.begin())
    two.cancel(T0)
    assert two.on_report(cancelled(leader, 18, T0 + 1)) == []
    assert two.status is PairStatus.HEDGING
    assert one(two.on_report(fill(leader, 12, T0 + 2))).lots == 4


def test_reports_of_others_mean_nothing() -> None:
    two = pair(30)
    leader = one(two.begin())
    before = two.snapshot()
    foreign = msgspec.structs.replace(leader, client_order_id="s1-p11.L1")
    assert two.on_report(fill(foreign, 5, T0)) == []
    assert two.on_report(FundingPaid(ts=T0, ts_venue=T0, instrument=0, rate=0.0, lots=1, amount=1.0)) == []
    assert two.snapshot() == before


# what is refused


@pytest.mark.parametrize(
    "keywords",
    [
        {"params": PairParams(max_imbalance=49.0)},
        {"params": PairParams(max_imbalance=100.0)},  # two lots: no lot of the hedge
        {"lots": 2},
        {"legs": (LEGS[0], msgspec.structs.replace(LEGS[1], side=Side.BUY))},
        {"legs": (LEGS[0], msgspec.structs.replace(LEGS[1], instrument=0))},
        {"instruments": (FAST, msgspec.structs.replace(SLOW, is_inverse=True))},
    ],
)
def test_pairs_that_cannot_be(keywords) -> None:
    with pytest.raises(InvalidSetting):
        pair(**keywords)


def test_contracts_of_another_size() -> None:
    thousand = msgspec.structs.replace(SLOW, lot_size=Decimal(1), multiplier=Decimal("0.001"))
    assert pair(instruments=(FAST, thousand)).ratio == 100
    contract = {"is_inverse": True, "lot_size": Decimal(1)}
    hundred = msgspec.structs.replace(FAST, multiplier=Decimal(100), **contract)
    ten = msgspec.structs.replace(SLOW, multiplier=Decimal(10), **contract)
    assert pair(instruments=(hundred, ten)).ratio == 10


def test_a_snapshot_of_another_pair_is_refused() -> None:
    two = pair()
    for foreign in (b"\xc1", Pair("s1-p2", PARAMS, LEGS, 100, (FAST, SLOW), T0).snapshot()):
        with pytest.raises(SnapshotMismatch):
            two.restore(foreign)


def test_no_pair_leaves_its_table() -> None:
    two = pair()
    two.on_report(rejected(one(two.begin()), T0 + 1))
    with pytest.raises(IllegalTransition):
        two._move(PairStatus.LEADING)
    assert set(NEXT) == set(PairStatus)


# whatever the venues do


class AnyVenues(RuleBasedStateMachine):
    """Two venues that fill, end, refuse and forget orders as drawn; we hear of it later."""

    @initialize(
        lots=st.integers(3, 200),
        is_limit=st.booleans(),
        hedge_lot=st.sampled_from(["0.3", "0.1", "0.01", "0.25"]),
    )
    def begin(self, lots: int, is_limit: bool, hedge_lot: str) -> None:
        self.instruments = (FAST, msgspec.structs.replace(SLOW, lot_size=Decimal(hedge_lot)))
        self.legs = (msgspec.structs.replace(LEGS[0], price=999 if is_limit else 0), LEGS[1])
        self.lots, self.ts = lots, T0
        self.left: dict[str, int] = {}
        self.orders: dict[str, SubmitOrder] = {}
        self.pending: list[Report] = []
        self.wished: list[str] = []
        self.true = [0, 0]
        self.has_unwound = False
        self.pair = self.fresh()
        self.send(self.pair.begin())

    def fresh(self) -> Pair:
        return pair(self.lots, legs=self.legs, instruments=self.instruments)

    def send(self, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, SubmitOrder):
                assert command.client_order_id not in self.orders
                assert command.lots > 0
                self.orders[command.client_order_id] = command
                self.left[command.client_order_id] = command.lots
                self.has_unwound |= command.purpose is Purpose.UNWIND
            elif self.left[command.client_order_id]:
                self.wished.append(command.client_order_id)

    def alive(self) -> list[str]:
        return [key for key, left in self.left.items() if left]

    def leg(self, order: SubmitOrder) -> int:
        return LEADER if order.instrument == 0 else HEDGE

    def could(self, key: str) -> int:
        order, left = self.orders[key], self.left[key]
        return min(left, self.true[self.leg(order)]) if order.reduce_only else left

    def fill(self, key: str, lots: int) -> None:
        order = self.orders[key]
        self.left[key] -= lots
        leg = self.leg(order)
        self.true[leg] += lots if order.side is self.legs[leg].side else -lots
        self.pending.append(fill(order, lots, self.ts))

    @rule(data=st.data())
    @precondition(lambda self: any(self.could(key) for key in self.alive()))
    def some_is_filled(self, data) -> None:
        key = data.draw(st.sampled_from([key for key in self.alive() if self.could(key)]))
        self.fill(key, data.draw(st.integers(1, self.could(key))))

    @rule(data=st.data(), kind=st.sampled_from([OrderCancelled, OrderExpired, OrderRejected]))
    @precondition(lambda self: self.alive())
    def one_ends(self, data, kind: type) -> None:
        key = data.draw(st.sampled_from(self.alive()))
        order, left = self.orders[key], self.left[key]
        self.left[key] = 0
        if kind is OrderRejected and left == order.lots:
            self.pending.append(rejected(order, self.ts))
        else:
            kind = OrderCancelled if kind is OrderRejected else kind
            # it may overtake fills, which are owed then
            self.pending.insert(data.draw(st.integers(0, len(self.pending))), cancelled(order, left, self.ts, kind))

    @rule(data=st.data())
    @precondition(lambda self: self.alive())
    def one_is_unclear(self, data) -> None:
        order = self.orders[data.draw(st.sampled_from(self.alive()))]
        self.hear(unknown(order, self.ts))

    @rule()
    @precondition(lambda self: self.wished)
    def a_cancellation_fails(self) -> None:
        order = self.orders[self.wished.pop()]
        self.hear(
            CancelRejected(
                ts=self.ts, ts_venue=self.ts, client_order_id=order.client_order_id, instrument=0, reason="busy"
            )
        )

    @rule(count=st.integers(1, 3))
    @precondition(lambda self: self.pending)
    def reports_are_heard(self, count: int) -> None:
        for _ in range(min(count, len(self.pending))):
            self.hear(self.pending.pop(0))

    def hear(self, report: Report) -> None:
        self.send(self.pair.on_report(msgspec.structs.replace(report, ts=self.ts)))

    @rule(ms=st.sampled_from([1, 100, 300, 2_000, 10_000]))
    def time_passes(self, ms: int) -> None:
        end = self.ts + ms * MS
        while (due := self.pair.due()) <= end:
            self.ts = max(self.ts, due)
            self.send(self.pair.on_time(self.ts))
            assert self.pair.due() > self.ts
        self.ts = end

    @rule()
    def we_are_killed(self) -> None:
        snapshot = self.pair.snapshot()
        self.pair = self.fresh()
        self.pair.restore(snapshot)
        assert self.pair.snapshot() == snapshot

    @rule()
    @precondition(lambda self: self.ts > T0 + 5 * S)
    def it_is_cancelled(self) -> None:
        self.send(self.pair.cancel(self.ts))

    @invariant()
    def no_leg_is_further_than_permitted(self) -> None:
        imbalance = self.true[LEADER] - self.true[HEDGE] / self.pair.ratio
        assert abs(imbalance) <= self.pair.clip + max(Fraction(1), 1 / self.pair.ratio)
        assert min(self.true) >= 0
        assert self.true[LEADER] <= self.lots
        if not self.has_unwound:
            assert imbalance >= 0  # never more hedge than there is to hedge

    def teardown(self) -> None:
        if not hasattr(self, "pair"):
            return
        for _ in range(60):
            for key in self.alive():
                if (could := self.could(key)) and self.orders[key].type is OrderType.MARKET:
                    self.fill(key, could)
                if left := self.left[key]:
                    self.left[key] = 0
                    self.pending.append(cancelled(self.orders[key], left, self.ts))
            while self.pending:
                self.hear(self.pending.pop(0))
            self.time_passes(1_000)
        assert self.pair.is_over
        assert self.pair.held == tuple(self.true)
        assert self.pair.status is (PairStatus.HEDGED if any(self.true) else PairStatus.FLAT)
        assert abs(self.pair.imbalance) <= max(Fraction(1), 1 / self.pair.ratio)
        assert self.alive() == []
        assert self.pair.due() == NEVER


AnyVenues.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnyVenues = pytest.mark.slow(AnyVenues.TestCase)
