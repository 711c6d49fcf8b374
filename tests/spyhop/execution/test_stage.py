"""Round trips: every way out, every way of going wrong, and the same facts however the tape is cut."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import numpy as np
import pytest

from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.errors import StateError
from spyhop.execution.blotter import REMEMBERED
from spyhop.execution.emulation import EmulatingGateway
from spyhop.execution.pyramids import PyramidParams
from spyhop.execution.stage import ExecutionParams, OrderStage
from spyhop.ledger.account import Account
from spyhop.model.decisions import Intent
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    CancelOrder,
    CancelRejected,
    Difference,
    DifferenceKind,
    Fact,
    Fill,
    FundingPaid,
    Liquidated,
    Liquidity,
    OrderAccepted,
    OrderCancelled,
    OrderChanged,
    OrderExpired,
    OrderRejected,
    OrderSent,
    OrderStatus,
    OrderType,
    OrderUnknown,
    Purpose,
    Reconciled,
    Report,
    SubmitOrder,
    TradeClosed,
)
from spyhop.model.tape import Events, Flag, Kind, Side, Status, Venue, event, joined
from spyhop.model.verdicts import Approved, RiskState, RiskStateChanged
from spyhop.simulation.feed import GenerativeFeed, MarketParams, usual_instrument
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
POINT = 0.5 * 0.1  # quote currency of a tick and a lot


def book(ts: int, bids: dict[int, int], asks: dict[int, int]) -> Events:
    levels = [(1, price, qty) for price, qty in bids.items()] + [(-1, price, qty) for price, qty in asks.items()]
    rows = [event(Kind.SNAPSHOT, ts, qty=len(levels), id=ts)]
    for i, (side, price, qty) in enumerate(levels):
        flags = Flag.FROM_SNAPSHOT | (Flag.LAST if i == len(levels) - 1 else 0)
        rows.append(event(Kind.LEVEL, ts, side=side, price=price, qty=qty, id=ts, aux=ts, aux2=-1, flags=flags))
    return joined(rows)


def trade(ts: int, side: int, price: int, qty: int = 1) -> Events:
    return event(Kind.TRADE, ts, side=side, price=price, qty=qty)


def end(ts: int) -> Events:
    return event(Kind.STATUS, ts, aux=Status.SESSION_END)


def approval(ts: int = 2 * S, lots: int = 10, side: Side = Side.BUY, **keywords) -> Approved:
    take, stop, hold = (keywords.pop(name, None) for name in ("take", "stop", "hold"))
    intent = Intent(
        seq=keywords.pop("seq", 1),
        ts=ts,
        instrument=keywords.pop("instrument", 0),
        decision_seq=7,
        side=side,
        strategy="WHALE_PUMP",
        probability=0.8,
        confidence=0.7,
        reference=keywords.pop("reference", 1000),
        take_profit=take or 1000 + side * 20,
        stop=stop or 1000 - side * 10,
        max_hold_ns=hold if hold is not None else 100 * S,
    )
    values = {
        "seq": 1,
        "ts": ts,
        "leverage": 2.0,
        "risk": 1.0,
        "margin": 0.0,
        "epoch": 1,
        "expires": ts + S,
        **keywords,
    }
    return Approved(intent=intent, lots=lots, **values)


def stage(
    params: ExecutionParams | None = None,
    venue: VenueParams = PROMPT,
    instruments: tuple[Instrument, ...] = (COIN,),
    has: frozenset[OrderType] | None = None,
) -> OrderStage:
    """Return a stage before a simulated venue, behind a gateway that emulates what is not in `has` unless None."""
    gateway = SimulatedVenue(instruments, venue)
    emulating = gateway if has is None else EmulatingGateway(gateway, has)
    return OrderStage(params or ExecutionParams(), instruments, emulating, "s1")


def play(one: OrderStage, approvals: list[Approved], events: Events, until: int = FOREVER) -> list[Fact]:
    facts: list[Fact] = []
    for approved in approvals:
        count = int(np.searchsorted(events["ts_recv"], approved.ts, side="left"))
        facts += one.advance(events[:count], approved.ts)
        facts += one.on_approved(approved)
        events = events[count:]
    facts += one.advance(events, until)
    assert [fact.ts for fact in facts] == sorted(fact.ts for fact in facts)
    return facts


def run(approvals: list[Approved], *tapes: Events, **keywords) -> list[Fact]:
    return play(stage(**keywords), approvals, joined(list(tapes)))


def only(facts: list[Fact], kind: type) -> list:
    return [fact for fact in facts if isinstance(fact, kind)]


def closed(facts: list[Fact]) -> TradeClosed:
    (record,) = only(facts, TradeClosed)
    return record


def path(facts: list[Fact], purpose: Purpose) -> list[str]:
    """Return the causes and statuses of the (first) order with a purpose."""
    first = next(f.client_order_id for f in only(facts, OrderChanged) if f.order.purpose is purpose)
    return [str(f.status) for f in only(facts, OrderChanged) if f.client_order_id == first]


def check_conservation(facts: list[Fact], instrument: Instrument = COIN) -> None:
    """Fills add up to nothing held, and the records' net is what an account gained."""
    assert sum(f.side * f.lots for f in only(facts, Fill)) == sum(f.side * f.lots for f in only(facts, Liquidated))
    account = Account(1_000_000.0, [instrument])
    for fact in facts:
        account.on_fact(fact)
    net = sum(record.net for record in only(facts, TradeClosed))
    assert account.cash - 1_000_000.0 == pytest.approx(net, abs=1e-6)
    for record in only(facts, TradeClosed):
        assert record.net == pytest.approx(record.gross - record.fees - record.funding, abs=1e-12)


MARKET = book(1 * S, {999: 50, 998: 50, 980: 500}, {1001: 6, 1002: 40, 1020: 500})
HIGH = joined([book(10 * S, {1021: 50, 1020: 50}, {1023: 50}), trade(11 * S, 1, 1022)])
LOW = joined([book(10 * S, {988: 4, 987: 50}, {991: 50}), trade(11 * S, -1, 990)])


def test_a_take_profit_ends_a_long() -> None:
    facts = run([approval()], MARKET, HIGH)
    record = closed(facts)
    assert record.exit_purpose == "take_profit"
    assert record.entry_price == pytest.approx((6 * 1001 + 4 * 1002) / 10 * 0.5)
    assert record.exit_price == pytest.approx(1021 * 0.5)
    assert record.gross == pytest.approx(POINT * (10 * 1021 - 6 * 1001 - 4 * 1002))
    assert record.fees == pytest.approx(0.0004 * POINT * (10 * 1021 + 6 * 1001 + 4 * 1002))
    assert (record.lots, record.strategy, record.intent_seq, record.decision_seq) == (10, "WHALE_PUMP", 1, 7)
    assert (record.take_profit_price, record.stop_loss_price) == (510.0, 495.0)
    check_conservation(facts)


def test_a_stop_ends_a_long() -> None:
    facts = run([approval()], MARKET, LOW)
    record = closed(facts)
    assert record.exit_purpose == "stop_loss"
    assert record.exit_price == pytest.approx((4 * 988 + 6 * 987) / 10 * 0.5)
    assert record.gross < 0.0
    check_conservation(facts)


