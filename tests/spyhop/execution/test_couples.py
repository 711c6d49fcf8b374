"""Two legs in the order stage: entered together, left together, and flat at both venues whatever these do."""

from __future__ import annotations

import heapq
from collections import Counter
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.errors import InvalidSetting
from spyhop.execution.couples import check_hedge
from spyhop.execution.legs import PairParams
from spyhop.execution.stage import ExecutionParams, OrderStage
from spyhop.ledger.account import Account
from spyhop.model.decisions import LEAD_FOLLOW, Hedge, Intent
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    Command,
    Fact,
    Fill,
    Liquidated,
    Liquidity,
    OrderAccepted,
    OrderCancelled,
    OrderChanged,
    OrderRejected,
    OrderStatus,
    OrderUnknown,
    PairEnded,
    Purpose,
    Report,
    SubmitOrder,
    TradeClosed,
)
from spyhop.model.tape import Events, Kind, Side, Status, Venue, event, joined
from spyhop.model.verdicts import Approved, RiskState, RiskStateChanged

S, MS = NS_PER_S, NS_PER_MS

T = TypeVar("T")

FOREVER = (1 << 63) - 1
LED = Instrument(id=0, venue=Venue.DYDX, symbol="COIN-USD", tick_size=Decimal(1), lot_size=Decimal("0.1"))
LEADING = Instrument(
    id=1, venue=Venue.BINANCE_USDM, symbol="COINUSDT", tick_size=Decimal("0.5"), lot_size=Decimal("0.2")
)
BOTH = (LED, LEADING)
# a lot of the first leg is 100 quote currency: 20 may be unhedged
PARAMS = ExecutionParams(pair=PairParams(max_imbalance=2_000.0))
ENDED = (OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED)


class Venues:
    """Both venues at once: what they do with an order is drawn by chance when it comes, and told later.

    `moody` is how often something goes wrong; nobody is filled beyond what an order asks, and reduce-only reduces.
    """

    def __init__(self, seed: int = 0, moody: float = 0.0, price: tuple[int, ...] = (1_000, 2_000)) -> None:
        self._random, self._moody, self._price = np.random.default_rng(seed), moody, price
        self._told: list[tuple[int, int, Report]] = []
        self._count = 0
        self.held = dict.fromkeys(range(len(price)), 0)
        self.sent: list[SubmitOrder] = []

    def send(self, command: Command) -> None:
        if not isinstance(command, SubmitOrder):
            return
        self.sent.append(command)
        ts = command.ts + self._delay()
        common = {"client_order_id": command.client_order_id, "instrument": command.instrument}
        if self._happens():
            self._tell(OrderUnknown(ts=ts, reason="time-out", **common))
            ts += 20 * self._delay()
        if self._happens():
            self._tell(OrderRejected(ts=ts, ts_venue=ts, reason="no margin", **common))
            return
        self._tell(OrderAccepted(ts=ts, ts_venue=ts, **common))
        most = command.lots
        if command.reduce_only:
            most = min(most, max(0, -command.side * self.held[command.instrument]))
        total = int(self._random.integers(0, most + 1)) if self._happens() else most
        left = total
        while left:
            ts += self._delay()
            lots = int(self._random.integers(1, left + 1)) if self._moody else left
            left -= lots
            self._fill(command, ts, lots)
        if total < command.lots:
            # where it went wrong the end is told before the fills are
            at = ts - int(self._random.integers(0, 30)) * MS if self._happens() else ts + self._delay()
            self._tell(
                OrderCancelled(ts=max(at, command.ts + 1), ts_venue=ts, lots_left=command.lots - total, **common)
            )

    def _fill(self, order: SubmitOrder, ts: int, lots: int) -> None:
        self.held[order.instrument] += order.side * lots
        fill = Fill(
            ts=ts,
            ts_venue=ts,
            fill_id=f"{order.client_order_id}-{ts}-{lots}-{self._count}",
            client_order_id=order.client_order_id,
            instrument=order.instrument,
            side=order.side,
            price=self._price[order.instrument] + int(self._random.integers(-3, 4) if self._moody else 0),
            lots=lots,
            liquidity=Liquidity.TAKER,
            fee=0.01 * lots,
            slippage=0.0,
        )
        self._tell(fill)
        if self._happens():
            self._tell(msgspec.structs.replace(fill, ts=ts + self._delay()))  # told twice

    def liquidate(self, number: int, ts: int, left: int = 0) -> None:
        """Let the venue take a position over, but for `left` lots."""
        if held := self.held[number]:
            side = Side.BUY if held > 0 else Side.SELL
            self.held[number] = side * left
            price, lots = self._price[number], abs(held) - left
            self._tell(Liquidated(ts=ts, ts_venue=ts, instrument=number, side=side, price=price, lots=lots, loss=1.0))

    def overfill(self, order: SubmitOrder, ts: int, lots: int) -> None:
        """Let more of an order be filled than it asked for."""
        self._fill(order, ts, lots)

    def advance(self, events: Events, start: int, until: int) -> tuple[int, list[Report]]:
        stamps = events["ts_recv"]
        if not self._told or self._told[0][0] >= until:
            return max(start, int(np.searchsorted(stamps, until, side="left"))), []
        now = self._told[0][0]
        heard = []
        while self._told and self._told[0][0] == now:
            heard.append(heapq.heappop(self._told)[2])
        return max(start, int(np.searchsorted(stamps, now, side="right"))), heard

    def _tell(self, report: Report) -> None:
        self._count += 1
        heapq.heappush(self._told, (report.ts, self._count, report))

    def _happens(self) -> bool:
        return bool(self._random.random() < self._moody)

    def _delay(self) -> int:
        return int(self._random.integers(1, 40)) * MS if self._moody else 10 * MS

    def snapshot(self) -> bytes:
        return b""

    def restore(self, snapshot: bytes) -> None:
        pass

    def statistics(self) -> dict[str, float]:
        return {}


