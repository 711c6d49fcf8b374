"""When an add is wished for, and that nothing is wished for twice."""

from __future__ import annotations

import msgspec
import pytest

from spyhop.clock import NS_PER_S
from spyhop.engine.nodes import RiskNode
from spyhop.engine.pyramiding import FIRST_ADD, Pyramiding
from spyhop.execution.pyramids import PyramidParams
from spyhop.model.decisions import Intent
from spyhop.model.observations import Observation
from spyhop.model.orders import (
    Fill,
    Liquidity,
    OrderChanged,
    OrderStatus,
    OrderType,
    Purpose,
    SubmitOrder,
    TradeClosed,
)
from spyhop.model.tape import Side
from spyhop.model.verdicts import Approved, Refused, Verdict
from spyhop.risk.limits import LimitParams
from spyhop.risk.sizing import SizingParams
from spyhop.risk.stage import RiskParams, RiskStage
from spyhop.simulation.feed import usual_instrument

COIN = usual_instrument("BTCUSDT")
S = NS_PER_S
PARAMS = PyramidParams(max_adds=2, add_every_r=1.0, trail_r=1.0, add_frac=0.5)


def intent(seq: int = 1, ts: int = S, side: Side = Side.BUY, reference: int = 1000) -> Intent:
    return Intent(
        seq=seq,
        ts=ts,
        instrument=COIN.id,
        decision_seq=7,
        side=side,
        strategy="WHALE_PUMP",
        probability=0.8,
        confidence=0.7,
        reference=reference,
        take_profit=reference + side * 100,
        stop=reference - side * 10,
        max_hold_ns=900 * S,
        atr=3.0,
    )


def approved(wish: Intent, lots: int = 10) -> Approved:
    return Approved(
        seq=0, ts=wish.ts, intent=wish, lots=lots, leverage=1.0, risk=1.0, margin=1.0, epoch=1, expires=wish.ts + 2 * S
    )


def refused(wish: Intent) -> Refused:
    return Refused(seq=1, ts=wish.ts, intent=wish, code="cooldown", measured=0.0, limit=1.0)


def changed(ts: int, wish: Intent, status: OrderStatus, filled: int = 0) -> OrderChanged:
    key = f"s-{wish.seq}"
    order = SubmitOrder(
        ts=ts,
        client_order_id=key,
        instrument=COIN.id,
        side=wish.side,
        type=OrderType.MARKET,
        lots=10,
        purpose=Purpose.ENTRY,
        intent_seq=wish.seq,
    )
    return OrderChanged(
        ts=ts, client_order_id=key, instrument=COIN.id, status=status, filled=filled, cause="", order=order
    )


def filled(ts: int, key: str, side: Side, price: int, lots: int) -> Fill:
    return Fill(
        ts=ts,
        ts_venue=ts,
        fill_id=f"{key}.{ts}",
        client_order_id=key,
        instrument=COIN.id,
        side=side,
        price=price,
        lots=lots,
        liquidity=Liquidity.TAKER,
        fee=0.0,
        slippage=0.0,
    )


def seen(ts: int, ticks: float) -> Observation:
    return Observation(
        ts=ts,
        instrument=COIN.id,
        mid=ticks * COIN.tick,
        last=ticks * COIN.tick,
        ts_venue=ts,
        age_ns=5,
        spread=COIN.tick,
        depth_bid=1e9,
        depth_ask=1e9,
        fill_buy=ticks * COIN.tick,
        fill_sell=ticks * COIN.tick,
        sigma_1m=0.001,
        volatility_rank=0.5,
        atr=1.0,
    )


def entered(side: Side = Side.BUY, params: PyramidParams = PARAMS) -> Pyramiding:
    """Return a planner that knows of 10 lots entered at 1000, their stop 10 ticks behind."""
    planner, first = Pyramiding(params, [COIN]), intent(side=side)
    planner.on_verdict(approved(first))
    bought(planner, first, S + 1, 1000, 10)
    return planner


def bought(planner: Pyramiding, wish: Intent, ts: int, price: int, lots: int) -> None:
    planner.on_fact(changed(ts, wish, OrderStatus.PENDING_NEW))
    planner.on_fact(filled(ts, f"s-{wish.seq}", wish.side, price, lots))
    planner.on_fact(changed(ts, wish, OrderStatus.FILLED, lots))


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_an_add_is_wished_for_one_r_on_and_carries_the_common_stop(side: Side) -> None:
    planner = entered(side)
    assert planner.on_observation(seen(5 * S, 1000 + side * 9.9)) is None
    wish = planner.on_observation(seen(6 * S, 1000 + side * 12))
    assert wish is not None
    assert (wish.seq, wish.ts, wish.side, wish.reference) == (FIRST_ADD + 1, 6 * S, side, 1000 + side * 12)
    assert wish.stop == 1000 + side * 2
    assert (wish.take_profit, wish.max_hold_ns, wish.decision_seq) == (1000 + side * 100, 900 * S, 7)
    assert (wish.atr, wish.spread, wish.data_age_ns) == (0.0, COIN.tick, 5)


def test_a_loser_is_never_added_to() -> None:
    planner = entered()
    assert all(planner.on_observation(seen((5 + k) * S, 1000 - k)) is None for k in range(30))


def test_one_add_is_wished_for_at_a_time_and_no_more_than_permitted() -> None:
    planner, wishes = entered(), []
    for k in range(60):
        if wish := planner.on_observation(seen((5 + k) * S, 1000 + k)):
            wishes.append(wish)
            planner.on_verdict(approved(wish, 5))
            assert planner.on_observation(seen((5 + k) * S + 1, 1000 + k)) is None
            bought(planner, wish, (5 + k) * S + 2, 1000 + k, 5)
    assert [(wish.reference, wish.stop) for wish in wishes] == [(1010, 1000), (1020, 1010)]