def test_a_short_is_the_mirror_of_a_long() -> None:
    long = closed(run([approval()], MARKET, HIGH))
    mirrored = book(1 * S, {999: 6, 998: 40, 980: 500}, {1001: 50, 1002: 50, 1020: 500})
    low = joined([book(10 * S, {977: 50}, {979: 50, 980: 50}), trade(11 * S, -1, 978)])
    short = closed(run([approval(side=Side.SELL)], mirrored, low))
    assert short.exit_purpose == "take_profit"
    assert short.gross == pytest.approx(long.gross)
    assert short.max_profit_frac == pytest.approx(long.max_profit_frac, rel=0.05)


def test_the_one_exit_cancels_the_other() -> None:
    facts = run([approval()], MARKET, HIGH)
    assert path(facts, Purpose.ENTRY) == ["pending_new", "open", "partially_filled", "filled"]
    assert path(facts, Purpose.TAKE_PROFIT) == ["pending_new", "open", "filled"]
    assert path(facts, Purpose.STOP_LOSS) == ["pending_new", "open", "cancel_pending", "cancelled"]


def test_exits_are_as_large_as_what_was_filled() -> None:
    thin = book(1 * S, {999: 50}, {1001: 6})
    facts = run([approval(lots=10)], thin, HIGH)
    exits = [f.order for f in only(facts, OrderChanged) if f.order.reduce_only and f.status is OrderStatus.PENDING_NEW]
    assert {order.lots for order in exits} == {6}
    assert all(order.reduce_only for order in exits)
    assert closed(facts).lots == 6
    check_conservation(facts)


def test_an_entry_that_got_nothing_leaves_nothing() -> None:
    one = stage()
    facts = play(one, [approval()], trade(1 * S, 1, 1000))
    assert path(facts, Purpose.ENTRY) == ["pending_new", "open", "cancelled"]
    assert only(facts, TradeClosed) == []
    assert one.statistics()["open_trips"] == one.statistics()["live_orders"] == 0.0


def test_the_maximum_hold_closes_at_the_book() -> None:
    still = joined([trade((20 + k) * S, 1, 1001) for k in range(20)])
    facts = run([approval(hold=30 * S)], MARKET, still)
    record = closed(facts)
    assert record.exit_purpose == "max_hold"
    assert record.ts_exit == record.ts_entry + 30 * S + 15 * MS
    assert record.exit_price == pytest.approx(999 * 0.5)
    check_conservation(facts)


def test_the_maximum_hold_needs_no_event() -> None:
    one = stage()
    play(one, [approval(hold=30 * S)], MARKET, until=10 * S)
    assert only(one.advance(MARKET[:0], 40 * S), TradeClosed)


def test_the_end_of_the_session_flattens() -> None:
    one = stage()
    facts = play(one, [approval()], joined([MARKET, end(10 * S)]))
    record = closed(facts)
    assert record.exit_purpose == "session_end"
    assert record.ts_exit == 10 * S + 15 * MS
    assert one.statistics()["open_trips"] == one.statistics()["live_orders"] == 0.0
    check_conservation(facts)


def test_the_end_without_any_depth_settles_and_says_so() -> None:
    gap = event(Kind.STATUS, 9 * S, aux=Status.GAP)
    facts = run([approval()], MARKET, trade(8 * S, -1, 997), gap, end(10 * S))
    last = only(facts, OrderChanged)[-3:]
    assert any("settled at the last price" in fact.reason for fact in last)
    assert closed(facts).exit_price == pytest.approx(996 * 0.5)
    check_conservation(facts)


def test_an_entry_in_flight_at_the_end_is_closed_all_the_same() -> None:
    one = stage()
    facts = play(one, [approval(10 * S - MS)], joined([MARKET, end(10 * S)]))
    assert closed(facts).exit_purpose == "session_end"
    assert one.statistics()["live_orders"] == 0.0
    check_conservation(facts)


def test_a_resting_entry_is_cancelled_at_the_end() -> None:
    facts = run([approval(reference=990)], MARKET, end(3 * S), params=ExecutionParams(entry_type="limit"))
    assert path(facts, Purpose.ENTRY) == ["pending_new", "open", "cancel_pending", "cancelled"]


def test_after_the_end_nothing_is_entered() -> None:
    facts = run([approval(12 * S)], MARKET, end(10 * S), trade(13 * S, 1, 1000))
    (refused,) = only(facts, OrderChanged)
    assert (refused.status, refused.cause, refused.reason) == (
        OrderStatus.REJECTED,
        "refused approval 1",
        "the session has ended",
    )


def test_the_end_of_one_instrument_leaves_the_other_alone() -> None:
    other = msgspec.structs.replace(COIN, id=1, symbol="OTHERUSDT")
    second = MARKET.copy()
    second["instrument"] = 1
    tape = joined([MARKET, second, end(10 * S)])
    facts = run([approval(), approval(instrument=1, seq=2)], tape, instruments=(COIN, other))
    assert [(record.instrument, record.exit_purpose) for record in only(facts, TradeClosed)] == [
        (0, "session_end"),
        (1, "max_hold"),
    ]


@pytest.mark.parametrize(
    ("late", "reason"),
    [
        (approval(5 * S, epoch=2, expires=5 * S - MS), "the approval expired 1.000 ms ago"),
        (approval(5 * S, epoch=1), "epoch 1 is older than 2"),
        (approval(5 * S, epoch=2, instrument=5), "instrument 5 is not traded in this session"),
        (approval(5 * S, epoch=2), "a trade of this instrument is under way"),
        (approval(5 * S, epoch=2, lots=0), "0 lots cannot be ordered"),
    ],
)
def test_what_may_not_be_entered_any_more_is_a_fact(late: Approved, reason: str) -> None:
    one = stage()
    if "0 lots" in reason:
        one.on_approved(approval(epoch=2, instrument=9))
        facts = play(one, [late], MARKET)
    else:
        facts = play(one, [approval(epoch=2), late], MARKET, until=6 * S)
    refused = [f for f in only(facts, OrderChanged) if f.cause.startswith("refused")]
    assert [(f.status, f.reason) for f in refused] == [(OrderStatus.REJECTED, reason)]


@pytest.mark.parametrize(
    ("ticket", "reason"),
    [
        (approval(expires=2 * S), ""),
        (approval(expires=2 * S - 1), "the approval expired 0.000 ms ago"),
        (approval(epoch=3), ""),
        (approval(epoch=2), "epoch 2 is older than 3"),
    ],
)
def test_only_an_approval_that_holds_and_is_of_no_older_epoch_reaches_the_venue(ticket: Approved, reason: str) -> None:
    one = stage()
    # the newest epoch is known from a ticket that became no order
    newest = approval(epoch=ticket.epoch + ("epoch" in reason), instrument=9)
    first, *rest = play(one, [newest, msgspec.structs.replace(ticket, seq=2)], MARKET, until=3 * S)
    assert first.reason == "instrument 9 is not traded in this session"
    assert [fact.reason for fact in only(rest, OrderChanged)][-1] == reason
    assert bool(only(rest, Fill)) == (not reason)


