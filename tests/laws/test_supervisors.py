"""Two supervisors and one ledger: at the venue no limit breaks, whoever is believed dead and however both go on.

The first one is frozen, cut off, restarted, or simply goes on with wishes of its own, believing that it is the only
one. The second takes over, rebuilt from the ledger or from a file, under a higher epoch. The fence is the log: who is
first at an entry's number has it, a repeat that says something else is refused, and who is refused leaves; an approval
leaves once its entry is kept. Vessels and ledger are the real ones. Approvals reach the executor in any order, late,
twice or never; facts reach each supervisor before anything later is judged, as the engine has it. The executor knows
nothing but epoch and expiry: neither numbers of tickets nor trades under way object here, so that nothing else helps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.engine.edges import Position, Receipt
from spyhop.engine.nodes import RiskNode, Ticket
from spyhop.engine.rebuilding import past_of
from spyhop.engine.vessels import RECORDS, RECORDS_DECODER, Messages, RiskVessel
from spyhop.errors import Superseded
from spyhop.model.control import Control, Obeyed, Word
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
from spyhop.model.verdicts import Approved, EpochBegan, Refused
from spyhop.risk.limits import LimitParams
from spyhop.risk.sizing import SizingParams
from spyhop.risk.stage import RiskParams, RiskStage
from spyhop.storage.database import Ledger

START = 1_764_350_100_000_000_000
EQUITY = 10_000.0
TTL_NS = 2 * NS_PER_S
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
    """Accepts by epoch and expiry, fills at once, and tells facts, also of what it refuses."""

    def __init__(self) -> None:
        self.epoch = 0
        self.trades: dict[int, Approved] = {}  # open, by the number of their intent
        self.accepted: list[tuple[int, Approved]] = []
        self.refused: set[int] = set()
        self.facts: list[Fact] = []

    def accept(self, approved: Approved, now: int) -> bool:
        is_void = approved.epoch < self.epoch or approved.expires < now
        self.epoch = max(self.epoch, approved.epoch)
        seq = approved.intent.seq
        if seq in self.refused or seq in (one.intent.seq for _, one in self.accepted):
            return False
        if is_void:
            self.refused.add(seq)
            self.facts.append(self._changed(approved, now, OrderStatus.REJECTED, "refused approval"))
            return False
        self.accepted.append((now, approved))
        self.trades[seq] = approved
        changed = self._changed(approved, now, OrderStatus.PENDING_NEW, "sent")
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

    def _changed(self, approved: Approved, now: int, status: OrderStatus, cause: str) -> OrderChanged:
        order = self._order(approved, now)
        return OrderChanged(
            ts=now,
            client_order_id=order.client_order_id,
            instrument=order.instrument,
            status=status,
            filled=0,
            cause=cause,
            order=order,
        )

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


TICKETS = msgspec.msgpack.Decoder(list[Ticket])
SESSIONS = count()
LEDGER = Ledger("sqlite:///:memory:")
EVERYTHING = 1 << 30


def vessel() -> RiskVessel:
    return RiskVessel(RiskNode(RiskStage(PARAMS, INSTRUMENTS, EQUITY)))


class Life:
    """A supervisor from its start to its end, and the wishes that reach it: since it was cut off, its own."""

    def __init__(self, vessel: RiskVessel, wishes: Sequence[Intent]) -> None:
        self.vessel, self.wishes = vessel, list(wishes)

    def hear(self, facts: Sequence[Fact], now: int) -> None:
        """Take everything that there is so far, and judge it."""
        for edge, messages in (("intents", self.wishes), ("facts", facts)):
            known = self.vessel.receipt(edge).wanted.count
            new = messages[known:]
            parcel = Messages(now, len(new), msgspec.msgpack.encode(new))
            self.vessel.receive(edge, known, msgspec.msgpack.encode(parcel))


class Supervisors(RuleBasedStateMachine):
    """Any order of wishes, commits, deliveries, closings, words, takeovers and deaths."""

    @initialize()
    def begin(self) -> None:
        self.session = f"s{next(SESSIONS)}"
        self.now = START
        self.num_intents = self.promised = 0
        self.executor = Executor()
        self.log: list[Entry] = []
        self.wishes: dict[int, Intent] = {}
        self.in_flight: list[Approved] = []
        self.words: list[Word] = []
        self.answered: list[Obeyed] = []
        self.living = [Life(vessel(), [])]
        self.file = self.living[0].vessel.checkpoint(), [*self.living[0].wishes]

    def life(self, which: int) -> Life:
        return self.living[which % len(self.living)]

    @rule(ms=st.sampled_from([1, 500, 3_000]))
    def wait(self, ms: int) -> None:
        self.now += ms * NS_PER_MS

    @precondition(lambda self: self.living)
    @rule(
        who=st.sampled_from([(0,), (1,), (0, 1)]),
        markets=st.lists(st.integers(0, MARKETS - 1), min_size=1, max_size=4),
        side=st.sampled_from([Side.BUY, Side.SELL]),
        is_carried=st.booleans(),
    )
    def wish_much(self, who: tuple[int, ...], markets: list[int], side: Side, is_carried: bool) -> None:
        """Wish for several entries, of one or of both; what is approved is on its way, or there at once."""
        for market in markets:
            if not self.living:
                return
            self.wish({which % len(self.living) for which in who}, market, side)
            if is_carried:
                self.go_on(who[0])
                self.deliver_all()

    def wish(self, who: set[int], market: int, side: Side = Side.BUY) -> None:
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
        self.wishes[intent.seq] = intent
        for which in who:
            self.living[which].wishes.append(intent)

    @precondition(lambda self: self.living)
    @rule(which=st.integers(0, 1))
    def hear(self, which: int) -> None:
        self.now += 1
        self.life(which).hear(self.executor.facts, self.now)

    @precondition(lambda self: self.living)
    @rule(which=st.integers(0, 1), is_answered=st.booleans())
    def commit(self, which: int, is_answered: bool = True) -> None:
        """Offer the ledger what one said; who is refused leaves, and an answer may be lost."""
        one = self.life(which)
        parcel = one.vessel.next_parcel(RECORDS)
        if parcel is None:
            return
        try:
            LEDGER.append(self.session, RECORDS_DECODER.decode(parcel.data).entries)
        except Superseded:
            self.living.remove(one)
            return
        finally:
            self.log += LEDGER.entries_of(self.session, "risk", len(self.log), EVERYTHING)
        if is_answered:
            one.vessel.outboxes[RECORDS].acknowledge(Receipt.of_records(parcel.first))

    @precondition(lambda self: self.living)
    @rule(which=st.integers(0, 1))
    def depart(self, which: int) -> None:
        """Let leave what may."""
        one = self.life(which).vessel
        while (parcel := one.next_parcel("approved")) is not None:
            messages = msgspec.msgpack.decode(parcel.data, type=Messages)
            tickets = TICKETS.decode(messages.payload) if messages.count else []
            self.in_flight += [ticket for ticket in tickets if isinstance(ticket, Approved)]
            self.promised = max(self.promised, parcel.watermark)
            heard = Position(parcel.end, self.promised)
            one.outboxes["approved"].acknowledge(Receipt(heard, heard))

    @precondition(lambda self: self.living)
    @rule(which=st.integers(0, 1))
    def go_on(self, which: int) -> None:
        """Hear, say, commit and send everything, as one whom nobody hinders."""
        one = self.life(which)
        self.hear(which)
        while one in self.living and one.vessel.next_parcel(RECORDS) is not None:
            self.commit(self.living.index(one))
        if one in self.living:
            self.depart(self.living.index(one))

    @precondition(lambda self: len(self.living) > 1)
    @rule(markets=st.permutations(range(MARKETS)), is_new_first=st.booleans(), is_turned=st.booleans())
    def race(self, markets: list[int], is_new_first: bool, is_turned: bool) -> None:
        """Both judge wishes of their own before either is heard of; then all goes out, in one order or the other."""
        for n, market in enumerate(markets):
            self.wish({n % 2}, market)
        both = self.living[::-1] if is_new_first else [*self.living]
        for one in both:
            one.hear(self.executor.facts, self.now + 1)
        self.now += 1
        for step in (self.depart, self.commit, self.depart):
            for one in [one for one in both if one in self.living]:
                step(self.living.index(one))
        if is_turned:
            self.in_flight.reverse()
        self.deliver_all()

    def deliver_all(self) -> None:
        while self.in_flight:
            self.arrive(self.in_flight.pop(0))

    def arrive(self, approved: Approved) -> None:
        self.now += 1
        num = len(self.executor.facts)
        self.executor.accept(approved, self.now)
        self.keep_facts(num)

    def keep_facts(self, first: int) -> None:
        new = self.executor.facts[first:]
        LEDGER.append(self.session, [Entry(fact.ts, "order", first + n, fact) for n, fact in enumerate(new)])

    @precondition(lambda self: self.in_flight)
    @rule(which=st.integers(0, 7), is_lost=st.booleans(), is_twice=st.booleans())
    def deliver(self, which: int, is_lost: bool, is_twice: bool) -> None:
        approved = self.in_flight.pop(which % len(self.in_flight))
        if is_twice:
            self.in_flight.append(approved)
        if not is_lost:
            self.arrive(approved)

    @precondition(lambda self: self.executor.trades)
    @rule(which=st.integers(0, 7))
    def close(self, which: int) -> None:
        self.now += 1
        open_, num = sorted(self.executor.trades), len(self.executor.facts)
        self.executor.close(open_[which % len(open_)], self.now)
        self.keep_facts(num)

    @precondition(lambda self: self.living)
    @rule(
        which=st.integers(0, 1),
        control=st.sampled_from([None, Control.PAUSE, Control.RESUME, Control.RESUME]),
        is_carried=st.booleans(),
    )
    def say(self, which: int, control: Control | None, is_carried: bool) -> None:
        """Say a word, or the last one once more, and listen whether it was obeyed."""
        if control is not None:
            self.words.append(Word(number=len(self.words), control=control))
        if not self.words:
            return
        one, word = self.life(which), self.words[-1]
        said = [one.vessel.obey(word)]
        # at first it may not know yet what was promised before it, then the word waits for its time
        for _ in range(3 if is_carried else 0):
            if one in self.living:
                self.go_on(self.living.index(one))
                said.append(one.vessel.obey(word))
        self.answered += [obeyed for obeyed in said if obeyed is not None]

    @precondition(lambda self: self.living)
    @rule(which=st.integers(0, 1))
    def keep_file(self, which: int) -> None:
        one = self.life(which)
        self.file = one.vessel.checkpoint(), [*one.wishes]
        one.vessel.checkpointed()

    @rule(stays=st.integers(0, 1), is_heir=st.booleans(), is_asked=st.booleans(), is_named=st.booleans())
    def take_over(self, stays: int, is_heir: bool, is_asked: bool = False, is_named: bool = True) -> None:
        """Rebuild a supervisor from the ledger while the one before may live on; an heir has its wishes, too.

        Who had no answer of the one before may ask the new one. An epoch may be missing only where the log is empty.
        """
        new = vessel()
        past = past_of(LEDGER.entries(self.session))
        if past.num_entries:
            new.rebuild(past)
        verdicts = [entry.message for entry in past.said if isinstance(entry.message, Approved | Refused)]
        wishes = [self.wishes[verdict.intent.seq] for verdict in verdicts]
        others = self.life(stays).wishes if self.living and is_heir else []
        self.live(new, [*wishes, *(wish for wish in others if wish.ts > past.ts)], stays, is_named)
        if is_asked:
            self.say(len(self.living) - 1, None, is_carried=True)

    @rule(stays=st.integers(0, 1))
    def take_over_from_file(self, stays: int) -> None:
        """Begin where somebody's file ends, whatever the log says by now."""
        new = vessel()
        new.restore(self.file[0])
        self.live(new, self.file[1], stays)

    def live(self, new: RiskVessel, wishes: Sequence[Intent], stays: int, is_named: bool = True) -> None:
        self.now += 1
        said = [entry.message for entry in self.log]
        new.node.turns.repeat(said[new.node.seq :])
        if said or is_named:
            # of two that take over at one moment both have this number
            epoch = 1 + max((message.epoch for message in said if isinstance(message, EpochBegan)), default=1)
            new.node.begin_epochs([EpochBegan(ts=0, epoch=epoch, at_seq=len(said))])
        self.living = [*([self.life(stays)] if self.living else []), Life(new, wishes)]

    @precondition(lambda self: len(self.living) > 1)
    @rule(which=st.integers(0, 1))
    def die(self, which: int) -> None:
        self.living.pop(which)

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
    def what_was_accepted_is_in_the_log_in_time_and_of_no_older_epoch(self) -> None:
        if hasattr(self, "executor"):
            kept = {entry.message.seq: entry.message for entry in self.log if isinstance(entry.message, Approved)}
            for at, approved in self.executor.accepted:
                assert kept.get(approved.seq) == approved
                assert at <= approved.expires <= approved.ts + TTL_NS
            epochs = [approved.epoch for _, approved in self.executor.accepted]
            assert epochs == sorted(epochs)

    @invariant()
    def the_log_reads_as_if_one_had_said_it(self) -> None:
        """Verdicts are numbered through, nothing is approved in a pause, and each word and epoch is there once."""
        if not hasattr(self, "executor"):
            return
        messages = [entry.message for entry in self.log]
        verdicts = [message for message in messages if isinstance(message, Approved | Refused)]
        assert [verdict.seq for verdict in verdicts] == list(range(len(verdicts)))
        epoch, is_paused = 1, False
        obeyed: Counter[int] = Counter()
        for message in messages:
            if isinstance(message, EpochBegan):
                assert message.epoch > epoch
                epoch = message.epoch
            elif isinstance(message, Obeyed):
                obeyed[message.word.number] += 1
                is_paused = message.word.control is Control.PAUSE
            elif isinstance(message, Approved):
                assert (message.epoch, is_paused) == (epoch, False)
        assert set(obeyed.values()) <= {1}
        assert all(answer in messages for answer in self.answered)


