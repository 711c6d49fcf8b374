"""Two supervisors, an old and a new one, in front of one executor: what is accepted never exceeds a limit.

The first supervisor is frozen, restarted, or simply goes on, believing that it is the only one. The second is rebuilt
from the ledger and takes over under a higher epoch, its lease beginning where the first one's ends. Approvals reach the
executor in any order, late, twice or never; facts reach each supervisor before anything later is judged, as the engine
has it. The executor knows nothing but epoch and expiry; the instrument's trade under way is no objection here, so that
no other mechanism helps.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.model.decisions import Intent
from spyhop.model.entries import Entry
from spyhop.model.instruments import Instrument, MarginTier
from spyhop.model.orders import (
    Fact,
    Fill,
    Liquidity,
    OrderChanged,
    OrderStatus,
    OrderType,
    Purpose,
    SubmitOrder,
    TradeClosed,
)
from spyhop.model.tape import Side, Venue
from spyhop.model.verdicts import Approved, Refused, Verdict
from spyhop.risk.limits import LimitParams
from spyhop.risk.recovery import retell
from spyhop.risk.sizing import SizingParams
from spyhop.risk.stage import RiskParams, RiskStage

START = 1_764_350_100_000_000_000
EQUITY = 10_000.0
TTL_NS = 2 * NS_PER_S
LEASE_NS = 10 * NS_PER_S
MARKETS = 4
PRICE = 1_000_000
PARAMS = RiskParams(
    sizing=SizingParams(position_size_usdt=250.0, max_leverage=10.0, fee_frac=0.0),
    limits=LimitParams(
        max_capital_in_use_frac=0.05,  # room for two of four
        max_open_positions=2,
        max_trades_per_day=8,
        min_trade_interval_s=0.0,
        max_symbol_notional_frac=0.25,  # room for one a base currency
    ),
    approval_ttl_s=TTL_NS / NS_PER_S,
)
LEVERAGE = 10.0
TOLERANCE = 1 + 1e-9


def instrument(number: int) -> Instrument:
    """Two base currencies at two venues each."""
    return Instrument(
        id=number,
        venue=Venue.BINANCE_USDM if number < 2 else Venue.DYDX,
        symbol=f"S{number}",
        base="AB"[number % 2],
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.001"),
        margin_tiers=(MarginTier(Decimal(0), Decimal("0.004"), Decimal(10)),),
    )


INSTRUMENTS = tuple(instrument(number) for number in range(MARKETS))


class Executor:
    """Accepts by epoch and expiry, fills at once, and tells facts; the ledger keeps them."""

    def __init__(self) -> None:
        self.epoch = 0
        self.trades: dict[int, Approved] = {}  # open, by the number of their intent
        self.accepted: list[tuple[int, Approved]] = []
        self.facts: list[Fact] = []

    def accept(self, approved: Approved, now: int) -> bool:
        is_fenced = approved.epoch < self.epoch
        self.epoch = max(self.epoch, approved.epoch)
        seq = approved.intent.seq
        if is_fenced or approved.expires < now or seq in (one.intent.seq for _, one in self.accepted):
            return False
        self.accepted.append((now, approved))
        self.trades[seq] = approved
        order = self._order(approved, now)
        changed = OrderChanged(
            ts=now,
            client_order_id=order.client_order_id,
            instrument=order.instrument,
            status=OrderStatus.PENDING_NEW,
            filled=0,
            cause="sent",
            order=order,
        )
        filled = msgspec.structs.replace(changed, status=OrderStatus.FILLED, filled=approved.lots)
        self.facts += [changed, self._fill(approved, now, "in", approved.intent.side), filled]
        return True

    def close(self, seq: int, now: int) -> None:
        approved = self.trades.pop(seq)
        numbers: dict[str, Any] = dict.fromkeys(
            ("probability", "confidence", "entry_price", "exit_price", "take_profit_price", "stop_loss_price")
            + ("notional", "margin", "leverage", "gross", "fees", "funding", "slippage", "net")
            + ("max_profit_frac", "max_drawdown_frac"),
            0.0,
        )
        self.facts += [
            self._fill(approved, now, "out", approved.intent.side.opposite),
            TradeClosed(
                ts=now,
                trade_id=f"t{seq}",
                instrument=approved.intent.instrument,
                side=approved.intent.side,
                strategy="",
                intent_seq=seq,
                decision_seq=0,
                ts_entry=now,
                ts_exit=now,
                lots=approved.lots,
                exit_purpose="take_profit",
                **numbers,
            ),
        ]

    def _order(self, approved: Approved, now: int) -> SubmitOrder:
        return SubmitOrder(
            ts=now,
            client_order_id=f"o{approved.intent.seq}",
            instrument=approved.intent.instrument,
            side=approved.intent.side,
            type=OrderType.MARKET,
            lots=approved.lots,
            purpose=Purpose.ENTRY,
            intent_seq=approved.intent.seq,
            leverage=LEVERAGE,
        )

    def _fill(self, approved: Approved, now: int, which: str, side: Side) -> Fill:
        return Fill(
            ts=now,
            ts_venue=now,
            fill_id=f"{approved.intent.seq}-{which}",
            client_order_id=f"o{approved.intent.seq}",
            instrument=approved.intent.instrument,
            side=side,
            price=PRICE,
            lots=approved.lots,
            liquidity=Liquidity.TAKER,
            fee=0.0,
            slippage=0.0,
        )


class Supervisor:
    """A risk stage with its epoch, its lease, and how far it has heard."""

    def __init__(self, stage: RiskStage, epoch: int, heard: int, begins: int, ends: int) -> None:
        self.stage, self.epoch, self.heard, self.begins, self.ends = stage, epoch, heard, begins, ends
        stage.begin_epoch(epoch)
        stage.hold_lease(begins, ends)

    def judge(self, intent: Intent, facts: list[Fact]) -> Verdict:
        while self.heard < len(facts) and facts[self.heard].ts < intent.ts:
            self.stage.on_fact(facts[self.heard])
            self.heard += 1
        return self.stage.on_intent(intent)


class Supervisors(RuleBasedStateMachine):
    """Any order of wishes, deliveries, closings, takeovers and deaths."""

    @initialize()
    def begin(self) -> None:
        self.now = START
        self.num_intents = self.num_taken = 0
        self.executor = Executor()
        self.entries: list[Entry] = []
        self.in_flight: list[Approved] = []
        stage = RiskStage(PARAMS, INSTRUMENTS, EQUITY, epoch=1)
        self.epoch, self.leased_until = 1, START + LEASE_NS
        self.living = [Supervisor(stage, 1, 0, START, self.leased_until)]

    @rule(ms=st.sampled_from([1, 500, 3_000]))
    def wait(self, ms: int) -> None:
        self.now += ms * NS_PER_MS

    @precondition(lambda self: self.living and self.now < self.living[-1].begins)
    @rule()
    def wait_for_the_lease(self) -> None:
        """The last moment of the old lease is often the first that matters."""
        self.now = self.living[-1].begins - 1

    @precondition(lambda self: self.living)
    @rule(
        which=st.integers(0, 1),
        markets=st.lists(st.integers(0, MARKETS - 1), min_size=1, max_size=4),
        side=st.sampled_from([Side.BUY, Side.SELL]),
        is_carried=st.booleans(),
    )
    def wish_much(self, which: int, markets: list[int], side: Side, is_carried: bool) -> None:
        """Wish for several entries; what is approved is on its way, or there at once."""
        for market in markets:
            self.wish(which, market, side)
            while is_carried and self.in_flight:
                self.now += 1
                self.executor.accept(self.in_flight.pop(), self.now)

    def wish(self, which: int, market: int, side: Side) -> None:
        self.now += 1
        self.num_intents += 1
        intent = Intent(
            seq=self.num_intents,
            ts=self.now,
            instrument=market,
            decision_seq=self.num_intents,
            side=side,
            strategy="",
            probability=1.0,
            confidence=1.0,
            reference=PRICE,
            take_profit=PRICE + side * 1_000,
            stop=PRICE - side * 1_000,
            max_hold_ns=NS_PER_S,
        )
        supervisor = self.living[which % len(self.living)]
        verdict = supervisor.judge(intent, self.executor.facts)
        # intent before effect: what leaves is in the ledger
        self.entries.append(Entry(self.now, "risk", len(self.entries), verdict))
        if isinstance(verdict, Approved):
            assert verdict.epoch == supervisor.epoch
            self.in_flight.append(verdict)

    @precondition(lambda self: len(self.living) > 1)
    @rule(markets=st.permutations(range(MARKETS)), is_new_first=st.booleans(), is_turned=st.booleans())
    def race(self, markets: list[int], is_new_first: bool, is_turned: bool) -> None:
        """Both approve before either is heard of; then all arrives, in one order or the other."""
        for n, market in enumerate(markets):
            self.wish((n + is_new_first) % 2, market, Side.BUY)
        for approved in reversed(self.in_flight) if is_turned else self.in_flight:
            self.now += 1
            self.executor.accept(approved, self.now)

    @precondition(lambda self: self.in_flight)
    @rule(which=st.integers(0, 7), is_lost=st.booleans(), is_twice=st.booleans())
    def deliver(self, which: int, is_lost: bool, is_twice: bool) -> None:
        self.now += 1
        approved = self.in_flight.pop(which % len(self.in_flight))
        if is_twice:
            self.in_flight.append(approved)
        if not is_lost:
            self.executor.accept(approved, self.now)

    @precondition(lambda self: self.executor.trades)
    @rule(which=st.integers(0, 7))
    def close(self, which: int) -> None:
        self.now += 1
        open_ = sorted(self.executor.trades)
        self.executor.close(open_[which % len(open_)], self.now)

    @precondition(lambda self: self.living and self.living[-1].epoch == self.epoch)
    @rule()
    def renew(self) -> None:
        """Only who was given the newest lease is given more of it, in time or late."""
        newest = self.living[-1]
        newest.ends = self.leased_until = max(newest.ends, self.now + LEASE_NS)
        newest.stage.hold_lease(newest.begins, newest.ends)

    @precondition(lambda self: not self.living or self.num_intents > self.num_taken)
    @rule()
    def take_over(self) -> None:
        """Rebuild a supervisor from the ledger while the one before may live on."""
        self.now += 1
        self.epoch += 1
        self.num_taken = self.num_intents
        facts = [Entry(fact.ts, "order", n, fact) for n, fact in enumerate(self.executor.facts)]
        stage = RiskStage(PARAMS, INSTRUMENTS, EQUITY)
        retell(stage, [*self.entries, *facts])
        begins = max(self.now, self.leased_until + 1)
        self.leased_until = begins + LEASE_NS
        self.living = [*self.living[-1:], Supervisor(stage, self.epoch, len(facts), begins, self.leased_until)]

    @precondition(lambda self: len(self.living) > 1)
    @rule(which=st.integers(0, 1))
    def die(self, which: int) -> None:
        self.living.pop(which % len(self.living))

    def teardown(self) -> None:
        """After the last lease nothing is accepted, whatever is still under way and whoever still wishes."""
        if not hasattr(self, "executor"):
            return
        self.now = max(self.now, self.leased_until) + 1
        num = len(self.executor.accepted)
        for market in range(MARKETS if self.living else 0):
            self.wish(0, market, Side.BUY)
        for approved in self.in_flight:
            self.executor.accept(approved, self.now)
        assert len(self.executor.accepted) == num

    @invariant()
    def what_is_open_keeps_every_limit(self) -> None:
        if not hasattr(self, "executor"):
            return
        open_, limits = self.executor.trades.values(), PARAMS.limits
        assert sum(one.margin for one in open_) <= limits.max_capital_in_use_frac * EQUITY * TOLERANCE
        assert len({one.intent.instrument for one in open_}) == len(open_) <= limits.max_open_positions
        for base in "AB":
            held = sum(_notional(one) for one in open_ if INSTRUMENTS[one.intent.instrument].base == base)
            assert held <= limits.max_symbol_notional_frac * EQUITY * TOLERANCE

    @invariant()
    def a_day_holds_no_more_trades_than_it_may(self) -> None:
        if hasattr(self, "executor"):
            assert len(self.executor.accepted) <= PARAMS.limits.max_trades_per_day

    @invariant()
    def epochs_that_were_accepted_never_go_back(self) -> None:
        if hasattr(self, "executor"):
            epochs = [approved.epoch for _, approved in self.executor.accepted]
            assert epochs == sorted(epochs)

    @invariant()
    def nothing_is_accepted_after_its_lease(self) -> None:
        if hasattr(self, "executor"):
            for at, approved in self.executor.accepted:
                assert at <= approved.expires <= approved.ts + TTL_NS


def _notional(approved: Approved) -> float:
    return INSTRUMENTS[approved.intent.instrument].notional(PRICE, approved.lots)


def raced() -> Supervisors:
    """Return two supervisors of whom each approved an entry in the same base currency that the other has not heard of,
    and the old one's arrived first."""
    machine = Supervisors()
    machine.begin()
    machine.take_over()
    machine.wish(1, 0, Side.BUY)
    machine.wish(0, 2, Side.BUY)
    for approved in reversed(machine.in_flight):
        machine.executor.accept(approved, machine.now)
    return machine


def test_an_epoch_alone_is_no_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    raced().what_is_open_keeps_every_limit()
    monkeypatch.setattr(RiskStage, "hold_lease", lambda stage, begins, ends: None)
    unfenced = raced()
    assert [approved.epoch for _, approved in unfenced.executor.accepted] == [1, 2]
    with pytest.raises(AssertionError):
        unfenced.what_is_open_keeps_every_limit()


def test_what_another_approved_is_heard_of_and_counts() -> None:
    machine = Supervisors()
    machine.begin()
    machine.take_over()
    machine.wish(0, 2, Side.BUY)
    machine.executor.accept(machine.in_flight.pop(), machine.now)
    machine.wait_for_the_lease()
    machine.now += 2
    machine.wish(1, 0, Side.BUY)
    refused = machine.entries[-1].message
    assert isinstance(refused, Refused)
    assert refused.code == "max_symbol_exposure"


TestSupervisors = pytest.mark.slow(Supervisors.TestCase)
TestSupervisors.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