def test_a_rejection_frees_the_instrument() -> None:
    strict = msgspec.structs.replace(COIN, min_notional=Decimal(10**6))
    facts = run([approval(), approval(5 * S)], MARKET, instruments=(strict,))
    changes = only(facts, OrderChanged)
    assert [f.status for f in changes] == [OrderStatus.PENDING_NEW, OrderStatus.REJECTED] * 2
    assert "notional" in changes[1].reason


def test_a_limit_entry_fills_in_parts_and_each_part_is_armed() -> None:
    queue = book(1 * S, {999: 50, 1000: 5}, {1001: 6, 1002: 40})
    parts = joined([trade(3 * S, -1, 1000, 8), trade(4 * S, -1, 1000, 4), HIGH])
    facts = run([approval()], queue, parts, params=ExecutionParams(entry_type="limit"))
    assert [(f.lots, f.liquidity) for f in only(facts, Fill)][:2] == [(3, "maker"), (4, "maker")]
    sizes = [
        f.order.lots
        for f in only(facts, OrderChanged)
        if f.order.purpose is Purpose.STOP_LOSS and f.status is OrderStatus.PENDING_NEW
    ]
    assert sizes == [3, 4]
    assert "cancelled" in path(facts, Purpose.ENTRY)
    assert closed(facts).lots == 7
    check_conservation(facts)


def test_a_limit_entry_waits_no_longer_than_told() -> None:
    facts = run(
        [approval(reference=990)],
        MARKET,
        trade(20 * S, 1, 1001),
        params=ExecutionParams(entry_type="limit", entry_wait_ms=3_000.0),
    )
    asked = next(f for f in only(facts, OrderChanged) if f.status is OrderStatus.CANCEL_PENDING)
    assert asked.ts == 5 * S
    assert only(facts, TradeClosed) == []


def test_a_post_only_entry_that_would_cross_is_rejected() -> None:
    facts = run([approval(reference=1001)], MARKET, params=ExecutionParams(entry_type="post_only"))
    assert path(facts, Purpose.ENTRY) == ["pending_new", "rejected"]


def test_an_exit_that_found_too_little_depth_is_tried_again() -> None:
    thin = joined([book(10 * S, {988: 4}, {991: 50}), trade(11 * S, -1, 990)])
    more = book(11 * S + 200 * MS, {985: 50}, {991: 50})
    one = stage()
    facts = play(one, [approval()], joined([MARKET, thin, more]))
    record = closed(facts)
    assert record.exit_purpose == "stop_loss"
    assert [(f.price, f.lots) for f in only(facts, Fill)][-2:] == [(988, 4), (985, 6)]
    assert one.statistics()["live_orders"] == 0.0
    check_conservation(facts)


def test_an_exit_that_got_nothing_at_all_is_tried_again() -> None:
    # a stop that fires into an empty book ends without a fill, and must not leave the position bare
    empty = joined([event(Kind.STATUS, 10 * S, aux=Status.GAP), trade(11 * S, -1, 990)])
    back = book(14 * S, {985: 50}, {991: 50})
    facts = run([approval(hold=900 * S)], MARKET, empty, back)
    assert path(facts, Purpose.STOP_LOSS) == ["pending_new", "open", "cancelled"]
    record = closed(facts)
    assert (record.exit_purpose, record.exit_price) == ("stop_loss", 985 * 0.5)
    assert 14 * S < record.ts_exit < 15 * S
    check_conservation(facts)


def test_exits_without_end_are_an_error_and_not_a_loop() -> None:
    gone = joined([book(10 * S, {988: 4}, {991: 50}), trade(11 * S, -1, 990)])
    with pytest.raises(StateError, match="still open after 3 attempts"):
        run([approval()], MARKET, gone, params=ExecutionParams(max_close_attempts=3))


def test_funding_across_a_stamp_is_in_the_record() -> None:
    settled = event(Kind.FUNDING, 5 * S + 1, id=5 * S, aux=round(0.001 * 1e12), flags=Flag.SETTLED)
    facts = run([approval()], MARKET, trade(4 * S, 1, 1000), settled, HIGH)
    (paid,) = only(facts, FundingPaid)
    record = closed(facts)
    assert record.funding == paid.amount == pytest.approx(1000 * POINT * 10 * 0.001)
    check_conservation(facts)


def test_liquidation_ends_a_trip_with_its_margin() -> None:
    crash = event(Kind.MARK, 5 * S, price=850)
    margin = POINT * 1000 * 10 / 10.0
    facts = run([approval(margin=margin, stop=700)], MARKET, crash)
    (lost,) = only(facts, Liquidated)
    record = closed(facts)
    assert record.exit_purpose == "liquidation"
    assert lost.loss == pytest.approx(margin, rel=0.01)
    assert record.gross == pytest.approx(-lost.loss)
    check_conservation(facts)


def test_excursions_are_those_of_the_trades_while_it_was_held() -> None:
    trades = joined(
        [trade(1 * S + 5, -1, 991), trade(5 * S, 1, 1010), trade(6 * S, -1, 995), HIGH, trade(20 * S, 1, 1700)]
    )
    record = closed(run([approval()], MARKET, trades))
    entry = (6 * 1001 + 4 * 1002) / 10
    assert record.max_profit_frac == pytest.approx(1022 / entry - 1.0)
    assert record.max_drawdown_frac == pytest.approx(995 / entry - 1.0)


def test_slippage_of_the_record_is_that_of_its_fills() -> None:
    facts = run([approval()], MARKET, HIGH)
    assert closed(facts).slippage == pytest.approx(sum(f.slippage for f in only(facts, Fill)))
    assert only(facts, Fill)[0].slippage > 0.0


def test_client_ids_count_on_and_trade_ids_have_the_seed_shape() -> None:
    facts = run([approval()], MARKET, HIGH)
    ids = [f.client_order_id for f in only(facts, OrderChanged) if f.status is OrderStatus.PENDING_NEW]
    assert ids == ["s1-000001", "s1-000002", "s1-000003"]
    assert closed(facts).trade_id == "WT_19700101_000002_0001"


def test_a_report_on_an_unknown_order_is_an_error() -> None:
    class Confused(SimulatedVenue):
        def advance(self, events: Events, start: int, until: int):
            return start, [OrderAccepted(ts=1, ts_venue=1, client_order_id="whose", instrument=0)]

    one = OrderStage(ExecutionParams(), [COIN], Confused([COIN]), "s1")
    with pytest.raises(StateError, match="not ours"):
        one.advance(MARKET, 5 * S)


def test_the_leverage_of_an_order_is_that_of_its_margin() -> None:
    facts = run([approval(margin=POINT * 1000 * 10 / 4.0)], MARKET)
    submitted: SubmitOrder = only(facts, OrderChanged)[0].order
    assert submitted.leverage == pytest.approx(4.0)