def _notional(approved: Approved) -> float:
    return INSTRUMENTS[approved.intent.instrument].notional(PRICE, approved.lots)


def raced(is_new_first: bool) -> Supervisors:
    """Return two supervisors whose wishes of their own are for one base currency, judged before either was heard of.

    The approval of the older one arrives first, if it comes at all.
    """
    machine = Supervisors()
    machine.begin()
    machine.take_over(0, is_heir=False)
    machine.race([2, 0], is_new_first=is_new_first, is_turned=is_new_first)
    return machine


@pytest.mark.parametrize(("is_new_first", "epochs"), [(False, [1]), (True, [2])])
def test_of_two_only_that_one_approves_whose_entries_are_the_log(is_new_first: bool, epochs: list[int]) -> None:
    machine = raced(is_new_first)
    machine.what_is_open_keeps_every_limit()
    assert [approved.epoch for _, approved in machine.executor.accepted] == epochs
    (left,) = machine.living
    assert left.vessel.node.seq == len(machine.log)


@pytest.mark.parametrize(
    ("where", "part", "broken"),
    [
        pytest.param(Ledger, "_check_repeat", lambda ledger, connection, row: None, id="the ledger refuses nobody"),
        pytest.param(RiskVessel, "is_held_by_records", False, id="approvals leave before their entries are kept"),
    ],
)
def test_without_a_part_of_the_fence_a_limit_breaks(
    monkeypatch: pytest.MonkeyPatch, where: type, part: str, broken: object
) -> None:
    monkeypatch.setattr(where, part, broken)
    unfenced = raced(is_new_first=True)
    assert [approved.epoch for _, approved in unfenced.executor.accepted] == [1, 2]
    for law in (
        unfenced.what_is_open_keeps_every_limit,
        unfenced.what_was_accepted_is_in_the_log_in_time_and_of_no_older_epoch,
    ):
        with pytest.raises(AssertionError):
            law()