def test_a_refusal_lets_time_pass_before_it_is_wished_for_again() -> None:
    planner = entered()
    first = planner.on_observation(seen(6 * S, 1012))
    assert first is not None
    planner.on_verdict(refused(first))
    assert planner.on_observation(seen(15 * S, 1012)) is None
    again = planner.on_observation(seen(16 * S, 1012))
    assert again is not None
    assert again.seq == first.seq + 1


def test_an_approval_that_became_no_order_is_let_go() -> None:
    planner = entered()
    wish = planner.on_observation(seen(6 * S, 1012))
    assert wish is not None
    planner.on_verdict(approved(wish))
    assert planner.on_observation(seen(8 * S, 1025)) is None
    assert planner.on_observation(seen(8 * S + 1, 1025)) is not None
    lapsed = Pyramiding(PARAMS, [COIN])
    lapsed.on_verdict(approved(intent()))
    assert lapsed.on_observation(seen(9 * S, 1025)) is None
    lapsed.on_verdict(approved(other := intent(seq=2, ts=10 * S, reference=2000)))
    bought(lapsed, other, 10 * S, 2000, 10)
    wish = lapsed.on_observation(seen(11 * S, 2010))
    assert wish is not None
    assert wish.stop == 2000


def test_an_entry_that_came_to_nothing_and_a_trip_that_is_over_are_forgotten() -> None:
    planner, first = Pyramiding(PARAMS, [COIN]), intent()
    planner.on_verdict(approved(first))
    planner.on_fact(changed(S, first, OrderStatus.PENDING_NEW))
    planner.on_fact(changed(S, first, OrderStatus.REJECTED))
    planner.on_fact(filled(S, "s-1", Side.BUY, 1000, 10))
    assert planner.on_observation(seen(6 * S, 1012)) is None
    planner = entered()
    names = {f.name: 0 for f in msgspec.structs.fields(TradeClosed)}
    planner.on_fact(TradeClosed(**(names | {"instrument": COIN.id, "side": Side.BUY, "exit_purpose": "stop_loss"})))
    assert planner.on_observation(seen(6 * S, 1012)) is None


def test_what_was_taken_off_is_not_at_stake_any_more() -> None:
    # with all of it off nothing is there to add to
    planner = entered()
    planner.on_fact(filled(3 * S, "exit", Side.SELL, 1005, 10))
    assert planner.on_observation(seen(6 * S, 1012)) is None


def test_a_snapshot_goes_on_as_the_original() -> None:
    one, other = entered(), Pyramiding(PARAMS, [COIN])
    other.restore(one.snapshot())
    assert one.on_observation(seen(6 * S, 1012)) == other.on_observation(seen(6 * S, 1012))
    assert one.snapshot() == other.snapshot()
    assert other.statistics() == {"adds_wished": 1.0}


def test_the_supervisor_judges_every_add_and_holds_the_sum_to_its_limits() -> None:
    params = RiskParams(
        limits=LimitParams(min_trade_interval_s=0.0),
        sizing=SizingParams(max_adds=1, min_add_profit_r=0.5, fee_frac=0.0, position_size_usdt=1e6),
    )
    base = 1_000_000
    first = intent(reference=base)
    first = msgspec.structs.replace(first, stop=base - 1_000, take_profit=base + 9_000, spread=COIN.tick)
    node = RiskNode(RiskStage(params, [COIN], 10_000.0), Pyramiding(PARAMS, [COIN]))
    said: list[Verdict] = []

    def told(*wishes: Intent | Observation) -> None:
        node.intents.put(list(wishes), wishes[-1].ts)
        node.facts.put([], wishes[-1].ts)
        said.extend(e.message for e in node.step().entries if isinstance(e.message, Approved | Refused))

    told(seen(S, base), first)
    (entry,) = said
    assert isinstance(entry, Approved)
    ticket = entry.intent
    node.facts.put(
        [
            changed(S + 1, ticket, OrderStatus.PENDING_NEW),
            filled(S + 2, "s-1", Side.BUY, base, entry.lots),
            changed(S + 2, ticket, OrderStatus.FILLED, entry.lots),
        ],
        S + 3,
    )
    told(seen(2 * S, base + 500), seen(3 * S, base + 1_200))
    add = said[1]
    assert isinstance(add, Approved)
    assert (add.intent.seq, add.intent.stop, add.ts) == (FIRST_ADD + 1, base + 200, 3 * S)
    # all of it loses at the common stop no more than the first entry risked
    at_stake = add.lots * (base + 1_200 - add.intent.stop) - entry.lots * 200
    assert add.lots > 0
    assert at_stake <= entry.lots * 1_000
    copy = RiskNode(RiskStage(params, [COIN], 10_000.0), Pyramiding(PARAMS, [COIN]))
    copy.restore(node.snapshot())
    assert copy.snapshot() == node.snapshot()
    # the second is permitted by the plan and not by the supervisor
    node.facts.put(
        [
            changed(4 * S, add.intent, OrderStatus.PENDING_NEW),
            filled(4 * S, f"s-{add.intent.seq}", Side.BUY, base + 1_200, 1),
            changed(4 * S, add.intent, OrderStatus.FILLED, 1),
        ],
        4 * S + 1,
    )
    told(seen(6 * S, base + 2_500))
    assert [getattr(verdict, "code", "") for verdict in said[2:]] == ["one_position"]