class Desk:
    """A gateway that hears what a test tells it to hear."""

    def __init__(self) -> None:
        self.commands: list[SubmitOrder | CancelOrder] = []
        self.reports: list[Report] = []

    def send(self, command: SubmitOrder | CancelOrder) -> None:
        self.commands.append(command)

    def advance(self, events: Events, start: int, until: int) -> tuple[int, list[Report]]:
        ready = [report for report in self.reports if report.ts < until]
        now = [report for report in ready if report.ts == ready[0].ts]
        self.reports = self.reports[len(now) :]
        return (start, now) if now else (max(start, int(np.searchsorted(events["ts_recv"], until))), [])

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode(self.reports)

    def restore(self, snapshot: bytes) -> None:
        self.reports = msgspec.msgpack.decode(snapshot, type=list[Report])

    def statistics(self) -> dict[str, float]:
        return {}


class Live:
    """A stage behind a desk; its orders are numbered from 1 on."""

    def __init__(
        self,
        params: ExecutionParams | None = None,
        *,
        must_agree: bool = False,
        has: frozenset[OrderType] | None = None,
    ) -> None:
        self.desk, self.now = Desk(), 0
        gateway = self.desk if has is None else EmulatingGateway(self.desk, has)
        self.stage = OrderStage(params or ExecutionParams(), [COIN], gateway, "s1", must_agree=must_agree)

    def approve(self, ts: int, **keywords) -> list[Fact]:
        self.now = ts
        return self.stage.advance(MARKET[:0], ts) + self.stage.on_approved(approval(ts, **keywords))

    def hear(self, ts: int, *reports: Report) -> list[Fact]:
        self.now = ts
        self.desk.reports += [msgspec.structs.replace(report, ts=ts) for report in reports]
        return self.stage.advance(MARKET[:0], ts + 1)

    def wait(self, ts: int) -> list[Fact]:
        return self.stage.advance(MARKET[:0], ts)

    def enter(self) -> list[Fact]:
        """Buy 10 lots at 1000 at 3 s: order 1 fills, 2 takes profit, 3 stops."""
        self.approve(2 * S)
        facts = self.hear(3 * S, accepted(1), fill(1, 10))
        return facts + self.hear(4 * S, accepted(2), accepted(3))

    def sent(self) -> list[tuple]:
        """Take what was sent: number, kind and lots of orders, number of cancellations."""
        commands, self.desk.commands = self.desk.commands, []
        return [
            (number_of(c), c.type, c.side * c.lots) if isinstance(c, SubmitOrder) else ("cancel", number_of(c))
            for c in commands
        ]


def number_of(message) -> int:
    return int(message.client_order_id.removeprefix("s1-"))


def ids(number: int) -> dict:
    return {"ts": 0, "client_order_id": f"s1-{number:06d}", "instrument": 0}


def accepted(number: int) -> OrderAccepted:
    return OrderAccepted(ts_venue=0, **ids(number))


def cancelled(number: int, left: int = 10) -> OrderCancelled:
    return OrderCancelled(ts_venue=0, lots_left=left, **ids(number))


def rejected(number: int) -> OrderRejected:
    return OrderRejected(ts_venue=0, reason="no", **ids(number))


def expired(number: int) -> OrderExpired:
    return OrderExpired(ts_venue=0, lots_left=10, **ids(number))


def unknown(number: int) -> OrderUnknown:
    return OrderUnknown(reason="timed out", **ids(number))


def cancel_rejected(number: int) -> CancelRejected:
    return CancelRejected(ts_venue=0, reason="too late", **ids(number))


def fill(number: int, lots: int, side: Side = Side.BUY, key: str = "", price: int = 1000) -> Fill:
    return Fill(
        ts_venue=0,
        fill_id=key or f"f{number}",
        side=side,
        price=price,
        lots=lots,
        liquidity=Liquidity.TAKER,
        fee=0.0,
        slippage=0.0,
        **ids(number),
    )


def reconciled(is_clean: bool) -> Reconciled:
    return Reconciled(ts=0, instrument=0, is_clean=is_clean, cause="timer")


def statuses(facts: list[Fact], number: int) -> list[str]:
    return [f.status.value for f in only(facts, OrderChanged) if number_of(f) == number]


def causes(facts: list[Fact]) -> list[tuple[int, str, str]]:
    return [(number_of(f), f.status.value, f.cause) for f in only(facts, OrderChanged)]


CLOSE = OrderType.MARKET
PLAIN = frozenset({OrderType.MARKET, OrderType.LIMIT})


def test_every_step_names_what_caused_it() -> None:
    live = Live()
    facts = live.approve(2 * S) + live.hear(3 * S, accepted(1), fill(1, 10))
    facts += live.hear(4 * S, fill(3, 10, Side.SELL, "v77"))
    assert causes(facts) == [
        (1, "pending_new", "approval 1"),
        (1, "open", "accepted s1-000001"),
        (1, "filled", "fill f1"),
        (2, "pending_new", "fill f1"),
        (3, "pending_new", "fill f1"),
        (3, "filled", "fill v77"),
        (2, "cancel_pending", "fill v77"),
    ]


def test_sent_and_unknown_are_told_and_nothing_is_sent_again() -> None:
    live = Live()
    facts = live.approve(2 * S) + live.hear(3 * S, OrderSent(**ids(1))) + live.hear(4 * S, unknown(1))
    facts += live.wait(90 * S)
    assert statuses(facts, 1) == ["pending_new", "sent", "unknown"]
    assert live.sent() == [(1, CLOSE, 10)]
    facts = live.hear(91 * S, accepted(1), fill(1, 10))
    assert statuses(facts, 1) == ["open", "filled"]
    assert [kind for _, kind, _ in live.sent()] == [OrderType.TAKE_PROFIT_MARKET, OrderType.STOP_MARKET]


def test_an_unknown_close_is_waited_for() -> None:
    live = Live()
    live.enter()
    live.wait(200 * S)  # the maximum hold is over
    live.sent()
    live.hear(201 * S, unknown(4))
    live.wait(400 * S)
    assert live.sent() == []
    live.hear(400 * S, rejected(4))
    live.wait(401 * S)
    assert live.sent() == [(5, CLOSE, -10)]


def test_the_stop_stands_until_the_close_has_filled() -> None:
    live = Live()
    live.enter()
    live.sent()
    live.wait(200 * S)
    assert live.sent() == [("cancel", 2), (4, CLOSE, -10)]
    live.hear(200 * S, cancelled(2), rejected(4))
    live.wait(201 * S)
    assert live.sent() == [(5, CLOSE, -10)]
    live.hear(202 * S, fill(5, 4, Side.SELL, "a"))
    assert live.sent() == []
    assert len(only(live.hear(203 * S, fill(5, 6, Side.SELL, "b")), TradeClosed)) == 1
    assert live.sent() == [("cancel", 3)]
    live.hear(204 * S, cancelled(3))
    assert live.stage.is_idle