def test_what_another_one_approved_and_kept_counts_for_who_takes_over() -> None:
    machine = Supervisors()
    machine.begin()
    machine.wish({0}, 2)
    machine.go_on(0)
    machine.take_over(0, is_heir=False)
    # the approval is still on its way
    machine.wish({1}, 0)
    machine.go_on(1)
    refused = machine.log[-1].message
    assert isinstance(refused, Refused)
    assert refused.code == "max_symbol_exposure"


def test_who_was_overtaken_leaves_with_its_next_word() -> None:
    machine = Supervisors()
    machine.begin()
    machine.take_over(0, is_heir=False)
    machine.wish({1}, 0)
    machine.go_on(1)
    old, new = machine.living
    machine.wish({0}, 1)
    machine.go_on(0)
    assert machine.living == [new]
    assert [type(entry.message).__name__ for entry in machine.log] == ["EpochBegan", "Approved"]
    machine.living.append(old)
    machine.depart(1)
    assert [(approved.epoch, approved.intent.instrument) for approved in machine.in_flight] == [(2, 0)]


def test_who_begins_at_an_old_file_says_again_what_the_log_says_and_goes_on() -> None:
    machine = Supervisors()
    machine.begin()
    machine.wish({0}, 0)
    machine.keep_file(0)
    machine.go_on(0)
    machine.say(0, Control.PAUSE, is_carried=True)
    machine.take_over_from_file(0)
    machine.wish({0, 1}, 1)
    machine.go_on(1)
    assert len(machine.living) == 2
    assert [type(entry.message).__name__ for entry in machine.log[2:]] == ["RiskStateChanged", "EpochBegan", "Refused"]
    # and the word is known by its number
    num = len(machine.answered)
    machine.say(1, None, is_carried=False)
    assert machine.answered[num:] == machine.answered[:1]
    machine.the_log_reads_as_if_one_had_said_it()


TestSupervisors = pytest.mark.slow(Supervisors.TestCase)
TestSupervisors.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
