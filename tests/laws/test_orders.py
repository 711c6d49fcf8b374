"""Whatever a venue reports, in whatever order and however often: nothing is lost, doubled or left without a stop.

The machine is a venue that does everything wrong that a venue may: it answers late, twice, across our cancellations and
not at all, fills what it said was cancelled, more than was asked and both exits of a bracket. The stage is taken down
and built anew from its snapshot at any moment.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.execution.stage import ExecutionParams, OrderStage
from spyhop.ledger.account import Account
from spyhop.model.decisions import Intent
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    CancelOrder,
    CancelRejected,
    Fact,
    Fill,
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
from spyhop.model.tape import EVENT, Events, Kind, Side, Status, Venue, event
from spyhop.model.verdicts import Approved, RiskState, RiskStateChanged

S, MS = NS_PER_S, NS_PER_MS
COIN = Instrument(id=0, venue=Venue.SIMULATED, symbol="COINUSDT", tick_size=Decimal("0.5"), lot_size=Decimal("0.1"))
NOTHING = np.zeros(0, EVENT)
LOTS = 10
RETRY = int(ExecutionParams().retry_ms * MS)
ENDED = (OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED)


class Mailbox:
    """A gateway that holds commands and tells reports as they are put in."""

    def __init__(self) -> None:
        self.commands: list[SubmitOrder | CancelOrder] = []
        self.reports: list[Report] = []

    def send(self, command: SubmitOrder | CancelOrder) -> None:
        self.commands.append(command)

    def advance(self, events: Events, start: int, until: int) -> tuple[int, list[Report]]:
        if self.reports and self.reports[0].ts < until:
            told, self.reports = self.reports, []
            return start, told
        return len(events), []

    def snapshot(self) -> bytes:
        return b""

    def restore(self, snapshot: bytes) -> None:
        pass

    def statistics(self) -> dict[str, float]:
        return {}


class Orders(RuleBasedStateMachine):
    """A venue out of its mind, and what the facts say that we hold."""

    @initialize(
        entry=st.sampled_from(["market", "limit", "post_only", "ioc"]),
        profit=st.sampled_from(["market", "limit"]),
        trailing=st.sampled_from([0.0, 0.01]),
    )
    def begin(self, entry: str, profit: str, trailing: float) -> None:
        self.params = ExecutionParams(entry_type=entry, take_profit_type=profit, trailing_frac=trailing)
        self.box, self.now, self.num_fills, self.num_approved = Mailbox(), S, 0, 0
        self.stage = OrderStage(self.params, [COIN], self.box, "s1")
        self.submitted: dict[str, SubmitOrder] = {}
        self.filled: dict[str, int] = {}  # what the venue filled and told
        self.over: set[str] = set()  # what the venue has said to be over
        self.told: list[Report] = []
        self.facts: list[Fact] = []
        self.latest: dict[str, OrderChanged] = {}
        self.true_lots = 0
        self.bare_since, self.is_clean = 0, True

    # what the venue does

    def _hear(self, *reports: Report) -> None:
        self.now += 7 * MS
        reports = tuple(msgspec.structs.replace(report, ts=self.now) for report in reports)
        for report in reports:
            if isinstance(report, Fill) and report not in self.told:
                known = any(isinstance(r, Fill) and r.fill_id == report.fill_id for r in self.told)
                if not known:
                    self.true_lots += report.side * report.lots
                    self.filled[report.client_order_id] += report.lots
            if isinstance(report, Reconciled):
                self.is_clean = report.is_clean
            if isinstance(report, OrderCancelled | OrderExpired | OrderRejected):
                self.over.add(report.client_order_id)
        self.told += reports
        self.box.reports = list(reports)
        self._take(self.stage.advance(NOTHING, self.now + 1))
        assert not self.box.reports

    def _take(self, facts: list[Fact]) -> None:
        assert [fact.ts for fact in facts] == sorted(fact.ts for fact in facts)
        self.facts += facts
        for fact in facts:
            if isinstance(fact, OrderChanged):
                self.latest[fact.client_order_id] = fact
        for command in self.box.commands:
            if isinstance(command, SubmitOrder):
                assert command.client_order_id not in self.submitted, "an order was sent twice"
                self.submitted[command.client_order_id] = command
                self.filled[command.client_order_id] = 0
            else:
                assert command.client_order_id in self.submitted
        self.box.commands = []

    def _pick(self, k: int) -> SubmitOrder:
        keys = sorted(self.submitted)[-6:]
        return self.submitted[keys[k % len(keys)]]

    def _ids(self, order: SubmitOrder) -> dict:
        return {"ts": self.now, "client_order_id": order.client_order_id, "instrument": 0}

    def _fill(self, order: SubmitOrder, lots: int) -> Fill:
        self.num_fills += 1
        return Fill(
            ts_venue=0,
            fill_id=f"v{self.num_fills}",
            side=order.side,
            price=1000 + self.num_fills % 7,
            lots=lots,
            liquidity=Liquidity.TAKER,
            fee=0.25,
            slippage=0.0,
            **self._ids(order),
        )

    has_orders = precondition(lambda self: self.submitted)
    which = st.integers(0, 5)

    @rule(side=st.sampled_from([Side.BUY, Side.SELL]), hold=st.sampled_from([0, 3 * S, 300 * S]))
    def approve(self, side: Side, hold: int) -> None:
        self.now += 5 * MS
        self.num_approved += 1
        intent = Intent(
            seq=self.num_approved,
            ts=self.now,
            instrument=0,
            decision_seq=1,
            side=side,
            strategy="WHALE_PUMP",
            probability=0.8,
            confidence=0.7,
            reference=1000,
            take_profit=1000 + side * 20,
            stop=1000 - side * 10,
            max_hold_ns=hold,
        )
        approved = Approved(
            seq=self.num_approved,
            ts=self.now,
            intent=intent,
            lots=LOTS,
            leverage=1.0,
            risk=1.0,
            margin=1.0,
            epoch=1,
            expires=self.now + S,
        )
        self._take(self.stage.advance(NOTHING, self.now))
        known = len(self.submitted)
        self._take(self.stage.on_approved(approved))
        assert self.is_clean or len(self.submitted) == known

    @has_orders
    @rule(k=which)
    def accept(self, k: int) -> None:
        self._hear(OrderAccepted(ts_venue=0, **self._ids(self._pick(k))))

    @has_orders
    @rule(k=which)
    def hand_over(self, k: int) -> None:
        self._hear(OrderSent(**self._ids(self._pick(k))))

    @has_orders
    @rule(k=which)
    def lose(self, k: int) -> None:
        self._hear(OrderUnknown(reason="timed out", **self._ids(self._pick(k))))

    @has_orders
    @rule(k=which, lots=st.integers(1, LOTS + 2))
    def fill(self, k: int, lots: int) -> None:
        self._hear(self._fill(self._pick(k), lots))

    @has_orders
    @rule(first=which, second=which, lots=st.integers(1, LOTS))
    def fill_two_at_once(self, first: int, second: int, lots: int) -> None:
        self._hear(self._fill(self._pick(first), lots), self._fill(self._pick(second), lots))

    @has_orders
    @rule(k=which)
    def fill_and_accept_behind_it(self, k: int) -> None:
        order = self._pick(k)
        self._hear(self._fill(order, order.lots), OrderAccepted(ts_venue=0, **self._ids(order)))

    @has_orders
    @rule(k=which, kind=st.sampled_from([OrderCancelled, OrderExpired]))
    def end(self, k: int, kind: type) -> None:
        self._hear(kind(ts_venue=0, lots_left=1, **self._ids(self._pick(k))))

    @has_orders
    @rule(k=which)
    def reject(self, k: int) -> None:
        self._hear(OrderRejected(ts_venue=0, reason="no", **self._ids(self._pick(k))))

    @has_orders
    @rule(k=which)
    def reject_cancellation(self, k: int) -> None:
        self._hear(CancelRejected(ts_venue=0, reason="too late", **self._ids(self._pick(k))))

    @precondition(lambda self: self.told)
    @rule(k=st.integers(0, 30))
    def repeat(self, k: int) -> None:
        self._hear(self.told[-1 - k % len(self.told)])

    # what else happens

    @rule(wait_ms=st.sampled_from([1, 100, 499, 501, 6_000]))
    def wait(self, wait_ms: int) -> None:
        self.now += wait_ms * MS
        self._take(self.stage.advance(NOTHING, self.now))

    @rule(state=st.sampled_from([RiskState.SUSPECT, RiskState.HALT, RiskState.ESCAPE]))
    def supervise(self, state: RiskState) -> None:
        self.now += MS
        self._take(self.stage.advance(NOTHING, self.now))
        changed = RiskStateChanged(ts=self.now, state=state, before=RiskState.CAN_TRADE, reasons=())
        self._take(self.stage.on_risk_state(changed))

    @rule(is_clean=st.booleans())
    def reconcile(self, is_clean: bool) -> None:
        self._hear(Reconciled(ts=self.now, instrument=0, is_clean=is_clean, cause="timer"))

    @rule()
    def restart(self) -> None:
        snapshot = self.stage.snapshot()
        self.stage = OrderStage(self.params, [COIN], self.box, "s1")
        self.stage.restore(snapshot)
        assert self.stage.snapshot() == snapshot

    # what must hold

    @invariant()
    def every_distinct_fill_is_booked_once(self) -> None:
        if not hasattr(self, "facts"):
            return
        booked = [fact for fact in self.facts if isinstance(fact, Fill)]
        assert len({fact.fill_id for fact in booked}) == len(booked) == self.num_fills
        assert sum(fact.side * fact.lots for fact in booked) == self.true_lots
        for key, lots in self.filled.items():
            assert self.latest[key].filled == lots

    @invariant()
    def an_end_is_an_end(self) -> None:
        if not hasattr(self, "facts"):
            return
        ended: dict[str, OrderStatus] = {}
        for fact in self.facts:
            if isinstance(fact, OrderChanged):
                assert ended.get(fact.client_order_id, fact.status) is fact.status
                if fact.status in ENDED:
                    ended[fact.client_order_id] = fact.status
        assert self.over <= set(ended)

    @invariant()
    def what_is_held_has_a_stop_or_is_being_closed(self) -> None:
        if not hasattr(self, "facts"):
            return
        away = Side.SELL if self.true_lots > 0 else Side.BUY
        alive = [f.order for f in self.latest.values() if f.status not in ENDED and f.order.side is away]
        stops = sum(
            order.lots - self.filled[order.client_order_id]
            for order in alive
            if order.purpose is Purpose.STOP_LOSS and order.type is not OrderType.TRAILING_STOP
        )
        is_closing = any(order.reduce_only and order.type is OrderType.MARKET for order in alive)
        if self.true_lots == 0 or is_closing or stops >= abs(self.true_lots):
            self.bare_since = 0
        elif not self.bare_since:
            self.bare_since = self.now
        # a pause is allowed between two tries, and it is no longer than told
        assert not self.bare_since or self.now - self.bare_since <= RETRY

    def teardown(self) -> None:
        """Let the venue come to its senses: then all ends, flat, and no money is lost on the way."""
        if not hasattr(self, "facts"):
            return
        self.now += MS
        over = event(Kind.STATUS, self.now, aux=Status.SESSION_END)
        self._take(self.stage.advance(over, self.now + 1))
        for _ in range(200):
            open_orders = [f.order for f in self.latest.values() if f.status not in ENDED]
            if not open_orders and self.stage.statistics()["open_trips"] == 0.0:
                break
            for order in open_orders:
                if self.latest[order.client_order_id].status in ENDED:
                    continue
                held = self.true_lots * -order.side
                left = order.lots - self.filled[order.client_order_id]
                if order.reduce_only and order.type is OrderType.MARKET and held > 0:
                    self._hear(self._fill(order, min(held, left)))
                if self.latest[order.client_order_id].status not in ENDED:
                    self._hear(OrderCancelled(ts_venue=0, lots_left=1, **self._ids(order)))
            self.now += 2 * RETRY
            self._take(self.stage.advance(NOTHING, self.now))
        assert self.true_lots == 0
        assert self.stage.statistics()["open_trips"] == self.stage.statistics()["live_orders"] == 0.0
        account = Account(1_000_000.0, [COIN])
        for fact in self.facts:
            account.on_fact(fact)
        net = sum(fact.net for fact in self.facts if isinstance(fact, TradeClosed))
        assert account.cash - 1_000_000.0 == pytest.approx(net, abs=1e-6)
        self.every_distinct_fill_is_booked_once()


TestOrders = pytest.mark.slow(Orders.TestCase)
TestOrders.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