def test_a_stop_that_fires_beside_the_close_fills_what_is_held_and_no_more_is_sent() -> None:
    live = Live()
    live.enter()
    live.wait(200 * S)
    live.sent()
    facts = live.hear(201 * S, fill(3, 10, Side.SELL, price=990), expired(4), cancelled(2))
    (record,) = only(facts, TradeClosed)
    assert (record.exit_purpose, record.exit_price) == ("max_hold", 990 * 0.5)
    assert live.sent() == []
    assert live.stage.is_idle


def test_a_stop_that_has_begun_to_fill_does_not_hold_up_another_close() -> None:
    live = Live()
    live.enter()
    live.wait(200 * S)
    live.sent()
    live.hear(201 * S, fill(3, 2, Side.SELL), expired(4))
    live.wait(202 * S)
    assert (5, CLOSE, -8) in live.sent()


def test_a_stop_that_would_not_reduce_what_is_held_is_taken_back() -> None:
    live = Live(ExecutionParams(entry_type="limit"))
    live.approve(2 * S)
    live.hear(3 * S, accepted(1), fill(1, 4, key="a"))
    live.hear(4 * S, fill(1, 6, key="b"), accepted(2), accepted(3))
    live.hear(4 * S + MS, accepted(4), accepted(5))
    live.sent()
    live.hear(5 * S, fill(3, 14, Side.SELL))  # more than it asked: what is left is short
    assert live.sent() == [("cancel", 2), ("cancel", 4), ("cancel", 5), (6, CLOSE, 4)]


def test_escape_keeps_the_stop_until_the_close_has_filled() -> None:
    live = Live()
    live.enter()
    live.sent()
    live.stage.on_risk_state(risk_state(5 * S, RiskState.ESCAPE))
    assert live.sent() == [("cancel", 2), (4, CLOSE, -10)]


def test_a_limit_stop_makes_room_for_the_second_close() -> None:
    live = Live(ExecutionParams(stop_type="limit"))
    live.enter()
    live.sent()
    live.wait(200 * S)
    assert live.sent() == [("cancel", 2), (4, CLOSE, -10)]
    live.hear(200 * S, rejected(4))
    live.wait(201 * S)
    assert live.sent() == [("cancel", 3), (5, CLOSE, -10)]


def test_a_fill_before_the_acceptance_is_a_fill() -> None:
    live = Live()
    facts = live.approve(2 * S) + live.hear(3 * S, fill(1, 4, key="x"), accepted(1), fill(1, 6, key="y"))
    assert statuses(facts, 1) == ["pending_new", "partially_filled", "partially_filled", "filled"]


def test_a_fill_told_twice_is_booked_once() -> None:
    live = Live()
    live.enter()
    assert live.hear(5 * S, fill(1, 10)) == []
    assert live.stage.statistics()["duplicate_fills"] == 1.0
    (record,) = only(live.hear(6 * S, fill(2, 10, Side.SELL), fill(2, 10, Side.SELL)), TradeClosed)
    assert record.lots == 10


@pytest.mark.parametrize("end", [rejected(3), expired(3), cancelled(3)])
def test_a_stop_that_ends_without_us_is_replaced_by_a_close_at_once(end: Report) -> None:
    live = Live()
    live.enter()
    live.sent()
    live.hear(5 * S, end)
    assert live.sent() == [("cancel", 2), (4, CLOSE, -10)]


def test_a_close_that_fails_is_tried_again_after_a_pause() -> None:
    live = Live()
    live.enter()
    live.hear(5 * S, rejected(3))
    live.sent()
    live.hear(6 * S, rejected(4))
    assert live.sent() == []
    live.wait(6 * S + 500 * MS + 1)
    assert live.sent() == [(5, CLOSE, -10)]


def test_a_rejected_cancellation_leaves_the_order_and_is_asked_again() -> None:
    live = Live()
    live.enter()
    live.hear(5 * S, fill(2, 10, Side.SELL))
    live.sent()
    facts = live.hear(6 * S, cancel_rejected(3))
    assert statuses(facts, 3) == ["cancel_pending"]
    live.wait(7 * S)
    assert live.sent() == [("cancel", 3)]
    live.hear(8 * S, cancel_rejected(3), expired(3))
    live.wait(20 * S)
    assert live.sent() == []
    assert live.stage.statistics()["open_trips"] == 0.0


def test_a_late_fill_of_an_entry_that_was_cancelled_is_booked_and_unwound() -> None:
    live = Live()
    live.approve(2 * S)
    live.hear(3 * S, cancelled(1))
    assert live.stage.statistics()["open_trips"] == 0.0
    live.sent()
    facts = live.hear(9 * S, fill(1, 4))
    (late, _) = only(facts, OrderChanged)
    assert (late.status, late.filled, late.reason) == ("cancelled", 4, "filled after it was cancelled")
    assert live.sent() == [(2, CLOSE, -4)]
    (record,) = only(live.hear(10 * S, fill(2, 4, Side.SELL, price=990)), TradeClosed)
    assert (record.exit_purpose, record.side, record.lots, record.intent_seq) == ("unwind", Side.BUY, 4, 1)
    assert record.gross == pytest.approx(-10 * 4 * POINT)
    assert live.stage.statistics()["late_fills"] == 1.0


def test_two_exits_that_both_fill_leave_a_holding_that_is_unwound() -> None:
    live = Live()
    live.enter()
    facts = live.hear(5 * S, fill(2, 10, Side.SELL))
    live.sent()
    facts += live.hear(6 * S, fill(3, 10, Side.SELL))  # the cancellation came too late
    assert live.sent() == [(4, CLOSE, 10)]
    facts += live.hear(7 * S, fill(4, 10, Side.BUY))
    assert [(r.exit_purpose, r.side) for r in only(facts, TradeClosed)] == [("take_profit", 1), ("unwind", -1)]
    assert live.stage.statistics()["open_trips"] == 0.0


def test_two_exits_that_fill_at_one_instant_leave_nothing_either() -> None:
    live = Live()
    facts = live.enter()
    live.sent()
    facts += live.hear(5 * S, fill(2, 10, Side.SELL), fill(3, 10, Side.SELL))
    assert live.sent() == [(4, CLOSE, 10)]
    facts += live.hear(6 * S, fill(4, 10, Side.BUY))
    check_conservation(facts)


def test_a_late_fill_while_another_trade_is_under_way_closes_all() -> None:
    live = Live()
    facts = live.approve(2 * S) + live.hear(3 * S, cancelled(1)) + live.approve(4 * S, epoch=1)
    facts += live.hear(5 * S, fill(2, 10))
    live.sent()
    facts += live.hear(6 * S, fill(1, 3))
    assert live.sent() == [("cancel", 3), (5, CLOSE, -13)]
    facts += live.hear(7 * S, fill(5, 13, Side.SELL, price=990), cancelled(3))
    assert live.sent() == [("cancel", 4)]
    facts += live.hear(8 * S, cancelled(4))
    (record,) = only(facts, TradeClosed)
    assert record.exit_purpose == "unwind"
    check_conservation(facts)


def test_more_than_was_asked_is_held_and_armed() -> None:
    live = Live()
    facts = live.approve(2 * S) + live.hear(3 * S, fill(1, 12))
    assert only(facts, OrderChanged)[1].reason == "2 lots more than asked"
    assert [lots for _, _, lots in live.sent()] == [10, -12, -12]