def approval(lots: int = 50, side: Side = Side.BUY, ts: int = 2 * S, hold: int = 30 * S, **changes: object) -> Approved:
    intent = Intent(
        seq=1,
        ts=ts,
        instrument=0,
        decision_seq=7,
        side=side,
        strategy=LEAD_FOLLOW,
        probability=0.0,
        confidence=0.7,
        reference=1_000,
        take_profit=1_000 + side * 20,
        stop=1_000 - side * 10,
        max_hold_ns=hold,
        hedge=Hedge(instrument=1, reference=2_000),
    )
    given: dict[str, Any] = {
        "seq": 1,
        "ts": ts,
        "leverage": 1.0,
        "risk": 50.0,
        "margin": 600.0,
        "epoch": 1,
        "expires": ts + S,
    }
    given |= {"intent": intent, "lots": lots, "hedge_lots": lots // 2, "hedge_margin": 100.0}
    return Approved(**given | changes)


def traded(ts: int, number: int, price: int) -> Events:
    return event(Kind.TRADE, ts, instrument=number, side=1, price=price, qty=1)


def ended(ts: int) -> Events:
    return joined([event(Kind.STATUS, ts, instrument=number, aux=Status.SESSION_END) for number in (0, 1)])


def run(venues: Venues, *tapes: Events, approved: Approved | None = None, cuts: tuple[int, ...] = ()) -> list[Fact]:
    """Play an approval over a tape, advancing to each of `cuts` on the way."""
    stage = OrderStage(PARAMS, BOTH, venues, "s1")
    approved = approved or approval()
    events = joined(list(tapes)) if tapes else event(Kind.TRADE, S, instrument=0, price=1_000, qty=1)[:0]
    facts = stage.on_approved(approved)
    for until in (*cuts, FOREVER):
        count = int(np.searchsorted(events["ts_recv"], until, side="left"))
        facts += stage.advance(events[:count], until)
        events = events[count:]
    assert stage.is_idle
    assert [fact.ts for fact in facts] == sorted(fact.ts for fact in facts)
    return facts


def only(facts: list[Fact], kind: type[T]) -> list[T]:
    return [fact for fact in facts if isinstance(fact, kind)]


def exits(facts: list[Fact]) -> list[tuple[int, str]]:
    return [(trade.instrument, trade.exit_purpose) for trade in only(facts, TradeClosed)]


def test_both_legs_are_entered_in_clips_and_left_at_the_longest_hold() -> None:
    venues = Venues()
    facts = run(venues, ended(60 * S))
    asked = [(order.instrument, order.purpose, order.lots, order.side) for order in venues.sent]
    clips = [(0, Purpose.ENTRY, 20, Side.BUY), (1, Purpose.HEDGE, 10, Side.SELL)]
    rest = [(0, Purpose.ENTRY, 10, Side.BUY), (1, Purpose.HEDGE, 5, Side.SELL)]
    left = [(0, Purpose.MAX_HOLD, 50, Side.SELL), (1, Purpose.MAX_HOLD, 25, Side.BUY)]
    assert asked == [*clips, *clips, *rest, *left]
    assert exits(facts) == [(0, "max_hold"), (1, "max_hold")]
    (pair,) = only(facts, PairEnded)
    assert (pair.num_legs, pair.notional, pair.reason) == (2, 5_000.0, "")
    assert (pair.fees, pair.net) == (pytest.approx(1.5), pytest.approx(pair.gross - 1.5))
    assert all(trade.is_leg for trade in only(facts, TradeClosed))
    # 500 of margin for 5,000, and 100 for 5,000; every order is of the intent
    assert [order.leverage for order in venues.sent[:2]] == [pytest.approx(10.0), pytest.approx(50.0)]
    assert {order.intent_seq for order in venues.sent} == {1}


def test_nothing_stands_at_the_venue_but_what_is_under_way() -> None:
    venues = Venues()
    run(venues, ended(60 * S))
    assert {order.type.value for order in venues.sent} == {"market"}


@pytest.mark.parametrize(
    ("led", "leading", "said"),
    [
        (990, 2_000, "stop_loss"),  # it fell, the leader did not
        (990, 1_980, ""),  # both fell by as much
        (1_000, 2_021, "stop_loss"),  # the leader rose: had it stood still, this one had fallen to 989.6
        (1_020, 2_000, "take_profit"),
        (1_010, 2_000, ""),
        (1_000, 1_960, "take_profit"),  # 1,020.4
        (1_030, 2_060, ""),
    ],
)
def test_exits_are_of_the_two_together(led: int, leading: int, said: str) -> None:
    tape = (traded(9 * S, 1, leading), traded(10 * S, 0, led), ended(20 * S))
    purpose = said or "session_end"
    assert exits(run(Venues(), *tape)) == [(0, purpose), (1, purpose)]
    mirrored = (traded(9 * S, 1, 4_000 - leading), traded(10 * S, 0, 2_000 - led), ended(20 * S))
    if leading == 2_000:
        assert exits(run(Venues(), *mirrored, approved=approval(side=Side.SELL)))[0] == (0, purpose)


def test_a_price_of_the_leader_alone_closes_nothing() -> None:
    # the follower has not traded since: nobody knows what it is worth beside the leader
    assert exits(run(Venues(), traded(10 * S, 1, 3_000), ended(20 * S))) == [(0, "session_end"), (1, "session_end")]


def test_the_first_price_beyond_an_exit_counts_and_says_when_and_which() -> None:
    tape = (traded(10 * S, 0, 1_021), traded(11 * S, 0, 985), traded(12 * S, 0, 1_000), ended(20 * S))
    facts = run(Venues(), *tape)
    assert exits(facts) == [(0, "take_profit"), (1, "take_profit")]
    assert [trade.ts_exit for trade in only(facts, TradeClosed)] == [10 * S + 20 * MS] * 2


def test_until_the_leader_trades_it_stands_where_it_stood_at_the_approval() -> None:
    assert exits(run(Venues(), traded(10 * S, 0, 990), ended(20 * S)))[0] == (0, "stop_loss")
    assert exits(run(Venues(), traded(10 * S, 0, 1_000), ended(20 * S)))[0] == (0, "session_end")


def test_what_counts_of_the_leader_is_its_last_price() -> None:
    seen = (traded(8 * S, 1, 2_200), traded(9 * S, 1, 2_000))
    for cuts in ((), (9 * S + 1,)):
        facts = run(Venues(), *seen, traded(10 * S, 0, 1_000), ended(20 * S), cuts=cuts)
        assert exits(facts)[0] == (0, "session_end")


def test_a_price_beyond_an_exit_says_nothing_before_both_legs_are_held() -> None:
    early = traded(2 * S + 15 * MS, 0, 985)
    assert exits(run(Venues(), early, ended(20 * S)))[0] == (0, "session_end")
    assert exits(run(Venues(), early, traded(10 * S, 0, 985), ended(20 * S)))[0] == (0, "stop_loss")


def test_each_of_two_pairs_has_its_own_exits() -> None:
    venues = Venues(price=(1_000, 2_000, 1_000, 2_000))
    others = [msgspec.structs.replace(one, id=one.id + 2, symbol=f"B{one.symbol}") for one in BOTH]
    stage = OrderStage(PARAMS, (*BOTH, *others), venues, "s1")
    wish = msgspec.structs.replace(
        approval().intent, seq=2, instrument=2, hedge=Hedge(instrument=3, reference=2_000), max_hold_ns=30 * S
    )
    facts = stage.on_approved(approval()) + stage.on_approved(approval(seq=2, intent=wish))
    tape = joined([traded(10 * S, 0, 990), traded(11 * S, 2, 1_020), traded(12 * S, 3, 9_000)])
    facts += stage.advance(tape, 20 * S)
    assert exits(facts) == [(0, "stop_loss"), (1, "stop_loss"), (2, "take_profit"), (3, "take_profit")]
    assert [(pair.intent_seq, pair.num_legs) for pair in only(facts, PairEnded)] == [(1, 2), (2, 2)]
    assert stage.is_idle


@pytest.mark.parametrize("when", [2 * S + 45 * MS, 11 * S])
def test_a_leg_that_is_liquidated_in_part_or_on_the_way_is_no_pair_any_more(when: int) -> None:
    venues = Venues()
    stage = OrderStage(PARAMS, BOTH, venues, "s1")
    nothing = traded(S, 0, 1_000)[:0]
    facts = stage.on_approved(approval()) + stage.advance(nothing, when)
    venues.liquidate(1, when, left=1)
    num_sent = len(venues.sent)
    facts += stage.advance(nothing, 20 * S)
    assert {order.purpose for order in venues.sent[num_sent:]} == {Purpose.UNWIND}
    assert venues.held == {0: 0, 1: 0}
    assert sorted(exits(facts)) == [(0, "unwind"), (1, "liquidation")]


def test_a_leg_of_which_more_was_taken_off_than_it_held_ends_the_pair() -> None:
    class Odd(Venues):
        def send(self, command: Command) -> None:
            if not isinstance(command, SubmitOrder):
                return
            if command.purpose is Purpose.HEDGE and len(self.sent) == 3:
                # the second clip finds no hedge, and of what is taken back there is too much
                self.sent.append(command)
                ts = command.ts + 10 * MS
                about = {"client_order_id": command.client_order_id, "instrument": command.instrument}
                self._tell(OrderRejected(ts=ts, ts_venue=ts, reason="no margin", **about))
            elif command.purpose is Purpose.UNWIND and len(self.sent) == 4:
                self.sent.append(command)
                self.overfill(command, command.ts + 10 * MS, 41)
            else:
                super().send(command)

    venues = Odd()
    stage = OrderStage(PARAMS, BOTH, venues, "s1")
    nothing = traded(S, 0, 1_000)[:0]
    facts = stage.on_approved(approval()) + stage.advance(nothing, 3 * S)
    assert venues.held == {0: 0, 1: 0}
    assert stage.is_idle
    (pair,) = only(facts, PairEnded)
    assert pair.reason == "hedge rejected: no margin"


def test_a_rest_that_has_no_hedge_is_not_kept() -> None:
    class Thin(Venues):
        def send(self, command: Command) -> None:
            if isinstance(command, SubmitOrder) and command.purpose is Purpose.ENTRY:
                self.sent.append(command)
                ts = command.ts + 10 * MS
                self._fill(command, ts, 1)  # half a lot of the hedge
                about = {"client_order_id": command.client_order_id, "instrument": command.instrument}
                self._tell(OrderCancelled(ts=ts, ts_venue=ts, lots_left=command.lots - 1, **about))
            else:
                super().send(command)

    venues = Thin()
    stage = OrderStage(PARAMS, BOTH, venues, "s1")
    nothing = traded(S, 0, 1_000)[:0]
    facts = stage.on_approved(approval()) + stage.advance(nothing, 2 * S + 15 * MS)
    assert venues.held == {0: 1, 1: 0}
    halt = RiskStateChanged(
        ts=2 * S + 15 * MS, state=RiskState.HALT, before=RiskState.CAN_TRADE, reasons=(), instrument=-1
    )
    facts += stage.on_risk_state(halt) + stage.advance(nothing, 3 * S)
    assert venues.held == {0: 0, 1: 0}
    assert exits(facts) == [(0, "unwind")]
    assert [pair.num_legs for pair in only(facts, PairEnded)] == [1]


def test_what_an_older_order_fills_later_is_no_part_of_a_pair() -> None:
    venues = Venues()
    stage = OrderStage(PARAMS, BOTH, venues, "s1")
    nothing = traded(S, 0, 1_000)[:0]
    plain = msgspec.structs.replace(approval().intent, hedge=None, max_hold_ns=S)
    facts = stage.on_approved(approval(intent=plain, hedge_lots=0, hedge_margin=0.0)) + stage.advance(nothing, 5 * S)
    assert stage.is_idle
    older = venues.sent[0]
    wish = msgspec.structs.replace(approval(ts=5 * S).intent, seq=2)
    facts += stage.on_approved(approval(ts=5 * S, seq=2, intent=wish)) + stage.advance(nothing, 8 * S)
    assert venues.held == {0: 50, 1: -25}
    venues.overfill(older, 9 * S, 7)
    facts += stage.advance(nothing, 12 * S)
    assert stage.is_idle
    assert venues.held == {0: 0, 1: 0}
    assert exits(facts)[1:] == [(0, "unwind"), (1, "unwind")]


def test_a_leg_that_is_liquidated_takes_the_other_with_it() -> None:
    venues = Venues()
    stage = OrderStage(PARAMS, BOTH, venues, "s1")
    nothing = traded(S, 0, 1_000)[:0]
    facts = stage.on_approved(approval()) + stage.advance(nothing, 10 * S)
    venues.liquidate(1, 11 * S)
    facts += stage.advance(nothing, 12 * S)
    assert stage.is_idle
    assert venues.held == {0: 0, 1: 0}
    assert sorted(exits(facts)) == [(0, "unwind"), (1, "liquidation")]
    assert len(only(facts, PairEnded)) == 1


@pytest.mark.parametrize(("state", "num"), [(RiskState.HALT, 1), (RiskState.ESCAPE, 0)])
def test_the_supervisor_ends_the_entering_or_all_of_it(state: RiskState, num: int) -> None:
    venues = Venues()
    stage = OrderStage(PARAMS, BOTH, venues, "s1")
    nothing = traded(S, 0, 1_000)[:0]
    facts = stage.on_approved(approval()) + stage.advance(nothing, 2 * S + 15 * MS)
    changed = RiskStateChanged(ts=2 * S + 15 * MS, state=state, before=RiskState.CAN_TRADE, reasons=(), instrument=1)
    facts += stage.on_risk_state(changed)
    facts += stage.advance(nothing, 10 * S)
    # the first clip was filled: in HALT it is hedged and kept, in ESCAPE closed
    assert [abs(lots) for lots in venues.held.values()] == [20 * num, 10 * num]
    assert sum(order.purpose is Purpose.ENTRY for order in venues.sent) == 1
    assert len(only(facts, PairEnded)) == 1 - num


@pytest.mark.parametrize("is_end", [False, True])
def test_legs_are_closed_whole_however_thin_their_books_are(is_end: bool) -> None:
    venues = Venues()
    stage = OrderStage(PARAMS, BOTH, venues, "s1")
    thin = joined([event(Kind.QUOTE, 10 * S, instrument=number, qty=1, aux2=1) for number in (0, 1)])
    facts = stage.on_approved(approval()) + stage.advance(thin, 11 * S)
    assert venues.held == {0: 50, 1: -25}
    num_sent = len(venues.sent)
    if is_end:
        facts += stage.advance(ended(12 * S), 13 * S)
    else:
        facts += stage.on_risk_state(
            RiskStateChanged(ts=12 * S, state=RiskState.ESCAPE, before=RiskState.CAN_TRADE, reasons=(), instrument=-1)
        )
    closes = [(order.instrument, order.lots, order.ts) for order in venues.sent[num_sent:]]
    assert [(number, lots) for number, lots, _ in closes] == [(0, 50), (1, 25)]
    assert closes[0][2] == closes[1][2]  # in one instant
    facts += stage.advance(thin[:0], 20 * S)
    assert venues.held == {0: 0, 1: 0}
    assert exits(facts) == [(number, "session_end" if is_end else "kill") for number in (0, 1)]


def test_a_rejected_leader_is_a_pair_that_never_was() -> None:
    class Refusing(Venues):
        def _happens(self) -> bool:
            return True

    facts = run(Refusing(moody=1.0))
    (pair,) = only(facts, PairEnded)
    assert (pair.num_legs, pair.net, pair.reason) == (0, 0.0, "leader unclear")
    assert only(facts, TradeClosed) == []


def test_what_cannot_be_a_pair_is_refused_and_its_end_told() -> None:
    for approved, reason in [
        (approval(lots=1, hedge_lots=0), "lots are less than the smallest order"),
        (approval(expires=S), "expired"),
    ]:
        facts = run(Venues(), approved=approved)
        (refused,) = only(facts, OrderChanged)
        assert refused.status is OrderStatus.REJECTED
        assert reason in refused.reason
        assert only(facts, PairEnded)[0].reason == refused.reason


def test_neither_leg_is_entered_while_the_other_pair_lives() -> None:
    stage = OrderStage(PARAMS, BOTH, Venues(), "s1")
    nothing = traded(S, 0, 1_000)[:0]
    stage.on_approved(approval())
    stage.advance(nothing, 5 * S)
    for number in (0, 1):
        plain = msgspec.structs.replace(approval(ts=5 * S).intent, hedge=None, instrument=number, seq=2)
        (refused,) = stage.on_approved(approval(ts=5 * S, intent=plain, hedge_lots=0, hedge_margin=0.0))
        assert isinstance(refused, OrderChanged)
        assert "under way" in refused.reason
    again = msgspec.structs.replace(approval(ts=5 * S).intent, seq=3)
    assert "under way" in only(stage.on_approved(approval(ts=5 * S, intent=again)), OrderChanged)[0].reason


def test_it_goes_on_from_a_snapshot_to_the_bit() -> None:
    tape = joined([traded(9 * S, 1, 2_010), traded(10 * S, 0, 994), ended(20 * S)])
    whole = run(Venues(), tape)
    for kill in (2 * S + 5 * MS, 2 * S + 15 * MS, 2 * S + 25 * MS, 5 * S, 9 * S + 1, 10 * S + 5 * MS):
        venues = Venues()
        stage = OrderStage(PARAMS, BOTH, venues, "s1")
        count = int(np.searchsorted(tape["ts_recv"], kill, side="left"))
        facts = stage.on_approved(approval()) + stage.advance(tape[:count], kill)
        snapshot = stage.snapshot()
        stage = OrderStage(PARAMS, BOTH, venues, "s1")
        stage.restore(snapshot)
        assert facts + stage.advance(tape[count:], FOREVER) == whole


# whatever the venues do


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    moody=st.sampled_from([0.05, 0.2, 0.4]),
    lots=st.integers(2, 70),
    side=st.sampled_from([Side.BUY, Side.SELL]),
    cuts=st.lists(st.integers(2 * S, 70 * S), max_size=4),
)
def test_both_venues_end_flat_and_the_books_agree(
    seed: int, moody: float, lots: int, side: Side, cuts: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    prices = [np.cumsum(rng.integers(-4, 5, 58)) + start for start in (1_000, 2_000)]
    tape = [traded((2 + k) * S + 1 - number, number, int(prices[number][k])) for k in range(58) for number in (1, 0)]
    venues, approved = Venues(seed, moody), approval(lots, side)
    facts = run(venues, *tape, ended(60 * S), approved=approved)
    assert venues.held == {0: 0, 1: 0}
    newest = {fact.client_order_id: fact.status for fact in only(facts, OrderChanged)}
    assert all(status in ENDED for status in newest.values())
    legs = [trade for trade in only(facts, TradeClosed) if trade.is_leg]
    (pair,) = only(facts, PairEnded)
    account = Account(10_000.0, BOTH)
    for fact in facts:
        account.on_fact(fact)
    told = sum(trade.net for trade in only(facts, TradeClosed))
    assert account.cash - 10_000.0 == pytest.approx(told)
    # what came after the end of both is no leg's any more
    assert pair.num_legs == sum(trade.ts <= pair.ts for trade in legs)
    assert pair.net == pytest.approx(sum(trade.net for trade in legs[: pair.num_legs]))
    assert Counter(type(fact) for fact in facts)[PairEnded] == 1
    assert run(Venues(seed, moody), *tape, ended(60 * S), approved=approved, cuts=tuple(sorted(cuts))) == facts


def test_a_market_that_cannot_be_sold_short_hedges_nothing() -> None:
    check_hedge(LED, LEADING)
    for changes in ({"venue": Venue.BINANCE_SPOT}, {"is_inverse": True}):
        with pytest.raises(InvalidSetting, match=r"lead\.hedge"):
            check_hedge(LED, msgspec.structs.replace(LEADING, **changes))