def test_orders_long_gone_are_forgotten_and_counted() -> None:
    live = Live()
    for k in range(REMEMBERED + 1):
        live.approve(k * S + S)
        live.hear(k * S + 2 * MS + S, rejected(k + 1))
    assert live.hear(live.now, fill(1, 5)) == []
    assert live.stage.statistics()["forgotten_reports"] == 1.0
    assert only(live.hear(live.now, fill(2, 5)), Fill)


def test_entries_wait_while_the_venue_and_we_differ_and_exits_do_not() -> None:
    live = Live()
    live.enter()
    difference = Difference(
        ts=0, instrument=0, kind=DifferenceKind.FOREIGN_POSITION, ours=0.0, theirs=3.0, is_repaired=False
    )
    facts = live.hear(5 * S, difference, reconciled(is_clean=False))
    assert [type(fact) for fact in facts] == [Difference, Reconciled]
    live.sent()
    live.wait(200 * S)
    assert (4, CLOSE, -10) in live.sent()
    live.hear(201 * S, fill(4, 10, Side.SELL), cancelled(2), cancelled(3))
    (refused,) = live.approve(202 * S)
    assert (refused.status, refused.reason) == (OrderStatus.REJECTED, "not reconciled")
    live.hear(203 * S, reconciled(is_clean=True))
    assert statuses(live.approve(204 * S), 6) == ["pending_new"]


def test_a_live_session_begins_when_the_venue_agrees() -> None:
    live = Live(must_agree=True)
    assert [fact.reason for fact in live.approve(2 * S)] == ["not reconciled"]
    live.hear(3 * S, reconciled(is_clean=True))
    assert [fact.reason for fact in live.approve(4 * S)] == [""]


def test_an_entry_that_is_worked_in_parts_is_taken_back_when_its_trip_ends() -> None:
    live = Live()
    live.approve(2 * S)
    live.hear(3 * S, accepted(1), fill(1, 4))
    live.sent()
    live.hear(4 * S, fill(3, 4, Side.SELL))
    assert live.sent() == [("cancel", 1), ("cancel", 2)]


def test_an_exit_at_a_price_that_fills_in_parts_is_let_go_on() -> None:
    live = Live(ExecutionParams(entry_type="limit", take_profit_type="limit"))
    live.approve(2 * S)
    live.hear(3 * S, accepted(1), fill(1, 6, key="a"))
    live.hear(4 * S, accepted(2), accepted(3), fill(2, 2, Side.SELL))
    live.sent()
    live.hear(5 * S, fill(1, 4, key="b"))
    assert [(kind, lots) for _, kind, lots in live.sent()] == [
        (OrderType.TAKE_PROFIT_LIMIT, -4),
        (OrderType.STOP_MARKET, -4),
    ]
    live.wait(60 * S)
    assert live.sent() == []


def risk_state(ts: int, state: RiskState, instrument: int = -1) -> RiskStateChanged:
    return RiskStateChanged(ts=ts, state=state, before=RiskState.CAN_TRADE, reasons=(), instrument=instrument)


def test_a_halt_takes_back_what_would_enter_and_keeps_the_stops() -> None:
    live = Live(ExecutionParams(entry_type="limit"))
    live.approve(2 * S)
    live.hear(3 * S, accepted(1), fill(1, 4))
    live.sent()
    live.stage.on_risk_state(risk_state(4 * S, RiskState.HALT))
    assert live.sent() == [("cancel", 1)]


def test_an_escape_closes_what_is_held_and_what_still_comes() -> None:
    live = Live()
    facts = live.approve(2 * S) + live.stage.on_risk_state(risk_state(3 * S, RiskState.ESCAPE))
    live.sent()
    facts += live.hear(4 * S, accepted(1), fill(1, 10))
    assert live.sent() == [(2, CLOSE, -10)]
    facts += live.hear(5 * S, fill(2, 10, Side.SELL))
    assert closed(facts).exit_purpose == "kill"


def test_an_escape_of_another_instrument_is_not_ours() -> None:
    live = Live()
    live.enter()
    live.sent()
    assert live.stage.on_risk_state(risk_state(5 * S, RiskState.ESCAPE, instrument=1)) == []
    assert live.sent() == []


def test_a_close_covers_what_came_while_another_was_under_way() -> None:
    live = Live(ExecutionParams(entry_type="limit"))
    live.approve(2 * S)
    live.hear(3 * S, accepted(1), fill(1, 4, key="a"))
    live.hear(4 * S, rejected(3))
    live.sent()
    live.hear(5 * S, fill(1, 2, key="b"))
    live.wait(5 * S + 501 * MS)
    assert live.sent() == [(5, CLOSE, -2)]


@pytest.mark.parametrize("refusal", [rejected(3), unknown(3)])
def test_a_stop_of_ours_that_the_venue_does_not_take_leaves_nothing_open(refusal: Report) -> None:
    live = Live(has=PLAIN)
    live.approve(2 * S)
    facts = live.hear(3 * S, accepted(1), fill(1, 10))
    assert [f.reason for f in only(facts, OrderChanged)][-2:] == ["held by us until it triggers"] * 2
    assert live.sent() == [(1, CLOSE, 10)]
    facts = live.stage.advance(trade(5 * S, -1, 990), 6 * S)
    assert live.sent() == [(3, CLOSE, -10)]
    facts += live.hear(6 * S, refusal)
    if isinstance(refusal, OrderUnknown):
        assert live.sent() == []  # it may be there
        facts += live.hear(7 * S, rejected(3))
        assert statuses(facts, 3) == ["unknown", "rejected"]
    assert live.sent() == [(4, CLOSE, -10)]
    # the take profit never left us, so its cancellation is our own word
    assert statuses(facts, 2) == ["cancel_pending", "cancelled"]
    assert closed(live.hear(8 * S, fill(4, 10, Side.SELL))).exit_purpose == "stop_loss"
    assert live.stage.statistics()["live_orders"] == 0.0


def test_at_the_end_a_close_that_fails_is_followed_at_once_and_then_with_pauses() -> None:
    live = Live()
    live.enter()
    live.wait(200 * S)  # the maximum hold is over
    live.stage.advance(end(201 * S), 202 * S)
    assert live.sent()[-1] == (4, CLOSE, -10)
    live.hear(202 * S, rejected(4))
    assert live.sent() == [(5, CLOSE, -10)]
    live.hear(203 * S, rejected(5))
    assert live.sent() == []
    live.wait(204 * S)
    assert live.sent() == [(6, CLOSE, -10)]


def test_an_exit_does_not_go_on_without_a_stop() -> None:
    live = Live(ExecutionParams(take_profit_type="limit"))
    live.enter()
    live.hear(5 * S, fill(2, 2, Side.SELL), fill(3, 2, Side.SELL))
    live.sent()
    live.wait(60 * S)
    assert live.sent() == []
    live.hear(61 * S, cancelled(3, left=8))
    live.wait(62 * S)
    assert live.sent() == [("cancel", 2), (4, CLOSE, -6)]


def bracket(params: ExecutionParams, *tapes: Events) -> list[Fact]:
    """Play an approval behind a gateway that emulates what the venue lacks."""
    has = frozenset({OrderType.MARKET, OrderType.LIMIT, OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET})
    one = stage(params, has=has)
    facts = play(one, [approval()], joined(list(tapes)))
    assert one.statistics()["live_orders"] == one.statistics()["venue_armed"] == 0.0
    check_conservation(facts)
    return facts


def test_a_limit_stop_gives_no_more_than_its_offset() -> None:
    params = ExecutionParams(stop_type="limit", stop_offset_ticks=2)
    facts = bracket(params, MARKET, LOW, book(12 * S, {995: 50}, {999: 50}), trade(13 * S, 1, 995))
    stop = next(f.order for f in only(facts, OrderChanged) if f.order.type is OrderType.STOP_LIMIT)
    assert (stop.trigger, stop.price, stop.side) == (990, 988, Side.SELL)
    assert [f.price for f in only(facts, Fill)][-2:] == [988, 988]
    assert closed(facts).exit_purpose == "stop_loss"


def test_a_limit_take_profit_rests_at_its_price() -> None:
    facts = bracket(ExecutionParams(take_profit_type="limit"), MARKET, trade(5 * S, 1, 1020), trade(6 * S, 1, 1021))
    assert [(f.price, f.liquidity) for f in only(facts, Fill)][-1] == (1020, "maker")
    assert closed(facts).exit_purpose == "take_profit"


def test_a_trailing_stop_stands_beside_the_stop() -> None:
    rise = joined([trade(5 * S, 1, 1015), book(6 * S, {1008: 50}, {1010: 50}), trade(7 * S, -1, 1009)])
    facts = bracket(ExecutionParams(trailing_frac=0.005), MARKET, rise, trade(9 * S, 1, 1009))
    kinds = {f.order.type: f.order for f in only(facts, OrderChanged) if f.order.reduce_only}
    assert set(kinds) == {OrderType.TAKE_PROFIT_MARKET, OrderType.STOP_MARKET, OrderType.TRAILING_STOP}
    assert kinds[OrderType.TRAILING_STOP].callback == 5
    record = closed(facts)
    assert (record.exit_price, record.exit_purpose) == (1008 * 0.5, "stop_loss")


def test_an_ioc_entry_takes_what_is_there_and_no_more() -> None:
    facts = run([approval(reference=1001)], MARKET, HIGH, params=ExecutionParams(entry_type="ioc"))
    assert path(facts, Purpose.ENTRY) == ["pending_new", "open", "partially_filled", "cancelled"]
    assert closed(facts).lots == 6
    check_conservation(facts)


@pytest.fixture(scope="module")
def long_tape() -> tuple[Events, Instrument, list[Approved]]:
    instrument = usual_instrument("BTCUSDT", 0)
    feed = GenerativeFeed(
        instrument, 5, 0, MarketParams(funding_interval_s=60, episode_gap_s=60.0), 0.2, batch_ns=720 * S
    )
    events = feed.next_batch()
    assert events is not None
    tape = joined([events, end(int(events["ts_recv"][-1]) + 1)])
    quotes = events[events["kind"] == Kind.QUOTE]
    approvals = []
    for k in range(17):
        ts = (5 + 40 * k) * S
        side = Side.BUY if k % 2 == 0 else Side.SELL
        mid = int(quotes["price"][np.searchsorted(quotes["ts_recv"], ts) - 1])
        one = approval(ts, 2_000, side, reference=mid, take=mid + side * 300, stop=mid - side * 200, hold=30 * S, seq=k)
        approvals.append(msgspec.structs.replace(one, margin=3_000.0))
    return tape, instrument, approvals


RICH = ExecutionParams(
    entry_type="limit", stop_type="limit", stop_offset_ticks=20, take_profit_type="limit", trailing_frac=0.0008
)
WAYS = [
    pytest.param(ExecutionParams(entry_type="market"), None, id="market"),
    pytest.param(ExecutionParams(entry_type="limit"), None, id="limit"),
    pytest.param(ExecutionParams(entry_type="ioc"), PLAIN, id="ioc, exits of ours"),
    pytest.param(RICH, PLAIN, id="limit exits and a trailing stop of ours"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("params", "has"), WAYS)
def test_a_whole_session_conserves_money_and_ends_flat(long_tape, params: ExecutionParams, has) -> None:
    tape, instrument, approvals = long_tape
    one = stage(params, VenueParams(), (instrument,), has)
    facts = play(one, approvals, tape)
    assert len(only(facts, TradeClosed)) > 6
    assert only(facts, FundingPaid)
    check_conservation(facts, instrument)
    assert one.statistics()["open_trips"] == one.statistics()["live_orders"] == 0.0
    assert one.statistics()["venue_live_orders"] == one.statistics().get("venue_armed", 0.0) == 0.0
    assert (one.statistics().get("venue_fired", 0.0) > 0) == (has is not None)


@pytest.mark.slow
@pytest.mark.parametrize(("params", "has"), WAYS)
def test_cuts_and_restarts_anywhere_give_the_same_facts(long_tape, params: ExecutionParams, has) -> None:
    tape, instrument, approvals = long_tape
    whole = stage(params, VenueParams(), (instrument,), has)
    expected = play(whole, approvals, tape)
    one = stage(params, VenueParams(), (instrument,), has)
    rng = np.random.default_rng(4)
    stops = sorted(
        [(a.ts, 1, a) for a in approvals] + [(int(ts), 0, None) for ts in rng.integers(0, 720 * S, 150)],
        key=lambda x: x[:2],
    )
    facts: list[Fact] = []
    rest = tape
    for k, (ts, _, approved) in enumerate(stops):
        count = int(np.searchsorted(rest["ts_recv"], ts, side="left"))
        facts += one.advance(rest[:count], ts)
        rest = rest[count:]
        if approved is not None:
            facts += one.on_approved(approved)
        if k % 7 == 0:
            fresh = stage(params, VenueParams(), (instrument,), has)
            fresh.restore(one.snapshot())
            assert fresh.snapshot() == one.snapshot()
            one = fresh
    facts += one.advance(rest, FOREVER)
    assert facts == expected
    assert one.snapshot() == whole.snapshot()


# adds and cuts

ADDING = ExecutionParams(pyramid=PyramidParams(max_adds=2, add_frac=0.5))


def add_to(live: Live, ts: int, seq: int = 2, stop: int = 1005, **keywords) -> list[Fact]:
    """Approve an add of up to 20 lots at 1015."""
    return live.approve(ts, seq=seq, lots=20, reference=1015, take=1020, stop=stop, **keywords)


def test_an_add_waits_until_the_common_stop_stands_and_takes_the_old_ones_back_then() -> None:
    live = Live(ADDING)
    live.enter()
    live.sent()
    add_to(live, 5 * S)
    assert live.sent() == [(4, OrderType.STOP_MARKET, -10)]
    facts = live.hear(5 * S + 10 * MS, accepted(4))
    assert live.sent() == [("cancel", 3), (5, CLOSE, 5)]  # half of the first entry, whatever was approved
    facts += live.hear(6 * S, fill(5, 5, price=1015), cancelled(3))
    assert live.sent() == [(6, OrderType.TAKE_PROFIT_MARKET, -5), (7, OrderType.STOP_MARKET, -5)]
    stops = [f.order.trigger for f in only(facts, OrderChanged) if number_of(f) == 7]
    assert stops == [1005]
    facts = live.hear(7 * S, fill(4, 10, Side.SELL, price=1005), fill(7, 5, Side.SELL, price=1005))
    record = closed(facts)
    assert (record.lots, record.entry_price, record.stop_loss_price) == (15, 1005 * 0.5, 1005 * 0.5)
    assert record.exit_purpose == "stop_loss"
    live.hear(8 * S, cancelled(2), cancelled(6))
    assert live.stage.is_idle


def test_without_the_setting_nothing_is_added() -> None:
    live = Live()
    live.enter()
    live.sent()
    (told,) = add_to(live, 5 * S)
    assert (told.status, told.reason) == ("rejected", "a trade of this instrument is under way")
    assert live.sent() == []


def test_what_may_not_be_added_is_a_fact() -> None:
    live = Live(ADDING)
    live.approve(2 * S)
    assert add_to(live, 2 * S)[-1].reason == "a trade of this instrument is under way"
    live.hear(3 * S, accepted(1), fill(1, 10))
    against = live.approve(4 * S, seq=3, side=Side.SELL)
    assert against[-1].reason == "an add has to be on the side of what is held"
    add_to(live, 5 * S)
    assert add_to(live, 5 * S, seq=4)[-1].reason == "a trade of this instrument is under way"
    live.stage.on_risk_state(risk_state(6 * S, RiskState.ESCAPE))
    assert add_to(live, 7 * S, seq=5)[-1].reason == "what is held is being closed"


def test_the_last_add_is_the_last() -> None:
    live = Live(msgspec.structs.replace(ADDING, pyramid=PyramidParams(max_adds=1, add_frac=0.5)))
    live.enter()
    add_to(live, 5 * S, stop=990)  # the stop stands where it should: the add goes out at once
    live.hear(6 * S, fill(4, 5))
    assert add_to(live, 7 * S, seq=3)[-1].reason == "1 adds were made"


def test_an_add_whose_stop_comes_too_late_or_never_is_refused() -> None:
    live = Live(ADDING)
    live.enter()
    add_to(live, 5 * S)
    live.sent()
    facts = live.hear(6 * S + 10 * MS, accepted(4))
    assert live.sent() == [("cancel", 3)]
    assert only(facts, OrderChanged)[-1].reason == "the approval expired 10.000 ms ago"
    live = Live(ADDING)
    live.enter()
    live.sent()
    add_to(live, 5 * S)
    facts = live.hear(5 * S + MS, rejected(4))
    # the price is beyond the new stop, so all has to go; the old stop stands meanwhile
    assert live.sent()[1:] == [("cancel", 2), (6, CLOSE, -10)]
    assert "what is held is being closed" in [f.reason for f in only(facts, OrderChanged)]


@pytest.mark.parametrize("state", [RiskState.HALT, RiskState.ESCAPE])
def test_no_risk_state_lets_a_waiting_add_out(state: RiskState) -> None:
    live = Live(ADDING)
    live.enter()
    add_to(live, 5 * S)
    live.stage.on_risk_state(risk_state(5 * S + 1, state))
    live.sent()
    live.hear(5 * S + 10 * MS, accepted(4))
    assert not any(lots > 0 for _, *rest in live.sent() for lots in rest[1:])


def test_an_add_that_fills_after_the_stop_did_is_closed_at_once() -> None:
    live = Live(ADDING)
    live.enter()
    add_to(live, 5 * S, stop=990)
    live.hear(6 * S, fill(3, 10, Side.SELL, price=990))
    live.sent()
    live.hear(6 * S + MS, fill(4, 5))
    assert live.sent() == [(5, CLOSE, -5)]


def test_a_waiting_add_is_in_the_snapshot() -> None:
    one, other = Live(ADDING), Live(ADDING)
    one.enter()
    add_to(one, 5 * S)
    other.stage.restore(one.stage.snapshot())
    one.sent()
    assert one.hear(5 * S + MS, accepted(4)) == other.hear(5 * S + MS, accepted(4))
    assert one.sent() == other.sent() == [("cancel", 3), (5, CLOSE, 5)]


def test_a_common_stop_that_we_emulate_stands_at_once() -> None:
    live = Live(ADDING, has=PLAIN)
    live.approve(2 * S)
    live.hear(3 * S, accepted(1), fill(1, 10))
    live.wait(4 * S)
    live.sent()
    facts = add_to(live, 5 * S) + live.wait(5 * S + MS)
    assert live.sent() == [(5, CLOSE, 5)]  # the stops are ours: only the add is for the venue
    facts += live.hear(6 * S, fill(5, 5, price=1015))
    assert statuses(facts, 3)[-1] == "cancelled"
    assert statuses(facts, 4) == ["pending_new", "open"]
    live.stage.advance(trade(7 * S, -1, 1004), 8 * S)
    assert live.sent() == [(4, CLOSE, -10), (7, CLOSE, -5)]


def test_parts_are_taken_off_at_their_levels_and_the_rest_goes_on() -> None:
    cutting = ExecutionParams(pyramid=PyramidParams(cut_levels_r=(1.0, 1.5), cut_fracs=(0.3, 0.2)))
    live = Live(cutting)
    facts = live.enter()
    parts = [(number_of(f), f.order.trigger, f.order.lots) for f in only(facts, OrderChanged) if number_of(f) > 3]
    assert parts == [(4, 1010, 3), (5, 1015, 2)]
    live.sent()
    facts += live.hear(5 * S, fill(4, 3, Side.SELL, price=1010))
    facts += live.hear(6 * S, rejected(5))
    facts += live.wait(10 * S)
    assert live.sent() == []  # what is left keeps its exits and goes on
    facts += live.hear(11 * S, fill(2, 7, Side.SELL, price=1020), expired(2))
    assert live.sent() == [("cancel", 3)]
    record = closed(facts)
    assert (record.exit_purpose, record.exit_price) == ("take_profit", 1017 * 0.5)
    check_conservation(facts)


def test_parts_are_taken_off_by_orders_that_we_emulate() -> None:
    cutting = ExecutionParams(pyramid=PyramidParams(cut_levels_r=(1.0,), cut_fracs=(0.3,)))
    up = joined([trade(5 * S, 1, 1013), trade(8 * S, -1, 985)])
    emulated = play(stage(cutting, has=PLAIN), [approval(take=1500)], joined([MARKET, up]))
    natively = play(stage(cutting), [approval(take=1500)], joined([MARKET, up]))
    for facts in (emulated, natively):
        exits = [fill.lots for fill in only(facts, Fill) if fill.side is Side.SELL]
        assert exits == [3, 7]
        assert closed(facts).exit_purpose == "stop_loss"
        check_conservation(facts)
